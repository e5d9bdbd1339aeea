//! Poll filters (`eth_newFilter` and its siblings) as a state machine without clock or store.
//!
//! Block and log filters keep a cursor, the next block they have not reported, and the caller
//! reads the store from there; so a filter costs the same however much happens between two polls.
//! Pending transactions are gone once mined, so their hashes sit in one ring that all filters of
//! that kind read with a cursor of their own.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use alloy_primitives::{B256, U128};
use alloy_rpc_types_eth::Filter;

use crate::server::RpcUsage;

/// Pending hashes kept for filters; a filter that falls further behind misses the oldest.
const PENDING_RING: usize = 16_384;

/// What a filter reports.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// Logs of new blocks.
    Logs(Box<Filter>),
    /// Hashes of new blocks.
    Blocks,
    /// Transactions that entered the pool: hashes, or full objects if asked for.
    Pending {
        /// Full transaction objects instead of hashes.
        full: bool,
    },
}

/// What the caller has to fetch to answer a poll.
#[derive(Debug, Clone)]
pub(crate) enum Changes {
    /// Logs of these blocks (both ends included).
    Logs {
        /// What to look for.
        filter: Box<Filter>,
        /// First block.
        from: u64,
        /// Last block; less than `from` if there is nothing new.
        to: u64,
    },
    /// Hashes of these blocks (both ends included).
    Blocks {
        /// First block.
        from: u64,
        /// Last block; less than `from` if there is nothing new.
        to: u64,
    },
    /// These transactions entered the pool.
    Pending {
        /// Their hashes, oldest first.
        hashes: Vec<B256>,
        /// Full transaction objects instead of hashes.
        full: bool,
    },
}

/// Why a filter could not be made.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FilterError {
    /// The limit of filters is reached.
    #[error("too many filters: this node keeps at most {0}; uninstall some")]
    TooMany(usize),
    /// The operating system gave no random bytes for the id.
    #[error("no randomness for a filter id")]
    NoRandomness,
}

#[derive(Debug)]
struct Entry {
    kind: Kind,
    /// Next block to report, or next position in the pending ring.
    cursor: u64,
    last_used: Instant,
}

/// All filters of a node.
#[derive(Debug)]
pub(crate) struct Filters {
    entries: HashMap<U128, Entry>,
    most: usize,
    timeout: Duration,
    pending: VecDeque<B256>,
    /// Position of the ring's front among all hashes ever seen.
    pending_front: u64,
}

impl Filters {
    /// No filters yet, at most `most` of them, each dropped after `timeout` without a poll.
    pub(crate) fn new(most: usize, timeout: Duration) -> Self {
        Self {
            entries: HashMap::new(),
            most,
            timeout,
            pending: VecDeque::new(),
            pending_front: 0,
        }
    }

    /// A transaction entered the pool.
    pub(crate) fn on_pending(&mut self, hash: B256) {
        if self.pending.len() == PENDING_RING {
            self.pending.pop_front();
            self.pending_front += 1;
        }
        self.pending.push_back(hash);
    }

    /// Makes a filter that reports what comes after block `head`. The id is random, so that one
    /// client cannot guess another's.
    pub(crate) fn install(
        &mut self,
        kind: Kind,
        head: u64,
        now: Instant,
    ) -> Result<U128, FilterError> {
        self.expire(now);
        if self.entries.len() >= self.most {
            return Err(FilterError::TooMany(self.most));
        }
        let mut bytes = [0u8; 16];
        getrandom::fill(&mut bytes).map_err(|_| FilterError::NoRandomness)?;
        let id = U128::from_be_bytes(bytes);
        let cursor = match kind {
            Kind::Pending { .. } => self.pending_front + self.pending.len() as u64,
            Kind::Logs(_) | Kind::Blocks => head + 1,
        };
        self.entries.insert(
            id,
            Entry {
                kind,
                cursor,
                last_used: now,
            },
        );
        Ok(id)
    }

