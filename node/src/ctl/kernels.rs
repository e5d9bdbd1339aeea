//! The kernels that an engine can have, by name: `parsctl` tests and measures every one, whether a node uses it or not.

use std::time::{Duration, Instant};

use pars_engine::{
    ClsagVerify, EcdsaRecover, EcdsaVerify, Ed25519Verify, Engine, EngineBuilder, Kernel,
    LsagRistretto255Verify, LsagSecp256k1Verify, MlDsaVerify, PedersenCommit, PoseidonCompress,
    PoseidonHash, PoseidonVerifyPath, SchnorrVerify, SmallCompress, SmallHash,
};

use super::CtlError;
use super::bench::{Figure, repeat};

/// A kernel without its types.
#[derive(Clone, Copy)]
pub(super) struct AnyKernel {
    pub(super) name: &'static str,
    /// Joins it to an engine.
    join: fn(EngineBuilder) -> EngineBuilder,
    /// Measures it on the calling thread, or through an engine.
    pub(super) measure: fn(Option<&Engine>, usize, Duration) -> Result<Figure, CtlError>,
}

impl std::fmt::Debug for AnyKernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

const fn row<K: Kernel<Job: Clone>>() -> AnyKernel {
    AnyKernel {
        name: K::NAME,
        join: |builder| builder.kernel::<K>(),
        measure: measure::<K>,
    }
}

/// Every kernel of the engine.
pub(super) const ALL: [AnyKernel; 14] = [
    row::<MlDsaVerify>(),
    row::<EcdsaRecover>(),
    row::<EcdsaVerify>(),
    row::<SchnorrVerify>(),
    row::<LsagSecp256k1Verify>(),
    row::<Ed25519Verify>(),
    row::<ClsagVerify>(),
    row::<LsagRistretto255Verify>(),
    row::<PoseidonHash>(),
    row::<PoseidonCompress>(),
    row::<PoseidonVerifyPath>(),
    row::<SmallHash>(),
    row::<SmallCompress>(),
    row::<PedersenCommit>(),
];

/// An engine of the given kernels beside the usual ones.
pub(super) fn join(builder: EngineBuilder, kernels: &[AnyKernel]) -> EngineBuilder {
    kernels
        .iter()
        .fold(builder, |builder, kernel| (kernel.join)(builder))
}

/// The kernel of a name, as a command line gives it.
pub(super) fn named(name: &str) -> Result<AnyKernel, String> {
    let found = ALL.into_iter().find(|kernel| kernel.name == name);
    found.ok_or_else(|| {
        let names = ALL.map(|kernel| kernel.name).join(", ");
        format!("there is no such kernel; these are: {names}")
    })
}

/// Repeats a batch of known answers; every answer is checked.
fn measure<K: Kernel<Job: Clone>>(
    engine: Option<&Engine>,
    size: usize,
    limit: Duration,
) -> Result<Figure, CtlError> {
    let known = K::known_answers();
    let usual = known.iter().filter(|(_, answer)| !K::must_confirm(answer));
    // Of one group, as a batch has it.
    let group = usual.clone().next().map(|(job, _)| K::group(job));
    let usual = usual.filter(|(job, _)| Some(K::group(job)) == group);
    let (jobs, expected): (Vec<K::Job>, Vec<K::Output>) = usual.cloned().cycle().take(size).unzip();
    let state = K::State::default();
    repeat(limit, || {
        let start = Instant::now();
        let answers = match engine {
            None => K::run_cpu_batch(&state, &jobs.iter().collect::<Vec<_>>()),
            Some(engine) => engine.call_many_blocking::<K>(jobs.clone())?,
        };
        let time = start.elapsed();
        if answers == expected {
            Ok(time)
        } else {
            Err(CtlError::WrongVerdict {
                path: K::NAME.to_owned(),
                batch: size,
            })
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for (at, kernel) in ALL.iter().enumerate() {
            assert!(ALL[..at].iter().all(|other| other.name != kernel.name));
            assert_eq!(named(kernel.name).unwrap().name, kernel.name);
        }
        assert!(named("mldsa").unwrap_err().contains("mldsa/verify"));
    }

    #[test]
    fn every_kernel_is_measured_alone_and_in_an_engine() {
        let builder = Engine::builder().gpu(pars_engine::GpuPolicy::Off);
        let engine = join(builder, &ALL).build().unwrap();
        for kernel in ALL {
            for engine in [None, Some(&engine)] {
                let figure = (kernel.measure)(engine, 3, Duration::ZERO).unwrap();
                assert!(figure.rate(3) > 0.0, "{kernel:?}");
            }
        }
    }
}
