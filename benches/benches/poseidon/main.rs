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
//! | `zkhash` | with `--features zkhash`, whose dependencies are many: the authors' crate, one after another; its Poseidon has constants of its own |
//!
//! With `-- --save FOLDER` there is no criterion: everybody takes turns, and tables, shares of what the multipliers allow and a plot of
//! throughput against batch size are written there. That takes some three minutes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod multipliers;
mod native;
mod pedersen;
#[path = "../../../node/src/plot.rs"]
#[allow(dead_code, reason = "the node's tool uses all of it")]
mod plot;
mod report;
mod rows;
mod small;
#[path = "../compare/report.rs"]
#[allow(dead_code, reason = "the comparison of ML-DSA uses all of it")]
mod tables;
#[path = "../compare/turns.rs"]
#[allow(dead_code, reason = "the comparison of ML-DSA uses all of it")]
mod turns;

use std::{cell::RefCell, hint::black_box, path::PathBuf, rc::Rc, time::Duration};

use ark_ff::{BigInteger, PrimeField};
use criterion::Criterion;
use light_poseidon::PoseidonHasher;
use pars_kernels::cpu::Level;
use pars_kernels::field::Fr;
use pars_kernels::gpu::{Device, DeviceType, adapters};
use pars_kernels::poseidon::{
    Instance,
    gpu::{BatchHasher, DeviceTree},
    tree::Shape,
};
use rows::Rows;

/// Batch sizes on the CPU.
const BATCHES: [usize; 3] = [1, 64, 1_024];
/// Batch sizes on hardware adapters.
const HARDWARE_BATCHES: [usize; 3] = [1_024, 65_536, 1 << 20];
/// Batch sizes on software adapters.
const SOFTWARE_BATCHES: [usize; 2] = [64, 1_024];
/// The largest batch of a peer that takes one after another.
const PEER_BATCH: usize = 64;
/// How long a device may take.
const GPU_TIMEOUT: Duration = Duration::from_secs(60);

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

/// Levels of this processor, slowest first.
fn levels() -> impl Iterator<Item = Level> {
    Level::ALL.into_iter().filter(|level| level.is_available())
}

/// The first adapter, hardware before software, and whether it is software.
fn device() -> Option<(Device, bool)> {
    let mut found = adapters();
    found.sort_by_key(|adapter| adapter.info().device_type == DeviceType::Cpu);
    let Some(adapter) = found.first() else {
        eprintln!("no GPU adapter found: no pars-gpu rows");
        return None;
    };
    eprintln!("pars-gpu: {}", adapter.info());
    let software = adapter.info().device_type == DeviceType::Cpu;
    Some((adapter.open(GPU_TIMEOUT).unwrap(), software))
}

/// A hasher that several rows share.
type Shared = Rc<RefCell<BatchHasher>>;

/// A hasher on the first adapter, and whether that is software.
fn hasher() -> Option<(Shared, bool)> {
    let (device, software) = device()?;
    let hasher = BatchHasher::new(&device).unwrap();
    Some((Rc::new(RefCell::new(hasher)), software))
}

/// A way to hash pairs, whatever type it takes them in, after checking its answers where `read` makes them comparable.
fn hashing<P: 'static, H>(
    rows: &mut Rows,
    instance: Instance,
    who: &str,
    prepare: impl Fn([Fr; 2]) -> P,
    mut hash: impl FnMut(&[P]) -> Vec<H> + 'static,
    read: impl Fn(H) -> Fr,
) {
    let pairs = pairs(rows.items);
    let prepared: Vec<P> = pairs.iter().map(|pair| prepare(*pair)).collect();
    let answers: Vec<Fr> = hash(&prepared).into_iter().map(read).collect();
    assert!(
        answers == instance.compress_many_at(Level::Portable, &pairs),
        "{who} gives other hashes"
    );
    rows.push(who, move || {
        black_box(hash(black_box(&prepared)));
    });
}

/// One batch size: our own code, then the peers.
fn hashes(instance: Instance, size: usize, gpu: Option<&(Shared, bool)>) -> Rows {
    let id = match instance {
        Instance::Circom => "poseidon-bn254-t3/hash",
        _ => "poseidon2-bn254-t3/hash",
    };
    let mut rows = Rows::new(id, size);
    let on_cpu = BATCHES.contains(&size);
    for level in levels().filter(|_| on_cpu) {
        let hash = move |pairs: &[[Fr; 2]]| instance.compress_many_at(level, pairs);
        let who = format!("pars-{level}");
        hashing(&mut rows, instance, &who, |pair| pair, hash, |hash| hash);
    }
    if let Some((hasher, software)) = gpu {
        let sizes: &[usize] = match software {
            true => &SOFTWARE_BATCHES,
            false => &HARDWARE_BATCHES,
        };
        if sizes.contains(&size) {
            let hasher = Rc::clone(hasher);
            let hash = move |pairs: &[[Fr; 2]]| {
                hasher.borrow_mut().compress_many(instance, pairs).unwrap()
            };
            hashing(
                &mut rows,
                instance,
                "pars-gpu",
                |pair| pair,
                hash,
                |hash| hash,
            );
        }
    }
    if size <= PEER_BATCH {
        peers(&mut rows, instance);
    }
    rows
}

