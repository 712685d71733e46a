//! A hook's source, and its secrets read anew when none of them matches a request.
//!
//! ```text
//! refused, and another secret could be the cure ─► read anew ─► changed and sound ─► verified once more
//!                                                     │ once in 30 s         │ no
//!                                                     └───────── 401 ◄───────┘
//! ```

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::plan::Plan;
use crate::secret::{Resolver, Secret};
use crate::source::Source;

/// References are read anew no sooner than this: forged requests must not hammer what keeps the secrets.
const PAUSE: Duration = Duration::from_secs(30);

/// Secrets without which nothing can be verified are tried again sooner.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Reading all of them takes no longer; the delivery's deadline if that is earlier.
const TIMEOUT: Duration = Duration::from_secs(3);

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
    /// `None` until secrets that only a running function can read were read.
    current: RwLock<Option<Arc<Source>>>,
    read: Mutex<Read>,
}

/// What was read.
#[derive(Debug, Default)]
struct Read {
    values: Vec<Secret>,
    /// When they were read last, or that was tried.
    tried: Option<Instant>,
    /// Why there are none.
    failure: String,
}

impl Rotation {
    /// Of a source that is made already, from these values.
    pub(super) fn new(source: Arc<Source>, plan: Plan, values: Vec<Secret>) -> Self {
        if !plan.entries.iter().any(|entry| entry.reference.is_reference()) {
            return Self(Kind::Fixed(source));
        }
        let read = Mutex::new(Read { values, ..Read::default() });
        Self(Kind::Changing(Box::new(Changing { plan, current: RwLock::new(Some(source)), read })))
    }

    /// Of a source that is made when the first request needs it.
    pub(super) fn late(plan: Plan) -> Self {
        Self(Kind::Changing(Box::new(Changing { plan, current: RwLock::default(), read: Mutex::default() })))
    }

    /// The source as it is now; `None` while secrets that only a running function can read were not read.
    pub fn current(&self) -> Option<Arc<Source>> {
        match &self.0 {
            Kind::Fixed(source) => Some(Arc::clone(source)),
            Kind::Changing(changing) => changing.current(),
        }
    }

    /// The source, for which the secrets are read if they were not yet; else why not, which is never the
    /// sender's fault.
    pub(crate) async fn ready(&self, from: &Resolver, deadline: Instant) -> Result<Arc<Source>, String> {
        match &self.0 {
            Kind::Fixed(source) => Ok(Arc::clone(source)),
            Kind::Changing(changing) => match changing.current() {
                Some(source) => Ok(source),
                None => changing.load(from, deadline).await,
            },
        }
    }

    /// Another source than this one, which refused a request for want of a secret: the secrets are read
    /// anew unless that was tried a moment ago. One request reads them, the others wait for it.
    pub(crate) async fn other(
        &self,
        than: &Arc<Source>,
        from: &Resolver,
        deadline: Instant,
    ) -> Option<Arc<Source>> {
        match &self.0 {
            Kind::Fixed(_) => None,
            Kind::Changing(changing) => changing.other(than, from, deadline).await,
        }
    }
}

impl Changing {
    fn current(&self) -> Option<Arc<Source>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn load(&self, from: &Resolver, deadline: Instant) -> Result<Arc<Source>, String> {
        let limit = deadline.min(Instant::now() + TIMEOUT);
        let late = || "the secrets could not be read in time".to_owned();
        let mut read = timeout_at(limit, self.read.lock()).await.map_err(|_| late())?;
        if let Some(source) = self.current() {
            return Ok(source);
        }
        if read.tried.is_some_and(|at| at.elapsed() < PAUSE_AFTER_FAILURE) {
            return Err(read.failure.clone());
        }
        // Before the attempt, which may be given up in the middle.
        *read = Read { tried: Some(Instant::now()), failure: late(), ..Read::default() };
        match self.plan.load(from, limit).await {
            Ok((values, source)) => Ok(self.set(&mut read, values, source)),
            Err(error) => {
                read.failure.clone_from(&error);
                Err(error)
            }
        }
    }

    async fn other(&self, than: &Arc<Source>, from: &Resolver, deadline: Instant) -> Option<Arc<Source>> {
        let limit = deadline.min(Instant::now() + TIMEOUT);
        let mut read = timeout_at(limit, self.read.lock()).await.ok()?;
        let current = self.current()?;
        if !Arc::ptr_eq(&current, than) {
            return Some(current);
        }
        if read.tried.is_some_and(|at| at.elapsed() < PAUSE) {
            return None;
        }
        // Before the attempt, as above.
        read.tried = Some(Instant::now());
        let (values, source) = self.plan.renew(&read.values, from, limit).await?;
        let hook = &self.plan.hook;
        tracing::info!(hook, "the secrets were read anew and have changed");
        Some(self.set(&mut read, values, source))
    }

    fn set(&self, read: &mut Read, values: Vec<Secret>, source: Source) -> Arc<Source> {
        let hook = &self.plan.hook;
        for warning in source.short_secrets() {
            tracing::warn!(hook, "{warning}");
        }
        let source = Arc::new(source);
        read.values = values;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&source));
        source
    }
}
