//! Parts of schemes against official vectors of schemes that use them.

// Another test module of this crate reads vectors with the same file.
#[allow(clippy::duplicate_mod)]
#[path = "../../../tests/common/vectors.rs"]
mod vectors;

use sha2::{Digest, Sha512};
use vectors::{bytes, json, list};

use super::*;
use crate::keccak::Sponge;
use crate::ring::expand_message_xmd;

/// Monero's hash to a point, on every level, and key images with it.
#[test]
fn hashes_and_key_images_of_monero() {
    let Some(file) = json("ring", "monero_hash_to_ec.json") else {
        return;
    };
    let point = |key: &[u8]| {
        let mut hash = [0; 32];
        Sponge::KECCAK256.hash_many(&[[key, b""]], &mut hash);
        hash
    };
    let cases = list(&file["hash_to_ec"]);
    let hashes: Vec<_> = cases
        .iter()
        .map(|case| point(&bytes(&case["input"])))
        .collect();
    let points = everywhere(|| HashToPoint(&hashes));
    assert!(cases.len() > 70);
    for (case, found) in cases.iter().zip(points) {
        assert_eq!(bytes(&case["point"]), found, "{case}");
    }
    let cases = list(&file["key_image"]);
    let hashes: Vec<_> = cases
        .iter()
        .map(|case| point(&bytes(&case["public_key"])))
        .collect();
    for (case, hash) in cases.iter().zip(everywhere(|| HashToPoint(&hashes))) {
        let secret: [u8; 32] = bytes(&case["secret_key"]).try_into().unwrap();
        let hash = CompressedEdwardsY(hash).decompress().unwrap();
        let image = (hash * Scalar::from_canonical_bytes(secret).unwrap()).compress();
        assert_eq!(bytes(&case["key_image"]), image.as_bytes());
    }
}

/// back-LSAG hashes a key to the group by SHA-512 of its encoding: its key images depend on the map of uniform bytes.
#[test]
fn key_images_of_back_lsag() {
    let Some(file) = json("ring", "blsag_ristretto.json") else {
        return;
    };
    let mut keys = Vec::new();
    let mut images = Vec::new();
    for test in list(&file["testGroups"][0]["tests"]) {
        if let (Some(signer), "valid") = (
            test["signer_index"].as_u64(),
            test["result"].as_str().unwrap(),
        ) {
            let signer = usize::try_from(signer).unwrap();
            keys.push((
                bytes(&test["ring"][signer]),
                bytes(&test["secret_key"]).try_into().unwrap(),
            ));
            images.push(bytes(&test["key_image"]));
        }
    }
    assert!(keys.len() > 5);
    let uniform: Vec<[u8; 64]> = keys
        .iter()
        .map(|(key, _)| Sha512::digest(key).into())
        .collect();
    let hashes = everywhere(|| Uniform(&uniform));
    for (((_, secret), hash), image) in keys.iter().zip(hashes).zip(images) {
        let hash = CompressedRistretto(hash).decompress().unwrap();
        let secret = Scalar::from_canonical_bytes(*secret).unwrap();
        assert_eq!((secret * hash).compress().as_bytes()[..], image);
    }
}

/// The field elements of RFC 9380 §5.2 for edwards25519: 48 bytes of `expand_message_xmd` modulo p for each.
#[test]
fn field_elements_of_rfc_9380() {
    for (name, count) in [
        ("rfc9380_edwards25519_RO.json", 2),
        ("rfc9380_edwards25519_NU.json", 1),
    ] {
        let Some(file) = json("ring", name) else {
            return;
        };
        let tag = file["dst"].as_str().unwrap().as_bytes();
        assert!(!list(&file["vectors"]).is_empty());
        for vector in list(&file["vectors"]) {
            let mut uniform = vec![0; 48 * count];
            let message = vector["msg"].as_str().unwrap().as_bytes();
            expand_message_xmd::<Sha512>(message, tag, &mut uniform);
            let elements = list(&vector["u"]);
            assert_eq!(elements.len(), count);
            for (bytes, u) in uniform.chunks(48).zip(elements) {
                // SAFETY: scalar elements need no instruction set.
                let element = bytes.iter().fold(Fe::ZERO, |sum, byte| unsafe {
                    sum.multiply(Fe([256, 0, 0, 0, 0]))
                        .add(Fe([u64::from(*byte), 0, 0, 0, 0]))
                });
                let mut found = element.to_bytes();
                found.reverse();
                assert_eq!(format!("0x{}", hex::encode(found)), u.as_str().unwrap());
            }
        }
    }
}
