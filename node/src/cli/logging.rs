//! Logs go to standard error; what a person asked for goes to standard output.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// What is logged unless `RUST_LOG` says otherwise.
fn default_filter(silent: bool, verbose: u8) -> &'static str {
    match (silent, verbose) {
        (true, _) => "error",
        (false, 0) => {
            "warn,pars_node=info,pars_rpc=info,pars_store=info,pars_evm=info,pars_engine=info"
        }
        (false, 1) => {
            "info,pars_node=debug,pars_rpc=debug,pars_store=debug,pars_evm=debug,pars_engine=debug,pars_pool=debug"
        }
        (false, _) => {
            "debug,pars_node=trace,pars_rpc=trace,pars_store=trace,pars_evm=trace,pars_engine=trace,pars_pool=trace"
        }
    }
}

/// Sets up logging for the process. `RUST_LOG` wins over the flags.
pub(super) fn start(silent: bool, verbose: u8) {
    let usual = Log {
        format: LogFormat::Text,
        filter: String::new(),
    };
    start_with(&usual, silent, verbose);
}

/// The same by a configuration; its filter stands where no flag says otherwise.
pub(super) fn start_with(log: &Log, silent: bool, verbose: u8) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| {
        if log.filter.is_empty() || silent || verbose > 0 {
            EnvFilter::new(default_filter(silent, verbose))
        } else {
            EnvFilter::new(&log.filter)
        }
    });
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // A log that nobody reads any more is no reason to end: the complaint about it would panic.
        .log_internal_errors(false)
        .with_ansi(log.format == LogFormat::Text && std::io::stderr().is_terminal());
    // A second call (only in tests) changes nothing.
    let _ = match log.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}
