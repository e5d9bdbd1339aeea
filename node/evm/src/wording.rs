//! geth's words for refusals and halts. Tools match on these texts.

use alloy_primitives::Address;
use revm::{
    context::TxEnv,
    context_interface::result::{HaltReason, InvalidTransaction, OutOfGasError},
};

/// What geth says of a transaction from `sender` that cannot be executed for this reason.
pub fn invalid_transaction_message(error: &InvalidTransaction, sender: Address) -> String {
    use InvalidTransaction as E;
    match error {
        E::NonceTooLow { tx, state } => {
            format!("nonce too low: address {sender}, tx: {tx} state: {state}")
        }
        E::NonceTooHigh { tx, state } => {
            format!("nonce too high: address {sender}, tx: {tx} state: {state}")
        }
        E::NonceOverflowInTransaction => format!("nonce has max value: address {sender}"),
        E::RejectCallerWithCode => format!("sender not an eoa: address {sender}"),
        E::LackOfFundForMaxFee { fee, balance } => format!(
            "insufficient funds for gas * price + value: address {sender} have {balance} want {fee}"
        ),
        E::OverflowPaymentInTransaction => {
            format!("insufficient funds for gas * price + value: address {sender}")
        }
        E::PriorityFeeGreaterThanMaxFee => {
            format!("max priority fee per gas higher than max fee per gas: address {sender}")
        }
        E::GasPriceLessThanBasefee => {
            format!("max fee per gas less than block base fee: address {sender}")
        }
        E::CallerGasLimitMoreThanBlock => "exceeds block gas limit".to_owned(),
        E::CallGasCostMoreThanGasLimit {
            initial_gas,
            gas_limit,
        } => {
            format!("intrinsic gas too low: have {gas_limit}, want {initial_gas}")
        }
        E::GasFloorMoreThanGasLimit {
            gas_floor,
            gas_limit,
        } => {
            format!("insufficient gas for floor data gas cost: have {gas_limit}, want {gas_floor}")
        }
        E::CreateInitCodeSizeLimit => "max initcode size exceeded".to_owned(),
        E::InvalidChainId | E::MissingChainId => "invalid chain id for signer".to_owned(),
        E::TxGasLimitGreaterThanCap { gas_limit, cap } => {
            format!("transaction gas limit too high (cap: {cap}, tx: {gas_limit})")
        }
        E::EmptyAuthorizationList => "EIP-7702 transaction with empty auth list".to_owned(),
        E::BlobCreateTransaction => "blob transaction of type create".to_owned(),
        E::EmptyBlobs => "blob transaction missing blob hashes".to_owned(),
        E::TooManyBlobs { max, have } => {
            format!("blob transaction has too many blobs: {have}, at most {max} are allowed")
        }
        E::BlobVersionNotSupported => "blob has invalid hash version".to_owned(),
        E::BlobGasPriceGreaterThanMax { .. } => {
            format!("max fee per blob gas less than block blob gas fee: address {sender}")
        }
        E::Eip4844NotSupported
        | E::BlobVersionedHashesNotSupported
        | E::MaxFeePerBlobGasNotSupported
        | E::Eip2930NotSupported
        | E::Eip1559NotSupported
        | E::Eip7702NotSupported
        | E::Eip7873NotSupported
        | E::AccessListNotSupported
        | E::AuthorizationListNotSupported => "transaction type not supported".to_owned(),
        other => other.to_string(),
    }
}

/// The same of a call, with the numbers that only a call's transaction tells.
pub(crate) fn call_refused_message(
    error: &InvalidTransaction,
    transaction: &TxEnv,
    base_fee: u64,
) -> String {
    use InvalidTransaction as E;
    let text = invalid_transaction_message(error, transaction.caller);
    // Of a transaction with a price of its own, the price is both.
    let most = transaction.gas_price;
    let tip = transaction.gas_priority_fee.unwrap_or(most);
    match error {
        E::NonceOverflowInTransaction => format!("{text}, nonce: {}", u64::MAX),
        E::PriorityFeeGreaterThanMaxFee => {
            format!("{text}, maxPriorityFeePerGas: {tip}, maxFeePerGas: {most}")
        }
        E::GasPriceLessThanBasefee => format!("{text}, maxFeePerGas: {most}, baseFee: {base_fee}"),
        _ => text,
    }
}

/// What geth says of an execution that stopped for this reason.
pub fn halt_message(reason: &HaltReason) -> String {
    use HaltReason as H;
    let text = match reason {
        H::OutOfGas(OutOfGasError::ReentrancySentry) => {
            "out of gas: not enough gas for reentrancy sentry"
        }
        H::OutOfGas(_) => "out of gas",
        H::OpcodeNotFound | H::NotActivated => "invalid opcode",
        H::InvalidFEOpcode => "invalid opcode: INVALID",
        H::InvalidJump => "invalid jump destination",
        H::StackUnderflow => "stack underflow",
        H::StackOverflow => "stack limit reached 1024 (1023)",
        H::OutOfOffset => "return data out of bounds",
        H::CreateCollision => "contract address collision",
        H::NonceOverflow => "nonce uint64 overflow",
        H::CreateContractSizeLimit => "max code size exceeded",
        H::CreateContractStartingWithEF => "invalid code: must not begin with 0xef",
        H::CreateInitCodeSizeLimit => "max initcode size exceeded",
        H::StateChangeDuringStaticCall | H::CallNotAllowedInsideStatic => "write protection",
        H::OutOfFunds => "insufficient balance for transfer",
        H::CallTooDeep => "max call depth exceeded",
        H::PrecompileErrorWithContext(context) => return format!("precompile failed: {context}"),
        H::PrecompileError => "precompile failed",
        other => return format!("{other:?}"),
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::U256;

    #[test]
    fn refusals_begin_with_the_words_tools_match_on() {
        let sender = Address::repeat_byte(0x11);
        let cases: [(InvalidTransaction, &str); 8] = [
            (
                InvalidTransaction::NonceTooLow { tx: 1, state: 2 },
                "nonce too low: ",
            ),
            (
                InvalidTransaction::NonceTooHigh { tx: 3, state: 2 },
                "nonce too high: ",
            ),
            (
                InvalidTransaction::LackOfFundForMaxFee {
                    fee: Box::new(U256::from(5)),
                    balance: Box::new(U256::from(4)),
                },
                "insufficient funds for gas * price + value",
            ),
            (
                InvalidTransaction::CallGasCostMoreThanGasLimit {
                    initial_gas: 21_000,
                    gas_limit: 20_999,
                },
                "intrinsic gas too low",
            ),
            (
                InvalidTransaction::GasFloorMoreThanGasLimit {
                    gas_floor: 9,
                    gas_limit: 8,
                },
                "insufficient gas for floor data gas cost",
            ),
            (
                InvalidTransaction::GasPriceLessThanBasefee,
                "max fee per gas less than block base fee",
            ),
            (
                InvalidTransaction::CallerGasLimitMoreThanBlock,
                "exceeds block gas limit",
            ),
            (
                InvalidTransaction::TxGasLimitGreaterThanCap {
                    gas_limit: 2,
                    cap: 1,
                },
                "transaction gas limit too high",
            ),
        ];
        for (error, words) in cases {
            let text = invalid_transaction_message(&error, sender);
            assert!(text.starts_with(words), "{error:?} became \"{text}\"");
        }
    }
}
