//! The verifier `kind = "jwt"`: a signed token in compact form (RFC 7515, RFC 7519).

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::hmac;
use serde::Deserialize;

use super::KeyError;
use crate::clock::Timestamp;
use crate::json::{self, JsonError};
use crate::reader::Table;
use crate::secret::Secret;
use crate::source::address::Address;
use crate::source::crypto::encoding::Encoding;
use crate::source::crypto::key::{Key, KeyFamily, P256_FIXED, RSA_SHA256};
use crate::source::rejection::MAX_SIGNATURES;
use crate::source::scheme::field::{Field, View};
use crate::source::scheme::signature::Prefix;
use crate::source::scheme::words;
use crate::source::{Params, Rejection};

/// Place of the token, its algorithm and keys, and its required claims. The algorithm is configured: a token
/// that names another one is refused.
#[derive(Clone, Debug)]
pub(crate) struct Jwt {
    pub(crate) from: Field,
    prefix: Option<Prefix>,
    algorithm: Algorithm,
    /// Address of the published keys; configured keys take precedence.
    jwks: Option<Address>,
    /// Required claims, each with its allowed values.
    claims: Vec<(String, Vec<String>)>,
    /// Upper bound on the age of a token by its `iat`.
    max_age: Option<Duration>,
    /// Time after `exp` in which a token is still accepted: a sender may repeat a delivery with the same token.
    past: Duration,
    /// Claim that holds the SHA-256 of the body, and its encoding.
    body_hash: Option<(String, Encoding)>,
    keys: Vec<JwtKey>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Hs256,
    Rs256,
    Es256,
}

#[derive(Clone, Debug)]
enum JwtKey {
    Shared(hmac::Key),
    Public(Key),
}

/// Tolerated difference of the clocks (RFC 7519 4.1.4 mentions some small leeway).
const LEEWAY: Duration = Duration::from_secs(60);

/// Upper bound on a token that is not the body, in bytes: no sender's token is longer.
const MAX_TOKEN: usize = 16 * 1024;

impl Jwt {
    /// Accepts tokens up to this age, if the source bounds their age, and until so long after their end.
    pub(crate) fn widen(&mut self, window: Duration) {
        self.max_age = self.max_age.map(|_| window);
        self.past = window;
    }

    pub(super) fn read(table: &Table<'_>) -> Option<Self> {
        let algorithms =
            [("RS256", Algorithm::Rs256), ("ES256", Algorithm::Es256), ("HS256", Algorithm::Hs256)];
        let algorithm = words::one_of(table, "algorithm", &algorithms);
        let from = words::field(table, "from", "\"header:Authorization\"");
        if from.as_ref().is_some_and(Field::in_signature) {
            table.error(
                "from",
                "sigkv: is for signatures, not for tokens: write header:, query:, json: or form:",
            );
        }
        let prefix = table.str("prefix").filter(|at| !at.value.is_empty()).map(|at| Prefix(at.value.into()));
        let jwks = table.str("jwks").and_then(|at| {
            let address = Address::parse(at.value);
            if address.is_none() {
                table.error("jwks", "is not a plain address: write it as https://host/path");
            }
            address
        });
        if jwks.is_some() && algorithm == Some(Algorithm::Hs256) {
            table.error("jwks", "HS256 has a secret key, which is never published: leave it out");
        }
        let claims = table.table("claims").map(|claims| {
            let lists = claims.named_lists().into_iter();
            let texts =
                |list: crate::reader::Strings<'_>| list.value.iter().map(|at| at.value.to_owned()).collect();
            lists.map(|(name, list)| (name.value.to_owned(), texts(list))).collect()
        });
        let claims: Vec<(String, Vec<String>)> = claims.unwrap_or_default();
        if let Some((name, _)) = claims.iter().find(|(_, values)| values.is_empty()) {
            table.error("claims", format!("no value of {name} is allowed: write {name} = [\"…\"]"));
        }
        let max_age = table.duration("max_age").map(|at| at.value);
        let past = table.duration("past").map_or(Duration::ZERO, |at| at.value);
        let body_hash = table.table("body_hash").and_then(|inner| {
            let claim = words::text(&inner, "claim", "\"sha256\"").map(str::to_owned);
            let encodings = [("hex", Encoding::Hex), ("base64", Encoding::Base64)];
            let encoding = words::one_of(&inner, "encoding", &encodings);
            inner.finish();
            claim.zip(encoding)
        });
        if body_hash.is_some() && from.as_ref().is_some_and(Field::in_body) {
            table.error("body_hash", "the body has the token, and cannot hold its own hash: leave it out");
        }
        Some(Self {
            from: from?,
            prefix,
            algorithm: algorithm?,
            jwks,
            claims,
            max_age,
            past,
            body_hash,
            keys: Vec::new(),
        })
    }

