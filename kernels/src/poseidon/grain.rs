//! The published procedure for constants: a Grain LFSR in self-shrinking mode (Poseidon paper, appendix E; the script
//! `generate_parameters_grain` of its authors, also used for Poseidon2).

use crate::field::Fr;

/// Bits of the BN254 scalar field.
const FIELD_BITS: u32 = 254;

/// The generator, seeded by the parameters of an instance.
pub(super) struct Grain(u128);

impl Grain {
    /// The generator of an instance over the BN254 scalar field.
    pub(super) fn new(width: usize, full_rounds: usize, partial_rounds: usize) -> Self {
        Self::of_field(FIELD_BITS, width, full_rounds, partial_rounds)
    }

    /// Seeds with field type 1 (2 bits), S-box type 0 (4: a power), field bits (12), width (12), full rounds (10), partial rounds (10)
    /// and thirty ones; drops 160 bits.
    pub(super) fn of_field(
        field_bits: u32,
        width: usize,
        full_rounds: usize,
        partial_rounds: usize,
    ) -> Self {
        let fields = [
            (1, 2),
            (0, 4),
            (u128::from(field_bits), 12),
            (width as u128, 12),
            (full_rounds as u128, 10),
            (partial_rounds as u128, 10),
            ((1 << 30) - 1, 30),
        ];
        // Bit 0 of the register is the oldest bit of the state.
        let (mut state, mut filled) = (0u128, 0);
        for (value, bits) in fields {
            for bit in (0..bits).rev() {
                state |= (value >> bit & 1) << filled;
                filled += 1;
            }
        }
        let mut grain = Self(state);
        for _ in 0..160 {
            grain.step();
        }
        grain
    }

    /// One step of the 80-bit register with feedback taps 62, 51, 38, 23, 13 and 0.
    fn step(&mut self) -> bool {
        let s = self.0;
        let bit = (s >> 62 ^ s >> 51 ^ s >> 38 ^ s >> 23 ^ s >> 13 ^ s) & 1;
        self.0 = s >> 1 | bit << 79;
        bit == 1
    }

    /// The next output bit: of each pair of steps the second counts where the first is one.
    fn bit(&mut self) -> bool {
        while !self.step() {
            self.step();
        }
        self.step()
    }

    /// A number of at most 64 bits below the modulus, most significant bit first; others are drawn again.
    pub(super) fn below(&mut self, modulus: u64, bits: u32) -> u64 {
        loop {
            let number = (0..bits).fold(0, |number, _| number << 1 | u64::from(self.bit()));
            if number < modulus {
                return number;
            }
        }
    }

    /// 254 bits, most significant first, as 32 big-endian bytes.
    fn number(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for at in (0..FIELD_BITS as usize).rev() {
            bytes[31 - at / 8] |= u8::from(self.bit()) << (at % 8);
        }
        bytes
    }

    /// A round constant: numbers that are not below the modulus are drawn again.
    pub(super) fn element(&mut self) -> Fr {
        loop {
            if let Ok(element) = Fr::from_bytes_be(&self.number()) {
                return element;
            }
        }
    }

    /// An element of the matrix: reduced, as the script does.
    pub(super) fn reduced(&mut self) -> Fr {
        Fr::reduce_bytes_be(&self.number())
    }
}
