//! The jobs of one kernel that wait: by class, by group and in order of arrival.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use futures_channel::oneshot;

use crate::gate::Load;
use crate::kernel::Kernel;
use crate::options::Priority;
use crate::ticket::{Answer, Position};

/// One ticket's end of a job.
pub(crate) struct Claim<T> {
    pub(crate) id: u64,
    pub(crate) answer: oneshot::Sender<Answer<T>>,
    pub(crate) load: Load,
    pub(crate) accepted: Instant,
    pub(crate) deadline: Option<Instant>,
}

/// One job in the queue.
pub(crate) struct Entry<K: Kernel> {
    pub(crate) job: Arc<K::Job>,
    /// Number of the claim that placed it.
    pub(crate) sequence: u64,
    pub(crate) first: Claim<K::Output>,
    /// Claims of identical jobs.
    pub(crate) more: Vec<Claim<K::Output>>,
    /// Fingerprint, if the job may be shared.
    pub(crate) print: Option<u64>,
    /// A deadline does not allow for `max_wait`.
    pub(crate) hurry: bool,
}

/// A group, by its first job.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) priority: Priority,
    pub(crate) group: u64,
    /// When its first job was accepted.
    pub(crate) accepted: Instant,
    /// Jobs in the group.
    pub(crate) len: usize,
    /// One of them cannot wait for company.
    pub(crate) hurry: bool,
}

/// Jobs of one class that may share a batch, in order of arrival.
struct Group<K: Kernel> {
    jobs: BTreeMap<u64, Entry<K>>,
    hurry: usize,
}

/// The jobs of one kernel that wait.
pub(crate) struct Queue<K: Kernel> {
    /// By class, then group.
    groups: BTreeMap<(Priority, u64), Group<K>>,
    /// The claims that have a deadline.
    deadlines: BTreeSet<(Instant, u64, Position)>,
    len: usize,
    next: u64,
}

/// A claim that was taken out, and its job if no other claim is left.
pub(crate) struct Removed<K: Kernel> {
    pub(crate) claim: Claim<K::Output>,
    pub(crate) job: Option<Orphan<K>>,
}

/// A job that nobody waits for.
pub(crate) struct Orphan<K: Kernel> {
    pub(crate) job: Arc<K::Job>,
    pub(crate) print: Option<u64>,
}

impl<K: Kernel> Default for Queue<K> {
    fn default() -> Self {
        Self {
            groups: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            len: 0,
            next: 0,
        }
    }
}

impl<K: Kernel> Queue<K> {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// A number that no other claim of this queue has.
    pub(crate) const fn next_id(&mut self) -> u64 {
        let id = self.next;
        self.next += 1;
        id
    }

    pub(crate) fn push(&mut self, entry: Entry<K>) -> Position {
        let position = Position {
            priority: entry.first.load.priority,
            group: K::group(&entry.job),
            sequence: entry.sequence,
        };
        self.len += 1;
        self.watch(position, &entry.first);
        let group = self.groups.entry(position.key()).or_insert_with(|| Group {
            jobs: BTreeMap::new(),
            hurry: 0,
        });
        group.hurry += usize::from(entry.hurry);
        group.jobs.insert(position.sequence, entry);
        position
    }

    /// Whether the job of this position still waits.
    pub(crate) fn waits(&self, position: Position) -> bool {
        self.groups
            .get(&position.key())
            .is_some_and(|group| group.jobs.contains_key(&position.sequence))
    }

    /// Adds a claim to a job that waits. Gives it back if the job does not wait any more.
    pub(crate) fn join(
        &mut self,
        position: Position,
        claim: Claim<K::Output>,
        hurry: bool,
    ) -> Result<(), Claim<K::Output>> {
        let Some(group) = self.groups.get_mut(&position.key()) else {
            return Err(claim);
        };
        let Some(entry) = group.jobs.get_mut(&position.sequence) else {
            return Err(claim);
        };
        if hurry && !entry.hurry {
            entry.hurry = true;
            group.hurry += 1;
        }
        let deadline = claim
            .deadline
            .map(|deadline| (deadline, claim.id, position));
        entry.more.push(claim);
        self.deadlines.extend(deadline);
        Ok(())
    }

