//! Compiled pipelines that outlive the process, where the interface can keep them (Vulkan).
//!
//! The file is a help and never a need: one that is missing, damaged or of another adapter, driver or version of
//! wgpu is as good as none, and the driver compiles. It is written to a second file that then takes its place.

// The one place where data from a file is given to a driver.
#![allow(unsafe_code)]

use super::device::Device;
use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

/// First bytes of a file; then eight of a hash of the rest.
const MAGIC: &[u8; 16] = b"pars pipelines 1";
/// Most bytes of a file.
const MOST: usize = 64 << 20;

/// The pipelines of one device, and where they are kept.
#[derive(Debug)]
pub(super) struct Pipelines {
    cache: wgpu::PipelineCache,
    path: PathBuf,
    /// What the file held.
    loaded: Vec<u8>,
}

impl Device {
    /// From now on takes compiled pipelines from a file in `folder` that [`save_pipelines`](Self::save_pipelines)
    /// wrote on this adapter with this driver, at an earlier start. Whether the interface can do that.
    ///
    /// The folder must be as safe from others as the program itself: wgpu checks where the data comes from, and the
    /// driver trusts what is in it.
    pub fn keep_pipelines(&self, folder: &Path) -> bool {
        if !self
            .raw()
            .features()
            .contains(wgpu::Features::PIPELINE_CACHE)
        {
            return false;
        }
        let info = self.info();
        let path = folder.join(format!(
            "pipelines-{:016x}",
            hash(&(info.to_string(), info.vendor, info.device))
        ));
        let loaded = read(&path).unwrap_or_default();
        let descriptor = wgpu::PipelineCacheDescriptor {
            label: Some("pars"),
            data: (!loaded.is_empty()).then_some(loaded.as_slice()),
            fallback: true,
        };
        // SAFETY: the data must come from `PipelineCache::get_data`. It does: `read` only returns the rest of a file
        // that begins with our mark and has the hash that `save_pipelines` wrote over it, so that damage is found, in a
        // folder that the caller vouches for. That it is of this adapter and driver is checked by wgpu.
        let made = self.scoped(|| unsafe { self.raw().create_pipeline_cache(&descriptor) });
        let Ok(cache) = made else {
            return false;
        };
        let pipelines = Pipelines {
            cache,
            path,
            loaded,
        };
        self.pipelines().set(pipelines).is_ok()
    }

    /// Writes what the driver has compiled since [`keep_pipelines`](Self::keep_pipelines), if it is anything new.
    ///
    /// # Errors
    /// Whatever kept the file from being written.
    pub fn save_pipelines(&self) -> io::Result<()> {
        let Some(pipelines) = self.pipelines().get() else {
            return Ok(());
        };
        match pipelines.cache.get_data() {
            Some(data) if data.len() <= MOST && data != pipelines.loaded => {
                write(&pipelines.path, &data)
            }
            _ => Ok(()),
        }
    }

    /// What pipelines are compiled with.
    pub(crate) fn pipeline_cache(&self) -> Option<&wgpu::PipelineCache> {
        self.pipelines().get().map(|pipelines| &pipelines.cache)
    }
}

/// The same in every process of one build.
fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = MOST + MAGIC.len() + 8;
    let file = fs::File::open(path).ok()?;
    file.take(most as u64 + 1).read_to_end(&mut bytes).ok()?;
    let rest = bytes.strip_prefix(MAGIC)?;
    let (sum, data) = rest.split_first_chunk::<8>()?;
    (bytes.len() <= most && u64::from_le_bytes(*sum) == hash(&data)).then(|| data.to_vec())
}

fn write(path: &Path, data: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let draft = path.with_extension(format!("{}.draft", std::process::id()));
    let written = fs::File::create(&draft).and_then(|mut file| {
        file.write_all(MAGIC)?;
        file.write_all(&hash(&data).to_le_bytes())?;
        file.write_all(data)
    });
    let placed = written.and_then(|()| fs::rename(&draft, path));
    if placed.is_err() {
        let _ = fs::remove_file(&draft);
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_files_are_as_good_as_none() {
        let folder = std::env::temp_dir().join(format!("pars-pipelines-{}", std::process::id()));
        let path = folder.join("pipelines-0");
        let data: Vec<u8> = (0..200).collect();
        write(&path, &data).unwrap();
        assert_eq!(read(&path), Some(data));
        let good = fs::read(&path).unwrap();
        let mut flipped = good.clone();
        flipped[100] ^= 1;
        for wrong in [
            &[][..],
            b"something else",
            &good[..20],
            &good[..50],
            &flipped,
        ] {
            fs::write(&path, wrong).unwrap();
            assert_eq!(read(&path), None);
        }
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(read(&path), None);
    }

    #[test]
    fn a_device_that_cannot_keep_pipelines_says_so() {
        let device = Device::noop().unwrap();
        assert!(!device.keep_pipelines(Path::new("nowhere")));
        assert!(device.pipeline_cache().is_none() && device.save_pipelines().is_ok());
    }
}
