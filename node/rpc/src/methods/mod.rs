//! The method table.
//!
//! One line per method: its name, how it runs, and the function that answers it. A method that is
//! not in the table does not exist for clients (code −32601) and is not advertised.

mod block;
mod call;
mod chain;
mod config;
mod fee;
mod fill;
mod filters;
pub(crate) mod logs;
pub(crate) mod pars;
mod raw;
mod simulate;
mod state;
mod submit;
mod testing;
mod trace;
mod transaction;
mod txpool;

use std::sync::Arc;

use futures::future::BoxFuture;
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::core::server::MethodCallback;
use jsonrpsee::types::Params;

use crate::config::RpcConfig;
use crate::context::{Answer, Shared, Weight};
use crate::error::RpcError;
use crate::params::Args;

/// How a method runs.
#[derive(Clone, Copy)]
pub(crate) enum Handler {
    /// Answered from memory in microseconds, on the async worker itself.
    Quick(fn(&Shared, &Args<'_>) -> Answer),
    /// Reads the store: on a blocking thread.
    Read(fn(&Shared, &Args<'_>) -> Answer),
    /// The first answers from memory, on the async worker itself, where it can; where it cannot, the second reads
    /// the store.
    Known(
        fn(&Shared, &Args<'_>) -> Option<Answer>,
        fn(&Shared, &Args<'_>) -> Answer,
    ),
    /// Runs the EVM or looks through many blocks: on a blocking thread, with fewer at a time.
    Run(fn(&Shared, &Args<'_>) -> Answer),
    /// Waits for something to happen.
    Waiting(fn(Arc<Shared>, Params<'static>) -> BoxFuture<'static, Answer>),
}

use Handler::{Known, Quick, Read, Run, Waiting};

/// Every method but those of [`TESTING`] and of subscriptions, which [`crate::subscribe`] adds.
const METHODS: &[(&str, Handler)] = &[
    ("web3_clientVersion", Quick(chain::client_version)),
    ("web3_sha3", Quick(chain::sha3)),
    ("net_version", Quick(chain::net_version)),
    ("net_listening", Quick(chain::listening)),
    ("net_peerCount", Quick(chain::peer_count)),
    ("rpc_modules", Quick(chain::modules)),
    ("eth_chainId", Quick(chain::chain_id)),
    ("eth_config", Read(config::config)),
    ("eth_capabilities", Read(config::capabilities)),
    ("eth_syncing", Quick(chain::syncing)),
    ("eth_accounts", Quick(chain::accounts)),
    ("eth_blockNumber", Quick(chain::block_number)),
    (
        "eth_getBalance",
        Known(state::known_balance, state::balance),
    ),
    (
        "eth_getTransactionCount",
        Known(state::known_transaction_count, state::transaction_count),
    ),
    ("eth_getCode", Read(state::code)),
    (
        "eth_getStorageAt",
        Known(state::known_storage_at, state::storage_at),
    ),
    ("eth_getStorageValues", Read(state::storage_values)),
    ("eth_getProof", Read(state::proof)),
    ("eth_call", Run(call::call)),
    ("eth_estimateGas", Run(call::estimate_gas)),
    ("eth_createAccessList", Run(call::create_access_list)),
    ("eth_simulateV1", Run(simulate::simulate)),
    ("eth_gasPrice", Read(fee::gas_price)),
    ("eth_maxPriorityFeePerGas", Read(fee::max_priority_fee)),
    ("eth_feeHistory", Run(fee::history)),
    ("eth_baseFee", Quick(fee::base_fee)),
    ("eth_blobBaseFee", Quick(fee::blob_base_fee)),
    ("eth_getBlockByNumber", Read(block::by_number)),
    ("eth_getBlockByHash", Read(block::by_hash)),
    ("eth_getHeaderByNumber", Read(block::header_by_number)),
    ("eth_getHeaderByHash", Read(block::header_by_hash)),
    (
        "eth_getBlockTransactionCountByNumber",
        Read(block::transaction_count_by_number),
    ),
    (
        "eth_getBlockTransactionCountByHash",
        Read(block::transaction_count_by_hash),
    ),
    ("eth_getBlockReceipts", Read(block::receipts)),
    (
        "eth_getUncleCountByBlockNumber",
        Read(block::uncle_count_by_number),
    ),
    (
        "eth_getUncleCountByBlockHash",
        Read(block::uncle_count_by_hash),
    ),
    (
        "eth_getUncleByBlockNumberAndIndex",
        Read(block::uncle_by_number),
    ),
    (
        "eth_getUncleByBlockHashAndIndex",
        Read(block::uncle_by_hash),
    ),
    ("eth_getTransactionByHash", Read(transaction::by_hash)),
    (
        "eth_getTransactionByBlockNumberAndIndex",
        Read(transaction::by_block_number),
    ),
    (
        "eth_getTransactionByBlockHashAndIndex",
        Read(transaction::by_block_hash),
    ),
    (
        "eth_getRawTransactionByHash",
        Read(transaction::raw_by_hash),
    ),
    ("eth_getTransactionReceipt", Read(transaction::receipt)),
    ("eth_fillTransaction", Run(fill::fill)),
    ("eth_sendRawTransaction", Waiting(submit::send_raw)),
    ("eth_sendRawTransactionSync", Waiting(submit::send_raw_sync)),
    ("eth_getLogs", Run(logs::get_logs)),
    ("eth_newFilter", Quick(filters::new_filter)),
    ("eth_newBlockFilter", Quick(filters::new_block_filter)),
    (
        "eth_newPendingTransactionFilter",
        Quick(filters::new_pending_filter),
    ),
    ("eth_getFilterChanges", Run(filters::changes)),
    ("eth_getFilterLogs", Run(filters::logs)),
    ("eth_uninstallFilter", Quick(filters::uninstall)),
    ("txpool_status", Quick(txpool::status)),
    ("txpool_content", Run(txpool::content)),
    ("txpool_contentFrom", Read(txpool::content_from)),
    ("txpool_inspect", Run(txpool::inspect)),
    ("debug_getRawHeader", Read(raw::header)),
    ("debug_getRawBlock", Read(raw::whole_block)),
    ("debug_getRawReceipts", Read(raw::receipts)),
    ("debug_getRawTransaction", Read(raw::transaction)),
    ("debug_traceTransaction", Run(trace::transaction)),
    ("debug_traceCall", Run(trace::call)),
    ("debug_traceBlockByNumber", Run(trace::block_by_number)),
    ("debug_traceBlockByHash", Run(trace::block_by_hash)),
    ("pars_engineStats", Quick(pars::engine_stats)),
    ("pars_engineDevices", Read(pars::engine_devices)),
    ("pars_precompiles", Quick(pars::precompiles)),
    ("pars_finality", Quick(pars::finality)),
];

/// Methods that are there where the configuration says so.
const TESTING: &[(&str, Handler)] = &[("testing_buildBlockV1", Run(testing::build_block))];

/// The methods of a server with this configuration, less those of subscriptions.
pub(crate) fn table(config: &RpcConfig) -> impl Iterator<Item = (&'static str, Handler)> {
    let testing: &[_] = if config.testing { TESTING } else { &[] };
    METHODS.iter().chain(testing).copied()
}

/// Adds the table to `module`.
pub(crate) fn register(module: &mut RpcModule<Shared>, config: &RpcConfig) -> Result<(), RpcError> {
    for (name, handler) in table(config) {
        let added = match handler {
            Quick(answer) => module.register_method(name, move |params, shared, _| {
                let args = Args::parse(params.as_str())?;
                answer(shared, &args)
            }),
            Read(answer) => blocking(module, name, Weight::Read, None, answer),
            Known(known, answer) => blocking(module, name, Weight::Read, Some(known), answer),
            Run(answer) => blocking(module, name, Weight::Run, None, answer),
            Waiting(answer) => {
                module.register_async_method(name, move |params, shared, _| answer(shared, params))
            }
        };
        added
            .map(drop)
            .map_err(|error| RpcError::Methods(error.to_string()))?;
    }
    Ok(())
}

fn blocking<'a>(
    module: &'a mut RpcModule<Shared>,
    name: &'static str,
    weight: Weight,
    known: Option<fn(&Shared, &Args<'_>) -> Option<Answer>>,
    answer: fn(&Shared, &Args<'_>) -> Answer,
) -> Result<&'a mut MethodCallback, RegisterMethodError> {
    module.register_async_method(name, move |params, shared, _| async move {
        if let Some(known) = known
            && let Some(answer) = known(&shared, &Args::parse(params.as_str())?)
        {
            return answer;
        }
        let work = move |shared: &Shared| answer(shared, &Args::parse(params.as_str())?);
        shared.blocking(weight, work).await
    })
}

#[cfg(test)]
mod tests {
    use super::table;
    use crate::config::RpcConfig;
    use std::collections::BTreeSet;

    /// The table in the README is this table.
    #[test]
    fn the_readme_lists_every_method() {
        let readme = include_str!("../../README.md");
        let told: BTreeSet<_> = readme
            .lines()
            .filter(|line| line.starts_with('|'))
            .flat_map(|line| line.split('`'))
            .filter(|word| {
                word.contains('_')
                    && word
                        .chars()
                        .all(|char| char.is_ascii_alphanumeric() || char == '_')
            })
            .collect();
        let all = RpcConfig {
            testing: true,
            ..RpcConfig::default()
        };
        let mut known: BTreeSet<_> = table(&all).map(|(name, _)| name).collect();
        known.extend(crate::subscribe::method_names());
        assert_eq!(told, known);
        assert_eq!(
            table(&all).count() + crate::subscribe::method_names().count(),
            known.len(),
            "a method is in the table twice"
        );
    }
}
