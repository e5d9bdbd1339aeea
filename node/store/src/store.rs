//! The store as the node uses it.

use crate::{
    Block, BlockCommit, Genesis, Head, Retention, StateView, StoreError,
    backend::{
        Backend, Batch, Table,
        behind::{Behind, Bounds},
        cached::Cached,
        fjall::FjallOptions,
        memory::Memory,
    },
    block,
    codec::{self, SCHEMA_VERSION, meta},
    commit,
    head::{check_state, read_head, read_head_record, read_known_header, write_head},
    lock::FolderLock,
    opening::{CHAIN_FOLDER, io, make_chain, open_engine, write_genesis},
    retention,
    state::{
        self, Account, AccountProof, CodeCache, EmptyAccounts, NodeCache, ResidentNodes, StateDiff,
        TrieUpdates,
    },
    tip::{Overlay, Tip},
};
use alloy_consensus::{Header, ReceiptEnvelope, TxEnvelope};
use alloy_primitives::{Address, B256, U256};
use parking_lot::{Mutex, RwLock};
use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// Bytes of accounts and slots that a store keeps in memory where nothing else is said: some 250,000 accounts
/// without code and 350,000 slots.
const STATE_CACHE_BYTES: usize = 72 << 20;

/// Bytes of trie nodes that a store keeps in memory where nothing else is said: the upper levels of a
/// trie of millions of accounts, and the paths that the last blocks took through the lower ones.
const NODE_CACHE_BYTES: usize = 128 << 20;

/// How a store on disk is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// How long to wait for a folder that another process holds.
    pub lock_wait: Duration,
    /// Sizes of the storage engine.
    pub engine: FjallOptions,
    /// Bytes of accounts and slots of the newest state kept in memory.
    pub state_cache_bytes: usize,
    /// Bytes of trie nodes kept in memory.
    pub node_cache_bytes: usize,
    /// How much of the past is kept.
    pub retention: Retention,
}

impl StoreOptions {
    /// So many bytes for all caches together, shared out among them as the default has it.
    #[must_use]
    pub fn with_caches(self, bytes: usize) -> Self {
        let usual = Self::default();
        let all = usual.cache_bytes().max(1);
        // In 128 bits, so that no product overflows.
        let share = |part: usize| {
            let share = bytes as u128 * part as u128 / all as u128;
            usize::try_from(share).unwrap_or(usize::MAX)
        };
        let blocks = usize::try_from(usual.engine.cache_bytes).unwrap_or(usize::MAX);
        Self {
            engine: FjallOptions {
                cache_bytes: share(blocks) as u64,
                ..self.engine
            },
            state_cache_bytes: share(usual.state_cache_bytes),
            node_cache_bytes: share(usual.node_cache_bytes),
            ..self
        }
    }

    /// Bytes of all caches together.
    pub fn cache_bytes(&self) -> usize {
        let blocks = usize::try_from(self.engine.cache_bytes).unwrap_or(usize::MAX);
        blocks
            .saturating_add(self.state_cache_bytes)
            .saturating_add(self.node_cache_bytes)
    }
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            lock_wait: Duration::from_secs(5),
            engine: FjallOptions::default(),
            state_cache_bytes: STATE_CACHE_BYTES,
            node_cache_bytes: NODE_CACHE_BYTES,
            retention: Retention::default(),
        }
    }
}

/// The chain store. Reads may come from any thread at any time; commits are made one after
/// the other.
#[derive(Debug)]
pub struct Store {
    pub(crate) backend: Arc<dyn Backend>,
    chain_id: u64,
    pub(crate) genesis_hash: B256,
    head: RwLock<Arc<Head>>,
    pub(crate) committing: Mutex<()>,
    pub(crate) retention: Retention,
    pub(crate) codes: Arc<CodeCache>,
    pub(crate) nodes: Arc<NodeCache>,
    // Last, so that it is given back after the engine has closed its files.
    _lock: Option<FolderLock>,
}

