//! The record that says which block was accepted last, and what follows from it.

use crate::{
    Head, StoreError,
    backend::{Batch, Snapshot, Table},
    block,
    codec::{self, meta},
};
use alloy_consensus::Header;
use alloy_primitives::B256;

/// Adds the record: this block is the last one.
pub(crate) fn write_head(batch: &mut Batch, number: u64, hash: &B256) {
    let mut value = number.to_be_bytes().to_vec();
    value.extend_from_slice(hash.as_slice());
    batch.put(Table::Meta, meta::HEAD, value);
}

/// Number and hash of the last block.
pub(crate) fn read_head_record(snapshot: &dyn Snapshot) -> Result<(u64, B256), StoreError> {
    let record: [u8; 40] = codec::meta_record(snapshot, meta::HEAD)?;
    let mut number = [0; 8];
    number.copy_from_slice(&record[..8]);
    Ok((u64::from_be_bytes(number), B256::from_slice(&record[8..])))
}

/// Checks that the state after block `number` is there; the number of the last block.
pub(crate) fn check_state(snapshot: &dyn Snapshot, number: u64) -> Result<u64, StoreError> {
    let (head, _) = read_head_record(snapshot)?;
    if number > head {
        return Err(StoreError::UnknownBlock { number, head });
    }
    if number < head {
        let oldest = codec::meta_number(snapshot, meta::OLDEST_STATE)?;
        if number < oldest {
            let root = read_known_header(snapshot, number)?.1.state_root;
            return Err(StoreError::StateNotKept {
                number,
                root,
                oldest,
            });
        }
    }
    Ok(head)
}

/// Hash and header of a block up to the head.
pub(crate) fn read_known_header(
    snapshot: &dyn Snapshot,
    number: u64,
) -> Result<(B256, Header), StoreError> {
    let missing = || {
        let key = codec::block_key(number);
        StoreError::corrupt(Table::Headers, &key, "the header is missing")
    };
    block::read_header(snapshot, number)?.ok_or_else(missing)
}

/// The last block.
pub(crate) fn read_head(snapshot: &dyn Snapshot) -> Result<Head, StoreError> {
    let (number, hash) = read_head_record(snapshot)?;
    let key = codec::block_key(number);
    let (stored, header) = block::read_header(snapshot, number)?
        .ok_or_else(|| StoreError::corrupt(Table::Headers, &key, "the head's header is missing"))?;
    if stored != hash || header.hash_slow() != hash {
        let reason = format!("the header is not that of the head, {hash}");
        return Err(StoreError::corrupt(Table::Headers, &key, reason));
    }
    Ok(Head {
        number,
        hash,
        header,
    })
}
