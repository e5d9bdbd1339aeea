//! `parsd dev`: a development chain with one embedded validator.

use std::error::Error;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use alloy_genesis::GenesisAccount;
use alloy_primitives::U256;
use alloy_primitives::utils::parse_ether;
use clap::{Args, ValueEnum};
use pars_engine::GpuPolicy;
use pars_evm::ChainSpec;
use pars_rpc::Cors;

use super::{banner, logging, serve};
use crate::accounts::{self, DEV_MNEMONIC};
use crate::config::{gpu_policy, mebibytes};
use crate::node::default_ipc_path;
use crate::{NodeConfig, Pace};

/// Options of `parsd dev`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Which chain's rules to follow.
    #[arg(long, value_enum, default_value_t = Network::Dev)]
    network: Network,

    /// Keep the chain in this folder and go on from there next time. Without it the chain lives in
    /// memory and is gone at the end.
    #[arg(long, value_name = "DIR", env = "PARS_DATA_DIR")]
    data_dir: Option<PathBuf>,

    /// Memory for the store's caches in MiB, where the chain is kept in a folder.
    #[arg(long, value_name = "MIB", env = "PARS_STORE_CACHE_MB")]
    cache: Option<u32>,

    /// Address to listen at. Any other than a loopback address lets others spend the funded
    /// accounts.
    #[arg(
        long,
        value_name = "IP",
        default_value = "127.0.0.1",
        env = "PARS_HTTP_ADDR"
    )]
    http_addr: IpAddr,

    /// Port for HTTP and WebSocket; 0 takes any free port.
    #[arg(long, short, default_value_t = 8545, env = "PARS_PORT")]
    port: u16,

    /// Serve a Unix domain socket too, at this path. Without it parsd.ipc in the data folder, if there
    /// is one.
    #[arg(
        long,
        value_name = "FILE",
        alias = "ipcpath",
        env = "PARS_RPC_IPC_PATH"
    )]
    ipc_path: Option<PathBuf>,

    /// No Unix domain socket.
    #[arg(long, alias = "ipcdisable", conflicts_with = "ipc_path")]
    no_ipc: bool,

    /// Funded accounts to make.
    #[arg(long, short, value_name = "COUNT", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(0..=i64::from(accounts::MOST_ACCOUNTS)))]
    accounts: u32,

    /// What each account owns, in PARS.
    #[arg(long, value_name = "PARS", default_value = "10000", value_parser = parse_balance)]
    balance: U256,

    /// Mnemonic that the accounts are derived from (BIP-39, path m/44'/60'/0'/0/i).
    #[arg(long, short, value_name = "WORDS", default_value = DEV_MNEMONIC)]
    mnemonic: String,

    /// Compute adapters the engine may use: `auto` (GPUs), `any` (software drivers too), `off`
    /// (CPU only), or part of an adapter's name.
    #[arg(long, value_name = "auto|any|off|NAME", default_value = "auto", env = "PARS_GPU", value_parser = parse_gpu)]
    gpu: GpuPolicy,

    /// Make a block every so many seconds, work or not, and only then. Without it a block follows
    /// each transaction within 400 ms.
    #[arg(long, short, value_name = "SECONDS", value_parser = parse_seconds, conflicts_with = "heartbeat")]
    block_time: Option<Duration>,

    /// Make an empty block after so many seconds without work; 0 for none. A client that waits for
    /// the next block to look for its receipt again waits for ever on a chain that stands still.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = parse_heartbeat)]
    heartbeat: Heartbeat,

    /// Browser origins that may call: `*` for any, `off` for none, or a comma-separated list.
    #[arg(long, value_name = "ORIGINS", default_value = "*", value_parser = parse_cors)]
    cors: Cors,

    /// Host names, besides `localhost`, under which browsers may reach this node; `*` for any.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    allow_host: Vec<String>,

    /// Serve metrics and health at this port too; 0 takes any free port.
    #[arg(long, value_name = "PORT")]
    metrics_port: Option<u16>,

    /// Take transactions that call a precompile with a secret in their calldata. Such a transaction
    /// shows the secret to everybody, so the pool refuses it otherwise.
    #[arg(long)]
    allow_secret_calls: bool,

    /// Print nothing but errors.
    #[arg(long, conflicts_with = "verbose")]
    silent: bool,

    /// Log more; twice for everything. RUST_LOG, where set, decides instead.
    #[arg(long, short, action = clap::ArgAction::Count)]
    verbose: u8,
}

