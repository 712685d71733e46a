//! Outcome of one attempt: a stored message, or a failure that decides on the next step.

use std::time::Duration;

use super::Class;
use crate::clock::Timestamp;
use crate::message::Message;
use crate::net::answer::{Answer, clean, without_message};
use crate::net::transport::TransportError;

impl Answer {
    /// Classifies an answer whose body does not come from the API: a proxy on the way gave it. Only statuses
    /// that have the same meaning from every server decide on the class.
    pub(super) fn foreign(&self) -> Failure {
        let unread = self.is_2xx();
        let (class, scope) = match self.status {
            200..300 | 408 | 504 => (Class::Ambiguous, Scope::Topic),
            401 => (Class::Auth, Scope::Topic),
            402 => (Class::Quota, Scope::Topic),
            // Status 407 asks for the proxy's own log-in.
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

/// Returns true if a status is about the address or the header fields of a request. Their size does not
/// depend on the message, so such a status does not say that the message is too large.
pub(super) const fn is_about_head(status: u16) -> bool {
    matches!(status, 414 | 431 | 494)
}

/// Success of an attempt: the ids with which the vendor confirms a stored message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Message id, as the vendor gives it.
    pub message_id: String,
    /// Request id of the vendor, if its answer names one.
    pub request_id: Option<String>,
    /// True if the queue has no copy of the message on another machine, although it is set up to make one.
    pub is_uncopied: bool,
}

/// Parts of a request that an answer may repeat, and that reach no log.
#[derive(Clone, Copy, Debug, Default)]
pub struct Private<'a> {
    /// Secrets that signed the request.
    pub secrets: &'a [&'a str],
    /// Message that was sent; its topic may be told.
    pub message: Option<&'a Message>,
}

impl Private<'_> {
    /// Cleans the vendor's text for a log: the result is short, and has neither control characters nor anything
    /// private. Our own words are not cleaned, because a message may have the same words by chance.
    pub(super) fn clean(&self, text: &str) -> String {
        let text = clean(text, self.secrets);
        match self.message {
            Some(message) => without_message(text, &message.text, &message.topic),
            None => text,
        }
    }
}

/// Answered request of an attempt.
pub(super) struct Exchange {
    pub answer: Answer,
    /// Meaning of the answer in the API's terms.
    pub meaning: Result<Accepted, Failure>,
}

/// Breadth of a failure's cause, if the next message meets the same failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Messages to the same topic, also if the breadth is not known for certain.
    Topic,
    /// Messages to any topic.
    Api,
}

/// Lock-out after repeated refusals of a key; it decides how soon a refused key is tried again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lock {
    /// Absence of a lock-out. The key is soon tried again, because a new key may not be known everywhere yet.
    #[default]
    Nothing,
    /// Lock-out of the key after a few refusals, by the API gateway of DMS.
    Key,
    /// Lock-out of the user after a few logins in some minutes, by IAM.
    User,
}

/// Failure of one attempt: it did not store the message, as far as known.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Failure {
    /// Class of the failure, which decides on retry, answer and alarm.
    pub class: Class,
    /// Error code of the vendor, if its answer has one.
    pub code: Option<String>,
    /// Description of the failure, without any secret or message text.
    pub detail: String,
    /// Request id of the vendor, if its answer has one.
    pub request_id: Option<String>,
    /// Wait until the next attempt that the vendor asked for.
    pub retry_after: Option<Duration>,
    /// True if the message may be stored in spite of the failure.
    pub maybe_stored: bool,
    /// Time of the vendor's clock, for a failure that this machine's clock causes.
    pub server_time: Option<Timestamp>,
    /// True if no connection could be made.
    pub unreachable: bool,
    /// Messages that will meet the same failure.
    pub scope: Scope,
    /// True if an answer came that cannot be read: it may have confirmed the message.
    pub unread: bool,
    /// True if no answer came in time: another attempt may well store another copy.
    pub timed_out: bool,
    /// True if no further attempt is made, whatever the class says.
    pub is_last: bool,
    /// Lock-out that a few such failures cause, if the failure is about the key.
    pub lock: Lock,
}

impl Failure {
    /// Builds a failure without an answer: no part of the message was sent.
    pub fn new(class: Class, detail: impl Into<String>) -> Self {
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
            is_last: false,
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
        // An unusable endpoint fails for every message.
        let scope = if lasts { Scope::Api } else { Scope::Topic };
        let unread = matches!(error, TransportError::TooLong(_) | TransportError::Unreadable(_));
        let timed_out = matches!(error, TransportError::TimedOut);
        let failure = Self::new(class, clean(&error.to_string(), &[]));
        Self { unreachable, unread, timed_out, scope, maybe_stored: !unwritten, ..failure }
    }
}
