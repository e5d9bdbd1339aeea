//! What the kernels of short Weierstrass curves share on a device.

use pars_kernels::curve::gpu::{CurveError, Tuning};

use crate::context::GpuContext;
use crate::error::DeviceError;

/// Parts of a kernel's memory, of which the jobs of a batch hold one.
pub(crate) const PARTS: u64 = 8;

/// Shapes for a device of which a kernel may hold so much.
pub(crate) fn tuning(context: &GpuContext<'_>) -> Tuning {
    let memory = usize::try_from(context.memory()).unwrap_or(usize::MAX);
    let mut tuning = Tuning::of(context.device());
    // A sum has less than 2 KiB of tables, and half a kilobyte in each of three slots; sizes are rounded up to powers of two.
    tuning.max_batch = tuning.max_batch.min(memory >> 13).max(1);
    tuning
}

impl From<CurveError> for DeviceError {
    fn from(error: CurveError) -> Self {
        match error {
            CurveError::Gpu(error) => error.into(),
            CurveError::Unfinished { missing, sums, .. } => Self::AnswerCount {
                asked: sums,
                got: sums.saturating_sub(missing),
            },
            other => Self::Rejected(other.to_string()),
        }
    }
}
