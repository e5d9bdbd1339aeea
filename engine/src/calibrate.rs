//! What batches cost on one back end, found by timing a few: a fixed time, a time for each unit of
//! weight and a time for each byte, for each group of jobs.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::error::nanoseconds;
use crate::kernel::Kernel;
use crate::report::Cost;

/// Most groups that are measured; the others start from the first one's costs.
const MOST_GROUPS: usize = 32;

/// Jobs count as rich in bytes when they have this many times the bytes of the poorest, for their weight.
const RICH: f64 = 4.0;

/// Costs that are off by more than this factor are measured again.
const HOLDS: f64 = 4.0;

const MIB: f64 = (1 << 20) as f64;

/// What jobs weigh and hold, together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Size {
    pub(crate) weight: f64,
    pub(crate) bytes: f64,
}

/// Costs in nanoseconds: of a batch, of a unit of weight, of a byte.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Line {
    pub(crate) fixed: f64,
    pub(crate) unit: f64,
    pub(crate) byte: f64,
}

/// The costs of a kernel on one back end, by group: the first sample's group first.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Costs(pub(crate) Vec<(u64, Line)>);

impl Size {
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn of<K: Kernel>(job: &K::Job) -> Self {
        Self {
            weight: f64::from(K::job_weight(job)),
            bytes: K::job_bytes(job) as f64,
        }
    }

    pub(crate) fn of_all<'a, K: Kernel>(jobs: impl IntoIterator<Item = &'a K::Job>) -> Self {
        jobs.into_iter()
            .map(Self::of::<K>)
            .fold(Self::default(), Self::plus)
    }

    fn plus(self, other: Self) -> Self {
        Self {
            weight: self.weight + other.weight,
            bytes: self.bytes + other.bytes,
        }
    }

    /// Bytes for each unit of weight.
    fn richness(self) -> f64 {
        self.bytes / self.weight.max(1.0)
    }
}

impl Line {
    /// Nanoseconds that jobs of this size cost beside the fixed time.
    pub(crate) fn rest(&self, size: Size) -> f64 {
        self.unit * size.weight + self.byte * size.bytes
    }

    /// The costs in a report, of usual jobs of this size.
    pub(crate) fn cost(&self, usual: Size) -> Cost {
        Cost {
            fixed: duration(self.fixed),
            job: duration(self.unit * usual.weight),
            mib: duration(self.byte * MIB),
        }
    }

    /// Nanoseconds of a batch of this size.
    pub(crate) fn time(&self, size: Size) -> f64 {
        self.fixed + self.rest(size)
    }
}

#[allow(clippy::cast_precision_loss)]
pub(crate) fn nanos(time: Duration) -> f64 {
    nanoseconds(time) as f64
}

/// Nothing that is no number gets through; the longest time is 584 years.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub(crate) fn duration(nanos: f64) -> Duration {
    Duration::from_nanos(nanos.max(0.0) as u64)
}

impl Costs {
    /// The costs of the most common group.
    pub(crate) fn usual(&self) -> Line {
        self.0.first().map(|(_, line)| *line).unwrap_or_default()
    }
}

/// `group:fixed:unit:byte`, in nanoseconds, one after the other.
impl fmt::Display for Costs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (group, line)) in self.0.iter().enumerate() {
            let space = if number == 0 { "" } else { " " };
            let Line { fixed, unit, byte } = line;
            write!(f, "{space}{group}:{fixed}:{unit}:{byte}")?;
        }
        Ok(())
    }
}

/// A text that is no list of costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoCosts;

impl FromStr for Costs {
    type Err = NoCosts;

    fn from_str(text: &str) -> Result<Self, NoCosts> {
        let group = |word: &str| {
            let mut parts = word.split(':');
            let group = parts.next()?.parse().ok()?;
            let mut cost = || {
                let cost: f64 = parts.next()?.parse().ok()?;
                // Up to an hour.
                (0.0..=3.6e12).contains(&cost).then_some(cost)
            };
            let line = Line {
                fixed: cost()?,
                unit: cost()?,
                byte: cost()?,
            };
            (parts.next().is_none() && line.unit > 0.0).then_some((group, line))
        };
        let groups: Option<Vec<_>> = text.split_whitespace().map(group).collect();
        match groups {
            Some(groups) if (1..=MOST_GROUPS).contains(&groups.len()) => Ok(Self(groups)),
            _ => Err(NoCosts),
        }
    }
}

