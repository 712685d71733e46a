//! An S3 with one bucket, for tests and benchmarks: it checks requests as AWS does, and the cost of a
//! listing's page depends on the page, not on the bucket.
//!
//! It serves `PUT` (with `If-None-Match: *`), `GET`, `HEAD`, `DELETE` of `/{bucket}/{key}`, and `ListObjects`
//! in its first version (`prefix`, `marker`, `max-keys`, `delimiter`). Any other request is answered 501, so
//! that no client relies on a missing function. For control, the server also serves two unsigned paths,
//! because no bucket is called `_`: `GET /_/counts` (requests by kind, and objects by the first segment of
//! their keys) and `POST /_/objects` (one object a line: key, tab, content). It checks the signature, the
//! time, and both digests of a body; the code that checks signatures differs from the code that clients sign
//! with.

mod check;
mod control;
mod listing;

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header, request};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

use crate::{Clock, sample};

/// Upper bound on the size of an object, in bytes.
const MAX_OBJECT: usize = 64 << 20;

/// Settings of an [`S3`]. Start from [`S3Config::default`].
#[derive(Clone)]
pub struct S3Config {
    /// Name of the only bucket.
    pub bucket: String,
    /// Region of the bucket.
    pub region: String,
    /// Id of the access key, which has all permissions.
    pub access_key: String,
    /// Secret of the access key.
    pub secret_key: String,
    /// The clock that limits the age of signatures and dates objects.
    pub clock: Clock,
    /// Handling of `If-None-Match: *`.
    pub conditions: Conditions,
    /// Order of the keys in a listing.
    pub order: ListingOrder,
    /// Additional time for each page of a listing.
    pub page_delay: Duration,
    /// Additional time for any other request.
    pub request_delay: Duration,
}

/// Handling of a conditional write by a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conditions {
    /// The condition is applied.
    Kept,
    /// The condition is ignored, and the object is overwritten.
    Ignored,
    /// The request is refused with 501 `NotImplemented`.
    NotImplemented,
    /// The request is refused with 400 `InvalidArgument`.
    Refused,
}

/// Order in which a store lists its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListingOrder {
    /// Ascending order of the keys' bytes.
    Keys,
    /// Descending order, with a token in `NextMarker` that is not a key.
    Own,
}

/// Numbers of requests with a valid signature by kind, including those refused for another reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct S3Calls {
    /// Number of `PUT` requests.
    pub put: u64,
    /// Number of `GET` requests for an object.
    pub get: u64,
    /// Number of `HEAD` requests.
    pub head: u64,
    /// Number of `DELETE` requests.
    pub delete: u64,
    /// Number of requested pages of listings.
    pub list: u64,
}

/// An object of the bucket.
#[derive(Clone, Debug)]
pub struct S3Object {
    /// Content of the object.
    pub bytes: Bytes,
    /// Time of the last write.
    pub modified: SystemTime,
}

/// A running S3, which stops when it is dropped.
pub struct S3 {
    addr: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    config: S3Config,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, S3Object>,
    calls: S3Calls,
}

impl Default for S3Config {
    /// Returns the settings for a bucket `hooks` in `eu-central-1`, with the [sample](crate::sample)'s access
    /// key and AWS's behaviour.
    fn default() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the one place where the clock starts")]
        let clock: Clock = Arc::new(SystemTime::now);
        Self {
            bucket: "hooks".to_owned(),
            region: "eu-central-1".to_owned(),
            access_key: sample::ACCESS_KEY.to_owned(),
            secret_key: sample::SECRET_ACCESS_KEY.to_owned(),
            clock,
            conditions: Conditions::Kept,
            order: ListingOrder::Keys,
            page_delay: Duration::ZERO,
            request_delay: Duration::ZERO,
        }
    }
}

impl S3 {
    /// Starts an S3 on `listen` (port 0: a free one) and on the current Tokio runtime, which needs its I/O
    /// and time drivers. Fails if the address cannot be bound.
    pub async fn start(listen: SocketAddr, config: S3Config) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared { config, state: Mutex::default() });
        let server = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Ok(Self { addr, shared, server })
    }

    /// Returns the endpoint to configure: `http://address:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Writes an object without a request.
    pub fn insert(&self, key: impl Into<String>, bytes: Bytes) {
        let modified = (self.shared.config.clock)();
        self.shared.state().objects.insert(key.into(), S3Object { bytes, modified });
    }

    /// Returns an object without a request.
    pub fn object(&self, key: &str) -> Option<S3Object> {
        self.shared.state().objects.get(key).cloned()
    }

    /// Returns the number of objects in the bucket.
    pub fn count(&self) -> usize {
        self.shared.state().objects.len()
    }

    /// Returns the numbers of requests so far.
    pub fn calls(&self) -> S3Calls {
        self.shared.state().calls
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(serve_connection(stream, Arc::clone(&shared)));
            }
            // The process is out of descriptors, or the client is gone; neither lasts.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn serve_connection(stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| answer(Arc::clone(&shared), request));
    // An error means that the client left.
    let mut server = http1::Builder::new();
    let _ = server.header_read_timeout(None).serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, io::Error> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, MAX_OBJECT).collect().await;
    let body = body.map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof))?.to_bytes();
    let call =
        Call { shared: &shared, head: &head, query: query(head.uri.query().unwrap_or_default()), body };
    if head.uri.path().starts_with(control::PATH) {
        return Ok(control::handle(&call));
    }
    let done = check::check(&shared.config, &call).and_then(|()| call.run());
    let is_page = done.as_ref().is_ok_and(|done| done.is_page);
    let delay = if is_page { shared.config.page_delay } else { shared.config.request_delay };
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let mut response = done.map_or_else(|refusal| refusal.response(), |done| done.response);
    let date = httpdate::fmt_http_date((shared.config.clock)());
    if let Ok(date) = HeaderValue::from_str(&date) {
        response.headers_mut().insert(header::DATE, date);
    }
    if head.method == Method::HEAD {
        let length = HeaderValue::from(response.body().size_hint_exact());
        response.headers_mut().insert(header::CONTENT_LENGTH, length);
        *response.body_mut() = Full::default();
    }
    Ok(response)
}

