//! The jobs of one kernel that wait: by class, by group and in order of arrival.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Instant;

use crate::calibrate::Size;
use crate::claim::{Claim, More};
use crate::kernel::Kernel;
use crate::options::Priority;
use crate::routing::Jobs;
use crate::ticket::Position;

/// Most places whose memory is kept for the next jobs, some hundred kilobytes.
const ROOM: usize = 16_384;

/// A job that identical ones may join.
pub(crate) struct Flight<K: Kernel> {
    /// Fingerprint.
    pub(crate) print: NonZeroU64,
    /// Where it waits, or waited: this and the job's group.
    pub(crate) sequence: u64,
    pub(crate) job: K::Job,
}

impl<K: Kernel> Flight<K> {
    pub(crate) fn position(&self) -> Position {
        Position {
            group: K::group(&self.job),
            sequence: self.sequence,
        }
    }
}

/// A job in work.
pub(crate) enum Held<K: Kernel> {
    Alone(K::Job),
    Shared(Arc<Flight<K>>),
}

impl<K: Kernel> Held<K> {
    pub(crate) fn job(&self) -> &K::Job {
        match self {
            Self::Alone(job) => job,
            Self::Shared(flight) => &flight.job,
        }
    }
}

/// One job in the queue.
pub(crate) struct Entry<K: Kernel> {
    pub(crate) held: Held<K>,
    pub(crate) first: Claim<K::Output>,
    /// Claims of identical jobs.
    pub(crate) more: More<K::Output>,
}

impl<K: Kernel> Entry<K> {
    pub(crate) fn job(&self) -> &K::Job {
        self.held.job()
    }

    fn claims(&self) -> impl Iterator<Item = &Claim<K::Output>> {
        std::iter::once(&self.first).chain(self.more.as_slice())
    }
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
    /// What they weigh, and their bytes.
    pub(crate) weight: u64,
    pub(crate) bytes: u64,
    /// One of them cannot wait for company.
    pub(crate) hurry: bool,
}

impl Head {
    /// The jobs of the group, as the routing sees them.
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn jobs(&self) -> Jobs {
        Jobs {
            group: self.group,
            count: self.len,
            size: Size {
                weight: self.weight as f64,
                bytes: self.bytes as f64,
            },
        }
    }
}

/// A place in a group; empty after its job was taken out.
struct Place<K: Kernel> {
    sequence: u64,
    entry: Option<Entry<K>>,
}

/// Jobs of one class that may share a batch, in order of arrival. The first place is never empty.
struct Group<K: Kernel> {
    places: VecDeque<Place<K>>,
    /// Places that are not empty.
    len: usize,
    /// Weight and bytes of their jobs.
    weight: u64,
    bytes: u64,
    /// Jobs whose deadline does not allow for `max_wait`.
    hurried: BTreeSet<u64>,
}

impl<K: Kernel> Default for Group<K> {
    fn default() -> Self {
        Self {
            places: VecDeque::new(),
            len: 0,
            weight: 0,
            bytes: 0,
            hurried: BTreeSet::new(),
        }
    }
}

impl<K: Kernel> Group<K> {
    fn first(&self) -> Option<(u64, &Entry<K>)> {
        let place = self.places.front()?;
        Some((place.sequence, place.entry.as_ref()?))
    }

    fn index(&self, sequence: u64) -> Option<usize> {
        // Whoever has handed over many jobs asks for the last of them.
        if self
            .places
            .back()
            .is_some_and(|last| last.sequence == sequence)
        {
            return self.places.len().checked_sub(1);
        }
        self.places
            .binary_search_by_key(&sequence, |place| place.sequence)
            .ok()
    }

    fn get(&self, sequence: u64) -> Option<&Entry<K>> {
        self.places.get(self.index(sequence)?)?.entry.as_ref()
    }

    fn get_mut(&mut self, sequence: u64) -> Option<&mut Entry<K>> {
        let index = self.index(sequence)?;
        self.places.get_mut(index)?.entry.as_mut()
    }

    fn push(&mut self, sequence: u64, entry: Entry<K>) {
        self.weight += u64::from(K::job_weight(entry.job()));
        self.bytes += bytes::<K>(&entry);
        let entry = Some(entry);
        self.places.push_back(Place { sequence, entry });
        self.len += 1;
    }

    /// Takes one job out.
    fn remove(&mut self, sequence: u64) -> Option<Entry<K>> {
        let index = self.index(sequence)?;
        let entry = self.places.get_mut(index)?.entry.take()?;
        self.len -= 1;
        self.gone(&entry);
        self.hurried.remove(&sequence);
        self.trim();
        // Fewer empty places than jobs, or few altogether.
        if self.places.len() > 2 * self.len + 16 {
            self.places.retain(|place| place.entry.is_some());
        }
        Some(entry)
    }

    /// A job was taken out.
    fn gone(&mut self, entry: &Entry<K>) {
        let weight = u64::from(K::job_weight(entry.job()));
        self.weight = self.weight.saturating_sub(weight);
        self.bytes = self.bytes.saturating_sub(bytes::<K>(entry));
    }

    fn trim(&mut self) {
        while self
            .places
            .front()
            .is_some_and(|place| place.entry.is_none())
        {
            self.places.pop_front();
        }
    }

