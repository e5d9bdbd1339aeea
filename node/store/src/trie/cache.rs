//! Trie nodes in memory, by their hash.
//!
//! What has a hash is the same wherever that hash names it: in the newest state, in an older one, in a
//! block that is never accepted. So nothing here ever becomes wrong, and a node that is found here
//! needs no check: it was hashed before it came in.

use crate::{Held, generations::Generations, memory::figure};
use alloy_primitives::{B256, map::FbBuildHasher};
use parking_lot::Mutex;
use std::{fmt, sync::Arc};

/// The encoding of a node.
pub type Encoded = Arc<[u8]>;

/// What a node takes besides its encoding: counters, its place in the hash table, and the free places there.
const OVERHEAD: usize = 112;

/// Parts of the cache, each with a lock of its own: the parts of a large trie are updated on several threads.
const SHARDS: usize = 16;

type Shard = Generations<B256, Encoded, FbBuildHasher<32>>;

/// Nodes that were read or made last, within a bound of bytes.
pub struct NodeCache {
    shards: [Mutex<Shard>; SHARDS],
    /// Most bytes: half as many again as asked for, since nodes that only older states need are counted apart.
    bound: usize,
}

impl fmt::Debug for NodeCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeCache")
    }
}

impl NodeCache {
    /// An empty one that holds about so many bytes.
    pub fn new(bytes: usize) -> Self {
        let size = |encoded: &Encoded| OVERHEAD + encoded.len();
        let shard = |_| Mutex::new(Generations::new(bytes / SHARDS, size));
        Self {
            shards: std::array::from_fn(shard),
            bound: bytes + bytes / 2,
        }
    }

    /// What it holds.
    pub(crate) fn held(&self) -> Held {
        let (mut entries, mut bytes) = (0, 0);
        for shard in &self.shards {
            let shard = shard.lock();
            entries += shard.len();
            bytes += shard.bytes();
        }
        Held {
            part: "node_cache",
            entries: Some(figure(entries)),
            bytes: figure(bytes),
            bound: Some(figure(self.bound)),
        }
    }

    fn shard(&self, hash: &B256) -> &Mutex<Shard> {
        // There are as many as that.
        &self.shards[usize::from(hash[0]) % SHARDS]
    }

    /// The node with this hash.
    pub fn get(&self, hash: &B256) -> Option<Encoded> {
        self.shard(hash).lock().get(hash)
    }

    /// Keeps nodes under their hashes, which must be theirs; `replaced` are those that they take the places of, which
    /// only older states need from now on.
    pub fn put(&self, replaced: &[B256], nodes: impl IntoIterator<Item = (B256, Encoded)>) {
        for hash in replaced {
            self.shard(hash).lock().retire(hash);
        }
        for (hash, encoded) in nodes {
            self.shard(&hash).lock().put(hash, encoded);
        }
    }
}
