//! Listening, accepting, stopping.

use std::io;
use std::net::{self, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use http::HeaderValue;
use jsonrpsee::core::middleware::RpcServiceBuilder;
use jsonrpsee::core::server::Methods;
use jsonrpsee::server::{
    BatchRequestConfig, PingConfig, ServerBuilder, ServerConfig, ServerHandle, StopHandle,
    serve_with_graceful_shutdown, stop_channel,
};
use jsonrpsee::{ConnectionId, RpcModule};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tower::ServiceBuilder;
use tower_http::cors::{Any, CorsLayer};

use crate::answers::Answers;
use crate::clients::{ClientLimits, Clients, Guest};
use crate::config::{Cors, RpcConfig};
use crate::connection::{Closer, Patient};
use crate::context::{ChainEvent, RpcContext, Shared};
use crate::dispatch::Direct;
use crate::error::RpcError;
use crate::gate::{GateLayer, Rules};
use crate::ipc;
use crate::lanes::Lanes;
use crate::methods;
use crate::plain;
use crate::polite::Polite;
use crate::subscribe::{self, HexIds};

/// How often WebSocket clients are asked for a sign of life.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// How long requests in work may take to finish when the server stops.
pub(crate) const STOP_PATIENCE: Duration = Duration::from_secs(3);
/// A listener that fails (no file descriptors left) is tried again after this.
pub(crate) const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// What a connection beyond the limit reads.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 21\r\nconnection: close\r\n\r\ntoo many connections\n";

/// What the server keeps for its clients; all zero once it has stopped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RpcUsage {
    /// Filters that wait to be asked.
    pub filters: usize,
    /// Bytes of them, without the addresses and topics of log filters.
    pub filter_bytes: usize,
    /// Hashes of pending transactions that filters may yet ask for.
    pub pending_hashes: usize,
}

/// Reads what a server keeps, and does not keep the server.
#[derive(Clone)]
pub struct RpcGauge(Weak<Shared>);

impl std::fmt::Debug for RpcGauge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RpcGauge").field(&self.read()).finish()
    }
}

impl RpcGauge {
    /// What it keeps now.
    pub fn read(&self) -> RpcUsage {
        let shared = self.0.upgrade();
        shared.map_or_else(RpcUsage::default, |shared| shared.filters.lock().usage())
    }
}

/// A running server. Dropping it stops the server without waiting.
#[derive(Debug)]
pub struct RpcHandle {
    address: SocketAddr,
    ipc: Option<PathBuf>,
    gauge: RpcGauge,
    stop: ServerHandle,
    tasks: JoinSet<()>,
}

impl RpcHandle {
    /// Where the server listens; with the port it was given by the system if it asked for port 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The Unix domain socket where the server listens too.
    pub fn ipc_path(&self) -> Option<&Path> {
        self.ipc.as_deref()
    }

    /// Tells what the server keeps for its clients.
    pub fn gauge(&self) -> RpcGauge {
        self.gauge.clone()
    }

