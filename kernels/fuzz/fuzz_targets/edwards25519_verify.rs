//! Any bytes as Ed25519, CLSAG and LSAG questions: nothing panics, and all levels agree.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pars_kernels::cpu::Level;
use pars_kernels::edwards25519::ed25519;
use pars_kernels::ring::{Members, clsag, lsag_ristretto255 as lsag};

fuzz_target!(|data: &[u8]| {
    let Some((&[kind, members], rest)) = data.split_first_chunk::<2>() else {
        return;
    };
    let members = usize::from(members % 8);
    let (words, message) = rest.as_chunks::<32>();
    let verdicts: Vec<Vec<bool>> = match kind % 3 {
        0 => {
            let [key, r, s, ..] = words else { return };
            let Ok(job) = ed25519::VerifyJob::new(key, message, &[*r, *s].concat()) else {
                return;
            };
            Level::ALL
                .map(|level| ed25519::verify_batch_at(level, &[&job]))
                .to_vec()
        }
        1 => {
            let Some((ring, rest)) = words.split_at_checked(2 * members) else {
                return;
            };
            let [image, pseudo_out, message, signature @ ..] = rest else {
                return;
            };
            let Ok(job) = clsag::ClsagJob::new(
                ring.as_chunks::<2>().0,
                *image,
                *pseudo_out,
                *message,
                signature.as_flattened(),
            ) else {
                return;
            };
            Level::ALL
                .map(|level| clsag::verify_batch_at(level, &[&job], &Members::default()))
                .to_vec()
        }
        _ => {
            let Some((ring, signature)) = words.split_at_checked(members) else {
                return;
            };
            let Ok(job) = lsag::Job::new(ring, message, signature.as_flattened()) else {
                return;
            };
            Level::ALL
                .map(|level| lsag::verify_batch_at(level, &[&job], &Members::default()))
                .to_vec()
        }
    };
    assert!(verdicts.windows(2).all(|pair| pair[0] == pair[1]));
});
