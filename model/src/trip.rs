//! The effects of a delivery's steps on the store and the queue. They are the model's own part; a test
//! compares them with the real driver.

use hookmq_shared::carry::{End, Form, Rendered, Sent, Step, StepOutcome};
use hookmq_shared::queue::Class;
use hookmq_shared::sabotage::{Safeguard, is_pulled};

use crate::oracle::Oracle;
use crate::setting::{Body, Condition, Setting};
use crate::state::{Cause, Claim, From, Kept, Made, Thing, Trip};

/// An atomic effect outside of the process: it happens completely or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// A read of the mark in `sent/`.
    GetMark,
    /// A write of the mark in `sent/`.
    PutMark,
    /// A write of the body to `claims/`.
    PutClaim,
    /// A new object in `spill/`, unless one exists.
    PutSpill(Kept),
    /// A new object in `dead/`, unless one exists.
    PutDead(Kept),
    /// A new object in `retry/`, for the next attempt.
    PutRetry,
    /// The deletion of an old object in `retry/`, named by its bit.
    DeleteRetry(u8),
    /// The deletion of the stored delivery from `spill/` or `dead/`.
    DeleteKept,
    /// A send of the message to the queue.
    Send(Made),
    /// A skipped send, because no message could be made.
    Nothing,
    /// The answer to the sender, which ends the trip.
    Answer,
}

/// Result of an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Choice {
    /// The effect happens and is confirmed.
    Well,
    /// The effect does not happen, and the store reports an error.
    Fails,
    /// The effect happens, but the store reports an error.
    Lies,
    /// The vendor refuses the message with this class, or (with `false`) the send is held back untried.
    Refused(Class, bool),
    /// The vendor stores the message, but the answer has this class.
    StoredBut(Class),
    /// The vendor refuses the message with this class and asks for a wait of a day.
    Asks(Class),
    /// The vendor stores nothing, and answers with a success that names no message.
    Unread,
}

/// A trip, with the state that its effects change.
pub struct Ride<'a> {
    /// Answers of the shipped code.
    pub oracle: &'a Oracle,
    /// The constant part of the state's history.
    pub setting: &'a Setting,
    /// True while the clock is far ahead.
    pub ahead: bool,
    /// The objects under the delivery's name.
    pub object: &'a mut Thing,
    /// The trip whose next effect happens.
    pub trip: &'a mut Trip,
}

/// Facts about a delivery that an effect has made true.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// A message with its body is stored.
    pub is_queued: bool,
    /// A message is stored whose body is missing, or will be deleted before the message is.
    pub is_dangling: bool,
    /// A longer wait was written for a delivery that was not tried.
    pub is_untried: bool,
    /// The sender was told that the delivery is accepted.
    pub is_acked: bool,
}

impl Trip {
    /// Begins a trip from a sender or from a stored delivery.
    pub fn begin(
        setting: &Setting,
        of: u8,
        hook: Condition,
        from: From,
        kept: Option<&Kept>,
        states: u8,
    ) -> Self {
        let mut trip = Self {
            of,
            from,
            course: Oracle::course(setting, hook, from, kept),
            hook,
            stored: kept.and_then(|kept| kept.message),
            states,
            made: None,
            error: None,
            asks: false,
            is_tried: false,
            unrenderable: false,
            is_half: false,
        };
        trip.render(setting);
        trip
    }

    /// Returns the end of the trip, if it has ended.
    pub const fn end(&self) -> Option<End> {
        if let Step::End(end) = self.course.step() { Some(end) } else { None }
    }

