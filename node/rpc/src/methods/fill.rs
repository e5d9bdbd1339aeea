//! `eth_fillTransaction`: what a wallet would have to find out before it signs.

use alloy_consensus::transaction::Recovered;
use alloy_eips::BlockId;
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::Bytes;
use pars_evm::{TransactionDefaults, unsigned_transaction};
use serde_json::json;

use super::call::{estimate_fault, request};
use super::fee::suggested_tip;
use super::state::next_nonce;
use crate::context::{Answer, Shared, answer};
use crate::convert;
use crate::error::Fault;
use crate::params::Args;

/// `eth_fillTransaction`: the transaction with nonce, fees and gas, ready to be signed.
pub(super) fn fill(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(1)?;
    let mut request = request(args)?;
    let sender = request.from.unwrap_or_default();
    request.from = Some(sender);
    if request.to.is_none() && request.input.input().is_none_or(|input| input.is_empty()) {
        return Err(Fault::server("contract creation without any data provided"));
    }
    let nonce = match request.nonce {
        Some(nonce) => nonce,
        None => next_nonce(shared, sender)?,
    };
    request.nonce = Some(nonce);
    let base_fee = shared.node.spec.base_fee_after(&shared.head().header);
    if request.gas_price.is_some() {
        // Its price is named, as a transaction of type 0.
    } else if let Some(base_fee) = base_fee {
        let tip = match request.max_priority_fee_per_gas {
            Some(tip) => tip,
            None => suggested_tip(shared)?.saturating_to(),
        };
        // Twice the base fee: enough for several full blocks, as in geth.
        let cap = request
            .max_fee_per_gas
            .unwrap_or_else(|| u128::from(base_fee).saturating_mul(2).saturating_add(tip));
        if cap < tip {
            return Err(Fault::server(format!(
                "maxFeePerGas ({cap:#x}) < maxPriorityFeePerGas ({tip:#x})"
            )));
        }
        request.max_priority_fee_per_gas = Some(tip);
        request.max_fee_per_gas = Some(cap);
    } else {
        request.gas_price = Some(suggested_tip(shared)?.saturating_to());
    }
    let gas = match request.gas {
        Some(gas) => gas,
        None => {
            let (header, state) = shared.state(BlockId::latest())?;
            let options = shared.call_options();
            shared
                .node
                .executor
                .estimate_gas(&header, state, &request, &options)
                .map_err(estimate_fault)?
        }
    };
    let defaults = TransactionDefaults {
        chain_id: shared.node.spec.chain_id,
        nonce,
        gas,
        has_base_fee: base_fee.is_some(),
    };
    let transaction = unsigned_transaction(request, &defaults)
        .map_err(|error| Fault::server(error.to_string()))?;
    let raw = Bytes::from(transaction.encoded_2718());
    let shown = convert::pending_transaction(Recovered::new_unchecked(transaction, sender));
    answer(&json!({ "raw": raw, "tx": shown }))
}
