//! The command line of `parsd`.

mod banner;
mod chain;
mod dev;
mod logging;
mod signals;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
}

/// Runs `parsd`: 0 after an orderly stop, 1 after an error, 2 for wrong usage.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Dev(options) => finish(dev::run(options)),
        Command::Import(options) => finish(chain::import(options)),
        Command::Export(options) => finish(chain::export(options)),
    }
}

fn finish(result: Result<(), Box<dyn std::error::Error>>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
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
        Cli::try_parse_from(["parsd", "dev"]).unwrap();
    }
}
