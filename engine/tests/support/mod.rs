//! A toy kernel whose every answer is known, and its reference.

use std::hash::Hasher;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pars_engine::Kernel;

/// How many jobs of [`Toy`] exist now, over all tests of the process.
#[allow(dead_code)]
pub static ALIVE: AtomicUsize = AtomicUsize::new(0);

/// Keeps panics of the engine's own threads, and of jobs that other threads run, out of the output: tests cause
/// them on purpose.
#[allow(dead_code)]
pub fn quiet_workers() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let own = std::thread::current()
                .name()
                .is_some_and(|name| name.starts_with("pars-"));
            let meant = panic
                .payload_as_str()
                .is_some_and(|text| text.contains("thirteen"));
            if !own && !meant {
                usual(panic);
            }
        }));
    });
}

/// Answers `reference(number)`, after the time that the job asks for.
pub struct Toy;

#[derive(Debug)]
pub struct ToyJob {
    pub number: u64,
    pub spin: Duration,
    pub group: u64,
    pub bytes: usize,
    pub hold: Option<Arc<AtomicBool>>,
    /// Identical jobs may share a computation.
    pub shared: bool,
    /// Where the job writes its number when it runs.
    pub log: Option<Arc<Mutex<Vec<u64>>>>,
}

/// Holds a job until it is dropped.
pub struct Hold(Arc<AtomicBool>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl ToyJob {
    pub fn new(number: u64) -> Self {
        ALIVE.fetch_add(1, Ordering::SeqCst);
        Self {
            number,
            spin: Duration::ZERO,
            group: 0,
            bytes: 64,
            hold: None,
            shared: false,
            log: None,
        }
    }

    #[allow(dead_code)]
    pub fn spin(mut self, micros: u64) -> Self {
        self.spin = Duration::from_micros(micros);
        self
    }

    /// A job that does not end before the hold is dropped.
    #[allow(dead_code)]
    pub fn held(mut self) -> (Self, Hold) {
        let hold = Arc::new(AtomicBool::new(false));
        self.hold = Some(Arc::clone(&hold));
        (self, Hold(hold))
    }

    #[allow(dead_code)]
    pub fn shared(mut self) -> Self {
        self.shared = true;
        self
    }

    #[allow(dead_code)]
    pub fn log(mut self, log: &Arc<Mutex<Vec<u64>>>) -> Self {
        self.log = Some(Arc::clone(log));
        self
    }

    #[allow(dead_code)]
    pub fn group(mut self, group: u64) -> Self {
        self.group = group;
        self
    }

    #[allow(dead_code)]
    pub fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }
}

impl Drop for ToyJob {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A job with this number panics.
pub const PANICS: u64 = 13_000_013;

/// The map of the reference: odd parts of a multiplication, as good as any pure function.
pub fn reference(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
}

impl Kernel for Toy {
    type Job = ToyJob;
    type Output = u64;
    type State = ();
    const NAME: &'static str = "toy";

    fn job_bytes(job: &ToyJob) -> usize {
        job.bytes
    }

    fn group(job: &ToyJob) -> u64 {
        job.group
    }

    fn fingerprint(job: &ToyJob, hasher: &mut impl Hasher) -> bool {
        // Few bits, so that different jobs meet.
        hasher.write_u64(job.number % 8);
        job.shared
    }

    fn same(one: &ToyJob, other: &ToyJob) -> bool {
        (one.number, one.group) == (other.number, other.group)
    }

    fn run_cpu(job: &ToyJob) -> u64 {
        if let Some(log) = &job.log {
            log.lock().unwrap().push(job.number);
        }
        assert_ne!(job.number, PANICS, "thirteen");
        let start = Instant::now();
        while start.elapsed() < job.spin {
            std::hint::spin_loop();
        }
        while job
            .hold
            .as_ref()
            .is_some_and(|open| !open.load(Ordering::SeqCst))
        {
            assert!(start.elapsed() < Duration::from_secs(60), "held too long");
            std::thread::sleep(Duration::from_micros(100));
        }
        reference(job.number)
    }

    fn known_answers() -> Vec<(ToyJob, u64)> {
        [
            (0, 0),
            (1, 0x9e37_79b9),
            (2, 0x3c6e_f372),
            (1 << 32, 0x7f4a_7c15),
        ]
        .into_iter()
        .map(|(number, answer)| (ToyJob::new(number), answer))
        .collect()
    }
}

/// The same under another name: a kernel beside the first, with a queue of its own.
#[allow(dead_code)]
pub struct Second;

impl Kernel for Second {
    type Job = ToyJob;
    type Output = u64;
    type State = ();
    const NAME: &'static str = "second toy";

    fn job_bytes(job: &ToyJob) -> usize {
        Toy::job_bytes(job)
    }

    fn group(job: &ToyJob) -> u64 {
        Toy::group(job)
    }

    fn fingerprint(job: &ToyJob, hasher: &mut impl Hasher) -> bool {
        Toy::fingerprint(job, hasher)
    }

    fn same(one: &ToyJob, other: &ToyJob) -> bool {
        Toy::same(one, other)
    }

    fn run_cpu(job: &ToyJob) -> u64 {
        Toy::run_cpu(job)
    }

    fn known_answers() -> Vec<(ToyJob, u64)> {
        Toy::known_answers()
    }
}
