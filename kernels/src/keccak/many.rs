//! Many messages of unequal length through one wide permutation.

use super::{LANES, permute};
use crate::cpu::{Level, level};

/// A Keccak sponge with capacity, padding and name of a standard function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sponge {
    rate: usize,
    suffix: u8,
}

impl Sponge {
    /// A sponge of `rate` bytes whose padding starts with the bits of `suffix`.
    const fn new(rate: usize, suffix: u8) -> Self {
        Self { rate, suffix }
    }

    /// SHA3-224 (FIPS 202, section 6.1); take 28 bytes of output.
    pub const SHA3_224: Self = Self::new(144, 0x06);
    /// SHA3-384 (FIPS 202, section 6.1); take 48 bytes of output.
    pub const SHA3_384: Self = Self::new(104, 0x06);
    /// Keccak-512 with the original padding; take 64 bytes of output.
    pub const KECCAK512: Self = Self::new(72, 0x01);
    /// SHAKE128 (FIPS 202, section 6.2).
    pub const SHAKE128: Self = Self::new(168, 0x1f);
    /// SHAKE256 (FIPS 202, section 6.2).
    pub const SHAKE256: Self = Self::new(136, 0x1f);
    /// SHA3-256 (FIPS 202, section 6.1); take 32 bytes of output.
    pub const SHA3_256: Self = Self::new(136, 0x06);
    /// SHA3-512 (FIPS 202, section 6.1); take 64 bytes of output.
    pub const SHA3_512: Self = Self::new(72, 0x06);
    /// Keccak-256 as Ethereum uses it; take 32 bytes of output.
    pub const KECCAK256: Self = Self::new(136, 0x01);

    /// Hashes every message, each the concatenation of two parts, and writes `outputs.len() / messages.len()`
    /// bytes for each, one after another.
    ///
    /// Messages share the lanes of one wide permutation: a lane whose message is finished takes the next,
    /// so unequal lengths leave no lane idle until the last few. The result is that of hashing each alone.
    /// If `outputs` does not divide evenly the rest of it is left as it is; nothing panics.
    pub fn hash_many(&self, messages: &[[&[u8]; 2]], outputs: &mut [u8]) {
        self.hash_many_at(level(), messages, outputs);
    }

    /// [`Self::hash_many`] by the code of one level, for tests and benchmarks; a level that this processor lacks is
    /// replaced by the portable one. Equal outputs on every level.
    pub fn hash_many_at(&self, level: Level, messages: &[[&[u8]; 2]], outputs: &mut [u8]) {
        match level.available() {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the level was found on this processor; blocks have the rate's length.
            #[allow(unsafe_code)]
            Level::Avx512 => self.run::<8>(messages, outputs, |states, step| unsafe {
                super::avx512::absorb8(states, step);
            }),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 if messages.len() > 4 => {
                #[allow(unsafe_code)]
                self.run::<8>(messages, outputs, |states, step| {
                    // SAFETY: the level was found on this processor; blocks have the rate's length.
                    unsafe { super::avx2::absorb8(states, step) };
                });
            }
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the level was found on this processor; blocks have the rate's length.
            #[allow(unsafe_code)]
            Level::Avx2 => self.run::<4>(messages, outputs, |states, step| unsafe {
                super::avx2::absorb4(states, step);
            }),
            #[cfg(target_arch = "aarch64")]
            Level::Neon => self.run::<2>(messages, outputs, |states, step| {
                step.absorb(states);
                super::neon::permute2(&mut states.0);
            }),
            _ => self.run::<1>(messages, outputs, |states, step| {
                step.absorb(states);
                let mut state = states.0.map(|[word]| word);
                permute(&mut state);
                states.0 = state.map(|word| [word]);
            }),
        }
    }

