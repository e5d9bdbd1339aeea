//! A tracer that can be stopped: by the clock, or because it keeps too much.

use std::{
    collections::{HashMap, HashSet},
    time::Instant,
};

use alloy_primitives::{Address, Log, U256};
use revm::{
    Inspector,
    bytecode::opcode,
    context_interface::{ContextTr, JournalTr},
    handler::FrameResult,
    inspector::JournalExt,
    interpreter::{
        CallInputs, CallOutcome, CreateInputs, CreateOutcome, FrameInput, Interpreter,
        interpreter_types::{InputsTr, Jumps, ReturnData},
    },
};

use super::{TraceError, settings::Kept, tracer::Tracer};
use crate::call::Clock;

/// Bytes of one recorded instruction, in the recorder, in the answer and in its JSON together.
const STEP: usize = 800;
/// Bytes of one stack item of it.
const STACK_ITEM: usize = 112;
/// Bytes of one slot of it.
const SLOT: usize = 224;
/// How often bytes of memory and return data are held: once as they are, and as text.
const COPIES: usize = 5;
/// Bytes of one call or creation besides its input.
const CALL: usize = 2_048;
/// Bytes of each level that a call is below the transaction's: a flat list tells them all.
const LEVEL: usize = 24;
/// Bytes of one log besides its data.
const LOG: usize = 512;

/// One of geth's tracers within limits. A run that breaks one is stopped like one out of gas, and
/// [`Bounded::broken`] says why.
pub(super) struct Bounded {
    pub(super) tracer: Tracer,
    clock: Clock,
    kept: Kept,
    /// Instructions that are still recorded, where the client limits them.
    steps_left: Option<u64>,
    bytes: usize,
    most_bytes: usize,
    slots: HashMap<Address, HashSet<U256>>,
}

/// The limit a run broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    Time,
    Bytes,
}

impl Bounded {
    pub(super) fn new(tracer: Tracer, kept: Kept, most_bytes: usize) -> Self {
        Self {
            tracer,
            clock: Clock::until(Instant::now()),
            kept,
            steps_left: None,
            bytes: 0,
            most_bytes,
            slots: HashMap::new(),
        }
    }

    /// Begins another transaction. What was kept so far still counts: it is part of the answer.
    ///
    /// # Errors
    /// As [`Tracer::begin`].
    pub(super) fn begin(
        &mut self,
        deadline: Instant,
        steps: Option<u64>,
        logs: u64,
    ) -> Result<(), TraceError> {
        self.tracer.begin(logs)?;
        self.clock = Clock::until(deadline);
        self.steps_left = steps.filter(|steps| *steps > 0);
        self.slots.clear();
        Ok(())
    }

    pub(super) fn broken(&self) -> Option<Broken> {
        if self.clock.expired() {
            Some(Broken::Time)
        } else if self.bytes > self.most_bytes {
            Some(Broken::Bytes)
        } else {
            None
        }
    }

    fn keep(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    fn keep_call<CTX: ContextTr>(&mut self, context: &CTX, input: usize) {
        let place = context.journal_ref().depth().saturating_mul(LEVEL);
        let input = input.saturating_mul(COPIES);
        self.keep(CALL.saturating_add(place).saturating_add(input));
    }

    fn count_step(&mut self, interpreter: &Interpreter) {
        match &mut self.steps_left {
            None => {}
            Some(0) => return,
            Some(left) => *left -= 1,
        }
        let mut bytes = STEP;
        if self.kept.stack {
            bytes = bytes.saturating_add(interpreter.stack.len().saturating_mul(STACK_ITEM));
        }
        if self.kept.memory {
            bytes = bytes.saturating_add(interpreter.memory.len().saturating_mul(COPIES));
        }
        if self.kept.returndata {
            let length = interpreter.return_data.buffer().len();
            bytes = bytes.saturating_add(length.saturating_mul(COPIES));
        }
        if self.kept.storage
            && matches!(
                interpreter.bytecode.opcode(),
                opcode::SLOAD | opcode::SSTORE
            )
            && let Ok(slot) = interpreter.stack.peek(0)
        {
            // Each such instruction shows all slots of the contract that were touched before.
            let slots = self
                .slots
                .entry(interpreter.input.target_address())
                .or_default();
            slots.insert(slot);
            bytes = bytes.saturating_add(slots.len().saturating_mul(SLOT));
        }
        self.keep(bytes);
    }
}

impl<CTX: ContextTr<Journal: JournalExt>> Inspector<CTX> for Bounded {
    fn initialize_interp(&mut self, interpreter: &mut Interpreter, context: &mut CTX) {
        self.tracer.initialize_interp(interpreter, context);
    }

    fn step(&mut self, interpreter: &mut Interpreter, context: &mut CTX) {
        self.clock.tick();
        if self.kept.steps {
            self.count_step(interpreter);
        }
        if self.broken().is_some() {
            // Every frame above is stopped the same way at its next instruction.
            interpreter.halt_oog();
            return;
        }
        self.tracer.step(interpreter, context);
    }

    fn step_end(&mut self, interpreter: &mut Interpreter, context: &mut CTX) {
        if self.broken().is_none() {
            self.tracer.step_end(interpreter, context);
        }
    }

    fn log(&mut self, context: &mut CTX, log: Log) {
        self.keep(LOG + log.data.data.len().saturating_mul(COPIES));
        self.tracer.log(context, log);
    }

    fn log_full(&mut self, interpreter: &mut Interpreter, context: &mut CTX, log: Log) {
        self.keep(LOG + log.data.data.len().saturating_mul(COPIES));
        self.tracer.log_full(interpreter, context, log);
    }

    fn call(&mut self, context: &mut CTX, inputs: &mut CallInputs) -> Option<CallOutcome> {
        self.keep_call(context, inputs.input.len());
        self.tracer.call(context, inputs)
    }

    fn call_end(&mut self, context: &mut CTX, inputs: &CallInputs, outcome: &mut CallOutcome) {
        self.keep(outcome.result.output.len().saturating_mul(COPIES));
        self.tracer.call_end(context, inputs, outcome);
    }

    fn create(&mut self, context: &mut CTX, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        self.keep_call(context, inputs.init_code().len());
        self.tracer.create(context, inputs)
    }

    fn create_end(
        &mut self,
        context: &mut CTX,
        inputs: &CreateInputs,
        outcome: &mut CreateOutcome,
    ) {
        self.keep(outcome.result.output.len().saturating_mul(COPIES));
        self.tracer.create_end(context, inputs, outcome);
    }

    fn selfdestruct(&mut self, contract: Address, target: Address, value: U256) {
        self.keep(CALL);
        Inspector::<CTX>::selfdestruct(&mut self.tracer, contract, target, value);
    }

    fn frame_start(&mut self, context: &mut CTX, input: &mut FrameInput) -> Option<FrameResult> {
        self.tracer.frame_start(context, input)
    }

    fn frame_end(&mut self, context: &mut CTX, input: &FrameInput, result: &mut FrameResult) {
        self.tracer.frame_end(context, input, result);
    }
}
