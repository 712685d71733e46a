//! Checks of the vendors' signatures, with code and crates of their own: the signing code in the forwarders
//! shares nothing with them, so that one misreading of a specification cannot hide on both sides.

pub(crate) mod sdk_hmac;
pub(crate) mod sigv4;
pub(crate) mod tc3;

use std::fmt::Write as _;

use hmac::{Hmac, Mac};
use http::HeaderMap;
use sha2::{Digest, Sha256};

/// The parts of `ALGORITHM Key=value, SignedHeaders=a;b, Signature=hex`.
pub(crate) struct Authorization<'a> {
    /// The access key, in some schemes with its scope.
    pub(crate) key: &'a str,
    pub(crate) signed_headers: &'a str,
    pub(crate) signature: &'a str,
}

impl<'a> Authorization<'a> {
    /// Parses the header; `None` unless the algorithm matches and all three parameters are present.
    pub(crate) fn parse(header: &'a str, algorithm: &str, key_parameter: &str) -> Option<Self> {
        let parameters = header.trim().strip_prefix(algorithm)?.strip_prefix(' ')?;
        let value = |name: &str| {
            parameters.split(',').find_map(|p| p.trim().strip_prefix(name)?.strip_prefix('=').map(str::trim))
        };
        Some(Self {
            key: value(key_parameter)?,
            signed_headers: value("SignedHeaders")?,
            signature: value("Signature")?,
        })
    }

    pub(crate) fn signs(&self, name: &str) -> bool {
        self.signed_headers.split(';').any(|signed| signed == name)
    }
}

/// Builds `name:value\n` for each of `signed_headers`, with its values passed through `normalise`.
///
/// Returns `None` if the list is not in lower case and ascending, or names a missing header: the vendors sort
/// their lists, so such a signature cannot match.
fn canonical_headers(
    headers: &HeaderMap,
    signed_headers: &str,
    normalise: fn(&str) -> String,
) -> Option<String> {
    let mut canonical = String::new();
    let mut previous = "";
    for name in signed_headers.split(';') {
        if name <= previous || name.bytes().any(|b| b.is_ascii_uppercase()) || !headers.contains_key(name) {
            return None;
        }
        previous = name;
        let values: Vec<_> = headers
            .get_all(name)
            .iter()
            .map(|v| normalise(String::from_utf8_lossy(v.as_bytes()).trim()))
            .collect();
        let _ = writeln!(canonical, "{name}:{}", values.join(","));
    }
    Some(canonical)
}

pub(crate) fn hmac_sha256(key: &[u8], data: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(data.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

pub(crate) fn sha256_hex(data: &[u8]) -> String {
    hex(&Sha256::digest(data))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authorization_header_is_read_whatever_its_order_and_spacing() {
        let header = "TC3-HMAC-SHA256 SignedHeaders=content-type;host,Signature=ab , Credential=id/date";
        let parsed = Authorization::parse(header, "TC3-HMAC-SHA256", "Credential").unwrap();
        assert_eq!(
            (parsed.key, parsed.signed_headers, parsed.signature),
            ("id/date", "content-type;host", "ab")
        );
        assert!(parsed.signs("host") && !parsed.signs("hos"));
        for broken in
            ["", "TC3-HMAC-SHA256", "TC3-HMAC-SHA256 Credential=a, Signature=b", "Bearer Credential=a"]
        {
            assert!(Authorization::parse(broken, "TC3-HMAC-SHA256", "Credential").is_none(), "{broken}");
        }
    }

    #[test]
    fn signed_headers_must_be_there_lower_case_and_sorted() {
        let mut headers = HeaderMap::new();
        headers.insert("a", "1".parse().unwrap());
        headers.insert("b", " two  words ".parse().unwrap());
        let canonical = |signed| canonical_headers(&headers, signed, str::to_owned);
        assert_eq!(canonical("a;b").unwrap(), "a:1\nb:two  words\n");
        for refused in ["b;a", "A;b", "a;a", "a;b;c", ""] {
            assert!(canonical(refused).is_none(), "{refused}");
        }
    }
}
