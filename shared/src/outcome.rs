//! Results of requests, and of the redriver's runs.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use tokio::time::Instant;

use crate::http::Response;
use crate::problem::Problem;
use crate::queue::failure::Failure;
use crate::queue::{Class, Target};
use crate::store::StoreError;

/// Upper bound on the different reasons in a summary.
const MAX_REASONS: usize = 20;

/// Result of a request, as the log counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Message that the queue has stored.
    Accepted,
    /// Delivery in the spill store, to be sent later.
    Spilled,
    /// Delivery in the spill store for a person to inspect, because the queue does not take it as it is.
    Dead,
    /// Delivery that was sent before and is not sent again.
    Repeated,
    /// Verified delivery of an event that the hook does not want.
    Ignored,
    /// Handshake of a provider, which was answered.
    Handshake,
    /// Request that is not authentic.
    Rejected,
    /// Request refused before verification, because of its path, its method or its size.
    Refused,
    /// Verified delivery that cannot become a message.
    Unprocessable,
    /// Delivery over the size limit of the queue.
    TooLarge,
    /// Verified delivery over the hook's rate. The sender is asked to try again.
    Limited,
    /// Verified delivery that could not be stored, through a fault of the service or of the vendor. The
    /// sender is asked to try again.
    Unavailable,
    /// Request of unknown origin, which could not be verified because its key or a secret could not be read.
    /// The sender is asked to try again.
    Unverified,
    /// Verified delivery whose processing was cancelled, by a panic or the end of the process. The sender got
    /// no answer, and a message that was on its way may be stored.
    Cancelled,
}

impl Outcome {
    /// Returns the name of the outcome in the log and the metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Spilled => "spilled",
            Self::Dead => "dead",
            Self::Repeated => "repeated",
            Self::Ignored => "ignored",
            Self::Handshake => "handshake",
            Self::Rejected => "rejected",
            Self::Refused => "refused",
            Self::Unprocessable => "unprocessable",
            Self::TooLarge => "too_large",
            Self::Limited => "limited",
            Self::Unavailable => "unavailable",
            Self::Unverified => "unverified",
            Self::Cancelled => "cancelled",
        }
    }

    /// Returns true if the answer acknowledges a delivery.
    pub(crate) const fn is_ack(self) -> bool {
        matches!(self, Self::Accepted | Self::Spilled | Self::Dead | Self::Repeated | Self::Ignored)
    }
}

/// Explanation of an outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// A word of a fixed set: an error's class, or a rejection's or a problem's name.
    pub class: &'static str,
    /// A sentence without values from the request.
    pub reason: Option<String>,
    /// Age in seconds of a request that is refused for its age; negative if its timestamp is ahead.
    pub age_s: Option<i64>,
}

impl Why {
    /// Explains an outcome by a class alone.
    pub const fn bare(class: &'static str) -> Self {
        Self { class, reason: None, age_s: None }
    }

    /// Explains an outcome by a class and a sentence.
    pub fn new(class: &'static str, reason: impl Into<String>) -> Self {
        Self { class, reason: Some(reason.into()), age_s: None }
    }
}

/// Sends of a delivery, to all of its targets together.
#[derive(Clone, Debug, Default)]
pub struct Sends {
    /// Number of attempts to send the message.
    pub attempts: u32,
    /// True if a message that was answered 503 may have been stored anyway.
    pub maybe_stored: bool,
    /// Failure that decides on the answer; of all targets, the one that is worst.
    pub failure: Option<Box<Failure>>,
    /// Target to which the message goes, if it is the only one.
    pub target: Option<Target>,
    /// Topic of the message, if there is one target.
    pub topic: Option<String>,
    /// Id of the message in the vendor's queue.
    pub message_id: Option<String>,
    /// Request id of the vendor that came with the message id.
    pub receipt_request_id: Option<String>,
    /// Name of the object that holds the delivery, or the request in quarantine.
    pub object: Option<String>,
    /// Time at which the message was rendered.
    pub rendered: Option<Instant>,
    /// Time at which sending ended without success.
    pub sent: Option<Instant>,
}

impl Sends {
    /// Returns the vendor's error code.
    pub fn code(&self) -> Option<&str> {
        self.failure.as_ref()?.code.as_deref()
    }

    /// Returns the vendor's id of the request that stored the message, or that failed.
    pub fn vendor_request_id(&self) -> Option<&str> {
        let failed = self.failure.as_ref().and_then(|failure| failure.request_id.as_deref());
        self.receipt_request_id.as_deref().or(failed)
    }
}

