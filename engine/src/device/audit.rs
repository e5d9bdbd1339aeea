//! Which answers of a device the CPU looks at, and the CPU's own.

use std::hash::{BuildHasher, Hasher, RandomState};

use rayon::prelude::*;

use crate::config::Config;
use crate::cpu;
use crate::kernel::Kernel;
use crate::queue::Entry;
use crate::ticket::Answer;

/// Up to this many answers the owner of the device recomputes by itself; more go to the CPU pool.
const RECOMPUTE_ALONE: usize = 2;

/// Chooses what is audited, so that nobody who submits jobs can tell which.
pub(super) struct Auditor {
    /// Of xorshift64 (Marsaglia 2003), never 0.
    random: u64,
}

/// The answers of a batch that the CPU has to look at, in order, each once, and why.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) indices: Vec<usize>,
    pub(super) undecided: u64,
    pub(super) confirmed: u64,
    pub(super) audited: u64,
}

impl Auditor {
    pub(super) fn new() -> Self {
        // Keys of the standard library's hash maps come from the operating system.
        Self {
            random: RandomState::new().build_hasher().finish() | 1,
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let bound = u64::try_from(bound.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.random % bound).unwrap_or(0)
    }

    /// How many answers of a batch are a share of them, rounded up or down at random: over many batches the share holds, whatever
    /// their size.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )]
    fn share(&mut self, share: f64, answers: usize) -> usize {
        const FINE: usize = 1 << 24;
        let exact = share * answers as f64;
        let up = (self.below(FINE) as f64) < exact.fract() * FINE as f64;
        exact as usize + usize::from(up)
    }

    /// Chooses of a device's answers: all that are undecided, all that have to be confirmed, and a random sample of the others.
    pub(super) fn choose<K: Kernel>(
        &mut self,
        config: &Config,
        answers: &[Option<K::Output>],
    ) -> Chosen {
        let mut chosen = Chosen::default();
        let mut left = Vec::with_capacity(answers.len());
        for (index, answer) in answers.iter().enumerate() {
            match answer {
                None => chosen.undecided += 1,
                Some(answer) if config.confirm && K::must_confirm(answer) => chosen.confirmed += 1,
                Some(_) => {
                    left.push(index);
                    continue;
                }
            }
            chosen.indices.push(index);
        }
        let audits = self
            .share(config.audit_share, answers.len())
            .max(config.audit_per_batch);
        for _ in 0..audits.min(left.len()) {
            let pick = self.below(left.len());
            chosen.indices.push(left.swap_remove(pick));
            chosen.audited += 1;
        }
        chosen.indices.sort_unstable();
        chosen
    }
}

/// Some answers of a batch, recomputed.
pub(super) struct Recomputed<T> {
    pub(super) index: usize,
    pub(super) answer: Answer<T>,
}

/// The CPU's answers to some jobs of a batch, in the order of the indices.
pub(super) fn recompute<K: Kernel>(
    state: &K::State,
    pool: &rayon::ThreadPool,
    batch: &[Entry<K>],
    indices: &[usize],
) -> Vec<Recomputed<K::Output>> {
    let some = |indices: &[usize]| {
        let jobs: Vec<_> = indices
            .iter()
            .filter_map(|index| batch.get(*index))
            .map(Entry::job)
            .collect();
        let answers = cpu::run::<K>(state, &jobs);
        let some = indices.iter().zip(answers);
        some.map(|(index, answer)| Recomputed {
            index: *index,
            answer,
        })
        .collect::<Vec<_>>()
    };
    if indices.len() <= RECOMPUTE_ALONE {
        some(indices)
    } else {
        let share = indices
            .len()
            .div_ceil(pool.current_num_threads())
            .min(K::CPU_CHUNK.max(1));
        pool.install(|| indices.par_chunks(share).flat_map_iter(some).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MlDsaVerify;

    const VALID: Option<bool> = Some(true);

    fn config(audit_per_batch: usize, audit_share: f64) -> Config {
        Config {
            audit_per_batch,
            audit_share,
            ..Config::default()
        }
    }

    fn choose(auditor: &mut Auditor, config: &Config, answers: &[Option<bool>]) -> Chosen {
        auditor.choose::<MlDsaVerify>(config, answers)
    }

    #[test]
    fn the_share_holds_over_batches_of_any_size() {
        for size in [1, 3, 64] {
            let mut auditor = Auditor::new();
            let config = config(0, 0.1);
            let audited: u64 = (0..19_200 / size)
                .map(|_| choose(&mut auditor, &config, &vec![VALID; size]).audited)
                .sum();
            // A tenth; ten standard deviations of 42 beside it.
            assert!((1_500..=2_340).contains(&audited), "{audited} of {size}");
        }
        let mut auditor = Auditor::new();
        for (least, share, audited) in [(0, 0.0, 0), (0, 1.0, 9), (2, 0.0, 2), (20, 0.5, 9)] {
            let chosen = choose(&mut auditor, &config(least, share), &[VALID; 9]);
            assert_eq!(chosen.audited, audited, "{least} and {share}");
        }
    }

    #[test]
    fn every_answer_may_be_audited_and_no_two_devices_audit_the_same() {
        let config = config(1, 0.0);
        let draw = |auditor: &mut Auditor| choose(auditor, &config, &[VALID; 8]).indices;
        let mut auditor = Auditor::new();
        let mut times = [0; 8];
        for _ in 0..8_000 {
            for index in draw(&mut auditor) {
                times[index] += 1;
            }
        }
        assert!(
            times.iter().all(|times| (700..1_300).contains(times)),
            "{times:?}"
        );
        let [mut one, mut other] = [Auditor::new(), Auditor::new()];
        let same = (0..100).filter(|_| draw(&mut one) == draw(&mut other));
        assert!(same.count() < 60);
    }

    #[test]
    fn what_is_undecided_or_to_be_confirmed_is_no_audit_and_chosen_once() {
        let answers = [VALID, None, Some(false), VALID, Some(false)];
        let mut auditor = Auditor::new();
        let all = Chosen {
            indices: vec![0, 1, 2, 3, 4],
            undecided: 1,
            confirmed: 2,
            audited: 2,
        };
        assert_eq!(choose(&mut auditor, &config(0, 1.0), &answers), all);
        let unconfirmed = Config {
            confirm: false,
            ..config(0, 0.0)
        };
        let undecided = Chosen {
            indices: vec![1],
            undecided: 1,
            ..Chosen::default()
        };
        assert_eq!(choose(&mut auditor, &unconfirmed, &answers), undecided);
        let none = choose(&mut auditor, &config(0, 0.0), &answers);
        assert_eq!(none.indices, [1, 2, 4]);
    }
}
