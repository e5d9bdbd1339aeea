//! How jobs lie in the device's buffers. The same numbers are in `prelude.wgsl` or put in front of it.

use super::{
    keys::{Place, Served},
    shaders::Serves,
};
use crate::mldsa::{
    job::{Representative, VerifyJob},
    params::{K_MAX, L_MAX, ParameterSet},
    portable,
};
use std::ops::Range;

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
pub(super) const STATUS_ROWS: usize = STATUS_POLYS + L_MAX + 1;
pub(super) const STATUS_WORDS: usize = STATUS_ROWS + K_MAX;

/// Scratch of a job: μ ‖ w1 padded to whole blocks (at most nine), then c as two bitmaps of 256.
pub(super) const SCRATCH_CHALLENGE: usize = 9 * BLOCK_WORDS;
pub(super) const SCRATCH_WORDS: usize = SCRATCH_CHALLENGE + 16;

// Values of status and verdict words. None is zero, what a cleared buffer holds, or likely as garbage.
pub(super) const DONE: u32 = 0x51a7_e001;
pub(super) const REFUSED: u32 = 0x51a7_e0bd;
pub(super) const VALID: u32 = 0x7a11_d001;
pub(super) const INVALID: u32 = 0x1a7a_11d0;

/// Stands for a slot where a key is in none.
pub(super) const NO_SLOT: u32 = u32::MAX;

/// Words of `transformed` for one job of the largest set.
pub(super) const TRANSFORMED_WORDS_MAX: usize = (L_MAX + 1) * 256;
/// Most parts of one batch: of each set fresh jobs, jobs with resident keys, and keys to prepare.
pub(super) const PARTS_MAX: usize = 9;

/// `Batch` of the shader.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Batch {
    pub jobs: u32,
    first_job: u32,
    k: u32,
    l: u32,
    tau: u32,
    gamma1_bits: u32,
    gamma2: u32,
    beta: u32,
    omega: u32,
    challenge_words: u32,
    key_blocks: u32,
    key_words: u32,
    signature_words: u32,
    w1_bits: u32,
    final_blocks: u32,
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
    slot: u32,
    generation: u32,
}

/// One part of a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub set: ParameterSet,
    /// `Fresh`, `Resident` or `Admitted`.
    pub serves: Serves,
    pub batch: Batch,
}

/// A batch as it goes up. Reused: the vectors keep their memory.
#[derive(Debug, Default)]
pub(super) struct Packed {
    pub parts: Vec<Part>,
    pub entries: Vec<JobEntry>,
    /// Words of input, which [`write`](Self::write) makes.
    pub words: usize,
    /// `order[i]` is the caller's index of job i of the batch: jobs of one part are neighbours here.
    pub order: Vec<usize>,
    /// The caller's indices of the jobs that bring a key in, in the order of their entries.
    admitting: Vec<usize>,
    pub transformed_words: usize,
}

impl Packed {
    /// Decides where everything lies, with each job served as `served` says; [`write`](Self::write) puts it there. All indices fit `u32` because the caller keeps a batch within the
    /// device's buffers.
    pub fn plan(&mut self, jobs: &[&VerifyJob], served: &[Served]) {
        self.parts.clear();
        self.entries.clear();
        self.words = 0;
        self.order.clear();
        self.admitting.clear();
        self.transformed_words = 0;
        // Entries of jobs come first, in the order of `order`, then those of keys.
        for serves in [Serves::Fresh, Serves::Resident, Serves::Admitted] {
            for set in ParameterSet::ALL {
                let first = self.entries.len();
                for (index, (job, served)) in jobs.iter().zip(served).enumerate() {
                    if job.parameter_set() != set {
                        continue;
                    }
                    match (serves, *served) {
                        (Serves::Fresh, Served::Fresh) => {
                            self.order.push(index);
                            self.push(job, None);
                        }
                        (Serves::Resident, Served::Resident(place) | Served::Admitted(place)) => {
                            self.order.push(index);
                            self.push(job, Some(place));
                        }
                        (Serves::Admitted, Served::Admitted(place)) => {
                            self.admitting.push(index);
                            self.entries.push(JobEntry {
                                offset: self.words as u32,
                                message_blocks: 0,
                                slot: place.word,
                                generation: place.generation,
                            });
                            self.words += padded_blocks(job.public_key().len()) * BLOCK_WORDS;
                        }
                        _ => {}
                    }
                }
                let count = self.entries.len() - first;
                if count > 0 {
                    self.push_part(set, serves, first, count, jobs.len());
                }
            }
        }
    }

