//! Poseidon and Poseidon2 over BN254 as kernels of the engine: hashes, compressions, Merkle paths.
//!
//! They join an engine through [`EngineBuilder::poseidon`]. A batch holds one instance (and, for circomlib's Poseidon, one number of
//! inputs), since each is a shader of its own.

mod answers;
mod compress;
#[cfg(feature = "gpu")]
mod gpu;
mod hash;
mod path;
mod small;

use pars_kernels::poseidon::Instance;

use crate::builder::EngineBuilder;

pub use compress::{PoseidonCompress, PoseidonPair};
pub use hash::{PoseidonHash, PoseidonList};
pub use path::{PoseidonPath, PoseidonVerifyPath};
pub use small::{SmallCompress, SmallHash, SmallKernel, SmallPair, SmallRow};

/// Jobs that fill the vector lanes of a core several times over.
const CHUNK: usize = 64;

impl EngineBuilder {
    /// Adds the kernels of Poseidon: [`PoseidonHash`], [`PoseidonCompress`], [`PoseidonVerifyPath`].
    #[must_use]
    pub fn poseidon(self) -> Self {
        self.kernel::<PoseidonHash>()
            .kernel::<PoseidonCompress>()
            .kernel::<PoseidonVerifyPath>()
    }
}

/// Answers of jobs by instance: the engine makes batches of one, self-tests hold all.
fn by_instance<J, A: Clone + Default>(
    jobs: &[&J],
    instance_of: impl Fn(&J) -> Instance,
    mut answer: impl FnMut(Instance, &[&J]) -> Vec<A>,
) -> Vec<A> {
    let mut out = vec![A::default(); jobs.len()];
    for instance in Instance::ALL {
        let (places, chosen): (Vec<usize>, Vec<&J>) = jobs
            .iter()
            .copied()
            .enumerate()
            .filter(|(_, job)| instance_of(job) == instance)
            .unzip();
        if chosen.is_empty() {
            continue;
        }
        for (at, answer) in places.into_iter().zip(answer(instance, &chosen)) {
            if let Some(place) = out.get_mut(at) {
                *place = answer;
            }
        }
    }
    out
}
