//! The HTTP/1.1 server, where no cloud runtime is in the environment.

use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use super::handover::Trust;
use super::room::{InFlight, Place, Room};
use super::{HostError, Service, call, header_map, refuse};
use crate::clock::Random;
use crate::context::Context;
use crate::env::Env;
use crate::hops::Hops;
use crate::http::{MAX_HEADER_BYTES, MAX_HEADERS, Request, Response};
use crate::problem::Problem;
use crate::queue::EnvProblem;
use crate::reader::parse_size;

const DEFAULT_LISTEN: &str = "127.0.0.1:9000";

/// Hyper's own limits lie above ours, so that what lies between is answered with a problem document;
/// beyond them hyper answers a bare 431 and closes.
const PARSED_HEADERS: usize = 1000;
const PARSED_HEAD_BYTES: usize = 128 * 1024;

/// A pause after a failed accept: out of file descriptors, trying again at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What one server takes.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections served at a time; more wait in the system's backlog.
    pub connections: usize,
    /// Requests in flight; one more is a 503, its body unread.
    pub requests: usize,
    /// Bytes of bodies held at a time; a body that does not fit is a 503. The largest body that the
    /// service takes always fits by itself.
    pub body_bytes: usize,
    /// Header fields of a request; more are a 431.
    pub headers: usize,
    /// Bytes of the target and all header names and values; more are a 431.
    pub head_bytes: usize,
    /// For a whole request head to arrive, the wait for its first byte on an idle connection
    /// included; then the connection is closed.
    pub head_timeout: Duration,
    /// For a body to arrive; then it is a 408.
    pub body_timeout: Duration,
    /// For requests in flight to be answered after the signal to stop.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            requests: 256,
            body_bytes: 64 * 1024 * 1024,
            headers: MAX_HEADERS,
            head_bytes: MAX_HEADER_BYTES,
            head_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(20),
            drain: Duration::from_secs(10),
        }
    }
}

impl Limits {
    /// With `MAX_IN_FLIGHT` and `MAX_IN_FLIGHT_BYTES`. What is wrong with them is logged as an error, and
    /// the default counts: a server that does not start serves nobody.
    fn from_env(env: &Env) -> Self {
        let mut limits = Self::default();
        let read = |variable, message: &str, limit: &mut usize, parse: fn(&str) -> Option<usize>| {
            let Some(text) = env.get(variable) else { return };
            if let Some(n) = parse(&text).filter(|n| *n > 0) {
                *limit = n;
            } else {
                let problem = EnvProblem { variable, message: message.to_owned() };
                tracing::error!(%problem, "configuration");
            }
        };
        let is_no_number = "is no number of requests from 1";
        read("MAX_IN_FLIGHT", is_no_number, &mut limits.requests, |text| text.parse().ok());
        let is_no_size = "is no size such as \"64MiB\"";
        read("MAX_IN_FLIGHT_BYTES", is_no_size, &mut limits.body_bytes, parse_size);
        limits
    }
}

/// A bound server.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    limits: Limits,
    trust: Trust,
    hops: Hops,
}

impl Server {
    /// Binds `address` (`host:port`; port 0 for any free one). From here on connections are taken;
    /// they are answered from [`serve`](Self::serve) on.
    pub async fn bind(address: &str, limits: Limits) -> Result<Self, HostError> {
        let bind = async {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address, limits, trust: Trust::default(), hops: Hops::default() })
        };
        bind.await.map_err(|source| HostError::Listen { address: address.to_owned(), source })
    }

    /// Believes the credentials that a cloud's platform writes into requests, as far as `FGS_TRUST_HEADERS`
    /// and `SCF_TRUST_HEADERS` say so, and what proxies write of the sender, as far as `TRUST_PROXIES` does.
    #[must_use]
    pub fn trusting(self, env: &Env) -> Self {
        // What is wrong is the configuration's to tell.
        let hops = Hops::from_env(env).unwrap_or_default();
        Self { trust: Trust::from_env(env, self.address.ip()), hops, ..self }
    }

    /// The address bound, with the port the system chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`, then lets requests in flight finish for at most `Limits::drain`.
    pub async fn serve<S: Service>(self, service: S, random: Random, shutdown: impl Future<Output = ()>) {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(self.limits.head_timeout)
            .max_headers(PARSED_HEADERS)
            .max_buf_size(PARSED_HEAD_BYTES)
            // A sender that closes its side after the request still gets the answer.
            .half_close(true);
        let drain = self.limits.drain;
        let slots = Arc::new(Semaphore::new(self.limits.connections));
        let bytes = self.limits.body_bytes.max(service.max_body());
        let room = Room::new(InFlight { requests: self.limits.requests, bytes });
        let handler = Arc::new(Handler {
            service,
            random,
            limits: self.limits,
            room,
            trust: self.trust,
            hops: self.hops,
        });
        let connections = GracefulShutdown::new();
        let mut shutdown = pin!(shutdown);
        loop {
            let accept = async { (Arc::clone(&slots).acquire_owned().await, self.listener.accept().await) };
            let (slot, accepted) = tokio::select! {
                () = &mut shutdown => break,
                accepted = accept => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let handler = Arc::clone(&handler);
            let answer = service_fn(move |request| {
                let handler = Arc::clone(&handler);
                async move { Ok::<_, Infallible>(handler.answer(request, peer.ip()).await) }
            });
            // Without it an answer can wait 40 ms for the peer's delayed acknowledgement.
            let _ = stream.set_nodelay(true);
            let connection = connections.watch(http.serve_connection(TokioIo::new(stream), answer));
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "connection failed");
                }
                drop(slot);
            });
        }
        drop(self.listener);
        if timeout(drain, connections.shutdown()).await.is_err() {
            tracing::warn!("stopped with requests in flight");
        }
    }
}

