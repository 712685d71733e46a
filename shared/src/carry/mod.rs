//! Carriage of a delivery to its queue: from a sender, from `spill/`, or from `dead/`.
//!
//! [`Course`] decides, and `Carrier` acts. Each accepted delivery is proven by the vendor's receipt, by the
//! mark of an earlier receipt, or by the store's confirmation.
//!
//! | The queue's answer | From a sender, with a store | Without | From `spill/` | From `dead/` |
//! |---|---|---|---|---|
//! | a receipt | accepted | accepted | deleted | deleted |
//! | too large | a message that refers to the body, or refused | refused | the same, or `dead/` | the same, or stays |
//! | never as it is | `dead/`, accepted | refused | `dead/` | stays |
//! | not now, or unknown | `spill/`, accepted | refused | stays, tried later | stays |
//!
//! If a person corrects the failure of a stored message in the configuration, today's hook makes the
//! message again before the delivery is given up.

mod course;
mod facts;
mod foresee;
mod pace;

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use crate::config::Hook;
use crate::context::Context;
use crate::delivery::Delivery;
use crate::message::{Message, Recipe, Unrenderable};
use crate::queue::failure::Failure;
use crate::queue::{Class, Effort, Queue, Receipt, SendError, Target, Until};
use crate::sabotage::{Safeguard, is_pulled};
use crate::spill::{Backoff, Folder, History, Kept, Marked, Record, Spill, State, VARIABLE};
use crate::stopping::Stopping;
use crate::store::StoreError;
pub use course::{Course, End, Form, Origin, Rendered, Sent, Step, StepOutcome, Terms};
pub use facts::{Facts, KeptFacts, UNRENDERABLE};
pub(crate) use foresee::Foreseen;
pub(crate) use pace::Pace;

/// Time that a send of a stored delivery leaves to the store.
pub(crate) const RESERVE: Duration = Duration::from_secs(2);

/// Pause between two attempts to write a delivery that the queue does not take either.
const AGAIN: Duration = Duration::from_millis(250);

/// Upper bound on the time for one send of a stored delivery, because other deliveries wait for its place.
pub(crate) const SEND: Duration = Duration::from_secs(15);

/// Result of carrying a delivery.
#[derive(Debug)]
pub(crate) enum Fate {
    /// Delivery that the queue has stored, with the receipt.
    Queued(Receipt),
    /// Delivery that was sent before, with the mark that proves it.
    Repeated(Marked),
    /// Delivery in `spill/` that waits for the queue, with the error if a send was tried.
    Spilled(Kept, Option<SendError>),
    /// Delivery in `dead/`, where a person must look at it.
    Dead(Kept, DeadCause),
    /// Delivery that neither the queue nor the store has taken, so that its sender must keep it.
    Refused(SendError),
    /// Delivery that cannot become a message and is not stored.
    Unrenderable(Unrenderable),
    /// Delivery that stays in the store after a failed send.
    Failed(SendError),
    /// Delivery that was not tried and stays where it is, because something that it shares with other
    /// deliveries (a queue, memory) is known to be unavailable.
    Held(SendError),
    /// Delivery that stays in the store, because it has no message and cannot become one today.
    NoMessage,
    /// Delivery that stays in the store, because an operation of the store failed.
    StoreFailed(StoreError),
}

/// Cause of a delivery's place in `dead/`.
#[derive(Debug)]
pub(crate) struct DeadCause {
    /// Class of the failure.
    pub(crate) class: &'static str,
    /// Failures of all runs, as the store has them.
    pub(crate) history: History,
    /// Error of the last send, if one was tried.
    pub(crate) error: Option<SendError>,
}

/// Report on a delivery that was carried.
#[derive(Debug)]
pub(crate) struct CarryReport {
    pub(crate) fate: Fate,
    /// Topic of the message that was made last.
    pub(crate) topic: Option<String>,
    /// Time at which the message was made.
    pub(crate) rendered: Option<Instant>,
    /// Time at which sending ended without success.
    pub(crate) sent: Option<Instant>,
    /// Time of the next attempt, for a delivery in `spill/` that failed.
    pub(crate) next: Option<crate::clock::Timestamp>,
    /// True if the queue has the delivery but the store failed to remove it: the next run sends it again.
    pub(crate) is_undeleted: bool,
}

