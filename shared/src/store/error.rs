//! Errors of the stores.

use std::io::{self, ErrorKind};

use super::MAX_OBJECT;

/// Failure of a store's operation. It holds nothing of an object or a credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Invalid name of an object: a mistake of this crate.
    #[error("{0:?} is not an object's name")]
    Name(String),
    /// An object larger than [`MAX_OBJECT`], or larger than the store takes.
    #[error("the object is over {MAX_OBJECT} bytes, or over what the store takes")]
    TooLarge,
    /// A failed or broken connection, or a store that reports to be unavailable.
    #[error("the store cannot be reached: {0}")]
    Unreachable(String),
    /// Operation that was not done by the deadline; it may still take effect.
    #[error("the store did not answer in time")]
    TimedOut,
    /// Full store. User action: free some room, or raise the quota.
    #[error("the store is full: {0}")]
    Full(String),
    /// Refused credentials, or credentials without the permission. User action: correct the credentials, or
    /// grant them the operation.
    #[error("the store denies access: {0}")]
    Denied(String),
    /// Missing or wrong bucket, region, endpoint or credentials. User action: correct the settings.
    #[error("the store is not set up: {0}")]
    Config(String),
    /// Throttling: the store got too many requests.
    #[error("the store asks for fewer requests: {0}")]
    Throttled(String),
    /// Answer or object that contradicts itself, or is damaged.
    #[error("the store's answer cannot be trusted: {0}")]
    Corrupt(String),
    /// Any other failure that another attempt would meet again.
    #[error("the store refuses: {0}")]
    Other(String),
}

impl StoreError {
    /// Returns true if the same call may succeed a little later without human action.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::TimedOut | Self::Throttled(_) | Self::Corrupt(_))
    }

    /// Returns the kind of failure in one word.
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

    /// Returns true if the store did not answer: it will not answer the next call either.
    pub const fn is_silence(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::TimedOut)
    }

    /// Returns true if the failure may concern one damaged object; an absent or refusing store fails for all
    /// objects.
    pub(crate) const fn is_of_one(&self) -> bool {
        matches!(self, Self::Corrupt(_) | Self::TooLarge | Self::Other(_))
    }

    /// Returns true like [`is_of_one`](Self::is_of_one), and also if access to the one object may be denied.
    pub(crate) const fn may_be_of_one(&self) -> bool {
        self.is_of_one() || matches!(self, Self::Denied(_))
    }

    /// Converts a failed operation of the file system.
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
