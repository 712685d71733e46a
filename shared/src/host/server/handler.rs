//! Handling of one request in the server: probes, routes and limits, the body, the service.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tokio::sync::{Mutex, watch};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until, timeout};

use super::connections::{Conn, Connections, Told};
use super::limits::Limits;
use super::room::{Held, Room};
use super::stop::Phase;
use super::unspoken::Counts;
use super::weakest::State;
use crate::clock::Random;
use crate::hops::Hops;
use crate::host::handover::Trust;
use crate::host::{Service, call, header_map, refuse};
use crate::http::{Request, Response};
use crate::metrics::Figures;
use crate::problem::Problem;
use crate::readiness::{HEALTH, READY, Readiness, alive};
use crate::stopping::Stopping;

/// Seconds after which a sender that found no room may retry.
const FULL_RETRY_AFTER: u32 = 5;

/// Refusal of a request by the host itself.
#[derive(Clone, Copy, Debug)]
struct Refusal {
    problem: Problem,
    /// Sentence for the log.
    reason: &'static str,
}

const TOO_LARGE: Refusal =
    Refusal { problem: Problem::TooLarge, reason: "the body is larger than any hook takes" };

const BROKEN: Refusal =
    Refusal { problem: Problem::Malformed, reason: "the body broke off, or its chunks are not HTTP" };

/// Returns the refusal of a request that finds no room.
const fn full(reason: &'static str) -> Refusal {
    Refusal { problem: Problem::Unavailable { retry_after: FULL_RETRY_AFTER }, reason }
}

impl Told {
    /// Returns the refusal of a request whose connection was told to end while its body arrived.
    const fn refusal(self) -> Refusal {
        match self {
            Self::Late => Refusal { problem: Problem::Timeout, reason: "the body came too slowly" },
            Self::Full => full("the connection gave way to another one: MAX_ACCEPTED are open"),
            Self::Bytes => full("the body gave way to others: MAX_IN_FLIGHT_BYTES are taken"),
            Self::Stopping => full("the process stops, and the body had not arrived"),
        }
    }
}

/// Time in which bodies that give way give their bytes back.
const GIVEN_BACK: Duration = Duration::from_secs(1);

/// Delay between the end announced to the work in flight and the refusal of requests that have not ended by
/// then.
pub(super) const LAST_CALL: Duration = Duration::from_millis(200);

/// Upper bound on a body's first allocation, in bytes, regardless of the announced length: many requests may
/// begin and bring nothing.
const FIRST_PIECE: usize = 4 * 1024;

/// Content type of Prometheus' text exposition format.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Shared state of all requests of one server.
pub(super) struct Handler<S> {
    pub(super) service: S,
    pub(super) random: Random,
    pub(super) limits: Limits,
    pub(super) room: Room,
    pub(super) trust: Trust,
    pub(super) hops: Hops,
    pub(super) connections: Arc<Connections>,
    pub(super) counts: Counts,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) stopping: Stopping,
    pub(super) page: Mutex<()>,
}

impl<S: Service> Handler<S> {
    pub(super) async fn answer(
        &self,
        request: http::Request<Incoming>,
        peer: IpAddr,
        conn: &Conn,
    ) -> http::Response<Full<Bytes>> {
        let (request_id, received) = (self.random.uuid(), Instant::now());
        let (head, mut body) = request.into_parts();
        conn.goes_to(State::Body);
        // The end of a chunked body is unknown until the body has been read.
        let mut has_come = body.is_end_stream();
        let path = head.uri.path().to_owned();
        let response = match path.as_str() {
            // There is always room for these probes.
            HEALTH => probe(&head.method, &request_id, || Ok(alive())),
            READY => probe(&head.method, &request_id, || Ok(self.readiness().response(&request_id))),
            "/_/metrics" => {
                // A page costs more than any other immediate answer, so pages are made one at a time, one per
                // turn of the scheduler.
                let _page = self.page.lock().await;
                yield_now().await;
                probe(&head.method, &request_id, || self.metrics())
            }
            _ => {
                let source = self.hops.sender(peer, &head.headers);
                match self
                    .serve(head, (&mut body, &mut has_come), source, (&request_id, received), conn)
                    .await
                {
                    Ok(response) => response,
                    Err(Refusal { problem, reason }) => {
                        if let Some(metrics) = self.service.metrics() {
                            metrics.refused(problem);
                        }
                        let from = (Some(path.as_str()), source);
                        refuse(problem, reason, &request_id, from).with("connection", "close")
                    }
                }
            }
        };
        // Without a yield, many requests that came together would be answered before other connections get a
        // turn.
        if conn.state() == State::Body {
            yield_now().await;
        }
        // The rest of the request is not read, so the connection ends here.
        if !has_come {
            conn.leaves_unread();
        }
        conn.goes_to(State::Idle);
        let is_last = !has_come || *self.phase.borrow() != Phase::Serving;
        into_http(if is_last && response.header("connection").is_none() {
            response.with("connection", "close")
        } else {
            response
        })
    }

    fn readiness(&self) -> Readiness {
        let is_serving = *self.phase.borrow() == Phase::Serving;
        if is_serving { self.service.readiness() } else { Readiness::stopping() }
    }

