//! Takes turns of Plonky3 for the benchmark that started it.

use std::io::{stdin, stdout};

fn main() -> std::io::Result<()> {
    pars_bench_plonky3::serve(stdin().lock(), stdout().lock())
}
