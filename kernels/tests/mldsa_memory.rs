//! The CPU path needs at most 64 KiB of working memory, heap and stack, for each signature in flight.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(unsafe_code)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use pars_kernels::{
    cpu::Level,
    mldsa::{ParameterSet, VerifyJob, known_answers, verify_batch_at},
};

/// The bound for one signature.
const WORKING_SET: usize = 64 << 10;
/// What of it may be stack.
const STACK: usize = 44 << 10;
/// What the test itself and the start of a thread take of a stack.
const OVERHEAD: usize = 8 << 10;

/// Bytes allocated now, and the most so far.
static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, counted.
struct Counted;

// SAFETY: every call is passed on as it came.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(now, Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counted = Counted;

// The only test of this file: others would allocate beside it.
#[test]
fn a_signature_in_flight_needs_64_kib() {
    let answers = known_answers();
    for level in Level::ALL.into_iter().filter(|level| level.is_available()) {
        for set in ParameterSet::ALL {
            let valid = answers
                .iter()
                .find(|(job, valid)| *valid && job.parameter_set() == set);
            let job = &valid.unwrap().0;
            for size in [1usize, 2, 8, 64, 1000] {
                let jobs: Vec<&VerifyJob> = std::iter::repeat_n(job, size).collect();
                // A stack of this size: one byte more would end the process.
                let heap = std::thread::scope(|scope| {
                    let worker = std::thread::Builder::new().stack_size(STACK + OVERHEAD);
                    let worker = worker.spawn_scoped(scope, || {
                        let before = NOW.load(Relaxed);
                        PEAK.store(before, Relaxed);
                        let verdicts = verify_batch_at(level, &jobs);
                        let peak = PEAK.load(Relaxed);
                        assert_eq!(verdicts, vec![true; size]);
                        peak - before
                    });
                    worker.unwrap().join().unwrap()
                });
                println!("{level}, {set}, {size} in flight: {heap} bytes of heap");
                assert!(heap > 0, "the allocator counts");
                assert!(
                    heap + STACK <= WORKING_SET * size,
                    "{level}, {set}: {heap} bytes of heap for {size} signatures"
                );
            }
        }
    }
}
