//! The device that `pars-gpu` is.

use std::time::Duration;

use pars_kernels::gpu::{Device, DeviceType, adapters};

/// How long a device may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A device, and how large batches are that it is given.
pub struct Opened {
    pub device: Device,
    hardware: bool,
}

/// The first adapter, hardware before software. Nothing if it is software and that was not asked for.
pub fn open() -> Option<Opened> {
    let mut found = adapters();
    found.sort_by_key(|adapter| adapter.info().device_type == DeviceType::Cpu);
    let adapter = found.first()?;
    let hardware = adapter.info().device_type != DeviceType::Cpu;
    let software_too = std::env::var("PARS_BENCH_SOFTWARE_GPU").is_ok_and(|value| value == "1");
    if !hardware && !software_too {
        println!("no GPU: {} is software\n", adapter.info());
        return None;
    }
    println!("pars-gpu is {}\n", adapter.info());
    let device = adapter.open(TIMEOUT).unwrap();
    Some(Opened { device, hardware })
}

impl Opened {
    /// Batches of these sizes, or one of 64 for a software driver, made by repeating what there is.
    pub fn batches<T: Clone>(&self, all: &[T], sizes: &[usize]) -> Vec<Vec<T>> {
        let sizes = if self.hardware { sizes } else { &[64] };
        let batch = |size: &usize| all.iter().cycle().take(*size).cloned().collect();
        sizes.iter().map(batch).collect()
    }
}
