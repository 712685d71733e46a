//! Requests with a signature like the provider's: the inverse of [`Source::check`], for samples and tests.

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::Instant;

use crate::clock::{Random, Timestamp};
use crate::http::{Headers, Request};
use crate::secret::Secret;
use crate::source::scheme::Scheme;
use crate::source::scheme::decrypt::Decrypt;
use crate::source::scheme::field::{Field, View};
use crate::source::scheme::form;
use crate::source::scheme::kinds::{Algorithm, Kind, Rule, Signed};
use crate::source::sender::tamper::{Tamper, flip};
use crate::source::verify::check::first;
use crate::source::{Rejection, Source};

/// A request to be signed; absent parts are generated, with the values that the provider would choose.
///
/// Needs the feature `sender`.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// HTTP method; `POST` if empty.
    pub method: String,
    /// Path of the request.
    pub path: String,
    /// Query without `?`.
    pub raw_query: String,
    /// Header fields. A field that the scheme needs, such as the timestamp, is not generated if it is present
    /// here.
    pub headers: Headers,
    /// Body, or `None` for the provider's sample. If events are encrypted, it is the event, unless it holds
    /// the ciphertext or the provider sends events in the clear too.
    pub body: Option<Bytes>,
    /// Name of the event. If the place of the name is in the body, a given body must hold the same name.
    pub event: Option<String>,
    /// Id of the delivery. If the place of the id is in the body, a given body must hold the same id.
    pub id: Option<String>,
    /// Fault of a request that must be refused. A wrong secret, and every fault of a public-key source, needs
    /// a preset.
    pub tamper: Option<Tamper>,
}

/// Reason why a request cannot be signed.
///
/// Needs the feature `sender`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The source has no secret with this number, or the secret cannot sign.
    #[error("there is no secret {0} to sign with")]
    NoSecret(usize),
    /// The given body lacks this field, or holds another value in its place.
    #[error("the body does not hold {0}: pass a body that does, or none to sign a sample")]
    Body(String),
    /// A signed part is missing and cannot be generated.
    #[error("{0}: pass it explicitly")]
    Incomplete(Rejection),
    /// The source would accept a request with this fault.
    #[error("{0}")]
    Tamper(Tamper),
}

