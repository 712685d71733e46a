//! ECDSA with P-256 and SHA-1 (FIPS 186-5, 6.4.2), which `ring` does not verify.
//!
//! The arithmetic of both fields is fiat-crypto's, which is generated together with a proof. Nothing here is
//! secret, so the time may depend on everything.

use std::ops::{Add, Mul, Sub};

use crate::source::crypto::der::{Der, INTEGER, SEQUENCE};
use fiat_crypto::p256_64 as coordinate;
use fiat_crypto::p256_scalar_64 as scalar;

/// A number of 32 bytes, big-endian.
type Bytes = [u8; 32];

/// Prime of the coordinates (SP 800-186, 3.2.1.3).
const P: Bytes = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
];

/// Prime order of the curve's points.
const N: Bytes = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
    0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// Constant of the curve y² = x³ - 3x + b.
const B: Bytes = [
    0x5a, 0xc6, 0x35, 0xd8, 0xaa, 0x3a, 0x93, 0xe7, 0xb3, 0xeb, 0xbd, 0x55, 0x76, 0x98, 0x86, 0xbc, 0x65,
    0x1d, 0x06, 0xb0, 0xcc, 0x53, 0xb0, 0xf6, 0x3b, 0xce, 0x3c, 0x3e, 0x27, 0xd2, 0x60, 0x4b,
];

/// Base point.
const G: [Bytes; 2] = [
    [
        0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40, 0xf2, 0x77,
        0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96,
    ],
    [
        0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b,
        0xce, 0x33, 0x57, 0x6b, 0x31, 0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5,
    ],
];

/// Defines the numbers modulo a prime, in the form of Montgomery.
macro_rules! field {
    ($name:ident, $about:literal, $prime:ident, $module:ident: $mul:ident, $add:ident, $sub:ident, $enter:ident, $leave:ident, $inner:ident, $plain:ident) => {
        #[doc = $about]
        #[derive(Clone, Copy)]
        struct $name($module::$inner);

        impl $name {
            /// Reads a number, unless it is the prime or above.
            fn read(bytes: &Bytes) -> Option<Self> {
                let mut plain = $module::$plain([0; 4]);
                for (word, bytes) in plain.0.iter_mut().zip(bytes.rchunks_exact(8)) {
                    *word = bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
                }
                let mut number = $module::$inner([0; 4]);
                $module::$enter(&mut number, &plain);
                (*bytes < $prime).then_some(Self(number))
            }

            fn bytes(self) -> Bytes {
                let mut plain = $module::$plain([0; 4]);
                $module::$leave(&mut plain, &self.0);
                let mut bytes = [0; 32];
                for (bytes, word) in bytes.rchunks_exact_mut(8).zip(plain.0) {
                    bytes.copy_from_slice(&word.to_be_bytes());
                }
                bytes
            }

            /// Returns the inverse, by Fermat: the number to the power of the prime less two. Zero has none, and
            /// gives zero.
            fn inverse(self) -> Self {
                let mut power = $prime;
                power[31] -= 2;
                let mut result = self;
                for bit in bits(&power).skip(1) {
                    result = result * result;
                    if bit {
                        result = result * self;
                    }
                }
                result
            }
        }

        impl Mul for $name {
            type Output = Self;

            fn mul(mut self, other: Self) -> Self {
                let this = self.0;
                $module::$mul(&mut self.0, &this, &other.0);
                self
            }
        }

        impl Add for $name {
            type Output = Self;

            fn add(mut self, other: Self) -> Self {
                let this = self.0;
                $module::$add(&mut self.0, &this, &other.0);
                self
            }
        }

        impl Sub for $name {
            type Output = Self;

            fn sub(mut self, other: Self) -> Self {
                let this = self.0;
                $module::$sub(&mut self.0, &this, &other.0);
                self
            }
        }
    };
}

field!(Coordinate, "Number modulo [`P`].", P, coordinate: fiat_p256_mul, fiat_p256_add, fiat_p256_sub,
    fiat_p256_to_montgomery, fiat_p256_from_montgomery, fiat_p256_montgomery_domain_field_element,
    fiat_p256_non_montgomery_domain_field_element);
