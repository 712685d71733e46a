//! RSA signatures with SHA-1 (RFC 8017 8.2.1), for samples and tests of senders that support nothing newer.
//! `ring` verifies them but cannot make them. Not in constant time: never use this for a key that matters.

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use crate::source::crypto::der::{Der, INTEGER, SEQUENCE};

/// DER of the `DigestInfo` of a SHA-1 hash, up to the hash (RFC 8017 9.2).
const DIGEST_INFO: &[u8] = b"\x30\x21\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\x04\x14";

/// Signs with a private key in PKCS #1; returns `None` if the modulus is even or not a multiple of 32 bits.
pub(crate) fn sign(private: &[u8], message: &[u8]) -> Option<Vec<u8>> {
    let mut fields = Der(Der(private).only(SEQUENCE)?);
    fields.take(INTEGER)?;
    let (n, _, d) = (fields.take(INTEGER)?, fields.take(INTEGER)?, fields.take(INTEGER)?);
    let n = n.strip_prefix(&[0]).unwrap_or(n);
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, message);
    let padding = n.len().checked_sub(3 + DIGEST_INFO.len() + hash.as_ref().len())?;
    let padded = [&[0, 1], &*vec![0xff; padding], &[0], DIGEST_INFO, hash.as_ref()].concat();
    let is_odd = n.last().is_some_and(|byte| byte % 2 == 1);
    (is_odd && n.len().is_multiple_of(4)).then(|| Modulus::new(n).power(&padded, d))
}

/// Number in 32-bit digits, lowest digit first, with as many digits as the modulus.
type Number = Vec<u32>;

/// An odd modulus for Montgomery multiplication.
struct Modulus {
    n: Number,
    /// Negative inverse of n, modulo 2^32.
    inverse: u32,
}

impl Modulus {
    fn new(n: &[u8]) -> Self {
        let n = digits(n);
        // Newton's method doubles the bits that are right.
        let inverse = (0..5).fold(1_u32, |x, _| x.wrapping_mul(2_u32.wrapping_sub(n[0].wrapping_mul(x))));
        Self { n, inverse: inverse.wrapping_neg() }
    }

    /// Computes `base` to the power of `exponent`, both big-endian; `base` is at most as long as the modulus.
    fn power(&self, base: &[u8], exponent: &[u8]) -> Vec<u8> {
        let length = self.n.len();
        let mut one = vec![0; length];
        one[0] = 1;
        // Montgomery form multiplies by R = 2^(32 * length).
        let twice = |x: &Number| self.add(x, x);
        let r = (0..32 * length).fold(one.clone(), |x, _| twice(&x));
        let square = (0..32 * length).fold(r.clone(), |x, _| twice(&x));
        let base = self.multiply(&digits(base), &square);
        let bits = exponent.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1));
        let power = bits.fold(r, |x, bit| {
            let x = self.multiply(&x, &x);
            if bit { self.multiply(&x, &base) } else { x }
        });
        self.multiply(&power, &one).iter().rev().flat_map(|digit| digit.to_be_bytes()).collect()
    }

    /// Computes a * b / R modulo n.
    fn multiply(&self, a: &Number, b: &Number) -> Number {
        let length = self.n.len();
        let mut sum = vec![0_u64; length + 2];
        for digit in b {
            let mut carry = 0;
            for (place, x) in a.iter().enumerate() {
                let value = sum[place] + u64::from(*x) * u64::from(*digit) + carry;
                (sum[place], carry) = (u64::from(low(value)), value >> 32);
            }
            let value = sum[length] + carry;
            (sum[length], sum[length + 1]) = (u64::from(low(value)), value >> 32);
            // Adding a multiple of n makes the lowest digit zero, and the digit is dropped.
            let factor = u64::from(low(sum[0]).wrapping_mul(self.inverse));
            let mut carry = 0;
            for (place, x) in self.n.iter().enumerate() {
                let value = sum[place] + factor * u64::from(*x) + carry;
                carry = value >> 32;
                if let Some(below) = place.checked_sub(1) {
                    sum[below] = u64::from(low(value));
                }
            }
            let value = sum[length] + carry;
            (sum[length - 1], sum[length]) = (u64::from(low(value)), sum[length + 1] + (value >> 32));
        }
        let carry = sum[length] > 0;
        self.reduce(sum[..length].iter().map(|digit| low(*digit)).collect(), carry)
    }

    fn add(&self, a: &Number, b: &Number) -> Number {
        let mut carry = 0;
        let sum = a.iter().zip(b).map(|(x, y)| {
            let value = u64::from(*x) + u64::from(*y) + carry;
            carry = value >> 32;
            low(value)
        });
        let sum = sum.collect();
        self.reduce(sum, carry > 0)
    }

    /// Subtracts n once from a number below 2n, if it is not below n.
    fn reduce(&self, number: Number, carry: bool) -> Number {
        if !carry && number.iter().rev().lt(self.n.iter().rev()) {
            return number;
        }
        let mut borrow = false;
        let less = |(x, y): (&u32, &u32)| {
            let (value, first) = x.overflowing_sub(*y);
            let (value, second) = value.overflowing_sub(u32::from(borrow));
            borrow = first || second;
            value
        };
        number.iter().zip(&self.n).map(less).collect()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is asked for")]
const fn low(value: u64) -> u32 {
    value as u32
}

fn digits(bytes: &[u8]) -> Number {
    bytes.rchunks(4).map(|chunk| chunk.iter().fold(0, |digit, byte| digit << 8 | u32::from(*byte))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_those_of_a_pocket_calculator() {
        let power = |b: u32, e: u32, n: u32| {
            let found = Modulus::new(&n.to_be_bytes()).power(&b.to_be_bytes(), &e.to_be_bytes());
            u32::from_be_bytes(found.try_into().unwrap())
        };
        for (base, exponent, modulus) in
            [(2, 10, 1_000_003), (7, 0, 11), (5, 117, 19), (0, 3, 7), (6, 6, 4_294_967_291)]
        {
            let want = (0..exponent).fold(1_u64, |x, _| x * u64::from(base) % u64::from(modulus));
            assert_eq!(u64::from(power(base, exponent, modulus)), want, "{base}^{exponent} mod {modulus}");
        }
    }
}
