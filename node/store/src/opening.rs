//! The folder of a chain: opened, or made with its first block.

use crate::{
    Block, Genesis, Kept, StoreError, StoreOptions,
    backend::{
        Backend, Batch, Table,
        fjall::{Fjall, OpenError},
    },
    block,
    codec::{SCHEMA_VERSION, meta},
    head::write_head,
    lock::in_use,
    state,
};
use alloy_primitives::keccak256;
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

/// Folder of the chain inside the data folder.
pub(crate) const CHAIN_FOLDER: &str = "chain";
/// Where a new chain is made before it gets its name; what is left of an interrupted start.
const NEW_CHAIN_FOLDER: &str = "chain.new";

/// Makes the chain in the data folder, where there is none.
///
/// # Errors
///
/// As [`crate::Store::open`].
pub(crate) fn make_chain(
    dir: &Path,
    genesis: &Genesis,
    options: &StoreOptions,
    deadline: Instant,
) -> Result<(), StoreError> {
    let chain = dir.join(CHAIN_FOLDER);
    let exists = chain
        .try_exists()
        .map_err(|error| io("look for", &chain, error))?;
    if exists {
        return Ok(());
    }
    // Made aside and renamed when complete: a start that is interrupted leaves
    // nothing behind that looks like a chain.
    let new = dir.join(NEW_CHAIN_FOLDER);
    match fs::remove_dir_all(&new) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(io("remove", &new, error));
        }
        _ => {}
    }
    let backend = open_engine(dir, &new, options, deadline)?;
    write_genesis(&backend, genesis)?;
    drop(backend);
    fs::rename(&new, &chain).map_err(|error| io("rename", &new, error))?;
    sync_folder(dir)
}

pub(crate) fn io(doing: &'static str, path: &Path, source: std::io::Error) -> StoreError {
    if matches!(source.kind(), std::io::ErrorKind::StorageFull) {
        return StoreError::DiskFull { doing };
    }
    StoreError::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}

/// Opens the engine's folder. Its own lock can outlive ours by a moment when a process dies.
pub(crate) fn open_engine(
    dir: &Path,
    path: &Path,
    options: &StoreOptions,
    deadline: Instant,
) -> Result<Fjall, StoreError> {
    loop {
        match Fjall::open(path, &options.engine) {
            Ok(backend) => return Ok(backend),
            Err(OpenError::Failed(error)) => return Err(error),
            Err(OpenError::Locked) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(OpenError::Locked) => return Err(in_use(dir, None, options.lock_wait)),
        }
    }
}

/// Makes a rename in `dir` survive a power cut.
fn sync_folder(dir: &Path) -> Result<(), StoreError> {
    // Only Unix lets a folder be opened and synced; elsewhere the rename is journalled.
    if cfg!(unix) {
        fs::File::open(dir)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| io("sync", dir, error))?;
    }
    Ok(())
}

/// Writes block 0, its state and the chain's identity into an empty engine.
pub(crate) fn write_genesis(backend: &dyn Backend, genesis: &Genesis) -> Result<(), StoreError> {
    let header = &genesis.header;
    if header.number != 0 {
        return Err(StoreError::InvalidGenesis {
            reason: format!("its block has number {}, not 0", header.number),
        });
    }
    let updates = Genesis::updates_of(&genesis.accounts)?;
    if updates.root() != header.state_root {
        return Err(StoreError::InvalidGenesis {
            reason: format!(
                "its accounts give state root {}, its header says {}",
                updates.root(),
                header.state_root
            ),
        });
    }
    let mut batch = Batch::new();
    state::write_state(&mut batch, 0, &updates);
    for (_, account) in &genesis.accounts {
        if !account.code.is_empty() {
            batch.put(Table::Code, keccak256(&account.code), &account.code);
        }
    }
    let block = Block::seal(header.clone(), Vec::new(), Vec::new());
    block::write_block(&mut batch, &block, &[]);
    write_head(&mut batch, 0, &block.hash);
    let kept = Kept {
        oldest_state: 0,
        oldest_proof: 0,
    };
    kept.write(&mut batch);
    batch.put(Table::Meta, meta::SCHEMA, SCHEMA_VERSION.to_be_bytes());
    batch.put(Table::Meta, meta::CHAIN_ID, genesis.chain_id.to_be_bytes());
    batch.put(Table::Meta, meta::SPEC_HASH, *genesis.spec_hash);
    batch.put(Table::Meta, meta::GENESIS_HASH, *block.hash);
    backend.commit(batch)
}
