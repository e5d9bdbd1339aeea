//! Small pages over HTTP, apart from the RPC port: the metrics as Prometheus and `parsctl engine top` read
//! them, and what else watches over a process.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Where metrics are served, and looked for, unless somebody says otherwise.
pub const DEFAULT_ADDRESS: &str = "127.0.0.1:9733";

/// The path of the page.
pub const PATH: &str = "/metrics";

/// Connections served at one time; more wait.
const CONNECTIONS: usize = 32;

/// Longest time for a request to arrive, and for a connection to live.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);
const CONNECTION_LIMIT: Duration = Duration::from_secs(60);

/// Pause after the system could not accept a connection, as when it is out of file handles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Writes the page as it is now.
pub type MakePage = dyn Fn() -> String + Send + Sync;

/// What one request gets.
#[derive(Debug)]
pub struct Page {
    /// HTTP's status.
    pub status: StatusCode,
    /// The media type.
    pub kind: &'static str,
    /// The text.
    pub text: String,
}

impl Page {
    /// A page of metrics, text format 0.0.4.
    pub const fn metrics(text: String) -> Self {
        Self {
            status: StatusCode::OK,
            kind: "text/plain; version=0.0.4",
            text,
        }
    }

    const fn words(status: StatusCode, text: String) -> Self {
        Self {
            status,
            kind: "text/plain",
            text,
        }
    }
}

/// The page at a path, as it is now; `None` where there is none.
pub type Pages = dyn Fn(&str) -> Option<Page> + Send + Sync;

/// Serves pages until the future is dropped. There is no authentication: whoever reaches the address
/// can read how much work there is and what hardware does it, and nothing else.
///
/// # Errors
/// Where the listener cannot be used at all.
pub async fn serve(listener: std::net::TcpListener, pages: Arc<Pages>) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return Ok(());
        };
        while connections.try_join_next().is_some() {}
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "no connection for metrics");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let pages = Arc::clone(&pages);
        connections.spawn(async move {
            let _place = place;
            let service = service_fn(|request| {
                let response = answer(&request, &pages);
                async { Ok::<_, Infallible>(response) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(REQUEST_LIMIT)
                .serve_connection(TokioIo::new(stream), service);
            // A reader that breaks off is no matter of ours.
            let _ = tokio::time::timeout(CONNECTION_LIMIT, connection).await;
        });
    }
}

fn answer(request: &Request<Incoming>, pages: &Arc<Pages>) -> Response<Full<Bytes>> {
    let page = match *request.method() {
        Method::GET => pages(request.uri().path()).unwrap_or_else(|| {
            Page::words(
                StatusCode::NOT_FOUND,
                format!("The metrics are at {PATH}\n"),
            )
        }),
        _ => Page::words(
            StatusCode::METHOD_NOT_ALLOWED,
            "Only GET is answered here\n".to_owned(),
        ),
    };
    let mut response = Response::new(Full::new(Bytes::from(page.text)));
    *response.status_mut() = page.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(page.kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if page.status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET"));
    }
    response
}

/// A thread that serves a page until this is dropped, for programs without a runtime.
#[derive(Debug)]
pub struct MetricsThread {
    address: SocketAddr,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl MetricsThread {
    /// Binds the address (port 0: any free one) and serves from a thread of its own.
    ///
    /// # Errors
    /// When the address cannot be bound or there is no thread.
    pub fn start(address: SocketAddr, page: Arc<MakePage>) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("pars-metrics".to_owned())
            .spawn(move || {
                let pages = move |path: &str| (path == PATH).then(|| Page::metrics(page()));
                runtime.block_on(async {
                    tokio::select! {
                        served = serve(listener, Arc::new(pages)) => if let Err(error) = served {
                            tracing::warn!(%error, "metrics are not served");
                        },
                        _ = stopped => {}
                    }
                });
            })?;
        Ok(Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// The address that it listens at.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for MetricsThread {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(
            stream,
            "{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn the_page_is_made_anew_for_each_reader() {
        let count = std::sync::atomic::AtomicUsize::new(0);
        let page = move || {
            let count = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            format!("page {count}\n")
        };
        let server = MetricsThread::start(([127, 0, 0, 1], 0).into(), Arc::new(page)).unwrap();
        let address = server.address();
        let first = ask(address, "GET /metrics");
        assert!(
            first.starts_with("HTTP/1.1 200") && first.ends_with("page 0\n"),
            "{first}"
        );
        assert!(first.contains("version=0.0.4"));
        assert!(ask(address, "GET /metrics").ends_with("page 1\n"));
        assert!(ask(address, "GET /").starts_with("HTTP/1.1 404"));
        assert!(ask(address, "POST /metrics").starts_with("HTTP/1.1 405"));
        drop(server);
        assert!(TcpStream::connect(address).is_err(), "it still listens");
    }
}
