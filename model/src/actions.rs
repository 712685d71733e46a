//! The actions of the system: which are possible in a state, and which state each leads to.

use hookmq_shared::queue::Class;
use hookmq_shared::sabotage::{Safeguard, is_pulled};
use tokio::time::Instant;

use crate::oracle::Oracle;
use crate::setting::{Condition, Setting};
use crate::state::{From, HOOKS, Left, Run, State, THINGS, Thing, Trip};
use crate::trip::{Choice, Effect, Ride, Told};

/// An active process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// A forwarder with a sender's request, by its slot.
    Forwarder(u8),
    /// A redriver with a run, by its slot.
    Redriver(u8),
}

/// An atomic transition of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A sender sends a delivery: for the first time, again, or another delivery that looks alike.
    Request(u8),
    /// The next effect of a process's trip happens with this result.
    Effect(Who, Choice),
    /// A redriver (first number) reads one of its listed deliveries (second number).
    Take(u8, u8, Choice),
    /// A process dies and loses its memory.
    Crash(Who),
    /// A redriver starts a run over `spill/` and lists the due deliveries.
    Redrive,
    /// An operator starts a run over `dead/`.
    Dead,
    /// An operator corrects the configuration of hook `a`.
    Correct,
    /// An operator removes hook `a` from the configuration.
    Remove,
    /// An hour passes; no process is active.
    Hour,
    /// A hundred hours pass; no process is active.
    Days,
    /// The clock jumps a hundred hours ahead.
    Jump,
    /// The clock returns to the right time.
    Back,
    /// A forger sends a request with a wrong signature.
    Forge,
}

/// Upper bounds of an exploration.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Existing deliveries as bits: one of hook `a`, two of hook `b`.
    pub things: u8,
    /// Upper bound on concurrent redrivers, at most 2.
    pub redrivers: usize,
    /// Upper bound on concurrent requests, at most 2.
    pub requests: usize,
    /// Numbers of failures and other events that may happen.
    pub left: Left,
}

/// The system that is explored.
#[derive(Debug)]
pub struct System {
    /// Answers of the shipped code.
    pub oracle: Oracle,
    /// The settings to explore.
    pub settings: Vec<Setting>,
    /// The bounds of the exploration.
    pub limits: Limits,
    /// Start time of all runs, by the clock of [`Turns`](hookmq_shared::redrive::turns::Turns).
    pub(crate) began: Instant,
}

impl System {
    /// Builds a system with these settings, at most 256: further ones are ignored.
    pub fn new(settings: Vec<Setting>, limits: Limits) -> Self {
        Self { oracle: Oracle::new(), settings, limits, began: Instant::now() }
    }

    /// Returns the initial state of each setting.
    pub fn begin(&self) -> Vec<State> {
        let begin = |(number, setting): (u8, &Setting)| State {
            setting: number,
            things: [Thing::default(); THINGS],
            requests: [None; 2],
            runs: [None; 2],
            hook: setting.begins,
            ahead: false,
            unverified: false,
            left: self.limits.left,
        };
        (0..=u8::MAX).zip(&self.settings).map(begin).collect()
    }

    /// Returns the setting of a state.
    ///
    /// # Panics
    ///
    /// Panics if the state has a setting that this system does not have.
    pub fn setting(&self, state: &State) -> &Setting {
        &self.settings[usize::from(state.setting)]
    }

