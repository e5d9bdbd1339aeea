//! Valid signatures with something changed in each region, and bytes that never were one: every backend agrees with
//! the `ml-dsa` and `fips204` crates.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use common::{
    cases::{Case, check},
    peers,
    signer::Signer,
};
use pars_kernels::{
    cpu::Level,
    mldsa::{ParameterSet, VerifyJob, portable, verify_batch_at},
};
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use std::ops::Range;

/// Mutations of each region and set.
const PER_REGION: usize = 24;

/// A signed message in parts.
#[derive(Clone)]
struct Signed {
    public_key: Vec<u8>,
    context: Vec<u8>,
    message: Vec<u8>,
    signature: Vec<u8>,
}

impl Signed {
    fn new(set: ParameterSet, rng: &mut StdRng) -> Self {
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        let key = Signer::from_seed(set, &seed);
        let mut message = vec![0; rng.random_range(1..400)];
        rng.fill_bytes(&mut message);
        let mut context = vec![0; rng.random_range(1..=255)];
        rng.fill_bytes(&mut context);
        Self {
            signature: key.sign_pure(&context, &message),
            public_key: key.public_key,
            context,
            message,
        }
    }

    /// The case, with the verdict on which both crates agree.
    fn case(&self, name: String) -> Case {
        let job = VerifyJob::pure(
            &self.public_key,
            &self.context,
            &self.message,
            &self.signature,
        )
        .unwrap();
        let valid = peers::ml_dsa(&job);
        assert_eq!(
            peers::fips204(&job),
            Some(valid),
            "the peers differ: {name}"
        );
        Case { name, job, valid }
    }
}

/// Lengths of c̃, of a polynomial of z, l, ω and k.
fn shape(set: ParameterSet) -> (usize, usize, usize, usize, usize) {
    match set {
        ParameterSet::MlDsa44 => (32, 576, 4, 80, 4),
        ParameterSet::MlDsa65 => (48, 640, 5, 55, 6),
        ParameterSet::MlDsa87 => (64, 640, 7, 75, 8),
    }
}

/// One to three bytes of the range get another value.
fn disturb(bytes: &mut [u8], range: Range<usize>, rng: &mut StdRng) {
    for _ in 0..rng.random_range(1..=3) {
        let byte = &mut bytes[rng.random_range(range.clone())];
        *byte = match rng.random_range(0..5) {
            0 => *byte ^ 1 << rng.random_range(0..8),
            1 => byte.wrapping_add(1),
            2 => byte.wrapping_sub(1),
            3 => [0, 0xff][rng.random_range(0..2)],
            _ => rng.random(),
        };
    }
}

#[test]
fn every_region() {
    let mut rng = StdRng::seed_from_u64(0x6133);
    let mut cases = Vec::new();
    for set in ParameterSet::ALL {
        let signed = Signed::new(set, &mut rng);
        let original = signed.case(format!("{set} as signed"));
        assert!(original.valid);
        cases.push(original);

        let (c_tilde, z_poly, l, omega, k) = shape(set);
        let z_end = c_tilde + l * z_poly;
        assert_eq!(z_end + omega + k, signed.signature.len());
        let key_len = signed.public_key.len();
        let mut region = |name: &str, change: &dyn Fn(&mut Signed, &mut StdRng)| {
            for i in 0..PER_REGION {
                let mut mutated = signed.clone();
                change(&mut mutated, &mut rng);
                cases.push(mutated.case(format!("{set} {name} {i}")));
            }
        };
        region("rho", &|s, rng| disturb(&mut s.public_key, 0..32, rng));
        region("t1", &|s, rng| disturb(&mut s.public_key, 32..key_len, rng));
        region("c-tilde", &|s, rng| {
            disturb(&mut s.signature, 0..c_tilde, rng)
        });
        region("z", &|s, rng| {
            disturb(&mut s.signature, c_tilde..z_end, rng)
        });
        region("hint positions", &|s, rng| {
            disturb(&mut s.signature, z_end..z_end + omega, rng);
        });
        region("hint counts", &|s, rng| {
            disturb(&mut s.signature, z_end + omega..z_end + omega + k, rng);
        });
        region("hint order", &|s, rng| {
            let [a, b] = [(); 2].map(|()| z_end + rng.random_range(0..omega));
            s.signature.swap(a, b);
        });
        region("message", &|s, rng| {
            let len = s.message.len();
            disturb(&mut s.message, 0..len, rng);
        });
        region("context", &|s, rng| {
            let len = s.context.len();
            disturb(&mut s.context, 0..len, rng);
        });
        region("context or message cut", &|s, rng| {
            let part = if rng.random() {
                &mut s.context
            } else {
                &mut s.message
            };
            part.pop();
        });
        region("border of context and message", &|s, _| {
            let byte = s.context.pop().unwrap();
            s.message.insert(0, byte);
        });
    }
    assert!(cases.iter().filter(|case| !case.valid).count() > cases.len() * 9 / 10);
    check(&cases);
}

