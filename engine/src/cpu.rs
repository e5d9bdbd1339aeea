//! The CPU back end: jobs on the calling thread, their self-test and their measurement.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::error::{EngineError, panic_text};
use crate::kernel::Kernel;
use crate::report::{Cost, SelfTestReport};
use crate::ticket::Answer;

/// Passes that measure the CPU; the quickest counts.
const MEASUREMENTS: usize = 3;

/// One job on the calling thread; a panic becomes the job's error.
fn run_one<K: Kernel>(job: &K::Job) -> Answer<K::Output> {
    catch_unwind(AssertUnwindSafe(|| K::run_cpu(job))).map_err(|panic| {
        let message = panic_text(panic.as_ref());
        tracing::error!(kernel = K::NAME, message, "a kernel panicked on the CPU");
        EngineError::Panicked {
            kernel: K::NAME,
            message,
        }
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

/// What jobs cost on one thread: alone, and in chunks. Only after a passed self-test.
pub(crate) fn measure<K: Kernel>() -> Cost {
    let known = K::known_answers();
    let jobs = typical::<K>(&known);
    let quickest = |size: usize| {
        let batch: Vec<&K::Job> = jobs.iter().copied().cycle().take(size).collect();
        (0..MEASUREMENTS)
            .map(|_| {
                let start = Instant::now();
                std::hint::black_box(run::<K>(&K::State::default(), &batch));
                start.elapsed()
            })
            .min()
            .unwrap_or_default()
    };
    // Typical jobs may differ from each other, so as many different ones on both sides.
    let few = jobs.len().max(1);
    let short = jobs
        .iter()
        .map(|job| {
            (0..MEASUREMENTS)
                .map(|_| {
                    let start = Instant::now();
                    std::hint::black_box(K::run_cpu(job));
                    start.elapsed()
                })
                .min()
                .unwrap_or_default()
        })
        .sum::<Duration>()
        / u32::try_from(few).unwrap_or(u32::MAX);
    let size = K::CPU_CHUNK.max(few);
    if size < 2 {
        return Cost {
            fixed: Duration::ZERO,
            job: short,
        };
    }
    let long = quickest(size);
    line((1, short), (size, long))
}

/// Fixed cost and cost per job from the times of a small and of a larger batch.
pub(crate) fn line((few, short): (usize, Duration), (many, long): (usize, Duration)) -> Cost {
    let count = |jobs: usize| u32::try_from(jobs).unwrap_or(u32::MAX).max(1);
    if many <= few {
        return Cost {
            fixed: Duration::ZERO,
            job: long / count(many),
        };
    }
    // More jobs cannot really cost less; then the larger batch says what a job costs.
    let job = (long.saturating_sub(short) / count(many - few)).clamp(
        Duration::from_nanos(1),
        (long / count(many)).max(Duration::from_nanos(1)),
    );
    Cost {
        fixed: short.saturating_sub(job.saturating_mul(count(few))),
        job,
    }
}

/// The known answers that cost as much as a usual job: those that no device would have to have
/// confirmed; all of them if there are none.
pub(crate) fn typical<K: Kernel>(known: &[(K::Job, K::Output)]) -> Vec<&K::Job> {
    let usual: Vec<_> = known
        .iter()
        .filter(|(_, output)| !K::must_confirm(output))
        .map(|(job, _)| job)
        .collect();
    if usual.is_empty() {
        known.iter().map(|(job, _)| job).collect()
    } else {
        usual
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_times_make_a_line() {
        let us = Duration::from_micros;
        assert_eq!(
            line((1, us(60)), (11, us(160))),
            Cost {
                fixed: us(50),
                job: us(10)
            }
        );
        assert_eq!(
            line((4, us(40)), (4, us(80))),
            Cost {
                fixed: us(0),
                job: us(20)
            }
        );
        // Noise: the larger batch was quicker.
        let cost = line((1, us(100)), (10, us(50)));
        assert_eq!(cost.job, Duration::from_nanos(1));
        // Noise: the small batch was free.
        assert_eq!(
            line((1, us(0)), (10, us(50))),
            Cost {
                fixed: us(0),
                job: us(5)
            }
        );
    }
}
