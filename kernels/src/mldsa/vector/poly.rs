//! Decoding, rounding and encoding of single polynomials (FIPS 204, sections 7.1, 7.2 and 7.4).

use super::{Poly, Q, Words};
use crate::mldsa::params::{L_MAX, N as COEFFICIENTS, Params};

/// An entry of the matrix: 256 words below q, then room for whole-register stores.
#[derive(Clone)]
#[repr(C, align(64))]
pub(crate) struct Entry(pub(crate) [u32; COEFFICIENTS + 16]);

impl Entry {
    /// The zero entry.
    pub(crate) const ZERO: Self = Self([0; COEFFICIENTS + 16]);
}

/// The first words of the entries of a row of the matrix, `l` of them in use.
pub(crate) type MatrixRow<'a> = [&'a [u32; COEFFICIENTS]; L_MAX];

impl Entry {
    /// The 256 words.
    #[inline(always)]
    pub(crate) fn words(&self) -> &[u32; COEFFICIENTS] {
        // The array is longer than its first 256 words, so there is a first chunk.
        self.0.first_chunk().unwrap_or(&[0; COEFFICIENTS])
    }
}

/// Whether every coefficient of a packed z keeps ‖z‖∞ < γ1 − β.
///
/// A field x stands for γ1 − x, so the bound is β < x < 2 γ1 − β.
///
/// # Safety
/// As [`Words`]; 64 bytes are readable from each register's first field.
#[inline(always)]
pub(crate) unsafe fn within_norm<const N: usize, V: Words<N>>(
    params: &Params,
    packed: *const u8,
) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let lowest = V::splat(params.beta + 1);
        let highest = V::splat(2 * params.gamma1() - params.beta - 1);
        let mut inside = true;
        for i in 0..COEFFICIENTS / N {
            let x = fields::<N, V>(params, packed, i);
            inside &= !x.any_greater(highest) & !lowest.any_greater(x);
        }
        inside
    }
}

/// The `i`-th register of fields of a packed z.
#[inline(always)]
unsafe fn fields<const N: usize, V: Words<N>>(params: &Params, packed: *const u8, i: usize) -> V {
    // SAFETY: the caller's promise.
    unsafe {
        if params.gamma1_bits == 17 {
            V::unpack::<18>(packed.add(i * N * 18 / 8))
        } else {
            V::unpack::<20>(packed.add(i * N * 20 / 8))
        }
    }
}

/// One polynomial of z, in `[0, 2 q)`: γ1 − x + q.
///
/// # Safety
/// As [`within_norm`].
#[inline(always)]
pub(crate) unsafe fn unpack_z<const N: usize, V: Words<N>>(
    params: &Params,
    packed: *const u8,
    poly: &mut Poly,
) {
    // SAFETY: the caller's promise; stores stay inside the polynomial.
    unsafe {
        let top = V::splat(params.gamma1() + Q);
        for i in 0..COEFFICIENTS / N {
            let x = fields::<N, V>(params, packed, i);
            top.sub(x).store(poly.0.as_mut_ptr().add(i * N));
        }
    }
}

/// One polynomial of t1 2^13, below q.
///
/// # Safety
/// As [`Words`]; 64 bytes are readable from each register's first field.
#[inline(always)]
pub(crate) unsafe fn unpack_t1<const N: usize, V: Words<N>>(packed: *const u8, poly: &mut Poly) {
    // SAFETY: the caller's promise; stores stay inside the polynomial.
    unsafe {
        for i in 0..COEFFICIENTS / N {
            let x = V::unpack::<10>(packed.add(i * N * 10 / 8));
            x.shl::<13>().store(poly.0.as_mut_ptr().add(i * N));
        }
    }
}

