// Bindings, layout and arithmetic shared by the kernels of ML-DSA verification. Every number marked "host" is defined
// by the Rust beside this file and put in front of it.
//
// A job has `streams` = k·l polynomials in `matrix`, `polys` = l + 1 + k polynomials in `transformed` (z, c, t1·2^d),
// STATUS_WORDS words of status and SCRATCH_WORDS words of scratch in `notes`, and one word in `verdicts`. Each
// invocation or workgroup writes words of its own only. Status words are zero before a batch and get DONE or REFUSED.

const Q: u32 = 8380417u;
const Q_INVERSE: u32 = 58728449u; // modulo 2^32
const N: u32 = 256u;

// Threads of a workgroup of the kernels that take one job or one stream a thread.
override HASH_THREADS: u32 = 64u;
// Threads that share one polynomial.
override LANES: u32 = 64u;
// Blocks after which a rejection loop gives up.
override REJECTION_BLOCKS: u32 = 16u;
// Tests only: give the first thread the last element.
override REVERSE: bool = false;

// One parameter set of a batch.
struct Batch {
    jobs: u32,             // jobs of this set
    first_job: u32,        // index of the first among all jobs of the batch
    k: u32,
    l: u32,
    tau: u32,
    gamma1_bits: u32,
    gamma2: u32,
    beta: u32,
    omega: u32,
    challenge_words: u32,  // words of c~
    key_blocks: u32,       // SHAKE256 blocks of the padded public key
    signature_words: u32,
    w1_bits: u32,          // bits of a packed coefficient of w1
    final_blocks: u32,     // SHAKE256 blocks of mu || w1, padded
    matrix_base: u32,      // first word of this set in `matrix`
    transformed_base: u32, // first word of this set in `transformed`
    scratch_base: u32,     // first word of scratch in `notes`
    reserved0: u32,
    reserved1: u32,
    reserved2: u32,
}

// A job in `words`: the padded public key, the signature, then the padded message with 16 free words in front (for tr),
// or mu if `message_blocks` is 0.
struct Job {
    offset: u32,
    message_blocks: u32,
}

@group(0) @binding(0) var<uniform> batch: Batch;
// 256 pairs (zeta, floor(zeta·2^32/q)), the pair of the inverse transform's factor, 24 Keccak round constants.
@group(0) @binding(1) var<storage, read> constants: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> words: array<u32>;
@group(0) @binding(3) var<storage, read> jobs: array<Job>;
@group(0) @binding(4) var<storage, read_write> matrix: array<u32>;
@group(0) @binding(5) var<storage, read_write> transformed: array<u32>;
@group(0) @binding(6) var<storage, read_write> notes: array<u32>;
@group(0) @binding(7) var<storage, read_write> verdicts: array<u32>;

fn key_of(job: u32) -> u32 {
    return jobs[job].offset;
}

fn signature_of(job: u32) -> u32 {
    return jobs[job].offset + batch.key_blocks * 34u;
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

// First coefficient of polynomial `poly` of a job, counted within its set.
fn transformed_of(local_job: u32, poly: u32) -> u32 {
    return batch.transformed_base + (local_job * (batch.l + 1u + batch.k) + poly) * N;
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

// High half of a·b, from four products of 16-bit halves; no intermediate passes 2^32 - 1.
fn mulhi(a: u32, b: u32) -> u32 {
    let al = a & 0xffffu;
    let ah = a >> 16u;
    let bl = b & 0xffffu;
    let bh = b >> 16u;
    let t = ah * bl + ((al * bl) >> 16u);
    let u = al * bh + (t & 0xffffu);
    return ah * bh + (t >> 16u) + (u >> 16u);
}

// a·z modulo q in [0, 2q), for any a and a pair (z, floor(z·2^32/q)) with z < q.
fn mul_by_constant(a: u32, z: vec2<u32>) -> u32 {
    return a * z.x - mulhi(a, z.y) * Q;
}

// a·b·2^-32 modulo q in (0, 2q), for a < q and any b: the high half of a·b is below q.
fn mul_montgomery(a: u32, b: u32) -> u32 {
    return mulhi(a, b) + Q - mulhi(a * b * Q_INVERSE, Q);
}

// x modulo q in [0, q), for x < 33q.
fn reduce(x: u32) -> u32 {
    let r = x - (x >> 23u) * Q;
    return select(r, r - Q, r >= Q);
}
