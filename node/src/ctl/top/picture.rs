//! What happened between two looks at a page.

use std::time::Duration;

use serde_json::{Value, json};

use super::page::{Labels, Page};

/// An engine during an interval.
#[derive(Clone, Debug, Default)]
pub(super) struct Picture {
    /// Answers a second.
    pub(super) rate: f64,
    pub(super) queue: Queue,
    pub(super) total: Spread,
    pub(super) batch: Spread,
    pub(super) kernels: Vec<Kernel>,
    pub(super) backends: Vec<Backend>,
    pub(super) devices: Vec<Device>,
    /// Since the engine started.
    pub(super) mismatches: f64,
}

/// Bounds and what is taken of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    pub(super) jobs: f64,
    pub(super) jobs_limit: f64,
    pub(super) bytes: f64,
    pub(super) bytes_limit: f64,
    pub(super) work: f64,
    pub(super) work_limit: f64,
    pub(super) waiting: f64,
}

/// Quantiles of what was seen in the interval; `None` where nothing was.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Spread {
    pub(super) p50: Option<f64>,
    pub(super) p99: Option<f64>,
}

#[derive(Clone, Debug)]
pub(super) struct Kernel {
    pub(super) name: String,
    /// A second.
    pub(super) submitted: f64,
    pub(super) refused: f64,
    pub(super) cancelled: f64,
    pub(super) shared: f64,
    pub(super) expired: f64,
    /// Share of look-ups that hit, if there were any.
    pub(super) hits: Option<f64>,
    /// Bytes of the cache and their bound, if there is a cache.
    pub(super) cache: Option<(f64, f64)>,
}

#[derive(Clone, Debug)]
pub(super) struct Backend {
    pub(super) kernel: String,
    pub(super) name: String,
    /// Answers a second.
    pub(super) rate: f64,
    /// Bytes of jobs a second.
    pub(super) bytes: f64,
    pub(super) batch: Spread,
    /// Seconds.
    pub(super) queue: Spread,
    pub(super) kernel_time: Spread,
    pub(super) transfer: Spread,
    pub(super) total: Spread,
    /// Since the engine started.
    pub(super) fallbacks: f64,
    pub(super) confirmations: f64,
    pub(super) audits: f64,
    pub(super) mismatches: f64,
}

#[derive(Clone, Debug)]
pub(super) struct Device {
    pub(super) name: String,
    pub(super) state: String,
    pub(super) failures: f64,
}

impl Picture {
    /// The difference of two pages that were taken so far apart. A counter that went back belongs to
    /// a new engine, and counts from zero.
    pub(super) fn between(before: &Page, now: &Page, apart: Duration) -> Self {
        let whole = Labels::new();
        let seconds = apart.as_secs_f64().max(1e-3);
        let look = Look {
            before,
            now,
            seconds,
        };
        let gauge = |name| now.value(name, &whole);
        let backends: Vec<_> = now
            .samples("backend_answered_total")
            .iter()
            .map(|(labels, _)| look.backend(labels))
            .collect();
        let kernels = now
            .samples("submitted_jobs_total")
            .iter()
            .map(|(labels, _)| look.kernel(labels))
            .collect();
        let devices = now
            .samples("device_state")
            .iter()
            .filter(|(_, is)| *is > 0.5)
            .map(|(labels, _)| device(now, labels))
            .collect();
        Self {
            rate: backends.iter().map(|backend| backend.rate).sum(),
            queue: Queue {
                jobs: gauge("jobs"),
                jobs_limit: gauge("jobs_limit"),
                bytes: gauge("bytes"),
                bytes_limit: gauge("bytes_limit"),
                work: gauge("work_seconds"),
                work_limit: gauge("work_seconds_limit"),
                waiting: gauge("waiting_callers"),
            },
            total: look.spread("total_seconds", &whole),
            batch: look.spread("batch_jobs", &whole),
            mismatches: backends.iter().map(|backend| backend.mismatches).sum(),
            kernels,
            backends,
            devices,
        }
    }

