//! Life of one connection, from its first byte to its last.

use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::connections::{Conn, Told};
use super::handler::Handler;
use super::stop::Phase;
use super::unspoken::Unspoken;
use super::weakest::State;
use super::wire::Wire;
use crate::problem::Problem;
use crate::service::Service;

/// Time in which a request that gives way half-arrived is answered.
const ANSWERED: Duration = Duration::from_secs(1);

/// Time that a connection without any bytes gets to bring some when the server stops.
const YOUNG: Duration = Duration::from_secs(1);

/// Ways in which HTTP ends on a connection.
enum End {
    /// End of HTTP by itself, with or without an error.
    Http(hyper::Result<()>),
    /// Order to end in the middle of a head.
    Head(Told),
    /// End without a further answer, after an order to end or at the end of the server.
    Closed,
}

/// Serves one connection until it is closed.
pub(super) async fn serve<S: Service>(
    handler: Arc<Handler<S>>,
    http: Arc<http1::Builder>,
    stream: TcpStream,
    conn: Arc<Conn>,
) {
    let mut wire = Wire::new(stream, Arc::clone(&conn));
    let end = speak(&handler, &http, &mut wire, &conn).await;
    let kind = match &end {
        End::Http(Err(error)) if error.is_parse_too_large() => Some(Unspoken::HeadTooLarge),
        End::Http(Err(error)) if error.is_parse() => Some(wire.looks_like()),
        End::Http(Err(error)) => {
            tracing::debug!(%error, "connection failed");
            None
        }
        End::Head(Told::Late) => Some(Unspoken::HeadTimeout),
        End::Head(Told::Full | Told::Bytes) => Some(Unspoken::GaveWay),
        End::Head(Told::Stopping) => None,
        End::Http(Ok(())) | End::Closed => conn.was_told(Told::Full).then_some(Unspoken::GaveWay),
    };
    if let Some(kind) = kind {
        handler.counts.add(kind);
    }
    match end {
        End::Head(Told::Late) => wire.answer_plainly(Problem::Timeout),
        End::Head(_) => wire.answer_plainly(Problem::Unavailable { retry_after: 0 }),
        // A response was written although more of the request was to come.
        End::Http(_) if !conn.was_told(Told::Full) && (conn.is_unread() || kind.is_some()) => {
            let mut phase = handler.phase.clone();
            conn.spare();
            tokio::select! {
                () = wire.linger() => {}
                () = reached(&mut phase, Phase::Over) => {}
            }
            return;
        }
        _ => {}
    }
    wire.close().await;
}

async fn speak<S: Service>(
    handler: &Arc<Handler<S>>,
    http: &http1::Builder,
    wire: &mut Wire,
    conn: &Arc<Conn>,
) -> End {
    let peer = conn.peer();
    let answer =
        service_fn(|request| async move { Ok::<_, Infallible>(handler.answer(request, peer, conn).await) });
    let mut http = pin!(http.serve_connection(TokioIo::new(wire), answer));
    let mut phase = handler.phase.clone();
    let mut over = handler.phase.clone();
    loop {
        let is_quiet = tokio::select! {
            biased;
            ended = http.as_mut() => return End::Http(ended),
            () = reached(&mut over, Phase::Over) => return End::Closed,
            told = conn.told() => match conn.state() {
                State::New | State::Idle => true,
                State::Head => return End::Head(told),
                // The handler was told as well, and answers.
                State::Body => {
                    let ended = timeout(ANSWERED, http.as_mut()).await;
                    return ended.map_or(End::Closed, End::Http);
                }
                // The request has arrived completely in the meantime.
                State::Service => false,
                State::Linger => return End::Closed,
            },
            () = leaves(conn, &mut phase) => true,
        };
        if !is_quiet {
            conn.spare();
            continue;
        }
        conn.close_if_quiet();
        let polled = poll_fn(|cx| match http.as_mut().poll(cx) {
            Poll::Ready(ended) => Poll::Ready(Some(ended)),
            Poll::Pending => Poll::Ready(None),
        });
        match polled.await {
            Some(ended) => return End::Http(ended),
            // Bytes have arrived in the meantime and are served.
            None if !conn.is_closing() => {}
            None => return End::Closed,
        }
    }
}

/// Waits until the server drains and the connection is quiet.
async fn leaves(conn: &Conn, phase: &mut watch::Receiver<Phase>) {
    reached(phase, Phase::Draining).await;
    loop {
        match conn.state() {
            State::New if conn.age() < YOUNG => sleep(YOUNG.saturating_sub(conn.age())).await,
            State::New | State::Idle => return,
            // The answer to the request in progress is the connection's last.
            _ => return pending().await,
        }
    }
}

/// Waits until the server reaches the phase `wanted`; for ever if the server is gone before that.
async fn reached(phase: &mut watch::Receiver<Phase>, wanted: Phase) {
    if phase.wait_for(|phase| *phase as u8 >= wanted as u8).await.is_err() {
        pending::<()>().await;
    }
}
