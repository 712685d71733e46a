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
//! past      = "30m"                      # so long after `exp`, for retries with the same token; default none
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
//!
//! The feature `sender` adds the other side: `Source::sign` makes requests as the provider does, and forges
//! them on purpose.

mod address;
mod crypto;
#[doc(hidden)]
pub mod fuzzing;
mod presets;
mod rejection;
mod reply;
mod scheme;
#[cfg(feature = "sender")]
mod sender;
#[expect(clippy::module_inception, reason = "it holds the type of that name")]
mod source;
mod verify;

pub(crate) use address::Login;
pub use address::{Address, Fetched};
pub(crate) use presets::blueprint::{Blueprint, MAX_BODY};
#[cfg(feature = "catalog")]
pub use presets::info::{Info, preset_info};
pub(crate) use presets::preset_params;
#[cfg(feature = "catalog")]
pub use presets::{Evidence, Retries};
pub use presets::{Param, preset_names};
pub use rejection::{Rejection, VerifyStep};
pub(crate) use scheme::credential::TokenNames;
pub use scheme::credential::is_credential_header;
#[cfg(feature = "sender")]
pub use sender::sign::{Draft, SignError};
#[cfg(feature = "sender")]
pub use sender::tamper::{STALE, Tamper};
pub(crate) use source::Peers;
pub use source::{BuildError, Settings, Source};
use source::{Params, error};
pub use verify::check::Verdict;
pub use verify::explain::{Explanation, VerifyOutcome};