impl Source {
    /// Makes a request that [`check`](Self::check) accepts at `now`, signed with the secret of that number
    /// (counted from 0). For a public-key source that secret is the private key (for Ed25519 its 32-byte
    /// seed, else PKCS #8), and [`public_key`](Self::public_key) verifies the request.
    ///
    /// A draft with a [`tamper`](Draft::tamper) becomes a request that is refused for that reason.
    ///
    /// Needs the feature `sender`.
    ///
    /// ```
    /// use hookmq_shared::clock::{Clock, Random};
    /// use hookmq_shared::source::{Draft, Verdict};
    /// # use hookmq_shared::{secret::Secret, source::{Settings, Source}};
    /// # let settings = Settings { secrets: vec![Secret::new("a long random text")], ..Settings::default() };
    /// # let source = Source::preset("github", settings).map_err(|mistakes| format!("{mistakes:?}"))?;
    ///
    /// let body = r#"{"zen":"Keep it logically awesome."}"#;
    /// let draft = Draft { event: Some("ping".to_owned()), body: Some(body.into()), ..Draft::default() };
    /// let now = Clock::system().now();
    /// let request = source.sign(draft, 0, now, &Random::system())?;
    ///
    /// let signature = request.headers.one_str("X-Hub-Signature-256");
    /// assert!(signature.is_some_and(|value| value.starts_with("sha256=")));
    /// assert!(matches!(source.check("github", request, now), Verdict::Verified(_)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn sign(
        &self,
        draft: Draft,
        secret: usize,
        now: Timestamp,
        random: &Random,
    ) -> Result<Request, SignError> {
        match draft.tamper {
            Some(tamper) => self.sign_broken(tamper, draft, secret, now, random),
            None => self.sign_draft(draft, secret, now, random),
        }
    }

    /// Signs a draft like [`sign`](Self::sign); of all faults, only the flipped bit of a signature is applied
    /// here.
    pub(crate) fn sign_draft(
        &self,
        draft: Draft,
        secret: usize,
        now: Timestamp,
        random: &Random,
    ) -> Result<Request, SignError> {
        let Draft { method, path, raw_query, headers, body, event, id, tamper } = draft;
        let sample = &self.profile.sample;
        let mut desk = Desk {
            is_sample: body.is_none(),
            request: Request {
                method: if method.is_empty() { "POST".to_owned() } else { method },
                path,
                raw_query,
                headers,
                body: body.unwrap_or_else(|| sample.body.clone().into()),
                request_id: random.uuid(),
                received: Instant::now(),
                source_ip: None,
                deadline: None,
            },
            url: self.url.as_deref(),
            pairs: Vec::new(),
            item: None,
            tamper,
            event: None,
        };
        if let Some(decrypt) = &self.scheme.decrypt
            && (desk.is_sample || !(decrypt.optional || desk.has(&decrypt.ciphertext)))
        {
            let around = sample.envelope.clone().or_else(|| decrypt.ciphertext.wrapper()).unwrap_or_default();
            desk.event = Some(std::mem::replace(&mut desk.request.body, around.into()));
        }
        if self.scheme.has_claims() {
            desk.event = Some(std::mem::take(&mut desk.request.body));
        }
        if desk.request.headers.all("content-type").next().is_none() {
            let own =
                if desk.is_sample { None } else { form::type_of(&desk.request.body, &sample.content_type) };
            desk.request.headers.push("content-type", own.unwrap_or_else(|| sample.content_type.clone()));
        }
        for (name, value) in &sample.headers {
            desk.fill(&Field::Header(name.clone()), value);
        }
        // A generated id is a number if the sample's id is one.
        let sampled = first(&self.scheme.id, &desk.view()).ok().flatten();
        let is_number = sampled.is_some_and(|id| id.bytes().all(|b| b.is_ascii_digit()));
        let own = if is_number { (random.next_u64() >> 33).to_string() } else { random.uuid() };
        desk.name(&self.scheme.id, id, Some(own))?;
        desk.name(&self.scheme.event, event, sample.event.clone())?;
        if let Some(decrypt) = &self.scheme.decrypt {
            desk.seal(decrypt, &self.secrets, secret, random)?;
        }
        for verifier in self.scheme.signers(secret) {
            desk.satisfy(verifier, secret, now, random)?;
        }
        Ok(desk.request)
    }

    /// Returns the public key that verifies requests from [`sign`](Self::sign) with that secret, in the form
    /// that the source expects of its secrets. Returns `None` if the same secret signs and verifies.
    ///
    /// Needs the feature `sender`.
    pub fn public_key(&self, secret: usize) -> Option<String> {
        let mut verifiers = self.scheme.verifiers().iter();
        verifiers.find_map(|verifier| match &verifier.kind {
            Kind::Signed(signed) => signed.algorithm.public_key(verifier.key_of(secret)?),
            Kind::Jwt(jwt) => jwt.public_key(verifier.key_of(secret)?),
            _ => None,
        })
    }
}

impl Scheme {
    /// Returns the verifiers that a request must satisfy, tokens before signatures: a signature may cover a
    /// token.
    fn signers(&self, secret: usize) -> Vec<&Self> {
        let mut verifiers: Vec<&Self> = self.verifiers().iter().collect();
        if matches!(&self.kind, Kind::Several(several) if several.rule == Rule::Any) {
            let own = verifiers.iter().position(|verifier| verifier.key_of(secret).is_some());
            verifiers = verifiers.into_iter().skip(own.unwrap_or_default()).take(1).collect();
        }
        verifiers.sort_by_key(|verifier| matches!(verifier.kind, Kind::Signed(_)));
        verifiers
    }
}

/// Characters that are escaped in a query: all but the unreserved ones (RFC 3986, 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A request under construction.
struct Desk<'s> {
    request: Request,
    /// True if we may change the body, because it is the sample.
    is_sample: bool,
    url: Option<&'s str>,
    pairs: Vec<(String, String)>,
    /// The array of items and the number of the current item.
    item: Option<(&'s Field, usize)>,
    tamper: Option<Tamper>,
    /// The event before encryption.
    event: Option<Bytes>,
}