/// How a back end is timed.
pub(crate) trait Bench<K: Kernel> {
    type Error;
    /// Two batches whose times give the fixed time and that of a unit of weight: the sizes and times of
    /// a small and of a larger one, both made of these jobs over and over.
    fn small_and_large(&mut self, jobs: &[&K::Job]) -> Result<[(Size, Duration); 2], Self::Error>;
    /// The size and the time of one batch of these jobs over and over, as large as the larger one
    /// was.
    fn large(&mut self, jobs: &[&K::Job]) -> Result<(Size, Duration), Self::Error>;
    /// The size and the time of one job alone.
    fn one(&mut self, job: &K::Job) -> Result<(Size, Duration), Self::Error>;
}

/// Times a kernel's samples.
pub(crate) fn calibrate<K: Kernel, B: Bench<K>>(bench: &mut B) -> Result<Costs, B::Error> {
    let samples = K::samples();
    let mut groups: Vec<(u64, Vec<&K::Job>)> = Vec::new();
    for job in &samples {
        let group = K::group(job);
        if let Some((_, jobs)) = groups.iter_mut().find(|(known, _)| *known == group) {
            jobs.push(job);
        } else if groups.len() < MOST_GROUPS {
            groups.push((group, vec![job]));
        }
    }
    let mut costs = Vec::with_capacity(groups.len());
    for (group, jobs) in groups {
        costs.push((group, measure::<K, B>(bench, &jobs)?));
    }
    Ok(Costs(costs))
}

/// Whether costs of an earlier start still hold: for the usual group, within a factor of [`HOLDS`].
pub(crate) fn holds<K: Kernel, B: Bench<K>>(
    bench: &mut B,
    costs: &Costs,
) -> Result<bool, B::Error> {
    let samples = K::samples();
    let Some(first) = samples.first() else {
        return Ok(false);
    };
    let Some((_, line)) = costs.0.iter().find(|(group, _)| *group == K::group(first)) else {
        return Ok(false);
    };
    let (size, time) = bench.one(first)?;
    let (took, expected) = (nanos(time), line.time(size));
    Ok(took <= expected * HOLDS && expected <= took * HOLDS)
}

fn measure<K: Kernel, B: Bench<K>>(bench: &mut B, jobs: &[&K::Job]) -> Result<Line, B::Error> {
    let richness = |job: &K::Job| Size::of::<K>(job).richness();
    let poorest = jobs
        .iter()
        .map(|job| richness(job))
        .fold(f64::INFINITY, f64::min);
    let (rich, poor): (Vec<&K::Job>, Vec<&K::Job>) = jobs
        .iter()
        .partition(|job| richness(job) > poorest.max(1.0) * RICH);
    let [small, large] = bench.small_and_large(&poor)?;
    let line = through(small, large);
    if rich.is_empty() {
        return Ok(line);
    }
    let (rich, time) = bench.large(&rich)?;
    let poor = large.0;
    Ok(with_bytes(line, poor, (rich, time)))
}

/// The line through the times of a small and of a larger batch.
pub(crate) fn through((few, short): (Size, Duration), (many, long): (Size, Duration)) -> Line {
    let (short, long) = (nanos(short), nanos(long));
    if many.weight <= few.weight {
        return Line {
            unit: (long / many.weight.max(1.0)).max(0.1),
            ..Line::default()
        };
    }
    // More jobs cannot really cost less; then the larger batch says what a job costs.
    let most = (long / many.weight).max(0.1);
    let unit = ((long - short) / (many.weight - few.weight)).clamp(0.1, most);
    Line {
        fixed: (short - unit * few.weight).max(0.0),
        unit,
        byte: 0.0,
    }
}

