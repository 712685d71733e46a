//! The verifier `kind = "digest"`: a plain hash over bytes that hold the secret.

use subtle::ConstantTimeEq as _;

use crate::reader::Table;
use crate::secret::Secret;
use crate::source::crypto::hash::Hash;
use crate::source::scheme::template::SignedMessage;
use crate::source::scheme::words;

/// Keys of a digest verifier: `hash`; the secret is a part of the template.
#[derive(Clone, Debug)]
pub(crate) struct Digest {
    hash: Hash,
    keys: Vec<Secret>,
}

impl Digest {
    pub(super) fn read(table: &Table<'_>) -> Option<Self> {
        Some(Self { hash: words::one_of(table, "hash", &Hash::WORDS)?, keys: Vec::new() })
    }

    pub(super) fn add_key(&mut self, secret: &Secret) {
        self.keys.push(secret.clone());
    }

    /// Forgets all keys, for an attempt with others.
    #[cfg(feature = "catalog")]
    pub(super) fn forget_keys(&mut self) {
        self.keys.clear();
    }

    pub(super) const fn warning(&self) -> Option<&'static str> {
        match self.hash {
            Hash::Md5 => Some("MD5 is broken: use sha256 if the sender can"),
            Hash::Sha1 => Some("SHA-1 is outdated: use sha256 if the sender can"),
            Hash::Sha256 => None,
        }
    }

    pub(super) fn verify(&self, message: &SignedMessage<'_>, signatures: &[Vec<u8>]) -> Option<usize> {
        self.keys.iter().position(|key| {
            let hash = self.hash(key, message);
            signatures.iter().any(|signature| hash.ct_eq(signature).into())
        })
    }

    fn hash(&self, key: &Secret, message: &SignedMessage<'_>) -> Vec<u8> {
        self.hash.of(|sink| message.feed(key.expose(), sink))
    }
}

#[cfg(feature = "sender")]
impl Digest {
    pub(super) fn sign(&self, message: &SignedMessage<'_>, key: usize) -> Option<Vec<u8>> {
        Some(self.hash(self.keys.get(key)?, message))
    }
}
