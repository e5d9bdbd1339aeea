//! From a call to the unsigned transaction it stands for.

use alloy_consensus::{
    SignableTransaction as _, TxEip1559, TxEip4844, TxEip7702, TxEnvelope, TxLegacy,
    transaction::TxEip4844Variant,
};
use alloy_primitives::{Address, Signature, TxKind, U256};
use alloy_rpc_types_eth::TransactionRequest;

use super::SimulateError;

/// What the transaction of a request is filled in with.
#[derive(Clone, Copy, Debug)]
pub struct TransactionDefaults {
    /// Chain it is for.
    pub chain_id: u64,
    /// Its nonce, where the request names none.
    pub nonce: u64,
    /// Its gas limit, whatever the request names.
    pub gas: u64,
    /// Whether blocks have a base fee. Without one every transaction is of type 0.
    pub has_base_fee: bool,
}

/// The transaction `request` stands for, of the type geth gives it, with a signature of zeros.
///
/// # Errors
/// [`SimulateError::Request`] where the request contradicts itself or names another chain.
pub fn unsigned_transaction(
    request: TransactionRequest,
    defaults: &TransactionDefaults,
) -> Result<TxEnvelope, SimulateError> {
    let refused = |text: &str| Err(SimulateError::Request(text.to_owned()));
    let names_new_fees =
        request.max_fee_per_gas.is_some() || request.max_priority_fee_per_gas.is_some();
    if request.gas_price.is_some() && names_new_fees {
        return refused("both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified");
    }
    if names_new_fees && !defaults.has_base_fee {
        return refused(
            "maxFeePerGas and maxPriorityFeePerGas are not valid before London is active",
        );
    }
    let have = request.chain_id.unwrap_or(defaults.chain_id);
    if have != defaults.chain_id {
        return Err(SimulateError::Request(format!(
            "chainId does not match node's (have={have}, want={})",
            defaults.chain_id
        )));
    }
    let input = request
        .input
        .try_into_unique_input()
        .map_err(|error| SimulateError::Request(error.to_string()))?
        .unwrap_or_default();
    let chain_id = defaults.chain_id;
    let nonce = request.nonce.unwrap_or(defaults.nonce);
    let gas_limit = defaults.gas;
    let value = request.value.unwrap_or_default();
    let to = request.to.unwrap_or(TxKind::Create);
    let max_fee_per_gas = request.max_fee_per_gas.unwrap_or_default();
    let max_priority_fee_per_gas = request.max_priority_fee_per_gas.unwrap_or_default();
    let access_list = request.access_list.unwrap_or_default();
    let signature = Signature::new(U256::ZERO, U256::ZERO, false);

    if request.gas_price.is_some() || !defaults.has_base_fee {
        let transaction = TxLegacy {
            chain_id: None,
            nonce,
            gas_price: request.gas_price.unwrap_or_default(),
            gas_limit,
            to,
            value,
            input,
        };
        return Ok(transaction.into_signed(signature).into());
    }
    let recipient = |kind: &str| match to {
        TxKind::Call(to) => Ok(to),
        TxKind::Create => Err(SimulateError::Request(format!(
            "{kind} transaction cannot be used to create contract"
        ))),
    };
    if let Some(authorization_list) = request.authorization_list {
        let transaction = TxEip7702 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas,
            max_priority_fee_per_gas,
            to: recipient("EIP-7702")?,
            value,
            access_list,
            authorization_list,
            input,
        };
        return Ok(transaction.into_signed(signature).into());
    }
    if let Some(blob_versioned_hashes) = request.blob_versioned_hashes {
        let transaction = TxEip4844 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas,
            max_priority_fee_per_gas,
            to: recipient("blob")?,
            value,
            access_list,
            blob_versioned_hashes,
            max_fee_per_blob_gas: request.max_fee_per_blob_gas.unwrap_or_default(),
            input,
        };
        let transaction: TxEip4844Variant = transaction.into();
        return Ok(transaction.into_signed(signature).into());
    }
    let transaction = TxEip1559 {
        chain_id,
        nonce,
        gas_limit,
        max_fee_per_gas,
        max_priority_fee_per_gas,
        to,
        value,
        access_list,
        input,
    };
    Ok(transaction.into_signed(signature).into())
}

/// The sender of a call, zero where it names none.
pub(super) fn sender(request: &TransactionRequest) -> Address {
    request.from.unwrap_or_default()
}
