//! The trie nodes of the newest state that are in memory.

use super::root::ResidentNodes;
use crate::{
    Held,
    memory::figure,
    trie::resident::{Tree, Weight},
};
use alloy_primitives::{Address, map::AddressMap};
use parking_lot::{RwLock, RwLockReadGuard};
use std::{collections::BTreeMap, time::Duration};

/// How long a block waits for those who compute a root, before it is left out.
const PATIENCE: Duration = Duration::from_millis(20);

/// Fewest nodes that are worth a thread.
const BESIDE_FROM: usize = 256;

/// The nodes of every trie that the last blocks led through, within a bound of bytes.
///
/// They are those of the block that was put in last. Other states find what they have in common with it, and read
/// the rest from the store.
#[derive(Debug)]
pub(crate) struct NodeCache {
    tries: RwLock<ResidentTries>,
    /// Most bytes.
    bound: usize,
}

/// The account trie and storage tries, as far as they are in memory.
#[derive(Debug, Default)]
pub(crate) struct ResidentTries {
    accounts: Tree,
    storage: AddressMap<Tree>,
    /// What they weigh together.
    weight: Weight,
    /// The block that was put in last.
    number: u64,
}

impl NodeCache {
    /// An empty one that holds at most so many bytes.
    pub(crate) fn new(bound: usize) -> Self {
        Self {
            tries: RwLock::default(),
            bound,
        }
    }

    /// What there is. Another reader on the same thread does no harm.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, ResidentTries> {
        // Whoever waits for other threads with the guard in hand may be given work of theirs to do.
        self.tries.read_recursive()
    }

    /// Puts the nodes that block `number` made in, if those of another block were put in last, and none that comes later: a
    /// block that is accepted while the next ones are at work is behind them. Where others read for too
    /// long nothing happens: no block waits for questions, and what is not here is read from the store.
    pub(crate) fn follow(&self, nodes: &ResidentNodes, number: u64) {
        let Some(mut tries) = self.tries.try_write_for(PATIENCE) else {
            tracing::debug!(number, "trie nodes in memory stay those of an older block");
            return;
        };
        if !tries.is_past(nodes, number) {
            tries.apply(nodes, number);
            tries.shrink_to(self.bound);
        }
    }

    /// Follows a block as [`Self::follow`] does while `other` is done, on a thread of its own where it is a large one.
    /// The pool's threads are none for it: one that computes a root has the nodes in hand while it looks for work.
    pub(crate) fn follow_beside<T>(
        &self,
        nodes: &ResidentNodes,
        number: u64,
        other: impl FnOnce() -> T,
    ) -> T {
        if self.read().is_past(nodes, number) {
            return other();
        }
        if nodes.len() < BESIDE_FROM {
            self.follow(nodes, number);
            return other();
        }
        std::thread::scope(|scope| {
            scope.spawn(|| self.follow(nodes, number));
            other()
        })
    }

    /// What it holds.
    pub(crate) fn held(&self) -> Held {
        let weight = self.read().weight;
        Held {
            part: "node_cache",
            entries: Some(figure(weight.nodes)),
            bytes: figure(weight.bytes),
            bound: Some(figure(self.bound)),
        }
    }
}

/// What a storage trie weighs, with its place in the map where it has one.
fn with_place(tree: &Tree) -> Weight {
    let mut weight = tree.weight();
    if weight.nodes > 0 {
        weight.bytes += 2 * size_of::<(Address, Tree)>();
    }
    weight
}

impl ResidentTries {
    /// Nodes of the account trie.
    pub(crate) fn accounts(&self) -> &Tree {
        &self.accounts
    }

    /// Nodes of an account's storage trie.
    pub(crate) fn storage(&self, address: &Address) -> Option<&Tree> {
        self.storage.get(address)
    }

    /// Whether these nodes of block `number` or those of a later block are in.
    fn is_past(&self, nodes: &ResidentNodes, number: u64) -> bool {
        self.number > number || self.accounts.root(&nodes.root).is_some()
    }

    fn apply(&mut self, nodes: &ResidentNodes, number: u64) {
        self.number = number;
        self.weight -= self.accounts.weight();
        self.accounts.apply(&nodes.accounts, number);
        self.weight += self.accounts.weight();
        for (address, made) in &nodes.storage {
            let mut tree = self.storage.remove(address).unwrap_or_default();
            self.weight -= with_place(&tree);
            tree.apply(made, number);
            self.weight += with_place(&tree);
            if tree.weight().nodes > 0 {
                self.storage.insert(*address, tree);
            }
        }
    }

