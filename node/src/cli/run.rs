//! `parsd init` and `parsd run`: a chain in a folder, by a configuration.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use clap::Args;

use super::{configuration, logging, serve};
use crate::config::{self, Config, FILE_NAME};
use crate::node::{chain_folder, open_store};
use crate::output;

/// Options of `parsd init`.
#[derive(Debug, Args)]
pub(super) struct InitOptions {
    #[command(flatten)]
    configuration: configuration::Options,

    /// Write over a configuration file that is there. The chain is never written over.
    #[arg(long)]
    force: bool,
}

/// Makes the data folder: a configuration file and the chain's first state.
pub(super) fn init(options: &InitOptions) -> Result<(), Box<dyn Error>> {
    let keys = &options.configuration;
    let layers = keys.layers()?;
    let config = layers.finish()?;
    let spec = config.spec()?;
    let folder = config.data_dir()?;
    std::fs::create_dir_all(&folder)
        .map_err(|error| format!("cannot make the data folder {}: {error}", folder.display()))?;
    let file = folder.join(FILE_NAME);
    if file.exists() && !options.force {
        return Err(format!(
            "{} is there already; start with `parsd run --data-dir {}`, or write over it with --force",
            file.display(),
            folder.display()
        )
        .into());
    }
    // The chain first: a wrong folder is found before anything is written.
    let store = open_store(&spec, Some(&folder), &config.store_options())?;
    let genesis = store.genesis_hash();
    let height = store.head_number();
    drop(store);
    write_file(&file, &configuration_text(&config))?;
    let state = if height == 0 {
        "new".to_owned()
    } else {
        format!("at block {height}")
    };
    output::line(format_args!(
        "network        {} (chain id {})\ngenesis        {genesis}\nchain          {} ({state})\nconfiguration  {}\n\nparsd run --data-dir {}",
        spec.name,
        spec.chain_id,
        chain_folder(&folder).display(),
        file.display(),
        folder.display()
    ))?;
    Ok(())
}

/// The file of defaults with the chain's own keys filled in.
fn configuration_text(config: &Config) -> String {
    let network = toml::Value::from(config.network.as_str());
    let genesis = if config.genesis.is_empty() {
        String::new()
    } else {
        // The folder may be opened from anywhere.
        std::path::absolute(&config.genesis).map_or_else(
            |_| config.genesis.clone(),
            |path| path.display().to_string(),
        )
    };
    let genesis = toml::Value::from(genesis);
    let archive = format!("archive = {}", config.history.archive);
    config::DEFAULT
        .replacen("archive = false", &archive, 1)
        .replacen("network = \"pars\"", &format!("network = {network}"), 1)
        .replacen("genesis = \"\"", &format!("genesis = {genesis}"), 1)
}

/// Writes a file whole or not at all.
fn write_file(path: &Path, text: &str) -> Result<(), Box<dyn Error>> {
    let error = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
    let fresh = path.with_extension("toml.new");
    let mut file = std::fs::File::create(&fresh).map_err(error)?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(&fresh, path))
        .map_err(error)?;
    Ok(())
}

/// Options of `parsd run`.
#[derive(Debug, Args)]
pub(super) struct RunOptions {
    #[command(flatten)]
    configuration: configuration::Options,

    /// Log nothing but errors.
    #[arg(long, conflicts_with = "verbose")]
    silent: bool,

    /// Log more; twice for everything. RUST_LOG, where set, decides instead.
    #[arg(long, short, action = clap::ArgAction::Count)]
    verbose: u8,
}

/// How long the start's report waits for compute devices to be found and tested.
const DEVICE_PATIENCE: Duration = Duration::from_millis(400);

/// Runs the node until it is told to stop.
pub(super) fn run(options: &RunOptions) -> Result<(), Box<dyn Error>> {
    let config = options.configuration.load()?;
    logging::start_with(&config.log, options.silent, options.verbose);
    let node = config.node()?;
    let public = !node.rpc.address.ip().is_loopback();
    serve::until_stopped(node, async |node| {
        let engine = node.context().engine.clone();
        tokio::task::spawn_blocking(move || engine.wait_ready(DEVICE_PATIENCE)).await?;
        let context = node.context();
        let head = context.store.head();
        tracing::info!(
            network = %context.spec.name,
            chain_id = context.spec.chain_id,
            head = head.number,
            hash = %head.hash,
            "the chain is open"
        );
        tracing::warn!(
            "this node is the only validator of its chain; consensus with others is not part of this version"
        );
        for route in &context.engine.devices().routes {
            tracing::info!(kernel = route.kernel, why = %route.why, "engine");
        }
        if let Some(address) = node.metrics_address() {
            tracing::info!(
                "metrics at http://{address}/metrics, health at http://{address}/health"
            );
        }
        if public {
            tracing::warn!("the RPC port is open beyond this machine");
        }
        if let Some(path) = node.ipc_path() {
            tracing::info!("listening at {}", path.display());
        }
        tracing::info!("listening on http://{0} and ws://{0}", node.rpc_address());
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Layers, Origin};

    #[test]
    fn the_file_that_init_writes_is_the_configuration() {
        let mut layers = Layers::default();
        let flag = || Origin::Flag("test".to_owned());
        layers.set("network", "dev", flag()).unwrap();
        layers.set("history.archive", "true", flag()).unwrap();
        layers.set("genesis", "/a \"b\"/c.json", flag()).unwrap();
        let config = layers.finish().unwrap();
        let written: Config = toml::from_str(&configuration_text(&config)).unwrap();
        assert_eq!(written, config);
    }
}
