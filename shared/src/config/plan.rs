//! How a hook's source is made of its secrets.

use tokio::time::Instant;

use super::{Samples, is_published};
use crate::secret::{Resolver, Secret, SecretError, SecretRef};
use crate::source::{Blueprint, BuildError, Settings, Source};

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
    pub(super) async fn load(&self, from: &Resolver, limit: Instant) -> Result<(Vec<Secret>, Source), String> {
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
    pub(super) async fn renew(&self, old: &[Secret], from: &Resolver, limit: Instant) -> Option<(Vec<Secret>, Source)> {
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
