//! Bucket as a store: Amazon S3, and other services with its protocol (Tencent's COS, Huawei's OBS, and
//! more).
//!
//! Requests are signed here and sent over the queues' own transport: there is no second HTTP or TLS stack,
//! and nothing is set up before the first call. Both kinds of store together are 72 kB of a zipped forwarder;
//! a library that only signs URLs and reads listings would be 204 kB, and 42 crates.
//!
//! A new object is written with `If-None-Match: *`. A store may not support the condition: it reports so, it
//! refuses the request and accepts it without the condition, or it ignores the condition. Such a store
//! replaces the existing object; that is harmless, because a name is derived from the content, and the answer
//! is then [`Written::Created`]. A write is confirmed if the answer is 200 and has an `ETag`; the body's
//! digests are in the signed headers, so that a store refuses a body that was cut short or altered on the
//! way.
//!
//! Every request may be repeated, and is retried until the deadline with full jitter: after a broken
//! connection, a server error, throttling, or a temporary refusal (a conflict, a lock). If a conflict about a
//! new object does not end, a look at the object tells if it exists. If the store reports that this process's
//! clock is wrong, the clock is corrected once, by the store's, for the rest of the process.
//!
//! One temporary redirect is followed within the store's own domain, signed for the new host.
//!
//! Without `s3:ListBucket` a missing object looks like a forbidden one.

mod answer;
mod listing;
mod settings;
pub mod sign;

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Method;
use md5::{Digest as _, Md5};
use tokio::time::{Instant, sleep};

use super::{Entry, Folders, MAX_OBJECT, MAX_PAGE, ObjectStore, Page, Put, StoreError, Written};
use crate::clock::Timestamp;
use crate::context::Context;
use crate::env::EnvProblem;
use crate::net::answer::Answer;
use crate::net::digest::{hex, sha256};
use crate::net::endpoint::Endpoint;
use crate::net::transport::{self, Call, Transport, headers};
use crate::queue::credentials::{Credentials, Family, Keyring};
use crate::vault::Vault;
use answer::{Next, S3Failure};
use listing::Listing;
use settings::S3Settings;
#[cfg(feature = "catalog")]
pub(crate) use settings::{ENDPOINT, REGIONS, families};

/// Upper bound on the time of one attempt: enough for the largest object at a megabyte per second, and no
/// more for a connection that went silent.
const MAX_ATTEMPT: Duration = Duration::from_secs(35);

/// Minimum time of one attempt, if that much remains.
const MIN_SHARE: Duration = Duration::from_secs(1);

/// Remaining time below which no attempt is begun, because it could not end.
const MIN_ATTEMPT: Duration = Duration::from_millis(50);

/// First and last range of the random waiting times.
const BASE: Duration = Duration::from_millis(50);
const MAX_WAIT: Duration = Duration::from_secs(5);

/// Upper bound on the correction of the clock, in milliseconds: a store's time further away is not plausible.
const MAX_OFFSET: i64 = 24 * 60 * 60 * 1000;

/// Upper bound on an answer without an object, in bytes: a listing is a megabyte, with keys of the greatest
/// length.
const MAX_ANSWER: usize = 4 * 1024 * 1024;

pub(super) struct S3Store {
    settings: S3Settings,
    context: Context,
    /// Source of credentials that are references.
    vault: Vault,
    transport: OnceLock<Transport>,
    /// Milliseconds that the store's clock is ahead of this process's.
    offset: AtomicI64,
    /// True once the store has shown that it does not support the condition of a new object.
    is_unconditional: AtomicBool,
}

/// Request without time and signature.
struct Request<'a> {
    method: Method,
    /// Name of the object after the prefix; empty for the bucket itself.
    name: &'a str,
    query: &'a [(&'a str, &'a str)],
    body: Bytes,
    /// True if the write must fail when an object of that name exists.
    is_new: bool,
    /// Upper bound on the size of the answer's body, in bytes.
    limit: usize,
}

