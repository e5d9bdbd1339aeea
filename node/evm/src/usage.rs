//! How often each precompile is called, and how many of its questions had their answers ready.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use pars_precompiles::{
    Address, Answers, Call, Function, Host, Outcome, Precompile, Question, Registry,
};

/// What blocks asked of one precompile; all counts only grow. Blocks that were built are counted, those that were
/// verified, and the pending ones that clients ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PrecompileUsage {
    /// Calls, refused ones among them.
    pub calls: u64,
    /// Questions whose answer was ready from a batch before the EVM asked.
    pub batched: u64,
    /// Questions that were answered one by one while the EVM waited.
    pub alone: u64,
}

impl PrecompileUsage {
    /// The part of the questions that a batch had answered, from 0 to 1; `None` where there was no question.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a share of counts for people to look at"
    )]
    pub fn batch_share(&self) -> Option<f64> {
        let all = self.batched.saturating_add(self.alone);
        (all > 0).then(|| self.batched as f64 / all as f64)
    }
}

#[derive(Default)]
struct Counts {
    calls: AtomicU64,
    batched: AtomicU64,
    alone: AtomicU64,
}

/// A precompile that counts.
struct Counted {
    inner: Arc<dyn Precompile>,
    counts: Arc<Counts>,
}

impl Precompile for Counted {
    fn address(&self) -> Address {
        self.inner.address()
    }

    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn functions(&self) -> &'static [Function] {
        self.inner.functions()
    }

    fn run(&self, call: &Call<'_>, host: &mut dyn Host, answers: &dyn Answers) -> Outcome {
        self.counts.calls.fetch_add(1, Relaxed);
        let counts = &self.counts;
        self.inner.run(call, host, &Asked { answers, counts })
    }

    fn questions(&self, input: &[u8]) -> Vec<Question> {
        self.inner.questions(input)
    }
}

/// Answers that are counted as they are given or not.
struct Asked<'a> {
    answers: &'a dyn Answers,
    counts: &'a Counts,
}

impl Answers for Asked<'_> {
    fn answer_to(&self, question: &Question) -> Option<bool> {
        let answer = self.answers.answer_to(question);
        let count = match answer {
            Some(_) => &self.counts.batched,
            None => &self.counts.alone,
        };
        count.fetch_add(1, Relaxed);
        answer
    }
}

/// The counts of all precompiles of a registry.
pub(crate) struct Usage(Vec<(Address, Arc<Counts>)>);

impl Usage {
    /// `registry` with precompiles that count, and the counts.
    pub(crate) fn watch(registry: Registry) -> (Registry, Self) {
        let mut all = Vec::new();
        let registry = registry.wrapped(|inner| {
            let counts = Arc::<Counts>::default();
            all.push((inner.address(), Arc::clone(&counts)));
            Arc::new(Counted { inner, counts })
        });
        (registry, Self(all))
    }

    /// What was asked of the precompile at `address`; nothing of one that is not there.
    pub(crate) fn of(&self, address: &Address) -> PrecompileUsage {
        let found = self.0.iter().find(|(at, _)| at == address);
        found.map_or_else(PrecompileUsage::default, |(_, counts)| PrecompileUsage {
            calls: counts.calls.load(Relaxed),
            batched: counts.batched.load(Relaxed),
            alone: counts.alone.load(Relaxed),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_nothing_is_none() {
        let usage = |batched, alone| PrecompileUsage {
            calls: 9,
            batched,
            alone,
        };
        assert_eq!(usage(0, 0).batch_share(), None);
        assert_eq!(usage(0, 3).batch_share(), Some(0.0));
        assert_eq!(usage(3, 1).batch_share(), Some(0.75));
    }
}
