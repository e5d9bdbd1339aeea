//! The embedded single validator: makes blocks out of the pool and accepts them at once.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use alloy_consensus::Header;
use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, B256, Bytes, keccak256};
use pars_evm::BlockAttributes;
use pars_rpc::RpcContext;
use pars_store::Head;
use tokio::sync::watch;

use crate::schedule::{Pace, Schedule};
use crate::vm::{ChainVm as _, Vm, VmError};

/// Why the validator had to stop.
#[derive(Debug, thiserror::Error)]
pub enum ProducerError {
    /// The block could not be built or accepted.
    #[error(transparent)]
    Vm(#[from] VmError),
    /// The block in hand broke off.
    #[error("block production broke off: {0}")]
    Panicked(String),
}

/// What the validator needs to know.
#[derive(Debug, Clone)]
pub struct ProducerConfig {
    /// When blocks are made.
    pub pace: Pace,
    /// Receives the priority fees.
    pub beneficiary: Address,
    /// No transaction of a block is begun after this long.
    pub time_budget: Duration,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            pace: Pace::default(),
            beneficiary: Address::ZERO,
            time_budget: Duration::from_millis(150),
        }
    }
}

/// What one attempt at a block came to.
struct Attempt {
    /// Work that is left for the next block.
    more: bool,
}

/// Makes blocks until `stop` changes; the block in hand is finished first.
pub(crate) async fn run(
    context: RpcContext,
    vm: Arc<Vm>,
    pace: Pace,
    mut stop: watch::Receiver<bool>,
) -> Result<(), ProducerError> {
    let mut schedule = Schedule::new(pace, Instant::now());
    loop {
        let deadline = schedule.deadline();
        let due = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
            () = due => {}
            () = context.work.notified() => {
                schedule.on_work(Instant::now());
                continue;
            }
        }
        let Some(due) = schedule.due(Instant::now()) else {
            continue;
        };
        let attempt = {
            let (context, vm) = (context.clone(), Arc::clone(&vm));
            tokio::task::spawn_blocking(move || make_block(&context, &vm, due.even_if_empty))
        };
        let attempt = attempt
            .await
            .map_err(|error| ProducerError::Panicked(error.to_string()))??;
        schedule.on_block(Instant::now(), attempt.more);
    }
}

/// Builds a block on the preferred one and, being the only one who has a say, decides for it at
/// once. Blocking.
fn make_block(
    context: &RpcContext,
    vm: &Vm,
    even_if_empty: bool,
) -> Result<Attempt, ProducerError> {
    let started = Instant::now();
    let Some((meta, bytes, checks)) = vm.build_if(even_if_empty)? else {
        // Where the machine was so busy that the time was over before the first transaction, they still wait, and
        // nothing new may ever arrive to remind of them.
        return Ok(Attempt {
            more: context.has_transactions(&context.store.head().header),
        });
    };
    let built = started.elapsed();
    vm.verify(&bytes)?;
    vm.set_preference(meta.id)?;
    vm.accept(meta.id)?;
    if let Err(error) = context.tidy_journal(false) {
        tracing::warn!(%error, "the pool's journal grows");
    }
    let head = context.store.head();
    tracing::info!(
        number = head.number,
        hash = %head.hash,
        gas = head.header.gas_used,
        bytes = bytes.len(),
        checks,
        built_ms = built.as_millis(),
        total_ms = started.elapsed().as_millis(),
        "new block"
    );
    Ok(Attempt {
        more: context.has_transactions(&head.header),
    })
}

/// Transactions that the executor left out would be tried again in every block: the first one of
/// each sender goes, its later ones wait for the gap to close.
pub(crate) fn drop_unusable(context: &RpcContext, skipped: &[(B256, String)]) {
    let mut senders = Vec::new();
    let mut pool = context.pool.lock();
    for (hash, reason) in skipped {
        let Some(transaction) = pool.get(hash) else {
            continue;
        };
        if senders.contains(&transaction.signer()) {
            continue;
        }
        senders.push(transaction.signer());
        tracing::warn!(%hash, sender = %transaction.signer(), nonce = transaction.nonce(), reason, "transaction dropped");
        pool.remove(hash);
    }
}