/// The sum of products `a[i] ∘ b[i]`, divided by 2^32 modulo q, below 2 q.
///
/// Takes products whose sum is below 2^54.7 in every coefficient.
///
/// # Safety
/// As [`Words`].
#[inline(always)]
pub(crate) unsafe fn dot<const N: usize, V: Words<N>>(
    first: (&[u32; COEFFICIENTS], &Poly),
    rest: (&MatrixRow<'_>, &[Poly]),
    out: &mut Poly,
) {
    // SAFETY: offsets stay inside the polynomials; the caller's promise.
    unsafe {
        for i in 0..COEFFICIENTS / N {
            let a = V::load(first.0.as_ptr().add(i * N));
            let b = V::load(first.1.0.as_ptr().add(i * N));
            let mut sums = V::multiply_add((V::splat(0), V::splat(0)), a, b);
            for (a, b) in rest.0.iter().zip(rest.1) {
                let a = V::load(a.as_ptr().add(i * N));
                let b = V::load(b.0.as_ptr().add(i * N));
                sums = V::multiply_add(sums, a, b);
            }
            V::reduce(sums).store(out.0.as_mut_ptr().add(i * N));
        }
    }
}

/// UseHint (Algorithm 40) on a polynomial in `[0, q)`, then one row of w1Encode (Algorithm 28).
///
/// `hint` has a one where the hint is set, else zero. `out` has 256 · 4 / 8 or 256 · 6 / 8 bytes and 32 writable after.
///
/// # Safety
/// As [`Words`].
#[inline(always)]
pub(crate) unsafe fn use_hint_and_encode<const N: usize, V: Words<N>>(
    params: &Params,
    w: &Poly,
    hint: &Poly,
    out: *mut u8,
) {
    let m = params.high_values();
    // SAFETY: offsets stay inside; the caller's promise.
    unsafe {
        let alpha = V::splat(2 * params.gamma2);
        let (one, zero) = (V::splat(1), V::splat(0));
        let (m_register, last) = (V::splat(m), V::splat(m - 1));
        for i in 0..COEFFICIENTS / N {
            let r = V::load(w.0.as_ptr().add(i * N));
            // r1 = floor((r + γ2 − 1) / 2 γ2) by multiplication: right for every r in [0, q), see the tests.
            let small = r.add(V::splat(127)).shr::<7>();
            let r1 = if m == 16 {
                small
                    .mul_low(V::splat(1025))
                    .add(V::splat(1 << 21))
                    .shr::<22>()
            } else {
                small
                    .mul_low(V::splat(11_275))
                    .add(V::splat(1 << 23))
                    .shr::<24>()
            };
            // r0 > 0 exactly where r > r1 2 γ2; never where r1 = m, since r <= q - 1 = m 2 γ2.
            let step = r.if_greater(r1.mul_low(alpha), one, last);
            let r1 = r1.if_greater(last, zero, r1);
            let flags = V::load(hint.0.as_ptr().add(i * N));
            let stepped = r1.add(zero.sub(flags).and(step));
            let high = stepped.min(stepped.sub(m_register));
            if m == 16 {
                high.pack::<4>(out.add(i * N / 2));
            } else {
                high.pack::<6>(out.add(i * N * 6 / 8));
            }
        }
    }
}

/// RejNTTPoly (Algorithm 30) from a stream of SHAKE128 output: fills `out` and tells whether 256
/// coefficients were found in the stream's first five blocks.
///
/// # Safety
/// As [`Words`]; `stream` has 840 bytes of output and 56 readable after.
#[inline(always)]
pub(crate) unsafe fn sample<const N: usize, V: Words<N>>(
    stream: *const u8,
    out: &mut Entry,
) -> bool {
    let mut found = 0;
    let mut at = 0;
    while found < COEFFICIENTS && at + 3 * N <= 840 {
        // SAFETY: at + 64 <= 896; found + N <= 272. The caller's promise.
        found += unsafe { V::sample(stream.add(at), out.0.as_mut_ptr().add(found)) };
        at += 3 * N;
    }
    found >= COEFFICIENTS
}
