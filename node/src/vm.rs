//! What consensus owns: a chain machine that builds and judges blocks, holds those that are not
//! decided, and keeps those that are.
//!
//! Undecided blocks live in memory as overlays, each over its parent; nothing of them is written.
//! Accepting one is a single atomic write, rejecting one forgets it, and the store never
//! reorganises. [`ChainVm`] is the boundary; [`Vm`] is this node behind it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use alloy_primitives::{B256, Bytes};
use alloy_rlp::Encodable as _;
use parking_lot::Mutex;
use pars_evm::{BuildError, VerifyError, decode_block};
use pars_rpc::{ChainEvent, NewHead, RpcContext};
use pars_store::{Block, Overlay, StoreError, Tip};

use crate::producer::{ProducerConfig, attributes, drop_unusable};

/// Name of a block: the Keccak-256 of its header's RLP, which is the hash of the EVM block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockId(pub [u8; 32]);

impl From<B256> for BlockId {
    fn from(hash: B256) -> Self {
        Self(hash.0)
    }
}

impl From<BlockId> for B256 {
    fn from(id: BlockId) -> Self {
        Self(id.0)
    }
}

impl std::fmt::Display for BlockId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&B256::from(*self), f)
    }
}

/// What consensus needs to know of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockMeta {
    /// Its name.
    pub id: BlockId,
    /// Its parent's name.
    pub parent: BlockId,
    /// Its number.
    pub height: u64,
    /// Milliseconds since 1970; blocks of this chain count whole seconds.
    pub timestamp_ms: u64,
}

impl BlockMeta {
    fn of(block: &Block) -> Self {
        Self {
            id: block.hash.into(),
            parent: block.header.parent_hash.into(),
            height: block.header.number,
            timestamp_ms: block.header.timestamp.saturating_mul(1000),
        }
    }
}

/// Why the machine did not do what consensus asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VmError {
    /// The bytes are no block.
    #[error("these bytes are no block: {0}")]
    Encoding(String),
    /// The parent is neither the last accepted block nor one that was verified.
    #[error("block {id}: its parent {parent} was not verified")]
    Orphan {
        /// The block.
        id: BlockId,
        /// Its parent.
        parent: BlockId,
    },
    /// The block breaks a rule.
    #[error("block {id} is invalid: {reason}")]
    Invalid {
        /// The block.
        id: BlockId,
        /// The rule.
        reason: VerifyError,
    },
    /// The block was never verified, or is decided already.
    #[error("block {0} is not among the undecided ones")]
    Unknown(BlockId),
    /// No block could be built.
    #[error("cannot build a block: {0}")]
    Build(#[from] BuildError),
    /// The store failed: fatal, the machine must be opened anew.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A chain that some consensus drives. Calls block and may take a block's execution time: an
/// asynchronous driver makes them on threads that may wait.
///
/// What drivers rely on: `verify` is called only with a parent that is verified or accepted, and
/// succeeds again for the same block; a parent is accepted before its children; when a block is
/// accepted its siblings and their descendants are rejected; `parse` touches no state. An error of
/// `accept`, `reject` or `set_preference` is fatal.
pub trait ChainVm: Send + Sync + 'static {
    /// The block that was accepted last.
    fn last_accepted(&self) -> BlockMeta;

    /// Reads a block without looking at any state.
    ///
    /// # Errors
    /// [`VmError::Encoding`].
    fn parse(&self, bytes: &[u8]) -> Result<BlockMeta, VmError>;

    /// Builds a block on the preferred one. It is held back from [`ChainVm::get`] until it is
    /// verified, as any other block is.
    ///
    /// # Errors
    /// [`VmError::Build`], [`VmError::Store`].
    fn build(&self) -> Result<(BlockMeta, Bytes), VmError>;

    /// Judges a block and keeps it as undecided; returns its time in milliseconds.
    ///
    /// # Errors
    /// [`VmError::Encoding`], [`VmError::Orphan`], [`VmError::Invalid`], [`VmError::Store`].
    fn verify(&self, bytes: &[u8]) -> Result<u64, VmError>;

    /// Decides for a block whose parent is the last accepted one. Durable when it returns.
    ///
    /// # Errors
    /// [`VmError::Unknown`], [`VmError::Store`].
    fn accept(&self, id: BlockId) -> Result<(), VmError>;

    /// Decides against a block and forgets it.
    ///
    /// # Errors
    /// [`VmError::Unknown`].
    fn reject(&self, id: BlockId) -> Result<(), VmError>;

    /// Chooses what [`ChainVm::build`] builds on.
    ///
    /// # Errors
    /// [`VmError::Unknown`] for a block that is neither undecided nor accepted last.
    fn set_preference(&self, id: BlockId) -> Result<(), VmError>;

    /// A block that is undecided or accepted.
    ///
    /// # Errors
    /// [`VmError::Store`].
    fn get(&self, id: BlockId) -> Result<Option<(BlockMeta, Bytes)>, VmError>;

    /// The accepted block at a height.
    ///
    /// # Errors
    /// [`VmError::Store`].
    fn id_at_height(&self, height: u64) -> Result<Option<BlockId>, VmError>;
}

