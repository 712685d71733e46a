//! What is done with a delivery, step by step, decided without doing it.
//!
//! A [`Course`] knows nothing of sockets, clocks or bytes: it says which [`Step`] comes next, is told its
//! [`Outcome`], and ends. The forwarders and the redriver take the steps ([`super::Carrier`]), and so does
//! the model that explores every order of crashes and lies between them: one piece of code decides in all
//! of them.
//!
//! Three rules hold whatever the outcomes are:
//! 1. nothing is deleted before a receipt, the mark of one, or a confirmed copy in `dead/`;
//! 2. a message that refers to a body is sent only right after that body was written, confirmed;
//! 3. a sender's delivery ends as accepted only with a receipt, a mark, or a confirmed write.

use crate::config::Mode;
use crate::queue::{Class, Effort, Rest};
use crate::sabotage::{Safeguard, is_pulled};

/// How a message carries its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Form {
    /// In itself.
    Whole,
    /// By the address of a claim.
    Referring,
}

/// Where the delivery comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A sender waits for the answer.
    Sender {
        /// When it goes to the store; [`Mode::Never`] where there is none.
        spill: Mode,
    },
    /// It waits in `spill/`.
    Spill,
    /// It lies in `dead/`, and somebody wants it sent.
    Dead,
}

/// What a course depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Terms {
    /// Where the delivery comes from.
    pub origin: Origin,
    /// The form of the message that is stored with it.
    pub stored: Option<Form>,
    /// Whether today's hook can make a message for the target.
    pub has_hook: bool,
    /// Whether the message is made anew before the stored one is sent.
    pub render_first: bool,
    /// Whether repeats are told by marks: the hook says so, the id is the provider's, and there is a store.
    pub dedupe: bool,
    /// Whether a body that is too large may be referred to.
    pub may_refer: bool,
}

/// What is done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Looks for the mark of an earlier receipt.
    LookUp,
    /// Makes the message by today's hook, and asks the queue whether it takes one of its size.
    Render,
    /// Writes the body to `claims/`, or writes it anew, and makes the message that refers to it.
    Refer,
    /// Sends the message.
    Send(Form),
    /// Marks the delivery as sent.
    Mark,
    /// Writes the delivery to `spill/`.
    Spill,
    /// Writes the delivery to `dead/`.
    Bury,
    /// Writes down when it is tried next.
    Postpone,
    /// Removes the stored delivery.
    Delete,
    /// Nothing more.
    End(End),
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// The queue has it.
    Queued,
    /// It was sent before.
    Repeated,
    /// It waits in `spill/`; whether the queue was asked first.
    Spilled {
        /// Whether a send has failed.
        tried: bool,
    },
    /// It lies in `dead/`; whether that is because no message can be made of it.
    Dead {
        /// Whether no message could be made.
        unrenderable: bool,
    },
    /// Nobody has it, and its sender is told so.
    Refused,
    /// No message can be made of it, and nobody has it.
    Unrenderable,
    /// It stays where it is: it was tried in vain, which is written down.
    Failed,
    /// It stays where it is, untried: what it shares with others is known to fail.
    Held,
    /// It stays where it is: there is neither a stored message nor a hook that makes one.
    NoMessage,
    /// It stays where it is: the store failed.
    StoreFailed,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Of [`Step::LookUp`]: whether there is a mark.
    Found(bool),
    /// Of [`Step::Render`].
    Rendered(Rendered),
    /// Of [`Step::Send`].
    Sent(Sent),
    /// Of every other step: whether it was confirmed.
    Done(bool),
}

/// What making a message came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rendered {
    /// There is one that the queue takes.
    Made {
        /// Whether it is the stored one, to the byte.
        as_stored: bool,
    },
    /// It is larger than the queue takes.
    TooLarge,
    /// None can be made.
    Failed,
}

/// What sending came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sent {
    /// The vendor named the stored message.
    Stored,
    /// It did not.
    Failed {
        /// What kind of failure it is.
        class: Class,
        /// Whether the queue was asked at all: an open circuit asks nobody.
        tried: bool,
    },
}

/// Which message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Made {
    /// The one that is stored.
    Stored,
    /// One of today's hook.
    Anew,
}

/// The next step of one delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Course {
    terms: Terms,
    step: Step,
    made: Option<Made>,
    form: Form,
    has_rendered: bool,
    /// The last send that failed.
    failed: Option<(Class, bool)>,
    /// Whether the store did not take it.
    unkept: bool,
    /// What is to be done once the delivery is where it goes.
    then: End,
}