    /// Takes no more connections, lets requests in work finish for a few seconds, then closes all.
    pub async fn stop(mut self) {
        // An error here means that it has stopped already.
        let _ = self.stop.stop();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Starts the server; it runs on the current tokio runtime, and some threads beside it, until the handle is stopped
/// or dropped.
///
/// # Errors
/// If it cannot listen at [`RpcConfig::address`] or [`RpcConfig::ipc`], a configured origin is not one, or no thread
/// can be started.
pub async fn serve(config: RpcConfig, context: RpcContext) -> Result<RpcHandle, RpcError> {
    let cors = cors_layer(&config.cors)?;
    let listener = TcpListener::bind(config.address)
        .await
        .map_err(|error| RpcError::listen(config.address, error))?;
    let address = listener
        .local_addr()
        .map_err(|error| RpcError::listen(config.address, error))?;
    let socket = config.ipc.as_deref().map(ipc::Socket::bind).transpose()?;
    let ipc = socket.as_ref().map(|socket| socket.path().to_owned());

    let mut names: Vec<_> = methods::table(&config).map(|(name, _)| name).collect();
    names.extend(subscribe::method_names());
    let events = context.events.subscribe();
    let answers = Answers::of(methods::table(&config));
    let shared = Arc::new(Shared::new(context, config.clone(), names, answers));
    let mut module = RpcModule::from_arc(Arc::clone(&shared));
    methods::register(&mut module, &config)?;
    subscribe::register(&mut module)?;
    let methods = Methods::from(module);

    let (stop_handle, server_handle) = stop_channel();
    let acceptor = Acceptor {
        rules: Arc::new(Rules {
            hosts: config.hosts.clone(),
            cors: config.cors.clone(),
            timeout: config.request_timeout,
            max_request_bytes: config.max_request_bytes,
            max_batch: config.max_batch as usize,
            plain_headers: plain_headers(&config.cors),
        }),
        clients: Clients::new(ClientLimits {
            connections: config.client_connections,
            requests_per_second: config.client_requests_per_second,
            in_work: config.client_in_flight,
            loopback: config.limit_loopback,
        }),
        cors,
        config,
        methods,
        shared: Arc::clone(&shared),
        stop: stop_handle.clone(),
        lanes: Lanes::start().map_err(RpcError::Threads)?,
    };
    let mut tasks = JoinSet::new();
    if let Some(socket) = socket {
        let (config, methods) = (acceptor.config.clone(), acceptor.methods.clone());
        let (shared, stop) = (Arc::clone(&shared), stop_handle.clone());
        tasks.spawn(ipc::run(socket, config, methods, shared, stop));
    }
    tasks.spawn(acceptor.run(listener));
    let gauge = RpcGauge(Arc::downgrade(&shared));
    tasks.spawn(note_pending(shared, events, stop_handle));
    Ok(RpcHandle {
        address,
        ipc,
        gauge,
        stop: server_handle,
        tasks,
    })
}

/// Tells the filters about transactions that enter the pool.
async fn note_pending(
    shared: Arc<Shared>,
    mut events: tokio::sync::broadcast::Receiver<ChainEvent>,
    stop: StopHandle,
) {
    use tokio::sync::broadcast::error::RecvError;
    let stopped = stop.shutdown();
    tokio::pin!(stopped);
    loop {
        let event = tokio::select! {
            () = &mut stopped => return,
            event = events.recv() => event,
        };
        match event {
            Ok(ChainEvent::PendingTransaction(transaction)) => {
                shared.filters.lock().on_pending(*transaction.tx_hash());
            }
            Ok(ChainEvent::NewHead(_)) => {}
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(
                    missed,
                    "pending-transaction filters missed events: the machine is overloaded"
                );
            }
            Err(RecvError::Closed) => return,
        }
    }
}

fn cors_layer(cors: &Cors) -> Result<Option<CorsLayer>, RpcError> {
    let layer = CorsLayer::new()
        .allow_methods([http::Method::POST])
        .allow_headers([http::header::CONTENT_TYPE]);
    Ok(match cors {
        Cors::Off => None,
        Cors::Any => Some(layer.allow_origin(Any)),
        Cors::Origins(origins) => {
            let values: Result<Vec<_>, _> = origins
                .iter()
                .map(|origin| match HeaderValue::from_str(origin) {
                    Ok(value) if origin.contains("://") => Ok(value),
                    _ => Err(RpcError::Origin(origin.clone())),
                })
                .collect();
            Some(layer.allow_origin(values?))
        }
    })
}

/// What [`cors_layer`] adds to the answers of plain requests.
fn plain_headers(cors: &Cors) -> &'static str {
    match cors {
        Cors::Off => "",
        Cors::Any => "access-control-allow-origin: *\r\n",
        // None that names its origin is plain.
        Cors::Origins(_) => "vary: origin\r\n",
    }
}

/// Answers a connection beyond the limit, as far as its buffer takes the words, and drops it.
fn turn_away(stream: &TcpStream) {
    if let Err(error) = stream.try_write(FULL) {
        tracing::trace!(%error, "a connection beyond the limit got no answer");
    }
}

/// Accepts connections and gives each a task of its own.
struct Acceptor {
    config: RpcConfig,
    rules: Arc<Rules>,
    clients: Clients,
    cors: Option<CorsLayer>,
    methods: Methods,
    shared: Arc<Shared>,
    stop: StopHandle,
    lanes: Lanes,
}

