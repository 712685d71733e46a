//! Decisions about a delivery, step by step, without input or output.
//!
//! A [`Course`] knows nothing of sockets, clocks or bytes: it names the next [`Step`], is told the step's
//! [`StepOutcome`], and ends. The forwarders and the redriver take the steps ([`super::Carrier`]), and so does
//! the model that explores every order of crashes and false answers between the steps: the same code decides
//! in all of them.
//!
//! Three rules hold for all outcomes:
//! 1. nothing is deleted before a receipt, the mark of one, or a confirmed copy in `dead/`;
//! 2. a message that refers to a body is sent only right after a confirmed write of that body;
//! 3. a sender's delivery ends as accepted only with a receipt, a mark, or a confirmed write.

use crate::config::Mode;
use crate::queue::{Class, Effort, Rest};
use crate::sabotage::{Safeguard, is_pulled};

/// Form in which a message carries its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Form {
    /// Message with the body inside.
    Whole,
    /// Message with the address of a claim instead of the body.
    Referring,
}

/// Origin of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Sender that waits for the answer.
    Sender {
        /// Rule for writes to the spill store; [`Mode::Never`] without a store.
        spill: Mode,
    },
    /// Folder `spill/`, where the delivery waits for the queue.
    Spill,
    /// Folder `dead/`, from where a person wants the delivery sent.
    Dead,
}

/// Facts that decide the course of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Terms {
    /// Place that the delivery comes from.
    pub origin: Origin,
    /// Form of the message in the store; `None` if no message is stored.
    pub stored: Option<Form>,
    /// True if today's hook can make a message for the target.
    pub has_hook: bool,
    /// True if today's hook makes the message again before the stored one is sent.
    pub render_first: bool,
    /// True if marks detect repeats: the hook asks for it, the id is the provider's, and there is a store.
    pub dedupe: bool,
    /// True if a message may refer to a body that is too large for it.
    pub may_refer: bool,
}

/// Step of a course.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Search for the mark of an earlier receipt.
    LookUp,
    /// Creation of the message by today's hook, with a check of its size by the queue's client.
    Render,
    /// Write of the body to `claims/`, even if it is there already, and creation of the message that refers
    /// to the body.
    Refer,
    /// Send of the message in this form.
    Send(Form),
    /// Write of the mark that the delivery was sent.
    Mark,
    /// Write of the delivery to `spill/`.
    Spill,
    /// Write of the delivery to `dead/`.
    Bury,
    /// Write of the failure and the time of the next attempt.
    Postpone,
    /// Removal of the stored delivery.
    Delete,
    /// End of the course: no step follows.
    End(End),
}

/// End of a course.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// Delivery that the queue has stored.
    Queued,
    /// Delivery that was sent before, as its mark proves.
    Repeated,
    /// Delivery of a sender that waits in `spill/` now.
    Spilled {
        /// True if a send failed before the write.
        tried: bool,
    },
    /// Delivery that is in `dead/` now.
    Dead {
        /// True if the delivery cannot become a message.
        unrenderable: bool,
    },
    /// Delivery that neither the queue nor the store has, as its sender is told.
    Refused,
    /// Delivery that cannot become a message and is not stored.
    Unrenderable,
    /// Stored delivery that stays where it is after a failed send. In `spill/`, the failure is written down.
    Failed,
    /// Stored delivery that stays where it is, untried: an open circuit of its queue holds it back.
    Held,
    /// Stored delivery that stays where it is: it has no stored message, and no hook makes one.
    NoMessage,
    /// Stored delivery that stays where it is because the store failed.
    StoreFailed,
}

/// Outcome of a step, of the kind that belongs to the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StepOutcome {
    /// Outcome of [`Step::LookUp`]: true if there is a mark.
    Found(bool),
    /// Outcome of [`Step::Render`].
    Rendered(Rendered),
    /// Outcome of [`Step::Send`].
    Sent(Sent),
    /// Outcome of every other step: true if the step was confirmed.
    Done(bool),
}

