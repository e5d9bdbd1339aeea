//! What the methods work on: the node's parts, the events it sends, and the rules of working on them.

use std::sync::Arc;
use std::time::Instant;

use alloy_consensus::transaction::Recovered;
use alloy_consensus::{Header, ReceiptEnvelope, TxEnvelope};
use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{B256, U256};
use jsonrpsee::core::JsonRawValue;
use parking_lot::Mutex;
use pars_engine::Engine;
use pars_evm::{BlockAttributes, CallOptions, ChainSpec, Executor};
use pars_pool::{Journal, Pool};
use pars_store::{Block, Head, Store, StoreError};
use serde::Serialize;
use tokio::sync::{Notify, broadcast};

use crate::answers::Answers;
use crate::config::RpcConfig;
use crate::error::{Fault, code};
use crate::filter::Filters;
use crate::pending::{PendingBlock, StateAt};
use crate::workers::Workers;

/// The node's parts as the RPC server needs them. Everything is shared; a clone is cheap.
#[derive(Clone)]
pub struct RpcContext {
    /// The chain's rules.
    pub spec: Arc<ChainSpec>,
    /// Accepted blocks and state.
    pub store: Arc<Store>,
    /// Runs calls and builds the pending block.
    pub executor: Arc<Executor>,
    /// Waiting transactions.
    pub pool: Arc<Mutex<Pool>>,
    /// Brings the pool's transactions over a restart; `None` where nothing is kept.
    pub journal: Option<Arc<Mutex<Journal>>>,
    /// New heads and new pending transactions; subscriptions listen here.
    pub events: broadcast::Sender<ChainEvent>,
    /// Told after every transaction that the pool took, so that a block producer can wake up.
    pub work: Arc<Notify>,
    /// The compute engine, for its statistics.
    pub engine: Engine,
    /// What the block after this head would be given by whoever proposes it; for the pending block.
    pub attributes: Arc<dyn Fn(&Head) -> BlockAttributes + Send + Sync>,
    /// The answer of `web3_clientVersion`, for example `parsd/v0.1.0/linux-x86_64`.
    pub client_version: String,
}

impl std::fmt::Debug for RpcContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RpcContext")
            .field("chain_id", &self.spec.chain_id)
            .finish_non_exhaustive()
    }
}

/// Something subscribers want to hear about.
#[derive(Debug, Clone)]
pub enum ChainEvent {
    /// A block was accepted and is the head now.
    NewHead(Arc<NewHead>),
    /// A transaction entered the pool.
    PendingTransaction(Arc<Recovered<TxEnvelope>>),
}

/// An accepted block with its receipts.
#[derive(Debug, Clone)]
pub struct NewHead {
    /// The block.
    pub block: Block,
    /// One receipt per transaction, in order.
    pub receipts: Vec<ReceiptEnvelope>,
}

/// JSON that is already text: made on the thread that did the work.
pub(crate) type Json = Box<JsonRawValue>;
/// What a method returns.
pub(crate) type Answer = Result<Json, Fault>;

/// `value` as the answer of a method.
pub(crate) fn answer(value: &impl Serialize) -> Answer {
    serde_json::value::to_raw_value(value).map_err(Fault::internal)
}

/// The context of one server: the node's parts and the server's own state.
pub(crate) struct Shared {
    pub(crate) node: RpcContext,
    pub(crate) config: RpcConfig,
    pub(crate) filters: Mutex<Filters>,
    /// The suggested tip and the head it was computed for.
    pub(crate) tip: Mutex<Option<(B256, U256)>>,
    /// What building on the head would give now.
    pub(crate) pending: PendingBlock,
    /// Method names, for `rpc_modules`.
    pub(crate) methods: Vec<&'static str>,
    /// The methods, for requests that come over HTTP.
    pub(crate) answers: Answers,
    reads: Workers,
    runs: Workers,
}

/// How much a call takes of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    /// Reads the store, recovers a signature.
    Read,
    /// Runs the EVM or looks through many blocks.
    Run,
}

impl Shared {
    /// The operator's bounds of a call.
    pub(crate) fn call_options(&self) -> CallOptions {
        CallOptions {
            gas_cap: self.config.call_gas_cap,
            time_limit: self.config.call_timeout,
            ..CallOptions::default()
        }
    }

