//! Certificates, keys and confirmations: the requests that verification needs.
//!
//! Requests use the queue's transport, with limits of their own. Only one request at a time is made to an
//! address, however many deliveries wait for the document. A document is kept for an hour, a failure for
//! seconds. Redirects are not followed.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use crate::env::Env;
use crate::json;
use crate::net::endpoint::Endpoint;
use crate::net::transport::{Call, Transport, headers};
use crate::rate::{Allowance, Rates};
use crate::secret::Secret;
use crate::source::{Address, Fetched, Login};

/// Upper bound on the time from connecting to the last byte. The delivery's deadline lowers the bound.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Upper bound on the size of a certificate chain or key set, in bytes.
const MAX_DOCUMENT: usize = 64 * 1024;

/// Time for which a document is used. Certificates also have validity dates, which are checked each time.
const KEPT: Duration = Duration::from_secs(60 * 60);

/// Pauses before the next attempt: after a failure, and after a success that did not help.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);
const PAUSE_AFTER_SUCCESS: Duration = Duration::from_secs(60);

/// Upper bounds on remembered addresses and on requests in progress, because a sender chooses among the names
/// on a host.
const MAX_ADDRESSES: usize = 64;
const MAX_UNDER_WAY: usize = 8;

/// Upper bound on requests that wait for a document. These requests are not verified yet, and each holds a
/// place in the server.
const MAX_WAITING: usize = 32;

/// Upper bounds on the requests in progress and waiting, per hook and per host. Forged requests may name a
/// host that hangs, and must leave room for other documents. A sender chooses among hosts, and several hooks
/// may name the same host.
const SHARE_UNDER_WAY: usize = 2;
const SHARE_WAITING: usize = 8;

/// Upper bound on the calls with a login to addresses at which nothing was found yet. A sender chooses these
/// addresses before its signature is verified, and a provider counts the calls of each login.
const UNKNOWN: Allowance = Allowance { burst: 30, every: Duration::from_secs(2) };

/// Upper bound on the time for which a token is used, and the time before its end from which it is not.
const TOKEN_KEPT: Duration = Duration::from_secs(2 * 60 * 60);
const TOKEN_MARGIN: Duration = Duration::from_secs(60);

/// Failure to fetch a document. It is never the sender's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FetchError {
    /// Wrong `TLS_CA_FILE` or `HTTPS_PROXY`.
    #[error("{0}")]
    Environment(String),
    #[error("too many requests wait for a document already")]
    Busy,
    #[error("no answer in time")]
    TimedOut,
    #[error("{0}")]
    Transport(String),
    #[error("answered {0}")]
    Status(u16),
    #[error("it holds no key")]
    NoKey,
    /// The provider lends no token: its credentials are wrong, or it fails.
    #[error("no token from {0}: {1}")]
    Token(Address, Box<FetchError>),
}

/// Fetched document and the time of the fetch.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) bytes: Bytes,
    at: Instant,
}

/// Documents and last attempt of an address.
#[derive(Default)]
struct State {
    found: Option<Document>,
    /// Document that `found` replaced, in case `found` turns out to be useless.
    before: Option<Document>,
    /// Time of the last attempt, and the error if it failed.
    tried: Option<(Instant, Option<FetchError>)>,
}

impl State {
    /// Returns the answer that needs no fetch, if there is one: see [`Fetcher::document`].
    fn known(&self, than: Option<&Document>) -> Option<Result<Option<Document>, FetchError>> {
        let is_other = |found: &&Document| than.is_none_or(|than| than.at != found.at);
        let kept = self.found.as_ref().filter(|found| found.at.elapsed() < KEPT);
        if let Some(found) = kept.filter(is_other) {
            return Some(Ok(Some(found.clone())));
        }
        match &self.tried {
            Some((at, Some(error))) if at.elapsed() < PAUSE_AFTER_FAILURE => Some(Err(error.clone())),
            Some((at, None)) if at.elapsed() < PAUSE_AFTER_SUCCESS && than.is_some() => Some(Ok(None)),
            _ => None,
        }
    }
}

/// Address whose state can be read while another request fetches from it.
#[derive(Default)]
struct Place {
    state: Mutex<State>,
    fetching: tokio::sync::Mutex<()>,
}

