use super::*;
use crate::poseidon::known_answers;

/// A device that does nothing gives no hash.
#[test]
fn noop_hashes_nothing() {
    let device = Device::noop().unwrap();
    let mut hasher = BatchHasher::new(&device).unwrap();
    for (instance, pair, _) in known_answers() {
        let error = hasher.compress_many(instance, &[pair; 3]).unwrap_err();
        assert!(
            matches!(
                error,
                HashError::Unfinished {
                    missing: 3,
                    states: 3,
                    ..
                }
            ),
            "{error}"
        );
    }
}

#[test]
fn a_lost_device_is_an_error() {
    let device = Device::noop().unwrap();
    let mut hasher = BatchHasher::new(&device).unwrap();
    let submission = hasher.submit(Permutation::Gnark, 2, &[Fr::ONE; 2]).unwrap();
    device.destroy();
    let error = hasher.collect(submission, 2, 1).unwrap_err();
    assert!(
        matches!(error, HashError::Gpu(GpuError::Lost { .. })),
        "{error}"
    );
    let error = hasher
        .compress_many(Instance::Gnark, &[[Fr::ONE; 2]])
        .unwrap_err();
    assert!(
        matches!(error, HashError::Gpu(GpuError::Lost { .. })),
        "{error}"
    );
    assert!(matches!(
        BatchHasher::new(&device),
        Err(GpuError::Lost { .. })
    ));
}

#[test]
fn words_that_are_no_element_are_no_result() {
    assert_eq!(element(&[0; 32]), Some(Fr::ZERO));
    assert_eq!(element(&[0xff; 32]), None);
}

#[test]
fn bad_input_is_an_error() {
    let device = Device::noop().unwrap();
    let mut hasher = BatchHasher::new(&device).unwrap();
    let states = [Fr::ZERO; 18];
    for (instance, width, len) in [
        (Instance::Circom, 3, 4),
        (Instance::Poseidon2, 2, 2),
        (Instance::Circom, 18, 18),
    ] {
        let error = hasher
            .permute_many(instance, width, &states[..len])
            .unwrap_err();
        assert!(
            matches!(error, HashError::Input(InputError::Width { .. })),
            "{error}"
        );
    }
    let error = hasher
        .permute_many(Instance::Circom, 9, &states[..9])
        .unwrap_err();
    assert!(
        matches!(error, HashError::Unsupported { width: 9, .. }),
        "{error}"
    );
    let error = hasher
        .merkle_root(Instance::Gnark, &states[..3])
        .unwrap_err();
    assert_eq!(error, HashError::Input(InputError::Leaves { given: 3 }));
    assert_eq!(hasher.permute_many(Instance::Circom, 3, &[]), Ok(vec![]));
}
