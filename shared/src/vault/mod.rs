//! Cache of the credentials that sends need from the AWS extension, so that an attempt does not wait for
//! them.

#[cfg(feature = "machine")]
pub(crate) mod machine;
mod remote;

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::clock::Clock;
use crate::env::Env;
#[cfg(feature = "machine")]
use crate::env::EnvProblem;
use crate::secret::{Secret, SecretError, SecretRef};
pub(crate) use remote::Resolver;
#[cfg(feature = "catalog")]
pub(crate) use remote::{PORT_VARIABLE, port};
use remote::{Remote, SecretStore};

/// Time for which a value is used without reading it again. It equals the extension's default cache time.
const KEPT: Duration = Duration::from_secs(300);

/// Minimum time between two attempts to replace a known value, even if the vendor refused it.
const PAUSE: Duration = Duration::from_secs(30);

/// Minimum time between two attempts to read a value that could not be read yet.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Upper bound on the time for reading values from the extension.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Cached values of remote references. A secret is kept as a whole, so that two members of it always have the
/// same version.
pub(crate) struct Vault {
    resolver: Resolver,
    /// References are those of the configuration, so they are few.
    kept: Mutex<Vec<KeptValue>>,
    reading: tokio::sync::Mutex<()>,
    #[cfg(feature = "machine")]
    machine: machine::Machine,
}

/// Pod or machine that lends keys to its processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Lender {
    /// Agent beside a container of AWS: task role of ECS, Pod Identity of EKS.
    Container,
    /// Service account of a pod in Tencent's TKE.
    Tke,
    /// Agency of an ECS of Huawei Cloud or OTC.
    Agency,
}

/// Key that was lent for a time.
#[cfg(feature = "machine")]
#[derive(Clone)]
pub(crate) struct LentKey {
    pub(crate) id: String,
    pub(crate) key: Secret,
    pub(crate) token: Secret,
}

struct KeptValue {
    store: SecretStore,
    id: String,
    value: Result<Secret, SecretError>,
    /// Times of the last successful read and of the last attempt.
    read: Instant,
    tried: Instant,
}

impl KeptValue {
    fn is_of(&self, remote: &Remote<'_>) -> bool {
        self.store == remote.store && self.id == remote.id
    }

    /// Returns true if the value should be read again. `refused` says that the vendor did not accept the
    /// value.
    fn is_due(&self, refused: bool) -> bool {
        match self.value {
            Ok(_) => self.tried.elapsed() >= PAUSE && (refused || self.read.elapsed() >= KEPT),
            Err(_) => self.tried.elapsed() >= PAUSE_AFTER_FAILURE,
        }
    }
}

impl Vault {
    #[cfg_attr(not(feature = "machine"), expect(unused_variables, reason = "no key is lent for a time"))]
    pub(crate) fn new(env: &Env, clock: &Clock) -> Self {
        Self {
            resolver: Resolver::new(env),
            kept: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
            #[cfg(feature = "machine")]
            machine: machine::Machine::new(clock.clone()),
        }
    }

    /// Asks the lenders that the environment names for their keys, if these are due.
    #[cfg(feature = "machine")]
    pub(crate) async fn borrow(&self, lenders: &[Lender], env: &Env, refused: bool, deadline: Instant) {
        for lender in lenders {
            self.machine.refresh(*lender, env, refused, deadline).await;
        }
    }

    /// Returns the key of the first of `lenders` that the environment names; `None` if it names none, or if the
    /// key was not asked for yet and `trusting` is false.
    #[cfg(feature = "machine")]
    pub(crate) fn lent(
        &self,
        lenders: &[Lender],
        env: &Env,
        trusting: bool,
    ) -> Option<Result<LentKey, EnvProblem>> {
        let lender = lenders.iter().find(|lender| lender.is_named(env))?;
        let secret = || Secret::new("unread");
        let unread = || Ok(LentKey { id: String::new(), key: secret(), token: secret() });
        self.machine.get(*lender).or_else(|| trusting.then(unread))
    }

    /// Reads the remote references that are due. A value stays if it cannot be read again.
    pub(crate) async fn refresh(&self, references: &[SecretRef], refused: bool, deadline: Instant) {
        let is_due = |remote: &Remote<'_>| {
            self.kept().iter().find(|kept| kept.is_of(remote)).is_none_or(|kept| kept.is_due(refused))
        };
        let due = || references.iter().filter_map(Remote::of).filter(is_due);
        if due().next().is_none() {
            return;
        }
        let limit = deadline.min(Instant::now() + TIMEOUT);
        // Another send may have read some of them meanwhile, so each is checked again.
        let Ok(_reading) = timeout_at(limit, self.reading.lock()).await else { return };
        for remote in due() {
            let found = self.resolver.fetch(&remote, limit).await;
            let now = Instant::now();
            let mut kept = self.kept();
            let known = kept.iter_mut().find(|kept| kept.is_of(&remote));
            match (found, known) {
                (Err(error), Some(kept)) if kept.value.is_ok() => {
                    tracing::warn!(%error, "a credential cannot be read again: the old one stays in use");
                    kept.tried = now;
                }
                (value, Some(kept)) => (kept.value, kept.read, kept.tried) = (value, now, now),
                (value, None) => {
                    let (store, id) = (remote.store, remote.id.to_owned());
                    kept.push(KeptValue { store, id, value, read: now, tried: now });
                }
            }
        }
    }

    /// Returns the value of a reference, for a remote reference from the cache. Fails with
    /// [`SecretError::Remote`] if a remote reference was not read yet.
    pub(crate) fn get(&self, reference: &SecretRef, env: &Env) -> Result<Secret, SecretError> {
        let kept = Remote::of(reference).and_then(|remote| {
            let value = self.kept().iter().find(|kept| kept.is_of(&remote))?.value.clone();
            Some(value.and_then(|secret| remote.pick(secret)))
        });
        match kept {
            Some(Ok(secret)) if secret.is_blank() => Err(SecretError::Empty),
            Some(value) => value,
            None => reference.resolve(env),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<KeptValue>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault")
    }
}
