//! Precompiled contracts over the engine: one file per contract, a core API free of any EVM, and an adapter for revm.
