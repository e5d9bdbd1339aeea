//! The command line of `parsd`.

mod banner;
mod chain;
mod configuration;
mod db;
mod dev;
mod logging;
mod progress;
mod run;
mod serve;
mod signals;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use clap_complete::Shell;

use crate::output;

/// A Pars node: an EVM chain whose post-quantum checks run in batches on GPUs and CPUs.
#[derive(Debug, Parser)]
#[command(name = "parsd", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a development chain: one embedded validator, ten funded accounts, no set-up.
    Dev(dev::Options),
    /// Verify and store blocks from files.
    Import(chain::Import),
    /// Write stored blocks into a file.
    Export(chain::Export),
    /// Look at the chain in a data folder, check it, or make it smaller.
    #[command(subcommand)]
    Db(Box<db::Command>),
    /// Make a data folder: a configuration file and the chain's first state.
    Init(Box<run::InitOptions>),
    /// Run a node in its data folder, by its configuration.
    Run(Box<run::RunOptions>),
    /// Print, show or check the configuration.
    #[command(subcommand)]
    Config(configuration::Command),
    /// Print completions for a shell, for example `parsd completions bash`.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// Runs `parsd`: 0 after an orderly stop, 1 after an error, 2 for wrong usage.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Dev(options) => finish(dev::run(options)),
        Command::Import(options) => finish(chain::import(options)),
        Command::Export(options) => finish(chain::export(options)),
        Command::Db(command) => finish(db::run(*command)),
        Command::Init(options) => finish(run::init(&options)),
        Command::Run(options) => finish(run::run(&options)),
        Command::Config(command) => finish(configuration::run(command)),
        Command::Completions { shell } => {
            finish(output::completions::<Cli>(shell, "parsd").map_err(Into::into))
        }
    }
}

fn finish(result: Result<(), Box<dyn std::error::Error>>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::complaint(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults_need_no_arguments() {
        for command in ["dev", "init", "run"] {
            Cli::try_parse_from(["parsd", command]).unwrap();
        }
    }
}
