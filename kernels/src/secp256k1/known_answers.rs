//! Embedded questions whose answers are known from elsewhere, for self-tests of every back end.

use super::{RecoverJob, Signature, ecdsa, schnorr};

/// Bytes written in hexadecimal digits.
pub(crate) fn hex<const N: usize>(digits: &str) -> [u8; N] {
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks(2)) {
        *byte = pair.iter().fold(0, |value, digit| {
            let digit = match digit {
                b'0'..=b'9' => digit - b'0',
                _ => (digit | 0x20).wrapping_sub(b'a' - 10) & 15,
            };
            value << 4 | digit
        });
    }
    bytes
}

/// Recoveries with their addresses.
pub(super) fn recover() -> Vec<(RecoverJob, Option<[u8; 20]>)> {
    // Hash, v, r and s, address: go-ethereum's tests of the precompile, the example of EIP-155; the last has an r that is no x of a
    // point.
    let rows: [(&str, u64, &str, Option<&str>); 4] = [
        (
            "18c547e4f7b0f325ad1e56f57e26c745b09a3e503d86e00e5255ff7f715d3d1c",
            28,
            "73b1693892219d736caba55bdb67216e485557ea6b6af75f37096c9aa6a5a75f\
             eeb940b1d03b21e36b0e47e79769f095fe2ab855bd91e3a38756b7d75a9c4549",
            Some("a94f5374fce5edbc8e2a8697c15331677e6ebf0b"),
        ),
        (
            "daf5a779ae972f972197303d7b574746c7ef83eadac0f2791ad23db92e4c8e53",
            27,
            "28ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276\
             67cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83",
            Some("9d8a62f656a8d1615c1294fd71e9cfb3e4855a4f"),
        ),
        (
            "a8b53bdf3306a35a7103ab5504a0c9b492295564b6202b1942a84ef300107281",
            27,
            "3078356531653033663533636531386237373263636230303933666637316633\
             6635336635633735623734646362333161383561613862383839326234653862",
            None,
        ),
        // R = G and z = s: Q = (s R - z G) / r is the identity.
        (
            "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
            27,
            "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798\
             79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
            None,
        ),
    ];
    rows.into_iter()
        .filter_map(|(hash, v, signature, address)| {
            let signature = Signature::from_bytes(&hex(signature)).ok()?;
            let job = RecoverJob::new(&hex(hash), v, signature).ok()?;
            Some((job, address.map(hex)))
        })
        .collect()
}

/// ECDSA verifications with their verdicts.
pub(super) fn ecdsa() -> Vec<(ecdsa::VerifyJob, bool)> {
    // Wycheproof, ecdsa_secp256k1_sha256_p1363, test 1: the key compressed and whole, SHA-256 of "123400".
    const KEY: &str = "02b838ff44e5bc177bf21189d0766082fc9d843226887fc9760371100b7ee20a6f";
    const MIRRORED: &str = "03b838ff44e5bc177bf21189d0766082fc9d843226887fc9760371100b7ee20a6f";
    const WHOLE: &str = "04b838ff44e5bc177bf21189d0766082fc9d843226887fc9760371100b7ee20a6f\
                         f0c9d75bfba7b31a6bca1974496eeb56de357071955d83c4b1badaa0b21832e9";
    // x = 5 is no point's.
    const NO_POINT: &str = "020000000000000000000000000000000000000000000000000000000000000005";
    const HASH: &str = "bb5a52f42f9c9261ed4361f59422a1e30036e7c32b270c8807a419feca605023";
    const OTHER: &str = "bb5a52f42f9c9261ed4361f59422a1e30036e7c32b270c8807a419feca605022";
    const SIGNATURE: &str = "813ef79ccefa9a56f7ba805f0e478584fe5f0dd5f567bc09b5123ccbc9832365\
                             900e75ad233fcc908509dbff5922647db37c21f4afd3203ae8dc4ae7794b0f87";
    const DAMAGED: &str = "813ef79ccefa9a56f7ba805f0e478584fe5f0dd5f567bc09b5123ccbc9832365\
                           900e75ad233fcc908509dbff5922647db37c21f4afd3203ae8dc4ae7794b0f86";
    let mut jobs = Vec::new();
    let mut add = |key: &[u8], hash: &str, signature: &str, valid: bool| {
        if let Ok(signature) = Signature::from_bytes(&hex(signature))
            && let Ok(job) = ecdsa::VerifyJob::new(key, &hex(hash), signature)
        {
            jobs.push((job, valid));
        }
    };
    let key: [u8; 33] = hex(KEY);
    let whole: [u8; 65] = hex(WHOLE);
    add(&whole, HASH, SIGNATURE, true);
    // The last digit of y says which of both compressed forms is the same key.
    let (same, mirrored): ([u8; 33], [u8; 33]) = if whole[64] & 1 == 0 {
        (key, hex(MIRRORED))
    } else {
        (hex(MIRRORED), key)
    };
    add(&same, HASH, SIGNATURE, true);
    add(&mirrored, HASH, SIGNATURE, false);
    add(&hex::<33>(NO_POINT), HASH, SIGNATURE, false);
    add(&whole, OTHER, SIGNATURE, false);
    add(&whole, HASH, DAMAGED, false);
    jobs
}

