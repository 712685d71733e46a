//! Public keys of RSA and P-256.

use std::fmt;

use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, UnparsedPublicKey,
    VerificationAlgorithm,
};
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use rustls_pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, SignatureVerificationAlgorithm,
    SubjectPublicKeyInfoDer, alg_id,
};
use webpki::{EndEntityCert, RawPublicKeyEntity};

use crate::clock::Timestamp;
use crate::source::crypto::der::{self, BIT_STRING, Der, INTEGER, SEQUENCE};
use crate::source::crypto::encoding::Encoding;

/// Algorithm that verifies a signature.
pub(crate) type Verifier = &'static dyn SignatureVerificationAlgorithm;

/// RSA with PKCS #1 v1.5 and SHA-256 (RFC 8017 8.2).
pub(crate) static RSA_SHA256: Verifier = webpki::ring::RSA_PKCS1_2048_8192_SHA256;

/// RSA with PKCS #1 v1.5 and SHA-1, for senders that support nothing newer.
pub(crate) static RSA_SHA1: Verifier = &Other {
    ring: &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
    key: alg_id::RSA_ENCRYPTION,
    // The identifier sha1WithRSAEncryption, RFC 8017 A.2.4.
    signature: AlgorithmIdentifier::from_slice(b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05\x05\x00"),
};

/// ECDSA with P-256 and SHA-256, where r and s follow each other (RFC 7518 3.4).
pub(crate) static P256_FIXED: Verifier =
    &Other { ring: &ECDSA_P256_SHA256_FIXED, key: alg_id::ECDSA_P256, signature: alg_id::ECDSA_SHA256 };

/// An algorithm of `ring` that `webpki` does not offer by itself.
#[derive(Debug)]
struct Other {
    ring: &'static dyn VerificationAlgorithm,
    key: AlgorithmIdentifier,
    signature: AlgorithmIdentifier,
}

impl SignatureVerificationAlgorithm for Other {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        UnparsedPublicKey::new(self.ring, key).verify(message, signature).map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.key
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.signature
    }
}

/// A public key that verifies, for a sender with the private key that belongs to it.
#[derive(Clone)]
pub(crate) struct Key {
    pub(in crate::source) spki: SubjectPublicKeyInfoDer<'static>,
    /// First and last moment of validity, for a key from a certificate.
    validity: Option<(Timestamp, Timestamp)>,
    /// Private key, which signs: PKCS #1 for RSA, PKCS #8 for P-256.
    #[cfg(feature = "sender")]
    pub(in crate::source) private: Option<crate::secret::Secret>,
}

/// Type of a key, which determines its use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyFamily {
    /// RSA, with the length of the modulus in bits.
    Rsa(usize),
    P256,
}

/// DER of a P-256 key up to the uncompressed point (RFC 5480, 2).
pub(in crate::source) const P256_SPKI: &[u8] = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";

