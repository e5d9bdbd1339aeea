//! What the vector code of several primitives for x86-64 shares.

pub(crate) mod avx2;
pub(crate) mod avx512;

/// Writes a statement for each of the numbers, as a constant: the compiler leaves a loop over the columns of a product a loop.
macro_rules! for_each {
    ($c:ident in [$($number:literal)*] $body:block) => {
        $({
            const $c: usize = $number;
            $body
        })*
    };
}
pub(crate) use for_each;

/// The first and the last limb that a column of a product takes from a factor of so many limbs.
pub(crate) const fn span<const LIMBS: usize>(column: usize) -> (usize, usize) {
    let last = if column < LIMBS { column } else { LIMBS - 1 };
    (column - last, last)
}