    pub(crate) fn new(
        node: RpcContext,
        config: RpcConfig,
        methods: Vec<&'static str>,
        answers: Answers,
    ) -> Self {
        let filters = Mutex::new(Filters::new(config.max_filters, config.filter_timeout));
        let reads = Workers::new("rpc-read", config.max_reads);
        let runs = Workers::new("rpc-run", config.max_runs);
        Self {
            node,
            config,
            filters,
            tip: Mutex::new(None),
            pending: PendingBlock::default(),
            methods,
            answers,
            reads,
            runs,
        }
    }

    /// Runs `work` on a thread that may block, at most so many at a time as
    /// [`RpcConfig::max_reads`] and [`RpcConfig::max_runs`] say.
    pub(crate) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        weight: Weight,
        work: impl FnOnce(&Self) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let workers = match weight {
            Weight::Read => &self.reads,
            Weight::Run => &self.runs,
        };
        let shared = Arc::clone(self);
        let work = move || work(&shared);
        workers.run(work).await.map_err(Fault::internal)?
    }

    /// The newest accepted block.
    pub(crate) fn head(&self) -> Head {
        self.node.store.head()
    }

    /// The number of the accepted block that `id` names; `None` if there is no such block.
    /// `pending` names the head here; [`Self::block`] and [`Self::state`] know it better.
    pub(crate) fn number_of(&self, id: BlockId) -> Result<Option<u64>, Fault> {
        let head = self.node.store.head_number();
        Ok(match id {
            BlockId::Hash(hash) => self
                .node
                .store
                .number_of(&hash.block_hash)
                .map_err(store_fault)?,
            BlockId::Number(BlockNumberOrTag::Number(number)) => (number <= head).then_some(number),
            BlockId::Number(BlockNumberOrTag::Earliest) => Some(0),
            BlockId::Number(
                BlockNumberOrTag::Latest
                | BlockNumberOrTag::Safe
                | BlockNumberOrTag::Finalized
                | BlockNumberOrTag::Pending,
            ) => Some(head),
        })
    }

    /// The block that `id` names; `None` if there is none.
    pub(crate) fn block(&self, id: BlockId) -> Result<Option<Block>, Fault> {
        if id.is_pending() {
            return Ok(Some(self.pending.get(&self.node)?.block.clone()));
        }
        match self.number_of(id)? {
            Some(number) => self.node.store.block(number).map_err(store_fault),
            None => Ok(None),
        }
    }

    /// The receipts of block `number`.
    pub(crate) fn receipts(&self, number: u64) -> Result<Vec<ReceiptEnvelope>, Fault> {
        let receipts = self.node.store.receipts(number).map_err(store_fault)?;
        receipts
            .ok_or_else(|| Fault::internal(format!("block {number} has no receipts in the store")))
    }

    /// The header and the state after the block that `id` names. Unlike [`Self::block`] an unknown
    /// block is an error: there is no state to answer from.
    pub(crate) fn state(&self, id: BlockId) -> Result<(Header, StateAt), Fault> {
        if id.is_pending() {
            return self.pending.state(&self.node);
        }
        let unknown = || match id {
            BlockId::Hash(_) => Fault::server("header for hash not found"),
            BlockId::Number(_) => Fault::server("header not found"),
        };
        let store = &self.node.store;
        let number = self.number_of(id)?.ok_or_else(unknown)?;
        let head = self.head();
        let header = if number == head.number {
            head.header
        } else {
            store
                .header(number)
                .map_err(store_fault)?
                .ok_or_else(unknown)?
        };
        let state = store.state(number).map_err(store_fault)?;
        Ok((header, state.into()))
    }

    /// Now, for filters. Kept here so that the state machines have no clock.
    pub(crate) fn now(&self) -> Instant {
        Instant::now()
    }
}

/// The fault a client sees where the store holds other receipts than the block's.
pub(crate) fn mismatched(block: &Block) -> Fault {
    let number = block.header.number;
    Fault::internal(format!("receipts of block {number} do not match it"))
}

/// The fault a client sees when the store cannot answer.
pub(crate) fn store_fault(error: StoreError) -> Fault {
    match error {
        // Geth's words for a state that it does not keep.
        StoreError::StateNotKept { root, .. } => {
            Fault::server(format!("historical state {root:x} is not available"))
        }
        StoreError::ProofNotKept { .. } => Fault::new(code::NOT_KEPT, error.to_string()),
        error => Fault::internal(error),
    }
}
