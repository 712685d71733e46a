//! `kind = "digest"`: a plain hash over bytes that hold the secret.

use md5::{Digest as _, Md5};
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use subtle::ConstantTimeEq as _;

use crate::reader::Table;
use crate::secret::Secret;
use crate::source::grammar;
use crate::source::template::Message;

/// `hash`; the secret is a part of the template.
#[derive(Clone, Debug)]
pub(in crate::source) struct Digest {
    hash: Hash,
    keys: Vec<Secret>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Md5,
    Sha1,
    Sha256,
}

impl Digest {
    pub(super) fn read(table: &Table<'_>) -> Option<Self> {
        let hashes = [("sha256", Hash::Sha256), ("sha1", Hash::Sha1), ("md5", Hash::Md5)];
        Some(Self { hash: grammar::one_of(table, "hash", &hashes)?, keys: Vec::new() })
    }

    pub(super) fn add_key(&mut self, secret: &Secret) {
        self.keys.push(secret.clone());
    }

    pub(super) const fn warning(&self) -> Option<&'static str> {
        match self.hash {
            Hash::Md5 => Some("MD5 is broken: use sha256 if the sender can"),
            Hash::Sha1 => Some("SHA-1 is outdated: use sha256 if the sender can"),
            Hash::Sha256 => None,
        }
    }

    pub(super) fn verify(&self, message: &Message<'_>, signatures: &[Vec<u8>]) -> Option<usize> {
        self.keys.iter().position(|key| {
            let hash = self.hash(key, message);
            signatures.iter().any(|signature| hash.ct_eq(signature).into())
        })
    }

    pub(super) fn sign(&self, message: &Message<'_>, key: usize) -> Option<Vec<u8>> {
        Some(self.hash(self.keys.get(key)?, message))
    }

    fn hash(&self, key: &Secret, message: &Message<'_>) -> Vec<u8> {
        let algorithm = match self.hash {
            Hash::Md5 => {
                let mut md5 = Md5::new();
                message.feed(key.expose(), |piece| md5.update(piece));
                return md5.finalize().to_vec();
            }
            Hash::Sha1 => &SHA1_FOR_LEGACY_USE_ONLY,
            Hash::Sha256 => &SHA256,
        };
        let mut context = Context::new(algorithm);
        message.feed(key.expose(), |piece| context.update(piece));
        context.finish().as_ref().to_vec()
    }
}
