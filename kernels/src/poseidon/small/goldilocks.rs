//! Goldilocks over vectors of 64-bit words, a lane a state.
//!
//! A word is any number below 2^64, equal to the element modulo p = 2^64 - 2^32 + 1; it is brought below p where an operation asks for it
//! and when it leaves. 2^64 is `EPSILON` = 2^32 - 1 modulo p, and 2^96 is -1. Linear layers sum the halves of words apart, where nothing
//! is carried.
#![allow(unsafe_code)]
// Plain loops over words: closures of iterators are not compiled for the instruction set of their caller.
#![allow(clippy::needless_range_loop)]

use super::{FULL_ROUNDS, Instance};

const HALF: usize = FULL_ROUNDS / 2;
const P: u64 = Instance::Goldilocks8.modulus();
/// 2^64 modulo p.
const EPSILON: u64 = P.wrapping_neg();

/// A vector of 64-bit words.
///
/// # Safety
/// Every function needs the instruction set that the implementing type stands for.
pub(super) unsafe trait Wide: Copy {
    /// Number of words.
    const LANES: usize;
    /// The same word everywhere.
    unsafe fn splat(word: u64) -> Self;
    /// Sums modulo 2^64.
    unsafe fn plus(self, b: Self) -> Self;
    /// Differences modulo 2^64.
    unsafe fn minus(self, b: Self) -> Self;
    unsafe fn and(self, b: Self) -> Self;
    /// Words shifted left by a constant.
    unsafe fn left<const BITS: u32>(self) -> Self;
    /// Words shifted right by a constant, zeros in.
    unsafe fn right<const BITS: u32>(self) -> Self;
    /// Products of the low 32 bits.
    unsafe fn product(self, b: Self) -> Self;
    /// The high 32 bits in the low ones; what is above means nothing.
    unsafe fn top(self) -> Self;
    /// The low 32 bits, and above them the low ones of `up`.
    unsafe fn below(self, up: Self) -> Self;
    /// Plus `more` where `a < b`.
    unsafe fn plus_where_less(self, a: Self, b: Self, more: Self) -> Self;
    /// Minus `less` where `a < b`.
    unsafe fn minus_where_less(self, a: Self, b: Self, less: Self) -> Self;
    /// Plus `more` where `odd` is odd.
    unsafe fn plus_where_odd(self, odd: Self, more: Self) -> Self;
    /// Words at `from` and every `stride` words behind it.
    unsafe fn load(from: *const u64, stride: usize) -> Self;
    /// Writes what [`Self::load`] reads.
    unsafe fn store(self, to: *mut u64, stride: usize);
}

/// The word below p.
#[inline(always)]
unsafe fn canonical<V: Wide>(x: V) -> V {
    // SAFETY: the caller's promise.
    unsafe { x.minus_where_less(V::splat(P - 1), x, V::splat(P)) }
}

/// The sum, for b below p.
#[inline(always)]
unsafe fn add<V: Wide>(a: V, b: V) -> V {
    // SAFETY: the caller's promise.
    unsafe {
        // What wrapped is below p, and stays below 2^64 with 2^64 modulo p.
        let sum = a.plus(b);
        sum.plus_where_less(sum, b, V::splat(EPSILON))
    }
}

/// The difference, for b below p.
#[inline(always)]
unsafe fn sub<V: Wide>(a: V, b: V) -> V {
    // SAFETY: the caller's promise.
    unsafe {
        // What wrapped is above 2^64 - p, and does not wrap again.
        a.minus(b).minus_where_less(a, b, V::splat(EPSILON))
    }
}

/// Twice a word.
#[inline(always)]
unsafe fn double<V: Wide>(x: V) -> V {
    // SAFETY: the caller's promise.
    unsafe {
        let x = canonical(x);
        add(x, x)
    }
}

