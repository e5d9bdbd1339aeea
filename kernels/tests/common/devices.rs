//! The adapters that shader tests run on.

use pars_kernels::gpu::{Adapter, Device, DeviceType, adapters};
use std::time::Duration;

/// Time limit of each wait: a software driver compiles a kernel at its first dispatch, on a busy machine slowly.
pub const TIMEOUT: Duration = Duration::from_secs(120);

/// Every adapter that counts. Where there is none the tests say so, or fail if `PARS_REQUIRE_GPU_TESTS=1` (any adapter
/// counts) or `PARS_REQUIRE_GPU=1` (software drivers do not count) is set.
pub fn all() -> Vec<Adapter> {
    let set = |name: &str| std::env::var(name).is_ok_and(|value| value == "1");
    let hardware_only = set("PARS_REQUIRE_GPU");
    let found: Vec<Adapter> = adapters()
        .into_iter()
        .filter(|adapter| !hardware_only || adapter.info().device_type != DeviceType::Cpu)
        .collect();
    if found.is_empty() {
        assert!(
            !hardware_only && !set("PARS_REQUIRE_GPU_TESTS"),
            "no {} adapter found, and one is required",
            if hardware_only { "hardware" } else { "GPU" },
        );
        eprintln!(
            "no GPU adapter found: shaders not run (install a Vulkan driver, for example mesa-vulkan-drivers)"
        );
    }
    found
}

/// Opens each adapter and runs `test` on it, naming it in the output.
pub fn each(mut test: impl FnMut(&Device)) {
    for adapter in all() {
        eprintln!("adapter: {}", adapter.info());
        let device = adapter.open(TIMEOUT).unwrap();
        test(&device);
    }
}
