//! Meaning of an unsuccessful answer, and the next step after it.
//!
//! See <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>; the S3-compatible stores answer
//! with the same document, and a few codes of their own.

use std::time::Duration;

use crate::clock::Timestamp;
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
}

/// Next step after a failure, if another attempt may succeed. Every request may be repeated: it writes the
/// same bytes to the same name, or does not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}

impl S3Failure {
    /// Builds a failure that another attempt may not meet.
    pub(super) const fn again(error: StoreError) -> Self {
        Self { error, next: Next::Again(None), code: None, is_conflict: false }
    }

    pub(super) const fn last(error: StoreError) -> Self {
        Self { error, next: Next::Stop, code: None, is_conflict: false }
    }

    /// Reads the failure from an unsuccessful answer. `secrets` are kept out of the text.
    pub(super) fn of(answer: &Answer, secrets: &[&str]) -> Self {
        let field = |path: &str| xml::find(&answer.body, path).ok().flatten().map(|found| found.text);
        let code = field("Code").and_then(|code| id(&code));
        let mut text = format!("status {}", answer.status);
        if let Some(code) = &code {
            text = format!("{text} {code}: {}", clean(&field("Message").unwrap_or_default(), secrets));
        }
        // The answer may name the bucket's region if it is another one.
        let region = answer.header("x-amz-bucket-region").map(str::to_owned).or_else(|| field("Region"));
        if let (301 | 307 | 400, Some(region)) = (answer.status, region.and_then(|region| id(&region))) {
            text = format!("{text} (the bucket is in {region}: set S3_REGION)");
        }
        let kind = Kind::of(code.as_deref().unwrap_or_default(), answer.status);
        let (error, next) = kind.means(text, answer);
        Self { error, next, code, is_conflict: answer.status == 409 }
    }

    /// Converts a failure of the transport, without any answer.
    pub(super) fn transport(error: &TransportError, limit: usize) -> Self {
        match error {
            TransportError::TooLong(_) if limit == MAX_OBJECT => Self::last(StoreError::TooLarge),
            TransportError::TimedOut => Self::again(StoreError::TimedOut),
            TransportError::TooLong(_) => Self::last(StoreError::Corrupt(error.to_string())),
            TransportError::Unusable(..) => Self::last(StoreError::Config(clean(&error.to_string(), &[]))),
            _ => Self::again(StoreError::Unreachable(clean(&error.to_string(), &[]))),
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
    Full,
    TooLarge,
    NotImplemented,
    Other,
}

impl Kind {
    fn of(code: &str, status: u16) -> Self {
        Self::of_code(code).unwrap_or_else(|| Self::of_status(status))
    }

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
            "NoSuchBucket"
            | "InvalidBucketName"
            | "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException" => Self::Config,
            "QuotaExceeded" | "InsufficientStorageSpace" | "XMinioStorageFull" => Self::Full,
            "EntityTooLarge" => Self::TooLarge,
            "NotImplemented" => Self::NotImplemented,
            _ => return None,
        })
    }

    const fn of_status(status: u16) -> Self {
        match status {
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
            Self::Full => (StoreError::Full(text), Next::Stop),
            Self::TooLarge => (StoreError::TooLarge, Next::Stop),
            Self::NotImplemented => (StoreError::Other(text), Next::Unconditionally),
            // The condition is the only part of the request that a store may not support.
            Self::Other if answer.status == 400 => (StoreError::Other(text), Next::Unconditionally),
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
        let failure = S3Failure::transport(&error, 1);
        assert_eq!(failure.next, Next::Stop);
        let text = "https://s3.test cannot be used: its certificate …".to_owned();
        assert_eq!(failure.error, StoreError::Config(text));
        let error = TransportError::Connect("https://s3.test".to_owned(), "refused".to_owned());
        assert_eq!(S3Failure::transport(&error, 1).next, Next::Again(None));
    }
}
