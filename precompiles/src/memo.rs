//! Answers known before they are asked for, and the places that give them.

use crate::question::Question;
use lru::LruCache;
use parking_lot::Mutex;
use pars_engine::{Engine, EngineError, MlDsaVerify};
use std::{
    collections::{HashSet, hash_map::RandomState},
    fmt,
    time::{Duration, Instant},
};

/// Who answers a precompile's questions.
///
/// What it says never changes an outcome: a question without an answer is answered on the CPU.
pub trait Answers: Send + Sync {
    /// The answer to `question`, if it is known.
    fn answer_to(&self, question: &Question) -> Option<bool>;
}

/// Knows nothing, so that every question is answered on the CPU.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unanswered;

impl Answers for Unanswered {
    fn answer_to(&self, _: &Question) -> Option<bool> {
        None
    }
}

/// Bytes an entry costs besides the question's own: list links, table slot, counters.
const ENTRY_OVERHEAD: usize = 160;

/// Answers of recent batches, the least recently used forgotten first.
///
/// Bounded by bytes. Keys are compared byte for byte and found by a hash keyed at random, so nobody can make two
/// questions share an answer or choose collisions. Holds answers and never errors.
pub struct Memo {
    table: Mutex<Table>,
    max_bytes: usize,
}

struct Table {
    answers: LruCache<Question, bool, RandomState>,
    bytes: usize,
    hits: u64,
    misses: u64,
    evictions: u64,
}

/// What a [`Memo`] holds and how it did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoStats {
    /// Answers held.
    pub entries: usize,
    /// Bytes they are charged with.
    pub bytes: usize,
    /// The bound on `bytes`.
    pub max_bytes: usize,
    /// Questions answered from the memo.
    pub hits: u64,
    /// Questions the memo could not answer.
    pub misses: u64,
    /// Answers forgotten to stay within the bound.
    pub evictions: u64,
}

/// What became of the questions handed to [`Memo::answer`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchReport {
    /// Questions handed in.
    pub asked: usize,
    /// Of these, questions that stood in the list already.
    pub repeated: usize,
    /// Of these, questions the memo had the answer to.
    pub known: usize,
    /// Of these, questions larger than the whole memo, which are left to the CPU.
    pub too_large: usize,
    /// Questions the engine answered, all in one batch.
    pub answered: usize,
    /// Time the engine took.
    pub elapsed: Duration,
}

impl Memo {
    /// An empty memo of at most `max_bytes` bytes.
    pub fn new(max_bytes: usize) -> Self {
        Self {
            table: Mutex::new(Table {
                answers: LruCache::unbounded_with_hasher(RandomState::new()),
                bytes: 0,
                hits: 0,
                misses: 0,
                evictions: 0,
            }),
            max_bytes,
        }
    }

    /// The answer to `question`, if the memo holds it.
    pub fn get(&self, question: &Question) -> Option<bool> {
        let table = &mut *self.table.lock();
        let answer = table.answers.get(question).copied();
        match answer {
            Some(_) => table.hits += 1,
            None => table.misses += 1,
        }
        answer
    }

    /// Has the engine answer `questions` as one batch and remembers the answers. Repeated questions and those already
    /// answered are not asked again. Blocks until the engine is done; call it from a plain thread.
    ///
    /// # Errors
    /// [`EngineError`] if the engine gives no answer, as when it shuts down. The memo is then as it was, and the
    /// questions will be answered on the CPU when they are met.
    pub fn answer(
        &self,
        engine: &Engine,
        questions: Vec<Question>,
    ) -> Result<BatchReport, EngineError> {
        let mut report = BatchReport {
            asked: questions.len(),
            ..BatchReport::default()
        };
        let mut seen = HashSet::with_capacity(questions.len());
        let mut open = Vec::with_capacity(questions.len());
        for question in questions {
            if !seen.insert(question.clone()) {
                report.repeated += 1;
            } else if self.touch(&question) {
                report.known += 1;
            } else if cost(&question) > self.max_bytes {
                report.too_large += 1;
            } else {
                open.push(question);
            }
        }
        if open.is_empty() {
            return Ok(report);
        }
        let jobs = open
            .iter()
            .map(|Question::MlDsaVerify(job)| job.clone())
            .collect();
        let start = Instant::now();
        let verdicts = engine.call_many_blocking::<MlDsaVerify>(jobs)?;
        report.elapsed = start.elapsed();
        report.answered = verdicts.len();
        for (question, verdict) in open.into_iter().zip(verdicts) {
            self.insert(question, verdict);
        }
        Ok(report)
    }

    /// What the memo holds and how it did.
    pub fn stats(&self) -> MemoStats {
        let table = self.table.lock();
        MemoStats {
            entries: table.answers.len(),
            bytes: table.bytes,
            max_bytes: self.max_bytes,
            hits: table.hits,
            misses: table.misses,
            evictions: table.evictions,
        }
    }

    /// Forgets everything.
    pub fn clear(&self) {
        let mut table = self.table.lock();
        table.answers.clear();
        table.bytes = 0;
    }

    /// Whether the answer is held; it then counts as just used.
    fn touch(&self, question: &Question) -> bool {
        self.table.lock().answers.get(question).is_some()
    }

