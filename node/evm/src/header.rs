//! Rules of a header against its parent, one named error a rule.

use alloy_consensus::{
    Header,
    constants::{EMPTY_OMMER_ROOT_HASH, EMPTY_WITHDRAWALS},
};
use alloy_eips::{
    eip1559::GAS_LIMIT_BOUND_DIVISOR, eip4844::DATA_GAS_PER_BLOB, eip7685::EMPTY_REQUESTS_HASH,
};
use alloy_hardforks::{EthereumHardfork, EthereumHardforks as _};
use alloy_primitives::{Address, B64, B256, Bytes, U256};
use thiserror::Error;

use crate::spec::{BlockRules, ChainSpec};

/// Longest `extraData` of a header, in bytes (yellow paper, section 4.4.4).
pub const MAX_EXTRA_DATA_BYTES: usize = 32;

/// Longest RLP encoding of a block, in bytes (EIP-7934: 10 MiB less a margin of 2 MiB).
pub const MAX_BLOCK_RLP_BYTES: usize = 8 * 1024 * 1024;

/// Largest gas limit of a block (EIP-1985).
const MAXIMUM_GAS_LIMIT: u64 = i64::MAX as u64;

/// Smallest gas limit of a block (yellow paper, section 4.4.4).
const MINIMUM_GAS_LIMIT: u64 = 5_000;

/// `extraData` of the first blocks after the DAO's fork (EIP-779), ...
const DAO_MARK: &[u8] = b"dao-hard-fork";
/// ... and how many they are.
const DAO_MARKED_BLOCKS: u64 = 10;

/// A header that breaks a rule it can be held to without running the block.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderError {
    /// `parentHash` is not the parent's hash.
    #[error("parent hash: header says {got}, the parent is {expected}")]
    ParentHash {
        /// In the header.
        got: B256,
        /// Of the parent.
        expected: B256,
    },
    /// `number` is not the parent's plus one.
    #[error("number: header says {got}, expected {expected}")]
    Number {
        /// In the header.
        got: u64,
        /// The parent's plus one.
        expected: u64,
    },
    /// `timestamp` lies before the parent's, or, on Ethereum, not after it.
    #[error("timestamp: {got} is too early, the parent has {parent}")]
    Timestamp {
        /// In the header, seconds.
        got: u64,
        /// Of the parent, seconds.
        parent: u64,
    },
    /// `gasLimit` moved by more than the parent's 1/1024 or fell below the minimum.
    #[error(
        "gas limit: {got} is out of bounds, parent has {parent} and may move by less than {step}"
    )]
    GasLimit {
        /// In the header.
        got: u64,
        /// Of the parent.
        parent: u64,
        /// Exclusive bound of the difference.
        step: u64,
    },
    /// `gasUsed` exceeds `gasLimit`.
    #[error("gas used: {got} exceeds the gas limit {limit}")]
    GasUsedOverLimit {
        /// In the header.
        got: u64,
        /// Gas limit in the header.
        limit: u64,
    },
    /// `baseFeePerGas` is not what the parent makes it.
    #[error("base fee: header says {got:?}, the rules make it {expected:?}")]
    BaseFee {
        /// In the header.
        got: Option<u64>,
        /// By the fee rules; `None` before London.
        expected: Option<u64>,
    },
    /// `extraData` is too long.
    #[error("extra data: {got} bytes, at most 32 are allowed")]
    ExtraData {
        /// Length in the header.
        got: usize,
    },
    /// `difficulty` is not zero.
    #[error("difficulty: {got}, must be 0")]
    Difficulty {
        /// In the header.
        got: U256,
    },
    /// `difficulty` of a block before the merge is not what time and parent make it.
    #[error("difficulty: header says {got}, the rules make it {expected}")]
    Work {
        /// In the header.
        got: U256,
        /// By the rules of its fork.
        expected: U256,
    },
    /// `extraData` of the first ten blocks after the DAO's fork is not the mark of that fork.
    #[error("extra data: {got}, must be \"dao-hard-fork\" here (EIP-779)")]
    DaoMark {
        /// In the header.
        got: Bytes,
    },
    /// `nonce` is not zero.
    #[error("nonce: {got}, must be 0")]
    Nonce {
        /// In the header.
        got: B64,
    },
    /// `sha3Uncles` is not that of the empty list.
    #[error("uncles hash: {got}, must be that of no uncles")]
    OmmersHash {
        /// In the header.
        got: B256,
    },
    /// `withdrawalsRoot` is not that of the empty list.
    #[error("withdrawals root: {got:?}, must be that of the empty list")]
    WithdrawalsRoot {
        /// In the header.
        got: Option<B256>,
    },
    /// `requestsHash` is not that of the empty list.
    #[error("requests hash: {got:?}, must be that of the empty list")]
    RequestsHash {
        /// In the header.
        got: Option<B256>,
    },
    /// `blobGasUsed` is not zero.
    #[error("blob gas used: {got:?}, must be 0")]
    BlobGasUsed {
        /// In the header.
        got: Option<u64>,
    },
    /// `blobGasUsed` is more than a block may have, or no whole number of blobs.
    #[error("blob gas used: {got}, must be a multiple of a blob's and at most {limit}")]
    BlobGasOutOfBounds {
        /// In the header.
        got: u64,
        /// Most of a block (EIP-7840).
        limit: u64,
    },
    /// `excessBlobGas` is not what the parent makes it; on Pars it is always 0.
    #[error("excess blob gas: header says {got:?}, the rules make it {expected}")]
    ExcessBlobGas {
        /// In the header.
        got: Option<u64>,
        /// By the rules.
        expected: u64,
    },
    /// A field that the block's fork requires is absent.
    #[error("{field}: absent, but the block's fork requires it")]
    MissingField {
        /// Name of the field in JSON.
        field: &'static str,
    },
    /// A field of a fork that does not hold yet.
    #[error("{field}: present, but belongs to a fork that is not active")]
    FutureField {
        /// Name of the field in JSON.
        field: &'static str,
    },
}

