//! The funded development accounts, and transactions signed with them.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930, TxEnvelope, TxLegacy};
use alloy_eips::{eip2718::Encodable2718, eip2930::AccessList};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, b256};
use k256::ecdsa::SigningKey;

use crate::CHAIN_ID;

/// Private keys of the accounts 0 to 9 of the mnemonic
/// `test test test test test test test test test test test junk`, path `m/44'/60'/0'/0/n`, as every
/// development tool prints them. Worthless anywhere else.
pub const DEVELOPMENT_KEYS: [B256; 10] = [
    b256!("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"),
    b256!("59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"),
    b256!("5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a"),
    b256!("7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6"),
    b256!("47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a"),
    b256!("8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba"),
    b256!("92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e"),
    b256!("4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356"),
    b256!("dbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97"),
    b256!("2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6"),
];

/// 10^9 wei.
pub const GWEI: u128 = 1_000_000_000;
/// A gas price that no development chain of these tests reaches.
pub const AMPLE_PRICE: u128 = 200 * GWEI;

/// A key pair.
#[derive(Debug, Clone)]
pub struct Wallet {
    key: SigningKey,
    /// Its address.
    pub address: Address,
}

/// A signed transaction.
#[derive(Debug, Clone)]
pub struct Signed {
    /// Transaction hash.
    pub hash: B256,
    /// EIP-2718 bytes.
    pub raw: Vec<u8>,
}

impl Wallet {
    /// Funded account number `index`, 0 to 9.
    pub fn development(index: usize) -> Self {
        Self::new(
            *DEVELOPMENT_KEYS
                .get(index)
                .expect("there are ten development accounts"),
        )
    }

    /// From a private key.
    pub fn new(secret: B256) -> Self {
        let key = SigningKey::from_slice(secret.as_slice()).expect("a private key");
        let address = Address::from_private_key(&key);
        Self { key, address }
    }

    /// Signs any kind of transaction.
    pub fn sign<T>(&self, transaction: T) -> Signed
    where
        T: SignableTransaction<Signature>,
        TxEnvelope: From<alloy_consensus::Signed<T>>,
    {
        let (signature, recovery) = self
            .key
            .sign_prehash_recoverable(transaction.signature_hash().as_slice())
            .expect("signing a hash of 32 bytes");
        let envelope =
            TxEnvelope::from(transaction.into_signed(Signature::from((signature, recovery))));
        Signed {
            hash: *envelope.tx_hash(),
            raw: envelope.encoded_2718(),
        }
    }

    /// A legacy transfer.
    pub fn legacy(&self, nonce: u64, to: Address, value: u64) -> Signed {
        self.sign(TxLegacy {
            chain_id: Some(CHAIN_ID),
            nonce,
            gas_price: AMPLE_PRICE,
            gas_limit: 21_000,
            to: TxKind::Call(to),
            value: U256::from(value),
            input: Bytes::new(),
        })
    }

    /// A transfer of type 1.
    pub fn access_list(&self, nonce: u64, to: Address, value: u64) -> Signed {
        self.sign(TxEip2930 {
            chain_id: CHAIN_ID,
            nonce,
            gas_price: AMPLE_PRICE,
            gas_limit: 21_000,
            to: TxKind::Call(to),
            value: U256::from(value),
            access_list: AccessList::default(),
            input: Bytes::new(),
        })
    }

    /// A transfer of type 2.
    pub fn transfer(&self, nonce: u64, to: Address, value: u64) -> Signed {
        self.sign(transfer(nonce, to, value))
    }

    /// A call of type 2.
    pub fn call(&self, nonce: u64, to: Address, input: Bytes, gas_limit: u64) -> Signed {
        self.sign(TxEip1559 {
            input,
            gas_limit,
            ..transfer(nonce, to, 0)
        })
    }
}

/// An unsigned transfer of type 2, to be changed at will.
pub fn transfer(nonce: u64, to: Address, value: u64) -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: AMPLE_PRICE,
        max_priority_fee_per_gas: 2 * GWEI,
        to: TxKind::Call(to),
        value: U256::from(value),
        access_list: AccessList::default(),
        input: Bytes::new(),
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::address;

    use super::*;

    #[test]
    fn the_first_account_is_the_one_everybody_knows() {
        assert_eq!(
            Wallet::development(0).address,
            address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266")
        );
        assert_eq!(
            Wallet::development(9).address,
            address!("a0Ee7A142d267C1f36714E4a8F75612F20a79720")
        );
    }
}