/// Half a word: where it is odd, half of it and p.
#[inline(always)]
unsafe fn halved<V: Wide>(x: V) -> V {
    // SAFETY: the caller's promise.
    unsafe { x.right::<1>().plus_where_odd(x, V::splat(P.div_ceil(2))) }
}

/// The number `high 2^64 + low`.
#[inline(always)]
unsafe fn reduced<V: Wide>(high: V, low: V) -> V {
    // SAFETY: the caller's promise.
    unsafe {
        // 2^96 is -1. What wrapped is above 2^64 - 2^32.
        let top = high.right::<32>();
        let rest = low.minus(top).minus_where_less(low, top, V::splat(EPSILON));
        // At most (2^32 - 1)^2, below p.
        add(rest, high.product(V::splat(EPSILON)))
    }
}

#[inline(always)]
unsafe fn mul<V: Wide>(a: V, b: V) -> V {
    // SAFETY: the caller's promise.
    unsafe {
        let (a_top, b_top, low_half) = (a.top(), b.top(), V::splat(EPSILON));
        let bottom = a.product(b);
        let mixed = a_top.product(b).plus(bottom.right::<32>());
        let other = a.product(b_top).plus(mixed.and(low_half));
        let top = a_top.product(b_top).plus(mixed.right::<32>());
        let high = top.plus(other.right::<32>());
        reduced(high, bottom.below(other))
    }
}

#[inline(always)]
unsafe fn square<V: Wide>(x: V) -> V {
    // SAFETY: the caller's promise.
    unsafe {
        let top = x.top();
        let bottom = x.product(x);
        // Counts twice: it stands 33 bits up.
        let mixed = top.product(x);
        let over = mixed.plus(bottom.right::<33>());
        let high = top.product(top).plus(over.right::<31>());
        reduced(high, bottom.plus(mixed.left::<33>()))
    }
}

/// x^7 of several words, step by step: the processor finds the products of one step side by side.
#[inline(always)]
unsafe fn sboxes<V: Wide, const K: usize>(x: &mut [V; K]) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut second = *x;
        for i in 0..K {
            second[i] = square(x[i]);
        }
        let mut fourth = second;
        for i in 0..K {
            fourth[i] = square(second[i]);
            x[i] = mul(second[i], x[i]);
        }
        for i in 0..K {
            x[i] = mul(x[i], fourth[i]);
        }
    }
}

/// The number `high 2^32 + low` of sums of at most 2^31 halves.
#[inline(always)]
unsafe fn joined<V: Wide>(low: V, high: V) -> V {
    // SAFETY: the caller's promise.
    unsafe {
        let over = high.right::<32>();
        let low = low.plus(over.left::<32>().minus(over));
        // Below p: below 2^63.
        add(high.left::<32>(), low)
    }
}

/// The external matrix on halves of words.
#[inline(always)]
unsafe fn external_halves<V: Wide, const T: usize>(s: &mut [V; T]) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut block = 0;
        while block < T {
            let [a, b, c, d] = [s[block], s[block + 1], s[block + 2], s[block + 3]];
            let (ab, cd) = (a.plus(b), c.plus(d));
            let all = ab.plus(cd);
            let (all_b, all_d) = (all.plus(b), all.plus(d));
            s[block] = all_b.plus(ab);
            s[block + 1] = all_b.plus(c.plus(c));
            s[block + 2] = all_d.plus(cd);
            s[block + 3] = all_d.plus(a.plus(a));
            block += 4;
        }
        for i in 0..4 {
            let mut sum = s[i].plus(s[4 + i]);
            if T == 12 {
                sum = sum.plus(s[8 + i]);
            }
            let mut at = i;
            while at < T {
                s[at] = s[at].plus(sum);
                at += 4;
            }
        }
    }
}