impl Place {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Slot = Arc<Place>;

/// Semaphores for requests in progress and waiting: of all requests, of a hook, or of a host.
struct Share {
    under_way: Semaphore,
    waiting: Semaphore,
}

impl Share {
    fn new(under_way: usize, waiting: usize) -> Arc<Self> {
        Arc::new(Self { under_way: Semaphore::new(under_way), waiting: Semaphore::new(waiting) })
    }
}

/// Shares that a request counts towards.
struct Shares([Arc<Share>; 3]);

impl Shares {
    /// Takes a waiting place in each share, or fails with [`FetchError::Busy`].
    fn wait(&self) -> Result<Vec<SemaphorePermit<'_>>, FetchError> {
        let places = self.0.iter().map(|share| share.waiting.try_acquire());
        places.collect::<Result<_, _>>().map_err(|_| FetchError::Busy)
    }

    /// Waits for a place among the requests in progress, in each share. The share of all requests comes last,
    /// so that a request never holds a place there while it waits for a place of its hook or host.
    async fn turn(&self, limit: Instant) -> Result<Vec<SemaphorePermit<'_>>, FetchError> {
        let mut places = Vec::new();
        for share in &self.0 {
            let place = timeout_at(limit, share.under_way.acquire()).await;
            places.push(place.map_err(|_| FetchError::Busy)?.map_err(|_| FetchError::Busy)?);
        }
        Ok(places)
    }
}

/// Token of a login, or the failure to get one, and the time until which it counts.
type Token = (String, Instant, Result<Secret, FetchError>);

/// Client that fetches documents and keeps them. Clones share the documents.
#[derive(Clone)]
pub(crate) struct Fetcher(Arc<Inner>);

struct Inner {
    env: Env,
    /// Transport, created on first use because few hooks need it.
    transport: OnceLock<Transport>,
    slots: Mutex<HashMap<Address, Slot>>,
    all: Arc<Share>,
    /// Shares of the hooks and hosts with requests in progress or waiting.
    shares: Mutex<HashMap<String, Arc<Share>>>,
    /// Calls to unknown addresses, by the login.
    unknown: Rates,
    tokens: Mutex<Vec<Token>>,
}

impl Fetcher {
    pub(crate) fn new(env: &Env) -> Self {
        Self(Arc::new(Inner {
            env: env.clone(),
            transport: OnceLock::new(),
            slots: Mutex::default(),
            all: Share::new(MAX_UNDER_WAY, MAX_WAITING),
            shares: Mutex::default(),
            unknown: Rates::default(),
            tokens: Mutex::default(),
        }))
    }

    /// Returns the document at an address, on behalf of a request to a hook. `than` is a document that did
    /// not help: the result differs from it, or is `None` if `than` was fetched a moment ago.
    pub(crate) async fn document(
        &self,
        hook: &str,
        address: &Address,
        than: Option<&Document>,
        deadline: Instant,
    ) -> Result<Option<Document>, FetchError> {
        let limit = deadline.min(Instant::now() + TIMEOUT);
        self.document_by(hook, address, than, limit, async || self.get(address, limit).await).await
    }

    async fn document_by(
        &self,
        hook: &str,
        address: &Address,
        than: Option<&Document>,
        limit: Instant,
        get: impl AsyncFnOnce() -> Result<Bytes, FetchError>,
    ) -> Result<Option<Document>, FetchError> {
        let slot = self.slot(address);
        if let Some(known) = slot.state().known(than) {
            return known;
        }
        let shares = self.shares(hook, address);
        let _waiting = shares.wait()?;
        let _fetching = timeout_at(limit, slot.fetching.lock()).await.map_err(|_| FetchError::TimedOut)?;
        // Another request may have fetched the document meanwhile.
        if let Some(known) = slot.state().known(than) {
            return known;
        }
        // A request without a turn has not called the address, so this is not a failure of the address.
        let _turn = shares.turn(limit).await?;
        if let Some(login) = address.login().filter(|_| slot.state().found.is_none()) {
            self.0.unknown.take(login.fingerprint(), UNKNOWN).map_err(|_| FetchError::Busy)?;
        }
        let fetched = get().await;
        let at = Instant::now();
        let mut state = slot.state();
        state.tried = Some((at, fetched.as_ref().err().cloned()));
        let document = Document { bytes: fetched?, at };
        state.before = state.found.replace(document.clone());
        Ok(Some(document))
    }

