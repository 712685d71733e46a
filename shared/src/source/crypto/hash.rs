//! Plain hash functions, by name.

use md5::{Digest as _, Md5};
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};

/// The key `hash` of a `digest` verifier or of a body's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    Md5,
    Sha1,
    Sha256,
}

impl Hash {
    /// Names of the hash functions in a `[verify]` table.
    pub(crate) const WORDS: [(&str, Self); 3] =
        [("sha256", Self::Sha256), ("sha1", Self::Sha1), ("md5", Self::Md5)];

    /// Computes the hash of the bytes that `feed` passes on, piece by piece.
    pub(crate) fn of(self, feed: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Vec<u8> {
        let algorithm = match self {
            Self::Md5 => {
                let mut md5 = Md5::new();
                feed(&mut |piece| md5.update(piece));
                return md5.finalize().to_vec();
            }
            Self::Sha1 => &SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &SHA256,
        };
        let mut context = Context::new(algorithm);
        feed(&mut |piece| context.update(piece));
        context.finish().as_ref().to_vec()
    }
}
