//! Signature TC3-HMAC-SHA256, Tencent Cloud's signature version 3.
//!
//! <https://cloud.tencent.com/document/api/213/30654>

use std::fmt::Write as _;

use crate::clock::Timestamp;
use crate::net::digest::{hex, hmac_sha256, sha256};
use crate::queue::credentials::Credentials;
use crate::secret::Secret;

const ALGORITHM: &str = "TC3-HMAC-SHA256";

/// Signed parts of a request. The method is always POST, the path `/`, the query empty.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Short name of the API, independent of the host (`tdmq`).
    pub service: &'a str,
    /// Headers to sign; names in lower case, in ASCII order.
    pub headers: &'a [(&'a str, &'a str)],
    /// Bytes of the request's body.
    pub body: &'a [u8],
}

/// Signature of a request, with its intermediate results.
#[derive(Clone, Debug)]
pub struct Signature {
    /// Request in its canonical form.
    pub canonical_request: String,
    /// Date, service and terminator, to which the derived key is limited.
    pub scope: String,
    /// Text that is signed: algorithm, time, scope and digest of the canonical request.
    pub string_to_sign: String,
    /// Value of the `Authorization` header.
    pub authorization: String,
}

/// Signs a request at `time`, which is sent along as `X-TC-Timestamp`.
pub fn sign(head: &Head<'_>, credentials: &Credentials, time: Timestamp) -> Signature {
    let mut canonical_headers = String::new();
    for (name, value) in head.headers {
        let _ = writeln!(canonical_headers, "{name}:{}", value.trim().to_lowercase());
    }
    let names: Vec<&str> = head.headers.iter().map(|(name, _)| *name).collect();
    let signed_headers = names.join(";");
    let canonical_request =
        format!("POST\n/\n\n{canonical_headers}\n{signed_headers}\n{}", hex(&sha256(head.body)));

    let scope = format!("{}/{}/tc3_request", time.date(), head.service);
    let hashed = hex(&sha256(canonical_request.as_bytes()));
    let string_to_sign = format!("{ALGORITHM}\n{}\n{scope}\n{hashed}", time.unix());

    let [_, _, key] = derive(&credentials.key, &time.date(), head.service);
    let signature = hex(hmac_sha256(key.as_ref(), &string_to_sign).as_ref());
    let authorization = format!(
        "{ALGORITHM} Credential={}/{scope}, SignedHeaders={signed_headers}, Signature={signature}",
        credentials.id
    );
    Signature { canonical_request, scope, string_to_sign, authorization }
}

/// Derives three keys from the secret key: the date's, the service's, and the one that signs requests.
pub fn derive(key: &Secret, date: &str, service: &str) -> [ring::hmac::Tag; 3] {
    let secret = zeroize::Zeroizing::new([b"TC3", key.expose()].concat());
    let of_date = hmac_sha256(&secret, date);
    let of_service = hmac_sha256(of_date.as_ref(), service);
    let signing = hmac_sha256(of_service.as_ref(), "tc3_request");
    [of_date, of_service, signing]
}
