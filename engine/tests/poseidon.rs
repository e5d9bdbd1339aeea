//! The Poseidon kernels in an engine: on the CPU, on every adapter, and on devices that fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "support/everywhere.rs"]
mod everywhere;

use everywhere::devices_that_fail_change_no_answer;
use pars_engine::{
    Engine, EngineBuilder, GpuPolicy, Kernel, PoseidonCompress, PoseidonHash, PoseidonList,
    PoseidonPair, PoseidonPath, PoseidonVerifyPath,
};
use pars_kernels::field::Fr;
use pars_kernels::poseidon::Instance;
use pars_kernels::poseidon::tree::{Shape, Tree};

const NAMES: [&str; 3] = ["poseidon/hash", "poseidon/compress", "poseidon/path"];

fn builder() -> EngineBuilder {
    Engine::builder().without_standard_kernels().poseidon()
}

/// Elements that look random, the same in every run.
fn elements(count: usize, seed: u64) -> Vec<Fr> {
    let mut value = Fr::from_u64(seed + 3);
    (0..count)
        .map(|_| {
            value = value.square() + Fr::from_u64(seed);
            value
        })
        .collect()
}

/// Lists of every instance and of every length that circomlib's Poseidon takes.
fn lists(count: usize) -> Vec<PoseidonList> {
    (0..count)
        .map(|at| {
            let instance = Instance::ALL[at % 3];
            let length = match instance {
                Instance::Circom => 1 + at % 16,
                Instance::Poseidon2 => at % 9,
                Instance::Gnark => 1 + at % 5,
            };
            PoseidonList::new(instance, elements(length, at as u64)).unwrap()
        })
        .collect()
}

fn pairs(count: usize) -> Vec<PoseidonPair> {
    let all = elements(2 * count, 1);
    let (pairs, _) = all.as_chunks::<2>();
    let job = |(at, pair): (usize, &[Fr; 2])| PoseidonPair {
        instance: Instance::ALL[at / 5 % 3],
        pair: *pair,
    };
    pairs.iter().enumerate().map(job).collect()
}

/// Paths of a tree of each instance, every third of them wrong.
fn paths(count: usize) -> Vec<(PoseidonPath, bool)> {
    let trees = Instance::ALL.map(|instance| {
        let shape = Shape::new(instance, 6).unwrap();
        Tree::build(shape, elements(50, 2), |_| ()).unwrap()
    });
    (0..count)
        .map(|at| {
            let tree = &trees[at % 3];
            // Among the leaves: places of fillers are alike, and a path to one leads to another.
            let index = (at * 7 % 32) as u64;
            let right = at % 4 != 1;
            let path = PoseidonPath {
                instance: tree.shape().instance(),
                root: tree.root(),
                leaf: tree.node(0, index),
                index: if right { index } else { index ^ 4 },
                siblings: tree.path(index).unwrap().into(),
            };
            (path, right)
        })
        .collect()
}

/// All three kernels with mixed batches, against calls of the library.
fn ask(engine: &Engine, count: usize) {
    let jobs = lists(count);
    let expected: Vec<Fr> = jobs
        .iter()
        .map(|job| job.instance().hash(job.inputs()).unwrap())
        .collect();
    assert_eq!(
        engine.call_many_blocking::<PoseidonHash>(jobs).unwrap(),
        expected
    );
    let jobs = pairs(count);
    let expected: Vec<Fr> = jobs
        .iter()
        .map(|job| job.instance.compress(job.pair[0], job.pair[1]))
        .collect();
    let nodes = engine.call_many_blocking::<PoseidonCompress>(jobs);
    assert_eq!(nodes.unwrap(), expected);
    let (jobs, expected): (Vec<_>, Vec<_>) = paths(count).into_iter().unzip();
    let verdicts = engine.call_many_blocking::<PoseidonVerifyPath>(jobs);
    assert_eq!(verdicts.unwrap(), expected);
}

#[test]
fn known_answers_are_of_every_kind_and_group() {
    let hashes = PoseidonHash::known_answers();
    assert_eq!(hashes.len(), 13);
    for (job, hash) in &hashes {
        assert_eq!(PoseidonHash::run_cpu(job), *hash, "{job:?}");
    }
    assert_eq!(PoseidonCompress::known_answers().len(), 3);
    let paths = PoseidonVerifyPath::known_answers();
    for instance in Instance::ALL {
        for valid in [true, false] {
            assert!(
                paths
                    .iter()
                    .any(|(job, is)| job.instance == instance && *is == valid)
            );
        }
    }
    assert!(PoseidonList::new(Instance::Circom, vec![]).is_err());
    assert!(PoseidonList::new(Instance::Circom, vec![Fr::ONE; 17]).is_err());
}

#[test]
fn the_cpu_answers_mixed_batches() {
    let engine = builder()
        .gpu(GpuPolicy::Off)
        .share_identical(false)
        .build()
        .unwrap();
    for count in [1, 7, 300] {
        ask(&engine, count);
    }
    let stats = engine.stats();
    for name in NAMES {
        assert_eq!(stats.kernel(name).unwrap().answered(), 308, "{name}");
    }
    assert!(
        engine
            .self_test()
            .iter()
            .all(pars_engine::SelfTestReport::passed)
    );
}

#[cfg(feature = "gpu")]
#[test]
fn every_adapter_answers_mixed_batches() {
    let memory = 3 * (1 << 20);
    everywhere::every_adapter_answers(builder(), &NAMES, |_| true, memory, &[1, 30, 200], ask);
}

#[test]
fn devices_that_fail_leave_every_answer_right() {
    devices_that_fail_change_no_answer(builder, |engine| ask(engine, 40));
}
