//! Verdicts equal those of `ml-dsa` and `fips204`, on every level of this processor.
//!
//! Input: a byte that picks a known answer, then three bytes an edit: a little-endian offset into key, signature and
//! message together, and the value that goes there.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pars_kernels::{
    cpu::Level,
    mldsa::{Message, Representative, VerifyJob, known_answers, portable, verify_batch_at},
};
use std::sync::OnceLock;

#[path = "../../tests/common/peers.rs"]
mod peers;

fn pool() -> &'static [(VerifyJob, bool)] {
    static POOL: OnceLock<Vec<(VerifyJob, bool)>> = OnceLock::new();
    POOL.get_or_init(known_answers)
}

fuzz_target!(|data: &[u8]| {
    let Some((&selector, edits)) = data.split_first() else {
        return;
    };
    let (base, _) = &pool()[usize::from(selector) % pool().len()];
    let mut key = base.public_key().to_vec();
    let mut signature = base.signature().to_vec();
    let (mut message, mu) = match base.representative() {
        Representative::Formatted(message) => (message.to_vec(), false),
        Representative::Mu(mu) => (mu.to_vec(), true),
    };
    let total = key.len() + signature.len() + message.len();
    for edit in edits.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % total;
        let mut bytes = key.iter_mut().chain(&mut signature).chain(&mut message);
        *bytes.nth(at).unwrap() = edit[2];
    }
    let message = if mu {
        Message::Mu(message.as_slice().try_into().unwrap())
    } else {
        Message::Formatted {
            prefix: &[],
            message: &message,
        }
    };
    let job = VerifyJob::new(&key, message, &signature).unwrap();
    let verdict = portable::verify(&job);
    assert_eq!(peers::ml_dsa(&job), verdict);
    if let Some(expected) = peers::fips204(&job) {
        assert_eq!(expected, verdict);
    }
    // A neighbour with another fate must not matter.
    for level in Level::ALL.into_iter().filter(|level| level.is_available()) {
        assert_eq!(verify_batch_at(level, &[base, &job])[1], verdict, "{level}");
    }
});
