//! The Pars node daemon. Everything of substance is in the library.

use std::process::ExitCode;

/// A block makes and drops tens of thousands of small pieces on several threads: more than the C library's allocator
/// is made for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    pars_node::cli::main()
}
