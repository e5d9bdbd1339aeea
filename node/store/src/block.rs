//! Blocks as the store keeps and gives them.

use crate::{
    StoreError,
    backend::{Batch, Snapshot, Table},
    codec::{block_key, fixed, rlp, split_hash},
    state::{StateDiff, TrieUpdates},
};
use alloy_consensus::{
    BlockBody, Eip658Value, Header, Receipt, ReceiptEnvelope, ReceiptWithBloom, TxEnvelope,
    TxReceipt, TxType,
};
use alloy_eips::eip4895::Withdrawals;
use alloy_primitives::{Address, B256, Log};
use alloy_rlp::{RlpDecodable, RlpEncodable};

/// A sealed block with the senders of its transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The header.
    pub header: Header,
    /// Keccak-256 of the header's RLP.
    pub hash: B256,
    /// The transactions in order.
    pub transactions: Vec<TxEnvelope>,
    /// The sender of each transaction.
    pub senders: Vec<Address>,
    /// Headers of uncles; Ethereum had them until proof of stake.
    pub ommers: Vec<Header>,
    /// Withdrawals (EIP-4895); `None` before the fork that brought them.
    pub withdrawals: Option<Withdrawals>,
}

impl Block {
    /// A block from its parts, with its hash computed; without uncles, and with an empty list of
    /// withdrawals where the header speaks of one.
    pub fn seal(header: Header, transactions: Vec<TxEnvelope>, senders: Vec<Address>) -> Self {
        Self {
            hash: header.hash_slow(),
            withdrawals: header.withdrawals_root.map(|_| Withdrawals::default()),
            header,
            transactions,
            senders,
            ommers: Vec::new(),
        }
    }

    /// The block in the form that is exchanged, without its hash and senders.
    pub fn into_consensus(self) -> alloy_consensus::Block<TxEnvelope> {
        alloy_consensus::Block {
            header: self.header,
            body: BlockBody {
                transactions: self.transactions,
                ommers: self.ommers,
                withdrawals: self.withdrawals,
            },
        }
    }
}

/// The last accepted block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// Its header.
    pub header: Header,
}

/// Everything that accepting a block writes.
#[derive(Clone, Debug)]
pub struct BlockCommit {
    /// The block; its parent must be the head.
    pub block: Block,
    /// A receipt for each transaction.
    pub receipts: Vec<ReceiptEnvelope>,
    /// What execution changed; new contract code is taken from here.
    pub state: StateDiff,
    /// The answer of [`crate::Store::state_root`] for `state`.
    pub tries: TrieUpdates,
}

/// What [`Table::Bodies`] holds.
#[derive(RlpEncodable, RlpDecodable)]
#[rlp(trailing)]
struct Body {
    transactions: Vec<TxEnvelope>,
    senders: Vec<Address>,
    ommers: Vec<Header>,
    withdrawals: Option<Withdrawals>,
}

/// What [`Table::Receipts`] holds for each transaction. The bloom follows from the logs.
#[derive(RlpEncodable, RlpDecodable)]
struct StoredReceipt {
    kind: u8,
    status: Eip658Value,
    cumulative_gas_used: u64,
    logs: Vec<Log>,
}

impl StoredReceipt {
    fn new(envelope: &ReceiptEnvelope) -> Self {
        Self {
            kind: envelope.tx_type().into(),
            status: envelope.status_or_post_state(),
            cumulative_gas_used: envelope.cumulative_gas_used(),
            logs: envelope.logs().to_vec(),
        }
    }

    fn envelope(self) -> Result<ReceiptEnvelope, String> {
        let kind = TxType::try_from(self.kind).map_err(|error| error.to_string())?;
        let receipt: ReceiptWithBloom<Receipt> = Receipt {
            status: self.status,
            cumulative_gas_used: self.cumulative_gas_used,
            logs: self.logs,
        }
        .with_bloom();
        Ok(ReceiptEnvelope::from_typed(kind, receipt))
    }
}