impl Store {
    /// Opens the store in the data folder `dir`, or makes one that starts with `genesis`.
    ///
    /// # Errors
    ///
    /// [`StoreError::FolderInUse`]; [`StoreError::NewerSchema`], [`StoreError::OlderSchema`],
    /// [`StoreError::WrongChain`], [`StoreError::WrongSpec`], [`StoreError::WrongGenesis`]
    /// where the folder holds something else; [`StoreError::InvalidGenesis`];
    /// [`StoreError::Io`], [`StoreError::DiskFull`], [`StoreError::Engine`],
    /// [`StoreError::Corrupt`].
    pub fn open(dir: &Path, genesis: &Genesis) -> Result<Self, StoreError> {
        Self::open_with(dir, genesis, &StoreOptions::default())
    }

    /// As [`Self::open`], with options.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn open_with(
        dir: &Path,
        genesis: &Genesis,
        options: &StoreOptions,
    ) -> Result<Self, StoreError> {
        fs::create_dir_all(dir).map_err(|error| io("create the folder", dir, error))?;
        let deadline = Instant::now() + options.lock_wait;
        let lock = FolderLock::acquire(dir, options.lock_wait)?;
        make_chain(dir, genesis, options, deadline)?;
        Self::open_chain(dir, Some(genesis), options, lock, deadline)
    }

    /// Opens the store in the data folder `dir` whatever chain it holds, to look at it or to look
    /// after it; makes nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoChain`], and as [`Self::open`] but for the checks of the chain.
    pub fn open_existing(dir: &Path, options: &StoreOptions) -> Result<Self, StoreError> {
        let chain = dir.join(CHAIN_FOLDER);
        if !chain.is_dir() {
            return Err(StoreError::NoChain {
                path: dir.to_owned(),
            });
        }
        let deadline = Instant::now() + options.lock_wait;
        let lock = FolderLock::acquire(dir, options.lock_wait)?;
        Self::open_chain(dir, None, options, lock, deadline)
    }

    /// Opens the chain that is in the data folder.
    fn open_chain(
        dir: &Path,
        wanted: Option<&Genesis>,
        options: &StoreOptions,
        lock: FolderLock,
        deadline: Instant,
    ) -> Result<Self, StoreError> {
        let engine = open_engine(dir, &dir.join(CHAIN_FOLDER), options, deadline)?;
        let engine = Behind::open(engine, Bounds::default())?;
        let backend = Arc::new(Cached::new(engine, options.state_cache_bytes));
        let mut store = Self::opened(backend, wanted, options.retention, Some(lock))?;
        store.nodes = Arc::new(NodeCache::new(options.node_cache_bytes));
        Ok(store)
    }

    /// A store that keeps everything in memory and forgets it when dropped.
    ///
    /// # Errors
    ///
    /// [`StoreError::InvalidGenesis`].
    pub fn in_memory(genesis: &Genesis) -> Result<Self, StoreError> {
        Self::with_backend(Arc::new(Memory::new()), genesis, Retention::default())
    }

    /// A store on an engine of the caller's: checked against `genesis` where there is a chain
    /// in it, else started with it.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn with_backend(
        backend: Arc<dyn Backend>,
        genesis: &Genesis,
        retention: Retention,
    ) -> Result<Self, StoreError> {
        let empty = backend
            .snapshot()
            .range(Table::Meta, &[], None)
            .next()
            .transpose()?
            .is_none();
        if empty {
            write_genesis(&*backend, genesis)?;
        }
        let backend = Arc::new(Cached::new(backend, STATE_CACHE_BYTES));
        Self::opened(backend, Some(genesis), retention, None)
    }

    /// Checks what is in the engine, where it is said what should be, and takes the head from it.
    fn opened(
        backend: Arc<dyn Backend>,
        wanted: Option<&Genesis>,
        retention: Retention,
        lock: Option<FolderLock>,
    ) -> Result<Self, StoreError> {
        let snapshot = backend.snapshot();
        let snapshot = &*snapshot;
        let found = u32::from_be_bytes(codec::meta_record(snapshot, meta::SCHEMA)?);
        let supported = SCHEMA_VERSION;
        match found.cmp(&supported) {
            std::cmp::Ordering::Greater => {
                return Err(StoreError::NewerSchema { found, supported });
            }
            std::cmp::Ordering::Less => return Err(StoreError::OlderSchema { found, supported }),
            std::cmp::Ordering::Equal => {}
        }
        let chain_id = codec::meta_number(snapshot, meta::CHAIN_ID)?;
        let spec_hash = B256::from(codec::meta_record(snapshot, meta::SPEC_HASH)?);
        let genesis_hash = B256::from(codec::meta_record(snapshot, meta::GENESIS_HASH)?);
        if let Some(genesis) = wanted {
            if chain_id != genesis.chain_id {
                return Err(StoreError::WrongChain {
                    found: chain_id,
                    wanted: genesis.chain_id,
                });
            }
            if spec_hash != genesis.spec_hash {
                return Err(StoreError::WrongSpec {
                    found: spec_hash,
                    wanted: genesis.spec_hash,
                });
            }
            let wanted = genesis.header.hash_slow();
            if genesis_hash != wanted {
                return Err(StoreError::WrongGenesis {
                    found: genesis_hash,
                    wanted,
                });
            }
        }
        let head = read_head(snapshot)?;
        state::check_root(snapshot, head.header.state_root)?;
        Ok(Self {
            backend,
            chain_id,
            genesis_hash,
            head: RwLock::new(Arc::new(head)),
            committing: Mutex::new(()),
            retention,
            codes: Arc::default(),
            nodes: Arc::new(NodeCache::new(NODE_CACHE_BYTES)),
            _lock: lock,
        })
    }

    /// The chain id.
    pub fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// Hash of block 0.
    pub fn genesis_hash(&self) -> B256 {
        self.genesis_hash
    }

    /// The last accepted block.
    pub fn head(&self) -> Head {
        Head::clone(&self.head.read())
    }

    /// Number of the last accepted block.
    pub fn head_number(&self) -> u64 {
        self.head.read().number
    }

    /// The header of block `number`, `None` where it is not in the store.
    ///
    /// # Errors
    ///
    /// [`StoreError::Engine`], [`StoreError::Corrupt`], like every read below.
    pub fn header(&self, number: u64) -> Result<Option<Header>, StoreError> {
        let header = block::read_header(&*self.backend.snapshot(), number)?;
        Ok(header.map(|(_, header)| header))
    }

    /// The hash of block `number`.
    ///
    /// # Errors
    ///
    /// As [`Self::header`].
    pub fn hash(&self, number: u64) -> Result<Option<B256>, StoreError> {
        block::read_hash(&*self.backend.snapshot(), number)
    }

    /// Block `number` with its transactions and their senders.
    ///
    /// # Errors
    ///
    /// As [`Self::header`].
    pub fn block(&self, number: u64) -> Result<Option<Block>, StoreError> {
        block::read_block(&*self.backend.snapshot(), number)
    }

    /// The receipts of block `number`.
    ///
    /// # Errors
    ///
    /// As [`Self::header`].
    pub fn receipts(&self, number: u64) -> Result<Option<Vec<ReceiptEnvelope>>, StoreError> {
        block::read_receipts(&*self.backend.snapshot(), number)
    }

    /// The number of the block with this hash.
    ///
    /// # Errors
    ///
    /// As [`Self::header`].
    pub fn number_of(&self, hash: &B256) -> Result<Option<u64>, StoreError> {
        block::read_number(&*self.backend.snapshot(), hash)
    }

    /// The block with this hash.
    ///
    /// # Errors
    ///
    /// As [`Self::header`].
    pub fn block_by_hash(&self, hash: &B256) -> Result<Option<Block>, StoreError> {
        let snapshot = self.backend.snapshot();
        match block::read_number(&*snapshot, hash)? {
            Some(number) => block::read_block(&*snapshot, number),
            None => Ok(None),
        }
    }

    /// Block number and index in the block of the transaction with this hash.
    ///
    /// # Errors
    ///
    /// As [`Self::header`].
    pub fn transaction_location(&self, hash: &B256) -> Result<Option<(u64, usize)>, StoreError> {
        block::read_location(&*self.backend.snapshot(), hash)
    }

    /// The transaction with this hash, with its block's number and its index there.
    ///
    /// # Errors
    ///
    /// As [`Self::header`].
    pub fn transaction(&self, hash: &B256) -> Result<Option<(TxEnvelope, u64, usize)>, StoreError> {
        let snapshot = self.backend.snapshot();
        let Some((number, index)) = block::read_location(&*snapshot, hash)? else {
            return Ok(None);
        };
        let block = block::read_block(&*snapshot, number)?;
        let transaction = block.and_then(|block| block.transactions.into_iter().nth(index));
        match transaction {
            Some(transaction) => Ok(Some((transaction, number, index))),
            None => Err(StoreError::corrupt(
                Table::TxLookup,
                hash.as_slice(),
                format!("block {number} has no transaction {index}"),
            )),
        }
    }

    /// The state after block `number`.
    ///
    /// # Errors
    ///
    /// [`StoreError::UnknownBlock`] where it is newer than the head,
    /// [`StoreError::StateNotKept`] where it is too old, and as [`Self::header`].
    pub fn state(&self, number: u64) -> Result<StateView, StoreError> {
        let snapshot = self.backend.snapshot();
        let head = check_state(&*snapshot, number)?;
        Ok(StateView::new(
            snapshot,
            number,
            head,
            Arc::clone(&self.codes),
        ))
    }

    /// The last accepted block as what a next one stands on.
    ///
    /// # Errors
    ///
    /// As [`Self::header`].
    pub fn tip(&self) -> Result<Tip, StoreError> {
        let snapshot = self.backend.snapshot();
        let known = Arc::clone(&self.head.read());
        let (_, hash) = read_head_record(&*snapshot)?;
        let head = if known.hash == hash {
            known
        } else {
            // A block was accepted just now.
            Arc::new(read_head(&*snapshot)?)
        };
        Ok(Tip::new(
            head,
            snapshot,
            Arc::clone(&self.codes),
            Arc::clone(&self.nodes),
        ))
    }

    /// An accepted block as what another one could have stood on: to compute on, not to extend
    /// where it is not the last one.
    ///
    /// # Errors
    ///
    /// As [`Self::state`].
    pub fn tip_at(&self, number: u64) -> Result<Tip, StoreError> {
        let tip = self.tip()?;
        let snapshot = tip.snapshot();
        if check_state(snapshot, number)? == number {
            return Ok(tip);
        }
        let (hash, header) = read_known_header(snapshot, number)?;
        Ok(tip.back_to(Head {
            number,
            hash,
            header,
        }))
    }

    /// The state after the last accepted block.
    ///
    /// # Errors
    ///
    /// As [`Self::header`].
    pub fn head_state(&self) -> Result<StateView, StoreError> {
        let snapshot = self.backend.snapshot();
        let (head, _) = read_head_record(&*snapshot)?;
        Ok(StateView::new(
            snapshot,
            head,
            head,
            Arc::clone(&self.codes),
        ))
    }

    /// The account at `address` after the last accepted block, where that is in memory: it is told at once. `None`
    /// where it must be read.
    pub fn known_account(&self, address: &Address) -> Option<Option<Account>> {
        self.backend.known_account(address)
    }

    /// The same for a slot.
    pub fn known_slot(&self, address: &Address, slot: &U256) -> Option<U256> {
        self.backend.known_slot(address, slot)
    }

    /// The state root when `state` is applied on top of the head, and the changes that lead
    /// to it. Nothing is written.
    ///
    /// # Errors
    ///
    /// As [`Self::header`].
    pub fn state_root(&self, state: &StateDiff) -> Result<(B256, TrieUpdates), StoreError> {
        self.state_root_with(state, EmptyAccounts::Remove)
    }

    /// As [`Self::state_root`], for forks in which empty accounts stay.
    ///
    /// # Errors
    ///
    /// As [`Self::header`].
    pub fn state_root_with(
        &self,
        state: &StateDiff,
        empty: EmptyAccounts,
    ) -> Result<(B256, TrieUpdates), StoreError> {
        self.tip()?.state_root(state, empty)
    }

    /// Accepts a block: writes it with its receipts, state, history, tries and indexes in one
    /// atomic batch. When this returns the block survives a crash of the machine; when it
    /// fails nothing of the block is visible.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotOnHead`], [`StoreError::InvalidCommit`] where the parts do not belong
    /// together; [`StoreError::DiskFull`], [`StoreError::Engine`], after which the store must
    /// be opened anew.
    pub fn commit(&self, commit: BlockCommit) -> Result<(), StoreError> {
        let _one_at_a_time = self.committing.lock();
        let head = Arc::clone(&self.head.read());
        let snapshot = self.backend.snapshot();
        commit::check(&commit, &head, &*snapshot)?;
        drop(snapshot);
        let nodes = commit.tries.nodes();
        let block = &commit.block;
        let head = Head {
            number: block.header.number,
            hash: block.hash,
            header: block.header.clone(),
        };
        self.write_accepted(head, &nodes, |then| {
            let mut batch = batch_of(&commit);
            batch.append(&then);
            self.backend.commit(batch)
        })
    }

    /// Accepts a block that was checked and held in memory, as [`Self::commit`] does.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotOnHead`] where its parent is not the head; [`StoreError::DiskFull`],
    /// [`StoreError::Engine`] as [`Self::commit`].
    pub fn accept(&self, overlay: &Overlay) -> Result<(), StoreError> {
        let _one_at_a_time = self.committing.lock();
        let head = Arc::clone(&self.head.read());
        let accepted = overlay.tip().head();
        if overlay.parent() != head.hash {
            return Err(StoreError::NotOnHead {
                number: accepted.number,
                parent: overlay.parent(),
                head_number: head.number,
                head_hash: head.hash,
            });
        }
        self.write_accepted(accepted.clone(), overlay.nodes(), |then| {
            self.backend.commit_shared(overlay.writes(), then)
        })
    }

    /// Makes block `head` the last one by `write`, which writes it and then what it is given.
    fn write_accepted(
        &self,
        head: Head,
        nodes: &ResidentNodes,
        write: impl FnOnce(Batch) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        // Nodes of a block that cannot be written do no harm: nobody asks for them.
        self.nodes.follow_beside(nodes, head.number, || {
            let mut gone = Batch::new();
            let snapshot = self.backend.snapshot();
            retention::fall_out(&*snapshot, self.retention, head.number, &mut gone)?;
            drop(snapshot);
            write(gone)
        })?;
        tracing::debug!(number = head.number, hash = %head.hash, "block stored");
        *self.head.write() = Arc::new(head);
        Ok(())
    }

    /// The proof of an account and some of its slots against the state root of block `number`, the
    /// head or one of a window before it.
    ///
    /// # Errors
    ///
    /// [`StoreError::UnknownBlock`] where it is newer than the head,
    /// [`StoreError::ProofNotKept`] where it is too old, and as [`Self::header`].
    pub fn prove(
        &self,
        number: u64,
        address: &Address,
        slots: &[U256],
    ) -> Result<AccountProof, StoreError> {
        let snapshot = self.backend.snapshot();
        let (head, _) = read_head_record(&*snapshot)?;
        if number > head {
            return Err(StoreError::UnknownBlock { number, head });
        }
        let oldest = codec::meta_number(&*snapshot, meta::OLDEST_PROOF)?;
        if number < oldest {
            return Err(StoreError::ProofNotKept {
                number,
                oldest,
                head,
            });
        }
        let root = read_known_header(&*snapshot, number)?.1.state_root;
        let view = StateView::new(snapshot, number, head, Arc::clone(&self.codes));
        state::prove(&view, root, address, slots)
    }
}

