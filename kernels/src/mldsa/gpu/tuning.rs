//! Shapes that change speed and never verdicts, and how to choose them by measurement.

use super::{BatchVerifier, GpuVerdict, shaders};
use crate::{
    gpu::{AdapterInfo, Device, DeviceType, GpuError, ShaderChecks},
    mldsa::{job::VerifyJob, known_answers, params::ParameterSet},
};
use std::{
    fmt,
    str::FromStr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Jobs of one submission on hardware.
const MAX_BATCH: usize = 4096;
/// Jobs of one submission on a software driver, where a submission should not hold the processor for seconds.
const MAX_BATCH_SOFTWARE: usize = 256;
/// Staging and scratch memory on hardware.
const MEMORY: u64 = 256 << 20;
/// The same on a software driver.
const MEMORY_SOFTWARE: u64 = 64 << 20;
/// Blocks of SHAKE after which a rejection loop gives up. An entry of A needs five blocks and a challenge one, rarely
/// more; 16 hold 896 candidates for 256 coefficients, or 2,168 for 60 positions.
const REJECTION_BLOCKS: u32 = 16;
/// Jobs that a candidate is timed on.
const CALIBRATION_JOBS: usize = 1024;
/// Time for measurements when a verifier is opened on hardware.
const CALIBRATION_TIME: Duration = Duration::from_millis(200);
/// Compilation is not measured; no candidate is begun when so many times the measuring time have passed in all.
const CALIBRATION_WALL: u32 = 10;

/// Integers that the shaders multiply and hash with. Verdicts and interfaces are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Integers {
    /// 32 bits, on every device: lanes of Keccak in pairs of words, high halves of products from 16-bit halves.
    #[default]
    U32,
    /// 64 bits, where the device has them in shaders.
    U64,
}

/// Shapes that change speed and never verdicts.
///
/// [`Tuning::of`] is a fixed choice; [`Tuning::calibrate`] measures. What was measured can be stored as text and read
/// back (`Display`, `FromStr`), so that it need not be measured at each start; the fields for tests are not part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tuning {
    /// Threads of a workgroup of the kernels that only transform, 32 to 256; a multiple of 32, which share a polynomial.
    pub lanes: u32,
    /// Threads of a workgroup of the kernels that hash, 32 to 128; a multiple of 32.
    pub hash_threads: u32,
    /// Integers of the shaders.
    pub integers: Integers,
    /// Jobs of one submission; the device's limits and `memory` lower it further.
    pub max_batch: usize,
    /// Submissions that can be in flight at once, at least 1. With two, one is filled while the other is computed.
    pub slots: usize,
    /// Bytes of staging and scratch memory, host and device and all slots together. At least room for one job is taken.
    pub memory: u64,
    /// Gives the first thread the last element: for tests that look for missing barriers.
    pub reverse_lanes: bool,
    /// Blocks of SHAKE after which a rejection loop gives up and the job is [`GpuVerdict::Undecided`].
    pub rejection_blocks: u32,
    /// Run-time checks of the shaders.
    pub checks: ShaderChecks,
    /// Fills all scratch memory with this word before each batch: for tests that look for stale data.
    pub poison: Option<u32>,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            lanes: 128,
            hash_threads: 64,
            integers: Integers::U32,
            max_batch: MAX_BATCH,
            slots: 2,
            memory: MEMORY,
            reverse_lanes: false,
            rejection_blocks: REJECTION_BLOCKS,
            checks: ShaderChecks::Trusted,
            poison: None,
        }
    }
}

impl Tuning {
    /// A fixed choice that every device can run.
    pub fn of(device: &Device) -> Self {
        let default = Self::default();
        let mut tuning = match device.info().device_type {
            DeviceType::Cpu => Self {
                max_batch: MAX_BATCH_SOFTWARE,
                memory: MEMORY_SOFTWARE,
                ..default
            },
            _ => default,
        };
        if tuning.unsupported(device).is_some() {
            (tuning.hash_threads, tuning.lanes) = (32, 32);
        }
        tuning
    }

    /// What a verifier is opened with when nothing is known: measured on hardware, fixed on software drivers, whose
    /// time says nothing of a GPU's.
    pub(super) fn at_opening(device: &Device) -> Result<Self, GpuError> {
        match device.info().device_type {
            DeviceType::Discrete | DeviceType::Integrated | DeviceType::Virtual => {
                Self::remembered(device, CALIBRATION_TIME)
            }
            DeviceType::Cpu | DeviceType::Other => Ok(Self::of(device)),
        }
    }

