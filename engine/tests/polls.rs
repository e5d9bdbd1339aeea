//! Batches that devices have in flight are asked after, and not waited for, before they are done.
#![cfg(feature = "gpu")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../../kernels/tests/common/devices.rs"]
mod devices;

use std::time::{Duration, Instant};

use pars_engine::{
    Accelerator, EcdsaRecover, Ed25519Verify, GpuContext, Kernel, MlDsaVerify, PoseidonHash,
};
use pars_kernels::gpu::Device;

/// Jobs of a batch: some milliseconds on any device, and much more than a call takes.
const JOBS: usize = 2_048;

/// Batches that may be done before anybody can ask.
const ATTEMPTS: usize = 20;

fn check<K: Kernel<Job: Clone>>(device: &Device) {
    let mut kernel = K::open_gpu(&GpuContext::new(device), &K::State::default())
        .unwrap()
        .unwrap();
    let kernel: &mut dyn Accelerator<K> = kernel.as_mut();
    assert!(kernel.polls(), "{}", K::NAME);
    assert!(kernel.poll(Duration::ZERO).unwrap(), "nothing is in flight");
    let count = JOBS.min(kernel.max_batch());
    let (jobs, expected): (Vec<_>, Vec<_>) =
        K::known_answers().into_iter().cycle().take(count).unzip();
    let jobs: Vec<&K::Job> = jobs.iter().collect();
    let caught = (0..ATTEMPTS).any(|_| {
        let sent = kernel.submit(&jobs).unwrap();
        let open = !kernel.poll(Duration::ZERO).unwrap();
        let start = Instant::now();
        while !kernel.poll(Duration::from_millis(1)).unwrap() {
            assert!(
                start.elapsed() < devices::TIMEOUT,
                "{} is never done",
                K::NAME
            );
        }
        let answers = kernel.collect().unwrap();
        assert_eq!(answers.len(), sent);
        for (answer, expected) in answers.iter().zip(&expected) {
            assert!(
                answer.is_none() || answer.as_ref() == Some(expected),
                "{}",
                K::NAME
            );
        }
        open
    });
    assert!(
        caught,
        "{}: {ATTEMPTS} batches were said to be done at once",
        K::NAME
    );
}

#[test]
fn a_batch_is_not_done_before_it_is() {
    devices::each(|device| {
        check::<MlDsaVerify>(device);
        check::<PoseidonHash>(device);
        check::<EcdsaRecover>(device);
        check::<Ed25519Verify>(device);
    });
}
