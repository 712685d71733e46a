//! HTTP/1.1 to a vendor: connections that outlive an invocation, and errors that tell whether the
//! request can have arrived.
//!
//! Written on hyper's connection rather than on a pooled client, for three things that a pool hides:
//! the moment at which writing begins (before it, a message cannot have been stored), a connection
//! that is new for sure (for a retry), and one that is opened without a request (`PREWARM`).
//! Redirects are answers like any other; nothing is retried here except a request that a dead idle
//! connection never began to write.

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
use super::tls::{BoxError, Connector};
use crate::env::{Env, EnvProblem};
use crate::reader::parse_duration;

/// How long a request waits for its connection, name, TCP, TLS and a proxy together, unless
/// `CONNECT_TIMEOUT` says otherwise: half of its time, but as long as a proxy or a far line may need, and no
/// longer than it takes to know that another attempt is better.
const PATIENCE: RangeInclusive<Duration> = Duration::from_secs(3)..=Duration::from_secs(5);

/// What `CONNECT_TIMEOUT` may be.
const SETTABLE: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);

/// How long a connection may be in the making, for whoever waits for it by then: a name server that answers
/// only half of what it is asked takes fifteen seconds.
const MAKING: Duration = Duration::from_secs(30);

/// For an idle connection to be ready for a request. One that was answered before it had written all
/// of the last request may never be.
const READY_TIMEOUT: Duration = Duration::from_millis(50);

/// Connections to one endpoint at a time, by default: as many as the HTTP host takes requests.
const MAX_CONNECTIONS: usize = 256;

/// Header fields of an answer: ten times those that any of the vendors writes. What is over hyper's
/// hundred would be an answer that nobody reads, and a copy of the message each time.
const MAX_FIELDS: usize = 1000;

/// What a [`Transport`] reads of the environment.
pub(crate) const VARIABLES: [&str; 4] = ["TLS_CA_FILE", "HTTPS_PROXY", "MAX_CONNECTIONS", "CONNECT_TIMEOUT"];

/// Our name, in a form that `X-TC-RequestClient` takes too.
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

/// One request of one attempt.
pub(crate) struct Call<'a> {
    pub method: http::Method,
    pub endpoint: &'a Endpoint,
    /// Path and query.
    pub target: &'a str,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Most bytes of an answer's body that are read.
    pub limit: usize,
    /// When the answer's last byte must have been read.
    pub deadline: Instant,
    /// Use no connection that is open already, and forget those to this endpoint.
    pub fresh: bool,
}

/// Why there is no answer. None of them holds anything of the request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    /// Nothing was written: the message cannot have been stored.
    #[error("cannot connect to {0}: {1}")]
    Connect(String, String),
    /// Nothing was written, and no repetition mends why.
    #[error("{0} cannot be used: {1}")]
    Unusable(String, String),
    /// Nothing was written: no connection became free in time.
    #[error("no connection became free in time: MAX_CONNECTIONS allows no more")]
    Busy,
    /// The connection broke after writing began.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// No complete answer in time, after writing began.
    #[error("no answer in time")]
    TimedOut,
    /// An answer that is no HTTP: whatever it says is lost.
    #[error("the answer cannot be read: {0}")]
    Unreadable(String),
    /// An answer so long that it is none of the API's.
    #[error("the answer is over {0} bytes")]
    TooLong(usize),
}

type Sender = SendRequest<Full<Bytes>>;

impl Connection for Sender {
    fn is_closed(&self) -> bool {
        Self::is_closed(self)
    }
}

/// Connections to the vendors; clones share them.
#[derive(Clone)]
pub(crate) struct Transport {
    opener: Opener,
    /// How long a connection is waited for, where that is set.
    patience: Option<Duration>,
    pools: Pools<Sender>,
}

impl Transport {
    /// Reads `TLS_CA_FILE`, `HTTPS_PROXY`, `MAX_CONNECTIONS` and `CONNECT_TIMEOUT`; what is wrong with
    /// them is [`problem`](Self::problem)'s.
    pub(crate) fn new(env: &Env) -> Self {
        Self::over(env, Names::chosen())
    }

    /// The same, for a store.
    pub(crate) fn to_store(env: &Env) -> Self {
        Self::over(env, Names::of_stores())
    }

