//! Builds the Merkle root of a stream of leaves that never lie in memory together, and says how long it took and how much it held.
//!
//! `cargo run --release --example poseidon_tree -- 24` hashes 2^24 leaves on one thread.

use std::io::Write;
use std::time::Instant;

use pars_kernels::{
    cpu,
    field::Fr,
    poseidon::{Instance, tree::Shape},
};

/// The process's peak of resident memory, where the system tells.
fn peak() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.trim_start_matches("VmHWM:").trim().to_owned())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let depth = match std::env::args().nth(1) {
        Some(depth) => depth.parse()?,
        None => 20,
    };
    let shape = Shape::new(Instance::Poseidon2, depth)?;
    let mut leaf = Fr::from_u64(6133);
    let leaves = (0..1u64 << depth.min(63)).map(|_| {
        leaf = leaf.square() + Fr::ONE;
        leaf
    });
    let start = Instant::now();
    let mut told = 0;
    let root = shape.root_of(leaves, |done| {
        if done >> 20 != told {
            told = done >> 20;
            eprintln!(
                "{told} Mi compressions, {:.1} s",
                start.elapsed().as_secs_f64()
            );
        }
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let mut out = std::io::stdout().lock();
    writeln!(out, "{} on one thread: root {root}", cpu::features())?;
    writeln!(out, "2^{depth} leaves in {seconds:.2} s")?;
    if let Some(peak) = peak() {
        writeln!(out, "peak of resident memory: {peak}")?;
    }
    Ok(())
}
