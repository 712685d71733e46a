//! What each send needs of the AWS extension: kept, so that no attempt waits for it.

mod remote;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::env::Env;
use crate::secret::{Secret, SecretError, SecretRef};
pub(crate) use remote::Resolver;
use remote::{Remote, Store};

/// How long a value is used without asking again: as long as the extension itself keeps it by default.
const KEPT: Duration = Duration::from_secs(300);

/// One that is known is read anew no sooner than this, also when it is refused.
const PAUSE: Duration = Duration::from_secs(30);

/// One that is not is tried again sooner.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Reading takes no longer.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Values of references, whole: two members of one secret are always of one version of it.
pub(crate) struct Vault {
    resolver: Resolver,
    kept: Mutex<HashMap<(Store, String), Kept>>,
    reading: tokio::sync::Mutex<()>,
}

struct Kept {
    value: Result<Secret, SecretError>,
    /// When the value was read, and when that was tried last.
    read: Instant,
    tried: Instant,
}

impl Kept {
    /// Whether to read it anew; `refused` if the value was of no use.
    fn is_due(&self, refused: bool) -> bool {
        match self.value {
            Ok(_) => self.tried.elapsed() >= PAUSE && (refused || self.read.elapsed() >= KEPT),
            Err(_) => self.tried.elapsed() >= PAUSE_AFTER_FAILURE,
        }
    }
}

impl Vault {
    pub(crate) fn new(env: &Env) -> Self {
        Self { resolver: Resolver::new(env), kept: Mutex::default(), reading: tokio::sync::Mutex::default() }
    }

    /// Reads those of the references that are remote and due. A value that cannot be read anew stays.
    pub(crate) async fn refresh(&self, references: &[SecretRef], refused: bool, deadline: Instant) {
        let is_due = |remote: &Remote<'_>| {
            self.kept().get(&key(remote)).is_none_or(|kept: &Kept| kept.is_due(refused))
        };
        let due = || references.iter().filter_map(Remote::of).filter(is_due);
        if due().next().is_none() {
            return;
        }
        let limit = deadline.min(Instant::now() + TIMEOUT);
        // Another send may have read them meanwhile, so they are looked at again.
        let Ok(_reading) = timeout_at(limit, self.reading.lock()).await else { return };
        for remote in due() {
            let found = self.resolver.fetch(&remote, limit).await;
            let now = Instant::now();
            let mut kept = self.kept();
            match (found, kept.get_mut(&key(&remote))) {
                (Err(error), Some(kept)) if kept.value.is_ok() => {
                    tracing::warn!(%error, "a credential cannot be read anew: the old one stays");
                    kept.tried = now;
                }
                (value, _) => drop(kept.insert(key(&remote), Kept { value, read: now, tried: now })),
            }
        }
    }

    /// The value of a reference: of a remote one, what was read. [`SecretError::Remote`] if it was not yet.
    pub(crate) fn get(&self, reference: &SecretRef, env: &Env) -> Result<Secret, SecretError> {
        let kept = Remote::of(reference).and_then(|remote| {
            let value = self.kept().get(&key(&remote))?.value.clone();
            Some(value.and_then(|secret| remote.pick(secret)))
        });
        match kept {
            Some(Ok(secret)) if secret.is_blank() => Err(SecretError::Empty),
            Some(value) => value,
            None => reference.resolve(env),
        }
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<(Store, String), Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(remote: &Remote<'_>) -> (Store, String) {
    (remote.store, remote.id.to_owned())
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault")
    }
}
