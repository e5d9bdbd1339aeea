//! What the node keeps in memory, part by part, so that the process's memory can be accounted for: every cache,
//! buffer and list that grows, and what the allocator took from the system for all of them.

use std::fmt::Write;

use pars_store::Held;

use super::{Watched, page::family, process::Usage};

/// A figure of a part, where it has one.
type Column = (&'static str, &'static str, fn(&Held) -> Option<u64>);

const COLUMNS: [Column; 3] = [
    (
        "pars_memory_bytes",
        "Bytes that a part of the node holds in memory, by its own account.",
        |held| Some(held.bytes),
    ),
    (
        "pars_memory_bound_bytes",
        "Most bytes that a part may hold.",
        |held| held.bound,
    ),
    ("pars_memory_entries", "Entries of a part.", |held| {
        held.entries
    }),
];

/// Everything that grows with use.
fn parts(watched: &Watched) -> Vec<Held> {
    let context = &watched.context;
    let part = |part, entries: usize, bytes: usize, bound: Option<usize>| Held {
        part,
        entries: Some(figure(entries)),
        bytes: figure(bytes),
        bound: bound.map(figure),
    };
    let mut parts = context.store.memory();
    let (blocks, bytes) = watched.vm.held();
    parts.push(part("undecided", blocks, bytes, None));

    let memo = context.executor.memo();
    let bound = Some(memo.max_bytes);
    parts.push(part("memo", memo.entries, memo.bytes, bound));
    let senders = context.executor.senders().stats();
    parts.push(Held {
        part: "senders",
        entries: Some(senders.cached),
        bytes: senders.cached_bytes,
        bound: None,
    });

    let pool = context.pool.lock().status();
    let count = pool.pending + pool.queued;
    parts.push(part("pool", count, pool.memory, None));

    let engine = context.engine.stats();
    let queue = engine.queue;
    parts.push(part("engine_queue", queue.jobs, queue.bytes, None));
    let caches = engine.kernels.iter().filter_map(|kernel| kernel.cache);
    let keys = caches.fold(part("engine_keys", 0, 0, Some(0)), |sum, cache| Held {
        entries: sum.entries.map(|keys| keys + figure(cache.keys)),
        bytes: sum.bytes + figure(cache.bytes),
        bound: sum.bound.map(|bound| bound + figure(cache.budget)),
        ..sum
    });
    parts.push(keys);

    let rpc = watched.rpc.read();
    parts.push(part("filters", rpc.filters, rpc.filter_bytes, None));
    let hash = size_of::<alloy_primitives::B256>();
    let hashes = rpc.pending_hashes;
    parts.push(part("pending_hashes", hashes, hashes * hash, None));
    parts
}

/// Writes the families of memory.
pub(super) fn write(out: &mut String, watched: &Watched) -> std::fmt::Result {
    let parts = parts(watched);
    for (name, help, value) in COLUMNS {
        family(out, name, "gauge", help)?;
        for held in &parts {
            if let Some(value) = value(held) {
                writeln!(out, "{name}{{part=\"{}\"}} {value}", held.part)?;
            }
        }
    }
    let events = &watched.context.events;
    let gauges = [
        (
            "pars_rpc_subscriptions",
            "Subscriptions of clients.",
            // The filters listen too.
            Some(figure(events.receiver_count().saturating_sub(1))),
        ),
        (
            "pars_rpc_events_waiting",
            "Events that the slowest subscriber has not taken yet.",
            Some(figure(events.len())),
        ),
        (
            "pars_memory_anonymous_bytes",
            "Memory held in RAM that is no file's.",
            Usage::read().map(|usage| usage.anonymous_bytes),
        ),
        (
            "pars_allocator_committed_bytes",
            "Memory that the allocator has from the system: what is in use, and what it keeps for the next use.",
            committed(),
        ),
    ];
    for (name, help, value) in gauges {
        if let Some(value) = value {
            family(out, name, "gauge", help)?;
            writeln!(out, "{name} {value}")?;
        }
    }
    Ok(())
}

/// Bytes that the allocator of `parsd` has from the system.
fn committed() -> Option<u64> {
    let statistics = mimalloc::MiMalloc::stats_json().ok()?;
    let statistics: serde_json::Value = serde_json::from_slice(statistics.to_bytes()).ok()?;
    statistics.pointer("/committed/current")?.as_u64()
}

fn figure(length: usize) -> u64 {
    length.try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_allocator_tells_what_it_has() {
        assert!(super::committed().is_some());
    }
}
