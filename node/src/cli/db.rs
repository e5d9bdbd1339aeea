//! `parsd db`: looking at the chain in a data folder, and after it. The node must not be running.

use std::error::Error;
use std::fmt::Write as _;

use clap::{Args, Subcommand};
use pars_store::backend::Table;
use pars_store::codec::SCHEMA_VERSION;
use pars_store::{Kept, Retention, Store, StoreError, StoreOptions};

use super::progress::{self, Unit};
use super::{configuration, logging};
use crate::node::chain_folder;
use crate::output;

/// `parsd db` and what to do there.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print the chain's head, what is kept of the past, and the size of every table.
    Stats(Folder),
    /// Check everything: the state root from the flat state, every trie node, every block with its
    /// receipts and indexes, and every former state that is kept.
    Verify(Folder),
    /// Take away the past outside a window of blocks. It can be interrupted at any time.
    Prune(Prune),
}

/// Which folder, for all three.
#[derive(Debug, Args)]
pub(super) struct Folder {
    #[command(flatten)]
    configuration: configuration::Options,

    /// Show no progress.
    #[arg(long)]
    silent: bool,
}

/// Options of `parsd db prune`.
#[derive(Debug, Args)]
pub(super) struct Prune {
    #[command(flatten)]
    folder: Folder,

    /// How many blocks before the newest keep their state; `history.states` if not given.
    #[arg(long, value_name = "BLOCKS")]
    states: Option<u64>,

    /// How many blocks before the newest keep their tries; `history.proofs` if not given.
    #[arg(long, value_name = "BLOCKS")]
    proofs: Option<u64>,

    /// About how many records one batch removes.
    #[arg(long, value_name = "RECORDS", default_value_t = 20_000)]
    batch: usize,
}

/// Runs `parsd db`.
pub(super) fn run(command: Command) -> Result<(), Box<dyn Error>> {
    match command {
        Command::Stats(options) => stats(&options),
        Command::Verify(options) => verify(&options),
        Command::Prune(options) => prune(&options),
    }
}

impl Folder {
    /// The store of the data folder, whatever chain is in it.
    fn open(&self) -> Result<Store, Box<dyn Error>> {
        logging::start(self.silent, 0);
        let folder = self.configuration.load()?.data_dir()?;
        Store::open_existing(&chain_folder(&folder), &StoreOptions::default()).map_err(|error| {
            match error {
                StoreError::NoChain { .. } => StoreError::NoChain { path: folder }.into(),
                error => error.into(),
            }
        })
    }
}

fn stats(options: &Folder) -> Result<(), Box<dyn Error>> {
    let store = options.open()?;
    let head = store.head();
    let Kept {
        oldest_state,
        oldest_proof,
    } = store.kept()?;
    let mut text = String::new();
    writeln!(text, "chain id      {}", store.chain_id())?;
    writeln!(text, "schema        {SCHEMA_VERSION}")?;
    writeln!(text, "genesis       {}", store.genesis_hash())?;
    writeln!(text, "head          {} ({})", head.number, head.hash)?;
    writeln!(text, "state root    {}", head.header.state_root)?;
    writeln!(text, "time          {}", head.header.timestamp)?;
    writeln!(text, "states        from block {oldest_state} on")?;
    writeln!(text, "proofs        from block {oldest_proof} on\n")?;
    let row = |name: &str, columns: [String; 3]| {
        let [records, keys, values] = columns;
        format!("{name:<22} {records:>14} {keys:>16} {values:>16}\n")
    };
    text += &row(
        "table",
        ["records", "key bytes", "value bytes"].map(str::to_owned),
    );
    let bar = progress::bar(options.silent, Table::ALL.len() as u64, Unit::Count)?;
    let mut sums = [0u64; 3];
    for table in Table::ALL {
        bar.set_message(table.name());
        let stats = store.table_stats(table)?;
        let columns = [stats.records, stats.key_bytes, stats.value_bytes];
        for (sum, column) in sums.iter_mut().zip(columns) {
            *sum += column;
        }
        text += &row(table.name(), columns.map(|column| column.to_string()));
        bar.inc(1);
    }
    bar.finish_and_clear();
    text += &row("all", sums.map(|sum| sum.to_string()));
    text += "\nfiles, without what is in the journal only:\n";
    for (part, bytes) in store.disk_bytes() {
        writeln!(text, "{part:<22} {bytes:>14} bytes")?;
    }
    output::text(text.as_bytes())?;
    Ok(())
}