    fn push_part(
        &mut self,
        set: ParameterSet,
        serves: Serves,
        first: usize,
        count: usize,
        jobs: usize,
    ) {
        let params = set.params();
        let w1_words = params.k * params.w1_poly_len() / 4;
        let key_blocks = padded_blocks(set.public_key_len());
        let batch = Batch {
            jobs: count as u32,
            first_job: first as u32,
            k: params.k as u32,
            l: params.l as u32,
            tau: params.tau as u32,
            gamma1_bits: params.gamma1_bits,
            gamma2: params.gamma2,
            beta: params.beta,
            omega: params.omega as u32,
            challenge_words: (params.c_tilde_len / 4) as u32,
            key_blocks: key_blocks as u32,
            key_words: match serves {
                Serves::Resident => 0,
                _ => (key_blocks * BLOCK_WORDS) as u32,
            },
            signature_words: signature_words(set) as u32,
            w1_bits: (params.w1_poly_len() / 32) as u32,
            final_blocks: padded_blocks((MU_WORDS + w1_words) * 4) as u32,
            transformed_base: self.transformed_words as u32,
            scratch_base: (jobs * STATUS_WORDS) as u32,
            reserved: [0; 3],
        };
        if serves != Serves::Admitted {
            self.transformed_words += count * (params.l + 1) * 256;
        }
        self.parts.push(Part { set, serves, batch });
    }

    /// The entry of a job, without its key if that has a place in the store.
    fn push(&mut self, job: &VerifyJob, place: Option<Place>) {
        self.entries.push(JobEntry {
            offset: self.words as u32,
            message_blocks: message_blocks(job) as u32,
            slot: place.map_or(NO_SLOT, |place| place.word),
            generation: place.map_or(0, |place| place.generation),
        });
        self.words += input_words(job);
        if place.is_some() {
            self.words -= padded_blocks(job.public_key().len()) * BLOCK_WORDS;
        }
    }

    /// Where share `number` of `parts` ends among the entries, when the input is cut into shares of about equal size. Every
    /// entry has an even number of words, so a share starts at an even word, as mapped ranges must.
    pub fn cut(&self, number: usize, parts: usize) -> usize {
        let target = (self.words as u64 * number as u64 / parts.max(1) as u64) as u32;
        self.entries.partition_point(|entry| entry.offset < target)
    }

    /// Bytes of input of some entries, which lie together.
    pub fn bytes(&self, entries: Range<usize>) -> usize {
        let start = |entry: usize| {
            let entry = self.entries.get(entry);
            entry.map_or(self.words, |entry| entry.offset as usize)
        };
        (start(entries.end) - start(entries.start)) * 4
    }

    /// The input of some of the entries that were planned, in pieces that follow each other without a gap.
    pub fn write(&self, jobs: &[&VerifyJob], entries: Range<usize>, put: &mut impl FnMut(&[u8])) {
        let planned = entries.clone().zip(&self.entries[entries]);
        for (number, entry) in planned {
            // Entries of jobs come first, then those of keys that are brought in.
            let Some(&index) = self.order.get(number) else {
                let admitting = self.admitting.get(number - self.order.len());
                if let Some(job) = admitting.and_then(|&index| jobs.get(index)) {
                    put_padded(put, 0, job.public_key());
                }
                continue;
            };
            let Some(job) = jobs.get(index) else { continue };
            if entry.slot == NO_SLOT {
                put_padded(put, 0, job.public_key());
            }
            let signature = job.signature();
            put(signature);
            put(&[0; 8][..signature_words(job.parameter_set()) * 4 - signature.len()]);
            match job.representative() {
                Representative::Formatted(message) if message.len() <= MESSAGE_MAX => {
                    put_padded(put, MU_WORDS, message);
                }
                Representative::Formatted(message) => {
                    put(&portable::representative(job.public_key(), message));
                }
                Representative::Mu(mu) => put(mu),
            }
        }
    }
}

/// Zero words in front (at most `MU_WORDS`), the bytes, and SHAKE's padding to whole blocks.
fn put_padded(put: &mut impl FnMut(&[u8]), front_words: usize, bytes: &[u8]) {
    const BLOCK: usize = BLOCK_WORDS * 4;
    put(&[0; MU_WORDS * 4][..front_words * 4]);
    put(bytes);
    let end = (front_words * 4 + bytes.len()) % BLOCK;
    let mut padding = [0; BLOCK];
    padding[end] = 0x1f;
    padding[BLOCK - 1] |= 0x80;
    put(&padding[end..]);
}

/// Blocks of SHAKE256 of a message that the device hashes; 0 where it is given μ.
fn message_blocks(job: &VerifyJob) -> usize {
    match job.representative() {
        Representative::Formatted(message) if message.len() <= MESSAGE_MAX => {
            padded_blocks(MU_WORDS * 4 + message.len())
        }
        _ => 0,
    }
}

