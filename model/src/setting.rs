//! The constant part of a state's history: the hooks' configuration and the deliveries' properties.

use std::time::Duration;

use hookmq_shared::config::{Keeping, Mode, Oversize};

/// Size of the bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// The body fits in any message.
    Small,
    /// The body is too large, and the queue's client detects that.
    TooLarge,
    /// The body is too large, and only the vendor detects that.
    TooLargeForVendor,
}

/// Condition of hook `a`'s configuration; hook `b` is always sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// The configuration is correct.
    Sound,
    /// The configured topic does not exist.
    Typo,
    /// The configured template fits no delivery.
    Misfit,
    /// The hook has been removed from the configuration.
    Gone,
}

/// A configuration of the hooks that does not change during a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Mode of the spill store.
    pub mode: Mode,
    /// True if marks in `sent/` detect repeats.
    pub dedupe: bool,
    /// True if the provider gives each delivery an id.
    pub named: bool,
    /// Size of the deliveries' bodies.
    pub body: Body,
    /// True if a message may refer to a body that is too large.
    pub refer: bool,
    /// Initial condition of hook `a`.
    pub begins: Condition,
}

impl Setting {
    /// Returns all settings that differ in the possible outcomes of a delivery.
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for mode in [Mode::OnFailure, Mode::Always, Mode::Never] {
            for (dedupe, named) in [(true, true), (true, false), (false, true)] {
                for (body, refer) in [
                    (Body::Small, true),
                    (Body::TooLarge, true),
                    (Body::TooLarge, false),
                    (Body::TooLargeForVendor, true),
                    (Body::TooLargeForVendor, false),
                ] {
                    for begins in [Condition::Typo, Condition::Misfit, Condition::Sound] {
                        all.push(Self { mode, dedupe, named, body, refer, begins });
                    }
                }
            }
        }
        all
    }

    /// Returns the hooks' configuration of the store.
    pub const fn keeping(&self) -> Keeping {
        Keeping {
            spill: self.mode,
            oversize: if self.refer { Oversize::Reference } else { Oversize::Reject },
            dedupe: if self.dedupe { Some(Duration::from_secs(24 * 60 * 60)) } else { None },
            quarantine: false,
        }
    }
}
