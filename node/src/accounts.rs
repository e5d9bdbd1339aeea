//! The funded accounts of a development chain.
//!
//! Their keys come from a mnemonic (BIP-39) at Ethereum's path m/44'/60'/0'/0/i (BIP-32, BIP-44),
//! as other development nodes derive them, so that scripts written for those work here. With the
//! default mnemonic the whole world knows the keys.

use alloy_primitives::{Address, B256};
use bip32::{DerivationPath, XPrv};
use bip39::{Language, Mnemonic};

/// The mnemonic of every Ethereum development tool.
pub const DEV_MNEMONIC: &str = "test test test test test test test test test test test junk";

/// Most accounts that are derived.
pub const MOST_ACCOUNTS: u32 = 1000;

/// A development account and its key.
#[derive(Clone, PartialEq, Eq)]
pub struct DevAccount {
    /// The account.
    pub address: Address,
    /// Its secp256k1 private key.
    pub private_key: B256,
}

// The key is not for logs.
impl std::fmt::Debug for DevAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DevAccount")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Why accounts could not be derived.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// The words are not a mnemonic.
    #[error(
        "the mnemonic is not valid: {0}; it must be words of the English BIP-39 list, the last one holding a checksum"
    )]
    Mnemonic(String),
    /// More accounts than anybody needs.
    #[error("{0} accounts are too many, at most {MOST_ACCOUNTS} are derived")]
    TooMany(u32),
    /// The derivation hit one of the keys that do not exist (probability 2^-127).
    #[error("no key at derivation index {0}; use another mnemonic")]
    Derivation(u32),
}

/// The first `count` accounts of `mnemonic`, with an empty passphrase.
///
/// # Errors
/// For words that are no mnemonic and for more than [`MOST_ACCOUNTS`] accounts.
pub fn derive(mnemonic: &str, count: u32) -> Result<Vec<DevAccount>, AccountsError> {
    if count > MOST_ACCOUNTS {
        return Err(AccountsError::TooMany(count));
    }
    let mnemonic = Mnemonic::parse_in(Language::English, mnemonic)
        .map_err(|error| AccountsError::Mnemonic(error.to_string()))?;
    let seed = mnemonic.to_seed("");
    (0..count)
        .map(|index| account(&seed, index).ok_or(AccountsError::Derivation(index)))
        .collect()
}

fn account(seed: &[u8; 64], index: u32) -> Option<DevAccount> {
    let path: DerivationPath = format!("m/44'/60'/0'/0/{index}").parse().ok()?;
    let key = XPrv::derive_from_path(seed, &path).ok()?;
    let key = key.private_key();
    Some(DevAccount {
        address: Address::from_private_key(key),
        private_key: B256::from_slice(&key.to_bytes()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{address, b256};

    /// Published in the documentation of anvil and hardhat.
    #[test]
    fn the_well_known_accounts() {
        let accounts = derive(DEV_MNEMONIC, 10).unwrap();
        assert_eq!(accounts.len(), 10);
        assert_eq!(
            accounts[0].address,
            address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266")
        );
        assert_eq!(
            accounts[0].private_key,
            b256!("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
        );
        assert_eq!(
            accounts[1].address,
            address!("70997970C51812dc3A010C7d01b50e0d17dc79C8")
        );
        assert_eq!(
            accounts[9].address,
            address!("a0Ee7A142d267C1f36714E4a8F75612F20a79720")
        );
        assert_eq!(
            accounts[9].private_key,
            b256!("2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6")
        );
    }

    #[test]
    fn a_typing_error_is_found() {
        let wrong_word = DEV_MNEMONIC.replace("junk", "jnuk");
        let wrong_sum = DEV_MNEMONIC.replace("junk", "test");
        for mnemonic in [wrong_word.as_str(), wrong_sum.as_str(), "test", ""] {
            assert!(
                matches!(derive(mnemonic, 1), Err(AccountsError::Mnemonic(_))),
                "{mnemonic}"
            );
        }
    }

    #[test]
    fn none_and_too_many() {
        assert!(derive(DEV_MNEMONIC, 0).unwrap().is_empty());
        assert!(matches!(
            derive(DEV_MNEMONIC, MOST_ACCOUNTS + 1),
            Err(AccountsError::TooMany(_))
        ));
    }

    #[test]
    fn keys_stay_out_of_debug_output() {
        let accounts = derive(DEV_MNEMONIC, 1).unwrap();
        assert!(!format!("{accounts:?}").contains("ac0974"));
    }
}
