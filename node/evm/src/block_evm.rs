//! The EVM that transactions of blocks run in.

use alloy_evm::{
    Database, EthEvmFactory, Evm, EvmEnv, EvmFactory as _, eth::EthEvmContext,
    precompiles::PrecompilesMap,
};
use alloy_primitives::{Address, Bytes};
use revm::{
    Inspector,
    context::{BlockEnv, CfgEnv, Evm as RevmEvm, TxEnv},
    context_interface::result::{EVMError, HaltReason, ResultAndState},
    handler::{EthFrame, instructions::EthInstructions},
    inspector::NoOpInspector,
    interpreter::interpreter::EthInterpreter,
    primitives::hardfork::SpecId,
};

use crate::{
    eip1283,
    eip7610::{Eip7610, Rehearsed},
    hashing,
    state::StateDb,
};

type Inner<DB, I> = RevmEvm<
    EthEvmContext<DB>,
    I,
    EthInstructions<EthInterpreter, EthEvmContext<DB>>,
    PrecompilesMap,
    EthFrame,
>;

/// Ethereum's EVM with the standard precompiles of the fork and the rules that revm leaves
/// out ([`Eip7610`], [`eip1283`]).
pub(crate) struct BlockEvm<DB: Database, I = NoOpInspector> {
    inner: Eip7610<Inner<DB, I>>,
    inspect: bool,
    /// What the next transaction does, where that is known.
    known: Option<Rehearsed>,
}

impl<DB: Database, I> BlockEvm<DB, I> {
    fn of(mut evm: Inner<DB, I>, inspect: bool) -> Self {
        eip1283::install(&mut evm.instruction, &evm.ctx.cfg);
        hashing::install(&mut evm.instruction);
        Self {
            inner: Eip7610::new(evm),
            inspect,
            known: None,
        }
    }
}

impl<DB: Database> BlockEvm<DB> {
    pub(crate) fn new(state: DB, env: EvmEnv) -> Self {
        let evm = EthEvmFactory::default().create_evm(state, env);
        Self::of(evm.into_inner(), false)
    }
}

impl<DB: Database + StateDb> BlockEvm<DB> {
    /// Runs `transaction`, but gives the block's beneficiary nothing yet.
    pub(crate) fn rehearse(
        &mut self,
        transaction: TxEnv,
    ) -> Result<Rehearsed, EVMError<DB::Error>> {
        self.inner.rehearse(transaction)
    }

    /// Says what the next transaction does; of one of which nothing is known, it is found out by running it.
    pub(crate) fn foretell(&mut self, known: Option<Rehearsed>) {
        self.known = known;
    }
}

impl<DB: Database, I: Inspector<EthEvmContext<DB>>> BlockEvm<DB, I> {
    /// The same, with `inspector` looking on.
    pub(crate) fn with_inspector(state: DB, env: EvmEnv, inspector: I) -> Self {
        let evm = EthEvmFactory::default().create_evm_with_inspector(state, env, inspector);
        Self::of(evm.into_inner(), true)
    }
}

impl<DB, I> Evm for BlockEvm<DB, I>
where
    DB: Database + StateDb,
    I: Inspector<EthEvmContext<DB>>,
{
    type DB = DB;
    type Tx = TxEnv;
    type Error = EVMError<DB::Error>;
    type HaltReason = HaltReason;
    type Spec = SpecId;
    type BlockEnv = BlockEnv;
    type Precompiles = PrecompilesMap;
    type Inspector = I;

    fn block(&self) -> &BlockEnv {
        &self.inner.evm.ctx.block
    }

    fn cfg_env(&self) -> &CfgEnv {
        &self.inner.evm.ctx.cfg
    }

    fn chain_id(&self) -> u64 {
        self.inner.evm.ctx.cfg.chain_id
    }

    fn transact_raw(&mut self, transaction: TxEnv) -> Result<ResultAndState, Self::Error> {
        if let Some(known) = self.known.take() {
            self.inner.adopt(transaction, known)
        } else if self.inspect {
            self.inner.inspect(transaction)
        } else {
            self.inner.transact(transaction)
        }
    }

    fn transact_system_call(
        &mut self,
        caller: Address,
        contract: Address,
        data: Bytes,
    ) -> Result<ResultAndState, Self::Error> {
        self.inner.system_call(caller, contract, data)
    }

    fn finish(self) -> (DB, EvmEnv) {
        let context = self.inner.evm.ctx;
        let env = EvmEnv {
            block_env: context.block,
            cfg_env: context.cfg,
        };
        (context.journaled_state.database, env)
    }

    fn set_inspector_enabled(&mut self, enabled: bool) {
        self.inspect = enabled;
    }

    fn components(&self) -> (&DB, &I, &PrecompilesMap) {
        let evm = &self.inner.evm;
        (
            &evm.ctx.journaled_state.database,
            &evm.inspector,
            &evm.precompiles,
        )
    }

    fn components_mut(&mut self) -> (&mut DB, &mut I, &mut PrecompilesMap) {
        let evm = &mut self.inner.evm;
        (
            &mut evm.ctx.journaled_state.database,
            &mut evm.inspector,
            &mut evm.precompiles,
        )
    }
}
