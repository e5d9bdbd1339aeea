//! Whether something was refused for the reason that a test names.

/// The tests' names for reasons, and words of ours that say the same.
const REASONS: &[(&str, &[&str])] = &[
    ("INSUFFICIENT_ACCOUNT_FUNDS", &["insufficient funds"]),
    (
        "INTRINSIC_GAS_TOO_LOW",
        &["intrinsic gas too low", "insufficient gas for floor"],
    ),
    (
        "INTRINSIC_GAS_BELOW_FLOOR_GAS_COST",
        &["insufficient gas for floor", "intrinsic gas too low"],
    ),
    ("SENDER_NOT_EOA", &["sender not an eoa"]),
    ("GAS_LIMIT_EXCEEDS_MAXIMUM", &["gas limit too high"]),
    (
        "GAS_ALLOWANCE_EXCEEDED",
        &["gas limit reached", "exceeds block gas limit"],
    ),
    (
        "INSUFFICIENT_MAX_FEE_PER_GAS",
        &["less than block base fee"],
    ),
    (
        "PRIORITY_GREATER_THAN_MAX_FEE_PER_GAS",
        &["max priority fee per gas higher"],
    ),
    // Prices have 128 bits here; a larger one is refused as soon as it is read.
    (
        "GASLIMIT_PRICE_PRODUCT_OVERFLOW",
        &["insufficient funds", "transaction: ", "RLP"],
    ),
    ("NONCE_MISMATCH_TOO_LOW", &["nonce too low"]),
    ("NONCE_MISMATCH_TOO_HIGH", &["nonce too high"]),
    ("TYPE_3_TX_ZERO_BLOBS", &["blob"]),
    ("TYPE_3_TX_INVALID_BLOB_VERSIONED_HASH", &["blob"]),
    ("TYPE_3_TX_BLOB_COUNT_EXCEEDED", &["blob"]),
    (
        "TYPE_3_TX_MAX_BLOB_GAS_ALLOWANCE_EXCEEDED",
        &["blob gas used", "too many blobs"],
    ),
    ("TYPE_1_TX_PRE_FORK", &["type not supported"]),
    ("TYPE_2_TX_PRE_FORK", &["type not supported"]),
    ("TYPE_3_TX_PRE_FORK", &["type not supported"]),
    ("TYPE_4_TX_PRE_FORK", &["type not supported"]),
    ("NONCE_IS_MAX", &["nonce has max value"]),
    ("INITCODE_SIZE_EXCEEDED", &["max initcode size exceeded"]),
    (
        "INSUFFICIENT_MAX_FEE_PER_BLOB_GAS",
        &["max fee per blob gas"],
    ),
    ("EXTRA_DATA_INVALID_DAO", &["extra data"]),
    ("INVALID_DIFFICULTY", &["difficulty"]),
    ("INVALID_BLOCK_NUMBER", &["number", "parent"]),
    ("IMPORT_IMPOSSIBLE_UNCLES_OVER_PARIS", &["uncles hash"]),
    ("INVALID_BLOCK_TIMESTAMP_OLDER_THAN_PARENT", &["timestamp"]),
    (
        "INCORRECT_EXCESS_BLOB_GAS",
        &["excess blob gas", "excessBlobGas"],
    ),
    ("INCORRECT_BLOB_GAS_USED", &["blob gas used", "blobGasUsed"]),
    ("INVALID_GASLIMIT", &["gas limit"]),
    ("RLP_STRUCTURES_ENCODING", &["RLP"]),
    ("INVALID_REQUESTS", &["requests hash"]),
    ("SYSTEM_CONTRACT_EMPTY", &["has no code"]),
    ("SYSTEM_CONTRACT_CALL_FAILED", &["block: "]),
    ("INVALID_BASEFEE_PER_GAS", &["base fee"]),
    ("INVALID_WITHDRAWALS_ROOT", &["withdrawals root"]),
    ("INVALID_BLOCK_HASH", &["block hash"]),
    ("INVALID_GAS_USED", &["gas used"]),
    ("UNKNOWN_PARENT", &["parent"]),
    ("INVALID_STATE_ROOT", &["state root"]),
    ("INVALID_RECEIPTS_ROOT", &["receipts root"]),
    ("INVALID_LOG_BLOOM", &["logs bloom"]),
    ("INVALID_TRANSACTIONS_ROOT", &["transactions root"]),
    ("INVALID_DEPOSIT_EVENT_LAYOUT", &["deposit"]),
    ("EXTRA_DATA_TOO_BIG", &["extra data"]),
    ("RLP_BLOCK_LIMIT_EXCEEDED", &["block size"]),
    ("RLP_INVALID_FIELD_OVERFLOW_64", &["RLP"]),
    ("RLP_INVALID_ADDRESS", &["RLP"]),
    ("RLP_WITHDRAWALS_NOT_READ", &["RLP", "withdrawals root"]),
];

/// Whether `error` says what `expected` (names joined by `|`) means. A name that is not in the
/// table only asks for a refusal.
pub fn matches(expected: &str, error: &str) -> Result<(), String> {
    let mut known = false;
    for name in expected.split('|') {
        let name = name.rsplit('.').next().unwrap_or(name);
        match REASONS.iter().find(|(reason, _)| name.starts_with(reason)) {
            None => return Ok(()),
            Some((_, words)) => {
                known = true;
                if words.iter().any(|word| error.contains(word)) {
                    return Ok(());
                }
            }
        }
    }
    assert!(known);
    Err(format!("refused with \"{error}\", expected {expected}"))
}
