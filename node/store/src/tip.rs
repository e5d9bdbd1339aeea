//! What a next block stands on.

use crate::{
    Block, BlockCommit, Head, Kept, StateView, StoreError,
    backend::{
        Snapshot, Table,
        layer::{Layer, Writes},
    },
    block, commit,
    head::read_head,
    state::{
        self, AccountProof, BlockState, CodeCache, EmptyAccounts, KnownPaths, NodeCache, Nodes,
        ResidentNodes, StateDiff, TrieUpdates,
    },
    store::batch_of,
};
use alloy_consensus::ReceiptEnvelope;
use alloy_primitives::{Address, B256, U256};
use alloy_trie::Nibbles;
use std::{fmt, sync::Arc};

/// A block and everything after it was applied, as of one moment: later blocks do not change it.
/// Cheap to clone.
#[derive(Clone)]
pub struct Tip {
    head: Arc<Head>,
    snapshot: Arc<dyn Snapshot>,
    /// The last block of the snapshot, where the tip is an older one.
    newest: u64,
    codes: Arc<CodeCache>,
    nodes: Arc<NodeCache>,
}

impl fmt::Debug for Tip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tip")
            .field("number", &self.head.number)
            .field("hash", &self.head.hash)
            .finish_non_exhaustive()
    }
}

impl Tip {
    pub(crate) fn new(
        head: Arc<Head>,
        snapshot: Arc<dyn Snapshot>,
        codes: Arc<CodeCache>,
        nodes: Arc<NodeCache>,
    ) -> Self {
        Self {
            newest: head.number,
            head,
            snapshot,
            codes,
            nodes,
        }
    }

    /// The same snapshot, whose last block is `self`, as of after the older block `head`.
    pub(crate) fn back_to(self, head: Head) -> Self {
        Self {
            head: Arc::new(head),
            ..self
        }
    }

    /// The block.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Block `number` of the chain that ends with this one, with its transactions and senders;
    /// nothing where it comes later or is not kept.
    ///
    /// # Errors
    ///
    /// [`StoreError::Engine`], [`StoreError::Corrupt`].
    pub fn block(&self, number: u64) -> Result<Option<Block>, StoreError> {
        if number > self.head.number {
            return Ok(None);
        }
        block::read_block(&*self.snapshot, number)
    }

    pub(crate) fn snapshot(&self) -> &dyn Snapshot {
        &*self.snapshot
    }

    /// The state after the block.
    pub fn state(&self) -> StateView {
        StateView::new(
            Arc::clone(&self.snapshot),
            self.head.number,
            self.newest,
            Arc::clone(&self.codes),
        )
    }

    /// The state after the block, for execution to change.
    pub fn block_state(&self) -> BlockState {
        BlockState::new(self.state(), self.head.hash)
    }

    /// The state root when `state` is applied on top of the block, and the changes that lead to
    /// it. Nothing is written.
    ///
    /// # Errors
    ///
    /// [`StoreError::ProofNotKept`] on an older block whose trie nodes are gone;
    /// [`StoreError::Engine`], [`StoreError::Corrupt`].
    pub fn state_root(
        &self,
        state: &StateDiff,
        empty: EmptyAccounts,
    ) -> Result<(B256, TrieUpdates), StoreError> {
        self.state_root_along(state, empty, &KnownPaths::default())
    }

    /// As [`Self::state_root`]; the paths of accounts and slots that are known need not be found again.
    ///
    /// # Errors
    ///
    /// As [`Self::state_root`].
    pub fn state_root_along(
        &self,
        state: &StateDiff,
        empty: EmptyAccounts,
        paths: &KnownPaths,
    ) -> Result<(B256, TrieUpdates), StoreError> {
        let view = self.state();
        self.check_nodes(&view)?;
        let deltas = state::deltas_of(&view, &self.head.hash, state, empty)?;
        let resident = self.nodes.read();
        let nodes = Nodes {
            snapshot: &*self.snapshot,
            past: view.past(),
            resident: Some(&resident),
        };
        let root = self.head.header.state_root;
        let updates = TrieUpdates::compute(nodes, self.head.hash, root, deltas, paths)?;
        Ok((updates.root(), updates))
    }

    /// Reads what changes of these accounts would lead through in the account trie, as far as it is in memory, so that
    /// [`Self::state_root`] finds it near; their paths are put into `paths`. That changes nothing else.
    pub fn warm(&self, addresses: &[Address], paths: &mut KnownPaths) {
        let keys = in_order(paths.learn_accounts(addresses));
        self.nodes.read().accounts().warm(&keys);
    }

    /// The same for slots of an account, whose storage trie is in memory.
    pub fn warm_storage(&self, address: &Address, slots: &[U256], paths: &mut KnownPaths) {
        let keys = in_order(paths.learn_slots(slots));
        if let Some(tree) = self.nodes.read().storage(address) {
            tree.warm(&keys);
        }
    }

