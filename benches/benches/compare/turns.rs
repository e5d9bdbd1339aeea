//! Everybody takes turns, round after round in one process: a neighbour's load strikes all alike.

use std::{
    ops::RangeInclusive,
    time::{Duration, Instant},
};

/// Turns below this are taken twice.
const SHORT: Duration = Duration::from_millis(1);

/// What somebody does in a turn.
pub enum Turn<'a> {
    /// Timed here.
    Plain(Box<dyn FnMut() + 'a>),
    /// Done elsewhere, where it is timed too.
    Elsewhere(Box<dyn FnMut() -> Duration + 'a>),
}

/// Somebody who can do a turn.
pub struct Runner<'a> {
    pub who: String,
    pub turn: Turn<'a>,
}

impl<'a> Runner<'a> {
    pub fn new(who: impl Into<String>, turn: impl FnMut() + 'a) -> Self {
        Self {
            who: who.into(),
            turn: Turn::Plain(Box::new(turn)),
        }
    }

    /// Seconds of a turn. A short one is timed right after one that is not: what others left in caches and in the memory of branches costs
    /// a single item some 20 µs, and a batch of the same time nothing.
    pub fn seconds(&mut self) -> f64 {
        let mut once = || match &mut self.turn {
            Turn::Plain(turn) => {
                let start = Instant::now();
                turn();
                start.elapsed()
            }
            Turn::Elsewhere(turn) => turn(),
        };
        let first = once();
        let time = if first < SHORT { once() } else { first };
        time.as_secs_f64()
    }
}

/// How many rounds there are.
pub enum Rounds {
    /// One, to see that everything runs.
    Once,
    /// As many as fit these seconds, within bounds.
    Fill(f64, RangeInclusive<usize>),
}

/// Seconds of each runner's turn in each round, after a round that does not count.
pub fn take(runners: &mut [Runner<'_>], rounds: Rounds) -> Vec<Vec<f64>> {
    let once = Instant::now();
    for runner in &mut *runners {
        runner.seconds();
    }
    let round = once.elapsed().as_secs_f64().max(1e-6);
    let rounds = match rounds {
        Rounds::Once => 1,
        Rounds::Fill(seconds, bounds) => {
            ((seconds / round) as usize).clamp(*bounds.start(), *bounds.end())
        }
    };
    let mut times = vec![Vec::with_capacity(rounds); runners.len()];
    for _ in 0..rounds {
        for (runner, times) in runners.iter_mut().zip(&mut times) {
            times.push(runner.seconds());
        }
    }
    times
}
