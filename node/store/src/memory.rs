//! What the store holds in memory, part by part, so that a process's memory can be accounted for.

use crate::Store;

/// What one cache or buffer holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The part, a word for labels: `state_cache`.
    pub part: &'static str,
    /// Entries, where the part counts them.
    pub entries: Option<u64>,
    /// Bytes that it is charged with.
    pub bytes: u64,
    /// Most bytes that it may hold, where there is one figure for that.
    pub bound: Option<u64>,
}

/// A length as a figure.
pub(crate) fn figure(length: usize) -> u64 {
    length.try_into().unwrap_or(u64::MAX)
}

impl Store {
    /// The caches and buffers of the store and of its engine. Cheap: nothing is walked through but the list of
    /// analysed codes.
    pub fn memory(&self) -> Vec<Held> {
        let mut held = self.backend.memory();
        held.push(self.nodes.held());
        held.push(self.codes.held());
        held
    }
}
