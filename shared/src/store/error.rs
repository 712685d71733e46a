//! Why a store did not do what it was asked to.

use std::io::{self, ErrorKind};

use super::MAX_OBJECT;

/// What went wrong. None of them holds anything of an object or a credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A name that is not of the kind that this store takes: our own mistake.
    #[error("{0:?} is no object's name")]
    Name(String),
    /// An object over [`MAX_OBJECT`], or over what the store takes.
    #[error("the object is over {MAX_OBJECT} bytes, or over what the store takes")]
    TooLarge,
    /// No connection, a broken one, or a store that says it cannot serve now.
    #[error("the store cannot be reached: {0}")]
    Unreachable(String),
    /// Not done by the deadline; it may still come about.
    #[error("the store did not answer in time")]
    TimedOut,
    /// No room. User action: make some, or raise the quota.
    #[error("the store is full: {0}")]
    Full(String),
    /// The credentials are refused, or may not do this. User action: correct them or grant it.
    #[error("the store denies access: {0}")]
    Denied(String),
    /// Bucket, region, endpoint or credentials are missing or wrong. User action: correct them.
    #[error("the store is not set up: {0}")]
    Config(String),
    /// Too many requests.
    #[error("the store asks for fewer requests: {0}")]
    Throttled(String),
    /// The answer or the object is not what it says it is.
    #[error("the store's answer cannot be believed: {0}")]
    Corrupt(String),
    /// Anything else that another attempt would meet again.
    #[error("the store refuses: {0}")]
    Other(String),
}

impl StoreError {
    /// Whether the same call may succeed a little later with nobody doing anything about it.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::TimedOut | Self::Throttled(_) | Self::Corrupt(_))
    }

    /// The kind of failure, in one word.
    pub const fn class(&self) -> &'static str {
        match self {
            Self::Name(_) => "name",
            Self::TooLarge => "too_large",
            Self::Unreachable(_) => "unreachable",
            Self::TimedOut => "timed_out",
            Self::Full(_) => "full",
            Self::Denied(_) => "denied",
            Self::Config(_) => "config",
            Self::Throttled(_) => "throttled",
            Self::Corrupt(_) => "corrupt",
            Self::Other(_) => "other",
        }
    }

    /// Whether nobody answered: what is asked next will not be answered either.
    pub const fn is_silence(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::TimedOut)
    }

    /// Whether one object may be damaged; a store that is gone or refuses is so for all of them.
    pub(crate) const fn is_of_one(&self) -> bool {
        matches!(self, Self::Corrupt(_) | Self::TooLarge | Self::Other(_))
    }

    /// As [`is_of_one`](Self::is_of_one), or one object that nobody here may read.
    pub(crate) const fn may_be_of_one(&self) -> bool {
        self.is_of_one() || matches!(self, Self::Denied(_))
    }

    /// An operation of the file system that failed.
    pub(super) fn io(doing: &str, error: &io::Error) -> Self {
        let text = format!("cannot {doing}: {error}");
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => Self::Full(text),
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Self::Denied(text),
            ErrorKind::NotADirectory => Self::Config(text),
            ErrorKind::TimedOut
            | ErrorKind::NotConnected
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::StaleNetworkFileHandle
            | ErrorKind::Interrupted
            | ErrorKind::ResourceBusy => Self::Unreachable(text),
            _ => Self::Other(text),
        }
    }
}
