//! The Pars node: wiring of store, EVM, pool, RPC and engine.
