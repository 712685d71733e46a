//! Quarantine for requests that failed verification, in case the secret was wrong and not the sender.
//!
//! The quarantine is off unless `QUARANTINE_URL` is set and a hook asks for it. A refused request can hold a
//! live token, so each is sealed with `QUARANTINE_KEY` (AES-256-GCM) before it leaves the process, even if
//! the store encrypts too. Its content is never shown: the only use is to verify it again. Anybody can send
//! requests that fail, so their number and size are limited.

mod lock;
mod seal;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::clock::Timestamp;
use crate::context::Context;
use crate::env::EnvProblem;
use crate::http::{Headers, Request};
use crate::queue::Vendor;
use crate::rate::{Allowance, Rates};
use crate::spill::{Folder, base64_bytes, digest, rfc3339};
use crate::store::{Store, StoreError};
use lock::Lock;

/// Name of the variable with the store's URL.
pub const VARIABLE: &str = "QUARANTINE_URL";
/// Name of the variable with the key that locks the store.
pub const KEY: &str = "QUARANTINE_KEY";

/// Upper bound on the size of a body that is kept, in bytes.
const MAX_BODY: usize = 1024 * 1024;

/// Rate of kept requests per hook: 60 after a quiet minute, and then one per second.
const KEPT: Allowance = Allowance { burst: 60, every: Duration::from_secs(1) };

/// Upper bounds on the requests of the process that wait for the store, and on the time that each waits.
/// These requests failed verification, and each holds a place in the server.
const MAX_WAITING: usize = 16;
const PATIENCE: Duration = Duration::from_secs(2);

/// Minimum time between two warnings about requests that were not kept because too many others waited.
const TOLD: Duration = Duration::from_secs(60);

/// Refused request as it was received.
#[derive(Serialize, Deserialize)]
pub(crate) struct Refused {
    pub(crate) hook: String,
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, Bytes)>,
    #[serde(with = "base64_bytes")]
    body: bytes::Bytes,
    source_ip: Option<IpAddr>,
    #[serde(with = "rfc3339")]
    pub(crate) received_at: Timestamp,
}

/// Value of a header field, which need not be text.
#[derive(Serialize, Deserialize)]
struct Bytes(#[serde(with = "base64_bytes")] bytes::Bytes);

/// Store of refused requests. Clones share it.
#[derive(Clone, Debug)]
pub struct Quarantine(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    lock: Lock,
    rates: Rates,
    waiting: Semaphore,
    missing: Mutex<Missing>,
}

/// Requests that were not kept because too many others waited.
#[derive(Debug, Default)]
struct Missing {
    untold: u64,
    told: Option<Instant>,
}

impl Missing {
    /// Returns the number of requests to report, if a warning is due.
    fn due(&mut self) -> Option<u64> {
        let is_due = self.told.is_none_or(|told| told.elapsed() >= TOLD);
        if self.untold == 0 || !is_due {
            return None;
        }
        self.told = Some(Instant::now());
        Some(std::mem::take(&mut self.untold))
    }
}

impl Quarantine {
    /// Opens the quarantine in the store that `QUARANTINE_URL` names, if the variable is set.
    pub fn from_env(context: &Context) -> Result<Option<Self>, EnvProblem> {
        let Some(url) = context.env.get(VARIABLE) else { return Ok(None) };
        Self::new(Store::open(VARIABLE, &url, context)?, context).map(Some)
    }

    /// Creates a quarantine in this store, sealed with the key from the environment.
    pub fn new(store: Store, context: &Context) -> Result<Self, EnvProblem> {
        let lock = Lock::from_env(KEY, &context.env, &context.clock)?;
        Ok(Self(Arc::new(Inner {
            store,
            lock,
            rates: Rates::default(),
            waiting: Semaphore::new(MAX_WAITING),
            missing: Mutex::default(),
        })))
    }

    /// Keeps a request, and returns the name of its object. A request over the limits is dropped, and so is one that
    /// finds too many others waiting for the store. A failure only costs the copy, since the sender is refused either
    /// way.
    pub(crate) async fn keep(
        &self,
        vendor: Vendor,
        hook: &str,
        request: Request,
        received_at: Timestamp,
        deadline: Instant,
    ) -> Option<String> {
        if request.body.len() > MAX_BODY || self.0.rates.take(hook, KEPT).is_err() {
            return None;
        }
        let place = self.0.waiting.try_acquire();
        if let Some(requests) = self.missing(place.is_err()) {
            tracing::warn!(requests, "cannot quarantine: too many wait for the store already");
        }
        if place.is_err() {
            return None;
        }
        let deadline = deadline.min(Instant::now() + PATIENCE);
        let key = match self.0.lock.key(deadline).await {
            Ok(key) => key,
            Err(error) => {
                tracing::warn!(hook, %error, "cannot quarantine");
                return None;
            }
        };
        let Request { method, path, raw_query, headers, body, source_ip, .. } = request;
        let headers = headers
            .iter()
            .map(|(name, value)| (name.to_owned(), Bytes(bytes::Bytes::copy_from_slice(value))));
        let refused = Refused {
            hook: hook.to_owned(),
            method,
            path,
            query: raw_query,
            headers: headers.collect(),
            body,
            source_ip,
            received_at,
        };
        // Strings, numbers and lists of them always serialize.
        let plain = serde_json::to_vec(&refused).unwrap_or_default();
        let name = format!("{}{}", Folder::Quarantine.prefix(vendor.as_str(), Some(hook)), digest(&[&plain]));
        let sealed = key.seal(&name, plain)?;
        if let Err(error) = self.0.store.put_new(&name, sealed.into(), deadline).await {
            tracing::warn!(hook, %error, "cannot quarantine");
            return None;
        }
        Some(name)
    }

    /// Counts a request that found no place to wait, if `is_one`. Returns the number of such requests if a
    /// warning is due.
    fn missing(&self, is_one: bool) -> Option<u64> {
        let mut missing = self.0.missing.lock().unwrap_or_else(PoisonError::into_inner);
        missing.untold += u64::from(is_one);
        missing.due()
    }

    /// Returns the store, for listing names and times.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// Reads a request. Returns `None` if it is gone or sealed with a different key.
    pub(crate) async fn open(&self, name: &str, deadline: Instant) -> Result<Option<Refused>, StoreError> {
        let Some(sealed) = self.0.store.get(name, deadline).await? else { return Ok(None) };
        let key = self.0.lock.key(deadline).await.map_err(|error| StoreError::Config(error.to_string()))?;
        let plain = key.open(name, sealed.to_vec());
        Ok(plain.and_then(|plain| serde_json::from_slice(&plain).ok()))
    }
}

impl Refused {
    /// Rebuilds the request so that it can be verified again.
    pub(crate) fn into_request(self, request_id: String) -> Request {
        let mut headers = Headers::new();
        for (name, Bytes(value)) in self.headers {
            headers.push(&name, value);
        }
        Request {
            method: self.method,
            path: self.path,
            raw_query: self.query,
            headers,
            body: self.body,
            request_id,
            received: Instant::now(),
            source_ip: self.source_ip,
            deadline: None,
        }
    }
}

#[cfg(test)]
mod tests;
