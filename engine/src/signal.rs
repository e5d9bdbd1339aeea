//! A counter that threads can wait on: "something changed since I last looked".

use std::time::Instant;

use crate::sync::{Condvar, Mutex};

/// Loses no change: a waiter that looked at count `n` returns at once when the count is past `n`.
#[derive(Default)]
pub(crate) struct Signal {
    count: Mutex<u64>,
    changed: Condvar,
}

impl Signal {
    /// The count now; take it before looking at what it announces.
    pub(crate) fn count(&self) -> u64 {
        *self.count.lock()
    }

    /// Announces a change to everyone who waits.
    pub(crate) fn raise(&self) {
        let mut count = self.count.lock();
        *count = count.wrapping_add(1);
        self.changed.notify_all();
    }

    /// Waits until the count differs from `seen`, or until the deadline if there is one.
    pub(crate) fn wait(&self, seen: u64, deadline: Option<Instant>) {
        let mut count = self.count.lock();
        while *count == seen {
            match deadline {
                None => self.changed.wait(&mut count),
                Some(deadline) => {
                    if self.changed.wait_until(&mut count, deadline).timed_out() {
                        return;
                    }
                }
            }
        }
    }
}
