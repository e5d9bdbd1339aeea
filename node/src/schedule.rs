//! When the embedded validator makes a block: events and times in, a deadline out. No clock here.

use std::time::{Duration, Instant};

/// When blocks are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// A short while after work arrives, so that transactions sent together share a block.
    OnWork {
        /// How long after the first waiting transaction the block begins.
        gather: Duration,
        /// At least this long between two blocks.
        spacing: Duration,
        /// A block after this long even without work; `None` for no empty blocks.
        heartbeat: Option<Duration>,
    },
    /// At this interval, work or not. Transactions wait for the next beat.
    Every(Duration),
}

impl Default for Pace {
    /// Blocks 60 ms after work arrives and at most ten a second; none without work.
    fn default() -> Self {
        Self::OnWork {
            gather: Duration::from_millis(60),
            spacing: Duration::from_millis(100),
            heartbeat: None,
        }
    }
}

/// Decides when the next block is due.
#[derive(Debug)]
pub struct Schedule {
    pace: Pace,
    last_block: Instant,
    waiting_since: Option<Instant>,
}

/// A block that is due now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Make the block even if it has no transactions.
    pub even_if_empty: bool,
}

impl Schedule {
    /// A schedule that begins at `now` as if a block had just been made.
    pub fn new(pace: Pace, now: Instant) -> Self {
        Self {
            pace,
            last_block: now,
            waiting_since: None,
        }
    }

    /// There is work (again).
    pub fn on_work(&mut self, now: Instant) {
        self.waiting_since.get_or_insert(now);
    }

    /// A due block was made, or found to be empty and left out; `more` if work is left over.
    pub fn on_block(&mut self, now: Instant, more: bool) {
        self.last_block = now;
        self.waiting_since = more.then_some(now);
    }

    /// When the next block is due; `None` if only work can make one due.
    pub fn deadline(&self) -> Option<Instant> {
        match self.pace {
            Pace::Every(interval) => Some(self.last_block + interval),
            Pace::OnWork {
                gather,
                spacing,
                heartbeat,
            } => {
                let work = self
                    .waiting_since
                    .map(|since| (since + gather).max(self.last_block + spacing));
                let beat = heartbeat.map(|heartbeat| self.last_block + heartbeat);
                work.into_iter().chain(beat).min()
            }
        }
    }

    /// Whether a block is due at `now`, and which.
    pub fn due(&self, now: Instant) -> Option<Due> {
        if self.deadline()? > now {
            return None;
        }
        let even_if_empty = match self.pace {
            Pace::Every(_) => true,
            Pace::OnWork { heartbeat, .. } => {
                heartbeat.is_some_and(|beat| self.last_block + beat <= now)
            }
        };
        Some(Due { even_if_empty })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn on_work(heartbeat: Option<Duration>) -> (Schedule, Instant) {
        let start = Instant::now();
        let pace = Pace::OnWork {
            gather: 60 * MS,
            spacing: 100 * MS,
            heartbeat,
        };
        (Schedule::new(pace, start), start)
    }

    #[test]
    fn nothing_is_due_without_work() {
        let (schedule, start) = on_work(None);
        assert_eq!(schedule.deadline(), None);
        assert_eq!(schedule.due(start + 1_000_000 * MS), None);
    }

    #[test]
    fn a_block_gathers_from_the_first_transaction_on() {
        let (mut schedule, start) = on_work(None);
        schedule.on_work(start + 500 * MS);
        schedule.on_work(start + 550 * MS);
        assert_eq!(schedule.due(start + 559 * MS), None);
        assert_eq!(
            schedule.due(start + 560 * MS),
            Some(Due {
                even_if_empty: false
            })
        );
    }

    #[test]
    fn blocks_keep_their_distance() {
        let (mut schedule, start) = on_work(None);
        schedule.on_block(start + 500 * MS, false);
        schedule.on_work(start + 501 * MS);
        assert_eq!(schedule.deadline(), Some(start + 600 * MS));
    }

    #[test]
    fn left_over_work_makes_another_block() {
        let (mut schedule, start) = on_work(None);
        schedule.on_work(start);
        schedule.on_block(start + 500 * MS, true);
        assert_eq!(schedule.deadline(), Some(start + 600 * MS));
        schedule.on_block(start + 600 * MS, false);
        assert_eq!(schedule.deadline(), None);
    }

    #[test]
    fn the_heart_beats_without_work_and_starts_anew_after_a_block() {
        let (mut schedule, start) = on_work(Some(5000 * MS));
        assert_eq!(
            schedule.due(start + 5000 * MS),
            Some(Due {
                even_if_empty: true
            })
        );
        schedule.on_work(start + 100 * MS);
        assert_eq!(
            schedule.due(start + 160 * MS),
            Some(Due {
                even_if_empty: false
            })
        );
        schedule.on_block(start + 160 * MS, false);
        assert_eq!(schedule.deadline(), Some(start + 5160 * MS));
    }

    #[test]
    fn a_fixed_interval_ignores_work() {
        let start = Instant::now();
        let mut schedule = Schedule::new(Pace::Every(2000 * MS), start);
        schedule.on_work(start);
        assert_eq!(schedule.due(start + 1999 * MS), None);
        assert_eq!(
            schedule.due(start + 2000 * MS),
            Some(Due {
                even_if_empty: true
            })
        );
    }

    /// The promise of the node: a transaction waits at most 400 ms for its block to begin.
    #[test]
    fn the_default_pace_keeps_the_promise() {
        let start = Instant::now();
        for block_at in 0..200 {
            let mut schedule = Schedule::new(Pace::default(), start);
            schedule.on_block(start + block_at * MS, false);
            schedule.on_work(start + 200 * MS);
            assert!(schedule.deadline().unwrap() <= start + 500 * MS);
        }
    }
}
