//! Path of one request through a source.

use ring::digest::{Context, SHA256};

use crate::clock::Timestamp;
use crate::delivery::{Content, Delivery, Verified};
use crate::http::{Request, Response};
use crate::sabotage::{Safeguard, is_pulled};
use crate::source::address::{Address, Fetched};
use crate::source::crypto::encoding;
use crate::source::reply::handshake::Greeting;
use crate::source::scheme::credential::without_credentials;
use crate::source::scheme::field::{Field, View};
use crate::source::scheme::form::corrected_type;
use crate::source::scheme::proof::{Proof, Refusal, Whose};
use crate::source::scheme::{decrypt, keep};
use crate::source::{Rejection, Source, VerifyStep};

/// Result of checking a request against a source.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// A handshake rather than a delivery: send this answer.
    Handshake(Response),
    /// An authentic delivery.
    Verified(Box<Delivery>),
    /// A confirmation that the sender asked for, with a verified signature: call this address and send the
    /// answer if the call succeeds.
    Confirm(Address, Response),
    /// The key that decides is published at this address: fetch it and call
    /// [`check_with`](Source::check_with) again. The address belongs to the source, or the source allows it
    /// and the rest of the request is right. A second verdict of this kind means that the fetched document is
    /// not, or no longer, the right one; there is none if that document was the latest.
    Fetch(Address, Box<Request>),
    /// The document from this address holds no key, or the fetch failed.
    Unusable(Address),
    /// A request that is not authentic.
    Rejected(Rejection),
}

