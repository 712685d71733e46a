//! SDK-HMAC-SHA256 in its `Access=` form (Huawei Cloud / OTC "AK/SK signing and authentication guide").

use http::{HeaderMap, Method, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use super::{canonical_headers, hex, hmac_sha256, sha256_hex};

pub(crate) const ALGORITHM: &str = "SDK-HMAC-SHA256";

const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// Every character except RFC 3986's unreserved ones.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Builds the canonical request; `None` if these headers do not allow it.
pub(crate) fn canonical_request(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    signed_headers: &str,
    body: &[u8],
) -> Option<String> {
    // Unlike in TC3, the text itself replaces the hash; an empty body is hashed all the same.
    let unsigned = headers.get("x-sdk-content-sha256").is_some_and(|v| v == UNSIGNED_PAYLOAD);
    let payload_hash =
        if unsigned && !body.is_empty() { UNSIGNED_PAYLOAD.to_owned() } else { sha256_hex(body) };
    let path = canonical_path(uri.path());
    let query = canonical_query(uri.query().unwrap_or_default());
    let headers = canonical_headers(headers, signed_headers, str::to_owned)?;
    Some(format!("{method}\n{path}\n{query}\n{headers}\n{signed_headers}\n{payload_hash}"))
}

/// Builds the string to sign; `date` is the unchanged `X-Sdk-Date` header.
pub(crate) fn string_to_sign(date: &str, canonical_request: &str) -> String {
    format!("{ALGORITHM}\n{date}\n{}", sha256_hex(canonical_request.as_bytes()))
}

/// Computes the signature with the secret key itself as the HMAC key, without any derivation.
pub(crate) fn signature(secret_key: &str, string_to_sign: &str) -> String {
    hex(&hmac_sha256(secret_key.as_bytes(), string_to_sign))
}

/// Decodes and encodes each segment, and adds a final `/`, which the request line does not have.
fn canonical_path(path: &str) -> String {
    let mut canonical = path.split('/').map(recode).collect::<Vec<_>>().join("/");
    if !canonical.ends_with('/') {
        canonical.push('/');
    }
    canonical
}

/// Sorts the pairs by decoded name, then decoded value; a pair without a value becomes `name=`.
fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (percent_decode_str(name).collect(), percent_decode_str(value).collect()))
        .collect();
    pairs.sort();
    let encode = |text: &[u8]| percent_encode(text, RESERVED).to_string();
    pairs
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect::<Vec<_>>()
        .join("&")
}

fn recode(segment: &str) -> String {
    percent_encode(&percent_decode_str(segment).collect::<Vec<_>>(), RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use serde_json::Value;

    use super::*;

    fn text<'a>(value: &'a Value, name: &str) -> &'a str {
        value[name].as_str().unwrap()
    }

    #[test]
    fn every_stage_of_every_vector_is_reproduced_and_tampering_is_not() {
        let vectors: Value =
            serde_json::from_str(include_str!("../../tests/vectors/huawei_sdk_hmac.json")).unwrap();
        let mut checked = 0;
        for kind in ["published", "generated"] {
            for vector in vectors[kind].as_array().unwrap() {
                let (name, input, expected) = (text(vector, "name"), &vector["input"], &vector["expected"]);
                let method: Method = text(input, "method").parse().unwrap();
                let uri: Uri = text(expected, "request_target").parse().unwrap();
                let body = text(input, "body").as_bytes();
                assert_eq!(hex(body), text(input, "body_hex"), "{name}");
                let mut headers: HeaderMap = input["headers"]
                    .as_object()
                    .unwrap()
                    .iter()
                    .map(|(k, v)| -> (HeaderName, HeaderValue) {
                        (k.parse().unwrap(), v.as_str().unwrap().parse().unwrap())
                    })
                    .collect();
                let date = headers["x-sdk-date"].to_str().unwrap().to_owned();
                let signed = text(expected, "signed_headers");

                let canonical = canonical_request(&method, &uri, &headers, signed, body).unwrap();
                assert_eq!(canonical, text(expected, "canonical_request"), "{name}");
                let to_sign = string_to_sign(&date, &canonical);
                assert_eq!(to_sign, text(expected, "string_to_sign"), "{name}");
                let secret = text(input, "secret_key");
                assert_eq!(signature(secret, &to_sign), text(expected, "signature"), "{name}");

                assert_ne!(signature("another", &to_sign), text(expected, "signature"), "{name}");
                assert_ne!(string_to_sign("20000101T000000Z", &canonical), to_sign, "{name}");
                let tampered = |method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]| {
                    let other = canonical_request(method, uri, headers, signed, body);
                    assert_ne!(other.unwrap(), canonical, "{name}");
                };
                tampered(&Method::DELETE, &uri, &headers, body);
                tampered(&method, &Uri::from_static("/other?a=b"), &headers, body);
                tampered(&method, &uri, &headers, b"other");
                headers.insert("host", HeaderValue::from_static("elsewhere"));
                tampered(&method, &uri, &headers, body);
                checked += 1;
            }
        }
        assert!(checked >= 20, "only {checked} vectors");
    }

    #[test]
    fn an_unsigned_payload_stands_as_text_unless_it_is_empty() {
        let headers: HeaderMap = [("x-sdk-content-sha256", UNSIGNED_PAYLOAD), ("x-sdk-date", "d")]
            .into_iter()
            .map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v)))
            .collect();
        let last_line = |body: &[u8]| {
            let uri = Uri::from_static("/");
            let canonical = canonical_request(&Method::POST, &uri, &headers, "x-sdk-date", body).unwrap();
            canonical.lines().last().unwrap().to_owned()
        };
        assert_eq!(last_line(b"x"), UNSIGNED_PAYLOAD);
        assert_eq!(last_line(b""), sha256_hex(b""));
    }

    #[test]
    fn a_plus_sign_is_a_plus_sign_and_a_lone_percent_stays() {
        assert_eq!(canonical_query("b=1+2&a&&b=%"), "a=&b=%25&b=1%2B2");
        assert_eq!(canonical_path("/"), "/");
    }
}
