use super::*;
use crate::mldsa::known_answers;

#[path = "../../../tests/common/devices.rs"]
mod devices;

fn noop_verifier() -> (Device, BatchVerifier) {
    let device = Device::noop().unwrap();
    let verifier = BatchVerifier::new(&device).unwrap();
    (device, verifier)
}

/// A device that does nothing gives no verdict, so it cannot pass a check against known answers.
#[test]
fn noop_decides_nothing() {
    let (_device, mut verifier) = noop_verifier();
    let answers = known_answers();
    let jobs: Vec<&VerifyJob> = answers.iter().map(|(job, _)| job).collect();
    let verdicts = verifier.verify(&jobs).unwrap();
    assert_eq!(verdicts, vec![GpuVerdict::Undecided; jobs.len()]);
}

#[test]
fn loss_between_submit_and_read_is_an_error() {
    let answers = known_answers();
    let jobs: Vec<&VerifyJob> = answers.iter().map(|(job, _)| job).collect();
    let lose = |device: &Device| {
        let mut verifier = BatchVerifier::new(device).unwrap();
        let in_flight = verifier.submit(&jobs).unwrap();
        device.destroy();
        let error = verifier.collect(in_flight).unwrap_err();
        assert!(matches!(error, GpuError::Lost { .. }), "{error}");
        assert!(device.is_lost());
        let error = verifier.verify(&jobs).unwrap_err();
        assert!(matches!(error, GpuError::Lost { .. }), "{error}");
        assert!(matches!(
            BatchVerifier::new(device),
            Err(GpuError::Lost { .. })
        ));
    };
    lose(&Device::noop().unwrap());
    devices::each(lose);
}

/// What an earlier batch left behind is no verdict of this one.
#[test]
fn stale_words_decide_nothing() {
    let (device, mut verifier) = noop_verifier();
    let answers = known_answers();
    let jobs: Vec<&VerifyJob> = answers.iter().map(|(job, _)| job).collect();
    verifier.verify(&jobs).unwrap();
    let buffers = verifier.buffers.as_ref().unwrap();
    let stale = vec![layout::VALID; (buffers.verdicts.size() / 4) as usize];
    let bytes = bytemuck::cast_slice(&stale);
    device.queue().write_buffer(&buffers.verdicts, 0, bytes);
    let verdicts = verifier.verify(&jobs).unwrap();
    assert_eq!(verdicts, vec![GpuVerdict::Undecided; jobs.len()]);
}

#[test]
fn buffers_are_reused_and_bounded() {
    let (device, _) = noop_verifier();
    let tuning = Tuning {
        max_batch: 8,
        ..Tuning::of(&device)
    };
    let mut verifier = BatchVerifier::with_tuning(&device, tuning).unwrap();
    assert_eq!(verifier.max_batch(), 8);
    let answers = known_answers();
    let jobs: Vec<&VerifyJob> = answers.iter().map(|(job, _)| job).collect();
    verifier.verify(&jobs).unwrap();
    let sizes = verifier.buffers.as_ref().unwrap().sizes;
    assert!(sizes.matrix <= 8 * MATRIX_WORDS_MAX as u64 * 4);
    verifier.verify(&jobs[..1]).unwrap();
    verifier.verify(&jobs).unwrap();
    assert_eq!(verifier.buffers.as_ref().unwrap().sizes, sizes);
    assert_eq!(verifier.verify(&[]).unwrap(), []);
}

/// A stage that did not run leaves no verdict, although the memory still holds the right values of the batch before.
/// Only a refusal that another stage saw for itself may stand.
#[test]
fn a_missing_stage_decides_nothing() {
    let answers = known_answers();
    let jobs: Vec<&VerifyJob> = answers.iter().map(|(job, _)| job).collect();
    devices::each(|device| {
        let mut verifier = BatchVerifier::new(device).unwrap();
        for kernel in &KERNELS {
            verifier.skip = None;
            let right = verifier.verify(&jobs).unwrap();
            assert!(
                right
                    .iter()
                    .all(|verdict| *verdict != GpuVerdict::Undecided)
            );
            verifier.skip = Some(kernel.name);
            let verdicts = verifier.verify(&jobs).unwrap();
            let mut undecided = 0;
            for ((verdict, right), (_, valid)) in verdicts.iter().zip(&right).zip(&answers) {
                match verdict {
                    GpuVerdict::Undecided => undecided += 1,
                    verdict => {
                        assert!(!valid, "{} left out: {verdict:?}", kernel.name);
                        assert_eq!(verdict, right);
                    }
                }
            }
            assert!(undecided > jobs.len() / 3, "{} left out", kernel.name);
        }
    });
}
