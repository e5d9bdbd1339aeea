//! The curves of `parsctl engine bench --plot`.

use std::time::Duration;

use indicatif::ProgressBar;
use pars_engine::{Engine, MlDsaVerify, VerifyJob};

use super::CtlError;
use super::bench::Figure;
use crate::load::{self, Load};
use crate::plot::{Axis, Curve, Panel, Scale, svg};

/// Offered loads, as shares of what batches reached.
pub(super) const LOADS: [f64; 9] = [0.1, 0.25, 0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5];

/// A load is offered this many times as long as a batch size is measured: the queue has to fill.
const LONGER: u32 = 3;

/// The share of that time which is not counted.
const WARM_UP: u32 = 3;

/// Points of one line.
type Line = Vec<(f64, f64)>;

/// What is measured, by the name of its path.
#[derive(Default)]
pub(super) struct Drawing {
    batch_rate: Vec<(String, Line)>,
    batch_time: Vec<(String, Line)>,
    load_rate: Vec<(String, Line)>,
    load_p50: Vec<(String, Line)>,
    load_p99: Vec<(String, Line)>,
}

fn add(lines: &mut Vec<(String, Line)>, name: &str, point: (f64, f64)) {
    match lines.iter_mut().find(|(known, _)| known == name) {
        Some((_, line)) => line.push(point),
        None => lines.push((name.to_owned(), vec![point])),
    }
}

impl Drawing {
    /// Notes the figure of a batch size.
    pub(super) fn batch(&mut self, name: &str, size: usize, figure: &Figure) {
        let at = f64::from(u32::try_from(size).unwrap_or(u32::MAX));
        add(&mut self.batch_rate, name, (at, figure.rate(size)));
        let millis = figure.batch_seconds() * 1e3;
        add(&mut self.batch_time, name, (at, millis));
    }

    /// Offers an engine shares of its capacity, and notes what it made of them.
    pub(super) fn loads(
        &mut self,
        name: &str,
        engine: &Engine,
        jobs: &[VerifyJob],
        capacity: f64,
        time: Duration,
        bar: &ProgressBar,
    ) -> Result<(), CtlError> {
        for share in LOADS {
            bar.set_message(format!("{name}, {:.0} % of its capacity", share * 100.0));
            let time = time * LONGER;
            let load = Load {
                rate: capacity * share,
                time,
                warm_up: time / WARM_UP,
                urgent_every: 0,
            };
            let mut pool = jobs.iter().cloned().cycle();
            let outcome =
                load::offer::<MlDsaVerify>(engine, &load, |_| pool.next(), |valid| *valid)?;
            if outcome.wrong > 0 {
                return Err(CtlError::WrongVerdict {
                    path: name.to_owned(),
                    batch: 1,
                });
            }
            let percent = share * 100.0;
            add(&mut self.load_rate, name, (percent, outcome.throughput));
            for (lines, at) in [(&mut self.load_p50, 0.5), (&mut self.load_p99, 0.99)] {
                if let Some(seconds) = load::quantile(&outcome.latencies, at) {
                    add(lines, name, (percent, seconds * 1e3));
                }
            }
            bar.inc(1);
        }
        Ok(())
    }

    pub(super) fn svg(self, title: &str) -> String {
        let rate = || Axis::new("signatures a second", Scale::Log10);
        let millis = || Axis::new("milliseconds", Scale::Log10);
        let size = || Axis::new("batch size", Scale::Log2);
        let load = || Axis::new("offered load, % of capacity", Scale::Linear);
        let panel = |title: &str, x, y, lines: Vec<(String, Line)>| Panel {
            title: title.to_owned(),
            x,
            y,
            curves: curves(lines, "", false),
        };
        let mut latency = panel(
            "Latency against offered load: p50, dashed p99",
            load(),
            millis(),
            self.load_p50,
        );
        latency.curves.extend(curves(self.load_p99, ", p99", true));
        let panels = [
            panel(
                "Throughput against batch size",
                size(),
                rate(),
                self.batch_rate,
            ),
            panel(
                "Time of a batch against its size",
                size(),
                millis(),
                self.batch_time,
            ),
            panel(
                "Throughput against offered load",
                load(),
                Axis::new("signatures a second", Scale::Linear),
                self.load_rate,
            ),
            latency,
        ];
        svg(title, 2, &panels)
    }
}

fn curves(lines: Vec<(String, Line)>, suffix: &str, dashed: bool) -> Vec<Curve> {
    lines
        .into_iter()
        .map(|(name, points)| Curve {
            name: format!("{name}{suffix}"),
            dashed,
            points,
        })
        .collect()
}
