//! Reading the bytes of a revert.

use alloy_primitives::U256;

/// Selector of Solidity's `Error(string)`.
const ERROR_SELECTOR: [u8; 4] = [0x08, 0xc3, 0x79, 0xa0];
/// Selector of Solidity's `Panic(uint256)`.
const PANIC_SELECTOR: [u8; 4] = [0x4e, 0x48, 0x7b, 0x71];
/// One ABI word.
const WORD: usize = 32;

/// What revert data says, as far as it is one of the two forms every compiler knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RevertReason {
    /// `Error(string)`: `require(false, "text")`.
    Error(String),
    /// `Panic(uint256)`: a failed assertion, overflow and the like.
    Panic(U256),
}

impl RevertReason {
    /// Reads revert data; `None` where it is neither form (a custom error, or nothing).
    pub fn decode(data: &[u8]) -> Option<Self> {
        let (selector, arguments) = data.split_first_chunk::<4>()?;
        match *selector {
            ERROR_SELECTOR => {
                let offset = usize_at(arguments, 0)?;
                let length = usize_at(arguments, offset)?;
                let start = offset.checked_add(WORD)?;
                let text = arguments.get(start..start.checked_add(length)?)?;
                // Solidity promises UTF-8, other compilers do not.
                Some(Self::Error(String::from_utf8_lossy(text).into_owned()))
            }
            PANIC_SELECTOR => Some(Self::Panic(word_at(arguments, 0)?)),
            _ => None,
        }
    }
}

impl core::fmt::Display for RevertReason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Error(text) => f.write_str(text),
            Self::Panic(code) => match u8::try_from(*code).ok().and_then(panic_text) {
                Some(text) => f.write_str(text),
                None => write!(f, "unknown panic code: {code:#x}"),
            },
        }
    }
}

/// The error message of a reverted call, as geth words it: "execution reverted" and, where the
/// data says why, ": reason".
pub fn revert_message(data: &[u8]) -> String {
    match RevertReason::decode(data) {
        Some(reason) => format!("execution reverted: {reason}"),
        None => "execution reverted".to_owned(),
    }
}

/// Solidity's panic codes in geth's words.
fn panic_text(code: u8) -> Option<&'static str> {
    Some(match code {
        0x00 => "generic panic",
        0x01 => "assert(false)",
        0x11 => "arithmetic underflow or overflow",
        0x12 => "division or modulo by zero",
        0x21 => "enum overflow",
        0x22 => "invalid encoded storage byte array accessed",
        0x31 => "out-of-bounds array access; popping on an empty array",
        0x32 => "out-of-bounds access of an array or bytesN",
        0x41 => "out of memory",
        0x51 => "uninitialized function",
        _ => return None,
    })
}

fn word_at(data: &[u8], offset: usize) -> Option<U256> {
    let word = data.get(offset..offset.checked_add(WORD)?)?;
    U256::try_from_be_slice(word)
}

fn usize_at(data: &[u8], offset: usize) -> Option<usize> {
    usize::try_from(word_at(data, offset)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_sol_types::{Panic, PanicKind, Revert, SolError};

    #[test]
    fn both_forms_are_read() {
        let error = Revert::from("not enough").abi_encode();
        assert_eq!(revert_message(&error), "execution reverted: not enough");
        let panic = Panic::from(PanicKind::UnderOverflow).abi_encode();
        assert_eq!(
            revert_message(&panic),
            "execution reverted: arithmetic underflow or overflow"
        );
        let odd = Panic {
            code: U256::from(0x77),
        }
        .abi_encode();
        assert_eq!(
            revert_message(&odd),
            "execution reverted: unknown panic code: 0x77"
        );
    }

    #[test]
    fn anything_else_is_a_plain_revert() {
        let mut cut = Revert::from("not enough").abi_encode();
        cut.truncate(60);
        let mut far = Revert::from("x").abi_encode();
        far[4..36].fill(0xff);
        for data in [
            &[][..],
            &[1, 2, 3],
            &[0x08, 0xc3, 0x79, 0xa0],
            &cut,
            &far,
            &[0xde; 4],
        ] {
            assert_eq!(revert_message(data), "execution reverted");
        }
    }
}
