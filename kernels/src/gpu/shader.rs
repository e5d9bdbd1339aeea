//! Shader modules of this crate, with or without the run-time checks that wgpu can add.

// The one place where run-time checks of shaders are turned off.
#![allow(unsafe_code)]

use super::device::{Device, GpuError};

/// Whether wgpu adds bounds checks and loop counters to a shader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ShaderChecks {
    /// None: the shaders of this crate bound every loop and index by themselves. The loop counters that wgpu would add
    /// keep drivers from unrolling and cost a factor of three to eight.
    #[default]
    Trusted,
    /// All of them, for tests.
    Checked,
}

impl Device {
    /// Compiles WGSL written in this crate.
    ///
    /// # Errors
    /// [`GpuError::Rejected`] if it does not compile.
    pub(crate) fn shader(
        &self,
        label: &str,
        source: String,
        checks: ShaderChecks,
    ) -> Result<wgpu::ShaderModule, GpuError> {
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(label),
            source: wgpu::ShaderSource::Wgsl(source.into()),
        };
        self.scoped(|| match checks {
            ShaderChecks::Checked => self.raw().create_shader_module(descriptor),
            // SAFETY: the sources are part of this crate and never come from outside (the function is private to it).
            // In them every loop ends by a counter with a bound that does not depend on unchecked data, indices into
            // workgroup memory and struct members are below their lengths by construction, no division is by a value
            // that can be zero, and storage buffers keep the driver's bounds checks. The test suite runs the same
            // sources under `Checked` and compares verdicts.
            ShaderChecks::Trusted => unsafe {
                self.raw().create_shader_module_trusted(
                    descriptor,
                    wgpu::ShaderRuntimeChecks::unchecked(),
                )
            },
        })
    }
}