    /// Returns the next effect of the trip.
    pub fn effect(&self, setting: &Setting) -> Effect {
        let marks_first = is_pulled(Safeguard::MarkAfterReceipt) && setting.dedupe;
        match self.course.step() {
            Step::LookUp => Effect::GetMark,
            Step::Refer => Effect::PutClaim,
            Step::Send(_) if marks_first && self.hook != Condition::Gone && !self.is_half => Effect::PutMark,
            Step::Send(_) => self.message().map_or(Effect::Nothing, Effect::Send),
            Step::Mark => Effect::PutMark,
            Step::Spill => Effect::PutSpill(self.kept()),
            Step::Bury => Effect::PutDead(self.kept()),
            Step::Postpone if !self.is_half => Effect::PutRetry,
            Step::Delete if !self.is_half => Effect::DeleteKept,
            Step::Postpone | Step::Delete => Effect::DeleteRetry(self.states & self.states.wrapping_neg()),
            Step::End(_) => Effect::Answer,
            // `Render` is done at once, when it becomes the next step.
            Step::Render => Effect::Nothing,
        }
    }

    fn message(&self) -> Option<Made> {
        let may_be_stored = |made: &Made| made.form == Form::Whole || is_pulled(Safeguard::ClaimRenewed);
        let stored = self.stored.filter(|made| self.course.sends_stored() && may_be_stored(made));
        stored.or(self.made)
    }

    fn kept(&self) -> Kept {
        let cause = match (self.error, self.unrenderable) {
            (Some(class), _) => Cause::Send(class),
            (None, true) => Cause::Unrenderable,
            (None, false) => Cause::Always,
        };
        Kept { of: self.of, message: self.made.or(self.stored), cause }
    }

    fn go_on(&mut self, setting: &Setting, outcome: StepOutcome) {
        self.is_half = false;
        self.course = self.course.after(outcome);
        self.render(setting);
    }

    /// Renders the message, which has no effect outside of the process.
    fn render(&mut self, setting: &Setting) {
        if self.course.step() != Step::Render {
            return;
        }
        let rendered = match self.hook {
            Condition::Gone => Rendered::Failed,
            Condition::Misfit => {
                self.unrenderable = true;
                Rendered::Failed
            }
            Condition::Sound | Condition::Typo if setting.body == Body::TooLarge => {
                self.error = Some(Class::TooLarge);
                Rendered::TooLarge
            }
            Condition::Sound | Condition::Typo => {
                let made = Made { form: Form::Whole, is_sound: self.hook == Condition::Sound };
                self.made = Some(made);
                Rendered::Made { as_stored: self.stored == Some(made) }
            }
        };
        self.course = self.course.after(StepOutcome::Rendered(rendered));
    }
}

