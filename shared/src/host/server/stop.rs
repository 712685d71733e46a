//! The way to the end.

use std::future::Future;

/// How a server is told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Others are to notice first: not ready, still answering for a while.
    Leaving,
    /// At once: what is in flight is answered.
    Now,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It serves.
    Serving,
    /// It is not ready any more, and serves on; each answer is the last of its connection.
    Leaving,
    /// It takes no more connections, and ends those that are quiet.
    Draining,
    /// What is left is dropped.
    Over,
}

/// SIGTERM, which leaves time for balancers to notice, or SIGINT, which somebody at a keyboard waits for; the
/// handlers are in place when this returns.
#[cfg(unix)]
pub(super) fn stop_signal() -> std::io::Result<impl Future<Output = Stop>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => Stop::Leaving,
            _ = interrupt.recv() => Stop::Now,
        }
    })
}

#[cfg(not(unix))]
pub(super) fn stop_signal() -> std::io::Result<impl Future<Output = Stop>> {
    Ok(async {
        // An error means that there is no such signal here: the process is ended in another way.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Stop::Now
    })
}
