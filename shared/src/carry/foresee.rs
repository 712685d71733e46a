//! Forecast for a stored delivery: the steps without effect are taken, and the first step that would have
//! an effect is reported. [`Course`] decides here too, so that a dry run cannot promise another message
//! than the run sends.

use super::{Cargo, Carrier, Course, End, Form, Step, StepOutcome, Trip};
use crate::queue::Queue;

/// First effect that a run would have on a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Foreseen {
    /// Send of a message.
    Send {
        /// Topic of the message.
        topic: String,
        /// True if today's hook makes the message, false if the stored one is sent.
        is_new: bool,
        /// Form of the message. The body of a referring message would be written again first.
        form: Form,
        /// Reason why today's hook makes no message, if the stored one is sent instead.
        instead: Option<String>,
    },
    /// Removal of a delivery that was sent before.
    Repeat,
    /// Move of the delivery to `dead/`, for this reason.
    Bury(String),
    /// Delivery that stays where it is, for this reason.
    Stay(String),
}

impl<Q: Queue> Carrier<Q> {
    /// Returns the first effect that [`carry`](Self::carry) would have on the delivery now.
    pub(crate) async fn foresee(&self, cargo: Cargo<'_>) -> Foreseen {
        let mut course = Course::new(self.terms(&cargo));
        let mut trip = Trip::new(self, cargo);
        loop {
            let outcome = match course.step() {
                Step::LookUp => StepOutcome::Found(trip.look_up().await),
                Step::Render => StepOutcome::Rendered(trip.render()),
                step => return trip.foreseen(step, course.sends_stored()),
            };
            course = course.after(outcome);
        }
    }
}

impl<Q: Queue> Trip<'_, Q> {
    fn foreseen(self, step: Step, sends_stored: bool) -> Foreseen {
        let instead = self.unrenderable.as_ref().map(ToString::to_string).or_else(|| self.no_recipe());
        let form = match step {
            Step::Send(form) => form,
            Step::Refer => Form::Referring,
            Step::Delete => return Foreseen::Repeat,
            Step::Bury => return Foreseen::Bury(self.why()),
            Step::End(End::NoMessage) => return Foreseen::Stay(instead.unwrap_or_else(|| self.why())),
            _ => return Foreseen::Stay(self.why()),
        };
        let stored = self.stored().and_then(|stored| stored.record.message.as_ref());
        let topic = if sends_stored {
            stored.map(|message| message.topic.clone())
        } else if let Some(made) = &self.made {
            Some(made.topic.clone())
        } else {
            match self.referring() {
                Ok(topic) => topic,
                Err(why) => return Foreseen::Stay(why),
            }
        };
        let Some(topic) = topic else { return Foreseen::Stay(self.why()) };
        Foreseen::Send { topic, is_new: !sends_stored, form, instead: instead.filter(|_| sends_stored) }
    }

    /// Returns the topic of a message that refers to its body, without writing the body. It is `None` if
    /// there is no recipe or no store.
    fn referring(&self) -> Result<Option<String>, String> {
        let (Some(recipe), Some(spill)) = (&self.cargo.recipe, &self.carrier.spill) else { return Ok(None) };
        let delivery = self.cargo.load.delivery();
        let with_original = recipe.keeps_original_of(delivery);
        let claim = spill.claim_of(&self.carrier.target, delivery, with_original);
        let message = recipe.refer(delivery, &claim).map_err(|error| error.to_string())?;
        Ok(Some(message.topic))
    }

    /// Returns the reason why the hook has no recipe for a message, or `None` if it has one.
    fn no_recipe(&self) -> Option<String> {
        let Cargo { load, hook, recipe, .. } = &self.cargo;
        let name = &load.delivery().hook;
        match (hook, recipe) {
            (_, Some(_)) => None,
            (None, None) => Some(format!("hooks.toml has no valid hook {name}")),
            (Some(_), None) => Some(format!("the hook {name} of hooks.toml has no topic for this target")),
        }
    }

    fn why(&self) -> String {
        let unrenderable = self.unrenderable.as_ref().map(ToString::to_string);
        let error = || self.error.as_ref().map(ToString::to_string);
        unrenderable
            .or_else(error)
            .unwrap_or_else(|| "there is no stored message, and no hook can make one".to_owned())
    }
}
