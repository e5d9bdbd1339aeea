//! `testing_buildBlockV1` (ethereum/execution-apis): a block as consensus would have it built, on any block,
//! from transactions that are given. Nothing of it is kept.

use std::collections::HashSet;
use std::time::Duration;

use alloy_consensus::transaction::Recovered;
use alloy_consensus::{Transaction as _, TxEnvelope};
use alloy_eips::eip4895::Withdrawals;
use alloy_eips::{BlockId, Encodable2718 as _};
use alloy_primitives::{Address, B256, Bloom, Bytes, U64, U256};
use pars_evm::{BlockAttributes, BlockRules, BuildError, Executed, decode_transaction};
use pars_store::{Block, BlockCommit};
use serde::{Deserialize, Serialize};

use crate::context::{Answer, Shared, answer, store_fault};
use crate::error::Fault;
use crate::params::Args;

/// Longest time that the given transactions may take, as for calls.
const MOST_TIME: Duration = Duration::from_secs(5);

/// `PayloadAttributesV3` of the engine API.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PayloadAttributes {
    timestamp: U64,
    prev_randao: B256,
    suggested_fee_recipient: Address,
    #[serde(default)]
    withdrawals: Option<Withdrawals>,
    #[serde(default)]
    parent_beacon_block_root: Option<B256>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Built {
    execution_payload: ExecutionPayload,
    block_value: U256,
    blobs_bundle: BlobsBundle,
    execution_requests: Vec<Bytes>,
    should_override_builder: bool,
}

/// `ExecutionPayloadV3` of the engine API; before Cancun without what has come since.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExecutionPayload {
    parent_hash: B256,
    fee_recipient: Address,
    state_root: B256,
    receipts_root: B256,
    logs_bloom: Bloom,
    prev_randao: B256,
    block_number: U64,
    gas_limit: U64,
    gas_used: U64,
    timestamp: U64,
    extra_data: Bytes,
    base_fee_per_gas: U256,
    block_hash: B256,
    transactions: Vec<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    withdrawals: Option<Withdrawals>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blob_gas_used: Option<U64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    excess_blob_gas: Option<U64>,
}

/// Blobs of the block's transactions: none, for those of type 3 are refused.
#[derive(Default, Serialize)]
struct BlobsBundle {
    commitments: [Bytes; 0],
    proofs: [Bytes; 0],
    blobs: [Bytes; 0],
}

/// `testing_buildBlockV1`
pub(super) fn build_block(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(4)?;
    let parent: B256 = args.hex(0)?;
    let wanted: PayloadAttributes = args.required(1)?;
    let given: Option<Vec<Bytes>> = args.optional(2)?;
    let extra_data: Option<Bytes> = args.optional(3)?;

    let node = &shared.node;
    let number = shared
        .number_of(BlockId::from(parent))?
        .ok_or_else(|| Fault::server(format!("unknown parent: {parent}")))?;
    let tip = node.store.tip_at(number).map_err(store_fault)?;
    let usual = (node.attributes)(tip.head());
    let timestamp = wanted.timestamp.to();
    let withdrawals = wanted.withdrawals.unwrap_or_default();
    if node.spec.rules == BlockRules::Pars && !withdrawals.is_empty() {
        return Err(Fault::invalid_params(
            "this network has no withdrawals; give an empty list",
        ));
    }
    let attributes = BlockAttributes {
        timestamp,
        beneficiary: wanted.suggested_fee_recipient,
        prev_randao: wanted.prev_randao,
        parent_beacon_block_root: wanted.parent_beacon_block_root.unwrap_or_default(),
        extra_data: extra_data.unwrap_or(usual.extra_data),
        withdrawals,
        time_budget: match given {
            Some(_) => MOST_TIME,
            None => usual.time_budget,
        },
    };
    let executor = &node.executor;
    let built = match given {
        Some(given) => {
            let given = recovered(shared, &given)?;
            let count = given.len();
            let built = executor.build_on(&tip, given, attributes);
            all_of(built.map_err(fault)?, count)?
        }
        None => {
            let waiting = node.best_transactions(&tip.head().header, HashSet::new());
            let built = executor.build_on(&tip, waiting, attributes);
            built.map_err(fault)?
        }
    };
    if built.commit.block.header.timestamp != timestamp {
        return Err(Fault::invalid_params(format!(
            "invalid timestamp: {timestamp} is not after the parent's"
        )));
    }
    answer(&Built::from(built))
}

