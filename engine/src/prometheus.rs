//! The statistics in Prometheus' text exposition format, version 0.0.4.
//!
//! Times are in seconds. Two adapters may have one name, so every back end also has its number:
//! `slot` 0 is the CPU.

use std::fmt::Write;

use crate::report::{DeviceReport, DeviceState};
use crate::stats::{BackendStats, CacheStats, EngineStats, Histogram, KernelStats};

/// The buckets of times end at 2^k - 1 ns, from a microsecond to 69 s.
const TIMES: std::ops::RangeInclusive<u32> = 10..=36;

/// The buckets of batch sizes end at 2^k - 1, from 1 to 131,071.
const SIZES: std::ops::RangeInclusive<u32> = 1..=17;

/// Nanoseconds in a second.
const NANOSECONDS: f64 = 1e9;

type Count<T> = (&'static str, &'static str, fn(&T) -> u64);

/// Counters of a kernel: name, help, value.
const KERNEL: &[Count<KernelStats>] = &[
    ("submitted", "Jobs accepted.", |k| k.submitted),
    ("refused", "Jobs refused for want of room or quota.", |k| {
        k.refused
    }),
    ("cancelled", "Jobs cancelled before they started.", |k| {
        k.cancelled
    }),
    ("shared", "Jobs that an identical job answered.", |k| {
        k.shared
    }),
    ("expired", "Jobs past their deadline.", |k| k.expired),
    ("shut_down", "Jobs that the shutdown left.", |k| k.shut_down),
    ("panicked", "Jobs on which the kernel panicked.", |k| {
        k.panicked
    }),
];

/// Counters of a back end.
const BACKEND: &[Count<BackendStats>] = &[
    ("answered", "Jobs answered.", |b| b.answered),
    ("batches", "Batches run.", |b| b.batches),
    ("job_bytes", "Bytes of the jobs answered.", |b| b.job_bytes),
    ("fallbacks", "Jobs that the CPU did instead.", |b| {
        b.fallbacks
    }),
    ("undecided", "Jobs left to the CPU.", |b| b.undecided),
    ("confirmations", "Answers that the CPU confirmed.", |b| {
        b.confirmations
    }),
    ("audits", "Answers recomputed as a sample.", |b| b.audits),
    (
        "mismatches",
        "Wrong answers found. Each is an alarm.",
        |b| b.mismatches,
    ),
    ("failures", "Batches that failed.", |b| b.failures),
];

/// Counters of a cache.
const CACHE: &[Count<CacheStats>] = &[
    ("hits", "Look-ups that found their entry.", |c| c.hits),
    ("misses", "Look-ups that did not.", |c| c.misses),
    ("admissions", "Entries let in.", |c| c.admissions),
    ("evictions", "Entries that went for others.", |c| {
        c.evictions
    }),
];

/// The states of a device, as values of a label.
const STATES: [&str; 5] = ["starting", "in_use", "resting", "disabled", "not_chosen"];

const fn state(state: &DeviceState) -> &'static str {
    match state {
        DeviceState::Starting => "starting",
        DeviceState::Ready => "in_use",
        DeviceState::Resting { .. } => "resting",
        DeviceState::Disabled { .. } => "disabled",
        DeviceState::NotChosen { .. } => "not_chosen",
    }
}

/// Labels and their values, as they stand between the braces.
fn labels(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(name, value)| {
            let value = value.replace('\\', "\\\\");
            let value = value.replace('"', "\\\"").replace('\n', "\\n");
            format!("{name}=\"{value}\"")
        })
        .collect();
    pairs.join(",")
}

/// A page of metrics.
struct Page(String);

