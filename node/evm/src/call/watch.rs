//! What watches a call while it runs: the clock, and where asked the accounts and slots touched.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::Instant,
};

use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_primitives::{Address, B256};
use revm::{
    Inspector,
    bytecode::opcode,
    interpreter::{
        Interpreter,
        interpreter::EthInterpreter,
        interpreter_types::{InputsTr, Jumps},
    },
};

use crate::trace::fault::Instruction;

/// Instructions between two looks at the clock: some microseconds of work.
const STEPS_PER_LOOK: u32 = 1 << 10;

/// Says when a deadline has passed, looking at the time only now and then.
pub(crate) struct Clock {
    deadline: Instant,
    steps: u32,
    expired: bool,
}

impl Clock {
    pub(crate) fn until(deadline: Instant) -> Self {
        Self {
            deadline,
            steps: 0,
            expired: false,
        }
    }

    /// To be called at each instruction.
    pub(crate) fn tick(&mut self) {
        if self.steps.is_multiple_of(STEPS_PER_LOOK) && Instant::now() >= self.deadline {
            self.expired = true;
        }
        self.steps = self.steps.wrapping_add(1);
    }

    pub(crate) fn expired(&self) -> bool {
        self.expired
    }
}

/// Stops a call at its deadline and records what it touches.
pub(crate) struct Watch {
    clock: Clock,
    touched: Option<Touched>,
    last: Option<Instruction>,
}

/// Accounts and slots as `eth_createAccessList` counts them.
pub(crate) struct Touched {
    /// Accounts that are warm anyway: sender, recipient, precompiles, authorities.
    excluded: HashSet<Address>,
    accounts: BTreeMap<Address, BTreeSet<B256>>,
}

impl Watch {
    pub(crate) fn new(deadline: Instant) -> Self {
        Self {
            clock: Clock::until(deadline),
            touched: None,
            last: None,
        }
    }

    /// Records touched accounts and slots as well.
    pub(crate) fn recording(deadline: Instant, excluded: HashSet<Address>) -> Self {
        let touched = Touched {
            excluded,
            accounts: BTreeMap::new(),
        };
        Self {
            touched: Some(touched),
            ..Self::new(deadline)
        }
    }

    /// Whether the call was stopped by the clock.
    pub(crate) fn expired(&self) -> bool {
        self.clock.expired()
    }

    /// The instruction that was executed last: where the call halts, the one to blame.
    pub(crate) fn last(&self) -> Option<Instruction> {
        self.last
    }

    /// What was touched, as an access list in order of addresses and slots.
    pub(crate) fn access_list(self) -> AccessList {
        let accounts = self
            .touched
            .map(|touched| touched.accounts)
            .unwrap_or_default();
        AccessList(
            accounts
                .into_iter()
                .map(|(address, slots)| AccessListItem {
                    address,
                    storage_keys: slots.into_iter().collect(),
                })
                .collect(),
        )
    }
}

impl Touched {
    fn account(&mut self, address: Address) {
        if !self.excluded.contains(&address) {
            self.accounts.entry(address).or_default();
        }
    }

    fn step(&mut self, interpreter: &Interpreter<EthInterpreter>) {
        let word = |depth: usize| interpreter.stack.peek(depth).ok();
        match interpreter.bytecode.opcode() {
            opcode::SLOAD | opcode::SSTORE => {
                if let Some(slot) = word(0) {
                    // A slot counts even where its account is warm anyway.
                    self.accounts
                        .entry(interpreter.input.target_address())
                        .or_default()
                        .insert(B256::from(slot));
                }
            }
            opcode::EXTCODECOPY
            | opcode::EXTCODEHASH
            | opcode::EXTCODESIZE
            | opcode::BALANCE
            | opcode::SELFDESTRUCT => {
                if let Some(address) = word(0) {
                    self.account(Address::from_word(B256::from(address)));
                }
            }
            opcode::CALL | opcode::CALLCODE | opcode::DELEGATECALL | opcode::STATICCALL => {
                if let Some(address) = word(1) {
                    self.account(Address::from_word(B256::from(address)));
                }
            }
            _ => {}
        }
    }
}

impl<CTX> Inspector<CTX> for Watch {
    fn step(&mut self, interpreter: &mut Interpreter<EthInterpreter>, _: &mut CTX) {
        self.clock.tick();
        if self.clock.expired() {
            // Every frame above is stopped the same way at its next instruction.
            interpreter.halt_oog();
            return;
        }
        self.last = Some(Instruction {
            opcode: interpreter.bytecode.opcode(),
            stack: interpreter.stack.len(),
        });
        if let Some(touched) = &mut self.touched {
            touched.step(interpreter);
        }
    }
}
