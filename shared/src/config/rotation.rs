//! A hook's source, and its secrets read anew: when none of them matches a request, and when it is time.
//!
//! ```text
//! refused, and another secret could be the cure ─► read anew ─► changed and sound ─► verified once more
//!                                                     │ once in 30 s         │ no
//!                                                     └───────── 401 ◄───────┘
//!                                                     503 where it cannot be read: there may be a newer one
//!
//! age of what was read   0 ────────── 2 min ───────────────── 4 min ──────────────── 10 min, 60 min ───►
//! a delivery             uses it      reads beside its send   reads before it is     503
//!                                                             verified, every 30 s;
//!                                                             uses it if that fails
//! ```
//!
//! So a secret that was replaced is refused four minutes later at the latest, whether anybody asks for the new
//! one or not. What cannot be read any more is used for ten minutes where the place is empty, and for an hour
//! where nobody can tell.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, timeout_at};

use super::plan::{Failure, Plan, Renewal};
use crate::secret::Secret;
use crate::source::Source;
use crate::vault::Resolver;

/// References are read anew no sooner than this: forged requests must not hammer what keeps the secrets.
const PAUSE: Duration = Duration::from_secs(30);

/// Secrets without which nothing can be verified are tried again sooner.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Reading all of them takes no longer; the delivery's deadline if that is earlier…
const TIMEOUT: Duration = Duration::from_secs(3);

/// …but for this: how slowly a sender sends says nothing of what keeps the secrets.
const LEAST: Duration = Duration::from_secs(1);

/// From this age on a delivery reads them anew beside its send.
const DUE: Duration = Duration::from_secs(120);

/// From this age on nothing is verified with them before they were read anew. A minute, for which the AWS
/// extension keeps them, and this are five.
const STALE: Duration = Duration::from_secs(240);

/// They are used up to this age where the place of one was read and holds no secret that is of use: that of a
/// leaked one may be deleted, and that of a new one be written a moment later.
const GONE: Duration = Duration::from_secs(600);

/// They are used up to this age where one cannot be read: what keeps it may be out of order.
const UNREAD: Duration = Duration::from_secs(3600);

/// A hook's source, which changes when its secrets do.
#[derive(Debug)]
pub struct Rotation(Kind);

#[derive(Debug)]
enum Kind {
    /// No secret is a reference.
    Fixed(Arc<Source>),
    Changing(Box<Changing>),
}

#[derive(Debug)]
struct Changing {
    plan: Plan,
    current: RwLock<Current>,
    read: Mutex<Read>,
}

/// What requests are verified with.
#[derive(Clone, Debug)]
struct Current {
    /// `None` until secrets that only a running function can read were read.
    source: Option<Arc<Source>>,
    /// When all of its secrets were read last.
    read: Instant,
    /// From then on it is read anew before a request is verified with it.
    again: Instant,
    /// No request is verified with it from then on.
    until: Instant,
    /// Whether they could not be read when that was tried last.
    is_failing: bool,
}

/// What was read.
#[derive(Debug, Default)]
struct Read {
    values: Vec<Secret>,
    /// When reading them was tried last.
    tried: Option<Instant>,
    /// When that was begun last beside a delivery, which may have ended first.
    asked: Option<Instant>,
    /// Why not all of them could be read then; empty if they were.
    failure: String,
    /// Whether it was told that the hook serves nothing.
    is_told: bool,
}

impl Read {
    /// Notes the attempt before it is made: it may be given up in the middle.
    fn begin(&mut self) {
        self.tried = Some(Instant::now());
        self.failure = late();
    }
}

/// When reading them is given up for a request with that deadline.
fn limit(deadline: Instant) -> Instant {
    let now = Instant::now();
    deadline.clamp(now + LEAST, now + TIMEOUT)
}

fn late() -> String {
    "the secrets could not be read in time".to_owned()
}

impl Current {
    /// Of secrets that were read now.
    fn now(source: Option<Arc<Source>>) -> Self {
        let read = Instant::now();
        Self { source, read, again: read + STALE, until: read + STALE, is_failing: false }
    }

    fn usable(&self) -> Option<Arc<Source>> {
        self.spare().filter(|_| Instant::now() < self.again)
    }

    /// As [`usable`](Self::usable), where reading it anew has failed or is under way.
    fn spare(&self) -> Option<Arc<Source>> {
        self.source.clone().filter(|_| Instant::now() < self.until)
    }

    /// Whether nothing is verified with them until they can be read.
    fn is_out(&self) -> bool {
        self.is_failing && Instant::now() >= self.until
    }
}

