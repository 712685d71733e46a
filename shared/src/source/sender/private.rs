//! Private keys of RSA and P-256, which sign as a provider does.

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use rsa::pkcs1::DecodeRsaPrivateKey as _;
use sha1::Sha1;

use crate::secret::Secret;
use crate::source::Source;
use crate::source::crypto::der::{Der, INTEGER, OCTET_STRING, SEQUENCE};
use crate::source::crypto::encoding::Encoding;
use crate::source::crypto::key::{Key, KeyFamily, P256_SPKI};
use crate::source::scheme::kinds::{Algorithm, Kind};

impl Key {
    /// Reads a private key in DER: PKCS #1, or PKCS #8 around a key of RSA or P-256.
    pub(in crate::source) fn from_private(der: &[u8]) -> Option<Self> {
        let mut fields = Der(Der(der).only(SEQUENCE)?);
        fields.take(INTEGER)?;
        match fields.next()? {
            (SEQUENCE, _) => {
                let inner = fields.take(OCTET_STRING)?;
                Self::from_private_rsa(inner).or_else(|| Self::from_private_p256(der))
            }
            _ => Self::from_private_rsa(der),
        }
    }

    fn from_private_rsa(der: &[u8]) -> Option<Self> {
        let mut fields = Der(Der(der).only(SEQUENCE)?);
        fields.take(INTEGER)?;
        let (n, e) = (fields.take(INTEGER)?, fields.take(INTEGER)?);
        Some(Self::from_rsa(n, e).with_private(der))
    }

    fn from_private_p256(pkcs8: &[u8]) -> Option<Self> {
        let pair = p256_pair(pkcs8)?;
        let spki = [P256_SPKI, pair.public_key().as_ref()].concat();
        Some(Self::public(spki).with_private(pkcs8))
    }

    fn with_private(mut self, private: &[u8]) -> Self {
        self.private = Some(Secret::new(private));
        self
    }

    /// Signs with SHA-256; returns `None` without a private key.
    pub(crate) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let private = self.private.as_ref()?.expose();
        if self.family()? == KeyFamily::P256 {
            let signature = p256_pair(private)?.sign(&SystemRandom::new(), message).ok()?;
            return Some(signature.as_ref().to_vec());
        }
        let pair = RsaKeyPair::from_der(private).ok()?;
        let mut signature = vec![0; pair.public().modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).ok()?;
        Some(signature)
    }

    /// Signs with RSA and SHA-1 (RFC 8017 8.2.1), for senders that support nothing newer: `ring` verifies
    /// these signatures but cannot make them. Returns `None` without a private RSA key.
    pub(crate) fn sign_sha1(&self, message: &[u8]) -> Option<Vec<u8>> {
        let key = rsa::PrivateKey::from_pkcs1_der(self.private.as_ref()?.expose()).ok()?;
        key.pkcs1v15_sign::<Sha1>(message).ok()
    }

    /// Returns the public key in PEM, if this key has a private one.
    pub(crate) fn public_pem(&self) -> Option<String> {
        self.private.as_ref()?;
        let text = Encoding::Base64.encode(&self.spki);
        let lines: Vec<&str> =
            text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        Some(format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n")))
    }
}

fn p256_pair(pkcs8: &[u8]) -> Option<EcdsaKeyPair> {
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &SystemRandom::new()).ok()
}

impl Source {
    /// Returns a warning for each secret that is a private key, which a function cannot read. The seed of an
    /// Ed25519 key is not told apart from a public key.
    pub(in crate::source) fn private_keys(&self) -> impl Iterator<Item = String> {
        let is_private = |secret: &usize| {
            self.scheme.verifiers().iter().any(|verifier| match (&verifier.kind, verifier.key_of(*secret)) {
                (Kind::Signed(signed), Some(key)) => {
                    !matches!(signed.algorithm, Algorithm::Ed25519(_))
                        && signed.algorithm.public_key(key).is_some()
                }
                (Kind::Jwt(jwt), Some(key)) => jwt.public_key(key).is_some(),
                _ => false,
            })
        };
        let warning = |secret| {
            format!("secrets[{secret}] is a private key, which a function refuses: give it the public key")
        };
        (0..self.secrets.len()).filter(is_private).map(warning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::crypto::key::RSA_SHA1;

    /// Signature that `openssl dgst -sha1 -sign` of OpenSSL 3 makes of `hookmq`.
    const SIGNATURE: &str = "EQ5BtWp8JUN3NzVL/8RUv3+Owt3TDHgShF47gq9rTamQFW45MaJZyCwRd6ihyWqYkUIQL63txvHi6ROi/glAoTq3\
        +yfM+sN+kRVfJVfVFMQTrAv2I78p3O04aT7xqkDvLz4lLbaOfA8vgDmnZ00//2tBliefp8VTe2OhnVZL4rsOct6F\
        xNb1OKhLrarD69ZP3gT90iIkaw3HaJlYvoPTbStonA+19G2ZsHJMbYjfD6jpuzjk5w3PlqToUD3SVeFqLoUKICAt\
        FXvfcVrPQAJlPeAlw1O6ThLMyRy5JeB3SP+5nuXmZKz9OgM/MjAEGhdup9GABmm+ZwtmwZWqfDzbng==";

    #[test]
    fn a_signature_with_sha_1_is_that_of_openssl() {
        let key = Key::read(include_str!("../../../tests/vectors/keys/rsa.pem")).unwrap();
        let signature = key.sign_sha1(b"hookmq").unwrap();
        assert_eq!(Encoding::Base64.encode(&signature), SIGNATURE);
        let public = Key::read(&key.public_pem().unwrap()).unwrap();
        assert_eq!(public.sign_sha1(b"hookmq"), None);
        assert!(public.verify(RSA_SHA1, b"hookmq", &signature));
    }
}
