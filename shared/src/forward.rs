//! A verified delivery's way to a place that keeps it: the queue, or else the spill store.
//!
//! | The queue's answer | With a spill store | Without |
//! |---|---|---|
//! | a receipt | accepted | accepted |
//! | too large | a message that refers to the body, or refused | refused |
//! | never as it is, or no message can be made of it | `dead/`, accepted | refused |
//! | not now, or nobody knows | `spill/`, accepted | refused |
//!
//! What is accepted is proven: by the vendor's receipt, by the store's confirmation, or by the mark of
//! an earlier receipt.

use tokio::time::Instant;

use crate::config::{Hook, Mode, Oversize};
use crate::context::Context;
use crate::delivery::Delivery;
use crate::message::{Message, Recipe, Unrenderable};
use crate::queue::{Class, Queue, Receipt, Rest, SendError, Target};
use crate::spill::{Failure, Folder, Kept, Record, Sent, Spill};

/// The class of a delivery that no message can be made of.
pub(crate) const UNRENDERABLE: &str = "unrenderable";

/// What became of a delivery.
#[derive(Debug)]
pub(crate) enum Fate {
    /// The queue has it.
    Queued(Receipt),
    /// It waits for the queue; the error, if that was tried.
    Spilled(Kept, Option<SendError>),
    /// It lies where somebody must look at it: the failure's class, and the failure.
    Dead(Kept, &'static str, Failure),
    /// It was sent before.
    Repeated(Sent),
    /// Nobody has it.
    Refused(SendError),
    /// Nobody has it, and no message can be made of it.
    Unrenderable(Unrenderable),
}

/// When things were done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    /// The message was made.
    pub(crate) rendered: Option<Instant>,
    /// Sending was over, without success.
    pub(crate) sent: Option<Instant>,
}

/// Sends to one target, and to the store what that does not take.
#[derive(Debug)]
pub(crate) struct Forwarder<Q> {
    pub(crate) target: Target,
    pub(crate) queue: Q,
    pub(crate) spill: Option<Spill>,
    pub(crate) context: Context,
}

impl<Q: Queue> Forwarder<Q> {
    /// Finds a place for the delivery before `deadline`, and notes when things were done.
    pub(crate) async fn forward(
        &self,
        hook: &Hook,
        recipe: &Recipe<'_>,
        delivery: &Delivery,
        deadline: Instant,
        times: &mut Times,
    ) -> Fate {
        let keeping = hook.keeping;
        let spill = self.spill.as_ref().filter(|_| keeping.spill != Mode::Never);
        if let Some((marks, window)) = self.spill.as_ref().zip(keeping.dedupe)
            && let Some(sent) = marks.was_sent(&self.target, delivery, window, self.budget(deadline)).await
        {
            return Fate::Repeated(sent);
        }
        let message = match recipe.render(delivery) {
            Ok(message) => message,
            Err(error) => return self.bury_unrenderable(spill, delivery, error, deadline).await,
        };
        times.rendered = Some(Instant::now());
        if keeping.spill == Mode::Always
            && let Some(spill) = spill
        {
            let failure = Failure::other("always", "", self.context.clock.now());
            let record = Record::new(&self.target, delivery, Some(message.clone()), failure);
            match spill.keep(Folder::Spill, &record, self.budget(deadline)).await {
                Ok(kept) => return Fate::Spilled(kept, None),
                // The queue may take it all the same.
                Err(error) => tracing::warn!(hook = hook.name, %error, "cannot spill"),
            }
        }
        let (message, error) = match self.send(&message, deadline).await {
            Ok(receipt) => return self.queued(hook, delivery, receipt, deadline).await,
            Err(error) if error.class == Class::TooLarge && keeping.oversize == Oversize::Reference => {
                match self.refer(recipe, delivery, deadline).await {
                    Ok(message) => match self.send(&message, deadline).await {
                        Ok(receipt) => return self.queued(hook, delivery, receipt, deadline).await,
                        Err(error) => (message, error),
                    },
                    Err(error) => return Fate::Refused(error),
                }
            }
            Err(error) => (message, error),
        };
        times.sent = Some(Instant::now());
        let folder = match error.class.rest() {
            Rest::Wait => Folder::Spill,
            Rest::Dead => Folder::Dead,
            Rest::Refuse => return Fate::Refused(error),
        };
        let Some(spill) = spill else { return Fate::Refused(error) };
        let failure = Failure::of_send(&error, self.context.clock.now());
        let record = Record::new(&self.target, delivery, Some(message), failure);
        match spill.keep(folder, &record, deadline).await {
            Ok(kept) if folder == Folder::Dead => Fate::Dead(kept, error.class.as_str(), record.error),
            Ok(kept) => Fate::Spilled(kept, Some(error)),
            Err(store) => Fate::Refused(SendError { detail: format!("{}; {store}", error.detail), ..error }),
        }
    }

    /// Until when the queue may be tried.
    fn budget(&self, deadline: Instant) -> Instant {
        self.spill.as_ref().map_or(deadline, |spill| spill.budget(deadline))
    }

    async fn send(&self, message: &Message, deadline: Instant) -> Result<Receipt, SendError> {
        self.queue.send(message, self.budget(deadline)).await
    }

    async fn queued(&self, hook: &Hook, delivery: &Delivery, receipt: Receipt, deadline: Instant) -> Fate {
        if let Some(spill) = self.spill.as_ref().filter(|_| hook.keeping.dedupe.is_some()) {
            spill.mark_sent(&self.target, delivery, &receipt, deadline).await;
        }
        Fate::Queued(receipt)
    }

    /// The message that refers to the body, once that is safe.
    async fn refer(
        &self,
        recipe: &Recipe<'_>,
        delivery: &Delivery,
        deadline: Instant,
    ) -> Result<Message, SendError> {
        let Some(spill) = &self.spill else { return Err(SendError::ours("there is no store")) };
        let stored = spill.claim(&self.target, delivery, deadline).await;
        let dataref = stored.map_err(|error| SendError::ours(format!("the body: {error}")))?;
        recipe.refer(delivery, &dataref).map_err(|error| SendError::ours(error.to_string()))
    }

    async fn bury_unrenderable(
        &self,
        spill: Option<&Spill>,
        delivery: &Delivery,
        error: Unrenderable,
        deadline: Instant,
    ) -> Fate {
        let Some(spill) = spill else { return Fate::Unrenderable(error) };
        let failure = Failure::other(UNRENDERABLE, &error, self.context.clock.now());
        let record = Record::new(&self.target, delivery, None, failure);
        match spill.keep(Folder::Dead, &record, deadline).await {
            Ok(kept) => Fate::Dead(kept, UNRENDERABLE, record.error),
            // A store that fails is our fault, and no 422 then.
            Err(store) => Fate::Refused(SendError::ours(format!("{error}; {store}"))),
        }
    }
}