impl CarryReport {
    pub(crate) const fn of(fate: Fate) -> Self {
        Self { fate, topic: None, rendered: None, sent: None, next: None, is_undeleted: false }
    }

    /// Returns the time from the completion of the message to the end of sending, or `None` if no message was
    /// made or sent.
    pub(crate) fn sending(&self, now: Instant) -> Option<Duration> {
        let until = match &self.fate {
            Fate::Queued(_) => now,
            _ => self.sent?,
        };
        self.rendered.map(|from| until.saturating_duration_since(from))
    }
}

/// Delivery to carry, with today's configuration and the deadline.
pub(crate) struct Cargo<'a> {
    pub(crate) load: Load<'a>,
    /// Hook as configured today; `None` if it is gone.
    pub(crate) hook: Option<&'a Hook>,
    /// Recipe of the hook for messages to the target; `None` if the hook has none.
    pub(crate) recipe: Option<Recipe<'a>>,
    /// Deadline for all work, including writes to the store.
    pub(crate) deadline: Instant,
}

/// Delivery with its origin.
pub(crate) enum Load<'a> {
    /// Delivery of a sender that waits for the answer.
    Sender(&'a Delivery),
    /// Delivery from `spill/` or `dead/`.
    Stored(Box<StoredDelivery<'a>>),
}

/// Stored delivery, with the objects that belong to it.
pub(crate) struct StoredDelivery<'a> {
    pub(crate) folder: Folder,
    /// Name of the delivery's object.
    pub(crate) name: &'a str,
    pub(crate) record: Record,
    /// Objects that record when the delivery is tried next.
    pub(crate) states: &'a [State],
    /// True if today's hook makes the message again, regardless of the last failure.
    pub(crate) render: bool,
    pub(crate) pace: &'a Pace,
}

/// Carrier of deliveries to one target.
#[derive(Debug)]
pub(crate) struct Carrier<Q> {
    pub(crate) target: Target,
    pub(crate) queue: Q,
    pub(crate) spill: Option<Spill>,
    pub(crate) context: Context,
}

impl<Q: Queue> Carrier<Q> {
    /// Takes the delivery to a place that keeps it, or leaves it where it is.
    pub(crate) async fn carry(&self, cargo: Cargo<'_>) -> CarryReport {
        let course = Course::new(self.terms(&cargo));
        Trip::new(self, cargo).take(course).await
    }

    fn terms(&self, cargo: &Cargo<'_>) -> Terms {
        let stored = match &cargo.load {
            Load::Sender(_) => None,
            Load::Stored(stored) => Some(KeptFacts {
                folder: stored.folder,
                message: stored.record.message.as_ref().map(Message::form),
                errorclass: &stored.record.error.errorclass,
                render: stored.render,
            }),
        };
        Terms::of(&Facts {
            stored,
            keeping: cargo.hook.map(|hook| hook.keeping),
            has_recipe: cargo.recipe.is_some(),
            has_store: self.spill.is_some(),
            id_from_provider: cargo.load.delivery().id_from_provider,
        })
    }
}

impl Load<'_> {
    fn delivery(&self) -> &Delivery {
        match self {
            Self::Sender(delivery) => delivery,
            Self::Stored(stored) => &stored.record.delivery,
        }
    }
}

impl Message {
    /// Returns the form in which the message carries its body.
    pub(crate) fn form(&self) -> Form {
        if self.dataref().is_some() { Form::Referring } else { Form::Whole }
    }
}