impl Acceptor {
    async fn run(self, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(self.config.max_connections));
        let mut connections = JoinSet::new();
        let stopped = self.stop.clone().shutdown();
        tokio::pin!(stopped);
        let mut next_id = 0;
        loop {
            let accepted = tokio::select! {
                () = &mut stopped => break,
                Some(_) = connections.join_next() => continue,
                accepted = listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                turn_away(&stream);
                continue;
            };
            let Ok(guest) = self.clients.enter(peer.ip(), Instant::now()) else {
                turn_away(&stream);
                continue;
            };
            // It goes from this runtime's reactor to that of its lane.
            let stream = match stream.set_nodelay(true).and_then(|()| stream.into_std()) {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::debug!(%error, "a connection was gone before it began");
                    continue;
                }
            };
            next_id = u32::wrapping_add(next_id, 1);
            connections.spawn(self.connection(stream, next_id, place, guest));
        }
        drop(listener);
        // A WebSocket outlives the task that accepted it, its place does not.
        let all =
            places.acquire_many(u32::try_from(self.config.max_connections).unwrap_or(u32::MAX));
        if tokio::time::timeout(STOP_PATIENCE, all).await.is_err() {
            tracing::debug!("closing connections that did not finish in time");
        }
        connections.shutdown().await;
        self.lanes.end().await;
    }

    /// The whole life of one connection. The place it holds is freed when the bytes stop flowing,
    /// which for a WebSocket is after this future has handed them over.
    fn connection(
        &self,
        stream: net::TcpStream,
        id: u32,
        place: OwnedSemaphorePermit,
        guest: Option<Arc<Guest>>,
    ) -> impl Future<Output = ()> + use<> {
        let config = &self.config;
        let closer = Closer::default();
        let settings = ServerConfig::builder()
            .max_request_body_size(config.max_request_bytes)
            .max_response_body_size(config.max_response_bytes)
            // Counted here, by connection; the server behind counts requests in work.
            .max_connections(u32::MAX >> 1)
            .max_subscriptions_per_connection(config.max_subscriptions)
            .set_batch_request_config(BatchRequestConfig::Limit(config.max_batch))
            .set_message_buffer_capacity(config.message_buffer.max(1))
            .enable_ws_ping(
                PingConfig::new().ping_interval(PING_INTERVAL).inactive_limit(PING_INTERVAL * 2).max_failures(2),
            )
            .set_id_provider(HexIds::default())
            .build();
        let polite = Polite {
            inner: Direct {
                methods: self.methods.clone(),
                connection: ConnectionId::from(id),
                max_response_bytes: config.max_response_bytes as usize,
                feeds: None,
            },
            methods: self.methods.clone(),
            max_response_bytes: config.max_response_bytes as usize,
            in_flight: Arc::new(Semaphore::new(config.max_in_flight.max(1))),
            shared: Arc::clone(&self.shared),
            guest,
        };
        let plain_service = Arc::new(polite.clone());
        let rpc = RpcServiceBuilder::new().layer_fn(move |inner| polite.around(inner));
        let websocket = ServerBuilder::with_config(settings)
            .set_rpc_middleware(rpc)
            .to_service_builder()
            .connection_id(id)
            .build(self.methods.clone(), self.stop.clone());
        let service = ServiceBuilder::new()
            .option_layer(self.cors.clone())
            .layer(GateLayer {
                rules: Arc::clone(&self.rules),
                closer: closer.clone(),
                service: Arc::clone(&plain_service),
            })
            .service(websocket);
        let (idle, write) = (config.idle_timeout, config.write_timeout);
        let patient =
            move |stream, closer: &Closer| Patient::new(stream, closer.clone(), idle, write);
        let stop = self.stop.clone();
        let plain = {
            let (rules, stopped) = (Arc::clone(&self.rules), stop.clone().shutdown());
            let closer = closer.clone();
            self.lanes.run(async move {
                let stream = TcpStream::from_std(stream)?;
                let mut stream = patient(stream, &closer).holding(place);
                let Some(read) = plain::serve(&mut stream, &rules, &plain_service, stopped).await?
                else {
                    return Ok(None);
                };
                let (place, stream) = stream.into_parts();
                Ok::<_, io::Error>(Some((place, stream.into_std()?, read)))
            })
        };
        async move {
            let (place, stream, read) = match plain.await {
                Some(Ok(Some(left))) => left,
                Some(Ok(None)) | None => return,
                Some(Err(error)) => {
                    tracing::debug!(%error, "a connection ended with an error");
                    return;
                }
            };
            // The general server, and what may come of it, is on the runtime of many threads: more than a cheap call
            // would keep the lane's other clients waiting.
            let stream = match TcpStream::from_std(stream) {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::debug!(%error, "a connection ended with an error");
                    return;
                }
            };
            let mut stream = patient(stream, &closer).holding(place);
            stream.unread(read);
            let outcome = serve_with_graceful_shutdown(stream, service, stop.shutdown()).await;
            if let Err(error) = outcome {
                tracing::debug!(error, "a connection ended with an error");
            }
        }
    }
}
