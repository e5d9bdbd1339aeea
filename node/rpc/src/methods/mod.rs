//! The method table.
//!
//! One line per method: its name, how it runs, and the function that answers it. A method that is
//! not in the table does not exist for clients (code −32601) and is not advertised.

mod block;
mod call;
mod chain;
mod fee;
mod filters;
pub(crate) mod logs;
mod pars;
mod state;
mod submit;
mod transaction;

use std::sync::Arc;

use futures::future::BoxFuture;
use jsonrpsee::RpcModule;
use jsonrpsee::types::Params;

use crate::context::{Answer, Shared};
use crate::error::RpcError;
use crate::params::Args;

/// How a method runs.
#[derive(Clone, Copy)]
pub(crate) enum Handler {
    /// Answered from memory in microseconds, on the async worker itself.
    Quick(fn(&Shared, &Args<'_>) -> Answer),
    /// Reads the store or runs the EVM: on a blocking thread.
    Blocking(fn(&Shared, &Args<'_>) -> Answer),
    /// Waits for something to happen.
    Waiting(fn(Arc<Shared>, Params<'static>) -> BoxFuture<'static, Answer>),
}

use Handler::{Blocking, Quick, Waiting};

/// Every method but `eth_subscribe` and `eth_unsubscribe`, which [`crate::subscribe`] adds.
pub(crate) const METHODS: &[(&str, Handler)] = &[
    ("web3_clientVersion", Quick(chain::client_version)),
    ("web3_sha3", Quick(chain::sha3)),
    ("net_version", Quick(chain::net_version)),
    ("net_listening", Quick(chain::listening)),
    ("net_peerCount", Quick(chain::peer_count)),
    ("rpc_modules", Quick(chain::modules)),
    ("eth_chainId", Quick(chain::chain_id)),
    ("eth_syncing", Quick(chain::syncing)),
    ("eth_accounts", Quick(chain::accounts)),
    ("eth_blockNumber", Quick(chain::block_number)),
    ("eth_getBalance", Blocking(state::balance)),
    (
        "eth_getTransactionCount",
        Blocking(state::transaction_count),
    ),
    ("eth_getCode", Blocking(state::code)),
    ("eth_getStorageAt", Blocking(state::storage_at)),
    ("eth_call", Blocking(call::call)),
    ("eth_estimateGas", Blocking(call::estimate_gas)),
    ("eth_createAccessList", Blocking(call::create_access_list)),
    ("eth_gasPrice", Blocking(fee::gas_price)),
    ("eth_maxPriorityFeePerGas", Blocking(fee::max_priority_fee)),
    ("eth_feeHistory", Blocking(fee::history)),
    ("eth_blobBaseFee", Quick(fee::blob_base_fee)),
    ("eth_getBlockByNumber", Blocking(block::by_number)),
    ("eth_getBlockByHash", Blocking(block::by_hash)),
    ("eth_getHeaderByNumber", Blocking(block::header_by_number)),
    ("eth_getHeaderByHash", Blocking(block::header_by_hash)),
    (
        "eth_getBlockTransactionCountByNumber",
        Blocking(block::transaction_count_by_number),
    ),
    (
        "eth_getBlockTransactionCountByHash",
        Blocking(block::transaction_count_by_hash),
    ),
    ("eth_getBlockReceipts", Blocking(block::receipts)),
    (
        "eth_getUncleCountByBlockNumber",
        Blocking(block::uncle_count_by_number),
    ),
    (
        "eth_getUncleCountByBlockHash",
        Blocking(block::uncle_count_by_hash),
    ),
    (
        "eth_getUncleByBlockNumberAndIndex",
        Blocking(block::uncle_by_number),
    ),
    (
        "eth_getUncleByBlockHashAndIndex",
        Blocking(block::uncle_by_hash),
    ),
    ("eth_getTransactionByHash", Blocking(transaction::by_hash)),
    (
        "eth_getTransactionByBlockNumberAndIndex",
        Blocking(transaction::by_block_number),
    ),
    (
        "eth_getTransactionByBlockHashAndIndex",
        Blocking(transaction::by_block_hash),
    ),
    (
        "eth_getRawTransactionByHash",
        Blocking(transaction::raw_by_hash),
    ),
    ("eth_getTransactionReceipt", Blocking(transaction::receipt)),
    ("eth_sendRawTransaction", Blocking(submit::send_raw)),
    ("eth_sendRawTransactionSync", Waiting(submit::send_raw_sync)),
    ("eth_getLogs", Blocking(logs::get_logs)),
    ("eth_newFilter", Quick(filters::new_filter)),
    ("eth_newBlockFilter", Quick(filters::new_block_filter)),
    (
        "eth_newPendingTransactionFilter",
        Quick(filters::new_pending_filter),
    ),
    ("eth_getFilterChanges", Blocking(filters::changes)),
    ("eth_getFilterLogs", Blocking(filters::logs)),
    ("eth_uninstallFilter", Quick(filters::uninstall)),
    ("pars_engineStats", Quick(pars::engine_stats)),
    ("pars_engineDevices", Blocking(pars::engine_devices)),
    ("pars_precompiles", Quick(pars::precompiles)),
];

/// Adds the table to `module`.
pub(crate) fn register(module: &mut RpcModule<Shared>) -> Result<(), RpcError> {
    for (name, handler) in METHODS {
        let added = match *handler {
            Quick(answer) => module.register_method(name, move |params, shared, _| {
                let args = Args::parse(params.as_str())?;
                answer(shared, &args)
            }),
            Blocking(answer) => {
                module.register_async_method(name, move |params, shared, _| async move {
                    shared
                        .blocking(move |shared| {
                            let args = Args::parse(params.as_str())?;
                            answer(shared, &args)
                        })
                        .await
                })
            }
            Waiting(answer) => {
                module.register_async_method(name, move |params, shared, _| answer(shared, params))
            }
        };
        added.map_err(|error| RpcError::Methods(error.to_string()))?;
    }
    Ok(())
}
