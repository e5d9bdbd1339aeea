//! The texts: Prometheus' exposition format, and a line of JSON.

use std::fmt::{Display, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use alloy_primitives::Address;
use pars_evm::ExecutorStats;
use pars_rpc::RpcContext;
use serde_json::json;

use super::{Watched, memory, process::Usage};

/// Microseconds in a second.
const MICROSECONDS: f64 = 1e6;

/// A count of the executor: name, help, value.
type Count = (&'static str, &'static str, fn(&ExecutorStats) -> u64);

const EXECUTOR: &[Count] = &[
    ("blocks_built", "Blocks built.", |s| s.blocks_built),
    (
        "blocks_verified",
        "Blocks verified, invalid ones among them.",
        |s| s.blocks_verified,
    ),
    ("blocks_invalid", "Blocks found invalid.", |s| {
        s.blocks_invalid
    }),
    (
        "transactions",
        "Transactions run in built and verified blocks.",
        |s| s.transactions,
    ),
    ("gas", "Gas those transactions used.", |s| s.gas),
    (
        "transactions_adopted",
        "Transactions whose outcome was known from a run on a second thread.",
        |s| s.adopted,
    ),
    (
        "questions_static",
        "Questions found by reading calldata.",
        |s| s.questions_static,
    ),
    (
        "questions_speculative",
        "Questions found by throw-away runs.",
        |s| s.questions_speculative,
    ),
    (
        "batches",
        "Batches of questions handed to the engine.",
        |s| s.batches,
    ),
    (
        "failed_batches",
        "Batches the engine could not answer.",
        |s| s.failed_batches,
    ),
    (
        "calls_passed_over",
        "Calls not run on throw-away state, as their contract has asked nothing for long.",
        |s| s.passed_over,
    ),
    ("speculative_gas", "Gas spent on throw-away runs.", |s| {
        s.speculative_gas
    }),
    ("memo_hits", "Questions whose answer was ready.", |s| {
        s.memo_hits
    }),
    (
        "memo_misses",
        "Questions answered while the EVM waited.",
        |s| s.memo_misses,
    ),
    (
        "senders_known",
        "Senders that were known from before.",
        |s| s.senders.known,
    ),
    (
        "senders_batched",
        "Senders recovered by the engine's batches.",
        |s| s.senders.batched,
    ),
    ("senders_single", "Senders recovered one by one.", |s| {
        s.senders.single
    }),
    (
        "senders_invalid",
        "Signatures of transactions that name nobody.",
        |s| s.senders.invalid,
    ),
    (
        "sender_batches",
        "Batches of signatures handed to the engine.",
        |s| s.senders.batches,
    ),
    (
        "failed_sender_batches",
        "Batches of signatures the engine could not answer.",
        |s| s.senders.failed_batches,
    ),
];

/// A time of the executor: name, help, value in microseconds.
const TIMES: &[Count] = &[
    ("collect", "Time spent looking for questions.", |s| {
        s.collect_micros
    }),
    (
        "answer",
        "Time spent waiting for the engine's batches.",
        |s| s.answer_micros,
    ),
    ("execute", "Time spent executing blocks.", |s| {
        s.execute_micros
    }),
    (
        "senders",
        "Time spent finding the senders of blocks.",
        |s| s.senders.micros,
    ),
];

/// Everything that Prometheus may know.
pub(super) fn metrics(watched: &Watched) -> String {
    let mut out = watched.context.engine.prometheus();
    // Writing to a string cannot fail.
    let _ = write_node(&mut out, watched).and_then(|()| memory::write(&mut out, watched));
    out
}

fn write_node(out: &mut String, watched: &Watched) -> std::fmt::Result {
    let context = &watched.context;
    family(out, "pars_build_info", "gauge", "The running program.")?;
    writeln!(
        out,
        "pars_build_info{{version=\"{}\",network=\"{}\",chain_id=\"{}\"}} 1",
        env!("CARGO_PKG_VERSION"),
        escape(&context.spec.name),
        context.spec.chain_id
    )?;

    let head = context.store.head();
    let header = &head.header;
    single(
        out,
        "pars_chain_head_number",
        "gauge",
        "Number of the last accepted block.",
        head.number,
    )?;
    single(
        out,
        "pars_chain_head_timestamp_seconds",
        "gauge",
        "Its time.",
        header.timestamp,
    )?;
    single(
        out,
        "pars_chain_head_gas_used",
        "gauge",
        "Gas it used.",
        header.gas_used,
    )?;
    single(
        out,
        "pars_chain_gas_limit",
        "gauge",
        "Its gas limit.",
        header.gas_limit,
    )?;
    single(
        out,
        "pars_chain_base_fee_wei",
        "gauge",
        "Base fee of the next block.",
        context.spec.next_base_fee(header),
    )?;

    let pool = context.pool.lock().status();
    family(
        out,
        "pars_pool_transactions",
        "gauge",
        "Transactions that wait.",
    )?;
    writeln!(
        out,
        "pars_pool_transactions{{state=\"pending\"}} {}",
        pool.pending
    )?;
    writeln!(
        out,
        "pars_pool_transactions{{state=\"queued\"}} {}",
        pool.queued
    )?;

    let stats = context.executor.stats();
    for (name, help, value) in EXECUTOR {
        single(
            out,
            &format!("pars_evm_{name}_total"),
            "counter",
            help,
            value(&stats),
        )?;
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "a sum of times for people to look at"
    )]
    for (name, help, value) in TIMES {
        let seconds = value(&stats) as f64 / MICROSECONDS;
        single(
            out,
            &format!("pars_evm_{name}_seconds_total"),
            "counter",
            help,
            seconds,
        )?;
    }

    write_precompiles(out, context)?;

    let Some(usage) = Usage::read() else {
        return Ok(());
    };
    single(
        out,
        "process_resident_memory_bytes",
        "gauge",
        "Memory held in RAM.",
        usage.resident_bytes,
    )?;
    single(
        out,
        "process_cpu_seconds_total",
        "counter",
        "CPU time used.",
        usage.cpu_seconds,
    )?;
    single(out, "process_threads", "gauge", "Threads.", usage.threads)?;
    single(
        out,
        "process_open_fds",
        "gauge",
        "Open file descriptors.",
        usage.open_files,
    )
}

