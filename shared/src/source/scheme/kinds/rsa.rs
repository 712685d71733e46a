//! The verifier `kind = "rsa"`: public keys of RSA with PKCS #1 v1.5 (RFC 8017 8.2).

use super::KeyError;
use crate::clock::Timestamp;
use crate::reader::Table;
use crate::secret::Secret;
use crate::source::address::{Address, Allow, Fetched};
use crate::source::crypto::encoding::Encoding;
use crate::source::crypto::key::{Key, KeyFamily, RSA_SHA1, RSA_SHA256, Verifier};
use crate::source::scheme::field::{Field, View};
use crate::source::scheme::template::SignedMessage;
use crate::source::scheme::words;
use crate::source::{Params, Rejection};

/// Keys of an RSA verifier: `hash` and `key_source`. The secrets are public keys or certificates, in PEM.
#[derive(Clone, Debug)]
pub(crate) struct Rsa {
    hash: Hash,
    which: Which,
    keys: Vec<Key>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Sha1,
    Sha256,
}

/// Choice of the key that verifies a request.
#[derive(Clone, Debug)]
enum Which {
    /// Any key of the hook.
    Any,
    /// The key whose id the request names; `ids` are the ids of the hook's secrets, in their order.
    Named { from: Field, ids: Vec<String> },
    /// The key of the certificate whose address the request names, if the address is allowed. Configured keys
    /// take its place, and nothing is fetched.
    Certificate { from: Field, base64: bool, allow: Allow },
}

/// Lower bound on a key, in bits: shorter keys can be factored. `ring` verifies nothing above the upper
/// bound.
const MIN_BITS: usize = 2048;
const MAX_BITS: usize = 8192;

impl Rsa {
    pub(super) fn read(table: &Table<'_>) -> Option<Self> {
        let hash = words::one_of(table, "hash", &[("sha256", Hash::Sha256), ("sha1", Hash::Sha1)]);
        let which = if table.has("key_source") {
            table.table("key_source").and_then(Which::read)
        } else {
            Some(Which::Any)
        };
        Some(Self { hash: hash?, which: which?, keys: Vec::new() })
    }

    pub(super) fn add_key(&mut self, secret: &Secret) -> Result<(), KeyError> {
        let key = secret.expose_str().and_then(Key::read);
        match key.as_ref().and_then(Key::family) {
            Some(KeyFamily::Rsa(MIN_BITS..=MAX_BITS)) => self.keys.extend(key),
            Some(KeyFamily::Rsa(bits)) => {
                return Err(format!("is a key of {bits} bits: use one of {MIN_BITS} to {MAX_BITS}"));
            }
            _ => return Err("is not an RSA public key or certificate: write it as PEM".to_owned()),
        }
        Ok(())
    }

    /// Returns true if keys can be fetched from an address.
    pub(super) const fn fetches(&self) -> bool {
        matches!(self.which, Which::Certificate { .. })
    }

    /// Returns the names of the parameters that hold ids of keys.
    pub(crate) fn params(&self) -> impl Iterator<Item = &str> {
        let ids = if let Which::Named { ids, .. } = &self.which { ids.as_slice() } else { &[] };
        ids.iter().filter_map(|id| words::param(id))
    }

    /// Replaces the parameters by ids of keys; one parameter may hold several ids, separated by commas.
    pub(crate) fn bind(&mut self, params: &Params) {
        if let Which::Named { ids, .. } = &mut self.which {
            for id in ids.iter_mut() {
                words::bind(id, params);
            }
            let split = ids.iter().flat_map(|id| id.split(',').map(|id| id.trim().to_owned()));
            *ids = split.collect();
        }
    }

    /// Returns an error message if the number of ids differs from the number of keys.
    pub(super) fn complaint(&self) -> Option<String> {
        match &self.which {
            Which::Named { ids, .. } if ids.len() != self.keys.len() => {
                let (keys, ids) = (self.keys.len(), ids.len());
                Some(format!("there are {keys} and {ids} ids of keys: name one id for each, in their order"))
            }
            _ => None,
        }
    }

