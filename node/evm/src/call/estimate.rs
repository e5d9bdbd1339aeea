//! The least gas a call needs, found by running it.

use alloy_primitives::TxKind;
use revm::{
    context::TxEnv,
    context_interface::result::{ExecutionResult, HaltReason},
};

use super::{CallError, run::Caller, told_halt};
use crate::{execution::MIN_TRANSACTION_GAS, state::StateRef};

/// Gas a call with value hands to the callee for free, which the caller must have at hand.
const CALL_STIPEND: u64 = 2_300;

pub(crate) fn estimate<V: StateRef>(
    mut caller: Caller<'_, V>,
    requested: Option<u64>,
) -> Result<u64, CallError> {
    let mut transaction = caller.transaction.clone();
    // The upper bound: what was asked for or the block holds, less what the sender cannot pay
    // for, within the caps of calls and of transactions.
    let mut high = requested
        .filter(|gas| *gas >= MIN_TRANSACTION_GAS)
        .unwrap_or(caller.block_gas_limit)
        .min(caller.allowance()?)
        .min(caller.gas_cap)
        .min(caller.transaction_gas_cap());

    if is_plain_transfer(&mut caller, &transaction)? && high >= MIN_TRANSACTION_GAS {
        transaction.gas_limit = MIN_TRANSACTION_GAS;
        if let Trial::Enough { .. } = attempt(&mut caller, &transaction)? {
            return Ok(MIN_TRANSACTION_GAS);
        }
    }

    transaction.gas_limit = high;
    let (used, refunded) = match attempt(&mut caller, &transaction)? {
        Trial::Enough { used, refunded } => (used, refunded),
        Trial::TooLittle => return Err(CallError::GasAllowance(high)),
        Trial::Fails(error) => return Err(error),
    };

    // Too little: one less than was used. Enough, most often: what was used before refunds, the
    // stipend, and the 64th that every call keeps back.
    let mut low = used.saturating_sub(1);
    let guess = used
        .saturating_add(refunded)
        .saturating_add(CALL_STIPEND)
        .saturating_mul(64)
        / 63;
    if guess < high {
        match enough(&mut caller, &mut transaction, guess)? {
            true => high = guess,
            false => low = guess,
        }
    }
    while low.saturating_add(1) < high {
        // Most calls need little more than they use, so the first steps lean to the low end.
        let middle = (low + (high - low) / 2).min(low.saturating_mul(2).max(low + 1));
        match enough(&mut caller, &mut transaction, middle)? {
            true => high = middle,
            false => low = middle,
        }
    }
    Ok(high)
}

/// What came of a run with some gas limit.
enum Trial {
    Enough { used: u64, refunded: u64 },
    TooLittle,
    Fails(CallError),
}

fn enough<V: StateRef>(
    caller: &mut Caller<'_, V>,
    transaction: &mut TxEnv,
    gas: u64,
) -> Result<bool, CallError> {
    transaction.gas_limit = gas;
    // Below the limit any failure counts as too little gas: a contract may well catch a callee's
    // lack of gas and revert on its own.
    Ok(matches!(
        attempt(caller, transaction)?,
        Trial::Enough { .. }
    ))
}

fn attempt<V: StateRef>(
    caller: &mut Caller<'_, V>,
    transaction: &TxEnv,
) -> Result<Trial, CallError> {
    match caller.run(transaction.clone()) {
        Ok((ExecutionResult::Success { gas, .. }, _)) => Ok(Trial::Enough {
            used: gas.tx_gas_used(),
            refunded: gas.inner_refunded(),
        }),
        Ok((ExecutionResult::Revert { output, .. }, _)) => {
            Ok(Trial::Fails(CallError::Reverted(output)))
        }
        Ok((
            ExecutionResult::Halt {
                reason: HaltReason::OutOfGas(_),
                ..
            },
            _,
        )) => Ok(Trial::TooLittle),
        Ok((ExecutionResult::Halt { reason, .. }, last)) => {
            Ok(Trial::Fails(CallError::Failed(told_halt(&reason, last))))
        }
        Err(CallError::Invalid { reason, .. }) if is_lack_of_gas(&reason) => Ok(Trial::TooLittle),
        Err(error) => Err(error),
    }
}

/// Whether a transaction was refused because its gas does not even cover what it costs to send.
fn is_lack_of_gas(text: &str) -> bool {
    text.starts_with("intrinsic gas too low")
        || text.starts_with("insufficient gas for floor data gas cost")
}

fn is_plain_transfer<V: StateRef>(
    caller: &mut Caller<'_, V>,
    transaction: &TxEnv,
) -> Result<bool, CallError> {
    let TxKind::Call(to) = transaction.kind else {
        return Ok(false);
    };
    Ok(transaction.data.is_empty()
        && transaction.access_list.0.is_empty()
        && transaction.authorization_list.is_empty()
        && !caller.has_code(to)?)
}