field!(Scalar, "Number modulo [`N`].", N, scalar: fiat_p256_scalar_mul, fiat_p256_scalar_add,
    fiat_p256_scalar_sub, fiat_p256_scalar_to_montgomery, fiat_p256_scalar_from_montgomery,
    fiat_p256_scalar_montgomery_domain_field_element, fiat_p256_scalar_non_montgomery_domain_field_element);

/// Returns the bits, the highest first.
fn bits(bytes: &Bytes) -> impl Iterator<Item = bool> {
    bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1))
}

/// Point of the curve in homogeneous coordinates: x is X/Z, y is Y/Z, and the neutral point has Z = 0.
#[derive(Clone, Copy)]
struct Point([Coordinate; 3]);

impl Point {
    /// Reads the coordinates of a point, and returns `None` unless it is on the curve.
    fn read([x, y]: [&Bytes; 2], b: Coordinate) -> Option<Self> {
        let (x, y) = (Coordinate::read(x)?, Coordinate::read(y)?);
        let is_on_curve = (y * y).bytes() == (x * x * x - (x + x + x) + b).bytes();
        let mut one = [0; 32];
        one[31] = 1;
        is_on_curve.then_some(Self([x, y, Coordinate::read(&one)?]))
    }

    /// Adds points, which may be equal, opposite or neutral: algorithm 4 of Renes, Costello and Batina
    /// ("Complete addition formulas for prime order elliptic curves", 2015).
    fn add(self, other: Self, b: Coordinate) -> Self {
        let (Self([x1, y1, z1]), Self([x2, y2, z2])) = (self, other);
        let (xx, yy, zz) = (x1 * x2, y1 * y2, z1 * z2);
        let xy = (x1 + y1) * (x2 + y2) - (xx + yy);
        let yz = (y1 + z1) * (y2 + z2) - (yy + zz);
        let xz = (x1 + z1) * (x2 + z2) - (xx + zz);
        let third = |number: Coordinate| number + number + number;
        let left = third(xz - b * zz);
        let (minus, plus) = (yy - left, yy + left);
        let zz3 = third(zz);
        let right = third(b * xz - zz3 - xx);
        let top = third(xx) - zz3;
        Self([xy * plus - yz * right, plus * minus + top * right, yz * minus + xy * top])
    }
}

/// Returns true if the signature, an ASN.1 sequence in DER, is one of the digest. The digest has at most 32
/// bytes; the key is an uncompressed point.
pub(crate) fn verify(key: &[u8], digest: &[u8], signature: &[u8]) -> bool {
    verified(key, digest, signature).is_some()
}

fn verified(key: &[u8], digest: &[u8], signature: &[u8]) -> Option<()> {
    let constant = Coordinate::read(&B)?;
    let [4, point @ ..] = key else { return None };
    let point = point.split_at_checked(32)?;
    let key = Point::read([point.0.try_into().ok()?, point.1.try_into().ok()?], constant)?;
    let base = Point::read([&G[0], &G[1]], constant)?;

    let mut numbers = Der(Der(signature).only(SEQUENCE)?);
    let (r, s) = (number(numbers.take(INTEGER)?)?, number(numbers.only(INTEGER)?)?);
    let is_positive = |number: &Bytes| *number != [0; 32];
    let (r, s) = (Some(r).filter(is_positive)?, Some(s).filter(is_positive)?);
    let digest = reduced(number(&[&[0], digest].concat())?)?;
    let inverse = Scalar::read(&s)?.inverse();
    let of_base = (digest * inverse).bytes();
    let of_key = (Scalar::read(&r)? * inverse).bytes();

    let both = base.add(key, constant);
    let zero = Coordinate::read(&[0; 32])?;
    let Point([_, _, one]) = base;
    let mut sum = Point([zero, one, zero]);
    for choice in bits(&of_base).zip(bits(&of_key)) {
        sum = sum.add(sum, constant);
        sum = match choice {
            (false, false) => continue,
            (true, false) => sum.add(base, constant),
            (false, true) => sum.add(key, constant),
            (true, true) => sum.add(both, constant),
        };
    }
    let Point([x, _, z]) = sum;
    // The neutral point has no x: its Z is zero, and so is the inverse. r is not zero.
    (reduced((x * z.inverse()).bytes())?.bytes() == r).then_some(())
}

