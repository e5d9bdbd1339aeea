//! One call of a precompile: what goes in, what comes out, and the meter that pays for the work in between.

use crate::{abi::Malformed, refusal::Refusal};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Least gas any call uses, whatever it asks for.
pub const MINIMUM_GAS: u64 = 100;

/// A 20-byte account address.
pub type Address = [u8; 20];

/// One call as its chain presents it.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Calldata: a 4-byte selector, then the standard ABI.
    pub input: &'a [u8],
    /// Gas the call may use.
    pub gas_limit: u64,
    /// The frame may not change state.
    pub is_static: bool,
    /// The frame runs in the precompile's own account; false under `DELEGATECALL` and `CALLCODE`.
    pub is_direct: bool,
    /// The call carries a value other than 0.
    pub value_nonzero: bool,
    /// Account that calls.
    pub caller: Address,
}

/// How a call ends. It depends on the call, the journal and the block alone, never on who computed what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Success.
    Return {
        /// Gas used, at least [`MINIMUM_GAS`].
        gas_used: u64,
        /// ABI-encoded results.
        output: Vec<u8>,
    },
    /// Refused; unspent gas goes back to the caller.
    Revert {
        /// Gas used, at least [`MINIMUM_GAS`].
        gas_used: u64,
        /// An ABI-encoded custom error, see [`Refusal`].
        output: Vec<u8>,
    },
    /// The gas limit did not cover the next unit of work; all gas is taken.
    OutOfGas,
    /// A fault of this implementation or its host, such as a caught panic; all gas is taken. Logged as a bug.
    Halt {
        /// What went wrong, without any calldata in it.
        reason: &'static str,
    },
}

impl Outcome {
    /// Gas taken from a limit of `gas_limit`.
    pub fn gas_used(&self, gas_limit: u64) -> u64 {
        match self {
            Self::Return { gas_used, .. } | Self::Revert { gas_used, .. } => *gas_used,
            Self::OutOfGas | Self::Halt { .. } => gas_limit,
        }
    }
}

/// Why a call stops before its answer.
#[derive(Debug)]
pub enum Exit {
    /// Ends in [`Outcome::Revert`].
    Refused(Refusal),
    /// Ends in [`Outcome::OutOfGas`].
    OutOfGas,
    /// Ends in [`Outcome::Halt`].
    Fault(&'static str),
}

impl From<Refusal> for Exit {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Malformed> for Exit {
    fn from(_: Malformed) -> Self {
        Self::Refused(Refusal::InvalidEncoding)
    }
}

/// Counts gas. Every unit is paid before it runs.
#[derive(Debug)]
pub struct Meter {
    limit: u64,
    used: u64,
}

impl Meter {
    /// A meter that has used nothing of `limit`.
    pub const fn new(limit: u64) -> Self {
        Self { limit, used: 0 }
    }

    /// Pays `gas`.
    ///
    /// # Errors
    /// [`Exit::OutOfGas`] if the limit does not cover it.
    pub fn pay(&mut self, gas: u64) -> Result<(), Exit> {
        match self.used.checked_add(gas) {
            Some(used) if used <= self.limit => {
                self.used = used;
                Ok(())
            }
            _ => Err(Exit::OutOfGas),
        }
    }

    /// Gas paid so far.
    pub const fn used(&self) -> u64 {
        self.used
    }
}

/// Runs `body` under the rules common to all precompiles: the minimum charge, and panics that end in a halt.
pub fn metered(call: &Call<'_>, body: impl FnOnce(&mut Meter) -> Result<Vec<u8>, Exit>) -> Outcome {
    if call.gas_limit < MINIMUM_GAS {
        return Outcome::OutOfGas;
    }
    let mut meter = Meter::new(call.gas_limit);
    // The body owns everything it changes but the host's journal, and a halt makes the chain undo that.
    let result = catch_unwind(AssertUnwindSafe(|| body(&mut meter)));
    let gas_used = meter.used().max(MINIMUM_GAS);
    match result {
        Ok(Ok(output)) => Outcome::Return { gas_used, output },
        Ok(Err(Exit::Refused(refusal))) => Outcome::Revert {
            gas_used,
            output: refusal.encode(),
        },
        Ok(Err(Exit::OutOfGas)) => Outcome::OutOfGas,
        Ok(Err(Exit::Fault(reason))) => {
            tracing::error!(
                reason,
                "a precompile halted: this is a bug, please report it"
            );
            Outcome::Halt { reason }
        }
        Err(_) => {
            let reason = "a precompile panicked";
            tracing::error!(
                reason,
                "a precompile halted: this is a bug, please report it"
            );
            Outcome::Halt { reason }
        }
    }
}

/// Number of 32-byte words that hold `bytes` bytes.
pub fn words(bytes: usize) -> u64 {
    // A length fits 64 bits on every platform with memory to hold it.
    u64::try_from(bytes.div_ceil(32)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(gas_limit: u64) -> Call<'static> {
        Call {
            input: &[],
            gas_limit,
            is_static: false,
            is_direct: true,
            value_nonzero: false,
            caller: [0; 20],
        }
    }

    #[test]
    fn a_unit_is_paid_exactly() {
        let mut meter = Meter::new(10);
        assert!(meter.pay(10).is_ok());
        assert!(matches!(meter.pay(1), Err(Exit::OutOfGas)));
        assert_eq!(meter.used(), 10);
        assert!(matches!(meter.pay(u64::MAX), Err(Exit::OutOfGas)));
    }

    #[test]
    fn the_minimum_is_charged_once_and_at_least() {
        assert_eq!(metered(&call(99), |_| Ok(Vec::new())), Outcome::OutOfGas);
        let cheap = metered(&call(100), |meter| meter.pay(7).map(|()| vec![1]));
        assert_eq!(
            cheap,
            Outcome::Return {
                gas_used: 100,
                output: vec![1]
            }
        );
        let dear = metered(&call(1000), |meter| meter.pay(101).map(|()| vec![]));
        assert_eq!(
            dear,
            Outcome::Return {
                gas_used: 101,
                output: vec![]
            }
        );
    }

    #[test]
    fn a_panic_is_a_halt() {
        let outcome = metered(&call(100), |_| panic!("third-party code"));
        assert!(matches!(outcome, Outcome::Halt { .. }));
        assert_eq!(outcome.gas_used(100), 100);
    }

    #[test]
    fn words_round_up() {
        assert_eq!([0, 1, 32, 33].map(words), [0, 1, 1, 2]);
    }
}
