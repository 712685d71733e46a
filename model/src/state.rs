//! Everything that is anywhere at one moment.

use hookmq_shared::carry::{Course, UNRENDERABLE};
use hookmq_shared::queue::Class;

use crate::setting::Condition;

pub use hookmq_shared::carry::Form;

/// Deliveries at most: one of hook `a`, two of hook `b`.
pub const THINGS: usize = 3;

/// The hook of a delivery, 0 for `a`.
pub const HOOKS: [usize; THINGS] = [0, 1, 1];

/// Bits of the objects that say when a delivery is tried next, by their time.
pub mod retry {
    /// Its time has come.
    pub const NOW: u8 = 1;
    /// Within the next hour.
    pub const HOUR: u8 = 2;
    /// In a day: as a vendor may ask for it.
    pub const DAY: u8 = 4;
    /// A hundred hours away and one more: as a clock writes it that is so much ahead.
    pub const FAR: u8 = 8;
    /// All of them with their hours from now.
    pub const ALL: [(u8, i64); 4] = [(NOW, 0), (HOUR, 1), (DAY, 24), (FAR, AHEAD + 1)];
    /// Hours by which a clock that has jumped is ahead.
    pub const AHEAD: i64 = 100;
}

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Made {
    /// How it carries its body.
    pub form: Form,
    /// Whether its topic exists.
    pub is_sound: bool,
}

/// Why a delivery is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// A send that failed.
    Send(Class),
    /// No message can be made of it.
    Unrenderable,
    /// Nothing failed.
    Always,
}

impl Cause {
    /// As it is written in the object.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Send(class) => class.as_str(),
            Self::Unrenderable => UNRENDERABLE,
            Self::Always => "always",
        }
    }
}

/// An object of `spill/` or `dead/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kept {
    /// Whose it is.
    pub of: u8,
    /// The message that is stored with it.
    pub message: Option<Made>,
    /// Why it is there.
    pub cause: Cause,
}

/// An object of `claims/`, by the time since it was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Claim {
    /// There is none.
    #[default]
    None,
    /// It outlives a message that is sent now.
    Fresh,
    /// It goes before a message that is sent now does.
    Old,
}

/// A delivery: the objects of its name, and what the ledger knows of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Thing {
    /// In `spill/`.
    pub spill: Option<Kept>,
    /// In `dead/`.
    pub dead: Option<Kept>,
    /// In `retry/`: [`retry`].
    pub retry: u8,
    /// In `claims/`.
    pub claim: Claim,
    /// In `sent/`.
    pub mark: bool,
    /// It was sent by its sender, once at least.
    pub is_begun: bool,
    /// Its sender was told that it is accepted.
    pub is_acked: bool,
    /// The queue has it, with its body.
    pub is_queued: bool,
    /// The queue has a message whose body is gone before it.
    pub is_dangling: bool,
    /// It waits longer for what was not tried.
    pub is_untried: bool,
}

/// Where a trip comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum From {
    /// A sender waits.
    Sender,
    /// `spill/`.
    Spill,
    /// `dead/`.
    Dead,
}

/// A delivery under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Trip {
    /// Which it is.
    pub of: u8,
    /// Where it comes from.
    pub from: From,
    /// What is done next, by the code that is shipped.
    pub course: Course,
    /// Its hook, as its process has read the configuration.
    pub hook: Condition,
    /// The message that is stored with it.
    pub stored: Option<Made>,
    /// The objects of `retry/` that are known and not deleted yet.
    pub states: u8,
    /// The message that was made last.
    pub made: Option<Made>,
    /// The last failure.
    pub error: Option<Class>,
    /// Whether the vendor asked to be left alone for a day.
    pub asks: bool,
    /// Whether the queue was asked at all.
    pub is_tried: bool,
    /// Whether no message could be made.
    pub unrenderable: bool,
    /// Whether the step's first effect has been.
    pub is_half: bool,
}

/// A redriver's run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Run {
    /// Whether it takes from `dead/`.
    pub dead: bool,
    /// Hook `a`, as it has read the configuration.
    pub hook: Condition,
    /// Bits of what was listed and due, and is not handled yet.
    pub todo: u8,
    /// The objects of `retry/` that were listed.
    pub states: [u8; THINGS],
    /// What is under way.
    pub trip: Option<Trip>,
}

/// How much can still go wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Left {
    /// Failures and lies of store and vendor.
    pub faults: u8,
    /// Processes that die.
    pub crashes: u8,
    /// Requests after the first one of each delivery.
    pub requests: u8,
    /// Runs over `dead/`.
    pub deads: u8,
    /// Hooks that are removed.
    pub removals: u8,
    /// Jumps of the clock.
    pub jumps: u8,
    /// Forged requests.
    pub forgeries: u8,
}

/// Everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// Which setting.
    pub setting: u8,
    /// The deliveries.
    pub things: [Thing; THINGS],
    /// Requests in the forwarders.
    pub requests: [Option<Trip>; 2],
    /// Redrivers.
    pub runs: [Option<Run>; 2],
    /// Hook `a`.
    pub hook: Condition,
    /// Whether the clock is far ahead.
    pub ahead: bool,
    /// Whether something unverified got in.
    pub unverified: bool,
    /// How much can still go wrong.
    pub left: Left,
}

impl State {
    /// Whether nothing is under way.
    pub fn is_still(&self) -> bool {
        self.requests.iter().all(Option::is_none) && self.runs.iter().all(Option::is_none)
    }

    /// A delivery's hook now.
    pub fn hook_of(&self, of: usize) -> Condition {
        if HOOKS.get(of) == Some(&0) { self.hook } else { Condition::Sound }
    }

    /// An hour passes.
    pub fn pass_hour(&mut self) {
        for thing in &mut self.things {
            if thing.retry & retry::HOUR != 0 {
                thing.retry = thing.retry & !retry::HOUR | retry::NOW;
            }
        }
    }

    /// A hundred hours pass: half of a claim's life.
    pub fn pass_days(&mut self) {
        for thing in &mut self.things {
            let far = if thing.retry & retry::FAR == 0 { 0 } else { retry::HOUR };
            let now = if thing.retry & !retry::FAR == 0 { 0 } else { retry::NOW };
            thing.retry = far | now;
            thing.mark = false;
            thing.claim = match thing.claim {
                Claim::Fresh => Claim::Old,
                Claim::Old | Claim::None => Claim::None,
            };
        }
    }
}
