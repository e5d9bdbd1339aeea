//! How jobs lie in the device's buffers. The same numbers are in `prelude.wgsl` or put in front of it.

use crate::mldsa::{
    job::{Representative, VerifyJob},
    params::{K_MAX, L_MAX, ParameterSet},
    portable,
};

/// Words of one block of SHAKE256.
const BLOCK_WORDS: usize = 34;
/// Words of μ, and of the place for tr in front of a message.
const MU_WORDS: usize = 16;

/// Longest M′ hashed on the device: 121 permutations by one thread, which keeps a dispatch short. Of longer ones the
/// host makes μ.
pub(super) const MESSAGE_MAX: usize = 16 * 1024;

// Status words of a job.
pub(super) const STATUS_MESSAGE: usize = 0;
pub(super) const STATUS_CHALLENGE: usize = 1;
pub(super) const STATUS_HINT: usize = 2;
pub(super) const STATUS_POLYS: usize = 3;
pub(super) const STATUS_ROWS: usize = STATUS_POLYS + L_MAX + 1 + K_MAX;
pub(super) const STATUS_STREAMS: usize = STATUS_ROWS + K_MAX;
pub(super) const STATUS_WORDS: usize = STATUS_STREAMS + K_MAX * L_MAX;

/// Scratch of a job: μ ‖ w1 padded to whole blocks (at most nine), then one block of output of SampleInBall's SHAKE256.
pub(super) const SCRATCH_XOF: usize = 9 * BLOCK_WORDS;
pub(super) const SCRATCH_WORDS: usize = SCRATCH_XOF + BLOCK_WORDS;

// Values of status and verdict words. None is zero, what a cleared buffer holds, or likely as garbage.
pub(super) const DONE: u32 = 0x51a7_e001;
pub(super) const REFUSED: u32 = 0x51a7_e0bd;
pub(super) const VALID: u32 = 0x7a11_d001;
pub(super) const INVALID: u32 = 0x1a7a_11d0;

/// Words of `matrix` and of `transformed` for one job of the largest set.
pub(super) const MATRIX_WORDS_MAX: usize = K_MAX * L_MAX * 256;
pub(super) const TRANSFORMED_WORDS_MAX: usize = (L_MAX + 1 + K_MAX) * 256;

/// `Batch` of the shader.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Batch {
    pub jobs: u32,
    pub first_job: u32,
    k: u32,
    l: u32,
    tau: u32,
    gamma1_bits: u32,
    gamma2: u32,
    beta: u32,
    omega: u32,
    challenge_words: u32,
    key_blocks: u32,
    signature_words: u32,
    w1_bits: u32,
    final_blocks: u32,
    matrix_base: u32,
    transformed_base: u32,
    scratch_base: u32,
    reserved: [u32; 3],
}

/// Bytes of a [`Batch`].
pub(super) const BATCH_STRIDE_MIN: u64 = size_of::<Batch>() as u64;

/// `Job` of the shader.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct JobEntry {
    offset: u32,
    message_blocks: u32,
}

/// A batch as it goes up. Reused: the vectors keep their memory.
#[derive(Debug, Default)]
pub(super) struct Packed {
    /// One entry per set present.
    pub batches: Vec<(ParameterSet, Batch)>,
    pub entries: Vec<JobEntry>,
    pub words: Vec<u32>,
    /// `order[i]` is the caller's index of job i of the batch: jobs of one set are neighbours here.
    pub order: Vec<usize>,
    pub matrix_words: usize,
    pub transformed_words: usize,
}

impl Packed {
    /// Lays `jobs` out. All indices fit `u32` because the caller keeps a batch within the device's buffers.
    pub fn fill(&mut self, jobs: &[&VerifyJob]) {
        self.batches.clear();
        self.entries.clear();
        self.words.clear();
        self.order.clear();
        self.matrix_words = 0;
        self.transformed_words = 0;
        for set in ParameterSet::ALL {
            let first_job = self.order.len();
            for (index, job) in jobs.iter().enumerate() {
                if job.parameter_set() == set {
                    self.order.push(index);
                    self.push(job);
                }
            }
            let count = self.order.len() - first_job;
            if count == 0 {
                continue;
            }
            let params = set.params();
            let w1_words = params.k * params.w1_poly_len() / 4;
            let batch = Batch {
                jobs: count as u32,
                first_job: first_job as u32,
                k: params.k as u32,
                l: params.l as u32,
                tau: params.tau as u32,
                gamma1_bits: params.gamma1_bits,
                gamma2: params.gamma2,
                beta: params.beta,
                omega: params.omega as u32,
                challenge_words: (params.c_tilde_len / 4) as u32,
                key_blocks: padded_blocks(set.public_key_len()) as u32,
                signature_words: set.signature_len().div_ceil(4) as u32,
                w1_bits: (params.w1_poly_len() / 32) as u32,
                final_blocks: padded_blocks((MU_WORDS + w1_words) * 4) as u32,
                matrix_base: self.matrix_words as u32,
                transformed_base: self.transformed_words as u32,
                scratch_base: (jobs.len() * STATUS_WORDS) as u32,
                reserved: [0; 3],
            };
            self.matrix_words += count * params.k * params.l * 256;
            self.transformed_words += count * (params.l + 1 + params.k) * 256;
            self.batches.push((set, batch));
        }
    }

