//! What the node says about itself and its chain, from memory.

use std::collections::BTreeMap;

use alloy_primitives::{Address, Bytes, U64, keccak256};

use crate::context::{Answer, Shared, answer};
use crate::params::Args;

/// `web3_clientVersion`
pub(super) fn client_version(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(0)?;
    answer(&shared.node.client_version)
}

/// `web3_sha3`: Keccak-256 of the bytes.
pub(super) fn sha3(_: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(1)?;
    answer(&keccak256(args.hex::<Bytes>(0)?))
}

/// `net_version`: the chain id in decimal.
pub(super) fn net_version(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(0)?;
    answer(&shared.node.spec.chain_id.to_string())
}

/// `net_listening`
pub(super) fn listening(_: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(0)?;
    answer(&true)
}

/// `net_peerCount`: an embedded single validator has no peers.
pub(super) fn peer_count(_: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(0)?;
    answer(&U64::ZERO)
}

/// `rpc_modules`: the prefixes of the methods that are there.
pub(super) fn modules(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(0)?;
    let modules: BTreeMap<_, _> = shared
        .methods
        .iter()
        .filter_map(|name| name.split_once('_'))
        .map(|(module, _)| (module, "1.0"))
        .collect();
    answer(&modules)
}

/// `eth_chainId`
pub(super) fn chain_id(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(0)?;
    answer(&U64::from(shared.node.spec.chain_id))
}

/// `eth_syncing`: a single validator is never behind.
pub(super) fn syncing(_: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(0)?;
    answer(&false)
}

/// `eth_accounts`: the node keeps no keys.
pub(super) fn accounts(_: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(0)?;
    answer(&Vec::<Address>::new())
}

/// `eth_blockNumber`
pub(super) fn block_number(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(0)?;
    answer(&U64::from(shared.node.store.head_number()))
}