    /// Forgets a filter; whether there was one.
    pub(crate) fn uninstall(&mut self, id: &U128) -> bool {
        self.entries.remove(id).is_some()
    }

    /// What happened since the last poll of `id`, up to block `head`, at most `span` blocks of it
    /// (the next poll goes on from there). `None` for an unknown or expired filter.
    pub(crate) fn poll(
        &mut self,
        id: &U128,
        head: u64,
        span: u64,
        now: Instant,
    ) -> Option<Changes> {
        self.expire(now);
        let entry = self.entries.get_mut(id)?;
        entry.last_used = now;
        Some(match &entry.kind {
            Kind::Pending { full } => {
                let skip = entry.cursor.saturating_sub(self.pending_front);
                let skip = usize::try_from(skip).unwrap_or(usize::MAX);
                let hashes = self.pending.iter().skip(skip).copied().collect();
                entry.cursor = self.pending_front + self.pending.len() as u64;
                Changes::Pending {
                    hashes,
                    full: *full,
                }
            }
            Kind::Blocks => {
                let (from, to) = advance(&mut entry.cursor, head, span);
                Changes::Blocks { from, to }
            }
            Kind::Logs(filter) => {
                let filter = filter.clone();
                let (from, to) = advance(&mut entry.cursor, head, span);
                Changes::Logs { filter, from, to }
            }
        })
    }

    /// Lets the next poll of a block or log filter begin at `block`, because the answer to the last
    /// one was cut short there.
    pub(crate) fn resume_at(&mut self, id: &U128, block: u64) {
        if let Some(entry) = self.entries.get_mut(id)
            && !matches!(entry.kind, Kind::Pending { .. })
        {
            entry.cursor = block;
        }
    }

    /// The log filter behind `id`, for `eth_getFilterLogs`; `None` if there is none of that kind.
    pub(crate) fn log_filter(&mut self, id: &U128, now: Instant) -> Option<Box<Filter>> {
        self.expire(now);
        let entry = self.entries.get_mut(id)?;
        entry.last_used = now;
        match &entry.kind {
            Kind::Logs(filter) => Some(filter.clone()),
            Kind::Blocks | Kind::Pending { .. } => None,
        }
    }

    /// What is kept.
    pub(crate) fn usage(&self) -> RpcUsage {
        RpcUsage {
            filters: self.entries.len(),
            filter_bytes: self.entries.len() * size_of::<(U128, Entry, Filter)>(),
            pending_hashes: self.pending.len(),
        }
    }

    fn expire(&mut self, now: Instant) {
        let timeout = self.timeout;
        self.entries
            .retain(|_, entry| now.saturating_duration_since(entry.last_used) < timeout);
    }
}

