//! Reproducible random choices.

use std::time::{SystemTime, UNIX_EPOCH};

/// SplitMix64; the seed is printed, and `PARS_TEST_SEED` repeats a run's choices.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// From `PARS_TEST_SEED`, else from the clock. Prints the seed.
    pub fn from_env(what: &str) -> Self {
        let seed = match std::env::var("PARS_TEST_SEED") {
            Ok(text) => text.parse().expect("PARS_TEST_SEED is a number"),
            Err(_) => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(1, |time| time.as_micros() as u64),
        };
        println!("{what}: PARS_TEST_SEED={seed}");
        Self(seed)
    }

    /// Another sequence that follows from this one.
    pub fn fork(&mut self) -> Self {
        Self(self.next_u64())
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`, which is not zero.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next_u64() % limit
    }
}