impl Page {
    // Writing to a string does not fail.
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP pars_engine_{name} {help}");
        let _ = writeln!(self.0, "# TYPE pars_engine_{name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = if labels.is_empty() {
            writeln!(self.0, "pars_engine_{name} {value}")
        } else {
            writeln!(self.0, "pars_engine_{name}{{{labels}}} {value}")
        };
    }

    /// One metric with a value for each of some things.
    fn family<'a, T: 'a, V: std::fmt::Display>(
        &mut self,
        (name, kind, help): (&str, &str, &str),
        things: &[(String, &'a T)],
        value: impl Fn(&'a T) -> V,
    ) {
        if things.is_empty() {
            return;
        }
        self.head(name, kind, help);
        for (labels, thing) in things {
            self.line(name, labels, value(thing));
        }
    }

    #[allow(clippy::cast_precision_loss)] // a double has 53 bits for what was measured
    fn histograms<'a>(
        &mut self,
        (name, help): (&str, &str),
        ends: std::ops::RangeInclusive<u32>,
        unit: f64,
        backends: &[(String, &'a BackendStats)],
        of: impl Fn(&'a BackendStats) -> &'a Histogram,
    ) {
        self.head(name, "histogram", help);
        for (labels, backend) in backends {
            let histogram = of(backend);
            let bucket = format!("{name}_bucket");
            for end in ends.clone() {
                let end = (1_u64 << end) - 1;
                let within = histogram.buckets().take_while(|(most, _)| *most <= end);
                let count: u64 = within.map(|(_, count)| count).sum();
                let labels = format!("{labels},le=\"{}\"", end as f64 / unit);
                self.line(&bucket, &labels, count);
            }
            let all = format!("{labels},le=\"+Inf\"");
            self.line(&bucket, &all, histogram.count());
            let sum = histogram.sum() as f64 / unit;
            self.line(&format!("{name}_sum"), labels, sum);
            self.line(&format!("{name}_count"), labels, histogram.count());
        }
    }
}

/// The metrics of some caches: of the kernels in memory, or of a device in its own.
fn cache_metrics(page: &mut Page, prefix: &str, caches: &[(String, &CacheStats)]) {
    for (name, help, value) in CACHE {
        let name = format!("{prefix}_{name}_total");
        page.family((&name, "counter", help), caches, value);
    }
    let named = |what: &str| format!("{prefix}_{what}");
    let (entries, bytes, budget) = (named("entries"), named("bytes"), named("budget_bytes"));
    let held = (entries.as_str(), "gauge", "Entries held.");
    page.family(held, caches, |cache| cache.keys);
    let held = (bytes.as_str(), "gauge", "Bytes held.");
    page.family(held, caches, |cache| cache.bytes);
    let most = (budget.as_str(), "gauge", "Most bytes that it may hold.");
    page.family(most, caches, |cache| cache.budget);
}

impl EngineStats {
    /// The snapshot as a page for Prometheus, text format 0.0.4.
    pub fn prometheus(&self) -> String {
        let mut page = Page(String::new());
        self.queue_metrics(&mut page);
        let kernels: Vec<_> = self
            .kernels
            .iter()
            .map(|kernel| (labels(&[("kernel", &kernel.kernel)]), kernel))
            .collect();
        for (name, help, value) in KERNEL {
            let name = format!("{name}_jobs_total");
            page.family((&name, "counter", help), &kernels, value);
        }
        let queued = ("queued_jobs", "gauge", "Jobs that wait for a batch.");
        page.family(queued, &kernels, |kernel| kernel.queued);
        let caches: Vec<_> = kernels
            .iter()
            .filter_map(|(labels, kernel)| Some((labels.clone(), kernel.cache.as_ref()?)))
            .collect();
        cache_metrics(&mut page, "cache", &caches);
        let backends: Vec<_> = self
            .kernels
            .iter()
            .flat_map(|kernel| kernel.backends.iter().enumerate().map(move |b| (kernel, b)))
            .map(|(kernel, (slot, backend))| {
                let labels = labels(&[
                    ("kernel", &kernel.kernel),
                    ("backend", &backend.backend),
                    ("slot", &slot.to_string()),
                ]);
                (labels, backend)
            })
            .collect();
        let devices: Vec<_> = backends
            .iter()
            .filter(|(_, backend)| backend.memory > 0)
            .cloned()
            .collect();
        let memory = (
            "device_memory_bytes",
            "gauge",
            "Bytes of device memory that the kernel holds.",
        );
        page.family(memory, &devices, |backend| backend.memory);
        let device_caches: Vec<_> = backends
            .iter()
            .filter_map(|(labels, backend)| Some((labels.clone(), backend.cache.as_ref()?)))
            .collect();
        cache_metrics(&mut page, "device_cache", &device_caches);
        for (name, help, value) in BACKEND {
            let name = format!("backend_{name}_total");
            page.family((&name, "counter", help), &backends, value);
        }
        let sizes = ("batch_jobs", "Jobs in a batch.");
        page.histograms(sizes, SIZES, 1.0, &backends, |b| &b.batch_sizes);
        let queue = (
            "queue_seconds",
            "Time from acceptance to the batch's start.",
        );
        page.histograms(queue, TIMES, NANOSECONDS, &backends, |b| &b.queue_time);
        let kernel = ("kernel_seconds", "Time that a batch ran.");
        page.histograms(kernel, TIMES, NANOSECONDS, &backends, |b| &b.kernel_time);
        let transfer = (
            "transfer_seconds",
            "Time that a batch's upload and its answers' return took the host.",
        );
        page.histograms(transfer, TIMES, NANOSECONDS, &backends, |b| {
            &b.transfer_time
        });
        let total = ("total_seconds", "Time from acceptance to the answer.");
        page.histograms(total, TIMES, NANOSECONDS, &backends, |b| &b.total_time);
        page.0
    }

    fn queue_metrics(&self, page: &mut Page) {
        let queue = &self.queue;
        let whole = [(String::new(), queue)];
        let mut gauge = |name: &str, help: &str, value: f64| {
            page.family((name, "gauge", help), &whole, |_| value);
        };
        #[allow(clippy::cast_precision_loss)]
        for (name, help, value) in [
            ("jobs", "Jobs accepted and not yet answered.", queue.jobs),
            ("jobs_limit", "Bound on the jobs.", queue.max_jobs),
            ("bytes", "Bytes of those jobs.", queue.bytes),
            ("bytes_limit", "Bound on the bytes.", queue.max_bytes),
            (
                "waiting_callers",
                "Callers that wait for room.",
                queue.waiting,
            ),
        ] {
            gauge(name, help, value as f64);
        }
        let work = "Estimated time of those jobs on one CPU thread.";
        gauge("work_seconds", work, queue.work.as_secs_f64());
        let limit = queue.max_work.as_secs_f64();
        gauge("work_seconds_limit", "Bound on the work.", limit);
    }
}

impl DeviceReport {
    /// The state of every adapter as a page for Prometheus, text format 0.0.4.
    pub fn prometheus(&self) -> String {
        let mut page = Page(String::new());
        let adapters: Vec<_> = self
            .adapters
            .iter()
            .enumerate()
            .map(|(number, adapter)| {
                let number = number.to_string();
                let labels = labels(&[("adapter", &adapter.adapter.name), ("number", &number)]);
                (labels, adapter)
            })
            .collect();
        let help = "Times that the device failed; after each it rests and is tested again.";
        let failures = ("device_failures_total", "counter", help);
        page.family(failures, &adapters, |adapter| adapter.failures);
        let states: Vec<_> = adapters
            .iter()
            .flat_map(|adapter| STATES.iter().map(move |state| (adapter, *state)))
            .map(|((labels, adapter), name)| {
                let is = u8::from(state(&adapter.state) == name);
                (format!("{labels},state=\"{name}\""), is)
            })
            .collect();
        let states: Vec<_> = states.iter().map(|(l, is)| (l.clone(), is)).collect();
        let help = "1 for the state that the device is in; resting and disabled are quarantine.";
        page.family(("device_state", "gauge", help), &states, |is| *is);
        page.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        assert_eq!(
            labels(&[("a", "plain"), ("b", "a \"quoted\" \\ name\n")]),
            "a=\"plain\",b=\"a \\\"quoted\\\" \\\\ name\\n\""
        );
    }

    #[test]
    fn buckets_add_up() {
        let mut stats = BackendStats::default();
        for size in [1, 2, 3, 64, 1 << 20] {
            stats.batch_sizes.record(size);
        }
        let mut page = Page(String::new());
        let backends = [("slot=\"0\"".to_owned(), &stats)];
        page.histograms(("batch_jobs", "help"), SIZES, 1.0, &backends, |b| {
            &b.batch_sizes
        });
        for line in [
            "# TYPE pars_engine_batch_jobs histogram",
            "pars_engine_batch_jobs_bucket{slot=\"0\",le=\"1\"} 1",
            "pars_engine_batch_jobs_bucket{slot=\"0\",le=\"3\"} 3",
            "pars_engine_batch_jobs_bucket{slot=\"0\",le=\"63\"} 3",
            "pars_engine_batch_jobs_bucket{slot=\"0\",le=\"127\"} 4",
            "pars_engine_batch_jobs_bucket{slot=\"0\",le=\"131071\"} 4",
            "pars_engine_batch_jobs_bucket{slot=\"0\",le=\"+Inf\"} 5",
            "pars_engine_batch_jobs_sum{slot=\"0\"} 1048646",
            "pars_engine_batch_jobs_count{slot=\"0\"} 5",
        ] {
            assert!(page.0.lines().any(|got| got == line), "{line}\n{}", page.0);
        }
    }
}
