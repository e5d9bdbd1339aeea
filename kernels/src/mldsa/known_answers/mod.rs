//! Questions with known verdicts, embedded: what a back end must answer before it is used.
//!
//! The bytes are not made by the code they check. `derived.bin` holds signatures of the `ml-dsa` crate under keys
//! from fixed seeds, and signatures under keys with t1 = 0, where anyone can sign: those reach the norm bound exactly,
//! with a challenge that fits, so that only the norm check can refuse them. A test re-derives the file and has two
//! other implementations agree with each verdict. `wycheproof.bin` holds the first case of each file
//! `mldsa_{44,65,87}_verify_test.json` of C2SP/wycheproof, commit dac1dd4729fd (Apache-2.0).

use super::{
    job::{Message, VerifyJob},
    params::ParameterSet,
};

#[cfg(test)]
mod generate;

const DERIVED: &[u8] = include_bytes!("derived.bin");
const WYCHEPROOF: &[u8] = include_bytes!("wycheproof.bin");

/// Jobs with their right verdicts: for each parameter set valid ones (pure with context, given μ, z at the norm bound,
/// a full hint, an official vector) and invalid ones (challenge, z, message, ρ, t1, z at and past the norm bound with a
/// fitting challenge, hint order, hint counts, hint padding).
pub fn known_answers() -> Vec<(VerifyJob, bool)> {
    [DERIVED, WYCHEPROOF]
        .into_iter()
        .flat_map(Records::new)
        .collect()
}

/// Records of an embedded file: mode (as [`ParameterSet::mode`]), verdict, kind of message (0: M′, 1: μ),
/// little-endian u16 length of the message and u16 number of edits; then public key, signature and message. A record
/// with edits has no bytes of its own: (u16 offset, u8 new value) pairs change those of the last record without.
struct Records<'a> {
    rest: &'a [u8],
    /// Public key ‖ signature ‖ message of the last record without edits.
    base: &'a [u8],
}

impl<'a> Records<'a> {
    fn new(file: &'a [u8]) -> Self {
        Self {
            rest: file,
            base: &[],
        }
    }

    fn take<const LEN: usize>(&mut self) -> Option<[u8; LEN]> {
        let (head, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*head)
    }

    fn take_u16(&mut self) -> Option<usize> {
        self.take().map(u16::from_le_bytes).map(usize::from)
    }
}

impl Iterator for Records<'_> {
    type Item = (VerifyJob, bool);

    fn next(&mut self) -> Option<Self::Item> {
        let [mode, valid, mu] = self.take()?;
        let set = ParameterSet::from_mode(mode)?;
        let message_len = self.take_u16()?;
        let edits = self.take_u16()?;
        let mut bytes;
        if edits == 0 {
            let len = set.public_key_len() + set.signature_len() + message_len;
            (self.base, self.rest) = self.rest.split_at_checked(len)?;
            bytes = self.base.to_vec();
        } else {
            bytes = self.base.to_vec();
            for _ in 0..edits {
                let at = self.take_u16()?;
                let [value] = self.take()?;
                *bytes.get_mut(at)? = value;
            }
        }
        let (public_key, rest) = bytes.split_at_checked(set.public_key_len())?;
        let (signature, message) = rest.split_at_checked(set.signature_len())?;
        let message = match message.first_chunk() {
            Some(value) if mu == 1 => Message::Mu(value),
            _ => Message::Formatted {
                prefix: &[],
                message,
            },
        };
        let job = VerifyJob::new(public_key, message, signature).ok()?;
        Some((job, valid == 1))
    }
}
