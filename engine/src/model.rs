//! What batches are expected to cost on one back end: the measured costs, corrected by what is seen.
//!
//! Each batch that ran moves two factors a little, one of the fixed time and one of the rest, in
//! proportion to their part in it. The factors stay within bounds, and a back end that has run nothing for
//! a while is thought of as it was measured, so that one bad hour does not keep it out for ever.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::calibrate::{Costs, Line, Size, nanos};

/// How far one batch moves the factors towards what it took.
const STEP: f64 = 1.0 / 8.0;
/// No factor leaves the range from its inverse to this.
const BOUND: f64 = 16.0;
/// A single batch counts as no more than this many times its expected cost, or as this part of it.
const OUTLIER: f64 = 4.0;
/// After so long without a batch a factor has gone half of its way back, in proportion.
const FORGIVEN: Duration = Duration::from_secs(10);
/// Groups whose costs are learned one by one; others share those of the usual group.
const MOST_GROUPS: usize = 64;

/// The expected costs of a kernel on one back end.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    usual: Pace,
    groups: BTreeMap<u64, Pace>,
}

#[derive(Clone, Copy, Debug)]
struct Pace {
    measured: Line,
    fixed: f64,
    rest: f64,
    seen: Option<Instant>,
}

impl Pace {
    const fn new(measured: Line) -> Self {
        Self {
            measured,
            fixed: 1.0,
            rest: 1.0,
            seen: None,
        }
    }

    /// The factors as they count now.
    fn factors(&self, now: Instant) -> (f64, f64) {
        let idle = self
            .seen
            .map_or(Duration::ZERO, |seen| now.saturating_duration_since(seen));
        if idle < FORGIVEN / 10 {
            return (self.fixed, self.rest);
        }
        let kept = 1.0 / (1.0 + idle.as_secs_f64() / FORGIVEN.as_secs_f64());
        (self.fixed.powf(kept), self.rest.powf(kept))
    }

    fn line(&self, now: Instant) -> Line {
        let (fixed, rest) = self.factors(now);
        Line {
            fixed: self.measured.fixed * fixed,
            unit: self.measured.unit * rest,
            byte: self.measured.byte * rest,
        }
    }

    fn observe(&mut self, size: Size, took: f64, now: Instant) {
        let line = self.line(now);
        let expected = line.time(size);
        if expected <= 0.0 || !expected.is_finite() {
            return;
        }
        let off = (took / expected).clamp(1.0 / OUTLIER, OUTLIER) - 1.0;
        let part = line.fixed / expected;
        let (fixed, rest) = self.factors(now);
        let moved = |factor: f64, part: f64| {
            (factor * STEP.mul_add(off * part, 1.0)).clamp(1.0 / BOUND, BOUND)
        };
        self.fixed = moved(fixed, part);
        self.rest = moved(rest, 1.0 - part);
        self.seen = Some(now);
    }
}

impl Model {
    pub(crate) fn new(costs: &Costs) -> Self {
        let pace = |(group, line): &(u64, Line)| (*group, Pace::new(*line));
        Self {
            usual: Pace::new(costs.usual()),
            groups: costs.0.iter().map(pace).collect(),
        }
    }

    /// The costs of a group now.
    pub(crate) fn line(&self, group: u64, now: Instant) -> Line {
        self.groups.get(&group).unwrap_or(&self.usual).line(now)
    }

    /// Learns from a batch that ran.
    pub(crate) fn observe(&mut self, group: u64, size: Size, took: Duration, now: Instant) {
        let room = self.groups.len() < MOST_GROUPS;
        let usual = self.usual;
        let pace = match self.groups.get_mut(&group) {
            Some(pace) => pace,
            None if room => self.groups.entry(group).or_insert(usual),
            None => &mut self.usual,
        };
        pace.observe(size, nanos(took), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: Line = Line {
        fixed: 100_000.0,
        unit: 1_000.0,
        byte: 0.0,
    };

    fn model() -> Model {
        Model::new(&Costs(vec![(0, LINE)]))
    }

    const fn jobs(count: f64) -> Size {
        Size {
            weight: count,
            bytes: 0.0,
        }
    }

    /// Batches of a back end of these true costs.
    fn show(model: &mut Model, group: u64, truth: Line, now: Instant) {
        for round in 0..400 {
            let size = jobs(if round % 2 == 0 { 10.0 } else { 4_000.0 });
            let took = Duration::from_nanos(truth.time(size) as u64);
            model.observe(group, size, took, now);
        }
    }

    #[test]
    fn both_costs_are_learned() {
        let now = Instant::now();
        let mut model = model();
        let truth = Line {
            fixed: 300_000.0,
            unit: 250.0,
            byte: 0.0,
        };
        show(&mut model, 0, truth, now);
        let line = model.line(0, now);
        assert!((line.fixed / truth.fixed - 1.0).abs() < 0.05, "{line:?}");
        assert!((line.unit / truth.unit - 1.0).abs() < 0.05, "{line:?}");
        // Other groups keep theirs.
        assert_eq!(model.line(1, now), LINE);
    }

    #[test]
    fn nothing_is_learned_beyond_the_bounds() {
        let now = Instant::now();
        for (factor, bound) in [(1e6, BOUND), (1e-6, 1.0 / BOUND)] {
            let mut model = model();
            let truth = Line {
                fixed: LINE.fixed * factor,
                unit: LINE.unit * factor,
                byte: 0.0,
            };
            show(&mut model, 5, truth, now);
            let line = model.line(5, now);
            assert!((line.unit - LINE.unit * bound).abs() < LINE.unit * bound * 0.01);
            assert!((line.fixed - LINE.fixed * bound).abs() < LINE.fixed * bound * 0.01);
        }
    }

    #[test]
    fn one_hiccup_changes_little_and_is_forgiven() {
        let now = Instant::now();
        let mut model = model();
        model.observe(0, jobs(4_000.0), Duration::from_secs(3_600), now);
        let after = model.line(0, now).unit;
        assert!(after > LINE.unit && after < LINE.unit * 1.5, "{after}");
        let later = model.line(0, now + FORGIVEN).unit;
        assert!((later / LINE.unit - (after / LINE.unit).sqrt()).abs() < 1e-6);
        let much_later = model.line(0, now + FORGIVEN * 1_000).unit;
        assert!((much_later / LINE.unit - 1.0).abs() < 0.01);
    }

    #[test]
    fn groups_are_bounded() {
        let now = Instant::now();
        let mut model = model();
        for group in 0..1_000 {
            model.observe(group, jobs(10.0), Duration::from_millis(5), now);
        }
        assert!(model.groups.len() <= MOST_GROUPS);
        assert!(model.line(999, now).unit > LINE.unit, "the common pace");
    }
}