    /// The same, for names that messages bring along.
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

    /// What is wrong with the environment: no connection can be made then.
    pub(crate) fn problem(&self) -> Option<EnvProblem> {
        self.opener.connector().err()
    }

    /// The maker of connections, for measuring the way; `None` if the environment is wrong.
    pub(crate) fn connector(&self) -> Option<Connector> {
        self.opener.connector().ok()
    }

    /// Opens a connection for the next [`send`](Self::send). Failure is no error: that will try again.
    /// Whether it is open.
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

    /// How long a request that began then waits for a connection.
    fn patience(&self, begun: Instant, deadline: Instant) -> Duration {
        let half = deadline.saturating_duration_since(begun) / 2;
        self.patience.unwrap_or_else(|| half.clamp(*PATIENCE.start(), *PATIENCE.end()))
    }
}

/// The maker of connections, read anew while it is of no use: a file may have been mended.
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
        tracing::info!("what was wrong with connections is mended");
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
    // Its errors reach the request that is under way; between requests they are nobody's.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

/// HTTP/1.1 as it is met: a field of the head that is written against the rules, which proxies do, is no
/// reason to lose what the answer says.
fn protocol() -> Builder {
    let mut builder = Builder::new();
    builder
        .max_headers(MAX_FIELDS)
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .ignore_invalid_headers_in_responses(true);
    builder
}

/// `MAX_CONNECTIONS`: connections to one endpoint at a time.
pub(crate) fn most(env: &Env) -> Result<usize, EnvProblem> {
    let count = |text: &str| text.parse().ok().filter(|most| (1..=65_535).contains(most));
    EnvProblem::or_value(env, "MAX_CONNECTIONS", MAX_CONNECTIONS, count, "is no number from 1 to 65535")
}

/// `MAX_CONNECTIONS` and `CONNECT_TIMEOUT`.
fn limits(env: &Env) -> Result<(usize, Option<Duration>), EnvProblem> {
    let most = most(env)?;
    let time = |text: &str| parse_duration(text).filter(|patience| SETTABLE.contains(patience)).map(Some);
    let is_no_time = "is no duration from 100ms to 1m";
    Ok((most, EnvProblem::or_value(env, "CONNECT_TIMEOUT", None, time, is_no_time)?))
}

/// Header fields, our name among them. Values come from the environment, where they were checked, or
/// from answers' headers; what were no header's value would be left out.
pub(crate) fn headers<'a>(fields: impl IntoIterator<Item = (&'static str, &'a str)>) -> HeaderMap {
    let fields = fields.into_iter().chain([("user-agent", USER_AGENT)]);
    let value = |name, value| {
        let mut value = HeaderValue::from_str(value).ok()?;
        value.set_sensitive(SENSITIVE.contains(&name));
        Some((HeaderName::from_static(name), value))
    };
    fields.filter_map(|(name, text)| value(name, text)).collect()
}

fn request(call: &Call<'_>) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(call.body.clone()));
    *request.method_mut() = call.method.clone();
    *request.uri_mut() = call.target.parse().unwrap_or_default();
    *request.headers_mut() = call.headers.clone();
    if let Ok(host) = HeaderValue::from_str(call.endpoint.host()) {
        request.headers_mut().insert(http::header::HOST, host);
    }
    // An answer that some gateway compressed would be no answer of the API's.
    request.headers_mut().insert(http::header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    request
}

enum Interrupted {
    /// Not a byte of the request was written.
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

/// Reads a body as it comes, into memory of its size: a large one is never there twice.
async fn whole(body: Incoming, limit: usize) -> Result<Bytes, BoxError> {
    // Memory that nothing is written to is none, whatever length an answer says it has.
    let length = usize::try_from(body.size_hint().lower()).unwrap_or(limit).min(limit);
    let (mut body, mut bytes) = (Limited::new(body, limit), Vec::with_capacity(length));
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes.into())
}

/// Whether a body came and breaks the rules (its chunks have no length), rather than broke off.
fn is_malformed(error: &(dyn std::error::Error + 'static)) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<std::io::Error>());
    cause.is_some_and(|io| matches!(io.kind(), ErrorKind::InvalidInput | ErrorKind::InvalidData))
}
