//! The verifier `kind = "ed25519"`: signatures with a public key (RFC 8032).

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use super::{KeyError, KeyForm};
use crate::reader::Table;
use crate::secret::Secret;
use crate::source::scheme::template::SignedMessage;

/// Keys of an Ed25519 verifier: `key` gives the text form of the public keys, or of the secrets that private keys
/// are made of.
#[derive(Clone, Debug)]
pub(crate) struct Ed25519 {
    form: KeyForm,
    keys: Vec<Secret>,
    /// Seeds of the private keys, in the order of the keys, if the secrets are such.
    seeds: Vec<Secret>,
}

pub(super) const KEY_LENGTH: usize = 32;

/// Points of small order without the sign bit: anyone can make a signature for a key of these. A key of
/// zeros, the likeliest wrong key, is one of them.
const WEAK_KEYS: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

impl Ed25519 {
    pub(super) fn read(table: &Table<'_>) -> Option<Self> {
        Some(Self { form: KeyForm::read(table, true)?, keys: Vec::new(), seeds: Vec::new() })
    }

    pub(super) const fn has_seeds(&self) -> bool {
        self.form.is_seed()
    }

    pub(super) fn add_key(&mut self, secret: &Secret) -> Result<(), KeyError> {
        let key = self.form.decode(secret)?;
        if self.has_seeds() {
            let pair = pair(&key).ok_or("makes no Ed25519 key: copy the sender's secret again")?;
            self.keys.push(Secret::new(pair.public_key().as_ref()));
            self.seeds.push(key);
            return Ok(());
        }
        if key.expose().len() != KEY_LENGTH {
            let length = key.expose().len();
            return Err(format!("is {length} bytes long: an Ed25519 public key has {KEY_LENGTH}"));
        }
        let mut point = key.expose().to_vec();
        if let Some(last) = point.last_mut() {
            *last &= 0x7f;
        }
        if WEAK_KEYS.contains(&crate::source::crypto::encoding::to_hex(&point).as_str()) {
            return Err("is a key that anybody can sign for: copy the sender's public key".to_owned());
        }
        self.keys.push(key);
        Ok(())
    }

    pub(super) fn verify(&self, message: &SignedMessage<'_>, signatures: &[Vec<u8>]) -> Option<usize> {
        let message = message.to_bytes(&[]);
        self.keys.iter().position(|key| {
            let key = UnparsedPublicKey::new(&ED25519, key.expose());
            signatures.iter().any(|signature| key.verify(&message, signature).is_ok())
        })
    }
}

impl Ed25519 {
    /// Signs a text with the private key that the secret of this number makes.
    pub(super) fn answer(&self, text: &[u8], key: usize) -> Option<Vec<u8>> {
        Some(pair(self.seeds.get(key)?)?.sign(text).as_ref().to_vec())
    }
}

fn pair(seed: &Secret) -> Option<Ed25519KeyPair> {
    Ed25519KeyPair::from_seed_unchecked(seed.expose()).ok()
}

#[cfg(feature = "sender")]
impl Ed25519 {
    /// Signs with the private key, or with the configured key, taken as the seed of the private key.
    pub(super) fn sign(&self, message: &SignedMessage<'_>, key: usize) -> Option<Vec<u8>> {
        let seeds = if self.has_seeds() { &self.seeds } else { &self.keys };
        Some(pair(seeds.get(key)?)?.sign(&message.to_bytes(&[])).as_ref().to_vec())
    }

    /// Returns the public key that verifies the signatures of [`sign`](Self::sign), in the source's text
    /// form.
    pub(crate) fn public_key(&self, key: usize) -> Option<String> {
        let key = self.keys.get(key).filter(|_| !self.has_seeds())?;
        Some(self.form.encode(pair(key)?.public_key().as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::crypto::encoding::Encoding;

    fn keys() -> Ed25519 {
        Ed25519 {
            form: KeyForm { encoding: Encoding::Hex, strip_prefix: None, derive: None, or_text: false },
            keys: Vec::new(),
            seeds: Vec::new(),
        }
    }

    /// Weak keys are refused, as they accept forged signatures: with S = 0 and R the neutral point, a
    /// signature is valid if hash times key is neutral. For a key of order n (1, 2, 4 or 8) that holds for
    /// one message in n.
    #[test]
    fn weak_keys_are_no_keys() {
        let mut forged = [0; 64];
        forged[0] = 1;
        for weak in WEAK_KEYS {
            let mut point = Encoding::Hex.decode(weak).unwrap();
            for sign in [0, 0x80] {
                point[31] |= sign;
                let secret = Secret::new(Encoding::Hex.encode(&point));
                assert!(keys().add_key(&secret).unwrap_err().contains("anybody"), "{weak}");
            }
            point[31] &= 0x7f;
            let key = UnparsedPublicKey::new(&ED25519, point);
            assert!((0..=255_u8).any(|byte| key.verify(&[byte], &forged).is_ok()), "{weak}");
        }
    }

    #[test]
    fn a_key_has_32_bytes() {
        for wrong in ["00", &"ab".repeat(31), &"ab".repeat(33), &"AB".repeat(64), "zz", "whpk_"] {
            assert!(keys().add_key(&Secret::new(wrong)).is_err(), "{wrong}");
        }
        assert_eq!(keys().add_key(&Secret::new("ab".repeat(32))), Ok(()));
    }
}