impl Key {
    /// Reads PEM, or the base64 of DER alone: a public key (SPKI or PKCS #1) or a certificate; with the
    /// feature `sender` also a private key (PKCS #8 or PKCS #1). Only the first of several PEM sections
    /// counts.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        if !text.starts_with("-----BEGIN ") {
            return Self::from_der(&Encoding::Base64.decode_key(text)?);
        }
        // The PEM parser has no label for a bare PKCS #1 public key; the DER tells the two forms apart.
        let text = text.replace(" RSA PUBLIC KEY-----", " PUBLIC KEY-----");
        let (_, der) = <(SectionKind, Vec<u8>)>::from_pem_slice(text.as_bytes()).ok()?;
        Self::from_der(&der)
    }

    pub(crate) fn from_der(der: &[u8]) -> Option<Self> {
        let mut fields = Der(Der(der).only(SEQUENCE)?);
        let (first, content) = fields.next()?;
        let (second, key) = fields.next()?;
        match (first, second, fields.0.is_empty()) {
            (SEQUENCE, BIT_STRING, true) => Some(Self::public(der.to_vec())),
            (SEQUENCE, SEQUENCE, false) => Self::from_certificate(der),
            (INTEGER, INTEGER, true) => Some(Self::from_rsa(content, key)),
            #[cfg(feature = "sender")]
            (INTEGER, INTEGER | SEQUENCE, false) => Self::from_private(der),
            _ => None,
        }
    }

    pub(in crate::source) fn public(spki: Vec<u8>) -> Self {
        Self::from_spki(spki.into(), None)
    }

    fn from_spki(spki: SubjectPublicKeyInfoDer<'static>, validity: Option<(Timestamp, Timestamp)>) -> Self {
        Self {
            spki,
            validity,
            #[cfg(feature = "sender")]
            private: None,
        }
    }

    fn from_certificate(der: &[u8]) -> Option<Self> {
        let certificate = CertificateDer::from(der);
        let spki = EndEntityCert::try_from(&certificate).ok()?.subject_public_key_info();
        Some(Self::from_spki(spki, Some(der::validity(der)?)))
    }

    /// Builds a key from a modulus and an exponent, each the content of an INTEGER.
    pub(in crate::source) fn from_rsa(n: &[u8], e: &[u8]) -> Self {
        let key = der::write(SEQUENCE, &[&der::write(INTEGER, &[n]), &der::write(INTEGER, &[e])]);
        let algorithm = der::write(SEQUENCE, &[alg_id::RSA_ENCRYPTION.as_ref()]);
        Self::public(der::write(SEQUENCE, &[&algorithm, &der::write(BIT_STRING, &[&[0], &key])]))
    }

    /// Builds a key from the modulus and the exponent of a JWK ([RFC 7518] 6.3.1), both big-endian and
    /// unsigned.
    ///
    /// [RFC 7518]: https://www.rfc-editor.org/rfc/rfc7518#section-6.3.1
    pub(crate) fn from_jwk_rsa(n: &[u8], e: &[u8]) -> Option<Self> {
        let integer = |bytes: &[u8]| {
            let start = bytes.iter().position(|b| *b != 0)?;
            let digits = bytes.get(start..)?;
            let sign: &[u8] = if digits.first()? & 0x80 == 0 { &[] } else { &[0] };
            Some([sign, digits].concat())
        };
        Some(Self::from_rsa(&integer(n)?, &integer(e)?))
    }

    /// Builds a P-256 key from the coordinates of a JWK (RFC 7518 6.2.1), 32 bytes each.
    pub(crate) fn from_jwk_p256(x: &[u8], y: &[u8]) -> Option<Self> {
        let is_coordinate = |bytes: &[u8]| bytes.len() == 32;
        (is_coordinate(x) && is_coordinate(y)).then(|| Self::public([P256_SPKI, &[4], x, y].concat()))
    }

    /// Returns the type of the key; `None` for a type that is of no use here.
    pub(crate) fn family(&self) -> Option<KeyFamily> {
        let spki: &[u8] = &self.spki;
        if spki.strip_prefix(P256_SPKI).is_some_and(|point| point.len() == 65 && point.starts_with(&[4])) {
            return Some(KeyFamily::P256);
        }
        let mut fields = Der(Der(spki).only(SEQUENCE)?);
        let algorithm = fields.take(SEQUENCE)?;
        let key = fields.only(BIT_STRING)?.strip_prefix(&[0])?;
        let modulus = Der(Der(key).only(SEQUENCE)?).take(INTEGER)?;
        let start = modulus.iter().position(|b| *b != 0)?;
        let unused = usize::try_from(modulus.get(start)?.leading_zeros()).ok()?;
        let bits = (modulus.len() - start) * 8 - unused;
        (algorithm == alg_id::RSA_ENCRYPTION.as_ref()).then_some(KeyFamily::Rsa(bits))
    }

    /// Returns true if the key comes from a certificate, which limits its validity.
    pub(crate) const fn is_certificate(&self) -> bool {
        self.validity.is_some()
    }

    /// Returns true if the key may be used at that time; only a certificate's key expires.
    pub(crate) fn is_valid(&self, now: Timestamp) -> bool {
        self.validity.is_none_or(|(from, until)| (from..=until).contains(&now))
    }

    pub(crate) fn verify(&self, verifier: Verifier, message: &[u8], signature: &[u8]) -> bool {
        let key = RawPublicKeyEntity::try_from(&self.spki);
        key.is_ok_and(|key| key.verify_signature(verifier, message, signature).is_ok())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("family", &self.family())
            .field("validity", &self.validity)
            .finish_non_exhaustive()
    }
}
