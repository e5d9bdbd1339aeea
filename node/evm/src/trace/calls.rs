//! geth's `callTracer`: a frame for every call, creation and self-destruction, one within the other.

use alloy_primitives::{Address, Bytes, Log, U256};
use alloy_rpc_types_trace::geth::{CallFrame, CallLogFrame};
use revm::{
    Inspector,
    bytecode::opcode,
    context_interface::{ContextTr, JournalTr},
    inspector::JournalExt,
    interpreter::{
        CallInputs, CallOutcome, CallScheme, CreateInputs, CreateOutcome, CreateScheme,
        InstructionResult, Interpreter, InterpreterAction, InterpreterResult,
        interpreter_types::{InputsTr, Jumps, LoopControl},
    },
};
use serde::Deserialize;

use super::fault::{self, Instruction};
use crate::revert::RevertReason;

/// Settings of `callTracer`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct CallSettings {
    /// Nothing below the transaction's own call.
    only_top_call: bool,
    /// Logs too.
    with_log: bool,
}

/// What a list made of the frames asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flattened {
    /// Calls of precompiles stay in.
    pub(super) with_precompiles: bool,
}

/// A frame that has not ended.
#[derive(Debug)]
struct Open {
    frame: CallFrame,
    last: Option<Instruction>,
    /// How its code ended, before the code of a contract was looked at.
    ended: Option<(InstructionResult, Bytes)>,
}

/// Records frames.
#[derive(Debug)]
pub(super) struct CallTracer {
    settings: CallSettings,
    flattened: Option<Flattened>,
    open: Vec<Open>,
    /// For each frame that runs, recorded or not, the number of logs when it began.
    running: Vec<u64>,
    /// Logs of the block so far, those of failed frames left out.
    logs: u64,
    top: Option<CallFrame>,
    /// An account that destroys itself, where it sends its balance, and the balance.
    leaving: Option<(Address, Address, U256)>,
}

impl CallTracer {
    pub(super) fn new(settings: CallSettings, flattened: Option<Flattened>) -> Self {
        Self {
            settings,
            flattened,
            open: Vec::new(),
            running: Vec::new(),
            logs: 0,
            top: None,
            leaving: None,
        }
    }

    /// Begins another transaction, before which its block has so many logs.
    pub(super) fn begin(&mut self, logs: u64) {
        *self = Self {
            logs,
            ..Self::new(self.settings, self.flattened)
        };
    }

    /// The outermost frame, with gas and sender of the transaction.
    pub(super) fn finish(&mut self, sender: Address, gas: u64, gas_used: u64) -> CallFrame {
        let mut top = self.top.take().unwrap_or_default();
        top.from = sender;
        top.gas = U256::from(gas);
        top.gas_used = U256::from(gas_used);
        if self.settings.with_log {
            clear_failed_logs(&mut top, false);
        }
        top
    }

    /// Whether the frame that runs is recorded.
    fn recording(&self) -> bool {
        self.open.len() == self.running.len()
    }

    fn enter(&mut self, frame: impl FnOnce() -> CallFrame) {
        let recorded = self.running.is_empty() || !self.settings.only_top_call;
        self.running.push(self.logs);
        if recorded {
            self.open.push(Open {
                frame: frame(),
                last: None,
                ended: None,
            });
        }
    }

    fn exit(&mut self, result: &InterpreterResult, failure: Option<InstructionResult>) {
        let recorded = self.recording();
        let Some(logs_before) = self.running.pop() else {
            return;
        };
        if failure.is_some() {
            self.logs = logs_before;
        }
        if !recorded {
            return;
        }
        let Some(Open {
            mut frame,
            last,
            ended,
        }) = self.open.pop()
        else {
            return;
        };
        let keeps_gas = result.result.is_ok_or_revert();
        frame.gas_used = if keeps_gas {
            U256::from(result.gas.total_gas_spent())
        } else {
            frame.gas
        };
        let creation = matches!(frame.typ.as_str(), "CREATE" | "CREATE2");
        let ran_to_end = ended
            .as_ref()
            .is_some_and(|(ended, _)| creation && ended.is_ok());
        match failure {
            None => {
                // Before Homestead a contract whose code cannot be paid for is there without code; its
                // frame shows the code all the same.
                let kept = match ended {
                    Some((_, code)) if ran_to_end && result.output.is_empty() => code,
                    _ => result.output.clone(),
                };
                frame.output = (!kept.is_empty()).then_some(kept);
            }
            Some(failure) => {
                frame.error = Some(match (failure, frame.to) {
                    (InstructionResult::OutOfGas, _) if ran_to_end => {
                        "contract creation code storage out of gas".to_owned()
                    }
                    (InstructionResult::PrecompileError, Some(to)) => {
                        fault::of_precompile(to, frame.input.len()).to_owned()
                    }
                    _ => fault::text(failure, last),
                });
                if creation {
                    frame.to = None;
                }
                if failure == InstructionResult::Revert && !result.output.is_empty() {
                    frame.revert_reason = RevertReason::decode(&result.output)
                        .map(|reason| reason.to_string())
                        .filter(|reason| !reason.is_empty());
                    frame.output = Some(result.output.clone());
                }
            }
        }
        match self.open.last_mut() {
            Some(parent) => parent.frame.calls.push(frame),
            None => self.top = Some(frame),
        }
    }

