//! The number-theoretic transform and its inverse (FIPS 204, Algorithms 41 and 42).
//!
//! The 256 words are seen as blocks of `N` registers of `N` words. Layers whose partners lie in
//! different registers need no shuffles; the block is then transposed, so that the last layers, too,
//! pair whole registers. With 16 words there is one block and it stays in registers for all eight
//! layers; with 8 words two layers run over memory first, then four blocks of six layers.

use super::{Poly, Q, Words};

/// The root of unity of FIPS 204, section 2.5.
const ZETA: u64 = 1753;

const fn power(base: u64, mut exponent: u64) -> u64 {
    let (mut result, mut square) = (1u64, base);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = result * square % (Q as u64);
        }
        square = square * square % (Q as u64);
        exponent >>= 1;
    }
    result
}

/// A factor and its Shoup companion `floor(factor 2^32 / q)`.
#[derive(Clone, Copy)]
struct Factor {
    value: u32,
    shoup: u32,
}

const fn factor(value: u64) -> Factor {
    Factor {
        value: value as u32,
        shoup: ((value << 32) / (Q as u64)) as u32,
    }
}

/// zeta^brv(k) for k = 0..256 (FIPS 204, appendix B), or the inverses.
const fn factors(inverse: bool) -> [Factor; 256] {
    let mut table = [factor(1); 256];
    let mut k = 0;
    while k < 256 {
        let exponent = (k as u8).reverse_bits() as u64;
        // zeta has order 512.
        table[k] = factor(power(
            ZETA,
            if inverse {
                (512 - exponent) % 512
            } else {
                exponent
            },
        ));
        k += 1;
    }
    table
}

static FORWARD: [Factor; 256] = factors(false);
static BACKWARD: [Factor; 256] = factors(true);

/// 2^32 / 256 modulo q: undoes both the transform's scale and the Montgomery reduction before it.
const SCALE: Factor = factor(power(2, 24));

/// Factors of the layers after the transposition, one word for each row of a block, values and
/// companions apart. At `((block * (N - 1)) + 2^layer - 1 + group) * N`.
#[repr(C, align(64))]
pub(crate) struct LaneFactors {
    values: [u32; 256],
    shoups: [u32; 256],
    /// The companions of the odd words, one word to the left.
    odd_shoups: [u32; 256],
}

const fn lane_factors<const N: usize>(table: &[Factor; 256]) -> LaneFactors {
    let mut out = LaneFactors {
        values: [0; 256],
        shoups: [0; 256],
        odd_shoups: [0; 256],
    };
    let blocks = 256 / (N * N);
    let mut block = 0;
    while block < blocks {
        let mut groups = 1;
        while groups < N {
            let mut group = 0;
            while group < groups {
                let mut lane = 0;
                while lane < N {
                    let k = (256 / N + block * N + lane) * groups + group;
                    let at = (block * (N - 1) + groups - 1 + group) * N + lane;
                    out.values[at] = table[k].value;
                    out.shoups[at] = table[k].shoup;
                    if lane % 2 == 1 {
                        out.odd_shoups[at - 1] = table[k].shoup;
                    }
                    lane += 1;
                }
                group += 1;
            }
            groups *= 2;
        }
        block += 1;
    }
    out
}

static FORWARD_8: LaneFactors = lane_factors::<8>(&factors(false));
static BACKWARD_8: LaneFactors = lane_factors::<8>(&factors(true));
static FORWARD_16: LaneFactors = lane_factors::<16>(&factors(false));
static BACKWARD_16: LaneFactors = lane_factors::<16>(&factors(true));

#[inline(always)]
fn forward_lanes<const N: usize>() -> &'static LaneFactors {
    if N == 16 { &FORWARD_16 } else { &FORWARD_8 }
}

#[inline(always)]
fn backward_lanes<const N: usize>() -> &'static LaneFactors {
    if N == 16 { &BACKWARD_16 } else { &BACKWARD_8 }
}

/// A register of factors: values, companions, and the companions of the odd words.
#[derive(Clone, Copy)]
struct Factors<V> {
    value: V,
    even: V,
    odd: V,
}

impl Factor {
    /// The factor in every word.
    #[inline(always)]
    unsafe fn splat<const N: usize, V: Words<N>>(self) -> Factors<V> {
        // SAFETY: the caller runs under V's instruction set.
        unsafe {
            let shoup = V::splat(self.shoup);
            Factors {
                value: V::splat(self.value),
                even: shoup,
                odd: shoup,
            }
        }
    }
}

/// `a z` modulo q, below 2 q, for any `a`.
#[inline(always)]
unsafe fn times<const N: usize, V: Words<N>>(a: V, z: Factors<V>) -> V {
    // SAFETY: the caller runs under V's instruction set.
    unsafe {
        a.mul_low(z.value)
            .sub(a.mul_high(z.even, z.odd).mul_low(V::splat(Q)))
    }
}

