//! What Tencent's error codes mean for us.
//!
//! <https://www.tencentcloud.com/document/api/1110/44129> (the API's own),
//! <https://trtc.io/document/34270> (common to all products).

use crate::queue::Class;

/// A class, and whether the message may have been stored all the same.
type Kind = (Class, bool);

const SAFE: bool = false;
const MAYBE: bool = true;

/// Sorted. A code that is not listed is of its family's kind: the part before the first dot.
#[rustfmt::skip]
const CODES: [(&str, Kind); 50] = {
    use Class::{Ambiguous, Auth, AuthRefresh, ClockSkew, Config, Permanent, Permission, Quota, Throttle, TooLarge, Transient};
    [
        ("ActionOffline", (Permanent, SAFE)),
        ("AuthFailure", (Auth, SAFE)),
        ("AuthFailure.SignatureExpire", (ClockSkew, SAFE)),
        ("AuthFailure.TokenFailure", (AuthRefresh, SAFE)),
        ("AuthFailure.UnauthorizedOperation", (Permission, SAFE)),
        ("DryRunOperation", (Permanent, SAFE)),
        ("FailedOperation", (Transient, MAYBE)),
        ("FailedOperation.CreateProducerError", (Transient, SAFE)),
        ("FailedOperation.CreatePulsarClientError", (Transient, SAFE)),
        ("FailedOperation.MaxMessageSizeError", (TooLarge, SAFE)),
        ("FailedOperation.MessageIDError", (Permanent, SAFE)),
        ("FailedOperation.ReceiveError", (Transient, SAFE)),
        ("FailedOperation.ReceiveTimeout", (Transient, SAFE)),
        ("FailedOperation.SendMessageTimeoutError", (Ambiguous, MAYBE)),
        ("FailedOperation.SendMsg", (Ambiguous, MAYBE)),
        ("FailedOperation.SendMsgFailed", (Ambiguous, MAYBE)),
        ("FailedOperation.TopicTypeError", (Config, SAFE)),
        ("InternalError", (Transient, MAYBE)),
        ("InternalError.IllegalMessage", (Permanent, SAFE)),
        ("InvalidAction", (Permanent, SAFE)),
        ("InvalidParameter", (Permanent, SAFE)),
        ("InvalidParameter.TenantNotFound", (Config, SAFE)),
        ("InvalidParameter.TokenNotFound", (Config, SAFE)),
        ("InvalidParameterValue", (Permanent, SAFE)),
        ("InvalidParameterValue.TopicNotFound", (Config, SAFE)),
        ("InvalidRequest", (Permanent, SAFE)),
        ("IpInBlacklist", (Permission, SAFE)),
        ("IpNotInWhitelist", (Permission, SAFE)),
        ("LimitExceeded", (Quota, SAFE)),
        ("MissingParameter", (Permanent, SAFE)),
        ("NoSuchProduct", (Config, SAFE)),
        ("NoSuchVersion", (Permanent, SAFE)),
        ("OperationDenied.ConsumerRunning", (Permanent, SAFE)),
        ("OperationDenied.DefaultEnvironment", (Permanent, SAFE)),
        ("RequestLimitExceeded", (Throttle, SAFE)),
        ("RequestSizeLimitExceeded", (TooLarge, SAFE)),
        ("ResourceInUse", (Transient, SAFE)),
        ("ResourceInsufficient", (Transient, SAFE)),
        ("ResourceNotFound", (Config, SAFE)),
        ("ResourceUnavailable", (Transient, SAFE)),
        ("ResourceUnavailable.CreateFailed", (Permanent, SAFE)),
        ("ResourceUnavailable.FundRequired", (Quota, SAFE)),
        ("ResourcesSoldOut", (Quota, SAFE)),
        ("ResponseSizeLimitExceeded", (Ambiguous, MAYBE)),
        ("ServiceUnavailable", (Transient, MAYBE)),
        ("UnauthorizedOperation", (Permission, SAFE)),
        ("UnknownParameter", (Permanent, SAFE)),
        ("UnsupportedOperation", (Permanent, SAFE)),
        ("UnsupportedProtocol", (Permanent, SAFE)),
        ("UnsupportedRegion", (Config, SAFE)),
    ]
};

/// The class of an error code, and whether the message may have been stored all the same. A family
/// that nobody knows is taken for a passing fault.
pub fn classify(code: &str) -> (Class, bool) {
    let find = |code: &str| {
        let at = CODES.binary_search_by_key(&code, |(listed, _)| *listed).ok()?;
        CODES.get(at).map(|(_, kind)| *kind)
    };
    let family = code.split('.').next().unwrap_or_default();
    find(code).or_else(|| find(family)).unwrap_or((Class::Transient, MAYBE))
}

/// Advice to go with the vendor's text.
pub(super) fn advice(code: &str) -> &'static str {
    match code {
        "FailedOperation.TopicTypeError"
        | "InvalidParameterValue.TopicNotFound"
        | "ResourceNotFound.Topic" => {
            "; Tencent's documentation contradicts itself on whether this API takes persistent or \
             non-persistent topics: if the topic exists and is partitioned, try the other one of \
             persistent:// and non-persistent://"
        }
        "UnsupportedRegion" | "InvalidParameter.TenantNotFound" => {
            "; the topic's cluster must be in the region that TDMQ_REGION or TENCENTCLOUD_REGION names"
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
