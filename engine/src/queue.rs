//! The jobs of one kernel that wait, by group and in order of arrival.

use std::collections::BTreeMap;
use std::time::Instant;

use futures_channel::oneshot;

use crate::kernel::Kernel;
use crate::ticket::{Answer, Position};

/// One job in the queue.
pub(crate) struct Entry<K: Kernel> {
    pub(crate) job: K::Job,
    pub(crate) answer: oneshot::Sender<Answer<K::Output>>,
    pub(crate) bytes: usize,
    pub(crate) accepted: Instant,
}

/// A group, by its first job.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) group: u64,
    /// When its first job was accepted.
    pub(crate) accepted: Instant,
    /// Jobs in the group.
    pub(crate) len: usize,
}

/// The jobs of one kernel that wait.
pub(crate) struct Queue<K: Kernel> {
    /// Group, then order of arrival.
    groups: BTreeMap<u64, BTreeMap<u64, Entry<K>>>,
    len: usize,
    next: u64,
}

impl<K: Kernel> Default for Queue<K> {
    fn default() -> Self {
        Self {
            groups: BTreeMap::new(),
            len: 0,
            next: 0,
        }
    }
}

impl<K: Kernel> Queue<K> {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn push(&mut self, entry: Entry<K>) -> Position {
        let position = Position {
            group: K::group(&entry.job),
            sequence: self.next,
        };
        self.next += 1;
        self.len += 1;
        self.groups
            .entry(position.group)
            .or_default()
            .insert(position.sequence, entry);
        position
    }

    /// When the job arrived that has waited longest.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.heads().map(|(_, head)| head.accepted).min()
    }

    /// The groups that have jobs, the one whose first job has waited longest first.
    pub(crate) fn by_age(&self) -> Vec<Head> {
        let mut heads: Vec<_> = self.heads().collect();
        heads.sort_unstable_by_key(|(sequence, _)| *sequence);
        heads.into_iter().map(|(_, head)| head).collect()
    }

    fn heads(&self) -> impl Iterator<Item = (u64, Head)> + '_ {
        self.groups.iter().filter_map(|(group, jobs)| {
            let (sequence, entry) = jobs.first_key_value()?;
            let head = Head {
                group: *group,
                accepted: entry.accepted,
                len: jobs.len(),
            };
            Some((*sequence, head))
        })
    }

    /// Takes the oldest jobs of a group.
    pub(crate) fn take(&mut self, group: u64, most: usize) -> Vec<Entry<K>> {
        let Some(jobs) = self.groups.get_mut(&group) else {
            return Vec::new();
        };
        let batch: Vec<_> = if jobs.len() <= most {
            std::mem::take(jobs).into_values().collect()
        } else {
            std::iter::from_fn(|| jobs.pop_first())
                .take(most)
                .map(|(_, entry)| entry)
                .collect()
        };
        if jobs.is_empty() {
            self.groups.remove(&group);
        }
        self.len -= batch.len();
        batch
    }

    /// Takes one job out, if it still waits.
    pub(crate) fn remove(&mut self, position: Position) -> Option<Entry<K>> {
        let jobs = self.groups.get_mut(&position.group)?;
        let entry = jobs.remove(&position.sequence)?;
        if jobs.is_empty() {
            self.groups.remove(&position.group);
        }
        self.len -= 1;
        Some(entry)
    }

    /// Takes everything.
    pub(crate) fn take_all(&mut self) -> Vec<Entry<K>> {
        self.len = 0;
        let groups = std::mem::take(&mut self.groups);
        groups
            .into_values()
            .flat_map(BTreeMap::into_values)
            .collect()
    }
}
