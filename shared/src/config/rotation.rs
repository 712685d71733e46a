//! Source of a hook, whose secrets are read again when none of them matches a request and when they grow old.
//!
//! ```text
//! refused, and another secret could be the cure ─► re-read ───► changed and sound ─► verified once more
//!                                                     │ once in 30 s         │ no
//!                                                     └───────── 401 ◄───────┘
//!                                                     503 where it cannot be read: there may be a newer one
//!
//! age of the secrets     0 ────────── 2 min ───────────────── 4 min ──────────────── 10 min, 60 min ───►
//! a delivery             uses it      reads beside its send   reads before it is     503
//!                                                             verified, every 30 s;
//!                                                             uses it if that fails
//! ```
//!
//! A replaced secret is refused after four minutes or less, regardless of requests for the new one. Secrets
//! that can no longer be read are used for ten minutes if their place is empty, and for an hour if the place
//! cannot be read.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, timeout_at};

use super::plan::{Plan, ReadFailure, Renewal};
use crate::secret::Secret;
use crate::source::{BuildError, Source};
use crate::vault::Resolver;

/// Minimum time between two reads of the secrets, because forged requests must not overload the secret store.
const PAUSE: Duration = Duration::from_secs(30);

/// Minimum time between two attempts while the hook cannot verify anything without the secrets.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Upper bound on the time for reading all secrets. A request's deadline can lower the bound, but not below
/// [`LEAST`].
const TIMEOUT: Duration = Duration::from_secs(3);

/// Lower bound on the time for reading all secrets, because a slow sender must not make the secret store look
/// slow.
const LEAST: Duration = Duration::from_secs(1);

/// Age of the secrets from which a delivery reads them again while its message is sent.
const DUE: Duration = Duration::from_secs(120);

/// Age of the secrets from which they must be read again before a request is verified. The AWS extension
/// caches values for a minute, which makes five minutes in total.
const STALE: Duration = Duration::from_secs(240);

/// Upper bound on the age of the secrets if the place of one of them was read but does not hold a usable
/// secret. A leaked secret may have been deleted, with the new one to be written a moment later.
const GONE: Duration = Duration::from_secs(600);

/// Upper bound on the age of the secrets if one of them cannot be read, since the secret store may be out of
/// order.
const UNREAD: Duration = Duration::from_secs(3600);

/// Source of a hook, which changes when its secrets change.
#[derive(Debug)]
pub struct Rotation(Kind);

#[derive(Debug)]
enum Kind {
    /// Source without references among its secrets.
    Fixed(Arc<Source>),
    Changing(Box<Changing>),
}

#[derive(Debug)]
struct Changing {
    plan: Plan,
    current: RwLock<Current>,
    read: Mutex<Read>,
}

/// Source that verifies requests, with the times at which it grows old.
#[derive(Clone, Debug)]
struct Current {
    /// Source for requests, or `None` until secrets that only a running function can read were read.
    source: Option<Arc<Source>>,
    /// Time of the last read of all its secrets.
    read: Instant,
    /// Time from which the secrets must be read again before a request is verified.
    again: Instant,
    /// Time from which the source must not verify requests.
    until: Instant,
    /// True if the last attempt to read the secrets failed.
    is_failing: bool,
}

/// Values of the secrets, and the state of reading them.
#[derive(Debug, Default)]
struct Read {
    values: Vec<Secret>,
    /// Time of the last attempt.
    tried: Option<Instant>,
    /// Time at which a delivery last began to read the secrets beside its send. The delivery may have ended
    /// first.
    asked: Option<Instant>,
    /// Reason why the last attempt failed, empty if it succeeded.
    failure: String,
    /// True if the log already reports that the hook serves nothing.
    is_told: bool,
}

impl Read {
    /// Records an attempt before it starts, because the attempt may be cancelled halfway.
    fn begin(&mut self) {
        self.tried = Some(Instant::now());
        self.failure = late();
    }
}

/// Returns the time limit for reading the secrets on behalf of a request with that deadline.
fn limit(deadline: Instant) -> Instant {
    let now = Instant::now();
    deadline.clamp(now + LEAST, now + TIMEOUT)
}

fn late() -> String {
    "the secrets could not be read in time".to_owned()
}

impl Current {
    /// Returns the state for secrets that were read just now.
    fn now(source: Option<Arc<Source>>) -> Self {
        let read = Instant::now();
        Self { source, read, again: read + STALE, until: read + STALE, is_failing: false }
    }

    fn usable(&self) -> Option<Arc<Source>> {
        self.spare().filter(|_| Instant::now() < self.again)
    }

