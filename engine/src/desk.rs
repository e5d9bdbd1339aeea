//! What one lane decides under one lock: which jobs wait, which of them are one, and whose they are.

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Instant;

use crate::claim::{Claim, More};
use crate::config::Config;
use crate::gate::Share;
use crate::kernel::Kernel;
use crate::options::Priority;
use crate::queue::{Entry, Flight, Head, Held, Queue, Removed};
use crate::routing::Routes;
use crate::ticket::Position;

/// A flight, found by its fingerprint.
struct ByPrint<K: Kernel>(Arc<Flight<K>>);

impl<K: Kernel> Borrow<NonZeroU64> for ByPrint<K> {
    fn borrow(&self) -> &NonZeroU64 {
        &self.0.print
    }
}

impl<K: Kernel> Hash for ByPrint<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.print.hash(state);
    }
}

impl<K: Kernel> PartialEq for ByPrint<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0.print == other.0.print
    }
}

impl<K: Kernel> Eq for ByPrint<K> {}

/// Takes a fingerprint as it is: it is a keyed hash already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

/// A flight that has ended, and the claims that came after its batch had started.
pub(crate) type Landed<K> = (Arc<Flight<K>>, Vec<Claim<<K as Kernel>::Output>>);

/// The queue of a lane, its identical jobs and its routes.
pub(crate) struct Desk<K: Kernel> {
    pub(crate) queue: Queue<K>,
    /// The jobs that identical ones may join.
    flights: HashSet<ByPrint<K>, BuildHasherDefault<AsItIs>>,
    /// Claims that came after the batch of their flight had started.
    late: HashMap<NonZeroU64, Vec<Claim<K::Output>>>,
    pub(crate) routes: Routes,
    pub(crate) closed: bool,
    /// Counts the changes of the queue.
    pub(crate) version: u64,
}

impl<K: Kernel> Desk<K> {
    pub(crate) fn new(routes: Routes) -> Self {
        Self {
            queue: Queue::default(),
            flights: HashSet::default(),
            late: HashMap::new(),
            routes,
            closed: false,
            version: 0,
        }
    }

    /// Queues a job, or joins it to an identical one, which leaves it and its share of the bounds to `spare`. A
    /// job does not join one that waits in a later class.
    pub(crate) fn place(
        &mut self,
        job: K::Job,
        mut claim: Claim<K::Output>,
        print: Option<NonZeroU64>,
        hurry: bool,
        spare: &mut Vec<(K::Job, Share)>,
    ) -> Position {
        let same = print
            .and_then(|print| self.flights.get(&print))
            .map(|flight| (flight.0.position(), K::same(&flight.0.job, &job)));
        let register = match same {
            // Equal fingerprints of different jobs: this one flies alone.
            Some((_, false)) => false,
            Some((position, true)) => {
                let waits = self.queue.waits(position);
                if !waits || position.priority() <= claim.priority() {
                    spare.push((job, claim.give_up()));
                    if let Err(claim) = self.queue.join(position, claim, hurry)
                        && let Some(print) = print
                    {
                        self.late.entry(print).or_default().push(claim);
                    }
                    return position;
                }
                true
            }
            None => true,
        };
        let position = self.queue.next_position(claim.priority(), K::group(&job));
        let held = match print.filter(|_| register) {
            None => Held::Alone(job),
            Some(print) => {
                let flight = Arc::new(Flight {
                    print,
                    sequence: position.sequence,
                    job,
                });
                // A flight that this one replaces takes no more claims, and had none yet: it waits.
                self.flights.replace(ByPrint(Arc::clone(&flight)));
                Held::Shared(flight)
            }
        };
        let entry = Entry {
            held,
            first: claim,
            more: More::default(),
        };
        self.queue.push(position, entry, hurry);
        position
    }

    /// Ends the flight of a job, if it is the one that others may join. Gives back the flight, which is best dropped when the lock is
    /// free, and the claims that came late.
    pub(crate) fn land(&mut self, held: &Held<K>) -> Option<Landed<K>> {
        let Held::Shared(own) = held else {
            return None;
        };
        let flight = self.flights.get(&own.print)?;
        if !Arc::ptr_eq(&flight.0, own) {
            return None;
        }
        let flight = self.flights.take(&own.print)?;
        let late = if self.late.is_empty() {
            Vec::new()
        } else {
            self.late.remove(&own.print).unwrap_or_default()
        };
        Some((flight.0, late))
    }

    /// Takes out the claims whose deadline has passed.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Removed<K>> {
        let late = self.queue.expire(now);
        for removed in &late {
            self.forget(removed);
        }
        if !late.is_empty() {
            self.version += 1;
        }
        late
    }

    /// Ends the flight of a job that nobody waits for.
    pub(crate) fn forget(&mut self, removed: &Removed<K>) {
        if let Some(held) = &removed.job {
            self.land(held);
        }
    }

    /// Whether a batch of this group may start, or when it may.
    pub(crate) fn due(&self, config: &Config, head: &Head, now: Instant) -> Result<(), Instant> {
        let at = head.accepted + config.max_wait;
        if at <= now || head.hurry || self.closed || head.len >= config.max_batch {
            Ok(())
        } else {
            Err(at)
        }
    }

    /// How many jobs of which group a CPU thread should take now, of no later class than `last`. `None` if there
    /// is nothing, or if it is better left to a device.
    pub(crate) fn cpu_turn(
        &self,
        config: &Config,
        last: Priority,
        now: Instant,
    ) -> Option<(Head, usize)> {
        if self.queue.len() == 0 {
            return None;
        }
        self.queue
            .in_order()
            .into_iter()
            .take_while(|head| head.priority <= last)
            .filter(|head| self.due(config, head, now).is_ok())
            .find_map(|head| {
                let size = self.routes.cpu_turn(&head.jobs(), self.version, now)?;
                Some((head, size))
            })
    }

    /// The earliest class of which a batch may start.
    pub(crate) fn first_class(&self, config: &Config, now: Instant) -> Option<Priority> {
        let due = |head: &Head| self.due(config, head, now).is_ok();
        self.queue
            .in_order()
            .into_iter()
            .find(due)
            .map(|head| head.priority)
    }
}
