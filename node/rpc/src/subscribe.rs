//! `eth_subscribe`: new heads, logs and pending transactions as they happen. `pars_subscribe`: what only
//! this node has, anew with every block.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use alloy_primitives::hex;
use alloy_rpc_types_eth::Filter;
use jsonrpsee::core::server::{PendingSubscriptionSink, SubscriptionMessage};
use jsonrpsee::core::traits::IdProvider;
use jsonrpsee::types::{ErrorObjectOwned, Params, SubscriptionId};
use jsonrpsee::{Extensions, RpcModule};
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;

use crate::context::{Answer, ChainEvent, Json, Shared};
use crate::convert;
use crate::error::{Fault, RpcError, code};
use crate::gate::Origin;
use crate::methods::{logs::optional_filter, pars};
use crate::params::Args;

/// Names of the methods by which clients subscribe, are notified and unsubscribe.
const NAMESPACES: [[&str; 3]; 2] = [
    ["eth_subscribe", "eth_subscription", "eth_unsubscribe"],
    ["pars_subscribe", "pars_subscription", "pars_unsubscribe"],
];

/// The methods that are there only where notifications can reach the client.
pub(crate) fn method_names() -> impl Iterator<Item = &'static str> {
    NAMESPACES.iter().flat_map(|[begin, _, end]| [*begin, *end])
}

/// Whether this is the name of a method that ends a subscription.
pub(crate) fn ends_one(name: &str) -> bool {
    NAMESPACES.iter().any(|[.., end]| *end == name)
}

/// What a client subscribed to.
enum Kind {
    /// Headers of new blocks.
    NewHeads,
    /// Logs of new blocks that match.
    Logs(Box<Filter>),
    /// Transactions that enter the pool: hashes, or full objects.
    PendingTransactions {
        /// Full objects instead of hashes.
        full: bool,
    },
    /// The answer of a method, with every new block.
    Answers(fn(&Shared, &Args<'_>) -> Answer),
}

impl Kind {
    fn parse(namespace: &str, args: &Args<'_>) -> Result<Self, Fault> {
        let name: String = args.required(0)?;
        args.at_most(2)?;
        if namespace == "pars" {
            args.at_most(1)?;
            let method = match name.as_str() {
                "engineStats" => pars::engine_stats,
                "engineDevices" => pars::engine_devices,
                "precompiles" => pars::precompiles,
                "finality" => pars::finality,
                _ => return Err(Self::unknown(namespace, &name)),
            };
            return Ok(Self::Answers(method));
        }
        match name.as_str() {
            "newHeads" => Ok(Self::NewHeads),
            "logs" => Ok(Self::Logs(Box::new(optional_filter(args, 1)?))),
            "newPendingTransactions" => Ok(Self::PendingTransactions {
                full: args.optional(1)?.unwrap_or(false),
            }),
            _ => Err(Self::unknown(namespace, &name)),
        }
    }

    fn unknown(namespace: &str, name: &str) -> Fault {
        let text = format!("no {name:?} subscription in {namespace} namespace");
        Fault::new(code::METHOD_NOT_FOUND, text)
    }

    /// What of `event` the client hears about, in order.
    fn render(&self, shared: &Shared, event: &ChainEvent) -> Vec<Json> {
        match (self, event) {
            (Self::NewHeads, ChainEvent::NewHead(head)) => {
                json(&convert::header(&head.block.header, head.block.hash))
            }
            (Self::Logs(filter), ChainEvent::NewHead(head)) => {
                let number = head.block.header.number;
                if !filter.matches_block_range(number)
                    || !filter.matches_bloom(head.block.header.logs_bloom)
                {
                    return Vec::new();
                }
                let logs = convert::matching_logs(&head.block, &head.receipts, filter);
                logs.iter().flat_map(json).collect()
            }
            (
                Self::PendingTransactions { full: false },
                ChainEvent::PendingTransaction(transaction),
            ) => json(transaction.tx_hash()),
            (
                Self::PendingTransactions { full: true },
                ChainEvent::PendingTransaction(transaction),
            ) => json(&convert::pending_transaction((**transaction).clone())),
            (Self::Answers(method), ChainEvent::NewHead(_)) => {
                let answer = Args::parse(None).and_then(|none| method(shared, &none));
                answer.into_iter().collect()
            }
            (
                Self::NewHeads | Self::Logs(_) | Self::Answers(_),
                ChainEvent::PendingTransaction(_),
            )
            | (Self::PendingTransactions { .. }, ChainEvent::NewHead(_)) => Vec::new(),
        }
    }
}

fn json(value: &impl Serialize) -> Vec<Json> {
    match serde_json::value::to_raw_value(value) {
        Ok(json) => vec![json],
        Err(error) => {
            tracing::error!(%error, "a notification could not be written as JSON");
            Vec::new()
        }
    }
}

/// Adds the methods to `module`.
pub(crate) fn register(module: &mut RpcModule<Shared>) -> Result<(), RpcError> {
    for [begin, notify, end] in NAMESPACES {
        let namespace = begin
            .split_once('_')
            .map_or(begin, |(namespace, _)| namespace);
        module
            .register_subscription(begin, notify, end, move |params, pending, shared, with| {
                run(namespace, params, pending, shared, with)
            })
            .map_err(|error| RpcError::Methods(error.to_string()))?;
    }
    Ok(())
}

/// One subscription, from the request to its end.
async fn run(
    namespace: &'static str,
    params: Params<'static>,
    pending: PendingSubscriptionSink,
    shared: Arc<Shared>,
    extensions: Extensions,
) {
    let kind = match Args::parse(params.as_str()).and_then(|args| Kind::parse(namespace, &args)) {
        Ok(kind) => kind,
        Err(fault) => return pending.reject(ErrorObjectOwned::from(fault)).await,
    };
    // Before the client is told that it is subscribed, so that it misses nothing after.
    let mut events = shared.node.events.subscribe();
    let Ok(sink) = pending.accept().await else {
        return;
    };
    let patience = shared.config.slow_subscriber;
    // A gap in the stream would go unnoticed, so a client that cannot keep up loses the connection.
    let drop_connection = |reason: &str| {
        tracing::debug!(reason, "closing the connection of a slow subscriber");
        if let Some(origin) = extensions.get::<Origin>() {
            origin.closer.close();
        }
    };
    loop {
        let event = tokio::select! {
            () = sink.closed() => return,
            event = events.recv() => event,
        };
        match event {
            Ok(event) => {
                for message in kind.render(&shared, &event) {
                    let sent = sink
                        .send_timeout(SubscriptionMessage::from(message), patience)
                        .await;
                    if sent.is_err() {
                        if !sink.is_closed() {
                            drop_connection("it does not read");
                        }
                        return;
                    }
                }
            }
            Err(RecvError::Lagged(_)) => return drop_connection("it is too far behind"),
            Err(RecvError::Closed) => return,
        }
    }
}

/// Subscription ids as other nodes make them: 16 random bytes in hex.
#[derive(Debug, Default)]
pub(crate) struct HexIds {
    /// Used only where the operating system gives no randomness: an id has to tell the
    /// subscriptions of one connection apart, not to be secret.
    fallback: AtomicU64,
}

impl IdProvider for HexIds {
    fn next_id(&self) -> SubscriptionId<'static> {
        let mut bytes = [0u8; 16];
        if getrandom::fill(&mut bytes).is_err() {
            bytes = u128::from(self.fallback.fetch_add(1, Ordering::Relaxed)).to_be_bytes();
        }
        SubscriptionId::Str(format!("0x{}", hex::encode(bytes)).into())
    }
}