/// The built-in networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Network {
    /// Chain id 6133 with the main network's rules.
    Pars,
    /// Chain id 6134 with the test network's rules.
    ParsTestnet,
    /// Chain id 6133 with low fees.
    Dev,
}

impl Network {
    fn spec(self) -> ChainSpec {
        match self {
            Self::Pars => ChainSpec::pars(),
            Self::ParsTestnet => ChainSpec::pars_testnet(),
            Self::Dev => ChainSpec::dev(),
        }
    }
}

fn parse_balance(text: &str) -> Result<U256, String> {
    let error = || format!("`{text}` is not an amount; write for example 10000 or 0.5");
    let is_number = text.starts_with(|first: char| first.is_ascii_digit())
        && text
            .chars()
            .all(|character| character.is_ascii_digit() || character == '.');
    if !is_number {
        return Err(error());
    }
    parse_ether(text).map_err(|_| error())
}

fn parse_gpu(text: &str) -> Result<GpuPolicy, String> {
    Ok(match text {
        "" => return Err("write auto, any, off, or part of an adapter's name".to_owned()),
        word => gpu_policy(word),
    })
}

/// Most seconds between two blocks that make sense on a development chain: a day.
const LONGEST_INTERVAL: f64 = 86_400.0;

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let error = || {
        format!(
            "`{text}` is not a time between 0.05 and {LONGEST_INTERVAL} seconds; write for example 2 or 0.4"
        )
    };
    let seconds: f64 = text.parse().map_err(|_| error())?;
    if !(0.05..=LONGEST_INTERVAL).contains(&seconds) {
        return Err(error());
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// How long after a block an empty one follows, if at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Heartbeat(Option<Duration>);

fn parse_heartbeat(text: &str) -> Result<Heartbeat, String> {
    Ok(Heartbeat(match text {
        "0" => None,
        text => Some(parse_seconds(text)?),
    }))
}

fn parse_cors(text: &str) -> Result<Cors, String> {
    Ok(match text.trim() {
        "*" => Cors::Any,
        "off" | "" => Cors::Off,
        list => Cors::Origins(
            list.split(',')
                .map(|origin| origin.trim().to_owned())
                .collect(),
        ),
    })
}

/// How long the banner waits for compute devices to be found and tested.
const DEVICE_PATIENCE: Duration = Duration::from_millis(400);

/// Runs the chain until it is told to stop.
pub(super) fn run(options: Options) -> Result<(), Box<dyn Error>> {
    logging::start(options.silent, options.verbose);
    let accounts = accounts::derive(&options.mnemonic, options.accounts)?;
    let funded = GenesisAccount::default().with_balance(options.balance);
    let funded = accounts
        .iter()
        .map(|account| (account.address, funded.clone()));
    let spec = options.network.spec().with_alloc(funded);

    let mut config = NodeConfig::new(spec);
    config.data_dir = options.data_dir.clone();
    if let Some(cache) = options.cache {
        config.store = config.store.with_caches(mebibytes(cache));
    }
    config.engine.gpu = options.gpu.clone();
    config.metrics = options
        .metrics_port
        .map(|port| SocketAddr::new(options.http_addr, port));
    if options.allow_secret_calls {
        config.pool.guard = None;
    }
    config.rpc.address = SocketAddr::new(options.http_addr, options.port);
    config.rpc.ipc = match (&options.ipc_path, &options.data_dir) {
        _ if options.no_ipc => None,
        (Some(path), _) => Some(path.clone()),
        (None, Some(folder)) => default_ipc_path(folder),
        (None, None) => None,
    };
    config.rpc.cors = options.cors.clone();
    config.rpc.hosts.extend(options.allow_host.iter().cloned());
    config.producer.pace = match (options.block_time, Pace::default()) {
        (Some(interval), _) => Pace::Every(interval),
        (
            None,
            Pace::OnWork {
                gather, spacing, ..
            },
        ) => Pace::OnWork {
            gather,
            spacing,
            heartbeat: options.heartbeat.0,
        },
        (None, pace @ Pace::Every(_)) => pace,
    };

    serve::until_stopped(config, async |node| {
        if !options.silent {
            // Calls are answered already; the banner can wait a moment to say which adapter is used.
            let engine = node.context().engine.clone();
            tokio::task::spawn_blocking(move || engine.wait_ready(DEVICE_PATIENCE)).await?;
            let facts = banner::Facts {
                accounts: &accounts,
                balance: options.balance,
                mnemonic: &options.mnemonic,
                data_dir: options.data_dir.as_deref(),
                pace: options.block_time.map_or(
                    banner::Speed::OnWork(options.heartbeat.0),
                    banner::Speed::Every,
                ),
            };
            let text = banner::text(node, &facts);
            // A closed pipe is no reason not to run.
            let _ = write!(std::io::stdout().lock(), "{text}");
        }
        if !options.http_addr.is_loopback() {
            tracing::warn!(address = %options.http_addr, "listening beyond this machine: everybody who can reach it can spend the funded accounts");
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balances_are_in_pars() {
        assert_eq!(
            parse_balance("10000").unwrap(),
            U256::from(10_000) * U256::from(10).pow(U256::from(18))
        );
        assert_eq!(
            parse_balance("0.5").unwrap(),
            U256::from(5) * U256::from(10).pow(U256::from(17))
        );
        for wrong in ["", "x", "-1", "1,5"] {
            assert!(parse_balance(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn intervals_are_bounded() {
        assert_eq!(parse_seconds("0.4").unwrap(), Duration::from_millis(400));
        for wrong in ["0", "-1", "nan", "inf", "1e9", "", "2s"] {
            assert!(parse_seconds(wrong).is_err(), "{wrong}");
        }
    }

    /// A quiet chain goes on by itself: who waits for a block is not left waiting.
    #[test]
    fn a_heartbeat_is_there_unless_it_is_refused() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            options: Options,
        }
        let heartbeat = |line: &[&str]| {
            let line = ["dev"].iter().chain(line);
            <Line as clap::Parser>::try_parse_from(line).map(|line| line.options.heartbeat.0)
        };
        assert_eq!(heartbeat(&[]).unwrap(), Some(Duration::from_secs(5)));
        assert_eq!(heartbeat(&["--heartbeat", "0"]).unwrap(), None);
        let half = Some(Duration::from_millis(500));
        assert_eq!(heartbeat(&["--heartbeat", "0.5"]).unwrap(), half);
        assert!(heartbeat(&["--heartbeat", "-1"]).is_err());
        heartbeat(&["--block-time", "1"]).unwrap();
        assert!(heartbeat(&["--block-time", "1", "--heartbeat", "2"]).is_err());
    }

    #[test]
    fn policies_and_origins() {
        assert!(matches!(parse_gpu("any"), Ok(GpuPolicy::Any)));
        assert!(matches!(parse_gpu("llvmpipe"), Ok(GpuPolicy::Named(name)) if name == "llvmpipe"));
        assert_eq!(parse_cors("*"), Ok(Cors::Any));
        assert_eq!(parse_cors("off"), Ok(Cors::Off));
        let list = parse_cors("https://a.example, https://b.example").unwrap();
        assert_eq!(
            list,
            Cors::Origins(vec!["https://a.example".into(), "https://b.example".into()])
        );
    }
}
