//! The verifier `kind = "ecdsa"`: public keys on the curve P-256, with SHA-256 or SHA-1 (FIPS 186-5).

use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey as Point, agree_ephemeral};
use ring::digest;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
#[cfg(feature = "sender")]
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    KeyPair as _,
};

use super::{KeyError, pem};
use crate::json;
use crate::reader::Table;
use crate::secret::Secret;
use crate::source::address::{Address, Login};
#[cfg(feature = "sender")]
use crate::source::crypto::encoding::Encoding;
use crate::source::crypto::p256;
use crate::source::scheme::field::{Field, View};
use crate::source::scheme::template::SignedMessage;
use crate::source::scheme::words;
use crate::source::{Param, Params, Rejection};

/// Keys of an ECDSA verifier: `hash`, `scalars` and `key_source`; the public keys are PEM or base64.
#[derive(Clone, Debug)]
pub(crate) struct Ecdsa {
    hash: Hash,
    scalars: Scalars,
    /// Place of the published keys. Configured keys take precedence, and nothing is fetched.
    published: Option<Published>,
    keys: Vec<Key>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Sha1,
    Sha256,
}

/// Encoding of the two numbers of a signature, r and s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scalars {
    /// An ASN.1 sequence in DER.
    Der,
    /// The concatenation of r and s, 32 bytes each.
    Raw,
}

#[derive(Clone, Debug)]
struct Key {
    /// The public key as an uncompressed point.
    point: Vec<u8>,
    /// Private key in PKCS #8, which signs.
    #[cfg(feature = "sender")]
    private: Option<Secret>,
}

/// Keys that a provider publishes by their ids, for holders of credentials alone:
/// `key_source = { key_id, at, hosts, token = { at, client, secret, scope } }`.
#[derive(Clone, Debug)]
struct Published {
    key_id: Field,
    /// Address of a key, up to its id; `{param:NAME}` stands for a parameter.
    at: String,
    /// Hosts that may be asked, and the name of the parameter that chooses among them.
    hosts: Vec<String>,
    host: Option<String>,
    /// Address of tokens, on the same host.
    token: String,
    scope: String,
    /// Names of the parameters with the name and the password of the client.
    client: String,
    secret: String,
    login: Option<Login>,
}

/// Upper bound on an id, in bytes: a UUID has 36.
const MAX_ID: usize = 64;

impl Published {
    fn read(table: Table<'_>) -> Option<Self> {
        let key_id = words::field(&table, "key_id", "\"sigkv:kid\"");
        let at = words::text(&table, "at", "\"https://api.example.com/keys/\"").map(str::to_owned);
        let hosts = table.strings("hosts").map(|list| list.value).unwrap_or_default();
        let hosts: Vec<String> = hosts.iter().map(|at| at.value.to_owned()).collect();
        if hosts.is_empty() {
            table.error("hosts", r#"missing: write hosts = ["api.example.com"]"#);
        }
        let token = table.table("token").and_then(|inner| {
            let text = |key, example| words::text(&inner, key, example).map(str::to_owned);
            let at = text("at", "\"https://api.example.com/oauth2/token\"");
            let names = text("client", "\"client_id\"").zip(text("secret", "\"client_secret\""));
            let scope = text("scope", "\"https://api.example.com/scope\"");
            inner.finish();
            Some((at?, names?, scope?))
        });
        if !table.has("token") {
            table.error("token", "missing: write token = { at, client, secret, scope }");
        }
        table.finish();
        let (token, (client, secret), scope) = token?;
        let published = Self {
            key_id: key_id?,
            host: at.as_deref().and_then(words::param).map(str::to_owned),
            at: at?,
            hosts,
            token,
            scope,
            client,
            secret,
            login: None,
        };
        Some(published)
    }

    fn params(&self) -> Vec<Param> {
        let param = |name: &String, secret, about: &str| Param {
            name: name.clone(),
            required: true,
            may_be_empty: false,
            secret,
            about: about.to_owned(),
        };
        vec![
            param(&self.client, false, "the name of the client that fetches keys"),
            param(&self.secret, true, "the password of the client that fetches keys"),
        ]
    }

    fn bind(&mut self, params: &Params) {
        words::bind(&mut self.at, params);
        words::bind(&mut self.token, params);
        if let (Some(at), Some(client), Some(secret)) =
            (self.allowed(&self.token), params.get(&self.client), params.get(&self.secret))
        {
            self.login = Some(Login::new(at, client, secret, &self.scope));
        }
    }

    fn allowed(&self, text: &str) -> Option<Address> {
        Address::parse(text).filter(|address| self.hosts.iter().any(|host| host == address.host()))
    }

    /// Returns the address of the key with this id.
    fn address(&self, id: &str) -> Option<Address> {
        let is_id = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if !(1..=MAX_ID).contains(&id.len()) || !id.bytes().all(is_id) {
            return None;
        }
        Some(self.allowed(&format!("{}{id}", self.at))?.with_login(self.login.clone()?))
    }

    /// Reads the key in a document, `{"key": PEM}`. Its PEM has no line ends.
    fn key(document: &[u8]) -> Option<Key> {
        let text = json::text(document, "key").ok()??;
        let bare = text.trim().strip_prefix("-----BEGIN PUBLIC KEY-----");
        let bare = bare.and_then(|text| text.strip_suffix("-----END PUBLIC KEY-----")).unwrap_or(&text);
        let bare: String = bare.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        Key::read(&pem::der(&Secret::new(bare))?).filter(|key| is_point(&key.point))
    }
}

/// DER of the `SubjectPublicKeyInfo` of P-256, up to the uncompressed point ([RFC 5480] 2).
///
/// [RFC 5480]: https://www.rfc-editor.org/rfc/rfc5480#section-2
const SPKI: &[u8] = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";

impl Ecdsa {
    pub(super) fn read(table: &Table<'_>) -> Option<Self> {
        let hash = words::one_of(table, "hash", &[("sha256", Hash::Sha256), ("sha1", Hash::Sha1)]);
        let forms = [("der", Scalars::Der), ("raw", Scalars::Raw)];
        let scalars =
            if table.has("scalars") { words::one_of(table, "scalars", &forms) } else { Some(Scalars::Der) };
        if hash == Some(Hash::Sha1) && scalars == Some(Scalars::Raw) {
            table.error("scalars", "\"raw\" needs hash = \"sha256\": leave it out");
        }
        let published = table.table("key_source").map(Published::read);
        let published = if table.has("key_source") { Some(published??) } else { None };
        Some(Self { hash: hash?, scalars: scalars?, published, keys: Vec::new() })
    }