/// Every way to fail, one a lane, and a valid signature among them, in every rotation: alone in batches of each width
/// of lanes, and all together on every backend.
#[test]
fn each_lane_fails_in_its_own_way() {
    let mut rng = StdRng::seed_from_u64(0x6135);
    let mut cases = Vec::new();
    for set in ParameterSet::ALL {
        let (c_tilde, z_poly, l, omega, k) = shape(set);
        let z_end = c_tilde + l * z_poly;
        let counts = z_end + omega;
        // One with room in its hint, and with two ones in some row.
        let (signed, two) = loop {
            let signed = Signed::new(set, &mut rng);
            let of_row = |row: usize| match row.checked_sub(1) {
                None => 0..signed.signature[counts],
                Some(before) => signed.signature[counts + before]..signed.signature[counts + row],
            };
            let two = (0..k).map(of_row).find(|row| row.len() >= 2);
            if let Some(two) = two
                && usize::from(signed.signature[counts + k - 1]) < omega
            {
                break (signed, z_end + usize::from(two.start));
            }
        };
        type Change<'a> = &'a dyn Fn(&mut Signed);
        // Whether the signature still decodes, so that the failure is found by hashing.
        let kinds: [(&str, bool, Change<'_>); 13] = [
            ("valid", true, &|_| {}),
            ("rho", true, &|s| s.public_key[7] ^= 1),
            ("t1", true, &|s| s.public_key[32 + 9] ^= 4),
            ("c-tilde", true, &|s| s.signature[5] ^= 16),
            ("z by one", true, &|s| s.signature[c_tilde + z_poly] ^= 1),
            ("z at gamma1", false, &|s| {
                s.signature[c_tilde..c_tilde + 3].fill(0)
            }),
            ("last z at -gamma1", false, &|s| {
                s.signature[z_end - 3..z_end].fill(0xff)
            }),
            ("hint out of order", false, &|s| {
                s.signature.swap(two, two + 1)
            }),
            ("hint twice", false, &|s| {
                s.signature[two] = s.signature[two + 1]
            }),
            ("hint moved", true, &|s| {
                // The last one of a row may go anywhere above the one before it.
                let row = (0..k).find(|row| usize::from(s.signature[counts + row]) > two - z_end);
                let last = z_end + usize::from(s.signature[counts + row.unwrap()]) - 1;
                let free = if s.signature[last] < 255 {
                    s.signature[last] + 1
                } else {
                    s.signature[last - 1] + 1
                };
                assert_ne!(free, s.signature[last], "there is another place");
                s.signature[last] = free;
            }),
            ("hints beyond omega", false, &|s| {
                s.signature[counts + k - 1] = omega as u8 + 1
            }),
            ("hint padding", false, &|s| s.signature[counts - 1] = 1),
            ("message", true, &|s| s.message[0] ^= 1),
        ];
        for rotation in 0..kinds.len() {
            let mut lanes = Vec::new();
            for i in 0..kinds.len() {
                let (name, decodes, change) = kinds[(i + rotation) % kinds.len()];
                let mut mutated = signed.clone();
                change(&mut mutated);
                let case = mutated.case(format!("{set} {name}, rotation {rotation}"));
                assert_eq!(portable::decodes(&case.job), decodes, "{}", case.name);
                assert_eq!(case.valid, name == "valid", "{}", case.name);
                lanes.push(case);
            }
            for level in Level::ALL.into_iter().filter(|level| level.is_available()) {
                for width in [2, 4, 8, lanes.len()] {
                    let jobs: Vec<&VerifyJob> =
                        lanes[..width].iter().map(|case| &case.job).collect();
                    let verdicts = verify_batch_at(level, &jobs);
                    for (case, verdict) in lanes.iter().zip(verdicts) {
                        assert_eq!(verdict, case.valid, "{level}, {width}: {}", case.name);
                    }
                }
            }
            cases.append(&mut lanes);
        }
    }
    check(&cases);
}

/// Coefficients of z at their extremes and whole hints of one value: nothing overflows and everybody agrees.
#[test]
fn extremes() {
    let mut rng = StdRng::seed_from_u64(0x6134);
    let mut cases = Vec::new();
    for set in ParameterSet::ALL {
        let signed = Signed::new(set, &mut rng);
        let (c_tilde, z_poly, l, omega, _) = shape(set);
        let z_end = c_tilde + l * z_poly;
        for byte in [0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff] {
            let regions = [
                ("public key", 0..0),
                ("c-tilde", 0..c_tilde),
                ("z", c_tilde..z_end),
                ("hint positions", z_end..z_end + omega),
                ("hint counts", z_end + omega..signed.signature.len()),
                ("signature", 0..signed.signature.len()),
            ];
            for (name, range) in regions {
                let mut mutated = signed.clone();
                if range.is_empty() {
                    mutated.public_key[32..].fill(byte);
                } else {
                    mutated.signature[range].fill(byte);
                }
                cases.push(mutated.case(format!("{set} {name} all {byte:#x}")));
            }
        }
        for i in 0..8 {
            let mut garbage = signed.clone();
            rng.fill_bytes(&mut garbage.public_key);
            rng.fill_bytes(&mut garbage.signature);
            cases.push(garbage.case(format!("{set} random bytes {i}")));
            // Random, but past the structural checks: small z and no hint.
            for z in garbage.signature[c_tilde..z_end].iter_mut() {
                *z = 0x55;
            }
            garbage.signature[z_end..].fill(0);
            cases.push(garbage.case(format!("{set} well-formed random bytes {i}")));
        }
    }
    check(&cases);
}

/// Messages at the borders of a block of SHAKE256 and on both sides of what the device hashes itself.
#[test]
fn message_lengths() {
    let mut cases = Vec::new();
    for set in ParameterSet::ALL {
        let key = Signer::from_seed(set, &[7; 32]);
        // M' has two bytes in front, and tr's 64 bytes are hashed before it.
        for len in [
            0, 1, 67, 68, 69, 70, 71, 205, 206, 207, 16_381, 16_382, 16_383, 40_000,
        ] {
            let mut message: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let signature = key.sign_pure(b"", &message);
            for valid in [true, false] {
                if !valid {
                    match message.last_mut() {
                        Some(byte) => *byte ^= 1,
                        None => message.push(0),
                    }
                }
                let job = VerifyJob::pure(&key.public_key, b"", &message, &signature).unwrap();
                cases.push(Case {
                    name: format!("{set} message of {len} bytes, {valid}"),
                    job,
                    valid,
                });
            }
        }
    }
    check(&cases);
}