    pub(super) const fn warning(&self) -> Option<&'static str> {
        match self.hash {
            Hash::Sha1 => Some("SHA-1 is outdated: use sha256 if the sender can"),
            Hash::Sha256 => None,
        }
    }

    /// Returns the number of the secret that verifies a signature, or `None` for a fetched certificate.
    pub(super) fn verify(
        &self,
        message: &SignedMessage<'_>,
        signatures: &[Vec<u8>],
        view: &View<'_>,
        now: Timestamp,
    ) -> Result<Option<usize>, Rejection> {
        let message = message.to_bytes(&[]);
        let by = |keys: &[Key], only| self.signer(keys, only, &message, signatures, now);
        match &self.which {
            Which::Any => by(&self.keys, None).map(Some),
            Which::Named { from, ids } => {
                let id = from.read(view)?;
                let number = ids.iter().position(|known| known.as_bytes() == &*id);
                let number = number.ok_or_else(|| Rejection::UnknownKey(from.to_string()))?;
                by(&self.keys, Some(number)).map(Some)
            }
            Which::Certificate { from, base64, allow } => {
                let address = address(from, *base64, view)?;
                let fetching = self.keys.is_empty().then_some(view);
                if !allow.permits(&address, false, fetching) {
                    return Err(Rejection::NotAllowed(from.to_string()));
                }
                if fetching.is_none() {
                    return by(&self.keys, None).map(Some);
                }
                let Some(fetched) = view.fetched_from(&address) else {
                    return Err(Rejection::Fetch(address));
                };
                let Some(key) = certificate(fetched) else { return Err(Rejection::Unusable(address)) };
                match by(&[key], None) {
                    Ok(_) => Ok(None),
                    // A newer certificate may have replaced the fetched one.
                    Err(_) if !fetched.is_latest => Err(Rejection::Fetch(address)),
                    Err(rejection) => Err(rejection),
                }
            }
        }
    }

    /// Returns the index of the key that made one of the signatures. A renewed certificate can have the key
    /// of the old one, so the result is `Expired` only if no such certificate is valid.
    fn signer(
        &self,
        keys: &[Key],
        only: Option<usize>,
        message: &[u8],
        signatures: &[Vec<u8>],
        now: Timestamp,
    ) -> Result<usize, Rejection> {
        let verifier: Verifier = match self.hash {
            Hash::Sha1 => RSA_SHA1,
            Hash::Sha256 => RSA_SHA256,
        };
        let mut found = Rejection::NoMatch;
        for (number, key) in keys.iter().enumerate().filter(|(i, _)| only.is_none_or(|only| *i == only)) {
            if signatures.iter().any(|signature| key.verify(verifier, message, signature)) {
                if key.is_valid(now) {
                    return Ok(number);
                }
                found = Rejection::Expired;
            }
        }
        Err(found)
    }

    /// Returns the field with which a request selects the key.
    pub(crate) const fn named_by(&self) -> Option<&Field> {
        match &self.which {
            Which::Any => None,
            Which::Named { from, .. } | Which::Certificate { from, .. } => Some(from),
        }
    }
}

#[cfg(feature = "sender")]
impl Rsa {
    pub(super) fn sign(&self, message: &SignedMessage<'_>, key: usize) -> Option<Vec<u8>> {
        let (key, message) = (self.keys.get(key)?, message.to_bytes(&[]));
        match self.hash {
            Hash::Sha1 => key.sign_sha1(&message),
            Hash::Sha256 => key.sign(&message),
        }
    }

    /// Returns the public key in PEM, if the key of this number has a private one.
    pub(crate) fn public_key(&self, key: usize) -> Option<String> {
        self.keys.get(key)?.public_pem()
    }

    /// Returns the field that names a key and the id of this key, for signing.
    pub(crate) fn name(&self, key: usize) -> Option<(&Field, &str)> {
        match &self.which {
            Which::Named { from, ids } => Some((from, ids.get(key)?)),
            _ => None,
        }
    }
}

impl Which {
    fn read(table: Table<'_>) -> Option<Self> {
        let which = if table.has("cert_url") {
            let from = words::field(&table, "cert_url", "\"header:X-Cert-Url\"");
            let base64 = table.has("decode").then(|| words::one_of(&table, "decode", &[("base64", ())]));
            let allow = Allow::read(&table);
            Some(Self::Certificate { from: from?, base64: base64.is_some(), allow: allow? })
        } else if table.has("key_id") {
            let from = words::field(&table, "key_id", "\"header:X-Key-Id\"");
            let ids = table.strings("keys").map(|list| list.value).unwrap_or_default();
            let ids: Vec<String> = ids.iter().map(|at| at.value.to_owned()).collect();
            if ids.is_empty() {
                table.error("keys", r#"missing: write keys = ["ID"], one id for each of the secrets"#);
            }
            Some(Self::Named { from: from?, ids })
        } else {
            table.error("key_id", r#"missing: write key_id = "header:X-Key-Id", or cert_url"#);
            None
        };
        table.finish();
        which
    }
}

/// Reads the RSA key of a fetched certificate.
fn certificate(fetched: &Fetched) -> Option<Key> {
    let text = std::str::from_utf8(fetched.document.as_ref()?).ok()?;
    let is_good =
        |key: &Key| key.is_certificate() && matches!(key.family(), Some(KeyFamily::Rsa(MIN_BITS..=MAX_BITS)));
    Key::read(text).filter(is_good)
}

fn address(from: &Field, base64: bool, view: &View<'_>) -> Result<Address, Rejection> {
    let text = from.read_text(view)?;
    let decoded = if base64 { Encoding::Base64.decode(&text) } else { Some(text.into_owned().into_bytes()) };
    let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    // A text that is not a plain address cannot be an allowed one.
    decoded.and_then(|text| Address::parse(&text)).ok_or_else(|| Rejection::NotAllowed(from.to_string()))
}