    /// Returns the source even if it should be read again, for use while reading fails or is in progress.
    fn spare(&self) -> Option<Arc<Source>> {
        self.source.clone().filter(|_| Instant::now() < self.until)
    }

    /// Returns true if nothing can be verified until the secrets can be read.
    fn is_out(&self) -> bool {
        self.is_failing && Instant::now() >= self.until
    }
}

impl Rotation {
    /// Creates the rotation of a source that was built from these values.
    pub(super) fn new(source: Arc<Source>, plan: Plan, values: Vec<Secret>) -> Self {
        if !plan.entries.iter().any(|entry| entry.reference.is_reference()) {
            return Self(Kind::Fixed(source));
        }
        let read = Mutex::new(Read { values, ..Read::default() });
        let current = RwLock::new(Current::now(Some(source)));
        Self(Kind::Changing(Box::new(Changing { plan, current, read })))
    }

    /// Creates the rotation of a source that is built when the first request needs it.
    pub(super) fn late(plan: Plan) -> Self {
        let current = RwLock::new(Current::now(None));
        Self(Kind::Changing(Box::new(Changing { plan, current, read: Mutex::default() })))
    }

    /// Returns the current source, or `None` until secrets that only a running function can read were read.
    pub fn current(&self) -> Option<Arc<Source>> {
        match &self.0 {
            Kind::Fixed(source) => Some(Arc::clone(source)),
            Kind::Changing(changing) => changing.current().source,
        }
    }

    /// Returns the source, after reading the secrets if they are missing or too old. An error is never the
    /// sender's fault.
    pub(crate) async fn ready(&self, from: &Resolver, deadline: Instant) -> Result<Arc<Source>, String> {
        match &self.0 {
            Kind::Fixed(source) => Ok(Arc::clone(source)),
            Kind::Changing(changing) => match changing.current().usable() {
                Some(source) => Ok(source),
                None => changing.load(from, deadline).await,
            },
        }
    }

    /// Returns a source that differs from `than`, which refused a request for lack of a matching secret.
    /// Reads the secrets again unless that happened less than 30 seconds ago; a single request reads them
    /// while a few others wait for the result. Fails if they cannot be read now, because the sender may
    /// already use a newer secret.
    pub(crate) async fn other(
        &self,
        than: &Arc<Source>,
        from: &Resolver,
        deadline: Instant,
    ) -> Result<Option<Arc<Source>>, String> {
        match &self.0 {
            Kind::Fixed(_) => Ok(None),
            Kind::Changing(changing) => changing.other(than, from, deadline).await,
        }
    }

    /// Returns true if the hook is known to refuse everything until its secrets can be read.
    pub(crate) fn is_out(&self) -> bool {
        let Kind::Changing(changing) = &self.0 else { return false };
        // The state may change without a request, so each call also updates the log.
        if let Ok(mut read) = changing.read.try_lock() {
            changing.tell(&mut read);
        }
        changing.current().is_out()
    }

    /// Reads the secrets again if they are due, so that no request has to wait for that. The future may be
    /// dropped at any point.
    pub(crate) async fn freshen(&self, from: &Resolver, deadline: Instant) {
        if let Kind::Changing(changing) = &self.0 {
            changing.freshen(from, deadline).await;
        }
    }
}

