//! Finds the adapters of this machine and decides which of them are used.

use std::time::Duration;

use parking_lot::Mutex;
use pars_kernels::gpu::{self, Adapter, AdapterInfo, GpuError};

use crate::config::GpuPolicy;
use crate::device::{OpenDevice, Source};
use crate::error::DeviceError;
use crate::report::{AdapterKind, AdapterSummary};

impl From<GpuError> for DeviceError {
    fn from(error: GpuError) -> Self {
        let text = error.to_string();
        match error {
            GpuError::Lost { .. } => Self::Lost(text),
            GpuError::Timeout { .. } => Self::Timeout(text),
            GpuError::OutOfMemory { .. } => Self::OutOfMemory(text),
            GpuError::Open { .. } => Self::Open(text),
            _ => Self::Rejected(text),
        }
    }
}

/// An adapter and the verdict of the policy.
pub(crate) enum Found {
    Chosen(Source),
    NotChosen(AdapterSummary, String),
}

/// Looks for drivers and adapters. Takes a good part of a second where there are any.
pub(crate) fn find(policy: &GpuPolicy, timeout: Duration) -> Vec<Found> {
    let adapters = gpu::adapters();
    let summaries: Vec<_> = adapters
        .iter()
        .map(|adapter| AdapterSummary::from(adapter.info()))
        .collect();
    let verdicts = choose(policy, &summaries);
    adapters
        .into_iter()
        .zip(summaries)
        .zip(verdicts)
        .map(|((adapter, summary), verdict)| match verdict {
            Ok(()) => Found::Chosen(source(adapter, summary, timeout)),
            Err(reason) => Found::NotChosen(summary, reason),
        })
        .collect()
}

/// Applies the policy. Of one piece of hardware that several interfaces reach only the first is
/// taken.
fn choose(policy: &GpuPolicy, adapters: &[AdapterSummary]) -> Vec<Result<(), String>> {
    let mut interface: Option<&str> = None;
    adapters
        .iter()
        .map(|adapter| {
            match policy {
                GpuPolicy::Off => return Err("the policy is off".to_owned()),
                GpuPolicy::Any => {}
                GpuPolicy::Auto => match adapter.kind {
                    AdapterKind::Discrete | AdapterKind::Integrated | AdapterKind::Virtual => {}
                    AdapterKind::Software => {
                        return Err("a software adapter is slower than the CPU path".to_owned());
                    }
                    AdapterKind::Other | AdapterKind::Scripted => {
                        return Err("its driver does not say that it is a GPU".to_owned());
                    }
                },
                GpuPolicy::Named(name) => {
                    if !adapter.name.to_lowercase().contains(&name.to_lowercase()) {
                        return Err(format!("its name does not contain {name:?}"));
                    }
                }
            }
            match interface {
                Some(first) if first != adapter.backend => {
                    Err(format!("the adapters of {first} are used"))
                }
                _ => {
                    interface = Some(&adapter.backend);
                    Ok(())
                }
            }
        })
        .collect()
}

fn source(adapter: Adapter, summary: AdapterSummary, timeout: Duration) -> Source {
    let info = adapter.info().clone();
    let first = Mutex::new(Some(adapter));
    Source {
        summary,
        open: Box::new(move || {
            // After a loss a fresh instance is needed: the driver may have been restarted.
            let adapter = first
                .lock()
                .take()
                .or_else(|| find_again(&info))
                .ok_or_else(|| DeviceError::Open(format!("{} is no longer there", info.name)))?;
            Ok(OpenDevice::Gpu(adapter.open(timeout)?))
        }),
    }
}

fn find_again(info: &AdapterInfo) -> Option<Adapter> {
    gpu::adapters()
        .into_iter()
        .find(|adapter| adapter.info() == info)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter(name: &str, kind: AdapterKind, backend: &str) -> AdapterSummary {
        AdapterSummary {
            name: name.to_owned(),
            kind,
            backend: backend.to_owned(),
            driver: String::new(),
        }
    }

    #[test]
    fn policies_choose() {
        let adapters = [
            adapter("NVIDIA H100", AdapterKind::Discrete, "vulkan"),
            adapter("llvmpipe", AdapterKind::Software, "vulkan"),
            adapter("Mystery", AdapterKind::Other, "vulkan"),
            adapter("NVIDIA H100", AdapterKind::Discrete, "dx12"),
        ];
        let chosen = |policy: GpuPolicy| -> Vec<bool> {
            choose(&policy, &adapters)
                .iter()
                .map(Result::is_ok)
                .collect()
        };
        assert_eq!(chosen(GpuPolicy::Auto), [true, false, false, false]);
        assert_eq!(chosen(GpuPolicy::Any), [true, true, true, false]);
        assert_eq!(chosen(GpuPolicy::Off), [false; 4]);
        assert_eq!(
            chosen(GpuPolicy::Named("h100".into())),
            [true, false, false, false]
        );
        assert_eq!(
            chosen(GpuPolicy::Named("LLVM".into())),
            [false, true, false, false]
        );
    }
}
