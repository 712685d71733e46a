//! Why a request is, or is not, authentic: for `hookmq verify --explain`.

use std::fmt;

use super::check::Passed;
use super::field::View;
use super::kinds::Kind;
use super::{Rejection, Source};
use crate::clock::Timestamp;
use crate::http::Request;

/// The steps of verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Answering a handshake.
    Handshake,
    /// Reading and comparing the token.
    Token,
    /// Reading and checking the signatures.
    Signature,
    /// Putting together what was signed.
    Signed,
    /// Values that configuration requires.
    Require,
    /// The window of time.
    Timestamp,
    /// Reading the delivery's id, event and subject.
    Names,
}

impl Step {
    /// As `--explain` and logs spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Token => "token",
            Self::Signature => "signature",
            Self::Signed => "signed",
            Self::Require => "require",
            Self::Timestamp => "timestamp",
            Self::Names => "names",
        }
    }
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Authentic, by the secret of that number (counted from 0), if there are secrets.
    Verified(Option<usize>),
    /// A handshake, answered with that status.
    Handshake(u16),
    /// Refused at that step.
    Rejected(Step, Rejection),
}

/// What verification did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// `token`, `hmac`, `digest`, `ed25519` or `none`.
    pub kind: &'static str,
    /// What became of the request.
    pub outcome: Outcome,
    /// What the sender should have signed, where all parts of it are there; a secret in it is masked.
    pub signed: Option<Vec<u8>>,
}

impl Source {
    /// Verifies as [`check`](Self::check) does, and tells how it went. Never holds a secret or token.
    pub fn explain(&self, request: &Request, now: Timestamp) -> Explanation {
        let outcome = match self.verify(request, now) {
            Ok(Passed::Delivery(authentic)) => Outcome::Verified(authentic.secret),
            Ok(Passed::Handshake(response)) => Outcome::Handshake(response.status),
            Err((step, rejection)) => Outcome::Rejected(step, rejection),
        };
        Explanation { kind: self.scheme.kind.as_str(), outcome, signed: self.signed(request) }
    }

    fn signed(&self, request: &Request) -> Option<Vec<u8>> {
        let Kind::Signed(kind) = &self.scheme.kind else { return None };
        let view = View { request, url: self.url.as_deref(), pairs: &[] };
        let given = kind.signature.given(&view).unwrap_or_default();
        let message = kind.template.fill(&View { pairs: &given.pairs, ..view }).ok()?;
        Some(message.to_bytes(b"<secret>").into_owned())
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Outcome::Verified(None) => writeln!(f, "accepted: nothing is verified")?,
            Outcome::Verified(Some(secret)) => writeln!(f, "accepted: {} by secrets[{secret}]", self.kind)?,
            Outcome::Handshake(status) => writeln!(f, "handshake: answered {status}")?,
            Outcome::Rejected(step, rejection) => {
                writeln!(f, "rejected: {}: {rejection}", step.as_str())?;
            }
        }
        match &self.signed {
            Some(signed) => writeln!(f, "signed string: {:?}", String::from_utf8_lossy(signed)),
            None => Ok(()),
        }
    }
}