/// End of a request: what happened, why, and the answer. It is logged and counted once.
#[derive(Debug)]
pub struct Ending {
    /// Result of the request.
    pub outcome: Outcome,
    /// Explanation of a result that needs one.
    pub why: Option<Why>,
    /// Sends of the delivery, if there were any.
    pub sends: Sends,
    /// Answer to the sender.
    pub answer: Result<Response, Problem>,
}

impl Ending {
    /// Ends a request with an answer.
    pub fn answered(outcome: Outcome, answer: Response) -> Self {
        Self { outcome, why: None, sends: Sends::default(), answer: Ok(answer) }
    }

    /// Ends a request with a problem.
    pub fn refused(outcome: Outcome, problem: Problem) -> Self {
        Self { outcome, why: None, sends: Sends::default(), answer: Err(problem) }
    }

    /// Explains the ending.
    #[must_use]
    pub fn because(self, why: Why) -> Self {
        Self { why: Some(why), ..self }
    }

    /// Returns the HTTP status of the answer.
    pub fn status(&self) -> u16 {
        self.answer.as_ref().map_or_else(|problem| problem.status(), |answer| answer.status)
    }
}

/// Counts of a run's work.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Deliveries that the run found in the store.
    pub found: usize,
    /// Deliveries that were sent and deleted from the store.
    pub sent: usize,
    /// Deliveries that had been sent before, by the mark of a hook with `dedupe`, or were gone already; they
    /// are deleted.
    pub repeated: usize,
    /// Deliveries that were moved to `dead/`.
    pub dead: usize,
    /// Deliveries whose attempt failed.
    pub failed: usize,
    /// Deliveries that were not due yet, or not begun before the run ended.
    pub waiting: usize,
    /// Objects that are not deliveries, or incomplete ones; they stay.
    pub corrupt: usize,
    /// Failures of the store.
    pub store_errors: usize,
    /// Hooks that could not be listed, or not to their end: their deliveries wait, and the run has failed.
    pub unlisted: usize,
    /// Foreign entries among the objects: links, and names that objects do not have.
    pub foreign: usize,
    /// True if the store has more than the run found.
    pub more: bool,
    /// Age of the oldest delivery that is left, in seconds.
    pub oldest_age_s: Option<u64>,
    /// Earliest time of a next attempt, if everything that is left waits for a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Reasons for the deliveries that are left, with a count for each; the first reasons that the run met.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub reasons: BTreeMap<String, usize>,
    /// Reason why the run ended before its work was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
}

/// Reasons for a run to end before its work is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Failure with a cause that all deliveries of the target share. User action: correct the key, or the
    /// clock.
    Class(Class),
    /// End of the run's time. Another run goes on.
    NoTime,
    /// Rest of the remaining deliveries for longer than the run lasts.
    Resting,
    /// Failure of the store: it does not answer any more, or does not delete sent deliveries, which each run
    /// would send again. User action: see the store's error; the remaining deliveries wait there.
    Store(StoreError),
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Class(class) => f.write_str(class.as_str()),
            Self::NoTime => f.write_str("no time left"),
            Self::Resting => f.write_str(
                "the remaining deliveries fail or have to wait, and this run has waited long enough",
            ),
            Self::Store(error) => write!(f, "the store fails: {error}"),
        }
    }
}

impl Serialize for Stopped {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Summary {
    /// Returns true if the run could list everything that it had to.
    pub const fn is_whole(&self) -> bool {
        self.unlisted == 0
    }

    /// Returns true if the run was stopped before it had found anything: it can say nothing of what waits.
    pub fn has_seen_nothing(&self) -> bool {
        self.found == 0 && self.more && self.stopped == Some(Stopped::NoTime)
    }

    /// Returns the number of deliveries that the run found and left in the store.
    pub const fn left(&self) -> usize {
        self.found.saturating_sub(self.sent + self.repeated + self.dead)
    }

    /// Counts one more delivery that is left for this reason.
    pub(crate) fn blame(&mut self, hook: &str, why: &dyn std::fmt::Display) {
        let reason = format!("{hook}: {why}");
        if self.reasons.len() < MAX_REASONS || self.reasons.contains_key(&reason) {
            *self.reasons.entry(reason).or_default() += 1;
        }
    }
}
