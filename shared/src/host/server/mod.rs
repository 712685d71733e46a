//! HTTP/1.1 server, for environments without a cloud's function runtime.
//!
//! ```text
//! Server ─► connection ─► wire          one task each: the socket, HTTP, the close after HTTP
//!               │  └────► Connections   state of each, and the choice of the weakest ([`weakest`])
//!               └► Handler              probes, routes and limits, the body, the service
//! ```
//!
//! A route, its methods and limits are looked up before a body is awaited; a request takes its place when it
//! has arrived completely. There is always room for one more connection, so a probe always gets in.

mod address;
mod connection;
mod connections;
mod handler;
mod limits;
mod room;
mod stop;
mod unspoken;
mod weakest;
mod wire;

use std::future::{Future, pending};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::maybe_done;
use hyper::server::conn::http1;
use tokio::net::{TcpListener, TcpSocket, lookup_host};
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

use super::handover::Trust;
use super::{HostError, Service};
use crate::clock::Random;
use crate::context::Context;
use crate::env::Env;
use crate::hops::Hops;
use crate::stopping::Stopping;
use crate::tasks::spawn;
pub use address::address;
#[cfg(feature = "catalog")]
pub(super) use address::{LISTEN, PORT};
pub(super) use address::{is_loopback, refused};
use connections::Connections;
use handler::{Handler, LAST_CALL};
pub use limits::Limits;
use room::{InFlight, Room};
use stop::Phase;
pub use stop::{Stop, stop_signal};
use unspoken::{Counts, Unspoken};

/// Limits of hyper's parser, above this server's own limits. A head between the two gets a problem document;
/// beyond hyper's limits hyper answers a bare 431 and closes. Each connection on which bytes arrive may use
/// this much memory.
const PARSED_HEADERS: usize = 1000;
const PARSED_HEAD_BYTES: usize = 40 * 1024;

/// Pause after a failed accept: without file descriptors, an immediate retry would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Length of the queue of connections that wait to be accepted; the system may allow fewer.
const BACKLOG: u32 = 4096;

/// Interval between two searches for overdue connections.
const SWEEP: Duration = Duration::from_millis(500);

/// Time kept back from the drain for writing the last answers.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// Time to accept the connections that the system has already made before the port is closed.
const LAST_ACCEPTS: Duration = Duration::from_millis(50);

/// Server with a bound port.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    limits: Limits,
    trust: Trust,
    hops: Hops,
}

impl Server {
    /// Binds `address` (`host:port`; port 0 for any free one). Connections are made from now on and answered
    /// once [`serve`](Self::serve) runs.
    pub async fn bind(address: &str, limits: Limits) -> Result<Self, HostError> {
        let bind = async {
            let listener = listen(address).await?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address, limits, trust: Trust::default(), hops: Hops::default() })
        };
        bind.await.map_err(|source| HostError::Listen { address: address.to_owned(), source })
    }

    /// Trusts the credentials that a cloud's platform writes into requests, as far as `TRUST_PLATFORM_HEADERS`
    /// allows, and the sender's address from proxies, as far as `TRUST_PROXIES` allows.
    #[must_use]
    pub fn trusting(self, env: &Env) -> Self {
        // The configuration reports problems with these variables.
        let hops = Hops::from_env(env).unwrap_or_default();
        Self { trust: Trust::from_env(env, self.address.ip()), hops, ..self }
    }

    /// Returns the bound address, with the port that the system chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`, then lets requests in flight finish for up to `Limits::drain`.
    pub async fn serve<S: Service>(self, service: S, random: Random, shutdown: impl Future<Output = ()>) {
        let stop = async {
            shutdown.await;
            Stop::Now
        };
        self.serve_until(service, random, stop).await;
    }

    /// Serves like [`serve`](Self::serve). With [`Stop::Leaving`] the server first reports that it is not
    /// ready, and goes on serving for `Limits::leave`.
    pub async fn serve_until<S: Service>(self, service: S, random: Random, stop: impl Future<Output = Stop>) {
        self.serve_beside(service, random, stop, until_told()).await;
    }

    /// Serves like [`serve_until`](Self::serve_until), with `work` beside the requests. The work ends by
    /// itself once the stop is announced, and the server waits for it as for requests. If the work ends
    /// earlier, the server stops too.
    pub(super) async fn serve_beside<S: Service>(
        self,
        service: S,
        random: Random,
        stop: impl Future<Output = Stop>,
        work: impl Future<Output = ()>,
    ) {
        let Self { listener, limits, trust, hops, .. } = self;
        let (phase, phases) = watch::channel(Phase::Serving);
        let (end, ends) = watch::channel(None);
        let connections = Connections::new(limits.connections);
        let bytes = limits.body_bytes.max(service.max_body());
        // A connection that is being served does not give way. With no more requests than connections, a
        // probe always gets in.
        let requests = limits.requests.min(limits.connections);
        let handler = Arc::new(Handler {
            room: Room::new(InFlight { requests, bytes }),
            connections: Arc::clone(&connections),
            counts: Counts::default(),
            page: Mutex::default(),
            stopping: Stopping::new(ends),
            phase: phases,
            limits: limits.clone(),
            service,
            random,
            trust,
            hops,
        });
        let mut work = pin!(maybe_done(handler.stopping.clone().to(work)));
        let accepting = accept(&listener, &handler);
        let leave = async {
            if stop.await == Stop::Leaving {
                tracing::info!(
                    seconds = limits.leave.as_secs(),
                    "stopping: no longer ready, still answering"
                );
                phase.send_replace(Phase::Leaving);
                sleep(limits.leave).await;
            }
        };
        let sweeping = async {
            let times = limits.times();
            let mut ticks = interval(SWEEP);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                connections.sweep(&times);
            }
        };
        let mut sweeping = pin!(sweeping);
        tokio::select! {
            () = leave => {}
            () = accepting => {}
            () = &mut sweeping => {}
            () = &mut work => {}
        }
        // Connections that are already made are taken; a later client learns of the stop from the closed
        // port.
        let _ = timeout(LAST_ACCEPTS, accept(&listener, &handler)).await;
        drop(listener);
        let last = limits.drain.checked_sub(LAST_ANSWERS).unwrap_or(limits.drain / 2);
        let last = Instant::now() + last;
        end.send_replace(Some(last));
        phase.send_replace(Phase::Draining);
        let stopping = async {
            sleep_until(last + LAST_CALL).await;
            connections.stop();
            pending::<()>().await;
        };
        let all = async { tokio::join!(connections.gone(), work) };
        tokio::select! {
            over = timeout(limits.drain, all) => if over.is_err() {
                tracing::warn!("stopped with requests or work in flight");
            },
            () = &mut sweeping => {}
            () = stopping => {}
        }
        phase.send_replace(Phase::Over);
    }
}

