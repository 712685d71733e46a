//! Meaning of an unsuccessful answer, and the next step after it.
//!
//! See <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>; the S3-compatible stores answer
//! with the same document, and a few codes of their own.

use std::time::Duration;

use super::settings::REGION;
use crate::clock::Timestamp;
use crate::env::PATH_STYLE;
use crate::net::answer::{Answer, clean, id};
use crate::net::transport::TransportError;
use crate::store::{MAX_OBJECT, StoreError};
use crate::xml;

/// Failure of one attempt.
#[derive(Debug)]
pub(super) struct S3Failure {
    pub(super) error: StoreError,
    pub(super) next: Next,
    /// Code of the error, if the answer has one.
    pub(super) code: Option<String>,
    /// True if the store is busy with another request for the same object.
    pub(super) is_conflict: bool,
    /// True if the cause may be a condition in the request: a refusal whose code names no other cause.
    pub(super) may_be_of_condition: bool,
}

/// Next step after a failure, if another attempt may succeed. Every request may be repeated: it writes the
/// same bytes to the same name, or does not write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// End of the attempts: the result would be the same.
    Stop,
    /// Further attempt after a while, on a connection of its own, not before the delay that the store asks
    /// for.
    Again(Option<Duration>),
    /// Further attempt with the time of the store's clock.
    ByClock(Option<Timestamp>),
    /// Further attempt with the environment's current credentials, if they have changed.
    WithOtherCredentials,
    /// Further attempt without the condition that the object is new.
    Unconditionally,
    /// Further attempt at the address to which the store redirects for a while.
    Elsewhere(Option<String>),
}

impl S3Failure {
    /// Builds a failure that another attempt may not meet.
    pub(super) const fn again(error: StoreError) -> Self {
        Self::new(error, Next::Again(None))
    }

    pub(super) const fn last(error: StoreError) -> Self {
        Self::new(error, Next::Stop)
    }

    const fn new(error: StoreError, next: Next) -> Self {
        Self { error, next, code: None, is_conflict: false, may_be_of_condition: false }
    }

    /// Reads the failure from an unsuccessful answer. `secrets` are kept out of the text.
    pub(super) fn of(answer: &Answer, secrets: &[&str]) -> Self {
        let field = |path: &str| xml::find(&answer.body, path).ok().flatten().map(|found| found.text);
        let code = field("Code").and_then(|code| id(&code));
        let is_about_region = field("EC").is_some_and(|code| code == OSS_REGION)
            || code.as_deref().is_some_and(|code| REGION_CODES.contains(&code));
        let mut text = format!("status {}", answer.status);
        if let Some(code) = &code {
            text = format!("{text} {code}: {}", clean(&field("Message").unwrap_or_default(), secrets));
        }
        // The answer may name the bucket's region if it is another one.
        let region = answer.header("x-amz-bucket-region").map(str::to_owned).or_else(|| field("Region"));
        match region.and_then(|region| id(&region)) {
            Some(region) if matches!(answer.status, 301 | 307 | 400) => {
                text = format!("{text} (the bucket is in {region}: set {REGION})");
            }
            _ if is_about_region => {
                text = format!("{text} (set {REGION} to the store's name for its region)");
            }
            _ => {}
        }
        // The vendor's support asks for these.
        let mut begin = " (request ";
        for name in REQUEST_IDS {
            if let Some(id) = answer.header(name).and_then(id) {
                text += begin;
                text += &id;
                begin = " ";
            }
        }
        match field("RequestId").and_then(|text| id(&text)) {
            _ if begin == " " => text.push(')'),
            Some(id) => {
                text += begin;
                text += &id;
                text.push(')');
            }
            None => {}
        }
        let of_code =
            if is_about_region { Some(Kind::Config) } else { code.as_deref().and_then(Kind::of_code) };
        let kind = of_code.unwrap_or_else(|| Kind::of_status(answer.status));
        // What a store or a gateway says of a header field that it does not know is not agreed upon.
        let is_refusal =
            (400..500).contains(&answer.status) && matches!(kind, Kind::Denied | Kind::Config | Kind::Other);
        let may_be_of_condition = is_refusal && of_code.is_none();
        let (error, next) = kind.means(text, answer);
        Self { error, next, code, is_conflict: answer.status == 409, may_be_of_condition }
    }

    /// Converts a failure of the transport, without any answer. `is_in_front` is true if the bucket was put
    /// before the endpoint's host, which may not exist then.
    pub(super) fn transport(error: &TransportError, limit: usize, is_in_front: bool) -> Self {
        let mut text = clean(&error.to_string(), &[]);
        if is_in_front && matches!(error, TransportError::Connect(..) | TransportError::Unusable(..)) {
            text = format!("{text} (set {PATH_STYLE}=1 if the store has no host for each bucket)");
        }
        match error {
            TransportError::TooLong(_) if limit == MAX_OBJECT => Self::last(StoreError::TooLarge),
            TransportError::TimedOut => Self::again(StoreError::TimedOut),
            TransportError::TooLong(_) => Self::last(StoreError::Corrupt(text)),
            TransportError::Unusable(..) => Self::last(StoreError::Config(text)),
            _ => Self::again(StoreError::Unreachable(text)),
        }
    }
}

