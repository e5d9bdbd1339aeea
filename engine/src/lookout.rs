//! Whether a task that waits for a job of its own should look for the answer again at once, or sleep.

use std::sync::atomic::{AtomicU32, Ordering};

/// Most waits in a row that go without a look-out after those before were in vain.
const LONGEST_REST: u32 = 63;

/// Remembers whether looking out was worth it. It is where the answer comes before a thread has gone to sleep and woken up; it is
/// not where jobs take longer, or where the look-out keeps from the processor who would do the job.
#[derive(Default)]
pub(crate) struct Lookout {
    /// Waits that go without, from now on.
    rest: AtomicU32,
    /// How many went without after the last one in vain.
    last_rest: AtomicU32,
}

impl Lookout {
    /// Whether the next wait should begin with looking out.
    pub(crate) fn is_worth_it(&self) -> bool {
        let less = |rest: u32| rest.checked_sub(1);
        self.rest
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
            .is_err()
    }

    /// The answer came meanwhile.
    pub(crate) fn succeeded(&self) {
        self.last_rest.store(0, Ordering::Relaxed);
    }

    /// The answer did not come: the next look-out is put off, each time for longer.
    pub(crate) fn failed(&self) {
        let rest = self.last_rest.load(Ordering::Relaxed);
        let rest = (2 * rest + 1).min(LONGEST_REST);
        self.last_rest.store(rest, Ordering::Relaxed);
        self.rest.store(rest, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_in_vain_is_tried_less_and_less_and_what_was_not_again() {
        let lookout = Lookout::default();
        let rests = |lookout: &Lookout| {
            let waits = std::iter::repeat_with(|| lookout.is_worth_it());
            waits.take_while(|look| !look).count()
        };
        assert_eq!(rests(&lookout), 0);
        for rest in [1, 3, 7, 15, 31, 63, 63, 63] {
            lookout.failed();
            assert_eq!(rests(&lookout), rest);
        }
        lookout.succeeded();
        assert_eq!(rests(&lookout), 0);
        lookout.failed();
        assert_eq!(rests(&lookout), 1);
    }
}
