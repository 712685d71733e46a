//! Sources: how a provider signs, shakes hands, names its deliveries and wants to be answered.
//!
//! One engine verifies; everything about a provider is data: a preset under `presets/`, or a hook's
//! own `[verify]` table in the same words:
//!
//! ```toml
//! kind      = "hmac"                     # token, hmac, digest, ed25519, ecdsa, rsa, jwt, …
//! hash      = "sha256"
//! key       = { encoding = "base64", strip_prefix = "whsec_" }     # how a secret is written
//! signature = { from = "header:X-Signature", format = "kv", sep = ",", take = "v1", encoding = "hex" }
//! signed    = ["{sigkv:t}", ".", "{body}"]
//! timestamp = { from = "sigkv:t", unit = "s", past = "5m", future = "5m" }
//! require   = [{ from = "header:X-Signature-Version", in = ["1"] }]
//! id        = "header:X-Request-Id"
//! event     = ["json:event.type", "json:type"]                      # the first that is there
//! subject   = "json:object.id"
//! decrypt   = { alg = "aes-256-cbc", key = "sha256(secret)", iv = "prefix", pad = 16, ciphertext = "json:encrypt" }
//! ```
//!
//! A field is `header:NAME`, `query:NAME`, `json:a.b.0`, `xml:a.b`, `form:NAME`, in a `kv` signature
//! `sigkv:KEY`, and of a decrypted event `decrypted:a.b`. It must be there once: what is missing, empty
//! or doubled is refused.
//!
//! What else there is, each told where it is read: a signed hash of the body (`body_hash`), a body whose
//! items are verified one by one (`items = "json:value"`, read by `item:NAME`), an expiry in place of a
//! timestamp (`unit = "expires"`), networks (`kind = "network"`), and several verifiers on one hook:
//!
//! ```toml
//! kind   = "all"                         # or "any", which proves no more than its weakest member
//! verify = [
//!   { kind = "network", cidrs = ["203.0.113.0/24"] },
//!   { kind = "token", from = "query:token" },
//! ]
//! ```
//!
//! What is signed can be put together of more than fields: `{fieldlines:A,B?}` (members of a JSON body
//! on lines; the others do not travel on), `{sorted_pairs:DROPPED}`, `{canon_headers:PREFIX}`,
//! `{crc32(body)}`, and cases by a field's value (`signed = { by = "json:Type", cases = { … } }`).
//!
//! An `rsa` key is one of the hook's secrets, or the request says which:
//!
//! ```toml
//! key_source = { key_id = "header:X-Key-Id", keys = ["ID"] }       # an id for each of the secrets
//! key_source = { cert_url = "json:CertURL", allow = ["certs.??-*.example.com/*.pem"] }
//! # Only from the region that the message is of: the fourth part of `arn:aws:sns:REGION:…`.
//! key_source = { cert_url = "json:CertURL", region = { from = "json:TopicArn", part = 4 }, allow = ["certs.{region}.example.com/*.pem"] }
//! ```
//!
//! A `jwt` is a token whose algorithm is configured, never its own choice:
//!
//! ```toml
//! kind      = "jwt"
//! algorithm = "RS256"                    # ES256, HS256
//! from      = "header:Authorization"
//! prefix    = "Bearer "
//! jwks      = "https://keys.example.com/jwks.json"     # or the hook's secrets
//! claims    = { iss = ["https://example.com"], aud = ["us"] }
//! max_age   = "5m"                       # by `iat`; `exp` and `nbf` count in any case
//! body_hash = { claim = "sha256", encoding = "hex" }
//! ```
//!
//! Nothing here does I/O: what must be fetched or called is a [`Verdict`].
//!
//! ```text
//! Request ─► unsigned handshake ─► pins ─► signature ─► timestamp ─► decryption ─► signed handshake ─► Delivery
//! ```
//!
//! The raw bytes are verified, and what is forwarded is what was verified. Secrets are compared in
//! constant time.