/// Result of making a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rendered {
    /// Message of a size that the queue takes.
    Made {
        /// True if the message is equal to the stored one, byte by byte.
        as_stored: bool,
    },
    /// Message that is larger than the queue takes.
    TooLarge,
    /// Delivery that cannot become a message today.
    Failed,
}

/// Result of sending a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sent {
    /// Receipt: the vendor named the stored message.
    Stored,
    /// Send without a receipt.
    Failed {
        /// Class of the send's failure.
        class: Class,
        /// True if the queue was asked at all, which an open circuit prevents.
        tried: bool,
    },
}

/// Origin of the message that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Made {
    /// Message from the store.
    Stored,
    /// Message that today's hook has made.
    Anew,
}

/// Course of one delivery, at its next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Course {
    terms: Terms,
    step: Step,
    made: Option<Made>,
    form: Form,
    has_rendered: bool,
    /// Class of the last failed send, and true if the queue was asked.
    failed: Option<(Class, bool)>,
    /// True if the store did not take the delivery.
    unkept: bool,
    /// End of the course once the delivery is in its place.
    then: End,
}

impl End {
    /// Returns true if the sender is told that its delivery is accepted.
    pub const fn is_accepted(self) -> bool {
        matches!(self, Self::Queued | Self::Repeated | Self::Spilled { .. } | Self::Dead { .. })
    }
}

impl Class {
    /// Returns true if a person corrects such a failure in the hook's configuration, so that today's hook
    /// makes the message again.
    pub const fn is_corrected_in_hooks(self) -> bool {
        matches!(self, Self::Config | Self::Permission | Self::Permanent)
    }
}

impl Course {
    /// Builds the course of a delivery, which begins with a search for its mark if marks detect repeats.
    pub fn new(terms: Terms) -> Self {
        let step = Step::LookUp;
        let course = Self {
            terms,
            step,
            made: None,
            form: Form::Whole,
            has_rendered: false,
            failed: None,
            unkept: false,
            then: End::Queued,
        };
        if terms.dedupe { course } else { course.prepare() }
    }

    /// Returns the step to take now.
    pub const fn step(&self) -> Step {
        self.step
    }

    /// Returns true if the message to send is the stored one, and false if it is the one that was made last.
    pub const fn sends_stored(&self) -> bool {
        matches!(self.made, Some(Made::Stored))
    }

    /// Returns the effort for a send: little if a store takes the deliveries that the queue does not, and all
    /// that is possible once the store has failed.
    pub const fn effort(&self) -> Effort {
        match self.terms.origin {
            Origin::Sender { spill: Mode::Never } => Effort::Whole,
            Origin::Sender { .. } if self.unkept => Effort::Last,
            Origin::Sender { .. } => Effort::Brief,
            Origin::Spill | Origin::Dead => Effort::Patient,
        }
    }

    /// Continues the course by the outcome of the present step. An outcome of another step's kind ends the
    /// course without accepting or deleting the delivery.
    #[must_use]
    pub fn after(self, outcome: StepOutcome) -> Self {
        match (self.step, outcome) {
            (Step::LookUp, StepOutcome::Found(true)) => self.leave(End::Repeated),
            (Step::LookUp, StepOutcome::Found(false)) => self.prepare(),
            (Step::Render, StepOutcome::Rendered(rendered)) => self.rendered(rendered),
            (Step::Refer, StepOutcome::Done(true)) => self.referred(),
            (Step::Send(_), StepOutcome::Sent(Sent::Stored)) => {
                if self.terms.dedupe {
                    self.to(Step::Mark)
                } else {
                    self.leave(End::Queued)
                }
            }
            (Step::Send(form), StepOutcome::Sent(Sent::Failed { class, tried })) => {
                self.unsent(form, class, tried)
            }
            // A mark that is not written costs a repeat.
            (Step::Mark, StepOutcome::Done(_)) => self.leave(End::Queued),
            (Step::Spill, StepOutcome::Done(is_kept)) => self.spilled(is_kept),
            (Step::Bury, StepOutcome::Done(is_kept)) => self.buried(is_kept),
            (Step::Postpone, StepOutcome::Done(is_written)) => {
                self.end(if is_written { End::Failed } else { End::StoreFailed })
            }
            (Step::Delete, StepOutcome::Done(is_deleted)) => {
                self.end(if is_deleted { self.then } else { End::StoreFailed })
            }
            (Step::End(_), _) => self,
            // The body could not be written, or the outcome is of another step.
            _ => self.unsafe_to_send(),
        }
    }

