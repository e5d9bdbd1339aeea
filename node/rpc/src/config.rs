//! What the operator may choose about the RPC server.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use pars_evm::CallOptions;

/// Largest transaction the pool takes, in bytes (large proofs travel in calldata).
const LARGEST_TRANSACTION: u32 = 512 * 1024;

/// Limits and access rules of the RPC server. [`RpcConfig::default`] suits a node for one developer.
#[derive(Debug, Clone)]
pub struct RpcConfig {
    /// Where to listen, HTTP and WebSocket alike. Port 0 takes any free port.
    pub address: SocketAddr,
    /// The Unix domain socket to listen at too; `None` for none.
    pub ipc: Option<PathBuf>,
    /// Which browser origins may call.
    pub cors: Cors,
    /// Names under which browsers may reach this node (the `Host` header), against DNS rebinding.
    /// IP addresses always pass; `*` lets every name pass.
    pub hosts: Vec<String>,
    /// Largest request body and WebSocket message, in bytes.
    pub max_request_bytes: u32,
    /// Largest answer, in bytes.
    pub max_response_bytes: u32,
    /// Most requests in one batch.
    pub max_batch: u32,
    /// Most connections at a time, HTTP and WebSocket together.
    pub max_connections: usize,
    /// Most subscriptions on one connection.
    pub max_subscriptions: u32,
    /// Most requests in work on one connection; a WebSocket client may send many without waiting.
    pub max_in_flight: usize,
    /// Most connections of one client at a time; 0 is no bound. A client is an IPv4 address or the
    /// 64-bit prefix of an IPv6 address.
    pub client_connections: usize,
    /// Requests a second of one client, over all its connections, those in batches counted one by one;
    /// after a second of rest as many at once. 0 is no bound.
    pub client_requests_per_second: u32,
    /// Most requests in work of one client; 0 is no bound.
    pub client_in_flight: usize,
    /// Whether programs on the node's own machine are clients like others. Behind a proxy on the same
    /// machine every client looks like one of those.
    pub limit_loopback: bool,
    /// Messages that wait for a slow WebSocket reader before senders have to wait.
    pub message_buffer: u32,
    /// How long a subscription waits for a slow reader before the connection is closed.
    pub slow_subscriber: Duration,
    /// How long one HTTP request may take from its first byte to its answer.
    pub request_timeout: Duration,
    /// A connection without a byte in either direction for this long is closed.
    pub idle_timeout: Duration,
    /// A connection that takes no byte of an answer for this long is closed.
    pub write_timeout: Duration,
    /// Calls that may read the store or hand in a transaction at a time; others wait their turn.
    pub max_reads: usize,
    /// Calls that may run the EVM or search logs at a time; others wait their turn. Counted apart,
    /// so that long calls do not hold up transactions and receipts.
    pub max_runs: usize,
    /// Most gas of a call, an estimate or a simulation, whatever it asks for.
    pub call_gas_cap: u64,
    /// How long one of those may run the EVM.
    pub call_timeout: Duration,
    /// Most blocks one `eth_getLogs` may span.
    pub max_log_blocks: u64,
    /// Most logs one `eth_getLogs` may return.
    pub max_logs: usize,
    /// Most filters (`eth_newFilter` and its siblings) at a time.
    pub max_filters: usize,
    /// A filter that nobody asks for this long is dropped.
    pub filter_timeout: Duration,
    /// Whether `testing_buildBlockV1` is there, with which test fixtures are made. Not for a node that
    /// others can reach.
    pub testing: bool,
}

impl Default for RpcConfig {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let call = CallOptions::default();
        Self {
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8545),
            ipc: None,
            cors: Cors::Any,
            hosts: vec!["localhost".to_owned()],
            // A transaction travels as two hex digits a byte; the rest is room for a batch.
            max_request_bytes: 16 * LARGEST_TRANSACTION,
            max_response_bytes: 64 * 1024 * 1024,
            max_batch: 100,
            max_connections: 1024,
            max_subscriptions: 128,
            max_in_flight: 512,
            client_connections: 256,
            client_requests_per_second: 2_000,
            client_in_flight: 1024,
            limit_loopback: false,
            message_buffer: 1024,
            slow_subscriber: Duration::from_secs(10),
            request_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(120),
            write_timeout: Duration::from_secs(30),
            max_reads: 4 * cores.max(2),
            max_runs: 2 * cores.max(2),
            call_gas_cap: call.gas_cap,
            call_timeout: call.time_limit,
            max_log_blocks: 100_000,
            max_logs: 10_000,
            max_filters: 4096,
            filter_timeout: Duration::from_secs(300),
            testing: false,
        }
    }
}

/// Which browser origins may read answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cors {
    /// No page but those the node serves itself.
    Off,
    /// Every page. Right for a development node on loopback.
    Any,
    /// These origins, for example `https://wallet.example`.
    Origins(Vec<String>),
}

impl Cors {
    /// Whether a WebSocket upgrade that names `origin` is let in. Browsers send the origin of the
    /// page and do not apply CORS to WebSockets, so the server has to look itself.
    pub(crate) fn admits(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Off => false,
            Self::Origins(origins) => origins
                .iter()
                .any(|allowed| allowed.eq_ignore_ascii_case(origin)),
        }
    }
}