    /// The loop, over `L` lanes; `absorb` clears, absorbs and permutes as a step says.
    fn run<const L: usize>(
        &self,
        messages: &[[&[u8]; 2]],
        outputs: &mut [u8],
        absorb: impl Fn(&mut States<L>, &Step<'_, L>),
    ) {
        let length = outputs.len().checked_div(messages.len()).unwrap_or(0);
        if length == 0 {
            return;
        }
        let mut queue = messages.iter().zip(outputs.chunks_exact_mut(length));
        let mut states = States([[0; L]; LANES]);
        let mut lanes: [Option<Task<'_, '_>>; L] = core::array::from_fn(|_| None);
        let mut padded = [[0; LONGEST_RATE]; L];
        loop {
            let mut fresh = 0;
            let mut busy = false;
            let mut blocks: [Option<&[u8]>; L] = [None; L];
            for (lane, task) in lanes.iter_mut().enumerate() {
                if task.is_none() {
                    fresh |= 1 << lane;
                    *task = queue.next().map(|(message, output)| Task {
                        message: *message,
                        output,
                        squeezing: false,
                    });
                }
                let Some(task) = task else {
                    continue;
                };
                busy = true;
                blocks[lane] = match task.squeezing {
                    true => Some(&NO_BLOCK[..self.rate]),
                    false => self.next_block(task, &mut padded[lane]),
                };
            }
            if !busy {
                return;
            }
            let step = Step {
                fresh,
                rate: self.rate,
                blocks: core::array::from_fn(|lane| {
                    blocks[lane].unwrap_or(&padded[lane][..self.rate])
                }),
            };
            absorb(&mut states, &step);
            let words = &states.0;
            for (lane, slot) in lanes.iter_mut().enumerate() {
                let Some(task) = slot else { continue };
                if !task.squeezing {
                    continue;
                }
                let take = task.output.len().min(self.rate);
                let (now, later) = core::mem::take(&mut task.output).split_at_mut(take);
                let (whole, rest) = now.as_chunks_mut::<8>();
                for (bytes, word) in whole.iter_mut().zip(words) {
                    *bytes = word[lane].to_le_bytes();
                }
                if let Some(word) = words.get(whole.len()) {
                    rest.copy_from_slice(&word[lane].to_le_bytes()[..rest.len()]);
                }
                if later.is_empty() {
                    *slot = None;
                } else {
                    task.output = later;
                }
            }
        }
    }

    /// Takes the next block off a task's message: as it lies there, or copied into `padded` where it is in both parts
    /// or is the last, which gets its padding.
    fn next_block<'m>(
        &self,
        task: &mut Task<'m, '_>,
        padded: &mut [u8; LONGEST_RATE],
    ) -> Option<&'m [u8]> {
        let [first, second] = task.message;
        if let Some((now, later)) = first.split_at_checked(self.rate) {
            task.message[0] = later;
            return Some(now);
        }
        if first.is_empty()
            && let Some((now, later)) = second.split_at_checked(self.rate)
        {
            task.message[1] = later;
            return Some(now);
        }
        let from_second = second.len().min(self.rate - first.len());
        let filled = first.len() + from_second;
        padded[..first.len()].copy_from_slice(first);
        padded[first.len()..filled].copy_from_slice(&second[..from_second]);
        padded[filled..].fill(0);
        task.message = [&[], &second[from_second..]];
        if filled < self.rate {
            padded[filled] ^= self.suffix;
            padded[self.rate - 1] ^= 0x80;
            task.squeezing = true;
        }
        None
    }
}

/// Most bytes that a sponge takes at once.
const LONGEST_RATE: usize = 168;

/// What a lane absorbs that has nothing to absorb.
const NO_BLOCK: [u8; LONGEST_RATE] = [0; LONGEST_RATE];

/// States side by side: word `w` of state `l` is `[w][l]`.
#[repr(align(64))]
pub(super) struct States<const L: usize>(pub(super) [[u64; L]; LANES]);

/// What is done with states before they are permuted.
pub(super) struct Step<'b, const L: usize> {
    /// Bit n: lane n begins with a state of zeros.
    pub(super) fresh: u8,
    /// Bytes of a block, a multiple of 8 from 72 to 168.
    pub(super) rate: usize,
    /// What each absorbs: `rate` bytes.
    pub(super) blocks: [&'b [u8]; L],
}

impl<const L: usize> Step<'_, L> {
    /// Clears and absorbs, word by word.
    fn absorb(&self, states: &mut States<L>) {
        for (lane, block) in self.blocks.iter().enumerate() {
            if self.fresh >> lane & 1 == 1 {
                states.0.iter_mut().for_each(|word| word[lane] = 0);
            }
            let (words, _) = block.as_chunks::<8>();
            for (word, bytes) in states.0.iter_mut().zip(&words[..self.rate / 8]) {
                word[lane] ^= u64::from_le_bytes(*bytes);
            }
        }
    }
}

/// Keccak-f\[1600\] on each of many states, several at a time.
pub fn permute_many(states: &mut [[u64; LANES]]) {
    permute_many_at(level(), states);
}