    /// Adds a key: the shared secret, a public key in PEM, or the text of a JWK Set with one key.
    pub(super) fn add_key(&mut self, secret: &Secret) -> Result<(), KeyError> {
        let key = match self.algorithm {
            Algorithm::Hs256 => Some(JwtKey::Shared(hmac::Key::new(hmac::HMAC_SHA256, secret.expose()))),
            _ => secret.expose_str().and_then(|text| self.public(text)).map(JwtKey::Public),
        };
        let wrong = || {
            format!(
                "is not a public key for {}: write it as PEM, or as a JWK Set of one key",
                self.algorithm.as_str()
            )
        };
        self.keys.push(key.ok_or_else(wrong)?);
        Ok(())
    }

    fn public(&self, text: &str) -> Option<Key> {
        if !text.trim_start().starts_with('{') {
            return Key::read(text).filter(|key| self.fits(key));
        }
        match self.published(text.as_bytes(), None)?.as_mut_slice() {
            [_, _, ..] | [] => None,
            [key] => Some(key.clone()),
        }
    }

    fn fits(&self, key: &Key) -> bool {
        matches!(
            (self.algorithm, key.family()),
            (Algorithm::Rs256, Some(KeyFamily::Rsa(2048..=8192))) | (Algorithm::Es256, Some(KeyFamily::P256))
        )
    }

    pub(super) const fn takes_public_keys(&self) -> bool {
        !matches!(self.algorithm, Algorithm::Hs256)
    }

    /// Returns true if keys can be fetched from an address.
    pub(super) const fn fetches(&self) -> bool {
        self.jwks.is_some()
    }

    pub(crate) const fn covers_body(&self) -> bool {
        self.body_hash.is_some() || self.is_body()
    }

    /// Returns true if the token is the body, so that its claims are the event.
    pub(crate) const fn is_body(&self) -> bool {
        matches!(self.from, Field::Body)
    }

    /// Returns the required claims that are fields of the event, each with its values.
    pub(crate) fn claimed(&self) -> impl Iterator<Item = (Field, &[String])> {
        let claims = if self.is_body() { self.claims.as_slice() } else { &[] };
        claims.iter().map(|(name, values)| (Field::Decrypted(name.clone()), values.as_slice()))
    }

    /// Returns the names of the parameters that the claims need.
    pub(crate) fn params(&self) -> impl Iterator<Item = &str> {
        self.claims.iter().flat_map(|(_, values)| values).filter_map(|value| words::param(value))
    }

    pub(crate) fn bind(&mut self, params: &Params) {
        self.claims.iter_mut().flat_map(|(_, values)| values).for_each(|value| words::bind(value, params));
    }

    /// Returns the token of a request if it has the three parts of a JWT.
    pub(crate) fn given(&self, view: &View<'_>) -> Option<Secret> {
        let value = self.from.read_text(view).ok()?;
        let token = self.prefix.as_ref().map_or(Some(&*value), |prefix| prefix.strip(&value))?;
        (token.split('.').count() == 3).then(|| Secret::new(token))
    }