/// Schnorr verifications with their verdicts: BIP-340's vectors 0, 1, 15, 5 and 6.
pub(super) fn schnorr() -> Vec<(schnorr::VerifyJob, bool)> {
    const MESSAGE: &str = "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89";
    const KEY: &str = "dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659";
    let message: [u8; 32] = hex(MESSAGE);
    let rows: [(&str, &[u8], &str, bool); 5] = [
        (
            "f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9",
            &[0; 32],
            "e907831f80848d1069a5371b402410364bdf1c5f8307b0084c55f1ce2dca8215\
             25f66a4a85ea8b71e482a74f382d2ce5ebeee8fdb2172f477df4900d310536c0",
            true,
        ),
        (
            KEY,
            &message,
            "6896bd60eeae296db48a229ff71dfe071bde413e6d43f917dc8dcf8c78de3341\
             8906d11ac976abccb20b091292bff4ea897efcb639ea871cfa95f6de339e4b0a",
            true,
        ),
        (
            "778caa53b4393ac467774d09497a87224bf9fab6f6e68b23086497324d6fd117",
            &[],
            "71535db165ecd9fbbc046e5ffaea61186bb6ad436732fccc25291a55895464cf\
             6069ce26bf03466228f19a3a62db8a649f2d560fac652827d1af0574e427ab63",
            true,
        ),
        (
            "eefdea4cdb677750a420fee807eacf21eb9898ae79b9768766e4faa04a2d4a34",
            &message,
            "6cff5c3ba86c69ea4b7376f31a9bcb4f74c1976089b2d9963da2e5543e177769\
             69e89b4c5564d00349106b8497785dd7d1d713a8ae82b32fa79d5f7fc407d39b",
            false,
        ),
        (
            KEY,
            &message,
            "fff97bd5755eeea420453a14355235d382f6472f8568a18b2f057a1460297556\
             3cc27944640ac607cd107ae10923d9ef7a73c643e166be5ebeafa34b1ac553e2",
            false,
        ),
    ];
    rows.into_iter()
        .map(|(key, message, signature, valid)| {
            let job = schnorr::VerifyJob::new(&hex(key), message, &hex(signature));
            (job, valid)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::{
        cpu::Level,
        secp256k1::{self, ecdsa, schnorr},
    };

    #[test]
    fn every_level_knows_them() {
        let (recoveries, addresses): (Vec<_>, Vec<_>) =
            secp256k1::recover_known_answers().into_iter().unzip();
        let (ecdsa_jobs, ecdsa_verdicts): (Vec<_>, Vec<_>) =
            ecdsa::known_answers().into_iter().unzip();
        let (schnorr_jobs, schnorr_verdicts): (Vec<_>, Vec<_>) =
            schnorr::known_answers().into_iter().unzip();
        assert_eq!(
            (recoveries.len(), ecdsa_jobs.len(), schnorr_jobs.len()),
            (4, 6, 5)
        );
        for level in Level::ALL {
            let jobs: Vec<_> = recoveries.iter().collect();
            assert_eq!(secp256k1::recover_addresses_at(level, &jobs), addresses);
            let jobs: Vec<_> = ecdsa_jobs.iter().collect();
            assert_eq!(ecdsa::verify_batch_at(level, &jobs), ecdsa_verdicts);
            let jobs: Vec<_> = schnorr_jobs.iter().collect();
            assert_eq!(schnorr::verify_batch_at(level, &jobs), schnorr_verdicts);
        }
    }
}
