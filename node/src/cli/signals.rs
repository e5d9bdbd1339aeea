//! Waiting for somebody to stop the process.

/// Returns at Ctrl-C (SIGINT) or, on Unix, SIGTERM.
#[cfg(unix)]
pub(super) async fn stop_requested() -> std::io::Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(tokio::select! {
        _ = interrupt.recv() => "Ctrl-C",
        _ = terminate.recv() => "SIGTERM",
    })
}

/// Returns at Ctrl-C.
#[cfg(not(unix))]
pub(super) async fn stop_requested() -> std::io::Result<&'static str> {
    tokio::signal::ctrl_c().await?;
    Ok("Ctrl-C")
}