    /// Verifies the token, then its claims. Returns the number of the secret that made it, or `None` for a
    /// published key, and the claims if the token is the body.
    pub(crate) fn verify(
        &self,
        view: &View<'_>,
        now: Timestamp,
    ) -> Result<(Option<usize>, Option<Vec<u8>>), Rejection> {
        let malformed = || Rejection::Malformed(self.from.to_string());
        let value = self.from.read_text(view)?;
        let token = match &self.prefix {
            Some(prefix) => prefix.strip(&value).ok_or_else(malformed)?,
            None => &value,
        };
        let fits = |token: &&str| self.is_body() || token.len() <= MAX_TOKEN;
        let token = Some(token).filter(fits).ok_or_else(malformed)?;
        let (signed, signature) = token.rsplit_once('.').ok_or_else(malformed)?;
        let (header, payload) = signed.split_once('.').ok_or_else(malformed)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed());
        let (header, payload, signature) = (decode(header)?, decode(payload)?, decode(signature)?);

        let algorithm = self.claim(&header, "alg")?.ok_or_else(malformed)?;
        if algorithm != self.algorithm.as_str() {
            return Err(Rejection::Pinned(format!("{} alg", self.from)));
        }
        // The header names an extension that must be understood and is not (RFC 7515 4.1.11).
        if self.raw(&header, "crit")?.is_some() {
            return Err(malformed());
        }
        let kid = self.claim(&header, "kid")?;
        let secret = self.find_key(signed.as_bytes(), &signature, kid.as_deref(), view, now);
        if !matches!(secret, Err(Rejection::Fetch(_))) {
            secret.as_ref().map_err(Clone::clone)?;
        }
        // A token that would be refused in any case must not cause a fetch.
        self.check_times(&payload, now)?;
        self.check_claims(&payload)?;
        self.check_body(&payload, &view.request.body)?;
        Ok((secret?, self.is_body().then_some(payload)))
    }

    fn find_key(
        &self,
        signed: &[u8],
        signature: &[u8],
        kid: Option<&str>,
        view: &View<'_>,
        now: Timestamp,
    ) -> Result<Option<usize>, Rejection> {
        let verifies = |key: &JwtKey| match key {
            JwtKey::Shared(key) => hmac::verify(key, signed, signature).is_ok(),
            JwtKey::Public(key) => {
                let verifier = if self.algorithm == Algorithm::Es256 { P256_FIXED } else { RSA_SHA256 };
                key.is_valid(now) && key.verify(verifier, signed, signature)
            }
        };
        if let (Some(jwks), true) = (&self.jwks, self.keys.is_empty()) {
            let fetched = view.fetched_from(jwks).ok_or_else(|| Rejection::Fetch(jwks.clone()))?;
            let keys = fetched.document.as_ref().and_then(|document| self.published(document, kid));
            let keys = keys.ok_or_else(|| Rejection::Unusable(jwks.clone()))?;
            // A key id names one key for good; without an id, any key may have been replaced.
            let is_final = fetched.is_latest || (kid.is_some() && !keys.is_empty());
            let is_unknown = keys.is_empty();
            if keys.into_iter().any(|key| verifies(&JwtKey::Public(key))) {
                return Ok(None);
            }
            return Err(match (is_final, is_unknown) {
                (false, _) => Rejection::Fetch(jwks.clone()),
                (true, true) => Rejection::UnknownKey(self.from.to_string()),
                (true, false) => Rejection::NoMatch,
            });
        }
        self.keys.iter().position(verifies).map(Some).ok_or(Rejection::NoMatch)
    }

    /// Returns the keys of a JWK Set ([RFC 7517]) that can have made the signature; `None` if the document is
    /// not such a set.
    ///
    /// [RFC 7517]: https://www.rfc-editor.org/rfc/rfc7517#section-5
    fn published(&self, document: &[u8], kid: Option<&str>) -> Option<Vec<Key>> {
        let Jwks { keys } = serde_json::from_slice(document).ok()?;
        // A member of an unknown kind is ignored (RFC 7517 5).
        let keys: Vec<Jwk<'_>> =
            keys.into_iter().filter_map(|key| serde_json::from_str(key.get()).ok()).collect();
        let named = keys.iter().filter(|key| kid.is_none() || key.kid.as_deref() == kid);
        let keys = named.filter_map(|key| key.read(self.algorithm)).filter(|key| self.fits(key));
        Some(keys.take(MAX_SIGNATURES).collect())
    }

    fn check_times(&self, payload: &[u8], now: Timestamp) -> Result<(), Rejection> {
        let time = |name| {
            let text = self.claim(payload, name)?;
            let time = text.map(|text| numeric_date(&text).ok_or_else(|| self.malformed(name)));
            time.transpose()
        };
        let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let (early, late) = (now.shifted(millis(LEEWAY)), now.shifted(-millis(LEEWAY)));
        let (issued, begins, ends) = (time("iat")?, time("nbf")?, time("exp")?);
        if issued.is_some_and(|at| at > early) || begins.is_some_and(|at| at > early) {
            return Err(Rejection::Future);
        }
        if ends.is_some_and(|at| at <= late.shifted(-millis(self.past))) {
            return Err(Rejection::Stale);
        }
        match (self.max_age, issued) {
            (Some(_), None) => Err(self.missing("iat")),
            (Some(age), Some(at)) if at < late.shifted(-millis(age)) => Err(Rejection::Stale),
            // A token without an end and without a hash of the body would be a password.
            (None, _) if ends.is_none() && !self.covers_body() => Err(self.missing("exp")),
            _ => Ok(()),
        }
    }

    fn check_claims(&self, payload: &[u8]) -> Result<(), Rejection> {
        for (name, allowed) in &self.claims {
            let raw = self.raw(payload, name)?.ok_or_else(|| self.missing(name))?;
            let several: Option<Vec<Cow<'_, str>>> = serde_json::from_str(raw.get()).ok();
            let one = || self.claim(payload, name).ok().flatten().into_iter().collect();
            if !several.unwrap_or_else(one).iter().any(|value| allowed.iter().any(|a| a == value)) {
                return Err(Rejection::Pinned(self.place(name)));
            }
        }
        Ok(())
    }

    fn check_body(&self, payload: &[u8], body: &[u8]) -> Result<(), Rejection> {
        let Some((name, encoding)) = &self.body_hash else { return Ok(()) };
        let claimed = self.claim(payload, name)?.ok_or_else(|| self.missing(name))?;
        let is_same = encoding.decode(&claimed).is_some_and(|hash| hash == digest(&SHA256, body).as_ref());
        if is_same { Ok(()) } else { Err(Rejection::Pinned(self.place(name))) }
    }

    fn raw<'p>(&self, part: &'p [u8], name: &str) -> Result<Option<&'p json::RawValue>, Rejection> {
        let members = json::members(part).map_err(|error| match error {
            JsonError::Duplicate => Rejection::Ambiguous(self.place(name)),
            JsonError::Invalid => self.malformed(name),
        })?;
        Ok(members.into_iter().find(|(key, _)| key == name).map(|(_, raw)| raw))
    }

    /// Reads a member of a header or payload as text: a string, number or boolean.
    fn claim<'p>(&self, part: &'p [u8], name: &str) -> Result<Option<Cow<'p, str>>, Rejection> {
        let raw = self.raw(part, name)?;
        raw.map(|raw| json::scalar(raw.get()).ok_or_else(|| self.malformed(name))).transpose()
    }

    fn place(&self, name: &str) -> String {
        format!("{} {name}", self.from)
    }

    fn missing(&self, name: &str) -> Rejection {
        Rejection::Missing(self.place(name))
    }

    fn malformed(&self, name: &str) -> Rejection {
        Rejection::Malformed(self.place(name))
    }
}

