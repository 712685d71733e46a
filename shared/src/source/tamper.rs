//! Requests that are broken on purpose: proof, against any deployment, that it refuses them.

use std::fmt;
use std::time::Duration;

use super::sign::{Draft, SignError};
use super::{Settings, Source};
use crate::clock::{Random, Timestamp};
use crate::delivery::Coverage;
use crate::http::Request;
use crate::secret::Secret;

/// One thing that is wrong in an otherwise valid request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tamper {
    /// A bit of the body is flipped after signing.
    Body,
    /// The signature's last bit is flipped; it stays well-formed.
    Signature,
    /// Validly signed, but [`STALE`] before the window opens.
    Timestamp,
    /// Signed with another secret of the same form.
    Secret,
}

/// By how much a stale request is older than its source allows.
pub const STALE: Duration = Duration::from_secs(3600);

/// What makes a secret another one: most forms take any digit anywhere; a few places of base64 do not.
const TRIES: usize = 4;

impl Tamper {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Body, Self::Signature, Self::Timestamp, Self::Secret];

    /// `body`, `signature`, `timestamp` or `secret`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::Signature => "signature",
            Self::Timestamp => "timestamp",
            Self::Secret => "secret",
        }
    }

    /// Why a source knows no such request.
    const fn impossible(self) -> &'static str {
        match self {
            Self::Body => "this source does not notice a changed body",
            Self::Signature => "this source has no signature",
            Self::Timestamp => "this source has no timestamp to set back",
            Self::Secret => "no other secret can be made of this one: sign with one of your own",
        }
    }
}

impl fmt::Display for Tamper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be broken: {}", self.as_str(), self.impossible())
    }
}

impl Source {
    /// What verifies the requests that this source signs: itself or, where a private key signs, a
    /// source with the public keys. `None` for a public-key source that is no preset.
    pub fn verifier(&self) -> Option<Self> {
        if self.public_key(0).is_none() {
            return Some(self.clone());
        }
        let keys = (0..self.secrets.len()).filter_map(|i| self.public_key(i));
        self.with_secrets(keys.map(Secret::new).collect())
    }

    /// Makes a request that is refused for that one reason; an error where the source has none such.
    pub(super) fn sign_broken(
        &self,
        tamper: Tamper,
        draft: Draft,
        secret: usize,
        now: Timestamp,
        random: &Random,
    ) -> Result<Request, SignError> {
        let impossible = || SignError::Tamper(tamper);
        let verifier = self.verifier().ok_or_else(impossible)?;
        let is_refused = |request: &Request| verifier.verify(request, now, &[]).is_err();
        let request = match tamper {
            Tamper::Body if self.scheme.coverage() != Coverage::Body => return Err(impossible()),
            Tamper::Body => {
                let request = self.sign_draft(draft, secret, now, random)?;
                let length = request.body.len();
                // Some schemes leave out parts of a body.
                let places = (length / 2..length).chain(0..length / 2);
                let mut changed = places.map(|place| {
                    let mut body = request.body.to_vec();
                    flip(body.get_mut(place));
                    Request { body: body.into(), ..request.clone() }
                });
                return changed.find(is_refused).ok_or_else(impossible);
            }
            Tamper::Signature => self.sign_draft(draft, secret, now, random)?,
            Tamper::Timestamp => {
                let age = self.scheme.max_age().ok_or_else(impossible)? + STALE;
                let age = i64::try_from(age.as_millis()).map_err(|_| impossible())?;
                self.sign_draft(draft, secret, now.shifted(-age), random)?
            }
            Tamper::Secret => {
                let other = self.with_other_secret(secret).ok_or_else(impossible)?;
                other.sign_draft(draft, secret, now, random)?
            }
        };
        if is_refused(&request) { Ok(request) } else { Err(impossible()) }
    }

    fn with_other_secret(&self, secret: usize) -> Option<Self> {
        let text = self.secrets.get(secret)?.expose_str()?;
        let places = text.char_indices().rev().filter(|(_, c)| c.is_ascii_alphanumeric());
        places.take(TRIES).find_map(|(place, c)| {
            let mut other = text.to_owned();
            other.replace_range(place..=place, if c == '0' { "1" } else { "0" });
            let mut secrets = self.secrets.clone();
            *secrets.get_mut(secret)? = Secret::new(other);
            self.with_secrets(secrets)
        })
    }

    /// The same preset with other secrets.
    fn with_secrets(&self, secrets: Vec<Secret>) -> Option<Self> {
        let text = |(name, value): (&String, &Secret)| Some((name.clone(), value.expose_str()?.to_owned()));
        let params = self.params.iter().map(text).collect::<Option<_>>()?;
        Self::preset(self.preset?, Settings { secrets, params, url: self.url.clone() }).ok()
    }
}

/// Flips the lowest bit.
pub(super) fn flip(byte: Option<&mut u8>) {
    if let Some(byte) = byte {
        *byte ^= 1;
    }
}
