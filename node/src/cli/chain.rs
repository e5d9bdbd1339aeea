//! `parsd import` and `parsd export`: chains from and into files.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use alloy_genesis::Genesis;
use clap::Args;
use pars_engine::GpuPolicy;
use pars_evm::{ChainSpec, Executor};
use pars_store::{Retention, Store, StoreOptions};

use super::logging;
use super::progress::{self, Unit};
use crate::EngineConfig;
use crate::chainfile::{self, Progress};
use crate::node::open_store;
use crate::output;

/// What both commands need to open a chain.
#[derive(Debug, Args)]
struct Chain {
    /// The chain's genesis file, in geth's form. A file without `config.pars` is a chain with
    /// Ethereum's own rules.
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,

    /// Folder of the chain; made if it is not there.
    #[arg(long, value_name = "DIR", env = "PARS_DATA_DIR")]
    data_dir: PathBuf,

    /// Show no progress.
    #[arg(long)]
    silent: bool,
}

impl Chain {
    fn open(&self, options: &StoreOptions) -> Result<(Arc<ChainSpec>, Store), Box<dyn Error>> {
        logging::start(self.silent, 0);
        let name = self.genesis.display();
        let text = std::fs::read(&self.genesis)
            .map_err(|error| format!("cannot read the genesis file {name}: {error}"))?;
        let genesis: Genesis = serde_json::from_slice(&text)
            .map_err(|error| format!("{name} is no genesis file: {error}"))?;
        let spec = ChainSpec::from_genesis(&genesis).map_err(|error| format!("{name}: {error}"))?;
        let store = open_store(&spec, Some(&self.data_dir), options)?;
        Ok((Arc::new(spec), store))
    }
}

/// Options of `parsd import`.
#[derive(Debug, Args)]
pub(super) struct Import {
    #[command(flatten)]
    chain: Chain,

    /// Keep the state after every block, not only those of the usual window before the newest.
    #[arg(long)]
    archive: bool,

    /// Files of blocks in RLP, in order, as geth's `export` writes them.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Options of `parsd export`.
#[derive(Debug, Args)]
pub(super) struct Export {
    #[command(flatten)]
    chain: Chain,

    /// First block.
    #[arg(long, default_value_t = 1)]
    from: u64,

    /// Last block; the newest if not given.
    #[arg(long)]
    to: Option<u64>,

    /// The file to write.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Runs `parsd import`.
pub(super) fn import(options: Import) -> Result<(), Box<dyn Error>> {
    let retention = if options.archive {
        Retention::ARCHIVE
    } else {
        Retention::default()
    };
    let (spec, store) = options.chain.open(&StoreOptions {
        retention,
        ..StoreOptions::default()
    })?;
    let engine = EngineConfig {
        gpu: GpuPolicy::Off,
        ..EngineConfig::default()
    }
    .build()?;
    let executor = Executor::new(spec, engine);
    for path in &options.files {
        let length = std::fs::metadata(path).map_or(0, |file| file.len());
        let bar = progress::bar(options.chain.silent, length, Unit::Bytes)?;
        let done = chainfile::import(path, &executor, &store, |progress| {
            bar.set_position(progress.bytes);
            bar.set_message(format!("block {}", store.head_number()));
        });
        bar.finish_and_clear();
        let Progress {
            blocks,
            known,
            transactions,
            ..
        } = done.map_err(|error| format!("{}: {error}", path.display()))?;
        if !options.chain.silent {
            let head = store.head();
            output::line(format_args!(
                "{}: {blocks} blocks imported, {known} known before, {transactions} transactions; head is block {} ({})",
                path.display(),
                head.number,
                head.hash
            ))?;
        }
    }
    Ok(())
}

/// Runs `parsd export`.
pub(super) fn export(options: Export) -> Result<(), Box<dyn Error>> {
    let (_, store) = options.chain.open(&StoreOptions {
        retention: Retention::ARCHIVE,
        ..StoreOptions::default()
    })?;
    let to = options.to.unwrap_or_else(|| store.head_number());
    if options.from > to {
        return Err(format!("--from {} lies after the last block {to}", options.from).into());
    }
    let count = to - options.from + 1;
    let bar = progress::bar(options.chain.silent, count, Unit::Count)?;
    let done = chainfile::export(&options.file, &store, options.from, to, |progress| {
        bar.set_position(progress.blocks);
    });
    bar.finish_and_clear();
    let done = done?;
    if !options.chain.silent {
        output::line(format_args!(
            "{}: {} blocks, {} bytes",
            options.file.display(),
            done.blocks,
            done.bytes
        ))?;
    }
    Ok(())
}
