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
    /// True if the next delivery found no room in memory since a delivery last ended.
    is_crowded: bool,
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
            let may = |share: &&Share| share.has_more && !share.is_crowded;
            let Some(share) = self.shares.get(at).filter(may) else { continue };
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
    /// again once a delivery has ended. Otherwise the run waits for the room, which blocks all hooks: another
    /// target has the room, or the hook was passed over for long enough.
    pub fn passes_over(&mut self, hook: usize, now: Instant) -> bool {
        let can_go = |share: &Share| {
            share.has_more && !share.is_crowded && share.rest_until.is_none_or(|until| until <= now)
        };
        let others = self.shares.iter().enumerate().any(|(at, share)| at != hook && can_go(share));
        let is_all = self.in_flight == 0 && !others;
        let Some(share) = self.shares.get_mut(hook) else { return false };
        // A hook that holds room itself has its part.
        let is_patient = share.in_flight > 0 || {
            let since = *share.crowded_since.get_or_insert(now);
            now.saturating_duration_since(since) < PASSED_OVER
        };
        share.is_crowded = is_patient && !is_all;
        share.is_crowded
    }

    /// Notes that a delivery of the hook has ended at `now`, with its class if it failed.
    pub fn ended(&mut self, hook: usize, came: Came, class: Option<Class>, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        for share in &mut self.shares {
            share.is_crowded = false;
        }
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

    /// Returns true if all hooks are exhausted.
    pub fn is_done(&self) -> bool {
        self.shares.iter().all(|share| !share.has_more)
    }
}

impl Share {
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
mod tests {
    use super::*;

    const FAILED: Came = Came::Not { stops: Stops::Hook, asked: None };

    /// Plays `rounds` turns, each of which ends at once with the outcome `came` for its hook.
    fn play(turns: &mut Turns, rounds: usize, now: Instant, came: impl Fn(usize) -> Came) -> Vec<usize> {
        let mut played = Vec::new();
        for _ in 0..rounds {
            let Turn::Of(hook) = turns.next(now) else { break };
            turns.begun(hook);
            turns.ended(hook, came(hook), Some(Class::Config), now);
            played.push(hook);
        }
        played
    }

