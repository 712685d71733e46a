//! HTTP/1.1 requests with connections that outlive an invocation, and with errors that tell if the request
//! can have arrived.
//!
//! The module uses hyper's connection rather than a pooled client, for three things that a pool hides: the
//! moment at which writing begins (before it, a message cannot have been stored), a connection that is
//! certainly new (for a retry), and the opening of a connection without a request (`PREWARM`). Redirects are
//! ordinary answers. Only a request that a dead idle connection never began to write is retried here.

use std::io::ErrorKind;
use std::ops::RangeInclusive;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use tokio::time::{Instant, timeout, timeout_at};

use super::answer::Answer;
use super::endpoint::Endpoint;
use super::fault::{ConnectError, chain};
use super::names::Names;
use super::pool::{Connection, Pools};
use super::tls::{BoxError, CA_FILE, Connector, PROXIES};
use crate::env::{Env, EnvProblem};
use crate::reader::parse_duration;
use crate::tasks::spawn;

/// Lower and upper bound on the time to wait for a connection: name, TCP, TLS and a proxy together. Unless
/// `CONNECT_TIMEOUT` is set, it is half of the request's time within these bounds: enough for a proxy or a
/// distant server, but short enough to know that another attempt is better.
const PATIENCE: RangeInclusive<Duration> = Duration::from_secs(3)..=Duration::from_secs(5);

/// Range of `CONNECT_TIMEOUT`.
const SETTABLE: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);

/// Time limit for making a connection, which may serve a later request: a name server that answers only
/// half of its questions takes fifteen seconds.
const MAKING: Duration = Duration::from_secs(30);

/// Time limit for an idle connection to become ready for a request. A connection that was answered before the
/// request was completely written may never become ready.
const READY_TIMEOUT: Duration = Duration::from_millis(50);

/// Default for the connections to one endpoint: as many as the HTTP host takes requests.
const MAX_CONNECTIONS: usize = 256;

/// Upper bound on header fields of an answer, ten times those of any vendor. Beyond hyper's default of a
/// hundred, the answer could not be read, which would make a copy of the message each time.
const MAX_FIELDS: usize = 1000;

/// Names of the variables that a [`Transport`] reads.
pub(crate) const VARIABLES: [&[&str]; 2] = [&[CA_FILE, "MAX_CONNECTIONS", "CONNECT_TIMEOUT"], &PROXIES];

/// Name of this client, in a form that `X-TC-RequestClient` takes too.
pub(crate) const USER_AGENT: &str = concat!("hookmq-", env!("CARGO_PKG_VERSION"));

/// Headers whose values are never printed.
const SENSITIVE: [&str; 6] = [
    "authorization",
    "x-amz-security-token",
    "x-auth-token",
    "x-aws-parameters-secrets-token",
    "x-security-token",
    "x-tc-token",
];

/// Request of one attempt.
pub(crate) struct Call<'a> {
    pub method: http::Method,
    pub endpoint: &'a Endpoint,
    /// Path and query of the request.
    pub path_and_query: &'a str,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Upper bound on the answer's body, in bytes.
    pub limit: usize,
    /// Time limit for reading the answer's last byte.
    pub deadline: Instant,
    /// True if the request needs a new connection; the idle ones to this endpoint are then forgotten.
    pub fresh: bool,
}

/// Failure to get an answer. It holds no part of the request.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum TransportError {
    /// Failed connection: no byte was written, so the message cannot have been stored.
    #[error("cannot connect to {0}: {1}")]
    Connect(String, String),
    /// Lasting reason against a connection: no byte was written, and each repetition would fail in the same
    /// way.
    #[error("{0} cannot be used: {1}")]
    Unusable(String, String),
    /// Lack of a free connection in time: no byte was written.
    #[error("no connection became free in time: MAX_CONNECTIONS allows no more")]
    Busy,
    /// Connection that broke after writing began.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// Missing or incomplete answer at the deadline, after writing began.
    #[error("no answer in time")]
    TimedOut,
    /// Answer that is not HTTP: its content is lost.
    #[error("the answer cannot be read: {0}")]
    Unreadable(String),
    /// Answer that is too long to come from the API.
    #[error("the answer is over {0} bytes")]
    TooLong(usize),
}

type Sender = SendRequest<Full<Bytes>>;

impl Connection for Sender {
    fn is_closed(&self) -> bool {
        Self::is_closed(self)
    }
}

/// Client for HTTP requests, with kept connections. Clones share them.
#[derive(Clone)]
pub(crate) struct Transport {
    opener: Opener,
    /// Time to wait for a connection, if `CONNECT_TIMEOUT` is set.
    patience: Option<Duration>,
    pools: Pools<Sender>,
}

impl Transport {
    /// Reads `TLS_CA_FILE`, the proxy's variables, `MAX_CONNECTIONS` and `CONNECT_TIMEOUT`;
    /// [`problem`](Self::problem) reports wrong values.
    pub(crate) fn new(env: &Env) -> Self {
        Self::over(env, Names::chosen())
    }

