//! How many CPU threads work through the lanes, and that none stops while there is work for it.

use crate::sync::Mutex;

/// Counts the threads at work, at most so many.
///
/// Whoever brings work sends for one more; if all places are taken, those who hold them look for work
/// again after they have given theirs up, so no work is left lying.
pub(crate) struct Crew {
    working: Mutex<usize>,
    most: usize,
}

impl Crew {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            working: Mutex::new(0),
            most,
        }
    }

    /// Takes a place, if one is free.
    pub(crate) fn join(&self) -> bool {
        let mut working = self.working.lock();
        let free = *working < self.most;
        *working += usize::from(free);
        free
    }

    /// Whether all places are taken. Then whoever has one will look for work that is there now.
    pub(crate) fn is_full(&self) -> bool {
        *self.working.lock() >= self.most
    }

    /// Gives the place up, then looks once more. `true` where the caller has to go on: there is work,
    /// and it has a place again.
    pub(crate) fn leave(&self, has_work: impl FnOnce() -> bool) -> bool {
        {
            let mut working = self.working.lock();
            *working = working.saturating_sub(1);
        }
        // Work that came after the last look may have found this place still taken.
        has_work() && self.join()
    }
}
