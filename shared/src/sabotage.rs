//! Safeguards that a test can disable, to prove that it would detect their absence.
//!
//! A build with `--cfg sabotage` contains all safeguards, and a name chooses at run time which one is
//! disabled: `SABOTAGE=claim-renewed` in a process's environment, `pull` in a test. In any other build
//! [`is_pulled`] is a constant, and release binaries contain nothing of this module.

/// Safeguard that can be disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Safeguard {
    /// Answers to senders only after the store has confirmed the write.
    AnswerAfterWrite = 1,
    /// Handling of a store's failure as a failure, never as a confirmation.
    StoreFailureIsFailure,
    /// Deletion of deliveries from the store only after a receipt.
    DeleteAfterReceipt,
    /// Writes to `dead/` before deletion from `spill/`.
    DeadBeforeDelete,
    /// Deletion of deliveries that were sent.
    Delete,
    /// Marks of sent deliveries only after a receipt.
    MarkAfterReceipt,
    /// Detection of repeats only by ids that providers give.
    DedupeByProvidersId,
    /// Rewrite of the body that a message refers to, before each send.
    ClaimRenewed,
    /// Renewal of the age of a body that is written again.
    ClaimReplaced,
    /// Rendering of messages again after a correction of the configuration.
    RenderAnew,
    /// Names of objects from hook, id and body.
    NameOfAll,
    /// Ids from the event and the subject too, if they are made from the content.
    IdOfAll,
    /// Receipts only from answers that name the stored message.
    ReceiptNamesMessage,
    /// Comparison of signatures.
    Verification,
    /// Sending of stored messages without changes.
    MessageAsStored,
    /// Sending of each message only once in the absence of failures.
    SendOnce,
    /// Stop of the sends that share the cause of a failure, and of no others.
    FailureStopsItsCause,
    /// Exclusion of sends that were not attempted from the failures.
    HeldIsNoFailure,
    /// Limit of one hour on every wait.
    WaitIsClamped,
    /// Cursors that pass only objects that a run has handled.
    CursorPassesHandled,
}

impl Safeguard {
    /// All safeguards, in the order of their numbers.
    pub const ALL: [Self; 20] = [
        Self::AnswerAfterWrite,
        Self::StoreFailureIsFailure,
        Self::DeleteAfterReceipt,
        Self::DeadBeforeDelete,
        Self::Delete,
        Self::MarkAfterReceipt,
        Self::DedupeByProvidersId,
        Self::ClaimRenewed,
        Self::ClaimReplaced,
        Self::RenderAnew,
        Self::NameOfAll,
        Self::IdOfAll,
        Self::ReceiptNamesMessage,
        Self::Verification,
        Self::MessageAsStored,
        Self::SendOnce,
        Self::FailureStopsItsCause,
        Self::HeldIsNoFailure,
        Self::WaitIsClamped,
        Self::CursorPassesHandled,
    ];

    /// Returns the name that chooses the safeguard in `SABOTAGE`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AnswerAfterWrite => "answer-after-write",
            Self::StoreFailureIsFailure => "store-failure-is-failure",
            Self::DeleteAfterReceipt => "delete-after-receipt",
            Self::DeadBeforeDelete => "dead-before-delete",
            Self::Delete => "delete",
            Self::MarkAfterReceipt => "mark-after-receipt",
            Self::DedupeByProvidersId => "dedupe-by-providers-id",
            Self::ClaimRenewed => "claim-renewed",
            Self::ClaimReplaced => "claim-replaced",
            Self::RenderAnew => "render-anew",
            Self::NameOfAll => "name-of-all",
            Self::IdOfAll => "id-of-all",
            Self::ReceiptNamesMessage => "receipt-names-message",
            Self::Verification => "verification",
            Self::MessageAsStored => "message-as-stored",
            Self::SendOnce => "send-once",
            Self::FailureStopsItsCause => "failure-stops-its-cause",
            Self::HeldIsNoFailure => "held-is-no-failure",
            Self::WaitIsClamped => "wait-is-clamped",
            Self::CursorPassesHandled => "cursor-passes-handled",
        }
    }

    /// Returns the safeguard of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|safeguard| safeguard.as_str() == name)
    }
}

/// Returns true if this safeguard is disabled, which is never the case in a release binary.
#[cfg(not(sabotage))]
#[inline]
pub const fn is_pulled(_: Safeguard) -> bool {
    false
}

#[cfg(sabotage)]
mod pulled {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::Safeguard;

    /// State before `SABOTAGE` was read.
    const UNREAD: u8 = u8::MAX;

    static PULLED: AtomicU8 = AtomicU8::new(UNREAD);

    /// Disables a safeguard for the whole process, or enables all of them with `None`.
    pub fn pull(safeguard: Option<Safeguard>) {
        PULLED.store(safeguard.map_or(0, |safeguard| safeguard as u8), Ordering::SeqCst);
    }

    /// Returns true if this safeguard is disabled.
    pub fn is_pulled(safeguard: Safeguard) -> bool {
        if PULLED.load(Ordering::SeqCst) == UNREAD {
            #[expect(clippy::disallowed_methods, reason = "no shipped build has this line")]
            let name = std::env::var("SABOTAGE").unwrap_or_default();
            let safeguard = Safeguard::named(&name);
            // A trial that disables nothing would prove nothing.
            assert!(name.is_empty() || safeguard.is_some(), "SABOTAGE does not name a safeguard: {name}");
            pull(safeguard);
        }
        PULLED.load(Ordering::SeqCst) == safeguard as u8
    }
}

#[cfg(sabotage)]
pub use pulled::{is_pulled, pull};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_name_of_its_own() {
        for safeguard in Safeguard::ALL {
            assert_eq!(Safeguard::named(safeguard.as_str()), Some(safeguard));
        }
        assert_eq!(Safeguard::named(""), None);
    }
}
