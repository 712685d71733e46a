//! Explanation of a request's verification, for `hookmq verify --explain`.

use std::fmt;

use crate::clock::Timestamp;
use crate::http::Request;
use crate::source::scheme::Scheme;
use crate::source::scheme::field::View;
use crate::source::scheme::keep::Tokens;
use crate::source::scheme::kinds::Kind;
use crate::source::scheme::proof::Whose;
use crate::source::verify::check::Passed;
use crate::source::{Rejection, Source, VerifyStep};

/// Result of verifying a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifyOutcome {
    /// Authentic, by the secret with this number (counted from 0); `None` if no secret took part.
    Verified(Option<usize>),
    /// A handshake that is answered with this status.
    Handshake(u16),
    /// A request that is refused at this step.
    Rejected(VerifyStep, Rejection),
}

/// Account of the verification of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// `kind` of the `[verify]` table.
    pub kind: &'static str,
    /// Result for the whole request.
    pub outcome: VerifyOutcome,
    /// The bytes that the sender should have signed, if the request holds all their parts. Secrets and tokens
    /// in them are masked.
    pub signed: Option<Vec<u8>>,
    /// Explanation of each verifier by itself, for `kind = "any"` and `kind = "all"`.
    pub verifiers: Vec<Explanation>,
    /// Hints at the cause of a refusal, a sentence each.
    pub hints: Vec<String>,
}

impl Source {
    /// Verifies a request like [`check`](Self::check), and explains the result without any secret or token.
    pub fn explain(&self, request: &Request, now: Timestamp) -> Explanation {
        let mut decoded = request.clone();
        let verified = match self.scheme.decode.apply(&mut decoded, self.max_body) {
            Ok(()) => self.verify(&decoded, now, &[]),
            Err(rejection) => Err((VerifyStep::Decode, rejection)),
        };
        let request = &decoded;
        let outcome = match verified {
            Ok(Passed::Delivery(authentic)) => VerifyOutcome::Verified(authentic.proof.secret),
            Ok(Passed::Handshake(greeting)) => VerifyOutcome::Handshake(greeting.response.status),
            Err((step, rejection)) => VerifyOutcome::Rejected(step, rejection),
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
        let hints = match &outcome {
            VerifyOutcome::Rejected(_, rejection) => self.hints(request, rejection, now),
            _ => Vec::new(),
        };
        Explanation { kind: self.scheme.kind.as_str(), outcome, signed, verifiers, hints }
    }

    /// Lists what points to the cause of a refusal: what the log of a function says too, and what only this
    /// program tries.
    fn hints(&self, request: &Request, rejection: &Rejection, now: Timestamp) -> Vec<String> {
        let mut hints = Vec::new();
        hints.extend(self.age(request, rejection, now).map(|age| format!("age: {age}")));
        hints.extend(self.causes(request, rejection).map(|causes| format!("cause: {causes}")));
        #[cfg(feature = "catalog")]
        {
            if let Kind::Signed(kind) = &self.scheme.kind
                && matches!(rejection, Rejection::Missing(from) | Rejection::NoItem(from, _) | Rejection::Malformed(from) | Rejection::Joined(from)
                    if *from == kind.signature.from.to_string())
            {
                hints.push(format!("expected form: {}: {}", kind.signature.from, kind.signature.form()));
            }
            let announced =
                request.headers.one_str("content-length").and_then(|text| text.parse::<usize>().ok());
            let has = request.body.len();
            if let Some(length) = announced.filter(|length| *length != has && !self.scheme.decode.is_any()) {
                hints.push(format!(
                    "cause: the body was changed: it has {has} bytes, and Content-Length says {length}"
                ));
            }
            if Self::may_nearly_match(rejection) {
                let near = self.near_misses(request, now);
                if near.is_empty() && !matches!(self.scheme.kind, Kind::Several(_)) {
                    hints.push(
                        "near misses: none of the usual ones (line ends, JSON written again, blanks or quotes \
                         around the secret, other spellings of the address)"
                            .to_owned(),
                    );
                }
                hints.extend(near.into_iter().map(|change| format!("near miss: it matches with {change}")));
            }
        }
        hints
    }
}

impl Scheme {
    fn explain(&self, view: &View<'_>, now: Timestamp, hidden: &Tokens) -> Explanation {
        let outcome = match self.prove(view, now) {
            Ok(proof) => VerifyOutcome::Verified(proof.secret),
            Err((step, rejection)) => VerifyOutcome::Rejected(step, rejection),
        };
        let signed = self.signed(view, hidden);
        Explanation { kind: self.kind.as_str(), outcome, signed, verifiers: Vec::new(), hints: Vec::new() }
    }

    /// Returns the signed bytes with their secrets masked; for several items, those of the first item.
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
            VerifyOutcome::Verified(None) if self.kind == "none" => {
                writeln!(f, "accepted: nothing is verified")?;
            }
            VerifyOutcome::Verified(None) => writeln!(f, "accepted: {}", self.kind)?,
            VerifyOutcome::Verified(Some(secret)) => {
                writeln!(f, "accepted: {} by secrets[{secret}]", self.kind)?;
            }
            VerifyOutcome::Handshake(status) => writeln!(f, "handshake: answered {status}")?,
            VerifyOutcome::Rejected(step, rejection) => {
                writeln!(f, "rejected: {}: {rejection}", step.as_str())?;
            }
        }
        if let Some(signed) = &self.signed {
            writeln!(f, "signed string: {:?}", String::from_utf8_lossy(signed))?;
        }
        for hint in &self.hints {
            writeln!(f, "{hint}")?;
        }
        self.verifiers
            .iter()
            .enumerate()
            .try_for_each(|(number, verifier)| write!(f, "verifier {number}: {verifier}"))
    }
}
