//! M′ of HashML-DSA, FIPS 204 §5.4.

use pars_kernels::keccak::{LANES, Shake128, Shake256, permute};
use sha2::Digest;

/// 0x01 ‖ len(context) ‖ context ‖ OID ‖ digest of `message`, by the name that ACVP gives the hash.
pub fn formatted(hash: &str, context: &[u8], message: &[u8]) -> Vec<u8> {
    let (arc, digest) = match hash {
        "SHA2-256" => (1, sha2::Sha256::digest(message).to_vec()),
        "SHA2-384" => (2, sha2::Sha384::digest(message).to_vec()),
        "SHA2-512" => (3, sha2::Sha512::digest(message).to_vec()),
        "SHA2-224" => (4, sha2::Sha224::digest(message).to_vec()),
        "SHA2-512/224" => (5, sha2::Sha512_224::digest(message).to_vec()),
        "SHA2-512/256" => (6, sha2::Sha512_256::digest(message).to_vec()),
        "SHA3-224" => (7, sha3(28, message)),
        "SHA3-256" => (8, sha3(32, message)),
        "SHA3-384" => (9, sha3(48, message)),
        "SHA3-512" => (10, sha3(64, message)),
        "SHAKE-128" => (11, Shake128::digest::<32>(&[message]).to_vec()),
        "SHAKE-256" => (12, Shake256::digest::<64>(&[message]).to_vec()),
        other => panic!("no hash {other}"),
    };
    // 2.16.840.1.101.3.4.2.arc
    let oid = [
        0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, arc,
    ];
    let len = u8::try_from(context.len()).unwrap();
    [&[1, len], context, &oid, &digest].concat()
}

/// SHA3 with a digest of `len` bytes, FIPS 202 §6.1.
fn sha3(len: usize, message: &[u8]) -> Vec<u8> {
    let rate = 200 - 2 * len;
    let mut padded = message.to_vec();
    padded.push(0x06);
    padded.resize(padded.len().next_multiple_of(rate), 0);
    *padded.last_mut().unwrap() |= 0x80;
    let mut state = [0u64; LANES];
    for block in padded.chunks(rate) {
        for (lane, bytes) in state.iter_mut().zip(block.chunks(8)) {
            *lane ^= u64::from_le_bytes(bytes.try_into().unwrap());
        }
        permute(&mut state);
    }
    let output: Vec<u8> = state.iter().flat_map(|lane| lane.to_le_bytes()).collect();
    output[..len].to_vec()
}
