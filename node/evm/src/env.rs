//! From a header to the environment the EVM runs in.

use alloy_consensus::Header;
use alloy_evm::EvmEnv;

use crate::{eip1283, spec::ChainSpec};

/// Environment of the block that `header` describes.
pub(crate) fn block_env(spec: &ChainSpec, header: &Header) -> EvmEnv {
    let mut env = EvmEnv::for_eth_block(
        header,
        spec,
        spec.chain_id,
        spec.blob_params(header.timestamp),
    );
    eip1283::settle(&mut env.cfg_env, spec, header);
    env
}
