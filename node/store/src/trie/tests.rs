use super::{node::NodeRef, resident::Weight, *};
use alloy_primitives::{Bytes, hex, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, HashBuilder};
use proptest::prelude::*;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Nodes in a map, as the store keeps them.
#[derive(Debug, Default)]
struct Nodes(BTreeMap<Nibbles, Encoded>);

impl NodeSource for &Nodes {
    fn node(&self, path: &Nibbles) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.get(path).map(|node| node.to_vec()))
    }

    fn damaged(&self, path: &Nibbles, reason: String) -> StoreError {
        StoreError::corrupt(crate::backend::Table::AccountTrie, &path.to_vec(), reason)
    }
}

/// A key, and the value that is written there or none.
type Write = (Nibbles, Option<Vec<u8>>);

fn borrowed(writes: &[Write]) -> Vec<Update<'_>> {
    let writes = writes.iter();
    writes
        .map(|(key, value)| (*key, value.as_deref()))
        .collect()
}

/// What an update made, without what there was before.
fn made(changes: &NodeChanges) -> Vec<MadeNode> {
    let made = changes.iter().map(|(at, change)| MadeNode {
        at: *at,
        node: change.after.clone().map(|encoded| (change.hash, encoded)),
    });
    made.collect()
}

impl Nodes {
    fn apply(&mut self, changes: NodeChanges) {
        for (path, change) in changes {
            assert_ne!(change.before, change.after, "an unchanged node is reported");
            assert_eq!(
                self.0.get(&path),
                change.before.as_ref(),
                "what was there before"
            );
            match change.after {
                Some(node) => self.0.insert(path, node),
                None => self.0.remove(&path),
            };
        }
    }

    fn update(&mut self, root: B256, writes: impl IntoIterator<Item = (Nibbles, Vec<u8>)>) -> B256 {
        let mut trie = Trie::open(&*self, root);
        for (key, value) in writes {
            trie.insert(key, value);
        }
        let (root, changes) = trie.finish().unwrap();
        self.apply(changes);
        root
    }
}

/// The root by the library, from all keys at once. Keys of one length only.
fn full_root(map: &BTreeMap<Nibbles, Vec<u8>>) -> B256 {
    let mut builder = HashBuilder::default();
    for (key, value) in map {
        builder.add_leaf(*key, value);
    }
    builder.root()
}

/// Keys that share prefixes of every length: each byte is one of few.
fn key() -> impl Strategy<Value = [u8; 32]> {
    (
        prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(0x10), Just(0xff)], 3),
        0usize..30,
        any::<u8>(),
    )
        .prop_map(|(head, at, byte)| {
            let mut key = [0u8; 32];
            key[..3].copy_from_slice(&head);
            key[at] ^= byte & 0x11;
            key[31] = byte & 3;
            key
        })
}

/// Values from one byte (nodes that are embedded) to an account's size; empty removes.
fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        2 => Just(Vec::new()),
        2 => prop::collection::vec(any::<u8>(), 1..3),
        1 => prop::collection::vec(any::<u8>(), 30..110),
        // One that is there already, more often than not.
        3 => (1u8..3).prop_map(|byte| vec![byte; 70]),
    ]
}