/// What a builder is free to choose in a header.
pub(crate) struct HeaderChoice {
    pub(crate) timestamp: u64,
    pub(crate) beneficiary: Address,
    pub(crate) prev_randao: B256,
    pub(crate) parent_beacon_block_root: B256,
    pub(crate) extra_data: Bytes,
    pub(crate) withdrawals_root: B256,
}

/// The header of the block after `parent`, all but what its execution decides: `stateRoot`,
/// `transactionsRoot`, `receiptsRoot`, `logsBloom`, `gasUsed` and `requestsHash`.
///
/// A timestamp before the parent's is moved up to it: time never goes back. On Ethereum it is
/// moved past it.
pub(crate) fn next_header(
    spec: &ChainSpec,
    parent: &Header,
    parent_hash: B256,
    choice: HeaderChoice,
) -> Result<Header, HeaderError> {
    let HeaderChoice {
        timestamp,
        beneficiary,
        prev_randao,
        parent_beacon_block_root,
        extra_data,
        withdrawals_root,
    } = choice;
    if extra_data.len() > MAX_EXTRA_DATA_BYTES {
        return Err(HeaderError::ExtraData {
            got: extra_data.len(),
        });
    }
    let timestamp = match spec.rules {
        BlockRules::Pars => timestamp.max(parent.timestamp),
        BlockRules::Ethereum { .. } => timestamp.max(parent.timestamp.saturating_add(1)),
    };
    let number = parent.number.saturating_add(1);
    let shanghai = spec.is_shanghai_active_at_timestamp(timestamp);
    let cancun = spec.is_cancun_active_at_timestamp(timestamp);
    let prague = spec.is_prague_active_at_timestamp(timestamp);
    let (excess_blob_gas, difficulty) = match spec.rules {
        BlockRules::Pars => (Some(0), U256::ZERO),
        BlockRules::Ethereum { .. } if spec.is_paris_active_at_block(number) => {
            (spec.excess_blob_gas_after(parent, timestamp), U256::ZERO)
        }
        BlockRules::Ethereum { .. } => (None, spec.difficulty_after(parent, timestamp)),
    };
    Ok(Header {
        parent_hash,
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        beneficiary,
        difficulty,
        number,
        gas_limit: spec.next_gas_limit(parent),
        timestamp,
        extra_data,
        mix_hash: prev_randao,
        nonce: B64::ZERO,
        base_fee_per_gas: spec.base_fee_after(parent),
        withdrawals_root: shanghai.then_some(withdrawals_root),
        blob_gas_used: cancun.then_some(0),
        excess_blob_gas: excess_blob_gas.filter(|_| cancun),
        parent_beacon_block_root: cancun.then_some(parent_beacon_block_root),
        requests_hash: prague.then_some(EMPTY_REQUESTS_HASH),
        ..Header::default()
    })
}

