//! secp256k1 by every level of this processor and on every adapter.

use pars_kernels::{
    cpu::Level,
    secp256k1::{Point, RecoverJob, ecdsa, recover_addresses_at, recover_batch_at, schnorr},
};

/// The levels that this processor has.
pub fn levels() -> impl Iterator<Item = Level> {
    Level::ALL.into_iter().filter(|level| level.is_available())
}

/// All of them, devices opened once.
pub struct Backends {
    #[cfg(feature = "gpu")]
    devices: Vec<(String, pars_kernels::secp256k1::gpu::BatchVerifier)>,
}

impl Backends {
    pub fn open() -> Self {
        Self {
            #[cfg(feature = "gpu")]
            devices: {
                let mut devices = Vec::new();
                super::devices::each(|device| {
                    let verifier = pars_kernels::secp256k1::gpu::BatchVerifier::new(device);
                    devices.push((device.info().to_string(), verifier.unwrap()));
                });
                devices
            },
        }
    }

    /// The keys, by each back end.
    pub fn recover(&mut self, jobs: &[&RecoverJob]) -> Vec<(String, Vec<Option<Point>>)> {
        #[allow(unused_mut)]
        let mut all: Vec<_> = levels()
            .map(|level| (level.to_string(), recover_batch_at(level, jobs)))
            .collect();
        #[cfg(feature = "gpu")]
        for (name, device) in &mut self.devices {
            all.push((name.clone(), device.recover(jobs).unwrap()));
        }
        all
    }

    /// The addresses, by each back end.
    pub fn addresses(&mut self, jobs: &[&RecoverJob]) -> Vec<(String, Vec<Option<[u8; 20]>>)> {
        #[allow(unused_mut)]
        let mut all: Vec<_> = levels()
            .map(|level| (level.to_string(), recover_addresses_at(level, jobs)))
            .collect();
        #[cfg(feature = "gpu")]
        for (name, device) in &mut self.devices {
            all.push((name.clone(), device.recover_addresses(jobs).unwrap()));
        }
        all
    }

    /// The verdicts on ECDSA signatures, by each back end.
    pub fn ecdsa(&mut self, jobs: &[&ecdsa::VerifyJob]) -> Vec<(String, Vec<bool>)> {
        #[allow(unused_mut)]
        let mut all: Vec<_> = levels()
            .map(|level| (level.to_string(), ecdsa::verify_batch_at(level, jobs)))
            .collect();
        #[cfg(feature = "gpu")]
        for (name, device) in &mut self.devices {
            all.push((name.clone(), device.verify_ecdsa(jobs).unwrap()));
        }
        all
    }

    /// The verdicts on BIP-340 signatures, by each back end.
    pub fn schnorr(&mut self, jobs: &[&schnorr::VerifyJob]) -> Vec<(String, Vec<bool>)> {
        #[allow(unused_mut)]
        let mut all: Vec<_> = levels()
            .map(|level| (level.to_string(), schnorr::verify_batch_at(level, jobs)))
            .collect();
        #[cfg(feature = "gpu")]
        for (name, device) in &mut self.devices {
            all.push((name.clone(), device.verify_schnorr(jobs).unwrap()));
        }
        all
    }
}