/// Kind of failure that a code or a status stands for.
#[derive(Clone, Copy)]
enum Kind {
    Unavailable,
    Throttled,
    /// Difference between the arrived and the signed bytes; the next attempt's bytes may arrive intact.
    Altered,
    Skewed,
    Denied,
    Config,
    /// Redirect for a while, until all names of a young bucket are known.
    Moved,
    Full,
    TooLarge,
    NotImplemented,
    Other,
}

/// Header fields with a store's ids of a request.
const REQUEST_IDS: [&str; 5] =
    ["x-amz-request-id", "x-amz-id-2", "x-cos-request-id", "x-obs-request-id", "x-oss-request-id"];

/// Codes with which stores refuse the region of a signature.
const REGION_CODES: [&str; 4] = [
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "InvalidRegionName",
    "InvalidRegion",
];

/// Code of the same refusal in OSS's own list, beside the `Code` of any wrong argument.
const OSS_REGION: &str = "0002-00000226";

impl Kind {
    /// Classifies codes that say more than their status, or something else.
    fn of_code(code: &str) -> Option<Self> {
        Some(match code {
            "RequestTimeout" | "ConditionalRequestConflict" | "OperationAborted" | "InternalError" => {
                Self::Unavailable
            }
            "SlowDown"
            | "Throttling"
            | "ThrottlingException"
            | "RequestLimitExceeded"
            | "TooManyRequests"
            | "BandwidthLimitExceeded" => Self::Throttled,
            "BadDigest" | "XAmzContentSHA256Mismatch" | "IncompleteBody" => Self::Altered,
            "RequestTimeTooSkewed" => Self::Skewed,
            "InvalidToken" | "ExpiredToken" | "TokenRefreshRequired" | "InvalidAccessKeyId" => Self::Denied,
            "NoSuchBucket" | "InvalidBucketName" | "PermanentRedirect" => Self::Config,
            "TemporaryRedirect" => Self::Moved,
            "QuotaExceeded" | "InsufficientStorageSpace" | "XMinioStorageFull" => Self::Full,
            "EntityTooLarge" => Self::TooLarge,
            "NotImplemented" => Self::NotImplemented,
            _ => return None,
        })
    }

    const fn of_status(status: u16) -> Self {
        match status {
            307 => Self::Moved,
            // A redirect points to another region; the requested object is not there.
            300..=399 | 404 | 405 => Self::Config,
            401 | 403 => Self::Denied,
            413 => Self::TooLarge,
            429 => Self::Throttled,
            501 => Self::NotImplemented,
            507 => Self::Full,
            // Conflicts, locks and early requests pass, regardless of the code.
            408 | 409 | 423 | 425 | 500..=599 => Self::Unavailable,
            _ => Self::Other,
        }
    }

    fn means(self, text: String, answer: &Answer) -> (StoreError, Next) {
        let again = Next::Again(answer.retry_after());
        match self {
            Self::Unavailable => (StoreError::Unreachable(text), again),
            Self::Throttled => (StoreError::Throttled(text), again),
            Self::Altered => (StoreError::Corrupt(text), again),
            Self::Skewed => (StoreError::Denied(text), Next::ByClock(answer.date())),
            Self::Denied => (StoreError::Denied(text), Next::WithOtherCredentials),
            Self::Config => (StoreError::Config(text), Next::Stop),
            Self::Moved => {
                (StoreError::Config(text), Next::Elsewhere(answer.header("location").map(str::to_owned)))
            }
            Self::Full => (StoreError::Full(text), Next::Stop),
            Self::TooLarge => (StoreError::TooLarge, Next::Stop),
            Self::NotImplemented => (StoreError::Other(text), Next::Unconditionally),
            Self::Other => (StoreError::Other(text), Next::Stop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_repetition_mends_ends_at_once() {
        let error = TransportError::Unusable("https://s3.test".to_owned(), "its certificate …".to_owned());
        let failure = S3Failure::transport(&error, 1, false);
        assert_eq!(failure.next, Next::Stop);
        let text = "https://s3.test cannot be used: its certificate …".to_owned();
        assert_eq!(failure.error, StoreError::Config(text));
        let error = TransportError::Connect("https://s3.test".to_owned(), "refused".to_owned());
        assert_eq!(S3Failure::transport(&error, 1, false).next, Next::Again(None));
    }
}