    /// Remembers an answer and forgets the oldest until the bound holds.
    pub(crate) fn insert(&self, question: Question, answer: bool) {
        let cost = cost(&question);
        if cost > self.max_bytes {
            return;
        }
        let table = &mut *self.table.lock();
        if table.answers.put(question, answer).is_none() {
            table.bytes += cost;
        }
        while table.bytes > self.max_bytes {
            let Some((oldest, _)) = table.answers.pop_lru() else {
                break;
            };
            table.bytes = table.bytes.saturating_sub(self::cost(&oldest));
            table.evictions += 1;
        }
    }
}

impl Answers for Memo {
    fn answer_to(&self, question: &Question) -> Option<bool> {
        self.get(question)
    }
}

impl fmt::Debug for Memo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Memo").field(&self.stats()).finish()
    }
}

/// Bytes a question is charged with in a memo or a collector.
fn cost(question: &Question) -> usize {
    question.size().saturating_add(ENTRY_OVERHEAD)
}

/// Gathers the questions of a speculative run and answers "yes" to each at once, so that the run goes on to the next.
///
/// Bounded by bytes; further questions are answered "yes" and not kept.
pub struct Collector {
    gathered: Mutex<Gathered>,
    max_bytes: usize,
}

#[derive(Default)]
struct Gathered {
    questions: Vec<Question>,
    bytes: usize,
    dropped: usize,
}

impl Collector {
    /// An empty collector of at most `max_bytes` bytes.
    pub fn new(max_bytes: usize) -> Self {
        Self {
            gathered: Mutex::default(),
            max_bytes,
        }
    }

    /// Takes the questions gathered so far, in the order in which they were asked. Repetitions are kept.
    pub fn take(&self) -> Vec<Question> {
        let mut gathered = self.gathered.lock();
        gathered.bytes = 0;
        std::mem::take(&mut gathered.questions)
    }

    /// Adds questions found without running anything.
    pub fn extend(&self, questions: impl IntoIterator<Item = Question>) {
        for question in questions {
            self.push(question);
        }
    }

    /// Questions that found no room since the collector was made.
    pub fn dropped(&self) -> usize {
        self.gathered.lock().dropped
    }

    fn push(&self, question: Question) {
        let cost = cost(&question);
        let mut gathered = self.gathered.lock();
        match gathered.bytes.checked_add(cost) {
            Some(bytes) if bytes <= self.max_bytes => {
                gathered.bytes = bytes;
                gathered.questions.push(question);
            }
            _ => gathered.dropped += 1,
        }
    }
}

impl Answers for Collector {
    fn answer_to(&self, question: &Question) -> Option<bool> {
        self.push(question.clone());
        Some(true)
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gathered = self.gathered.lock();
        f.debug_struct("Collector")
            .field("questions", &gathered.questions.len())
            .field("bytes", &gathered.bytes)
            .field("dropped", &gathered.dropped)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pars_kernels::mldsa::VerifyJob;

    /// A question of about 3.7 kB, told apart by `n`.
    fn question(n: u32) -> Question {
        let job = VerifyJob::pure(&[0; 1312], &[], &n.to_be_bytes(), &[0; 2420]).unwrap();
        Question::MlDsaVerify(job)
    }

    #[test]
    fn the_least_recently_used_is_forgotten() {
        let memo = Memo::new(3 * cost(&question(0)));
        for n in 0..3 {
            memo.insert(question(n), n % 2 == 0);
        }
        assert_eq!(memo.get(&question(0)), Some(true));
        memo.insert(question(3), false);
        assert_eq!(memo.get(&question(1)), None);
        assert_eq!(memo.get(&question(0)), Some(true));
        assert_eq!(memo.get(&question(2)), Some(true));
        assert_eq!(memo.get(&question(3)), Some(false));
        let stats = memo.stats();
        assert_eq!((stats.entries, stats.evictions), (3, 1));
        assert_eq!((stats.hits, stats.misses), (4, 1));
        assert_eq!(stats.bytes, stats.max_bytes);
    }

    #[test]
    fn bytes_are_counted_once_per_question() {
        let memo = Memo::new(1 << 20);
        for _ in 0..3 {
            memo.insert(question(7), true);
        }
        assert_eq!(memo.stats().bytes, cost(&question(7)));
        memo.clear();
        let stats = memo.stats();
        assert_eq!((stats.entries, stats.bytes), (0, 0));
        assert_eq!(memo.get(&question(7)), None);
    }

    #[test]
    fn what_can_never_fit_is_not_kept() {
        let memo = Memo::new(cost(&question(0)) - 1);
        memo.insert(question(0), true);
        assert_eq!(memo.stats().entries, 0);
    }

    #[test]
    fn one_bit_makes_another_question() {
        let memo = Memo::new(1 << 20);
        memo.insert(question(0), true);
        for at in [0, 1311] {
            let mut key = [0; 1312];
            key[at] = 1;
            let job = VerifyJob::pure(&key, &[], &0u32.to_be_bytes(), &[0; 2420]).unwrap();
            assert_eq!(memo.get(&Question::MlDsaVerify(job)), None);
        }
        // A byte that moves from context to message keeps the same bytes in another meaning.
        let moved = VerifyJob::pure(&[0; 1312], &[0], &[0, 0, 0], &[0; 2420]).unwrap();
        assert_eq!(memo.get(&Question::MlDsaVerify(moved)), None);
    }
}
