//! HTTP/1.1 to a vendor: connections that outlive an invocation, and errors that tell whether the
//! request can have arrived.
//!
//! Written on hyper's connection rather than on a pooled client, for three things that a pool hides:
//! the moment at which writing begins (before it, a message cannot have been stored), a connection
//! that is new for sure (for a retry), and one that is opened without a request (`PREWARM`).
//! Redirects are answers like any other; nothing is retried here except a request that a dead idle
//! connection never began to write.

use std::collections::HashMap;
use std::future::Future;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

use super::EnvProblem;
use super::answer::Answer;
use super::endpoint::Endpoint;
use super::tls::{BoxError, Connector};
use crate::env::Env;

/// DNS, TCP and TLS together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// For an idle connection to be ready for a request. One that was answered before it had written all
/// of the last request may never be.
const READY_TIMEOUT: Duration = Duration::from_millis(50);

/// Shorter than the servers' own limits, so that an idle connection is seldom one they gave up.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// Idle connections kept to one endpoint. A Lambda sandbox has one request under way and so never more than
/// one connection; a redriver has so many sends at a time, and with fewer would open a connection for every
/// third of them. None is kept for long.
const MAX_IDLE: usize = 32;

/// Connections to one endpoint at a time, by default: as many as the HTTP host takes requests.
const MAX_CONNECTIONS: usize = 256;

/// Header fields of an answer: ten times those that any of the vendors writes. What is over hyper's
/// hundred would be an answer that nobody reads, and a copy of the message each time.
const MAX_FIELDS: usize = 1000;

/// What a [`Transport`] reads of the environment.
pub(crate) const VARIABLES: [&str; 3] = ["TLS_CA_FILE", "HTTPS_PROXY", "MAX_CONNECTIONS"];

/// Our name, in a form that `X-TC-RequestClient` takes too.
pub(super) const USER_AGENT: &str = concat!("hookmq-", env!("CARGO_PKG_VERSION"));

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

/// An idle connection and since when.
type Idle = (Sender, Instant);

/// Connections to the vendors; clones share them.
#[derive(Clone)]
pub(crate) struct Transport {
    env: Env,
    connector: Arc<RwLock<Result<Connector, EnvProblem>>>,
    most: usize,
    pools: Arc<Mutex<HashMap<Endpoint, Pool>>>,
}

/// Connections to one endpoint. Behind a network address translation they are few: each takes one of its
/// ports, and there a connection that nobody uses is cut without a word, so none is kept for long.
struct Pool {
    idle: Vec<Idle>,
    /// One for each connection that may be in use.
    slots: Arc<Semaphore>,
}

impl Transport {
    /// Reads `TLS_CA_FILE`, `HTTPS_PROXY` and `MAX_CONNECTIONS`; what is wrong with them is
    /// [`problem`](Self::problem)'s.
    pub(crate) fn new(env: &Env) -> Self {
        let (connector, most) = match most(env) {
            Ok(most) => (Connector::new(env), most),
            Err(problem) => (Err(problem), MAX_CONNECTIONS),
        };
        let connector = Arc::new(RwLock::new(connector));
        Self { env: env.clone(), connector, most, pools: Arc::default() }
    }

    /// What is wrong with the environment: no connection can be made then.
    pub(crate) fn problem(&self) -> Option<EnvProblem> {
        self.connector().err()
    }

    /// Read anew while it is of no use: a file may have been mended.
    fn connector(&self) -> Result<Connector, EnvProblem> {
        let made = self.connector.read().unwrap_or_else(PoisonError::into_inner).clone();
        if made.is_ok() {
            return made;
        }
        let made = most(&self.env).and_then(|_| Connector::new(&self.env))?;
        tracing::info!("what was wrong with connections is mended");
        *self.connector.write().unwrap_or_else(PoisonError::into_inner) = Ok(made.clone());
        Ok(made)
    }

    /// Whether a proxy stands between.
    pub(super) fn tunnels(&self, endpoint: &Endpoint) -> bool {
        self.connector().is_ok_and(|connector| connector.tunnels(endpoint))
    }