    /// Chooses the message to send: a new one, or the stored one.
    fn prepare(self) -> Self {
        match self.terms.stored {
            Some(form) if !(self.terms.render_first && self.terms.has_hook) => self.with_stored(form),
            None if !self.terms.has_hook => self.end(End::NoMessage),
            _ => Self { has_rendered: true, ..self.to(Step::Render) },
        }
    }

    fn with_stored(self, form: Form) -> Self {
        Self { made: Some(Made::Stored), form, ..self }.ready()
    }

    fn rendered(self, rendered: Rendered) -> Self {
        match (rendered, self.failed) {
            // The stored message has failed, and there is no other message.
            (Rendered::Made { as_stored: true } | Rendered::Failed, Some((class, tried))) => {
                self.rest(class, tried)
            }
            (Rendered::Made { .. }, _) => Self { made: Some(Made::Anew), form: Form::Whole, ..self }.ready(),
            (Rendered::TooLarge, _) if self.terms.may_refer => {
                Self { made: Some(Made::Anew), form: Form::Referring, ..self }.ready()
            }
            (Rendered::TooLarge, Some((class, tried))) => self.rest(class, tried),
            (Rendered::TooLarge, None) => match self.terms.stored {
                Some(form) => self.with_stored(form),
                None => self.rest(Class::TooLarge, true),
            },
            (Rendered::Failed, None) => match (self.terms.stored, self.terms.origin) {
                (Some(form), _) => self.with_stored(form),
                (None, Origin::Sender { spill: Mode::Never }) => self.end(End::Unrenderable),
                (None, Origin::Sender { .. }) => {
                    Self { then: End::Dead { unrenderable: true }, ..self.to(Step::Bury) }
                }
                (None, Origin::Spill | Origin::Dead) => self.end(End::NoMessage),
            },
        }
    }

    /// Continues with the chosen message: a body that it refers to is written first.
    fn ready(self) -> Self {
        match (self.form, self.made) {
            (Form::Referring, Some(Made::Stored)) if is_pulled(Safeguard::ClaimRenewed) => self.referred(),
            (Form::Referring, _) => self.to(Step::Refer),
            (Form::Whole, _) => self.referred(),
        }
    }

    /// Continues with a message that needs nothing more: sends it, or spills the delivery first.
    fn referred(self) -> Self {
        match self.terms.origin {
            Origin::Sender { spill: Mode::Always } if self.failed.is_none() => self.to(Step::Spill),
            Origin::Spill if is_pulled(Safeguard::DeleteAfterReceipt) => {
                Self { then: End::Queued, ..self.to(Step::Delete) }
            }
            _ => self.to(Step::Send(self.form)),
        }
    }

    /// Continues without a send, because the body of a reference is not safe or the outcome is not
    /// understood.
    const fn unsafe_to_send(self) -> Self {
        match self.terms.origin {
            // The delivery is kept whole, and its body with it.
            Origin::Sender { spill: Mode::OnFailure | Mode::Always } if self.failed.is_some() => {
                Self { then: End::Spilled { tried: true }, ..self.to(Step::Spill) }
            }
            Origin::Sender { .. } => self.end(End::Refused),
            Origin::Spill | Origin::Dead => self.end(End::StoreFailed),
        }
    }