    /// Adds a public key; with the feature `sender` also the private key that belongs to it.
    pub(super) fn add_key(&mut self, secret: &Secret) -> Result<(), KeyError> {
        let form = || "is not a P-256 public key: copy it as PEM or base64".to_owned();
        let der = pem::der(secret).ok_or_else(form)?;
        let key = Key::read(&der);
        #[cfg(feature = "sender")]
        let key = key.or_else(|| self.private(der));
        let key = key.ok_or_else(form)?;
        if !is_point(&key.point) {
            return Err("is not a point of P-256: copy the sender's public key again".to_owned());
        }
        self.keys.push(key);
        Ok(())
    }

    /// Returns true if keys can be fetched from an address.
    pub(super) const fn fetches(&self) -> bool {
        self.published.is_some()
    }

    /// Returns the field with which a request selects the key.
    pub(crate) fn named_by(&self) -> Option<&Field> {
        self.published.as_ref().map(|published| &published.key_id)
    }

    /// Returns the parameters that hold the credentials.
    pub(crate) fn credentials(&self) -> Vec<Param> {
        self.published.as_ref().map(Published::params).unwrap_or_default()
    }

    /// Returns the name of the parameter in the addresses.
    pub(crate) fn param(&self) -> Option<&str> {
        self.published.as_ref().and_then(|published| published.host.as_deref())
    }

    pub(crate) fn bind(&mut self, params: &Params) {
        if let Some(published) = &mut self.published {
            published.bind(params);
        }
    }

    /// Returns a setting and an error message if keys can be fetched from nowhere.
    pub(super) fn complaint(&self) -> Option<(String, String)> {
        let published = self.published.as_ref().filter(|_| self.keys.is_empty())?;
        published.address("x").is_none().then(|| {
            let key = published.host.as_ref().map_or("verify".to_owned(), |name| format!("params.{name}"));
            (key, format!("is not the host that publishes keys: write {}", published.hosts.join(" or ")))
        })
    }

    pub(super) const fn warning(&self) -> Option<&'static str> {
        match self.hash {
            Hash::Sha1 => Some("SHA-1 is outdated: use sha256 if the sender can"),
            Hash::Sha256 => None,
        }
    }

    /// Returns the number of the secret that verifies a signature, or `None` for a fetched key.
    pub(super) fn verify(
        &self,
        message: &SignedMessage<'_>,
        signatures: &[Vec<u8>],
        view: &View<'_>,
    ) -> Result<Option<usize>, Rejection> {
        let Some(published) = self.published.as_ref().filter(|_| self.keys.is_empty()) else {
            return self.signer(&self.keys, message, signatures).map(Some).ok_or(Rejection::NoMatch);
        };
        let unknown = || Rejection::UnknownKey(published.key_id.to_string());
        let id = published.key_id.read_text(view)?;
        let address = published.address(&id).ok_or_else(unknown)?;
        let Some(fetched) = view.fetched_from(&address) else { return Err(Rejection::Fetch(address)) };
        if fetched.is_unknown {
            return Err(unknown());
        }
        let Some(key) = fetched.document.as_ref().and_then(|document| Published::key(document)) else {
            return Err(Rejection::Unusable(address));
        };
        // The id names one key for good, so no newer document can help.
        self.signer(&[key], message, signatures).map(|_| None).ok_or(Rejection::NoMatch)
    }

