//! Turns of the hooks: hooks take turns, and a failure stops only the deliveries that share its cause.
//!
//! This module neither waits nor sends: a run asks for the next step, and reports its outcome. So does the
//! model of the whole program.

use std::time::Duration;

use tokio::time::Instant;

use crate::carry::End;
use crate::queue::{Class, Reach, Rest};
use crate::sabotage::{Safeguard, is_pulled};

/// Failures in a row after which a hook rests for a while.
const ENOUGH: u32 = 5;

/// Deliveries in a row that a topic's circuit holds back, after which their hook rests: each costs a read of
/// the store, and deliveries for other topics may be behind them.
const HELD_ENOUGH: u32 = 64;

/// First and longest rest of a hook; also the target's rest without a requested time, and its limit.
const REST: Duration = Duration::from_secs(1);
const MAX_REST: Duration = Duration::from_secs(10);

/// Time for which others go before a hook whose next delivery finds no room in memory: longer than a send, so
/// that sends that hang have ended.
const PASSED_OVER: Duration = Duration::from_secs(20);

/// Scope of a failure: the deliveries that share its cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stops {
    /// Deliveries to the same topic: its circuit holds them back, and no others.
    Topic,
    /// The hook, whose deliveries fail.
    Hook,
    /// The target for a while: it does not answer, or it asks all hooks for fewer requests.
    TargetForAWhile,
    /// The target, until an operator corrects its key or its clock.
    Target,
}

impl Stops {
    /// Returns the scope of a failure of this class. `tried` is false if a circuit held the delivery back;
    /// `reach` is the reach of that circuit, if it is open.
    pub fn of(class: Class, tried: bool, reach: Option<Reach>) -> Self {
        if is_pulled(Safeguard::FailureStopsItsCause) {
            return Self::Target;
        }
        match (class, reach) {
            (Class::Auth | Class::AuthRefresh | Class::ClockSkew, _) => Self::Target,
            (_, Some(Reach::Topic)) => Self::Topic,
            (_, Some(Reach::Key | Reach::Endpoint)) => Self::TargetForAWhile,
            // The circuit that held the delivery back is unknown.
            (Class::Transient | Class::Ambiguous | Class::Throttle, None) if !tried => Self::TargetForAWhile,
            // A throttled hook does not show yet that all hooks are throttled: in that case a circuit of the
            // key opens.
            (
                Class::Transient
                | Class::Ambiguous
                | Class::Throttle
                | Class::TooLarge
                | Class::Permanent
                | Class::Config
                | Class::Permission
                | Class::Quota,
                None,
            ) => Self::Hook,
        }
    }
}

/// Outcome of a delivery, as far as it matters for turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// Completion of the delivery: it was sent, or need not be sent from here.
    Through,
    /// Failure of the delivery, or a hold by a circuit.
    Not {
        /// Scope of the failure.
        stops: Stops,
        /// Wait that the vendor or the circuit asked for.
        asked: Option<Duration>,
    },
    /// Outcome that says nothing about the hook: the delivery was gone, or is not due.
    Nothing,
}

impl Came {
    /// Returns the outcome for the hook from the end of a delivery's course, the class of its failure, the
    /// reach of the open circuit, and the wait that the vendor or the circuit asked for.
    pub fn of(end: End, class: Option<Class>, reach: Option<Reach>, asked: Option<Duration>) -> Self {
        let is_tried = match end {
            End::Queued | End::Repeated | End::Dead { .. } => return Self::Through,
            End::Failed => true,
            End::Held => false,
            End::Spilled { .. } | End::Refused | End::Unrenderable | End::NoMessage | End::StoreFailed => {
                return Self::Nothing;
            }
        };
        // A problem of a single message says nothing about the next one.
        let class =
            class.filter(|class| class.rest() == Rest::Wait || is_pulled(Safeguard::FailureStopsItsCause));
        class.map_or(Self::Nothing, |class| Self::Not { stops: Stops::of(class, is_tried, reach), asked })
    }
}

