//! Which transactions to rehearse next to the run.
//!
//! Calls of much gas use what others use too: a swap reads what the swap before it left in the pool. Rehearsed on the
//! state before the block they would read what is no more when their turn comes. So they are rehearsed shortly before
//! that, on what the run has changed until then, and the run does about every other one itself.

use alloy_consensus::{Transaction as _, TxEnvelope, transaction::Recovered};

use crate::ahead::REHEARSAL_GAS;

/// Least gas limit of a heavy call. What takes less costs too much to hand from thread to thread.
const LEAST_GAS: u64 = 80_000;

/// Fewer than so many of them are not worth it.
const LEAST_COUNT: usize = 8;

/// As long as the last one is no further ahead of the run, the next but one follows it.
const LEAD: usize = 4;

/// Which of the transactions, in order, are heavy calls, where most of the gas is theirs; else none.
pub(crate) fn heavy(transactions: &[Recovered<TxEnvelope>]) -> Vec<usize> {
    let mut heavy = Vec::new();
    let (mut theirs, mut all) = (0_u64, 0_u64);
    for (index, transaction) in transactions.iter().enumerate() {
        let gas = transaction.gas_limit();
        let call = transaction.kind().is_call() && !transaction.input().is_empty();
        if call && (LEAST_GAS..=REHEARSAL_GAS).contains(&gas) {
            heavy.push(index);
            theirs = theirs.saturating_add(gas);
        }
        all = all.saturating_add(gas);
    }
    if heavy.len() < LEAST_COUNT || theirs < all / 2 {
        heavy.clear();
    }
    heavy
}

/// The heavy calls of a block in the order in which they are rehearsed.
pub(crate) struct Next<'a> {
    /// What transactions they are, in order.
    heavy: &'a [usize],
    tried: Vec<bool>,
    /// The last of those that were tried.
    last: Option<usize>,
}

impl<'a> Next<'a> {
    pub(crate) fn of(heavy: &'a [usize]) -> Self {
        Self {
            heavy,
            tried: vec![false; heavy.len()],
            last: None,
        }
    }

    /// The transaction to rehearse while the run is at the one with index `at`; none twice.
    ///
    /// The first one after it is for the run itself, and so is one between each two; where those that are rehearsed are
    /// well ahead, also they are.
    pub(crate) fn after(&mut self, at: usize) -> Option<usize> {
        let nearest = self.heavy.partition_point(|index| *index <= at) + 1;
        let alternate = self.last.map_or(nearest, |last| nearest.max(last + 2));
        let next = if alternate <= nearest + LEAD {
            alternate
        } else {
            let rest = self.tried.get(nearest..)?;
            nearest + rest.iter().position(|tried| !tried)?
        };
        *self.tried.get_mut(next)? = true;
        self.last = self.last.max(Some(next));
        self.heavy.get(next).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_consensus::{SignableTransaction as _, TxLegacy};
    use alloy_primitives::{Address, Bytes, Signature, TxKind};

    fn transaction(gas_limit: u64, to: TxKind, input: &'static [u8]) -> Recovered<TxEnvelope> {
        let transaction = TxLegacy {
            gas_limit,
            to,
            input: Bytes::from_static(input),
            ..TxLegacy::default()
        };
        let signed = transaction.into_signed(Signature::test_signature());
        Recovered::new_unchecked(signed.into(), Address::ZERO)
    }

    fn call(gas_limit: u64) -> Recovered<TxEnvelope> {
        transaction(gas_limit, Address::ZERO.into(), b"call")
    }

    #[test]
    fn calls_of_much_gas_are_heavy() {
        let of = |transactions: Vec<Vec<_>>| heavy(&transactions.concat());
        let (few, many) = (vec![call(150_000); 7], vec![call(150_000); 8]);
        assert_eq!(of(vec![many.clone()]), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert!(of(vec![few]).is_empty());
        // Half of the gas is theirs, and hardly less.
        let others = |last| [vec![call(79_999); 15], vec![call(last)]].concat();
        assert_eq!(of(vec![others(15), many.clone()])[0], 16);
        assert!(of(vec![others(17), many]).is_empty());
        for light in [
            call(79_999),
            call(300_001),
            transaction(150_000, Address::ZERO.into(), b""),
            transaction(150_000, TxKind::Create, b"code"),
        ] {
            assert!(of(vec![vec![light; 100]]).is_empty());
        }
        assert_eq!(of(vec![vec![call(80_000); 9]]).len(), 9);
        assert_eq!(of(vec![vec![call(300_000); 9]]).len(), 9);
    }

    #[test]
    fn the_run_is_left_every_other_one() {
        let heavy: Vec<_> = (10..20).collect();
        let mut next = Next::of(&heavy);
        assert_eq!(next.after(0), Some(11));
        assert_eq!(next.after(10), Some(13));
        assert_eq!(next.after(12), Some(15));
        // It went faster: what it is at, or is about to do, is not taken from it.
        assert_eq!(next.after(16), Some(18));
        assert_eq!(next.after(18), None);
        assert_eq!(Next::of(&[]).after(0), None);
    }

    #[test]
    fn what_is_left_is_taken_where_there_is_time() {
        let heavy: Vec<_> = (0..30).map(|index| 3 * index).collect();
        let mut next = Next::of(&heavy);
        let mut taken: Vec<_> = (0..).map_while(|_| next.after(0)).collect();
        assert_eq!(taken[..5], [6, 12, 18, 9, 15]);
        taken.sort_unstable();
        assert_eq!(taken, heavy[2..], "each once");
    }
}