impl End {
    /// Whether a sender whose delivery ended so is told that it is accepted.
    pub const fn is_accepted(self) -> bool {
        matches!(self, Self::Queued | Self::Repeated | Self::Spilled { .. } | Self::Dead { .. })
    }
}

impl Class {
    /// Whether a person corrects it in the configuration of the hook: a message that failed so is made
    /// anew by today's.
    pub const fn is_corrected_in_hooks(self) -> bool {
        matches!(self, Self::Config | Self::Permission | Self::Permanent)
    }
}

impl Course {
    /// The course of a delivery.
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

    /// What is to be done now.
    pub const fn step(&self) -> Step {
        self.step
    }

    /// Whether the message to send is the stored one; else it is the one that was made last.
    pub const fn sends_stored(&self) -> bool {
        matches!(self.made, Some(Made::Stored))
    }

    /// How much is tried to send it: little where a store takes what the queue does not, and everything once the
    /// store has not.
    pub const fn effort(&self) -> Effort {
        match self.terms.origin {
            Origin::Sender { spill: Mode::Never } => Effort::Whole,
            Origin::Sender { .. } if self.unkept => Effort::Last,
            Origin::Sender { .. } => Effort::Brief,
            Origin::Spill | Origin::Dead => Effort::Patient,
        }
    }

    /// Goes on after the step, by what it came to. An outcome of another step's kind ends the course
    /// without anything accepted or deleted.
    #[must_use]
    pub fn after(self, outcome: Outcome) -> Self {
        match (self.step, outcome) {
            (Step::LookUp, Outcome::Found(true)) => self.leave(End::Repeated),
            (Step::LookUp, Outcome::Found(false)) => self.prepare(),
            (Step::Render, Outcome::Rendered(rendered)) => self.rendered(rendered),
            (Step::Refer, Outcome::Done(true)) => self.referred(),
            (Step::Send(_), Outcome::Sent(Sent::Stored)) => {
                if self.terms.dedupe {
                    self.to(Step::Mark)
                } else {
                    self.leave(End::Queued)
                }
            }
            (Step::Send(form), Outcome::Sent(Sent::Failed { class, tried })) => {
                self.unsent(form, class, tried)
            }
            // A mark that is not written costs a repeat.
            (Step::Mark, Outcome::Done(_)) => self.leave(End::Queued),
            (Step::Spill, Outcome::Done(is_kept)) => self.spilled(is_kept),
            (Step::Bury, Outcome::Done(is_kept)) => self.buried(is_kept),
            (Step::Postpone, Outcome::Done(is_written)) => {
                self.end(if is_written { End::Failed } else { End::StoreFailed })
            }
            (Step::Delete, Outcome::Done(is_deleted)) => {
                self.end(if is_deleted { self.then } else { End::StoreFailed })
            }
            (Step::End(_), _) => self,
            // A body that could not be written, or an outcome of another step.
            _ => self.unsafe_to_send(),
        }
    }

    /// Which message is to be sent: a new one, or the stored one.
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
            // The stored one has failed, and there is no other.
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

    /// The message is chosen: a body that it refers to is made safe first.
    fn ready(self) -> Self {
        match (self.form, self.made) {
            (Form::Referring, Some(Made::Stored)) if is_pulled(Safeguard::ClaimRenewed) => self.referred(),
            (Form::Referring, _) => self.to(Step::Refer),
            (Form::Whole, _) => self.referred(),
        }
    }

    /// Everything that the message needs is there.
    fn referred(self) -> Self {
        match self.terms.origin {
            Origin::Sender { spill: Mode::Always } if self.failed.is_none() => self.to(Step::Spill),
            Origin::Spill if is_pulled(Safeguard::DeleteAfterReceipt) => {
                Self { then: End::Queued, ..self.to(Step::Delete) }
            }
            _ => self.to(Step::Send(self.form)),
        }
    }

    /// A body that a message refers to is not safe, or nobody knows what happened.
    const fn unsafe_to_send(self) -> Self {
        match self.terms.origin {
            // Its delivery is kept whole, and the body with it.
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
            // A message that refers is never too large (`Carrier` says so); it waits, whoever says it is.
            (Class::TooLarge, Form::Referring) => course.rest(Class::Config, tried),
            _ => course.rest(class, tried),
        }
    }

    /// What becomes of a delivery that the queue did not take.
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
            // The queue may take it all the same, or by now.
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

    /// The delivery is safe elsewhere: what is stored of it goes.
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