    /// Opens a connection for the next [`send`](Self::send). Failure is no error: that will try again.
    /// Whether it is open.
    pub(crate) async fn prewarm(&self, endpoint: &Endpoint) -> bool {
        let sender = self.connect(endpoint).await;
        sender.map(|sender| self.put_back(endpoint, sender)).is_ok()
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(&self, call: Call<'_>) -> Result<Answer, TransportError> {
        let failed = |why| TransportError::Connect(call.endpoint.to_string(), why);
        if call.fresh {
            self.pool(call.endpoint, |pool| pool.idle.clear());
        }
        let slots = self.pool(call.endpoint, |pool| Arc::clone(&pool.slots));
        let slot = timeout_at(call.deadline, slots.acquire()).await;
        let Ok(Ok(_slot)) = slot else { return Err(TransportError::Busy) };
        loop {
            let idle = if call.fresh { None } else { self.take(call.endpoint) };
            let reused = idle.is_some();
            let mut sender = if let Some(mut sender) = idle {
                let until = call.deadline.min(Instant::now() + READY_TIMEOUT);
                match timeout_at(until, sender.ready()).await {
                    Ok(Ok(())) => sender,
                    _ => continue, // closed while idle, or busy
                }
            } else {
                let connected = timeout_at(call.deadline, self.connect(call.endpoint)).await;
                connected.unwrap_or_else(|_| Err("timed out".to_owned())).map_err(failed)?
            };
            let answer = timeout_at(call.deadline, exchange(&mut sender, request(&call), call.limit)).await;
            match answer.map_err(|_| TransportError::TimedOut)? {
                Ok(answer) => {
                    self.put_back(call.endpoint, sender);
                    return Ok(answer);
                }
                Err(Interrupted::Unwritten) if reused => {} // closed while idle
                Err(Interrupted::Unwritten) => return Err(failed("closed at once".to_owned())),
                Err(Interrupted::Failed(error)) => return Err(error),
            }
        }
    }

    fn connect(&self, endpoint: &Endpoint) -> impl Future<Output = Result<Sender, String>> {
        let connecting = async {
            let connector = self.connector().map_err(|problem| problem.to_string())?;
            let stream = connector.connect(endpoint).await.map_err(|e| chain(&*e))?;
            let (sender, connection) = protocol().handshake(stream).await.map_err(|e| e.to_string())?;
            // Its errors reach the request that is under way; between requests they are nobody's.
            tokio::spawn(async move { drop(connection.await) });
            Ok(sender)
        };
        async { timeout(CONNECT_TIMEOUT, connecting).await.unwrap_or_else(|_| Err("timed out".to_owned())) }
    }

    /// The connection used last, unless it has been idle for too long.
    fn take(&self, endpoint: &Endpoint) -> Option<Sender> {
        let (sender, since) = self.pool(endpoint, |pool| pool.idle.pop())?;
        (since.elapsed() < IDLE_TIMEOUT && !sender.is_closed()).then_some(sender)
    }

    fn put_back(&self, endpoint: &Endpoint, sender: Sender) {
        self.pool(endpoint, |Pool { idle, .. }| {
            idle.retain(|(sender, since)| since.elapsed() < IDLE_TIMEOUT && !sender.is_closed());
            if idle.len() < MAX_IDLE {
                idle.push((sender, Instant::now()));
            }
        });
    }

    fn pool<T>(&self, endpoint: &Endpoint, with: impl FnOnce(&mut Pool) -> T) -> T {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get_mut(endpoint) {
            return with(pool);
        }
        let pool = Pool { idle: Vec::new(), slots: Arc::new(Semaphore::new(self.most)) };
        with(pools.entry(endpoint.clone()).or_insert(pool))
    }
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
    let variable = "MAX_CONNECTIONS";
    let Some(text) = env.get(variable) else { return Ok(MAX_CONNECTIONS) };
    let most = text.parse().ok().filter(|most| (1..=65_535).contains(most));
    most.ok_or_else(|| EnvProblem { variable, message: "is no number from 1 to 65535".to_owned() })
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

/// An error and its causes, each once.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