/// Reader of an answer to an attempt, which had the condition of a new object if the second argument is true.
/// It accepts the answer, refuses it with a failure of its own, or returns `None` for any other failure.
type Read<'a> = dyn Fn(&Answer, bool) -> Option<Result<(), S3Failure>> + Sync + 'a;

/// Properties of an attempt.
struct Exchange<'a> {
    /// True if the attempt has the condition of a new object.
    is_conditional: bool,
    endpoint: &'a Endpoint,
}

impl S3Store {
    pub(super) fn open(variable: &'static str, rest: &str, context: &Context) -> Result<Self, EnvProblem> {
        Ok(Self {
            settings: S3Settings::read(variable, rest, &context.env)?,
            vault: Vault::new(&context.env, &context.clock),
            context: context.clone(),
            transport: OnceLock::new(),
            offset: AtomicI64::new(0),
            is_unconditional: AtomicBool::new(false),
        })
    }

    async fn write(
        &self,
        name: &str,
        body: Bytes,
        rule: Put,
        deadline: Instant,
    ) -> Result<Written, StoreError> {
        let is_new = rule == Put::New;
        let request = Request { method: Method::PUT, name, query: &[], body, is_new, limit: MAX_ANSWER };
        let is_in_conflict = AtomicBool::new(false);
        let read = |answer: &Answer, is_conditional: bool| {
            is_in_conflict.store(answer.status == 409 && is_conditional, Ordering::Relaxed);
            match answer.status {
                200 if answer.header("etag").is_some_and(|tag| !tag.trim().is_empty()) => Some(Ok(())),
                200 => Some(Err(corrupt("a write was answered without an ETag"))),
                412 if is_conditional => Some(Ok(())),
                _ => None,
            }
        };
        let written = self.call(&request, &read, deadline).await;
        // A conflict that does not end may be with the existing object.
        if written.is_err()
            && is_in_conflict.load(Ordering::Relaxed)
            && let Ok(Some(_)) = self.look_at(name, deadline).await
        {
            return Ok(Written::Existed);
        }
        written.map(|answer| if answer.status == 412 { Written::Existed } else { Written::Created })
    }

    async fn read(&self, name: &str, deadline: Instant) -> Result<Option<Bytes>, StoreError> {
        let request = Request { limit: MAX_OBJECT, ..Request::of(Method::GET, name) };
        let read = |answer: &Answer, _: bool| match answer.status {
            // A body without a length ends with the connection, which either side or a fault may have ended.
            200 if is_whole(answer) => Some(Ok(())),
            200 => Some(Err(corrupt("an object came with another length than it has, or without one"))),
            404 if is_no_such_key(answer) => Some(Ok(())),
            _ => None,
        };
        let answer = self.call(&request, &read, deadline).await?;
        Ok(Some(answer.body).filter(|_| answer.status == 200))
    }

    async fn look_at(&self, name: &str, deadline: Instant) -> Result<Option<Entry>, StoreError> {
        let read = |answer: &Answer, _: bool| match answer.status {
            200 if entry(name, answer).is_none() => {
                Some(Err(corrupt("an object was described without its length")))
            }
            // A `HEAD` answer has no body that could tell a missing object from a missing bucket.
            200 | 404 => Some(Ok(())),
            _ => None,
        };
        let answer = self.call(&Request::of(Method::HEAD, name), &read, deadline).await?;
        Ok(entry(name, &answer).filter(|_| answer.status == 200))
    }

    async fn remove(&self, name: &str, deadline: Instant) -> Result<(), StoreError> {
        let read = |answer: &Answer, _: bool| match answer.status {
            200 | 204 => Some(Ok(())),
            404 if is_no_such_key(answer) => Some(Ok(())),
            _ => None,
        };
        self.call(&Request::of(Method::DELETE, name), &read, deadline).await.map(drop)
    }

