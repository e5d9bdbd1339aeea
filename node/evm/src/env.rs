//! From a header to the environment the EVM runs in.

use alloy_consensus::Header;
use alloy_evm::EvmEnv;

use crate::spec::ChainSpec;

/// Environment of the block that `header` describes.
pub(crate) fn block_env(spec: &ChainSpec, header: &Header) -> EvmEnv {
    EvmEnv::for_eth_block(
        header,
        spec,
        spec.chain_id,
        spec.blob_params(header.timestamp),
    )
}
