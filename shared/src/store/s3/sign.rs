//! AWS Signature Version 4 in the `Authorization` header, over the body's digest.
//!
//! See <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>. Tencent's COS,
//! Huawei's OBS and the usual S3-compatible servers accept it too.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::clock::Timestamp;
use crate::net::digest::{hex, hmac_sha256, sha256};
use crate::queue::credentials::Credentials;
use crate::sort::sort;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Characters to escape in a query: all but RFC 3986's unreserved ones.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Characters to escape in a path, where the slash stays as it is.
const ESCAPED_IN_PATH: &AsciiSet = &ESCAPED.remove(b'/');

/// Signed parts of a request.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// HTTP method in upper case.
    pub method: &'a str,
    /// Path as it is sent: [`path`] escapes it.
    pub path: &'a str,
    /// Query as it is sent: [`query`] sorts and escapes it.
    pub query: &'a str,
    /// Signed headers, with `host`, `x-amz-content-sha256` and `x-amz-date` among them; names in lower case,
    /// in any order.
    pub headers: &'a [(&'a str, &'a str)],
    /// SHA-256 of the body in hexadecimal, the value of `x-amz-content-sha256`.
    pub payload: &'a str,
}

/// Signature and the stages on the way to it.
#[derive(Clone, Debug)]
pub struct Signature {
    /// Request in its canonical form.
    pub canonical_request: String,
    /// Text that the signature is computed over.
    pub string_to_sign: String,
    /// Value of the `Authorization` header.
    pub authorization: String,
}

/// Signs a request to S3 in `region` at `time`, which is also sent as `x-amz-date` in its [basic
/// form](Timestamp::basic).
pub fn sign(head: &Head<'_>, credentials: &Credentials, region: &str, time: Timestamp) -> Signature {
    let mut headers = head.headers.to_vec();
    sort(&mut headers);
    let mut canonical_headers = String::new();
    for (name, value) in &headers {
        let _ = writeln!(canonical_headers, "{name}:{}", value.trim());
    }
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let signed_headers = names.join(";");
    let Head { method, path, query, payload, .. } = head;
    let canonical_request =
        format!("{method}\n{path}\n{query}\n{canonical_headers}\n{signed_headers}\n{payload}");

    let now = time.basic();
    let (date, _) = now.split_once('T').unwrap_or((&now, ""));
    let scope = format!("{date}/{region}/s3/aws4_request");
    let hashed = hex(&sha256(canonical_request.as_bytes()));
    let string_to_sign = format!("{ALGORITHM}\n{now}\n{scope}\n{hashed}");

    let secret = zeroize::Zeroizing::new([b"AWS4", credentials.key.expose()].concat());
    let of_date = hmac_sha256(&secret, date);
    let of_region = hmac_sha256(of_date.as_ref(), region);
    let of_service = hmac_sha256(of_region.as_ref(), "s3");
    let key = hmac_sha256(of_service.as_ref(), "aws4_request");
    let signature = hex(hmac_sha256(key.as_ref(), &string_to_sign).as_ref());
    let authorization = format!(
        "{ALGORITHM} Credential={}/{scope},SignedHeaders={signed_headers},Signature={signature}",
        credentials.id
    );
    Signature { canonical_request, string_to_sign, authorization }
}

/// Escapes a path, for the request line and for the signature: S3 escapes once, other services twice.
pub fn path(path: &str) -> String {
    utf8_percent_encode(path, ESCAPED_IN_PATH).to_string()
}

/// Sorts and escapes names and values, for the request line and for the signature.
pub fn query(fields: &[(&str, &str)]) -> String {
    let escape = |text| utf8_percent_encode(text, ESCAPED).to_string();
    let mut fields: Vec<(String, String)> = fields.iter().map(|(n, v)| (escape(n), escape(v))).collect();
    sort(&mut fields);
    fields.into_iter().map(|(name, value)| name + "=" + &value).collect::<Vec<_>>().join("&")
}