fn batches() -> impl Strategy<Value = Vec<Vec<([u8; 32], Vec<u8>)>>> {
    prop::collection::vec(prop::collection::vec((key(), value()), 0..25), 1..14)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn many_updates_give_the_root_of_one_full_computation(batches in batches()) {
        let mut nodes = Nodes::default();
        let mut model = BTreeMap::new();
        let mut root = EMPTY_ROOT_HASH;
        for batch in batches {
            let writes = batch.into_iter().map(|(k, v)| (Nibbles::unpack(k), v)).collect::<Vec<_>>();
            for (key, value) in &writes {
                if value.is_empty() { model.remove(key); } else { model.insert(*key, value.clone()); }
            }
            root = nodes.update(root, writes);
            prop_assert_eq!(root, full_root(&model));
            // Exactly the nodes of a fresh trie are stored: nothing is left behind.
            let mut fresh = Nodes::default();
            fresh.update(EMPTY_ROOT_HASH, model.clone());
            prop_assert_eq!(&nodes.0, &fresh.0);
        }
        // Down to nothing, in another order than it came.
        root = nodes.update(root, model.keys().rev().map(|key| (*key, Vec::new())));
        prop_assert_eq!(root, EMPTY_ROOT_HASH);
        prop_assert!(nodes.0.is_empty());
    }

    #[test]
    fn keys_that_are_prefixes_of_others_work_too(
        batches in prop::collection::vec(prop::collection::vec(
            (prop::collection::vec(0u8..3, 0..6), value()), 0..12), 1..10),
    ) {
        let mut nodes = Nodes::default();
        let mut model: BTreeMap<Nibbles, Vec<u8>> = BTreeMap::new();
        let mut root = EMPTY_ROOT_HASH;
        for batch in batches {
            let writes = batch.into_iter().map(|(k, v)| (Nibbles::from_nibbles(k), v)).collect::<Vec<_>>();
            for (key, value) in &writes {
                if value.is_empty() { model.remove(key); } else { model.insert(*key, value.clone()); }
            }
            root = nodes.update(root, writes);
            // The library knows no values in branches: compare with a trie made at once.
            let mut fresh = Nodes::default();
            prop_assert_eq!(root, fresh.update(EMPTY_ROOT_HASH, model.clone()));
            prop_assert_eq!(&nodes.0, &fresh.0);
        }
    }

    #[test]
    fn a_damaged_node_is_noticed(batch in prop::collection::vec((key(), value()), 4..25),
        which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), missing in any::<bool>())
    {
        let mut nodes = Nodes::default();
        let writes = batch.into_iter().map(|(k, v)| (Nibbles::unpack(k), v)).collect::<Vec<_>>();
        let model: BTreeMap<_, _> = writes.into_iter().filter(|(_, v)| !v.is_empty()).collect();
        let root = nodes.update(EMPTY_ROOT_HASH, model.clone());
        prop_assume!(!nodes.0.is_empty());
        let path = *nodes.0.keys().nth(which.index(nodes.0.len())).unwrap();
        if missing {
            nodes.0.remove(&path);
        } else {
            let mut node = nodes.0[&path].to_vec();
            let at = at.index(node.len());
            node[at] ^= 1;
            nodes.0.insert(path, node.into());
        }
        // Writing every key leads through every node.
        let mut trie = Trie::open(&nodes, root);
        model.keys().for_each(|key| trie.insert(*key, vec![1; 40]));
        let result = trie.finish();
        prop_assert!(matches!(result, Err(StoreError::Corrupt { .. })), "{result:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Updates that are large enough for threads, with nodes from the store and from memory; the trie shrinks to a
    /// key and to none.
    #[test]
    fn a_large_update_gives_the_root_of_one_full_computation(
        batches in prop::collection::vec(
            prop::collection::vec((any::<[u8; 2]>(), value()), 0..500), 1..5),
        mask in prop_oneof![Just(0x0fu8), Just(0x1f), Just(0x7f), Just(0xff)],
    ) {
        let mut nodes = Nodes::default();
        let mut resident = Tree::default();
        let mut model = BTreeMap::new();
        let mut root = EMPTY_ROOT_HASH;
        let mut batches: Vec<Vec<Write>> = batches
            .into_iter()
            .map(|batch| {
                let updates = batch.into_iter().map(|([first, second], value)| {
                    let key = Nibbles::unpack(B256::right_padding_from(&[first & mask, second]));
                    (key, (!value.is_empty()).then_some(value))
                });
                updates.collect()
            })
            .collect();
        let keys: std::collections::BTreeSet<_> = batches.iter().flatten().map(|(key, _)| *key).collect();
        // All but one, at once; and then that one, with many that are gone already.
        batches.push(keys.iter().skip(1).map(|key| (*key, None)).collect());
        batches.push(keys.iter().map(|key| (*key, None)).collect());
        for batch in batches {
            for (key, value) in &batch {
                match value {
                    Some(value) => model.insert(*key, value.clone()),
                    None => model.remove(key),
                };
            }
            let from_memory = update(&nodes, root, Some(&resident), borrowed(&batch)).unwrap();
            let (new, changes) = update(&nodes, root, None, borrowed(&batch)).unwrap();
            prop_assert_eq!(&from_memory, &(new, changes.clone()));
            prop_assert_eq!(new, full_root(&model));
            resident.apply(&made(&changes), 1);
            root = new;
            nodes.apply(changes);
            let mut fresh = Nodes::default();
            fresh.update(EMPTY_ROOT_HASH, model.clone());
            prop_assert_eq!(&nodes.0, &fresh.0);
        }
        prop_assert_eq!(root, EMPTY_ROOT_HASH);
    }
}

#[test]
fn a_write_of_the_same_value_changes_no_node() {
    let mut nodes = Nodes::default();
    let writes: Vec<_> = (0u8..40)
        .map(|i| (Nibbles::unpack(keccak256([i])), vec![i + 1; 40]))
        .collect();
    let root = nodes.update(EMPTY_ROOT_HASH, writes.clone());
    let mut trie = Trie::open(&nodes, root);
    for (key, value) in writes {
        trie.insert(key, value);
    }
    trie.remove(Nibbles::unpack(keccak256(b"not there")));
    assert_eq!(trie.finish().unwrap(), (root, NodeChanges::default()));
}

#[test]
fn only_the_path_to_the_key_is_written() {
    let mut nodes = Nodes::default();
    let writes = (0u32..4096).map(|i| (Nibbles::unpack(keccak256(i.to_be_bytes())), vec![1; 40]));
    let root = nodes.update(EMPTY_ROOT_HASH, writes);
    let mut trie = Trie::open(&nodes, root);
    trie.insert(Nibbles::unpack(keccak256(7u32.to_be_bytes())), vec![2; 40]);
    let (_, changes) = trie.finish().unwrap();
    assert!((3..=6).contains(&changes.len()), "{}", changes.len());
}

/// The official trie tests: what is put in, as a map in any order or as a list of steps.
#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    Any(BTreeMap<String, Option<String>>),
    Steps(Vec<(String, Option<String>)>),
}

