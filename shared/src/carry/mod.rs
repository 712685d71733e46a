//! One way to carry a delivery to its queue: from a sender, from `spill/`, or from `dead/`.
//!
//! [`Course`] decides, `Carrier` does. What is accepted is proven: by the vendor's receipt, by the mark
//! of an earlier one, or by the store's confirmation.
//!
//! | The queue's answer | From a sender, with a store | Without | From `spill/` | From `dead/` |
//! |---|---|---|---|---|
//! | a receipt | accepted | accepted | deleted | deleted |
//! | too large | a message that refers to the body, or refused | refused | the same, or `dead/` | the same, or stays |
//! | never as it is | `dead/`, accepted | refused | `dead/` | stays |
//! | not now, or nobody knows | `spill/`, accepted | refused | stays, tried later | stays |
//!
//! A stored message whose failure is one that a person corrects in the configuration is made anew by
//! today's hook before it is given up on.

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
use crate::queue::{Class, Effort, Queue, Receipt, SendError, Target, Until};
use crate::sabotage::{Safeguard, is_pulled};
use crate::spill::{Backoff, Failure, Folder, Kept, Marked, Record, Spill, State};
use crate::stopping::Stopping;
use crate::store::StoreError;
pub use course::{Course, End, Form, Origin, Outcome, Rendered, Sent, Step, Terms};
pub use facts::{Facts, Kept as KeptFacts, UNRENDERABLE};
pub(crate) use foresee::Foreseen;
pub(crate) use pace::Pace;

/// What a stored delivery leaves the store of its time.
pub(crate) const RESERVE: Duration = Duration::from_secs(2);

/// Between two writes of a delivery that nobody else takes.
const AGAIN: Duration = Duration::from_millis(250);

/// One send of a stored delivery gets this at most: the others wait for its place.
pub(crate) const SEND: Duration = Duration::from_secs(15);

/// What became of a delivery.
#[derive(Debug)]
pub(crate) enum Fate {
    /// The queue has it.
    Queued(Receipt),
    /// It was sent before.
    Repeated(Marked),
    /// It waits for the queue; the error, if that was tried.
    Spilled(Kept, Option<SendError>),
    /// It lies where somebody must look at it: the failure's class, and the failure.
    Dead(Kept, &'static str, Failure),
    /// Nobody has it, and its sender keeps it.
    Refused(SendError),
    /// Nobody has it, and no message can be made of it.
    Unrenderable(Unrenderable),
    /// It stays in the store: it was tried in vain.
    Failed(SendError),
    /// It stays in the store, untried: what it shares with others is known to fail.
    Held(SendError),
    /// It stays in the store: no message can be made of it today.
    NoMessage,
    /// It stays in the store, which failed.
    StoreFailed(StoreError),
}

/// How a delivery was carried.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) fate: Fate,
    /// When the message was made.
    pub(crate) rendered: Option<Instant>,
    /// When sending was over, without success.
    pub(crate) sent: Option<Instant>,
    /// When a waiting delivery that failed is tried next.
    pub(crate) next: Option<crate::clock::Timestamp>,
    /// Whether the queue has what the store did not let go: the next run sends it again.
    pub(crate) is_undeleted: bool,
}

impl Report {
    pub(crate) const fn of(fate: Fate) -> Self {
        Self { fate, rendered: None, sent: None, next: None, is_undeleted: false }
    }

    /// How long the queue was waited for, if it was asked.
    pub(crate) fn sending(&self, now: Instant) -> Option<Duration> {
        let until = match &self.fate {
            Fate::Queued(_) => now,
            _ => self.sent?,
        };
        self.rendered.map(|from| until.saturating_duration_since(from))
    }
}

/// What is carried, and by when.
pub(crate) struct Cargo<'a> {
    pub(crate) load: Load<'a>,
    /// Today's hook; `None` if it is gone.
    pub(crate) hook: Option<&'a Hook>,
    /// How the hook makes messages for the target.
    pub(crate) recipe: Option<Recipe<'a>>,
    /// Until when everything must be done.
    pub(crate) deadline: Instant,
}

