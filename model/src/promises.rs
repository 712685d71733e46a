//! The promises, which must hold in every state.

use hookmq_shared::redrive::turns::{Came, Turn, Turns};

use crate::actions::System;
use crate::setting::{Body, Condition};
use crate::state::{From, HOOKS, State, Trip};
use crate::trip::Choice;

/// Number of redriver runs without a fault, an hour apart, after which no delivery of a sound hook still
/// waits. One run sends the due deliveries, and the rest is due an hour later, because no wait is longer. The
/// second run is for a time that a wrong clock wrote, which may have come within the hour only now.
pub const ROUNDS: usize = 2;

/// A promise of the system.
#[derive(Clone, Copy, Debug)]
pub struct Promise {
    /// Text of the promise.
    pub name: &'static str,
    /// Returns true if the promise holds in the state.
    pub holds: fn(&System, &State) -> bool,
}

/// All promises, which the explorer checks in every state.
pub const PROMISES: [Promise; 7] = [
    Promise { name: "what is acknowledged is in the queue, in dead/ or in spill/", holds: is_kept },
    Promise { name: "what a message refers to outlives it", holds: outlives },
    Promise { name: "nothing unverified gets in", holds: is_verified },
    Promise { name: "a delivery has one id", holds: has_one_id },
    Promise { name: "what was not tried does not wait longer", holds: is_tried },
    Promise { name: "everything is sent once what is wrong is corrected", holds: all_is_sent },
    Promise { name: "a sound hook is served while another one fails", holds: sound_is_sent },
];

fn is_kept(system: &System, state: &State) -> bool {
    let setting = system.setting(state);
    state.things.iter().enumerate().all(|(of, thing)| {
        let object = &state.things[system.oracle.name(setting, of)];
        let is_its = |kept: &crate::state::Kept| usize::from(kept.of) == of;
        !thing.is_acked
            || thing.is_queued
            || object.spill.as_ref().is_some_and(is_its)
            || object.dead.as_ref().is_some_and(is_its)
    })
}

fn outlives(_: &System, state: &State) -> bool {
    state.things.iter().all(|thing| !thing.is_dangling)
}

fn is_verified(_: &System, state: &State) -> bool {
    !state.unverified
}

fn has_one_id(system: &System, _: &State) -> bool {
    system.oracle.is_one
}

fn is_tried(_: &System, state: &State) -> bool {
    state.things.iter().all(|thing| !thing.is_untried)
}

fn all_is_sent(system: &System, state: &State) -> bool {
    let hook = match state.hook {
        Condition::Gone => Condition::Gone,
        Condition::Sound | Condition::Typo | Condition::Misfit => Condition::Sound,
    };
    is_sent(system, &State { hook, ..*state })
}

fn sound_is_sent(system: &System, state: &State) -> bool {
    is_sent(system, state)
}

/// Returns true if [`ROUNDS`] runs without a fault send every waiting delivery of sound hooks. All processes
/// have died before, and the clock is right.
fn is_sent(system: &System, state: &State) -> bool {
    let waits = |state: &State, of: usize| state.things[of].spill.is_some();
    if !(0..state.things.len()).any(|of| waits(state, of)) {
        return true;
    }
    let mut after = State { requests: [None; 2], runs: [None; 2], ahead: false, ..*state };
    for _ in 0..ROUNDS {
        after.pass_hour();
        run(system, &mut after);
    }
    let setting = system.setting(state);
    (0..state.things.len()).filter(|of| waits(state, *of)).all(|of| {
        // A delivery cannot be sent without a hook and a message, or to a topic that does not exist.
        let is_sound = after.hook_of(of) == Condition::Sound;
        // No message can carry the body, and a reference is not allowed.
        let is_dead =
            after.things[of].dead.is_some() && setting.body == Body::TooLargeForVendor && !setting.refer;
        let of_whom = state.things[of].spill.map_or(of, |kept| kept.of.into());
        !is_sound || (!waits(&after, of) && (after.things[of_whom].is_queued || is_dead))
    })
}

/// Simulates one run of the redriver without faults; wrong configurations still fail.
fn run(system: &System, state: &mut State) {
    let setting = *system.setting(state);
    let mut due = system.due(state);
    let states = state.things.map(|thing| thing.retry);
    let mut turns = Turns::new(2, 8);
    let mut now = system.began;
    // A run with so few deliveries takes fewer turns.
    for _ in 0..16 {
        let hook = match turns.next(now) {
            Turn::Of(hook) => hook,
            Turn::Rest(until) => {
                now = until;
                continue;
            }
            Turn::Nothing | Turn::Over(_) => return,
        };
        let Some(of) = (0..state.things.len()).find(|of| HOOKS[*of] == hook && due >> of & 1 == 1) else {
            turns.exhausted(hook);
            continue;
        };
        due &= !(1 << of);
        let Some(kept) = state.things[of].spill else { continue };
        turns.begun(hook);
        let condition = state.hook_of(of);
        let mut trip = Trip::begin(&setting, kept.of, condition, From::Spill, Some(&kept), states[of]);
        // No course has this many steps.
        for _ in 0..32 {
            if trip.end().is_some() {
                break;
            }
            let told = system.ride(state, &setting, &mut trip, Choice::Well);
            state.things[usize::from(kept.of)].is_queued |= told.is_queued;
        }
        let came = trip.end().map_or(Came::Nothing, |end| Came::of(end, trip.error, None, None));
        turns.ended(hook, came, trip.error, now);
    }
}
