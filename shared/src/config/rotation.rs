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

use super::{Samples, is_published};
use crate::secret::{Resolver, Secret, SecretError, SecretRef};
use crate::source::{Blueprint, BuildError, Settings, Source};

/// References are read anew no sooner than this: forged requests must not hammer what keeps the secrets.
const PAUSE: Duration = Duration::from_secs(30);

/// Secrets without which nothing can be verified are tried again sooner.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Reading all of them takes no longer; the delivery's deadline if that is earlier.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Why a secret cannot be used. None of these holds its value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Cause {
    /// It cannot be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// It is one of this repository's.
    #[error("this is a sample secret that everybody knows: set one of your own")]
    Sample,
    /// The source takes text there.
    #[error("is not UTF-8 text")]
    NotText,
}

/// Which secret of a hook cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {cause}")]
pub(super) struct LoadError {
    /// `secrets[0]` or `params.NAME`.
    pub(super) key: String,
    /// Why.
    pub(super) cause: Cause,
}

/// What a secret is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    Secret,
    /// A parameter, by name.
    Param(String),
}

/// One of `secrets` or `params`.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// `secrets[0]` or `params.NAME`, as a [`BuildError`] has it.
    pub(super) key: String,
    pub(super) slot: Slot,
    pub(super) reference: SecretRef,
}

impl Entry {
    /// Refuses what must never be a secret.
    pub(super) fn check(&self, value: Secret, samples: Samples) -> Result<Secret, Cause> {
        match self.slot {
            Slot::Secret if samples == Samples::Refused && is_published(value.expose()) => Err(Cause::Sample),
            Slot::Param(_) if value.expose_str().is_none() => Err(Cause::NotText),
            _ => Ok(value),
        }
    }
}

/// How a hook's source is made.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) hook: String,
    pub(super) blueprint: Blueprint,
    pub(super) entries: Vec<Entry>,
    pub(super) url: Option<String>,
    pub(super) samples: Samples,
}

impl Plan {
    /// The source with these values, one for each entry.
    fn build(&self, values: &[Secret]) -> Result<Source, Vec<BuildError>> {
        self.build_of(self.entries.iter().zip(values))
    }

    /// The source with these entries' values.
    pub(super) fn build_of<'v>(
        &self,
        values: impl IntoIterator<Item = (&'v Entry, &'v Secret)>,
    ) -> Result<Source, Vec<BuildError>> {
        let mut settings = Settings { url: self.url.clone(), ..Settings::default() };
        for (entry, value) in values {
            match &entry.slot {
                Slot::Secret => settings.secrets.push(value.clone()),
                Slot::Param(name) => {
                    let text = value.expose_str().unwrap_or_default();
                    settings.params.insert(name.clone(), text.to_owned());
                }
            }
        }
        self.blueprint.clone().build(settings)
    }

    async fn resolve(&self, entry: &Entry, from: &Resolver, limit: Instant) -> Result<Secret, LoadError> {
        let found = from.resolve(&entry.reference, limit).await.map_err(Cause::from);
        let sound = found.and_then(|value| entry.check(value, self.samples));
        sound.map_err(|cause| LoadError { key: entry.key.clone(), cause })
    }

    /// All values, and the source that they make; else why there is none.
    async fn load(&self, from: &Resolver, limit: Instant) -> Result<(Vec<Secret>, Source), String> {
        let mut values = Vec::new();
        for entry in &self.entries {
            values.push(self.resolve(entry, from, limit).await.map_err(|error| error.to_string())?);
        }
        let told =
            |errors: Vec<BuildError>| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let source = self.build(&values).map_err(told)?;
        Ok((values, source))
    }

    /// The values now, where any differs, and the source that they make. One that cannot be had or is of
    /// no use stays as it was.
    async fn renew(&self, old: &[Secret], from: &Resolver, limit: Instant) -> Option<(Vec<Secret>, Source)> {
        let hook = &self.hook;
        let mut values = old.to_vec();
        for (entry, value) in self.entries.iter().zip(&mut values) {
            match self.resolve(entry, from, limit).await {
                Ok(new) => *value = new,
                Err(error) => tracing::warn!(hook, %error, "a secret cannot be read anew: the old one stays"),
            }
        }
        while values != old {
            let errors = match self.build(&values) {
                Ok(source) => return Some((values, source)),
                Err(errors) => errors,
            };
            let before = values.clone();
            for error in errors {
                tracing::warn!(hook, %error, "a new secret is of no use: the old one stays");
                let at = self.entries.iter().position(|entry| entry.key == error.key);
                if let Some((value, old)) = at.and_then(|at| values.get_mut(at).zip(old.get(at))) {
                    *value = old.clone();
                }
            }
            if values == before {
                return None;
            }
        }
        None
    }
}

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