/// Checks every rule a header can be held to before its block is run, in the order of the
/// specification: parent, number, time, gas limit, base fee, extra data, constant fields.
pub(crate) fn check_header(
    spec: &ChainSpec,
    parent: &Header,
    parent_hash: B256,
    header: &Header,
) -> Result<(), HeaderError> {
    if header.parent_hash != parent_hash {
        return Err(HeaderError::ParentHash {
            got: header.parent_hash,
            expected: parent_hash,
        });
    }
    let number = parent.number.saturating_add(1);
    if header.number != number {
        return Err(HeaderError::Number {
            got: header.number,
            expected: number,
        });
    }
    let earliest = match spec.rules {
        BlockRules::Pars => parent.timestamp,
        BlockRules::Ethereum { .. } => parent.timestamp.saturating_add(1),
    };
    if header.timestamp < earliest {
        return Err(HeaderError::Timestamp {
            got: header.timestamp,
            parent: parent.timestamp,
        });
    }
    check_gas_limit(limit_before(spec, parent, number), header.gas_limit)?;
    if header.gas_used > header.gas_limit {
        return Err(HeaderError::GasUsedOverLimit {
            got: header.gas_used,
            limit: header.gas_limit,
        });
    }
    let base_fee = spec.base_fee_after(parent);
    if header.base_fee_per_gas != base_fee {
        return Err(HeaderError::BaseFee {
            got: header.base_fee_per_gas,
            expected: base_fee,
        });
    }
    if header.extra_data.len() > MAX_EXTRA_DATA_BYTES {
        return Err(HeaderError::ExtraData {
            got: header.extra_data.len(),
        });
    }
    for (field, present) in [
        (
            "blockAccessListHash",
            header.block_access_list_hash.is_some(),
        ),
        ("slotNumber", header.slot_number.is_some()),
    ] {
        if present {
            return Err(HeaderError::FutureField { field });
        }
    }
    match spec.rules {
        BlockRules::Pars => check_constant_fields(header),
        BlockRules::Ethereum { .. } => check_fork_fields(spec, parent, header),
    }
}

/// The gas limit that the block `number` is measured by: its parent's, doubled where the base fee
/// begins (EIP-1559).
fn limit_before(spec: &ChainSpec, parent: &Header, number: u64) -> u64 {
    let first = spec.is_london_active_at_block(number) && parent.base_fee_per_gas.is_none();
    if !first {
        return parent.gas_limit;
    }
    let elasticity = u64::try_from(spec.fees.params.elasticity_multiplier).unwrap_or(u64::MAX);
    parent.gas_limit.saturating_mul(elasticity)
}

/// Ethereum's fields, each from the fork on that brought it.
fn check_fork_fields(
    spec: &ChainSpec,
    parent: &Header,
    header: &Header,
) -> Result<(), HeaderError> {
    let time = header.timestamp;
    if spec.is_paris_active_at_block(header.number) {
        check_no_work(header)?;
    } else {
        check_work(spec, parent, header)?;
    }
    let cancun = spec.is_cancun_active_at_timestamp(time);
    let fields = [
        (
            "withdrawalsRoot",
            header.withdrawals_root.is_some(),
            spec.is_shanghai_active_at_timestamp(time),
        ),
        ("blobGasUsed", header.blob_gas_used.is_some(), cancun),
        ("excessBlobGas", header.excess_blob_gas.is_some(), cancun),
        (
            "parentBeaconBlockRoot",
            header.parent_beacon_block_root.is_some(),
            cancun,
        ),
        (
            "requestsHash",
            header.requests_hash.is_some(),
            spec.is_prague_active_at_timestamp(time),
        ),
    ];
    for (field, present, required) in fields {
        match (present, required) {
            (false, true) => return Err(HeaderError::MissingField { field }),
            (true, false) => return Err(HeaderError::FutureField { field }),
            _ => {}
        }
    }
    let (Some(params), Some(used)) = (spec.blob_params(time), header.blob_gas_used) else {
        return Ok(());
    };
    let limit = params.max_blob_gas_per_block();
    if used > limit || !used.is_multiple_of(DATA_GAS_PER_BLOB) {
        return Err(HeaderError::BlobGasOutOfBounds { got: used, limit });
    }
    let expected = spec.excess_blob_gas_after(parent, time).unwrap_or(0);
    if header.excess_blob_gas != Some(expected) {
        return Err(HeaderError::ExcessBlobGas {
            got: header.excess_blob_gas,
            expected,
        });
    }
    Ok(())
}

/// The parent's limit may move by less than its 1/1024, and never below 5,000 (yellow paper)
/// or above 2^63 - 1 (EIP-1985).
fn check_gas_limit(parent: u64, got: u64) -> Result<(), HeaderError> {
    let step = parent / GAS_LIMIT_BOUND_DIVISOR;
    if !(MINIMUM_GAS_LIMIT..=MAXIMUM_GAS_LIMIT).contains(&got)
        || got.abs_diff(parent) >= step.max(1)
    {
        return Err(HeaderError::GasLimit { got, parent, step });
    }
    Ok(())
}

