//! The adapter to revm, by way of alloy-evm's precompile map.
//!
//! Each precompile becomes an entry of the map and so is warm from the start of a transaction (EIP-2929). The frame in
//! which it runs undoes its changes when it does not succeed. No call ends in a fatal error.
//!
//! ```
//! use alloy_evm::{EthEvmFactory, Evm, EvmEnv, EvmFactory};
//! use pars_precompiles::{Memo, Registry, revm::{Mode, PrecompileContext, install}};
//! use revm::{database::InMemoryDB, primitives::{B256, address, bytes}};
//! use std::sync::Arc;
//!
//! let mut evm = EthEvmFactory::default().create_evm(InMemoryDB::default(), EvmEnv::default());
//! install(evm.precompiles_mut(), &Registry::pars(), PrecompileContext {
//!     memo: Arc::new(Memo::new(64 << 20)), // filled before the block is executed
//!     chain_id: 6133,
//!     parent_hash: B256::ZERO,             // of the block that is executed
//!     os_rng: false,                       // true for a direct eth_call on the caller's own node
//!     mode: Mode::Execute,                 // Mode::Collect(collector) in a speculative run
//! });
//! let mldsa = address!("0x0000000000000000000000000000000000000602");
//! let key_gen = bytes!("0xf79fa0940000000000000000000000000000000000000000000000000000000000000003");
//! let result = evm.transact_system_call(mldsa, mldsa, key_gen)?.result;
//! assert!(result.is_success());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::{
    Answers, Call, Collector, EntropyInputs, EntropyUnavailable, Host, Memo, Outcome, Precompile,
    Registry,
};
use ::revm::{
    precompile::{PrecompileHalt, PrecompileId, PrecompileOutput},
    primitives::TxKind,
};
use alloy_evm::{
    EvmInternals,
    precompiles::{DynPrecompile, PrecompileInput, PrecompilesMap},
};
use alloy_primitives::{Address, B256, Bytes, U256};
use std::sync::Arc;

/// The transient storage slot, in each precompile's own account, that counts its draws of entropy.
pub const COUNTER_SLOT: U256 = U256::ZERO;

/// What the precompiles need to know besides what revm tells them.
#[derive(Clone, Debug)]
pub struct PrecompileContext {
    /// Answers known in advance. Read and never filled here; a memo of 0 bytes is always empty.
    pub memo: Arc<Memo>,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Hash of the parent of the block that is executed.
    pub parent_hash: B256,
    /// Take entropy from the operating system where the precompile is the transaction's own target. For `eth_call` at
    /// the latest block on the caller's own node, and nowhere else.
    pub os_rng: bool,
    /// Whether to answer or to gather questions.
    pub mode: Mode,
}

/// How questions are met.
#[derive(Clone, Debug, Default)]
pub enum Mode {
    /// Take answers from the memo, and those it does not hold from the CPU.
    #[default]
    Execute,
    /// Note every question and go on as if the answer were yes. For speculative runs whose results are thrown away.
    Collect(Arc<Collector>),
}

impl PrecompileContext {
    fn answers(&self) -> &dyn Answers {
        match &self.mode {
            Mode::Execute => &*self.memo,
            Mode::Collect(collector) => &**collector,
        }
    }
}

/// Installs every active precompile of `registry` in `map`, in place of whatever stood at its address.
pub fn install(map: &mut PrecompilesMap, registry: &Registry, context: PrecompileContext) {
    let context = Arc::new(context);
    map.extend_precompiles(registry.precompiles().map(|precompile| {
        let (address, precompile) = (Address::from(precompile.address()), Arc::clone(precompile));
        let context = Arc::clone(&context);
        // Stateful, so that no cache by input stands between: outcomes may depend on the journal, and the memo
        // already holds what is worth keeping.
        let entry = DynPrecompile::new_stateful(
            PrecompileId::Custom(precompile.name().into()),
            move |input| Ok(run(precompile.as_ref(), &context, input)),
        );
        (address, entry)
    }));
}

/// One call, from revm's words into ours and back.
fn run(
    precompile: &dyn Precompile,
    context: &PrecompileContext,
    input: PrecompileInput<'_>,
) -> PrecompileOutput {
    let call = Call {
        input: input.data,
        gas_limit: input.gas,
        is_static: input.is_static,
        is_direct: input.is_direct_call(),
        value_nonzero: !input.value.is_zero(),
        caller: input.caller.into_array(),
    };
    let is_top_level =
        input.internals.tx_env().kind() == TxKind::Call(Address::from(precompile.address()));
    let mut host = Journal {
        internals: input.internals,
        context,
        os_rng: context.os_rng && is_top_level,
    };
    let reservoir = input.reservoir;
    match precompile.run(&call, &mut host, context.answers()) {
        Outcome::Return { gas_used, output } => {
            PrecompileOutput::new(gas_used, Bytes::from(output), reservoir)
        }
        Outcome::Revert { gas_used, output } => {
            PrecompileOutput::revert(gas_used, Bytes::from(output), reservoir)
        }
        Outcome::OutOfGas => PrecompileOutput::halt(PrecompileHalt::OutOfGas, reservoir),
        Outcome::Halt { reason } => {
            PrecompileOutput::halt(PrecompileHalt::other(reason), reservoir)
        }
    }
}

/// The host that is revm's journal and environment.
struct Journal<'a> {
    internals: EvmInternals<'a>,
    context: &'a PrecompileContext,
    os_rng: bool,
}

impl Host for Journal<'_> {
    fn entropy_inputs(&self) -> EntropyInputs {
        let block = self.internals.block_env();
        EntropyInputs {
            chain_id: self.context.chain_id,
            parent_hash: self.context.parent_hash.0,
            number: block.number().saturating_to(),
            prevrandao: block.prevrandao().unwrap_or_default().0,
            origin: self.internals.tx_origin().into_array(),
            origin_nonce: self.internals.tx_env().nonce(),
        }
    }

    fn counter(&mut self, address: &crate::Address) -> u64 {
        self.internals
            .tload(Address::from(*address), COUNTER_SLOT)
            .saturating_to()
    }

    fn set_counter(&mut self, address: &crate::Address, value: u64) {
        self.internals
            .tstore(Address::from(*address), COUNTER_SLOT, U256::from(value));
    }

    fn os_rng(&self) -> bool {
        self.os_rng
    }

    fn os_entropy(&mut self, out: &mut [u8]) -> Result<(), EntropyUnavailable> {
        getrandom::fill(out).map_err(|error| {
            tracing::error!(%error, "the operating system gave no entropy");
            EntropyUnavailable
        })
    }
}