/// A delivery, and where it comes from.
pub(crate) enum Load<'a> {
    /// Of a sender that waits.
    Sender(&'a Delivery),
    /// Of the store.
    Stored(Box<Stored<'a>>),
}

/// A delivery of the store.
pub(crate) struct Stored<'a> {
    pub(crate) folder: Folder,
    /// The object's name.
    pub(crate) name: &'a str,
    pub(crate) record: Record,
    /// The objects that say when it is tried next.
    pub(crate) states: &'a [State],
    /// Whether the message is made anew, whatever failed.
    pub(crate) render: bool,
    pub(crate) pace: &'a Pace,
}

/// Carries deliveries to one target.
#[derive(Debug)]
pub(crate) struct Carrier<Q> {
    pub(crate) target: Target,
    pub(crate) queue: Q,
    pub(crate) spill: Option<Spill>,
    pub(crate) context: Context,
}

impl<Q: Queue> Carrier<Q> {
    /// Takes the delivery to a place that keeps it, or leaves it where it is.
    pub(crate) async fn carry(&self, cargo: Cargo<'_>) -> Report {
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
    /// How it carries its body.
    pub(crate) fn form(&self) -> Form {
        if self.dataref().is_some() { Form::Referring } else { Form::Whole }
    }
}

/// One delivery under way: what the steps have brought so far.
struct Trip<'a, Q> {
    carrier: &'a Carrier<Q>,
    cargo: Cargo<'a>,
    /// The message that was made last.
    made: Option<Message>,
    marked: Option<Marked>,
    receipt: Option<Receipt>,
    error: Option<SendError>,
    store_error: Option<StoreError>,
    unrenderable: Option<Unrenderable>,
    kept: Option<Kept>,
    failure: Option<Failure>,
    report: Report,
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
            failure: None,
            report: Report::of(Fate::NoMessage),
        }
    }

    async fn take(mut self, mut course: Course) -> Report {
        loop {
            let outcome = match course.step() {
                Step::LookUp => Outcome::Found(self.look_up().await),
                Step::Render => Outcome::Rendered(self.render()),
                Step::Refer => Outcome::Done(self.refer(course.sends_stored()).await),
                Step::Send(_) => Outcome::Sent(self.send(course.sends_stored(), course.effort()).await),
                Step::Mark => Outcome::Done(self.mark().await),
                Step::Spill => Outcome::Done(self.keep(Folder::Spill, course.effort()).await),
                Step::Bury => Outcome::Done(self.keep(Folder::Dead, course.effort()).await),
                Step::Postpone => Outcome::Done(self.postpone().await),
                Step::Delete => Outcome::Done(self.delete().await),
                Step::End(end) => return self.end(end),
            };
            course = course.after(outcome);
        }
    }

    fn stored(&self) -> Option<&Stored<'_>> {
        match &self.cargo.load {
            Load::Sender(_) => None,
            Load::Stored(stored) => Some(stored),
        }
    }

    /// Until when everything must be done; sooner where the process ends.
    fn deadline(&self) -> Instant {
        Stopping::in_hand().cut(self.cargo.deadline)
    }

    /// Until when the queue may be tried now, so that there is time for the store after it.
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
                self.error = Some(SendError { class: Class::TooLarge, ..SendError::ours(error.to_string()) });
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

    /// Writes the body that the message refers to, as old as the message from now on, and makes the
    /// message refer to it.
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
            // The address is another one where the store has moved.
            stored.map(|message| message.referring_to(&claim)).ok_or(Unrenderable::Reference)
        } else {
            let recipe = self.cargo.recipe.as_ref().ok_or(Unrenderable::Reference);
            recipe.and_then(|recipe| recipe.refer(delivery, &claim))
        };
        match message {
            Ok(message) => {
                self.made = Some(message);
                // Its size is no failure any more.
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
        // A stored message that refers was made to refer to where its body is now.
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
                    // It holds little more than an address: the limit is wrong, not the message.
                    error.class = Class::Config;
                }
                if let Some(earlier) = self.error.as_ref().filter(|_| effort == Effort::Last) {
                    // Of the same message, which the store has not taken in between.
                    error.attempts += earlier.attempts;
                    error.maybe_stored |= earlier.maybe_stored;
                }
                let failed = Sent::Failed { class: error.class, tried: error.attempts > 0 };
                self.error = Some(error);
                failed
            }
        }
    }

    /// Sends; where the process is told to end meanwhile, what is left of the time is for the store.
    async fn send_in_time(&self, message: &Message, effort: Effort) -> Result<Receipt, SendError> {
        let until = Until { deadline: self.send_by(), effort };
        let stopped = async {
            Stopping::in_hand().announced().await;
            sleep_until(self.send_by()).await;
        };
        tokio::select! {
            biased;
            sent = self.carrier.queue.send(message, until) => sent,
            () = stopped => Err(SendError {
                class: Class::Ambiguous,
                attempts: 1,
                maybe_stored: true,
                ..SendError::ours("the process ends before the queue has answered")
            }),
        }
    }

    async fn mark(&mut self) -> bool {
        let Carrier { target, spill, .. } = self.carrier;
        let (Some(spill), Some(receipt)) = (spill, &self.receipt) else { return false };
        spill.mark_sent(target, self.cargo.load.delivery(), receipt, self.deadline()).await;
        true
    }

    async fn keep(&mut self, folder: Folder, effort: Effort) -> bool {
        let (failure, _) = self.failure_now().await;
        let Carrier { target, spill, .. } = self.carrier;
        let Some(spill) = spill else { return false };
        // One that was made is lent, not copied: it may be large.
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
            // Nobody else takes it.
            sleep(AGAIN).await;
            kept = spill.keep(folder, &record, self.deadline()).await;
        }
        self.failure = Some(record.error);
        self.made = record.message.filter(|_| is_made);
        match kept {
            Ok(kept) => self.kept = Some(kept),
            Err(error) => self.store_error = Some(error),
        }
        self.kept.is_some()
    }

    /// Until when the store may be tried now. The queue may take what the store does not, and has its time too: as
    /// usual where it was not tried, half of what is left where it was.
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

    /// What is written down of the failure: attempts add up, the first time stays.
    /// With it, what the last run that failed wrote down.
    async fn failure_now(&self) -> (Failure, Option<Backoff>) {
        let now = self.carrier.context.clock.now();
        let failure = match (&self.error, &self.unrenderable) {
            (Some(error), _) => Failure::of_send(error, now),
            (None, Some(error)) => Failure::other(UNRENDERABLE, error, now),
            (None, None) => Failure::other("always", "", now),
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

    /// What the last run that failed wrote down. It is history: where it cannot be read, it begins anew.
    async fn earlier(&self, stored: &Stored<'_>) -> Option<Backoff> {
        let spill = self.carrier.spill.as_ref()?;
        spill.backoff(stored.states, self.deadline()).await.ok().flatten()
    }

    async fn postpone(&mut self) -> bool {
        let Carrier { spill, context, .. } = self.carrier;
        let (Some(spill), Some(error), Some(stored)) = (spill, &self.error, self.stored()) else {
            return false;
        };
        let (failure, earlier) = self.failure_now().await;
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

    fn end(self, end: End) -> Report {
        let Self { marked, receipt, error, store_error, unrenderable, kept, failure, mut report, .. } = self;
        report.is_undeleted = end == End::StoreFailed && receipt.is_some();
        // Why nobody has it, of whatever went wrong on the way.
        let refusal = |error: Option<SendError>, store: Option<StoreError>| match (error, store) {
            (Some(error), Some(store)) if error.class == Class::TooLarge => {
                // The size was no reason: the body could not be kept elsewhere.
                SendError::ours(format!("{}; the body: {store}", error.detail))
            }
            (Some(error), Some(store)) => SendError { detail: format!("{}; {store}", error.detail), ..error },
            (Some(error), None) => error,
            (None, Some(store)) => SendError::ours(
                unrenderable
                    .as_ref()
                    .map_or_else(|| format!("the store: {store}"), |error| format!("{error}; {store}")),
            ),
            (None, None) => SendError::ours("no step of the way was taken"),
        };
        let lost = |why: &str| Fate::Refused(SendError::ours(why));
        report.fate = match end {
            End::Queued => receipt.map_or_else(|| lost("there is no receipt"), Fate::Queued),
            End::Repeated => marked.map_or_else(|| lost("there is no mark"), Fate::Repeated),
            End::Spilled { tried } => kept.map_or_else(
                || lost("the store confirmed nothing"),
                |kept| Fate::Spilled(kept, error.filter(|_| tried)),
            ),
            End::Dead { unrenderable: is_unrenderable } => match (kept, failure) {
                (Some(kept), Some(failure)) => {
                    let class = error.map_or(UNRENDERABLE, |error| error.class.as_str());
                    Fate::Dead(kept, if is_unrenderable { UNRENDERABLE } else { class }, failure)
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
