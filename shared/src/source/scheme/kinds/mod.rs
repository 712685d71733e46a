//! Verifiers, one file for each kind.

mod digest;
mod ecdsa;
mod ed25519;
mod jwt;
mod mac;
mod network;
mod pem;
mod rsa;
mod several;
mod token;

use digest::Digest;
use ecdsa::Ecdsa;
use ed25519::Ed25519;
pub(crate) use jwt::Jwt;
use mac::Mac;
use network::Network;
pub(crate) use rsa::Rsa;
pub(crate) use several::{Rule, Several};
pub(crate) use token::{Token, position};

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use crate::clock::Timestamp;
use crate::reader::Table;
use crate::sabotage::{Safeguard, is_pulled};
use crate::secret::Secret;
use crate::source::Rejection;
use crate::source::crypto::encoding::Encoding;
use crate::source::scheme::body_hash::BodyHash;
use crate::source::scheme::field::{Field, View};
use crate::source::scheme::signature::Signature;
use crate::source::scheme::template::{SignedMessage, SignedTemplate};
use crate::source::scheme::words;

/// The `kind` of a `[verify]` table, with the keys made of the hook's secrets.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// Explicit choice to admit every request without verification.
    None,
    /// A secret that is sent with the request itself.
    Token(Token),
    /// A signature over the request, or over parts of it.
    Signed(Box<Signed>),
    /// A signed token that is sent with the request.
    Jwt(Jwt),
    /// The address from which the request comes.
    Network(Network),
    /// A set of verifiers: one of them or all must accept.
    Several(Several),
}

/// Value of the key `kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    None,
    Token,
    Hmac,
    Digest,
    Ed25519,
    Ecdsa,
    Rsa,
    Jwt,
    Network,
    Any,
    All,
}

impl Word {
    /// Returns true if this kind verifies a signature over parts of the request.
    pub(crate) const fn is_signed(self) -> bool {
        matches!(self, Self::Hmac | Self::Digest | Self::Ed25519 | Self::Ecdsa | Self::Rsa)
    }

    /// Returns true if this kind verifies something without other verifiers.
    pub(crate) const fn is_single(self) -> bool {
        !matches!(self, Self::None | Self::Any | Self::All)
    }
}

/// Spellings of the kinds in a `[verify]` table.
pub(crate) const WORDS: [(&str, Word); 11] = [
    ("token", Word::Token),
    ("hmac", Word::Hmac),
    ("digest", Word::Digest),
    ("ed25519", Word::Ed25519),
    ("ecdsa", Word::Ecdsa),
    ("rsa", Word::Rsa),
    ("jwt", Word::Jwt),
    ("network", Word::Network),
    ("any", Word::Any),
    ("all", Word::All),
    ("none", Word::None),
];

/// A signature over parts of the request.
#[derive(Clone, Debug)]
pub(crate) struct Signed {
    pub(crate) signature: Signature,
    pub(crate) template: SignedTemplate,
    pub(crate) algorithm: Algorithm,
    /// Signed fields that hold hashes of the body.
    pub(crate) body_hash: Vec<BodyHash>,
}

/// Algorithm that makes a signature from the signed bytes and a key.
#[derive(Clone, Debug)]
pub(crate) enum Algorithm {
    Mac(Mac),
    Digest(Digest),
    Ed25519(Ed25519),
    Ecdsa(Ecdsa),
    Rsa(Rsa),
}

/// Reason why a secret cannot be a key; the message describes the expected form.
pub(crate) type KeyError = String;

impl Kind {
    /// Reads the keys of the table that belong to this kind.
    pub(crate) fn read(word: Word, table: &Table<'_>) -> Option<Self> {
        match word {
            Word::None => Some(Self::None),
            Word::Token => Token::read(table).map(Self::Token),
            Word::Hmac => Self::signed(table, Mac::read(table).map(Algorithm::Mac)),
            Word::Digest => Self::signed(table, Digest::read(table).map(Algorithm::Digest)),
            Word::Ed25519 => Self::signed(table, Ed25519::read(table).map(Algorithm::Ed25519)),
            Word::Ecdsa => Self::signed(table, Ecdsa::read(table).map(Algorithm::Ecdsa)),
            Word::Rsa => Self::signed(table, Rsa::read(table).map(Algorithm::Rsa)),
            Word::Jwt => Jwt::read(table).map(Self::Jwt),
            Word::Network => Network::read(table).map(Self::Network),
            Word::Any => Several::read(table, Rule::Any).map(Self::Several),
            Word::All => Several::read(table, Rule::All).map(Self::Several),
        }
    }

