//! The node's own path: executing blocks beside bare revm, accepting them with state roots on disk,
//! the storage engine under that load beside redb, and what the compute engine does for a block.
//!
//! Everybody takes turns on the same block, one block after another: the speed of a core changes while neighbours work,
//! and a ratio of turns side by side does not. Printed are the 10th percentile
//! and the median of a turn.
//!
//! `cargo bench -p pars-benches --bench node` runs all of it; `-- execute`, `-- engine`, `-- genesis` or
//! `-- senders` one part, `-- execute tokens` one kind of block.
//! `PARS_BENCH_ACCOUNTS` is the size of the state (100,000), `PARS_BENCH_DIR` the folder of the stores. Without
//! `--bench`, as `cargo test` calls it, everything is tried once and small.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod blocks;
mod engine;
mod exchange;
mod execute;
mod genesis;
mod recorder;
#[path = "../../../node/store/tests/common/redb.rs"]
mod redb;
mod senders;

use std::{path::PathBuf, time::Duration};

/// That of `parsd`, for everybody.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Accounts of the state.
    pub accounts: u64,
    /// Blocks of each kind.
    pub blocks: u64,
    /// Point reads, and accounts proven.
    pub reads: usize,
    /// Accounts of the large genesis.
    pub genesis: u64,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let full = arguments.iter().any(|argument| argument == "--bench");
    let size = if full {
        let accounts = std::env::var("PARS_BENCH_ACCOUNTS");
        Size {
            accounts: accounts.map_or(100_000, |text| text.parse().expect("a number")),
            blocks: 40,
            reads: 20_000,
            genesis: 1_000_000,
        }
    } else {
        Size {
            accounts: 2_000,
            blocks: 2,
            reads: 50,
            genesis: 2_000,
        }
    };
    let mut words = arguments
        .iter()
        .filter(|argument| !argument.starts_with("--"));
    let (part, kind) = (words.next(), words.next());
    let wanted = |name: &str| part.is_none_or(|part| name.contains(part.as_str()));
    println!(
        "{:<52} {:>12} {:>12} {:>14}",
        "id", "p10", "median", "elements/s"
    );
    if wanted("execute") {
        execute::run(size, |name| {
            kind.is_none_or(|kind| name.contains(kind.as_str()))
        });
    }
    if wanted("engine") {
        engine::run(size);
    }
    if wanted("genesis") {
        genesis::run(size);
    }
    if wanted("senders") {
        senders::run(size);
    }
}

/// A folder for a store, gone when dropped.
pub fn folder() -> tempfile::TempDir {
    let root = std::env::var_os("PARS_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    tempfile::tempdir_in(root).expect("a folder")
}

/// Turns of somebody.
#[derive(Debug, Default)]
pub struct Turns(Vec<Duration>);

impl Turns {
    pub fn push(&mut self, turn: Duration) {
        self.0.push(turn);
    }

    /// The turn that this share of turns is quicker than.
    pub fn quantile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted[(sorted.len() - 1) * percent / 100]
    }

    /// Prints them; `elements` are done in a turn.
    pub fn print(&self, id: &str, elements: f64) {
        let (quick, median) = (self.quantile(10), self.quantile(50));
        println!(
            "{id:<52} {:>9.3} ms {:>9.3} ms {:>14.0}",
            quick.as_secs_f64() * 1e3,
            median.as_secs_f64() * 1e3,
            elements / median.as_secs_f64()
        );
    }
}
