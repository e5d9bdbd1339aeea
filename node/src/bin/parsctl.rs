//! The operator tool of a Pars node.

fn main() {}
