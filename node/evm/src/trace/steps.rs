//! geth's struct logger: every instruction with the stack, memory and storage it finds.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
};

use alloy_primitives::{Address, B256, Bytes, hex};
use alloy_rpc_types_trace::geth::{DefaultFrame, GethDefaultTracingOptions, StructLog};
use revm::{
    Inspector,
    bytecode::opcode::{self, OpCode},
    context_interface::ContextTr,
    inspector::JournalExt,
    interpreter::{
        CallInputs, CallOutcome, CreateInputs, CreateOutcome, Interpreter,
        interpreter_types::{InputsTr, Jumps, LoopControl, ReturnData},
    },
};

use super::fault::{self, Instruction};

/// Bytes of a word of memory.
const WORD: usize = 32;

/// Records instructions.
#[derive(Debug)]
pub(super) struct StepTracer {
    options: GethDefaultTracingOptions,
    logs: Vec<StructLog>,
    /// Slots of each contract that were read or written so far.
    storage: HashMap<Address, BTreeMap<B256, B256>>,
    /// For each frame that runs, the refunds of the one that waits for it.
    waiting: Vec<i64>,
    /// Refunds of the innermost frame.
    refunded: i64,
    /// The instruction that is executed, if it is recorded.
    current: Option<Instruction>,
    /// The slot that it reads.
    read: Option<B256>,
}

impl StepTracer {
    pub(super) fn new(options: GethDefaultTracingOptions) -> Self {
        Self {
            options: GethDefaultTracingOptions {
                limit: options.limit.filter(|limit| *limit > 0),
                ..options
            },
            logs: Vec::new(),
            storage: HashMap::new(),
            waiting: Vec::new(),
            refunded: 0,
            current: None,
            read: None,
        }
    }

    /// Begins another transaction.
    pub(super) fn begin(&mut self) {
        *self = Self::new(self.options);
    }

    /// The whole trace.
    pub(super) fn finish(&mut self, gas: u64, failed: bool, output: Bytes) -> DefaultFrame {
        DefaultFrame {
            failed,
            gas,
            return_value: output,
            struct_logs: std::mem::take(&mut self.logs),
            ..DefaultFrame::default()
        }
    }

    /// Begins a frame within the one that runs.
    fn enter(&mut self) {
        self.waiting.push(std::mem::take(&mut self.refunded));
    }

    /// What the transaction would have refunded so far.
    fn refund(&self) -> u64 {
        let waiting = self.waiting.iter().copied();
        let all = waiting.fold(self.refunded, i64::saturating_add);
        u64::try_from(all).unwrap_or_default()
    }

    /// Keeps the slot for those instructions of `contract` that come after.
    fn touch(&mut self, contract: Address, slot: B256, value: B256) -> BTreeMap<B256, B256> {
        let slots = self.storage.entry(contract).or_default();
        slots.insert(slot, value);
        slots.clone()
    }
}

/// Memory in words, the last one filled up with zeros.
fn words(memory: &[u8]) -> Vec<String> {
    memory
        .chunks(WORD)
        .map(|chunk| {
            let mut word = [0; WORD];
            word.iter_mut()
                .zip(chunk)
                .for_each(|(to, from)| *to = *from);
            hex::encode_prefixed(word)
        })
        .collect()
}

fn name(opcode: u8) -> Cow<'static, str> {
    match OpCode::new(opcode) {
        Some(known) => known.as_str().into(),
        None => fault::opcode_name(opcode).into(),
    }
}

impl<CTX: ContextTr<Journal: JournalExt>> Inspector<CTX> for StepTracer {
    fn step(&mut self, interpreter: &mut Interpreter, _: &mut CTX) {
        self.refunded = interpreter.gas.refunded();
        let limit = self.options.limit.unwrap_or(u64::MAX);
        if self.logs.len() as u64 >= limit {
            self.current = None;
            return;
        }
        let opcode = interpreter.bytecode.opcode();
        let stack = interpreter.stack.data();
        self.current = Some(Instruction {
            opcode,
            stack: stack.len(),
        });
        self.read = None;
        let storage = match (opcode, stack.as_slice()) {
            _ if !self.options.is_storage_enabled() => None,
            (opcode::SSTORE, [.., value, slot]) => {
                let contract = interpreter.input.target_address();
                Some(self.touch(contract, (*slot).into(), (*value).into()))
            }
            (opcode::SLOAD, [.., slot]) => {
                self.read = Some((*slot).into());
                None
            }
            _ => None,
        };
        let memory = self
            .options
            .is_memory_enabled()
            .then(|| words(&interpreter.memory.context_memory()));
        let returned = interpreter.return_data.buffer();
        let returned = self
            .options
            .is_return_data_enabled()
            .then(|| returned.clone());
        self.logs.push(StructLog {
            pc: interpreter.bytecode.pc() as u64,
            op: name(opcode),
            gas: interpreter.gas.remaining(),
            depth: self.waiting.len() as u64,
            stack: self.options.is_stack_enabled().then(|| stack.to_vec()),
            memory: memory.filter(|memory| !memory.is_empty()),
            return_data: returned.filter(|data| !data.is_empty()),
            storage,
            refund_counter: Some(self.refund()).filter(|refund| *refund > 0),
            ..StructLog::default()
        });
    }

    fn step_end(&mut self, interpreter: &mut Interpreter, _: &mut CTX) {
        let Some(instruction) = self.current.take() else {
            return;
        };
        let ended = interpreter.bytecode.action().as_ref();
        let result = ended.and_then(|action| action.instruction_result());
        let refused = result.filter(|result| fault::before_execution(*result));
        let storage = match (self.read.take(), interpreter.stack.peek(0)) {
            (Some(slot), Ok(value)) if refused.is_none() => {
                let contract = interpreter.input.target_address();
                Some(self.touch(contract, slot, value.into()))
            }
            _ => None,
        };
        let Some(log) = self.logs.last_mut() else {
            return;
        };
        if storage.is_some() {
            log.storage = storage;
        }
        log.gas_cost = log.gas.saturating_sub(interpreter.gas.remaining());
        log.error = refused.map(|result| fault::text(result, Some(instruction)));
    }

    fn call(&mut self, _: &mut CTX, _: &mut CallInputs) -> Option<CallOutcome> {
        self.enter();
        None
    }

    fn call_end(&mut self, _: &mut CTX, _: &CallInputs, _: &mut CallOutcome) {
        self.waiting.pop();
    }

    fn create(&mut self, _: &mut CTX, _: &mut CreateInputs) -> Option<CreateOutcome> {
        self.enter();
        None
    }

    fn create_end(&mut self, _: &mut CTX, _: &CreateInputs, _: &mut CreateOutcome) {
        self.waiting.pop();
    }
}
