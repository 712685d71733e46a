//! The verifier `kind = "token"`: the secret itself is sent with the request.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq as _;

use super::KeyError;
use crate::reader::Table;
use crate::secret::Secret;
use crate::source::Rejection;
use crate::source::scheme::field::{Field, View};
use crate::source::scheme::signature::Prefix;
use crate::source::scheme::words;

/// Lower bound on the length of a password that is masked by itself, in bytes; a shorter one may occur by
/// chance.
const MIN_PASSWORD: usize = 8;

/// A token in the field `from`, after a `prefix`.
///
/// With the prefix `Basic ` the secret is `user:password` or its base64 ([RFC 7617]).
///
/// [RFC 7617]: https://www.rfc-editor.org/rfc/rfc7617
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) from: Field,
    prefix: Option<Prefix>,
    keys: Vec<Secret>,
}

impl Token {
    pub(super) fn read(table: &Table<'_>) -> Option<Self> {
        let from = words::field(table, "from", "\"header:Authorization\"");
        if from.as_ref().is_some_and(Field::in_signature) {
            table.error(
                "from",
                "sigkv: is for signatures, not for tokens: write header:, query:, json: or form:",
            );
        }
        let prefix = table.str("prefix").filter(|at| !at.value.is_empty()).map(|at| Prefix(at.value.into()));
        Some(Self { from: from?, prefix, keys: Vec::new() })
    }

    fn is_basic(&self) -> bool {
        self.prefix.as_ref().is_some_and(|prefix| prefix.0.eq_ignore_ascii_case("basic "))
    }

    pub(super) fn add_key(&mut self, secret: &Secret) -> Result<(), KeyError> {
        let is_empty = |pair: &[u8]| pair.iter().all(|b| *b == b':' || b.is_ascii_whitespace());
        let key = if !self.is_basic() {
            secret.clone()
        } else if is_empty(secret.expose())
            || STANDARD.decode(secret.expose()).is_ok_and(|pair| is_empty(&pair))
        {
            return Err("has neither a user nor a password".to_owned());
        } else if secret.expose().contains(&b':') {
            Secret::new(STANDARD.encode(secret.expose()))
        } else if STANDARD.decode(secret.expose()).is_ok_and(|pair| pair.contains(&b':')) {
            secret.clone()
        } else {
            return Err("is neither user:password nor the base64 of it".to_owned());
        };
        self.keys.push(key);
        Ok(())
    }

    /// Forgets all keys, for an attempt with others.
    #[cfg(feature = "catalog")]
    pub(super) fn forget_keys(&mut self) {
        self.keys.clear();
    }

    /// Reads the token of a request, without the prefix.
    pub(crate) fn given(&self, view: &View<'_>) -> Result<Secret, Rejection> {
        let value = self.from.read(view)?;
        let Some(prefix) = &self.prefix else { return Ok(Secret::new(value)) };
        let token = std::str::from_utf8(&value).ok().and_then(|text| prefix.strip(text));
        token.map(Secret::new).ok_or_else(|| Rejection::Malformed(self.from.to_string()))
    }

    /// Returns every form that a copy of the token may have: the token and, for Basic authentication, its
    /// credentials.
    pub(crate) fn forms(&self, token: Secret) -> Vec<Secret> {
        let pair = if self.is_basic() { STANDARD.decode(token.expose()).ok().map(Secret::new) } else { None };
        let password = pair.as_ref().and_then(|pair| {
            let start = pair.expose().iter().position(|b| *b == b':')? + 1;
            pair.expose().get(start..).filter(|password| password.len() >= MIN_PASSWORD).map(Secret::new)
        });
        [Some(token), pair, password].into_iter().flatten().collect()
    }

    /// Returns the number of the secret that equals the token.
    pub(crate) fn verify(&self, given: &Secret) -> Option<usize> {
        position(&self.keys, given)
    }

    /// Builds the value that a sender with the secret of this number puts into the field `from`.
    #[cfg(feature = "sender")]
    pub(crate) fn write(&self, key: usize) -> Option<String> {
        let token = self.keys.get(key)?.expose_str()?;
        Some(self.prefix.as_ref().map_or_else(String::new, |prefix| prefix.0.clone()) + token)
    }
}

/// Returns the index of the secret that equals `given`. Hashes are compared, so that timing reveals neither
/// how much of a value is right nor the length of the secret.
pub(crate) fn position(secrets: &[Secret], given: &Secret) -> Option<usize> {
    let hash = |secret: &Secret| digest(&SHA256, secret.expose());
    let given = hash(given);
    secrets.iter().position(|secret| bool::from(hash(secret).as_ref().ct_eq(given.as_ref())))
}