/// The matrix `circ(2, 3, 1, 1)` on every four words, then the sum of all blocks added to each.
#[inline(always)]
unsafe fn external<V: Wide, const T: usize>(s: &mut [V; T]) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut low = *s;
        let mut high = *s;
        for i in 0..T {
            low[i] = s[i].and(V::splat(EPSILON));
            high[i] = s[i].right::<32>();
        }
        external_halves(&mut low);
        external_halves(&mut high);
        for i in 0..T {
            // Below 28 2^32.
            s[i] = joined(low[i], high[i]);
        }
    }
}

/// Constants, S-boxes, external layer.
#[inline(always)]
unsafe fn full<V: Wide, const T: usize>(s: &mut [V; T], rows: &[u64]) {
    debug_assert_eq!(rows.len(), HALF * T);
    for row in rows.chunks_exact(T) {
        // SAFETY: the caller's promise.
        unsafe {
            for i in 0..T {
                s[i] = add(s[i], V::splat(row[i]));
            }
            sboxes(s);
            external(s);
        }
    }
}

/// A partial round of several groups of states.
#[inline(always)]
unsafe fn partial<V: Wide, const T: usize, const N: usize>(
    states: &mut [[V; T]; N],
    constant: u64,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut z = [V::splat(0); N];
        for n in 0..N {
            z[n] = add(states[n][0], V::splat(constant));
        }
        sboxes(&mut z);
        for n in 0..N {
            inner(&mut states[n], canonical(z[n]));
        }
    }
}

/// The internal layer, where `z` below p stands in the first place.
#[inline(always)]
unsafe fn inner<V: Wide, const T: usize>(s: &mut [V; T], z: V) {
    // SAFETY: the caller's promise.
    unsafe {
        let half = V::splat(EPSILON);
        let (mut low, mut high) = (s[1].and(half), s[1].right::<32>());
        for i in 2..T {
            low = low.plus(s[i].and(half));
            high = high.plus(s[i].right::<32>());
        }
        // Sum and diagonal -2: the others less the word.
        let others = joined(low, high);
        s[0] = sub(others, z);
        let sum = canonical(add(others, z));
        s[1] = add(s[1], sum);
        s[2] = add(double(s[2]), sum);
        s[3] = add(halved(s[3]), sum);
        s[4] = add(tripled(s[4]), sum);
        // The diagonal of width 8 lacks the 4.
        let at = if T == 12 { 6 } else { 5 };
        s[at] = sub(sum, canonical(halved(s[at])));
        s[at + 1] = sub(sum, canonical(tripled(s[at + 1])));
        s[at + 2] = sub(sum, canonical(double(double(s[at + 2]))));
        if T == 12 {
            s[5] = add(double(double(s[5])), sum);
            s[9] = add(halved(halved(s[9])), sum);
            s[10] = sub(sum, canonical(halved(halved(s[10]))));
            s[11] = add(halved(halved(halved(s[11]))), sum);
        }
    }
}

/// Three times a word.
#[inline(always)]
unsafe fn tripled<V: Wide>(x: V) -> V {
    // SAFETY: the caller's promise.
    unsafe {
        let x = canonical(x);
        add(add(x, x), x)
    }
}

/// Permutes groups of `LANES` states and gives back the words of those that fill no group.
///
/// # Safety
/// As [`Wide`]. Words are below p and states whole.
#[inline(always)]
pub(super) unsafe fn permute_many<V: Wide>(instance: Instance, states: &mut [u64]) -> &mut [u64] {
    // SAFETY: the caller's promise.
    unsafe {
        match instance {
            Instance::Goldilocks8 => {
                let rest = groups::<V, 8, 4>(instance, states);
                groups::<V, 8, 1>(instance, rest)
            }
            Instance::Goldilocks12 => {
                let rest = groups::<V, 12, 4>(instance, states);
                groups::<V, 12, 1>(instance, rest)
            }
            _ => states,
        }
    }
}

