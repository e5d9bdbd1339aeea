//! Adapters and devices. A device is owned by whoever opened it: every call blocks, waits are bounded by the time limit
//! given when it was opened, and nothing here starts a thread or needs an async runtime.

mod adapter;
mod buffer;
mod compute;
mod device;
mod pipelines;
mod shader;
mod slots;

pub use adapter::{Adapter, AdapterInfo, DeviceType, adapters};
pub(crate) use buffer::Buffer;
pub(crate) use compute::UNIFORM_STRIDE;
pub(crate) use device::Mapping;
pub use device::{Device, Fence, GpuError};
pub use shader::ShaderChecks;
pub(crate) use slots::{Slot, Slots};
