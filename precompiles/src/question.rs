//! Work that can be answered before a call asks for it.

use pars_kernels::mldsa::{self, VerifyJob};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// One yes-or-no question about public data, a pure function of the bytes it holds.
///
/// Equality and hash are those of the function and of its full argument bytes, so no two different questions can be
/// taken for each other. Clones share their bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Question {
    /// Is this ML-DSA signature valid? (FIPS 204, Algorithms 3 and 8)
    MlDsaVerify(VerifyJob),
}

/// Every CPU path panicked on a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("every CPU path panicked")]
pub struct Panicked;

impl Question {
    /// Bytes of memory the question holds.
    pub fn size(&self) -> usize {
        match self {
            Self::MlDsaVerify(job) => job.size(),
        }
    }

    /// Answers on the CPU, here and now: by the fastest path, and should that panic, by the portable one.
    ///
    /// # Errors
    /// [`Panicked`] if the portable path panics too, which is a bug.
    pub fn answer(&self) -> Result<bool, Panicked> {
        match self {
            Self::MlDsaVerify(job) => guarded(|| mldsa::verify(job)).or_else(|Panicked| {
                tracing::error!("the fast path of ML-DSA verification panicked: this is a bug");
                guarded(|| mldsa::portable::verify(job))
            }),
        }
    }
}

/// `work`, with a panic turned into a value.
fn guarded(work: impl FnOnce() -> bool) -> Result<bool, Panicked> {
    // The closure borrows immutable bytes only; nothing half-changed can be seen afterwards.
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| Panicked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_the_kernels() {
        for (job, expected) in mldsa::known_answers() {
            let question = Question::MlDsaVerify(job.clone());
            assert_eq!(question.size(), job.size());
            assert_eq!(question.answer(), Ok(expected));
        }
    }

    #[test]
    fn a_panic_is_a_value() {
        assert_eq!(guarded(|| panic!("a bug")), Err(Panicked));
    }
}
