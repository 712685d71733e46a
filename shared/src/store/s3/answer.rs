//! What an answer that is no success means, and what to do next.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>; the S3-compatible stores
//! answer with the same document, and a few codes of their own.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::net::answer::{Answer, clean, id};
use crate::net::transport::TransportError;
use crate::store::{MAX_OBJECT, StoreError};
use crate::xml;

/// One attempt that did not do it.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: StoreError,
    pub(super) next: Next,
    /// The error's code, if the answer has one.
    pub(super) code: Option<String>,
    /// The store is busy with the same object.
    pub(super) is_conflict: bool,
}

/// Whether another attempt may do better, and what it must do otherwise. Every request is one that may
/// be repeated: a write of the same bytes to the same name, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The same would come out.
    Stop,
    /// After a while, on a connection of its own; not before the store wants to be asked.
    Again(Option<Duration>),
    /// With the store's time.
    ByClock(Option<Timestamp>),
    /// With the credentials that the environment has by then, if they are others.
    WithOtherCredentials,
    /// Without the condition.
    Unconditionally,
}

impl Failure {
    /// A failure that another attempt may not meet.
    pub(super) const fn again(error: StoreError) -> Self {
        Self { error, next: Next::Again(None), code: None, is_conflict: false }
    }

    pub(super) const fn last(error: StoreError) -> Self {
        Self { error, next: Next::Stop, code: None, is_conflict: false }
    }

    /// What an answer says that is no success. `secrets` are kept out of the text.
    pub(super) fn of(answer: &Answer, secrets: &[&str]) -> Self {
        let field = |path: &str| xml::find(&answer.body, path).ok().flatten().map(|found| found.text);
        let code = field("Code").and_then(|code| id(&code));
        let mut text = format!("status {}", answer.status);
        if let Some(code) = &code {
            text = format!("{text} {code}: {}", clean(&field("Message").unwrap_or_default(), secrets));
        }
        // Where the bucket is, if it is elsewhere.
        let region = answer.header("x-amz-bucket-region").map(str::to_owned).or_else(|| field("Region"));
        if let (301 | 307 | 400, Some(region)) = (answer.status, region.and_then(|region| id(&region))) {
            text = format!("{text} (the bucket is in {region}: set S3_REGION)");
        }
        let kind = Kind::of(code.as_deref().unwrap_or_default(), answer.status);
        let (error, next) = kind.means(text, answer);
        Self { error, next, code, is_conflict: answer.status == 409 }
    }

    /// No answer.
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

/// What a code or a status is about.
#[derive(Clone, Copy)]
enum Kind {
    Unavailable,
    Throttled,
    /// What arrived was not what was signed; the next attempt's bytes may fare better.
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

    /// Codes that say more than their status, or something else.
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
            // A redirect is another region's; nothing there is what was asked for.
            300..=399 | 404 | 405 => Self::Config,
            401 | 403 => Self::Denied,
            413 => Self::TooLarge,
            429 => Self::Throttled,
            501 => Self::NotImplemented,
            507 => Self::Full,
            // A conflict, a lock and what is too early pass, whatever else the store says about them.
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
            // The condition is the one thing of ours that a store may not take.
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
        let failure = Failure::transport(&error, 1);
        assert_eq!(failure.next, Next::Stop);
        let text = "https://s3.test cannot be used: its certificate …".to_owned();
        assert_eq!(failure.error, StoreError::Config(text));
        let error = TransportError::Connect("https://s3.test".to_owned(), "refused".to_owned());
        assert_eq!(Failure::transport(&error, 1).next, Next::Again(None));
    }
}
