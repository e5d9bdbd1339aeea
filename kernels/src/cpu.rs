//! What this processor can do, found once at run time.

use std::{fmt, sync::OnceLock};

/// Instruction sets that kernels may use. A field is `true` only where both the processor and the operating system
/// support the set; fields of other architectures are `false`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Features {
    /// x86-64: 256-bit integer vectors.
    pub avx2: bool,
    /// x86-64: 512-bit vectors (F, BW, DQ and VL together).
    pub avx512: bool,
    /// x86-64: byte permutations of whole registers.
    pub avx512_vbmi: bool,
    /// x86-64: compress-store of bytes and 16-bit words.
    pub avx512_vbmi2: bool,
    /// x86-64: products of 52-bit integers.
    pub avx512_ifma: bool,
    /// x86-64: and-not, and other operations on bits.
    pub bmi1: bool,
    /// x86-64: bit deposit and extract, rotations and products that leave the flags alone.
    pub bmi2: bool,
    /// x86-64: sums with two chains of carries.
    pub adx: bool,
    /// aarch64: 128-bit vectors.
    pub neon: bool,
    /// aarch64: SHA-3 instructions (EOR3, RAX1, XAR, BCAX).
    pub sha3: bool,
}

impl Features {
    #[cfg(target_arch = "x86_64")]
    fn detect() -> Self {
        use std::arch::is_x86_feature_detected as has;
        Self {
            avx2: has!("avx2"),
            avx512: has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl"),
            avx512_vbmi: has!("avx512vbmi"),
            avx512_vbmi2: has!("avx512vbmi2"),
            avx512_ifma: has!("avx512ifma"),
            bmi1: has!("bmi1"),
            bmi2: has!("bmi2"),
            adx: has!("adx"),
            ..Self::default()
        }
    }

    #[cfg(target_arch = "aarch64")]
    fn detect() -> Self {
        use std::arch::is_aarch64_feature_detected as has;
        Self {
            neon: has!("neon"),
            sha3: has!("sha3"),
            ..Self::default()
        }
    }

    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    fn detect() -> Self {
        Self::default()
    }
}

/// The architecture followed by the sets found: `x86_64: avx2 avx512 bmi2`.
impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", std::env::consts::ARCH)?;
        let names = [
            (self.avx2, "avx2"),
            (self.avx512, "avx512"),
            (self.avx512_vbmi, "avx512-vbmi"),
            (self.avx512_vbmi2, "avx512-vbmi2"),
            (self.avx512_ifma, "avx512-ifma"),
            (self.bmi1, "bmi1"),
            (self.bmi2, "bmi2"),
            (self.adx, "adx"),
            (self.neon, "neon"),
            (self.sha3, "sha3"),
        ];
        let mut any = false;
        for (_, name) in names.iter().filter(|(present, _)| *present) {
            write!(f, " {name}")?;
            any = true;
        }
        if any {
            Ok(())
        } else {
            f.write_str(" baseline")
        }
    }
}

/// The features of the machine this runs on, detected at the first call.
pub fn features() -> Features {
    static FOUND: OnceLock<Features> = OnceLock::new();
    *FOUND.get_or_init(Features::detect)
}

/// The instruction sets that kernels have code for, each with all it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Level {
    /// Safe Rust without vectors.
    Portable,
    /// 128-bit NEON, part of every aarch64 processor.
    Neon,
    /// 256-bit AVX2.
    Avx2,
    /// 512-bit AVX-512: F, BW, DQ, VL and VBMI (Ice Lake, Zen 4 and later).
    Avx512,
}

impl Level {
    /// All levels, slowest first.
    pub const ALL: [Self; 4] = [Self::Portable, Self::Neon, Self::Avx2, Self::Avx512];

    /// Whether this processor can run the level.
    pub fn is_available(self) -> bool {
        let found = features();
        match self {
            Self::Portable => true,
            Self::Neon => found.neon,
            Self::Avx2 => found.avx2,
            Self::Avx512 => found.avx2 && found.avx512 && found.avx512_vbmi,
        }
    }

    /// The level itself where the processor has it, else [`Level::Portable`].
    pub fn available(self) -> Self {
        if self.is_available() {
            self
        } else {
            Self::Portable
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Portable => "portable",
            Self::Neon => "neon",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        })
    }
}

/// The best level of this machine, found at the first call.
pub fn level() -> Level {
    static BEST: OnceLock<Level> = OnceLock::new();
    *BEST.get_or_init(|| {
        Level::ALL
            .into_iter()
            .rfind(|level| level.is_available())
            .unwrap_or(Level::Portable)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_lists_what_is_there() {
        let none = Features::default().to_string();
        assert!(none.ends_with(": baseline"), "{none}");
        let some = Features {
            avx2: true,
            bmi2: true,
            ..Features::default()
        };
        assert!(some.to_string().ends_with(": avx2 bmi2"), "{some}");
    }

    #[test]
    fn detection_is_stable() {
        assert_eq!(features(), Features::detect());
    }
}