    fn signed(table: &Table<'_>, algorithm: Option<Algorithm>) -> Option<Self> {
        let signature = if table.has("signature") {
            table.table("signature").and_then(Signature::read)
        } else {
            let example = r#"{ from = "header:X-Signature", encoding = "hex" }"#;
            table.error("signature", format!("missing: write signature = {example}"));
            None
        };
        let template = SignedTemplate::read(table);
        let (signature, template, algorithm) = (signature?, template?, algorithm?);
        let body_hash = BodyHash::read_all(table, &template)?;
        match algorithm {
            Algorithm::Digest(_) if !template.has_secret() => {
                table.error("signed", "anybody can make a digest without a secret: add \"{secret}\"");
                None
            }
            Algorithm::Ed25519(_) | Algorithm::Ecdsa(_) | Algorithm::Rsa(_) if template.has_secret() => {
                table.error(
                    "signed",
                    "the secret is a public key here, which the sender does not sign: leave \"{secret}\" out",
                );
                None
            }
            _ => Some(Self::Signed(Box::new(Signed { signature, template, algorithm, body_hash }))),
        }
    }

    /// Returns the name of the kind in a `[verify]` table.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Token(_) => "token",
            Self::Signed(signed) => match signed.algorithm {
                Algorithm::Mac(_) => "hmac",
                Algorithm::Digest(_) => "digest",
                Algorithm::Ed25519(_) => "ed25519",
                Algorithm::Ecdsa(_) => "ecdsa",
                Algorithm::Rsa(_) => "rsa",
            },
            Self::Jwt(_) => "jwt",
            Self::Network(_) => "network",
            Self::Several(several) => match several.rule {
                Rule::Any => "any",
                Rule::All => "all",
            },
        }
    }

    /// Returns true if a secret or key of the hook can verify requests.
    pub(crate) fn takes_secrets(&self) -> bool {
        match self {
            Self::None | Self::Network(_) => false,
            Self::Token(_) | Self::Jwt(_) | Self::Signed(_) => true,
            Self::Several(several) => several.members.iter().any(|member| member.kind.takes_secrets()),
        }
    }

    /// Returns true if the hook must have a secret, which it need not if keys are fetched.
    pub(crate) fn needs_secrets(&self) -> bool {
        match self {
            Self::Signed(signed) => match &signed.algorithm {
                Algorithm::Rsa(rsa) => !rsa.fetches(),
                Algorithm::Ecdsa(ecdsa) => !ecdsa.fetches(),
                _ => true,
            },
            Self::Jwt(jwt) => !jwt.fetches(),
            Self::Several(several) => several.members.iter().any(|member| member.kind.needs_secrets()),
            kind => kind.takes_secrets(),
        }
    }

    /// Returns true if the secrets are public keys; the secrets of other kinds must be known to nobody else.
    pub(crate) const fn takes_public_keys(&self) -> bool {
        match self {
            Self::None | Self::Token(_) | Self::Network(_) | Self::Several(_) => false,
            Self::Jwt(jwt) => jwt.takes_public_keys(),
            Self::Signed(signed) => match &signed.algorithm {
                Algorithm::Mac(_) | Algorithm::Digest(_) => false,
                Algorithm::Ed25519(ed25519) => !ed25519.has_seeds(),
                Algorithm::Ecdsa(_) | Algorithm::Rsa(_) => true,
            },
        }
    }

    /// Makes a key of a secret that is not blank. A set of verifiers takes none itself: its members do.
    pub(crate) fn add_key(&mut self, secret: &Secret) -> Result<(), KeyError> {
        match self {
            Self::None | Self::Network(_) | Self::Several(_) => Ok(()),
            Self::Token(token) => token.add_key(secret),
            Self::Jwt(jwt) => jwt.add_key(secret),
            Self::Signed(signed) => match &mut signed.algorithm {
                Algorithm::Mac(mac) => mac.add_key(secret),
                Algorithm::Digest(digest) => {
                    digest.add_key(secret);
                    Ok(())
                }
                Algorithm::Ed25519(ed25519) => ed25519.add_key(secret),
                Algorithm::Ecdsa(ecdsa) => ecdsa.add_key(secret),
                Algorithm::Rsa(rsa) => rsa.add_key(secret),
            },
        }
    }

    /// Forgets the keys of shared secrets, for an attempt with others; false if the keys are public ones.
    #[cfg(feature = "catalog")]
    pub(crate) fn forget_keys(&mut self) -> bool {
        match self {
            Self::None | Self::Network(_) => true,
            Self::Token(token) => {
                token.forget_keys();
                true
            }
            Self::Signed(signed) => match &mut signed.algorithm {
                Algorithm::Mac(mac) => {
                    mac.forget_keys();
                    true
                }
                Algorithm::Digest(digest) => {
                    digest.forget_keys();
                    true
                }
                Algorithm::Ed25519(_) | Algorithm::Ecdsa(_) | Algorithm::Rsa(_) => false,
            },
            Self::Several(several) => several.members.iter_mut().all(super::Scheme::forget_keys),
            Self::Jwt(_) => false,
        }
    }

    /// Returns a setting and an error message if the keys do not fit together, for example with the ids of RSA
    /// keys, or cannot be had.
    pub(crate) fn complaint(&self) -> Option<(String, String)> {
        match self {
            Self::Signed(signed) => match &signed.algorithm {
                Algorithm::Rsa(rsa) => rsa.complaint().map(|message| ("secrets".to_owned(), message)),
                Algorithm::Ecdsa(ecdsa) => ecdsa.complaint(),
                _ => None,
            },
            Self::Several(several) => several.members.iter().find_map(|member| member.kind.complaint()),
            _ => None,
        }
    }

    /// Returns the length of the key that a secret makes, in bytes.
    pub(crate) fn key_length(&self, secret: &Secret) -> usize {
        match self {
            Self::Signed(signed) => match &signed.algorithm {
                Algorithm::Mac(mac) => mac.key_length(secret),
                _ => secret.expose().len(),
            },
            _ => secret.expose().len(),
        }
    }

    /// Returns the warning about the weakness of this kind, if it has one.
    pub(crate) const fn warning(&self) -> Option<&'static str> {
        match self {
            Self::None => Some("nothing is verified: anybody who knows the address is let in"),
            Self::Network(_) => Some("anybody in these networks is let in: add a token with kind = \"all\""),
            Self::Token(_) | Self::Jwt(_) | Self::Several(_) => None,
            Self::Signed(signed) => match &signed.algorithm {
                Algorithm::Mac(mac) => mac.warning(),
                Algorithm::Digest(digest) => digest.warning(),
                Algorithm::Ed25519(_) => None,
                Algorithm::Ecdsa(ecdsa) => ecdsa.warning(),
                Algorithm::Rsa(rsa) => rsa.warning(),
            },
        }
    }
}