    /// Appends every action that is possible in the state.
    pub fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let left = &state.left;
        for of in 0..3u8 {
            if self.can_request(state, of.into()) {
                actions.push(Action::Request(of));
            }
        }
        for (who, trip) in trips(state) {
            self.choices(state, trip, |choice| actions.push(Action::Effect(who, choice)));
            if left.crashes > 0 {
                actions.push(Action::Crash(who));
            }
        }
        for (slot, run) in (0u8..).zip(&state.runs) {
            let Some(run) = run.filter(|run| run.trip.is_none()) else { continue };
            for of in (0..3u8).filter(|of| run.todo >> of & 1 == 1) {
                actions.push(Action::Take(slot, of, Choice::Well));
                if left.faults > 0 {
                    actions.push(Action::Take(slot, of, Choice::Fails));
                }
            }
        }
        if state.runs.iter().take(self.limits.redrivers).any(Option::is_none) {
            if self.due(state) != 0 {
                actions.push(Action::Redrive);
            }
            if left.deads > 0 && state.things.iter().any(|thing| thing.dead.is_some()) {
                actions.push(Action::Dead);
            }
        }
        if matches!(state.hook, Condition::Typo | Condition::Misfit) {
            actions.push(Action::Correct);
        }
        if left.removals > 0 && state.hook != Condition::Gone {
            actions.push(Action::Remove);
        }
        // No process outlives an hour, because each has a deadline of seconds or minutes.
        if state.is_still() {
            actions.extend([Action::Hour, Action::Days]);
        }
        // A trip reads the clock at most once, so a jump during a trip equals a jump before or after it.
        let is_between = trips(state).next().is_none();
        match (state.ahead, left.jumps) {
            _ if !is_between => {}
            (true, _) => actions.push(Action::Back),
            (false, 1..) => actions.push(Action::Jump),
            (false, 0) => {}
        }
        // The model's state does not influence the check of a forged request, so one early attempt is enough.
        if left.forgeries > 0 && state.things.iter().all(|thing| !thing.is_begun) {
            actions.push(Action::Forge);
        }
    }

    /// Returns the state after the action; `None` if nothing changes.
    pub fn after(&self, state: &State, action: Action) -> Option<State> {
        let mut next = *state;
        self.act(&mut next, action);
        (next != *state).then_some(next)
    }

    fn act(&self, state: &mut State, action: Action) {
        let setting = *self.setting(state);
        match action {
            Action::Request(of) => Self::request(state, &setting, of),
            Action::Effect(who, choice) => self.effect(state, &setting, who, choice),
            Action::Take(slot, of, choice) => Self::take(state, &setting, slot, of, choice),
            Action::Crash(who) => {
                state.left.crashes -= 1;
                match who {
                    Who::Forwarder(slot) => state.requests[usize::from(slot)] = None,
                    Who::Redriver(slot) => state.runs[usize::from(slot)] = None,
                }
                Self::tidy(state);
            }
            Action::Redrive => {
                let todo = self.due(state);
                let states = state.things.map(|thing| thing.retry);
                // The listing removes `retry/` objects without a delivery.
                for thing in &mut state.things {
                    if thing.spill.is_none() {
                        thing.retry = 0;
                    }
                }
                Self::run(state, Run { dead: false, hook: state.hook, todo, states, trip: None });
            }
            Action::Dead => {
                state.left.deads -= 1;
                let mut todo = 0;
                for (of, thing) in state.things.iter().enumerate() {
                    todo |= u8::from(thing.dead.is_some()) << of;
                }
                Self::run(state, Run { dead: true, hook: state.hook, todo, states: [0; THINGS], trip: None });
            }
            Action::Correct => state.hook = Condition::Sound,
            Action::Remove => {
                state.left.removals -= 1;
                state.hook = Condition::Gone;
            }
            Action::Hour => state.pass_hour(),
            Action::Days => state.pass_days(),
            Action::Jump => {
                state.left.jumps -= 1;
                state.ahead = true;
            }
            Action::Back => state.ahead = false,
            Action::Forge => {
                state.left.forgeries -= 1;
                state.unverified |= self.oracle.admits_forgeries;
            }
        }
    }

    /// Returns true if a sender may send: for the first time, or again if it was not answered, was refused,
    /// or repeats an accepted delivery. If nothing names the deliveries, a sender may also send another
    /// delivery that looks alike, but only once the first is in the queue and not in the store: before that,
    /// the two are one by definition.
    fn can_request(&self, state: &State, of: usize) -> bool {
        let Some(thing) = state.things.get(of) else { return false };
        let is_there = self.limits.things >> of & 1 == 1;
        // A request to a removed hook is answered 404.
        let has_hook = state.hook_of(of) != Condition::Gone;
        let has_room = state.requests.iter().take(self.limits.requests).any(Option::is_none);
        let setting = self.setting(state);
        let object = &state.things[self.oracle.name(setting, of)];
        let is_known = thing.is_acked && !setting.named;
        let is_settled = thing.is_queued && object.spill.is_none() && object.dead.is_none();
        let is_alone = trips(state).all(|(_, trip)| usize::from(trip.of) != of);
        is_there
            && has_hook
            && has_room
            && (!thing.is_begun || state.left.requests > 0)
            && (!is_known || (is_settled && is_alone))
    }

    fn request(state: &mut State, setting: &Setting, of: u8) {
        let hook = state.hook_of(of.into());
        let Some(thing) = state.things.get_mut(usize::from(of)) else { return };
        if thing.is_begun {
            state.left.requests -= 1;
        }
        if thing.is_acked && !setting.named {
            // This is another event, of which neither the store nor the queue has anything yet.
            (thing.is_acked, thing.is_queued) = (false, false);
        }
        thing.is_begun = true;
        let trip = Trip::begin(setting, of, hook, From::Sender, None, 0);
        if let Some(free) = state.requests.iter_mut().find(|slot| slot.is_none()) {
            *free = Some(trip);
        }
    }

    fn effect(&self, state: &mut State, setting: &Setting, who: Who, choice: Choice) {
        let trip = match who {
            Who::Forwarder(slot) => state.requests[usize::from(slot)].take(),
            Who::Redriver(slot) => state.runs[usize::from(slot)].as_mut().and_then(|run| run.trip.take()),
        };
        let Some(mut trip) = trip else { return };
        state.left.faults -= self.cost(state, &trip, choice);
        let is_answer = trip.effect(setting) == Effect::Answer;
        let told = self.ride(state, setting, &mut trip, choice);
        note(&mut state.things[usize::from(trip.of)], told);
        match who {
            Who::Forwarder(slot) => {
                state.requests[usize::from(slot)] = Some(trip).filter(|_| !is_answer);
            }
            Who::Redriver(slot) => {
                let Some(run) = &mut state.runs[usize::from(slot)] else { return };
                match trip.end() {
                    None => run.trip = Some(trip),
                    Some(end) if Oracle::is_over(end, trip.error) => run.todo = 0,
                    Some(_) => {}
                }
            }
        }
        Self::tidy(state);
    }

    /// Applies the next effect of a trip to the state.
    pub fn ride(&self, state: &mut State, setting: &Setting, trip: &mut Trip, choice: Choice) -> Told {
        let name = self.oracle.name(setting, trip.of.into());
        let object = &mut state.things[name];
        Ride { oracle: &self.oracle, setting, ahead: state.ahead, object, trip }.go(choice)
    }

    fn take(state: &mut State, setting: &Setting, slot: u8, of: u8, choice: Choice) {
        let things = state.things;
        let hook = |run: &Run| if HOOKS[usize::from(of)] == 0 { run.hook } else { Condition::Sound };
        let Some(run) = &mut state.runs[usize::from(slot)] else { return };
        run.todo &= !(1 << of);
        if choice == Choice::Fails {
            state.left.faults -= 1;
        } else {
            let thing = things[usize::from(of)];
            let (kept, from) = if run.dead { (thing.dead, From::Dead) } else { (thing.spill, From::Spill) };
            // Without an object, another redriver has handled the delivery.
            if let Some(kept) = kept {
                let states = run.states[usize::from(of)];
                let trip = Trip::begin(setting, kept.of, hook(run), from, Some(&kept), states);
                match trip.end() {
                    None => run.trip = Some(trip),
                    Some(end) if Oracle::is_over(end, trip.error) => run.todo = 0,
                    Some(_) => {}
                }
            }
        }
        Self::tidy(state);
    }

    fn run(state: &mut State, run: Run) {
        if let Some(free) = state.runs.iter_mut().find(|slot| slot.is_none()) {
            *free = Some(run);
        }
        Self::tidy(state);
    }

    /// Removes finished runs and orders the slots, so that equal states have one form.
    fn tidy(state: &mut State) {
        for run in &mut state.runs {
            *run = run.filter(|run| run.todo != 0 || run.trip.is_some());
        }
        if state.runs[0].is_none() {
            state.runs.swap(0, 1);
        }
        if state.requests[0].is_none() {
            state.requests.swap(0, 1);
        }
    }

    /// Returns the waiting deliveries that are due, as bits.
    pub(crate) fn due(&self, state: &State) -> u8 {
        let mut due = 0;
        for (of, thing) in state.things.iter().enumerate() {
            let is_due = thing.spill.is_some() && self.oracle.is_due(thing.retry, state.ahead);
            due |= u8::from(is_due) << of;
        }
        due
    }

    /// Passes every possible result of the trip's next effect to `tell`.
    fn choices(&self, state: &State, trip: &Trip, mut tell: impl FnMut(Choice)) {
        let setting = self.setting(state);
        let has_faults = state.left.faults > 0;
        tell(Choice::Well);
        match trip.effect(setting) {
            Effect::Nothing | Effect::Answer => {}
            Effect::GetMark => {
                // A clock that is far ahead makes every mark look too old.
                if has_faults || state.ahead {
                    tell(Choice::Fails);
                }
            }
            Effect::Send(made) => {
                if !made.is_sound {
                    // An open circuit for a missing topic refuses the message untried.
                    tell(Choice::Refused(Class::Config, false));
                }
                if !has_faults {
                    return;
                }
                let is_whole = made.form == crate::state::Form::Whole;
                for class in &self.oracle.classes {
                    // A message that refers to its body is never too large: such a refusal is read as another
                    // class.
                    if *class != Class::TooLarge || is_whole {
                        tell(Choice::Refused(*class, true));
                        tell(Choice::Refused(*class, false));
                    }
                }
                if made.is_sound {
                    tell(Choice::StoredBut(Class::Ambiguous));
                }
                tell(Choice::Asks(Class::Throttle));
                tell(Choice::Unread);
            }
            effect => {
                // With the safeguard pulled, the write follows the answer and may never happen.
                let is_late = is_pulled(Safeguard::AnswerAfterWrite)
                    && matches!(effect, Effect::PutSpill(_) | Effect::PutDead(_));
                if has_faults || is_late {
                    tell(Choice::Fails);
                }
                if has_faults {
                    tell(Choice::Lies);
                }
            }
        }
    }

    fn cost(&self, state: &State, trip: &Trip, choice: Choice) -> u8 {
        let effect = trip.effect(self.setting(state));
        match (choice, effect) {
            (Choice::Well, _) => 0,
            (Choice::Refused(Class::Config, false), Effect::Send(made)) if !made.is_sound => 0,
            (_, Effect::GetMark) if state.ahead => 0,
            _ => u8::from(state.left.faults > 0),
        }
    }
}

fn note(thing: &mut Thing, told: Told) {
    thing.is_queued |= told.is_queued;
    thing.is_dangling |= told.is_dangling;
    thing.is_untried |= told.is_untried;
    thing.is_acked |= told.is_acked;
}

fn trips(state: &State) -> impl Iterator<Item = (Who, &Trip)> {
    let requests =
        (0u8..).zip(&state.requests).filter_map(|(slot, trip)| Some((Who::Forwarder(slot), trip.as_ref()?)));
    let runs = (0u8..)
        .zip(&state.runs)
        .filter_map(|(slot, run)| Some((Who::Redriver(slot), run.as_ref()?.trip.as_ref()?)));
    requests.chain(runs)
}
