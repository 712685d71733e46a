//! Credentials of the queues, read from the environment.

use std::borrow::Cow;

use tokio::time::Instant;

use super::breaker::Fingerprint;
use crate::env::{Env, EnvProblem};
use crate::net::digest::sha256;
use crate::platform::{FUNCTION_GRAPH_RUNTIME, Trusted};
use crate::secret::{Secret, SecretError, SecretRef};
#[cfg(feature = "machine")]
use crate::vault::LentKey;
use crate::vault::{Lender, Vault};

/// Access key: its id, its secret half, and the session token of a temporary key.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Secret id (Tencent Cloud) or access key, AK (Huawei Cloud).
    pub id: String,
    /// Secret key, in Huawei Cloud's terms SK.
    pub key: Secret,
    /// Session token or security token of a temporary key.
    pub token: Option<Secret>,
}

/// Names of the variables of one access key. The variables of two families are never mixed.
#[derive(Debug)]
pub(crate) struct Family {
    pub id: &'static str,
    pub key: &'static str,
    pub token: Option<&'static str>,
    /// Predicate that is true if the platform passes these variables with each event or request, so that they
    /// are not set at start.
    pub is_lent: fn(&Env) -> bool,
}

/// Returns false: no platform passes this family's variables with an event.
pub(crate) fn never(_: &Env) -> bool {
    false
}

/// Variables of the session tokens that a person sets.
pub(super) const TENCENT_TOKEN: &str = "TENCENTCLOUD_TOKEN";
pub(super) const HUAWEI_TOKEN: &str = "HUAWEICLOUD_SDK_SECURITY_TOKEN";

/// Variables of Tencent Cloud's SDKs, then those that the serverless platform (SCF) puts into a function's
/// environment and renews there.
pub(crate) const TENCENT: [Family; 2] = [
    Family {
        id: "TENCENTCLOUD_SECRET_ID",
        key: "TENCENTCLOUD_SECRET_KEY",
        token: Some(TENCENT_TOKEN),
        is_lent: never,
    },
    Family {
        id: "TENCENTCLOUD_SECRETID",
        key: "TENCENTCLOUD_SECRETKEY",
        token: Some("TENCENTCLOUD_SESSIONTOKEN"),
        is_lent: |env| Trusted::Scf.named_by(env).is_some(),
    },
];

/// Variables of Huawei's SDKs, then those of the Open Telekom Cloud's SDKs.
pub(crate) const HUAWEI: [Family; 2] = [
    Family {
        id: "HUAWEICLOUD_SDK_AK",
        key: "HUAWEICLOUD_SDK_SK",
        token: Some(HUAWEI_TOKEN),
        is_lent: |env| {
            env.get(FUNCTION_GRAPH_RUNTIME).is_some() || Trusted::FunctionGraph.named_by(env).is_some()
        },
    },
    Family { id: "OTC_SDK_AK", key: "OTC_SDK_SK", token: None, is_lent: never },
];

impl Family {
    /// Returns the first of `families` with a set id or key.
    pub(crate) fn set_in<'f>(env: &Env, families: &'f [Self]) -> Option<&'f Self> {
        families.iter().find(|f| env.get(f.id).is_some() || env.get(f.key).is_some())
    }

    pub(crate) fn variables(&self) -> impl Iterator<Item = &'static str> {
        [self.id, self.key].into_iter().chain(self.token)
    }
}

/// Returns the problem of a variable that is a part of a login, regardless of the other parts: a reference without a
/// value, or what `is_key` says that no key has.
#[cfg(feature = "catalog")]
pub(crate) fn problem(env: &Env, vault: &Vault, variable: &'static str, is_key: bool) -> Option<EnvProblem> {
    let value = Keyring::trusting(env, vault).optional(variable);
    value.and_then(|value| if is_key { check(variable, value.as_ref()) } else { Ok(()) }).err()
}

/// Checks that the value of a part of an access key is one that keys have.
fn check(variable: &'static str, value: Option<&Secret>) -> Result<(), EnvProblem> {
    // Docker's `--env-file` keeps quotes.
    let is_wrong =
        |v: &[u8]| !v.iter().all(u8::is_ascii_graphic) || matches!(v, [b'"', .., b'"'] | [b'\'', .., b'\'']);
    if value.is_some_and(|v| is_wrong(v.expose())) {
        let message =
            "holds blanks or characters that no key has, or stands in quotes: copy it again".to_owned();
        return Err(EnvProblem { variable, message });
    }
    Ok(())
}