impl Source {
    /// Verifies a request. The body is passed on without a copy.
    ///
    /// ```
    /// use hookmq_shared::clock::{Random, Timestamp};
    /// use hookmq_shared::source::{Draft, Rejection, Verdict};
    /// # use hookmq_shared::{secret::Secret, source::{Settings, Source}};
    /// # let settings = Settings { secrets: vec![Secret::new("whsec_of_stripe")], ..Settings::default() };
    /// # let source = Source::preset("stripe", settings).map_err(|mistakes| format!("{mistakes:?}"))?;
    ///
    /// let now = Timestamp::from_unix(1_760_000_000);
    /// let request = source.sign(Draft::default(), 0, now, &Random::system())?;
    ///
    /// let Verdict::Verified(delivery) = source.check("shop", request.clone(), now) else {
    ///     panic!("the request is authentic");
    /// };
    /// assert_eq!((delivery.hook.as_str(), delivery.event.as_deref()), ("shop", Some("invoice.paid")));
    ///
    /// // The same request is too old after ten minutes.
    /// let verdict = source.check("shop", request.clone(), now.shifted(600_000));
    /// assert!(matches!(verdict, Verdict::Rejected(Rejection::Stale)));
    ///
    /// let changed = hookmq_shared::http::Request { body: "{}".into(), ..request };
    /// let verdict = source.check("shop", changed, now);
    /// assert!(matches!(verdict, Verdict::Rejected(Rejection::NoMatch)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn check(&self, hook: &str, request: Request, now: Timestamp) -> Verdict {
        self.check_with(hook, request, now, &[])
    }

    /// Verifies a request like [`check`](Self::check), with the documents that earlier verdicts asked for.
    pub fn check_with(&self, hook: &str, request: Request, now: Timestamp, fetched: &[Fetched]) -> Verdict {
        self.examine(hook, request, now, fetched, &mut None)
    }

    /// Verifies a request like [`check_with`](Self::check_with), and puts a rejected request into `back`, for
    /// another attempt with other secrets.
    pub(crate) fn examine(
        &self,
        hook: &str,
        mut request: Request,
        now: Timestamp,
        fetched: &[Fetched],
        back: &mut Option<Request>,
    ) -> Verdict {
        if let Err(rejection) = self.scheme.decode.apply(&mut request, self.max_body) {
            return Verdict::Rejected(rejection);
        }
        let authentic = match self.verify(&request, now, fetched) {
            Ok(Passed::Handshake(Greeting { response, confirm, note, shown })) => {
                if let Some(note) = note {
                    tracing::warn!(hook, shown, "{note}");
                }
                return match confirm {
                    Some(address) => Verdict::Confirm(address, response),
                    None => Verdict::Handshake(response),
                };
            }
            Ok(Passed::Delivery(authentic)) => authentic,
            Err((_, Rejection::Fetch(address))) => return Verdict::Fetch(address, Box::new(request)),
            Err((_, Rejection::Unusable(address))) => return Verdict::Unusable(address),
            Err((_, rejection)) => {
                *back = Some(request);
                return Verdict::Rejected(rejection);
            }
        };
        let Authentic { proof, id, event, may_have_other_events, subject, plaintext } = authentic;
        let view = View::of(&request, self.url.as_deref());
        let tokens = self.scheme.tokens(&view, Whose::Ours);
        let members = self.scheme.kept_members(&proof, &view);
        let mut headers = tokens.headers(&request.headers, |name| self.reads_token_from(name));
        // Consumers detect repeats by the id: a mask in place of a token would give all deliveries one id.
        let is_id = |id: &String| {
            (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic()) && !tokens.are_in(id)
        };
        let id = id.filter(is_id);
        let mask = |text| tokens.mask_text(text);
        let query = without_credentials(&request.raw_query).into_owned();
        let (event, subject, query) = (event.map(mask), subject.map(mask), mask(query));
        // The content type is not signed, so it must not make another text of the body than the one that was verified.
        if let Some(corrected) = corrected_type(&request.headers, &request.body) {
            let values = headers.iter_mut().filter(|(name, _)| name == "content-type");
            values.for_each(|(_, value)| corrected.clone_into(value));
        }
        let mut types = headers.iter().filter(|(name, _)| name == "content-type");
        let content_type = types.next().map(|(_, value)| value.clone()).filter(|_| types.next().is_none());
        let (body, content_type, original) = if let Some(event) = plaintext {
            let content_type = decrypt::media_type(&event).to_owned();
            (event.into(), Some(content_type), Some(request.body))
        } else {
            let body = tokens.body(request.body);
            let body = match members {
                Some(members) => keep::members(&body, &members),
                None => body,
            };
            // The event of a delivery by GET is in its query, which has the format of a form.
            match request.method.as_str() {
                "GET" => (query.clone().into(), Some("application/x-www-form-urlencoded".to_owned()), None),
                _ => (body, content_type, None),
            }
        };
        let content = Content {
            hook: hook.to_owned(),
            source: self.preset.map(str::to_owned),
            id_from_provider: id.is_some(),
            id: id.unwrap_or_else(|| content_id(hook, event.as_deref(), subject.as_deref(), &body)),
            event,
            may_have_other_events,
            subject,
            received_at: now,
            query,
            headers,
            content_type,
            body,
            original,
            coverage: self.scheme.coverage(),
            secret: proof.secret,
            verifier: proof.verifier,
        };
        Verdict::Verified(Box::new(Delivery::new(content, Verified::by_source())))
    }

    /// Runs the steps of [`check`](Self::check), up to the parts that make a delivery.
    pub(crate) fn verify(
        &self,
        request: &Request,
        now: Timestamp,
        fetched: &[Fetched],
    ) -> Result<Passed<'_>, Refusal> {
        let at = |step| move |rejection| (step, rejection);
        let view = View { fetched, ..View::of(request, self.url.as_deref()) };
        if let Some(greeting) = self.early_handshake(&view, now).map_err(at(VerifyStep::Handshake))? {
            return Ok(Passed::Handshake(greeting));
        }
        // Senders and monitors try an address by HEAD, which says nothing and asks for nothing.
        if request.method == "HEAD" && request.body.is_empty() {
            return Ok(Passed::Handshake(Greeting::harmless()));
        }
        let mut proof = self.scheme.prove(&view, now)?;
        // A text that we sign for anyone is not proof of its sender.
        if proof.is_of_token && self.is_oracle() {
            return Err((VerifyStep::Handshake, Rejection::NoDelivery));
        }
        let claims = proof.claims.take();
        let view = View { pairs: &proof.pairs, ..view };
        let plaintext = match claims {
            Some(claims) => Some(claims),
            None => self.decrypt(None, &view, proof.secret).map_err(at(VerifyStep::Decrypt))?,
        };
        if plaintext.as_deref().is_some_and(|plaintext| self.is_own_answer(plaintext)) {
            return Err((VerifyStep::Decrypt, Rejection::NoDelivery));
        }
        let view = View { plaintext: plaintext.as_deref(), ..view };
        let greeting = self.late_handshake(&view, proof.secret, now).map_err(at(VerifyStep::Handshake))?;
        if let Some(greeting) = greeting {
            return Ok(Passed::Handshake(greeting));
        }
        // The methods HEAD and OPTIONS are for handshakes alone, and so is GET for most senders.
        let is_delivery = match request.method.as_str() {
            // What is signed of a GET's body would not be forwarded.
            "GET" => self.profile.delivers_by_get && request.body.is_empty(),
            method => !["HEAD", "OPTIONS"].contains(&method),
        };
        if !is_delivery {
            return Err((VerifyStep::Handshake, Rejection::NoDelivery));
        }
        let name = |fields: &[Field]| first(fields, &view).map_err(at(VerifyStep::Names));
        let (id, event) = (name(&self.scheme.id)?, name(&self.scheme.event)?);
        let subject = name(&self.scheme.subject)?;
        let may_have_other_events = event.is_none() && Field::are_unreadable(&self.scheme.event, &view)
            || self.scheme.event.iter().any(|field| field.is_first_of_several(&view));
        Ok(Passed::Delivery(Authentic { proof, id, event, may_have_other_events, subject, plaintext }))
    }
}

