//! Contents of the store, page by page: a million deliveries take the memory of one page.
//!
//! Nothing is changed. The reported facts of a delivery are those that help a person decide about it: its
//! body, its header fields and its query are read and dropped.

use std::collections::VecDeque;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::Instant;

use super::list::is_gone;
use super::walk::{Waiting, Walk};
use super::{Options, RedriveJob, Redriver, history, named};
use crate::carry::{Foreseen, Form, Pace};
use crate::clock::Timestamp;
use crate::queue::{Client, Queue};
use crate::spill::{History, Record, is_due};
use crate::store::{Foreign, MAX_PAGE, StoreError};

/// Upper bound on concurrent reads of deliveries.
const AT_A_TIME: usize = 16;

/// Description of one object of the store.
#[derive(Clone, Debug)]
pub struct Sight {
    /// Name of the object.
    pub object: String,
    /// Name of the target that the object's delivery is for.
    pub target: String,
    /// Name of the hook that received the object's delivery.
    pub hook: String,
    /// Size of the object, in bytes.
    pub size: u64,
    /// Time at which the object was written.
    pub kept: Timestamp,
    /// Content of the object.
    pub found: Found,
}

/// Content of an object.
#[derive(Clone, Debug)]
pub enum Found {
    /// A delivery that could be read.
    Delivery(Box<Known>),
    /// An object that is not a delivery or cannot be read, with the problem.
    Unreadable(String),
}

/// Facts about a delivery that may be reported.
#[derive(Clone, Debug)]
pub struct Known {
    /// Id of the delivery, which its sender may have chosen.
    pub id: String,
    /// Name of the event as the sender gave it.
    pub event: Option<String>,
    /// Time at which the delivery was received.
    pub received: Timestamp,
    /// Last failure of the delivery, with all attempts so far.
    pub failure: History,
    /// Time of the next attempt; `None` if the delivery is due.
    pub next: Option<Timestamp>,
    /// Plan of a run with these options for the delivery; `None` if it was not requested.
    pub plan: Option<Plan>,
}

/// Planned action of a run for a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Sending of a message.
    Send {
        /// Topic that the message goes to.
        topic: String,
        /// True if the current hook renders the message again; false if the stored message is sent.
        is_new: bool,
        /// True if the message refers to its body, which is written again before the message is sent.
        refers: bool,
        /// Reason why the current hook cannot render a message, if the stored one is sent because of that.
        instead: Option<String>,
    },
    /// Removal of the delivery, which was sent before.
    Repeat,
    /// Move of the delivery to `dead/`, for this reason.
    Bury(String),
    /// Retention of the delivery, for this reason: no message can be made of it.
    Stay(String),
    /// Retention of the delivery until this time.
    Early(Timestamp),
    /// Retention of the delivery by every run: no table of the hooks file names its target.
    NoTarget,
}

/// One hook's deliveries for one target.
struct Hook<'a> {
    target: String,
    name: String,
    /// Redriver of the target; `None` if no configuration names the target.
    redriver: Option<&'a Redriver<Client>>,
}

/// Iteration over the pages of everything that the options select.
pub struct Pages<'a> {
    job: &'a RedriveJob,
    options: &'a Options,
    has_plan: bool,
    /// Hooks that are still to be listed.
    hooks: VecDeque<Hook<'a>>,
    walk: Option<(Walk, Hook<'a>)>,
    foreign: Foreign,
    unlisted: Vec<Unlisted>,
    /// True if a page of any hook has been listed.
    is_answered: bool,
}

/// Hook whose deliveries for a target could not be listed, or not to their end.
#[derive(Clone, Debug)]
pub struct Unlisted {
    /// Name of the target.
    pub target: String,
    /// Name of the hook; `*` if the target's hooks are unknown.
    pub hook: String,
    /// Error of the listing.
    pub error: StoreError,
}

impl RedriveJob {
    /// Begins a listing of everything in the store, unknown targets included; with the plan of a run, if
    /// `has_plan`.
    pub async fn pages<'a>(
        &'a self,
        options: &'a Options,
        has_plan: bool,
        deadline: Instant,
    ) -> Result<Pages<'a>, StoreError> {
        let (mut hooks, mut foreign) = (VecDeque::new(), Foreign::default());
        for redriver in self.redrivers().iter().filter(|redriver| options.takes(redriver.target())) {
            let name = redriver.target().name();
            let (found, beside) = redriver.hooks(options, options.soon(deadline)).await?;
            foreign.join(beside);
            let hook = |hook| Hook { target: name.to_owned(), name: hook, redriver: Some(redriver) };
            hooks.extend(found.into_iter().map(hook));
        }
        let strays = self.strays(options, deadline).await?;
        foreign.join(strays.foreign);
        for (target, found) in strays.targets {
            let hook = |hook| Hook { target: target.clone(), name: hook, redriver: None };
            hooks.extend(found.into_iter().map(hook));
        }
        let of_all = |(target, error)| Unlisted { target, hook: "*".to_owned(), error };
        let (unlisted, is_answered) = (strays.unlisted.into_iter().map(of_all).collect(), false);
        Ok(Pages { job: self, options, has_plan, hooks, walk: None, foreign, unlisted, is_answered })
    }
}

