//! ML-DSA.Verify_internal (FIPS 204, Algorithm 8) over batches.
//!
//! Hashing shares lanes across signatures; the arithmetic of one polynomial fills whole registers.
//! A batch is cut into chunks of one parameter set. In a chunk the structural checks come first, and
//! what fails them costs no hashing; the key hashes, message representatives, challenges and final
//! hashes of the rest run through all lanes together. The matrix is made eight entries at a time; a row is used as soon as it is complete and then forgotten, so the matrix is never stored.

use super::{
    Poly, Q, Words, ntt,
    poly::{self, Entry, MatrixRow},
};
use crate::{
    cpu::Level,
    keccak::{
        Sponge,
        streams::{Seed, Stream},
    },
    mldsa::{
        job::{Representative, VerifyJob},
        params::{L_MAX, N as COEFFICIENTS, ParameterSet, Params, RHO_LEN, T1_POLY_LEN},
        portable::{Signature, decode::Hint, sample},
        prepared::{PreparedKey, Words256},
    },
};

/// Signatures that share the hash lanes of a chunk.
const CHUNK: usize = 64;
/// Signatures whose matrices share the lanes of the streams.
const GROUP: usize = 8;
/// Entries of the matrix made at once.
const STREAMS: usize = 8;
/// Bytes after the encoded w1 that whole-register stores may touch.
const SLACK: usize = 64;
/// Longest encoded w1: eight rows of 128 bytes.
const W1_MAX: usize = 1024;

/// An instruction set: its registers of words and its wide SHAKE128.
///
/// # Safety
/// As [`Words`].
unsafe trait Machine<const N: usize> {
    /// The registers.
    type V: Words<N>;
    /// The level, for the other hashes.
    const LEVEL: Level;
    /// Streams of the seeds.
    unsafe fn streams(seeds: &[Seed; STREAMS], streams: &mut [Stream; STREAMS]);
}

/// AVX-512 with VBMI.
struct Avx512;

// SAFETY: as the trait says.
unsafe impl Machine<16> for Avx512 {
    type V = super::avx512::W16;
    const LEVEL: Level = Level::Avx512;
    #[inline(always)]
    unsafe fn streams(seeds: &[Seed; STREAMS], streams: &mut [Stream; STREAMS]) {
        // SAFETY: the caller's promise.
        unsafe { crate::keccak::avx512::seed_streams8(seeds, streams) }
    }
}

/// AVX2.
struct Avx2;

// SAFETY: as the trait says.
unsafe impl Machine<8> for Avx2 {
    type V = super::avx2::W8;
    const LEVEL: Level = Level::Avx2;
    #[inline(always)]
    unsafe fn streams(seeds: &[Seed; STREAMS], streams: &mut [Stream; STREAMS]) {
        // SAFETY: the caller's promise.
        unsafe { crate::keccak::avx2::seed_streams8(seeds, streams) }
    }
}

/// A job with its prepared key, if there is one.
pub(crate) type Prepared<'a> = (&'a VerifyJob, Option<&'a PreparedKey>);

