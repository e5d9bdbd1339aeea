//! What a precompile may ask of the chain that calls it.

use crate::call::Address;

/// The public facts of block and transaction that entropy is derived from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EntropyInputs {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Hash of the parent block.
    pub parent_hash: [u8; 32],
    /// Number of the block.
    pub number: u64,
    /// The block's `prevRandao`.
    pub prevrandao: [u8; 32],
    /// Sender of the transaction.
    pub origin: Address,
    /// Nonce of the transaction.
    pub origin_nonce: u64,
}

/// The operating system gave no entropy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no entropy")]
pub struct EntropyUnavailable;

/// The chain, as a precompile sees it.
///
/// Every method but the two of the operating system must answer alike on every node.
pub trait Host {
    /// Facts of the current block and transaction.
    fn entropy_inputs(&self) -> EntropyInputs;

    /// The counter kept for `address`. It is 0 at the start of a transaction and goes back when a frame reverts, as
    /// transient storage does.
    fn counter(&mut self, address: &Address) -> u64;

    /// Sets the counter kept for `address`. Called in frames that may change state only.
    fn set_counter(&mut self, address: &Address, value: u64);

    /// Whether this call happens off chain, on the caller's own node, so that randomness comes from the operating
    /// system: an `eth_call` whose `to` is the precompile itself. Always false where nodes must agree.
    fn os_rng(&self) -> bool {
        false
    }

    /// Fills `out` from the operating system. Asked only after [`os_rng`](Self::os_rng) said yes.
    ///
    /// # Errors
    /// [`EntropyUnavailable`]; derived entropy is never taken instead, for a key made from it could be recomputed by
    /// anyone.
    fn os_entropy(&mut self, out: &mut [u8]) -> Result<(), EntropyUnavailable> {
        let _ = out;
        Err(EntropyUnavailable)
    }
}
