//! Waiting for somebody to stop the process.

use std::io;

/// Ctrl-C (SIGINT) and, on Unix, SIGTERM. From the moment it is made on they no longer end the
/// process by themselves, and none is lost.
#[cfg(unix)]
#[derive(Debug)]
pub(super) struct StopSignals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl StopSignals {
    /// Takes the signals over.
    pub(super) fn install() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The name of the next signal.
    pub(super) async fn next(&mut self) -> io::Result<&'static str> {
        Ok(tokio::select! {
            _ = self.interrupt.recv() => "Ctrl-C",
            _ = self.terminate.recv() => "SIGTERM",
        })
    }
}

/// Ctrl-C.
#[cfg(not(unix))]
#[derive(Debug)]
pub(super) struct StopSignals;

#[cfg(not(unix))]
impl StopSignals {
    /// Takes the signal over at the first call of [`Self::next`].
    pub(super) fn install() -> io::Result<Self> {
        Ok(Self)
    }

    /// The name of the next signal.
    pub(super) async fn next(&mut self) -> io::Result<&'static str> {
        tokio::signal::ctrl_c().await?;
        Ok("Ctrl-C")
    }
}
