//! How a hook's source is made of its secrets.

use std::fmt;

use tokio::time::Instant;

use super::{Samples, is_published};
use crate::secret::{Secret, SecretError, SecretRef};
use crate::source::{Blueprint, BuildError, Settings, Source};
use crate::vault::Resolver;

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

impl Cause {
    /// Whether the place of the secret was read, and holds none.
    fn is_gone(&self) -> bool {
        match self {
            Self::Secret(error) => error.is_gone(),
            Self::Sample | Self::NotText => true,
        }
    }
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
    pub(super) fn build(&self, values: &[Secret]) -> Result<Source, Vec<BuildError>> {
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
    pub(super) async fn load(
        &self,
        from: &Resolver,
        limit: Instant,
    ) -> Result<(Vec<Secret>, Source), String> {
        let mut values = Vec::new();
        for entry in &self.entries {
            values.push(self.resolve(entry, from, limit).await.map_err(|error| error.to_string())?);
        }
        let told =
            |errors: Vec<BuildError>| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let source = self.build(&values).map_err(told)?;
        Ok((values, source))
    }

    /// Reads the values again. One that cannot be had or is of no use stays as it was, and is a failure.
    pub(super) async fn renew(&self, old: &[Secret], from: &Resolver, limit: Instant) -> Renewal {
        let mut failures = Vec::new();
        let mut failed = |error: &dyn fmt::Display, is_gone: bool| {
            failures.push(Failure { reason: error.to_string(), is_gone });
        };
        let mut values = old.to_vec();
        for (entry, value) in self.entries.iter().zip(&mut values) {
            match self.resolve(entry, from, limit).await {
                Ok(new) => *value = new,
                Err(error) => failed(&error, error.cause.is_gone()),
            }
        }
        let mut changed = None;
        while values != old && changed.is_none() {
            let errors = match self.build(&values) {
                Ok(source) => {
                    changed = Some((values, source));
                    break;
                }
                Err(errors) => errors,
            };
            let before = values.clone();
            for error in errors {
                failed(&error, true);
                let at = self.entries.iter().position(|entry| entry.key == error.key);
                if let Some((value, old)) = at.and_then(|at| values.get_mut(at).zip(old.get(at))) {
                    *value = old.clone();
                }
            }
            if values == before {
                break;
            }
        }
        Renewal { changed, failures }
    }
}

/// What became of reading the values again.
pub(super) struct Renewal {
    /// The values now, where any differs, and the source that they make.
    pub(super) changed: Option<(Vec<Secret>, Source)>,
    /// Why some of them are still the old ones.
    pub(super) failures: Vec<Failure>,
}

impl Renewal {
    /// The one that matters: of a place that was read.
    pub(super) fn worst(&self) -> Option<&Failure> {
        self.failures.iter().find(|failure| failure.is_gone).or(self.failures.first())
    }
}

/// Why a value could not be read again.
pub(super) struct Failure {
    pub(super) reason: String,
    /// Whether its place was read, and holds no secret, or none that is of use.
    pub(super) is_gone: bool,
}