    fn push(&mut self, job: &VerifyJob) {
        let offset = self.words.len() as u32;
        self.push_padded(0, job.public_key());
        let signature = self.grow(job.signature().len().div_ceil(4));
        write(signature, 0, job.signature());
        let message_blocks = match job.representative() {
            Representative::Formatted(message) if message.len() <= MESSAGE_MAX => {
                self.push_padded(MU_WORDS, message)
            }
            Representative::Formatted(message) => {
                self.push_mu(&portable::representative(job.public_key(), message))
            }
            Representative::Mu(mu) => self.push_mu(mu),
        };
        self.entries.push(JobEntry {
            offset,
            message_blocks: message_blocks as u32,
        });
    }

    /// Zero words in front, the bytes, and SHAKE's padding to whole blocks; returns the number of blocks.
    fn push_padded(&mut self, front_words: usize, bytes: &[u8]) -> usize {
        let len = front_words * 4 + bytes.len();
        let blocks = padded_blocks(len);
        let words = self.grow(blocks * BLOCK_WORDS);
        write(words, front_words, bytes);
        if let Some(word) = words.get_mut(len / 4) {
            *word |= 0x1f << (8 * (len % 4));
        }
        if let Some(word) = words.last_mut() {
            *word |= 0x8000_0000;
        }
        blocks
    }

    fn push_mu(&mut self, mu: &[u8; 64]) -> usize {
        write(self.grow(MU_WORDS), 0, mu);
        0
    }

    fn grow(&mut self, words: usize) -> &mut [u32] {
        let start = self.words.len();
        self.words.resize(start + words, 0);
        &mut self.words[start..]
    }
}

/// Words that [`Packed::fill`] makes of a job, at most.
pub(super) fn input_words(job: &VerifyJob) -> usize {
    let set = job.parameter_set();
    let message = match job.representative() {
        Representative::Formatted(message) if message.len() <= MESSAGE_MAX => {
            padded_blocks(MU_WORDS * 4 + message.len()) * BLOCK_WORDS
        }
        _ => MU_WORDS,
    };
    padded_blocks(set.public_key_len()) * BLOCK_WORDS + set.signature_len().div_ceil(4) + message
}

/// Blocks of SHAKE256 that a message of `len` bytes and its padding fill.
fn padded_blocks(len: usize) -> usize {
    len / (BLOCK_WORDS * 4) + 1
}

/// `bytes` as little-endian words from word `at` of zeroed `words`.
fn write(words: &mut [u32], at: usize, bytes: &[u8]) {
    for (word, bytes) in words.iter_mut().skip(at).zip(bytes.chunks(4)) {
        let mut buffer = [0; 4];
        buffer[..bytes.len()].copy_from_slice(bytes);
        *word = u32::from_le_bytes(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mldsa::{Message, known_answers};

    /// What the host lays out, hashed block by block as the shader does, is the hash of the message.
    #[test]
    fn padding_is_that_of_shake256() {
        let mut packed = Packed::default();
        for len in [0, 1, 3, 4, 71, 72, 134, 135, 136, 137, 271, 272, 1312] {
            let message: Vec<u8> = (0..len).map(|i| i as u8).collect();
            packed.words.clear();
            let blocks = packed.push_padded(0, &message);
            assert_eq!(packed.words.len(), blocks * BLOCK_WORDS);
            let mut state = [0u64; 25];
            for block in packed.words.chunks(BLOCK_WORDS) {
                for (lane, pair) in state.iter_mut().zip(block.chunks(2)) {
                    *lane ^= u64::from(pair[0]) | u64::from(pair[1]) << 32;
                }
                crate::keccak::permute(&mut state);
            }
            let digest: [u8; 8] = crate::keccak::Shake256::digest(&[&message]);
            assert_eq!(state[0].to_le_bytes(), digest, "{len} bytes");
        }
    }

    #[test]
    fn jobs_of_a_set_are_neighbours_and_sizes_are_foreseen() {
        let answers = known_answers();
        let mut jobs: Vec<VerifyJob> = answers.into_iter().map(|(job, _)| job).collect();
        let long = vec![1; MESSAGE_MAX + 1];
        for len in [MESSAGE_MAX, MESSAGE_MAX + 1] {
            let job = &jobs[0];
            let message = Message::Formatted {
                prefix: &[],
                message: &long[..len],
            };
            jobs.push(VerifyJob::new(job.public_key(), message, job.signature()).unwrap());
        }
        let jobs: Vec<&VerifyJob> = jobs.iter().rev().collect();
        let mut packed = Packed::default();
        packed.fill(&jobs);
        let mut seen = packed.order.clone();
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..jobs.len()));
        for (set, batch) in &packed.batches {
            let first = batch.first_job as usize;
            for &index in &packed.order[first..first + batch.jobs as usize] {
                assert_eq!(jobs[index].parameter_set(), *set);
            }
        }
        let foreseen: usize = jobs.iter().map(|job| input_words(job)).sum();
        assert_eq!(packed.words.len(), foreseen);
        assert_eq!(
            packed
                .entries
                .iter()
                .filter(|e| e.message_blocks == 0)
                .count(),
            3 * 2 + 1
        );
    }
}
