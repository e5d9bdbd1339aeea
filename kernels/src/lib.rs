//! The mathematics of each hot path. A folder per primitive holds its portable code, its SIMD code and its shader;
//! callers hand over work and never name an instruction set. No threads, no async, no network, no chain.
