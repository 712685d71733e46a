//! Sources: the ways in which a provider signs, makes handshakes, names its deliveries and wants to be
//! answered.
//!
//! One engine verifies for all providers. Everything about a provider is data: a preset under `presets/`, or
//! a hook's own `[verify]` table in the same words:
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
//! A field is `header:NAME`, `query:NAME`, `json:a.b.0`, `xml:a.b` or `form:NAME`; in a `kv` signature it is
//! `sigkv:KEY`, in a decrypted event `decrypted:a.b`. It must be present exactly once: a missing, empty or
//! repeated value is refused.
//!
//! Further features, each described where it is read: a signed hash of the body (`body_hash`), a body whose
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
//! Signed bytes can consist of more than fields: `{fieldlines:A,B?}` (members of a JSON body on lines; the
//! other members are not forwarded), `{sorted_pairs:DROPPED}`, `{canon_headers:PREFIX}`, `{crc32(body)}`, and
//! cases that a field's value selects (`signed = { by = "json:Type", cases = { … } }`).
//!
//! An `rsa` key is one of the hook's secrets, or the request names it:
//!
//! ```toml
//! key_source = { key_id = "header:X-Key-Id", keys = ["ID"] }       # an id for each of the secrets
//! key_source = { cert_url = "json:CertURL", allow = ["certs.??-*.example.com/*.pem"] }
//! # Only from the message's own region: the fourth part of `arn:aws:sns:REGION:…`.
//! key_source = { cert_url = "json:CertURL", region = { from = "json:TopicArn", part = 4 }, allow = ["certs.{region}.example.com/*.pem"] }
//! ```
//!
//! A `jwt` is a token whose algorithm is configured, never chosen by the token:
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
//! Nothing in this module does I/O: a [`Verdict`] says what must be fetched or called.
//!
//! ```text
//! Request ─► unsigned handshake ─► pins ─► signature ─► timestamp ─► decryption ─► signed handshake ─► Delivery
//! ```
//!
//! The raw bytes are verified, and the bytes that were verified are forwarded. Secrets are compared in
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

/// Parameters of a preset by name. Some are secrets, so all are stored as secrets.
type Params = BTreeMap<String, Secret>;

/// Settings that a hook gives its source.
#[derive(Clone, Default)]
pub struct Settings {
    /// The hook's secrets: one, or several during a rotation.
    pub secrets: Vec<Secret>,
    /// Parameters that a preset needs beside secrets: see [`Info::params`].
    pub params: BTreeMap<String, String>,
    /// The hook's public URL, for schemes that sign it.
    pub url: Option<String>,
}