fn verify(options: &Folder) -> Result<(), Box<dyn Error>> {
    let store = options.open()?;
    let head = store.head();
    let kept = store.kept()?;
    output::line(format_args!("head     {} ({})", head.number, head.hash))?;
    let bar = |what: &'static str, length| {
        let bar = progress::bar(options.silent, length, Unit::Count);
        bar.inspect(|bar| bar.set_message(what))
    };
    let mut wrong = 0;
    let mut say = |what: &str, result: Result<String, StoreError>| match result {
        Ok(text) => output::line(format_args!("{what:<8} ok: {text}")),
        Err(error) => {
            wrong += 1;
            output::line(format_args!("{what:<8} WRONG: {error}"))
        }
    };

    // A table that cannot be counted is found out by the check itself.
    let accounts = store.table_stats(Table::Accounts);
    let progress = bar("state", accounts.map_or(0, |stats| stats.records))?;
    let result = store.verify_state_with(|done| progress.set_position(done));
    progress.finish_and_clear();
    let result = result.map(|report| {
        format!(
            "root {} from {} accounts and {} slots, {} trie nodes",
            report.root, report.accounts, report.slots, report.trie_nodes
        )
    });
    say("state", result)?;

    let progress = bar("blocks", head.number + 1)?;
    let result = store.verify_blocks(|done| progress.set_position(done));
    progress.finish_and_clear();
    let result = result.map(|report| {
        format!(
            "{} blocks, {} transactions with their receipts, {} logs, both indexes",
            report.blocks, report.transactions, report.logs
        )
    });
    say("blocks", result)?;

    let progress = bar("history", head.number.saturating_sub(kept.oldest_state))?;
    let result = store.verify_history(|done| progress.set_position(done));
    progress.finish_and_clear();
    let result = result.map(|report| {
        format!(
            "{} blocks taken back to block {}, {} former values, {} former trie nodes (from block {} on)",
            report.blocks,
            report.kept.oldest_state,
            report.values,
            report.nodes,
            report.kept.oldest_proof
        )
    });
    say("history", result)?;
    if wrong > 0 {
        return Err(format!(
            "{wrong} of 3 parts are not whole; restore the data folder from a copy, or import or sync again into a new one"
        )
        .into());
    }
    Ok(())
}

fn prune(options: &Prune) -> Result<(), Box<dyn Error>> {
    let config = options.folder.configuration.load()?;
    let history = &config.history;
    let states = match options.states {
        Some(states) => states,
        None if history.archive => {
            return Err("the configuration keeps every state (history.archive); say with --states how many blocks are to keep theirs".into());
        }
        None => history.states,
    };
    let retention = Retention {
        states: Some(states),
        proofs: options.proofs.unwrap_or(history.proofs),
    };
    let store = options.folder.open()?;
    let before = store.kept()?;
    let bar = progress::bar(options.folder.silent, 0, Unit::Count)?;
    bar.set_message("blocks");
    let done = store.prune(retention, options.batch, |progress| {
        bar.set_length(progress.total);
        bar.set_position(progress.blocks);
    });
    bar.finish_and_clear();
    let done = done?;
    let after = store.kept()?;
    output::line(format_args!(
        "{} records of {} blocks removed; states from block {} on (before: {}), proofs from block {} on (before: {})",
        done.records,
        done.blocks,
        after.oldest_state,
        before.oldest_state,
        after.oldest_proof,
        before.oldest_proof
    ))?;
    Ok(())
}