/// One forward butterfly; each value grows by at most 2 q.
#[inline(always)]
unsafe fn forward<const N: usize, V: Words<N>>(a: V, b: V, z: Factors<V>) -> (V, V) {
    // SAFETY: the caller runs under V's instruction set.
    unsafe {
        let product = times(b, z);
        (a.add(product), a.add(V::splat(2 * Q).sub(product)))
    }
}

/// One backward butterfly on values below `bound`: the first doubles its bound, the second comes
/// out below 2 q.
#[inline(always)]
unsafe fn backward<const N: usize, V: Words<N>>(a: V, b: V, z: Factors<V>, bound: u32) -> (V, V) {
    // SAFETY: the caller runs under V's instruction set.
    unsafe {
        let difference = a.add(V::splat(bound).sub(b));
        (a.add(b), times(difference, z))
    }
}

/// Where the factors of a layer come from.
trait Source<const N: usize, V> {
    /// The factors of a group of the layer.
    unsafe fn get(&self, group: usize) -> Factors<V>;
}

/// One factor for a whole group: the table's entry at this index plus the group's number.
struct Splat(&'static [Factor; 256], usize);

/// One factor a word: the row of lane factors at this index plus the group's number.
struct Rows(&'static LaneFactors, usize);

impl<const N: usize, V: Words<N>> Source<N, V> for Splat {
    #[inline(always)]
    unsafe fn get(&self, group: usize) -> Factors<V> {
        // SAFETY: the caller runs under V's instruction set.
        unsafe { self.0[self.1 + group].splat() }
    }
}

impl<const N: usize, V: Words<N>> Source<N, V> for Rows {
    #[inline(always)]
    unsafe fn get(&self, group: usize) -> Factors<V> {
        let at = (self.1 + group) * N;
        // SAFETY: a row has N words; the caller runs under V's instruction set.
        unsafe {
            Factors {
                value: V::load(self.0.values[at..at + N].as_ptr()),
                even: V::load(self.0.shoups[at..at + N].as_ptr()),
                odd: V::load(self.0.odd_shoups[at..at + N].as_ptr()),
            }
        }
    }
}

/// A forward layer over whole registers whose partners are `HALF` registers apart.
#[inline(always)]
unsafe fn forward_layer<const N: usize, const HALF: usize, V: Words<N>>(
    v: &mut [V; N],
    source: &impl Source<N, V>,
) {
    for group in 0..N / (2 * HALF) {
        // SAFETY: the caller runs under V's instruction set.
        let z = unsafe { source.get(group) };
        for i in 0..HALF {
            let (low, high) = (2 * HALF * group + i, 2 * HALF * group + i + HALF);
            // SAFETY: as above.
            (v[low], v[high]) = unsafe { forward(v[low], v[high], z) };
        }
    }
}

/// A backward layer over whole registers whose partners are `HALF` registers apart.
#[inline(always)]
unsafe fn backward_layer<const N: usize, const HALF: usize, V: Words<N>>(
    v: &mut [V; N],
    source: &impl Source<N, V>,
    bound: u32,
) {
    for group in 0..N / (2 * HALF) {
        // SAFETY: the caller runs under V's instruction set.
        let z = unsafe { source.get(group) };
        for i in 0..HALF {
            let (low, high) = (2 * HALF * group + i, 2 * HALF * group + i + HALF);
            // SAFETY: as above.
            (v[low], v[high]) = unsafe { backward(v[low], v[high], z, bound) };
        }
    }
}

/// NTT in place. Takes words below 2^32 - 16 q, gives words at most 16 q above the largest taken.
///
/// # Safety
/// As [`Words`].
#[inline(always)]
pub(crate) unsafe fn ntt<const N: usize, V: Words<N>>(poly: &mut Poly) {
    let words = poly.0.as_mut_ptr();
    let blocks = 256 / (N * N);
    // SAFETY: offsets stay inside the 256 words; the caller runs under V's instruction set.
    unsafe {
        if blocks == 4 {
            let (z1, z2, z3) = (FORWARD[1].splat(), FORWARD[2].splat(), FORWARD[3].splat());
            for i in 0..64 / N {
                let base = words.add(i * N);
                let mut v = [V::splat(0); 4];
                for (quarter, register) in v.iter_mut().enumerate() {
                    *register = V::load(base.add(quarter * 64));
                }
                (v[0], v[2]) = forward(v[0], v[2], z1);
                (v[1], v[3]) = forward(v[1], v[3], z1);
                (v[0], v[1]) = forward(v[0], v[1], z2);
                (v[2], v[3]) = forward(v[2], v[3], z3);
                for (quarter, value) in v.iter().enumerate() {
                    value.store(base.add(quarter * 64));
                }
            }
        }
        for block in 0..blocks {
            let base = words.add(block * N * N);
            let mut v = [V::splat(0); N];
            for (i, register) in v.iter_mut().enumerate() {
                *register = V::load(base.add(i * N));
            }
            // Layer with `groups` groups a block: factor (blocks + block) * groups + group.
            if N == 16 {
                forward_layer::<N, 8, V>(&mut v, &Splat(&FORWARD, (blocks + block) * (N / 16)));
            }
            forward_layer::<N, 4, V>(&mut v, &Splat(&FORWARD, (blocks + block) * (N / 8)));
            forward_layer::<N, 2, V>(&mut v, &Splat(&FORWARD, (blocks + block) * (N / 4)));
            forward_layer::<N, 1, V>(&mut v, &Splat(&FORWARD, (blocks + block) * (N / 2)));
            V::transpose(&mut v);
            if N == 16 {
                forward_layer::<N, 8, V>(
                    &mut v,
                    &Rows(forward_lanes::<N>(), block * (N - 1) + N / 16 - 1),
                );
            }
            forward_layer::<N, 4, V>(
                &mut v,
                &Rows(forward_lanes::<N>(), block * (N - 1) + N / 8 - 1),
            );
            forward_layer::<N, 2, V>(
                &mut v,
                &Rows(forward_lanes::<N>(), block * (N - 1) + N / 4 - 1),
            );
            forward_layer::<N, 1, V>(
                &mut v,
                &Rows(forward_lanes::<N>(), block * (N - 1) + N / 2 - 1),
            );
            V::transpose(&mut v);
            for (i, value) in v.iter().enumerate() {
                value.store(base.add(i * N));
            }
        }
    }
}

/// Inverse NTT in place, times 2^32. Takes words below 2 q, gives words in `[0, q)`.
///
/// # Safety
/// As [`Words`].
#[inline(always)]
pub(crate) unsafe fn inverse_ntt<const N: usize, V: Words<N>>(poly: &mut Poly) {
    let words = poly.0.as_mut_ptr();
    let blocks = 256 / (N * N);
    // SAFETY: offsets stay inside the 256 words; the caller runs under V's instruction set.
    unsafe {
        let scale = SCALE.splat();
        let mut after_blocks = 2 * Q;
        for block in 0..blocks {
            let base = words.add(block * N * N);
            let mut v = [V::splat(0); N];
            for (i, register) in v.iter_mut().enumerate() {
                *register = V::load(base.add(i * N));
            }
            V::transpose(&mut v);
            // The bound of sums doubles with each layer: 2 q, 4 q, ... 512 q < 2^32 after eight.
            let mut bound = 2 * Q;
            backward_layer::<N, 1, V>(
                &mut v,
                &Rows(backward_lanes::<N>(), block * (N - 1) + N / 2 - 1),
                bound,
            );
            backward_layer::<N, 2, V>(
                &mut v,
                &Rows(backward_lanes::<N>(), block * (N - 1) + N / 4 - 1),
                2 * bound,
            );
            backward_layer::<N, 4, V>(
                &mut v,
                &Rows(backward_lanes::<N>(), block * (N - 1) + N / 8 - 1),
                4 * bound,
            );
            bound *= 8;
            if N == 16 {
                backward_layer::<N, 8, V>(
                    &mut v,
                    &Rows(backward_lanes::<N>(), block * (N - 1) + N / 16 - 1),
                    bound,
                );
                bound *= 2;
            }
            V::transpose(&mut v);
            backward_layer::<N, 1, V>(&mut v, &Splat(&BACKWARD, (blocks + block) * (N / 2)), bound);
            backward_layer::<N, 2, V>(
                &mut v,
                &Splat(&BACKWARD, (blocks + block) * (N / 4)),
                2 * bound,
            );
            backward_layer::<N, 4, V>(
                &mut v,
                &Splat(&BACKWARD, (blocks + block) * (N / 8)),
                4 * bound,
            );
            bound *= 8;
            if N == 16 {
                backward_layer::<N, 8, V>(
                    &mut v,
                    &Splat(&BACKWARD, (blocks + block) * (N / 16)),
                    bound,
                );
            }
            after_blocks = bound;
            for (i, value) in v.iter().enumerate() {
                let value = if blocks == 1 {
                    super::canonical(times(*value, scale))
                } else {
                    *value
                };
                value.store(base.add(i * N));
            }
        }
        if blocks == 4 {
            let (z1, z2, z3) = (
                BACKWARD[1].splat(),
                BACKWARD[2].splat(),
                BACKWARD[3].splat(),
            );
            for i in 0..64 / N {
                let base = words.add(i * N);
                let mut v = [V::splat(0); 4];
                for (quarter, register) in v.iter_mut().enumerate() {
                    *register = V::load(base.add(quarter * 64));
                }
                (v[0], v[1]) = backward(v[0], v[1], z2, after_blocks);
                (v[2], v[3]) = backward(v[2], v[3], z3, after_blocks);
                (v[0], v[2]) = backward(v[0], v[2], z1, 2 * after_blocks);
                (v[1], v[3]) = backward(v[1], v[3], z1, 2 * after_blocks);
                for (quarter, value) in v.iter().enumerate() {
                    super::canonical(times(*value, scale)).store(base.add(quarter * 64));
                }
            }
        }
    }
}