/// Result of verification for a request that is not refused.
pub(crate) enum Passed<'s> {
    Handshake(Greeting<'s>),
    Delivery(Authentic),
}

/// Facts about a delivery that verification established.
pub(crate) struct Authentic {
    pub(crate) proof: Proof,
    id: Option<String>,
    event: Option<String>,
    may_have_other_events: bool,
    subject: Option<String>,
    plaintext: Option<Vec<u8>>,
}

/// Returns the value of the first field that the request holds, as text.
pub(crate) fn first(fields: &[Field], view: &View<'_>) -> Result<Option<String>, Rejection> {
    for field in fields {
        match field.read_optional(view)? {
            // Text of another charset in a body is left out: it would name something else.
            Some(value) if field.in_body() && std::str::from_utf8(&value).is_err() => {}
            Some(value) => return Ok(Some(keep::text(&value))),
            None => {}
        }
    }
    Ok(None)
}

/// Computes the id of a delivery that its sender does not name, from the parts that make its message differ,
/// so that a retry has the same id (see `docs/delivery-semantics.md`). The query is not hashed: senders put a
/// new timestamp and signature into it for each retry, and a message holds nothing from it.
fn content_id(hook: &str, event: Option<&str>, subject: Option<&str>, body: &[u8]) -> String {
    let mut context = Context::new(&SHA256);
    // The length before each part keeps the bytes of one part from passing for bytes of the next. No part has
    // the length that stands for an absent part.
    let (event, subject) = if is_pulled(Safeguard::IdOfAll) { (None, None) } else { (event, subject) };
    let parts = [Some(hook.as_bytes()), event.map(str::as_bytes), subject.map(str::as_bytes), Some(body)];
    for part in parts {
        context.update(&part.map_or(u64::MAX, |part| part.len() as u64).to_be_bytes());
        context.update(part.unwrap_or_default());
    }
    format!("sha256-{}", encoding::to_hex(context.finish().as_ref()))
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
