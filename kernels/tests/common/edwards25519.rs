//! What the tests of the schemes on edwards25519 share.

/// L = 2^252 + 27742317777372353535851937790883648493 is added to a number of 32 bytes, little-endian (RFC 8032 §5.1).
pub fn add_order(scalar: &mut [u8]) {
    let order =
        hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
    let mut carry = 0;
    for (byte, order) in scalar.iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = (sum & 0xff) as u8;
        carry = sum >> 8;
    }
}

#[cfg(feature = "gpu")]
pub mod gpu {
    use super::super::devices;
    use pars_kernels::edwards25519::gpu::{BatchVerifier, Scheme, Tuning};
    use pars_kernels::gpu::{Device, ShaderChecks};
    use std::fmt::Debug;

    /// All of them as one batch on every GPU.
    pub fn check<S: Scheme<Job: Debug>>(jobs: &[S::Job], valid: &[bool]) {
        devices::each(|device| {
            let mut verifier = BatchVerifier::<S>::new(device).unwrap();
            let verdicts = verifier.verify(&jobs.iter().collect::<Vec<_>>()).unwrap();
            assert_eq!(verdicts.len(), jobs.len());
            for (at, (verdict, valid)) in verdicts.iter().zip(valid).enumerate() {
                assert_eq!(*verdict, Some(*valid), "GPU {at} {:?}", jobs[at]);
            }
        });
    }

    /// Shapes other than a device's own: small workgroups in reverse and batches of 21 keys, 32-bit sums, run-time checks.
    pub fn shapes(device: &Device) -> [Tuning; 3] {
        let base = Tuning::of(device);
        let mut small = base;
        small.threads = 32;
        small.reverse = true;
        small.max_batch = 21;
        let mut narrow = base;
        narrow.wide = false;
        let mut checked = base;
        checked.checks = ShaderChecks::Checked;
        [small, narrow, checked]
    }

    /// Known answers in batches around the size of a workgroup and in every shape.
    pub fn check_shapes<S: Scheme>(known: &[(S::Job, bool)]) {
        devices::each(|device| {
            let [small, narrow, checked] = shapes(device);
            for (tuning, counts) in [
                (Tuning::of(device), vec![0, 1, 3, 65]),
                (small, vec![40]),
                (narrow, vec![9]),
                (checked, vec![9]),
            ] {
                let mut verifier = BatchVerifier::<S>::with_tuning(device, tuning).unwrap();
                for count in counts {
                    let (jobs, valid): (Vec<_>, Vec<_>) = known
                        .iter()
                        .cycle()
                        .take(count)
                        .map(|(job, valid)| (job, Some(*valid)))
                        .unzip();
                    assert_eq!(verifier.verify(&jobs), Ok(valid), "{tuning:?}");
                }
            }
        });
    }
}
