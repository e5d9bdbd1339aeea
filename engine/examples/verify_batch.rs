//! Signs a thousand messages, spoils some, and verifies all as one batch on the best back end.
//!
//! `cargo run --release -p pars-engine --example verify_batch`

use std::time::{Duration, Instant};

use ml_dsa::{Keypair, MlDsa65, Signer, SigningKey};
use pars_engine::{Engine, MlDsaVerify, VerifyJob};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let key = SigningKey::<MlDsa65>::from_seed(&[1; 32].into());
    let public_key = key.verifying_key().encode();
    let mut jobs = Vec::new();
    for number in 0..1_000u32 {
        let message = number.to_le_bytes();
        let mut signature = key.sign(&message).encode();
        if number % 100 == 0
            && let Some(byte) = signature.first_mut()
        {
            *byte ^= 1;
        }
        jobs.push(VerifyJob::pure(&public_key, b"", &message, &signature)?);
    }

    let engine = Engine::builder().build()?;
    engine.wait_ready(Duration::from_secs(60));
    for route in engine.devices().routes {
        println!("{}: {}", route.kernel, route.why);
    }
    let start = Instant::now();
    let verdicts = engine.call_many_blocking::<MlDsaVerify>(jobs)?;
    let time = start.elapsed();
    let valid = verdicts.iter().filter(|valid| **valid).count();
    println!(
        "{valid} of {} signatures are valid, {time:?}",
        verdicts.len()
    );
    Ok(())
}
