//! Variable that holds or names the key. The key is read at the start if possible, so that a wrong key is
//! reported then. A key that only a running function can read is read with the first request to keep.

use std::sync::Arc;

use tokio::time::Instant;

use super::seal::Key;
use crate::clock::Clock;
use crate::env::{Env, EnvProblem};
use crate::secret::{Secret, SecretError, SecretRef};
use crate::vault::Vault;

/// Key, or a reference to it.
#[derive(Debug)]
pub(super) struct Lock {
    variable: &'static str,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Known(Arc<Key>),
    Remote(Box<Remote>),
}

#[derive(Debug)]
struct Remote {
    reference: SecretRef,
    env: Env,
    /// Cache of the key and of failures to read it, because refused requests come in large numbers.
    vault: Vault,
}

impl Lock {
    /// Reads the key, the base64 of 32 bytes, from `variable`. The variable may hold a reference.
    pub(super) fn from_env(variable: &'static str, env: &Env, clock: &Clock) -> Result<Self, EnvProblem> {
        let wrong = |message: &str| EnvProblem { variable, message: message.to_owned() };
        let text = env
            .get(variable)
            .ok_or_else(|| wrong("is not set: the quarantine needs a key, the base64 of 32 random bytes"))?;
        let written = SecretRef::parse_or_literal(&text).map_err(|error| none(variable, &error))?;
        let reference = written.follow(env).map_err(|error| none(variable, &error))?.into_owned();
        let kind = if reference.is_remote() {
            Kind::Remote(Box::new(Remote { reference, env: env.clone(), vault: Vault::new(env, clock) }))
        } else {
            let secret = reference.resolve(env).map_err(|error| none(variable, &error))?;
            Kind::Known(Arc::new(key(variable, &secret)?))
        };
        Ok(Self { variable, kind })
    }

    /// Returns the key. A key in a remote store is read by `deadline` unless it is cached.
    pub(super) async fn key(&self, deadline: Instant) -> Result<Arc<Key>, EnvProblem> {
        let Remote { reference, env, vault } = match &self.kind {
            Kind::Known(key) => return Ok(Arc::clone(key)),
            Kind::Remote(remote) => &**remote,
        };
        vault.refresh(std::slice::from_ref(reference), false, deadline).await;
        let secret = vault.get(reference, env).map_err(|error| none(self.variable, &error))?;
        key(self.variable, &secret).map(Arc::new)
    }
}

fn none(variable: &'static str, error: &SecretError) -> EnvProblem {
    EnvProblem { variable, message: format!("has no value: {error}") }
}

fn key(variable: &'static str, secret: &Secret) -> Result<Key, EnvProblem> {
    let message = "is not the base64 of 32 bytes: make it with `openssl rand -base64 32`";
    Key::new(secret).ok_or_else(|| EnvProblem { variable, message: message.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_key_is_named_and_not_shown() {
        for text in ["c2hvcnQ=", "hunter2!", "env:MISSING", "ssm:"] {
            let error =
                Lock::from_env("QUARANTINE_KEY", &Env::of([("QUARANTINE_KEY", text)]), &Clock::system())
                    .unwrap_err();
            assert_eq!(error.variable, "QUARANTINE_KEY");
            assert!(!error.message.contains("hunter2"), "{error}");
        }
        assert!(Lock::from_env("QUARANTINE_KEY", &Env::of([("A", "b")]), &Clock::system()).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn one_of_a_store_is_read_when_it_is_needed() {
        for env in [
            Env::of([("QUARANTINE_KEY", "ssm:/a")]),
            Env::of([("QUARANTINE_KEY", "env:A"), ("A", "secretsmanager:a#b")]),
        ] {
            let lock = Lock::from_env("QUARANTINE_KEY", &env, &Clock::system()).unwrap();
            let error = lock.key(Instant::now() + std::time::Duration::from_secs(1)).await.unwrap_err();
            assert!(error.to_string().contains("AWS_SESSION_TOKEN is unset"), "{error}");
        }
    }
}
