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
        assert_eq!(verifier.submit(&jobs), Ok(jobs.len()));
        device.destroy();
        let error = verifier.collect().unwrap_err();
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
    let slot = verifier.idle.last().unwrap();
    let stale = vec![layout::VALID; (slot.verdicts.size() / 4) as usize];
    let bytes = bytemuck::cast_slice(&stale);
    device.queue().write_buffer(&slot.verdicts, 0, bytes);
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
    let memory = |verifier: &BatchVerifier| -> Vec<u64> {
        let scratch = verifier.scratch.as_ref().unwrap();
        let slots = verifier.idle.iter();
        let slots = slots.flat_map(|slot| [slot.staging.size(), slot.readback.size()]);
        slots
            .chain([scratch.transformed.size(), scratch.notes.size()])
            .collect()
    };
    verifier.verify(&jobs).unwrap();
    let sizes = memory(&verifier);
    assert_eq!(verifier.idle.len(), 2);
    let scratch = verifier.scratch.as_ref().unwrap();
    assert!(scratch.transformed.size() <= 8 * TRANSFORMED_WORDS_MAX as u64 * 4);
    verifier.verify(&jobs[..1]).unwrap();
    verifier.verify(&jobs).unwrap();
    assert_eq!(memory(&verifier), sizes);
    assert_eq!(verifier.verify(&[]).unwrap(), []);
}

/// Shares of the copy on several threads change nothing; a share that nobody writes is an error and no verdict.
#[test]
fn uploads_can_be_shared_between_threads() {
    let answers = known_answers();
    let jobs: Vec<&VerifyJob> = answers.iter().map(|(job, _)| job).collect();
    devices::each(|device| {
        let mut verifier = BatchVerifier::new(device).unwrap();
        verifier.keep_keys(4 << 20).unwrap();
        verifier.share_uploads(3, |parts| {
            assert_eq!(parts.len(), 3);
            std::thread::scope(|scope| {
                for part in parts {
                    scope.spawn(|| part.write());
                }
            });
        });
        for keys in ["fresh", "new", "resident"] {
            let verdicts = verifier.verify(&jobs).unwrap();
            for (verdict, (_, valid)) in verdicts.iter().zip(&answers) {
                assert_eq!(*verdict == GpuVerdict::Valid, *valid, "{keys}");
            }
        }
        verifier.share_uploads(3, |mut parts| {
            parts.pop();
            parts.into_iter().for_each(UploadPart::write);
        });
        let error = verifier.verify(&jobs).unwrap_err();
        assert!(matches!(error, GpuError::Rejected { .. }), "{error}");
        verifier.share_uploads(1, |parts| parts.into_iter().for_each(UploadPart::write));
        assert!(verifier.verify(&jobs).is_ok());
    });
}

/// Host and device memory beside the store stay within the tuning's bound, and the bound changes no verdict's place.
#[test]
fn memory_is_bounded_by_the_tuning() {
    let (device, _) = noop_verifier();
    let answers = known_answers();
    let jobs: Vec<&VerifyJob> = answers
        .iter()
        .cycle()
        .take(300)
        .map(|(job, _)| job)
        .collect();
    for memory in [1 << 20, 3 << 20] {
        let tuning = Tuning {
            memory,
            slots: 3,
            ..Tuning::of(&device)
        };
        let mut verifier = BatchVerifier::with_tuning(&device, tuning).unwrap();
        assert_eq!(verifier.verify(&jobs).unwrap().len(), jobs.len());
        let scratch = verifier.scratch.as_ref().unwrap();
        let scratch = scratch.transformed.size() + scratch.notes.size();
        assert_eq!(verifier.idle.len(), 3);
        let slots: u64 = verifier.idle.iter().map(buffers::Slot::size).sum();
        // Uniforms, entries and verdicts are the small change of a slot.
        let small = 3 * (16 << 10);
        assert!(
            scratch + slots <= memory + small,
            "{scratch} + {slots} of {memory}"
        );
    }
}

/// A stage that did not run leaves no verdict, although the memory still holds the right values of the batch before.
/// Only a refusal that another stage saw for itself may stand.
#[test]
fn a_missing_stage_decides_nothing() {
    let answers = known_answers();
    let jobs: Vec<&VerifyJob> = answers.iter().map(|(job, _)| job).collect();
    devices::each(|device| {
        let mut verifier = BatchVerifier::new(device).unwrap();
        for with_keys in [false, true] {
            if with_keys {
                verifier.keep_keys(4 << 20).unwrap();
            }
            for kernel in &KERNELS {
                let keeps = matches!(kernel.serves, Serves::Resident | Serves::Admitted);
                if keeps && !with_keys {
                    continue;
                }
                verifier.skip = None;
                let right = verifier.verify(&jobs).unwrap();
                assert!(
                    right
                        .iter()
                        .all(|verdict| *verdict != GpuVerdict::Undecided)
                );
                if kernel.serves == Serves::Admitted {
                    // The slots still hold the right keys, under marks of an older generation.
                    verifier.keys.as_mut().unwrap().clear();
                }
                verifier.skip = Some(kernel.name);
                let verdicts = verifier.verify(&jobs).unwrap();
                let mut undecided = 0;
                for ((verdict, right), (_, valid)) in verdicts.iter().zip(&right).zip(&answers) {
                    match verdict {
                        GpuVerdict::Undecided => undecided += 1,
                        verdict => {
                            // Keys that are new to the store are served without it.
                            let fresh = with_keys && kernel.serves != Serves::All;
                            assert!(!valid || fresh, "{} left out: {verdict:?}", kernel.name);
                            assert_eq!(verdict, right);
                        }
                    }
                }
                // Once all keys are resident, nothing is asked of the kernel for others.
                let idle = with_keys && kernel.serves == Serves::Fresh;
                assert_eq!(
                    undecided <= jobs.len() / 3,
                    idle,
                    "{} left out",
                    kernel.name
                );
            }
        }
    });
}
