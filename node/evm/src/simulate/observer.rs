//! What is written down while a simulated call runs: its logs, and transfers of value as logs.

use std::time::Instant;

use alloy_primitives::{Address, B256, Bytes, Log, U256, address, b256};
use revm::{
    Inspector,
    interpreter::{CallInputs, CallOutcome, CallScheme, CreateInputs, CreateOutcome, Interpreter},
};

use crate::call::Clock;

/// Where logs of transfers seem to come from (`eth_simulateV1`).
const TRANSFERS: Address = address!("eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee");

/// `Transfer(address,address,uint256)`
const TRANSFER_TOPIC: B256 =
    b256!("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");

/// Stops a call at its deadline and keeps the logs of frames that did not fail.
pub(super) struct Observer {
    clock: Clock,
    transfers: bool,
    /// The frames that are open, the outermost first.
    open: Vec<Open>,
    seen: SeenLogs,
}

/// A frame that is open.
#[derive(Default)]
struct Open {
    logs: Vec<(u64, Log)>,
    /// Number kept for the transfer to a contract whose address is known in the end.
    transfer: Option<u64>,
}

/// Logs and transfers of a call in order, each with its number in the block.
pub(super) struct SeenLogs {
    pub(super) logs: Vec<(u64, Log)>,
    /// Number of the next one: those of frames that failed have theirs too.
    pub(super) next: u64,
}

impl Observer {
    pub(super) fn new(deadline: Instant, transfers: bool, next: u64) -> Self {
        Self {
            clock: Clock::until(deadline),
            transfers,
            open: Vec::new(),
            seen: SeenLogs {
                logs: Vec::new(),
                next,
            },
        }
    }

    pub(super) fn expired(&self) -> bool {
        self.clock.expired()
    }

    pub(super) fn into_logs(self) -> SeenLogs {
        self.seen
    }

    fn number(&mut self) -> u64 {
        let number = self.seen.next;
        self.seen.next = number.saturating_add(1);
        number
    }

    fn push(&mut self, log: Log) {
        let number = self.number();
        if let Some(frame) = self.open.last_mut() {
            frame.logs.push((number, log));
        }
    }

    fn transfer(&mut self, from: Address, to: Address, value: U256) {
        if self.transfers && !value.is_zero() {
            self.push(transfer_log(from, to, value));
        }
    }

    fn close(&mut self, succeeded: bool) {
        let Open { logs, .. } = self.open.pop().unwrap_or_default();
        if succeeded {
            let below = self.open.last_mut().map(|frame| &mut frame.logs);
            below.unwrap_or(&mut self.seen.logs).extend(logs);
        }
    }
}

fn transfer_log(from: Address, to: Address, value: U256) -> Log {
    Log::new_unchecked(
        TRANSFERS,
        vec![TRANSFER_TOPIC, from.into_word(), to.into_word()],
        Bytes::from(value.to_be_bytes_vec()),
    )
}

impl<CTX> Inspector<CTX> for Observer {
    fn step(&mut self, interpreter: &mut Interpreter, _: &mut CTX) {
        self.clock.tick();
        if self.clock.expired() {
            // Every frame above is stopped the same way at its next instruction.
            interpreter.halt_oog();
        }
    }

    fn log(&mut self, _: &mut CTX, log: Log) {
        self.push(log);
    }

    fn call(&mut self, _: &mut CTX, inputs: &mut CallInputs) -> Option<CallOutcome> {
        self.open.push(Open::default());
        if let Some(value) = inputs.transfer_value() {
            let to = if inputs.scheme == CallScheme::CallCode {
                inputs.bytecode_address
            } else {
                inputs.target_address
            };
            self.transfer(inputs.caller, to, value);
        }
        None
    }

    fn call_end(&mut self, _: &mut CTX, _: &CallInputs, outcome: &mut CallOutcome) {
        self.close(outcome.result.result.is_ok());
    }

    fn create(&mut self, _: &mut CTX, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        let transfers = self.transfers && !inputs.value().is_zero();
        let transfer = transfers.then(|| self.number());
        self.open.push(Open {
            transfer,
            ..Open::default()
        });
        None
    }

    fn create_end(&mut self, _: &mut CTX, inputs: &CreateInputs, outcome: &mut CreateOutcome) {
        if let Some(address) = outcome.address
            && let Some(frame) = self.open.last_mut()
            && let Some(number) = frame.transfer
        {
            // It came before everything the new contract did.
            let log = transfer_log(inputs.caller(), address, inputs.value());
            frame.logs.insert(0, (number, log));
        }
        self.close(outcome.result.result.is_ok());
    }

    fn selfdestruct(&mut self, contract: Address, target: Address, value: U256) {
        self.transfer(contract, target, value);
    }
}
