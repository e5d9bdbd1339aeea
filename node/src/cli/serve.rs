//! A node in the foreground: started, and stopped by a signal or by its own failure.

use std::error::Error;

use super::signals::StopSignals;
use crate::{Node, NodeConfig};

/// Starts a node, calls `ready`, and runs until Ctrl-C or SIGTERM.
///
/// # Errors
/// If the node cannot start, fails, or is stopped a second time before it has ended in order.
pub(super) fn until_stopped(
    config: NodeConfig,
    ready: impl AsyncFnOnce(&Node) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut signals = StopSignals::install()?;
        let mut node = Node::start(config).await?;
        ready(&node).await?;
        let failed = tokio::select! {
            reason = signals.next() => {
                tracing::info!(reason = reason?, "stopping");
                None
            }
            error = node.failure() => Some(error),
        };
        // A second Ctrl-C does not wait.
        let stopped = tokio::select! {
            stopped = node.stop() => stopped,
            _ = signals.next() => return Err("stopped without waiting for requests in work".into()),
        };
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(stopped?),
        }
    })
}