    /// [`calibrate`](Self::calibrate) once a process for each kind of adapter: a device that is opened again after a
    /// loss need not be measured again.
    fn remembered(device: &Device, limit: Duration) -> Result<Self, GpuError> {
        static CHOSEN: Mutex<Vec<(AdapterInfo, Tuning)>> = Mutex::new(Vec::new());
        // Held while measuring, so that two devices do not disturb each other's times. A panic leaves the list whole.
        let mut chosen = CHOSEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, tuning)) = chosen.iter().find(|(info, _)| info == device.info()) {
            return Ok(*tuning);
        }
        let tuning = Self::calibrate(device, limit)?;
        chosen.push((device.info().clone(), tuning));
        Ok(tuning)
    }

    /// Times [`candidates`](Self::candidates) on a batch of embedded answers, for about `limit` without compilation, and
    /// returns the fastest that gave every answer right; [`of`](Self::of) if none did.
    ///
    /// # Errors
    /// [`GpuError`] if the device was lost or took too long.
    pub fn calibrate(device: &Device, limit: Duration) -> Result<Self, GpuError> {
        let answers: Vec<(VerifyJob, bool)> = known_answers()
            .into_iter()
            .filter(|(job, _)| job.parameter_set() == ParameterSet::MlDsa65)
            .collect();
        let begun = Instant::now();
        let mut measured = Duration::ZERO;
        let mut best: Option<(Duration, Self)> = None;
        for candidate in Self::candidates(device) {
            if measured >= limit || begun.elapsed() >= limit * CALIBRATION_WALL {
                break;
            }
            let time = match candidate.time(device, &answers, limit - measured, &mut measured) {
                Ok(Some(time)) => time,
                // A shape that this device refuses or gets wrong is none to choose.
                Ok(None) | Err(GpuError::Rejected { .. }) => continue,
                Err(error) => return Err(error),
            };
            if best.is_none_or(|(least, _)| time < least) {
                best = Some((time, candidate));
            }
        }
        Ok(best.map_or_else(|| Self::of(device), |(_, tuning)| tuning))
    }

    /// The shapes that [`calibrate`](Self::calibrate) tries on a device, the fixed choice first.
    pub fn candidates(device: &Device) -> Vec<Self> {
        let base = Self::of(device);
        let mut all = vec![base];
        for integers in [Integers::U32, Integers::U64] {
            for (hash_threads, lanes) in [(64, 128), (32, 64), (96, 128), (128, 256), (64, 32)] {
                let candidate = Self {
                    hash_threads,
                    lanes,
                    integers,
                    ..base
                };
                if candidate != base && candidate.unsupported(device).is_none() {
                    all.push(candidate);
                }
            }
        }
        all
    }

    /// The least time of some runs of one batch; `None` if a verdict was wrong.
    fn time(
        self,
        device: &Device,
        answers: &[(VerifyJob, bool)],
        limit: Duration,
        measured: &mut Duration,
    ) -> Result<Option<Duration>, GpuError> {
        let mut verifier = BatchVerifier::with_tuning(device, self)?;
        let right = |verifier: &mut BatchVerifier, count: usize| -> Result<bool, GpuError> {
            let batch: Vec<_> = answers.iter().cycle().take(count).collect();
            let jobs: Vec<&VerifyJob> = batch.iter().map(|(job, _)| job).collect();
            let verdicts = verifier.verify(&jobs)?;
            Ok(verdicts
                .iter()
                .zip(&batch)
                .all(|(verdict, (_, valid))| match verdict {
                    GpuVerdict::Valid => *valid,
                    GpuVerdict::Invalid => !valid,
                    GpuVerdict::Undecided => false,
                }))
        };
        // Compiles, and asks each kind of job once.
        if !right(&mut verifier, answers.len())? {
            return Ok(None);
        }
        let count = CALIBRATION_JOBS.min(verifier.max_batch());
        let mut least = Duration::MAX;
        let mut spent = Duration::ZERO;
        for _ in 0..3 {
            let begun = Instant::now();
            let all_right = right(&mut verifier, count)?;
            let time = begun.elapsed();
            *measured += time;
            spent += time;
            if !all_right {
                return Ok(None);
            }
            least = least.min(time);
            if spent >= limit {
                break;
            }
        }
        Ok(Some(least))
    }

    /// Why a device cannot run these shapes.
    pub(super) fn unsupported(&self, device: &Device) -> Option<String> {
        let limits = device.raw().limits();
        let team = shaders::TEAM;
        let fits = |threads: u32, most: u32| {
            threads >= team && threads.is_multiple_of(team) && threads <= most
        };
        let most = limits
            .max_compute_invocations_per_workgroup
            .min(limits.max_compute_workgroup_size_x);
        if !fits(self.hash_threads, most.min(128)) || !fits(self.lanes, most.min(256)) {
            return Some(format!(
                "workgroups of {} and {} threads: both must be multiples of {team}, at most 128 and 256 and what the device allows ({most})",
                self.hash_threads, self.lanes
            ));
        }
        let bytes = shaders::workgroup_bytes(self.hash_threads, self.lanes);
        let storage = limits.max_compute_workgroup_storage_size;
        if bytes > storage {
            return Some(format!(
                "workgroups of {} and {} threads need {bytes} bytes of workgroup memory and the device has {storage}: use fewer threads",
                self.hash_threads, self.lanes
            ));
        }
        if self.integers == Integers::U64 && !device.has_int64() {
            return Some("the device has no 64-bit integers in shaders: use 32-bit ones".into());
        }
        None
    }
}