#[derive(Deserialize)]
struct Case {
    r#in: Input,
    root: B256,
}

fn text_or_hex(text: &str) -> Vec<u8> {
    match text.strip_prefix("0x") {
        Some(digits) => hex::decode(digits).unwrap(),
        None => text.as_bytes().to_vec(),
    }
}

fn steps(input: Input) -> Vec<(Vec<u8>, Vec<u8>)> {
    let steps = match input {
        Input::Any(map) => map.into_iter().collect(),
        Input::Steps(steps) => steps,
    };
    steps
        .into_iter()
        .map(|(k, v)| (text_or_hex(&k), text_or_hex(&v.unwrap_or_default())))
        .collect()
}

/// Every file of the official trie tests. `trietestnextprev.json` is left out: it tests an
/// iterator over keys, which this trie does not have.
const FILES: [(&str, bool, usize); 5] = [
    ("hex_encoded_securetrie_test.json", true, 3),
    ("trieanyorder.json", false, 7),
    ("trieanyorder_secureTrie.json", true, 7),
    ("trietest.json", false, 5),
    ("trietest_secureTrie.json", true, 3),
];

#[test]
fn official_trie_tests() {
    let Some(folder) = crate::test_util::vectors().map(|dir| dir.join("evm/trie_tests")) else {
        println!("official trie tests: no vectors here (set PARS_VECTORS), one case checked");
        let mut nodes = Nodes::default();
        let dogs = [
            ("doe", "reindeer"),
            ("dog", "puppy"),
            ("dogglesworth", "cat"),
        ];
        let root = nodes.update(
            EMPTY_ROOT_HASH,
            dogs.map(|(k, v)| (Nibbles::unpack(k), v.as_bytes().to_vec())),
        );
        let wanted = "0x8aad789dff2f538bca5d8ea56e8abe10f4c7ba3a5dea95fea4cd6e7c3a1168d3";
        assert_eq!(root, wanted.parse::<B256>().unwrap());
        return;
    };
    let mut total = 0;
    for (file, secure, least) in FILES {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        let cases: BTreeMap<String, Case> = serde_json::from_str(&text).unwrap();
        assert!(cases.len() >= least, "{file}: {} cases", cases.len());
        for (name, case) in cases {
            let writes: Vec<_> = steps(case.r#in)
                .into_iter()
                .map(|(key, value)| {
                    let key = if secure { keccak256(key).to_vec() } else { key };
                    (Nibbles::unpack(Bytes::from(key)), value)
                })
                .collect();
            // All in one update, and a step at a time through the store.
            let mut at_once = Nodes::default();
            assert_eq!(
                at_once.update(EMPTY_ROOT_HASH, writes.clone()),
                case.root,
                "{file} {name}"
            );
            let mut stepwise = Nodes::default();
            let mut root = EMPTY_ROOT_HASH;
            for write in writes {
                root = stepwise.update(root, [write]);
            }
            assert_eq!(root, case.root, "{file} {name}, step by step");
            assert_eq!(stepwise.0, at_once.0, "{file} {name}");
            total += 1;
        }
    }
    println!("official trie tests: {total} cases passed");
}

/// Nodes in a map, and how many of them were asked for.
#[derive(Clone, Copy, Debug)]
struct Counted<'a>(&'a Nodes, &'a std::sync::atomic::AtomicUsize);

impl NodeSource for Counted<'_> {
    fn node(&self, path: &Nibbles) -> Result<Option<Vec<u8>>, StoreError> {
        self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        (&self.0).node(path)
    }

    fn damaged(&self, path: &Nibbles, reason: String) -> StoreError {
        (&self.0).damaged(path, reason)
    }
}