/// Adds the records of a block and its receipts.
pub(crate) fn write_block(batch: &mut Batch, block: &Block, receipts: &[ReceiptEnvelope]) {
    let number = block.header.number;
    let key = block_key(number);
    let mut header = block.hash.to_vec();
    alloy_rlp::Encodable::encode(&block.header, &mut header);
    batch.put(Table::Headers, key, header);
    let body = Body {
        transactions: block.transactions.clone(),
        senders: block.senders.clone(),
        ommers: block.ommers.clone(),
        withdrawals: block.withdrawals.clone(),
    };
    batch.put(Table::Bodies, key, alloy_rlp::encode(body));
    let receipts: Vec<_> = receipts.iter().map(StoredReceipt::new).collect();
    batch.put(Table::Receipts, key, alloy_rlp::encode(receipts));
    batch.put(Table::BlockNumbers, *block.hash, key);
    for (index, transaction) in (0u64..).zip(&block.transactions) {
        let mut place = key.to_vec();
        place.extend_from_slice(&index.to_be_bytes());
        batch.put(Table::TxLookup, **transaction.tx_hash(), place);
    }
}

/// Hash and header of a block.
pub(crate) fn read_header(
    snapshot: &dyn Snapshot,
    number: u64,
) -> Result<Option<(B256, Header)>, StoreError> {
    let key = block_key(number);
    let Some(value) = snapshot.get(Table::Headers, &key)? else {
        return Ok(None);
    };
    let (hash, header) = split_hash(Table::Headers, &key, &value)?;
    Ok(Some((hash, rlp(Table::Headers, &key, header)?)))
}

/// Hash of a block.
pub(crate) fn read_hash(snapshot: &dyn Snapshot, number: u64) -> Result<Option<B256>, StoreError> {
    let key = block_key(number);
    snapshot
        .get(Table::Headers, &key)?
        .map(|value| Ok(split_hash(Table::Headers, &key, &value)?.0))
        .transpose()
}

/// A whole block.
pub(crate) fn read_block(
    snapshot: &dyn Snapshot,
    number: u64,
) -> Result<Option<Block>, StoreError> {
    let Some((hash, header)) = read_header(snapshot, number)? else {
        return Ok(None);
    };
    let key = block_key(number);
    let value = snapshot
        .get(Table::Bodies, &key)?
        .ok_or_else(|| StoreError::corrupt(Table::Bodies, &key, "the body is missing"))?;
    let body: Body = rlp(Table::Bodies, &key, &value)?;
    Ok(Some(Block {
        header,
        hash,
        transactions: body.transactions,
        senders: body.senders,
        ommers: body.ommers,
        withdrawals: body.withdrawals,
    }))
}

/// The receipts of a block.
pub(crate) fn read_receipts(
    snapshot: &dyn Snapshot,
    number: u64,
) -> Result<Option<Vec<ReceiptEnvelope>>, StoreError> {
    let key = block_key(number);
    let Some(value) = snapshot.get(Table::Receipts, &key)? else {
        return Ok(None);
    };
    let receipts: Vec<StoredReceipt> = rlp(Table::Receipts, &key, &value)?;
    receipts
        .into_iter()
        .map(|receipt| {
            receipt
                .envelope()
                .map_err(|reason| StoreError::corrupt(Table::Receipts, &key, reason))
        })
        .collect::<Result<_, _>>()
        .map(Some)
}

/// Number of the block with this hash.
pub(crate) fn read_number(snapshot: &dyn Snapshot, hash: &B256) -> Result<Option<u64>, StoreError> {
    snapshot
        .get(Table::BlockNumbers, hash.as_slice())?
        .map(|value| {
            Ok(u64::from_be_bytes(fixed(
                Table::BlockNumbers,
                hash.as_slice(),
                &value,
            )?))
        })
        .transpose()
}

/// Block number and index of the transaction with this hash.
pub(crate) fn read_location(
    snapshot: &dyn Snapshot,
    hash: &B256,
) -> Result<Option<(u64, usize)>, StoreError> {
    let Some(value) = snapshot.get(Table::TxLookup, hash.as_slice())? else {
        return Ok(None);
    };
    let bad = || StoreError::corrupt(Table::TxLookup, hash.as_slice(), "not a block and an index");
    let (number, index) = value.split_at_checked(8).ok_or_else(bad)?;
    let number = u64::from_be_bytes(number.try_into().map_err(|_| bad())?);
    let index = u64::from_be_bytes(index.try_into().map_err(|_| bad())?);
    Ok(Some((number, usize::try_from(index).map_err(|_| bad())?)))
}
