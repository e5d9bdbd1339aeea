//! The commands of `parsctl`.

mod bench;
mod curves;
mod devices;
mod kernels;
mod key;
mod load;
mod selftest;
mod table;
mod top;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use kernels::AnyKernel;
use pars_engine::{DeviceState, Engine, GpuPolicy, Routing};

use crate::output;

/// How long devices may take to open and to compile their kernels.
const START_LIMIT: Duration = Duration::from_secs(300);

/// Looks after a Pars node.
#[derive(Debug, Parser)]
#[command(name = "parsctl", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The compute engine: what it finds, whether it computes rightly, how fast it is.
    #[command(subcommand)]
    Engine(EngineCommand),
    /// Measure how many calls a second a node answers over HTTP connections that are kept.
    Load(load::Options),
    /// Keys in encrypted files: accounts (secp256k1) and ML-DSA.
    #[command(subcommand)]
    Key(key::Command),
    /// Print completions for a shell, for example `parsctl completions bash`.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

#[derive(Debug, Subcommand)]
enum EngineCommand {
    /// Show adapters, back ends and CPU features, which of them are used, and why.
    Devices(devices::Options),
    /// Run every kernel's known answers on every back end. Ends with exit code 1 on a failure.
    Selftest(selftest::Options),
    /// Measure every path quickly: ML-DSA verifications a second, or another kernel's jobs, at several batch sizes.
    Bench(bench::Options),
    /// Watch the engine of a running process: rates, queue, batches, latency, back ends, caches.
    Top(top::Options),
}

/// Which adapters a command looks at.
#[derive(Clone, Debug, Args)]
struct Adapters {
    /// Use software adapters (such as lavapipe) as well as hardware.
    #[arg(long, short)]
    all: bool,
    /// Use only adapters whose name contains this text; `off` uses none.
    #[arg(long, value_name = "NAME", conflicts_with = "all", env = "PARS_GPU")]
    gpu: Option<String>,
}

impl Adapters {
    fn policy(&self) -> GpuPolicy {
        match self.gpu.as_deref() {
            _ if self.all => GpuPolicy::Any,
            None | Some("auto") => GpuPolicy::Auto,
            Some("any") => GpuPolicy::Any,
            Some("off") => GpuPolicy::Off,
            Some(name) => GpuPolicy::Named(name.to_owned()),
        }
    }
}

/// What keeps a command from doing its work.
#[derive(Debug, thiserror::Error)]
enum CtlError {
    #[error(transparent)]
    Build(#[from] pars_engine::BuildError),
    #[error(transparent)]
    Engine(#[from] pars_engine::EngineError),
    #[error("the devices were not ready within {} s; look at the driver, or use --gpu off", START_LIMIT.as_secs())]
    NotReady,
    #[error("no adapter has {name:?} in its name; found: {found}")]
    NoSuchAdapter { name: String, found: String },
    #[error("the engine gave a wrong verdict on {path}, batch of {batch}: do not use this machine")]
    WrongVerdict { path: String, batch: usize },
    #[error(transparent)]
    Scrape(#[from] top::ScrapeError),
    #[error(transparent)]
    Page(#[from] top::PageError),
    #[error("cannot serve metrics at {address}: {error}; choose another address with --metrics")]
    Metrics {
        address: std::net::SocketAddr,
        error: io::Error,
    },
    #[error("could not write the plot to {}: {error}", file.display())]
    Plot {
        file: std::path::PathBuf,
        error: io::Error,
    },
    #[error(transparent)]
    Keystore(#[from] crate::keystore::KeystoreError),
    #[error("{0}")]
    Input(String),
    #[error("could not sign test data: {0}")]
    TestData(String),
    #[error("could not write: {0}")]
    Output(#[from] io::Error),
    #[error("could not write JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// Runs a command line; the exit code says whether all was well.
pub fn run(cli: Cli) -> ExitCode {
    let mut out = io::stdout().lock();
    let result = match cli.command {
        Command::Engine(EngineCommand::Devices(options)) => devices::run(&options, &mut out),
        Command::Engine(EngineCommand::Selftest(options)) => selftest::run(&options, &mut out),
        Command::Engine(EngineCommand::Bench(options)) => bench::run(&options, &mut out),
        Command::Engine(EngineCommand::Top(options)) => top::run(&options, &mut out),
        Command::Load(options) => load::run(&options, &mut out),
        Command::Key(command) => key::run(&command, &mut out),
        Command::Completions { shell } => output::completions::<Cli>(shell, "parsctl")
            .map(|()| ExitCode::SUCCESS)
            .map_err(CtlError::from),
    };
    let flushed = out.flush().map_err(CtlError::from);
    match result.and_then(|code| flushed.map(|()| code)) {
        Ok(code) => code,
        // The reader of a pipe has seen enough.
        Err(CtlError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            output::complaint(format_args!("parsctl: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// An engine of a node's kernels and the given ones, whose devices have all come to a result. It keeps no
/// prepared keys and shares no computation: measurements repeat a few keys and jobs, and would show less
/// than each costs.
fn ready_engine(
    policy: GpuPolicy,
    routing: Routing,
    more: &[AnyKernel],
) -> Result<Engine, CtlError> {
    let builder = Engine::builder()
        .gpu(policy)
        .routing(routing)
        .key_cache_bytes(0)
        .share_identical(false);
    let engine = kernels::join(builder, more).build()?;
    if engine.wait_ready(START_LIMIT) {
        Ok(engine)
    } else {
        Err(CtlError::NotReady)
    }
}

/// Refuses a policy that names an adapter which is not there: measuring or testing the CPU instead would
/// answer another question.
fn require_named(policy: &GpuPolicy, engine: &Engine) -> Result<(), CtlError> {
    let GpuPolicy::Named(name) = policy else {
        return Ok(());
    };
    let adapters = engine.devices().adapters;
    let chosen = |state: &DeviceState| !matches!(state, DeviceState::NotChosen { .. });
    if adapters.iter().any(|adapter| chosen(&adapter.state)) {
        return Ok(());
    }
    let names: Vec<&str> = adapters
        .iter()
        .map(|adapter| adapter.adapter.name.as_str())
        .collect();
    Err(CtlError::NoSuchAdapter {
        name: name.clone(),
        found: if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn a_name_that_fits_no_adapter_is_an_error() {
        let policy = GpuPolicy::Named("no such adapter".to_owned());
        let engine = ready_engine(policy.clone(), Routing::Measured, &[]).unwrap();
        let error = require_named(&policy, &engine).unwrap_err();
        assert!(error.to_string().contains("no such adapter"), "{error}");
        assert!(require_named(&GpuPolicy::Auto, &engine).is_ok());
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn policies_are_read() {
        let policy = |arguments: &[&str]| {
            let all = ["parsctl", "engine", "devices"].iter().chain(arguments);
            match Cli::try_parse_from(all).map(|cli| cli.command) {
                Ok(Command::Engine(EngineCommand::Devices(options))) => {
                    Some(options.adapters.policy())
                }
                _ => None,
            }
        };
        assert_eq!(policy(&[]), Some(GpuPolicy::Auto));
        assert_eq!(policy(&["--all"]), Some(GpuPolicy::Any));
        assert_eq!(policy(&["--gpu", "off"]), Some(GpuPolicy::Off));
        assert_eq!(
            policy(&["--gpu", "H100"]),
            Some(GpuPolicy::Named("H100".into()))
        );
        assert_eq!(policy(&["--gpu", "H100", "--all"]), None);
    }
}
