//! The Pars node daemon. Everything of substance is in the library.

use std::process::ExitCode;

/// A block makes and drops tens of thousands of small pieces on several threads: a quarter of its time went into
/// the C library's allocator, and a quarter of the memory it held was in use by nobody.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    pars_node::cli::main()
}
