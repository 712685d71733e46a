//! TC3-HMAC-SHA256 (<https://cloud.tencent.com/document/api/213/30654>).

use http::HeaderMap;

use super::{canonical_headers, hex, hmac_sha256, sha256_hex};

pub(crate) const ALGORITHM: &str = "TC3-HMAC-SHA256";

/// Builds the canonical form of a `POST /`; `None` if these headers do not allow it.
pub(crate) fn canonical_request(headers: &HeaderMap, signed_headers: &str, body: &[u8]) -> Option<String> {
    // The SDKs hash this text in place of the body, and do not sign the header that announces it.
    let unsigned = headers.get("x-tc-content-sha256").is_some_and(|v| v == "UNSIGNED-PAYLOAD");
    let payload_hash = sha256_hex(if unsigned { b"UNSIGNED-PAYLOAD" } else { body });
    let canonical_headers = canonical_headers(headers, signed_headers, str::to_lowercase)?;
    Some(format!("POST\n/\n\n{canonical_headers}\n{signed_headers}\n{payload_hash}"))
}

/// Builds the string to sign; `scope` is `date/service/tc3_request`.
pub(crate) fn string_to_sign(timestamp: i64, scope: &str, canonical_request: &str) -> String {
    format!("{ALGORITHM}\n{timestamp}\n{scope}\n{}", sha256_hex(canonical_request.as_bytes()))
}

pub(crate) fn signature(secret_key: &str, scope: &str, string_to_sign: &str) -> String {
    let key =
        scope.split('/').fold(format!("TC3{secret_key}").into_bytes(), |key, part| hmac_sha256(&key, part));
    hex(&hmac_sha256(&key, string_to_sign))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use serde_json::Value;

    use super::*;

    fn text<'a>(value: &'a Value, name: &str) -> &'a str {
        value[name].as_str().unwrap()
    }

    fn headers(input: &Value) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, field) in [("content-type", "content_type"), ("host", "host"), ("x-tc-action", "action")] {
            headers.insert(name, text(input, field).parse().unwrap());
        }
        if input["unsigned_payload"] == true {
            headers.insert("x-tc-content-sha256", HeaderValue::from_static("UNSIGNED-PAYLOAD"));
        }
        headers
    }

    #[test]
    fn every_stage_of_every_vector_is_reproduced_and_tampering_is_not() {
        let vectors: Value =
            serde_json::from_str(include_str!("../../tests/vectors/tencent_tc3.json")).unwrap();
        let mut checked = 0;
        for kind in ["published", "generated"] {
            for vector in vectors[kind].as_array().unwrap() {
                let (name, input, expected) = (text(vector, "name"), &vector["input"], &vector["expected"]);
                let body = text(input, "body").as_bytes();
                assert_eq!(hex(body), text(input, "body_hex"), "{name}");
                let mut headers = headers(input);
                let signed = text(expected, "signed_headers");
                let scope = text(expected, "credential_scope");
                let timestamp = input["timestamp"].as_i64().unwrap();

                let canonical = canonical_request(&headers, signed, body).unwrap();
                assert_eq!(canonical, text(expected, "canonical_request"), "{name}");
                let to_sign = string_to_sign(timestamp, scope, &canonical);
                assert_eq!(to_sign, text(expected, "string_to_sign"), "{name}");
                let secret = text(input, "secret_key");
                assert_eq!(signature(secret, scope, &to_sign), text(expected, "signature"), "{name}");

                let other_body = canonical_request(&headers, signed, b"{}").unwrap();
                assert_eq!(other_body == canonical, input["unsigned_payload"] == true, "{name}: body");
                headers.insert("host", HeaderValue::from_static("elsewhere"));
                assert_ne!(canonical_request(&headers, signed, body).unwrap(), canonical, "{name}: host");
                for (secret, scope, timestamp) in [
                    ("another", scope, timestamp),
                    (secret, "2000-01-01/tdmq/tc3_request", timestamp),
                    (secret, scope, timestamp + 1),
                ] {
                    let to_sign = string_to_sign(timestamp, scope, &canonical);
                    assert_ne!(signature(secret, scope, &to_sign), text(expected, "signature"), "{name}");
                }
                checked += 1;
            }
        }
        assert!(checked >= 12, "only {checked} vectors");
    }
}
