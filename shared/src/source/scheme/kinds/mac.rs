//! The verifier `kind = "hmac"`: a MAC over the signed bytes (RFC 2104).

use ring::hmac;
use subtle::ConstantTimeEq as _;

use super::{KeyError, KeyForm};
use crate::reader::Table;
use crate::secret::Secret;
use crate::source::scheme::template::SignedMessage;
use crate::source::scheme::words;

/// Keys of a MAC verifier: `hash` and `key`.
#[derive(Clone, Debug)]
pub(crate) struct Mac {
    hash: Hash,
    form: KeyForm,
    /// MAC keys of each secret, one for each form that it may have, with the secret as written, which templates
    /// with `{secret}` need.
    keys: Vec<(Vec<hmac::Key>, Secret)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Sha1,
    Sha256,
    Sha512,
}

impl Mac {
    pub(super) fn read(table: &Table<'_>) -> Option<Self> {
        let hashes = [("sha256", Hash::Sha256), ("sha512", Hash::Sha512), ("sha1", Hash::Sha1)];
        let hash = words::one_of(table, "hash", &hashes);
        let form = KeyForm::read(table, false);
        Some(Self { hash: hash?, form: form?, keys: Vec::new() })
    }

    pub(super) fn add_key(&mut self, secret: &Secret) -> Result<(), KeyError> {
        let algorithm = match self.hash {
            Hash::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Hash::Sha256 => hmac::HMAC_SHA256,
            Hash::Sha512 => hmac::HMAC_SHA512,
        };
        let keys = self.form.decode_all(secret)?;
        let keys = keys.iter().map(|key| hmac::Key::new(algorithm, key.expose())).collect();
        self.keys.push((keys, secret.clone()));
        Ok(())
    }

    /// Forgets all keys, for an attempt with others.
    #[cfg(feature = "catalog")]
    pub(super) fn forget_keys(&mut self) {
        self.keys.clear();
    }

    /// Returns the length of a key in bytes, without zeros at its end: HMAC pads a key with zeros (RFC 2104
    /// 2), so they add nothing.
    pub(super) fn key_length(&self, secret: &Secret) -> usize {
        let length = |key: Secret| key.expose().iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
        self.form.decode_text(secret).map_or(0, length)
    }

    pub(super) const fn warning(&self) -> Option<&'static str> {
        match self.hash {
            Hash::Sha1 => Some("SHA-1 is outdated: use sha256 if the sender can"),
            Hash::Sha256 | Hash::Sha512 => None,
        }
    }

    pub(super) fn verify(&self, message: &SignedMessage<'_>, signatures: &[Vec<u8>]) -> Option<usize> {
        self.keys.iter().position(|(keys, secret)| {
            keys.iter().any(|key| {
                let tag = tag(key, secret, message);
                signatures.iter().any(|signature| tag.as_ref().ct_eq(signature).into())
            })
        })
    }
}

impl Mac {
    /// Signs a text with the key of this number.
    pub(super) fn answer(&self, text: &[u8], key: usize) -> Option<Vec<u8>> {
        Some(hmac::sign(self.keys.get(key)?.0.first()?, text).as_ref().to_vec())
    }
}

#[cfg(feature = "sender")]
impl Mac {
    pub(super) fn sign(&self, message: &SignedMessage<'_>, key: usize) -> Option<Vec<u8>> {
        let (keys, secret) = self.keys.get(key)?;
        Some(tag(keys.first()?, secret, message).as_ref().to_vec())
    }
}

fn tag(key: &hmac::Key, secret: &Secret, message: &SignedMessage<'_>) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    message.feed(secret.expose(), |piece| context.update(piece));
    context.sign()
}