    pub(super) fn json(&self) -> Value {
        let spread = |spread: &Spread| json!({ "p50": spread.p50, "p99": spread.p99 });
        json!({
            "jobs_per_second": self.rate,
            "queue": {
                "jobs": self.queue.jobs, "jobs_limit": self.queue.jobs_limit,
                "bytes": self.queue.bytes, "bytes_limit": self.queue.bytes_limit,
                "work_seconds": self.queue.work, "work_seconds_limit": self.queue.work_limit,
                "waiting_callers": self.queue.waiting,
            },
            "total_seconds": spread(&self.total),
            "batch_jobs": spread(&self.batch),
            "mismatches": self.mismatches,
            "kernels": self.kernels.iter().map(|kernel| json!({
                "kernel": kernel.name,
                "submitted_per_second": kernel.submitted,
                "refused_per_second": kernel.refused,
                "cancelled_per_second": kernel.cancelled,
                "shared_per_second": kernel.shared,
                "expired_per_second": kernel.expired,
                "cache_hit_rate": kernel.hits,
                "cache_bytes": kernel.cache.map(|(bytes, _)| bytes),
                "cache_budget_bytes": kernel.cache.map(|(_, budget)| budget),
            })).collect::<Vec<_>>(),
            "backends": self.backends.iter().map(|backend| json!({
                "kernel": backend.kernel, "backend": backend.name,
                "jobs_per_second": backend.rate,
                "bytes_per_second": backend.bytes,
                "batch_jobs": spread(&backend.batch),
                "queue_seconds": spread(&backend.queue),
                "kernel_seconds": spread(&backend.kernel_time),
                "transfer_seconds": spread(&backend.transfer),
                "total_seconds": spread(&backend.total),
                "fallbacks": backend.fallbacks, "confirmations": backend.confirmations,
                "audits": backend.audits, "mismatches": backend.mismatches,
            })).collect::<Vec<_>>(),
            "devices": self.devices.iter().map(|device| json!({
                "device": device.name, "state": device.state, "failures": device.failures,
            })).collect::<Vec<_>>(),
        })
    }
}

fn device(now: &Page, labels: &Labels) -> Device {
    let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
    let mut of = labels.clone();
    of.remove("state");
    Device {
        name: label("adapter"),
        state: label("state").replace('_', " "),
        failures: now.value("device_failures_total", &of),
    }
}

/// Two pages and the seconds between them.
struct Look<'a> {
    before: &'a Page,
    now: &'a Page,
    seconds: f64,
}

impl Look<'_> {
    /// How much a counter grew.
    fn growth(&self, name: &str, labels: &Labels) -> f64 {
        let (before, now) = (
            self.before.value(name, labels),
            self.now.value(name, labels),
        );
        if now < before { now } else { now - before }
    }

    fn rate(&self, name: &str, labels: &Labels) -> f64 {
        self.growth(name, labels) / self.seconds
    }

    /// The buckets of a histogram, over all that have these labels, by what they grew.
    fn spread(&self, name: &str, labels: &Labels) -> Spread {
        let add = |page: &Page| {
            let mut sums: Vec<(f64, f64)> = Vec::new();
            for (end, count) in page.buckets(name, labels) {
                match sums.iter_mut().find(|(known, _)| *known == end) {
                    Some((_, sum)) => *sum += count,
                    None => sums.push((end, count)),
                }
            }
            sums
        };
        let (before, mut now) = (add(self.before), add(self.now));
        let all = |buckets: &[(f64, f64)]| buckets.last().map_or(0.0, |(_, count)| *count);
        if all(&now) >= all(&before) {
            for ((_, count), (_, old)) in now.iter_mut().zip(&before) {
                *count -= old;
            }
        }
        Spread {
            p50: quantile(&now, 0.5),
            p99: quantile(&now, 0.99),
        }
    }

    fn kernel(&self, labels: &Labels) -> Kernel {
        let hits = self.growth("cache_hits_total", labels);
        let asked = hits + self.growth("cache_misses_total", labels);
        let budget = self.now.value("cache_budget_bytes", labels);
        Kernel {
            name: labels.get("kernel").cloned().unwrap_or_default(),
            submitted: self.rate("submitted_jobs_total", labels),
            refused: self.rate("refused_jobs_total", labels),
            cancelled: self.rate("cancelled_jobs_total", labels),
            shared: self.rate("shared_jobs_total", labels),
            expired: self.rate("expired_jobs_total", labels),
            hits: (asked > 0.0).then(|| hits / asked),
            cache: (budget > 0.0).then(|| (self.now.value("cache_bytes", labels), budget)),
        }
    }

    fn backend(&self, labels: &Labels) -> Backend {
        let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
        let since_start = |name: &str| self.now.value(name, labels);
        Backend {
            kernel: label("kernel"),
            name: label("backend"),
            rate: self.rate("backend_answered_total", labels),
            bytes: self.rate("backend_job_bytes_total", labels),
            batch: self.spread("batch_jobs", labels),
            queue: self.spread("queue_seconds", labels),
            kernel_time: self.spread("kernel_seconds", labels),
            transfer: self.spread("transfer_seconds", labels),
            total: self.spread("total_seconds", labels),
            fallbacks: since_start("backend_fallbacks_total"),
            confirmations: since_start("backend_confirmations_total"),
            audits: since_start("backend_audits_total"),
            mismatches: since_start("backend_mismatches_total"),
        }
    }
}