/// Nodes and bytes of a tree, counted anew.
fn recount(tree: &Tree) -> Weight {
    let mut blocks = BTreeMap::new();
    let nodes = tree.bytes_by_block(&mut blocks);
    Weight {
        nodes,
        bytes: blocks.values().sum(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Blocks on any block before, while the tree in memory is that of the one put in last, or less: every update is
    /// the one that is computed without it.
    #[test]
    fn what_is_in_memory_changes_nothing(
        blocks in prop::collection::vec((
            any::<prop::sample::Index>(),
            prop::collection::vec((key(), value()), 0..25),
            prop::option::weighted(0.7, 0u64..4),
        ), 1..16),
    ) {
        let mut versions = vec![(EMPTY_ROOT_HASH, BTreeMap::new())];
        let mut resident = Tree::default();
        for (number, (parent, writes, forget)) in (1u64..).zip(blocks) {
            let (root, stored) = versions[parent.index(versions.len())].clone();
            let mut nodes = Nodes(stored);
            let updates: Vec<Write> = writes
                .into_iter()
                .map(|(key, value)| (Nibbles::unpack(key), Some(value)))
                .collect();
            let alone = update(&nodes, root, None, borrowed(&updates)).unwrap();
            let done = update_many(vec![
                (&nodes, root, Some(&resident), borrowed(&updates)),
                (&nodes, root, None, Vec::new()),
                (&nodes, root, Some(&resident), borrowed(&updates)),
            ]).unwrap();
            prop_assert_eq!(&done, &[alone.clone(), (root, NodeChanges::default()), alone.clone()]);
            let (root, changes) = alone;
            resident.apply(&made(&changes), number);
            if let Some(back) = forget {
                resident.forget_before(number.saturating_sub(back));
            }
            prop_assert_eq!(resident.weight(), recount(&resident));
            nodes.apply(changes);
            versions.push((root, nodes.0));
        }
        resident.forget_before(u64::MAX);
        prop_assert_eq!(resident.weight(), Weight::default());
    }
}

#[test]
fn what_is_in_memory_is_not_read_again() {
    let mut nodes = Nodes::default();
    let mut resident = Tree::default();
    let reads = std::sync::atomic::AtomicUsize::new(0);
    let key = |n: u32| Nibbles::unpack(keccak256(n.to_be_bytes()));
    let mut root = EMPTY_ROOT_HASH;
    let mut block = |number: u64, keys: std::ops::Range<u32>, resident: &mut Tree| {
        let value = [number.to_le_bytes()[0]; 70];
        let updates = keys.map(|n| (key(n), Some(&value[..]))).collect();
        let source = Counted(&nodes, &reads);
        let (new, changes) = update(source, root, Some(resident), updates).unwrap();
        resident.apply(&made(&changes), number);
        root = new;
        nodes.apply(changes);
        reads.swap(0, std::sync::atomic::Ordering::Relaxed)
    };
    assert_eq!(block(1, 0..2_000, &mut resident), 0, "there is nothing yet");
    assert_eq!(
        block(2, 0..500, &mut resident),
        0,
        "few and many, on threads"
    );
    assert_eq!(block(3, 500..520, &mut resident), 0);
    let all = resident.weight();
    // What only block 1 has led through goes; paths of later ones are still whole.
    resident.forget_before(2);
    assert!(resident.weight().nodes < all.nodes / 2);
    assert_eq!(block(4, 0..520, &mut resident), 0);
    assert!(
        block(5, 1_000..1_100, &mut resident) >= 100,
        "each leaf at least"
    );
    assert_eq!(block(6, 1_000..1_100, &mut resident), 0);
}

#[test]
fn a_path_that_is_too_long_is_damage() {
    let mut nodes = Nodes::default();
    let writes: Vec<_> = (0u8..40)
        .map(|i| (Nibbles::unpack(keccak256([i])), vec![i + 1; 40]))
        .collect();
    let root = nodes.update(EMPTY_ROOT_HASH, writes.clone());
    let long = Nibbles::unpack([7; 32]);
    let deepest = *nodes.0.keys().max_by_key(|at| at.len()).unwrap();
    let child = NodeRef::word_rlp(&B256::repeat_byte(9));
    for node in [
        node::Node::Leaf {
            path: long,
            value: vec![1],
        },
        node::Node::Extension { path: long, child },
    ] {
        nodes.0.insert(deepest, node.encode().into());
        let mut trie = Trie::open(&nodes, root);
        writes
            .iter()
            .for_each(|(key, _)| trie.insert(*key, vec![1; 40]));
        let error = trie.finish().unwrap_err().to_string();
        assert!(error.contains("too long"), "{error}");
    }
}

/// A trie of a single leaf, which may be another one than its root names.
#[derive(Debug)]
struct Leaf(crate::backend::Table, Encoded);

impl NodeSource for Leaf {
    fn node(&self, _: &Nibbles) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(Some(self.1.to_vec()))
    }

    fn damaged(&self, path: &Nibbles, reason: String) -> StoreError {
        StoreError::corrupt(self.0, &path.to_vec(), reason)
    }
}

#[test]
fn of_many_tries_the_damaged_one_is_named() {
    use crate::backend::Table;
    let tables = [Table::AccountTrie, Table::StorageTrie];
    let key = Nibbles::unpack(keccak256([1]));
    let mut nodes = Nodes::default();
    let root = nodes.update(EMPTY_ROOT_HASH, [(key, vec![1; 40])]);
    let leaf = nodes.0[&Nibbles::new()].clone();
    let mut other = leaf.to_vec();
    *other.last_mut().unwrap() ^= 1;
    let other = Encoded::from(other);
    for damaged in tables {
        let tries = tables.map(|table| {
            let leaf = if table == damaged { &other } else { &leaf };
            (Leaf(table, leaf.clone()), root, None, vec![(key, None)])
        });
        let error = update_many(tries.into()).unwrap_err();
        let StoreError::Corrupt { table, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(table, damaged);
    }
}

#[test]
fn an_empty_value_takes_a_leaf_in_memory_away() {
    let key = |n: u32| Nibbles::unpack(keccak256(n.to_be_bytes()));
    let value = [7; 70];
    let written = (0..40).map(|n| (key(n), Some(&value[..]))).collect();
    let mut nodes = Nodes::default();
    let (root, changes) = update(&nodes, EMPTY_ROOT_HASH, None, written).unwrap();
    let mut resident = Tree::default();
    resident.apply(&made(&changes), 1);
    nodes.apply(changes);
    let emptied = |value| vec![(key(3), value), (key(30), Some(&[1; 70][..]))];
    let gone = update(&nodes, root, None, emptied(None)).unwrap();
    for value in [None, Some(&[][..])] {
        let done = update(&nodes, root, Some(&resident), emptied(value)).unwrap();
        assert_eq!(done, gone);
    }
}
