//! CLSAG against signatures of Monero and of the crate `monero-clsag`, on every level and every GPU.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use common::edwards25519::add_order;
#[cfg(feature = "gpu")]
use common::edwards25519::gpu;
use common::vectors::{bytes, json, list};
use pars_kernels::cpu::Level;
use pars_kernels::ring::RingError;
use pars_kernels::ring::clsag::{self, ClsagJob, ClsagMembers, Pair};
use serde_json::Value;

/// The parts of a question.
#[derive(Clone)]
struct Parts {
    ring: Vec<Pair>,
    image: [u8; 32],
    pseudo_out: [u8; 32],
    message: [u8; 32],
    signature: Vec<u8>,
}

impl Parts {
    fn job(&self) -> Result<ClsagJob, RingError> {
        ClsagJob::new(
            &self.ring,
            self.image,
            self.pseudo_out,
            self.message,
            &self.signature,
        )
    }
}

fn array(value: &Value) -> [u8; 32] {
    bytes(value).try_into().unwrap()
}

fn parts(test: &Value) -> Parts {
    let mut signature: Vec<u8> = list(&test["s"]).iter().flat_map(bytes).collect();
    signature.extend(bytes(&test["c1"]));
    signature.extend(bytes(&test["D"]));
    Parts {
        ring: list(&test["ring"])
            .iter()
            .map(|pair| [array(&pair[0]), array(&pair[1])])
            .collect(),
        image: array(&test["key_image"]),
        pseudo_out: array(&test["pseudo_out"]),
        message: array(&test["msg"]),
        signature,
    }
}

/// Rings of two, and the known answers.
#[cfg(feature = "gpu")]
#[test]
fn devices_give_the_known_answers_in_every_shape() {
    gpu::check_shapes::<clsag::Clsag>(&clsag::known_answers());
}

fn tests() -> Vec<Value> {
    json("ring", "clsag_monero.json").map_or_else(Vec::new, |file| {
        list(&file["testGroups"])
            .iter()
            .flat_map(|group| list(&group["tests"]).to_vec())
            .collect()
    })
}

#[test]
fn answers_of_the_monero_crate() {
    let mut jobs = Vec::new();
    for test in tests() {
        let parts = parts(&test);
        let valid = test["result"] == "valid";
        match parts.job() {
            // A ring of one is the crate's alone: it hides nobody.
            Err(RingError::RingSize(1)) => assert_eq!(parts.ring.len(), 1),
            Err(RingError::SignatureLength { .. }) => assert_eq!(test["reason"], "InvalidS"),
            Err(error) => panic!("{error}"),
            Ok(job) => jobs.push((test["name"].clone(), job, valid)),
        }
    }
    if jobs.is_empty() {
        return;
    }
    assert!(jobs.len() > 20);
    for level in Level::ALL {
        for (name, job, valid) in &jobs {
            let verdict = clsag::verify_batch_at(level, &[job], &ClsagMembers::new(0));
            assert_eq!(verdict, [*valid], "{level} {name}");
        }
        // All together, with members that are kept, in every rotation: each ring in every lane.
        let members = ClsagMembers::new(4096);
        for start in 0..9 {
            let rotated = || jobs.iter().cycle().skip(start).take(jobs.len());
            let batch: Vec<_> = rotated().map(|(_, job, _)| job).collect();
            let valid: Vec<_> = rotated().map(|(_, _, valid)| *valid).collect();
            assert_eq!(clsag::verify_batch_at(level, &batch, &members), valid);
        }
        assert!(members.stats().hits > 8 * members.stats().misses / 2);
    }
    #[cfg(feature = "gpu")]
    {
        let (jobs, valid): (Vec<_>, Vec<_>) = jobs
            .iter()
            .map(|(_, job, valid)| (job.clone(), *valid))
            .unzip();
        gpu::check::<clsag::Clsag>(&jobs, &valid);
    }
}

/// Everything that is changed in a good signature makes a bad one.
#[test]
fn no_change_is_accepted() {
    let Some(test) = tests().into_iter().find(|test| test["name"] == "gen_n4_18") else {
        return;
    };
    let good = parts(&test);
    let mut bad: Vec<(&str, Parts)> = Vec::new();
    let mut change = |name, f: &dyn Fn(&mut Parts)| {
        let mut parts = good.clone();
        f(&mut parts);
        bad.push((name, parts));
    };
    for bit in [0, 7, 100, 254] {
        change("message", &|p| p.message[bit / 8] ^= 1 << (bit % 8));
    }
    for byte in 0..good.signature.len() {
        change("signature", &|p| p.signature[byte] ^= 1);
    }
    change("ring reordered", &|p| p.ring.swap(1, 2));
    change("member twice", &|p| p.ring[3] = p.ring[0]);
    change("key and commitment swapped", &|p| p.ring[0].swap(0, 1));
    change("image of another", &|p| p.image = p.pseudo_out);
    change("neutral image", &|p| p.image = point(1));
    // Points of order 2 and 4: y = −1, y = 0.
    change("image of order 2", &|p| p.image = minus_one());
    change("image of order 4", &|p| p.image = point(0));
    change("key neutral", &|p| p.ring[0][0] = point(1));
    change("key of order 4", &|p| p.ring[0][0] = point(0));
    change("commitment of order 2", &|p| p.ring[0][1] = minus_one());
    // p + 1 and −0: the neutral point, not as it is written.
    change("key not canonical", &|p| {
        p.ring[0][0] = [0xff; 32];
        p.ring[0][0][0] = 0xee;
        p.ring[0][0][31] = 0x7f;
    });
    change("sign of zero", &|p| {
        p.ring[0][0] = point(1);
        p.ring[0][0][31] = 0x80;
    });
    change("D of order 4", &|p| {
        let at = p.signature.len() - 32;
        p.signature[at..].copy_from_slice(&point(0));
    });
    for scalar in 0..5 {
        change("scalar plus order", &|p| {
            add_order(&mut p.signature[32 * scalar..32 * (scalar + 1)]);
        });
    }
    for level in Level::ALL {
        let members = ClsagMembers::new(4096);
        assert!(clsag::verify_batch_at(level, &[&good.job().unwrap()], &members)[0]);
        let jobs: Vec<_> = bad.iter().map(|(_, parts)| parts.job().unwrap()).collect();
        let verdicts = clsag::verify_batch_at(level, &jobs.iter().collect::<Vec<_>>(), &members);
        for ((name, _), verdict) in bad.iter().zip(verdicts) {
            assert!(!verdict, "{level}: {name}");
        }
    }
    #[cfg(feature = "gpu")]
    {
        // A good one between bad ones.
        let good = good.job().unwrap();
        let (jobs, valid): (Vec<_>, Vec<_>) = bad
            .iter()
            .flat_map(|(_, parts)| [(parts.job().unwrap(), false), (good.clone(), true)])
            .unzip();
        gpu::check::<clsag::Clsag>(&jobs, &valid);
    }
    let mut large = good.clone();
    large.ring = vec![good.ring[0]; 129];
    assert_eq!(large.job(), Err(RingError::RingSize(129)));
    large.ring.truncate(1);
    assert_eq!(large.job(), Err(RingError::RingSize(1)));
}

/// The encoding of a small y, x even.
fn point(y: u8) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[0] = y;
    bytes
}

fn minus_one() -> [u8; 32] {
    let mut bytes = [0xff; 32];
    bytes[0] = 0xec;
    bytes[31] = 0x7f;
    bytes
}
