//! Numbers, bytes and blocks as clients write them, with geth's rules and words for what is written wrong
//! (`common/hexutil`, `common/types.go`, `rpc/types.go` of go-ethereum). Tools match on these texts.

use alloy_eips::{BlockId, BlockNumberOrTag, RpcBlockHash};
use alloy_primitives::{Address, B256, Bytes};
use jsonrpsee::core::JsonRawValue;
use serde::{Deserialize, de::DeserializeOwned};

const NO_PREFIX: &str = "hex string without 0x prefix";
const ODD: &str = "hex string of odd length";
const NOT_HEX: &str = "invalid hex string";

/// A type that is written as `0x` and hex digits.
pub(crate) trait Hexadecimal: DeserializeOwned {
    /// What geth calls it.
    const NAME: &'static str;
    /// Its bytes; `None` where there may be any number.
    const BYTES: Option<usize>;
}

impl Hexadecimal for Address {
    const NAME: &'static str = "common.Address";
    const BYTES: Option<usize> = Some(20);
}

impl Hexadecimal for B256 {
    const NAME: &'static str = "common.Hash";
    const BYTES: Option<usize> = Some(32);
}

impl Hexadecimal for Bytes {
    const NAME: &'static str = "hexutil.Bytes";
    const BYTES: Option<usize> = None;
}

/// The text of a JSON string without anything to be unescaped, as all of these are; `None` for anything else.
fn plain_text(json: &str) -> Option<&str> {
    json.strip_prefix('"')?
        .strip_suffix('"')
        .filter(|text| !text.contains('\\'))
}

fn without_prefix(text: &str) -> Result<&str, &'static str> {
    text.strip_prefix("0x")
        .or_else(|| text.strip_prefix("0X"))
        .ok_or(NO_PREFIX)
}

/// What stands for the digits of whole bytes.
fn pairs(text: &str) -> Result<&str, &'static str> {
    let digits = without_prefix(text)?;
    match digits.len().is_multiple_of(2) {
        true => Ok(digits),
        false => Err(ODD),
    }
}

fn all_hex(digits: &str) -> Result<(), &'static str> {
    match digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        true => Ok(()),
        false => Err(NOT_HEX),
    }
}

/// What is wrong with the JSON of a `T`; `None` where nothing is.
pub(crate) fn complaint<T: Hexadecimal>(json: &str) -> Option<String> {
    let of_type = |what: &str| {
        Some(format!(
            "json: cannot unmarshal {what} into Go value of type {}",
            T::NAME
        ))
    };
    let Some(text) = plain_text(json) else {
        return of_type("non-string");
    };
    let digits = match pairs(text) {
        Ok(digits) => digits,
        Err(_) if text.is_empty() => "",
        Err(error) => return of_type(error),
    };
    if let Some(want) = T::BYTES.map(|bytes| 2 * bytes)
        && digits.len() != want
    {
        let (have, name) = (digits.len(), T::NAME);
        return Some(format!(
            "hex string has length {have}, want {want} for {name}"
        ));
    }
    all_hex(digits).err().and_then(of_type)
}

/// The number of bytes that `text` writes.
pub(crate) fn bytes(text: &str) -> Result<usize, &'static str> {
    if text.is_empty() {
        return Err("empty hex string");
    }
    let digits = pairs(text)?;
    all_hex(digits)?;
    Ok(digits.len() / 2)
}

/// A quantity: `0x` and digits without leading zeros.
fn quantity(text: &str) -> Result<u64, &'static str> {
    if text.is_empty() {
        return Err("empty hex string");
    }
    let digits = without_prefix(text)?;
    match digits.as_bytes() {
        [] => return Err("hex string \"0x\""),
        [b'0', _, ..] => return Err("hex number with leading zero digits"),
        _ => all_hex(digits)?,
    }
    u64::from_str_radix(digits, 16).map_err(|_| "hex number > 64 bits")
}

/// A position in a list, from JSON.
pub(crate) fn index(json: &str) -> Result<usize, String> {
    let of_type =
        |what: &str| format!("json: cannot unmarshal {what} into Go value of type hexutil.Uint");
    let text = plain_text(json).ok_or_else(|| of_type("non-string"))?;
    let index = quantity(text).map_err(of_type)?;
    usize::try_from(index).map_err(|error| error.to_string())
}

/// Highest number that geth takes for a block's.
const MOST_BLOCKS: u64 = i64::MAX as u64;

/// A block number or tag, from JSON.
pub(crate) fn tag(json: &str) -> Result<BlockNumberOrTag, String> {
    tag_of(
        plain_text(json).unwrap_or(json),
        "block number larger than int64",
    )
}

fn tag_of(text: &str, too_large: &str) -> Result<BlockNumberOrTag, String> {
    Ok(match text {
        "latest" => BlockNumberOrTag::Latest,
        "pending" => BlockNumberOrTag::Pending,
        "safe" => BlockNumberOrTag::Safe,
        "finalized" => BlockNumberOrTag::Finalized,
        "earliest" => BlockNumberOrTag::Earliest,
        text => match quantity(text)? {
            number if number > MOST_BLOCKS => return Err(too_large.to_owned()),
            number => BlockNumberOrTag::Number(number),
        },
    })
}

