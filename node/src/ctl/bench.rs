//! `parsctl engine bench`: a quick figure for each path and batch size.

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use ml_dsa::{Keypair, MlDsa44, MlDsa65, MlDsa87, MlDsaParams, SigningKey};
use pars_engine::{
    AdapterKind, DeviceState, Engine, GpuPolicy, MlDsaVerify, ParameterSet, Routing, VerifyJob,
};
use pars_kernels::mldsa;

use super::devices::time;
use super::table::Table;
use super::{Adapters, CtlError, ready_engine, require_named};

/// Different signatures in a batch; larger batches repeat them.
const SIGNATURES: usize = 16;

#[derive(Clone, Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    adapters: Adapters,
    /// Batch sizes.
    #[arg(long, short, value_delimiter = ',', default_values_t = [1, 64, 1_024], value_parser = batch_size)]
    batch: Vec<usize>,
    /// ML-DSA parameter sets: 44, 65, 87.
    #[arg(long, short, value_delimiter = ',', default_values_t = [65], value_parser = clap::value_parser!(u8))]
    set: Vec<u8>,
    /// Seconds for each figure.
    #[arg(long, short = 't', default_value_t = 0.5, value_parser = seconds)]
    seconds: f64,
}

/// Largest batch size that the command takes: 64 Ki jobs, the engine's usual queue.
const LARGEST_BATCH: usize = 65_536;

fn batch_size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(size @ 1..=LARGEST_BATCH) => Ok(size),
        _ => Err(format!("a batch has 1 to {LARGEST_BATCH} jobs")),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.001..=600.0).contains(&seconds) => Ok(seconds),
        _ => Err("a figure takes 0.001 to 600 seconds".to_owned()),
    }
}

/// One way to verify.
enum Path {
    /// The portable kernel on this thread.
    Portable,
    /// The kernel that this CPU is best at, on this thread.
    Direct,
    /// An engine that can only use one back end.
    Engine { name: String, engine: Engine },
}

impl Path {
    fn name(&self) -> &str {
        match self {
            Self::Portable => "portable, 1 thread",
            Self::Direct => "cpu, 1 thread",
            Self::Engine { name, .. } => name,
        }
    }

    fn verify(&self, jobs: &[VerifyJob]) -> Result<Vec<bool>, CtlError> {
        Ok(match self {
            Self::Portable => jobs.iter().map(mldsa::portable::verify).collect(),
            Self::Direct => mldsa::verify_batch(&jobs.iter().collect::<Vec<_>>()),
            Self::Engine { engine, .. } => {
                engine.call_many_blocking::<MlDsaVerify>(jobs.to_vec())?
            }
        })
    }
}

/// What was measured.
struct Figure {
    batches: u32,
    total: Duration,
    best: Duration,
}

