//! Creation where an account has storage and nothing else (EIP-7610).

use std::{cell::Cell, marker::PhantomData};

use alloy_primitives::Bytes;
use revm::{
    Database,
    context::{Cfg as _, ContextSetters, ContextTr, FrameStack, JournalTr},
    context_interface::{
        journaled_state::account::JournaledAccountTr as _,
        result::{EVMError, ExecutionResult, HaltReason, ResultAndState},
    },
    handler::{
        EthFrame, EvmTr, EvmTrError, FrameInitOrResult, FrameResult, FrameTr, Handler,
        ItemOrResult, MainnetHandler, SystemCallTx,
        evm::{ContextDbError, FrameInitResult},
        post_execution::reward_beneficiary,
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
pub(crate) struct Eip7610<E> {
    pub(crate) evm: E,
    /// Whether a creation was tried.
    created: bool,
}

/// Why an EVM could not run a transaction.
type Error<E> = EVMError<<<<E as EvmTr>::Context as ContextTr>::Db as Database>::Error>;

/// How a transaction ended, or why it could not be run.
type Outcome<E> = Result<ResultAndState, Error<E>>;

/// A transaction that was run for later.
pub(crate) struct Rehearsed {
    /// What it does, without the beneficiary's reward.
    pub(crate) outcome: ResultAndState,
    /// What the reward follows from.
    gas: Gas,
    /// Whether it tried to create a contract.
    pub(crate) created: bool,
}

impl<E> Eip7610<E> {
    pub(crate) fn new(evm: E) -> Self {
        Self {
            evm,
            created: false,
        }
    }
}

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
        self.evm.ctx_mut().set_tx(transaction);
        let result = MainnetHandler::default().run(self);
        self.close(result)
    }

    /// Runs `transaction`, but gives the block's beneficiary nothing yet.
    pub(crate) fn rehearse(
        &mut self,
        transaction: <E::Context as ContextTr>::Tx,
    ) -> Result<Rehearsed, Error<E>> {
        self.created = false;
        self.evm.ctx_mut().set_tx(transaction);
        let mut handler = Unrewarded::default();
        let result = handler.run(self);
        Ok(Rehearsed {
            outcome: self.close(result)?,
            gas: handler.gas.get(),
            created: self.created,
        })
    }

    /// The outcome of running `transaction`, where all that it read when it was `rehearsed` is as it was then.
    pub(crate) fn adopt(
        &mut self,
        transaction: <E::Context as ContextTr>::Tx,
        rehearsed: Rehearsed,
    ) -> Outcome<E> {
        let context = self.evm.ctx_mut();
        context.set_tx(transaction);
        let rules = context.cfg().spec().into();
        context.journal_mut().set_spec_id(rules);
        let result = reward_beneficiary(context, &rehearsed.gas);
        let mut outcome = rehearsed.outcome;
        outcome.state.extend(context.journal_mut().finalize());
        result.map_err(EVMError::Database)?;
        Ok(outcome)
    }

    /// Runs `transaction` under the inspector.
    pub(crate) fn inspect(&mut self, transaction: <E::Context as ContextTr>::Tx) -> Outcome<E>
    where
        E: InspectorEvmTr,
    {
        self.evm.ctx_mut().set_tx(transaction);
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
        self.evm.ctx_mut().set_tx(transaction);
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
        let state = self.evm.ctx_mut().journal_mut().finalize();
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
        self.evm.all()
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
        self.evm.all_mut()
    }

    #[inline]
    fn frame_init(
        &mut self,
        frame: FrameInit,
    ) -> Result<FrameInitResult<'_, EthFrame>, ContextDbError<E::Context>> {
        if let FrameInput::Create(inputs) = &frame.frame_input {
            self.created = true;
            if let Some(refused) = collision(self.evm.ctx_mut(), frame.depth, inputs)? {
                return Ok(ItemOrResult::Result(FrameResult::Create(refused)));
            }
        }
        self.evm.frame_init(frame)
    }

    #[inline]
    fn frame_run(&mut self) -> Result<FrameInitOrResult<EthFrame>, ContextDbError<E::Context>> {
        self.evm.frame_run()
    }

    #[inline]
    fn frame_return_result(
        &mut self,
        result: <EthFrame as FrameTr>::FrameResult,
    ) -> Result<Option<<EthFrame as FrameTr>::FrameResult>, ContextDbError<E::Context>> {
        self.evm.frame_return_result(result)
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
        self.evm.all_inspector()
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
        self.evm.all_mut_inspector()
    }
}

/// Ethereum's handler, but for the beneficiary's reward: what would be a change of one account by every transaction, each
/// on top of the one before.
struct Unrewarded<E, F> {
    /// What the transaction came to.
    gas: Cell<Gas>,
    of: PhantomData<(E, F)>,
}

impl<E, F> Default for Unrewarded<E, F> {
    fn default() -> Self {
        Self {
            gas: Cell::default(),
            of: PhantomData,
        }
    }
}

impl<E, F> Handler for Unrewarded<E, F>
where
    E: EvmTr<Context: ContextTr<Journal: JournalTr<State = EvmState>>, Frame = EthFrame>,
    F: EvmTrError<E>,
{
    type Evm = E;
    type Error = F;
    type HaltReason = HaltReason;

    fn reward_beneficiary(&self, _: &mut E, result: &mut FrameResult) -> Result<(), F> {
        self.gas.set(*result.gas());
        Ok(())
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