/// Source of variables whose values are secrets, or references to secrets.
#[derive(Clone, Copy)]
pub(crate) struct Keyring<'k> {
    env: &'k Env,
    vault: &'k Vault,
    /// True if a secret that was not read yet counts as present.
    trusting: bool,
}

impl<'k> Keyring<'k> {
    /// Opens the keyring for a send, after reading the secrets that only a running function can read, if they
    /// are due. `refused` is true if the vendor did not take the last ones.
    pub(crate) async fn read(
        env: &'k Env,
        vault: &'k Vault,
        variables: &mut (dyn Iterator<Item = &'static str> + Send),
        lenders: &[Lender],
        refused: bool,
        deadline: Instant,
    ) -> Self {
        let found = variables.filter_map(|variable| reference(env, variable));
        let references: Vec<Result<SecretRef, SecretError>> = found.collect();
        #[cfg(feature = "machine")]
        if references.is_empty() {
            vault.borrow(lenders, env, refused, deadline).await;
        }
        #[cfg(not(feature = "machine"))]
        let _ = lenders;
        let references: Vec<SecretRef> = references.into_iter().filter_map(Result::ok).collect();
        vault.refresh(&references, refused, deadline).await;
        Self { env, vault, trusting: false }
    }

    /// Returns the key that the pod or the machine lends, for an environment without a key.
    #[cfg(feature = "machine")]
    pub(crate) fn lent(&self, lenders: &[Lender]) -> Result<Option<Credentials>, EnvProblem> {
        let Some(lent) = self.vault.lent(lenders, self.env, self.trusting) else { return Ok(None) };
        let LentKey { id, key, token } = lent?;
        Ok(Some(Credentials { id, key, token: Some(token) }))
    }

    /// Returns `None`: a function is lent no key in this way.
    #[cfg(not(feature = "machine"))]
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "the feature `machine` has the other form"
    )]
    pub(crate) const fn lent(&self, _: &[Lender]) -> Result<Option<Credentials>, EnvProblem> {
        Ok(None)
    }

    /// Opens a keyring for the check of the environment at start: a secret that cannot be read yet counts as
    /// present.
    pub(crate) const fn trusting(env: &'k Env, vault: &'k Vault) -> Self {
        Self { env, vault, trusting: true }
    }

    pub(in crate::queue) const fn env(&self) -> &'k Env {
        self.env
    }

    /// Reads the value of a variable; fails if the variable is not set.
    pub(super) fn required(&self, variable: &'static str) -> Result<Secret, EnvProblem> {
        self.optional(variable)?.ok_or_else(|| EnvProblem { variable, message: "is not set".to_owned() })
    }

    fn optional(&self, variable: &'static str) -> Result<Option<Secret>, EnvProblem> {
        let Some(reference) = reference(self.env, variable) else { return Ok(None) };
        let found = reference.and_then(|reference| self.vault.get(&reference, self.env));
        match found {
            Err(SecretError::Remote(_)) if self.trusting => Ok(Some(Secret::new("unread"))),
            found => {
                found.map(Some).map_err(|e| EnvProblem { variable, message: format!("has no value: {e}") })
            }
        }
    }
}

/// Parses the secret reference or literal in a variable; `None` if the variable is not set.
fn reference(env: &Env, variable: &str) -> Option<Result<SecretRef, SecretError>> {
    let written = SecretRef::parse_or_literal(&env.get(variable)?);
    Some(written.and_then(|written| written.follow(env).map(Cow::into_owned)))
}

impl Credentials {
    /// Reads the credentials of the first of `families` with a set id or key; `None` if no family has one.
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
            check(variable, value)?;
        }
        Ok(Some(Self { id: id.expose_str().unwrap_or_default().to_owned(), key, token }))
    }

    /// Returns the session token as text.
    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_ref().and_then(Secret::expose_str)
    }

    /// Lists the secret values that must not appear in an error text.
    pub(crate) fn secrets(&self) -> [&str; 2] {
        [self.key.expose_str().unwrap_or_default(), self.token().unwrap_or_default()]
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let [key, token] = self.secrets();
        fingerprint(&[&self.id, key, token])
    }
}

/// Computes a digest that differs if any of the parts differs.
pub(super) fn fingerprint(parts: &[&str]) -> Fingerprint {
    sha256(parts.join("\0").as_bytes())
}