/// `LISTEN`; else every interface on `PORT`, which a container platform sets to the port that it sends
/// requests to (Knative and its like).
fn address(env: &Env) -> String {
    let on_port = || env.get("PORT").map(|port| format!("0.0.0.0:{port}"));
    env.get("LISTEN").or_else(on_port).unwrap_or_else(|| DEFAULT_LISTEN.to_owned())
}

/// Serves on `LISTEN` or `PORT` until SIGTERM or SIGINT.
pub(super) async fn run<S: Service>(service: S, context: &Context) -> Result<(), HostError> {
    let address = address(&context.env);
    let server = Server::bind(&address, Limits::from_env(&context.env)).await?.trusting(&context.env);
    let stop = stop_signal().map_err(HostError::Signal)?;
    tracing::info!(address = %server.local_addr(), "listening");
    server.serve(service, context.random.clone(), stop).await;
    Ok(())
}

/// SIGTERM or SIGINT; the handlers are in place when this returns.
#[cfg(unix)]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    Ok(async {
        // An error means that there is no such signal here: the process is ended in another way.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    })
}

struct Handler<S> {
    service: S,
    random: Random,
    limits: Limits,
    room: Room,
    trust: Trust,
    hops: Hops,
}

/// Seconds after which a sender that found no room may come again.
const FULL_RETRY_AFTER: u32 = 5;

const FULL: Problem = Problem::Unavailable { retry_after: FULL_RETRY_AFTER };

impl<S: Service> Handler<S> {
    async fn answer(&self, request: http::Request<Incoming>, peer: IpAddr) -> http::Response<Full<Bytes>> {
        let (request_id, received) = (self.random.uuid(), Instant::now());
        let response = match request.uri().path() {
            // There is always room for these.
            "/_/health" => probe(request.method(), &request_id, || Ok(healthy())),
            "/_/ready" => {
                probe(request.method(), &request_id, || Ok(self.service.readiness().response(&request_id)))
            }
            "/_/metrics" => probe(request.method(), &request_id, || self.metrics()),
            _ => match self.serve(request, peer, &request_id, received).await {
                Ok(response) => response,
                // What is left of the request is not read, so the connection ends here.
                Err(problem) => {
                    if let Some(metrics) = self.service.metrics() {
                        metrics.refused(problem);
                    }
                    refuse(problem, &request_id).with("connection", "close")
                }
            },
        };
        into_http(response)
    }

    fn metrics(&self) -> Result<Response, Problem> {
        let text = self.service.metrics().and_then(|metrics| metrics.text(self.room.held()));
        text.map(|text| Response::new(200, EXPOSITION, text)).ok_or(Problem::NotFound)
    }

    /// A request keeps its place until it is answered: its body is held as long.
    async fn serve(
        &self,
        request: http::Request<Incoming>,
        peer: IpAddr,
        request_id: &str,
        received: Instant,
    ) -> Result<Response, Problem> {
        let mut place = self.room.enter().ok_or(FULL)?;
        let lent = self.trust.lent(request.headers());
        let request = self.read(request, peer, request_id, received, &mut place).await?;
        Ok(lent.to(call(&self.service, request)).await)
    }

