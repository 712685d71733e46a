//! The state of the whole system at one moment.

use hookmq_shared::carry::{Course, UNRENDERABLE};
use hookmq_shared::queue::Class;

use crate::setting::Condition;

pub use hookmq_shared::carry::Form;

/// Number of deliveries: one of hook `a`, two of hook `b`.
pub const THINGS: usize = 3;

/// Hook of each delivery: 0 for `a`, 1 for `b`.
pub const HOOKS: [usize; THINGS] = [0, 1, 1];

/// Bits of the objects in `retry/`, by the time of the next attempt.
pub mod retry {
    /// The next attempt is due now.
    pub const NOW: u8 = 1;
    /// The next attempt is due within an hour.
    pub const HOUR: u8 = 2;
    /// The next attempt is due in a day, as a vendor may request.
    pub const DAY: u8 = 4;
    /// The next attempt is due in a hundred and one hours, as written by a clock that is far ahead.
    pub const FAR: u8 = 8;
    /// All bits with the hours from now.
    pub const ALL: [(u8, i64); 4] = [(NOW, 0), (HOUR, 1), (DAY, 24), (FAR, AHEAD + 1)];
    /// Hours by which a jumped clock is ahead.
    pub const AHEAD: i64 = 100;
}

/// A rendered message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Made {
    /// Whole body or reference.
    pub form: Form,
    /// True if the message's topic exists.
    pub is_sound: bool,
}

/// Cause for which a delivery is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// A send failed with this class.
    Send(Class),
    /// The delivery fits into no message.
    Unrenderable,
    /// The hook stores every delivery first; nothing failed.
    Always,
}

impl Cause {
    /// Returns the error class that is written in the object.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Send(class) => class.as_str(),
            Self::Unrenderable => UNRENDERABLE,
            Self::Always => "always",
        }
    }
}

/// An object in `spill/` or `dead/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kept {
    /// Number of the delivery in the object.
    pub of: u8,
    /// The message that is stored with the delivery.
    pub message: Option<Made>,
    /// The cause that is written in the object.
    pub cause: Cause,
}

/// The object in `claims/`, by its age.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Claim {
    /// The object does not exist.
    #[default]
    None,
    /// The object outlives a message that is sent now.
    Fresh,
    /// The object is deleted before a message that is sent now.
    Old,
}

/// A delivery: the objects under its name, and the ledger's facts about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Thing {
    /// Object in `spill/`.
    pub spill: Option<Kept>,
    /// Object in `dead/`.
    pub dead: Option<Kept>,
    /// Objects in `retry/`, as bits of [`retry`].
    pub retry: u8,
    /// Object in `claims/`.
    pub claim: Claim,
    /// True if `sent/` has the delivery's mark.
    pub mark: bool,
    /// True once a sender has sent the delivery.
    pub is_begun: bool,
    /// True once the sender was told that the delivery is accepted.
    pub is_acked: bool,
    /// True once the queue has a message with its body.
    pub is_queued: bool,
    /// True once the queue has a message whose body is deleted before it.
    pub is_dangling: bool,
    /// True once a longer wait was written although the delivery was not tried.
    pub is_untried: bool,
}

/// Origin of a trip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum From {
    /// A request of a sender, which waits for the answer.
    Sender,
    /// A delivery stored in `spill/`.
    Spill,
    /// A delivery stored in `dead/`.
    Dead,
}

/// A delivery in progress in one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Trip {
    /// Number of the delivery.
    pub of: u8,
    /// Origin of the trip.
    pub from: From,
    /// The remaining steps, computed by the shipped code.
    pub course: Course,
    /// Condition of the hook when the process read the configuration.
    pub hook: Condition,
    /// The message that is stored with the delivery.
    pub stored: Option<Made>,
    /// Known objects in `retry/` that are not deleted yet, as bits.
    pub states: u8,
    /// The message that was rendered last.
    pub made: Option<Made>,
    /// Class of the last failure.
    pub error: Option<Class>,
    /// True if the vendor asked for a wait of a day.
    pub asks: bool,
    /// True if a send reached the vendor.
    pub is_tried: bool,
    /// True if no message could be made.
    pub unrenderable: bool,
    /// True if the first effect of the current step has happened.
    pub is_half: bool,
}

/// A run of a redriver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Run {
    /// True if the run takes deliveries from `dead/`.
    pub dead: bool,
    /// Condition of hook `a` when the redriver read the configuration.
    pub hook: Condition,
    /// Listed deliveries that are due and not handled yet, as bits.
    pub todo: u8,
    /// Objects in `retry/` at the time of the listing, by delivery.
    pub states: [u8; THINGS],
    /// The delivery in progress.
    pub trip: Option<Trip>,
}

/// Remaining numbers of events that an exploration allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Left {
    /// Remaining failures and lies of the store and the vendor.
    pub faults: u8,
    /// Remaining deaths of processes.
    pub crashes: u8,
    /// Remaining repeated requests, after the first request of each delivery.
    pub requests: u8,
    /// Remaining runs over `dead/`.
    pub deads: u8,
    /// Remaining removals of a hook.
    pub removals: u8,
    /// Remaining jumps of the clock.
    pub jumps: u8,
    /// Remaining forged requests.
    pub forgeries: u8,
}

/// A state of the system, a node of the exploration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// Index of the setting.
    pub setting: u8,
    /// The deliveries of both hooks.
    pub things: [Thing; THINGS],
    /// Requests in progress in the forwarders.
    pub requests: [Option<Trip>; 2],
    /// Runs in progress of the redrivers.
    pub runs: [Option<Run>; 2],
    /// Current condition of hook `a`.
    pub hook: Condition,
    /// True while the clock is far ahead.
    pub ahead: bool,
    /// True once an unverified request was accepted.
    pub unverified: bool,
    /// Remaining events, failures among them.
    pub left: Left,
}

impl State {
    /// Returns true if no process is active.
    pub fn is_still(&self) -> bool {
        self.requests.iter().all(Option::is_none) && self.runs.iter().all(Option::is_none)
    }

    /// Returns the current condition of a delivery's hook.
    pub fn hook_of(&self, of: usize) -> Condition {
        if HOOKS.get(of) == Some(&0) { self.hook } else { Condition::Sound }
    }

    /// Advances the time by an hour.
    pub fn pass_hour(&mut self) {
        for thing in &mut self.things {
            if thing.retry & retry::HOUR != 0 {
                thing.retry = thing.retry & !retry::HOUR | retry::NOW;
            }
        }
    }

    /// Advances the time by a hundred hours, half of a claim's lifetime.
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
