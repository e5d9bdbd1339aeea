//! The Pars node daemon.

fn main() {}