/// The fields of proof of work while it was done, but for the proof.
fn check_work(spec: &ChainSpec, parent: &Header, header: &Header) -> Result<(), HeaderError> {
    let expected = spec.difficulty_after(parent, header.timestamp);
    if header.difficulty != expected {
        return Err(HeaderError::Work {
            got: header.difficulty,
            expected,
        });
    }
    let dao = spec.ethereum_fork_activation(EthereumHardfork::Dao);
    let marked = dao
        .block_number()
        .and_then(|first| header.number.checked_sub(first))
        .is_some_and(|after| after < DAO_MARKED_BLOCKS);
    if marked && header.extra_data.as_ref() != DAO_MARK {
        return Err(HeaderError::DaoMark {
            got: header.extra_data.clone(),
        });
    }
    Ok(())
}

/// The fields of proof of work, which are constant since (EIP-3675).
fn check_no_work(header: &Header) -> Result<(), HeaderError> {
    if !header.difficulty.is_zero() {
        return Err(HeaderError::Difficulty {
            got: header.difficulty,
        });
    }
    if header.nonce != B64::ZERO {
        return Err(HeaderError::Nonce { got: header.nonce });
    }
    if header.ommers_hash != EMPTY_OMMER_ROOT_HASH {
        return Err(HeaderError::OmmersHash {
            got: header.ommers_hash,
        });
    }
    Ok(())
}

/// What a Pars header always says.
fn check_constant_fields(header: &Header) -> Result<(), HeaderError> {
    check_no_work(header)?;
    if header.withdrawals_root != Some(EMPTY_WITHDRAWALS) {
        return Err(HeaderError::WithdrawalsRoot {
            got: header.withdrawals_root,
        });
    }
    if header.requests_hash != Some(EMPTY_REQUESTS_HASH) {
        return Err(HeaderError::RequestsHash {
            got: header.requests_hash,
        });
    }
    if header.blob_gas_used != Some(0) {
        return Err(HeaderError::BlobGasUsed {
            got: header.blob_gas_used,
        });
    }
    if header.excess_blob_gas != Some(0) {
        return Err(HeaderError::ExcessBlobGas {
            got: header.excess_blob_gas,
            expected: 0,
        });
    }
    if header.parent_beacon_block_root.is_none() {
        return Err(HeaderError::MissingField {
            field: "parentBeaconBlockRoot",
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gas_limit_moves_by_less_than_a_1024th() {
        let parent = 15_000_000;
        let step = parent / 1024;
        for got in [parent, parent + step - 1, parent - step + 1] {
            assert_eq!(check_gas_limit(parent, got), Ok(()));
        }
        for got in [parent + step, parent - step, 0, u64::MAX] {
            assert!(check_gas_limit(parent, got).is_err());
        }
        assert!(check_gas_limit(5_000, 4_999).is_err());
        // Below 1,024 the step rounds to nothing and the minimum decides anyway.
        assert!(check_gas_limit(1_000, 1_000).is_err());
    }

    #[test]
    fn a_builders_header_passes_its_own_check() {
        let spec = ChainSpec::pars();
        let parent = spec.genesis_header();
        let choice = HeaderChoice {
            timestamp: 0,
            beneficiary: Address::repeat_byte(1),
            prev_randao: B256::repeat_byte(2),
            parent_beacon_block_root: B256::repeat_byte(3),
            extra_data: Bytes::from_static(b"x"),
            withdrawals_root: EMPTY_WITHDRAWALS,
        };
        let hash = parent.hash_slow();
        let header = next_header(&spec, &parent, hash, choice).unwrap();
        assert_eq!(header.timestamp, parent.timestamp, "time does not go back");
        assert_eq!(check_header(&spec, &parent, hash, &header), Ok(()));
    }

    #[test]
    fn long_extra_data_is_refused() {
        let spec = ChainSpec::dev();
        let parent = spec.genesis_header();
        let choice = HeaderChoice {
            timestamp: 0,
            beneficiary: Address::ZERO,
            prev_randao: B256::ZERO,
            parent_beacon_block_root: B256::ZERO,
            extra_data: Bytes::from(vec![0; 33]),
            withdrawals_root: EMPTY_WITHDRAWALS,
        };
        assert_eq!(
            next_header(&spec, &parent, B256::ZERO, choice),
            Err(HeaderError::ExtraData { got: 33 })
        );
    }
}
