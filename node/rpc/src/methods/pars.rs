//! What only this node has: the compute engine and the precompiles.

use std::time::Duration;

use alloy_primitives::{Address, FixedBytes, U64};
use pars_engine::{BackendStats, Histogram};
use pars_precompiles::{Class, Function};
use serde_json::{Value, json};

use crate::context::{Answer, Shared, answer};
use crate::params::Args;

/// `pars_engineStats`: queue, counters and histograms of every kernel and back end, and what the
/// blocks have asked.
pub(crate) fn engine_stats(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(0)?;
    let stats = shared.node.engine.stats();
    let kernels: Vec<_> = stats
        .kernels
        .iter()
        .map(|kernel| {
            json!({
                "kernel": kernel.kernel,
                "submitted": kernel.submitted,
                "answered": kernel.answered(),
                "refused": kernel.refused,
                "cancelled": kernel.cancelled,
                "queued": kernel.queued,
                "backends": kernel.backends.iter().map(backend).collect::<Vec<_>>(),
            })
        })
        .collect();
    let blocks = shared.node.executor.stats();
    answer(&json!({
        "queue": { "jobs": stats.queue.jobs, "bytes": stats.queue.bytes },
        "mismatches": stats.mismatches(),
        "kernels": kernels,
        "blocks": {
            "built": blocks.blocks_built,
            "transactions": blocks.transactions,
            "gas": blocks.gas,
            "questionsStatic": blocks.questions_static,
            "questionsSpeculative": blocks.questions_speculative,
            "batches": blocks.batches,
            "largestBatch": blocks.largest_batch,
            "memoHits": blocks.memo_hits,
            "memoMisses": blocks.memo_misses,
        },
        "senders": {
            "known": blocks.senders.known,
            "batched": blocks.senders.batched,
            "single": blocks.senders.single,
            "invalid": blocks.senders.invalid,
            "batches": blocks.senders.batches,
            "largestBatch": blocks.senders.largest_batch,
            "failedBatches": blocks.senders.failed_batches,
            "cached": blocks.senders.cached,
        },
    }))
}

fn backend(stats: &BackendStats) -> Value {
    json!({
        "backend": stats.backend,
        "answered": stats.answered,
        "batches": stats.batches,
        "batchSizes": histogram(&stats.batch_sizes),
        "queueNanos": histogram(&stats.queue_time),
        "kernelNanos": histogram(&stats.kernel_time),
        "fallbacks": stats.fallbacks,
        "undecided": stats.undecided,
        "confirmations": stats.confirmations,
        "audits": stats.audits,
        "mismatches": stats.mismatches,
        "failures": stats.failures,
    })
}

/// Count, mean, largest, and the filled buckets as [largest value in it, how many].
fn histogram(histogram: &Histogram) -> Value {
    json!({
        "count": histogram.count(),
        "mean": histogram.mean(),
        "max": histogram.max(),
        "buckets": histogram.buckets().collect::<Vec<_>>(),
    })
}

/// `pars_engineDevices`: what was found on this machine, what is used, and why.
pub(crate) fn engine_devices(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(0)?;
    let report = shared.node.engine.devices();
    let micros = |time: Duration| time.as_nanos() as f64 / 1e3;
    let adapters: Vec<_> = report
        .adapters
        .iter()
        .map(|adapter| {
            json!({
                "name": adapter.adapter.name,
                "kind": adapter.adapter.kind.to_string(),
                "backend": adapter.adapter.backend,
                "driver": adapter.adapter.driver,
                "state": adapter.state.to_string(),
                "failures": adapter.failures,
                "selfTests": adapter.self_tests.iter().map(ToString::to_string).collect::<Vec<_>>(),
            })
        })
        .collect();
    let routes: Vec<_> = report
        .routes
        .iter()
        .map(|route| json!({ "kernel": route.kernel, "cpuJobMicros": micros(route.cpu.job), "why": route.why }))
        .collect();
    answer(&json!({
        "cpu": {
            "features": report.cpu.features,
            "threads": report.cpu.threads,
            "selfTests": report.cpu.self_tests.iter().map(ToString::to_string).collect::<Vec<_>>(),
        },
        "gpuBuiltIn": report.gpu_built_in,
        "policy": report.policy,
        "starting": report.starting,
        "adapters": adapters,
        "routes": routes,
    }))
}

/// `pars_finality`: the newest block, the newest that is final, and how many blocks lie between.
/// What this node has accepted is final, so with one validator they are the same.
pub(crate) fn finality(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(0)?;
    let head = shared.head();
    let block = json!({
        "number": U64::from(head.number),
        "hash": head.hash,
        "timestamp": U64::from(head.header.timestamp),
    });
    answer(&json!({ "latest": block, "finalized": block, "undecided": U64::ZERO }))
}

/// `pars_precompiles`: every precompile of this chain that Ethereum does not have, with its functions and
/// what they cost; how often blocks called it, and which part of its questions a batch had answered before the
/// EVM asked (null where there was none).
pub(crate) fn precompiles(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(0)?;
    let function = |function: &Function| {
        json!({
            "signature": function.signature,
            "selector": FixedBytes::from(function.selector),
            "gas": function.gas,
            "secret": matches!(function.class, Class::Secret | Class::Generate),
        })
    };
    let table: Vec<_> = shared
        .node
        .executor
        .precompiles()
        .precompiles()
        .map(|precompile| {
            let address = Address::from(precompile.address());
            let usage = shared.node.executor.precompile_usage(&address);
            json!({
                "address": address,
                "name": precompile.name(),
                "functions": precompile.functions().iter().map(function).collect::<Vec<_>>(),
                "calls": usage.calls,
                "questionsBatched": usage.batched,
                "questionsAlone": usage.alone,
                "batchShare": usage.batch_share(),
            })
        })
        .collect();
    answer(&table)
}
