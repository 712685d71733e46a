//! Encryption with AES-256-GCM. A random nonce precedes the ciphertext, and the object's name is the
//! associated data, so that an object cannot be passed off as another.

use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

use crate::secret::Secret;

/// Key for sealing and opening objects.
pub(super) struct Key {
    key: LessSafeKey,
    random: SystemRandom,
}

impl Key {
    /// Decodes a key from the base64 of 32 bytes, or returns `None` if the text is not that.
    pub(super) fn new(secret: &Secret) -> Option<Self> {
        let key = Secret::new(BASE64_STANDARD.decode(secret.expose()).ok()?);
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.expose()).ok()?);
        Some(Self { key, random: SystemRandom::new() })
    }

    /// Encrypts `plain` under a name. Returns `None` if the system has no random bytes: then nothing is kept.
    pub(super) fn seal(&self, name: &str, mut plain: Vec<u8>) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).ok()?;
        let mut sealed = nonce.to_vec();
        let aad = Aad::from(name.as_bytes());
        self.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut plain).ok()?;
        sealed.append(&mut plain);
        Some(sealed)
    }

    /// Decrypts an object. Returns `None` unless it was sealed with this key under this name.
    pub(super) fn open(&self, name: &str, mut sealed: Vec<u8>) -> Option<Vec<u8>> {
        let (nonce, text) = sealed.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let plain = self.key.open_in_place(nonce, Aad::from(name.as_bytes()), text).ok()?;
        Some(plain.to_vec())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<key>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Key {
        Key::new(&Secret::new(BASE64_STANDARD.encode([byte; 32]))).unwrap()
    }

    #[test]
    fn only_the_key_and_the_name_open() {
        let sealed = key(1).seal("a", b"a live token".to_vec()).unwrap();
        assert!(!sealed.windows(5).any(|part| part == b"token"));
        assert_eq!(key(1).open("a", sealed.clone()), Some(b"a live token".to_vec()));
        assert_eq!(key(2).open("a", sealed.clone()), None);
        assert_eq!(key(1).open("b", sealed.clone()), None);
        for i in 0..sealed.len() {
            let mut other = sealed.clone();
            other[i] ^= 1;
            assert_eq!(key(1).open("a", other), None, "{i}");
            assert_eq!(key(1).open("a", sealed[..i].to_vec()), None, "{i}");
        }
        assert_ne!(key(1).seal("a", b"x".to_vec()), key(1).seal("a", b"x".to_vec()));
    }

    #[test]
    fn a_key_is_32_bytes_and_not_shown() {
        for text in ["c2hvcnQ=", "hunter2!", ""] {
            assert!(Key::new(&Secret::new(text)).is_none(), "{text}");
        }
        assert_eq!(format!("{:?}", key(1)), "<key>");
    }
}