impl Algorithm {
    /// Returns the field with which a request selects the key.
    pub(crate) fn named_by(&self) -> Option<&Field> {
        match self {
            Self::Rsa(rsa) => rsa.named_by(),
            Self::Ecdsa(ecdsa) => ecdsa.named_by(),
            _ => None,
        }
    }

    /// Returns the index of the secret whose key made one of the signatures, or `None` for a fetched key.
    pub(crate) fn verify(
        &self,
        message: &SignedMessage<'_>,
        signatures: &[Vec<u8>],
        view: &View<'_>,
        now: Timestamp,
    ) -> Result<Option<usize>, Rejection> {
        let secret = match self {
            Self::Mac(mac) => mac.verify(message, signatures),
            Self::Digest(digest) => digest.verify(message, signatures),
            Self::Ed25519(ed25519) => ed25519.verify(message, signatures),
            Self::Ecdsa(ecdsa) => return ecdsa.verify(message, signatures, view),
            Self::Rsa(rsa) => return rsa.verify(message, signatures, view, now),
        };
        let secret = secret.or_else(|| is_pulled(Safeguard::Verification).then_some(0));
        secret.map(Some).ok_or(Rejection::NoMatch)
    }

    /// Returns true if the secrets can sign: see [`answer`](Self::answer).
    pub(crate) const fn can_answer(&self) -> bool {
        match self {
            Self::Mac(_) => true,
            Self::Ed25519(ed25519) => ed25519.has_seeds(),
            Self::Digest(_) | Self::Ecdsa(_) | Self::Rsa(_) => false,
        }
    }

    /// Signs a text that a handshake is answered with, with the key of this number; `None` if the secrets are
    /// public keys.
    pub(crate) fn answer(&self, text: &[u8], key: usize) -> Option<Vec<u8>> {
        match self {
            Self::Mac(mac) => mac.answer(text, key),
            Self::Ed25519(ed25519) => ed25519.answer(text, key),
            Self::Digest(_) | Self::Ecdsa(_) | Self::Rsa(_) => None,
        }
    }
}

#[cfg(feature = "sender")]
impl Algorithm {
    /// Signs the message as the sender does, with the key of this number.
    pub(crate) fn sign(&self, message: &SignedMessage<'_>, key: usize) -> Option<Vec<u8>> {
        match self {
            Self::Mac(mac) => mac.sign(message, key),
            Self::Digest(digest) => digest.sign(message, key),
            Self::Ed25519(ed25519) => ed25519.sign(message, key),
            Self::Ecdsa(ecdsa) => ecdsa.sign(message, key),
            Self::Rsa(rsa) => rsa.sign(message, key),
        }
    }

