//! Classification of Tencent Cloud's error codes.
//!
//! A message that is refused for good is stored in `dead/` until an operator looks at it. So a code is
//! `permanent` only if it concerns this message alone. `InvalidParameterValue` and similar codes also report
//! a wrong region, and the documentation does not fix the texts that tell the causes apart. Only the text of
//! a request is the message's own, and errors of the text have their own codes. So messages with the general
//! codes wait.
//!
//! <https://www.tencentcloud.com/document/api/1110/44129> (the API's own),
//! <https://trtc.io/document/34270> (common to all products).

use crate::queue::Class;
use crate::queue::failure::Scope;

/// Class of an error, and true if the message may be stored in spite of it.
type Kind = (Class, bool);

const SAFE: bool = false;
const MAYBE: bool = true;

/// Codes with their classification, sorted. A code that is not listed has the classification of its family,
/// the part before the first dot.
#[rustfmt::skip]
const CODES: [(&str, Kind); 45] = {
    use Class::{Ambiguous, Auth, AuthRefresh, ClockSkew, Config, Permanent, Permission, Quota, Throttle, TooLarge, Transient};
    [
        ("ActionOffline", (Config, SAFE)),
        ("AuthFailure", (Auth, SAFE)),
        ("AuthFailure.SignatureExpire", (ClockSkew, SAFE)),
        ("AuthFailure.TokenFailure", (AuthRefresh, SAFE)),
        ("AuthFailure.UnauthorizedOperation", (Permission, SAFE)),
        ("DryRunOperation", (Config, SAFE)),
        ("FailedOperation", (Transient, MAYBE)),
        ("FailedOperation.CreateProducerError", (Transient, SAFE)),
        ("FailedOperation.CreatePulsarClientError", (Transient, SAFE)),
        ("FailedOperation.MaxMessageSizeError", (TooLarge, SAFE)),
        ("FailedOperation.MessageIDError", (Config, SAFE)),
        ("FailedOperation.ReceiveError", (Transient, SAFE)),
        ("FailedOperation.ReceiveTimeout", (Transient, SAFE)),
        (TIMED_OUT, (Ambiguous, MAYBE)),
        ("FailedOperation.SendMsg", (Ambiguous, MAYBE)),
        ("FailedOperation.SendMsgFailed", (Ambiguous, MAYBE)),
        ("FailedOperation.TopicTypeError", (Config, SAFE)),
        ("InternalError", (Transient, MAYBE)),
        ("InternalError.IllegalMessage", (Permanent, SAFE)),
        ("InvalidAction", (Config, SAFE)),
        ("InvalidParameter", (Config, SAFE)),
        ("InvalidParameterValue", (Config, SAFE)),
        ("InvalidRequest", (Config, SAFE)),
        ("IpInBlacklist", (Permission, SAFE)),
        ("IpNotInWhitelist", (Permission, SAFE)),
        ("LimitExceeded", (Quota, SAFE)),
        ("MissingParameter", (Config, SAFE)),
        ("NoSuchProduct", (Config, SAFE)),
        ("NoSuchVersion", (Config, SAFE)),
        ("OperationDenied", (Config, SAFE)),
        ("RequestLimitExceeded", (Throttle, SAFE)),
        ("RequestSizeLimitExceeded", (TooLarge, SAFE)),
        ("ResourceInUse", (Transient, SAFE)),
        ("ResourceInsufficient", (Transient, SAFE)),
        ("ResourceNotFound", (Config, SAFE)),
        ("ResourceUnavailable", (Transient, SAFE)),
        ("ResourceUnavailable.FundRequired", (Quota, SAFE)),
        ("ResourcesSoldOut", (Quota, SAFE)),
        ("ResponseSizeLimitExceeded", (Ambiguous, MAYBE)),
        ("ServiceUnavailable", (Transient, MAYBE)),
        ("UnauthorizedOperation", (Permission, SAFE)),
        ("UnknownParameter", (Config, SAFE)),
        ("UnsupportedOperation", (Config, SAFE)),
        ("UnsupportedProtocol", (Config, SAFE)),
        ("UnsupportedRegion", (Config, SAFE)),
    ]
};

/// Codes, and families of codes, about parts that are the same in every request: host, action, version,
/// protocol, region, source address, and an account in arrears. Sorted.
const EVERYWHERE: [&str; 9] = [
    "ActionOffline",
    "InvalidAction",
    "IpInBlacklist",
    "IpNotInWhitelist",
    "NoSuchProduct",
    "NoSuchVersion",
    "ResourceUnavailable.FundRequired",
    "UnsupportedProtocol",
    "UnsupportedRegion",
];

/// Code of a message whose broker did not answer in time.
pub(super) const TIMED_OUT: &str = "FailedOperation.SendMessageTimeoutError";

/// Code of a request that was executed, but whose answer is too long to be sent.
pub(super) const UNSAID: &str = "ResponseSizeLimitExceeded";

/// Returns the breadth of an error: [`Scope::Api`] if messages to all topics meet it.
pub(super) fn scope(code: &str) -> Scope {
    let is_listed = |code: &str| EVERYWHERE.binary_search(&code).is_ok();
    if is_listed(code) || is_listed(family(code)) { Scope::Api } else { Scope::Topic }
}

/// Returns the part of a code before the first dot.
fn family(code: &str) -> &str {
    code.split('.').next().unwrap_or_default()
}

/// Returns the class of an error code, and true if the message may be stored in spite of it. An unknown
/// family counts as a passing fault.
pub fn classify(code: &str) -> (Class, bool) {
    let find = |code: &str| {
        let at = CODES.binary_search_by_key(&code, |(listed, _)| *listed).ok()?;
        CODES.get(at).map(|(_, kind)| *kind)
    };
    find(code).or_else(|| find(family(code))).unwrap_or((Class::Transient, MAYBE))
}

/// Returns what the operator should do, to put before the vendor's text; empty for most codes.
pub(super) fn advice(code: &str) -> &'static str {
    match code {
        "InvalidParameterValue.TopicNotFound" | "ResourceNotFound.Topic" => {
            "create the topic, or correct its name in hooks.toml (if it exists, write the other one of \
             persistent:// and non-persistent://)"
        }
        // Tencent's documentation contradicts itself on the kind that the API takes.
        "FailedOperation.TopicTypeError" => {
            "write the other one of persistent:// and non-persistent:// before the topic's name in hooks.toml"
        }
        "UnsupportedRegion" | "InvalidParameter.TenantNotFound" => {
            "the topic's cluster must be in the region that TDMQ_REGION or TENCENTCLOUD_REGION names"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_for_its_search() {
        assert!(CODES.is_sorted_by(|a, b| a.0 < b.0));
        assert!(EVERYWHERE.is_sorted());
        for code in EVERYWHERE {
            let (class, maybe_stored) = classify(code);
            let is_corrected = matches!(class, Class::Config | Class::Permission | Class::Quota);
            assert!(is_corrected && !maybe_stored, "{code}: somebody corrects it");
        }
    }

    #[test]
    fn unknown_codes_are_of_their_family() {
        assert_eq!(classify("RequestLimitExceeded.SomethingNew"), (Class::Throttle, SAFE));
        assert_eq!(classify("AuthFailure"), (Class::Auth, SAFE));
        assert_eq!(classify("AuthFailure.SomethingNew"), (Class::Auth, SAFE));
        assert_eq!(classify("SomethingNew.Entirely"), (Class::Transient, MAYBE));
        assert_eq!(classify(""), (Class::Transient, MAYBE));
    }
}
