//! Classification of the error codes of DMS and of its API gateway.
//!
//! A message that is refused for good is stored in `dead/` until an operator looks at it. So a code is
//! `permanent` only if it concerns this message alone, for example characters of its body. Any other 4xx code
//! means the same for the next message, or its meaning is not known, and the message waits (`DMS.00400005`
//! says that the body is not JSON, and also that the project's id may be wrong).
//!
//! <https://docs.otc.t-systems.com/distributed-message-service-rocketmq/api-ref/appendix/error_codes.html>,
//! <https://docs.otc.t-systems.com/api-gateway/umn/published_api_calling/error_codes.html>

use crate::queue::Class;
use crate::queue::failure::{Scope, is_about_head};

/// Class of an error, and true if the message may be stored in spite of it.
type Kind = (Class, bool);

const SAFE: bool = false;

/// Codes for which the HTTP status would mislead, sorted. Huawei Cloud writes `APIGW.` for `APIG.`.
#[rustfmt::skip]
const CODES: [(&str, Kind); 44] = {
    use Class::{Auth, AuthRefresh, Config, Permanent, Permission, Quota, Throttle, TooLarge, Transient};
    [
        ("APIG.0103", (Config, SAFE)),
        ("APIG.0104", (Transient, SAFE)),
        ("APIG.0105", (Config, SAFE)),
        ("APIG.0307", (AuthRefresh, SAFE)),
        ("APIG.0310", (Quota, SAFE)),
        ("APIG.0501", (Quota, SAFE)),
        ("APIG.0502", (Permission, SAFE)),
        ("APIG.0613", (Transient, SAFE)),
        ("DMS.00400005", (Config, SAFE)),
        ("DMS.00400017", (Transient, SAFE)),
        ("DMS.00400026", (Transient, SAFE)),
        ("DMS.00400035", (Quota, SAFE)),
        ("DMS.00400039", (Quota, SAFE)),
        ("DMS.00400052", (Transient, SAFE)),
        ("DMS.00400055", (Transient, SAFE)),
        ("DMS.00400085", (Permanent, SAFE)),
        ("DMS.00400099", (Transient, SAFE)),
        ("DMS.00400107", (Quota, SAFE)),
        ("DMS.00400108", (Transient, SAFE)),
        ("DMS.00400133", (Quota, SAFE)),
        ("DMS.00400134", (Quota, SAFE)),
        ("DMS.00400973", (Throttle, SAFE)),
        ("DMS.00404029", (Quota, SAFE)),
        ("DMS.00500033", (Transient, SAFE)),
        ("DMS.00500960", (Auth, SAFE)),
        ("DMS.00500980", (Transient, SAFE)),
        ("DMS.00500982", (Quota, SAFE)),
        ("DMS.00500986", (Permission, SAFE)),
        ("DMS.00500987", (Quota, SAFE)),
        ("DMS.00501001", (Transient, SAFE)),
        ("DMS.00501118", (Quota, SAFE)),
        ("DMS.10240009", (Permanent, SAFE)),
        ("DMS.10240019", (Quota, SAFE)),
        ("DMS.10240020", (Quota, SAFE)),
        ("DMS.10240032", (Transient, SAFE)),
        ("DMS.10240101", (AuthRefresh, SAFE)),
        ("DMS.10240102", (AuthRefresh, SAFE)),
        ("DMS.10240104", (Config, SAFE)),
        ("DMS.10240407", (Throttle, SAFE)),
        ("DMS.10540011", (TooLarge, SAFE)),
        ("DMS.10540012", (Permanent, SAFE)),
        ("DMS.111400860", (Quota, SAFE)),
        ("DMS.111501025", (Throttle, SAFE)),
        ("DMS.111501026", (Quota, SAFE)),
    ]
};

/// Codes about parts that are the same in every request: address, protocol, project, instance, account, and
/// the gateway's access control, which has not read the topic yet. Sorted.
const EVERYWHERE: [&str; 35] = [
    "APIG.0101",
    "APIG.0103",
    "APIG.0105",
    "APIG.0204",
    "APIG.0205",
    "APIG.0302",
    "APIG.0304",
    "APIG.0306",
    "APIG.0310",
    "APIG.0314",
    "APIG.0401",
    "APIG.0402",
    "APIG.0404",
    "APIG.0405",
    "APIG.0501",
    "APIG.0502",
    "APIG.0607",
    "APIG.0802",
    "DMS.00400002",
    "DMS.00400007",
    "DMS.00400008",
    "DMS.00400030",
    "DMS.00400061",
    "DMS.00403002",
    "DMS.00404001",
    "DMS.00404022",
    "DMS.00500986",
    "DMS.00500987",
    "DMS.10240005",
    "DMS.10240104",
    "DMS.10240306",
    "DMS.10240309",
    "DMS.10240310",
    "DMS.10240312",
    "DMS.10240406",
];

/// Returns the breadth of an error: [`Scope::Api`] if messages to all topics meet it.
pub(super) fn scope(status: u16, code: &str) -> Scope {
    let is_about_address = matches!(status, 405 | 407) || is_about_head(status);
    let is_listed = EVERYWHERE.binary_search(&&*code.replace("APIGW.", "APIG.")).is_ok();
    if is_about_address || is_listed { Scope::Api } else { Scope::Topic }
}

/// Returns the class of an error, and true if the message may be stored in spite of it. The HTTP status
/// classifies unknown codes; under a successful HTTP status, the status that the code contains.
pub fn classify(status: u16, code: &str, text: &str) -> (Class, bool) {
    let code = code.replace("APIGW.", "APIG.");
    if let Ok(at) = CODES.binary_search_by_key(&code.as_str(), |(listed, _)| *listed) {
        return CODES.get(at).map_or((Class::Transient, true), |(_, kind)| *kind);
    }
    let status = if status < 300 { status_in(&code).unwrap_or(status) } else { status };
    let class = match status {
        401 => unauthorized(text),
        402 => Class::Quota,
        403 => Class::Permission,
        408 | 504 => Class::Ambiguous,
        // A conflict, a lock and "too early" pass by themselves.
        409 | 423 | 425 => Class::Transient,
        413 => Class::TooLarge,
        429 => Class::Throttle,
        400..=499 | 501 => Class::Config,
        _ => Class::Transient,
    };
    let maybe_stored =
        class == Class::Ambiguous || (class == Class::Transient && !(300..500).contains(&status));
    (class, maybe_stored)
}

/// Classifies a refused signature or token. One code (`APIG.0301`) stands for all of them, and only its text
/// tells a wrong key, an expired token and a wrong clock apart.
fn unauthorized(text: &str) -> Class {
    let text = text.to_ascii_lowercase();
    if text.contains("signature expired") {
        Class::ClockSkew
    } else if text.contains("token") && (text.contains("expire") || text.contains("invalid")) {
        Class::AuthRefresh
    } else {
        Class::Auth
    }
}

/// Extracts the HTTP status from a code: 404 from `DMS.00404022`. IAM's codes are the status itself: `401`.
fn status_in(code: &str) -> Option<u16> {
    let digits = code.strip_prefix("DMS.00").and_then(|rest| rest.get(..3)).unwrap_or(code);
    digits.parse().ok().filter(|status| (400..600).contains(status))
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