#[cfg(feature = "sender")]
impl Jwt {
    /// Returns the upper bound on the age of a token. The claim `exp` of a token may set an earlier end.
    pub(crate) const fn max_age(&self) -> Option<Duration> {
        self.max_age
    }

    /// Returns the time after the end of a token in which it is still accepted, beside the leeway.
    pub(crate) const fn lapse(&self) -> Duration {
        self.past
    }

    /// Builds the header and the payload of a token that a sender makes at `now`, encoded and joined by a
    /// dot. `event` is the text of an object whose members are claims too.
    pub(crate) fn unsigned(&self, body: &[u8], event: Option<&[u8]>, now: Timestamp) -> String {
        let mut payload = format!(r#"{{"iat":{},"exp":{}"#, now.unix(), now.unix() + 300);
        let mut add = |name: &str, value: &str| {
            payload.push(',');
            json::write_string(&mut payload, name);
            payload.push(':');
            json::write_string(&mut payload, value);
        };
        for (name, values) in &self.claims {
            add(name, values.first().map_or("", String::as_str));
        }
        if let Some((name, encoding)) = &self.body_hash {
            add(name, &encoding.encode(digest(&SHA256, body).as_ref()));
        }
        let event = event.and_then(|event| std::str::from_utf8(event).ok()?.trim().strip_prefix('{'));
        match event.map(str::trim_start) {
            Some(members) if members != "}" => payload.extend([",", members]),
            _ => payload.push('}'),
        }
        let header = format!(r#"{{"alg":"{}","typ":"JWT"}}"#, self.algorithm.as_str());
        [header, payload].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
    }

    /// Signs the token as the sender does, with the key of this number.
    pub(crate) fn sign(&self, unsigned: &str, key: usize) -> Option<Vec<u8>> {
        match self.keys.get(key)? {
            JwtKey::Shared(key) => Some(hmac::sign(key, unsigned.as_bytes()).as_ref().to_vec()),
            JwtKey::Public(key) => key.sign(unsigned.as_bytes()),
        }
    }

    /// Builds the value of the field `from` for this token.
    pub(crate) fn write(&self, unsigned: &str, signature: &[u8]) -> String {
        let prefix = self.prefix.as_ref().map_or("", |prefix| &prefix.0);
        format!("{prefix}{unsigned}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Returns the public key in PEM, if the key of this number has a private one.
    pub(crate) fn public_key(&self, key: usize) -> Option<String> {
        match self.keys.get(key)? {
            JwtKey::Public(key) => key.public_pem(),
            JwtKey::Shared(_) => None,
        }
    }
}

impl Algorithm {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }
}

/// Parses a `NumericDate` (RFC 7519 2): seconds, which may have a fraction.
fn numeric_date(text: &str) -> Option<Timestamp> {
    let seconds: f64 = text.parse().ok()?;
    if !(0.0..1e11).contains(&seconds) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "in range, and a fraction of a millisecond is none")]
    let millis = (seconds * 1000.0) as i64;
    Some(Timestamp::from_unix_millis(millis))
}

#[derive(Deserialize)]
struct Jwks<'a> {
    #[serde(borrow)]
    keys: Vec<&'a json::RawValue>,
}

