//! Makes the embedded files again and compares. With `PARS_WRITE_KNOWN_ANSWERS=1` it writes them instead.

use super::*;
use crate::mldsa::{
    params::{K_MAX, N, Params, RHO_LEN, T1_POLY_LEN},
    portable::{self, decode::Hint, ntt::Poly},
};
use ml_dsa::{ExpandedSigningKey, MlDsaParams};
use std::path::PathBuf;

#[path = "../../../tests/common/peers.rs"]
mod peers;
#[path = "../../../tests/common/vectors.rs"]
mod vectors;

const CONTEXT: &[u8] = b"pars";
const MESSAGE: &[u8] = b"a known answer";

/// A file in the making.
#[derive(Default)]
struct File {
    bytes: Vec<u8>,
    base: Vec<u8>,
    head: [u8; 5],
}

impl File {
    fn push(&mut self, set: ParameterSet, valid: bool, mu: bool, parts: [&[u8]; 3]) {
        let len = (parts[2].len() as u16).to_le_bytes();
        self.head = [set.mode(), valid.into(), mu.into(), len[0], len[1]];
        self.base = parts.concat();
        self.bytes.extend(self.head);
        self.bytes.extend([0, 0]);
        self.bytes.extend(&self.base);
    }

    /// The last record of [`push`](Self::push), changed.
    fn push_changed(&mut self, valid: bool, change: impl FnOnce(&mut [u8])) {
        let mut bytes = self.base.clone();
        change(&mut bytes);
        let edits: Vec<_> = (0..bytes.len())
            .filter(|&i| bytes[i] != self.base[i])
            .collect();
        assert!(!edits.is_empty());
        self.bytes.extend([self.head[0], valid.into()]);
        self.bytes.extend(&self.head[2..]);
        self.bytes.extend((edits.len() as u16).to_le_bytes());
        for at in edits {
            self.bytes.extend((at as u16).to_le_bytes());
            self.bytes.push(bytes[at]);
        }
    }
}

fn pure(message: &[u8]) -> Vec<u8> {
    [&[0, CONTEXT.len() as u8], CONTEXT, message].concat()
}

/// Key and deterministic signatures of the `ml-dsa` crate: (pk, signature on the pure message, signature on `mu`).
fn sign<P: MlDsaParams>(mode: u8, mu: &[u8; 64]) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let key = ExpandedSigningKey::<P>::from_seed(&[mode; 32].into());
    let pure = key.sign_deterministic(MESSAGE, CONTEXT).unwrap();
    (
        key.verifying_key().encode().to_vec(),
        pure.encode().to_vec(),
        key.sign_mu_deterministic(&(*mu).into()).encode().to_vec(),
    )
}

/// BitPack of z, bit by bit.
fn pack_z(params: &Params, z: &Poly) -> Vec<u8> {
    let width = params.gamma1_bits as usize + 1;
    let mut packed = vec![0u8; params.z_poly_len()];
    for (i, c) in z.iter().enumerate() {
        let value = params.gamma1() as i32 - c;
        for bit in 0..width {
            packed[(i * width + bit) / 8] |= ((value >> bit & 1) << ((i * width + bit) % 8)) as u8;
        }
    }
    packed
}

/// A signature under the key (ρ, t1 = 0), for which w′ = A·z whatever the challenge is: anyone can choose z and h.
fn forge(set: ParameterSet, key: &[u8], z: &[Poly], packed_hint: &[u8], message: &[u8]) -> Vec<u8> {
    let params = set.params();
    let hint = Hint::unpack(params, packed_hint).unwrap();
    let mut z_hat = z.to_vec();
    z_hat.iter_mut().for_each(portable::ntt::forward);
    let mut hash = crate::keccak::Shake256::new();
    hash.absorb(&portable::representative(key, message));
    for row in 0..params.k {
        let mut w = portable::approximate_commitment(
            &key[..RHO_LEN],
            row,
            &z_hat,
            &[0; N],
            &[0; T1_POLY_LEN],
        );
        portable::rounding::use_hint(params, &mut w, hint.row(row));
        hash.absorb(portable::rounding::w1_encode(params, &w, &mut [0; 192]));
    }
    let mut signature = vec![0; params.c_tilde_len];
    hash.finish().read(&mut signature);
    z.iter().for_each(|z| signature.extend(pack_z(params, z)));
    signature.extend(packed_hint);
    signature
}

