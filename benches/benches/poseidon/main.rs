//! Poseidon and Poseidon2 over BN254, trees, small fields and Pedersen commitments: our paths and their peers in one run.
//!
//! Ids are `poseidon-bn254-t3/hash/<who>/<batch>` and `poseidon2-bn254-t3/hash/<who>/<batch>`. A hash is the compression of two
//! elements; every who starts from elements in memory, and every answer is compared with the portable code's. `small` and `pedersen`
//! say what their rows are. `poseidon2-bn254-t3/tree/<who>/<leaves>` is the root of a stream of leaves, on one thread.
//!
//! | who | what |
//! |---|---|
//! | `pars-portable`, `pars-avx2`, `pars-avx512` | the kernel at one level, the batch at once, on the calling thread |
//! | `pars-gpu` | the shader, on the first adapter (named in the output), transfers included |
//! | `light-poseidon` | the peer of Poseidon, one after another, on the calling thread |
//! | `taceo-poseidon2` | the peer of Poseidon2, one after another, on the calling thread |

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod pedersen;
mod small;

use std::hint::black_box;
use std::time::Duration;

use ark_ff::{BigInteger, PrimeField};
use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use light_poseidon::PoseidonHasher;
use pars_kernels::cpu::Level;
use pars_kernels::field::Fr;
use pars_kernels::gpu::{DeviceType, adapters};
use pars_kernels::poseidon::{
    Instance,
    gpu::{BatchHasher, DeviceTree},
    tree::Shape,
};

/// Batch sizes on the CPU.
const BATCHES: [usize; 3] = [1, 64, 1_024];
/// Batch sizes on hardware adapters.
const HARDWARE_BATCHES: [usize; 3] = [1_024, 65_536, 1 << 20];
/// Batch sizes on software adapters.
const SOFTWARE_BATCHES: [usize; 2] = [64, 1_024];
/// How long a device may take.
const GPU_TIMEOUT: Duration = Duration::from_secs(60);

type Group<'a> = BenchmarkGroup<'a, WallTime>;

/// Pairs that look random, the same in every run.
fn pairs(count: usize) -> Vec<[Fr; 2]> {
    let mut value = Fr::from_u64(6133).power(&[7, 11, 13, 17]);
    let mut next = || {
        value = value.square() + Fr::ONE;
        value
    };
    (0..count).map(|_| [next(), next()]).collect()
}

fn to_ark(value: Fr) -> ark_bn254::Fr {
    ark_bn254::Fr::from_be_bytes_mod_order(&value.to_bytes_be())
}

fn from_ark(value: ark_bn254::Fr) -> Fr {
    let bytes = value.into_bigint().to_bytes_be();
    Fr::from_bytes_be(&bytes.try_into().unwrap()).unwrap()
}

/// Benches one way to hash pairs, whatever type it takes them in, after checking its answers.
fn bench<P, H>(
    group: &mut Group<'_>,
    instance: Instance,
    who: &str,
    batches: &[usize],
    prepare: impl Fn([Fr; 2]) -> P,
    mut hash: impl FnMut(&[P]) -> Vec<H>,
    read: impl Fn(H) -> Fr,
) {
    for &size in batches {
        let pairs = pairs(size);
        let prepared: Vec<P> = pairs.iter().map(|pair| prepare(*pair)).collect();
        let answers: Vec<Fr> = hash(&prepared).into_iter().map(&read).collect();
        assert!(
            answers == instance.compress_many(&pairs),
            "{who} gives other hashes"
        );
        group.throughput(Throughput::Elements(u64::try_from(size).unwrap()));
        group.bench_with_input(
            BenchmarkId::new(who, size),
            &prepared,
            |bencher, prepared| {
                bencher.iter(|| hash(black_box(prepared)));
            },
        );
    }
}

/// The rows of our own code.
fn ours(group: &mut Group<'_>, instance: Instance) {
    for level in Level::ALL.into_iter().filter(|level| level.is_available()) {
        let hash = |pairs: &[[Fr; 2]]| instance.compress_many_at(level, pairs);
        bench(
            group,
            instance,
            &format!("pars-{level}"),
            &BATCHES,
            |pair| pair,
            hash,
            |hash| hash,
        );
    }
    let mut found = adapters();
    found.sort_by_key(|adapter| adapter.info().device_type == DeviceType::Cpu);
    let Some(adapter) = found.first() else {
        eprintln!("no GPU adapter found: no pars-gpu rows");
        return;
    };
    eprintln!("pars-gpu: {}", adapter.info());
    let device = adapter.open(GPU_TIMEOUT).unwrap();
    let mut hasher = BatchHasher::new(&device).unwrap();
    let batches: &[usize] = match adapter.info().device_type {
        DeviceType::Cpu => &SOFTWARE_BATCHES,
        _ => &HARDWARE_BATCHES,
    };
    let hash = |pairs: &[[Fr; 2]]| hasher.compress_many(instance, pairs).unwrap();
    bench(
        group,
        instance,
        "pars-gpu",
        batches,
        |pair| pair,
        hash,
        |hash| hash,
    );
}