    /// Discards a document that no request can use. The address counts as failed, and the previous document,
    /// if any, is used again.
    pub(crate) fn forget(&self, address: &Address) {
        let slot = self.slot(address);
        // A fetch in progress replaces the document anyway.
        if let Ok(_fetching) = slot.fetching.try_lock() {
            let mut state = slot.state();
            state.found = state.before.take();
            state.tried = Some((Instant::now(), Some(FetchError::NoKey)));
        }
    }

    /// Calls an address for the effect of the call. The answer's body is dropped.
    pub(crate) async fn confirm(
        &self,
        hook: &str,
        address: &Address,
        deadline: Instant,
    ) -> Result<(), FetchError> {
        let limit = deadline.min(Instant::now() + TIMEOUT);
        let shares = self.shares(hook, address);
        let _waiting = shares.wait()?;
        let _turn = shares.turn(limit).await?;
        self.get(address, limit).await.map(drop)
    }

    async fn get(&self, address: &Address, limit: Instant) -> Result<Bytes, FetchError> {
        let mut bearer = Secret::new("");
        if let Some(login) = address.login() {
            let token = self.token(login, limit).await?;
            bearer = Secret::new([b"Bearer ", token.expose()].concat());
        }
        let field = ("authorization", bearer.expose_str().unwrap_or_default());
        let fields = if address.login().is_some() { std::slice::from_ref(&field) } else { &[] };
        let answer = self.call(Method::GET, address, fields, Bytes::new(), limit).await;
        if let (Some(login), Err(FetchError::Status(401 | 403))) = (address.login(), &answer) {
            // The token may have been withdrawn. The next attempt asks for another.
            self.tokens().retain(|(own, ..)| own != login.fingerprint());
        }
        answer
    }