/// This node behind [`ChainVm`].
pub struct Vm {
    context: RpcContext,
    config: ProducerConfig,
    tree: Mutex<Tree>,
    /// Blocks and bytes in the tree, for those who must not wait for it.
    held: [AtomicUsize; 2],
}

impl std::fmt::Debug for Vm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vm")
            .field("undecided", &self.undecided())
            .finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Tree {
    /// Verified and not decided, by hash.
    undecided: HashMap<B256, Overlay>,
    /// Built here last and not verified yet: its verification would be the same run again.
    built: Option<Overlay>,
    /// `None`: the block accepted last.
    preferred: Option<B256>,
}

impl Vm {
    /// The machine of a node's parts.
    pub fn new(context: RpcContext, config: ProducerConfig) -> Self {
        Self {
            context,
            config,
            tree: Mutex::default(),
            held: Default::default(),
        }
    }

    /// How many blocks are verified and not decided.
    pub fn undecided(&self) -> usize {
        self.tree.lock().undecided.len()
    }

    /// How many blocks are held in memory, and how many bytes they would write. Does not wait for a block that is
    /// being accepted.
    pub fn held(&self) -> (usize, usize) {
        let [blocks, bytes] = &self.held;
        (blocks.load(Relaxed), bytes.load(Relaxed))
    }

    /// Takes note of what the tree holds.
    fn note(&self, tree: &Tree) {
        let overlays = || tree.undecided.values().chain(&tree.built);
        let [blocks, bytes] = &self.held;
        blocks.store(overlays().count(), Relaxed);
        bytes.store(overlays().map(Overlay::bytes).sum(), Relaxed);
    }

    /// The preferred block.
    pub fn preferred(&self) -> BlockId {
        let preferred = self.tree.lock().preferred;
        preferred
            .unwrap_or_else(|| self.context.store.head().hash)
            .into()
    }

    /// What a child of `hash` stands on, if that is the last accepted block or an undecided one.
    fn tip_of(&self, tree: &Tree, hash: B256) -> Result<Option<Tip>, VmError> {
        if let Some(overlay) = tree.undecided.get(&hash) {
            return Ok(Some(overlay.tip().clone()));
        }
        let tip = self.context.store.tip()?;
        Ok((tip.head().hash == hash).then_some(tip))
    }

    /// Builds on the preferred block; `None` where there is no work and an empty block is not
    /// wanted. With it, the number of questions that the engine was asked.
    pub(crate) fn build_if(
        &self,
        even_if_empty: bool,
    ) -> Result<Option<(BlockMeta, Bytes, usize)>, VmError> {
        let (tip, included) = {
            let tree = self.tree.lock();
            let preferred = tree
                .preferred
                .unwrap_or_else(|| self.context.store.head().hash);
            let tip = self
                .tip_of(&tree, preferred)?
                .ok_or(VmError::Unknown(preferred.into()))?;
            (tip, tree.transactions_up_to(preferred))
        };
        // The pool keeps what is in undecided blocks: they may yet be rejected.
        let candidates = self.context.best_transactions(&tip.head().header, included);
        let mut candidates = candidates.peekable();
        if !even_if_empty && candidates.peek().is_none() {
            return Ok(None);
        }
        let executed = self.context.executor.build_on(
            &tip,
            candidates,
            attributes(tip.head(), &self.config),
        )?;
        // What cannot be executed after an undecided block may be able to if that is rejected.
        if tip.head().hash == self.context.store.head().hash {
            drop_unusable(&self.context, &executed.skipped);
        }
        if executed.commit.block.transactions.is_empty() && !even_if_empty {
            return Ok(None);
        }
        let questions = executed.questions;
        let overlay = tip.extend(executed.commit)?;
        let meta = BlockMeta::of(overlay.block());
        let bytes = encode(overlay.block());
        let mut tree = self.tree.lock();
        tree.built = Some(overlay);
        self.note(&tree);
        drop(tree);
        Ok(Some((meta, bytes, questions)))
    }
}

/// The canonical bytes of a block: its RLP.
fn encode(block: &Block) -> Bytes {
    let mut bytes = Vec::new();
    block.clone().into_consensus().encode(&mut bytes);
    bytes.into()
}

impl ChainVm for Vm {
    fn last_accepted(&self) -> BlockMeta {
        let head = self.context.store.head();
        BlockMeta {
            id: head.hash.into(),
            parent: head.header.parent_hash.into(),
            height: head.number,
            timestamp_ms: head.header.timestamp.saturating_mul(1000),
        }
    }

    fn parse(&self, bytes: &[u8]) -> Result<BlockMeta, VmError> {
        let block = decode_block(bytes).map_err(|error| VmError::Encoding(error.to_string()))?;
        Ok(BlockMeta::of(&block))
    }