    async fn read(
        &self,
        request: http::Request<Incoming>,
        peer: IpAddr,
        request_id: &str,
        received: Instant,
        place: &mut Place<'_>,
    ) -> Result<Request, Problem> {
        let (head, body) = request.into_parts();
        let headers: crate::http::Headers =
            head.headers.iter().map(|(n, v)| (n.as_str(), Bytes::copy_from_slice(v.as_bytes()))).collect();
        let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
        if headers.len() > self.limits.headers || headers.size() + target > self.limits.head_bytes {
            return Err(Problem::HeadersTooLarge);
        }
        Ok(Request {
            method: head.method.as_str().to_owned(),
            path: head.uri.path().to_owned(),
            raw_query: head.uri.query().unwrap_or_default().to_owned(),
            headers: headers.without_platforms(),
            body: self.body(body, place).await?,
            request_id: request_id.to_owned(),
            received,
            source_ip: self.hops.sender(peer, &head.headers),
            deadline: None,
        })
    }

    /// Reads the body; nothing of one whose `Content-Length` says that it is too large, or that there
    /// is no room for it.
    async fn body(&self, body: Incoming, place: &mut Place<'_>) -> Result<Bytes, Problem> {
        let announced = usize::try_from(body.size_hint().lower()).map_err(|_| Problem::TooLarge)?;
        if announced > self.service.max_body() {
            return Err(Problem::TooLarge);
        }
        if !place.reserve(announced) {
            return Err(FULL);
        }
        let read = timeout(self.limits.body_timeout, self.collect(body, announced, place)).await;
        read.unwrap_or(Err(Problem::Timeout))
    }

    /// A body without a `Content-Length` takes its room as it comes.
    async fn collect(
        &self,
        mut body: Incoming,
        announced: usize,
        place: &mut Place<'_>,
    ) -> Result<Bytes, Problem> {
        let max = self.service.max_body();
        let (mut collected, mut reserved) = (BytesMut::with_capacity(announced), announced);
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| Problem::Malformed)?.into_data() else { continue };
            let length = collected.len() + data.len();
            if length > max {
                return Err(Problem::TooLarge);
            }
            if length > reserved {
                if !place.reserve(length - reserved) {
                    return Err(FULL);
                }
                reserved = length;
            }
            collected.extend_from_slice(&data);
        }
        Ok(collected.freeze())
    }
}

/// Prometheus' text exposition format.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

fn healthy() -> Response {
    Response::new(200, "application/json", r#"{"status":"ok"}"#)
}

fn probe(method: &Method, request_id: &str, answer: impl FnOnce() -> Result<Response, Problem>) -> Response {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Problem::MethodNotAllowed("GET, HEAD").response(request_id);
    }
    answer().unwrap_or_else(|problem| problem.response(request_id))
}

fn into_http(response: Response) -> http::Response<Full<Bytes>> {
    let headers = header_map(&response);
    let mut answer = http::Response::new(Full::from(response.body));
    *answer.status_mut() = StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *answer.headers_mut() = headers;
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_names_the_port_and_listen_wins() {
        let of = |listen: &str, port: &str| address(&Env::of([("LISTEN", listen), ("PORT", port)]));
        assert_eq!(of("", ""), "127.0.0.1:9000");
        assert_eq!(of("", "8080"), "0.0.0.0:8080");
        assert_eq!(of("127.0.0.1:8000", "8080"), "127.0.0.1:8000");
    }

    #[tokio::test]
    async fn a_port_that_is_none_is_an_error() {
        for port in ["http", "70000"] {
            let address = address(&Env::of([("PORT", port)]));
            let error = Server::bind(&address, Limits::default()).await.unwrap_err();
            assert!(error.to_string().contains(port), "{error}");
        }
    }

    #[test]
    fn limits_come_from_the_environment() {
        let of = |requests: &str, bytes: &str| {
            let env = Env::of([("MAX_IN_FLIGHT", requests), ("MAX_IN_FLIGHT_BYTES", bytes)]);
            let Limits { requests, body_bytes, .. } = Limits::from_env(&env);
            (requests, body_bytes)
        };
        let default = (256, 64 << 20);
        assert_eq!(of("", ""), default);
        assert_eq!(of("8", "2MiB"), (8, 2 << 20));
        assert_eq!(of("1", "1000"), (1, 1000));
        for (requests, bytes) in [("0", "0"), ("-1", "-1"), ("many", "much"), ("1.5", "1GB")] {
            assert_eq!(of(requests, bytes), default, "{requests} {bytes}");
        }
    }
}
