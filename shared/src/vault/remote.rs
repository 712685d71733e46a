//! Secrets Manager and Parameter Store, through the AWS Parameters and Secrets Lambda extension.
//!
//! The extension is a layer. It answers HTTP on loopback, calls AWS with the function's role and caches
//! values for a time (`SECRETS_MANAGER_TTL`, `SSM_PARAMETER_STORE_TTL`; default 300 s). It serves invocations
//! only, not a function's initialization.
//!
//! - <https://docs.aws.amazon.com/secretsmanager/latest/userguide/retrieving-secrets_lambda.html>
//! - <https://docs.aws.amazon.com/systems-manager/latest/userguide/ps-integration-lambda-extensions.html>

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep};

use crate::env::{AWS_SESSION_TOKEN, Env};
use crate::files::{SECRETS, Undone};
use crate::json;
use crate::net::answer::Answer;
use crate::net::endpoint::Endpoint;
use crate::net::transport::{Call, Transport, TransportError, headers};
use crate::secret::{Secret, SecretError, SecretRef};

/// Default port of the extension.
const PORT: u16 = 2773;
pub(crate) const PORT_VARIABLE: &str = "PARAMETERS_SECRETS_EXTENSION_HTTP_PORT";

/// Header field with the session token, which proves to the extension that the caller is the function.
const TOKEN_HEADER: &str = "x-aws-parameters-secrets-token";

/// Upper bound on the size of an answer, in bytes. A secret has up to 64 KiB, and more when its characters
/// are escaped.
const MAX_ANSWER: usize = 512 * 1024;

/// Times for an extension that does not listen yet: the total wait, and the pause between two attempts.
const STARTING: Duration = Duration::from_secs(1);
const AGAIN: Duration = Duration::from_millis(50);

/// Upper bound on requests of all hooks that wait for another request to read secrets. Each of them holds a
/// place in the host, and an attacker can forge any number of them.
const MAX_WAITING: usize = 32;

/// Characters that a query may contain without escapes.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Service behind the extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum SecretStore {
    SecretsManager,
    ParameterStore,
}

/// Parts of a remote reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Remote<'r> {
    pub(super) store: SecretStore,
    pub(super) id: &'r str,
    pub(super) json_key: Option<&'r str>,
}

impl<'r> Remote<'r> {
    /// Returns the parts of a reference to such a service; `None` for a local reference.
    pub(super) fn of(reference: &'r SecretRef) -> Option<Self> {
        match reference {
            SecretRef::SecretsManager { id, json_key } => {
                Some(Self { store: SecretStore::SecretsManager, id, json_key: json_key.as_deref() })
            }
            SecretRef::Ssm(id) => Some(Self { store: SecretStore::ParameterStore, id, json_key: None }),
            SecretRef::Literal(_) | SecretRef::Env { .. } | SecretRef::File(_) => None,
        }
    }

    fn target(&self) -> String {
        let id = utf8_percent_encode(self.id, UNRESERVED);
        match self.store {
            SecretStore::SecretsManager => format!("/secretsmanager/get?secretId={id}"),
            SecretStore::ParameterStore => {
                format!("/systemsmanager/parameters/get?name={id}&withDecryption=true")
            }
        }
    }

    /// Extracts the secret from the extension's answer, which has the form of `GetSecretValue` or
    /// `GetParameter`.
    fn read(&self, body: &[u8]) -> Result<Secret, SecretError> {
        let foreign = || SecretError::NotUnderstood(self.id.to_owned());
        let text = |path| {
            let raw = json::find(body, path).map_err(|_| foreign())?;
            Ok(raw.and_then(json::string).map(|text| Secret::new(text.into_owned())))
        };
        match self.store {
            SecretStore::ParameterStore => text("Parameter.Value")?.ok_or_else(foreign),
            SecretStore::SecretsManager => {
                if let Some(secret) = text("SecretString")? {
                    return Ok(secret);
                }
                let encoded = text("SecretBinary")?.ok_or_else(foreign)?;
                STANDARD.decode(encoded.expose()).map(Secret::new).map_err(|_| foreign())
            }
        }
    }

    /// Picks the member that the reference names, or returns the whole secret if the reference names none.
    pub(super) fn pick(&self, secret: Secret) -> Result<Secret, SecretError> {
        match self.json_key {
            Some(key) => secret.member(self.id, key),
            None => Ok(secret),
        }
    }
}

/// Reader of references, local and remote. Clones share its connections.
#[derive(Clone)]
pub(crate) struct Resolver(Arc<Inner>);

struct Inner {
    env: Env,
    /// Transport, created on first use because few functions need it.
    transport: OnceLock<Transport>,
    waiting: Semaphore,
}