    /// Requests a page of a listing, with folders if `delimiter` is not empty.
    async fn list_once(
        &self,
        prefix: &str,
        delimiter: &str,
        marker: Option<&str>,
        limit: usize,
        deadline: Instant,
    ) -> Result<Listing, StoreError> {
        let own = &self.settings.prefix;
        let keys = format!("{own}{prefix}");
        let limit = limit.to_string();
        let mut query = vec![("max-keys", limit.as_str()), ("prefix", &keys)];
        query.extend(marker.map(|marker| ("marker", marker)));
        if !delimiter.is_empty() {
            query.push(("delimiter", delimiter));
        }
        let read = |answer: &Answer, _: bool| match answer.status {
            200 if is_whole(answer) => Some(Ok(())),
            200 => Some(Err(corrupt("a listing was cut short"))),
            _ => None,
        };
        let request = Request { query: &query, ..Request::of(Method::GET, "") };
        let answer = self.call(&request, &read, deadline).await?;
        // Another attempt would have the same listing.
        let listing = listing::read(&answer.body, own, prefix, marker).map_err(StoreError::Corrupt)?;
        if listing.unreadable > 0 {
            let entries = listing.unreadable;
            tracing::warn!(store = %self, prefix, entries, "the listing has entries that cannot be read");
        }
        Ok(listing)
    }

    /// Sends a request until `read` accepts an answer, or until no further attempt fits into the time. The code
    /// is the same for all kinds of requests, and stands in a binary once.
    async fn call(
        &self,
        request: &Request<'_>,
        read: &Read<'_>,
        deadline: Instant,
    ) -> Result<Answer, StoreError> {
        let (mut attempts, mut is_fresh) = (0_u32, false);
        let (mut is_corrected, mut is_renewed, mut is_suspected) = (false, false, false);
        let mut is_conditional = request.is_new && !self.is_unconditional.load(Ordering::Relaxed);
        let (mut last, mut moved) = (StoreError::TimedOut, None);
        loop {
            let Some(until) = attempt_deadline(deadline) else { return Err(last) };
            let credentials = self.credentials(false, until).await?;
            attempts += 1;
            let endpoint = moved.as_ref().unwrap_or(&self.settings.endpoint);
            let sent = Exchange { is_conditional, endpoint };
            let failure = match self.attempt(request, &sent, &credentials, is_fresh, until).await {
                Ok(answer) => match read(&answer, is_conditional) {
                    Some(Ok(())) => {
                        // The store refused the condition and accepted the request without it.
                        if request.is_new && !is_conditional {
                            self.is_unconditional.store(true, Ordering::Relaxed);
                        }
                        return Ok(answer);
                    }
                    Some(Err(failure)) => failure,
                    None => S3Failure::of(&answer, &credentials.secrets()),
                },
                Err(failure) => failure,
            };
            last = failure.error;
            is_fresh = false;
            match failure.next {
                Next::Again(asked) => {
                    let asked = asked.unwrap_or_default();
                    let remaining = deadline.saturating_duration_since(Instant::now());
                    let reserve = if failure.is_conflict { MIN_SHARE } else { MIN_ATTEMPT };
                    let Some(room) = remaining.checked_sub(asked.saturating_add(reserve)) else {
                        return Err(last);
                    };
                    let range = BASE.saturating_mul(1 << (attempts - 1).min(16)).min(MAX_WAIT);
                    sleep(asked + self.context.random.up_to(range.min(room))).await;
                    // The cause of this failure may have broken the other idle connections too.
                    is_fresh = true;
                }
                Next::ByClock(theirs) if !is_corrected && self.learn_offset(theirs) => is_corrected = true,
                // With other credentials, the condition would seem to have been the cause of a refusal.
                Next::WithOtherCredentials
                    if !is_renewed && !is_suspected && self.has_other(&credentials, deadline).await =>
                {
                    is_renewed = true;
                }
                Next::Unconditionally if is_conditional => is_conditional = false,
                Next::Elsewhere(Some(location)) if moved.is_none() => {
                    moved = self.settings.redirected(&location);
                    if moved.is_none() {
                        return Err(last);
                    }
                }
                // The condition is the only part of a write that a store may not support.
                _ if is_conditional && failure.may_be_of_condition => {
                    (is_conditional, is_suspected) = (false, true);
                }
                _ => return Err(last),
            }
        }
    }