/// A quantile of cumulative buckets, as Prometheus' `histogram_quantile` has it: evenly spread within
/// a bucket. What lies past the last bound counts as that bound.
fn quantile(buckets: &[(f64, f64)], quantile: f64) -> Option<f64> {
    let (_, all) = *buckets.last()?;
    if all < 0.5 {
        return None;
    }
    let rank = quantile * all;
    let (mut low, mut below) = (0.0, 0.0);
    for &(end, count) in buckets {
        if count >= rank {
            if !end.is_finite() {
                return Some(low);
            }
            let within = if count > below {
                (rank - below) / (count - below)
            } else {
                1.0
            };
            return Some(low + (end - low) * within);
        }
        (low, below) = (end, count);
    }
    Some(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_within_their_bucket() {
        let buckets = [
            (1.0, 0.0),
            (2.0, 50.0),
            (4.0, 100.0),
            (f64::INFINITY, 100.0),
        ];
        assert_eq!(quantile(&buckets, 0.5), Some(2.0));
        assert_eq!(quantile(&buckets, 0.75), Some(3.0));
        assert_eq!(quantile(&buckets, 1.0), Some(4.0));
        assert_eq!(
            quantile(&[(1.0, 0.0), (f64::INFINITY, 9.0)], 0.5),
            Some(1.0)
        );
        assert_eq!(quantile(&[(1.0, 0.0), (f64::INFINITY, 0.0)], 0.5), None);
        assert_eq!(quantile(&[], 0.5), None);
    }

    fn page(answered: u32, hits: u32, queued: u32) -> Page {
        let backend = "kernel=\"k\",backend=\"cpu\",slot=\"0\"";
        Page::parse(&format!(
            "pars_engine_jobs {queued}\n\
             pars_engine_submitted_jobs_total{{kernel=\"k\"}} {answered}\n\
             pars_engine_cache_hits_total{{kernel=\"k\"}} {hits}\n\
             pars_engine_cache_misses_total{{kernel=\"k\"}} 10\n\
             pars_engine_backend_answered_total{{{backend}}} {answered}\n\
             pars_engine_batch_jobs_bucket{{{backend},le=\"1\"}} 0\n\
             pars_engine_batch_jobs_bucket{{{backend},le=\"3\"}} {answered}\n\
             pars_engine_batch_jobs_bucket{{{backend},le=\"+Inf\"}} {answered}\n\
             pars_engine_device_state{{adapter=\"a\",number=\"0\",state=\"in_use\"}} 0\n\
             pars_engine_device_state{{adapter=\"a\",number=\"0\",state=\"resting\"}} 1\n\
             pars_engine_device_failures_total{{adapter=\"a\",number=\"0\"}} 2\n"
        ))
        .unwrap()
    }

    #[test]
    fn a_picture_shows_the_interval_and_not_the_past() {
        let apart = Duration::from_secs(2);
        let picture = Picture::between(&page(100, 10, 7), &page(300, 40, 9), apart);
        assert!((picture.rate - 100.0).abs() < 1e-9);
        assert!((picture.queue.jobs - 9.0).abs() < 1e-9);
        assert_eq!(picture.batch.p50, Some(2.0));
        assert_eq!(picture.kernels[0].hits, Some(1.0));
        let device = &picture.devices[0];
        assert_eq!(
            (device.name.as_str(), device.state.as_str()),
            ("a", "resting")
        );
        assert!((device.failures - 2.0).abs() < 1e-9);
        // Nothing happened.
        let still = Picture::between(&page(100, 10, 7), &page(100, 10, 7), apart);
        assert!(still.rate.abs() < 1e-9 && still.batch == Spread::default());
        assert_eq!(still.kernels[0].hits, None);
        // Another engine answers there now.
        let anew = Picture::between(&page(300, 40, 7), &page(100, 10, 7), apart);
        assert!((anew.rate - 50.0).abs() < 1e-9 && anew.batch.p50.is_some());
        assert_eq!(anew.json()["devices"][0]["failures"], 2.0);
    }
}