    /// Returns the index of the key that made one of the signatures. `ring` refuses signatures with r or s of
    /// zero, or not below the order of the curve, and so does our own code.
    fn signer(&self, keys: &[Key], message: &SignedMessage<'_>, signatures: &[Vec<u8>]) -> Option<usize> {
        let message = message.to_bytes(&[]);
        if self.hash == Hash::Sha1 {
            let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &message);
            let is_by = |key: &Key| {
                signatures.iter().any(|signature| p256::verify(&key.point, digest.as_ref(), signature))
            };
            return keys.iter().position(is_by);
        }
        let algorithm = match self.scalars {
            Scalars::Der => &ECDSA_P256_SHA256_ASN1,
            Scalars::Raw => &ECDSA_P256_SHA256_FIXED,
        };
        keys.iter().position(|key| {
            let key = UnparsedPublicKey::new(algorithm, &key.point);
            signatures.iter().any(|signature| key.verify(&message, signature).is_ok())
        })
    }
}

#[cfg(feature = "sender")]
impl Ecdsa {
    /// Signs with the private key; returns `None` without one.
    pub(super) fn sign(&self, message: &SignedMessage<'_>, key: usize) -> Option<Vec<u8>> {
        let private = self.keys.get(key)?.private.as_ref()?;
        if self.hash == Hash::Sha1 {
            return p256::sign_sha1(private.expose(), &message.to_bytes(&[]));
        }
        let pair = self.pair(private)?;
        let signature = pair.sign(&SystemRandom::new(), &message.to_bytes(&[])).ok()?;
        Some(signature.as_ref().to_vec())
    }

    /// Returns the public key as the base64 of its DER, if the key of this number has a private one.
    pub(crate) fn public_key(&self, key: usize) -> Option<String> {
        let key = self.keys.get(key).filter(|key| key.private.is_some())?;
        Some(Encoding::Base64.encode(&[SPKI, &key.point].concat()))
    }

    fn private(&self, pkcs8: Secret) -> Option<Key> {
        let pair = self.pair(&pkcs8)?;
        Some(Key { private: Some(pkcs8), ..Key::public(pair.public_key().as_ref()) })
    }

    fn pair(&self, pkcs8: &Secret) -> Option<EcdsaKeyPair> {
        let algorithm: &'static EcdsaSigningAlgorithm = match self.scalars {
            Scalars::Der => &ECDSA_P256_SHA256_ASN1_SIGNING,
            Scalars::Raw => &ECDSA_P256_SHA256_FIXED_SIGNING,
        };
        EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.expose(), &SystemRandom::new()).ok()
    }
}

impl Key {
    fn read(der: &Secret) -> Option<Self> {
        der.expose().strip_prefix(SPKI).map(Self::public)
    }

    fn public(point: &[u8]) -> Self {
        Self {
            point: point.to_vec(),
            #[cfg(feature = "sender")]
            private: None,
        }
    }
}

/// Returns true if the bytes are a point of P-256. A key agreement checks the point of its peer; `ring` has
/// no more direct way to check one.
fn is_point(point: &[u8]) -> bool {
    let private = EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new());
    private.is_ok_and(|private| agree_ephemeral(private, &Point::new(&ECDH_P256, point), |_| ()).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE1+SqoqKxUKkTuA4bv96ob3ZFgkQwy6WwGaVhdwLD39Lh6JQ7DZMVpBXRNX2u/r3qSdo8XIskBHJYhsJ8zpHSGg==";

    fn add(text: &str) -> Result<(), KeyError> {
        Ecdsa { hash: Hash::Sha256, scalars: Scalars::Der, published: None, keys: Vec::new() }
            .add_key(&Secret::new(text))
    }

    #[test]
    fn keys_are_pem_or_base64() {
        let (head, tail) = PUBLIC.split_at(64);
        for good in [
            PUBLIC,
            PUBLIC.trim_end_matches('='),
            &format!("-----BEGIN PUBLIC KEY-----\n{head}\n{tail}\n-----END PUBLIC KEY-----\n"),
            &format!("-----BEGIN PUBLIC KEY-----\r\n{head}\r\n{tail}\r\n-----END PUBLIC KEY-----"),
        ] {
            assert_eq!(add(good), Ok(()), "{good}");
        }
        let point = Encoding::Base64.decode(PUBLIC).unwrap();
        let mut off_curve = point.clone();
        off_curve[90] ^= 1;
        let zero = [SPKI, &[0]].concat();
        for bad in ["", "x", "-----BEGIN PUBLIC KEY-----", "MCowBQYDK2VwAyEA"] {
            assert!(add(bad).unwrap_err().contains("P-256 public key"), "{bad}");
        }
        for bad in [&off_curve, &zero, &point[..point.len() - 1], &[&point[..], &[0]].concat()] {
            assert!(add(&Encoding::Base64.encode(bad)).unwrap_err().contains("not a point"));
        }
    }
}