    async fn attempt(
        &self,
        request: &Request<'_>,
        sent: &Exchange<'_>,
        credentials: &Credentials,
        is_fresh: bool,
        deadline: Instant,
    ) -> Result<Answer, S3Failure> {
        let transport = self.transport();
        if let Some(problem) = transport.problem() {
            return Err(S3Failure::last(StoreError::Config(problem.to_string())));
        }
        let S3Settings { region, base, prefix, .. } = &self.settings;
        let Exchange { endpoint, is_conditional } = *sent;
        let key = if request.name.is_empty() { "" } else { prefix.as_str() };
        let path = sign::path(&format!("{base}/{key}{}", request.name));
        let query = sign::query(request.query);
        let now = self.context.clock.now().shifted(self.offset.load(Ordering::Relaxed));
        let (date, payload) = (now.basic(), hex(&sha256(&request.body)));
        // Buckets that lock their objects require it; every store checks it.
        let md5 = base64::engine::general_purpose::STANDARD.encode(Md5::digest(&request.body));
        let mut fields = vec![("x-amz-content-sha256", payload.as_str()), ("x-amz-date", &date)];
        fields.extend(credentials.token().map(|token| ("x-amz-security-token", token)));
        if request.method == Method::PUT {
            fields.push(("content-md5", &md5));
        }
        if is_conditional {
            fields.push(("if-none-match", "*"));
        }
        let owners: Vec<_> = self.settings.fields.iter().filter(|_| request.method == Method::PUT).collect();
        let mut signed: Vec<_> = fields.iter().copied().chain([("host", endpoint.host())]).collect();
        signed.extend(owners.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap_or_default())));
        let method = request.method.as_str();
        let head = sign::Head { method, path: &path, query: &query, headers: &signed, payload: &payload };
        let signature = sign::sign(&head, credentials, region, now);
        fields.push(("authorization", &signature.authorization));
        let target = if query.is_empty() { path } else { format!("{path}?{query}") };
        let mut headers = headers(fields);
        for (name, value) in owners {
            headers.insert(name, value.clone());
        }
        let call = Call {
            method: request.method.clone(),
            endpoint,
            path_and_query: &target,
            headers,
            body: request.body.clone(),
            limit: request.limit,
            deadline,
            fresh: is_fresh,
        };
        let failed = |error| S3Failure::transport(&error, request.limit, self.settings.is_in_front);
        transport.send(call).await.map_err(failed)
    }

    fn transport(&self) -> &Transport {
        self.transport.get_or_init(|| Transport::to_store(&self.context.env))
    }

    async fn credentials(&self, refused: bool, deadline: Instant) -> Result<Credentials, StoreError> {
        let mut variables = self.settings.families().flat_map(Family::variables);
        let lenders = self.settings.lenders();
        let env = &self.context.env;
        let keys = Keyring::read(env, &self.vault, &mut variables, lenders, refused, deadline).await;
        self.settings.credentials(keys).map_err(|problem| StoreError::Config(problem.to_string()))
    }

    /// Returns true if the environment now has other credentials than `used`.
    async fn has_other(&self, used: &Credentials, deadline: Instant) -> bool {
        let now = self.credentials(true, deadline).await;
        now.is_ok_and(|now| now.fingerprint() != used.fingerprint())
    }

    /// Adopts the store's clock for the process's signatures. Returns true if the store gave a plausible
    /// time.
    fn learn_offset(&self, theirs: Option<Timestamp>) -> bool {
        let ours = self.context.clock.now().unix_millis();
        let offset = theirs.map(|theirs| theirs.unix_millis().saturating_sub(ours));
        let offset = offset.filter(|offset| offset.abs() <= MAX_OFFSET);
        offset.inspect(|offset| self.offset.store(*offset, Ordering::Relaxed)).is_some()
    }
}

