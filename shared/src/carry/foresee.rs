//! What would be done with a stored delivery, without doing it: the steps that only look are taken, and
//! the first one that has an effect is told. [`Course`] decides here too, so that a dry run cannot
//! promise another message than the run sends.

use super::{Cargo, Carrier, Course, End, Form, Outcome, Step, Trip};
use crate::queue::Queue;
use crate::spill::Folder;

/// What would be done first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Foreseen {
    /// A message would be sent.
    Send {
        /// Where to.
        topic: String,
        /// Whether it is made anew by today's hook, or the stored one.
        is_new: bool,
        /// Whether it refers to its body, which is written anew before.
        form: Form,
        /// Why today's hook makes none, where the stored one is sent for that reason.
        instead: Option<String>,
    },
    /// It was sent before, and would be removed.
    Repeat,
    /// It would be moved to `dead/`.
    Bury(String),
    /// It would stay where it is.
    Stay(String),
}

impl<Q: Queue> Carrier<Q> {
    /// What [`carry`](Self::carry) would do with it now.
    pub(crate) async fn foresee(&self, cargo: Cargo<'_>) -> Foreseen {
        let mut course = Course::new(self.terms(&cargo));
        let mut trip = Trip::new(self, cargo);
        loop {
            let outcome = match course.step() {
                Step::LookUp => Outcome::Found(trip.look_up().await),
                Step::Render => Outcome::Rendered(trip.render()),
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

    /// The topic of a message that refers to its body, which is not written for that.
    fn referring(&self) -> Result<Option<String>, String> {
        let (Some(recipe), Some(spill)) = (&self.cargo.recipe, &self.carrier.spill) else { return Ok(None) };
        let delivery = self.cargo.load.delivery();
        let address = spill.store().address(&Folder::Claims.name(&self.carrier.target, delivery));
        let message = recipe.refer(delivery, &address).map_err(|error| error.to_string())?;
        Ok(Some(message.topic))
    }

    /// Why there is no hook that makes a message.
    fn no_recipe(&self) -> Option<String> {
        let Cargo { load, hook, recipe, .. } = &self.cargo;
        let name = &load.delivery().hook;
        match (hook, recipe) {
            (_, Some(_)) => None,
            (None, None) => Some(format!("hooks.toml has no sound hook {name}")),
            (Some(_), None) => Some(format!("the hook {name} of hooks.toml has no topic for this target")),
        }
    }

    fn why(&self) -> String {
        let unrenderable = self.unrenderable.as_ref().map(ToString::to_string);
        let error = || self.error.as_ref().map(ToString::to_string);
        unrenderable.or_else(error).unwrap_or_else(|| "there is no message, and no hook makes one".to_owned())
    }
}