/// Delivery under way, with the results of its steps so far.
struct Trip<'a, Q> {
    carrier: &'a Carrier<Q>,
    cargo: Cargo<'a>,
    /// Message that was made last.
    made: Option<Message>,
    marked: Option<Marked>,
    receipt: Option<Receipt>,
    error: Option<SendError>,
    store_error: Option<StoreError>,
    unrenderable: Option<Unrenderable>,
    kept: Option<Kept>,
    history: Option<History>,
    report: CarryReport,
}

impl<'a, Q: Queue> Trip<'a, Q> {
    fn new(carrier: &'a Carrier<Q>, cargo: Cargo<'a>) -> Self {
        Self {
            carrier,
            cargo,
            made: None,
            marked: None,
            receipt: None,
            error: None,
            store_error: None,
            unrenderable: None,
            kept: None,
            history: None,
            report: CarryReport::of(Fate::NoMessage),
        }
    }

    async fn take(mut self, mut course: Course) -> CarryReport {
        loop {
            let outcome = match course.step() {
                Step::LookUp => StepOutcome::Found(self.look_up().await),
                Step::Render => StepOutcome::Rendered(self.render()),
                Step::Refer => StepOutcome::Done(self.refer(course.sends_stored()).await),
                Step::Send(_) => StepOutcome::Sent(self.send(course.sends_stored(), course.effort()).await),
                Step::Mark => StepOutcome::Done(self.mark().await),
                Step::Spill => StepOutcome::Done(self.keep(Folder::Spill, course.effort()).await),
                Step::Bury => StepOutcome::Done(self.keep(Folder::Dead, course.effort()).await),
                Step::Postpone => StepOutcome::Done(self.postpone().await),
                Step::Delete => StepOutcome::Done(self.delete().await),
                Step::End(end) => return self.end(end),
            };
            course = course.after(outcome);
        }
    }