    fn build(&self) -> Result<(BlockMeta, Bytes), VmError> {
        let built = self.build_if(true)?;
        // An empty block is wanted, so there is one.
        let (meta, bytes, _) = built.ok_or(VmError::Unknown(self.preferred()))?;
        Ok((meta, bytes))
    }

    fn verify(&self, bytes: &[u8]) -> Result<u64, VmError> {
        let block = decode_block(bytes).map_err(|error| VmError::Encoding(error.to_string()))?;
        let meta = BlockMeta::of(&block);
        let tip = {
            let mut tree = self.tree.lock();
            let known = tree.undecided.contains_key(&block.hash)
                || block.hash == self.context.store.head().hash;
            if known {
                return Ok(meta.timestamp_ms);
            }
            let tip = self
                .tip_of(&tree, block.header.parent_hash)?
                .ok_or(VmError::Orphan {
                    id: meta.id,
                    parent: meta.parent,
                })?;
            // The hash covers every byte of a block's content, so this is the block built here.
            if let Some(built) = tree.built.take_if(|built| built.block().hash == block.hash) {
                let overlay = built.rebase(&tip)?;
                tree.undecided.insert(block.hash, overlay);
                self.note(&tree);
                return Ok(meta.timestamp_ms);
            }
            tip
        };
        let executed = self
            .context
            .executor
            .verify_on(&tip, &block)
            .map_err(|reason| VmError::Invalid {
                id: meta.id,
                reason,
            })?;
        let overlay = tip.extend(executed.commit)?;
        let mut tree = self.tree.lock();
        tree.undecided.insert(block.hash, overlay);
        self.note(&tree);
        Ok(meta.timestamp_ms)
    }

    fn accept(&self, id: BlockId) -> Result<(), VmError> {
        let overlay = {
            let mut tree = self.tree.lock();
            let hash = B256::from(id);
            let overlay = tree
                .undecided
                .get(&hash)
                .cloned()
                .ok_or(VmError::Unknown(id))?;
            self.context.store.accept(&overlay)?;
            tree.undecided.remove(&hash);
            if tree.preferred == Some(hash) {
                tree.preferred = None;
            }
            self.note(&tree);
            tree.settle(&self.context.store.tip()?)?;
            overlay
        };
        self.context.tell_pool(&overlay)?;
        let new_head = NewHead {
            block: overlay.block().clone(),
            receipts: overlay.receipts().to_vec(),
        };
        // Nobody listening is fine.
        let _ = self
            .context
            .events
            .send(ChainEvent::NewHead(Arc::new(new_head)));
        Ok(())
    }

    fn reject(&self, id: BlockId) -> Result<(), VmError> {
        let mut tree = self.tree.lock();
        let hash = B256::from(id);
        tree.undecided.remove(&hash).ok_or(VmError::Unknown(id))?;
        if tree.preferred == Some(hash) {
            tree.preferred = None;
        }
        self.note(&tree);
        Ok(())
    }

    fn set_preference(&self, id: BlockId) -> Result<(), VmError> {
        let mut tree = self.tree.lock();
        let hash = B256::from(id);
        tree.preferred = if tree.undecided.contains_key(&hash) {
            Some(hash)
        } else if self.context.store.head().hash == hash {
            None
        } else {
            return Err(VmError::Unknown(id));
        };
        Ok(())
    }

    fn get(&self, id: BlockId) -> Result<Option<(BlockMeta, Bytes)>, VmError> {
        let hash = B256::from(id);
        let undecided = self.tree.lock().undecided.get(&hash).cloned();
        let block = match undecided {
            Some(overlay) => Some(overlay.block().clone()),
            None => self.context.store.block_by_hash(&hash)?,
        };
        Ok(block.map(|block| (BlockMeta::of(&block), encode(&block))))
    }

    fn id_at_height(&self, height: u64) -> Result<Option<BlockId>, VmError> {
        Ok(self.context.store.hash(height)?.map(BlockId::from))
    }
}

impl Tree {
    /// Hashes of the transactions in the undecided blocks from the last accepted one to `hash`.
    fn transactions_up_to(&self, mut hash: B256) -> HashSet<B256> {
        let mut included = HashSet::new();
        while let Some(overlay) = self.undecided.get(&hash) {
            let transactions = &overlay.block().transactions;
            included.extend(
                transactions
                    .iter()
                    .map(|transaction| *transaction.tx_hash()),
            );
            hash = overlay.parent();
        }
        included
    }

    /// Puts the descendants of the block accepted last, whose tip is `accepted`, straight onto the
    /// store: the overlay below them is on disk now.
    fn settle(&mut self, accepted: &Tip) -> Result<(), StoreError> {
        let mut parents = vec![accepted.clone()];
        while let Some(parent) = parents.pop() {
            let hash = parent.head().hash;
            for child in self.undecided.values_mut() {
                if child.parent() == hash {
                    *child = child.rebase(&parent)?;
                    parents.push(child.tip().clone());
                }
            }
        }
        Ok(())
    }
}