    /// Returns the public key of the private key with this number, in the text form of the source.
    pub(crate) fn public_key(&self, key: usize) -> Option<String> {
        match self {
            Self::Mac(_) | Self::Digest(_) => None,
            Self::Ed25519(ed25519) => ed25519.public_key(key),
            Self::Ecdsa(ecdsa) => ecdsa.public_key(key),
            Self::Rsa(rsa) => rsa.public_key(key),
        }
    }
}

/// Text form of a key: `key = { encoding, strip_prefix, derive }` turns a secret's text into the key's bytes.
#[derive(Clone, Debug)]
pub(crate) struct KeyForm {
    encoding: Encoding,
    strip_prefix: Option<String>,
    derive: Option<Derive>,
    /// True if the text itself is a key too: some senders changed from one form to the other.
    or_text: bool,
}

/// Way from the bytes of a secret to the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Derive {
    /// The SHA-1 of the secret.
    Sha1,
    /// The seed of a private Ed25519 key: the secret, repeated until it has the seed's length.
    Seed,
}

impl KeyForm {
    /// Reads the key `key`. Without it the text itself is the key, unless `binary` asks for an encoding.
    fn read(table: &Table<'_>, binary: bool) -> Option<Self> {
        if !table.has("key") {
            if binary {
                table.error("key", r#"missing: write key = { encoding = "hex" } or "base64""#);
                return None;
            }
            return Some(Self { encoding: Encoding::Utf8, strip_prefix: None, derive: None, or_text: false });
        }
        let inner = table.table("key")?;
        let way = if binary { ("seed", Derive::Seed) } else { ("sha1", Derive::Sha1) };
        let derive = inner.has("derive").then(|| words::one_of(&inner, "derive", &[way]));
        let is_text = !binary || derive.is_some();
        let text = if is_text { &[("utf8", Encoding::Utf8)][..] } else { &[][..] };
        let choices = [text, &[("base64", Encoding::Base64), ("hex", Encoding::Hex)]].concat();
        let encoding = words::one_of(&inner, "encoding", &choices);
        let strip_prefix = inner.str("strip_prefix").map(|at| at.value.to_owned());
        let or_text = inner.bool("or_text").is_some_and(|at| at.value);
        inner.finish();
        Some(Self { encoding: encoding?, strip_prefix, derive: derive.flatten(), or_text })
    }

    /// Returns true if the secret makes the private key, which then is known to the sender and to us alone.
    const fn is_seed(&self) -> bool {
        matches!(self.derive, Some(Derive::Seed))
    }

    /// Returns the keys that the text can stand for.
    fn decode_all(&self, secret: &Secret) -> Result<Vec<Secret>, KeyError> {
        if !self.or_text {
            return Ok(vec![self.decode(secret)?]);
        }
        Ok([secret.clone()].into_iter().chain(self.decode(secret)).collect())
    }

    /// Returns the key of a secret.
    fn decode(&self, secret: &Secret) -> Result<Secret, KeyError> {
        let bytes = self.decode_text(secret)?;
        Ok(match self.derive {
            None => bytes,
            Some(Derive::Sha1) => Secret::new(digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes.expose()).as_ref()),
            Some(Derive::Seed) => {
                let seed = bytes.expose().iter().copied().cycle().take(ed25519::KEY_LENGTH);
                Secret::new(seed.collect::<Vec<u8>>())
            }
        })
    }

    /// Decodes the bytes of a secret; the prefix is optional in its text.
    fn decode_text(&self, secret: &Secret) -> Result<Secret, KeyError> {
        let form = || {
            let encoding = self.encoding.as_str();
            let after =
                self.strip_prefix.as_ref().map(|prefix| format!(" after {prefix:?}")).unwrap_or_default();
            format!("is not a key of this source: write {encoding} text{after}")
        };
        if self.encoding == Encoding::Utf8 && self.strip_prefix.is_none() {
            return Ok(secret.clone());
        }
        let text = secret.expose_str().ok_or_else(form)?;
        let bare = self.strip_prefix.as_deref().and_then(|prefix| text.strip_prefix(prefix)).unwrap_or(text);
        let key = Secret::new(self.encoding.decode_key(bare).ok_or_else(form)?);
        let is_empty = key.expose().is_empty() || (self.encoding == Encoding::Utf8 && key.is_blank());
        if is_empty { Err(form()) } else { Ok(key) }
    }

    /// Encodes the bytes of a key as the text of a secret.
    #[cfg(feature = "sender")]
    fn encode(&self, key: &[u8]) -> String {
        self.strip_prefix.clone().unwrap_or_default() + &self.encoding.encode(key)
    }
}
