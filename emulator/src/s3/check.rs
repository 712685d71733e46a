//! S3's checks before any effect: the access key, the time, the signature and the digests of the body.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use md5::{Digest as _, Md5};
use time::{
    OffsetDateTime, PrimitiveDateTime, format_description::BorrowedFormatItem, macros::format_description,
};

use super::{Call, Refusal, S3Config};
use crate::sign::{Authorization, hex, sha256_hex, sigv4};

/// Upper bound on the difference between a client's clock and the S3's.
const MAX_SKEW: Duration = Duration::from_secs(15 * 60);

const BASIC: &[BorrowedFormatItem<'_>] = format_description!("[year][month][day]T[hour][minute][second]Z");

pub(super) fn check(config: &S3Config, call: &Call<'_>) -> Result<(), Refusal> {
    let headers = &call.head.headers;
    let denied = |text: &str| Refusal::new(403, "AccessDenied", text);
    let field = |name: &str| text(headers, name);
    let authorization = field("authorization").ok_or_else(|| denied("the request is not signed"))?;
    let authorization = Authorization::parse(authorization, sigv4::ALGORITHM, "Credential");
    let malformed = |text: &str| Refusal::new(400, "AuthorizationHeaderMalformed", text);
    let authorization = authorization.ok_or_else(|| malformed("it is not an Authorization header"))?;
    let (id, scope) = authorization.key.split_once('/').ok_or_else(|| malformed("it has no scope"))?;
    if id != config.access_key {
        return Err(Refusal::new(403, "InvalidAccessKeyId", "there is no such access key"));
    }
    let time = field("x-amz-date").ok_or_else(|| denied("the request has no x-amz-date"))?;
    let at = PrimitiveDateTime::parse(time, BASIC).map_err(|_| denied("x-amz-date is not a time"))?;
    if scope != format!("{}/{}/s3/aws4_request", time.get(..8).unwrap_or_default(), config.region) {
        let text = format!("the scope is wrong; expecting {}", config.region);
        return Err(Refusal::new(400, "AuthorizationHeaderMalformed", text));
    }
    if distance(at.assume_utc().into(), (config.clock)()) > MAX_SKEW {
        return Err(Refusal::new(403, "RequestTimeTooSkewed", "the clocks are too far apart"));
    }
    let payload = field("x-amz-content-sha256")
        .ok_or_else(|| Refusal::new(400, "InvalidRequest", "Missing required header x-amz-content-sha256"))?;
    // AWS requires signatures of the host and of its own headers; an unsigned digest proves nothing.
    let must = |name: &str| name == "host" || name == "content-md5" || name.starts_with("x-amz-");
    if let Some(name) =
        headers.keys().map(http::HeaderName::as_str).find(|n| must(n) && !authorization.signs(n))
    {
        return Err(denied(&format!("the header {name} was not signed")));
    }
    let uri = &call.head.uri;
    let canonical = sigv4::canonical_request(
        &call.head.method,
        uri.path(),
        uri.query().unwrap_or_default(),
        headers,
        authorization.signed_headers,
        payload,
    );
    let to_sign = canonical.map(|canonical| sigv4::string_to_sign(time, scope, &canonical));
    let is_right =
        |to_sign: &String| sigv4::signature(&config.secret_key, scope, to_sign) == authorization.signature;
    if !to_sign.as_ref().is_some_and(is_right) {
        return Err(Refusal::new(403, "SignatureDoesNotMatch", "the signature does not match"));
    }
    if payload != sha256_hex(&call.body) {
        return Err(Refusal::new(
            400,
            "XAmzContentSHA256Mismatch",
            "the body does not match x-amz-content-sha256",
        ));
    }
    let md5 = field("content-md5").map(|given| decode(given).ok_or(given));
    match md5 {
        Some(Ok(given)) if given != Md5::digest(&call.body).as_slice() => {
            Err(Refusal::new(400, "BadDigest", "the body does not match Content-MD5"))
        }
        Some(Err(_)) => Err(Refusal::new(400, "InvalidDigest", "Content-MD5 is not a digest")),
        _ => Ok(()),
    }
}

pub(super) fn md5_hex(bytes: &[u8]) -> String {
    hex(&Md5::digest(bytes))
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

fn distance(a: SystemTime, b: SystemTime) -> Duration {
    a.duration_since(b).or_else(|_| b.duration_since(a)).unwrap_or_default()
}

/// Decodes base64 in the standard alphabet with padding.
fn decode(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| match b {
        b'A'..=b'Z' => Some(u32::from(b - b'A')),
        b'a'..=b'z' => Some(u32::from(b - b'a') + 26),
        b'0'..=b'9' => Some(u32::from(b - b'0') + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let mut bytes = Vec::new();
    for chunk in text.as_bytes().chunks(4) {
        let padding = chunk.iter().rev().take_while(|b| **b == b'=').count();
        if chunk.len() != 4 || padding > 2 {
            return None;
        }
        let mut bits = 0;
        for b in &chunk[..4 - padding] {
            bits = bits << 6 | digit(*b)?;
        }
        bits <<= 6 * padding;
        bytes.extend_from_slice(&bits.to_be_bytes()[1..4 - padding]);
    }
    Some(bytes)
}

/// Formats a time in RFC 3339 with milliseconds.
pub(super) fn rfc3339(at: SystemTime) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    OffsetDateTime::from(at).format(&format).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use bytes::Bytes;
    use http::{HeaderValue, Request};

    use super::*;
    use crate::s3::Shared;

    const MD5: &str = "DMF1ucDxtqgxw5niaXcmYQ==";

    /// The parts of a request before it is signed, and a change after that.
    #[derive(Clone, Copy)]
    struct Made<'m> {
        secret: &'m str,
        scope: &'m str,
        signed: &'m str,
        change: Change,
    }

    type Change = fn(&mut HeaderMap, &mut Bytes);

    fn code(made: &Made<'_>) -> Option<&'static str> {
        let clock: crate::Clock = Arc::new(|| SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        let config = S3Config { clock, ..S3Config::default() };
        let shared = Shared { config, state: Mutex::default() };
        let mut body = Bytes::from_static(b"a");
        let digest = sha256_hex(&body);
        let request =
            Request::put("/hooks/a/b?x=1%2F2").header("host", "localhost").header("content-md5", MD5);
        let request =
            request.header("x-amz-content-sha256", &digest).header("x-amz-date", "20231114T221320Z");
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        let canonical = sigv4::canonical_request(
            &head.method,
            "/hooks/a/b",
            "x=1%2F2",
            &head.headers,
            made.signed,
            &digest,
        );
        let scope = format!("{}/s3/aws4_request", made.scope);
        let to_sign = sigv4::string_to_sign("20231114T221320Z", &scope, &canonical.unwrap());
        let signature = sigv4::signature(made.secret, &scope, &to_sign);
        let value = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope},SignedHeaders={},Signature={signature}",
            shared.config.access_key, made.signed
        );
        head.headers.insert("authorization", HeaderValue::from_str(&value).unwrap());
        (made.change)(&mut head.headers, &mut body);
        let call = Call { shared: &shared, head: &head, query: Vec::new(), body };
        check(&shared.config, &call).err().map(|refusal| refusal.code)
    }

    #[test]
    fn whatever_is_not_as_it_was_signed_is_refused() {
        let all = "content-md5;host;x-amz-content-sha256;x-amz-date";
        let sound = Made {
            secret: crate::sample::SECRET_ACCESS_KEY,
            scope: "20231114/eu-central-1",
            signed: all,
            change: |_, _| {},
        };
        assert_eq!(code(&sound), None);
        assert_eq!(code(&Made { secret: "another", ..sound }), Some("SignatureDoesNotMatch"));
        for scope in ["20231114/eu-west-1", "20231113/eu-central-1"] {
            assert_eq!(code(&Made { scope, ..sound }), Some("AuthorizationHeaderMalformed"), "{scope}");
        }
        for signed in ["host;x-amz-content-sha256;x-amz-date", "content-md5;host;x-amz-date"] {
            assert_eq!(code(&Made { signed, ..sound }), Some("AccessDenied"), "{signed}");
        }
        let changes: [(Change, &str); 8] = [
            (|_, body| *body = Bytes::from_static(b"b"), "XAmzContentSHA256Mismatch"),
            (
                |headers, _| drop(headers.insert("content-md5", HeaderValue::from_static("x"))),
                "SignatureDoesNotMatch",
            ),
            (
                |headers, _| drop(headers.insert("host", HeaderValue::from_static("b"))),
                "SignatureDoesNotMatch",
            ),
            (
                |headers, _| drop(headers.insert("x-amz-meta-a", HeaderValue::from_static("b"))),
                "AccessDenied",
            ),
            (|headers, _| drop(headers.remove("authorization")), "AccessDenied"),
            (|headers, _| drop(headers.remove("x-amz-date")), "AccessDenied"),
            (|headers, _| drop(headers.remove("x-amz-content-sha256")), "InvalidRequest"),
            (
                |headers, _| drop(headers.insert("authorization", HeaderValue::from_static("Bearer x"))),
                "AuthorizationHeaderMalformed",
            ),
        ];
        for (at, (change, want)) in changes.into_iter().enumerate() {
            assert_eq!(code(&Made { change, ..sound }), Some(want), "{at}");
        }
    }

    #[test]
    fn base64_is_read() {
        assert_eq!(decode(MD5).unwrap(), Md5::digest(b"a").as_slice());
        assert_eq!(decode("YWI="), Some(b"ab".to_vec()));
        assert_eq!(decode("YWJj"), Some(b"abc".to_vec()));
        for wrong in ["Y", "YW", "Y===", "Y*==", "=YWI"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}
