//! Batches cryptographic work, routes it to a GPU or to CPU cores, falls back, and measures. Knows no chain.