    /// Whether the trie nodes of this block are there.
    fn check_nodes(&self, view: &StateView) -> Result<(), StoreError> {
        let Some(number) = view.past() else {
            return Ok(());
        };
        let oldest = Kept::read(&*self.snapshot)?.oldest_proof;
        if number < oldest {
            let head = self.newest;
            return Err(StoreError::ProofNotKept {
                number,
                oldest,
                head,
            });
        }
        Ok(())
    }

    /// The proof of an account and some of its slots against the block's state root.
    ///
    /// # Errors
    ///
    /// As [`Self::state_root`].
    pub fn prove(&self, address: &Address, slots: &[U256]) -> Result<AccountProof, StoreError> {
        let view = self.state();
        self.check_nodes(&view)?;
        state::prove(&view, self.head.header.state_root, address, slots)
    }

    /// The block of `commit` on top of this one, in memory: nothing is written until
    /// [`crate::Store::accept`].
    ///
    /// # Errors
    ///
    /// [`StoreError::NotOnHead`], [`StoreError::InvalidCommit`] where the parts do not belong
    /// together, and as [`Self::state_root`].
    pub fn extend(&self, commit: BlockCommit) -> Result<Overlay, StoreError> {
        if self.newest != self.head.number {
            let header = &commit.block.header;
            return Err(StoreError::NotOnHead {
                number: header.number,
                parent: header.parent_hash,
                head_number: self.newest,
                head_hash: read_head(&*self.snapshot)?.hash,
            });
        }
        commit::check(&commit, &self.head, &*self.snapshot)?;
        let nodes = Arc::new(commit.tries.nodes());
        // The next block is most likely one on top of this.
        let number = commit.block.header.number;
        let writes = || Writes::from(batch_of(&commit));
        let writes = Arc::new(self.nodes.follow_beside(&nodes, number, writes));
        let BlockCommit {
            block, receipts, ..
        } = commit;
        let block = Arc::new((block, receipts));
        Ok(Overlay::over(self, block, writes, nodes))
    }
}

fn in_order(paths: Vec<Nibbles>) -> Vec<(Nibbles, ())> {
    let mut keys: Vec<_> = paths.into_iter().map(|path| (path, ())).collect();
    keys.sort_unstable();
    keys
}

/// A block that was checked but not decided: the writes that accepting it would make, over the
/// state of its parent. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Overlay {
    block: Arc<(Block, Vec<ReceiptEnvelope>)>,
    writes: Arc<Writes>,
    nodes: Arc<ResidentNodes>,
    tip: Tip,
}

impl Overlay {
    fn over(
        below: &Tip,
        block: Arc<(Block, Vec<ReceiptEnvelope>)>,
        writes: Arc<Writes>,
        nodes: Arc<ResidentNodes>,
    ) -> Self {
        let head = Head {
            number: block.0.header.number,
            hash: block.0.hash,
            header: block.0.header.clone(),
        };
        let layer = Layer::new(Arc::clone(&below.snapshot), Arc::clone(&writes));
        Self {
            tip: Tip::new(
                Arc::new(head),
                Arc::new(layer),
                Arc::clone(&below.codes),
                Arc::clone(&below.nodes),
            ),
            block,
            writes,
            nodes,
        }
    }

    /// The same block over `parent`, which must be the tip of its parent: what it holds below
    /// itself is let go. Used when the parent was accepted, so that stacks of overlays do not
    /// grow with the chain.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotOnHead`] where `parent` is another block.
    pub fn rebase(&self, parent: &Tip) -> Result<Self, StoreError> {
        let below = parent.head();
        if self.parent() != below.hash {
            return Err(StoreError::NotOnHead {
                number: self.tip.head.number,
                parent: self.parent(),
                head_number: below.number,
                head_hash: below.hash,
            });
        }
        Ok(Self::over(
            parent,
            Arc::clone(&self.block),
            Arc::clone(&self.writes),
            Arc::clone(&self.nodes),
        ))
    }

    /// What a block on top of this one stands on.
    pub fn tip(&self) -> &Tip {
        &self.tip
    }

    /// Hash of the parent.
    pub fn parent(&self) -> B256 {
        self.block.0.header.parent_hash
    }

    /// The block.
    pub fn block(&self) -> &Block {
        &self.block.0
    }

    /// A receipt for each transaction.
    pub fn receipts(&self) -> &[ReceiptEnvelope] {
        &self.block.1
    }

    /// Whether it wrote the account at `address`, if only as it was.
    pub fn wrote(&self, address: &Address) -> bool {
        self.writes
            .get(Table::Accounts, address.as_slice())
            .is_some()
    }

    /// Bytes of what accepting it writes, and of its trie nodes, which are held once more. So are the block and its
    /// receipts, which are not counted twice.
    pub fn bytes(&self) -> usize {
        self.writes.bytes() + self.nodes.bytes()
    }

    /// The trie nodes that it made.
    pub(crate) fn nodes(&self) -> &ResidentNodes {
        &self.nodes
    }

    pub(crate) fn writes(&self) -> &Arc<Writes> {
        &self.writes
    }
}