mod ack;
mod address;
mod answer;
mod blueprint;
mod body_hash;
mod check;
mod credential;
mod decrypt;
mod der;
mod encoding;
mod explain;
mod field;
#[doc(hidden)]
pub mod fuzzing;
mod grammar;
mod handshake;
mod hash;
#[cfg(feature = "catalog")]
mod info;
mod keep;
mod key;
mod kinds;
mod mask;
mod parts;
mod presets;
mod proof;
mod rejection;
mod reply;
mod rsa_sha1;
mod sign;
mod signature;
mod tamper;
mod template;
mod window;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::delivery::{Content, Coverage, Delivery};
use crate::http::Response;
use crate::reader::Table;
use crate::secret::Secret;
pub use address::{Address, Fetched};
pub(crate) use blueprint::Blueprint;
pub use check::Verdict;
pub(crate) use credential::TokenNames;
pub use credential::is_credential_header;
pub use explain::{Explanation, Outcome, Step};
use field::{Field, View};
use grammar::Scheme;
#[cfg(feature = "catalog")]
pub use info::{Info, preset_info};
use kinds::{Algorithm, Kind, Rule, Several};
use presets::Profile;
pub(crate) use presets::preset_params;
pub use presets::{Param, preset_names};
use proof::Proof;
pub use rejection::Rejection;
pub use sign::{Draft, SignError};
pub use tamper::{STALE, Tamper};
use window::Window;

/// Parameters of a preset, by name. Some are secrets, so all are kept as such.
type Params = BTreeMap<String, Secret>;

/// What a hook gives its source.
#[derive(Clone, Default)]
pub struct Settings {
    /// One, or several during a rotation.
    pub secrets: Vec<Secret>,
    /// What a preset needs beside secrets: see [`Info::params`].
    pub params: BTreeMap<String, String>,
    /// The hook's public URL, for schemes that sign it.
    pub url: Option<String>,
}

/// One thing wrong in the settings of a hook.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct BuildError {
    /// `source`, `secrets`, `secrets[1]`, `params.topic` or `url`.
    pub key: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// A source with its keys, ready to verify.
#[derive(Clone, Debug)]
pub struct Source {
    preset: Option<&'static str>,
    scheme: Scheme,
    profile: Profile,
    secrets: Vec<Secret>,
    params: Params,
    url: Option<String>,
}

impl Source {
    /// The preset `name`; else everything that is wrong with name and settings.
    pub fn preset(name: &str, settings: Settings) -> Result<Self, Vec<BuildError>> {
        Blueprint::preset(name)?.build(settings)
    }

    /// A hook's own `[verify]` table. What is wrong with the table goes to its mistakes, each with its
    /// line; what is wrong with the settings is returned. Both may be: an empty error means that the
    /// table alone is wrong.
    pub fn custom(table: Table<'_>, settings: Settings) -> Result<Self, Vec<BuildError>> {
        Blueprint::custom(table)?.build(settings)
    }

    /// The answer to a delivery that is stored (`accepted`) or dropped on purpose (`ignored`).
    pub fn ack(&self, status: &str, delivery: &Delivery) -> Response {
        let Content { id, secret, received_at, .. } = &**delivery;
        let encrypt = |text| self.encrypted(text, *secret, *received_at, id.as_bytes());
        let encrypted = self.profile.ack.encrypted().and_then(encrypt);
        encrypted.unwrap_or_else(|| self.profile.ack.response(status, id))
    }

    /// The status of that answer.
    pub const fn ack_status(&self) -> u16 {
        self.profile.ack.status()
    }

    /// The status for what is not authentic: 401, or 403 where the sender tells that apart from other
    /// failures.
    pub fn refusal_status(&self) -> u16 {
        self.profile.ack.refusal()
    }

    /// Whether deliveries are decrypted: what a [`Delivery`] holds is then not what was received.
    pub const fn decrypts(&self) -> bool {
        self.scheme.decrypt.is_some()
    }

