// Bindings, layout and arithmetic shared by the kernels of ML-DSA verification. Every number not defined here is
// defined by the Rust beside this file and put in front of it.
//
// A job has l + 1 polynomials in `transformed` (NTTs of z and c, in [0, q)), STATUS_WORDS words of status and
// SCRATCH_WORDS words of scratch in `notes`, and one word in `verdicts`. Each invocation or workgroup writes words of
// its own only. Status words are zero before a batch and get DONE or REFUSED.

const Q: u32 = 8380417u;
const N: u32 = 256u;

// Threads of a workgroup of the kernels that hash, a multiple of 32.
override HASH_THREADS: u32 = 64u;
// Threads of a workgroup of the kernels that only transform, 32 for each polynomial.
override LANES: u32 = 128u;
// Blocks after which a rejection loop gives up.
override REJECTION_BLOCKS: u32 = 16u;
// Tests only: give the first thread the last element.
override REVERSE: bool = false;

// Jobs, or keys to prepare, of one parameter set that are served in the same way.
struct Batch {
    jobs: u32,
    first_job: u32,        // index of the first in `jobs`
    k: u32,
    l: u32,
    tau: u32,
    gamma1_bits: u32,
    gamma2: u32,
    beta: u32,
    omega: u32,
    challenge_words: u32,  // words of c~
    key_blocks: u32,       // SHAKE256 blocks of the padded public key
    key_words: u32,        // words of the public key in front of a signature: none where the key is resident
    signature_words: u32,
    w1_bits: u32,          // bits of a packed coefficient of w1
    final_blocks: u32,     // SHAKE256 blocks of mu || w1, padded
    transformed_base: u32, // first word of these jobs in `transformed`
    scratch_base: u32,     // first word of scratch in `notes`
    reserved0: u32,
    reserved1: u32,
    reserved2: u32,
}

// A job in `words`: the padded public key, unless it is resident, the signature, then the padded message with 16 free
// words in front (for tr), or mu if `message_blocks` is 0.
struct Job {
    offset: u32,
    message_blocks: u32,
    slot: u32,       // first word of its key in `resident`, or NO_SLOT
    generation: u32, // what the marks of that slot must be
}

@group(0) @binding(0) var<uniform> batch: Batch;
// 256 pairs (zeta, floor(zeta·2^32/q)), the pair of the inverse transform's factor, 24 Keccak round constants.
@group(0) @binding(1) var<storage, read> constants: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> words: array<u32>;
@group(0) @binding(3) var<storage, read> jobs: array<Job>;
// Slots of resident keys: A-hat by rows, NTT(t1·2^d), tr, then one mark for each of these parts.
@group(0) @binding(4) var<storage, read_write> resident: array<u32>;
@group(0) @binding(5) var<storage, read_write> transformed: array<u32>;
@group(0) @binding(6) var<storage, read_write> notes: array<u32>;
@group(0) @binding(7) var<storage, read_write> verdicts: array<u32>;

fn key_of(job: u32) -> u32 {
    return jobs[job].offset;
}

fn signature_of(job: u32) -> u32 {
    return jobs[job].offset + batch.key_words;
}

fn hint_of(job: u32) -> u32 {
    return signature_of(job) + batch.challenge_words + batch.l * (batch.gamma1_bits + 1u) * 8u;
}

fn message_of(job: u32) -> u32 {
    return signature_of(job) + batch.signature_words;
}

fn status_of(job: u32) -> u32 {
    return job * STATUS_WORDS;
}

fn final_of(job: u32) -> u32 {
    return batch.scratch_base + job * SCRATCH_WORDS;
}

// First coefficient of polynomial `poly` of a job, counted within its batch.
fn transformed_of(local_job: u32, poly: u32) -> u32 {
    return batch.transformed_base + (local_job * (batch.l + 1u) + poly) * N;
}

// First coefficient of row `row` of NTT(t1·2^d) in a slot; one row past the last is tr.
fn slot_t1(slot: u32, row: u32) -> u32 {
    return slot + (batch.k * batch.l + row) * N;
}

// Mark `part` of a slot: the entries of A-hat, the rows of t1, tr.
fn slot_mark(slot: u32, part: u32) -> u32 {
    return slot_t1(slot, batch.k) + 16u + part;
}

fn lane_of(local: u32, threads: u32) -> u32 {
    return select(local, threads - 1u - local, REVERSE);
}

// Byte `at` from word `base` of the input.
fn input_byte(base: u32, at: u32) -> u32 {
    return (words[base + (at >> 2u)] >> ((at & 3u) * 8u)) & 0xffu;
}

// `width` < 32 bits of the input from bit `at` of word `base`.
fn input_bits(base: u32, at: u32, width: u32) -> u32 {
    let word = base + (at >> 5u);
    let shift = at & 31u;
    var bits = words[word] >> shift;
    if shift + width > 32u {
        bits |= words[word + 1u] << (32u - shift);
    }
    return bits & ((1u << width) - 1u);
}

// Coefficient n of row `row` of t1·2^d, from the packed public key.
fn t1_shifted(key: u32, row: u32, n: u32) -> u32 {
    return input_bits(key + 8u + row * 80u, n * 10u, 10u) << 13u;
}

// a·z modulo q in [0, 4q), for any a and a pair (z, floor(z·2^32/q)) with z < q.
fn mul_by_constant(a: u32, z: vec2<u32>) -> u32 {
    return a * z.x - mulhi_short(a, z.y) * Q;
}

// a·z modulo q in [0, 26q), for a and z below q. (z >> 3) + (z >> 13) is below z·2^20/q by less than 2.9, as 2^23/q is
// 1 + 2^-10 + 8.4e-7; times a/2^20 < 8 and with two roundings the quotient is short by less than 25.
fn mul_lazy(a: u32, z: u32) -> u32 {
    let ratio = (z >> 3u) + (z >> 13u);
    let quotient = ((a >> 12u) * ratio + (((a & 0xfffu) * ratio) >> 12u)) >> 8u;
    return a * z - quotient * Q;
}

// x modulo q in [0, q), for any x: what is left after the first step is below 2^23 + 512·2^13 < 2q.
fn reduce(x: u32) -> u32 {
    let r = x - (x >> 23u) * Q;
    return select(r, r - Q, r >= Q);
}