    fn metrics(&self) -> Result<Response, Problem> {
        let (held, most) = (self.room.held(), self.room.most());
        let figures = Figures {
            requests: held.requests,
            bytes: held.bytes,
            connections: self.connections.count(),
            most_requests: most.requests,
            most_bytes: most.bytes,
            most_connections: self.limits.connections,
            not_served: self.counts.read(),
            log_lines_dropped: crate::telemetry::dropped(),
        };
        let text = self.service.metrics().and_then(|metrics| metrics.text(&figures));
        text.map(|text| Response::new(200, EXPOSITION, text)).ok_or(Problem::NotFound)
    }

    /// Serves a request, which keeps its place and its body's bytes until it is answered.
    async fn serve(
        &self,
        head: http::request::Parts,
        (body, has_come): (&mut Incoming, &mut bool),
        source_ip: Option<IpAddr>,
        (request_id, received): (&str, Instant),
        conn: &Conn,
    ) -> Result<Response, Refusal> {
        let lent = self.trust.lent(&head.headers);
        let mut request = self.head(&head, source_ip, request_id, received)?;
        let announced = usize::try_from(body.size_hint().lower()).map_err(|_| TOO_LARGE)?;
        let max = match self.service.admits(&request, announced) {
            Ok(max) => max,
            Err(response) => return Ok(response),
        };
        if announced > max {
            return Err(TOO_LARGE);
        }
        let mut bytes = self.room.nothing();
        let read = tokio::select! {
            biased;
            read = self.body(body, (announced, max), &mut bytes, conn) => read,
            told = conn.told() => {
                return Err(told.refusal());
            }
        };
        request.body = match read {
            Ok(read) => read,
            // The hook answers as if the length had been announced.
            Err(Refusal { problem: Problem::TooLarge, .. }) => {
                return self.service.admits(&request, usize::MAX).err().ok_or(TOO_LARGE);
            }
            Err(refusal) => return Err(refusal),
        };
        *has_come = true;
        let _place = self.room.enter().ok_or(full("MAX_IN_FLIGHT requests are being served"))?;
        conn.goes_to(State::Service);
        // Boxed once: each layer around the future would copy it, and it is large.
        let answer = lent.to(self.stopping.clone().to(Box::pin(call(&self.service, request))));
        tokio::select! {
            response = answer => {
                // A handshake proves nothing: some are answered to anybody.
                if response.is_ack {
                    conn.proves_genuine();
                }
                Ok(response)
            }
            () = self.last_call() => Err(full("the process stops, and its time for answers is over")),
        }
    }

    /// Waits until unanswered requests have to be refused.
    async fn last_call(&self) {
        let end = self.stopping.announced().await;
        sleep_until(end + LAST_CALL).await;
    }

    fn head(
        &self,
        head: &http::request::Parts,
        source_ip: Option<IpAddr>,
        request_id: &str,
        received: Instant,
    ) -> Result<Request, Refusal> {
        let headers: crate::http::Headers =
            head.headers.iter().map(|(n, v)| (n.as_str(), Bytes::copy_from_slice(v.as_bytes()))).collect();
        let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
        if headers.len() > self.limits.headers || headers.size() + target > self.limits.head_bytes {
            return Err(Refusal {
                problem: Problem::HeadersTooLarge,
                reason: "the head has too many fields or bytes",
            });
        }
        // Two servers on the way may have gone by different ones (RFC 9112 3.2).
        if headers.all(http::header::HOST.as_str()).nth(1).is_some() {
            return Err(Refusal { problem: Problem::Malformed, reason: "the head has several Host fields" });
        }
        Ok(Request {
            method: head.method.as_str().to_owned(),
            path: head.uri.path().to_owned(),
            raw_query: head.uri.query().unwrap_or_default().to_owned(),
            headers: headers.without_platforms(),
            body: Bytes::new(),
            request_id: request_id.to_owned(),
            received,
            source_ip,
            deadline: None,
        })
    }

    /// Reads the body, which takes its room and its memory as it arrives, regardless of the announced length.
    async fn body(
        &self,
        body: &mut Incoming,
        (announced, max): (usize, usize),
        held: &mut Held<'_>,
        conn: &Conn,
    ) -> Result<Bytes, Refusal> {
        let mut collected = BytesMut::with_capacity(announced.min(FIRST_PIECE));
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| BROKEN)?.into_data() else { continue };
            if collected.len() + data.len() > max {
                return Err(TOO_LARGE);
            }
            self.reserve(held, data.len(), conn).await?;
            conn.holds(held.bytes());
            if collected.capacity() - collected.len() < data.len() {
                // Memory grows by a quarter, so that the allocated size is little more than the counted size.
                let more = (collected.len() / 4).max(FIRST_PIECE);
                let rest = announced.saturating_sub(collected.len()).min(more);
                collected.reserve(rest.max(data.len()));
            }
            collected.extend_from_slice(&data);
        }
        Ok(collected.freeze())
    }

    /// Takes room for more bytes of a body. If there is none, the slowest bodies give way.
    async fn reserve(&self, held: &mut Held<'_>, bytes: usize, conn: &Conn) -> Result<(), Refusal> {
        let none = full("the bodies that are arriving and being served take MAX_IN_FLIGHT_BYTES");
        if held.take(bytes) {
            return Ok(());
        }
        if !self.connections.make_bytes(bytes, self.room.most().bytes, conn) {
            return Err(none);
        }
        match timeout(GIVEN_BACK, held.wait_for(bytes)).await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(none),
        }
    }
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