/// A block by number, tag or hash, from JSON: a text, or an object as EIP-1898 has it.
pub(crate) fn block(json: &str) -> Result<BlockId, String> {
    if json.starts_with('{') {
        return named_block(json);
    }
    let Some(text) = plain_text(json) else {
        return Err(format!(
            "json: cannot unmarshal {} into Go value of type string",
            kind(json)
        ));
    };
    // A text of this length is a hash whatever else it may be.
    if text.len() == 2 + 2 * B256::len_bytes() {
        return hash(json).map(BlockId::from);
    }
    tag_of(text, "blocknumber too high").map(BlockId::Number)
}

fn hash(json: &str) -> Result<B256, String> {
    complaint::<B256>(json).map_or_else(
        || serde_json::from_str(json).map_err(|error| error.to_string()),
        Err,
    )
}

fn kind(json: &str) -> &'static str {
    match json.as_bytes().first() {
        Some(b'[') => "array",
        Some(b't' | b'f') => "bool",
        Some(b'"') => "string",
        _ => "number",
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NamedBlock<'a> {
    #[serde(borrow)]
    block_number: Option<&'a JsonRawValue>,
    #[serde(borrow)]
    block_hash: Option<&'a JsonRawValue>,
    #[serde(default)]
    require_canonical: bool,
}

fn named_block(json: &str) -> Result<BlockId, String> {
    let named: NamedBlock<'_> = serde_json::from_str(json).map_err(|error| error.to_string())?;
    match (named.block_number, named.block_hash) {
        (Some(_), Some(_)) => {
            Err("cannot specify both BlockHash and BlockNumber, choose one or the other".to_owned())
        }
        (None, None) => Err("must specify either BlockHash or BlockNumber".to_owned()),
        (Some(number), None) => tag(number.get()).map(BlockId::Number),
        (None, Some(given)) => Ok(BlockId::Hash(RpcBlockHash::from_hash(
            hash(given.get())?,
            Some(named.require_canonical),
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_written_wrong_are_told_in_geths_words() {
        let digits = "11".repeat(20);
        assert_eq!(complaint::<Address>(&format!("\"0x{digits}\"")), None);
        assert_eq!(complaint::<Bytes>("\"0x\""), None);
        let into = |name: &str, what: &str| {
            format!("json: cannot unmarshal {what} into Go value of type {name}")
        };
        for (json, text) in [
            ("5".to_owned(), into("common.Address", "non-string")),
            (format!("\"{digits}\""), into("common.Address", NO_PREFIX)),
            (format!("\"0x{digits}1\""), into("common.Address", ODD)),
            (
                "\"0x11\"".to_owned(),
                "hex string has length 2, want 40 for common.Address".to_owned(),
            ),
            (
                format!("\"0x{}zz\"", &digits[2..]),
                into("common.Address", NOT_HEX),
            ),
        ] {
            assert_eq!(complaint::<Address>(&json), Some(text), "{json}");
        }
        assert_eq!(
            complaint::<Bytes>("\"0x1\""),
            Some(into("hexutil.Bytes", ODD))
        );
    }

    #[test]
    fn blocks_are_named_as_geth_lets_them_be() {
        let hash = B256::repeat_byte(0x22);
        for (json, id) in [
            ("\"latest\"".to_owned(), BlockId::latest()),
            ("\"pending\"".to_owned(), BlockId::pending()),
            ("\"0x0\"".to_owned(), BlockId::number(0)),
            ("\"0x10\"".to_owned(), BlockId::number(16)),
            (format!("\"{hash}\""), hash.into()),
            ("{\"blockNumber\":\"0x5\"}".to_owned(), BlockId::number(5)),
            ("{\"blockNumber\":\"safe\"}".to_owned(), BlockId::safe()),
            (
                format!("{{\"blockHash\":\"{hash}\",\"requireCanonical\":true}}"),
                BlockId::Hash(RpcBlockHash::from_hash(hash, Some(true))),
            ),
        ] {
            assert_eq!(block(&json), Ok(id), "{json}");
        }
        for (json, text) in [
            ("\"\"", "empty hex string"),
            ("\"0x\"", "hex string \"0x\""),
            ("\"12\"", NO_PREFIX),
            ("\"LATEST\"", NO_PREFIX),
            ("\"0x01\"", "hex number with leading zero digits"),
            ("\"0x1g\"", NOT_HEX),
            ("\"0x10000000000000000\"", "hex number > 64 bits"),
            ("\"0x8000000000000000\"", "blocknumber too high"),
            (
                "5",
                "json: cannot unmarshal number into Go value of type string",
            ),
            ("{}", "must specify either BlockHash or BlockNumber"),
            (
                "{\"blockNumber\":\"0x1\",\"blockHash\":\"0x1\"}",
                "cannot specify both BlockHash and BlockNumber, choose one or the other",
            ),
        ] {
            assert_eq!(block(json), Err(text.to_owned()), "{json}");
        }
        assert_eq!(tag("\"0x7\""), Ok(BlockNumberOrTag::Number(7)));
        assert_eq!(tag("7"), Err(NO_PREFIX.to_owned()));
        assert_eq!(
            tag("\"0xffffffffffffffff\""),
            Err("block number larger than int64".to_owned())
        );
    }

    #[test]
    fn positions_are_quantities() {
        assert_eq!(index("\"0x0\""), Ok(0));
        assert_eq!(index("\"0x1f\""), Ok(31));
        for json in ["1", "\"1\"", "\"0x01\"", "\"0x\"", "null", "[]"] {
            let error = index(json).unwrap_err();
            assert!(error.ends_with("hexutil.Uint"), "{json}: {error}");
        }
    }
}
