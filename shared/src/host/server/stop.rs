//! Stop of a server, from the signal to its last answer.

use std::future::Future;

/// Ways to stop a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Stop after a while in which the server is not ready but still answers, so that balancers notice first.
    Leaving,
    /// Immediate stop: the requests in flight are answered.
    Now,
}

/// Phases of a server's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Normal service: the server takes connections and is ready.
    Serving,
    /// Service without readiness, before the drain; each answer is the last of its connection.
    Leaving,
    /// Drain: the server takes no more connections, and ends the quiet ones.
    Draining,
    /// End of the drain: the remaining connections are dropped.
    Over,
}

/// Installs the signal handlers and returns a future of the stop: SIGTERM leaves time for balancers to
/// notice, SIGINT means that a person at a keyboard waits. The handlers are in place when this function
/// returns.
#[cfg(unix)]
pub fn stop_signal() -> std::io::Result<impl Future<Output = Stop>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => Stop::Leaving,
            _ = interrupt.recv() => Stop::Now,
        }
    })
}

/// Returns a future of the stop, which comes with Ctrl-C.
#[cfg(not(unix))]
pub fn stop_signal() -> std::io::Result<impl Future<Output = Stop>> {
    Ok(async {
        // An error means that this signal does not exist here: the process is ended in another way.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Stop::Now
    })
}