/// `hash_threads=64 lanes=128 integers=u32 max_batch=4096 slots=2 memory=268435456`.
impl fmt::Display for Tuning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let integers = match self.integers {
            Integers::U32 => "u32",
            Integers::U64 => "u64",
        };
        write!(
            f,
            "hash_threads={} lanes={} integers={integers} max_batch={} slots={} memory={}",
            self.hash_threads, self.lanes, self.max_batch, self.slots, self.memory
        )
    }
}

/// Why a text is no [`Tuning`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is no setting of a tuning: {expected}")]
pub struct ParseTuningError {
    /// The word that could not be read.
    word: String,
    expected: &'static str,
}

/// Words `name=value` in any order; what is not named has its default value. Whether a device can run the shapes is
/// found out by [`BatchVerifier::with_tuning`].
impl FromStr for Tuning {
    type Err = ParseTuningError;

    fn from_str(text: &str) -> Result<Self, ParseTuningError> {
        let mut tuning = Self::default();
        for word in text.split_whitespace() {
            let error = |expected| ParseTuningError {
                word: word.to_owned(),
                expected,
            };
            let (name, value) = word
                .split_once('=')
                .ok_or_else(|| error("expected name=value"))?;
            let number = || {
                value
                    .parse::<u64>()
                    .map_err(|_| error("expected a whole number"))
            };
            let small = || u32::try_from(number()?).map_err(|_| error("expected a smaller number"));
            let size =
                || usize::try_from(number()?).map_err(|_| error("expected a smaller number"));
            match name {
                "hash_threads" => tuning.hash_threads = small()?,
                "lanes" => tuning.lanes = small()?,
                "integers" => {
                    tuning.integers = match value {
                        "u32" => Integers::U32,
                        "u64" => Integers::U64,
                        _ => return Err(error("expected u32 or u64")),
                    }
                }
                "max_batch" => tuning.max_batch = size()?,
                "slots" => tuning.slots = size()?,
                "memory" => tuning.memory = number()?,
                _ => {
                    return Err(error(
                        "expected hash_threads, lanes, integers, max_batch, slots or memory",
                    ));
                }
            }
        }
        Ok(tuning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tunings_come_back_from_text() {
        let tuning = Tuning {
            hash_threads: 32,
            lanes: 256,
            integers: Integers::U64,
            max_batch: 7,
            slots: 3,
            memory: 1 << 40,
            ..Tuning::default()
        };
        assert_eq!(tuning.to_string().parse(), Ok(tuning));
        assert_eq!("".parse(), Ok(Tuning::default()));
        for wrong in [
            "lanes",
            "lanes=",
            "lanes=-1",
            "integers=u16",
            "lanes=4294967296",
            "x=1",
        ] {
            let error = wrong.parse::<Tuning>().unwrap_err();
            assert!(error.to_string().contains(wrong), "{error}");
        }
    }

    /// The second time nothing is compiled or measured: no time is left for it.
    #[test]
    fn what_was_measured_is_remembered() {
        let device = Device::noop().unwrap();
        let first = Tuning::remembered(&device, Duration::from_millis(1)).unwrap();
        // A device that computes nothing gives no right answer, so no candidate is chosen.
        assert_eq!(first, Tuning::of(&device));
        device.destroy();
        assert!(Tuning::calibrate(&device, Duration::from_secs(1)).is_err());
        assert_eq!(Tuning::remembered(&device, Duration::ZERO), Ok(first));
    }

    #[test]
    fn impossible_shapes_are_refused() {
        let device = Device::noop().unwrap();
        for (hash_threads, lanes) in [(0, 32), (32, 0), (48, 64), (64, 512), (256, 32)] {
            let tuning = Tuning {
                hash_threads,
                lanes,
                ..Tuning::of(&device)
            };
            let error = BatchVerifier::with_tuning(&device, tuning).unwrap_err();
            assert!(matches!(error, GpuError::Rejected { .. }), "{error}");
        }
    }
}