/// ω ones over all rows, position 0 and 255 among them, and an empty second row.
fn full_hint(params: &Params) -> Vec<u8> {
    let rows = params.k - 1;
    let mut positions: Vec<Vec<u8>> = vec![Vec::new(); K_MAX];
    for n in 0..params.omega {
        let row = (n % rows) + usize::from(n % rows > 0);
        positions[row].push((n / rows * 3) as u8);
    }
    *positions[0].last_mut().unwrap() = 255;
    let mut packed = positions[..params.k].concat();
    let mut end = 0;
    for row in &positions[..params.k] {
        end += row.len() as u8;
        packed.push(end);
    }
    packed
}

fn derive() -> Vec<u8> {
    let mut file = File::default();
    for set in ParameterSet::ALL {
        let params = set.params();
        let mu = [0x5a ^ set.mode(); 64];
        let (key, signature, signature_of_mu) = match set {
            ParameterSet::MlDsa44 => sign::<ml_dsa::MlDsa44>(set.mode(), &mu),
            ParameterSet::MlDsa65 => sign::<ml_dsa::MlDsa65>(set.mode(), &mu),
            ParameterSet::MlDsa87 => sign::<ml_dsa::MlDsa87>(set.mode(), &mu),
        };
        let message = pure(MESSAGE);
        let c_tilde = key.len();
        let z = c_tilde + params.c_tilde_len;
        let positions = z + params.l * params.z_poly_len();
        let counts = positions + params.omega;

        file.push(set, true, false, [&key, &signature, &message]);
        file.push_changed(false, |b| b[0] ^= 1); // rho
        file.push_changed(false, |b| b[c_tilde - 1] ^= 0x80); // t1
        file.push_changed(false, |b| b[c_tilde] ^= 1);
        file.push_changed(false, |b| b[z - 1] ^= 0x80); // the end of the challenge
        file.push_changed(false, |b| b[z] ^= 1);
        file.push_changed(false, |b| b[counts - params.omega - 1] ^= 0x80); // the end of z
        file.push_changed(false, |b| *b.last_mut().unwrap() ^= 1); // message

        // Hints that encode the right set of positions in a wrong way.
        let ends = signature[signature.len() - params.k..].to_vec();
        assert!(
            ends[0] >= 2 && ends[1] > ends[0] && usize::from(ends[params.k - 1]) < params.omega
        );
        file.push_changed(false, |b| b.swap(positions, positions + 1));
        file.push_changed(false, |b| b[counts - 1] = 1); // padding
        // Hints that encode none.
        file.push_changed(false, |b| b[positions] = b[positions + 1]);
        file.push_changed(false, |b| b[counts] = ends[1] + 1);
        file.push_changed(false, |b| b[counts + params.k - 1] = params.omega as u8 + 1);
        file.push_changed(false, |b| b[counts] = 255);
        // A hint that encodes another set of positions.
        file.push_changed(false, |b| b[positions + usize::from(ends[0]) - 1] ^= 1);

        file.push(set, true, true, [&key, &signature_of_mu, &mu]);
        file.push_changed(false, |b| *b.last_mut().unwrap() ^= 1); // mu

        // The norm bound, from both sides and at both ends of z.
        let key = [vec![set.mode(); RHO_LEN], vec![0; T1_POLY_LEN * params.k]].concat();
        let bound = (params.gamma1() - params.beta) as i32;
        let mut polys = vec![[0; N]; params.l];
        polys[0][0] = bound - 1;
        polys[params.l - 1][N - 1] = 1 - bound;
        let hint = full_hint(params);
        let at_bound = forge(set, &key, &polys, &hint, &message);
        file.push(set, true, false, [&key, &at_bound, &message]);
        for (poly, coefficient, value) in [
            (0, 0, bound),
            (0, 0, params.gamma1() as i32),
            (params.l - 1, N - 1, -bound),
            (params.l - 1, N - 1, 1 - params.gamma1() as i32),
        ] {
            let mut polys = polys.clone();
            polys[poly][coefficient] = value;
            let past_bound = forge(set, &key, &polys, &hint, &message);
            file.push_changed(false, |b| {
                b[c_tilde..][..past_bound.len()].copy_from_slice(&past_bound)
            });
        }

        // Hints that a lenient reader would take for the one that was signed: only the one check refuses each.
        let rest = params.k - 3;
        let counts_of = |a: u8, b: u8, c: u8| [vec![a, b, c], vec![c; rest]].concat();
        let hint = |positions: &[u8], counts: Vec<u8>| {
            let mut packed = positions.to_vec();
            packed.resize(params.omega, 0);
            [packed, counts].concat()
        };
        let strict = hint(&[1, 5, 9, 9, 200], counts_of(3, 3, 5));
        let signature = forge(set, &key, &polys, &strict, &message);
        file.push(set, true, false, [&key, &signature, &message]);
        let lenient = [
            hint(&[5, 1, 9, 9, 200], counts_of(3, 3, 5)),
            hint(&[1, 1, 5, 9, 9, 200], counts_of(4, 4, 6)),
            hint(&[1, 5, 9, 9, 200, 7], counts_of(3, 3, 5)),
            // Row 1 ends before it starts, and the last position of row 0 serves row 2 too.
            hint(&[1, 5, 9, 200], counts_of(3, 2, 4)),
        ];
        for packed in lenient {
            file.push_changed(false, |b| {
                b[positions..][..packed.len()].copy_from_slice(&packed)
            });
        }
        file.push_changed(false, |b| b[counts - 1] = 1);
    }
    file.bytes
}

