//! Benchmarks of the hot paths against named peers; see `benches/`.