    /// Creates a transport to a store, with the stores' resolver.
    pub(crate) fn to_store(env: &Env) -> Self {
        Self::over(env, Names::of_stores())
    }

    /// Creates a transport to hosts that messages name, with the resolver for such names.
    pub(crate) fn to_strangers(env: &Env) -> Self {
        Self::over(env, Names::brought())
    }

    fn over(env: &Env, names: Names) -> Self {
        let (most, patience) = limits(env).unwrap_or((MAX_CONNECTIONS, None));
        let opener = Opener::new(env, names);
        let making = patience.unwrap_or_default().max(MAKING);
        let known = opener.clone();
        let connect = move |endpoint: &Endpoint| {
            let (connector, endpoint) = (known.connector(), endpoint.clone());
            async move { connect(connector, &endpoint).await }.boxed()
        };
        Self { opener, patience, pools: Pools::new(Box::new(connect), most, making) }
    }

    /// Returns the problem with the environment, if there is one: no connection can be made then.
    pub(crate) fn problem(&self) -> Option<EnvProblem> {
        self.opener.connector().err()
    }

    /// Returns the maker of connections, to measure the route; `None` if the environment is wrong.
    pub(crate) fn connector(&self) -> Option<Connector> {
        self.opener.connector().ok()
    }

    /// Opens a connection for the next [`send`](Self::send), and returns true if it is open. A failure is not
    /// an error: `send` will connect again.
    pub(crate) async fn prewarm(&self, endpoint: &Endpoint) -> bool {
        let made = timeout(self.patience.unwrap_or(*PATIENCE.start()), self.pools.make(endpoint)).await;
        made.is_ok_and(|made| made.map(|made| self.pools.put_back(endpoint, made.connection)).is_ok())
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(&self, call: Call<'_>) -> Result<Answer, TransportError> {
        let failed = |why| TransportError::Connect(call.endpoint.to_string(), why);
        if call.fresh {
            self.pools.forget(call.endpoint);
        }
        let slots = self.pools.slots(call.endpoint);
        let slot = timeout_at(call.deadline, slots.acquire()).await;
        let Ok(Ok(_slot)) = slot else { return Err(TransportError::Busy) };
        let begun = Instant::now();
        loop {
            let idle = if call.fresh { None } else { self.pools.take(call.endpoint) };
            let (mut sender, is_new) = if let Some(mut sender) = idle {
                let until = call.deadline.min(Instant::now() + READY_TIMEOUT);
                match timeout_at(until, sender.ready()).await {
                    Ok(Ok(())) => (sender, false),
                    _ => continue, // closed while idle, or busy
                }
            } else {
                let until = call.deadline.min(begun + self.patience(begun, call.deadline));
                let made = timeout_at(until, self.pools.make(call.endpoint)).await;
                match made.map_err(|_| failed("timed out".to_owned()))? {
                    Ok(made) => (made.connection, made.begun >= begun),
                    Err(ConnectError::Passing(why)) => return Err(failed(why)),
                    Err(ConnectError::Lasting(why)) => {
                        return Err(TransportError::Unusable(call.endpoint.to_string(), why));
                    }
                }
            };
            let answer = timeout_at(call.deadline, exchange(&mut sender, request(&call), call.limit)).await;
            match answer.map_err(|_| TransportError::TimedOut)? {
                Ok(answer) => {
                    self.pools.put_back(call.endpoint, sender);
                    return Ok(answer);
                }
                Err(Interrupted::Unwritten) if !is_new => {} // closed while nobody used it
                Err(Interrupted::Unwritten) => return Err(failed("closed at once".to_owned())),
                Err(Interrupted::Failed(error)) => return Err(error),
            }
        }
    }

    /// Returns the time to wait for a connection, for a request that began at `begun`.
    fn patience(&self, begun: Instant, deadline: Instant) -> Duration {
        let half = deadline.saturating_duration_since(begun) / 2;
        self.patience.unwrap_or_else(|| half.clamp(*PATIENCE.start(), *PATIENCE.end()))
    }
}

/// Maker of connections, read again while the settings are wrong: a file may have been corrected.
#[derive(Clone)]
struct Opener {
    env: Env,
    names: Names,
    made: Arc<RwLock<Result<Connector, EnvProblem>>>,
}

impl Opener {
    fn new(env: &Env, names: Names) -> Self {
        let made = limits(env).and_then(|_| Connector::over(env, names.clone()));
        Self { env: env.clone(), names, made: Arc::new(RwLock::new(made)) }
    }

