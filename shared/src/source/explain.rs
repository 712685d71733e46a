//! Why a request is, or is not, authentic: for `hookmq verify --explain`.

use std::fmt;

use super::check::Passed;
use super::field::View;
use super::grammar::Scheme;
use super::keep::Tokens;
use super::kinds::Kind;
use super::proof::Whose;
use super::{Rejection, Source};
use crate::clock::Timestamp;
use crate::http::Request;

/// The steps of verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Answering a handshake.
    Handshake,
    /// Reading and comparing the token; for `jwt`, all that it claims.
    Token,
    /// Finding the key that a request names.
    Key,
    /// Reading and checking the signatures.
    Signature,
    /// Putting together what was signed.
    Signed,
    /// Values that configuration requires.
    Require,
    /// The address that the request came from.
    Network,
    /// The hash of the body.
    BodyHash,
    /// Reading the items of the body.
    Items,
    /// Trying several verifiers, of which one must accept.
    Any,
    /// The window of time.
    Timestamp,
    /// Decrypting the event.
    Decrypt,
    /// Reading the delivery's id, event and subject.
    Names,
}

impl Step {
    /// As `--explain` and logs spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Token => "token",
            Self::Key => "key",
            Self::Signature => "signature",
            Self::Signed => "signed",
            Self::Require => "require",
            Self::Network => "network",
            Self::BodyHash => "body_hash",
            Self::Items => "items",
            Self::Any => "any",
            Self::Timestamp => "timestamp",
            Self::Decrypt => "decrypt",
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
    /// The `kind` of the `[verify]` table.
    pub kind: &'static str,
    /// What became of the request.
    pub outcome: Outcome,
    /// What the sender should have signed, where all parts of it are there; secrets and tokens in it are
    /// masked.
    pub signed: Option<Vec<u8>>,
    /// What each of several verifiers says by itself.
    pub verifiers: Vec<Explanation>,
}

impl Source {
    /// Verifies as [`check`](Self::check) does, and tells how it went. Never holds a secret or token.
    pub fn explain(&self, request: &Request, now: Timestamp) -> Explanation {
        let outcome = match self.verify(request, now, &[]) {
            Ok(Passed::Delivery(authentic)) => Outcome::Verified(authentic.proof.secret),
            Ok(Passed::Handshake(greeting)) => Outcome::Handshake(greeting.response.status),
            Err((step, rejection)) => Outcome::Rejected(step, rejection),
        };
        let view = View::of(request, self.url.as_deref());
        let mut hidden = self.scheme.tokens(&view, Whose::Anybodys);
        hidden.hide(&self.secrets);
        let verifiers = match &self.scheme.kind {
            Kind::Several(several) => {
                several.members.iter().map(|member| member.explain(&view, now, &hidden)).collect()
            }
            _ => Vec::new(),
        };
        let signed = self.scheme.signed(&view, &hidden);
        Explanation { kind: self.scheme.kind.as_str(), outcome, signed, verifiers }
    }
}

impl Scheme {
    fn explain(&self, view: &View<'_>, now: Timestamp, hidden: &Tokens) -> Explanation {
        let outcome = match self.prove(view, now) {
            Ok(proof) => Outcome::Verified(proof.secret),
            Err((step, rejection)) => Outcome::Rejected(step, rejection),
        };
        let signed = self.signed(view, hidden);
        Explanation { kind: self.kind.as_str(), outcome, signed, verifiers: Vec::new() }
    }

    /// What was signed; of several items, of the first.
    fn signed(&self, view: &View<'_>, hidden: &Tokens) -> Option<Vec<u8>> {
        let Kind::Signed(kind) = &self.kind else { return None };
        let items = self.items.as_ref().and_then(|items| items.items(view).ok()).unwrap_or_default();
        let view = View { item: items.first().copied().unwrap_or_default(), ..*view };
        let given = kind.signature.given(&view).unwrap_or_default();
        let message = kind.template.fill(&View { pairs: &given.pairs, ..view }).ok()?;
        Some(hidden.mask(message.to_bytes(b"<secret>").into_owned()))
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Outcome::Verified(None) if self.kind == "none" => writeln!(f, "accepted: nothing is verified")?,
            Outcome::Verified(None) => writeln!(f, "accepted: {}", self.kind)?,
            Outcome::Verified(Some(secret)) => writeln!(f, "accepted: {} by secrets[{secret}]", self.kind)?,
            Outcome::Handshake(status) => writeln!(f, "handshake: answered {status}")?,
            Outcome::Rejected(step, rejection) => {
                writeln!(f, "rejected: {}: {rejection}", step.as_str())?;
            }
        }
        if let Some(signed) = &self.signed {
            writeln!(f, "signed string: {:?}", String::from_utf8_lossy(signed))?;
        }
        self.verifiers
            .iter()
            .enumerate()
            .try_for_each(|(number, verifier)| write!(f, "verifier {number}: {verifier}"))
    }
}