    /// Returns a token for the login, and asks for a new one if none is kept (RFC 6749, 4.4.2).
    async fn token(&self, login: &Login, limit: Instant) -> Result<Secret, FetchError> {
        let now = Instant::now();
        let is_own = |(own, until, _): &&Token| own == login.fingerprint() && now < *until;
        if let Some((.., token)) = self.tokens().iter().find(is_own) {
            return token.clone();
        }
        let (client, secret) = login.client();
        let pair = Secret::new([client.expose(), b":", secret.expose()].concat());
        let basic = Secret::new(format!("Basic {}", STANDARD.encode(pair.expose())));
        let fields = [
            ("authorization", basic.expose_str().unwrap_or_default()),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        let scope = utf8_percent_encode(login.scope(), NON_ALPHANUMERIC);
        let body = format!("grant_type=client_credentials&scope={scope}");
        let answer = self.call(Method::POST, login.address(), &fields, body.into(), limit).await;
        let read = |answer: Bytes| {
            let text = |path| json::text(&answer, path).ok().flatten();
            let lasts = text("expires_in").and_then(|text| text.parse().ok()).map(Duration::from_secs);
            let kept = lasts.unwrap_or_default().min(TOKEN_KEPT).saturating_sub(TOKEN_MARGIN);
            let is_one = |token: &str| !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
            let token = text("access_token").filter(|token| is_one(token)).ok_or(FetchError::NoKey)?;
            Ok((kept, Secret::new(token.into_owned())))
        };
        let token =
            answer.and_then(read).map_err(|e| FetchError::Token(login.address().clone(), Box::new(e)));
        let kept = token.as_ref().map_or(PAUSE_AFTER_FAILURE, |(kept, _)| *kept);
        let token = token.map(|(_, token)| token);
        let mut tokens = self.tokens();
        tokens.retain(|(own, until, _)| own != login.fingerprint() && now < *until);
        tokens.push((login.fingerprint().to_owned(), Instant::now() + kept, token.clone()));
        token
    }

    fn tokens(&self) -> MutexGuard<'_, Vec<Token>> {
        self.0.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn call(
        &self,
        method: Method,
        address: &Address,
        fields: &[(&'static str, &str)],
        body: Bytes,
        limit: Instant,
    ) -> Result<Bytes, FetchError> {
        let transport = self.0.transport.get_or_init(|| Transport::to_strangers(&self.0.env));
        if let Some(problem) = transport.problem() {
            return Err(FetchError::Environment(problem.to_string()));
        }
        let other = |error: &dyn fmt::Display| FetchError::Transport(error.to_string());
        let endpoint =
            Endpoint::parse(&format!("https://{}", address.host()), false).map_err(|e| other(&e))?;
        let call = Call {
            method,
            endpoint: &endpoint,
            path_and_query: address.target(),
            headers: headers([("accept", "*/*")].into_iter().chain(fields.iter().copied())),
            body,
            limit: MAX_DOCUMENT,
            deadline: limit,
            fresh: false,
        };
        let answer = transport.send(call).await.map_err(|e| other(&e))?;
        if answer.is_2xx() { Ok(answer.body) } else { Err(FetchError::Status(answer.status)) }
    }

    fn shares(&self, hook: &str, address: &Address) -> Shares {
        let mut shares = self.0.shares.lock().unwrap_or_else(PoisonError::into_inner);
        shares.retain(|_, share| Arc::strong_count(share) > 1);
        let mut of = |name: String| {
            Arc::clone(shares.entry(name).or_insert_with(|| Share::new(SHARE_UNDER_WAY, SHARE_WAITING)))
        };
        Shares([of(format!("hook {hook}")), of(format!("host {}", address.host())), Arc::clone(&self.0.all)])
    }

    fn slot(&self, address: &Address) -> Slot {
        let mut slots = self.slots();
        if slots.len() >= MAX_ADDRESSES && !slots.contains_key(address) {
            let is_used = |slot: &Slot| Arc::strong_count(slot) > 1;
            let has_found = |slot: &Slot| slot.state().found.is_some();
            slots.retain(|_, slot| is_used(slot) || has_found(slot));
            if slots.len() >= MAX_ADDRESSES {
                slots.retain(|_, slot| is_used(slot));
            }
        }
        Arc::clone(slots.entry(address.clone()).or_default())
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Address, Slot>> {
        self.0.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Documents that were fetched for a request.
#[derive(Default)]
pub(crate) struct Collected {
    fetched: Vec<Fetched>,
    /// Results of the fetches, in the same order as `fetched`.
    found: Vec<Result<Document, FetchError>>,
}

impl Collected {
    pub(crate) fn fetched(&self) -> &[Fetched] {
        &self.fetched
    }

    /// Returns the error of the last fetch from that address, if it failed.
    pub(crate) fn failure(&self, address: &Address) -> Option<&FetchError> {
        let number = self.number(address)?;
        self.found.get(number)?.as_ref().err()
    }

    /// Fetches a document. The second fetch of an address looks for a different document and marks the result
    /// as the latest, so that a request cannot ask forever.
    pub(crate) async fn fetch(&mut self, fetcher: &Fetcher, hook: &str, address: Address, deadline: Instant) {
        let number = self.number(&address);
        let than = number.and_then(|number| self.found.get(number)?.as_ref().ok());
        let found = match fetcher.document(hook, &address, than, deadline).await {
            Ok(Some(document)) => Ok(document),
            Err(error) => Err(error),
            Ok(None) => match than {
                Some(document) => Ok(document.clone()),
                None => Err(FetchError::NoKey),
            },
        };
        let is_latest = number.is_some() || found.is_err();
        let document = found.as_ref().ok().map(|document| document.bytes.clone());
        if let Some(number) = number {
            self.fetched.swap_remove(number);
            drop(self.found.swap_remove(number));
        }
        let is_unknown = matches!(found, Err(FetchError::Status(404)));
        self.fetched.push(Fetched { address, document, is_latest, is_unknown });
        self.found.push(found);
    }

    fn number(&self, address: &Address) -> Option<usize> {
        self.fetched.iter().position(|fetched| fetched.address == *address)
    }
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fetcher")
    }
}

#[cfg(test)]
#[path = "fetch_tests.rs"]
mod tests;
