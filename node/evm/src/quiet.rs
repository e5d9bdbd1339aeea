//! Contracts whose calls ask the engine nothing.

use alloy_primitives::{B256, map::HashMap};
use parking_lot::Mutex;

/// So many calls in a row without a question, and a code is taken for quiet.
const QUIET_AFTER: u32 = 16;

/// One in so many calls of a quiet code is looked at all the same.
const LOOK_EVERY: u32 = 64;

/// Most codes that are known. All are forgotten when there are more.
const CODES: usize = 4_096;

/// For each code, how many calls there were since the last one that asked something: most contracts never do, and to
/// run their calls for nothing would take as long as the block itself.
///
/// It decides where the search for questions looks, and no more: one that is not found is answered when it is asked.
#[derive(Debug, Default)]
pub(crate) struct QuietCodes(Mutex<HashMap<B256, u32>>);

impl QuietCodes {
    /// Whether a call of this code is worth a look; counts those that are not.
    pub(crate) fn worth_a_look(&self, code: &B256) -> bool {
        let mut calls = self.0.lock();
        let Some(calls) = calls.get_mut(code).filter(|calls| **calls >= QUIET_AFTER) else {
            return true;
        };
        *calls = calls.saturating_add(1);
        calls.is_multiple_of(LOOK_EVERY)
    }

    /// Notes whether a call that was looked at asked something.
    pub(crate) fn note(&self, code: B256, asked: bool) {
        let mut calls = self.0.lock();
        if calls.len() >= CODES && !calls.contains_key(&code) {
            calls.clear();
        }
        let calls = calls.entry(code).or_default();
        *calls = if asked { 0 } else { calls.saturating_add(1) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_codes_are_looked_at_now_and_then() {
        let codes = QuietCodes::default();
        let [quiet, loud] = [1, 2].map(B256::repeat_byte);
        let look = |code, asks| {
            let looked = codes.worth_a_look(&code);
            if looked {
                codes.note(code, asks);
            }
            looked
        };
        for call in 0..QUIET_AFTER {
            assert!(look(quiet, false), "call {call}");
        }
        let looks = (0..10 * LOOK_EVERY).filter(|_| look(quiet, false)).count();
        assert!((9..=11).contains(&looks), "{looks}");
        for _ in 0..100 {
            assert!(look(loud, true));
        }
        // One that begins to ask is looked at again.
        while !look(quiet, true) {}
        assert!(look(quiet, true) && look(quiet, false));
    }

    #[test]
    fn not_every_code_is_remembered() {
        let codes = QuietCodes::default();
        for number in 0..3 * CODES {
            codes.note(B256::left_padding_from(&number.to_be_bytes()), false);
        }
        assert!(codes.0.lock().len() <= CODES);
    }
}
