//! What a kernel is given when it is opened on a GPU.

use pars_kernels::gpu::Device;

use crate::store::Store;

/// An open GPU, the memory that the kernel may take of it, and what the kernel wanted to know again.
pub struct GpuContext<'a> {
    device: &'a Device,
    memory: u64,
    store: Store,
    /// Names the adapter, its driver, this build and the kernel.
    prefix: String,
}

impl<'a> GpuContext<'a> {
    /// All memory of a device, and nothing known from before: for tests of a kernel outside an engine.
    pub fn new(device: &'a Device) -> Self {
        Self {
            device,
            memory: u64::MAX,
            store: Store::default(),
            prefix: String::new(),
        }
    }

    pub(crate) const fn within(
        device: &'a Device,
        memory: u64,
        store: Store,
        prefix: String,
    ) -> Self {
        Self {
            device,
            memory,
            store,
            prefix,
        }
    }

    /// The device. The kernel may keep a clone.
    pub const fn device(&self) -> &'a Device {
        self.device
    }

    /// Most bytes of device memory, staging included, that the kernel may hold on this device.
    pub const fn memory(&self) -> u64 {
        self.memory
    }

    /// What [`remember`](Self::remember) was given under this name, on this adapter with this driver
    /// and this build, now or at an earlier start. The text may be anything: whoever cannot read it goes on as
    /// if there were none.
    pub fn recall(&self, name: &str) -> Option<String> {
        self.store.get(&self.key(name))
    }

    /// Keeps a text, such as shapes found by measurement, for the next opening of the kernel. Up to 64 KiB;
    /// longer ones are not kept.
    pub fn remember(&self, name: &str, value: &str) {
        self.store.put(&self.key(name), value);
    }

    fn key(&self, name: &str) -> String {
        format!("{}|{name}", self.prefix)
    }
}

impl std::fmt::Debug for GpuContext<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GpuContext")
            .field("device", &self.device)
            .field("memory", &self.memory)
            .finish_non_exhaustive()
    }
}