/// Verdicts of `jobs`, by the code of `level` (portable where the processor lacks it). A prepared key is that of its job.
///
/// Equal to [`portable::verify`](crate::mldsa::portable::verify) of each job alone, whatever its neighbours.
pub(crate) fn verify(level: Level, jobs: &[Prepared<'_>]) -> Vec<bool> {
    let mut verdicts = vec![false; jobs.len()];
    let level = level.available();
    for set in ParameterSet::ALL {
        let members: Vec<usize> = (0..jobs.len())
            .filter(|&i| jobs[i].0.parameter_set() == set)
            .collect();
        for chunk in members.chunks(CHUNK) {
            let chunk_jobs: Vec<Prepared<'_>> = chunk.iter().map(|&i| jobs[i]).collect();
            let mut chunk_verdicts = [false; CHUNK];
            let out = &mut chunk_verdicts[..chunk.len()];
            match level {
                // SAFETY: the level was found on this processor.
                Level::Avx512 => unsafe { chunk_avx512(set.params(), &chunk_jobs, out) },
                // SAFETY: the level was found on this processor.
                Level::Avx2 => unsafe { chunk_avx2(set.params(), &chunk_jobs, out) },
                _ => {
                    for (verdict, (job, key)) in out.iter_mut().zip(&chunk_jobs) {
                        *verdict = crate::mldsa::portable::verify_with(job, *key);
                    }
                }
            }
            for (&i, &verdict) in chunk.iter().zip(&*out) {
                verdicts[i] = verdict;
            }
        }
    }
    verdicts
}

/// # Safety
/// The processor has AVX-512 F, BW, DQ, VL and VBMI.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx2,bmi2,popcnt")]
unsafe fn chunk_avx512(params: &Params, jobs: &[Prepared<'_>], verdicts: &mut [bool]) {
    // SAFETY: the caller's promise.
    unsafe { chunk::<16, Avx512>(params, jobs, verdicts) }
}

/// # Safety
/// The processor has AVX2.
#[target_feature(enable = "avx2,popcnt")]
unsafe fn chunk_avx2(params: &Params, jobs: &[Prepared<'_>], verdicts: &mut [bool]) {
    // SAFETY: the caller's promise.
    unsafe { chunk::<8, Avx2>(params, jobs, verdicts) }
}

/// A job that passed the structural checks.
struct Candidate<'a> {
    /// Its place in the chunk.
    place: usize,
    job: &'a VerifyJob,
    key: Option<&'a PreparedKey>,
    signature: Signature<'a>,
    hint: Hint<'a>,
}

/// What one signature of a group needs while its matrix is made.
struct Member {
    /// NTT(z).
    z: [Poly; L_MAX],
    /// NTT(-c).
    minus_c: Poly,
    rho: [u64; 4],
}

/// What a signature needs that is alone in its chunk: its member, its encoded w1, streams, a row of the matrix and the
/// three polynomials of [`finish_row`]. In a full chunk members, streams and rows are shared, and a signature needs less.
const WORKING_SET: usize = size_of::<Candidate<'_>>()
    + size_of::<Member>()
    + W1_MAX
    + SLACK
    + STREAMS * (size_of::<Seed>() + size_of::<Stream>())
    + L_MAX * size_of::<Entry>()
    + 3 * size_of::<Poly>();
const _: () = assert!(
    WORKING_SET <= 32 << 10,
    "caches hold few signatures of this size"
);

/// Where the packed t1 starts in [`VerifyJob::bytes`]. A whole-register load from its last fields ends
/// inside the signature, which follows.
const T1_AT: usize = RHO_LEN;

/// Where the packed z starts in [`VerifyJob::bytes`]. A whole-register load from its last fields ends
/// inside the hint, which follows and has at least 61 bytes.
fn z_at(job: &VerifyJob, params: &Params) -> usize {
    job.parameter_set().public_key_len() + params.c_tilde_len
}

/// # Safety
/// As [`Words`]; all jobs have the parameter set of `params`, and `verdicts` has a place for each.
#[inline(always)]
unsafe fn chunk<const N: usize, M: Machine<N>>(
    params: &Params,
    jobs: &[Prepared<'_>],
    verdicts: &mut [bool],
) {
    let mut candidates = Vec::with_capacity(jobs.len());
    for (place, &(job, key)) in jobs.iter().enumerate() {
        let signature = Signature::split(params, job.signature());
        let Some(hint) = Hint::unpack(params, signature.hint) else {
            continue;
        };
        let z = job.bytes()[z_at(job, params)..].as_ptr();
        let mut inside = true;
        for i in 0..params.l {
            // SAFETY: loads end inside the job's bytes, see `z_at`; the caller's promise.
            inside &=
                unsafe { poly::within_norm::<N, M::V>(params, z.add(i * params.z_poly_len())) };
        }
        if inside {
            candidates.push(Candidate {
                place,
                job,
                key,
                signature,
                hint,
            });
        }
    }
    if candidates.is_empty() {
        return;
    }

    let mu = representatives(M::LEVEL, &candidates);
    let challenges = challenge_bytes(M::LEVEL, &candidates);

    let w1_len = params.k * params.w1_poly_len();
    let mut w1 = vec![0u8; candidates.len() * W1_MAX + SLACK];
    let mut group: Vec<Member> = (0..GROUP.min(candidates.len()))
        .map(|_| Member {
            z: [const { Poly::ZERO }; L_MAX],
            minus_c: Poly::ZERO,
            rho: [0; 4],
        })
        .collect();
    for (number, members) in candidates.chunks(GROUP).enumerate() {
        let first = number * GROUP;
        for ((candidate, challenge), member) in
            members.iter().zip(&challenges[first..]).zip(&mut group)
        {
            // SAFETY: the caller's promise.
            unsafe { prepare::<N, M>(params, candidate, challenge, member) };
        }
        let out = &mut w1[first * W1_MAX..];
        // SAFETY: every row has SLACK bytes after it; the caller's promise.
        unsafe { commitments::<N, M>(params, members, &group, out) };
    }

    let parts: Vec<[&[u8]; 2]> = mu
        .iter()
        .zip(w1.chunks_exact(W1_MAX))
        .map(|(mu, w1)| [&mu[..], &w1[..w1_len]])
        .collect();
    let mut hashes = vec![0u8; params.c_tilde_len * candidates.len()];
    Sponge::SHAKE256.hash_many_at(M::LEVEL, &parts, &mut hashes);
    for (candidate, hash) in candidates
        .iter()
        .zip(hashes.chunks_exact(params.c_tilde_len))
    {
        verdicts[candidate.place] = hash == candidate.signature.c_tilde;
    }
}

/// μ of each candidate: Algorithm 8, lines 6 and 7.
fn representatives(level: Level, candidates: &[Candidate<'_>]) -> Vec<[u8; 64]> {
    let formatted: Vec<(usize, &[u8])> = candidates
        .iter()
        .enumerate()
        .filter_map(|(i, candidate)| match candidate.job.representative() {
            Representative::Formatted(message) => Some((i, message)),
            Representative::Mu(_) => None,
        })
        .collect();
    // tr of the keys that are not prepared, in order.
    let fresh: Vec<[&[u8]; 2]> = formatted
        .iter()
        .filter(|(i, _)| candidates[*i].key.is_none())
        .map(|&(i, _)| [candidates[i].job.public_key(), &[][..]])
        .collect();
    let mut hashed_keys = vec![[0u8; 64]; fresh.len()];
    Sponge::SHAKE256.hash_many_at(level, &fresh, hashed_keys.as_flattened_mut());
    let mut hashed_keys = hashed_keys.iter();
    let messages: Vec<[&[u8]; 2]> = formatted
        .iter()
        .filter_map(|&(i, message)| {
            let tr = match candidates[i].key {
                Some(key) => &key.tr,
                None => hashed_keys.next()?,
            };
            Some([&tr[..], message])
        })
        .collect();
    let mut hashed = vec![0u8; 64 * messages.len()];
    Sponge::SHAKE256.hash_many_at(level, &messages, &mut hashed);

    let mut hashed = hashed.as_chunks::<64>().0.iter();
    candidates
        .iter()
        .map(|candidate| match candidate.job.representative() {
            Representative::Mu(mu) => *mu,
            // One hash was made for each of these, in order.
            Representative::Formatted(_) => hashed.next().copied().unwrap_or([0; 64]),
        })
        .collect()
}

/// The first block of SHAKE256(c̃) of each candidate: what SampleInBall reads.
fn challenge_bytes(level: Level, candidates: &[Candidate<'_>]) -> Vec<[u8; 136]> {
    let parts: Vec<[&[u8]; 2]> = candidates
        .iter()
        .map(|candidate| [candidate.signature.c_tilde, &[][..]])
        .collect();
    let mut out = vec![[0u8; 136]; parts.len()];
    Sponge::SHAKE256.hash_many_at(level, &parts, out.as_flattened_mut());
    out
}

/// −c in `[0, q)`: SampleInBall (Algorithm 29), negated.
fn minus_challenge(params: &Params, c_tilde: &[u8], block: &[u8; 136], out: &mut Poly) {
    out.0 = [0; COEFFICIENTS];
    let (signs, positions) = block.split_at(8);
    let mut signs = signs
        .iter()
        .rev()
        .fold(0u64, |word, &byte| word << 8 | u64::from(byte));
    let mut positions = positions.iter();
    for i in COEFFICIENTS - params.tau..COEFFICIENTS {
        let Some(&j) = positions.find(|&&j| usize::from(j) <= i) else {
            // More than one block: practically never, and still right.
            for (word, &c) in out.0.iter_mut().zip(&sample::in_ball(params, c_tilde)) {
                *word = (Q.cast_signed() - c).cast_unsigned() % Q;
            }
            return;
        };
        out.0[i] = out.0[usize::from(j)];
        out.0[usize::from(j)] = if signs & 1 == 0 { Q - 1 } else { 1 };
        signs >>= 1;
    }
}

/// NTT(z) and NTT(−c).
///
/// # Safety
/// As [`Words`].
#[inline(always)]
unsafe fn prepare<const N: usize, M: Machine<N>>(
    params: &Params,
    candidate: &Candidate<'_>,
    challenge: &[u8; 136],
    member: &mut Member,
) {
    let bytes = candidate.job.bytes();
    for (word, bytes) in member.rho.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    minus_challenge(
        params,
        candidate.signature.c_tilde,
        challenge,
        &mut member.minus_c,
    );
    let packed = bytes[z_at(candidate.job, params)..].as_ptr();
    // SAFETY: loads end inside the job's bytes, see `z_at`; the caller's promise.
    unsafe {
        for (i, z) in member.z[..params.l].iter_mut().enumerate() {
            poly::unpack_z::<N, M::V>(params, packed.add(i * params.z_poly_len()), z);
            ntt::ntt::<N, M::V>(z);
        }
        ntt::ntt::<N, M::V>(&mut member.minus_c);
    }
}

/// The encoded w1 of every member of a group, `W1_MAX` bytes apart: ExpandA (Algorithm 32), then
/// lines 9 and 10 of Algorithm 8 as each row of the matrix is complete.
///
/// # Safety
/// As [`Words`]; `out` has [`SLACK`] bytes after the last member's.
#[inline(always)]
unsafe fn commitments<const N: usize, M: Machine<N>>(
    params: &Params,
    candidates: &[Candidate<'_>],
    group: &[Member],
    out: &mut [u8],
) {
    let mut hint = Poly::ZERO;
    let mut fresh = Vec::with_capacity(candidates.len());
    for (member, candidate) in candidates.iter().enumerate() {
        let Some(key) = candidate.key else {
            fresh.push(member);
            continue;
        };
        for row in 0..params.k {
            let mut matrix_row: MatrixRow<'_> = [&[0; COEFFICIENTS]; L_MAX];
            for (to, entry) in matrix_row.iter_mut().zip(key.matrix_row(row)) {
                *to = &entry.0;
            }
            let out = &mut out[member * W1_MAX..];
            // SAFETY: the caller's promise.
            unsafe {
                finish_row::<N, M>(
                    params,
                    candidate,
                    row,
                    &group[member],
                    &matrix_row,
                    &mut hint,
                    out,
                );
            }
        }
    }

    let total = params.k * params.l * fresh.len();
    let mut streams = [const { Stream::ZERO }; STREAMS];
    let mut entries = [const { Entry::ZERO }; L_MAX];
    let mut at = 0;
    while at < total {
        let mut seeds = [Seed::ZERO; STREAMS];
        for (lane, seed) in seeds.iter_mut().enumerate() {
            // Past the end the last entry is made again and not used.
            let (index, row, column) = place(params, (at + lane).min(total - 1));
            *seed = Seed {
                rho: group[fresh[index]].rho,
                column: column as u8,
                row: row as u8,
            };
        }
        // SAFETY: the caller's promise.
        unsafe { M::streams(&seeds, &mut streams) };
        for (lane, stream) in streams[..STREAMS.min(total - at)].iter().enumerate() {
            let (index, row, column) = place(params, at + lane);
            let member = fresh[index];
            // SAFETY: the caller's promise.
            unsafe { entry::<N, M>(stream, &seeds[lane], &mut entries[column]) };
            if column + 1 == params.l {
                let mut matrix_row: MatrixRow<'_> = [&[0; COEFFICIENTS]; L_MAX];
                for (to, entry) in matrix_row.iter_mut().zip(&entries) {
                    *to = entry.words();
                }
                let out = &mut out[member * W1_MAX..];
                // SAFETY: the caller's promise.
                unsafe {
                    finish_row::<N, M>(
                        params,
                        &candidates[member],
                        row,
                        &group[member],
                        &matrix_row,
                        &mut hint,
                        out,
                    );
                }
            }
        }
        at += STREAMS;
    }
}

/// One entry of the matrix from its stream: RejNTTPoly (Algorithm 30).
///
/// # Safety
/// As [`Words`].
#[inline(always)]
unsafe fn entry<const N: usize, M: Machine<N>>(stream: &Stream, seed: &Seed, out: &mut Entry) {
    // SAFETY: a stream has 56 bytes after its output; the caller's promise.
    let full = unsafe { poly::sample::<N, M::V>(stream.0.as_ptr(), out) };
    if !full {
        // Too many candidates were refused: practically never, and still right.
        let rho: [[u8; 8]; 4] = seed.rho.map(u64::to_le_bytes);
        let (row, column) = (usize::from(seed.row), usize::from(seed.column));
        let whole = sample::matrix_entry(rho.as_flattened(), row, column);
        for (word, &c) in out.0.iter_mut().zip(&whole) {
            *word = c.cast_unsigned();
        }
    }
}

/// Â of a key by rows (ExpandA, Algorithm 32), by the code of `level`.
pub(crate) fn expand(level: Level, params: &Params, rho: &[u8]) -> Vec<Words256> {
    match level.available() {
        // SAFETY: the level was found on this processor.
        Level::Avx512 => unsafe { expand_avx512(params, rho) },
        // SAFETY: the level was found on this processor.
        Level::Avx2 => unsafe { expand_avx2(params, rho) },
        _ => (0..params.k * params.l)
            .map(|index| {
                let (_, row, column) = place(params, index);
                Words256(sample::matrix_entry(rho, row, column).map(i32::cast_unsigned))
            })
            .collect(),
    }
}

/// # Safety
/// The processor has AVX-512 F, BW, DQ, VL and VBMI.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx2,bmi2,popcnt")]
unsafe fn expand_avx512(params: &Params, rho: &[u8]) -> Vec<Words256> {
    // SAFETY: the caller's promise.
    unsafe { expand_with::<16, Avx512>(params, rho) }
}

/// # Safety
/// The processor has AVX2.
#[target_feature(enable = "avx2,popcnt")]
unsafe fn expand_avx2(params: &Params, rho: &[u8]) -> Vec<Words256> {
    // SAFETY: the caller's promise.
    unsafe { expand_with::<8, Avx2>(params, rho) }
}

/// # Safety
/// As [`Words`].
#[inline(always)]
unsafe fn expand_with<const N: usize, M: Machine<N>>(params: &Params, rho: &[u8]) -> Vec<Words256> {
    let mut words = [0u64; 4];
    for (word, bytes) in words.iter_mut().zip(rho.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    let total = params.k * params.l;
    let mut matrix = Vec::with_capacity(total);
    let mut streams = [const { Stream::ZERO }; STREAMS];
    let mut sampled = Entry::ZERO;
    let mut at = 0;
    while at < total {
        let mut seeds = [Seed::ZERO; STREAMS];
        for (lane, seed) in seeds.iter_mut().enumerate() {
            let (_, row, column) = place(params, (at + lane).min(total - 1));
            *seed = Seed {
                rho: words,
                column: column as u8,
                row: row as u8,
            };
        }
        // SAFETY: the caller's promise.
        unsafe { M::streams(&seeds, &mut streams) };
        for lane in 0..STREAMS.min(total - at) {
            // SAFETY: the caller's promise.
            unsafe { entry::<N, M>(&streams[lane], &seeds[lane], &mut sampled) };
            matrix.push(Words256(*sampled.words()));
        }
        at += STREAMS;
    }
    matrix
}

/// Member, row and column of the `index`-th matrix entry of a group.
#[inline(always)]
fn place(params: &Params, index: usize) -> (usize, usize, usize) {
    let entries = params.k * params.l;
    let inside = index % entries;
    (index / entries, inside / params.l, inside % params.l)
}

/// One row of w1: Â's row ∘ NTT(z) − NTT(c) ∘ NTT(t1·2^d), the inverse transform, the hint, the encoding.
///
/// Bounds: NTT outputs of z (taken below 2 q) are below 18 q, of −c and t1·2^d below 17 q; the sum of one
/// product of the latter and seven of the former with entries below q is below 415 q² < 2^54.7.
///
/// `hint` is the zero polynomial before and after.
///
/// # Safety
/// As [`Words`]; `out` starts with the candidate's w1 and has [`SLACK`] bytes after it.
#[inline(always)]
unsafe fn finish_row<const N: usize, M: Machine<N>>(
    params: &Params,
    candidate: &Candidate<'_>,
    row: usize,
    member: &Member,
    matrix_row: &MatrixRow<'_>,
    hint: &mut Poly,
    out: &mut [u8],
) {
    let out = &mut out[row * params.w1_poly_len()..];
    let ones = candidate.hint.row(row);
    ones.iter().for_each(|&one| hint.0[usize::from(one)] = 1);
    let mut t = Poly::ZERO;
    let mut w = Poly::ZERO;
    // SAFETY: loads end inside the job's bytes, see `T1_AT`; the caller's promise.
    unsafe {
        let t1 = match candidate.key {
            Some(key) => &key.t1_row(row).0,
            None => {
                let packed = candidate.job.bytes()[T1_AT + row * T1_POLY_LEN..].as_ptr();
                poly::unpack_t1::<N, M::V>(packed, &mut t);
                ntt::ntt::<N, M::V>(&mut t);
                &t.0
            }
        };
        poly::dot::<N, M::V>(
            (t1, &member.minus_c),
            (matrix_row, &member.z[..params.l]),
            &mut w,
        );
        ntt::inverse_ntt::<N, M::V>(&mut w);
        poly::use_hint_and_encode::<N, M::V>(params, &w, hint, out.as_mut_ptr());
    }
    ones.iter().for_each(|&one| hint.0[usize::from(one)] = 0);
}
