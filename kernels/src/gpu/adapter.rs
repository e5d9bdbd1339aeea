//! What GPUs this machine has.

use super::device::{Device, GpuError};
use std::{fmt, future::Future, pin::pin, task, time::Duration};

/// What kind of hardware an adapter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceType {
    /// A GPU with its own memory.
    Discrete,
    /// A GPU that shares the processor's memory.
    Integrated,
    /// A GPU seen through a virtual machine.
    Virtual,
    /// A software driver that runs on the processor, slower than the native code of this crate.
    Cpu,
    /// None of these, or unknown.
    Other,
}

impl fmt::Display for DeviceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Discrete => "discrete",
            Self::Integrated => "integrated",
            Self::Virtual => "virtual",
            Self::Cpu => "cpu",
            Self::Other => "other",
        })
    }
}

impl From<wgpu::DeviceType> for DeviceType {
    fn from(kind: wgpu::DeviceType) -> Self {
        match kind {
            wgpu::DeviceType::DiscreteGpu => Self::Discrete,
            wgpu::DeviceType::IntegratedGpu => Self::Integrated,
            wgpu::DeviceType::VirtualGpu => Self::Virtual,
            wgpu::DeviceType::Cpu => Self::Cpu,
            wgpu::DeviceType::Other => Self::Other,
        }
    }
}

/// What an adapter says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterInfo {
    /// The adapter's name.
    pub name: String,
    /// Its kind.
    pub device_type: DeviceType,
    /// The interface it is reached through: `vulkan`, `metal`, `dx12` or `noop`.
    pub backend: String,
    /// The driver's name.
    pub driver: String,
    /// The driver's version and build.
    pub driver_info: String,
    /// Vendor number (PCI where there is one).
    pub vendor: u32,
    /// Device number (PCI where there is one).
    pub device: u32,
}

impl From<wgpu::AdapterInfo> for AdapterInfo {
    fn from(info: wgpu::AdapterInfo) -> Self {
        Self {
            name: info.name,
            device_type: info.device_type.into(),
            backend: info.backend.to_str().to_owned(),
            driver: info.driver,
            driver_info: info.driver_info,
            vendor: info.vendor,
            device: info.device,
        }
    }
}

/// `NVIDIA H100 PCIe (discrete, vulkan, NVIDIA 580.65.06)`.
impl fmt::Display for AdapterInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {}", self.name, self.device_type, self.backend)?;
        let driver = format!("{} {}", self.driver, self.driver_info);
        match driver.trim() {
            "" => f.write_str(")"),
            driver => write!(f, ", {driver})"),
        }
    }
}

/// An adapter that has not been opened.
#[derive(Clone, Debug)]
pub struct Adapter {
    inner: wgpu::Adapter,
    info: AdapterInfo,
}

impl Adapter {
    /// What the adapter says of itself.
    pub fn info(&self) -> &AdapterInfo {
        &self.info
    }

    /// Opens a device with all that the adapter can do. `timeout` bounds each wait for the device from then on.
    ///
    /// # Errors
    /// [`GpuError::Open`] if the driver refuses.
    pub fn open(&self, timeout: Duration) -> Result<Device, GpuError> {
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("pars"),
            required_limits: self.inner.limits(),
            // 64-bit integers are used only where a measurement says so.
            required_features: self.inner.features()
                & (wgpu::Features::SHADER_INT64 | wgpu::Features::PIPELINE_CACHE),
            ..Default::default()
        };
        let opened = ready(self.inner.request_device(&descriptor));
        match opened {
            Some(Ok((device, queue))) => Ok(Device::from_parts(
                device,
                queue,
                self.info.clone(),
                timeout,
            )),
            Some(Err(error)) => Err(GpuError::Open {
                adapter: self.info.name.clone(),
                reason: error.to_string(),
            }),
            None => Err(GpuError::Open {
                adapter: self.info.name.clone(),
                reason: "the driver did not answer at once".into(),
            }),
        }
    }
}

/// Every adapter of this machine, in the order the drivers give them; empty where there is no driver. Makes a fresh
/// instance, so it also finds an adapter again after its device was lost.
pub fn adapters() -> Vec<Adapter> {
    let backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends,
        // No validation layers: they are not installed on users' machines, and wgpu validates by itself.
        flags: wgpu::InstanceFlags::empty(),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    ready(instance.enumerate_adapters(backends))
        .unwrap_or_default()
        .into_iter()
        .map(|inner| Adapter {
            info: inner.get_info().into(),
            inner,
        })
        .collect()
}

/// The result of a future that native back ends complete at once.
pub(super) fn ready<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut context = task::Context::from_waker(task::Waker::noop());
    match pin!(future).poll(&mut context) {
        task::Poll::Ready(value) => Some(value),
        task::Poll::Pending => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_names_adapter_and_driver() {
        let mut info = AdapterInfo {
            name: "GPU".into(),
            device_type: DeviceType::Discrete,
            backend: "vulkan".into(),
            driver: "driver".into(),
            driver_info: "1.2".into(),
            vendor: 1,
            device: 2,
        };
        assert_eq!(info.to_string(), "GPU (discrete, vulkan, driver 1.2)");
        info.driver.clear();
        info.driver_info.clear();
        assert_eq!(info.to_string(), "GPU (discrete, vulkan)");
    }
}
