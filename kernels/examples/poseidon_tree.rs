//! Builds a Merkle tree over 2^depth leaves, and says how long it took and how much memory it held at most.
//!
//! `cargo run --release --example poseidon_tree -- 24` takes the root of a stream of 2^24 leaves that never lie in memory together, on
//! one thread. `-- 24 kept` keeps every level, then changes scattered leaves, and proves and checks many at once.

use std::io::{Write, stdout};
use std::time::Instant;

use pars_kernels::{
    cpu,
    field::Fr,
    poseidon::{
        Instance,
        tree::{ProofClaim, Shape, Tree},
    },
};

/// Leaves that change, and leaves of a proof.
const SCATTERED: u64 = 4096;
/// Proofs that are checked together.
const PROOFS: u64 = 16;

type Failure = Box<dyn std::error::Error>;

/// The process's peak of resident memory, where the system tells.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    line.map_or("not told".to_owned(), |line| {
        line.trim_start_matches("VmHWM:").trim().to_owned()
    })
}

fn leaves(depth: u32) -> impl Iterator<Item = Fr> {
    let mut leaf = Fr::from_u64(6133);
    (0..1u64 << depth.min(63)).map(move |_| {
        leaf = leaf.square() + Fr::ONE;
        leaf
    })
}

/// Tells of each further 2^20 of something, and when.
fn teller(what: &'static str) -> impl FnMut(u64) {
    let (start, mut told) = (Instant::now(), 0);
    move |done| {
        if done >> 20 != told {
            told = done >> 20;
            let seconds = start.elapsed().as_secs_f64();
            eprintln!("{told} Mi {what}, {seconds:.1} s");
        }
    }
}

fn main() -> Result<(), Failure> {
    let depth = match std::env::args().nth(1) {
        Some(depth) => depth.parse()?,
        None => 20,
    };
    let shape = Shape::new(Instance::Poseidon2, depth)?;
    writeln!(stdout(), "{} on one thread", cpu::features())?;
    if std::env::args().nth(2).as_deref() == Some("kept") {
        return kept(shape);
    }
    let start = Instant::now();
    let root = shape.root_of(leaves(depth), teller("leaves"))?;
    let seconds = start.elapsed().as_secs_f64();
    writeln!(stdout(), "root of 2^{depth} leaves: {root}")?;
    writeln!(stdout(), "{seconds:.2} s; memory at most {}", peak())?;
    Ok(())
}

/// Numbers below 2^depth, no two alike, far from each other.
fn scattered(depth: u32, from: u64, count: u64) -> Vec<u64> {
    let mask = (1u64 << depth) - 1;
    // An odd factor permutes the numbers of so many bits.
    let place = |at: u64| at.wrapping_mul(0x9e37_79b9_7f4a_7c15) & mask;
    (from..from + count.min(mask + 1)).map(place).collect()
}

/// A tree whose levels are kept.
fn kept(shape: Shape) -> Result<(), Failure> {
    let depth = shape.depth();
    let list: Vec<Fr> = leaves(depth).collect();
    let start = Instant::now();
    let mut tell = teller("compressions");
    let mut tree = Tree::build(shape, list, |progress| tell(progress.done))?;
    let seconds = start.elapsed().as_secs_f64();
    writeln!(stdout(), "root of 2^{depth} leaves: {}", tree.root())?;
    writeln!(stdout(), "{seconds:.2} s; memory at most {}", peak())?;

    let changes: Vec<(u64, Fr)> = scattered(depth, 0, SCATTERED)
        .into_iter()
        .map(|at| (at, Fr::from_u64(at)))
        .collect();
    let start = Instant::now();
    let hashed = tree.update(&changes)?;
    let seconds = start.elapsed().as_secs_f64();
    let count = changes.len();
    writeln!(
        stdout(),
        "{count} leaves changed: {hashed} compressions, {seconds:.4} s"
    )?;

    let start = Instant::now();
    let proofs = (0..PROOFS)
        .map(|n| tree.multi_proof(&scattered(depth, n * SCATTERED, SCATTERED)))
        .collect::<Result<Vec<_>, _>>()?;
    let seconds = start.elapsed().as_secs_f64();
    let bytes: usize = proofs.iter().map(|proof| proof.to_bytes().len()).sum();
    writeln!(
        stdout(),
        "{PROOFS} proofs of {count} leaves: {bytes} bytes, {seconds:.4} s"
    )?;
    let claims: Vec<ProofClaim<'_>> = proofs
        .iter()
        .map(|proof| ProofClaim {
            root: tree.root(),
            depth,
            proof,
        })
        .collect();
    let start = Instant::now();
    let right = Instance::Poseidon2.verify_proofs(&claims);
    let seconds = start.elapsed().as_secs_f64();
    let valid = right.iter().filter(|right| **right).count();
    writeln!(
        stdout(),
        "{valid} of {} hold, checked together in {seconds:.4} s",
        right.len()
    )?;
    Ok(())
}
