//! How a request ended, and what a run of the redriver came to.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::queue::Class;
use crate::store::StoreError;

/// Different reasons that a summary tells.
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

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Deliveries that it came across in the store.
    pub found: usize,
    /// Sent, and deleted from the store.
    pub sent: usize,
    /// Sent before, by the mark of a hook with `dedupe`, and deleted.
    pub repeated: usize,
    /// Moved to `dead/`.
    pub dead: usize,
    /// Tried in vain.
    pub failed: usize,
    /// Not due yet, or not begun before the run ended.
    pub waiting: usize,
    /// Objects that are no deliveries, or no whole ones; they stay.
    pub corrupt: usize,
    /// Failures of the store.
    pub store_errors: usize,
    /// Hooks that could not be listed, or not to their end: what lies there waits, and the run has failed.
    pub unlisted: usize,
    /// What lies among the objects and is none: links, and names that no object has.
    pub foreign: usize,
    /// Whether there is more in the store than it came across.
    pub more: bool,
    /// Age in seconds of the oldest delivery that is left.
    pub oldest_age_s: Option<u64>,
    /// When the first delivery that is left is tried next, if all that is left waits for its time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Why deliveries are left, and how many for each reason; the first reasons that the run met.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub reasons: BTreeMap<String, usize>,
    /// Why the run ended before its work did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
}

/// Why a run ended before its work did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// What all the target's deliveries share is wrong. User action: correct the key, or the clock.
    Class(Class),
    /// The run's time was over. Another run goes on.
    NoTime,
    /// What is left is left alone for longer than the run lasts.
    Resting,
    /// The store does not answer any more, or does not let go what was sent, which each run would send again.
    /// User action: see its error; what is left waits there.
    Store(StoreError),
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Class(class) => f.write_str(class.as_str()),
            Self::NoTime => f.write_str("no time left"),
            Self::Resting => f.write_str("what is left fails or rests, and this run has waited long enough"),
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
    /// Whether the run could look at everything that it was to look at.
    pub const fn is_whole(&self) -> bool {
        self.unlisted == 0
    }

    /// Deliveries that it came across and left in the store.
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