/// Parts the cost of a unit, found with jobs of few bytes, into that of the weight and that of the bytes.
fn with_bytes(line: Line, poor: Size, (rich, time): (Size, Duration)) -> Line {
    let unit = (nanos(time) - line.fixed) / rich.weight.max(1.0);
    let more_bytes = rich.richness() - poor.richness();
    if unit <= line.unit || more_bytes <= 0.0 {
        return line;
    }
    let byte = (unit - line.unit) / more_bytes;
    Line {
        unit: (line.unit - byte * poor.richness()).max(0.1),
        byte,
        ..line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn size(weight: f64, bytes: f64) -> Size {
        Size { weight, bytes }
    }

    fn us(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    fn two(few: f64, short: u64, many: f64, long: u64) -> (f64, f64) {
        let line = through((size(few, 0.0), us(short)), (size(many, 0.0), us(long)));
        (line.fixed, line.unit)
    }

    #[test]
    fn two_times_make_a_line() {
        assert_eq!(two(1.0, 60, 11.0, 160), (50_000.0, 10_000.0));
        assert_eq!(two(4.0, 40, 4.0, 80), (0.0, 20_000.0));
        // Noise: the larger batch was quicker.
        assert_eq!(two(1.0, 100, 10.0, 50).1, 0.1);
        // Noise: the small batch was free.
        assert_eq!(two(1.0, 0, 10.0, 50), (0.0, 5_000.0));
    }

    /// A kernel of two groups, whose costs the bench below makes up.
    struct Made;

    impl Kernel for Made {
        type Job = (u64, u32, usize);
        type Output = ();
        type State = ();
        const NAME: &'static str = "made";

        fn job_bytes(job: &Self::Job) -> usize {
            job.2
        }

        fn group(job: &Self::Job) -> u64 {
            job.0
        }

        fn job_weight(job: &Self::Job) -> u32 {
            job.1
        }

        fn run_cpu(_: &Self::Job) {}

        fn known_answers() -> Vec<(Self::Job, ())> {
            vec![
                ((7, 3, 100), ()),
                ((7, 1, 60), ()),
                ((7, 2, 100_000), ()),
                ((9, 1, 50), ()),
            ]
        }
    }

    /// Group 7: 40 us, 5 us a unit and 2 ns a byte; group 9: 10 us and 1 ms a unit.
    struct MadeUp;

    impl MadeUp {
        fn batch(jobs: &[&(u64, u32, usize)], count: usize) -> (Size, Duration) {
            let size = Size::of_all::<Made>(jobs.iter().copied().cycle().take(count));
            let line = match jobs[0].0 {
                7 => Line {
                    fixed: 40_000.0,
                    unit: 5_000.0,
                    byte: 2.0,
                },
                _ => Line {
                    fixed: 10_000.0,
                    unit: 1e6,
                    byte: 0.0,
                },
            };
            (size, duration(line.time(size)))
        }
    }

    impl Bench<Made> for MadeUp {
        type Error = ();

        fn small_and_large(
            &mut self,
            jobs: &[&(u64, u32, usize)],
        ) -> Result<[(Size, Duration); 2], ()> {
            Ok([Self::batch(jobs, jobs.len()), Self::batch(jobs, 1_000)])
        }

        fn large(&mut self, jobs: &[&(u64, u32, usize)]) -> Result<(Size, Duration), ()> {
            Ok(Self::batch(jobs, 1_000))
        }

        fn one(&mut self, job: &(u64, u32, usize)) -> Result<(Size, Duration), ()> {
            Ok(Self::batch(&[job], 1))
        }
    }

    #[test]
    fn old_costs_are_checked() {
        let costs = calibrate::<Made, _>(&mut MadeUp).unwrap();
        assert_eq!(holds::<Made, _>(&mut MadeUp, &costs), Ok(true));
        for factor in [0.2, 5.0] {
            let mut wrong = costs.clone();
            wrong.0[0].1.fixed *= factor;
            wrong.0[0].1.unit *= factor;
            assert_eq!(holds::<Made, _>(&mut MadeUp, &wrong), Ok(false));
        }
        let other = Costs(vec![(8, costs.usual())]);
        assert_eq!(holds::<Made, _>(&mut MadeUp, &other), Ok(false));
    }

    #[test]
    fn weights_bytes_and_groups_are_told_apart() {
        let costs = calibrate::<Made, _>(&mut MadeUp).unwrap();
        let near = |got: f64, wanted: f64| (got - wanted).abs() <= wanted * 0.02 + 1.0;
        let [(7, first), (9, second)] = costs.0[..] else {
            panic!("{costs:?}");
        };
        assert!(near(first.fixed, 40_000.0), "{costs:?}");
        assert!(near(first.unit, 5_000.0), "{costs:?}");
        assert!((first.byte - 2.0).abs() < 0.05, "{costs:?}");
        assert!(near(second.unit, 1e6) && second.byte == 0.0, "{costs:?}");
        assert_eq!(costs.usual(), first);
    }

    #[test]
    fn costs_come_back_from_text() {
        let costs = Costs(vec![
            (
                u64::MAX,
                Line {
                    fixed: 1.5,
                    unit: 0.1,
                    byte: 1e-3,
                },
            ),
            (
                0,
                Line {
                    fixed: 0.0,
                    unit: 1e9,
                    byte: 0.0,
                },
            ),
        ]);
        assert_eq!(costs.to_string().parse(), Ok(costs));
        let long = "1:1:1:1 ".repeat(MOST_GROUPS + 1);
        for wrong in [
            "",
            "1:2:3",
            "1:2:3:4:5",
            "x:1:1:1",
            "1:-1:1:1",
            "1:NaN:1:1",
            "1:1:inf:1",
            "1:1:0:1",
            &long,
        ] {
            assert_eq!(wrong.parse::<Costs>(), Err(NoCosts), "{wrong}");
        }
    }
}