fn fault(error: BuildError) -> Fault {
    match error {
        BuildError::Attributes(error) => Fault::invalid_params(error.to_string()),
        other => Fault::internal(other),
    }
}

fn recovered(shared: &Shared, given: &[Bytes]) -> Result<Vec<Recovered<TxEnvelope>>, Fault> {
    let refused = |index: usize, error: String| {
        Fault::invalid_params(format!("invalid transaction {index}: {error}"))
    };
    let decoded = given.iter().enumerate().map(|(index, raw)| {
        decode_transaction(raw).map_err(|error| refused(index, error.to_string()))
    });
    let decoded: Vec<_> = decoded.collect::<Result<_, _>>()?;
    let senders = shared.node.executor.senders().recover_all(&decoded);
    let senders = senders.map_err(|error| refused(error.index, error.to_string()))?;
    let pairs = decoded.into_iter().zip(senders);
    Ok(pairs
        .map(|(transaction, sender)| Recovered::new_unchecked(transaction, sender))
        .collect())
}

/// A block that has all the transactions it was to have.
fn all_of(built: Executed, count: usize) -> Result<Executed, Fault> {
    let included = built.commit.block.transactions.len();
    if included == count {
        return Ok(built);
    }
    Err(Fault::server(match built.skipped.first() {
        Some((_, reason)) => reason.clone(),
        None => format!("only {included} of {count} transactions find room in the block"),
    }))
}

impl From<Executed> for Built {
    fn from(built: Executed) -> Self {
        let block_value = value(&built.commit);
        Self {
            execution_payload: built.commit.block.into(),
            block_value,
            blobs_bundle: BlobsBundle::default(),
            execution_requests: built.requests.take(),
            should_override_builder: false,
        }
    }
}

impl From<Block> for ExecutionPayload {
    fn from(block: Block) -> Self {
        let header = block.header;
        Self {
            parent_hash: header.parent_hash,
            fee_recipient: header.beneficiary,
            state_root: header.state_root,
            receipts_root: header.receipts_root,
            logs_bloom: header.logs_bloom,
            prev_randao: header.mix_hash,
            block_number: U64::from(header.number),
            gas_limit: U64::from(header.gas_limit),
            gas_used: U64::from(header.gas_used),
            timestamp: U64::from(header.timestamp),
            extra_data: header.extra_data,
            base_fee_per_gas: U256::from(header.base_fee_per_gas.unwrap_or_default()),
            block_hash: block.hash,
            transactions: block
                .transactions
                .iter()
                .map(|transaction| transaction.encoded_2718().into())
                .collect(),
            withdrawals: block.withdrawals,
            blob_gas_used: header.blob_gas_used.map(U64::from),
            excess_blob_gas: header.excess_blob_gas.map(U64::from),
        }
    }
}

/// What the block is worth to its proposer: all priority fees, in wei.
fn value(commit: &BlockCommit) -> U256 {
    let base_fee = commit.block.header.base_fee_per_gas.unwrap_or_default();
    let mut before = 0;
    let mut value = U256::ZERO;
    for (transaction, receipt) in commit.block.transactions.iter().zip(&commit.receipts) {
        let until = receipt.cumulative_gas_used();
        let gas = U256::from(until.saturating_sub(before));
        before = until;
        let tip = transaction.effective_tip_per_gas(base_fee);
        value += gas * U256::from(tip.unwrap_or_default());
    }
    value
}