    /// The value of `Allow`: `POST`, or `GET, POST` and their like.
    pub const fn methods(&self) -> &'static str {
        self.profile.methods
    }

    /// In which the sender wants its answer; 10 s where none is published.
    pub const fn deadline(&self) -> Duration {
        self.profile.deadline
    }

    /// What stands before the event in an envelope's `type`, in reverse-DNS form: `com.github`.
    pub fn type_prefix(&self) -> Option<&str> {
        self.profile.type_prefix.as_deref()
    }

    /// Whether deliveries carry an id of the sender's: a redelivery can then be told from a new one
    /// even where bodies are alike.
    pub const fn names_deliveries(&self) -> bool {
        !self.scheme.id.is_empty()
    }

    /// Whether deliveries name an event.
    pub const fn names_events(&self) -> bool {
        !self.scheme.event.is_empty()
    }

    /// Whether this header field is the token, which no template may use.
    pub fn reads_token_from(&self, header: &str) -> bool {
        let is_read = |from: &Field| matches!(from, Field::Header(name) if name.eq_ignore_ascii_case(header));
        self.scheme.token_fields().any(is_read)
    }

    /// The fields by which a delivery is called that hold another hook's token, each with the key that says so.
    pub(crate) fn named_by(&self, tokens: &TokenNames) -> Vec<(&'static str, String)> {
        let named = self.scheme.named().into_iter();
        let fields = named.flat_map(|(key, fields)| fields.iter().map(move |field| (key, field)));
        fields.filter(|(_, field)| tokens.has(field)).map(|(key, field)| (key, field.to_string())).collect()
    }

    /// What an operator should know of the secrets.
    pub(crate) fn short_secrets(&self) -> impl Iterator<Item = String> {
        let is_short = |(i, secret): &(usize, &Secret)| self.scheme.key_length(*i, secret) < 16;
        let short = self.secrets.iter().enumerate().filter(is_short);
        short.map(|(i, _)| format!("secrets[{i}] is under 16 bytes: use a longer one"))
    }

    /// What an operator should know: outdated hashes, short secrets, what is not covered.
    pub fn warnings(&self) -> Vec<String> {
        let scheme = &self.scheme;
        let mut warnings: Vec<String> = scheme.warning().into_iter().map(str::to_owned).collect();
        warnings.extend(self.short_secrets());
        if scheme.coverage() == Coverage::Request {
            let has_checksum =
                |verifier: &Scheme| matches!(&verifier.kind, Kind::Signed(s) if s.template.has_checksum());
            let checksum = scheme.verifiers().iter().any(has_checksum);
            let what =
                if checksum { "only a CRC-32 of the body is signed" } else { "the body is not covered" };
            warnings.push(format!("{what}: who has a valid request can send any other"));
        }
        for verifier in scheme.verifiers() {
            let Kind::Signed(signed) = &verifier.kind else { continue };
            // A preset hashes as its provider does.
            let is_own_digest = self.preset.is_none() && matches!(signed.algorithm, Algorithm::Digest(_));
            if is_own_digest && !signed.template.ends_with_secret() {
                let message = "who has a valid request can make one that is longer, as a plain hash goes \
                               on from where it ended: use hmac if the sender can";
                warnings.push(message.to_owned());
            }
            match &verifier.timestamp {
                Some(window) if !signed.template.covers(&window.from) => {
                    warnings.push(format!("{} is not signed: it does not prevent replays", window.from));
                }
                // A preset has the window that its provider's scheme allows.
                None if self.preset.is_none() => {
                    warnings.push("without a timestamp an old request can be sent again".to_owned());
                }
                _ => {}
            }
        }
        warnings
    }
}