/// Everything that accepting a block writes.
pub(crate) fn batch_of(commit: &BlockCommit) -> Batch {
    let BlockCommit {
        block,
        receipts,
        state,
        tries,
    } = commit;
    let mut batch = Batch::new();
    state::write_state(&mut batch, block.header.number, tries);
    for (code_hash, code) in &state.codes {
        batch.put(Table::Code, code_hash, code.original_byte_slice());
    }
    block::write_block(&mut batch, block, receipts);
    write_head(&mut batch, block.header.number, &block.hash);
    batch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_for_caches_is_shared_out_as_the_default_has_it() {
        let usual = StoreOptions::default();
        assert_eq!(usual.with_caches(usual.cache_bytes()), usual);
        for bytes in [0, 1, 1 << 20, 41 << 20, 1 << 40, usize::MAX] {
            let options = usual.with_caches(bytes);
            let given = options.cache_bytes();
            assert!(given <= bytes && bytes - given <= 3, "{bytes}: {given}");
            assert_eq!(options.retention, usual.retention);
            assert_eq!(
                options.engine.table_buffer_bytes,
                usual.engine.table_buffer_bytes
            );
        }
        let small = usual.with_caches(41 << 20);
        assert_eq!(small.engine.cache_bytes, 16 << 20);
        assert_eq!(small.state_cache_bytes, 9 << 20);
        assert_eq!(small.node_cache_bytes, 16 << 20);
    }
}