impl Resolver {
    pub(crate) fn new(env: &Env) -> Self {
        let waiting = Semaphore::new(MAX_WAITING);
        Self(Arc::new(Inner { env: env.clone(), transport: OnceLock::new(), waiting }))
    }

    /// Takes a place among the requests that wait for another request to read secrets. Fails if all places
    /// are taken.
    pub(crate) fn wait(&self) -> Result<SemaphorePermit<'_>, String> {
        let full = |_| format!("{MAX_WAITING} requests wait for secrets already");
        self.0.waiting.try_acquire().map_err(full)
    }

    /// Reads the value of any reference by `deadline`. Empty and blank values are refused, as in
    /// [`SecretRef::resolve`].
    pub(crate) async fn resolve(
        &self,
        reference: &SecretRef,
        deadline: Instant,
    ) -> Result<Secret, SecretError> {
        let reference = reference.follow(&self.0.env)?;
        let Some(remote) = Remote::of(&reference) else {
            return self.local(reference.into_owned(), deadline).await;
        };
        let secret = remote.pick(self.fetch(&remote, deadline).await?)?;
        if secret.is_blank() { Err(SecretError::Empty) } else { Ok(secret) }
    }

    /// Reads the value of a local reference. A file is read on a separate thread, since a disk may hang.
    async fn local(&self, reference: SecretRef, deadline: Instant) -> Result<Secret, SecretError> {
        let SecretRef::File(path) = &reference else { return reference.resolve(&self.0.env) };
        let (path, env) = (path.clone(), self.0.env.clone());
        let name = path.display().to_string();
        match SECRETS.run_alone(&path, deadline, move || reference.resolve(&env)).await {
            Ok(read) => read,
            Err(Undone::TimedOut) => Err(SecretError::File(name, std::io::ErrorKind::TimedOut)),
            Err(Undone::Broken(_)) => Err(SecretError::File(name, std::io::ErrorKind::Other)),
        }
    }

    /// Reads a whole secret from the extension, even if the reference names a member. Tries again while the
    /// extension starts.
    pub(super) async fn fetch(&self, remote: &Remote<'_>, deadline: Instant) -> Result<Secret, SecretError> {
        let started = (Instant::now() + STARTING).min(deadline);
        loop {
            let error = match self.ask(remote, deadline).await {
                Err(error @ (SecretError::NoExtension(_) | SecretError::NotReady)) => error,
                other => return other,
            };
            if Instant::now() + AGAIN >= started {
                return Err(error);
            }
            sleep(AGAIN).await;
        }
    }

    async fn ask(&self, remote: &Remote<'_>, deadline: Instant) -> Result<Secret, SecretError> {
        let env = &self.0.env;
        let token = env.get(AWS_SESSION_TOKEN).ok_or(SecretError::NotInLambda)?;
        let port = port(env)?;
        let id = || remote.id.to_owned();
        let transport = self.0.transport.get_or_init(|| Transport::new(env));
        let failed = |error: &dyn fmt::Display| SecretError::NoAnswer(id(), error.to_string());
        let endpoint = Endpoint::parse(&format!("http://localhost:{port}"), false).map_err(|e| failed(&e))?;
        let call = Call {
            method: Method::GET,
            endpoint: &endpoint,
            path_and_query: &remote.target(),
            headers: headers([("accept", "application/json"), (TOKEN_HEADER, &token)]),
            body: Bytes::new(),
            limit: MAX_ANSWER,
            deadline,
            fresh: false,
        };
        match transport.send(call).await {
            Ok(answer) if answer.is_2xx() => remote.read(&answer.body),
            Ok(answer) if is_starting(&answer) => Err(SecretError::NotReady),
            Ok(answer) if (400..500).contains(&answer.status) => {
                Err(SecretError::Refused(id(), answer.status))
            }
            Ok(answer) => Err(SecretError::Failed(id(), answer.status)),
            // Wrong `TLS_CA_FILE` or `HTTPS_PROXY`.
            Err(error) if transport.problem().is_some() => Err(failed(&error)),
            Err(TransportError::Connect(..)) => Err(SecretError::NoExtension(port)),
            Err(error) => Err(failed(&error)),
        }
    }
}

/// Returns true if the answer says that the extension is not ready yet. The extension has no other sign for
/// it.
fn is_starting(answer: &Answer) -> bool {
    const WORDS: &[u8] = b"not ready to serve traffic";
    answer.status == 400 && answer.body.windows(WORDS.len()).any(|words| words == WORDS)
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

/// Reads the port of the extension.
pub(crate) fn port(env: &Env) -> Result<u16, SecretError> {
    match env.get(PORT_VARIABLE) {
        Some(text) => text.parse().ok().filter(|port| *port > 0).ok_or(SecretError::Port),
        None => Ok(PORT),
    }
}

#[cfg(test)]
#[path = "remote_tests.rs"]
mod tests;
