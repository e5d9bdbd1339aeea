//! Creation where an account has storage and nothing else (EIP-7610).

use alloy_primitives::Bytes;
use revm::{
    Database,
    context::{ContextSetters, ContextTr, FrameStack, JournalTr},
    context_interface::{
        journaled_state::account::JournaledAccountTr as _,
        result::{EVMError, ExecutionResult, ResultAndState},
    },
    handler::{
        EthFrame, EvmTr, FrameInitOrResult, FrameResult, FrameTr, Handler as _, ItemOrResult,
        MainnetHandler, SystemCallTx,
        evm::{ContextDbError, FrameInitResult},
    },
    inspector::{InspectorEvmTr, InspectorHandler as _},
    interpreter::{
        CreateInputs, CreateOutcome, FrameInput, Gas, InstructionResult, InterpreterResult,
        interpreter_action::FrameInit,
    },
    primitives::{Address, constants::CALL_STACK_LIMIT},
    state::EvmState,
};

use crate::state::StateDb;

/// An EVM in which a creation also collides with an account that has storage but neither nonce nor
/// code (EIP-7610). The EVM inside looks at nonce and code alone, and would begin the contract with
/// that storage dropped.
/// The rule holds at every fork, from a network's first block on.
pub(crate) struct Eip7610<E>(pub(crate) E);

/// How a transaction ended, or why it could not be run.
type Outcome<E> =
    Result<ResultAndState, EVMError<<<<E as EvmTr>::Context as ContextTr>::Db as Database>::Error>>;

impl<E> Eip7610<E>
where
    E: EvmTr<
            Context: ContextTr<Journal: JournalTr<State = EvmState>, Db: StateDb> + ContextSetters,
            Frame = EthFrame,
        >,
{
    /// Runs `transaction`; what it changes is in the outcome.
    #[inline]
    pub(crate) fn transact(&mut self, transaction: <E::Context as ContextTr>::Tx) -> Outcome<E> {
        self.0.ctx_mut().set_tx(transaction);
        let result = MainnetHandler::default().run(self);
        self.close(result)
    }

    /// Runs `transaction` under the inspector.
    pub(crate) fn inspect(&mut self, transaction: <E::Context as ContextTr>::Tx) -> Outcome<E>
    where
        E: InspectorEvmTr,
    {
        self.0.ctx_mut().set_tx(transaction);
        let result = MainnetHandler::default().inspect_run(self);
        self.close(result)
    }

    /// Runs a call that the block itself makes.
    pub(crate) fn system_call(
        &mut self,
        caller: Address,
        contract: Address,
        data: Bytes,
    ) -> Outcome<E>
    where
        <E::Context as ContextTr>::Tx: SystemCallTx,
    {
        let transaction = SystemCallTx::new_system_tx_with_caller(caller, contract, data);
        self.0.ctx_mut().set_tx(transaction);
        let result = MainnetHandler::default().run_system_call(self);
        self.close(result)
    }

    /// Empties the journal, also after an error: nothing of it may reach the next transaction.
    #[inline]
    fn close(
        &mut self,
        result: Result<
            ExecutionResult,
            EVMError<<<E::Context as ContextTr>::Db as Database>::Error>,
        >,
    ) -> Outcome<E> {
        let state = self.0.ctx_mut().journal_mut().finalize();
        Ok(ResultAndState::new(result?, state))
    }
}

impl<E> EvmTr for Eip7610<E>
where
    E: EvmTr<Context: ContextTr<Db: StateDb>, Frame = EthFrame>,
{
    type Context = E::Context;
    type Instructions = E::Instructions;
    type Precompiles = E::Precompiles;
    type Frame = EthFrame;

    #[inline]
    fn all(
        &self,
    ) -> (
        &E::Context,
        &E::Instructions,
        &E::Precompiles,
        &FrameStack<EthFrame>,
    ) {
        self.0.all()
    }

    #[inline]
    fn all_mut(
        &mut self,
    ) -> (
        &mut E::Context,
        &mut E::Instructions,
        &mut E::Precompiles,
        &mut FrameStack<EthFrame>,
    ) {
        self.0.all_mut()
    }

    #[inline]
    fn frame_init(
        &mut self,
        frame: FrameInit,
    ) -> Result<FrameInitResult<'_, EthFrame>, ContextDbError<E::Context>> {
        if let FrameInput::Create(inputs) = &frame.frame_input
            && let Some(refused) = collision(self.0.ctx_mut(), frame.depth, inputs)?
        {
            return Ok(ItemOrResult::Result(FrameResult::Create(refused)));
        }
        self.0.frame_init(frame)
    }

    #[inline]
    fn frame_run(&mut self) -> Result<FrameInitOrResult<EthFrame>, ContextDbError<E::Context>> {
        self.0.frame_run()
    }

    #[inline]
    fn frame_return_result(
        &mut self,
        result: <EthFrame as FrameTr>::FrameResult,
    ) -> Result<Option<<EthFrame as FrameTr>::FrameResult>, ContextDbError<E::Context>> {
        self.0.frame_return_result(result)
    }
}

impl<E> InspectorEvmTr for Eip7610<E>
where
    E: InspectorEvmTr<Context: ContextTr<Db: StateDb>, Frame = EthFrame>,
{
    type Inspector = E::Inspector;

    fn all_inspector(
        &self,
    ) -> (
        &E::Context,
        &E::Instructions,
        &E::Precompiles,
        &FrameStack<EthFrame>,
        &E::Inspector,
    ) {
        self.0.all_inspector()
    }

    fn all_mut_inspector(
        &mut self,
    ) -> (
        &mut E::Context,
        &mut E::Instructions,
        &mut E::Precompiles,
        &mut FrameStack<EthFrame>,
        &mut E::Inspector,
    ) {
        self.0.all_mut_inspector()
    }
}

/// The outcome of a creation whose address has storage; `None` of every other one, and of those that
/// fail before their address is looked at.
fn collision<C: ContextTr<Db: StateDb>>(
    context: &mut C,
    depth: usize,
    inputs: &CreateInputs,
) -> Result<Option<CreateOutcome>, ContextDbError<C>> {
    if depth > CALL_STACK_LIMIT as usize {
        return Ok(None);
    }
    let caller = context.journal_mut().load_account_mut(inputs.caller())?;
    let nonce = caller.nonce();
    if *caller.balance() < inputs.value() || nonce == u64::MAX {
        return Ok(None);
    }
    drop(caller);
    let address = inputs.created_address(nonce);
    // The state before the transaction decides. Storage that the transaction itself has written is where it
    // runs code, and there is a nonce or code, or the creator's nonce has moved on from that address.
    if !context.db_mut().has_storage(address)? {
        return Ok(None);
    }
    // What stays of a collision, as of one with nonce or code: the creator's nonce is used up, and the
    // address is warm.
    let journal = context.journal_mut();
    journal.load_account_mut(inputs.caller())?.bump_nonce();
    journal.load_account(address)?;
    Ok(Some(CreateOutcome {
        result: InterpreterResult {
            result: InstructionResult::CreateCollision,
            gas: Gas::new_with_regular_gas_and_reservoir(inputs.gas_limit(), inputs.reservoir()),
            output: Bytes::new(),
        },
        address: None,
        charged_create_state_gas: inputs.charged_create_state_gas(),
    }))
}
