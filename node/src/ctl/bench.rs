//! `parsctl engine bench`: a quick figure for each path and batch size.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use ml_dsa::{Keypair, MlDsa44, MlDsa65, MlDsa87, MlDsaParams, SigningKey};
use parking_lot::Mutex;
use pars_engine::{
    AdapterKind, AdapterReport, DeviceState, Engine, GpuPolicy, MlDsaVerify, ParameterSet, Routing,
    VerifyJob,
};
use pars_kernels::mldsa;

use super::curves::{self, Drawing};
use super::devices::time;
use super::kernels::{self, AnyKernel};
use super::table::Table;
use super::{Adapters, CtlError, ready_engine, require_named};
use crate::metrics::{self, MetricsThread};

/// Different signatures in a batch; larger batches repeat them.
const SIGNATURES: usize = 16;

#[derive(Clone, Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    adapters: Adapters,
    /// Batch sizes. Without it 1, 64 and 1024, for a plot the powers of four up to 4096.
    #[arg(long, short, value_delimiter = ',', value_parser = batch_size)]
    batch: Vec<usize>,
    /// Kernels to measure instead of ML-DSA by parameter sets, by their names in `selftest`, such as
    /// `poseidon/compress`; `all` takes every one.
    #[arg(long, short, value_name = "NAME", value_delimiter = ',', conflicts_with_all = ["set", "plot"])]
    kernel: Vec<String>,
    /// ML-DSA parameter sets: 44, 65, 87.
    #[arg(long, short, value_delimiter = ',', default_values_t = [65], value_parser = clap::value_parser!(u8))]
    set: Vec<u8>,
    /// Seconds for each figure.
    #[arg(long, short = 't', default_value_t = 0.5, value_parser = seconds)]
    seconds: f64,
    /// Where `parsctl engine top` can watch: an address, or `off`. Without it the usual address is
    /// taken if it is free.
    #[arg(long, value_name = "ADDRESS", value_parser = Metrics::parse)]
    metrics: Option<Metrics>,
    /// Draw throughput and latency against batch size and against offered load, each back end a line.
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

/// Batch sizes of the table, and of a plot.
const TABLE_BATCHES: [usize; 3] = [1, 64, 1_024];
const PLOT_BATCHES: [usize; 7] = [1, 4, 16, 64, 256, 1_024, 4_096];

/// Where metrics are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Metrics {
    Off,
    At(SocketAddr),
}

impl Metrics {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        text.parse()
            .map(Self::At)
            .map_err(|_| format!("an address such as {}, or off", metrics::DEFAULT_ADDRESS))
    }
}

/// Shows the engine that is being measured to whoever watches.
struct Stage {
    engine: Arc<Mutex<Option<Engine>>>,
    _server: Option<MetricsThread>,
}

impl Stage {
    fn new(wanted: Option<Metrics>) -> Result<Self, CtlError> {
        let engine: Arc<Mutex<Option<Engine>>> = Arc::default();
        let shown = Arc::clone(&engine);
        let page = move || {
            let engine = shown.lock().clone();
            engine.map(|engine| engine.prometheus()).unwrap_or_default()
        };
        let usual = || metrics::DEFAULT_ADDRESS.parse().ok().map(Metrics::At);
        let server = match wanted.or_else(usual) {
            None | Some(Metrics::Off) => None,
            Some(Metrics::At(address)) => match MetricsThread::start(address, Arc::new(page)) {
                Ok(server) => {
                    eprintln!(
                        "parsctl: watch with `parsctl engine top --url {}`",
                        server.address()
                    );
                    Some(server)
                }
                Err(error) if wanted.is_some() => return Err(CtlError::Metrics { address, error }),
                Err(error) => {
                    eprintln!("parsctl: no metrics at {address}: {error}");
                    None
                }
            },
        };
        Ok(Self {
            engine,
            _server: server,
        })
    }

    fn show(&self, path: &Path) {
        if let Path::Engine { engine, .. } = path {
            *self.engine.lock() = Some(engine.clone());
        }
    }
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
pub(super) enum Path {
    /// The portable kernel on this thread.
    Portable,
    /// The kernel that this CPU is best at, on this thread.
    Direct,
    /// An engine that can only use one back end.
    Engine { name: String, engine: Engine },
}

impl Path {
    pub(super) fn engine(&self) -> Option<&Engine> {
        match self {
            Self::Portable | Self::Direct => None,
            Self::Engine { engine, .. } => Some(engine),
        }
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::Portable => "portable, 1 thread",
            Self::Direct => "cpu, 1 thread",
            Self::Engine { name, .. } => name,
        }
    }