/// [`permute_many`] by the code of one level, for tests and benchmarks; a level that this processor lacks is
/// replaced by the portable one.
pub fn permute_many_at(level: Level, states: &mut [[u64; LANES]]) {
    let rest = match level.available() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => {
            let (groups, rest) = states.as_chunks_mut::<8>();
            for group in groups {
                // SAFETY: the level was found on this processor.
                #[allow(unsafe_code)]
                unsafe {
                    super::avx512::permute_eight(group);
                }
            }
            rest
        }
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => {
            let (eights, rest) = states.as_chunks_mut::<8>();
            let (fours, rest) = rest.as_chunks_mut::<4>();
            // SAFETY: the level was found on this processor.
            #[allow(unsafe_code)]
            unsafe {
                eights
                    .iter_mut()
                    .for_each(|group| super::avx2::permute_eight(group));
                fours
                    .iter_mut()
                    .for_each(|group| super::avx2::permute_four(group));
            }
            rest
        }
        #[cfg(target_arch = "aarch64")]
        Level::Neon => {
            let (groups, rest) = states.as_chunks_mut::<2>();
            for group in groups {
                let mut words = [[0; 2]; LANES];
                for (i, word) in words.iter_mut().enumerate() {
                    *word = [group[0][i], group[1][i]];
                }
                super::neon::permute2(&mut words);
                for (i, word) in words.iter().enumerate() {
                    [group[0][i], group[1][i]] = *word;
                }
            }
            rest
        }
        _ => states,
    };
    rest.iter_mut().for_each(permute);
}

/// A message in a lane.
struct Task<'m, 'o> {
    /// What is left to absorb.
    message: [&'m [u8]; 2],
    /// What is left to fill.
    output: &'o mut [u8],
    /// The last block has been absorbed.
    squeezing: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keccak::{Shake128, Shake256};
    use rand::{RngExt, SeedableRng, rngs::SmallRng};

    /// Every level, any mix of lengths: each output is that of the single sponge.
    #[test]
    fn many_equal_one_by_one() {
        let mut rng = SmallRng::seed_from_u64(1);
        for level in Level::ALL {
            for count in [0usize, 1, 2, 7, 8, 9, 40] {
                let messages: Vec<[Vec<u8>; 2]> = (0..count)
                    .map(|_| {
                        [(); 2].map(|()| {
                            let len = [0, 1, 63, 135, 136, 137, 168, 1000][rng.random_range(0..8)];
                            (0..len).map(|_| rng.random()).collect()
                        })
                    })
                    .collect();
                let parts: Vec<[&[u8]; 2]> =
                    messages.iter().map(|[a, b]| [&a[..], &b[..]]).collect();
                let mut out = vec![0u8; 500 * count];
                Sponge::SHAKE128.hash_many_at(level, &parts, &mut out);
                for (parts, out) in parts.iter().zip(out.chunks(500)) {
                    assert_eq!(out, Shake128::digest::<500>(parts), "{level}");
                }
                let mut out = vec![0u8; 64 * count];
                Sponge::SHAKE256.hash_many_at(level, &parts, &mut out);
                for (parts, out) in parts.iter().zip(out.chunks(64)) {
                    assert_eq!(out, Shake256::digest::<64>(parts), "{level}");
                }
            }
        }
    }

    #[test]
    fn states_are_permuted_each_alone() {
        let mut rng = SmallRng::seed_from_u64(2);
        for level in Level::ALL {
            for count in [0usize, 1, 3, 4, 7, 8, 9, 20] {
                let mut states: Vec<[u64; LANES]> = (0..count)
                    .map(|_| core::array::from_fn(|_| rng.random()))
                    .collect();
                let mut expected = states.clone();
                expected.iter_mut().for_each(permute);
                permute_many_at(level, &mut states);
                assert_eq!(states, expected, "{level}, {count} states");
            }
        }
    }

    /// The empty message: FIPS 202's examples for SHA-3, the well-known constant for Keccak-256.
    #[test]
    fn fixed_length_functions() {
        for level in Level::ALL {
            let hash = |sponge: Sponge, len: usize| {
                let mut out = vec![0; len];
                sponge.hash_many_at(level, &[[b"", b""]], &mut out);
                hex::encode(out)
            };
            assert_eq!(
                hash(Sponge::SHA3_256, 32),
                "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a"
            );
            assert_eq!(
                hash(Sponge::SHA3_512, 64),
                "a69f73cca23a9ac5c8b567dc185a756e97c982164fe25859e0d1dcc1475c80a6\
                 15b2123af1f5f94c11e3e9402c3ac558f500199d95b6d3e301758586281dcd26"
            );
            assert_eq!(
                hash(Sponge::KECCAK256, 32),
                "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
            );
        }
    }
}
