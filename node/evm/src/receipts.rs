//! Receipts, whose blooms are made for a whole block at once: a bloom is a hash for each address and topic of a
//! log, and hashes are cheapest side by side.

use alloy_consensus::{
    Eip658Value, Receipt, ReceiptEnvelope, ReceiptWithBloom, TxEnvelope, TxType,
};
use alloy_evm::{
    Evm,
    eth::receipt_builder::{ReceiptBuilder, ReceiptBuilderCtx},
};
use alloy_primitives::{B256, Bloom, map::HashMap};
use pars_kernels::keccak::Sponge;
use std::iter;

/// Makes receipts with empty blooms; [`fill_blooms`] fills them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReceiptsWithoutBloom;

impl ReceiptBuilder for ReceiptsWithoutBloom {
    type Transaction = TxEnvelope;
    type Receipt = ReceiptEnvelope;

    fn build_receipt<E: Evm>(&self, ctx: ReceiptBuilderCtx<'_, TxType, E>) -> ReceiptEnvelope {
        let receipt = ReceiptWithBloom {
            receipt: Receipt {
                status: Eip658Value::Eip658(ctx.result.is_success()),
                cumulative_gas_used: ctx.cumulative_gas_used,
                logs: ctx.result.into_logs(),
            },
            logs_bloom: Bloom::ZERO,
        };
        ReceiptEnvelope::from_typed(ctx.tx_type, receipt)
    }
}

/// Gives every receipt the bloom of its logs (yellow paper, section 4.3.1).
pub(crate) fn fill_blooms(receipts: &mut [ReceiptEnvelope]) {
    let (entries, hashes) = hash_entries(receipts);
    let mut entries = entries.into_iter();
    for receipt in receipts {
        let logs = receipt.logs().iter();
        let count = logs.map(|log| 1 + log.topics().len()).sum();
        let mut bloom = Bloom::ZERO;
        for place in entries.by_ref().take(count) {
            if let Some(hash) = hashes.get(place) {
                bloom.m3_2048_hashed(&B256::new(*hash));
            }
        }
        match receipt {
            ReceiptEnvelope::Legacy(receipt)
            | ReceiptEnvelope::Eip2930(receipt)
            | ReceiptEnvelope::Eip1559(receipt)
            | ReceiptEnvelope::Eip4844(receipt)
            | ReceiptEnvelope::Eip7702(receipt) => receipt.logs_bloom = bloom,
        }
    }
}

/// For the address and each topic of every log, in order, where its hash is in the list behind. A token's address and
/// the names of events come again and again: each is hashed once.
fn hash_entries(receipts: &[ReceiptEnvelope]) -> (Vec<usize>, Vec<[u8; 32]>) {
    let mut places = HashMap::<&[u8], usize>::default();
    let mut messages: Vec<[&[u8]; 2]> = Vec::new();
    let mut entries = Vec::new();
    for log in receipts.iter().flat_map(ReceiptEnvelope::logs) {
        let topics = log.topics().iter().map(|topic| topic.as_slice());
        for entry in iter::once(log.address.as_slice()).chain(topics) {
            entries.push(*places.entry(entry).or_insert_with(|| {
                messages.push([entry, &[]]);
                messages.len() - 1
            }));
        }
    }
    let mut hashes = vec![[0; 32]; messages.len()];
    Sponge::KECCAK256.hash_many(&messages, hashes.as_flattened_mut());
    (entries, hashes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_consensus::TxReceipt as _;
    use alloy_primitives::{Address, Log, LogData};

    #[test]
    fn blooms_are_those_of_each_receipt_alone() {
        let log = |number: u8| Log {
            address: Address::repeat_byte(number % 7),
            data: LogData::new_unchecked(
                (0..number % 5)
                    .map(|topic| B256::repeat_byte(number ^ topic))
                    .collect(),
                vec![number; 3].into(),
            ),
        };
        let mut receipts: Vec<_> = (0..40_u8)
            .map(|number| {
                let receipt = Receipt {
                    status: Eip658Value::Eip658(true),
                    cumulative_gas_used: 1,
                    logs: (0..number % 4)
                        .map(|index| log(number * 4 + index))
                        .collect(),
                };
                let kind = TxType::try_from(number % 5).unwrap();
                // Whatever stood there before is gone.
                let logs_bloom = Bloom::repeat_byte(0xff);
                ReceiptEnvelope::from_typed(
                    kind,
                    ReceiptWithBloom {
                        receipt,
                        logs_bloom,
                    },
                )
            })
            .collect();
        fill_blooms(&mut receipts);
        for receipt in &receipts {
            let expected = alloy_primitives::logs_bloom(receipt.logs());
            assert_eq!(receipt.bloom(), expected);
            assert_eq!(expected.is_zero(), receipt.logs().is_empty());
        }
    }
}