/// Words of a job's input, with its key.
pub(super) fn input_words(job: &VerifyJob) -> usize {
    let set = job.parameter_set();
    let message = match message_blocks(job) {
        0 => MU_WORDS,
        blocks => blocks * BLOCK_WORDS,
    };
    padded_blocks(set.public_key_len()) * BLOCK_WORDS + signature_words(set) + message
}

/// Words that a signature takes: an even number, so that what follows starts at an even word too.
fn signature_words(set: ParameterSet) -> usize {
    set.signature_len().div_ceil(8) * 2
}

/// Blocks of SHAKE256 that a message of `len` bytes and its padding fill.
fn padded_blocks(len: usize) -> usize {
    len / (BLOCK_WORDS * 4) + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mldsa::{Message, known_answers};

    /// What the host lays out, hashed block by block as the shader does, is the hash of the message.
    #[test]
    fn padding_is_that_of_shake256() {
        for len in [0, 1, 3, 4, 71, 72, 134, 135, 136, 137, 271, 272, 1312] {
            let message: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let mut padded = Vec::new();
            put_padded(
                &mut |bytes: &[u8]| padded.extend_from_slice(bytes),
                0,
                &message,
            );
            assert_eq!(padded.len(), padded_blocks(len) * BLOCK_WORDS * 4);
            let mut state = [0u64; 25];
            for block in padded.chunks(BLOCK_WORDS * 4) {
                for (lane, word) in state.iter_mut().zip(block.chunks(8)) {
                    *lane ^= u64::from_le_bytes(word.try_into().unwrap());
                }
                crate::keccak::permute(&mut state);
            }
            let digest: [u8; 8] = crate::keccak::Shake256::digest(&[&message]);
            assert_eq!(state[0].to_le_bytes(), digest, "{len} bytes");
        }
    }

    #[test]
    fn jobs_of_a_part_are_neighbours_and_sizes_are_foreseen() {
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
        // One in three keys is resident, one in three becomes so.
        let place = Place {
            word: 7,
            generation: 1,
        };
        let served: Vec<Served> = [
            Served::Fresh,
            Served::Resident(place),
            Served::Admitted(place),
        ]
        .into_iter()
        .cycle()
        .take(jobs.len())
        .collect();
        packed.plan(&jobs, &served);
        let mut seen = packed.order.clone();
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..jobs.len()));
        for part in &packed.parts {
            let first = part.batch.first_job as usize;
            let range = first..first + part.batch.jobs as usize;
            if part.serves == Serves::Admitted {
                assert!(range.start >= jobs.len() && range.end <= packed.entries.len());
                continue;
            }
            for &index in &packed.order[range] {
                assert_eq!(jobs[index].parameter_set(), part.set);
                let fresh = part.serves == Serves::Fresh;
                assert_eq!(served[index] == Served::Fresh, fresh);
            }
        }
        // A resident key does not go up, and no job takes more than was foreseen.
        let words = |jobs: &[&VerifyJob], served: Served| {
            let mut packed = Packed::default();
            packed.plan(jobs, &vec![served; jobs.len()]);
            let mut written = 0;
            packed.write(jobs, 0..packed.entries.len(), &mut |bytes: &[u8]| {
                written += bytes.len()
            });
            assert_eq!(written, packed.words * 4);
            // Shares of any number are the whole.
            for parts in [1, 2, 3, 7, 1000] {
                let mut first = 0;
                for number in 1..=parts {
                    let end = packed.cut(number, parts);
                    let mut of_share = 0;
                    packed.write(jobs, first..end, &mut |bytes: &[u8]| {
                        of_share += bytes.len()
                    });
                    assert_eq!(of_share, packed.bytes(first..end));
                    // About equal: off by no more than the longest jobs.
                    let off = of_share.abs_diff(written / parts);
                    assert!(off <= 3 * (MESSAGE_MAX + 8000), "{parts} shares");
                    assert!(
                        first <= end && packed.bytes(0..end).is_multiple_of(8)
                            || end == packed.entries.len()
                    );
                    first = end;
                }
                assert_eq!(first, packed.entries.len());
            }
            packed.words
        };
        let foreseen: usize = jobs.iter().map(|job| input_words(job)).sum();
        assert_eq!(words(&jobs, Served::Fresh), foreseen);
        assert_eq!(words(&jobs, Served::Admitted(place)), foreseen);
        let keys: usize = jobs
            .iter()
            .map(|job| padded_blocks(job.public_key().len()) * BLOCK_WORDS)
            .sum();
        assert_eq!(words(&jobs, Served::Resident(place)), foreseen - keys);
        assert_eq!(
            packed.entries[..jobs.len()]
                .iter()
                .filter(|e| e.message_blocks == 0)
                .count(),
            3 * 2 + 1
        );
    }
}
