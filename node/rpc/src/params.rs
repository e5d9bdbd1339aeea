//! Positional parameters, parsed one by one with errors that name the position.

use std::fmt::Display;

use alloy_eips::{BlockId, BlockNumberOrTag};
use jsonrpsee::core::JsonRawValue;
use serde::de::DeserializeOwned;

use crate::error::Fault;
use crate::hexadecimal::{self, Hexadecimal};

/// The parameters of one call.
///
/// Positions count from 0, as in geth's messages. A missing trailing parameter and `null` are the
/// same for [`Args::optional`].
#[derive(Debug)]
pub(crate) struct Args<'a> {
    values: Vec<&'a JsonRawValue>,
}

impl<'a> Args<'a> {
    /// Splits `params` (the raw JSON of the `params` member) into its positions.
    pub(crate) fn parse(params: Option<&'a str>) -> Result<Self, Fault> {
        let text = params.unwrap_or("[]").trim();
        if text.is_empty() || text == "null" {
            return Ok(Self { values: Vec::new() });
        }
        if text.starts_with('{') {
            return Err(Fault::invalid_params(
                "non-array args: parameters are given as an array, by position",
            ));
        }
        let values =
            serde_json::from_str(text).map_err(|error| Fault::invalid_params(error.to_string()))?;
        Ok(Self { values })
    }

    /// Refuses more parameters than the method knows.
    pub(crate) fn at_most(&self, most: usize) -> Result<(), Fault> {
        if self.values.len() > most {
            return Err(Fault::invalid_params(format!(
                "too many arguments, want at most {most}"
            )));
        }
        Ok(())
    }

    /// The parameter at `position`, which must be there.
    pub(crate) fn required<T: DeserializeOwned>(&self, position: usize) -> Result<T, Fault> {
        self.optional(position)?.ok_or_else(|| missing(position))
    }

    /// As [`Args::required`], for what is written as `0x` and hex digits.
    pub(crate) fn hex<T: Hexadecimal>(&self, position: usize) -> Result<T, Fault> {
        if let Some(json) = self.present(position)
            && let Some(complaint) = hexadecimal::complaint::<T>(json)
        {
            return Err(invalid(position, complaint));
        }
        self.required(position)
    }

    /// The block at `position`; absent means the newest one.
    pub(crate) fn block(&self, position: usize) -> Result<BlockId, Fault> {
        self.present(position)
            .map_or(Ok(BlockId::latest()), |json| {
                hexadecimal::block(json).map_err(|error| invalid(position, error))
            })
    }

    /// The block at `position`, which must be there.
    pub(crate) fn required_block(&self, position: usize) -> Result<BlockId, Fault> {
        self.there(position)?;
        self.block(position)
    }

    /// The block number or tag at `position`, which must be there.
    pub(crate) fn tag(&self, position: usize) -> Result<BlockNumberOrTag, Fault> {
        hexadecimal::tag(self.there(position)?).map_err(|error| invalid(position, error))
    }

    /// The place in a list at `position`, which must be there.
    pub(crate) fn index(&self, position: usize) -> Result<usize, Fault> {
        hexadecimal::index(self.there(position)?).map_err(|error| invalid(position, error))
    }

    /// The JSON at `position` if it is there and not `null`.
    fn present(&self, position: usize) -> Option<&'a str> {
        let json = self.values.get(position)?.get();
        (json != "null").then_some(json)
    }

    fn there(&self, position: usize) -> Result<&'a str, Fault> {
        self.present(position).ok_or_else(|| missing(position))
    }

    /// The parameter at `position` if it is there and not `null`.
    pub(crate) fn optional<T: DeserializeOwned>(
        &self,
        position: usize,
    ) -> Result<Option<T>, Fault> {
        let Some(value) = self.values.get(position) else {
            return Ok(None);
        };
        serde_json::from_str::<Option<T>>(value.get())
            .map_err(|error| invalid(position, without_place(error.to_string())))
    }
}

fn missing(position: usize) -> Fault {
    Fault::invalid_params(format!("missing value for required argument {position}"))
}

fn invalid(position: usize, reason: impl Display) -> Fault {
    Fault::invalid_params(format!("invalid argument {position}: {reason}"))
}

/// An error of reading JSON without line and column, which mean nothing to who sent a list.
fn without_place(mut error: String) -> String {
    if let Some(place) = error.rfind(" at line ") {
        error.truncate(place);
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::Address;

    #[test]
    fn positions_are_named_in_errors() {
        let args = Args::parse(Some(r#"["0x00", null, 5]"#)).unwrap();
        let fault = args.required::<Address>(0).unwrap_err();
        assert_eq!(fault.code(), -32602);
        assert!(
            fault.message().starts_with("invalid argument 0: "),
            "{}",
            fault.message()
        );
        assert_eq!(
            args.required::<u8>(1).unwrap_err().message(),
            "missing value for required argument 1"
        );
        assert_eq!(args.required::<u8>(2).unwrap(), 5);
        assert_eq!(
            args.required::<u8>(3).unwrap_err().message(),
            "missing value for required argument 3"
        );
        assert_eq!(args.optional::<u8>(3).unwrap(), None);
        assert_eq!(
            args.at_most(2).unwrap_err().message(),
            "too many arguments, want at most 2"
        );
        args.at_most(3).unwrap();
    }

    #[test]
    fn hex_has_its_prefix() {
        let digits = "11".repeat(20);
        let text = format!(r#"["0x{digits}", "{digits}", 5, null, ""]"#);
        let args = Args::parse(Some(&text)).unwrap();
        assert_eq!(args.hex::<Address>(0).unwrap(), Address::repeat_byte(0x11));
        assert_eq!(
            args.hex::<Address>(1).unwrap_err().message(),
            "invalid argument 1: json: cannot unmarshal hex string without 0x prefix into Go value of type common.Address"
        );
        for position in 2..6 {
            assert_eq!(args.hex::<Address>(position).unwrap_err().code(), -32602);
        }
    }

    #[test]
    fn absent_params_are_an_empty_list() {
        for text in [None, Some(""), Some("null"), Some("[]"), Some(" [ ] ")] {
            Args::parse(text).unwrap().at_most(0).unwrap();
        }
    }

    #[test]
    fn named_and_broken_params_are_refused() {
        for text in [r#"{"a":1}"#, "5", "\"x\"", "[1", "[1,,2]"] {
            assert_eq!(
                Args::parse(Some(text)).unwrap_err().code(),
                -32602,
                "{text}"
            );
        }
    }
}
