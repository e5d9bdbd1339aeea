//! From the node's own types to the objects wallets read.
//!
//! The field names and encodings are alloy's; what is computed here is what JSON-RPC adds to the
//! consensus types: positions, effective prices, contract addresses, log indices, sizes.

use alloy_consensus::transaction::{Recovered, TransactionInfo};
use alloy_consensus::{
    Block as ConsensusBlock, Header, ReceiptEnvelope, Sealed, Transaction as _, TxEnvelope,
};
use alloy_network_primitives::BlockTransactions;
use alloy_primitives::{Address, B256, Log, U256};
use alloy_rlp::Encodable;
use alloy_rpc_types_eth as rpc;
use pars_evm::ChainSpec;
use pars_store::Block;
use serde::Serialize;

/// A transaction's place in a block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// The block's header.
    pub header: &'a Header,
    /// The block's hash.
    pub hash: B256,
    /// Position in the block.
    pub index: usize,
}

/// A transaction in a block.
pub(crate) fn mined_transaction(
    transaction: &TxEnvelope,
    sender: Address,
    place: Place<'_>,
) -> rpc::Transaction {
    let info = TransactionInfo {
        hash: Some(*transaction.tx_hash()),
        index: Some(place.index as u64),
        block_hash: Some(place.hash),
        block_number: Some(place.header.number),
        base_fee: place.header.base_fee_per_gas,
        block_timestamp: Some(place.header.timestamp),
    };
    rpc::Transaction::from_transaction(Recovered::new_unchecked(transaction.clone(), sender), info)
}

/// A transaction that is in no block, all whose places say so.
#[derive(Debug, Serialize)]
pub(crate) struct PendingTransaction {
    #[serde(flatten)]
    transaction: rpc::Transaction,
    /// Always `null`: the shared type leaves it out instead.
    #[serde(rename = "blockTimestamp")]
    block_timestamp: (),
}

/// A transaction that waits in the pool: no block, no position.
pub(crate) fn pending_transaction(transaction: Recovered<TxEnvelope>) -> PendingTransaction {
    PendingTransaction {
        transaction: rpc::Transaction::from_transaction(transaction, TransactionInfo::default()),
        block_timestamp: (),
    }
}

/// The transaction at `index` of `block`.
pub(crate) fn transaction_at(block: &Block, index: usize) -> Option<rpc::Transaction> {
    let transaction = block.transactions.get(index)?;
    let sender = *block.senders.get(index)?;
    Some(mined_transaction(
        transaction,
        sender,
        Place {
            header: &block.header,
            hash: block.hash,
            index,
        },
    ))
}

/// A header as `newHeads` sends it.
pub(crate) fn header(header: &Header, hash: B256) -> rpc::Header {
    rpc::Header::from_sealed(Sealed::new_unchecked(header.clone(), hash))
}

/// A block with its transactions in full or as hashes.
pub(crate) fn block(block: Block, full: bool) -> rpc::Block {
    let transactions = if full {
        BlockTransactions::Full(
            (0..block.transactions.len())
                .filter_map(|index| transaction_at(&block, index))
                .collect(),
        )
    } else {
        BlockTransactions::Hashes(
            block
                .transactions
                .iter()
                .map(|transaction| *transaction.tx_hash())
                .collect(),
        )
    };
    let hash = block.hash;
    let block = block.into_consensus();
    let size = ConsensusBlock::rlp_length_for(&block.header, &block.body);
    let header = rpc::Header::from_consensus(
        Sealed::new_unchecked(block.header, hash),
        None,
        Some(U256::from(size)),
    );
    let mut converted =
        rpc::Block::new(header, transactions).with_withdrawals(block.body.withdrawals);
    converted.uncles = block.body.ommers.iter().map(Header::hash_slow).collect();
    converted
}

/// An uncle: a block of which only the header is known.
pub(crate) fn uncle(header: Header) -> rpc::Block {
    let size = Encodable::length(&ConsensusBlock::<TxEnvelope>::uncle(header.clone()));
    let hash = header.hash_slow();
    let header = rpc::Header::from_consensus(
        Sealed::new_unchecked(header, hash),
        None,
        Some(U256::from(size)),
    );
    rpc::Block::new(header, BlockTransactions::Uncle)
}

