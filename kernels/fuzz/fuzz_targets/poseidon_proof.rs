//! Bytes that parse as a proof of many leaves have one form, hold what they need, and never prove anything about a root of noise.
//!
//! Input: half of the time the bytes of a proof themselves, else bytes laid over a good proof at an offset.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pars_kernels::{
    field::Fr,
    poseidon::{
        Instance,
        tree::{MultiProof, ProofClaim, Shape, Tree},
    },
};
use std::sync::OnceLock;

/// A tree, and the bytes of a proof of some of its leaves.
fn good() -> &'static (Tree, Vec<u8>) {
    static GOOD: OnceLock<(Tree, Vec<u8>)> = OnceLock::new();
    GOOD.get_or_init(|| {
        let leaves = (0..50).map(Fr::from_u64).collect();
        let shape = Shape::new(Instance::Gnark, 7).unwrap();
        let tree = Tree::build(shape, leaves, |_| ()).unwrap();
        let proof = tree.multi_proof(&[3, 4, 5, 31, 49, 100]).unwrap();
        (tree, proof.to_bytes())
    })
}

fuzz_target!(|data: &[u8]| {
    let Some((&selector, data)) = data.split_first() else {
        return;
    };
    let (tree, bytes) = good();
    let mut bytes = bytes.clone();
    if selector & 1 == 0 {
        bytes = data.to_vec();
    } else {
        let at = usize::from(selector >> 1) * 4 % bytes.len();
        for (old, new) in bytes[at..].iter_mut().zip(data) {
            *old = *new;
        }
    }
    let Ok(proof) = MultiProof::from_bytes(&bytes) else {
        return;
    };
    assert_eq!(proof.to_bytes(), bytes, "one proof, two encodings");
    let parts = MultiProof::new(
        proof.depth(),
        proof.leaves().to_vec(),
        proof.siblings().to_vec(),
    );
    assert_eq!(parts.as_ref(), Ok(&proof));
    let claim = ProofClaim {
        root: tree.root(),
        depth: tree.shape().depth(),
        proof: &proof,
    };
    // A proof holds if and only if every leaf and sibling is the tree's own.
    let held = Instance::Gnark.verify_proofs(&[claim]) == [true];
    let indices: Vec<u64> = proof.leaves().iter().map(|(index, _)| *index).collect();
    let own = proof.depth() == 7 && tree.multi_proof(&indices).as_ref() == Ok(&proof);
    assert_eq!(held, own);
});