impl Pages<'_> {
    /// Returns the foreign entries found so far.
    pub const fn foreign(&self) -> &Foreign {
        &self.foreign
    }

    /// Returns the hooks passed over because the store could not list them.
    pub fn unlisted(&self) -> &[Unlisted] {
        &self.unlisted
    }

    /// Returns the next page, oldest first, of one hook for one target. It may be empty; `None` at the end. A
    /// hook that cannot be listed stops no other; it is an error if no hook can be listed, or if the store
    /// stops answering.
    pub async fn next(&mut self, deadline: Instant) -> Result<Option<Vec<Sight>>, StoreError> {
        let store = self.job.store();
        loop {
            let Some((walk, hook)) = &mut self.walk else {
                let Some(hook) = self.hooks.pop_front() else {
                    let failed = self.unlisted.first().filter(|_| !self.is_answered);
                    return failed.map_or(Ok(None), |failed| Err(failed.error.clone()));
                };
                self.walk = Some((Walk::new(&hook.target, &hook.name, self.options, None), hook));
                continue;
            };
            if walk.is_over() {
                self.walk = None;
                continue;
            }
            let leaf = match walk.peek(store, MAX_PAGE, self.options.soon(deadline)).await {
                Ok(leaf) => leaf,
                Err(error) => {
                    if error.is_silence() && is_gone(store, self.options, deadline).await {
                        return Err(error);
                    }
                    let Hook { target, name, .. } = &*hook;
                    self.unlisted.push(Unlisted { target: target.clone(), hook: name.clone(), error });
                    self.walk = None;
                    continue;
                }
            };
            self.is_answered = true;
            self.foreign.join(leaf.foreign);
            let page = Page { job: self.job, options: self.options, has_plan: self.has_plan, hook, deadline };
            let seen = stream::iter(leaf.waiting).map(|waiting| page.see(waiting)).buffered(AT_A_TIME);
            let seen: Vec<Option<Sight>> = seen.try_collect().await?;
            return Ok(Some(seen.into_iter().flatten().collect()));
        }
    }
}

/// Context of a page's deliveries.
struct Page<'a> {
    job: &'a RedriveJob,
    options: &'a Options,
    has_plan: bool,
    hook: &'a Hook<'a>,
    deadline: Instant,
}

impl Page<'_> {
    /// Reads one delivery; `None` if it is gone, or has another id than the requested one.
    async fn see(&self, waiting: Waiting) -> Result<Option<Sight>, StoreError> {
        let _room = self.job.room().take(waiting.entry.size).await;
        let soon = self.options.soon(self.deadline);
        let entry = &waiting.entry;
        let found = match self.job.store().get(&entry.name, soon).await {
            Ok(None) => return Ok(None),
            Ok(Some(bytes)) => {
                let record = match self.hook.redriver {
                    Some(redriver) => redriver.record(entry, &bytes, self.options),
                    None => named(entry, &bytes, self.options),
                };
                drop(bytes);
                match record {
                    Ok(record) if self.options.id.as_ref().is_some_and(|id| *id != record.delivery.id) => {
                        return Ok(None);
                    }
                    Ok(record) => Found::Delivery(Box::new(self.know(record, &waiting, soon).await?)),
                    Err(error) => Found::Unreadable(error),
                }
            }
            // A delivery that may not be read hides no other.
            Err(error) if error.may_be_of_one() => Found::Unreadable(error.to_string()),
            Err(error) => return Err(error),
        };
        let is_wanted = self.options.id.is_none() || matches!(found, Found::Delivery(_));
        Ok(is_wanted.then(|| Sight {
            object: entry.name.clone(),
            target: self.hook.target.clone(),
            hook: self.hook.name.clone(),
            size: entry.size,
            kept: entry.modified,
            found,
        }))
    }

    /// Collects the facts of a delivery. The state in `retry/` knows later failures than the record does.
    async fn know(&self, record: Record, waiting: &Waiting, deadline: Instant) -> Result<Known, StoreError> {
        let states = &waiting.states;
        let backoff = history(self.job.spill(), states, deadline).await?;
        let next = waiting.next().or_else(|| backoff.as_ref().map(|backoff| backoff.next));
        let now = self.job.now();
        let next = next.filter(|next| !is_due(*next, now));
        let failure = backoff.map_or_else(|| record.error.clone(), |backoff| backoff.error);
        let (id, event) = (record.delivery.id.clone(), record.delivery.event.clone());
        let received = record.delivery.received_at;
        let plan = if self.has_plan { Some(self.plan(record, waiting, next, deadline).await) } else { None };
        Ok(Known { id, event, received, failure, next, plan })
    }

    async fn plan(
        &self,
        record: Record,
        waiting: &Waiting,
        next: Option<Timestamp>,
        deadline: Instant,
    ) -> Plan {
        let Some(redriver) = self.hook.redriver else { return Plan::NoTarget };
        let Options { now, dead, .. } = *self.options;
        if let Some(next) = next.filter(|_| !now && !dead) {
            return Plan::Early(next);
        }
        redriver.foresee(record, waiting, self.options, deadline).await
    }
}

impl<Q: Queue> Redriver<Q> {
    /// Plans a run's action for a due delivery.
    async fn foresee(&self, record: Record, waiting: &Waiting, options: &Options, deadline: Instant) -> Plan {
        // Nothing is sent, so the pace does not matter.
        let pace = Pace::new(1);
        let cargo = self.cargo(&waiting.entry, record, &waiting.states, options, &pace, deadline);
        match self.0.carrier.foresee(cargo).await {
            Foreseen::Send { topic, is_new, form, instead } => {
                Plan::Send { topic, is_new, refers: form == Form::Referring, instead }
            }
            Foreseen::Repeat => Plan::Repeat,
            Foreseen::Bury(why) => Plan::Bury(why),
            Foreseen::Stay(why) => Plan::Stay(why),
        }
    }
}

#[cfg(test)]
#[path = "pages_tests.rs"]
mod tests;