/// All receipts of a block, in order. `None` if the receipts do not belong to the block.
pub(crate) fn receipts(
    spec: &ChainSpec,
    block: &Block,
    receipts: Vec<ReceiptEnvelope>,
) -> Option<Vec<rpc::TransactionReceipt>> {
    if !belong(&receipts, block) {
        return None;
    }
    let mut before = Before::default();
    let receipts = receipts.into_iter().enumerate();
    receipts
        .map(|(index, receipt)| numbered(spec, block, index, receipt, &mut before))
        .collect()
}

/// The receipt of the transaction at `index` among those of its block; `None` if they do not match the
/// block. The others are only counted.
pub(crate) fn receipt_at(
    spec: &ChainSpec,
    block: &Block,
    mut receipts: Vec<ReceiptEnvelope>,
    index: usize,
) -> Option<rpc::TransactionReceipt> {
    if !belong(&receipts, block) || index >= receipts.len() {
        return None;
    }
    let mut before = Before::default();
    receipts.iter().take(index).for_each(|one| before.add(one));
    let receipt = receipts.swap_remove(index);
    numbered(spec, block, index, receipt, &mut before)
}

fn belong(receipts: &[ReceiptEnvelope], block: &Block) -> bool {
    let count = block.transactions.len();
    (receipts.len(), block.senders.len()) == (count, count)
}

/// What the transactions before one in its block have used.
#[derive(Default)]
struct Before {
    gas: u64,
    logs: u64,
}

impl Before {
    fn add(&mut self, receipt: &ReceiptEnvelope) {
        self.gas = receipt.cumulative_gas_used();
        self.logs += receipt.logs().len() as u64;
    }
}

/// The receipt of the transaction at `index`, with its place in the block.
fn numbered(
    spec: &ChainSpec,
    block: &Block,
    index: usize,
    receipt: ReceiptEnvelope,
    before: &mut Before,
) -> Option<rpc::TransactionReceipt> {
    let transaction = block.transactions.get(index)?;
    let sender = *block.senders.get(index)?;
    let (gas_before, mut next_log_index) = (before.gas, before.logs);
    before.add(&receipt);
    let inner = receipt.map_logs(|log| {
        let log = rpc::Log {
            inner: log,
            block_hash: Some(block.hash),
            block_number: Some(block.header.number),
            block_timestamp: Some(block.header.timestamp),
            transaction_hash: Some(*transaction.tx_hash()),
            transaction_index: Some(index as u64),
            log_index: Some(next_log_index),
            removed: false,
        };
        next_log_index += 1;
        log
    });
    let blob_fee = || {
        let params = spec.blob_params(block.header.timestamp)?;
        Some(params.calc_blob_fee(block.header.excess_blob_gas?))
    };
    Some(rpc::TransactionReceipt {
        inner,
        transaction_hash: *transaction.tx_hash(),
        transaction_index: Some(index as u64),
        block_hash: Some(block.hash),
        block_number: Some(block.header.number),
        gas_used: before.gas.saturating_sub(gas_before),
        effective_gas_price: transaction.effective_gas_price(block.header.base_fee_per_gas),
        blob_gas_used: transaction.blob_gas_used(),
        blob_gas_price: transaction.blob_gas_used().and_then(|_| blob_fee()),
        from: sender,
        to: transaction.to(),
        contract_address: transaction
            .is_create()
            .then(|| sender.create(transaction.nonce())),
    })
}

/// A log of the transaction at `index` of a block.
pub(crate) fn log_of(
    block: &Block,
    index: usize,
    transaction: &TxEnvelope,
    log_index: u64,
    inner: Log,
) -> rpc::Log {
    rpc::Log {
        inner,
        block_hash: Some(block.hash),
        block_number: Some(block.header.number),
        block_timestamp: Some(block.header.timestamp),
        transaction_hash: Some(*transaction.tx_hash()),
        transaction_index: Some(index as u64),
        log_index: Some(log_index),
        removed: false,
    }
}

