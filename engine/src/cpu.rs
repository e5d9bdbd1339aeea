//! The CPU back end: jobs on the calling thread, their self-test and their measurement.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::calibrate::{Bench, Costs, Size, calibrate, holds};
use crate::error::{EngineError, panic_text};
use crate::kernel::Kernel;
use crate::report::SelfTestReport;
use crate::ticket::Answer;

/// Runs that measure the CPU; the quickest counts.
const MEASUREMENTS: usize = 3;

/// Runs are not repeated when they have taken this long together.
const MEASURE_LONG_ENOUGH: Duration = Duration::from_millis(10);

/// No batch is measured that should take longer than this.
const MEASURE_TOO_LONG: Duration = Duration::from_millis(10);

/// One job on the calling thread; a panic becomes the job's error.
fn run_one<K: Kernel>(job: &K::Job) -> Answer<K::Output> {
    catch_unwind(AssertUnwindSafe(|| K::run_cpu(job))).map_err(|panic| {
        let message = panic_text(panic.as_ref());
        tracing::error!(kernel = K::NAME, message, "a kernel panicked on the CPU");
        Box::new(EngineError::Panicked {
            kernel: K::NAME,
            message,
        })
    })
}

/// Jobs on the calling thread, together. If that panics, or gives a wrong count, each job runs by
/// itself, and only those that panic alone have an error.
pub(crate) fn run<K: Kernel>(state: &K::State, jobs: &[&K::Job]) -> Vec<Answer<K::Output>> {
    match catch_unwind(AssertUnwindSafe(|| K::run_cpu_batch(state, jobs))) {
        Ok(outputs) if outputs.len() == jobs.len() => outputs.into_iter().map(Ok).collect(),
        _ => jobs.iter().map(|job| run_one::<K>(job)).collect(),
    }
}

/// The known answers of a kernel, job by job and together.
pub(crate) fn self_test<K: Kernel>() -> SelfTestReport {
    let known = K::known_answers();
    let start = Instant::now();
    let mut failure = known
        .is_empty()
        .then(|| "the kernel has no known answers".to_owned());
    let jobs: Vec<&K::Job> = known.iter().map(|(job, _)| job).collect();
    let alone = jobs.iter().map(|job| run_one::<K>(job));
    let together = run::<K>(&K::State::default(), &jobs);
    for (index, (got, (_, expected))) in alone
        .zip(&known)
        .enumerate()
        .chain(together.into_iter().zip(&known).enumerate())
    {
        let wrong = match got {
            Ok(got) if got == *expected => continue,
            Ok(got) => format!("known answer {index} is {expected:?}, got {got:?}"),
            Err(error) => error.to_string(),
        };
        failure.get_or_insert(wrong);
    }
    SelfTestReport {
        kernel: K::NAME,
        backend: "cpu".to_owned(),
        answers: known.len(),
        undecided: 0,
        time: start.elapsed(),
        failure,
    }
}

/// What jobs cost on one thread: alone, and in chunks. Costs of an earlier start are taken if they still
/// hold. Only after a passed self-test.
pub(crate) fn measure<K: Kernel>(known: Option<Costs>) -> Costs {
    let mut bench = OneThread {
        most: K::CPU_CHUNK.max(1),
    };
    if let Some(known) = known
        && holds::<K, _>(&mut bench, &known) == Ok(true)
    {
        return known;
    }
    let Ok(costs) = calibrate::<K, _>(&mut bench);
    costs
}

/// Times the CPU path on the calling thread.
struct OneThread {
    /// Jobs of the larger batch.
    most: usize,
}

/// The quickest of some runs; fewer where they take long.
fn quickest(mut run: impl FnMut()) -> Duration {
    let mut best = Duration::MAX;
    let mut spent = Duration::ZERO;
    for _ in 0..MEASUREMENTS {
        let start = Instant::now();
        run();
        let time = start.elapsed();
        best = best.min(time);
        spent += time;
        if spent > MEASURE_LONG_ENOUGH {
            break;
        }
    }
    best
}

impl<K: Kernel> Bench<K> for OneThread {
    type Error = std::convert::Infallible;

    fn small_and_large(&mut self, jobs: &[&K::Job]) -> Result<[(Size, Duration); 2], Self::Error> {
        let few = jobs.len().max(1);
        let alone: Duration = jobs
            .iter()
            .map(|job| {
                quickest(|| {
                    std::hint::black_box(K::run_cpu(job));
                })
            })
            .sum();
        let alone = alone / u32::try_from(few).unwrap_or(u32::MAX);
        // As many different jobs on both sides, and no batch that delays the start.
        let in_time = MEASURE_TOO_LONG.as_nanos() / alone.as_nanos().max(1);
        let in_time = usize::try_from(in_time).unwrap_or(usize::MAX);
        self.most = K::CPU_CHUNK.max(few).min(in_time).max(1);
        let sum = Size::of_all::<K>(jobs.iter().copied());
        let count = f64::from(u32::try_from(few).unwrap_or(u32::MAX));
        let mean = Size {
            weight: sum.weight / count,
            bytes: sum.bytes / count,
        };
        let small = (mean, alone);
        if self.most < 2 {
            return Ok([small, small]);
        }
        let Ok(large) = Bench::<K>::large(self, jobs);
        Ok([small, large])
    }

    fn large(&mut self, jobs: &[&K::Job]) -> Result<(Size, Duration), Self::Error> {
        let batch: Vec<&K::Job> = jobs.iter().copied().cycle().take(self.most).collect();
        let time = quickest(|| {
            std::hint::black_box(run::<K>(&K::State::default(), &batch));
        });
        Ok((Size::of_all::<K>(batch), time))
    }

    fn one(&mut self, job: &K::Job) -> Result<(Size, Duration), Self::Error> {
        let time = quickest(|| {
            std::hint::black_box(K::run_cpu(job));
        });
        Ok((Size::of::<K>(job), time))
    }
}