impl<'s> Desk<'s> {
    fn view(&self) -> View<'_> {
        let view = View { pairs: &self.pairs, ..View::of(&self.request, self.url) };
        let items = self.item.and_then(|(items, number)| items.items(&view).ok()?.get(number).copied());
        View { item: items.unwrap_or_default(), plaintext: self.event.as_deref(), ..view }
    }

    /// Returns true if we may change the value of this field; everything around an encrypted event is ours.
    fn is_ours(&self, field: &Field) -> bool {
        self.is_sample || (self.event.is_some() && !field.is_decrypted())
    }

    /// Encrypts the event, if there is one, and writes the ciphertext and its nonce.
    fn seal(
        &mut self,
        decrypt: &Decrypt,
        secrets: &[Secret],
        secret: usize,
        random: &Random,
    ) -> Result<(), SignError> {
        let Some(event) = self.event.clone() else { return Ok(()) };
        let salt = (u128::from(random.next_u64()) << 64 | u128::from(random.next_u64())).to_be_bytes();
        if let Some(nonce) = decrypt.nonce() {
            let text: String = random.uuid().chars().take(12).collect();
            self.put(nonce, &text, true)?;
        }
        let sealed = decrypt.seal(&event, Some(&self.view()), secrets.get(secret), salt);
        self.put(&decrypt.ciphertext, &sealed.ok_or(SignError::NoSecret(secret))?, true)
    }

    /// Adds what the verifier expects, for the request or for each of its items.
    fn satisfy(
        &mut self,
        verifier: &'s Scheme,
        secret: usize,
        now: Timestamp,
        random: &Random,
    ) -> Result<(), SignError> {
        let Some(items) = &verifier.items else { return self.satisfy_one(verifier, secret, now, random) };
        let count = items.items(&self.view()).map_err(SignError::Incomplete)?.len();
        for number in 0..count {
            self.item = Some((items, number));
            self.satisfy_one(verifier, secret, now, random)?;
        }
        self.item = None;
        Ok(())
    }

    fn satisfy_one(
        &mut self,
        verifier: &Scheme,
        secret: usize,
        now: Timestamp,
        random: &Random,
    ) -> Result<(), SignError> {
        if let Some(window) = &verifier.timestamp {
            self.fill(&window.from, &window.text(now));
        }
        for pin in &verifier.require {
            self.fill(&pin.from, pin.values.first().map_or("", String::as_str));
        }
        // If all verifiers must accept, a verifier with other secrets uses its first key.
        let key = || verifier.key_of(secret).or(verifier.own_secrets.as_ref().map(|_| 0));
        let no_secret = || SignError::NoSecret(secret);
        match &verifier.kind {
            Kind::None | Kind::Several(_) => {}
            Kind::Network(network) => self.request.source_ip = network.sample(),
            Kind::Token(token) => {
                let value = key().and_then(|key| token.write(key)).ok_or_else(no_secret)?;
                self.put(&token.from, &value, true)?;
            }
            Kind::Jwt(jwt) => {
                let event = self.event.as_deref().filter(|_| jwt.is_body());
                let unsigned = jwt.unsigned(&self.request.body, event, now);
                let mut signature = key().and_then(|key| jwt.sign(&unsigned, key)).ok_or_else(no_secret)?;
                if self.tamper == Some(Tamper::Signature) {
                    flip(signature.last_mut());
                }
                self.put(&jwt.from, &jwt.write(&unsigned, &signature), true)?;
            }
            Kind::Signed(signed) => {
                let Signed { signature, template, algorithm, body_hash } = &**signed;
                for hash in body_hash {
                    let text = hash.text(&self.request.body);
                    self.put(&hash.from, &text, false)?;
                }
                if let (Algorithm::Rsa(rsa), Some(key)) = (algorithm, key())
                    && let Some((field, id)) = rsa.name(key)
                {
                    self.fill(field, id);
                }
                if let (Algorithm::Ecdsa(_), Some(field)) = (algorithm, algorithm.named_by()) {
                    self.fill(field, &random.uuid());
                }
                for (list, names) in template.lists() {
                    self.fill(list, &names);
                }
                for field in template.fields() {
                    if !self.has(field) {
                        self.fill(field, &random.uuid());
                    }
                }
                let mut signed = {
                    let message = template.fill(&self.view()).map_err(SignError::Incomplete)?;
                    key().and_then(|key| algorithm.sign(&message, key)).ok_or_else(no_secret)?
                };
                if self.tamper == Some(Tamper::Signature) {
                    flip(signed.last_mut());
                }
                let text = signature.write(&self.pairs, &signed);
                self.put(&signature.from, &text, true)?;
            }
        }
        Ok(())
    }

    fn has(&self, field: &Field) -> bool {
        matches!(field.read_optional(&self.view()), Ok(Some(_)))
    }

    /// Writes the requested value, or else a generated one if the body allows it.
    fn name(
        &mut self,
        fields: &[Field],
        asked: Option<String>,
        own: Option<String>,
    ) -> Result<(), SignError> {
        let mut places = fields.iter().filter(|field| field.is_place());
        let present = fields.iter().find(|field| self.has(field));
        let Some(field) = present.or_else(|| places.next()) else { return Ok(()) };
        match (asked, own) {
            (Some(value), _) => self.put(field, &value, false),
            (None, Some(value)) => {
                self.fill(field, &value);
                Ok(())
            }
            (None, None) => Ok(()),
        }
    }

    /// Writes a value if the field is absent or is a part of a sample body.
    fn fill(&mut self, field: &Field, value: &str) {
        if !self.has(field) || (self.is_ours(field) && (field.in_body() || field.is_decrypted())) {
            // A body without the field stays without it; signing or checking reports a field that is needed.
            let _ = self.put(field, value, false);
        }
    }

    /// Replaces the value of a field. A body that is not ours changes only if `must` is set.
    fn put(&mut self, field: &Field, value: &str, must: bool) -> Result<(), SignError> {
        let missing = || SignError::Body(field.to_string());
        if let Field::Either(fields) = field {
            let present = fields.iter().find(|field| self.has(field)).or(fields.first());
            return present.map_or(Ok(()), |field| self.put(field, value, must));
        }
        if let Field::Listed(list) = field {
            return self.put(list, value, must);
        }
        let encode = |text| utf8_percent_encode(text, RESERVED).to_string();
        // A value inside of another cannot be written alone.
        let must = must && field.is_place();
        match field {
            Field::Header(name) => {
                // The first of numbered fields.
                let name = &name.replace('*', "1");
                self.request.headers.remove(name);
                self.request.headers.push(name, value.to_owned());
            }
            Field::Query(name) => {
                let name = encode(name);
                let is_other = |pair: &&str| pair.split('=').next() != Some(&name) && !pair.is_empty();
                let mut pairs: Vec<&str> = self.request.raw_query.split('&').filter(is_other).collect();
                let pair = format!("{name}={}", encode(value));
                pairs.push(&pair);
                self.request.raw_query = pairs.join("&");
            }
            Field::SigKv(key) => {
                self.pairs.retain(|(k, _)| k != key);
                self.pairs.push((key.clone(), value.to_owned()));
            }
            _ if must || (field.is_place() && self.is_ours(field)) => {
                let escaped = matches!(field, Field::Form(_)).then(|| encode(value));
                let value = escaped.as_deref().unwrap_or(value);
                let (span, text) = field.span(&self.view(), value).ok_or_else(missing)?;
                let event = self.event.as_mut().filter(|_| field.is_decrypted());
                let body = event.unwrap_or(&mut self.request.body);
                let (head, tail) = (body.get(..span.start), body.get(span.end..));
                let parts = [head.unwrap_or_default(), text.as_bytes(), tail.unwrap_or_default()];
                *body = parts.concat().into();
            }
            _ => {
                let same = field.read(&self.view()).is_ok_and(|found| *found == *value.as_bytes());
                if !same {
                    return Err(missing());
                }
            }
        }
        Ok(())
    }
}