    /// Takes back the last call, if it was one of a precompile that a flat list leaves out.
    fn forget_precompile<CTX: ContextTr>(&mut self, context: &CTX) {
        if self
            .flattened
            .is_none_or(|flattened| flattened.with_precompiles)
        {
            return;
        }
        let Some(parent) = self.open.last_mut() else {
            return;
        };
        let precompile = parent.frame.calls.last().is_some_and(|call| {
            matches!(call.typ.as_str(), "CALL" | "STATICCALL")
                && call
                    .to
                    .is_some_and(|to| context.journal_ref().precompile_addresses().contains(&to))
        });
        if precompile {
            parent.frame.calls.pop();
        }
    }

    fn record_log(&mut self, log: Log) {
        let index = self.logs;
        self.logs = self.logs.saturating_add(1);
        if !self.settings.with_log || !self.recording() {
            return;
        }
        let Some(Open { frame, .. }) = self.open.last_mut() else {
            return;
        };
        let (topics, data) = log.data.split();
        frame.logs.push(CallLogFrame {
            address: Some(log.address),
            topics: Some(topics),
            data: Some(data),
            position: Some(frame.calls.len() as u64),
            index: Some(index),
        });
    }
}

/// Logs of a frame that failed, and of those within it, never were.
fn clear_failed_logs(frame: &mut CallFrame, failed: bool) {
    let failed = failed || frame.error.is_some();
    if failed {
        frame.logs.clear();
    }
    for call in &mut frame.calls {
        clear_failed_logs(call, failed);
    }
}

impl<CTX: ContextTr<Journal: JournalExt>> Inspector<CTX> for CallTracer {
    fn step(&mut self, interpreter: &mut Interpreter, context: &mut CTX) {
        if !self.recording() {
            return;
        }
        let Some(open) = self.open.last_mut() else {
            return;
        };
        let opcode = interpreter.bytecode.opcode();
        open.last = Some(Instruction {
            opcode,
            stack: interpreter.stack.len(),
        });
        if opcode == opcode::SELFDESTRUCT
            && let Ok(target) = interpreter.stack.peek(0)
        {
            let contract = interpreter.input.target_address();
            let account = context.journal_ref().evm_state().get(&contract);
            let balance = account.map_or(U256::ZERO, |account| account.info.balance);
            self.leaving = Some((contract, Address::from_word(target.into()), balance));
        }
    }

    fn step_end(&mut self, interpreter: &mut Interpreter, _: &mut CTX) {
        let Some(InterpreterAction::Return(result)) = interpreter.bytecode.action().as_ref() else {
            return;
        };
        if !self.recording() {
            return;
        }
        let Some(open) = self.open.last_mut() else {
            return;
        };
        open.ended = Some((result.result, result.output.clone()));
        let Some((from, to, value)) = self.leaving.take() else {
            return;
        };
        if result.result == InstructionResult::SelfDestruct && !self.settings.only_top_call {
            open.frame.calls.push(CallFrame {
                typ: "SELFDESTRUCT".to_owned(),
                from,
                to: Some(to),
                value: Some(value),
                ..CallFrame::default()
            });
        }
    }

    fn log(&mut self, _: &mut CTX, log: Log) {
        self.record_log(log);
    }

    fn call(&mut self, context: &mut CTX, inputs: &mut CallInputs) -> Option<CallOutcome> {
        let flat = self.flattened.is_some();
        self.enter(|| {
            let delegated = matches!(
                inputs.scheme,
                CallScheme::DelegateCall | CallScheme::CallCode
            );
            let (from, to) = if delegated {
                (inputs.target_address, inputs.bytecode_address)
            } else {
                (inputs.caller, inputs.target_address)
            };
            let (name, value) = match inputs.scheme {
                CallScheme::Call => ("CALL", Some(inputs.call_value())),
                CallScheme::CallCode => ("CALLCODE", Some(inputs.call_value())),
                CallScheme::DelegateCall => ("DELEGATECALL", Some(inputs.call_value())),
                CallScheme::StaticCall => ("STATICCALL", flat.then_some(U256::ZERO)),
            };
            CallFrame {
                typ: name.to_owned(),
                from,
                to: Some(to),
                value,
                gas: U256::from(inputs.gas_limit),
                input: inputs.input.bytes(context),
                ..CallFrame::default()
            }
        });
        None
    }

    fn call_end(&mut self, context: &mut CTX, _: &CallInputs, outcome: &mut CallOutcome) {
        let result = &outcome.result;
        self.exit(result, (!result.result.is_ok()).then_some(result.result));
        self.forget_precompile(context);
    }

    fn create(&mut self, context: &mut CTX, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        self.enter(|| {
            let creator = context.journal_ref().evm_state().get(&inputs.caller());
            let nonce = creator.map_or(0, |account| account.info.nonce);
            CallFrame {
                typ: match inputs.scheme() {
                    CreateScheme::Create2 { .. } => "CREATE2",
                    _ => "CREATE",
                }
                .to_owned(),
                from: inputs.caller(),
                to: Some(inputs.created_address(nonce)),
                value: Some(inputs.value()),
                gas: U256::from(inputs.gas_limit()),
                input: inputs.init_code().clone(),
                ..CallFrame::default()
            }
        });
        None
    }

    fn create_end(&mut self, _: &mut CTX, _: &CreateInputs, outcome: &mut CreateOutcome) {
        let result = &outcome.result;
        let failure = if !result.result.is_ok() {
            Some(result.result)
        } else if outcome.address.is_none() {
            // The creator's nonce is at its end: the creation is not tried.
            Some(InstructionResult::NonceOverflow)
        } else {
            None
        };
        self.exit(result, failure);
    }
}
