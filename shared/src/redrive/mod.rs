//! Sends what the spill store holds, under the ids that it was received with.
//!
//! Oldest first, several at a time, no faster than the vendor's limit. A delivery is deleted only
//! after a receipt; what turns out to be permanent is written to `dead/` before it is deleted here.
//! Several redrivers at once can send a delivery twice, and lose none: each deletes only what it has
//! sent, or found in `dead/`, itself.

mod backoff;
mod job;
mod list;
mod quarantine;
mod shard;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::clock::Timestamp;
use crate::config::{Config, Oversize};
use crate::context::Context;
use crate::env::Lent;
use crate::message::Message;
use crate::queue::{Class, EnvProblem, Queue, Rest, SendError, Target, Vendor};
use crate::spill::{Failure, Folder, Record, Spill};
use crate::store::{Entry, StoreError};
use backoff::Backoff;
pub use job::{Job, Report, TargetReport};
pub use quarantine::{Reverified, list_quarantined, reverify};
pub use shard::{Shard, ShardError};

/// Nothing is begun with less time than this before the deadline, and what is under way gives the
/// store this much of it.
const RESERVE: Duration = Duration::from_secs(2);

/// One send gets this at most: the others wait for its place.
const SEND: Duration = Duration::from_secs(15);

/// One delivery gets this at most, the store's calls included, which try again until then.
const ONE: Duration = Duration::from_secs(30);

/// Failures in a row after which the vendor is left alone until the next run.
const ENOUGH: u32 = 5;

/// What is redriven, and how fast.
#[derive(Clone, Debug)]
pub struct Options {
    /// Only this vendor's.
    pub vendor: Option<Vendor>,
    /// Only this target's, by its name.
    pub target: Option<String>,
    /// Only this hook's.
    pub hook: Option<String>,
    /// Only what was kept at or after this time.
    pub since: Option<Timestamp>,
    /// What lies in `dead/` instead of what waits in `spill/`.
    pub dead: bool,
    /// Also what is not due yet.
    pub now: bool,
    /// Sends at a time.
    pub concurrency: usize,
    /// Sends a second: TDMQ takes 1,000 of an account, which the forwarders need too.
    pub rate: u32,
    /// Only this share of what is there; other redrivers have the others.
    pub shard: Shard,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            vendor: None,
            target: None,
            hook: None,
            since: None,
            dead: false,
            now: false,
            concurrency: 8,
            rate: 100,
            shard: Shard::WHOLE,
        }
    }
}

impl Options {
    /// Whether a run with these looks at the target's deliveries.
    pub fn takes(&self, target: &Target) -> bool {
        self.vendor.is_none_or(|only| only == target.vendor())
            && self.target.as_deref().is_none_or(|only| only == target.name())
    }

    /// Whether a run with these looks at everything that waits.
    pub const fn is_all(&self) -> bool {
        matches!(self.covers(), Some(shard) if shard.is_whole())
    }

    /// The shard that a run with these looks at everything of that waits; `None` where another option
    /// leaves a part of it out.
    pub const fn covers(&self) -> Option<Shard> {
        let is_narrowed = self.vendor.is_some()
            || self.target.is_some()
            || self.hook.is_some()
            || self.since.is_some()
            || self.dead;
        if is_narrowed { None } else { Some(self.shard) }
    }
}

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Deliveries in the store when it began.
    pub found: usize,
    /// Sent, and deleted from the store.
    pub sent: usize,
    /// Sent before, by the mark of a hook with `dedupe`, and deleted.
    pub repeated: usize,
    /// Moved to `dead/`.
    pub dead: usize,
    /// Tried in vain.
    pub failed: usize,
    /// Not due yet, or not begun before the run ended.
    pub waiting: usize,
    /// Objects that are no deliveries, or no whole ones; they stay.
    pub corrupt: usize,
    /// Failures of the store.
    pub store_errors: usize,
    /// Age in seconds of the oldest delivery that is left.
    pub oldest_age_s: Option<u64>,
    /// Why the run ended before its work did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
}

impl Summary {
    /// Deliveries left in the store.
    pub const fn left(&self) -> usize {
        self.found.saturating_sub(self.sent + self.repeated + self.dead)
    }
}