/// The logs of a block that `filter` asks for by address and topic, in order.
pub(crate) fn matching_logs(
    block: &Block,
    receipts: &[ReceiptEnvelope],
    filter: &rpc::Filter,
) -> Vec<rpc::Log> {
    let mut logs = Vec::new();
    let mut log_index = 0;
    for (index, (receipt, transaction)) in receipts.iter().zip(&block.transactions).enumerate() {
        for log in receipt.logs() {
            if filter.matches(log) {
                logs.push(log_of(block, index, transaction, log_index, log.clone()));
            }
            log_index += 1;
        }
    }
    logs
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_consensus::{
        Eip658Value, Receipt, SignableTransaction, TxEip1559, TxLegacy, TxReceipt as _,
    };
    use alloy_primitives::{Bytes, Log, Signature, TxKind, address, b256};
    use serde_json::{Value, json};

    const SENDER: Address = address!("f39fd6e51aad88f6f4ce6ab8827279cfffb92266");
    const TARGET: Address = address!("00000000000000000000000000000000000000aa");

    fn signature() -> Signature {
        Signature::new(U256::from(1), U256::from(2), true)
    }

    fn log(topic: u8) -> Log {
        Log::new_unchecked(TARGET, vec![B256::with_last_byte(topic)], Bytes::new())
    }

    fn receipt(cumulative_gas_used: u64, logs: Vec<Log>) -> Receipt<Log> {
        Receipt {
            status: Eip658Value::Eip658(true),
            cumulative_gas_used,
            logs,
        }
    }

    /// A block with a legacy creation (one log) and a type 2 call (two logs).
    fn sample() -> (Block, Vec<ReceiptEnvelope>) {
        let creation = TxLegacy {
            chain_id: Some(6133),
            nonce: 7,
            gas_price: 40,
            gas_limit: 100_000,
            to: TxKind::Create,
            ..TxLegacy::default()
        };
        let call = TxEip1559 {
            chain_id: 6133,
            nonce: 8,
            max_fee_per_gas: 100,
            max_priority_fee_per_gas: 3,
            gas_limit: 50_000,
            to: TxKind::Call(TARGET),
            ..TxEip1559::default()
        };
        let header = Header {
            number: 5,
            timestamp: 1_700_000_000,
            base_fee_per_gas: Some(25),
            gas_limit: 15_000_000,
            gas_used: 90_000,
            withdrawals_root: Some(B256::ZERO),
            ..Header::default()
        };
        let mut block = Block::seal(
            header,
            vec![
                TxEnvelope::Legacy(creation.into_signed(signature())),
                TxEnvelope::Eip1559(call.into_signed(signature())),
            ],
            vec![SENDER, SENDER],
        );
        block.hash = b256!("00000000000000000000000000000000000000000000000000000000000000b5");
        let receipts = vec![
            ReceiptEnvelope::Legacy(receipt(60_000, vec![log(1)]).into_with_bloom()),
            ReceiptEnvelope::Eip1559(receipt(90_000, vec![log(2), log(1)]).into_with_bloom()),
        ];
        (block, receipts)
    }

    fn as_json(value: &impl serde::Serialize) -> Value {
        serde_json::to_value(value).unwrap()
    }

    #[test]
    fn receipts_carry_positions_prices_and_addresses() {
        let (block, stored) = sample();
        let receipts = as_json(&receipts(&ChainSpec::pars(), &block, stored).unwrap());
        assert_eq!(receipts[0]["type"], "0x0");
        assert_eq!(receipts[0]["to"], Value::Null);
        assert_eq!(receipts[0]["contractAddress"], as_json(&SENDER.create(7)));
        assert_eq!(receipts[0]["gasUsed"], "0xea60");
        assert_eq!(receipts[0]["effectiveGasPrice"], "0x28");
        assert_eq!(receipts[0]["status"], "0x1");
        assert_eq!(receipts[1]["type"], "0x2");
        assert_eq!(receipts[1]["contractAddress"], Value::Null);
        assert_eq!(receipts[1]["to"], as_json(&TARGET));
        assert_eq!(receipts[1]["gasUsed"], "0x7530");
        assert_eq!(receipts[1]["cumulativeGasUsed"], "0x15f90");
        assert_eq!(receipts[1]["effectiveGasPrice"], "0x1c");
        assert_eq!(receipts[1]["transactionIndex"], "0x1");
        let indices: Vec<_> = receipts
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|receipt| receipt["logs"].as_array().unwrap())
            .map(|log| log["logIndex"].clone())
            .collect();
        assert_eq!(indices, [json!("0x0"), json!("0x1"), json!("0x2")]);
        assert_eq!(receipts[1]["logs"][0]["removed"], false);
        assert!(receipts[1]["logsBloom"].as_str().unwrap().len() == 514);
    }

    #[test]
    fn one_receipt_is_as_it_is_among_all() {
        let (block, stored) = sample();
        let spec = ChainSpec::pars();
        let all = receipts(&spec, &block, stored.clone()).unwrap();
        for (index, expected) in all.iter().enumerate() {
            let one = receipt_at(&spec, &block, stored.clone(), index).unwrap();
            assert_eq!(as_json(&one), as_json(expected), "{index}");
        }
        assert!(receipt_at(&spec, &block, stored, all.len()).is_none());
    }

    #[test]
    fn receipts_of_another_block_are_refused() {
        let (block, mut stored) = sample();
        stored.pop();
        assert!(receipts(&ChainSpec::pars(), &block, stored.clone()).is_none());
        assert!(receipt_at(&ChainSpec::pars(), &block, stored, 0).is_none());
    }

    #[test]
    fn transactions_show_parity_and_price() {
        let (block, _) = sample();
        let legacy = as_json(&transaction_at(&block, 0).unwrap());
        assert_eq!(legacy["type"], "0x0");
        assert_eq!(legacy["to"], Value::Null);
        assert_eq!(legacy["chainId"], "0x17f5");
        // EIP-155: v = 2 * chain id + 35 + parity
        assert_eq!(legacy["v"], format!("{:#x}", 2 * 6133 + 36));
        let typed = as_json(&transaction_at(&block, 1).unwrap());
        assert_eq!(typed["yParity"], "0x1");
        assert_eq!(typed["v"], "0x1");
        assert_eq!(typed["gasPrice"], "0x1c");
        assert_eq!(typed["blockNumber"], "0x5");
        assert_eq!(typed["transactionIndex"], "0x1");
        assert_eq!(typed["from"], as_json(&SENDER));
        assert!(transaction_at(&block, 2).is_none());
    }

    #[test]
    fn pending_transactions_have_no_block() {
        let (block, _) = sample();
        let transaction = Recovered::new_unchecked(block.transactions[1].clone(), SENDER);
        let value = as_json(&pending_transaction(transaction));
        for field in ["blockHash", "blockNumber", "transactionIndex"] {
            assert_eq!(value.get(field), Some(&Value::Null), "{field}");
        }
        assert_eq!(value["gasPrice"], "0x64");
    }

    #[test]
    fn blocks_list_hashes_or_transactions() {
        let (sample, _) = sample();
        let hashes = as_json(&block(sample.clone(), false));
        assert_eq!(hashes["hash"], as_json(&sample.hash));
        assert_eq!(
            hashes["transactions"][1],
            as_json(sample.transactions[1].tx_hash())
        );
        assert_eq!(hashes["uncles"], json!([]));
        assert_eq!(hashes["number"], "0x5");
        assert_eq!(hashes["baseFeePerGas"], "0x19");
        assert_eq!(hashes["withdrawals"], json!([]));
        let full = as_json(&block(sample.clone(), true));
        assert_eq!(
            full["transactions"][1]["hash"],
            as_json(sample.transactions[1].tx_hash())
        );
        assert_eq!(full["size"], hashes["size"]);
        assert_ne!(full["size"], "0x0");
    }

    #[test]
    fn logs_match_by_topic_and_keep_their_index() {
        let (block, stored) = sample();
        let filter = rpc::Filter::new()
            .address(TARGET)
            .event_signature(B256::with_last_byte(1));
        let logs = matching_logs(&block, &stored, &filter);
        assert_eq!(
            logs.iter()
                .map(|log| log.log_index.unwrap())
                .collect::<Vec<_>>(),
            [0, 2]
        );
        assert_eq!(logs[1].transaction_index, Some(1));
        let other = rpc::Filter::new().address(SENDER);
        assert!(matching_logs(&block, &stored, &other).is_empty());
    }
}