/// What blocks asked of this network's own precompiles.
fn write_precompiles(out: &mut String, context: &RpcContext) -> std::fmt::Result {
    let executor = &context.executor;
    let all = executor.precompiles().precompiles();
    let all: Vec<_> = all
        .map(|precompile| {
            let address = Address::from(precompile.address());
            let labels = format!("address=\"{address:?}\",name=\"{}\"", precompile.name());
            (labels, executor.precompile_usage(&address))
        })
        .collect();
    let name = "pars_precompile_calls_total";
    family(out, name, "counter", "Calls of a precompile by blocks.")?;
    for (labels, usage) in &all {
        writeln!(out, "{name}{{{labels}}} {}", usage.calls)?;
    }
    let name = "pars_precompile_questions_total";
    let help = "Questions of its calls: answered by a batch before the EVM asked, or alone while it waited.";
    family(out, name, "counter", help)?;
    for (labels, usage) in &all {
        writeln!(
            out,
            "{name}{{{labels},answered=\"batch\"}} {}",
            usage.batched
        )?;
        writeln!(out, "{name}{{{labels},answered=\"alone\"}} {}", usage.alone)?;
    }
    Ok(())
}

pub(super) fn family(out: &mut String, name: &str, kind: &str, help: &str) -> std::fmt::Result {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

fn single(
    out: &mut String,
    name: &str,
    kind: &str,
    help: &str,
    value: impl Display,
) -> std::fmt::Result {
    family(out, name, kind, help)?;
    writeln!(out, "{name} {value}")
}

/// A label's value: backslash, quote and line feed are written with a backslash.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// What a watcher wants to know at once.
pub(super) fn health(watched: &Watched, leaving: bool) -> String {
    let context = &watched.context;
    let head = context.store.head();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let mut text = json!({
        "status": if leaving { "stopping" } else { "ok" },
        "version": env!("CARGO_PKG_VERSION"),
        "chainId": context.spec.chain_id,
        "head": head.number,
        "headHash": head.hash,
        "secondsSinceHead": now.saturating_sub(head.header.timestamp),
    })
    .to_string();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        assert_eq!(escape("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }

    #[test]
    fn a_family_has_help_type_and_value() {
        let mut out = String::new();
        single(&mut out, "x", "gauge", "What it is.", 3).unwrap();
        assert_eq!(out, "# HELP x What it is.\n# TYPE x gauge\nx 3\n");
    }
}
