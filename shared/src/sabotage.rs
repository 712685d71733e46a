//! Safeguards that a proof can pull, to show that it would notice.
//!
//! A build with `--cfg sabotage` has all of them, and a name chooses at run time which one is pulled:
//! `SABOTAGE=claim-renewed` in a process's environment, `pull` in a test. Any other build has none:
//! [`is_pulled`] is then a constant, and nothing of this module is left in what is shipped.

/// A safeguard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Safeguard {
    /// The sender is answered only after the store has confirmed the write.
    AnswerAfterWrite = 1,
    /// A store's failure is no confirmation.
    StoreFailureIsFailure,
    /// A delivery leaves the store only after a receipt.
    DeleteAfterReceipt,
    /// A delivery is in `dead/` before it leaves `spill/`.
    DeadBeforeDelete,
    /// What was sent is deleted.
    Delete,
    /// The mark of a sent delivery is written only after a receipt.
    MarkAfterReceipt,
    /// Repeats are told by the ids that providers give, and by no others.
    DedupeByProvidersId,
    /// A body that a message refers to is written anew before each send.
    ClaimRenewed,
    /// A body that is written anew has a new age.
    ClaimReplaced,
    /// What a person corrects in the configuration is rendered anew.
    RenderAnew,
    /// An object is named by hook, id and body.
    NameOfAll,
    /// An id that is made of the content is made of the event and the subject too.
    IdOfAll,
    /// Only an answer that names the stored message is a receipt.
    ReceiptNamesMessage,
    /// A signature must match.
    Verification,
    /// A stored message is sent as it was stored.
    MessageAsStored,
    /// A message is sent once where nothing failed.
    SendOnce,
    /// A failure stops what shares its cause, and nothing else.
    FailureStopsItsCause,
    /// What was not tried is no failure.
    HeldIsNoFailure,
    /// No wait is longer than an hour.
    WaitIsClamped,
    /// A cursor passes only what a run has handled.
    CursorPassesHandled,
}

impl Safeguard {
    /// All of them.
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

    /// The name that chooses it.
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

    /// The safeguard of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|safeguard| safeguard.as_str() == name)
    }
}

/// Whether this safeguard is pulled: never in what is shipped.
#[cfg(not(sabotage))]
#[inline]
pub const fn is_pulled(_: Safeguard) -> bool {
    false
}

#[cfg(sabotage)]
mod pulled {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::Safeguard;

    /// Nothing has been chosen yet.
    const UNREAD: u8 = u8::MAX;

    static PULLED: AtomicU8 = AtomicU8::new(UNREAD);

    /// Pulls a safeguard for the whole process, or none.
    pub fn pull(safeguard: Option<Safeguard>) {
        PULLED.store(safeguard.map_or(0, |safeguard| safeguard as u8), Ordering::SeqCst);
    }

    /// Whether this safeguard is pulled.
    pub fn is_pulled(safeguard: Safeguard) -> bool {
        if PULLED.load(Ordering::SeqCst) == UNREAD {
            #[expect(clippy::disallowed_methods, reason = "no shipped build has this line")]
            let name = std::env::var("SABOTAGE").unwrap_or_default();
            let safeguard = Safeguard::named(&name);
            // A trial that pulls nothing would prove nothing.
            assert!(name.is_empty() || safeguard.is_some(), "SABOTAGE names no safeguard: {name}");
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
