//! How jobs come into a lane.

use std::hash::{BuildHasher, Hasher};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::{AnyLane, Lane};
use crate::claim::Claim;
use crate::desk::Desk;
use crate::gate::{Load, MOST_WORK, Share};
use crate::kernel::Kernel;
use crate::options::{Priority, SubmitOptions};
use crate::sheaf::Sheaf;
use crate::slot::{Slot, Terms};
use crate::ticket::{Ticket, Tickets};

/// Jobs whose bytes are brought into the caches before they are hashed.
const AHEAD: usize = 16;

/// Reads of all that is hashed as little as brings it into the caches. No read waits for another.
struct Touch(u8);

impl Hasher for Touch {
    fn finish(&self) -> u64 {
        self.0.into()
    }

    fn write(&mut self, bytes: &[u8]) {
        for end in [bytes.first(), bytes.last()].into_iter().flatten() {
            self.0 ^= end;
        }
    }
}

impl<K: Kernel> Lane<K> {
    /// What a job takes of the bounds.
    pub(crate) fn load(&self, job: &K::Job, options: &SubmitOptions) -> Load {
        let cost = self.job_cost.load(Ordering::Relaxed);
        Load {
            bytes: K::job_bytes(job),
            work: cost
                .saturating_mul(u64::from(K::job_weight(job)))
                .min(MOST_WORK),
            priority: options.priority,
            caller: options.caller,
        }
    }

    /// The fingerprint of a job that may be shared.
    fn print(&self, job: &K::Job) -> Option<NonZeroU64> {
        if !self.config.share_identical {
            return None;
        }
        let mut hasher = self.hasher.build_hasher();
        K::fingerprint(job, &mut hasher)
            .then(|| NonZeroU64::new(hasher.finish()).unwrap_or(NonZeroU64::MIN))
    }

    /// The fingerprints of many. Empty where none is shared.
    fn prints(&self, jobs: &[K::Job]) -> Vec<Option<NonZeroU64>> {
        if !self.config.share_identical {
            return Vec::new();
        }
        let mut prints = Vec::with_capacity(jobs.len());
        let mut parts = jobs.chunks(AHEAD);
        // Jobs lie where they were made, often in no cache by now: those that come next are on their way while these are hashed.
        let mut touch = Touch(0);
        let fetch = |part: Option<&[K::Job]>, touch: &mut Touch| {
            for job in part.unwrap_or_default() {
                K::fingerprint(job, touch);
            }
        };
        let mut next = parts.next();
        fetch(next, &mut touch);
        while let Some(part) = next {
            next = parts.next();
            fetch(next, &mut touch);
            prints.extend(part.iter().map(|job| self.print(job)));
        }
        std::hint::black_box(touch.finish());
        prints
    }

    /// Queues a job that the gate has admitted. Gives it back if the lane is closed.
    pub(crate) fn push(
        &self,
        me: &Arc<dyn AnyLane>,
        job: K::Job,
        load: &Load,
        deadline: Option<Instant>,
    ) -> Result<Ticket<K::Output>, K::Job> {
        let print = self.print(&job);
        let accepted = Instant::now();
        let slot = Arc::new(Slot::new(Terms::new(accepted, deadline, load)));
        let claim = Claim::one(Arc::clone(&slot), Share::of(load));
        let mut spare = Vec::new();
        let position = {
            let mut desk = self.desk.lock();
            if desk.closed {
                return Err(job);
            }
            let hurry = self.hurries(accepted, deadline);
            let position = desk.place(job, claim, print, hurry, &mut spare);
            self.pushed(&mut desk, 1);
            position
        };
        self.give_back(spare);
        Ok(Ticket::new(slot, Arc::downgrade(me), position))
    }

    /// Queues as many of the jobs as have a share of the bounds, all admitted by the gate on the terms of the
    /// first. `None` if the lane is closed; then they are still there.
    pub(crate) fn push_many(
        &self,
        me: &Arc<dyn AnyLane>,
        jobs: &mut std::vec::IntoIter<K::Job>,
        shares: &[Share],
        options: &SubmitOptions,
    ) -> Option<Tickets<K::Output>> {
        let jobs_now = jobs.as_slice().get(..shares.len()).unwrap_or_default();
        let prints = self.prints(jobs_now);
        let deadline = options.deadline;
        let accepted = Instant::now();
        let load = Share::NOTHING.load(options.priority, options.caller);
        let terms = Terms::new(accepted, deadline, &load);
        let sheaf = Arc::new(Sheaf::new(terms, shares.len()));
        let mut positions = Vec::with_capacity(shares.len());
        // What identical jobs do not take after all; dropped outside the lock.
        let mut spare = Vec::new();
        {
            let mut desk = self.desk.lock();
            if desk.closed {
                return None;
            }
            let hurry = self.hurries(accepted, deadline);
            let mut prints = prints.into_iter();
            for (index, (share, job)) in (0..).zip(shares.iter().zip(jobs)) {
                let claim = Claim::of(Arc::clone(&sheaf), index, *share);
                let print = prints.next().flatten();
                positions.push(desk.place(job, claim, print, hurry, &mut spare));
            }
            self.pushed(&mut desk, shares.len());
        }
        self.give_back(spare);
        Some(Tickets::new(sheaf, Arc::downgrade(me), positions))
    }

    /// Whether a deadline does not allow for the wait for company.
    fn hurries(&self, accepted: Instant, deadline: Option<Instant>) -> bool {
        deadline.is_some_and(|deadline| deadline <= accepted + self.config.max_wait)
    }

    /// Counts jobs that were queued, before a worker can count the answers.
    fn pushed(&self, desk: &mut Desk<K>, count: usize) {
        desk.version += 1;
        self.books.lock().submitted += u64::try_from(count).unwrap_or(u64::MAX);
    }

    /// Drops jobs that identical ones stand for.
    fn give_back(&self, spare: Vec<(K::Job, Share)>) {
        if spare.is_empty() {
            return;
        }
        let loads = spare
            .iter()
            .map(|(_, share)| share.load(Priority::Pool, None));
        let (bytes, work) = loads.fold((0, 0), |(bytes, work), load| {
            (bytes + load.bytes, work + load.work)
        });
        drop(spare);
        self.gate.shrink(bytes, work);
    }
}