    #[tokio::test(start_paused = true)]
    async fn hooks_take_turns_and_a_failing_one_costs_the_others_nothing() {
        let (mut turns, now) = (Turns::new(3, 8), Instant::now());
        assert_eq!(play(&mut turns, 6, now, |_| Came::Through), [0, 1, 2, 0, 1, 2]);
        let came = |hook| if hook == 1 { FAILED } else { Came::Through };
        let played = play(&mut turns, 100, now, came);
        assert_eq!(played.iter().filter(|hook| **hook == 1).count(), ENOUGH as usize);
        // The hook is asked again after its rest, once.
        let played = play(&mut turns, 10, now + REST, came);
        assert_eq!(played.iter().filter(|hook| **hook == 1).count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hook_whose_sends_hang_leaves_room() {
        let (mut turns, now) = (Turns::new(2, 16), Instant::now());
        // Hook 0 never comes back; hook 1 is sent at once.
        let mut sent = 0;
        for _ in 0..200 {
            match turns.next(now) {
                Turn::Of(0) => turns.begun(0),
                Turn::Of(hook) => {
                    turns.begun(hook);
                    turns.ended(hook, Came::Through, None, now);
                    sent += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(sent >= 198, "{sent}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_hook_without_room_is_passed_over_but_not_for_ever() {
        let (mut turns, now) = (Turns::new(2, 16), Instant::now());
        turns.begun(0);
        // What hangs is its own: the other one goes on, however long it takes.
        assert_eq!(turns.next(now), Turn::Of(0));
        for seconds in [0, 100] {
            let now = now + Duration::from_secs(seconds);
            assert!(turns.passes_over(0, now));
            assert_eq!(play(&mut turns, 1, now, |_| Came::Through), [1]);
            assert_eq!(turns.next(now), Turn::Of(0), "what ended may have made room");
        }
        // What hangs is the other's: it waits for as long as a send takes, and then the room is its own.
        let (mut turns, late) = (Turns::new(2, 16), now + PASSED_OVER);
        turns.begun(1);
        assert!(turns.passes_over(0, now));
        assert_eq!(turns.next(now), Turn::Of(1));
        assert!(turns.passes_over(1, now));
        assert_eq!(turns.next(now), Turn::Nothing, "nothing to do but to wait for an end");
        turns.ended(1, Came::Through, None, late);
        assert!(turns.passes_over(1, late), "the other one may go");
        assert!(!turns.passes_over(0, late));
        // Another target has the room, and nothing else is to be done.
        let mut turns = Turns::new(1, 8);
        assert!(!turns.passes_over(0, now));
    }

    #[tokio::test(start_paused = true)]
    async fn what_all_share_stops_all() {
        let (mut turns, now) = (Turns::new(2, 8), Instant::now());
        let asked = Some(Duration::from_secs(5));
        turns.begun(0);
        turns.ended(0, Came::Not { stops: Stops::TargetForAWhile, asked }, Some(Class::Throttle), now);
        assert_eq!(turns.next(now), Turn::Rest(now + Duration::from_secs(5)));
        assert_eq!(turns.next(now + Duration::from_secs(5)), Turn::Of(0));
        turns.ended(0, Came::Not { stops: Stops::Target, asked: None }, Some(Class::Auth), now);
        assert_eq!(turns.next(now + Duration::from_secs(60)), Turn::Over(Class::Auth));
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_is_known() {
        let (mut turns, now) = (Turns::new(2, 1), Instant::now());
        assert_eq!(turns.next(now), Turn::Of(0));
        turns.begun(0);
        assert_eq!(turns.next(now), Turn::Nothing, "one at a time");
        turns.ended(0, Came::Nothing, None, now);
        turns.exhausted(1);
        assert_eq!(turns.next(now), Turn::Of(0));
        turns.exhausted(0);
        assert!(turns.is_done());
        assert_eq!(turns.next(now), Turn::Nothing);
        assert_eq!(Turns::new(0, 8).next(now), Turn::Nothing);
    }

    /// Many messages in `dead/` that every vendor refuses may lie in front of one that was buried by mistake.
    #[tokio::test(start_paused = true)]
    async fn what_is_wrong_with_one_message_stops_no_other() {
        for class in [Class::Permanent, Class::TooLarge] {
            let (mut turns, now) = (Turns::new(1, 8), Instant::now());
            let came = Came::of(End::Failed, Some(class), None, None);
            assert_eq!(play(&mut turns, 100, now, |_| came).len(), 100, "{class:?}");
        }
        let (mut turns, now) = (Turns::new(1, 8), Instant::now());
        let came = Came::of(End::Failed, Some(Class::Config), None, None);
        assert_eq!(play(&mut turns, 100, now, |_| came).len(), ENOUGH as usize);
    }

    /// The topic's circuit is the reason for the stop: deliveries behind it, for other topics, have their
    /// turn.
    #[tokio::test(start_paused = true)]
    async fn what_a_topic_shares_stops_no_other_topic_of_its_hook() {
        for (class, tried) in [(Class::Config, false), (Class::Transient, false), (Class::Transient, true)] {
            let end = if tried { End::Failed } else { End::Held };
            let of = |reach| Came::of(end, Some(class), reach, None);
            let (mut turns, mut now) = (Turns::new(1, 8), Instant::now());
            let mut played = 0;
            // A thousand deliveries of the bad topic come first.
            while played < 1000 {
                played += play(&mut turns, 1000 - played, now, |_| of(Some(Reach::Topic))).len();
                now += REST;
            }
            assert!(turns.next(now) == Turn::Of(0) && now.elapsed().is_zero());
            let took = 1000 / HELD_ENOUGH;
            assert!(now - Instant::now() <= REST * (took + 1), "{class:?}: {:?}", now - Instant::now());
            assert_eq!(play(&mut turns, 50, now, |_| Came::Through).len(), 50);
            // A failure that all topics share rests the target.
            for reach in [Reach::Key, Reach::Endpoint] {
                let mut turns = Turns::new(2, 8);
                assert_eq!(play(&mut turns, 9, now, |_| of(Some(reach))).len(), 1, "{class:?}");
            }
        }
    }

    /// One hook's throttling does not show that all share it: in that case a circuit of the key opens.
    #[tokio::test(start_paused = true)]
    async fn a_throttled_hook_does_not_stop_a_sound_one() {
        let (mut turns, now) = (Turns::new(2, 8), Instant::now());
        let asked = Some(Duration::from_secs(5));
        let throttled = |reach| Came::of(End::Failed, Some(Class::Throttle), reach, asked);
        let came = |hook| if hook == 0 { throttled(None) } else { Came::Through };
        let played = play(&mut turns, 100, now, came);
        assert_eq!(
            played.iter().filter(|hook| **hook == 0).count(),
            1,
            "it rests for as long as it is asked to"
        );
        assert_eq!(played.len(), 100, "{played:?}");
        let played = play(&mut turns, 100, now + Duration::from_secs(4), came);
        assert!(!played.contains(&0), "{played:?}");
        let played = play(&mut turns, 100, now + Duration::from_secs(5), came);
        assert_eq!(played.iter().filter(|hook| **hook == 0).count(), 1);
        // The cause of the hold is unknown, or shared by all.
        let held = Came::of(End::Held, Some(Class::Throttle), None, asked);
        for came in [held, throttled(Some(Reach::Key)), throttled(Some(Reach::Endpoint))] {
            let mut turns = Turns::new(2, 8);
            assert_eq!(play(&mut turns, 9, now, |_| came).len(), 1, "{came:?}");
            assert_eq!(turns.next(now), Turn::Rest(now + Duration::from_secs(5)), "{came:?}");
        }
    }
}
