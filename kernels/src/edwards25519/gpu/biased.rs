//! Scalars as the kernels take them: eight words of s + 16 (1 + 2^5 + … + 2^250), so that each five bits less 16 are a digit from −16
//! to 15 and digits can be read in any order.

/// Bits of a digit.
pub(crate) const WINDOW: u32 = 5;
/// Digits of a scalar below 2^253.
pub(crate) const DIGITS: u32 = 51;

/// 16 in every digit.
pub(crate) const BIAS: [u32; 8] = {
    let mut words = [0; 8];
    let mut i = 0;
    while i < DIGITS {
        let bit = WINDOW * i + WINDOW - 1;
        words[(bit / 32) as usize] |= 1 << (bit % 32);
        i += 1;
    }
    words
};

/// The little-endian words of 32 bytes.
pub(crate) fn words(bytes: &[u8; 32]) -> [u32; 8] {
    let mut words = [0; 8];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    words
}

/// A scalar below 2^253 with the bias; the sum is below 2^255.
pub(crate) fn biased(scalar: &[u8; 32]) -> [u32; 8] {
    let mut carry = 0;
    let mut out = words(scalar);
    for (word, bias) in out.iter_mut().zip(BIAS) {
        let sum = u64::from(*word) + u64::from(bias) + carry;
        // The low half.
        *word = sum as u32;
        carry = sum >> 32;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_make_the_scalar_again() {
        let mut largest = [0xff; 32];
        largest[31] = 0x1f;
        for scalar in [[0; 32], largest, [0x10; 32], [0x0f; 32]] {
            let words = biased(&scalar);
            let mut sum = [0i64; 9];
            for i in 0..DIGITS {
                let bit = WINDOW * i;
                let at = (bit / 32) as usize;
                let pair = u64::from(words[at]) | u64::from(*words.get(at + 1).unwrap_or(&0)) << 32;
                let digit = i64::try_from(pair >> (bit % 32) & 31).unwrap() - 16;
                sum[at] += digit << (bit % 32);
            }
            let mut carry = 0;
            let found: Vec<u32> = sum[..8]
                .iter()
                .map(|x| {
                    let y = x + carry;
                    carry = y >> 32;
                    u32::try_from(y & 0xffff_ffff).unwrap()
                })
                .collect();
            assert_eq!(found, super::words(&scalar));
        }
    }
}