impl ObjectStore for S3Store {
    fn put<'a>(
        &'a self,
        name: &'a str,
        body: Bytes,
        rule: Put,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Written, StoreError>> {
        Box::pin(self.write(name, body, rule, deadline))
    }

    fn get<'a>(
        &'a self,
        name: &'a str,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Option<Bytes>, StoreError>> {
        Box::pin(self.read(name, deadline))
    }

    fn head<'a>(
        &'a self,
        name: &'a str,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        Box::pin(self.look_at(name, deadline))
    }

    fn delete<'a>(&'a self, name: &'a str, deadline: Instant) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.remove(name, deadline))
    }

    fn after(&self, name: &str) -> String {
        format!("{}{name}", self.settings.prefix)
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        Box::pin(async move { Ok(self.list_once(prefix, "", after, limit, deadline).await?.page) })
    }

    fn folders<'a>(
        &'a self,
        prefix: &'a str,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Folders, StoreError>> {
        Box::pin(async move {
            let (mut folders, mut marker) = (Folders::default(), None::<String>);
            loop {
                let listing = self.list_once(prefix, "/", marker.as_deref(), MAX_PAGE, deadline).await?;
                folders.names.extend(listing.folders);
                folders.foreign.join(listing.page.foreign);
                listing.page.entries.iter().for_each(|entry| folders.foreign.add(&entry.name));
                marker = listing.page.next;
                if marker.is_none() {
                    return Ok(folders);
                }
            }
        })
    }

    fn prewarm(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let _ = self.transport().prewarm(&self.settings.endpoint).await;
        })
    }

    fn connects(&self) -> bool {
        true
    }

    fn place(&self) -> String {
        format!("{self} at {}", self.settings.endpoint)
    }

    /// Returns the current problem with the settings. The transport is created for this only if one of its
    /// variables is set.
    fn problem(&self) -> Option<EnvProblem> {
        let env = &self.context.env;
        let is_set = transport::VARIABLES.into_iter().flatten().any(|variable| env.get(variable).is_some());
        let transport = is_set.then(|| self.transport().problem()).flatten();
        transport.or_else(|| self.settings.credentials(Keyring::trusting(env, &self.vault)).err())
    }
}

impl<'a> Request<'a> {
    const fn of(method: Method, name: &'a str) -> Self {
        Self { method, name, query: &[], body: Bytes::new(), is_new: false, limit: MAX_ANSWER }
    }
}

/// URL of bucket and prefix.
impl fmt::Display for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}

fn corrupt(why: &str) -> S3Failure {
    S3Failure::again(StoreError::Corrupt(why.to_owned()))
}

/// Returns true if an answer states the length of its body correctly, or is chunked.
fn is_whole(answer: &Answer) -> bool {
    match answer.header("content-length") {
        Some(length) => length.parse() == Ok(answer.body.len()),
        None => {
            answer.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
        }
    }
}

/// Returns true if the object is missing; any other 404 means a missing bucket, or not a store at all.
fn is_no_such_key(answer: &Answer) -> bool {
    S3Failure::of(answer, &[]).code.as_deref() == Some("NoSuchKey")
}

/// Reads an object's metadata from the headers; an object with an unreadable time still has an entry.
fn entry(name: &str, answer: &Answer) -> Option<Entry> {
    let size = answer.header("content-length")?.parse().ok()?;
    let modified = answer.header("last-modified").and_then(Timestamp::parse_http_date);
    Some(Entry { name: name.to_owned(), size, modified: modified.unwrap_or(Timestamp::from_unix(0)) })
}

/// Returns the deadline of an attempt, after two thirds of the remaining time, so that an attempt on a
/// connection that went silent leaves time for another one. `None` if too little time remains.
fn attempt_deadline(deadline: Instant) -> Option<Instant> {
    let now = Instant::now();
    let remaining = deadline.saturating_duration_since(now);
    let share = (remaining * 2 / 3).clamp(MIN_SHARE, MAX_ATTEMPT);
    (remaining >= MIN_ATTEMPT).then(|| now + share.min(remaining))
}
