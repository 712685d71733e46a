//! Credentials from the environment.

use std::borrow::Cow;

use tokio::time::Instant;

use super::breaker::Fingerprint;
use crate::env::{Env, EnvProblem};
use crate::net::digest::sha256;
use crate::secret::{Secret, SecretError, SecretRef};
use crate::vault::Vault;

/// An access key: its id, its secret half, and the token of a temporary one.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Secret id, or AK.
    pub id: String,
    /// Secret key, or SK.
    pub key: Secret,
    /// Session or security token.
    pub token: Option<Secret>,
}

/// Variables that belong together: id, key and token of one set are never mixed with another's.
#[derive(Debug)]
pub(crate) struct Family {
    pub id: &'static str,
    pub key: &'static str,
    pub token: Option<&'static str>,
    /// Whether the platform hands these over with each event or request: at start there are none.
    pub is_lent: fn(&Env) -> bool,
}

/// Of a family that no platform hands over.
pub(crate) fn never(_: &Env) -> bool {
    false
}

/// Tencent Cloud's: the names of its SDKs, then those that the serverless platform (SCF) puts into a
/// function's environment and renews there.
pub(crate) const TENCENT: [Family; 2] = [
    Family {
        id: "TENCENTCLOUD_SECRET_ID",
        key: "TENCENTCLOUD_SECRET_KEY",
        token: Some("TENCENTCLOUD_TOKEN"),
        is_lent: never,
    },
    Family {
        id: "TENCENTCLOUD_SECRETID",
        key: "TENCENTCLOUD_SECRETKEY",
        token: Some("TENCENTCLOUD_SESSIONTOKEN"),
        is_lent: |env| env.is_on("SCF_TRUST_HEADERS"),
    },
];

/// Huawei's SDKs', then those of the Open Telekom Cloud's.
pub(crate) const HUAWEI: [Family; 2] = [
    Family {
        id: "HUAWEICLOUD_SDK_AK",
        key: "HUAWEICLOUD_SDK_SK",
        token: Some("HUAWEICLOUD_SDK_SECURITY_TOKEN"),
        is_lent: |env| env.get("RUNTIME_API_ADDR").is_some() || env.is_on("FGS_TRUST_HEADERS"),
    },
    Family { id: "OTC_SDK_AK", key: "OTC_SDK_SK", token: None, is_lent: never },
];

impl Family {
    /// The first of `families` of which the id or the key is set.
    pub(crate) fn set_in<'f>(env: &Env, families: &'f [Self]) -> Option<&'f Self> {
        families.iter().find(|f| env.get(f.id).is_some() || env.get(f.key).is_some())
    }

    pub(crate) fn variables(&self) -> impl Iterator<Item = &'static str> {
        [self.id, self.key].into_iter().chain(self.token)
    }
}

/// Variables whose values are secrets, or references to secrets.
#[derive(Clone, Copy)]
pub(crate) struct Keyring<'k> {
    env: &'k Env,
    vault: &'k Vault,
    /// Whether what was not read yet is taken for good.
    trusting: bool,
}

impl<'k> Keyring<'k> {
    /// For a send: what only a running function can read is read before, where it is due. `refused` if
    /// the vendor did not take the last one.
    pub(crate) async fn read(
        env: &'k Env,
        vault: &'k Vault,
        variables: impl IntoIterator<Item = &'static str>,
        refused: bool,
        deadline: Instant,
    ) -> Self {
        let found = variables.into_iter().filter_map(|variable| reference(env, variable));
        let references: Vec<SecretRef> = found.filter_map(Result::ok).collect();
        vault.refresh(&references, refused, deadline).await;
        Self { env, vault, trusting: false }
    }

    /// For finding problems before there is anything to send.
    pub(crate) const fn trusting(env: &'k Env, vault: &'k Vault) -> Self {
        Self { env, vault, trusting: true }
    }

    pub(super) const fn env(&self) -> &'k Env {
        self.env
    }

    /// A variable that is needed.
    pub(super) fn required(&self, variable: &'static str) -> Result<Secret, EnvProblem> {
        self.optional(variable)?.ok_or_else(|| EnvProblem { variable, message: "is not set".to_owned() })
    }

    fn optional(&self, variable: &'static str) -> Result<Option<Secret>, EnvProblem> {
        let Some(reference) = reference(self.env, variable) else { return Ok(None) };
        let found = reference.and_then(|reference| self.vault.get(&reference, self.env));
        match found {
            Err(SecretError::Remote(_)) if self.trusting => Ok(Some(Secret::new("unread"))),
            found => {
                found.map(Some).map_err(|e| EnvProblem { variable, message: format!("gives no value: {e}") })
            }
        }
    }
}

/// The reference in a variable, if it is set.
fn reference(env: &Env, variable: &str) -> Option<Result<SecretRef, SecretError>> {
    let written = SecretRef::parse_or_literal(&env.get(variable)?);
    Some(written.and_then(|written| written.follow(env).map(Cow::into_owned)))
}

impl Credentials {
    /// The first of `families` of which the id or the key is set; `None` when there is none.
    pub(crate) fn from_env(keys: Keyring<'_>, families: &[Family]) -> Result<Option<Self>, EnvProblem> {
        let env = keys.env;
        let Some(family) = Family::set_in(env, families) else {
            let will_come = keys.trusting && families.iter().any(|family| (family.is_lent)(env));
            return Ok(will_come.then(|| Self {
                id: String::new(),
                key: Secret::new("unread"),
                token: None,
            }));
        };
        let id = keys.required(family.id)?;
        let key = keys.required(family.key)?;
        let token = match family.token {
            Some(variable) => keys.optional(variable)?,
            None => None,
        };
        for (variable, value) in [(family.id, Some(&id)), (family.key, Some(&key))]
            .into_iter()
            .chain(family.token.map(|variable| (variable, token.as_ref())))
        {
            if value.is_some_and(|v| !v.expose().iter().all(u8::is_ascii_graphic)) {
                let message = "holds blanks or characters that no key has: copy it again".to_owned();
                return Err(EnvProblem { variable, message });
            }
        }
        Ok(Some(Self { id: id.expose_str().unwrap_or_default().to_owned(), key, token }))
    }

    /// The token as text.
    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_ref().and_then(Secret::expose_str)
    }

    /// What must not stand in an error.
    pub(crate) fn secrets(&self) -> [&str; 2] {
        [self.key.expose_str().unwrap_or_default(), self.token().unwrap_or_default()]
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let [key, token] = self.secrets();
        fingerprint(&[&self.id, key, token])
    }
}

/// A digest that differs when any part does.
pub(super) fn fingerprint(parts: &[&str]) -> Fingerprint {
    sha256(parts.join("\0").as_bytes())
}