impl Rotation {
    /// Of a source that is made already, from these values.
    pub(super) fn new(source: Arc<Source>, plan: Plan, values: Vec<Secret>) -> Self {
        if !plan.entries.iter().any(|entry| entry.reference.is_reference()) {
            return Self(Kind::Fixed(source));
        }
        let read = Mutex::new(Read { values, ..Read::default() });
        let current = RwLock::new(Current::now(Some(source)));
        Self(Kind::Changing(Box::new(Changing { plan, current, read })))
    }

    /// Of a source that is made when the first request needs it.
    pub(super) fn late(plan: Plan) -> Self {
        let current = RwLock::new(Current::now(None));
        Self(Kind::Changing(Box::new(Changing { plan, current, read: Mutex::default() })))
    }

    /// The source as it is now; `None` while secrets that only a running function can read were not read.
    pub fn current(&self) -> Option<Arc<Source>> {
        match &self.0 {
            Kind::Fixed(source) => Some(Arc::clone(source)),
            Kind::Changing(changing) => changing.current().source,
        }
    }

    /// The source, for which the secrets are read if they were not yet, or not for long; else why not, which
    /// is never the sender's fault.
    pub(crate) async fn ready(&self, from: &Resolver, deadline: Instant) -> Result<Arc<Source>, String> {
        match &self.0 {
            Kind::Fixed(source) => Ok(Arc::clone(source)),
            Kind::Changing(changing) => match changing.current().usable() {
                Some(source) => Ok(source),
                None => changing.load(from, deadline).await,
            },
        }
    }

    /// Another source than this one, which refused a request for want of a secret: the secrets are read
    /// anew unless that was done a moment ago. One request reads them, some others wait for it. Fails where
    /// they cannot be read now: there may be another that the sender used already.
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

    /// Whether the hook refuses everything until its secrets can be read, as far as that is known.
    pub(crate) fn is_out(&self) -> bool {
        let Kind::Changing(changing) = &self.0 else { return false };
        // It may become so without a request, so whoever asks has it told.
        if let Ok(mut read) = changing.read.try_lock() {
            changing.tell(&mut read);
        }
        changing.current().is_out()
    }

    /// Reads the secrets anew if it is time, so that no request has to wait for that. It may be given up at
    /// any point.
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

    /// Waits for whoever reads them now.
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
        // Those that were read, and have grown old since, were of use when they were tried last.
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
            // One that is given up has told nothing, and is no reason to ask again with each delivery.
            read.asked = Some(Instant::now());
            self.renew(&mut read, from, deadline).await;
            read.tried = read.asked;
        }
    }

    /// Reads the values that there are again: they are used for as long as what comes of it allows.
    async fn renew(&self, read: &mut Read, from: &Resolver, deadline: Instant) {
        let hook = &self.plan.hook;
        let (before, began) = (self.current(), Instant::now());
        let limit = limit(deadline);
        let renewal = self.plan.renew(&read.values, from, limit).await;
        let failure = renewal.worst().map(|worst| (worst.reason.clone(), worst.is_gone));
        let Renewal { changed, failures } = renewal;
        let source = match changed {
            Some((values, source)) => {
                tracing::info!(hook, "the secrets were read anew and have changed");
                Some(self.made(read, values, source))
            }
            None => before.source,
        };
        if let Some((reason, is_gone)) = failure {
            read.failure = reason;
            // Who left too little time for it has learned nothing of them.
            if !is_gone && Instant::now() >= limit && limit < began + TIMEOUT {
                self.set(Current { source, ..before });
            } else {
                let age = if is_gone { GONE } else { UNREAD };
                // Soon, so that one that has changed meanwhile is noticed, whoever asks for it.
                let (again, until) = (Instant::now() + PAUSE, before.read + age);
                self.set(Current { source, again, until, is_failing: true, ..before });
            }
        } else {
            read.failure.clear();
            self.set(Current::now(source));
        }
        let seconds = self.current().until.saturating_duration_since(Instant::now()).as_secs();
        for Failure { reason, .. } in failures {
            if seconds > 0 {
                tracing::warn!(
                    hook,
                    error = reason,
                    seconds,
                    "a secret cannot be read anew: the old one stays for now, for so many seconds at most"
                );
            } else {
                tracing::warn!(
                    hook,
                    error = reason,
                    "a secret cannot be read anew, and the old one is too old: it is not used any more"
                );
            }
        }
        self.tell(read);
    }

    /// Tells once that the hook serves nothing, and once that it serves again.
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

    /// A source of values that were read.
    fn made(&self, read: &mut Read, values: Vec<Secret>, source: Source) -> Arc<Source> {
        let hook = &self.plan.hook;
        for warning in source.short_secrets() {
            tracing::warn!(hook, "{warning}");
        }
        read.values = values;
        Arc::new(source)
    }
}
