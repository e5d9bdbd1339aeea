//! Positional parameters, parsed one by one with errors that name the position.

use jsonrpsee::core::JsonRawValue;
use serde::de::DeserializeOwned;

use crate::error::Fault;

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
        self.optional(position)?.ok_or_else(|| {
            Fault::invalid_params(format!("missing value for required argument {position}"))
        })
    }

    /// As [`Args::required`], for what is written as `0x` and hex digits. The types read digits
    /// without the prefix too; clients are told of a prefix that they forgot, as by geth.
    pub(crate) fn hex<T: DeserializeOwned>(&self, position: usize) -> Result<T, Fault> {
        let text = self.values.get(position).map(|value| value.get());
        let bare = |text: &str| {
            let digits = text.strip_prefix('"').unwrap_or("0x");
            !digits.starts_with("0x") && !digits.starts_with("0X")
        };
        if text.is_some_and(bare) {
            return Err(Fault::invalid_params(format!(
                "invalid argument {position}: hex string without 0x prefix"
            )));
        }
        self.required(position)
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
            .map_err(|error| Fault::invalid_params(format!("invalid argument {position}: {error}")))
    }
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
            "invalid argument 1: hex string without 0x prefix"
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
