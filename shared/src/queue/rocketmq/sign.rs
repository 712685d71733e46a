//! SDK-HMAC-SHA256, the `Access=` form that Huawei's SDKs use; Open Telekom Cloud takes it too.
//!
//! <https://support.huaweicloud.com/intl/en-us/devg-apisign/api-sign-algorithm.html>

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use crate::clock::Timestamp;
use crate::net::digest::{hex, hmac_sha256, sha256};
use crate::queue::credentials::Credentials;

const ALGORITHM: &str = "SDK-HMAC-SHA256";

/// Everything but RFC 3986's unreserved characters.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What is signed of a request, `X-Sdk-Date` aside.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Upper case.
    pub method: &'a str,
    /// The path as it is sent.
    pub path: &'a str,
    /// Names and values, not yet escaped.
    pub query: &'a [(&'a str, &'a str)],
    /// Headers that are signed, those with an underscore in their name excepted.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body's bytes.
    pub body: &'a [u8],
}

/// A signature and the stages on the way to it.
#[derive(Clone, Debug)]
pub struct Signature {
    /// The request in its canonical form.
    pub canonical_request: String,
    /// What the signature is made of.
    pub string_to_sign: String,
    /// The `Authorization` header.
    pub authorization: String,
}

/// Signs a request at `time`, which is sent along as `X-Sdk-Date` in its
/// [basic form](Timestamp::basic). A security token is among the headers.
pub fn sign(head: &Head<'_>, credentials: &Credentials, time: Timestamp) -> Signature {
    let date = time.basic();
    let mut headers: Vec<(String, &str)> = head
        .headers
        .iter()
        .chain(&[("x-sdk-date", date.as_str())])
        .filter(|(name, _)| !name.contains('_'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim()))
        .collect();
    headers.sort_unstable();
    let mut canonical_headers = String::new();
    for (name, value) in &headers {
        let _ = writeln!(canonical_headers, "{name}:{value}");
    }
    let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    let signed_headers = names.join(";");

    let canonical_request = format!(
        "{}\n{}\n{}\n{canonical_headers}\n{signed_headers}\n{}",
        head.method,
        canonical_path(head.path),
        canonical_query(head.query),
        hex(&sha256(head.body))
    );
    let string_to_sign = format!("{ALGORITHM}\n{date}\n{}", hex(&sha256(canonical_request.as_bytes())));
    let signature = hex(hmac_sha256(credentials.key.expose(), &string_to_sign).as_ref());
    let authorization = format!(
        "{ALGORITHM} Access={}, SignedHeaders={signed_headers}, Signature={signature}",
        credentials.id
    );
    Signature { canonical_request, string_to_sign, authorization }
}

/// Each segment escaped anew, and a slash at the end that is not on the wire.
fn canonical_path(path: &str) -> String {
    let segment = |s| percent_encode(&percent_decode_str(s).collect::<Vec<u8>>(), ESCAPED).to_string();
    let path = path.split('/').map(segment).collect::<Vec<_>>().join("/");
    if path.ends_with('/') { path } else { path + "/" }
}

/// Sorted by name, then value, before escaping.
fn canonical_query(query: &[(&str, &str)]) -> String {
    let escape = |text: &str| percent_encode(text.as_bytes(), ESCAPED).to_string();
    let mut query = query.to_vec();
    query.sort_unstable();
    let pairs: Vec<String> = query.iter().map(|(n, v)| format!("{}={}", escape(n), escape(v))).collect();
    pairs.join("&")
}