    fn unsent(self, form: Form, class: Class, tried: bool) -> Self {
        let course = Self { failed: Some((class, tried)), ..self };
        let is_stored = matches!(self.made, Some(Made::Stored));
        match (class, form) {
            (Class::TooLarge, Form::Whole) if self.terms.may_refer => {
                Self { form: Form::Referring, made: Some(Made::Anew), ..course }.to(Step::Refer)
            }
            _ if class.is_corrected_in_hooks()
                && is_stored
                && self.terms.has_hook
                && !self.has_rendered
                && !is_pulled(Safeguard::RenderAnew) =>
            {
                Self { has_rendered: true, ..course }.to(Step::Render)
            }
            // A message with a reference is not too large (`Carrier` says `config`), so the delivery waits in
            // any case.
            (Class::TooLarge, Form::Referring) => course.rest(Class::Config, tried),
            _ => course.rest(class, tried),
        }
    }

    /// Decides the next step for a delivery that the queue did not take.
    fn rest(self, class: Class, tried: bool) -> Self {
        match (self.terms.origin, class.rest()) {
            (Origin::Sender { spill: Mode::Never }, _) | (Origin::Sender { .. }, Rest::Refuse) => {
                self.end(End::Refused)
            }
            (Origin::Sender { .. }, Rest::Wait) => {
                Self { then: End::Spilled { tried: true }, ..self.to(Step::Spill) }
            }
            (Origin::Spill, Rest::Wait) if !tried && !is_pulled(Safeguard::HeldIsNoFailure) => {
                self.end(End::Held)
            }
            (Origin::Spill, Rest::Wait) => self.to(Step::Postpone),
            (Origin::Spill, Rest::Dead | Rest::Refuse) if is_pulled(Safeguard::DeadBeforeDelete) => {
                Self { then: End::Dead { unrenderable: false }, ..self.to(Step::Delete) }
            }
            (Origin::Sender { .. }, Rest::Dead) | (Origin::Spill, Rest::Dead | Rest::Refuse) => {
                Self { then: End::Dead { unrenderable: false }, ..self.to(Step::Bury) }
            }
            (Origin::Dead, Rest::Wait) if !tried => self.end(End::Held),
            (Origin::Dead, _) => self.end(End::Failed),
        }
    }

    fn spilled(self, is_kept: bool) -> Self {
        match (is_kept, self.failed) {
            (true, None) => self.end(End::Spilled { tried: false }),
            (true, Some(_)) => self.end(End::Spilled { tried: true }),
            // The queue may take the message all the same, or by now.
            (false, None) => Self { unkept: true, ..self }.to(Step::Send(self.form)),
            (false, Some(_)) if !self.unkept => Self { unkept: true, ..self }.ready(),
            (false, Some(_)) => self.end(End::Refused),
        }
    }

    const fn buried(self, is_kept: bool) -> Self {
        match (is_kept, self.terms.origin) {
            (true, Origin::Sender { .. }) => self.end(self.then),
            (true, _) => self.to(Step::Delete),
            (false, Origin::Sender { .. }) => self.end(End::Refused),
            (false, _) => self.end(End::StoreFailed),
        }
    }

    /// Continues with a delivery that is safe elsewhere: the stored delivery is removed.
    fn leave(self, end: End) -> Self {
        match self.terms.origin {
            Origin::Sender { .. } => self.end(end),
            Origin::Spill if is_pulled(Safeguard::Delete) => self.end(end),
            Origin::Spill | Origin::Dead => Self { then: end, ..self.to(Step::Delete) },
        }
    }

    const fn to(self, step: Step) -> Self {
        Self { step, ..self }
    }

    const fn end(self, end: End) -> Self {
        self.to(Step::End(end))
    }
}