    /// What there is, tree by tree.
    fn weigh(&self) -> Weight {
        let storage = self.storage.values().map(with_place);
        storage.fold(self.accounts.weight(), |mut all, tree| {
            all += tree;
            all
        })
    }

    /// Where there is more than `bound`, lets half of it go: what no block has led through for the longest time.
    fn shrink_to(&mut self, bound: usize) {
        if self.weight.bytes <= bound {
            return;
        }
        let mut blocks = BTreeMap::new();
        self.accounts.bytes_by_block(&mut blocks);
        for tree in self.storage.values() {
            tree.bytes_by_block(&mut blocks);
        }
        let mut kept = 0;
        let newest = blocks.iter().rev().take_while(|(_, bytes)| {
            kept += **bytes;
            kept <= bound / 2
        });
        let oldest = newest.last().map_or(u64::MAX, |(number, _)| *number);
        self.accounts.forget_before(oldest);
        self.storage.retain(|_, tree| {
            tree.forget_before(oldest);
            tree.weight().nodes > 0
        });
        self.weight = self.weigh();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        backend::{Backend as _, memory::Memory},
        state::{AccountDelta, KnownPaths, Nodes, TrieUpdates},
    };
    use alloy_primitives::{B256, U256, keccak256};
    use alloy_trie::{EMPTY_ROOT_HASH, TrieAccount};

    /// Accounts that come again at once and later: memory stays within the bound, and what the last block led
    /// through is there.
    #[test]
    fn memory_is_bounded_and_the_newest_stays() {
        let bound = 200_000;
        let cache = NodeCache::new(bound);
        let engine = Memory::new();
        let mut root = EMPTY_ROOT_HASH;
        let mut most = 0;
        let mut known: BTreeMap<Address, Option<TrieAccount>> = BTreeMap::new();
        for number in 1u64..60 {
            let mut accounts: Vec<_> = (0..40u64)
                .map(|n| (n, keccak256((number / 2 % 20 * 100 + n).to_be_bytes())))
                .map(|(n, hash)| (n, Address::from_slice(&hash[..20])))
                .map(|(n, address)| AccountDelta {
                    address,
                    before: known.get(&address).copied().flatten(),
                    after: Some(TrieAccount {
                        nonce: number,
                        ..TrieAccount::default()
                    }),
                    slots: vec![crate::state::SlotDelta {
                        slot: U256::from(n),
                        before: U256::ZERO,
                        after: U256::from(number),
                    }],
                })
                .collect();
            accounts.sort_unstable_by_key(|delta| delta.address);
            let snapshot = engine.snapshot();
            let updates = {
                let tries = cache.read();
                let nodes = Nodes {
                    snapshot: &*snapshot,
                    past: None,
                    resident: Some(&tries),
                };
                TrieUpdates::compute(nodes, B256::ZERO, root, accounts, &KnownPaths::default())
                    .unwrap()
            };
            root = updates.root();
            let accounts = updates.deltas().iter();
            known.extend(accounts.map(|delta| (delta.address, delta.after)));
            let mut batch = crate::backend::Batch::new();
            crate::state::write_state(&mut batch, number, &updates);
            engine.commit(batch).unwrap();
            let nodes = updates.nodes();
            cache.follow_beside(&nodes, number, || ());
            let held = cache.held();
            assert_eq!(cache.read().weigh(), cache.read().weight, "block {number}");
            assert!(held.bytes <= figure(bound), "block {number}: {held:?}");
            assert!(held.entries > Some(80), "block {number}: {held:?}");
            assert!(cache.read().accounts.root(&root).is_some());
            most = most.max(held.bytes);
            // The same block once more is nothing new.
            cache.follow(&nodes, number + 1);
            assert_eq!(cache.held(), held);
        }
        assert!(most > figure(bound / 2), "the bound was never near: {most}");
        let none = NodeCache::new(0);
        let nothing = ResidentNodes {
            root,
            accounts: Vec::new(),
            storage: Vec::new(),
        };
        none.follow(&nothing, 1);
        assert_eq!(none.held().bytes, 0);
    }

    /// Readers that never leave hold no block up.
    #[test]
    fn a_block_does_not_wait_for_readers() {
        let cache = NodeCache::new(1 << 20);
        let updates = TrieUpdates::on_empty(vec![AccountDelta {
            address: Address::repeat_byte(1),
            before: None,
            after: Some(TrieAccount::default()),
            slots: Vec::new(),
        }])
        .unwrap();
        let nodes = updates.nodes();
        let reader = cache.read();
        cache.follow(&nodes, 1);
        assert!(reader.accounts.root(&nodes.root).is_none());
        drop(reader);
        cache.follow(&nodes, 1);
        assert!(cache.read().accounts.root(&nodes.root).is_some());
    }
}
