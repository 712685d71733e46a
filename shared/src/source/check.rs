//! One request's way through a source.

use ring::digest::{Context, SHA256};

use super::field::{Field, View};
use super::keep::{self, Seen};
use super::kinds::Kind;
use super::signature::Given;
use super::template::Message;
use super::{Rejection, Source, Step, Verified, encoding};
use crate::clock::Timestamp;
use crate::delivery::Delivery;
use crate::http::{Request, Response};

/// What a source makes of a request.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Not a delivery: answer this.
    Handshake(Response),
    /// Authentic.
    Verified(Box<Delivery>),
    /// Not authentic.
    Rejected(Rejection),
}

impl Source {
    /// Verifies a request. The body travels on without being copied.
    pub fn check(&self, hook: &str, request: Request, now: Timestamp) -> Verdict {
        let authentic = match self.verify(&request, now) {
            Ok(Passed::Handshake(response)) => return Verdict::Handshake(response),
            Ok(Passed::Delivery(authentic)) => authentic,
            Err((_, rejection)) => return Verdict::Rejected(rejection),
        };
        let Authentic { secret, id, event, subject, token } = authentic;
        let headers = keep::headers(&request.headers, token.as_ref());
        let body = match self.scheme.signed_members() {
            members if members.is_empty() => keep::body(request.body, token.as_ref()),
            members => keep::members(&request.body, &members),
        };
        let mut types = headers.iter().filter(|(name, _)| name == "content-type");
        let content_type = types.next().map(|(_, value)| value.clone()).filter(|_| types.next().is_none());
        let mask = |text| keep::mask(text, token.as_ref());
        let id = id
            .map(mask)
            .filter(|id| (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic()));
        Verdict::Verified(Box::new(Delivery {
            hook: hook.to_owned(),
            source: self.preset.map(str::to_owned),
            id_from_provider: id.is_some(),
            id: id.unwrap_or_else(|| content_id(hook, &body)),
            event: event.map(mask),
            subject: subject.map(mask),
            received_at: now,
            headers,
            content_type,
            body,
            coverage: self.scheme.coverage(),
            secret,
            _verified: Verified(()),
        }))
    }

    /// The steps of [`check`](Self::check), up to what becomes a delivery.
    pub(super) fn verify(&self, request: &Request, now: Timestamp) -> Result<Passed<'_>, (Step, Rejection)> {
        let at = |step| move |rejection| (step, rejection);
        let view = View { request, url: self.url.as_deref(), pairs: &[] };
        if let Some(response) = self.handshake(&view, true).map_err(at(Step::Handshake))? {
            return Ok(Passed::Handshake(response));
        }
        let given = match &self.scheme.kind {
            Kind::Signed(kind) => kind.signature.given(&view).map_err(at(Step::Signature))?,
            Kind::None | Kind::Token(_) => Given::default(),
        };
        let view = View { pairs: &given.pairs, ..view };
        for pin in &self.scheme.require {
            pin.check(&view).map_err(at(Step::Require))?;
        }
        let mut token = None;
        let secret = match &self.scheme.kind {
            Kind::None => None,
            Kind::Token(kind) => {
                let value = kind.given(&view).map_err(at(Step::Token))?;
                let spelling = kind.from.spelling(&view).unwrap_or(value.expose());
                let spellings = [value.expose(), spelling].map(keep::text);
                token = Some(Seen { from: &kind.from, spellings });
                Some(kind.verify(&value).ok_or((Step::Token, Rejection::NoMatch))?)
            }
            Kind::Signed(kind) => {
                let message = kind.template.fill(&view).map_err(at(Step::Signed))?;
                let verify = |message: &Message<'_>| kind.algorithm.verify(message, &given.signatures);
                let otherwise = || verify(&kind.template.fill_otherwise(&view)?);
                let secret = verify(&message).or_else(otherwise);
                Some(secret.ok_or((Step::Signature, Rejection::NoMatch))?)
            }
        };
        if let Some(window) = &self.scheme.timestamp {
            window.check(&view, now).map_err(at(Step::Timestamp))?;
        }
        if let Some(response) = self.handshake(&view, false).map_err(at(Step::Handshake))? {
            return Ok(Passed::Handshake(response));
        }
        let name = |fields: &[Field]| first(fields, &view).map_err(at(Step::Names));
        let (id, event) = (name(&self.scheme.id)?, name(&self.scheme.event)?);
        let subject = name(&self.scheme.subject)?;
        Ok(Passed::Delivery(Authentic { secret, id, event, subject, token }))
    }

    fn handshake(&self, view: &View<'_>, before_verify: bool) -> Result<Option<Response>, Rejection> {
        let mut handshakes = self.profile.handshakes.iter().filter(|h| h.before_verify == before_verify);
        let found = handshakes.find(|handshake| handshake.matches(view));
        found.map(|handshake| handshake.answer(view, &self.params, &self.secrets)).transpose()
    }
}

/// What a request that is not refused is.
pub(super) enum Passed<'s> {
    Handshake(Response),
    Delivery(Authentic<'s>),
}

/// What verification learned of a delivery.
pub(super) struct Authentic<'s> {
    pub(super) secret: Option<usize>,
    id: Option<String>,
    event: Option<String>,
    subject: Option<String>,
    token: Option<Seen<'s>>,
}

/// The first of the fields that is there.
pub(super) fn first(fields: &[Field], view: &View<'_>) -> Result<Option<String>, Rejection> {
    for field in fields {
        if let Some(value) = field.read_optional(view)? {
            return Ok(Some(keep::text(&value)));
        }
    }
    Ok(None)
}

/// The id of a delivery that its sender does not name: the same for the same body (contract 2.6).
fn content_id(hook: &str, body: &[u8]) -> String {
    let mut context = Context::new(&SHA256);
    for part in [hook.as_bytes(), &[0], body] {
        context.update(part);
    }
    format!("sha256-{}", encoding::to_hex(context.finish().as_ref()))
}