    /// Takes the oldest jobs: one, and more within the bytes. Shows each with its number.
    fn take(
        &mut self,
        most: usize,
        most_bytes: u64,
        mut show: impl FnMut(u64, &Entry<K>),
    ) -> Vec<Entry<K>> {
        let mut taken = Vec::with_capacity(most.min(self.len));
        let mut held = 0_u64;
        while taken.len() < most
            && let Some(place) = self.places.front()
        {
            if let Some(entry) = &place.entry {
                held = held.saturating_add(bytes::<K>(entry));
                if held > most_bytes && !taken.is_empty() {
                    break;
                }
            }
            if let Some(place) = self.places.pop_front()
                && let Some(entry) = place.entry
            {
                self.gone(&entry);
                if !self.hurried.is_empty() {
                    self.hurried.remove(&place.sequence);
                }
                show(place.sequence, &entry);
                taken.push(entry);
            }
        }
        self.trim();
        self.len -= taken.len();
        taken
    }
}

fn bytes<K: Kernel>(entry: &Entry<K>) -> u64 {
    u64::try_from(K::job_bytes(entry.job())).unwrap_or(u64::MAX)
}

/// The jobs of one kernel that wait.
pub(crate) struct Queue<K: Kernel> {
    /// By class, then group.
    groups: BTreeMap<(Priority, u64), Group<K>>,
    /// Room for the places of the next group, left by an earlier one.
    room: VecDeque<Place<K>>,
    /// The claims that have a deadline.
    deadlines: BTreeSet<(Instant, usize, Position)>,
    len: usize,
    next: u64,
}

/// A claim that was taken out, and its job if no other claim is left.
pub(crate) struct Removed<K: Kernel> {
    pub(crate) claim: Claim<K::Output>,
    pub(crate) job: Option<Held<K>>,
}

impl<K: Kernel> Default for Queue<K> {
    fn default() -> Self {
        Self {
            groups: BTreeMap::new(),
            room: VecDeque::new(),
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

    /// Where the next job of this class and group will stand.
    pub(crate) fn next_position(&mut self, priority: Priority, group: u64) -> Position {
        let position = Position::new(priority, group, self.next);
        self.next += 1;
        position
    }

    /// Queues a job at the position that was given last. `hurry`: its deadline does not allow for `max_wait`.
    pub(crate) fn push(&mut self, position: Position, entry: Entry<K>, hurry: bool) {
        self.len += 1;
        self.watch(position, &entry.first);
        let group = self.groups.entry(position.key()).or_insert_with(|| Group {
            places: std::mem::take(&mut self.room),
            ..Group::default()
        });
        if hurry {
            group.hurried.insert(position.sequence);
        }
        group.push(position.sequence, entry);
    }

    /// Forgets a group without jobs; the room of its places serves the next.
    fn drop_group(&mut self, key: (Priority, u64)) {
        if let Some(group) = self.groups.remove(&key) {
            let mut places = group.places;
            places.clear();
            let room = self.room.capacity()..=ROOM;
            if room.contains(&places.capacity()) {
                self.room = places;
            }
        }
    }

    /// Whether the job of this position still waits.
    pub(crate) fn waits(&self, position: Position) -> bool {
        self.groups
            .get(&position.key())
            .is_some_and(|group| group.get(position.sequence).is_some())
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
        let Some(entry) = group.get_mut(position.sequence) else {
            return Err(claim);
        };
        let deadline = claim.deadline();
        let id = claim.id();
        entry.more.extend(vec![claim]);
        if hurry {
            group.hurried.insert(position.sequence);
        }
        self.deadlines
            .extend(deadline.map(|deadline| (deadline, id, position)));
        Ok(())
    }

    fn watch(&mut self, position: Position, claim: &Claim<K::Output>) {
        if let Some(deadline) = claim.deadline() {
            self.deadlines.insert((deadline, claim.id(), position));
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
            let (sequence, entry) = jobs.first()?;
            let head = Head {
                priority: *priority,
                group: *group,
                accepted: entry.first.accepted(),
                len: jobs.len,
                weight: jobs.weight,
                bytes: jobs.bytes,
                hurry: !jobs.hurried.is_empty(),
            };
            Some((sequence, head))
        })
    }

    /// Takes the oldest jobs of a group: one, and more within the bounds.
    pub(crate) fn take(&mut self, head: &Head, most: usize, most_bytes: usize) -> Vec<Entry<K>> {
        let key = (head.priority, head.group);
        let Some(group) = self.groups.get_mut(&key) else {
            return Vec::new();
        };
        let deadlines = &mut self.deadlines;
        let most_bytes = u64::try_from(most_bytes).unwrap_or(u64::MAX);
        let batch = group.take(most, most_bytes, |sequence, entry| {
            if deadlines.is_empty() {
                return;
            }
            let position = Position {
                group: head.group,
                sequence,
            };
            for claim in entry.claims() {
                if let Some(deadline) = claim.deadline() {
                    deadlines.remove(&(deadline, claim.id(), position));
                }
            }
        });
        let empty = group.len == 0;
        self.len -= batch.len();
        if empty {
            self.drop_group(key);
        }
        batch
    }

    /// Takes one claim out, if its job still waits.
    pub(crate) fn remove(&mut self, position: Position, id: usize) -> Option<Removed<K>> {
        let group = self.groups.get_mut(&position.key())?;
        let entry = group.get_mut(position.sequence)?;
        let removed = if entry.first.id() == id {
            if let Some(mut next) = entry.more.pop() {
                // The job itself stays in memory, on the account of another claim.
                next.take_over(&mut entry.first);
                Removed {
                    claim: std::mem::replace(&mut entry.first, next),
                    job: None,
                }
            } else {
                let entry = group.remove(position.sequence)?;
                let empty = group.len == 0;
                self.len -= 1;
                if empty {
                    self.drop_group(position.key());
                }
                Removed {
                    claim: entry.first,
                    job: Some(entry.held),
                }
            }
        } else {
            Removed {
                claim: entry.more.remove(id)?,
                job: None,
            }
        };
        if let Some(deadline) = removed.claim.deadline() {
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
            .flat_map(|group| group.places)
            .filter_map(|place| place.entry)
            .collect()
    }
}
