//! AWS Signature Version 4 as S3 requires it
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>).

use http::{HeaderMap, Method};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use super::{canonical_headers, hex, hmac_sha256, sha256_hex};

pub(crate) const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Every character except RFC 3986's unreserved ones.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Builds the canonical request from the `path` and `query` of the request line; `None` if these headers do
/// not allow it.
pub(crate) fn canonical_request(
    method: &Method,
    path: &str,
    query: &str,
    headers: &HeaderMap,
    signed_headers: &str,
    payload_hash: &str,
) -> Option<String> {
    let path: Vec<String> = path.split('/').map(recode).collect();
    let mut pairs: Vec<String> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| format!("{}={}", recode(name), recode(value)))
        .collect();
    pairs.sort();
    let (path, query) = (path.join("/"), pairs.join("&"));
    let headers = canonical_headers(headers, signed_headers, str::to_owned)?;
    Some(format!("{method}\n{path}\n{query}\n{headers}\n{signed_headers}\n{payload_hash}"))
}

/// Builds the string to sign; `scope` is `date/region/s3/aws4_request`, `time` the `x-amz-date` header.
pub(crate) fn string_to_sign(time: &str, scope: &str, canonical_request: &str) -> String {
    format!("{ALGORITHM}\n{time}\n{scope}\n{}", sha256_hex(canonical_request.as_bytes()))
}

pub(crate) fn signature(secret_key: &str, scope: &str, string_to_sign: &str) -> String {
    let key =
        scope.split('/').fold(format!("AWS4{secret_key}").into_bytes(), |key, part| hmac_sha256(&key, part));
    hex(&hmac_sha256(&key, string_to_sign))
}

fn recode(text: &str) -> String {
    percent_encode(&percent_decode_str(text).collect::<Vec<_>>(), RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The signatures of the AWS page's examples are reproduced.
    #[test]
    fn signatures_come_out_as_aws_published_them() {
        const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        const WELCOME: &str = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
        const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        let put = [("date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")];
        for (method, path, query, more, payload, want) in [
            (
                Method::GET,
                "/test.txt",
                "",
                &[("range", "bytes=0-9")][..],
                EMPTY,
                "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            ),
            (
                Method::PUT,
                "/test$file.text",
                "",
                &put,
                WELCOME,
                "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
            ),
            (
                Method::GET,
                "/",
                "lifecycle",
                &[],
                EMPTY,
                "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
            ),
            (
                Method::GET,
                "/",
                "max-keys=2&prefix=J",
                &[],
                EMPTY,
                "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            ),
        ] {
            let mut headers = HeaderMap::new();
            let common = [
                ("host", "examplebucket.s3.amazonaws.com"),
                ("x-amz-date", "20130524T000000Z"),
                ("x-amz-content-sha256", payload),
            ];
            for (name, value) in common.iter().chain(more) {
                headers.insert(*name, value.parse().unwrap());
            }
            let mut names: Vec<&str> = headers.keys().map(http::HeaderName::as_str).collect();
            names.sort_unstable();
            let names = names.join(";");
            let canonical = canonical_request(&method, path, query, &headers, &names, payload).unwrap();
            let scope = "20130524/us-east-1/s3/aws4_request";
            let to_sign = string_to_sign("20130524T000000Z", scope, &canonical);
            assert_eq!(signature(SECRET, scope, &to_sign), want, "{canonical}");
            assert_ne!(signature("another", scope, &to_sign), want);
            headers.insert("host", "elsewhere".parse().unwrap());
            let other = canonical_request(&method, path, query, &headers, &names, payload).unwrap();
            assert_ne!(other, canonical);
        }
    }
}
