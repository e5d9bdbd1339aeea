//! Ring signatures and the curves under them: our paths and their peers in one run, on one thread.
//!
//! Ids are `<path>/<operation>/<who>/<batch>`; throughput is in signatures. Every who starts from the bytes that a caller has, checks
//! every signature, and its answers are compared with the expected ones before it is timed. A file for each curve.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod edwards25519;
mod secp256k1;

use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};

/// One who of a group: `run` answers all items at once, and must answer each with `expected`.
fn row<T, A: PartialEq>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    who: &str,
    items: &[T],
    expected: &A,
    run: impl Fn(&[T]) -> Vec<A>,
) {
    let answers = run(items);
    assert!(
        answers.len() == items.len() && answers.iter().all(|answer| answer == expected),
        "{who} gives other answers"
    );
    group.throughput(Throughput::Elements(u64::try_from(items.len()).unwrap()));
    group.bench_with_input(
        BenchmarkId::new(who, items.len()),
        items,
        |bencher, items| {
            bencher.iter(|| run(black_box(items)));
        },
    );
}

fn curves(criterion: &mut Criterion) {
    secp256k1::bench(criterion);
    edwards25519::bench(criterion);
}

criterion_group!(benches, curves);
criterion_main!(benches);
