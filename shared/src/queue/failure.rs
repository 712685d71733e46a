//! What one attempt came to: a stored message, or a failure that tells what to do next.

use std::time::Duration;

use super::Class;
use crate::clock::Timestamp;
use crate::net::answer::{Answer, clean};
use crate::net::transport::TransportError;

impl Answer {
    /// The failure that an answer is whose body is not the API's: it comes from something on the
    /// way, and only statuses that mean the same from anybody are believed.
    pub(super) fn foreign(&self) -> Failure {
        let unread = self.is_2xx();
        let (class, scope) = match self.status {
            200..300 | 408 | 504 => (Class::Ambiguous, Scope::Topic),
            401 => (Class::Auth, Scope::Topic),
            402 => (Class::Quota, Scope::Topic),
            // The proxy's own log-in.
            407 => (Class::Config, Scope::Api),
            413 => (Class::TooLarge, Scope::Topic),
            status if is_about_head(status) => (Class::Config, Scope::Api),
            429 => (Class::Throttle, Scope::Topic),
            _ => (Class::Transient, Scope::Topic),
        };
        let detail = match self.coding() {
            Some(coding) => {
                let coding = clean(coding, &[]);
                format!(
                    "status {}, and the answer is compressed ({coding}), which was not asked for",
                    self.status
                )
            }
            None => format!("status {} with a body that is not the API's", self.status),
        };
        Failure {
            maybe_stored: class == Class::Ambiguous || self.status >= 500,
            retry_after: self.retry_after(),
            scope,
            unread,
            timed_out: matches!(self.status, 408 | 504),
            ..Failure::new(class, detail)
        }
    }
}

/// Whether a status is about the address or the header fields of a request: those are of one size
/// whatever the message, so no message is too large by it.
pub(super) const fn is_about_head(status: u16) -> bool {
    matches!(status, 414 | 431 | 494)
}

/// The vendor named the stored message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The vendor's message id.
    pub message_id: String,
    /// The vendor's request id.
    pub request_id: Option<String>,
}

/// One request that was answered.
pub(super) struct Exchange {
    pub answer: Answer,
    /// What the vendor says by it.
    pub meaning: Result<Accepted, Failure>,
}

/// How far the cause of a failure reaches, where the next message meets it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Messages to the same topic; what is not known for certain reaches no further.
    Topic,
    /// Messages to any topic.
    Api,
}

/// What somebody locks who is refused too often, and so how soon a refused key is tried again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lock {
    /// Nothing: a new key may not be known everywhere yet.
    #[default]
    Nothing,
    /// The key, after a few refusals: the API gateway of DMS.
    Key,
    /// The user, after a few logins in some minutes: IAM.
    User,
}

/// One attempt that did not store the message, as far as we know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Failure {
    /// What decides everything.
    pub class: Class,
    /// The vendor's error code.
    pub code: Option<String>,
    /// What happened: no secret, no message text.
    pub detail: String,
    /// The vendor's request id.
    pub request_id: Option<String>,
    /// How long the vendor asked us to wait.
    pub retry_after: Option<Duration>,
    /// Whether the message may have been stored all the same.
    pub maybe_stored: bool,
    /// The vendor's time, where the failure is about ours.
    pub server_time: Option<Timestamp>,
    /// Whether no connection could be made.
    pub unreachable: bool,
    /// Which messages will meet the same.
    pub scope: Scope,
    /// Whether it may be a success that we cannot read: an answer came, and what it says is lost.
    pub unread: bool,
    /// Whether nobody said in time what became of the message: another attempt may well be another copy.
    pub timed_out: bool,
    /// What is locked after a few such failures, if it is about the key.
    pub lock: Lock,
}

impl Failure {
    /// A failure without an answer: nothing was sent.
    pub(super) fn new(class: Class, detail: impl Into<String>) -> Self {
        Self {
            class,
            code: None,
            detail: detail.into(),
            request_id: None,
            retry_after: None,
            maybe_stored: false,
            server_time: None,
            unreachable: false,
            scope: Scope::Topic,
            unread: false,
            timed_out: false,
            lock: Lock::Nothing,
        }
    }
}

impl From<TransportError> for Failure {
    fn from(error: TransportError) -> Self {
        let unreachable = matches!(error, TransportError::Connect(..));
        let lasts = matches!(error, TransportError::Unusable(..));
        let unwritten = unreachable || lasts || matches!(error, TransportError::Busy);
        let class = match unwritten {
            true if lasts => Class::Config,
            true => Class::Transient,
            false => Class::Ambiguous,
        };
        // Whatever the message, the endpoint would be the same.
        let scope = if lasts { Scope::Api } else { Scope::Topic };
        let unread = matches!(error, TransportError::TooLong(_) | TransportError::Unreadable(_));
        let timed_out = matches!(error, TransportError::TimedOut);
        let failure = Self::new(class, clean(&error.to_string(), &[]));
        Self { unreachable, unread, timed_out, scope, maybe_stored: !unwritten, ..failure }
    }
}
