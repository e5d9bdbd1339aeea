//! Draws a picture as lines of text.

use std::collections::VecDeque;

use super::picture::{Picture, Spread};
use crate::ctl::table::Table;

/// Figures that a sparkline shows.
const REMEMBERED: usize = 60;

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The figures of the last intervals.
#[derive(Debug, Default)]
pub(super) struct History {
    rate: VecDeque<f64>,
    queue: VecDeque<f64>,
    batch: VecDeque<f64>,
    latency: VecDeque<f64>,
}

impl History {
    pub(super) fn add(&mut self, picture: &Picture) {
        for (line, value) in [
            (&mut self.rate, picture.rate),
            (&mut self.queue, picture.queue.jobs),
            (&mut self.batch, picture.batch.p50.unwrap_or_default()),
            (&mut self.latency, picture.total.p99.unwrap_or_default()),
        ] {
            if line.len() == REMEMBERED {
                line.pop_front();
            }
            line.push_back(value);
        }
    }
}

/// A line of blocks, as high as the values are against the largest of them.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss
)]
fn sparkline(values: &VecDeque<f64>, width: usize) -> String {
    let most = values.iter().copied().fold(0.0, f64::max);
    let skipped = values.len().saturating_sub(width);
    values
        .iter()
        .skip(skipped)
        .map(|value| {
            if most <= 0.0 || *value <= 0.0 {
                return ' ';
            }
            let level = (value / most * BLOCKS.len() as f64).ceil() as usize;
            let level = level.clamp(1, BLOCKS.len()) - 1;
            BLOCKS.get(level).copied().unwrap_or(' ')
        })
        .collect()
}

/// Everything on a screen of this width.
pub(super) fn draw(picture: &Picture, history: &History, title: &str, width: usize) -> Vec<String> {
    let mut lines = vec![title.to_owned(), String::new()];
    if picture.mismatches > 0.5 {
        lines.push(format!(
            "ALARM: {} answers of a device were wrong; the CPU did their batches again. Look at the log.",
            count(picture.mismatches)
        ));
        lines.push(String::new());
    }
    let queue = &picture.queue;
    let spark = width.saturating_sub(62).clamp(8, REMEMBERED);
    let mut gauge = |name: &str, text: String, values: &VecDeque<f64>| {
        lines.push(format!(
            "{name:<10} {text:<48} {}",
            sparkline(values, spark)
        ));
    };
    gauge(
        "answers",
        format!("{} a second", count(picture.rate)),
        &history.rate,
    );
    gauge(
        "queue",
        format!(
            "{} of {} jobs, {} callers wait",
            count(queue.jobs),
            count(queue.jobs_limit),
            count(queue.waiting)
        ),
        &history.queue,
    );
    gauge(
        "batches",
        format!("{} jobs", of(&picture.batch, count)),
        &history.batch,
    );
    gauge("latency", of(&picture.total, time), &history.latency);
    lines.push(format!(
        "{:<10} {} of {}, {} of {} of work on one CPU thread",
        "in flight",
        bytes(queue.bytes),
        bytes(queue.bytes_limit),
        time(queue.work),
        time(queue.work_limit)
    ));
    lines.push(String::new());
    lines.extend(table(&backends(picture)));
    lines.push(String::new());
    lines.extend(table(&kernels(picture)));
    if !picture.devices.is_empty() {
        lines.push(String::new());
        lines.extend(table(&devices(picture)));
    }
    for line in &mut lines {
        if let Some((end, _)) = line.char_indices().nth(width.max(20)) {
            line.truncate(end);
        }
    }
    lines
}

fn table(table: &Table) -> Vec<String> {
    let mut text = Vec::new();
    // Writing to memory does not fail.
    let _ = table.write(&mut text);
    String::from_utf8_lossy(&text)
        .lines()
        .map(str::to_owned)
        .collect()
}

/// Median and 99th percentile.
fn of(spread: &Spread, text: impl Fn(f64) -> String) -> String {
    match (spread.p50, spread.p99) {
        (Some(p50), Some(p99)) => format!("p50 {}, p99 {}", text(p50), text(p99)),
        _ => "-".to_owned(),
    }
}

fn pair(spread: &Spread, text: impl Fn(f64) -> String) -> String {
    match (spread.p50, spread.p99) {
        (Some(p50), Some(p99)) => format!("{} / {}", text(p50), text(p99)),
        _ => "-".to_owned(),
    }
}

fn backends(picture: &Picture) -> Table {
    let mut table = Table::new(
        2,
        [
            "kernel",
            "back end",
            "a second",
            "jobs in a batch",
            "queue p50 / p99",
            "run p50 / p99",
            "transfer p50 / p99",
            "total p50 / p99",
            "fall-backs",
            "audits",
            "wrong",
        ],
    );
    for backend in &picture.backends {
        table.row([
            backend.kernel.clone(),
            backend.name.clone(),
            count(backend.rate),
            pair(&backend.batch, count),
            pair(&backend.queue, time),
            pair(&backend.kernel_time, time),
            pair(&backend.transfer, time),
            pair(&backend.total, time),
            count(backend.fallbacks),
            count(backend.audits + backend.confirmations),
            count(backend.mismatches),
        ]);
    }
    table
}