    fn connector(&self) -> Result<Connector, EnvProblem> {
        let made = self.made.read().unwrap_or_else(PoisonError::into_inner).clone();
        if made.is_ok() {
            return made;
        }
        let made = limits(&self.env).and_then(|_| Connector::over(&self.env, self.names.clone()))?;
        tracing::info!("the settings for connections can be used now");
        *self.made.write().unwrap_or_else(PoisonError::into_inner) = Ok(made.clone());
        Ok(made)
    }
}

/// Opens a connection, ready for a request.
async fn connect(
    connector: Result<Connector, EnvProblem>,
    endpoint: &Endpoint,
) -> Result<Sender, ConnectError> {
    let connector = connector.map_err(|problem| ConnectError::Lasting(problem.to_string()))?;
    let stream = connector.connect(endpoint).await?;
    let handshake = protocol().handshake(stream).await;
    let (sender, connection) = handshake.map_err(|error| ConnectError::Passing(error.to_string()))?;
    // The connection's errors reach the request under way; between requests they concern no request.
    spawn(Box::pin(async move { drop(connection.await) }));
    Ok(sender)
}

/// Configures HTTP/1.1 with tolerance: proxies write invalid header fields, and the rest of the answer must
/// not be lost for that.
fn protocol() -> Builder {
    let mut builder = Builder::new();
    builder
        .max_headers(MAX_FIELDS)
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .ignore_invalid_headers_in_responses(true);
    builder
}

/// Reads `MAX_CONNECTIONS`, the upper bound on connections to one endpoint.
pub(crate) fn most(env: &Env) -> Result<usize, EnvProblem> {
    let count = |text: &str| text.parse().ok().filter(|most| (1..=65_535).contains(most));
    EnvProblem::or_value(env, "MAX_CONNECTIONS", MAX_CONNECTIONS, count, "is not a number from 1 to 65535")
}

/// Reads `MAX_CONNECTIONS` and `CONNECT_TIMEOUT`.
fn limits(env: &Env) -> Result<(usize, Option<Duration>), EnvProblem> {
    let most = most(env)?;
    let time = |text: &str| parse_duration(text).filter(|patience| SETTABLE.contains(patience)).map(Some);
    let is_no_time = "is not a duration from 100ms to 1m";
    Ok((most, EnvProblem::or_value(env, "CONNECT_TIMEOUT", None, time, is_no_time)?))
}

/// Builds header fields, the client's name included. Values come from the environment, where they were
/// checked, or from answers' headers; an invalid value would be left out.
pub(crate) fn headers<'a>(fields: impl IntoIterator<Item = (&'static str, &'a str)>) -> HeaderMap {
    collected(&mut fields.into_iter())
}

/// Collects header fields of any kind of iterator by code that stands in a binary once.
fn collected(fields: &mut dyn Iterator<Item = (&'static str, &str)>) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(16);
    for (name, text) in fields.chain([("user-agent", USER_AGENT)]) {
        if let Ok(mut value) = HeaderValue::from_str(text) {
            value.set_sensitive(SENSITIVE.contains(&name));
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    headers
}

fn request(call: &Call<'_>) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(call.body.clone()));
    *request.method_mut() = call.method.clone();
    *request.uri_mut() = call.path_and_query.parse().unwrap_or_default();
    *request.headers_mut() = call.headers.clone();
    if let Ok(host) = HeaderValue::from_str(call.endpoint.host()) {
        request.headers_mut().insert(http::header::HOST, host);
    }
    // A body that a gateway compressed could not be read as the API's.
    request.headers_mut().insert(http::header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    request
}

enum Interrupted {
    /// Failure before the first byte of the request was written.
    Unwritten,
    Failed(TransportError),
}

async fn exchange(
    sender: &mut Sender,
    request: Request<Full<Bytes>>,
    limit: usize,
) -> Result<Answer, Interrupted> {
    let response = sender.try_send_request(request).await.map_err(|mut e| match e.take_message() {
        Some(_) => Interrupted::Unwritten,
        None if e.error().is_parse() => Interrupted::Failed(TransportError::Unreadable(chain(e.error()))),
        None => Interrupted::Failed(TransportError::Broken(chain(e.error()))),
    })?;
    let (head, body) = response.into_parts();
    let body = whole(body, limit).await.map_err(|e| {
        Interrupted::Failed(if e.is::<LengthLimitError>() {
            TransportError::TooLong(limit)
        } else if is_malformed(&*e) {
            TransportError::Unreadable(chain(&*e))
        } else {
            TransportError::Broken(chain(&*e))
        })
    })?;
    Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
}

/// Reads a body piece by piece into one buffer of its size, so that a large body is never in memory twice.
async fn whole(body: Incoming, limit: usize) -> Result<Bytes, BoxError> {
    // Reserved but unwritten memory costs nothing, even if an answer declares a large length.
    let length = usize::try_from(body.size_hint().lower()).unwrap_or(limit).min(limit);
    let (mut body, mut bytes) = (Limited::new(body, limit), Vec::with_capacity(length));
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes.into())
}

/// Returns true if a body breaks the rules (its chunks have no length), rather than ends early.
fn is_malformed(error: &(dyn std::error::Error + 'static)) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<std::io::Error>());
    cause.is_some_and(|io| matches!(io.kind(), ErrorKind::InvalidInput | ErrorKind::InvalidData))
}