/// Next step of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Beginning of a delivery of this hook.
    Of(usize),
    /// Wait until this time, or until a delivery in progress ends.
    Rest(Instant),
    /// Wait until a delivery in progress ends.
    Nothing,
    /// End of the run: nothing more is begun.
    Over(Class),
}

/// State of one hook in a run.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    /// True if the hook has deliveries to send, or may have some.
    has_more: bool,
    in_flight: usize,
    /// Number of failures in a row.
    streak: u32,
    /// Number of deliveries in a row that a topic's circuit held back or failed.
    held: u32,
    has_succeeded: bool,
    rest_until: Option<Instant>,
    /// Count of [`Turns::freed`] at which the next delivery found no room in memory.
    crowded_at: Option<u64>,
    /// Time of the first attempt to begin the next delivery, if the hook has none in progress.
    crowded_since: Option<Instant>,
}

/// Turns of one target's hooks.
#[derive(Debug)]
pub struct Turns {
    shares: Vec<Share>,
    /// Hook that had the last turn.
    last: usize,
    /// Upper bound on concurrent deliveries.
    most: usize,
    in_flight: usize,
    /// Number of times that room in memory may have been given back.
    freed: u64,
    rest_until: Option<Instant>,
    over: Option<Class>,
}

impl Turns {
    /// Creates the turns of `hooks` hooks, with up to `most` concurrent deliveries.
    pub fn new(hooks: usize, most: usize) -> Self {
        let share = Share { has_more: true, ..Share::default() };
        Self {
            shares: vec![share; hooks],
            last: hooks.saturating_sub(1),
            most: most.max(1),
            in_flight: 0,
            freed: 0,
            rest_until: None,
            over: None,
        }
    }

    /// Returns the next step at `now`.
    pub fn next(&mut self, now: Instant) -> Turn {
        if let Some(class) = self.over {
            return Turn::Over(class);
        }
        if self.in_flight >= self.most {
            return Turn::Nothing;
        }
        if let Some(until) = self.rest_until.filter(|until| *until > now) {
            return if self.shares.iter().any(|share| share.has_more) {
                Turn::Rest(until)
            } else {
                Turn::Nothing
            };
        }
        let count = self.shares.len();
        let mut wake: Option<Instant> = None;
        for step in 1..=count {
            let at = (self.last + step) % count;
            let Some(share) = self.shares.get(at).filter(|share| share.may_go(self.freed)) else { continue };
            if let Some(until) = share.rest_until.filter(|until| *until > now) {
                wake = Some(wake.map_or(until, |wake| wake.min(until)));
            } else if share.in_flight < share.most(self.most) {
                self.last = at;
                return Turn::Of(at);
            }
        }
        wake.map_or(Turn::Nothing, Turn::Rest)
    }

    /// Notes that a delivery of the hook has begun.
    pub fn begun(&mut self, hook: usize) {
        self.in_flight += 1;
        if let Some(share) = self.shares.get_mut(hook) {
            share.in_flight += 1;
            share.crowded_since = None;
        }
    }

    /// Returns true if others go before the hook, whose next delivery finds no room in memory now. It is asked
    /// again once room was given back. Otherwise the run waits for the room, which blocks all hooks: another
    /// target has the room, or the hook was passed over for long enough.
    pub fn passes_over(&mut self, hook: usize, now: Instant) -> bool {
        let can_go =
            |share: &Share| share.may_go(self.freed) && share.rest_until.is_none_or(|until| until <= now);
        let others = self.shares.iter().enumerate().any(|(at, share)| at != hook && can_go(share));
        let is_all = self.in_flight == 0 && !others;
        let Some(share) = self.shares.get_mut(hook) else { return false };
        // A hook that holds room itself has its part.
        let is_patient = share.in_flight > 0 || {
            let since = *share.crowded_since.get_or_insert(now);
            now.saturating_duration_since(since) < PASSED_OVER
        };
        let passes = is_patient && !is_all;
        share.crowded_at = passes.then_some(self.freed);
        passes
    }