fn peers(rows: &mut Rows, instance: Instance) {
    match instance {
        Instance::Circom => {
            let mut peer = light_poseidon::Poseidon::<ark_bn254::Fr>::new_circom(2).unwrap();
            hashing(
                rows,
                instance,
                "light-poseidon",
                |pair| pair.map(to_ark),
                move |pairs| pairs.iter().map(|pair| peer.hash(pair).unwrap()).collect(),
                from_ark,
            );
        }
        _ => hashing(
            rows,
            instance,
            "taceo-poseidon2",
            |[left, right]| [to_ark(left), to_ark(right), to_ark(Fr::ZERO)],
            |states| {
                let permute = taceo_poseidon2::bn254::t3::permutation;
                states.iter().map(|state| permute(state)[0]).collect()
            },
            from_ark,
        ),
    }
    #[cfg(feature = "zkhash")]
    zkhash_peer(rows, instance);
}

/// The crate of Poseidon2's authors.
#[cfg(feature = "zkhash")]
fn zkhash_peer(rows: &mut Rows, instance: Instance) {
    use zkhash::{
        fields::bn256::FpBN256,
        poseidon::{poseidon::Poseidon, poseidon_instance_bn256::POSEIDON_BN_PARAMS},
        poseidon2::{poseidon2::Poseidon2, poseidon2_instance_bn256::POSEIDON2_BN256_PARAMS},
    };
    let shift = FpBN256::from(1u128 << 64);
    let theirs = move |value: Fr| {
        let limbs = value.to_limbs().into_iter().rev();
        limbs.fold(FpBN256::from(0u64), |sum, limb| {
            sum * shift + FpBN256::from(limb)
        })
    };
    let pairs = pairs(rows.items);
    if instance == Instance::Circom {
        let peer = Poseidon::new(&POSEIDON_BN_PARAMS);
        let states: Vec<[FpBN256; 3]> = pairs
            .iter()
            .map(|[left, right]| [theirs(Fr::ZERO), theirs(*left), theirs(*right)])
            .collect();
        rows.push("zkhash", move || {
            for state in black_box(&states) {
                black_box(peer.permutation(state));
            }
        });
        return;
    }
    let peer = Poseidon2::new(&POSEIDON2_BN256_PARAMS);
    let states: Vec<[FpBN256; 3]> = pairs
        .iter()
        .map(|[left, right]| [theirs(*left), theirs(*right), theirs(Fr::ZERO)])
        .collect();
    for (state, hash) in states.iter().zip(instance.compress_many(&pairs)) {
        assert_eq!(peer.permutation(state)[0], theirs(hash), "another hash");
    }
    rows.push("zkhash", move || {
        for state in black_box(&states) {
            black_box(peer.permutation(state));
        }
    });
}

fn all_sizes(instance: Instance) -> Vec<Rows> {
    let gpu = hasher();
    let hardware = gpu.as_ref().is_some_and(|(_, software)| !software);
    let more = HARDWARE_BATCHES.into_iter().filter(|_| hardware);
    let mut sizes: Vec<usize> = BATCHES.into_iter().chain(more).collect();
    sizes.dedup();
    sizes
        .into_iter()
        .map(|size| hashes(instance, size, gpu.as_ref()))
        .collect()
}

fn poseidon() -> Vec<Rows> {
    all_sizes(Instance::Circom)
}

fn poseidon2() -> Vec<Rows> {
    all_sizes(Instance::Poseidon2)
}

/// Leaves of the trees.
const LEAVES: usize = 1 << 14;
/// Leaves on hardware adapters.
const DEVICE_LEAVES: usize = 1 << 20;

fn tree() -> Vec<Rows> {
    let id = "poseidon2-bn254-t3/tree";
    let mut rows = Rows::new(id, LEAVES);
    let shape = Shape::for_leaves(Instance::Poseidon2, LEAVES as u64).unwrap();
    let leaves = pairs(LEAVES / 2).as_flattened().to_vec();
    let nodes: Vec<ark_bn254::Fr> = leaves.iter().map(|leaf| to_ark(*leaf)).collect();
    let root = shape.root_of(leaves.iter().copied(), |_| ()).unwrap();
    rows.push("pars", move || {
        let leaves = black_box(&leaves).iter().copied();
        black_box(shape.root_of(leaves, |_| ()).unwrap());
    });
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
    rows.push("taceo-poseidon2", move || {
        black_box(naive(black_box(&nodes)));
    });
    let mut all = vec![rows];
    if let Some((device, false)) = device() {
        let mut hasher = BatchHasher::new(&device).unwrap();
        let mut rows = Rows::new(id, DEVICE_LEAVES);
        let count = DEVICE_LEAVES as u64;
        let shape = Shape::for_leaves(Instance::Poseidon2, count).unwrap();
        let leaves = pairs(DEVICE_LEAVES / 2).as_flattened().to_vec();
        rows.push("pars-gpu", move || {
            let mut tree = DeviceTree::new(&mut hasher, shape.clone(), count).unwrap();
            tree.append(black_box(&leaves)).unwrap();
            black_box(tree.root().unwrap());
        });
        all.push(rows);
    }
    all
}

/// Every table, made when its turn comes.
const GROUPS: [fn() -> Vec<Rows>; 5] = [poseidon, poseidon2, tree, small::all, pedersen::commit];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let save = arguments
        .iter()
        .position(|argument| argument == "--save")
        .and_then(|at| arguments.get(at + 1));
    if let Some(folder) = save {
        report::save(&PathBuf::from(folder));
        return;
    }
    let mut criterion = Criterion::default().configure_from_args();
    for rows in GROUPS.into_iter().flat_map(|group| group()) {
        rows.bench(&mut criterion);
    }
    criterion.final_summary();
}