fn kernels(picture: &Picture) -> Table {
    let mut table = Table::new(
        1,
        [
            "kernel",
            "asked a second",
            "refused",
            "cancelled",
            "shared",
            "expired",
            "cache hits",
            "cache",
        ],
    );
    for kernel in &picture.kernels {
        table.row([
            kernel.name.clone(),
            count(kernel.submitted),
            count(kernel.refused),
            count(kernel.cancelled),
            count(kernel.shared),
            count(kernel.expired),
            kernel
                .hits
                .map_or_else(|| "-".to_owned(), |hits| format!("{:.1} %", hits * 100.0)),
            kernel.cache.map_or_else(
                || "-".to_owned(),
                |(held, budget)| format!("{} of {}", bytes(held), bytes(budget)),
            ),
        ]);
    }
    table
}

fn devices(picture: &Picture) -> Table {
    let mut table = Table::new(2, ["device", "state", "failures"]);
    for device in &picture.devices {
        let quarantine = matches!(device.state.as_str(), "resting" | "disabled");
        table.row([
            device.name.clone(),
            if quarantine {
                format!("{} (quarantine)", device.state)
            } else {
                device.state.clone()
            },
            count(device.failures),
        ]);
    }
    table
}

/// A count with commas; below ten with a decimal, where it has one.
fn count(value: f64) -> String {
    if value > 0.0 && value < 10.0 && value.fract() > 0.05 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time of so many seconds.
fn time(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s < 1e-3 => (s * 1e6, "us"),
        s if s < 1.0 => (s * 1e3, "ms"),
        s => (s, "s"),
    };
    if value < 10.0 && value > 0.0 {
        format!("{value:.1} {unit}")
    } else {
        format!("{value:.0} {unit}")
    }
}

fn bytes(value: f64) -> String {
    let (value, unit) = match value {
        b if b < 1024.0 => (b, "B"),
        b if b < 1024.0 * 1024.0 => (b / 1024.0, "KiB"),
        b => (b / 1024.0 / 1024.0, "MiB"),
    };
    if value < 10.0 && unit != "B" {
        format!("{value:.1} {unit}")
    } else {
        format!("{value:.0} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::top::picture::{Backend, Device, Kernel, Queue};

    #[test]
    fn sparklines_are_as_high_as_their_values() {
        let values = [0.0, 1.0, 4.0, 8.0].into();
        assert_eq!(sparkline(&values, 10), " ▁▄█");
        assert_eq!(sparkline(&values, 2), "▄█");
        assert_eq!(sparkline(&[0.0, 0.0].into(), 5), "  ");
    }

    #[test]
    fn figures_are_short() {
        assert_eq!(
            [0.0, 0.4, 9.96, 999.6, 1_234_567.0].map(count),
            ["0", "0.4", "10.0", "1,000", "1,234,567"]
        );
        assert_eq!(
            [0.0, 3.2e-6, 450e-6, 0.0123, 75.0].map(time),
            ["0 us", "3.2 us", "450 us", "12 ms", "75 s"]
        );
        assert_eq!(
            [12.0, 2_048.0, 600e6].map(bytes),
            ["12 B", "2.0 KiB", "572 MiB"]
        );
    }

    #[test]
    fn a_screen_holds_what_an_operator_needs() {
        let spread = Spread {
            p50: Some(0.001),
            p99: Some(0.25),
        };
        let picture = Picture {
            rate: 48_210.0,
            queue: Queue {
                jobs: 12_345.0,
                jobs_limit: 65_536.0,
                ..Queue::default()
            },
            total: spread,
            batch: Spread {
                p50: Some(500.0),
                p99: Some(1_000.0),
            },
            mismatches: 1.0,
            kernels: vec![Kernel {
                name: "mldsa/verify".to_owned(),
                submitted: 48_000.0,
                refused: 0.0,
                cancelled: 0.0,
                shared: 0.0,
                expired: 0.0,
                hits: Some(0.98),
                cache: Some((1e6, 64e6)),
            }],
            backends: vec![Backend {
                kernel: "mldsa/verify".to_owned(),
                name: "cpu".to_owned(),
                rate: 48_210.0,
                bytes: 0.0,
                batch: spread,
                queue: spread,
                kernel_time: spread,
                transfer: spread,
                total: spread,
                fallbacks: 3.0,
                confirmations: 1.0,
                audits: 4.0,
                mismatches: 1.0,
            }],
            devices: vec![Device {
                name: "a device".to_owned(),
                state: "disabled".to_owned(),
                failures: 1.0,
            }],
        };
        let mut history = History::default();
        for _ in 0..100 {
            history.add(&picture);
        }
        let lines = draw(&picture, &history, "title", 200);
        let text = lines.join("\n");
        for part in [
            "48,210 a second",
            "12,345 of 65,536 jobs",
            "p50 500, p99 1,000",
            "p50 1.0 ms, p99 250 ms",
            "98.0 %",
            "disabled (quarantine)",
            "ALARM",
            "████████",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        // A narrow terminal cuts lines and wraps none.
        let narrow = draw(&picture, &history, "title", 40);
        assert!(narrow.iter().all(|line| line.chars().count() <= 40));
    }
}