    /// Notes that a delivery of the hook has ended at `now`, with its class if it failed.
    pub fn ended(&mut self, hook: usize, came: Came, class: Option<Class>, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.has_room();
        let Some(share) = self.shares.get_mut(hook) else { return };
        share.in_flight = share.in_flight.saturating_sub(1);
        match came {
            Came::Nothing => {}
            Came::Through => {
                *share = Share { streak: 0, held: 0, has_succeeded: true, rest_until: None, ..*share };
            }
            Came::Not { stops: Stops::Topic, .. } => share.hold(now),
            Came::Not { stops, asked } => {
                share.streak = share.streak.saturating_add(1);
                match stops {
                    Stops::Topic | Stops::Hook => share.rest(now, asked),
                    Stops::TargetForAWhile => {
                        share.rest(now, None);
                        self.rest_until = self.rest_until.max(Some(now + wait(asked)));
                    }
                    Stops::Target => self.over = class.or(self.over),
                }
            }
        }
    }

    /// Notes that there may be room again for deliveries that found none.
    pub const fn has_room(&mut self) {
        self.freed = self.freed.wrapping_add(1);
    }

    /// Notes that the hook has nothing more to send: in this run, or until more is [`found`](Self::found).
    pub fn exhausted(&mut self, hook: usize) {
        if let Some(share) = self.shares.get_mut(hook) {
            share.has_more = false;
        }
    }

    /// Notes that the hook has deliveries to send again: its next page has come.
    pub fn found(&mut self, hook: usize) {
        if let Some(share) = self.shares.get_mut(hook) {
            share.has_more = true;
        }
    }

    /// Returns true if the hook rests at `now` after several failures in a row, and has no delivery in progress:
    /// another hook can use its place.
    pub fn gives_way(&self, hook: usize, now: Instant) -> bool {
        self.shares.get(hook).is_some_and(|share| {
            let rests = share.rest_until.is_some_and(|until| until > now);
            rests && share.streak >= ENOUGH && share.in_flight == 0
        })
    }

    /// Returns true if all hooks are exhausted.
    pub fn is_done(&self) -> bool {
        self.shares.iter().all(|share| !share.has_more)
    }
}

impl Share {
    /// Returns true if the hook has a delivery to begin, and room was given back since one found none.
    fn may_go(&self, freed: u64) -> bool {
        self.has_more && self.crowded_at != Some(freed)
    }

    /// Returns the upper bound on concurrent deliveries of this hook, from `most` in all: one after a
    /// failure, few before the first success, so that a hook whose sends hang leaves room for the others.
    const fn most(&self, most: usize) -> usize {
        match (self.streak, self.has_succeeded) {
            (0, true) => most,
            (0, false) => most.div_ceil(8),
            _ => 1,
        }
    }

    /// Counts a delivery held back by its topic; after many of them the hook rests for a moment, and then
    /// goes on behind them.
    fn hold(&mut self, now: Instant) {
        self.held = self.held.saturating_add(1);
        if self.held >= HELD_ENOUGH {
            self.held = 0;
            self.rest_until = Some(now + REST);
        }
    }

    /// Lets the hook rest for the requested time, and after enough failures for a time that doubles with
    /// each.
    fn rest(&mut self, now: Instant, asked: Option<Duration>) {
        let enough = self.streak.checked_sub(ENOUGH);
        let enough = enough.map(|more| now + REST.saturating_mul(1 << more.min(8)).min(MAX_REST));
        let asked = asked.map(|_| now + wait(asked));
        self.rest_until = self.rest_until.max(enough).max(asked);
    }
}

/// Returns the requested rest, limited to between one and ten seconds; one second without a request.
fn wait(asked: Option<Duration>) -> Duration {
    asked.unwrap_or(REST).clamp(REST, MAX_REST)
}

#[cfg(test)]
#[path = "turns_tests.rs"]
mod tests;