pub(super) fn run(options: &Options, out: &mut dyn Write) -> Result<ExitCode, CtlError> {
    let sets = options
        .set
        .iter()
        .map(|set| parameter_set(*set))
        .collect::<Result<Vec<_>, _>>()?;
    let jobs = sets
        .iter()
        .map(|set| signed(*set))
        .collect::<Result<Vec<_>, _>>()?;
    let paths = paths(&options.adapters)?;
    let steps = paths.len() * sets.len() * options.batch.len();
    let bar = ProgressBar::new(u64::try_from(steps).unwrap_or(u64::MAX));
    if let Ok(style) = ProgressStyle::with_template("{bar:32} {pos}/{len} {wide_msg}") {
        bar.set_style(style);
    }
    let mut table = Table::new(
        2,
        [
            "path",
            "set",
            "batch",
            "a second",
            "per signature",
            "best batch",
            "batches",
        ],
    );
    for (set, pool) in sets.iter().zip(&jobs) {
        for path in &paths {
            for &size in &options.batch {
                bar.set_message(format!("{set}, {}, batch of {size}", path.name()));
                let batch: Vec<_> = pool.iter().cloned().cycle().take(size).collect();
                let figure = measure(path, &batch, Duration::from_secs_f64(options.seconds))?;
                table.row(row(path, *set, size, &figure));
                bar.inc(1);
            }
        }
    }
    bar.finish_and_clear();
    table.write(out)?;
    writeln!(out)?;
    if cfg!(debug_assertions) {
        writeln!(
            out,
            "This is a development build; a release build is faster."
        )?;
    }
    for path in &paths {
        if let Path::Engine { name, engine } = path {
            let mismatches = engine.stats().mismatches();
            if mismatches > 0 {
                writeln!(
                    out,
                    "ALARM: {name} gave {mismatches} wrong answers; look at the log"
                )?;
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn parameter_set(number: u8) -> Result<ParameterSet, CtlError> {
    match number {
        44 => Ok(ParameterSet::MlDsa44),
        65 => Ok(ParameterSet::MlDsa65),
        87 => Ok(ParameterSet::MlDsa87),
        other => Err(CtlError::TestData(format!(
            "there is no ML-DSA-{other}; use 44, 65 or 87"
        ))),
    }
}

fn signed(set: ParameterSet) -> Result<Vec<VerifyJob>, CtlError> {
    match set {
        ParameterSet::MlDsa44 => sign::<MlDsa44>(),
        ParameterSet::MlDsa65 => sign::<MlDsa65>(),
        ParameterSet::MlDsa87 => sign::<MlDsa87>(),
    }
}

fn sign<P: MlDsaParams>() -> Result<Vec<VerifyJob>, CtlError> {
    let key = SigningKey::<P>::from_seed(&[0x50; 32].into());
    let public_key = key.verifying_key().encode();
    (0..SIGNATURES)
        .map(|number| {
            let message = format!("benchmark message {number}");
            let signature = key
                .expanded_key()
                .sign_deterministic(message.as_bytes(), b"")
                .map_err(|error| CtlError::TestData(error.to_string()))?;
            VerifyJob::pure(&public_key, b"", message.as_bytes(), &signature.encode())
                .map_err(|error| CtlError::TestData(error.to_string()))
        })
        .collect()
}

fn paths(adapters: &Adapters) -> Result<Vec<Path>, CtlError> {
    let mut paths = vec![Path::Portable, Path::Direct];
    let cpu = ready_engine(GpuPolicy::Off, Routing::Measured)?;
    let threads = cpu.devices().cpu.threads;
    paths.push(Path::Engine {
        name: format!("engine, cpu, {threads} threads"),
        engine: cpu,
    });
    let policy = adapters.policy();
    let found = ready_engine(policy.clone(), Routing::PreferDevice)?;
    require_named(&policy, &found)?;
    let mut names: Vec<String> = found
        .devices()
        .adapters
        .into_iter()
        .filter(|adapter| adapter.state == DeviceState::Ready)
        .map(|adapter| {
            if adapter.adapter.kind == AdapterKind::Software {
                eprintln!(
                    "parsctl: {} computes on the CPU; it is slow",
                    adapter.adapter.name
                );
            }
            adapter.adapter.name
        })
        .collect();
    names.dedup();
    if let [name] = names.as_slice() {
        paths.push(Path::Engine {
            name: format!("engine, {name}"),
            engine: found,
        });
        return Ok(paths);
    }
    drop(found);
    for name in names {
        let engine = ready_engine(GpuPolicy::Named(name.clone()), Routing::PreferDevice)?;
        paths.push(Path::Engine {
            name: format!("engine, {name}"),
            engine,
        });
    }
    Ok(paths)
}

/// Repeats a batch for the given time, at least twice; every verdict is checked.
fn measure(path: &Path, batch: &[VerifyJob], limit: Duration) -> Result<Figure, CtlError> {
    let once = || -> Result<Duration, CtlError> {
        let start = Instant::now();
        let verdicts = path.verify(batch)?;
        let time = start.elapsed();
        if verdicts.len() == batch.len() && verdicts.iter().all(|valid| *valid) {
            Ok(time)
        } else {
            Err(CtlError::WrongVerdict {
                path: path.name().to_owned(),
                batch: batch.len(),
            })
        }
    };
    // The first one warms up.
    once()?;
    let mut figure = Figure {
        batches: 0,
        total: Duration::ZERO,
        best: Duration::MAX,
    };
    while figure.total < limit || figure.batches == 0 {
        let time = once()?;
        figure.batches += 1;
        figure.total += time;
        figure.best = figure.best.min(time);
    }
    Ok(figure)
}

fn row(path: &Path, set: ParameterSet, size: usize, figure: &Figure) -> [String; 7] {
    let signatures = u32::try_from(size)
        .unwrap_or(u32::MAX)
        .saturating_mul(figure.batches);
    let rate = f64::from(signatures) / figure.total.as_secs_f64();
    [
        path.name().to_owned(),
        set.to_string(),
        size.to_string(),
        format!("{rate:.0}"),
        time(figure.total / signatures.max(1)),
        time(figure.best),
        figure.batches.to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_measured_for_every_size() {
        let options = Options {
            adapters: Adapters {
                all: false,
                gpu: Some("off".to_owned()),
            },
            batch: vec![1, 5],
            set: vec![44, 87],
            seconds: 0.001,
        };
        let mut out = Vec::new();
        assert_eq!(run(&options, &mut out).unwrap(), ExitCode::SUCCESS);
        let text = String::from_utf8(out).unwrap();
        for path in ["portable, 1 thread", "cpu, 1 thread", "engine, cpu, "] {
            assert_eq!(
                text.lines().filter(|line| line.starts_with(path)).count(),
                4,
                "{text}"
            );
        }
    }

    #[test]
    fn wrong_options_are_refused_in_words() {
        assert!(
            batch_size("0").is_err() && batch_size("65537").is_err() && batch_size("x").is_err()
        );
        assert!(seconds("0").is_err() && seconds("nan").is_err() && seconds("1e9").is_err());
        assert!(
            parameter_set(66)
                .unwrap_err()
                .to_string()
                .contains("no ML-DSA-66")
        );
    }

    #[test]
    fn a_wrong_verdict_stops_the_measurement() {
        let (job, _) = mldsa::known_answers()
            .into_iter()
            .find(|(_, valid)| !valid)
            .unwrap();
        let error = measure(&Path::Direct, &[job], Duration::ZERO)
            .err()
            .unwrap();
        assert!(matches!(error, CtlError::WrongVerdict { batch: 1, .. }));
    }
}