impl Source {
    /// Whom it lets in by address, if that counts at all.
    pub(crate) fn networks(&self) -> Option<Peers> {
        let peers = |verifier: &Scheme| match &verifier.kind {
            Kind::Network(network) => Some(if network.is_own() { Peers::Own } else { Peers::Foreign }),
            _ => None,
        };
        self.scheme.verifiers().iter().filter_map(peers).max()
    }
}

/// Whom a source lets in by address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Peers {
    /// Addresses of the internet.
    Foreign,
    /// Also private or loopback addresses, which a proxy of ours may have.
    Own,
}

impl Scheme {
    fn coverage(&self) -> Coverage {
        match &self.kind {
            Kind::None => Coverage::None,
            Kind::Several(several) => several.coverage(),
            Kind::Signed(signed) if signed.template.has_body() || !signed.body_hash.is_empty() => {
                Coverage::Body
            }
            // What travels on of an encrypted event is what stands in the ciphertext.
            Kind::Signed(signed)
                if self
                    .decrypt
                    .as_ref()
                    .is_some_and(|d| !d.optional && signed.template.covers(&d.ciphertext)) =>
            {
                Coverage::Body
            }
            Kind::Jwt(jwt) if jwt.covers_body() => Coverage::Body,
            Kind::Token(_) | Kind::Jwt(_) | Kind::Network(_) | Kind::Signed(_) => Coverage::Request,
        }
    }

    /// How long after it was signed a request is taken; of several, what the rule makes of them.
    fn max_age(&self) -> Option<Duration> {
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

    /// The members of a JSON body that are kept, where this request signs only some: these, and those
    /// that say how they are signed. `None` where the whole body is kept.
    fn signed_members(&self, view: &View<'_>) -> Option<Vec<&str>> {
        let Kind::Signed(signed) = &self.kind else { return None };
        let mut members = signed.template.members(view)?;
        let pins = self.require.iter().map(|pin| &pin.from);
        let key = if let Algorithm::Rsa(rsa) = &signed.algorithm { rsa.named_by() } else { None };
        let how = pins.chain([&signed.signature.from]).chain(key);
        members.extend(
            how.filter_map(|field| if let Field::Json(path) = field { Some(path.as_str()) } else { None }),
        );
        Some(members)
    }

    /// As [`signed_members`](Self::signed_members), of those verifiers that accepted a request: all,
    /// or the one that did. Where one of them signs the whole body, the whole body is kept.
    fn kept_members(&self, proof: &Proof, view: &View<'_>) -> Option<Vec<&str>> {
        let accepted = match proof.verifier {
            Some(number) => self.verifiers().get(number..=number).unwrap_or_default(),
            None => self.verifiers(),
        };
        let mut signed = accepted.iter().filter(|verifier| verifier.coverage() == Coverage::Body);
        let first = signed.next()?.signed_members(view)?;
        signed.all(|verifier| verifier.signed_members(view).is_some()).then_some(first)
    }

    fn needs_url(&self) -> bool {
        let needs = |verifier: &Self| matches!(&verifier.kind, Kind::Signed(s) if s.template.has_url());
        self.verifiers().iter().any(needs)
    }

    fn warning(&self) -> Option<&'static str> {
        match &self.kind {
            // A network beside another verifier is what the warning asks for.
            Kind::Several(Several { rule: Rule::All, members }) => {
                let mut others = members.iter().filter(|member| !matches!(member.kind, Kind::Network(_)));
                others.find_map(Self::warning)
            }
            Kind::Several(several) => several.members.iter().find_map(Self::warning),
            kind => kind.warning(),
        }
    }

    /// Bytes of the shortest key that the hook's secret of that number makes.
    fn key_length(&self, number: usize, secret: &Secret) -> usize {
        let takers = self.verifiers().iter().filter(|verifier| verifier.key_of(number).is_some());
        takers.map(|verifier| verifier.kind.key_length(secret)).min().unwrap_or(secret.expose().len())
    }
}

fn error(key: impl Into<String>, message: impl Into<String>) -> BuildError {
    BuildError { key: key.into(), message: message.into() }
}
