//! An S3 of one bucket, for tests and benchmarks: what a client sends is checked as AWS checks it, and
//! a page of a listing costs the page, not the bucket.
//!
//! `PUT` (with `If-None-Match: *`), `GET`, `HEAD`, `DELETE` of `/{bucket}/{key}`, and `ListObjects` in its
//! first version (`prefix`, `marker`, `max-keys`, `delimiter`). Whatever else is asked for is answered
//! 501, so that nobody relies on what is not there. Who runs it may also `GET /_/counts` (requests by kind, and
//! objects by the first segment of their keys) and `POST /_/objects` (one a line: key, tab, content), unsigned: no bucket is called `_`. Signature, time, and both digests of a body are
//! checked, the signature with other code than the clients sign with.

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

/// Bytes of an object at most.
const MAX_OBJECT: usize = 64 << 20;

/// What an [`S3`] accepts, and how it behaves. Start from [`S3Config::default`].
#[derive(Clone)]
pub struct S3Config {
    /// The bucket's name.
    pub bucket: String,
    /// The bucket's region.
    pub region: String,
    /// The key that may do everything.
    pub access_key: String,
    /// Its secret.
    pub secret_key: String,
    /// Measures the age of signatures and dates objects.
    pub clock: Clock,
    /// What becomes of `If-None-Match: *`.
    pub conditions: Conditions,
    /// The order of a listing.
    pub order: ListingOrder,
    /// What each page of a listing takes besides.
    pub page_delay: Duration,
    /// What any other request takes besides.
    pub request_delay: Duration,
}

/// What a store makes of a conditional write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conditions {
    /// It is kept.
    Kept,
    /// It is passed over.
    Ignored,
    /// 501 `NotImplemented`.
    NotImplemented,
    /// 400 `InvalidArgument`.
    Refused,
}

/// The order in which a store lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListingOrder {
    /// That of the keys' bytes.
    Keys,
    /// Backwards, and `NextMarker` is a token that is no key.
    Own,
}

/// Requests that were answered, refused ones included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct S3Calls {
    /// `PUT`.
    pub put: u64,
    /// `GET` of an object.
    pub get: u64,
    /// `HEAD`.
    pub head: u64,
    /// `DELETE`.
    pub delete: u64,
    /// Pages of listings.
    pub list: u64,
}

/// An object.
#[derive(Clone, Debug)]
pub struct S3Object {
    /// What it holds.
    pub bytes: Bytes,
    /// When it was written.
    pub modified: SystemTime,
}

/// A running S3. Dropping it stops it.
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
    /// Bucket `hooks` in `eu-central-1`, the [sample](crate::sample)'s access key, and AWS's behaviour.
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
    /// Listens on `listen` (port 0: a free one) and serves on the current Tokio runtime, which needs its
    /// I/O and time drivers. Fails if the address cannot be bound.
    pub async fn start(listen: SocketAddr, config: S3Config) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared { config, state: Mutex::default() });
        let server = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Ok(Self { addr, shared, server })
    }

    /// The endpoint to configure: `http://address:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Writes an object without a request.
    pub fn insert(&self, key: impl Into<String>, bytes: Bytes) {
        let modified = (self.shared.config.clock)();
        self.shared.state().objects.insert(key.into(), S3Object { bytes, modified });
    }

    /// An object, without a request.
    pub fn object(&self, key: &str) -> Option<S3Object> {
        self.shared.state().objects.get(key).cloned()
    }

    /// Number of objects.
    pub fn count(&self) -> usize {
        self.shared.state().objects.len()
    }

    /// Requests so far.
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
            // Out of descriptors, or a client gone again: neither lasts.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn serve_connection(stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| answer(Arc::clone(&shared), request));
    // An error is a client that left.
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

/// A request, read to its end.
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

/// An error as S3 answers it.
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
        let path = path.map_err(|_| Refusal::new(400, "InvalidURI", "the path is no UTF-8"))?;
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
                Conditions::Kept if condition != "*" => return Err(unknown("another condition than *")),
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

/// Names and values, decoded.
fn query(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(n, v)| (decode(n), decode(v)))
        .collect()
}
