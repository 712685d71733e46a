//! Construction of a hook's source from its secrets.

use std::fmt;

use tokio::time::Instant;

use super::{Samples, is_published};
use crate::secret::{Secret, SecretError, SecretRef};
use crate::source::{Blueprint, BuildError, Settings, Source};
use crate::vault::Resolver;

/// Reason why a secret cannot be used. No variant holds the secret's value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ReadCause {
    /// Failure to read the secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Sample secret of this repository.
    #[error("this is a sample secret that everybody knows: set one of your own")]
    Sample,
    /// Bytes that are not UTF-8, for a parameter.
    #[error("is not UTF-8 text")]
    NotText,
}

impl ReadCause {
    /// Returns true if the place of the secret was read and does not hold a usable secret.
    fn is_gone(&self) -> bool {
        match self {
            Self::Secret(error) => error.is_gone(),
            Self::Sample | Self::NotText => true,
        }
    }
}

/// Error for a secret or parameter of a hook that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {cause}")]
pub(super) struct LoadError {
    /// Key in the hooks file: `secrets[0]` or `params.NAME`.
    pub(super) key: String,
    /// Reason for the error.
    pub(super) cause: ReadCause,
}

/// Use of a secret in the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    Secret,
    /// Parameter, by name.
    Param(String),
}

/// Entry of `secrets` or `params`.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Key as a [`BuildError`] names it: `secrets[0]` or `params.NAME`.
    pub(super) key: String,
    pub(super) slot: Slot,
    pub(super) reference: SecretRef,
}

impl Entry {
    /// Refuses a sample secret, and a parameter that is not text.
    pub(super) fn check(&self, value: Secret, samples: Samples) -> Result<Secret, ReadCause> {
        match self.slot {
            Slot::Secret if samples == Samples::Refused && is_published(value.expose()) => {
                Err(ReadCause::Sample)
            }
            Slot::Param(_) if value.expose_str().is_none() => Err(ReadCause::NotText),
            _ => Ok(value),
        }
    }
}

/// Recipe for a hook's source, from which it can be rebuilt with new secrets.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) hook: String,
    pub(super) blueprint: Blueprint,
    pub(super) entries: Vec<Entry>,
    pub(super) url: Option<String>,
    pub(super) samples: Samples,
}

impl Plan {
    /// Builds the source from these values, one for each entry.
    pub(super) fn build(&self, values: &[Secret]) -> Result<Source, Vec<BuildError>> {
        self.build_of(self.entries.iter().zip(values))
    }

    /// Builds the source from some entries and their values.
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
        let found = from.resolve(&entry.reference, limit).await.map_err(ReadCause::from);
        let sound = found.and_then(|value| entry.check(value, self.samples));
        sound.map_err(|cause| LoadError { key: entry.key.clone(), cause })
    }

    /// Reads all values and builds the source. The error is a text for the log.
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

    /// Reads the values again. A value that cannot be read or that the source refuses stays as it was and
    /// counts as a failure.
    pub(super) async fn renew(&self, old: &[Secret], from: &Resolver, limit: Instant) -> Renewal {
        let mut failures = Vec::new();
        let mut failed = |error: &dyn fmt::Display, is_gone: bool| {
            failures.push(ReadFailure { reason: error.to_string(), is_gone });
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

/// Result of reading the values again.
pub(super) struct Renewal {
    /// New values and their source, if any value differs.
    pub(super) changed: Option<(Vec<Secret>, Source)>,
    /// Reasons why values were not replaced.
    pub(super) failures: Vec<ReadFailure>,
}

impl Renewal {
    /// Returns the most important failure: the first one whose place was read, else the first one.
    pub(super) fn worst(&self) -> Option<&ReadFailure> {
        self.failures.iter().find(|failure| failure.is_gone).or(self.failures.first())
    }
}

/// Failure to read a value again.
pub(super) struct ReadFailure {
    pub(super) reason: String,
    /// True if the place was read but does not hold a usable secret.
    pub(super) is_gone: bool,
}
