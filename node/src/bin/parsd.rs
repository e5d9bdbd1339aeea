//! The Pars node daemon. Everything of substance is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    pars_node::cli::main()
}
