//! Work on several threads that begins at once.
//!
//! The caller's thread does its part itself. `rayon::join` and parallel iterators hand everything to the pool's threads
//! where the caller is none of them: then the second of them is woken while the caller is not asleep yet, finds no idle
//! processor where there are two, and waits behind the first for a turn of the scheduler, which is longer than all the
//! work.

use std::sync::{
    OnceLock,
    atomic::{AtomicUsize, Ordering},
};

/// Does `one` here, and `other` on a thread of the pool at the same time.
pub fn beside<T>(one: impl FnOnce() -> T, other: impl FnOnce() + Send) -> T {
    rayon::in_place_scope(|scope| {
        scope.spawn(|_| other());
        one()
    })
}

/// What `work` makes of each item, in their order.
pub(crate) fn each<T: Sync, R: Send + Sync>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let done: Vec<_> = items.iter().map(|_| OnceLock::new()).collect();
    let next = AtomicUsize::new(0);
    let take = || {
        while let index = next.fetch_add(1, Ordering::Relaxed)
            && let (Some(item), Some(done)) = (items.get(index), done.get(index))
        {
            // Nobody else has this index.
            let _ = done.set(work(item));
        }
    };
    rayon::in_place_scope(|scope| {
        for _ in 1..rayon::current_num_threads().min(items.len()) {
            scope.spawn(|_| take());
        }
        take();
    });
    done.into_iter().filter_map(OnceLock::into_inner).collect()
}
