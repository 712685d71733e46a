//! Reading secrets while requests wait for them.

use tokio::time::Instant;

use super::{Secret, SecretError, SecretRef};
use crate::env::Env;

/// Resolves references; clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Resolver {
    env: Env,
}

impl Resolver {
    pub(crate) fn new(env: &Env) -> Self {
        Self { env: env.clone() }
    }

    /// As [`SecretRef::resolve`], until `deadline`.
    #[expect(clippy::unused_async, reason = "what is kept elsewhere is waited for")]
    pub(crate) async fn resolve(&self, reference: &SecretRef, _: Instant) -> Result<Secret, SecretError> {
        reference.resolve(&self.env)
    }
}