    /// Whether the kernel has code of its own there: what a device has no shader for, its engine does on the CPU.
    fn serves(&self, kernel: &str) -> bool {
        let Some(engine) = self.engine() else {
            return true;
        };
        let adapters = engine.devices().adapters;
        let ready = |adapter: &&AdapterReport| adapter.state == DeviceState::Ready;
        match adapters.iter().find(ready) {
            None => true,
            Some(adapter) => adapter.self_tests.iter().any(|test| test.kernel == kernel),
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
pub(super) struct Figure {
    batches: u32,
    total: Duration,
    best: Duration,
}

impl Figure {
    /// Signatures a second in batches of this size.
    pub(super) fn rate(&self, size: usize) -> f64 {
        let signatures = u32::try_from(size)
            .unwrap_or(u32::MAX)
            .saturating_mul(self.batches);
        f64::from(signatures) / self.total.as_secs_f64().max(1e-9)
    }

    /// Seconds of a batch, on average.
    pub(super) fn batch_seconds(&self) -> f64 {
        self.total.as_secs_f64() / f64::from(self.batches.max(1))
    }
}

pub(super) fn run(options: &Options, out: &mut dyn Write) -> Result<ExitCode, CtlError> {
    if !options.kernel.is_empty() {
        return run_kernels(options, out);
    }
    let sets = options
        .set
        .iter()
        .map(|set| parameter_set(*set))
        .collect::<Result<Vec<_>, _>>()?;
    let jobs = sets
        .iter()
        .map(|set| signed(*set))
        .collect::<Result<Vec<_>, _>>()?;
    let paths = paths(&options.adapters, &[])?;
    // Whoever watches finds an engine from the first moment.
    let stage = Stage::new(options.metrics)?;
    paths.iter().rev().for_each(|path| stage.show(path));
    let sizes: &[usize] = match (options.batch.as_slice(), &options.plot) {
        ([], None) => &TABLE_BATCHES,
        ([], Some(_)) => &PLOT_BATCHES,
        (given, _) => given,
    };
    let limit = Duration::from_secs_f64(options.seconds);
    let engines = paths.iter().filter(|path| path.engine().is_some()).count();
    let loads = options.plot.iter().count() * engines * curves::LOADS.len();
    let steps = paths.len() * sets.len() * sizes.len() + loads * sets.len();
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
    let mut drawing = Drawing::default();
    for (set, pool) in sets.iter().zip(&jobs) {
        for path in &paths {
            stage.show(path);
            let name = if sets.len() == 1 {
                path.name().to_owned()
            } else {
                format!("{set}, {}", path.name())
            };
            let mut most: f64 = 0.0;
            for &size in sizes {
                bar.set_message(format!("{name}, batch of {size}"));
                let batch: Vec<_> = pool.iter().cloned().cycle().take(size).collect();
                let figure = measure(path, &batch, limit)?;
                most = most.max(figure.rate(size));
                drawing.batch(&name, size, &figure);
                table.row(row(path, *set, size, &figure));
                bar.inc(1);
            }
            if let (Some(_), Some(engine)) = (&options.plot, path.engine()) {
                drawing.loads(&name, engine, pool, most, limit, &bar)?;
            }
        }
    }
    bar.finish_and_clear();
    if let Some(file) = &options.plot {
        let cpu = pars_kernels::cpu::features().to_string();
        let text = drawing.svg(&format!("ML-DSA verification on {cpu}"));
        std::fs::write(file, text).map_err(|error| CtlError::Plot {
            file: file.clone(),
            error,
        })?;
        writeln!(out, "drawn in {}", file.display())?;
    }
    table.write(out)?;
    conclude(&paths, out)
}

/// Measures kernels by their names, on known answers of one kind each.
fn run_kernels(options: &Options, out: &mut dyn Write) -> Result<ExitCode, CtlError> {
    let mut chosen = Vec::new();
    for name in &options.kernel {
        match name.as_str() {
            "all" => chosen.extend(kernels::ALL),
            name => chosen.push(kernels::named(name).map_err(CtlError::Input)?),
        }
    }
    let mut paths = paths(&options.adapters, &chosen)?;
    // The portable path is ML-DSA's own.
    paths.retain(|path| !matches!(path, Path::Portable));
    let stage = Stage::new(options.metrics)?;
    paths.iter().rev().for_each(|path| stage.show(path));
    let sizes: &[usize] = match options.batch.as_slice() {
        [] => &TABLE_BATCHES,
        given => given,
    };
    let limit = Duration::from_secs_f64(options.seconds);
    let mut table = Table::new(
        2,
        [
            "path",
            "kernel",
            "batch",
            "a second",
            "per job",
            "best batch",
            "batches",
        ],
    );
    for kernel in chosen {
        for path in paths.iter().filter(|path| path.serves(kernel.name)) {
            stage.show(path);
            for &size in sizes {
                let figure = (kernel.measure)(path.engine(), size, limit)?;
                table.row(row(path, kernel.name, size, &figure));
            }
        }
    }
    table.write(out)?;
    conclude(&paths, out)
}

/// What is said below the table; a failure if an engine gave a wrong answer.
fn conclude(paths: &[Path], out: &mut dyn Write) -> Result<ExitCode, CtlError> {
    writeln!(out)?;
    if cfg!(debug_assertions) {
        writeln!(
            out,
            "This is a development build; a release build is faster."
        )?;
    }
    for path in paths {
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

fn paths(adapters: &Adapters, more: &[AnyKernel]) -> Result<Vec<Path>, CtlError> {
    let mut paths = vec![Path::Portable, Path::Direct];
    let cpu = ready_engine(GpuPolicy::Off, Routing::Measured, more)?;
    let threads = cpu.devices().cpu.threads;
    paths.push(Path::Engine {
        name: format!("engine, cpu, {threads} threads"),
        engine: cpu,
    });
    let policy = adapters.policy();
    let found = ready_engine(policy.clone(), Routing::PreferDevice, more)?;
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
        let engine = ready_engine(GpuPolicy::Named(name.clone()), Routing::PreferDevice, more)?;
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
    repeat(limit, once)
}

/// Repeats something for the given time, at least twice; the first one warms up.
pub(super) fn repeat(
    limit: Duration,
    mut once: impl FnMut() -> Result<Duration, CtlError>,
) -> Result<Figure, CtlError> {
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

fn row(path: &Path, what: impl ToString, size: usize, figure: &Figure) -> [String; 7] {
    let signatures = u32::try_from(size)
        .unwrap_or(u32::MAX)
        .saturating_mul(figure.batches);
    let rate = figure.rate(size);
    [
        path.name().to_owned(),
        what.to_string(),
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
            kernel: Vec::new(),
            set: vec![44, 87],
            seconds: 0.001,
            metrics: Some(Metrics::Off),
            plot: None,
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
    fn kernels_are_measured_by_name() {
        let options = |kernel: &str| Options {
            adapters: Adapters {
                all: false,
                gpu: Some("off".to_owned()),
            },
            batch: vec![2],
            kernel: vec![kernel.to_owned()],
            set: vec![65],
            seconds: 0.001,
            metrics: Some(Metrics::Off),
            plot: None,
        };
        let mut out = Vec::new();
        let code = run(&options("poseidon/compress"), &mut out).unwrap();
        assert_eq!(code, ExitCode::SUCCESS);
        let text = String::from_utf8(out).unwrap();
        let rows = text.lines().filter(|row| row.contains("poseidon/compress"));
        assert_eq!(rows.count(), 2, "{text}");
        let error = run(&options("poseidon"), &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("poseidon/hash"), "{error}");
    }

    #[test]
    fn a_plot_shows_batches_and_offered_load() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plot.svg");
        let options = Options {
            adapters: Adapters {
                all: false,
                gpu: Some("off".to_owned()),
            },
            batch: vec![1, 8],
            kernel: Vec::new(),
            set: vec![44],
            seconds: 0.02,
            metrics: Some(Metrics::Off),
            plot: Some(file.clone()),
        };
        assert_eq!(run(&options, &mut Vec::new()).unwrap(), ExitCode::SUCCESS);
        let svg = std::fs::read_to_string(&file).unwrap();
        for part in [
            "batch size",
            "offered load",
            "portable, 1 thread",
            "engine, cpu, ",
        ] {
            assert!(svg.contains(part), "{part}");
        }
        let options = Options {
            plot: Some(folder.path().join("no such folder").join("plot.svg")),
            ..options
        };
        let error = run(&options, &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("no such folder"), "{error}");
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
