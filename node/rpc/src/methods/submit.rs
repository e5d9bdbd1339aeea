//! Transactions in.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{B256, Bytes, U64};
use futures::FutureExt;
use futures::future::BoxFuture;
use jsonrpsee::types::Params;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::transaction::receipt_of;
use crate::context::{Answer, ChainEvent, Shared, Weight, answer};
use crate::error::{Fault, code};
use crate::params::Args;

/// How long `eth_sendRawTransactionSync` waits unless told otherwise (EIP-7966).
const SYNC_DEFAULT: Duration = Duration::from_secs(2);
/// How long it waits at most.
const SYNC_MOST: Duration = Duration::from_secs(30);

/// `eth_sendRawTransaction`: the hash, once the pool has taken the transaction.
pub(super) fn send_raw(shared: Arc<Shared>, params: Params<'static>) -> BoxFuture<'static, Answer> {
    async move {
        let raw: Bytes = {
            let args = Args::parse(params.as_str())?;
            args.at_most(1)?;
            args.hex(0)?
        };
        answer(&shared.submit(&raw).await?)
    }
    .boxed()
}

/// `eth_sendRawTransactionSync` (EIP-7966): the receipt, once the transaction is in a block.
pub(super) fn send_raw_sync(
    shared: Arc<Shared>,
    params: Params<'static>,
) -> BoxFuture<'static, Answer> {
    async move {
        let (raw, timeout) = {
            let args = Args::parse(params.as_str())?;
            args.at_most(2)?;
            let timeout = args
                .optional::<U64>(1)?
                .map(|millis| Duration::from_millis(millis.saturating_to()));
            (
                args.hex::<Bytes>(0)?,
                timeout.unwrap_or(SYNC_DEFAULT).min(SYNC_MOST),
            )
        };
        // Before the transaction is handed in, so that its block cannot be missed.
        let events = shared.node.events.subscribe();
        let hash = shared.submit(&raw).await?;
        let mined = tokio::time::timeout(timeout, wait_for_block(events, hash)).await;
        let receipt = shared
            .blocking(Weight::Read, move |shared| receipt_of(shared, &hash))
            .await?;
        match (receipt, mined) {
            (Some(receipt), _) => answer(&receipt),
            (None, _) => {
                let text =
                    "the transaction was added to the pool but was not mined within the timeout";
                Err(Fault::new(code::SYNC_TIMEOUT, text).with_data(&hash))
            }
        }
    }
    .boxed()
}

/// Returns once a new block holds the transaction, or may have been missed.
async fn wait_for_block(mut events: Receiver<ChainEvent>, hash: B256) {
    loop {
        match events.recv().await {
            Ok(ChainEvent::NewHead(head)) => {
                if head
                    .block
                    .transactions
                    .iter()
                    .any(|transaction| *transaction.tx_hash() == hash)
                {
                    return;
                }
            }
            Ok(ChainEvent::PendingTransaction(_)) => {}
            Err(RecvError::Lagged(_) | RecvError::Closed) => return,
        }
    }
}