trait Exact {
    fn size_hint_exact(&self) -> u64;
}

impl Exact for Full<Bytes> {
    fn size_hint_exact(&self) -> u64 {
        http_body::Body::size_hint(self).exact().unwrap_or_default()
    }
}

/// A request with its whole body.
struct Call<'a> {
    shared: &'a Shared,
    head: &'a request::Parts,
    query: Vec<(String, String)>,
    body: Bytes,
}

struct Done {
    response: Response<Full<Bytes>>,
    is_page: bool,
}

/// An error in the form of an S3 answer.
struct Refusal {
    status: u16,
    code: &'static str,
    message: String,
}

impl Refusal {
    fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    fn response(&self) -> Response<Full<Bytes>> {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{}</Code><Message>{}</Message></Error>",
            self.code,
            listing::escape(&self.message)
        );
        response(self.status, "application/xml", body.into())
    }
}

impl Call<'_> {
    fn run(&self) -> Result<Done, Refusal> {
        let path = percent_decode_str(self.head.uri.path()).decode_utf8();
        let path = path.map_err(|_| Refusal::new(400, "InvalidURI", "the path is not UTF-8"))?;
        let (bucket, key) = path.trim_start_matches('/').split_once('/').unwrap_or((&path[1..], ""));
        if bucket != self.shared.config.bucket {
            return Err(Refusal::new(404, "NoSuchBucket", "The specified bucket does not exist"));
        }
        let whole = |response| Ok(Done { response, is_page: false });
        let method = &self.head.method;
        if key.is_empty() {
            return match *method {
                Method::GET => self.list(),
                _ => Err(unknown("a bucket of another kind")),
            };
        }
        if let Some((name, _)) = self.query.first() {
            return Err(unknown(&format!("the parameter {name} of an object")));
        }
        match *method {
            Method::PUT => self.put(key).and_then(whole),
            Method::GET => {
                self.shared.state().calls.get += 1;
                self.get(key).and_then(whole)
            }
            Method::HEAD => {
                self.shared.state().calls.head += 1;
                self.get(key).and_then(whole)
            }
            Method::DELETE => {
                let mut state = self.shared.state();
                state.calls.delete += 1;
                state.objects.remove(key);
                whole(response(204, "application/xml", Bytes::new()))
            }
            _ => Err(unknown("this method")),
        }
    }

    fn put(&self, key: &str) -> Result<Response<Full<Bytes>>, Refusal> {
        let mut state = self.shared.state();
        state.calls.put += 1;
        if key.len() > 1024 {
            return Err(Refusal::new(400, "KeyTooLongError", "Your key is too long"));
        }
        if let Some(condition) = self.head.headers.get(header::IF_NONE_MATCH) {
            match self.shared.config.conditions {
                Conditions::NotImplemented => {
                    return Err(unknown("the header If-None-Match"));
                }
                Conditions::Refused => {
                    let text = "header If-None-Match is not supported";
                    return Err(Refusal::new(400, "InvalidArgument", text));
                }
                Conditions::Kept if condition != "*" => return Err(unknown("a condition other than *")),
                Conditions::Kept if state.objects.contains_key(key) => {
                    let text = "At least one of the pre-conditions you specified did not hold";
                    return Err(Refusal::new(412, "PreconditionFailed", text));
                }
                Conditions::Ignored | Conditions::Kept => {}
            }
        }
        let modified = (self.shared.config.clock)();
        state.objects.insert(key.to_owned(), S3Object { bytes: self.body.clone(), modified });
        let mut response = response(200, "application/xml", Bytes::new());
        tag(&mut response, &self.body);
        Ok(response)
    }

    fn get(&self, key: &str) -> Result<Response<Full<Bytes>>, Refusal> {
        let object = self.shared.state().objects.get(key).cloned();
        let object =
            object.ok_or_else(|| Refusal::new(404, "NoSuchKey", "The specified key does not exist."))?;
        let mut response = response(200, "binary/octet-stream", object.bytes.clone());
        tag(&mut response, &object.bytes);
        if let Ok(date) = HeaderValue::from_str(&httpdate::fmt_http_date(object.modified)) {
            response.headers_mut().insert(header::LAST_MODIFIED, date);
        }
        Ok(response)
    }

    fn list(&self) -> Result<Done, Refusal> {
        let mut state = self.shared.state();
        state.calls.list += 1;
        let asked = listing::Asked::read(&self.query)?;
        let body = listing::page(&state.objects, &asked, &self.shared.config);
        Ok(Done { response: response(200, "application/xml", body.into()), is_page: true })
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unknown(what: &str) -> Refusal {
    let text = format!("A header you provided implies functionality that is not implemented: {what}");
    Refusal::new(501, "NotImplemented", text)
}

fn response(status: u16, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn tag(response: &mut Response<Full<Bytes>>, bytes: &[u8]) {
    let tag = format!("\"{}\"", check::md5_hex(bytes));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
}

/// Parses a query into decoded names and values.
fn query(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(n, v)| (decode(n), decode(v)))
        .collect()
}
