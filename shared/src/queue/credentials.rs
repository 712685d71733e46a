//! Credentials from the environment.

use super::EnvProblem;
use super::breaker::Fingerprint;
use super::digest::sha256;
use crate::env::Env;
use crate::secret::{Secret, SecretRef};

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
pub(crate) struct Family {
    pub id: &'static str,
    pub key: &'static str,
    pub token: Option<&'static str>,
}

/// Tencent Cloud's: the names of its SDKs, then those that the serverless platform (SCF) puts into a
/// function's environment and renews there.
pub(crate) const TENCENT: [Family; 2] = [
    Family {
        id: "TENCENTCLOUD_SECRET_ID",
        key: "TENCENTCLOUD_SECRET_KEY",
        token: Some("TENCENTCLOUD_TOKEN"),
    },
    Family {
        id: "TENCENTCLOUD_SECRETID",
        key: "TENCENTCLOUD_SECRETKEY",
        token: Some("TENCENTCLOUD_SESSIONTOKEN"),
    },
];

/// Huawei's SDKs', then those of the Open Telekom Cloud's.
pub(crate) const HUAWEI: [Family; 2] = [
    Family {
        id: "HUAWEICLOUD_SDK_AK",
        key: "HUAWEICLOUD_SDK_SK",
        token: Some("HUAWEICLOUD_SDK_SECURITY_TOKEN"),
    },
    Family { id: "OTC_SDK_AK", key: "OTC_SDK_SK", token: None },
];

impl Credentials {
    /// The first of `families` of which the id or the key is set; `None` when there is none.
    pub(crate) fn from_env(env: &Env, families: &[Family]) -> Result<Option<Self>, EnvProblem> {
        let is_set = |f: &&Family| env.get(f.id).is_some() || env.get(f.key).is_some();
        let Some(family) = families.iter().find(is_set) else { return Ok(None) };
        let id = required(env, family.id)?;
        let key = required(env, family.key)?;
        let token = match family.token {
            Some(variable) => optional(env, variable)?,
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

/// A credential variable that is needed.
pub(super) fn required(env: &Env, variable: &'static str) -> Result<Secret, EnvProblem> {
    optional(env, variable)?.ok_or_else(|| EnvProblem { variable, message: "is not set".to_owned() })
}

fn optional(env: &Env, variable: &'static str) -> Result<Option<Secret>, EnvProblem> {
    let Some(text) = env.get(variable) else { return Ok(None) };
    SecretRef::parse_or_literal(&text)
        .and_then(|reference| reference.resolve(env))
        .map(Some)
        .map_err(|e| EnvProblem { variable, message: format!("gives no value: {e}") })
}
