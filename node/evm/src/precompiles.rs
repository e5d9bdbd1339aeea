//! This network's own precompiles inside the EVM, and the memo they look into.

use std::sync::Arc;

use alloy_evm::precompiles::PrecompilesMap;
use alloy_primitives::{Address, B256};
use pars_engine::{Engine, EngineError};
use pars_precompiles::{
    BatchReport, Collector, Memo, MemoStats, Registry, SecretOperations,
    revm::{Mode, PrecompileContext, install},
};

pub(crate) use pars_precompiles::Question;

use crate::{
    spec::PrecompileSet,
    usage::{PrecompileUsage, Usage},
};

/// Bytes of questions one throw-away run may gather: more than the calldata of a full block.
const COLLECTOR_BYTES: usize = 32 << 20;

/// What an EVM is made for.
pub(crate) enum Run {
    /// A block: answers found early are taken from the memo.
    Block,
    /// A call that must come out as it would in a block. It neither reads nor fills the memo.
    Call,
    /// A search for questions: checks record them and answer "yes".
    Collect(Arc<Collector>),
    /// A call straight to a precompile on the caller's own node: randomness comes from the
    /// operating system.
    OffChainCall,
}

/// The precompiles of one chain with the memo of answers.
pub(crate) struct Precompiles {
    registry: Registry,
    /// The same for blocks, where calls are counted.
    counted: Registry,
    usage: Usage,
    chain_id: u64,
    memo: Arc<Memo>,
    no_memo: Arc<Memo>,
}

impl Precompiles {
    pub(crate) fn new(set: PrecompileSet, chain_id: u64, memo_bytes: usize) -> Self {
        let (counted, usage) = Usage::watch(set.registry());
        Self {
            registry: set.registry(),
            counted,
            usage,
            chain_id,
            memo: Arc::new(Memo::new(memo_bytes)),
            no_memo: Arc::new(Memo::new(0)),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.registry.precompiles().next().is_none()
    }

    /// The table, for those who show it.
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Whether one of this network's own precompiles answers at `address`.
    pub(crate) fn contains(&self, address: &Address) -> bool {
        self.registry.get(&address.0.0).is_some()
    }

    /// The questions a transaction straight to `address` asks; `None` if no precompile is there.
    pub(crate) fn questions(&self, address: Address, input: &[u8]) -> Option<Vec<Question>> {
        self.registry
            .get(&address.0.0)
            .map(|precompile| precompile.questions(input))
    }

    /// A fresh place to gather questions in.
    pub(crate) fn collector(&self) -> Arc<Collector> {
        Arc::new(Collector::new(COLLECTOR_BYTES))
    }

    /// Has the engine answer `questions` as one batch, into the memo. Nothing but the engine's
    /// answers ever gets there.
    pub(crate) fn answer(
        &self,
        engine: &Engine,
        questions: Vec<Question>,
    ) -> Result<BatchReport, EngineError> {
        self.memo.answer(engine, questions)
    }

    pub(crate) fn memo_stats(&self) -> MemoStats {
        self.memo.stats()
    }

    /// What blocks asked of the precompile at `address`.
    pub(crate) fn usage(&self, address: &Address) -> PrecompileUsage {
        self.usage.of(&address.0.0)
    }

    /// Puts the precompiles into the map of an EVM that runs a block after `parent_hash`.
    pub(crate) fn install(&self, map: &mut PrecompilesMap, parent_hash: B256, run: &Run) {
        let (memo, mode) = match run {
            Run::Block => (&self.memo, Mode::Execute),
            Run::Collect(collector) => (&self.no_memo, Mode::Collect(Arc::clone(collector))),
            Run::Call | Run::OffChainCall => (&self.no_memo, Mode::Execute),
        };
        let context = PrecompileContext {
            memo: Arc::clone(memo),
            chain_id: self.chain_id,
            parent_hash,
            os_rng: matches!(run, Run::OffChainCall),
            mode,
        };
        let registry = match run {
            Run::Block => &self.counted,
            Run::Call | Run::Collect(_) | Run::OffChainCall => &self.registry,
        };
        install(map, registry, context);
    }
}

impl PrecompileSet {
    /// The table of precompiles.
    pub(crate) fn registry(self) -> Registry {
        match self {
            Self::None => Registry::new(Vec::new(), SecretOperations::default()),
            Self::Pars => Registry::pars(),
        }
    }

    /// Where they answer.
    pub(crate) fn addresses(self) -> Vec<Address> {
        self.registry()
            .precompiles()
            .map(|precompile| Address::from(precompile.address()))
            .collect()
    }
}