/// A JSON Web Key of any type; the value of a symmetric key is never read.
#[derive(Deserialize)]
struct Jwk<'a> {
    #[serde(borrow)]
    kty: Cow<'a, str>,
    kid: Option<Cow<'a, str>>,
    #[serde(rename = "use")]
    usage: Option<Cow<'a, str>>,
    alg: Option<Cow<'a, str>>,
    crv: Option<Cow<'a, str>>,
    n: Option<Cow<'a, str>>,
    e: Option<Cow<'a, str>>,
    x: Option<Cow<'a, str>>,
    y: Option<Cow<'a, str>>,
}

impl Jwk<'_> {
    fn read(&self, algorithm: Algorithm) -> Option<Key> {
        let is_other = |value: &Option<Cow<'_, str>>, wanted| value.as_deref().is_some_and(|v| v != wanted);
        if is_other(&self.usage, "sig") || is_other(&self.alg, algorithm.as_str()) {
            return None;
        }
        let bytes = |part: &Option<Cow<'_, str>>| URL_SAFE_NO_PAD.decode(part.as_deref()?).ok();
        match (algorithm, self.kty.as_ref(), self.crv.as_deref()) {
            (Algorithm::Rs256, "RSA", _) => Key::from_jwk_rsa(&bytes(&self.n)?, &bytes(&self.e)?),
            (Algorithm::Es256, "EC", Some("P-256")) => Key::from_jwk_p256(&bytes(&self.x)?, &bytes(&self.y)?),
            _ => None,
        }
    }
}
