//! Signature SDK-HMAC-SHA256 in the `Access=` form of Huawei's SDKs, which Open Telekom Cloud takes too.
//!
//! <https://support.huaweicloud.com/intl/en-us/devg-apisign/api-sign-algorithm.html>

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use crate::clock::Timestamp;
use crate::net::digest::{hex, hmac_sha256, sha256};
use crate::queue::credentials::Credentials;
use crate::sort::sort;

const ALGORITHM: &str = "SDK-HMAC-SHA256";

/// Characters to escape: all except RFC 3986's unreserved ones.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Signed parts of a request, without `X-Sdk-Date`.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// HTTP method in upper case.
    pub method: &'a str,
    /// Request path as it is sent.
    pub path: &'a str,
    /// Names and values of the query, not yet escaped.
    pub query: &'a [(&'a str, &'a str)],
    /// Headers to sign; those with an underscore in their name are left out.
    pub headers: &'a [(&'a str, &'a str)],
    /// Bytes of the request's body.
    pub body: &'a [u8],
}

/// Signature of a request, with its intermediate results.
#[derive(Clone, Debug)]
pub struct Signature {
    /// Request in its canonical form.
    pub canonical_request: String,
    /// Text that is signed: algorithm, date and digest of the canonical request.
    pub string_to_sign: String,
    /// Value of the `Authorization` header.
    pub authorization: String,
}

/// Signs a request at `time`, which is sent along as `X-Sdk-Date` in its [basic form](Timestamp::basic). A
/// security token is among the headers.
pub fn sign(head: &Head<'_>, credentials: &Credentials, time: Timestamp) -> Signature {
    let date = time.basic();
    let mut headers: Vec<(String, &str)> = head
        .headers
        .iter()
        .chain(&[("x-sdk-date", date.as_str())])
        .filter(|(name, _)| !name.contains('_'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim()))
        .collect();
    sort(&mut headers);
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

/// Escapes each segment again, and adds the final slash that the algorithm requires but the request lacks.
fn canonical_path(path: &str) -> String {
    let segment = |s| percent_encode(&percent_decode_str(s).collect::<Vec<u8>>(), ESCAPED).to_string();
    let path = path.split('/').map(segment).collect::<Vec<_>>().join("/");
    if path.ends_with('/') { path } else { path + "/" }
}

/// Escapes the query and joins it, sorted by name, then value, before the escaping.
fn canonical_query(query: &[(&str, &str)]) -> String {
    let escape = |text: &str| percent_encode(text.as_bytes(), ESCAPED).to_string();
    let mut query = query.to_vec();
    sort(&mut query);
    let pairs: Vec<String> = query.iter().map(|(n, v)| format!("{}={}", escape(n), escape(v))).collect();
    pairs.join("&")
}
