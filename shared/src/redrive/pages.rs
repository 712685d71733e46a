//! What lies in the store, told page by page: a million deliveries take the memory of a page.
//!
//! Nothing is changed. What is told of a delivery is what somebody needs who decides what to do about it:
//! its body, its header fields and its query are read and dropped.

use std::collections::VecDeque;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::Instant;

use super::list::is_gone;
use super::walk::{Waiting, Walk};
use super::{Job, Options, Redriver, named};
use crate::carry::{Foreseen, Form, Pace};
use crate::clock::Timestamp;
use crate::queue::{Client, Queue};
use crate::spill::{Failure, Record, is_due};
use crate::store::{Foreign, MAX_PAGE, StoreError};

/// Deliveries that are read at a time.
const AT_A_TIME: usize = 16;

/// One object of the store.
#[derive(Clone, Debug)]
pub struct Sight {
    /// Its name.
    pub object: String,
    /// The target that it is for.
    pub target: String,
    /// The hook that it is of.
    pub hook: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was written.
    pub kept: Timestamp,
    /// What it is.
    pub found: Found,
}

/// What an object is.
#[derive(Clone, Debug)]
pub enum Found {
    /// A delivery.
    Delivery(Box<Known>),
    /// No delivery, or none that can be read: what is wrong with it.
    Unreadable(String),
}

/// What may be told of a delivery.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its id, which its sender may have chosen.
    pub id: String,
    /// The sender's name of the event.
    pub event: Option<String>,
    /// When it was received.
    pub received: Timestamp,
    /// Its last failure, with all attempts so far.
    pub failure: Failure,
    /// When it is tried next; `None` if it is due.
    pub next: Option<Timestamp>,
    /// What a run with these options would do with it; `None` if that was not asked for.
    pub plan: Option<Plan>,
}

/// What a run would do with a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Send a message.
    Send {
        /// Where to.
        topic: String,
        /// Whether it is made anew by today's hook, or the stored one.
        is_new: bool,
        /// Whether it refers to its body, which is written anew before it is sent.
        refers: bool,
        /// Why today's hook makes none, where the stored one is sent for that reason.
        instead: Option<String>,
    },
    /// Remove it: it was sent before.
    Repeat,
    /// Move it to `dead/`, for this reason.
    Bury(String),
    /// Leave it where it is, for this reason: no message can be made of it.
    Stay(String),
    /// Leave it where it is until then.
    Early(Timestamp),
    /// Nothing, ever: no table of the hooks file names its target.
    NoTarget,
}

/// A hook's deliveries for a target.
struct Hook<'a> {
    target: String,
    name: String,
    /// `None` of a target that nothing names.
    redriver: Option<&'a Redriver<Client>>,
}

/// The way through everything that options name.
pub struct Pages<'a> {
    job: &'a Job,
    options: &'a Options,
    has_plan: bool,
    /// What is still to be gone through.
    hooks: VecDeque<Hook<'a>>,
    walk: Option<(Walk, Hook<'a>)>,
    foreign: Foreign,
    unlisted: Vec<Unlisted>,
    /// Whether a page of any hook has come.
    is_answered: bool,
}

/// A hook whose deliveries for a target could not be listed, or not to their end.
#[derive(Clone, Debug)]
pub struct Unlisted {
    /// The target's name.
    pub target: String,
    /// The hook's name; `*` if it is not even known which the target has.
    pub hook: String,
    /// Why.
    pub error: StoreError,
}

impl Job {
    /// What is there, of those targets too that nothing names; with what a run would do, if `has_plan`.
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
    /// What has been come across that is no object.
    pub const fn foreign(&self) -> &Foreign {
        &self.foreign
    }

    /// What was passed over because the store could not list it.
    pub fn unlisted(&self) -> &[Unlisted] {
        &self.unlisted
    }

    /// The next page, oldest first: one hook's for one target. It may be empty; `None` at the end. A hook that cannot
    /// be listed stops no other; it is an error if none can, or if the store does not answer any more.
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

/// What the deliveries of a page have in common.
struct Page<'a> {
    job: &'a Job,
    options: &'a Options,
    has_plan: bool,
    hook: &'a Hook<'a>,
    deadline: Instant,
}

impl Page<'_> {
    /// Reads one of them; `None` if it is gone, or another delivery than the one that is wanted.
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
            // One that may not be read hides no other.
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

    /// The state in `retry/` knows of later failures than the record does.
    async fn know(&self, record: Record, waiting: &Waiting, deadline: Instant) -> Result<Known, StoreError> {
        let states = &waiting.states;
        let backoff = self.job.spill().backoff(states, deadline).await?;
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
    /// What a run would do with a delivery that is due.
    async fn foresee(&self, record: Record, waiting: &Waiting, options: &Options, deadline: Instant) -> Plan {
        // Nothing waits for it: nothing is sent.
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
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::{Clock, Random};
    use crate::config::{Config, Reading, Samples};
    use crate::context::Context;
    use crate::env::Env;
    use crate::spill::Spill;
    use crate::store::Store;
    use crate::store::memory::{Fault, FaultKind, MemoryStore, Operation};

    #[tokio::test(start_paused = true)]
    async fn a_hook_that_cannot_be_listed_hides_no_other() {
        let (env, clock, random) = (Env::of::<&str, &str>([]), Clock::system(), Random::system());
        let context = Context { env, clock: clock.clone(), random };
        let faults = [
            Fault::from(FaultKind::Fails(StoreError::Other("it cannot be read".to_owned()))),
            Fault::slow(Duration::from_secs(3600)),
        ];
        // One hook of three, all of them, and the whole store, which fell silent after it was asked for the hooks.
        for (fault, bad) in faults
            .into_iter()
            .flat_map(|fault| ["spill/tdmq/b/", "spill/tdmq/", ""].map(|bad| (fault.clone(), bad)))
        {
            let memory = MemoryStore::new(clock.clone());
            for hook in ["a", "b", "c"] {
                memory.insert(&format!("spill/tdmq/{hook}/00"), "{".into());
            }
            let config = Config::parse("hooks", "", Reading::new(&context.env, Samples::Refused));
            let spill = Spill::new(Store::new(memory.clone()), &context);
            let job = Job::on(spill, config, &context).unwrap();
            let told = format!("{fault:?} {bad}");
            memory.set_faults(move |operation, name| {
                let is_bad = operation == Operation::List && name.starts_with(bad);
                if is_bad { fault.clone() } else { Fault::default() }
            });
            let options = Options { patience: Duration::from_secs(10), ..Options::default() };
            let deadline = Instant::now() + Duration::from_secs(3600);
            let begun = Instant::now();
            let mut pages = job.pages(&options, false, deadline).await.unwrap();
            let mut met = Vec::new();
            let end = loop {
                match pages.next(deadline).await {
                    Ok(Some(page)) => met.extend(page.into_iter().map(|sight| sight.hook)),
                    Ok(None) => break true,
                    Err(_) => break false,
                }
            };
            let hooks: Vec<&str> = pages.unlisted().iter().map(|unlisted| unlisted.hook.as_str()).collect();
            let took = begun.elapsed();
            match bad {
                "spill/tdmq/b/" => {
                    assert_eq!((end, met, hooks), (true, vec!["a".into(), "c".into()], vec!["b"]));
                }
                _ => assert_eq!((end, met), (false, Vec::<String>::new()), "{told}"),
            }
            assert!(!bad.is_empty() || took <= Duration::from_secs(12), "{told}: {took:?}");
        }
    }
}