/// The first case of each Wycheproof file.
fn wycheproof() -> Option<Vec<u8>> {
    let mut file = File::default();
    for (set, name) in ParameterSet::ALL.into_iter().zip(["44", "65", "87"]) {
        let json = vectors::mldsa(&format!("wycheproof_mldsa_{name}_verify_test.json"))?;
        let group = &json["testGroups"][0];
        let case = &group["tests"][0];
        assert_eq!(
            (&case["tcId"], &case["result"]),
            (&1.into(), &"valid".into())
        );
        let message = [vec![0, 0], vectors::bytes(&case["msg"])].concat();
        file.push(
            set,
            true,
            false,
            [
                &vectors::bytes(&group["publicKey"]),
                &vectors::bytes(&case["sig"]),
                &message,
            ],
        );
    }
    Some(file.bytes)
}

#[test]
fn files_are_what_their_sources_give() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/mldsa/known_answers");
    let write = std::env::var_os("PARS_WRITE_KNOWN_ANSWERS").is_some();
    let check = |name: &str, embedded: &[u8], made: Vec<u8>| {
        if write {
            std::fs::write(folder.join(name), &made).unwrap();
        } else {
            assert!(embedded == made, "{name} is not what its source gives");
        }
    };
    check("derived.bin", DERIVED, derive());
    if let Some(made) = wycheproof() {
        check("wycheproof.bin", WYCHEPROOF, made);
    }
}

#[test]
fn every_record_is_read_and_everybody_agrees() {
    for file in [DERIVED, WYCHEPROOF] {
        let mut records = Records::new(file);
        while records.next().is_some() {}
        assert!(records.rest.is_empty());
    }
    let answers = known_answers();
    assert_eq!(answers.len(), 3 * 29);
    for (i, (job, valid)) in answers.iter().enumerate() {
        let set = job.parameter_set();
        assert_eq!(peers::ml_dsa(job), *valid, "ml-dsa on answer {i}, {set}");
        if let Some(verdict) = peers::fips204(job) {
            assert_eq!(verdict, *valid, "fips204 on answer {i}, {set}");
        }
        assert_eq!(
            portable::verify(job),
            *valid,
            "portable on answer {i}, {set}"
        );
    }
}