/// Signs a message with a private key in PKCS #8. Another implementation signs than verifies.
#[cfg(feature = "sender")]
pub(crate) fn sign_sha1(pkcs8: &[u8], message: &[u8]) -> Option<Vec<u8>> {
    use ::p256::ecdsa::signature::hazmat::PrehashSigner as _;
    use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

    use crate::source::crypto::der::{OCTET_STRING, write};

    // RFC 5208 and RFC 5915: version, algorithm, and a key of version and scalar.
    let mut fields = Der(Der(pkcs8).only(SEQUENCE)?);
    let (_, _) = (fields.take(INTEGER)?, fields.take(SEQUENCE)?);
    let mut key = Der(Der(fields.take(OCTET_STRING)?).only(SEQUENCE)?);
    key.take(INTEGER)?;
    let key = ::p256::ecdsa::SigningKey::from_slice(key.take(OCTET_STRING)?).ok()?;
    let signature: ::p256::ecdsa::Signature =
        key.sign_prehash(digest(&SHA1_FOR_LEGACY_USE_ONLY, message).as_ref()).ok()?;
    let numbers = signature.to_bytes();
    let integer = |digits: &[u8]| {
        let start = digits.iter().position(|b| *b != 0).unwrap_or_default();
        let digits = digits.get(start..).unwrap_or_default();
        let sign: &[u8] = if digits.first().is_some_and(|b| b & 0x80 != 0) { &[0] } else { &[] };
        write(INTEGER, &[sign, digits])
    };
    let (r, s) = numbers.split_at(32);
    Some(write(SEQUENCE, &[&integer(r), &integer(s)]))
}

/// Reads the content of an INTEGER that is not negative: at most 32 bytes besides the sign.
fn number(content: &[u8]) -> Option<Bytes> {
    let first = content.first().filter(|first| **first < 0x80)?;
    let digits = if *first == 0 { content.get(1..)? } else { content };
    let mut bytes = [0; 32];
    let start = bytes.len().checked_sub(digits.len())?;
    bytes.get_mut(start..)?.copy_from_slice(digits);
    Some(bytes)
}

/// Reduces a number of 32 bytes modulo the order.
fn reduced(bytes: Bytes) -> Option<Scalar> {
    if bytes < N {
        return Scalar::read(&bytes);
    }
    let mut rest = [0; 32];
    let mut borrow = false;
    for ((rest, byte), order) in rest.iter_mut().zip(bytes).zip(N).rev() {
        let (difference, under) = byte.overflowing_sub(order);
        let (difference, again) = difference.overflowing_sub(u8::from(borrow));
        (*rest, borrow) = (difference, under || again);
    }
    Scalar::read(&rest)
}

