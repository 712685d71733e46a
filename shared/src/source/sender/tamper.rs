//! Requests with a deliberate fault, which show for any deployment that it refuses them.

use std::fmt;
use std::time::Duration;

use crate::clock::{Random, Timestamp};
use crate::delivery::Coverage;
use crate::http::Request;
use crate::secret::Secret;
use crate::source::scheme::Scheme;
use crate::source::scheme::kinds::{Kind, Rule, Several};
use crate::source::scheme::window::Window;
use crate::source::sender::sign::{Draft, SignError};
use crate::source::{Settings, Source};

/// A fault in an otherwise valid request.
///
/// Needs the feature `sender`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tamper {
    /// A bit of the body is flipped after signing.
    Body,
    /// The signature's last bit is flipped; it stays well-formed.
    Signature,
    /// The request is validly signed, but [`STALE`] before the window opens.
    Timestamp,
    /// The request is signed with another secret of the same form.
    Secret,
}

/// Extra age of a stale request, beyond the age that its source allows.
///
/// Needs the feature `sender`.
pub const STALE: Duration = Duration::from_secs(3600);

/// Number of characters that are changed in turn to get another valid secret: most forms accept any digit
/// anywhere, but a few places of base64 do not.
const TRIES: usize = 4;

impl Tamper {
    /// All faults, in the order of their declaration.
    pub const ALL: [Self; 4] = [Self::Body, Self::Signature, Self::Timestamp, Self::Secret];

    /// Returns the name of the fault: `body`, `signature`, `timestamp` or `secret`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::Signature => "signature",
            Self::Timestamp => "timestamp",
            Self::Secret => "secret",
        }
    }

    /// Returns the reason why a source has no request with this fault.
    const fn impossible(self) -> &'static str {
        match self {
            Self::Body => "this source does not notice a changed body",
            Self::Signature => "this source has no signature",
            Self::Timestamp => "this source has no timestamp to set back",
            Self::Secret => "no other secret can be made from this one: sign with one of your own",
        }
    }
}

impl fmt::Display for Tamper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be broken: {}", self.as_str(), self.impossible())
    }
}

impl Source {
    /// Builds the source that verifies the requests of this source: the same one or, if a private key signs,
    /// a source with the public keys. Returns `None` for a public-key source that is not a preset.
    ///
    /// Needs the feature `sender`.
    pub fn verifier(&self) -> Option<Self> {
        if self.public_key(0).is_none() {
            return Some(self.clone());
        }
        let keys = (0..self.secrets.len()).filter_map(|i| self.public_key(i));
        self.with_secrets(keys.map(Secret::new).collect())
    }

    /// Makes a request that is refused for this fault only; returns an error if the source has no such
    /// request.
    pub(crate) fn sign_broken(
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
                // Some schemes do not cover all parts of a body, so several places are tried.
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

    /// Builds the same preset with other secrets.
    fn with_secrets(&self, secrets: Vec<Secret>) -> Option<Self> {
        let text = |(name, value): (&String, &Secret)| Some((name.clone(), value.expose_str()?.to_owned()));
        let params = self.params.iter().map(text).collect::<Option<_>>()?;
        Self::preset(self.preset?, Settings { secrets, params, url: self.url.clone() }).ok()
    }
}

impl Scheme {
    /// Returns how long a request is accepted after it was signed. Several verifiers give the shortest time
    /// under `all`, the longest under `any`.
    pub(crate) fn max_age(&self) -> Option<Duration> {
        let age = |verifier: &Scheme| match &verifier.kind {
            Kind::Jwt(jwt) => jwt.max_age(),
            _ => verifier.timestamp.as_ref().map(Window::max_age),
        };
        let mut ages = self.verifiers().iter().map(age);
        match &self.kind {
            Kind::Several(Several { rule: Rule::All, .. }) => ages.flatten().min(),
            _ => ages.try_fold(Duration::ZERO, |oldest, age| age.map(|age| age.max(oldest))),
        }
    }

    /// Returns the time after the end of a token in which it is still accepted; `None` if there is none.
    pub(crate) fn lapse(&self) -> Option<Duration> {
        match &self.kind {
            Kind::Jwt(jwt) => Some(jwt.lapse()),
            _ => None,
        }
    }
}

/// Flips the lowest bit of the byte, if there is one.
pub(crate) fn flip(byte: Option<&mut u8>) {
    if let Some(byte) = byte {
        *byte ^= 1;
    }
}