impl Changing {
    fn current(&self) -> Current {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, current: Current) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = current;
    }

    /// Waits until another request has finished reading the secrets.
    async fn turn(&self, from: &Resolver, limit: Instant) -> Result<MutexGuard<'_, Read>, String> {
        let _waiting = from.wait()?;
        timeout_at(limit, self.read.lock()).await.map_err(|_| late())
    }

    async fn load(&self, from: &Resolver, deadline: Instant) -> Result<Arc<Source>, String> {
        let limit = limit(deadline);
        let spare = self.current().spare();
        let mut read = match (self.read.try_lock(), spare) {
            (Ok(read), _) => read,
            (Err(_), Some(spare)) => return Ok(spare),
            (Err(_), None) => self.turn(from, limit).await?,
        };
        let current = self.current();
        if let Some(source) = current.usable() {
            return Ok(source);
        }
        // The failure is empty if the last attempt succeeded and the secrets have only grown old since.
        let is_tried = |at: Instant| at.elapsed() < PAUSE_AFTER_FAILURE && !read.failure.is_empty();
        if read.tried.is_some_and(is_tried) {
            return current.spare().ok_or_else(|| read.failure.clone());
        }
        read.begin();
        if current.source.is_some() {
            self.renew(&mut read, from, deadline).await;
            return self.current().spare().ok_or_else(|| read.failure.clone());
        }
        match self.plan.load(from, limit).await {
            Ok((values, source)) => {
                let source = self.made(&mut read, values, source);
                read.failure.clear();
                self.set(Current::now(Some(Arc::clone(&source))));
                Ok(source)
            }
            Err(error) => {
                read.failure.clone_from(&error);
                Err(error)
            }
        }
    }

    async fn other(
        &self,
        than: &Arc<Source>,
        from: &Resolver,
        deadline: Instant,
    ) -> Result<Option<Arc<Source>>, String> {
        let mut read = match self.read.try_lock() {
            Ok(read) => read,
            Err(_) => self.turn(from, limit(deadline)).await?,
        };
        let other = || self.current().source.filter(|current| !Arc::ptr_eq(current, than));
        if let Some(other) = other() {
            return Ok(Some(other));
        }
        if read.tried.is_none_or(|at| at.elapsed() >= PAUSE) {
            read.begin();
            self.renew(&mut read, from, deadline).await;
        }
        match other() {
            None if !read.failure.is_empty() => Err(read.failure.clone()),
            other => Ok(other),
        }
    }

    async fn freshen(&self, from: &Resolver, deadline: Instant) {
        if self.current().read.elapsed() < DUE {
            return;
        }
        let Ok(mut read) = self.read.try_lock() else { return };
        let is_due = |at: Option<Instant>| at.is_none_or(|at| at.elapsed() >= PAUSE);
        if is_due(read.tried) && is_due(read.asked) {
            // A cancelled attempt gives no result, and must not make each delivery try again.
            read.asked = Some(Instant::now());
            self.renew(&mut read, from, deadline).await;
            read.tried = read.asked;
        }
    }

    /// Reads the values again. The result decides how long the old values may be used.
    async fn renew(&self, read: &mut Read, from: &Resolver, deadline: Instant) {
        let hook = &self.plan.hook;
        let (before, began) = (self.current(), Instant::now());
        let limit = limit(deadline);
        let renewal = self.plan.renew(&read.values, from, limit).await;
        let failure = renewal.worst().map(|worst| (worst.reason.clone(), worst.is_gone));
        let Renewal { changed, failures } = renewal;
        let source = match changed {
            Some((values, source)) => {
                tracing::info!(hook, "the secrets were read again and have changed");
                Some(self.made(read, values, source))
            }
            None => before.source,
        };
        if let Some((reason, is_gone)) = failure {
            read.failure = reason;
            // An attempt with too little time says nothing about the secrets.
            if !is_gone && Instant::now() >= limit && limit < began + TIMEOUT {
                self.set(Current { source, ..before });
            } else {
                let age = if is_gone { GONE } else { UNREAD };
                // The secrets are read again soon, so that a change is noticed even without a request that
                // needs it.
                let (again, until) = (Instant::now() + PAUSE, before.read + age);
                self.set(Current { source, again, until, is_failing: true, ..before });
            }
        } else {
            read.failure.clear();
            self.set(Current::now(source));
        }
        let seconds = self.current().until.saturating_duration_since(Instant::now()).as_secs();
        for ReadFailure { reason, .. } in failures {
            if seconds > 0 {
                tracing::warn!(
                    hook,
                    error = reason,
                    seconds,
                    "a secret cannot be read again: the old one stays in use for the given seconds"
                );
            } else {
                tracing::warn!(
                    hook,
                    error = reason,
                    "a secret cannot be read again, and the old one is too old to be used any longer"
                );
            }
        }
        self.tell(read);
    }

    /// Logs once that the hook serves nothing, and once that it serves again.
    fn tell(&self, read: &mut Read) {
        let (hook, is_out) = (&self.plan.hook, self.current().is_out());
        if is_out == read.is_told {
            return;
        }
        read.is_told = is_out;
        if is_out {
            let error = &read.failure;
            tracing::error!(hook, error, "the hook serves nothing until its secrets can be read");
        } else {
            tracing::info!(hook, "its secrets were read: the hook serves again");
        }
    }

    /// Stores new values and returns their source, after a warning for each short secret.
    fn made(&self, read: &mut Read, values: Vec<Secret>, source: Source) -> Arc<Source> {
        let hook = &self.plan.hook;
        for BuildError { key, message } in source.short_secrets() {
            tracing::warn!(hook, "{key} {message}");
        }
        read.values = values;
        Arc::new(source)
    }
}