/// Moves `cursor` past `head` or `span` blocks on, whichever is less, and returns the blocks in between.
fn advance(cursor: &mut u64, head: u64, span: u64) -> (u64, u64) {
    let from = *cursor;
    let to = head.min(from.saturating_add(span.saturating_sub(1)));
    *cursor = from.max(to.saturating_add(1));
    (from, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const SPAN: u64 = 1000;

    fn filters() -> (Filters, Instant) {
        (Filters::new(3, 5 * MINUTE), Instant::now())
    }

    fn range(changes: Option<Changes>) -> Vec<u64> {
        match changes {
            Some(Changes::Blocks { from, to } | Changes::Logs { from, to, .. }) => {
                (from..=to).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_block_is_reported_once() {
        let (mut filters, now) = filters();
        let id = filters.install(Kind::Blocks, 10, now).unwrap();
        assert!(range(filters.poll(&id, 10, SPAN, now)).is_empty());
        assert_eq!(range(filters.poll(&id, 12, SPAN, now)), [11, 12]);
        assert!(range(filters.poll(&id, 12, SPAN, now)).is_empty());
        assert_eq!(range(filters.poll(&id, 13, SPAN, now)), [13]);
    }

    #[test]
    fn a_long_gap_is_reported_in_pieces() {
        let (mut filters, now) = filters();
        let id = filters.install(Kind::Logs(Box::default()), 0, now).unwrap();
        assert_eq!(
            range(filters.poll(&id, 25, 10, now)),
            (1..=10).collect::<Vec<_>>()
        );
        assert_eq!(
            range(filters.poll(&id, 25, 10, now)),
            (11..=20).collect::<Vec<_>>()
        );
        assert_eq!(
            range(filters.poll(&id, 25, 10, now)),
            (21..=25).collect::<Vec<_>>()
        );
        assert!(range(filters.poll(&id, 25, 10, now)).is_empty());
    }

    #[test]
    fn an_answer_cut_short_is_continued() {
        let (mut filters, now) = filters();
        let id = filters.install(Kind::Logs(Box::default()), 0, now).unwrap();
        assert_eq!(range(filters.poll(&id, 5, SPAN, now)), [1, 2, 3, 4, 5]);
        filters.resume_at(&id, 3);
        assert_eq!(range(filters.poll(&id, 6, SPAN, now)), [3, 4, 5, 6]);
    }

    #[test]
    fn pending_hashes_are_reported_from_installation_on() {
        let (mut filters, now) = filters();
        let hash = B256::with_last_byte;
        filters.on_pending(hash(1));
        let id = filters
            .install(Kind::Pending { full: false }, 0, now)
            .unwrap();
        filters.on_pending(hash(2));
        filters.on_pending(hash(3));
        let Some(Changes::Pending { hashes, .. }) = filters.poll(&id, 0, SPAN, now) else {
            panic!()
        };
        assert_eq!(hashes, [hash(2), hash(3)]);
        let Some(Changes::Pending { hashes, .. }) = filters.poll(&id, 0, SPAN, now) else {
            panic!()
        };
        assert!(hashes.is_empty());
    }

    #[test]
    fn the_pending_ring_forgets_the_oldest() {
        let (mut filters, now) = filters();
        let id = filters
            .install(Kind::Pending { full: false }, 0, now)
            .unwrap();
        for count in 0..PENDING_RING + 5 {
            filters.on_pending(B256::from(alloy_primitives::U256::from(count)));
        }
        let Some(Changes::Pending { hashes, .. }) = filters.poll(&id, 0, SPAN, now) else {
            panic!()
        };
        assert_eq!(hashes.len(), PENDING_RING);
        assert_eq!(hashes[0], B256::with_last_byte(5));
    }

    #[test]
    fn idle_filters_expire_and_polled_ones_do_not() {
        let (mut filters, start) = filters();
        let idle = filters.install(Kind::Blocks, 0, start).unwrap();
        let polled = filters.install(Kind::Blocks, 0, start).unwrap();
        assert!(filters.poll(&polled, 0, SPAN, start + 4 * MINUTE).is_some());
        assert!(filters.poll(&idle, 0, SPAN, start + 6 * MINUTE).is_none());
        assert!(filters.poll(&polled, 0, SPAN, start + 6 * MINUTE).is_some());
    }

    #[test]
    fn the_limit_counts_live_filters_only() {
        let (mut filters, start) = filters();
        let ids: Vec<_> = (0..3)
            .map(|_| filters.install(Kind::Blocks, 0, start).unwrap())
            .collect();
        assert_eq!(
            filters.install(Kind::Blocks, 0, start),
            Err(FilterError::TooMany(3))
        );
        assert!(filters.uninstall(&ids[0]));
        assert!(!filters.uninstall(&ids[0]));
        filters.install(Kind::Blocks, 0, start).unwrap();
        filters
            .install(Kind::Blocks, 0, start + 5 * MINUTE)
            .unwrap();
    }

    #[test]
    fn only_log_filters_answer_get_filter_logs() {
        let (mut filters, now) = filters();
        let blocks = filters.install(Kind::Blocks, 0, now).unwrap();
        let logs = filters.install(Kind::Logs(Box::default()), 0, now).unwrap();
        assert!(filters.log_filter(&blocks, now).is_none());
        assert!(filters.log_filter(&logs, now).is_some());
    }
}