/// What the embedded validator chooses for the block after `head`.
///
/// Consensus will supply randomness and the vertex id; with one validator both follow from the
/// parent, so that a block is a function of its parent, its transactions and the clock.
pub(crate) fn attributes(head: &Head, config: &ProducerConfig) -> BlockAttributes {
    BlockAttributes {
        timestamp: next_timestamp(&head.header, SystemTime::now()),
        beneficiary: config.beneficiary,
        prev_randao: keccak256(head.hash),
        parent_beacon_block_root: head.hash,
        extra_data: Bytes::new(),
        withdrawals: Default::default(),
        time_budget: config.time_budget,
    }
}

/// Seconds since 1970, never before the parent's.
fn next_timestamp(parent: &Header, now: SystemTime) -> u64 {
    let seconds = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    seconds.max(parent.timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Node, NodeConfig, accounts};
    use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEnvelope};
    use alloy_eips::Encodable2718 as _;
    use alloy_genesis::GenesisAccount;
    use alloy_primitives::{Signature, TxKind, U256};
    use k256::ecdsa::SigningKey;
    use pars_engine::GpuPolicy;
    use pars_evm::ChainSpec;

    /// A busy machine may let a block's time pass before its first transaction. What waits is then tried again.
    #[test]
    fn work_that_had_no_time_is_left_over() {
        let runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = { runtime }.enable_all().build().unwrap();
        runtime.block_on(async {
            let account = accounts::derive(accounts::DEV_MNEMONIC, 1)
                .unwrap()
                .remove(0);
            let funded = GenesisAccount::default().with_balance(U256::from(10).pow(U256::from(22)));
            let mut config =
                NodeConfig::new(ChainSpec::dev().with_alloc([(account.address, funded)]));
            config.rpc.address.set_port(0);
            config.engine.gpu = GpuPolicy::Off;
            config.producer.pace = Pace::Every(Duration::from_secs(86_400));
            let node = Node::start(config).await.unwrap();
            let context = node.context().clone();
            let attempts = tokio::task::spawn_blocking(move || {
                let transfer = TxEip1559 {
                    chain_id: 6133,
                    gas_limit: 21_000,
                    max_fee_per_gas: 100_000_000_000,
                    to: TxKind::Call(Address::repeat_byte(1)),
                    ..TxEip1559::default()
                };
                let key = SigningKey::from_slice(account.private_key.as_slice()).unwrap();
                let hash = transfer.signature_hash();
                let (signature, recovery) = key.sign_prehash_recoverable(&hash[..]).unwrap();
                let signed = transfer.into_signed(Signature::from((signature, recovery)));
                let raw = TxEnvelope::from(signed).encoded_2718();
                context.submit_raw(&raw).unwrap();
                [Duration::ZERO, Duration::from_secs(600)].map(|time_budget| {
                    let config = ProducerConfig {
                        time_budget,
                        ..ProducerConfig::default()
                    };
                    let attempt = make_block(&context, &Vm::new(context.clone(), config), false);
                    (attempt.unwrap().more, context.store.head_number())
                })
            });
            assert_eq!(attempts.await.unwrap(), [(true, 0), (false, 1)]);
            node.stop().await.unwrap();
        });
    }

    #[test]
    fn time_never_goes_back() {
        let parent = Header {
            timestamp: 1_000,
            ..Header::default()
        };
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(next_timestamp(&parent, at(999)), 1_000);
        assert_eq!(next_timestamp(&parent, at(1_000)), 1_000);
        assert_eq!(next_timestamp(&parent, at(1_001)), 1_001);
        assert_eq!(
            next_timestamp(&parent, UNIX_EPOCH - Duration::from_secs(1)),
            1_000
        );
    }
}
