//! Chain specification, block building and block verification on revm. Fork rules, fees and precompiles are values.
