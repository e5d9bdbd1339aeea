//! Where accounts and slots are in their tries: their paths are hashes.

use alloy_primitives::{
    Address, U256,
    map::{AddressMap, HashMap, U256Map},
};
use alloy_trie::Nibbles;
use pars_kernels::keccak::Sponge;
use std::hash::{BuildHasher, Hash};

/// Paths of accounts and slots that were found before the state root needs them.
#[derive(Clone, Debug, Default)]
pub struct KnownPaths {
    accounts: AddressMap<Nibbles>,
    slots: U256Map<Nibbles>,
}

impl KnownPaths {
    /// The paths of accounts, in their order.
    pub(crate) fn of_accounts(&self, addresses: &[Address]) -> Vec<Nibbles> {
        paths(&self.accounts, addresses, |address| address.into_array())
    }

    /// The paths of slots, in their order.
    pub(crate) fn of_slots(&self, slots: &[U256]) -> Vec<Nibbles> {
        paths(&self.slots, slots, |slot| slot.to_be_bytes::<32>())
    }

    /// As [`Self::of_accounts`], and remembers them.
    pub(crate) fn learn_accounts(&mut self, addresses: &[Address]) -> Vec<Nibbles> {
        let paths = self.of_accounts(addresses);
        let known = addresses.iter().copied().zip(paths.iter().copied());
        self.accounts.extend(known);
        paths
    }

    /// As [`Self::of_slots`], and remembers them.
    pub(crate) fn learn_slots(&mut self, slots: &[U256]) -> Vec<Nibbles> {
        let paths = self.of_slots(slots);
        let known = slots.iter().copied().zip(paths.iter().copied());
        self.slots.extend(known);
        paths
    }
}

/// The paths of `keys`: those that are known, and hashes of the others.
fn paths<K: Copy + Eq + Hash, S: BuildHasher, B: AsRef<[u8]>>(
    known: &HashMap<K, Nibbles, S>,
    keys: &[K],
    bytes: impl Fn(K) -> B,
) -> Vec<Nibbles> {
    let mut unknown = Vec::with_capacity(if known.is_empty() { keys.len() } else { 0 });
    let found = keys.iter().map(|key| {
        let path = known.get(key);
        if path.is_none() {
            unknown.push(bytes(*key));
        }
        path
    });
    let found: Vec<_> = found.collect();
    let messages: Vec<[&[u8]; 2]> = unknown.iter().map(|key| [key.as_ref(), &[]]).collect();
    let mut hashes = vec![0; messages.len() * 32];
    Sponge::KECCAK256.hash_many(&messages, &mut hashes);
    let mut hashed = hashes.chunks_exact(32).map(Nibbles::unpack);
    let paths = found.into_iter();
    paths
        .map(|path| path.copied().or_else(|| hashed.next()).unwrap_or_default())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::keccak256;

    /// Whatever of them is known, each path is the hash of its key.
    #[test]
    fn paths_are_hashes() {
        let addresses: Vec<_> = (0..40).map(Address::repeat_byte).collect();
        let slots: Vec<_> = (0..40u64).map(U256::from).collect();
        let mut known = KnownPaths::default();
        for to_learn in [0..0, 5..6, 3..20, 0..40] {
            let paths = known.learn_accounts(addresses.get(to_learn.clone()).unwrap());
            assert_eq!(paths.len(), to_learn.len());
            let paths = known.learn_slots(slots.get(to_learn.clone()).unwrap());
            assert_eq!(paths.len(), to_learn.len());
            for (address, path) in addresses.iter().zip(known.of_accounts(&addresses)) {
                assert_eq!(path, Nibbles::unpack(keccak256(address)));
            }
            for (slot, path) in slots.iter().zip(known.of_slots(&slots)) {
                assert_eq!(path, Nibbles::unpack(keccak256(slot.to_be_bytes::<32>())));
            }
        }
        assert_eq!((known.accounts.len(), known.slots.len()), (40, 40));
    }
}