fn poseidon(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("poseidon-bn254-t3/hash");
    ours(&mut group, Instance::Circom);
    let mut peer = light_poseidon::Poseidon::<ark_bn254::Fr>::new_circom(2).unwrap();
    bench(
        &mut group,
        Instance::Circom,
        "light-poseidon",
        &BATCHES[..2],
        |pair| pair.map(to_ark),
        |pairs| pairs.iter().map(|pair| peer.hash(pair).unwrap()).collect(),
        from_ark,
    );
    group.finish();
}

fn poseidon2(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("poseidon2-bn254-t3/hash");
    ours(&mut group, Instance::Poseidon2);
    bench(
        &mut group,
        Instance::Poseidon2,
        "taceo-poseidon2",
        &BATCHES[..2],
        |[left, right]| [to_ark(left), to_ark(right), to_ark(Fr::ZERO)],
        |states| {
            states
                .iter()
                .map(|state| taceo_poseidon2::bn254::t3::permutation(state)[0])
                .collect()
        },
        from_ark,
    );
    group.finish();
}

/// Leaves of the trees.
const LEAVES: usize = 1 << 14;
/// Leaves on hardware adapters.
const DEVICE_LEAVES: usize = 1 << 20;

fn tree(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("poseidon2-bn254-t3/tree");
    group.sample_size(10);
    let shape = Shape::for_leaves(Instance::Poseidon2, LEAVES as u64).unwrap();
    let leaves = pairs(LEAVES / 2).as_flattened().to_vec();
    let root = shape.root_of(leaves.iter().copied(), |_| ()).unwrap();
    group.throughput(Throughput::Elements(LEAVES as u64));
    group.bench_function(BenchmarkId::new("pars", LEAVES), |bencher| {
        bencher.iter(|| {
            shape
                .root_of(black_box(&leaves).iter().copied(), |_| ())
                .unwrap()
        });
    });
    let nodes: Vec<ark_bn254::Fr> = leaves.iter().map(|leaf| to_ark(*leaf)).collect();
    let naive = |leaves: &[ark_bn254::Fr]| {
        let mut nodes = leaves.to_vec();
        while nodes.len() > 1 {
            let parent = |pair: &[ark_bn254::Fr]| {
                taceo_poseidon2::bn254::t3::permutation(&[pair[0], pair[1], to_ark(Fr::ZERO)])[0]
            };
            nodes = nodes.chunks(2).map(parent).collect();
        }
        nodes[0]
    };
    assert_eq!(from_ark(naive(&nodes)), root, "another root");
    group.bench_function(BenchmarkId::new("taceo-poseidon2", LEAVES), |bencher| {
        bencher.iter(|| naive(black_box(&nodes)));
    });
    let mut found = adapters();
    found.retain(|adapter| adapter.info().device_type != DeviceType::Cpu);
    if let Some(adapter) = found.first() {
        eprintln!("pars-gpu: {}", adapter.info());
        let device = adapter.open(GPU_TIMEOUT).unwrap();
        let mut hasher = BatchHasher::new(&device).unwrap();
        let count = DEVICE_LEAVES as u64;
        let shape = Shape::for_leaves(Instance::Poseidon2, count).unwrap();
        let leaves = pairs(DEVICE_LEAVES / 2).as_flattened().to_vec();
        group.throughput(Throughput::Elements(count));
        group.bench_function(BenchmarkId::new("pars-gpu", count), |bencher| {
            bencher.iter(|| {
                let mut tree = DeviceTree::new(&mut hasher, shape.clone(), count).unwrap();
                tree.append(black_box(&leaves)).unwrap();
                tree.root().unwrap()
            });
        });
    }
    group.finish();
}

criterion_group!(
    benches,
    poseidon,
    poseidon2,
    tree,
    small::all,
    pedersen::commit
);
criterion_main!(benches);
