//! How much the pool wants to keep a transaction.

use alloy_consensus::Transaction;

/// Whether a transaction could be in the next block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// No: a nonce before it is missing.
    Waiting,
    /// No: it, or one before it, does not pay the base fee.
    BelowBaseFee,
    /// Yes.
    Payable,
}

/// The order in which transactions are kept: by class, then by price. A transaction ranks no
/// higher than the ones of the same sender before it, since it is worth nothing without them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    pub(crate) class: Class,
    /// Effective tip, or the maximal fee of one below the base fee.
    pub(crate) price: u128,
}

impl Rank {
    /// The rank of a transaction behind one of rank `previous`; `follows`: its nonce is the
    /// next of the sender's account or follows an executable one.
    pub(crate) fn new(
        transaction: &impl Transaction,
        base_fee: u64,
        follows: bool,
        previous: Option<Self>,
    ) -> Self {
        let tip = transaction.effective_tip_per_gas(base_fee);
        let own = match (follows, tip) {
            (true, Some(price)) => Self {
                class: Class::Payable,
                price,
            },
            (true, None) => Self {
                class: Class::BelowBaseFee,
                price: transaction.max_fee_per_gas(),
            },
            (false, tip) => Self {
                class: Class::Waiting,
                price: tip.unwrap_or(0),
            },
        };
        previous.map_or(own, |previous| previous.min(own))
    }

    /// Whether every transaction before it is there.
    pub(crate) fn is_executable(self) -> bool {
        self.class > Class::Waiting
    }
}
