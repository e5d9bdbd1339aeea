//! The options that `parsd run`, `init` and `config` share, and the configuration they come to.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::config::{Config, ConfigError, FILE_NAME, Layers, Origin};
use crate::output;

/// Where the configuration comes from. A flag wins over the environment, which wins over the file.
#[derive(Debug, Default, Args)]
pub(super) struct Options {
    /// Configuration file. Without it pars.toml in the data folder, if there is one.
    #[arg(long, short, value_name = "FILE", env = "PARS_CONFIG")]
    pub(super) config: Option<PathBuf>,

    /// The chain: pars, pars-testnet or dev.
    #[arg(long, value_name = "NAME")]
    pub(super) network: Option<String>,

    /// A genesis file in geth's JSON form, in place of a built-in network.
    #[arg(long, value_name = "FILE")]
    pub(super) genesis: Option<String>,

    /// Where the chain is kept.
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<String>,

    /// Keep the state after every block, not only those of a window before the newest.
    #[arg(long)]
    pub(super) archive: bool,

    /// Memory for the store's caches in MiB.
    #[arg(long, value_name = "MIB")]
    pub(super) cache: Option<u32>,

    /// Address of HTTP and WebSocket.
    #[arg(long, value_name = "IP")]
    pub(super) http_addr: Option<IpAddr>,

    /// Port of HTTP and WebSocket; 0 takes any free port.
    #[arg(long, short)]
    pub(super) port: Option<u16>,

    /// Unix domain socket; without it parsd.ipc in the data folder.
    #[arg(long, value_name = "FILE", alias = "ipcpath")]
    pub(super) ipc_path: Option<String>,

    /// No Unix domain socket.
    #[arg(long, alias = "ipcdisable", conflicts_with = "ipc_path")]
    pub(super) no_ipc: bool,

    /// Compute adapters the engine may use: `auto`, `any`, `off`, or part of an adapter's name.
    #[arg(long, value_name = "auto|any|off|NAME")]
    pub(super) gpu: Option<String>,

    /// Port of metrics and health; 0 takes any free port.
    #[arg(long, value_name = "PORT")]
    pub(super) metrics_port: Option<u16>,