/// Permutes `N` groups of `LANES` states at once: a partial round is a chain of dependent steps, and while one group waits the
/// processor has another's to compute.
///
/// # Safety
/// As [`permute_many`].
#[inline(always)]
unsafe fn groups<V: Wide, const T: usize, const N: usize>(
    instance: Instance,
    states: &mut [u64],
) -> &mut [u64] {
    let constants = instance.constants();
    let mut groups = states.chunks_exact_mut(N * T * V::LANES);
    for group in &mut groups {
        // SAFETY: the caller's promise; a group holds `N LANES` states.
        unsafe {
            let mut states = [[V::splat(0); T]; N];
            for n in 0..N {
                for i in 0..T {
                    states[n][i] = V::load(group.as_ptr().add(n * T * V::LANES + i), T);
                }
                external(&mut states[n]);
                full(&mut states[n], &constants.initial);
            }
            for constant in &constants.partial {
                partial(&mut states, *constant);
            }
            for n in 0..N {
                full(&mut states[n], &constants.last);
                for i in 0..T {
                    canonical(states[n][i]).store(group.as_mut_ptr().add(n * T * V::LANES + i), T);
                }
            }
        }
    }
    groups.into_remainder()
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::super::x86::{X256, X512};
    use super::*;

    /// Words at the edges of halves and of the field, those of p and more included.
    const WORDS: [u64; 16] = [
        0,
        1,
        2,
        EPSILON - 1,
        EPSILON,
        EPSILON + 1,
        1 << 48,
        P / 2,
        P / 2 + 1,
        P - EPSILON,
        P - 2,
        P - 1,
        P,
        P + 1,
        u64::MAX - 1,
        u64::MAX,
    ];

    /// Each operation on all pairs of words against 128-bit arithmetic.
    ///
    /// # Safety
    /// As [`Wide`].
    #[inline(always)]
    unsafe fn arithmetic<V: Wide>() {
        let modulo = |number: u128| (number % u128::from(P)) as u64;
        let check = |found: V, expected: u128, case: &str, a: u64, b: u64| {
            let mut words = [0; 8];
            // SAFETY: there is room for every lane.
            unsafe { found.store(words.as_mut_ptr(), 1) };
            for word in &words[..V::LANES] {
                let given = modulo(u128::from(*word));
                assert_eq!(given, modulo(expected), "{case} of {a:#x} and {b:#x}");
            }
        };
        for a in WORDS {
            // SAFETY: the caller's promise.
            unsafe {
                let (x, wide) = (V::splat(a), u128::from(a));
                check(square(x), wide * wide, "square", a, a);
                check(double(x), 2 * wide, "double", a, a);
                check(halved(x), wide * u128::from(P.div_ceil(2)), "half", a, 2);
                let mut words = [0; 8];
                canonical(x).store(words.as_mut_ptr(), 1);
                assert_eq!(words[..V::LANES], [modulo(wide); 8][..V::LANES], "{a:#x}");
            }
            for b in WORDS {
                // SAFETY: the caller's promise.
                unsafe {
                    let (x, y) = (V::splat(a), V::splat(b));
                    let (a_wide, b_wide) = (u128::from(a), u128::from(b));
                    check(mul(x, y), a_wide * b_wide, "product", a, b);
                    if b < P {
                        check(add(x, y), a_wide + b_wide, "sum", a, b);
                        let difference = a_wide + u128::from(P) - b_wide;
                        check(sub(x, y), difference, "difference", a, b);
                    }
                }
            }
        }
    }

    #[target_feature(enable = "avx2")]
    unsafe fn avx2() {
        // SAFETY: this function has the set.
        unsafe { arithmetic::<X256>() }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    unsafe fn avx512() {
        // SAFETY: this function has the sets.
        unsafe { arithmetic::<X512>() }
    }

    #[test]
    fn words_at_edges_follow_the_definition() {
        use crate::cpu::Level;
        if Level::Avx2.is_available() {
            // SAFETY: the set was found.
            unsafe { avx2() };
        }
        if Level::Avx512.is_available() {
            // SAFETY: the sets were found.
            unsafe { avx512() };
        }
    }
}