/// Why a run could not begin.
#[derive(Debug, thiserror::Error)]
pub enum RedriveError {
    /// User action: set what is missing; until then the deliveries wait.
    #[error("{0}")]
    Environment(#[from] EnvProblem),
    /// User action: put the target back into the hooks file, or move its deliveries by hand.
    #[error("deliveries wait for this target, and hooks.toml has no sound [targets] table of that name")]
    NoTarget,
    /// User action: see the store's error; until then the deliveries wait.
    #[error("cannot list the store: {0}")]
    Store(#[from] StoreError),
}

/// Redrives one target's deliveries; clones share everything.
#[derive(Debug)]
pub struct Redriver<Q>(Arc<Inner<Q>>);

#[derive(Debug)]
struct Inner<Q> {
    target: Target,
    queue: Q,
    spill: Spill,
    /// For `dedupe`, and for deliveries without a message. A renamed hook still redrives.
    config: Arc<Config>,
    context: Context,
}

impl<Q> Clone for Redriver<Q> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// What became of one object.
enum Done {
    Sent,
    Repeated,
    Dead,
    Failed(Class),
    Waiting,
    /// Another redriver had it.
    Gone,
    Corrupt,
    Store,
}

impl<Q: Queue> Redriver<Q> {
    /// Sends with `queue` what `spill` holds for the target.
    pub fn new(
        target: impl Into<Target>,
        queue: Q,
        spill: Spill,
        config: Arc<Config>,
        context: Context,
    ) -> Self {
        Self(Arc::new(Inner { target: target.into(), queue, spill, config, context }))
    }

    /// What its deliveries are for.
    pub fn target(&self) -> &Target {
        &self.0.target
    }

    /// What is there, oldest first; nothing is changed.
    pub async fn list(&self, options: &Options, deadline: Instant) -> Result<Vec<Entry>, StoreError> {
        let target = &self.0.target;
        if !options.takes(target) {
            return Ok(Vec::new());
        }
        let prefix = folder(options).prefix(target.name(), options.hook.as_deref());
        let mut entries = list::all(self.0.spill.store(), &prefix, deadline).await?;
        entries.retain(|entry| options.since.is_none_or(|since| entry.modified >= since));
        list::oldest_first(&mut entries);
        Ok(entries)
    }

    /// Reads one of them; `None` if it is gone, or no delivery.
    pub async fn read(&self, name: &str, deadline: Instant) -> Result<Option<Record>, StoreError> {
        read(&self.0.spill, name, deadline).await
    }

    /// Sends what is due until everything is sent or `deadline` is near.
    pub async fn run(&self, options: &Options, deadline: Instant) -> Result<Summary, RedriveError> {
        let entries = self.list(options, deadline).await?;
        // A vendor that is not used needs no credentials.
        if !entries.is_empty()
            && let Some(problem) = self.0.queue.problems().into_iter().next()
        {
            return Err(problem.into());
        }
        let delayed = self.delayed(options, &entries, deadline).await?;
        let mut run =
            Run { summary: Summary { found: entries.len(), ..Summary::default() }, ..Run::default() };
        let mut tasks = JoinSet::new();
        let mut pace = Pace::new(options.rate);
        let mut entries = entries.into_iter();
        for entry in entries.by_ref() {
            while tasks.len() >= options.concurrency.max(1)
                && let Some(done) = tasks.join_next().await
            {
                run.note(done.unwrap_or((entry.modified, Done::Store)));
            }
            pace.wait().await;
            if run.summary.stopped.is_none()
                && deadline.saturating_duration_since(Instant::now()) < RESERVE * 2
            {
                run.summary.stopped = Some("no time left".to_owned());
            }
            if run.summary.stopped.is_some() {
                run.note((entry.modified, Done::Waiting));
                break;
            }
            let (redriver, options) = (self.clone(), options.clone());
            let is_delayed = delayed.contains(&entry.name);
            tasks.spawn(Lent::in_hand().to(async move {
                let done = redriver.one(&entry, is_delayed, &options, deadline).await;
                (entry.modified, done)
            }));
        }
        while let Some(done) = tasks.join_next().await {
            run.note(done.unwrap_or((self.0.context.clock.now(), Done::Store)));
        }
        entries.for_each(|entry| run.note((entry.modified, Done::Waiting)));
        let now = self.0.context.clock.now().unix();
        run.summary.oldest_age_s = run.oldest.map(|at| u64::try_from(now - at.unix()).unwrap_or(0));
        Ok(run.summary)
    }

    /// Which of the deliveries were tried in vain before. What is known of deliveries that are gone is
    /// deleted.
    async fn delayed(
        &self,
        options: &Options,
        entries: &[Entry],
        deadline: Instant,
    ) -> Result<HashSet<String>, StoreError> {
        let store = self.0.spill.store();
        let prefix = Folder::Retry.prefix(self.0.target.name(), options.hook.as_deref());
        let there: HashSet<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
        let mut delayed = HashSet::new();
        for state in list::all(store, &prefix, deadline).await? {
            let Some(name) = Folder::Spill.beside(Folder::Retry, &state.name) else { continue };
            if there.contains(name.as_str()) {
                delayed.insert(name);
            } else if options.since.is_none() && !options.dead {
                // Its delivery was sent; a failure leaves it for the next run.
                let _ = store.delete(&state.name, deadline).await;
            }
        }
        Ok(delayed)
    }

    async fn one(&self, entry: &Entry, is_delayed: bool, options: &Options, deadline: Instant) -> Done {
        let deadline = deadline.min(Instant::now() + ONE);
        let done = self.redrive(entry, is_delayed, options, deadline).await;
        done.unwrap_or_else(|error| {
            tracing::error!(object = entry.name, %error, "redrive");
            Done::Store
        })
    }

    async fn redrive(
        &self,
        entry: &Entry,
        is_delayed: bool,
        options: &Options,
        deadline: Instant,
    ) -> Result<Done, StoreError> {
        let Inner { target, queue, spill, config, context } = &*self.0;
        let (store, now) = (spill.store(), context.clock.now());
        let retry = Folder::Retry.beside(Folder::Spill, &entry.name);
        let earlier = match &retry {
            Some(retry) if is_delayed => store.get(retry, deadline).await?,
            _ => None,
        };
        let earlier = earlier.and_then(|bytes| Backoff::parse(&bytes));
        if earlier.as_ref().is_some_and(|earlier| earlier.next > now) && !options.now {
            return Ok(Done::Waiting);
        }
        let Some(bytes) = store.get(&entry.name, deadline).await? else { return Ok(Done::Gone) };
        let record = match Record::parse(&bytes) {
            Ok(record)
                if record.target() == *target
                    && folder(options).name(target, &record.delivery) == entry.name =>
            {
                record
            }
            Ok(_) => {
                tracing::error!(object = entry.name, "the object has another delivery's name");
                return Ok(Done::Corrupt);
            }
            Err(error) => {
                tracing::error!(object = entry.name, %error, "redrive");
                return Ok(Done::Corrupt);
            }
        };
        let hook = config.hook(&record.delivery.hook);
        let dedupe = hook.and_then(|hook| hook.keeping.dedupe);
        if let Some(window) = dedupe
            && spill.was_sent(target, &record.delivery, window, deadline).await.is_some()
        {
            self.delete(entry, retry.as_deref(), deadline).await?;
            return Ok(Done::Repeated);
        }
        let Some(message) = self.message(&record) else { return Ok(Done::Waiting) };
        let until = (deadline.checked_sub(RESERVE).unwrap_or(deadline)).min(Instant::now() + SEND);
        let mut sent = queue.send(&message, until).await;
        if sent.as_ref().is_err_and(|error| error.class == Class::TooLarge)
            && let Some(message) = self.refer(&record, deadline).await?
        {
            sent = queue.send(&message, until).await;
        }
        match sent {
            Ok(receipt) => {
                if dedupe.is_some() {
                    spill.mark_sent(target, &record.delivery, &receipt, deadline).await;
                }
                self.delete(entry, retry.as_deref(), deadline).await?;
                tracing::info!(
                    hook = record.delivery.hook,
                    delivery = record.delivery.id,
                    message_id = receipt.message_id,
                    "redriven"
                );
                Ok(Done::Sent)
            }
            Err(error) => self.failed(entry, record, earlier, error, options, deadline).await,
        }
    }

    /// The message; one that could not be made before may be by now.
    fn message(&self, record: &Record) -> Option<Message> {
        let Inner { target, config, .. } = &*self.0;
        record.message.clone().or_else(|| {
            let hook = config.hook(&record.delivery.hook)?;
            hook.recipe(target, &config.source_uri)?.render(&record.delivery).ok()
        })
    }

    /// The message that refers to the body, once that is safe, where the hook allows it: what is spilled
    /// first was tried by nobody, and nobody noticed that it is too large.
    async fn refer(&self, record: &Record, deadline: Instant) -> Result<Option<Message>, StoreError> {
        let Inner { target, spill, config, .. } = &*self.0;
        let hook = config.hook(&record.delivery.hook);
        let hook = hook.filter(|hook| hook.keeping.oversize == Oversize::Reference);
        let Some(recipe) = hook.and_then(|hook| hook.recipe(target, &config.source_uri)) else {
            return Ok(None);
        };
        let dataref = spill.claim(target, &record.delivery, deadline).await?;
        Ok(recipe.refer(&record.delivery, &dataref).ok())
    }

    async fn failed(
        &self,
        entry: &Entry,
        mut record: Record,
        earlier: Option<Backoff>,
        error: SendError,
        options: &Options,
        deadline: Instant,
    ) -> Result<Done, StoreError> {
        let Inner { spill, context, .. } = &*self.0;
        let retry = Folder::Retry.beside(Folder::Spill, &entry.name);
        let class = error.class;
        tracing::warn!(hook = record.delivery.hook, delivery = record.delivery.id, %error, "not redriven");
        let known = earlier.as_ref().map_or(&record.error, |earlier| &earlier.error);
        let failure = Failure::of_send(&error, context.clock.now()).after(known);
        match class.rest() {
            _ if options.dead => {}
            Rest::Dead | Rest::Refuse => {
                record.error = failure;
                spill.keep(Folder::Dead, &record, deadline).await?;
                self.delete(entry, retry.as_deref(), deadline).await?;
                return Ok(Done::Dead);
            }
            // What a circuit held back was not tried, and nothing is known of it.
            Rest::Wait if error.attempts == 0 => {}
            Rest::Wait => {
                let backoff = Backoff::after(earlier.as_ref(), failure, error.retry_after, &context.random);
                if let Some(retry) = retry {
                    spill.store().put(&retry, backoff.to_bytes(), deadline).await?;
                }
            }
        }
        Ok(Done::Failed(class))
    }

    /// The delivery first: what is known of its attempts is of no use without it.
    async fn delete(&self, entry: &Entry, retry: Option<&str>, deadline: Instant) -> Result<(), StoreError> {
        let store = self.0.spill.store();
        store.delete(&entry.name, deadline).await?;
        match retry {
            Some(retry) => store.delete(retry, deadline).await,
            None => Ok(()),
        }
    }
}

async fn read(spill: &Spill, name: &str, deadline: Instant) -> Result<Option<Record>, StoreError> {
    let bytes = spill.store().get(name, deadline).await?;
    Ok(bytes.and_then(|bytes| Record::parse(&bytes).ok()))
}

const fn folder(options: &Options) -> Folder {
    if options.dead { Folder::Dead } else { Folder::Spill }
}

/// A run under way.
#[derive(Default)]
struct Run {
    summary: Summary,
    oldest: Option<Timestamp>,
    in_a_row: u32,
}

impl Run {
    fn note(&mut self, (at, done): (Timestamp, Done)) {
        let summary = &mut self.summary;
        if matches!(done, Done::Failed(_)) {
            self.in_a_row += 1;
        } else if !matches!(done, Done::Waiting) {
            self.in_a_row = 0;
        }
        match done {
            Done::Sent => summary.sent += 1,
            Done::Repeated | Done::Gone => summary.repeated += 1,
            Done::Dead => summary.dead += 1,
            Done::Failed(class) => {
                summary.failed += 1;
                // One key, one clock, one account: the next delivery would fail as this one did.
                let is_common =
                    matches!(class, Class::Auth | Class::AuthRefresh | Class::ClockSkew | Class::Quota);
                if is_common || self.in_a_row >= ENOUGH {
                    summary.stopped = Some(class.as_str().to_owned());
                }
            }
            Done::Waiting => summary.waiting += 1,
            Done::Corrupt => summary.corrupt += 1,
            Done::Store => summary.store_errors += 1,
        }
        if !matches!(done, Done::Sent | Done::Repeated | Done::Gone | Done::Dead) {
            self.oldest = Some(self.oldest.map_or(at, |oldest| oldest.min(at)));
        }
    }
}

/// Spreads sends evenly over each second.
struct Pace {
    next: Instant,
    every: Duration,
}

impl Pace {
    fn new(rate: u32) -> Self {
        Self { next: Instant::now(), every: Duration::from_secs(1) / rate.max(1) }
    }

    async fn wait(&mut self) {
        sleep_until(self.next).await;
        self.next = self.next.max(Instant::now()) + self.every;
    }
}