/// A mistake in the settings of a hook.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct BuildError {
    /// Setting with the mistake: `source`, `secrets`, `secrets[1]`, `params.topic` or `url`.
    pub key: String,
    /// Description of the mistake and of its correction.
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
    /// Builds a source from the preset `name`, or returns every mistake in the name and the settings.
    pub fn preset(name: &str, settings: Settings) -> Result<Self, Vec<BuildError>> {
        Blueprint::preset(name)?.build(settings)
    }

    /// Builds a source from a hook's own `[verify]` table. Mistakes in the table are added to the table's
    /// list, each with its line; mistakes in the settings are returned. Both kinds can occur: an empty error
    /// means that only the table has mistakes.
    pub fn custom(table: Table<'_>, settings: Settings) -> Result<Self, Vec<BuildError>> {
        Blueprint::custom(table)?.build(settings)
    }

    /// Builds the answer to a delivery that is stored (`accepted`) or dropped on purpose (`ignored`).
    pub fn ack(&self, status: &str, delivery: &Delivery) -> Response {
        let Content { id, secret, received_at, .. } = &**delivery;
        let encrypt = |text| self.encrypted(text, *secret, *received_at, id.as_bytes());
        let encrypted = self.profile.ack.encrypted().and_then(encrypt);
        encrypted.unwrap_or_else(|| self.profile.ack.response(status, id))
    }

    /// Returns the status of the answer to a delivery.
    pub const fn ack_status(&self) -> u16 {
        self.profile.ack.status()
    }

    /// Returns the status for a request that is not authentic: 401, or 403 if the sender tells 403 apart from
    /// other failures.
    pub fn refusal_status(&self) -> u16 {
        self.profile.ack.refusal()
    }

    /// Returns true if events are decrypted: the body of a [`Delivery`] is then not the received body.
    pub const fn decrypts(&self) -> bool {
        self.scheme.decrypt.is_some()
    }

    /// Returns the value of `Allow`, for example `POST` or `GET, POST`.
    pub const fn methods(&self) -> &'static str {
        self.profile.methods
    }

    /// Returns the time within which the sender wants its answer; 10 s if the provider publishes none.
    pub const fn deadline(&self) -> Duration {
        self.profile.deadline
    }

    /// Returns the prefix of the event in an envelope's `type`, in reverse-DNS form: `com.github`.
    pub fn type_prefix(&self) -> Option<&str> {
        self.profile.type_prefix.as_deref()
    }

    /// Returns true if the sender gives deliveries an id. A redelivery then differs from a new delivery even
    /// if the bodies are equal.
    pub const fn names_deliveries(&self) -> bool {
        !self.scheme.id.is_empty()
    }

    /// Returns true if deliveries name an event.
    pub const fn names_events(&self) -> bool {
        !self.scheme.event.is_empty()
    }

    /// Returns true if this header field holds the token, which no template may use.
    pub fn reads_token_from(&self, header: &str) -> bool {
        let is_read = |from: &Field| matches!(from, Field::Header(name) if name.eq_ignore_ascii_case(header));
        self.scheme.token_fields().any(is_read)
    }

    /// Returns the fields for id, event or subject that hold another hook's token, each with its key in the
    /// table.
    pub(crate) fn named_by(&self, tokens: &TokenNames) -> Vec<(&'static str, String)> {
        let named = self.scheme.named().into_iter();
        let fields = named.flat_map(|(key, fields)| fields.iter().map(move |field| (key, field)));
        fields.filter(|(_, field)| tokens.has(field)).map(|(key, field)| (key, field.to_string())).collect()
    }

    /// Returns a warning for each secret whose key is shorter than 16 bytes.
    pub(crate) fn short_secrets(&self) -> impl Iterator<Item = String> {
        let is_short = |(i, secret): &(usize, &Secret)| self.scheme.key_length(*i, secret) < 16;
        let short = self.secrets.iter().enumerate().filter(is_short);
        short.map(|(i, _)| format!("secrets[{i}] is under 16 bytes: use a longer one"))
    }

    /// Returns the warnings for the operator: outdated hashes, short secrets, parts of a request that are not
    /// covered.
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
            // A preset uses the hash of its provider.
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
    /// Returns the widest kind of network that the source admits; `None` if no verifier checks addresses.
    pub(crate) fn networks(&self) -> Option<Peers> {
        let peers = |verifier: &Scheme| match &verifier.kind {
            Kind::Network(network) => Some(if network.is_own() { Peers::Own } else { Peers::Foreign }),
            _ => None,
        };
        self.scheme.verifiers().iter().filter_map(peers).max()
    }
}

/// Kind of addresses that a source admits, from narrow to wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Peers {
    /// Addresses of the internet only.
    Foreign,
    /// Private or loopback addresses too, which a proxy of ours may have.
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
            // The ciphertext holds everything that is forwarded of an encrypted event.
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

    /// Returns how long a request is accepted after it was signed. Several verifiers give the shortest time
    /// under `all`, the longest under `any`.
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

    /// Returns the members of a JSON body that are kept if this request signs only some of them: the signed
    /// members, and the members that say how they are signed. Returns `None` if the whole body is kept.
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

    /// Returns the [`signed_members`](Self::signed_members) of the verifiers that accepted a request: all of
    /// them, or the one that did under `any`. If one of them signs the whole body, the whole body is kept.
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
            // A network beside another verifier already follows the advice of the warning.
            Kind::Several(Several { rule: Rule::All, members }) => {
                let mut others = members.iter().filter(|member| !matches!(member.kind, Kind::Network(_)));
                others.find_map(Self::warning)
            }
            Kind::Several(several) => several.members.iter().find_map(Self::warning),
            kind => kind.warning(),
        }
    }

    /// Returns the length of the shortest key that the hook's secret with this number makes, in bytes.
    fn key_length(&self, number: usize, secret: &Secret) -> usize {
        let takers = self.verifiers().iter().filter(|verifier| verifier.key_of(number).is_some());
        takers.map(|verifier| verifier.kind.key_length(secret)).min().unwrap_or(secret.expose().len())
    }
}

fn error(key: impl Into<String>, message: impl Into<String>) -> BuildError {
    BuildError { key: key.into(), message: message.into() }
}
