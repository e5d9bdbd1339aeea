//! What those who watch over a node ask: `/metrics` for Prometheus, `/health` and `/ready`.
//!
//! Served apart from the RPC port: it answers while that one is flooded, and can stay on loopback
//! while the other is public.

mod memory;
mod page;
mod process;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hyper::StatusCode;
use pars_rpc::{RpcContext, RpcGauge};
use tokio::task::JoinHandle;

use crate::metrics::{self, Page};
use crate::vm::Vm;

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot serve metrics at {address}: {source}; choose another place with `port` under [metrics], or switch them off with `enabled = false`"
)]
pub struct MonitorError {
    /// Where it was to listen.
    pub address: SocketAddr,
    /// The operating system's reason.
    pub source: io::Error,
}

/// What the pages are about.
pub(crate) struct Watched {
    pub(crate) context: RpcContext,
    pub(crate) vm: Arc<Vm>,
    pub(crate) rpc: RpcGauge,
}

/// A running server; stops when dropped.
#[derive(Debug)]
pub(crate) struct Monitor {
    address: SocketAddr,
    leaving: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Monitor {
    /// Listens at `address` and answers about a node. Has to be called in a runtime.
    pub(crate) fn start(address: SocketAddr, watched: Watched) -> Result<Self, MonitorError> {
        let error = |source| MonitorError { address, source };
        let listener = TcpListener::bind(address).map_err(error)?;
        let address = listener.local_addr().map_err(error)?;
        let leaving = Arc::new(AtomicBool::new(false));
        let pages = {
            let leaving = Arc::clone(&leaving);
            move |path: &str| page(path, &watched, leaving.load(Ordering::Relaxed))
        };
        let task = tokio::spawn(async move {
            if let Err(error) = metrics::serve(listener, Arc::new(pages)).await {
                tracing::warn!(%error, "metrics are not served");
            }
        });
        Ok(Self {
            address,
            leaving,
            task,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on the node is not ready.
    pub(crate) fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn page(path: &str, watched: &Watched, leaving: bool) -> Option<Page> {
    let status = match path {
        metrics::PATH => return Some(Page::metrics(page::metrics(watched))),
        "/health" => StatusCode::OK,
        "/ready" if leaving => StatusCode::SERVICE_UNAVAILABLE,
        "/ready" => StatusCode::OK,
        _ => return None,
    };
    Some(Page {
        status,
        kind: "application/json",
        text: page::health(watched, leaving),
    })
}