impl Ride<'_> {
    /// Applies the next effect of the trip with this result.
    pub fn go(&mut self, choice: Choice) -> Told {
        let effect = self.trip.effect(self.setting);
        let (has_effect, is_confirmed) = match choice {
            Choice::Fails => (false, false),
            Choice::Lies => (true, false),
            _ => (true, true),
        };
        let mut told = Told::default();
        match effect {
            Effect::GetMark => {
                self.go_on(StepOutcome::Found(is_confirmed && self.object.mark));
            }
            Effect::PutMark => {
                self.object.mark |= has_effect;
                if self.trip.course.step() == Step::Mark {
                    self.go_on(StepOutcome::Done(true));
                } else {
                    self.trip.is_half = true;
                }
            }
            Effect::PutClaim => self.claim(has_effect, is_confirmed),
            Effect::PutSpill(kept) => {
                if has_effect {
                    self.object.spill.get_or_insert(kept);
                }
                self.go_on(StepOutcome::Done(confirms(is_confirmed)));
            }
            Effect::PutDead(kept) => {
                if has_effect {
                    self.object.dead.get_or_insert(kept);
                }
                self.go_on(StepOutcome::Done(confirms(is_confirmed)));
            }
            Effect::PutRetry => {
                let bit = self.oracle.wait(self.trip.asks, self.ahead);
                if has_effect {
                    self.object.retry |= bit;
                }
                told.is_untried = !self.trip.is_tried;
                self.trip.states &= !bit;
                self.half(is_confirmed);
            }
            Effect::DeleteKept => {
                let place =
                    if self.trip.from == From::Dead { &mut self.object.dead } else { &mut self.object.spill };
                if has_effect {
                    *place = None;
                }
                self.half(is_confirmed);
            }
            Effect::DeleteRetry(bit) => {
                if has_effect {
                    self.object.retry &= !bit;
                }
                self.trip.states &= !bit;
                self.half(is_confirmed);
            }
            Effect::Send(made) => told = self.send(made, choice),
            Effect::Nothing => {
                self.go_on(StepOutcome::Sent(Sent::Failed { class: Class::Config, tried: false }));
            }
            Effect::Answer => told.is_acked = self.trip.end().is_some_and(End::is_accepted),
        }
        told
    }

    fn go_on(&mut self, outcome: StepOutcome) {
        self.trip.go_on(self.setting, outcome);
    }

    /// Continues with the old `retry/` objects if the first effect was confirmed and there are any.
    fn half(&mut self, is_confirmed: bool) {
        if is_confirmed && self.trip.states != 0 {
            self.trip.is_half = true;
        } else {
            self.go_on(StepOutcome::Done(is_confirmed));
        }
    }

    fn claim(&mut self, has_effect: bool, is_confirmed: bool) {
        let stays = is_pulled(Safeguard::ClaimReplaced) && self.object.claim != Claim::None;
        if has_effect && !stays {
            self.object.claim = Claim::Fresh;
        }
        let trip = &mut *self.trip;
        let is_sound = match (trip.course.sends_stored(), trip.stored, trip.hook) {
            (true, Some(stored), _) => Some(stored.is_sound),
            (false, _, Condition::Sound) => Some(true),
            (false, _, Condition::Typo) => Some(false),
            (true, None, _) | (false, _, Condition::Misfit | Condition::Gone) => None,
        };
        let made = is_sound.filter(|_| is_confirmed);
        if let Some(is_sound) = made {
            trip.made = Some(Made { form: Form::Referring, is_sound });
            trip.error = trip.error.filter(|class| *class != Class::TooLarge);
        } else {
            trip.unrenderable |= is_confirmed;
        }
        let is_done = made.is_some();
        self.go_on(StepOutcome::Done(is_done));
    }

    fn send(&mut self, made: Made, choice: Choice) -> Told {
        let truth = || match (made.is_sound, made.form, self.setting.body) {
            (false, ..) => Some((Class::Config, true)),
            (true, Form::Whole, Body::TooLargeForVendor) => Some((Class::TooLarge, true)),
            _ => None,
        };
        let (is_stored, failed) = match choice {
            Choice::Refused(class, tried) => (false, Some((class, tried))),
            Choice::StoredBut(class) => (true, Some((class, true))),
            Choice::Asks(class) => (false, Some((class, true))),
            Choice::Unread => (false, self.oracle.unread.map(|class| (class, true))),
            Choice::Well | Choice::Fails | Choice::Lies => (truth().is_none(), truth()),
        };
        let has_body = made.form == Form::Whole || self.object.claim == Claim::Fresh;
        let told =
            Told { is_queued: is_stored && has_body, is_dangling: is_stored && !has_body, ..Told::default() };
        self.trip.asks = matches!(choice, Choice::Asks(_));
        let outcome = match failed {
            None => {
                self.trip.is_tried = true;
                Sent::Stored
            }
            Some((class, tried)) => {
                self.trip.is_tried |= tried;
                self.trip.error = Some(class);
                Sent::Failed { class, tried }
            }
        };
        self.go_on(StepOutcome::Sent(outcome));
        told
    }
}

/// Returns true if the code takes a write to `spill/` or `dead/` for confirmed.
fn confirms(is_confirmed: bool) -> bool {
    is_confirmed || is_pulled(Safeguard::StoreFailureIsFailure) || is_pulled(Safeguard::AnswerAfterWrite)
}