    fn stored(&self) -> Option<&StoredDelivery<'_>> {
        match &self.cargo.load {
            Load::Sender(_) => None,
            Load::Stored(stored) => Some(stored),
        }
    }

    /// Returns the deadline for all work, which is earlier if the process is about to end.
    fn deadline(&self) -> Instant {
        Stopping::in_hand().cut(self.cargo.deadline)
    }

    /// Returns the time until which the queue may be tried now, so that the store has time after it.
    fn send_by(&self) -> Instant {
        let deadline = self.deadline();
        match (&self.cargo.load, &self.carrier.spill) {
            (Load::Sender(_), Some(spill)) => spill.budget(deadline),
            (Load::Sender(_), None) => deadline,
            // The process ends: the queue has all the time that the store does not need.
            (Load::Stored(_), Some(spill)) if deadline < self.cargo.deadline => spill.budget(deadline),
            (Load::Stored(_), _) => {
                deadline.checked_sub(RESERVE).unwrap_or(deadline).min(Instant::now() + SEND)
            }
        }
    }

    async fn look_up(&mut self) -> bool {
        let Carrier { target, spill, .. } = self.carrier;
        let window = self.cargo.hook.and_then(|hook| hook.keeping.dedupe);
        let Some((spill, window)) = spill.as_ref().zip(window) else { return false };
        let delivery = self.cargo.load.delivery();
        self.marked = spill.was_sent(target, delivery, window, self.send_by()).await;
        self.marked.is_some()
    }

    fn render(&mut self) -> Rendered {
        let Some(recipe) = &self.cargo.recipe else { return Rendered::Failed };
        let message = match recipe.render(self.cargo.load.delivery()) {
            Ok(message) => message,
            Err(error @ Unrenderable::TooLarge(_)) => {
                self.error = Some(SendError::new(Class::TooLarge, error.to_string()));
                return Rendered::TooLarge;
            }
            Err(error) => {
                self.unrenderable = Some(error);
                return Rendered::Failed;
            }
        };
        self.report.rendered = Some(Instant::now());
        if let Err(error) = self.carrier.queue.takes(&message)
            && error.class == Class::TooLarge
        {
            self.error = Some(error);
            return Rendered::TooLarge;
        }
        let as_stored = self.stored().is_some_and(|stored| stored.record.message.as_ref() == Some(&message));
        self.made = Some(message);
        Rendered::Made { as_stored }
    }

    /// Writes the body that the message refers to, and makes the message refer to it. An existing body is
    /// written again, so that the store does not remove it before the message is old.
    async fn refer(&mut self, sends_stored: bool) -> bool {
        let Carrier { target, spill, .. } = self.carrier;
        let Some(spill) = spill else { return false };
        let delivery = self.cargo.load.delivery();
        let stored = self.stored().and_then(|stored| stored.record.message.as_ref()).filter(|_| sends_stored);
        let with_original = match stored {
            Some(message) => message.originalref().is_some(),
            None => self.cargo.recipe.as_ref().is_some_and(|recipe| recipe.keeps_original_of(delivery)),
        };
        let claim = match spill.claim(target, delivery, with_original, self.deadline()).await {
            Ok(claim) => claim,
            Err(error) => {
                self.store_error = Some(error);
                return false;
            }
        };
        let message = if sends_stored {
            // The address differs if the store has moved.
            stored.map(|message| message.referring_to(&claim)).ok_or(Unrenderable::Reference)
        } else {
            let recipe = self.cargo.recipe.as_ref().ok_or(Unrenderable::Reference);
            recipe.and_then(|recipe| recipe.refer(delivery, &claim))
        };
        match message {
            Ok(message) => {
                self.made = Some(message);
                // The size of the message is not a failure any more.
                self.error = self.error.take().filter(|error| error.class != Class::TooLarge);
                true
            }
            Err(error) => {
                self.unrenderable = Some(error);
                false
            }
        }
    }

    async fn send(&mut self, sends_stored: bool, effort: Effort) -> Sent {
        let whole = self.stored().and_then(|stored| stored.record.message.as_ref());
        // A stored message with a reference was replaced by one with the present address of the body.
        let is_as_stored =
            |message: &&Message| message.form() == Form::Whole || is_pulled(Safeguard::ClaimRenewed);
        let stored = whole.filter(|_| sends_stored).filter(is_as_stored);
        let Some(message) = stored.or(self.made.as_ref()) else {
            return Sent::Failed { class: Class::Config, tried: false };
        };
        let sabotaged = is_pulled(Safeguard::MessageAsStored) && self.stored().is_some();
        let tidy = sabotaged.then(|| Message { text: message.text.replace('\n', ""), ..message.clone() });
        let message = tidy.as_ref().unwrap_or(message);
        let form = message.form();
        if is_pulled(Safeguard::MarkAfterReceipt)
            && let Some(spill) = &self.carrier.spill
            && self.cargo.hook.is_some_and(|hook| hook.keeping.dedupe.is_some())
        {
            let delivery = self.cargo.load.delivery();
            spill.mark(&self.carrier.target, delivery, self.deadline()).await;
        }
        let pace = self.stored().map(|stored| stored.pace);
        if let Some(pace) = pace {
            pace.wait().await;
        }
        if is_pulled(Safeguard::SendOnce) {
            let until = Until { deadline: self.send_by(), effort };
            drop(self.carrier.queue.send(message, until).await);
        }
        let sent = self.send_in_time(message, effort).await;
        let attempts = sent.as_ref().map_or_else(|error| error.attempts, |receipt| receipt.attempts);
        if let Some(pace) = pace {
            pace.took(attempts);
        }
        match sent {
            Ok(receipt) => {
                self.receipt = Some(receipt);
                Sent::Stored
            }
            Err(mut error) => {
                self.report.sent = Some(Instant::now());
                if error.class == Class::TooLarge && form == Form::Referring {
                    // The message holds little more than an address: the limit is wrong, not the message.
                    error.class = Class::Config;
                }
                if let Some(earlier) = self.error.as_ref().filter(|_| effort == Effort::Last) {
                    // The earlier attempts were for the same message; the store has not taken it meanwhile.
                    error.attempts += earlier.attempts;
                    error.maybe_stored |= earlier.maybe_stored;
                }
                let failed = Sent::Failed { class: error.class, tried: error.attempts > 0 };
                self.error = Some(error);
                failed
            }
        }
    }

    /// Sends the message. If the process is told to end meanwhile, the send stops early enough to leave time
    /// for the store.
    async fn send_in_time(&self, message: &Message, effort: Effort) -> Result<Receipt, SendError> {
        let until = Until { deadline: self.send_by(), effort };
        let stopped = async {
            Stopping::in_hand().announced().await;
            sleep_until(self.send_by()).await;
        };
        tokio::select! {
            biased;
            sent = self.carrier.queue.send(message, until) => sent,
            () = stopped => {
                let detail = "the process ends before the queue has answered";
                let failure = Failure { maybe_stored: true, ..Failure::new(Class::Ambiguous, detail) };
                Err(SendError { attempts: 1, ..failure.into() })
            }
        }
    }

    async fn mark(&mut self) -> bool {
        let Carrier { target, spill, .. } = self.carrier;
        let (Some(spill), Some(receipt)) = (spill, &self.receipt) else { return false };
        spill.mark_sent(target, self.cargo.load.delivery(), receipt, self.deadline()).await;
        true
    }

    async fn keep(&mut self, folder: Folder, effort: Effort) -> bool {
        let (failure, _) = self.history().await;
        let Carrier { target, spill, .. } = self.carrier;
        let Some(spill) = spill else { return false };
        // A made message is lent to the record, not copied: it may be large.
        let made = self.made.take();
        let is_made = made.is_some();
        let stored = || self.stored().and_then(|stored| stored.record.message.clone());
        let message = made.or_else(stored);
        let record = Record::new(target, self.cargo.load.delivery(), message, failure);
        let mut kept = spill.keep(folder, &record, self.keep_by(folder, effort)).await;
        while let Err(error) = &kept
            && effort == Effort::Last
            && error.is_retryable()
            && self.deadline().saturating_duration_since(Instant::now()) > AGAIN
        {
            // The queue does not take the delivery, so the store is tried to the deadline.
            sleep(AGAIN).await;
            kept = spill.keep(folder, &record, self.deadline()).await;
        }
        self.history = Some(record.error);
        self.made = record.message.filter(|_| is_made);
        match kept {
            Ok(kept) => self.kept = Some(kept),
            Err(error) => self.store_error = Some(error),
        }
        self.kept.is_some()
    }

    /// Returns the time until which the store may be tried now. The queue may take a delivery that the store
    /// does not, and needs time too: its usual time if it was not tried yet, else half of the time left.
    fn keep_by(&self, folder: Folder, effort: Effort) -> Instant {
        let deadline = self.deadline();
        match (folder, effort, &self.error) {
            (Folder::Spill, Effort::Brief, None) => self.send_by(),
            (Folder::Spill, Effort::Brief, Some(_)) => {
                let left = deadline.saturating_duration_since(Instant::now());
                deadline.checked_sub(left / 2).unwrap_or(deadline)
            }
            _ => deadline,
        }
    }

    /// Returns the failures to write down, and the record of the last failed run if there is one. The attempts
    /// of all runs add up, and the time of the first failure stays.
    async fn history(&self) -> (History, Option<Backoff>) {
        let now = self.carrier.context.clock.now();
        let failure = match (&self.error, &self.unrenderable) {
            (Some(error), _) => History::of_send(error, now),
            (None, Some(error)) => History::other(UNRENDERABLE, error, now),
            (None, None) => History::other("always", "", now),
        };
        match self.stored() {
            Some(stored) => {
                let earlier = self.earlier(stored).await;
                let known = earlier.as_ref().map_or(&stored.record.error, |earlier| &earlier.error);
                (failure.after(known), earlier)
            }
            None => (failure, None),
        }
    }

    /// Reads the record of the last failed run. The record is only history: if it cannot be read, the history
    /// begins again.
    async fn earlier(&self, stored: &StoredDelivery<'_>) -> Option<Backoff> {
        let spill = self.carrier.spill.as_ref()?;
        spill.backoff(stored.states, self.deadline()).await.ok().flatten()
    }

    async fn postpone(&mut self) -> bool {
        let Carrier { spill, context, .. } = self.carrier;
        let (Some(spill), Some(error), Some(stored)) = (spill, &self.error, self.stored()) else {
            return false;
        };
        let (failure, earlier) = self.history().await;
        let backoff = Backoff::after(earlier.as_ref(), failure, error.retry_after, &context.random);
        let written = spill.postpone(stored.name, &backoff, stored.states, self.deadline()).await;
        self.report.next = Some(backoff.next);
        self.confirmed(written)
    }

    async fn delete(&mut self) -> bool {
        let (Some(spill), Some(stored)) = (&self.carrier.spill, self.stored()) else { return false };
        let deleted = spill.remove(stored.name, stored.states, self.deadline()).await;
        self.confirmed(deleted)
    }

    fn confirmed(&mut self, done: Result<(), StoreError>) -> bool {
        done.map_err(|error| self.store_error = Some(error)).is_ok()
    }

    fn end(self, end: End) -> CarryReport {
        let Self {
            carrier,
            made,
            marked,
            receipt,
            error,
            store_error,
            unrenderable,
            kept,
            history,
            mut report,
            ..
        } = self;
        report.topic = made.map(|message| message.topic);
        report.is_undeleted = end == End::StoreFailed && receipt.is_some();
        let unstored = |detail: String| SendError::new(Class::Transient, detail);
        // Builds the error for a delivery that neither the queue nor the store has taken.
        let refusal = |error: Option<SendError>, store: Option<StoreError>| match (error, store) {
            (Some(error), Some(store)) if error.class == Class::TooLarge => {
                // The size is not the reason: the body could not be kept elsewhere.
                unstored(format!("{}; the body: {store}", error.detail))
            }
            (Some(mut error), Some(store)) => {
                error.detail = format!("{}; {store}", error.detail);
                error
            }
            (Some(mut error), None) => {
                // Without this, the reason would not tell why nothing was spilled.
                if carrier.spill.is_none() && Spill::is_named(&carrier.context.env) {
                    error.detail =
                        format!("{}; {VARIABLE} cannot be used, so there is no store", error.detail);
                }
                error
            }
            (None, Some(store)) => unstored(
                unrenderable
                    .as_ref()
                    .map_or_else(|| format!("the store: {store}"), |error| format!("{error}; {store}")),
            ),
            (None, None) => unstored("no step of the way was taken".to_owned()),
        };
        let lost = |why: &str| Fate::Refused(unstored(why.to_owned()));
        report.fate = match end {
            End::Queued => receipt.map_or_else(|| lost("there is no receipt"), Fate::Queued),
            End::Repeated => marked.map_or_else(|| lost("there is no mark"), Fate::Repeated),
            End::Spilled { tried } => kept.map_or_else(
                || lost("the store confirmed nothing"),
                |kept| Fate::Spilled(kept, error.filter(|_| tried)),
            ),
            End::Dead { unrenderable: is_unrenderable } => match (kept, history) {
                (Some(kept), Some(history)) => {
                    let failed = error.as_ref().filter(|_| !is_unrenderable);
                    let class = failed.map_or(UNRENDERABLE, |error| error.class.as_str());
                    Fate::Dead(kept, DeadCause { class, history, error })
                }
                _ => lost("the store confirmed nothing"),
            },
            End::Refused => Fate::Refused(refusal(error, store_error)),
            End::Unrenderable => unrenderable.map_or_else(|| lost("no message was made"), Fate::Unrenderable),
            End::Failed | End::Held | End::NoMessage | End::StoreFailed => match (end, error, store_error) {
                (End::Failed, Some(error), _) => Fate::Failed(error),
                (End::Held, Some(error), _) => Fate::Held(error),
                (_, _, Some(store)) => Fate::StoreFailed(store),
                _ => Fate::NoMessage,
            },
        };
        report
    }
}

#[cfg(test)]
mod tests;
