//! What stays the same for as long as a state's history.

use std::time::Duration;

use hookmq_shared::config::{Keeping, Mode, Oversize};

/// How large the bodies are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// Any message can carry them.
    Small,
    /// The queue's client knows that they are too large.
    TooLarge,
    /// Only the vendor knows.
    TooLargeForVendor,
}

/// Hook `a`, as its configuration has it; hook `b` always is sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// Nothing is wrong with it.
    Sound,
    /// Its topic does not exist.
    Typo,
    /// Its template fits no delivery.
    Misfit,
    /// It is configured no more.
    Gone,
}

/// What stays the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// When deliveries are spilled.
    pub mode: Mode,
    /// Whether repeats are told by marks.
    pub dedupe: bool,
    /// Whether the provider names its deliveries.
    pub named: bool,
    /// How large the bodies are.
    pub body: Body,
    /// Whether a body that is too large may be referred to.
    pub refer: bool,
    /// How hook `a` begins.
    pub begins: Condition,
}

impl Setting {
    /// All that differ in what can become of a delivery.
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

    /// What the hooks keep.
    pub const fn keeping(&self) -> Keeping {
        Keeping {
            spill: self.mode,
            oversize: if self.refer { Oversize::Reference } else { Oversize::Reject },
            dedupe: if self.dedupe { Some(Duration::from_secs(24 * 60 * 60)) } else { None },
            quarantine: false,
        }
    }
}
