//! Proof that a request is authentic.

use crate::clock::Timestamp;
use crate::source::scheme::Scheme;
use crate::source::scheme::field::View;
use crate::source::scheme::keep::Tokens;
use crate::source::scheme::kinds::Kind;
use crate::source::scheme::signature::Given;
use crate::source::scheme::template::SignedMessage;
use crate::source::scheme::window::Age;
use crate::source::{Rejection, VerifyStep};

/// Result of successful verification.
#[derive(Default)]
pub(crate) struct Proof {
    /// Number of the hook's secret that matched, counted from 0.
    pub(crate) secret: Option<usize>,
    /// Number of the verifier of `kind = "any"` that accepted, counted from 0.
    pub(crate) verifier: Option<usize>,
    /// The pairs of a `kv` signature.
    pub(crate) pairs: Vec<(String, String)>,
    /// The claims of a token that is the body.
    pub(crate) claims: Option<Vec<u8>>,
    /// True if a signed text is one that a handshake may sign for anybody: see [`SignedMessage::is_token`].
    pub(crate) is_of_token: bool,
}

/// Step at which verification ended, and the reason.
pub(crate) type Refusal = (VerifyStep, Rejection);

impl Proof {
    /// Combines two proofs that are both needed; the first secret of the two is reported.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.secret = self.secret.or(other.secret);
        self.claims = self.claims.or(other.claims);
        self.is_of_token |= other.is_of_token;
        self
    }
}

impl Scheme {
    /// Verifies a request, or each of the items in its body.
    pub(crate) fn prove(&self, view: &View<'_>, now: Timestamp) -> Result<Proof, Refusal> {
        let Some(items) = &self.items else { return self.prove_one(view, now) };
        let mut proof: Option<Proof> = None;
        items.refuse_alike(view).map_err(|rejection| (VerifyStep::Items, rejection))?;
        for item in items.items(view).map_err(|rejection| (VerifyStep::Items, rejection))? {
            let next = self.prove_one(&View { item, ..*view }, now)?;
            proof = Some(match proof {
                Some(proof) => proof.and(next),
                None => next,
            });
        }
        // Without items nothing of the request would be verified.
        proof.ok_or_else(|| (VerifyStep::Items, Rejection::Missing(items.to_string())))
    }