#[cfg(test)]
mod tests {
    use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
    use ring::rand::SystemRandom;
    use ring::signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
    };

    use super::*;
    use crate::source::crypto::der::write;
    use crate::source::crypto::encoding::Encoding;

    /// Request of the test data of eBay's library for Node.js, with its key.
    #[test]
    fn a_signature_of_ebay_is_right() {
        let key = "BGYYcVyrUfkzr7Q24EzwpEqH9NqoAQeyLGDsn++opRMSf7qQGv7yiCoXjqAsjqXC5ouLdG+LnqW+yy45jK/dBVI=";
        let signature = "MEYCIQCfxfIWuxmWcIBQJ9c5/X7iGDJqs2RCGsBEaAjinyrrfAIhAIV6wGcTiBuV5KJUif2hokyrL+Q9ssHkad+mx2nEE25w";
        let message = r#"{"metadata":{"topic":"MARKETPLACE_ACCOUNT_DELETION","schemaVersion":"1.0","deprecated":false},"notification":{"notificationId":"49feeaeb-4982-42d9-a377-9645b8479411_33f7e043-fed8-442b-9d44-791923bd9a6d","eventDate":"2021-03-19T20:43:59.462Z","publishDate":"2021-03-19T20:43:59.679Z","publishAttemptCount":1,"data":{"username":"test_user","userId":"ma8vp1jySJC","eiasToken":"nY+sHZ2PrBmdj6wVnY+sEZ2PrA2dj6wJnY+gAZGEpwmdj6x9nY+seQ=="}}}"#;
        let [key, signature] = [key, signature].map(|text| Encoding::Base64.decode(text).unwrap());
        let is_right = |message: &str| {
            verify(&key, digest(&SHA1_FOR_LEGACY_USE_ONLY, message.as_bytes()).as_ref(), &signature)
        };
        assert!(is_right(message));
        assert!(!is_right(&message.replace("test_user", "test_uses")));
    }

    /// ring verifies what is hashed with SHA-256, and has the same opinion of every signature of such a digest.
    #[test]
    fn ring_agrees_on_every_signature() {
        let random = SystemRandom::new();
        for round in 0..8 {
            let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
            let pair =
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random).unwrap();
            let key = pair.public_key().as_ref();
            let message = [round; 3];
            let right = pair.sign(&random, &message).unwrap();
            let agrees = |key: &[u8], signature: &[u8]| {
                let ours = verify(key, digest(&SHA256, &message).as_ref(), signature);
                let ring = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key).verify(&message, signature);
                assert_eq!(ours, ring.is_ok(), "{key:?} {signature:?}");
                ours
            };
            assert!(agrees(key, right.as_ref()));
            for at in 0..right.as_ref().len() {
                let mut other = right.as_ref().to_vec();
                other[at] ^= 1 << round;
                assert!(!agrees(key, &other));
                assert!(!agrees(key, &right.as_ref()[..at]));
            }
            for at in 0..key.len() {
                let mut other = key.to_vec();
                other[at] ^= 1 << round;
                assert!(!agrees(&other, right.as_ref()));
            }
        }
    }

    /// Both numbers of a signature are positive and below the order, in their only spelling.
    #[test]
    fn numbers_out_of_range_are_refused() {
        let key = [&[4][..], &G[0], &G[1]].concat();
        let positive = |bytes: &[u8]| write(INTEGER, &[&[0], bytes]);
        let one = write(INTEGER, &[&[1]]);
        let beyond = [&N[..31], &[N[31] + 1]].concat();
        let long = [&[1][..], &[0; 32]].concat();
        for wrong in [positive(&[]), positive(&N), positive(&beyond), positive(&P), write(INTEGER, &[&long])]
        {
            for signature in [[&wrong[..], &one], [&one[..], &wrong]] {
                assert!(!verify(&key, &[7; 20], &write(SEQUENCE, &[&signature.concat()])), "{wrong:?}");
            }
        }
    }

    /// The sum is the neutral point, the double of a point, or the sum of opposite points on the way there.
    #[test]
    fn sums_of_related_points_are_right() {
        let b = Coordinate::read(&B).unwrap();
        let base = Point::read([&G[0], &G[1]], b).unwrap();
        let Point([x, y, z]) = base;
        let zero = y - y;
        let opposite = Point([x, zero - y, z]);
        let neutral = base.add(opposite, b);
        assert_eq!(neutral.0[2].bytes(), [0; 32]);
        let is_same = |Point([x1, y1, z1]): Point, Point([x2, y2, z2]): Point| {
            (x1 * z2).bytes() == (x2 * z1).bytes() && (y1 * z2).bytes() == (y2 * z1).bytes()
        };
        assert!(is_same(neutral.add(base, b), base));
        assert!(is_same(base.add(base, b).add(opposite, b), base));
        // A key that is the base point, and u1 = -u2: the neutral point has no x that could be r.
        let key = [&[4][..], &G[0], &G[1]].concat();
        let one = write(INTEGER, &[&[1]]);
        let minus_one = [&N[..31], &[N[31] - 1]].concat();
        assert!(!verify(&key, &minus_one, &write(SEQUENCE, &[&one, &one])));
    }
}