/// Waits for the announced stop, as the work of a server that has requests alone.
async fn until_told() {
    Stopping::in_hand().announced().await;
}

/// Accepts connections for ever.
async fn accept<S: Service>(listener: &TcpListener, handler: &Arc<Handler<S>>) {
    let mut http = http1::Builder::new();
    // Heads have a time-out of this server's own, which an idle connection does not use up.
    http.header_read_timeout(None)
        .max_headers(PARSED_HEADERS)
        .max_buf_size(PARSED_HEAD_BYTES)
        // A sender that closes its side after the request still gets the answer.
        .half_close(true);
    let http = Arc::new(http);
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // An IPv4 client of a socket for both is shown as `::ffff:192.0.2.1`.
                let conn = handler.connections.enter(peer.ip().to_canonical());
                spawn(Box::pin(connection::serve(Arc::clone(handler), Arc::clone(&http), stream, conn)));
            }
            Err(error) => {
                tracing::debug!(%error, "cannot accept a connection");
                handler.counts.add(Unspoken::NotAccepted);
                handler.connections.shrink();
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Listens on the first address of the name `address` that can be bound. `[::]` is every address, IPv4 and
/// IPv6, also on a system without IPv6.
async fn listen(address: &str) -> std::io::Result<TcpListener> {
    let mut problem = std::io::Error::from(std::io::ErrorKind::InvalidInput);
    for address in lookup_host(address).await? {
        problem = match bind(address) {
            Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && !is_taken(&error) => {
                match bind((Ipv4Addr::UNSPECIFIED, address.port()).into()) {
                    Ok(listener) => return Ok(listener),
                    Err(_) => error,
                }
            }
            Err(error) => error,
            Ok(listener) => return Ok(listener),
        };
    }
    Err(problem)
}

/// Returns true if the system knows the address and refuses it to this process.
fn is_taken(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::AddrInUse | std::io::ErrorKind::PermissionDenied)
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    #[cfg(unix)]
    {
        socket.set_reuseaddr(true)?;
        if address.ip() == Ipv6Addr::UNSPECIFIED {
            // The system's default may be IPv6 alone.
            rustix::net::sockopt::set_ipv6_v6only(&socket, false)?;
        }
    }
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves on `LISTEN` or `PORT` until SIGTERM or SIGINT.
pub(super) async fn run<S: Service>(service: S, context: &Context) -> Result<(), HostError> {
    run_beside(service, context, until_told()).await
}

/// Serves like [`run`], with [work beside the requests](Server::serve_beside).
pub(super) async fn run_beside<S: Service>(
    service: S,
    context: &Context,
    work: impl Future<Output = ()>,
) -> Result<(), HostError> {
    let address = address(&context.env)?;
    let limits = Limits::from_env(&context.env, service.endpoints());
    let server = Server::bind(&address, limits).await?.trusting(&context.env);
    let stop = stop_signal().map_err(HostError::Signal)?;
    let (hooks, file) = service.hooks().unzip();
    tracing::info!(address = %server.local_addr(), hooks, file, "listening");
    let begun = service.clone();
    let begun = spawn(Box::pin(async move { begun.begin().await }));
    server.serve_beside(service, context.random.clone(), stop, work).await;
    begun.abort();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_address_is_ipv4_and_ipv6() {
        let server = Server::bind("[::]:0", Limits::default()).await.unwrap();
        let port = server.local_addr().port();
        for address in ["127.0.0.1", "[::1]"] {
            let address = format!("{address}:{port}");
            // A system without IPv6 has only the first.
            let is_served = tokio::net::TcpStream::connect(&address).await.is_ok();
            assert!(is_served || server.local_addr().is_ipv4(), "{address}");
        }
    }

    #[tokio::test]
    async fn an_address_that_cannot_be_had_is_told_with_what_to_do() {
        let told =
            async |address: &str| Server::bind(address, Limits::default()).await.unwrap_err().to_string();
        let first = Server::bind("127.0.0.1:0", Limits::default()).await.unwrap();
        let taken = first.local_addr().to_string();
        for (address, why) in [
            (taken.as_str(), "another process has the port: end that one"),
            ("192.0.2.1:0", "this machine does not have the address: set LISTEN"),
            ("127.0.0.1:http", "set LISTEN to an address"),
        ] {
            let told = told(address).await;
            assert!(told.contains(address) && told.contains(why), "{told}");
        }
    }
}