    fn watch(&mut self, position: Position, claim: &Claim<K::Output>) {
        if let Some(deadline) = claim.deadline {
            self.deadlines.insert((deadline, claim.id, position));
        }
    }

    /// When the job arrived that has waited longest.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.heads().map(|(_, head)| head.accepted).min()
    }

    /// The groups that have jobs: by class, then the one whose first job has waited longest.
    pub(crate) fn in_order(&self) -> Vec<Head> {
        let mut heads: Vec<_> = self.heads().collect();
        heads.sort_unstable_by_key(|(sequence, head)| (head.priority, *sequence));
        heads.into_iter().map(|(_, head)| head).collect()
    }

    fn heads(&self) -> impl Iterator<Item = (u64, Head)> + '_ {
        self.groups.iter().filter_map(|((priority, group), jobs)| {
            let (sequence, entry) = jobs.jobs.first_key_value()?;
            let head = Head {
                priority: *priority,
                group: *group,
                accepted: entry.first.accepted,
                len: jobs.jobs.len(),
                hurry: jobs.hurry > 0,
            };
            Some((*sequence, head))
        })
    }

    /// Takes the oldest jobs of a group.
    pub(crate) fn take(&mut self, head: &Head, most: usize) -> Vec<Entry<K>> {
        let key = (head.priority, head.group);
        let Some(group) = self.groups.get_mut(&key) else {
            return Vec::new();
        };
        let batch: Vec<_> = if group.jobs.len() <= most {
            std::mem::take(&mut group.jobs).into_values().collect()
        } else {
            std::iter::from_fn(|| group.jobs.pop_first())
                .take(most)
                .map(|(_, entry)| entry)
                .collect()
        };
        group.hurry -= batch.iter().filter(|entry| entry.hurry).count();
        if group.jobs.is_empty() {
            self.groups.remove(&key);
        }
        self.len -= batch.len();
        if !self.deadlines.is_empty() {
            for entry in &batch {
                let position = Position {
                    priority: head.priority,
                    group: head.group,
                    sequence: entry.sequence,
                };
                for claim in std::iter::once(&entry.first).chain(&entry.more) {
                    if let Some(deadline) = claim.deadline {
                        self.deadlines.remove(&(deadline, claim.id, position));
                    }
                }
            }
        }
        batch
    }

    /// Takes one claim out, if its job still waits.
    pub(crate) fn remove(&mut self, position: Position, id: u64) -> Option<Removed<K>> {
        let group = self.groups.get_mut(&position.key())?;
        let entry = group.jobs.get_mut(&position.sequence)?;
        let removed = if entry.first.id == id {
            if let Some(mut next) = entry.more.pop() {
                // The job itself stays in memory, on the account of another claim.
                next.load.take_over(&mut entry.first.load);
                Removed {
                    claim: std::mem::replace(&mut entry.first, next),
                    job: None,
                }
            } else {
                let entry = group.jobs.remove(&position.sequence)?;
                group.hurry -= usize::from(entry.hurry);
                if group.jobs.is_empty() {
                    self.groups.remove(&position.key());
                }
                self.len -= 1;
                Removed {
                    claim: entry.first,
                    job: Some(Orphan {
                        job: entry.job,
                        print: entry.print,
                    }),
                }
            }
        } else {
            let index = entry.more.iter().position(|claim| claim.id == id)?;
            Removed {
                claim: entry.more.swap_remove(index),
                job: None,
            }
        };
        if let Some(deadline) = removed.claim.deadline {
            self.deadlines.remove(&(deadline, id, position));
        }
        Some(removed)
    }

    /// Takes out the claims whose deadline has passed.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Removed<K>> {
        let mut expired = Vec::new();
        while let Some((deadline, id, position)) = self.deadlines.first().copied()
            && deadline <= now
        {
            self.deadlines.pop_first();
            expired.extend(self.remove(position, id));
        }
        expired
    }

    /// Takes everything.
    pub(crate) fn take_all(&mut self) -> Vec<Entry<K>> {
        self.len = 0;
        self.deadlines.clear();
        let groups = std::mem::take(&mut self.groups);
        groups
            .into_values()
            .flat_map(|group| group.jobs.into_values())
            .collect()
    }
}