    fn prove_one(&self, view: &View<'_>, now: Timestamp) -> Result<Proof, Refusal> {
        let at = |step| move |rejection| (step, rejection);
        let given = match &self.kind {
            Kind::Signed(kind) => match kind.signature.given(view) {
                Ok(given) => given,
                Err(rejection) => {
                    // A request without a signature may tell why: then the advice is of more use.
                    let mut told = self.require.iter().filter_map(|pin| pin.check(view).err());
                    let advised = told.find(|rejection| matches!(rejection, Rejection::Advised(..)));
                    return Err(match advised {
                        Some(advised) => (VerifyStep::Require, advised),
                        None => (VerifyStep::Signature, rejection),
                    });
                }
            },
            _ => Given::default(),
        };
        let view = View { pairs: &given.pairs, ..*view };
        for pin in &self.require {
            pin.check(&view).map_err(at(VerifyStep::Require))?;
        }
        let mut proof = match &self.kind {
            Kind::None => Proof::default(),
            Kind::Network(kind) => {
                kind.check(view.request).map_err(at(VerifyStep::Network))?;
                Proof::default()
            }
            Kind::Token(kind) => {
                let value = kind.given(&view).map_err(at(VerifyStep::Token))?;
                let secret = kind.verify(&value).ok_or((VerifyStep::Token, Rejection::NoMatch))?;
                Proof { secret: self.secret_of(secret), ..Proof::default() }
            }
            Kind::Signed(kind) => {
                let message = kind.template.fill(&view).map_err(at(VerifyStep::Signed))?;
                if !kind.template.has_body() && kind.body_hash.is_empty() {
                    kind.template.refuse_alike(&view).map_err(at(VerifyStep::Signed))?;
                }
                let verify = |message: &SignedMessage<'_>| {
                    let secret = kind.algorithm.verify(message, &given.signatures, &view, now)?;
                    Ok((secret, message.is_token()))
                };
                let otherwise = |no_match: Rejection| {
                    let others = kind.template.fill_otherwise(&view);
                    let mut others = others.take_while(|_| no_match == Rejection::NoMatch);
                    others.find_map(|other| verify(&other).ok()).ok_or(no_match.clone())
                };
                let verified = verify(&message).or_else(otherwise);
                if let (Err(Rejection::Fetch(_)), Some(window)) = (&verified, &self.timestamp) {
                    // A request that is too old in any case must not cause a fetch.
                    window.check(&view, now).map_err(at(VerifyStep::Timestamp))?;
                }
                let (secret, is_of_token) = verified.map_err(|rejection| (rejection.step(), rejection))?;
                for hash in &kind.body_hash {
                    hash.check(&view).map_err(at(VerifyStep::BodyHash))?;
                }
                let secret = secret.and_then(|secret| self.secret_of(secret));
                Proof { secret, is_of_token, ..Proof::default() }
            }
            Kind::Jwt(kind) => {
                let (secret, claims) = kind.verify(&view, now).map_err(|rejection| match rejection {
                    Rejection::NoMatch | Rejection::Fetch(_) | Rejection::Unusable(_) => {
                        (rejection.step(), rejection)
                    }
                    other => (VerifyStep::Token, other),
                })?;
                Proof { secret: secret.and_then(|secret| self.secret_of(secret)), claims, ..Proof::default() }
            }
            Kind::Several(several) => several.prove(&view, now)?,
        };
        if let Some(window) = &self.timestamp {
            window.check(&view, now).map_err(at(VerifyStep::Timestamp))?;
        }
        proof.pairs = given.pairs;
        Ok(proof)
    }
}

impl Scheme {
    /// Returns the age of a request that is outside of the window of one of the verifiers.
    pub(crate) fn age(&self, view: &View<'_>, now: Timestamp) -> Option<Age> {
        let age = |verifier: &Self| {
            let given = match &verifier.kind {
                Kind::Signed(kind) => kind.signature.given(view).ok()?,
                _ => Given::default(),
            };
            let view = View { pairs: &given.pairs, ..*view };
            let window = verifier.timestamp.as_ref()?;
            window.check(&view, now).err().and_then(|_| window.age(&view, now))
        };
        self.verifiers().iter().find_map(age)
    }
}

/// Choice of the tokens to search for in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Tokens that a verifier knows, even if it does not accept the request.
    Ours,
    /// All values in the places of tokens: a token that is wrong here may be right elsewhere.
    Anybodys,
}

impl Scheme {
    /// Collects the tokens in a request, which must not be kept.
    pub(crate) fn tokens(&self, view: &View<'_>, whose: Whose) -> Tokens {
        let mut tokens = Tokens::default();
        for verifier in self.verifiers() {
            let items = verifier.items.as_ref().map(|items| items.items(view).unwrap_or_default());
            for item in items.unwrap_or_else(|| vec![&[]]) {
                verifier.add_token(&View { item, ..*view }, whose, &mut tokens);
            }
        }
        tokens
    }

    fn add_token(&self, view: &View<'_>, whose: Whose, tokens: &mut Tokens) {
        match &self.kind {
            Kind::Token(token) => {
                let given = token.given(view).ok();
                let is_ours = given.as_ref().is_some_and(|given| token.verify(given).is_some());
                match given {
                    Some(given) if is_ours => tokens.add(&token.from, view, token.forms(given)),
                    _ if whose == Whose::Ours => {}
                    Some(given) => tokens.add(&token.from, view, [given]),
                    None => {
                        let value = token.from.read(view).map(crate::secret::Secret::new);
                        tokens.add(&token.from, view, value);
                    }
                }
            }
            Kind::Jwt(jwt) if !jwt.covers_body() => tokens.add(&jwt.from, view, jwt.given(view)),
            _ => {}
        }
    }
}