    /// Any other key, such as `--set pool.max_per_sender=100`. May be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_pair)]
    pub(super) set: Vec<(String, String)>,
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` has no `=`; write for example rpc.port=8545"))?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

impl Options {
    /// The values of all layers.
    pub(super) fn layers(&self) -> Result<Layers, ConfigError> {
        let mut layers = Layers::default();
        if let Some(file) = self.file()? {
            layers.file(&file)?;
        }
        self.lay_over(&mut layers)?;
        Ok(layers)
    }

    /// The whole configuration.
    pub(super) fn load(&self) -> Result<Config, ConfigError> {
        self.layers()?.finish()
    }

    /// The configuration file: the one that is named, else one in the data folder.
    fn file(&self) -> Result<Option<PathBuf>, ConfigError> {
        if let Some(file) = &self.config {
            return Ok(Some(file.clone()));
        }
        let mut layers = Layers::default();
        self.lay_over(&mut layers)?;
        let file = layers.finish()?.data_dir()?.join(FILE_NAME);
        Ok(file.is_file().then_some(file))
    }

    /// The environment, then the flags.
    fn lay_over(&self, layers: &mut Layers) -> Result<(), ConfigError> {
        // Names and values that are not UTF-8 cannot be about the configuration.
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        layers.environment(variables)?;
        let text = |value: &Option<u16>| value.map(|value| value.to_string());
        let flags = [
            ("--network", "network", self.network.clone()),
            ("--genesis", "genesis", self.genesis.clone()),
            ("--data-dir", "data_dir", self.data_dir.clone()),
            (
                "--archive",
                "history.archive",
                self.archive.then(|| true.to_string()),
            ),
            (
                "--cache",
                "store.cache_mb",
                self.cache.map(|mb| mb.to_string()),
            ),
            (
                "--http-addr",
                "rpc.address",
                self.http_addr.map(|address| address.to_string()),
            ),
            ("--port", "rpc.port", text(&self.port)),
            ("--ipc-path", "rpc.ipc_path", self.ipc_path.clone()),
            (
                "--no-ipc",
                "rpc.ipc",
                self.no_ipc.then(|| "false".to_owned()),
            ),
            ("--gpu", "engine.gpu", self.gpu.clone()),
            ("--metrics-port", "metrics.port", text(&self.metrics_port)),
        ];
        for (flag, key, value) in flags {
            if let Some(value) = value {
                layers.set(key, &value, Origin::Flag(flag.to_owned()))?;
            }
        }
        for (key, value) in &self.set {
            layers.set(key, value, Origin::Flag("--set".to_owned()))?;
        }
        Ok(())
    }
}

/// Options of `parsd config`.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Print every key with its default and what it means; a file to start from.
    Default,
    /// Print every key with the value that `parsd run` would use, and where it comes from.
    Show(Options),
    /// Say whether the configuration can be used, and what it comes to.
    Check(Options),
}

/// Runs `parsd config`.
pub(super) fn run(command: Command) -> Result<(), Box<dyn std::error::Error>> {
    match command {
        Command::Default => output::text(crate::config::DEFAULT.as_bytes())?,
        Command::Show(options) => output::text(show(&options.layers()?).as_bytes())?,
        Command::Check(options) => {
            let config = options.load()?;
            let node = config.node()?;
            output::line(format_args!(
                "{} (chain id {}), data in {}, HTTP and WebSocket at {}",
                node.spec.name,
                node.spec.chain_id,
                display(node.data_dir.as_deref()),
                node.rpc.address
            ))?;
        }
    }
    Ok(())
}

fn display(path: Option<&Path>) -> String {
    path.map_or_else(|| "memory".to_owned(), |path| path.display().to_string())
}

/// Every key, as a file that can be used.
fn show(layers: &Layers) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    let mut sections = BTreeSet::new();
    for (key, value, origin) in layers.entries() {
        let name = match key.split_once('.') {
            None => key,
            Some((section, name)) => {
                if sections.insert(section.to_owned()) {
                    // Writing to a string cannot fail.
                    let _ = writeln!(text, "\n[{section}]");
                }
                name
            }
        };
        let line = format!("{name} = {value}");
        let _ = match origin {
            Origin::Default => writeln!(text, "{line}"),
            origin => writeln!(text, "{line:<40} # {origin}"),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_the_configuration_again() {
        let mut layers = Layers::default();
        layers
            .set(
                "rpc.cors",
                "https://a.example",
                Origin::Flag("--set".to_owned()),
            )
            .unwrap();
        let text = show(&layers);
        assert!(text.contains("cors = [\"https://a.example\"]"), "{text}");
        assert!(text.contains("# --set"), "{text}");
        let config: Config = toml::from_str(&text).unwrap();
        assert_eq!(config, layers.finish().unwrap());
    }

    #[test]
    fn pairs_need_an_equals_sign() {
        assert_eq!(
            parse_pair("a.b=c=d"),
            Ok(("a.b".to_owned(), "c=d".to_owned()))
        );
        assert!(parse_pair("a.b").is_err());
    }

    #[test]
    fn the_file_in_the_data_folder_is_found_and_flags_win() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join(FILE_NAME),
            "[rpc]\nport = 1\nmax_logs = 5\n",
        )
        .unwrap();
        let options = Options {
            data_dir: Some(folder.path().to_str().unwrap().to_owned()),
            port: Some(2),
            set: vec![("pool.max_bytes".to_owned(), "3".to_owned())],
            ..Options::default()
        };
        let config = options.load().unwrap();
        assert_eq!(
            (config.rpc.port, config.rpc.max_logs, config.pool.max_bytes),
            (2, 5, 3)
        );
    }
}
