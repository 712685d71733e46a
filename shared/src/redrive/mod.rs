//! Redrive of the spill store's deliveries, under the ids that they were received with.
//!
//! A run goes through the store page by page, each page oldest first, and the next run goes on where it
//! ended. Hooks take turns ([`turns`]); the listing tells which deliveries are due. A delivery is deleted
//! only after a receipt; a delivery with a permanent failure is written to `dead/` before it is deleted here
//! ([`crate::carry`]). Several concurrent redrivers can send a delivery twice, but lose none: each deletes
//! only deliveries that it has sent, or found in `dead/`, itself. Redrivers of disjoint [`Shard`]s do not
//! meet.

mod backlog;
mod cursor;
mod job;
mod list;
mod options;
mod pages;
mod quarantine;
mod room;
mod run;
pub mod turns;
mod walk;

use std::sync::Arc;

use tokio::time::Instant;

use crate::carry::{Cargo, Carrier, DeadCause, Fate, Load, Pace, StoredDelivery};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::context::Context;
pub use crate::outcome::{Stopped, Summary};
use crate::queue::{Queue, SendError, Target};
pub use crate::shard::{Shard, ShardError};
use crate::sort::sort;
use crate::spill::{Backoff, Folder, Record, Spill, State, is_due};
use crate::store::{Entry, Folders, Foreign, StoreError};
pub use job::{RedriveJob, RunReport, TargetReport};
pub use list::probe;
pub use options::{Options, RedriveError, Unknown};
pub use pages::{Found, Known, Pages, Plan, Sight, Unlisted};
pub use quarantine::{QuarantinePages, Reverified, reverify, reverify_observed};
use room::{Held, Room};
pub use walk::Waiting;

/// Redriver of one target's deliveries; clones share everything.
#[derive(Debug)]
pub struct Redriver<Q>(Arc<Inner<Q>>);

#[derive(Debug)]
struct Inner<Q> {
    carrier: Carrier<Q>,
    spill: Spill,
    /// Current hooks. A delivery of a renamed hook is still redriven.
    config: Arc<Config>,
    context: Context,
    room: Room,
}

impl<Q> Clone for Redriver<Q> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Outcome of one object.
#[derive(Debug)]
enum Done {
    Sent,
    Repeated,
    Dead,
    Failed(SendError, Option<Timestamp>),
    Held(SendError),
    /// Delivery that is not due before this time.
    Early(Timestamp),
    /// Delivery that the current configuration cannot make a message of.
    NoMessage,
    /// Delivery with another id than the requested one.
    Passed,
    /// Object that another redriver has already removed.
    Gone,
    Corrupt,
    /// Failure of the store. The flag is true if the queue has the delivery all the same, so that the next
    /// run sends it again.
    Store(StoreError, bool),
}

impl<Q: Queue> Redriver<Q> {
    /// Creates a redriver that sends the target's deliveries from `spill` with `queue`.
    pub fn new(
        target: impl Into<Target>,
        queue: Q,
        spill: Spill,
        config: Arc<Config>,
        context: Context,
    ) -> Self {
        Self::sharing(target.into(), queue, spill, config, context, Room::default())
    }

    /// Creates a redriver like [`new`](Self::new), with memory that it shares with other redrivers.
    fn sharing(
        target: Target,
        queue: Q,
        spill: Spill,
        config: Arc<Config>,
        context: Context,
        room: Room,
    ) -> Self {
        let carrier = Carrier { target, queue, spill: Some(spill.clone()), context: context.clone() };
        Self(Arc::new(Inner { carrier, spill, config, context, room }))
    }

    /// Returns the target of the redriver's deliveries.
    pub fn target(&self) -> &Target {
        &self.0.carrier.target
    }

    /// Lists the stored deliveries, oldest first, and changes nothing.
    pub async fn list(&self, options: &Options, deadline: Instant) -> Result<Vec<Entry>, StoreError> {
        let target = self.target();
        if !options.takes(target) {
            return Ok(Vec::new());
        }
        let prefix = options.folder().prefix(target.name(), options.hook.as_deref());
        let mut entries = list::all(self.0.spill.store(), &prefix, options, deadline).await?;
        entries.retain(|entry| options.since.is_none_or(|since| entry.modified >= since));
        list::oldest_first(&mut entries);
        Ok(entries)
    }

    /// Reads the delivery `name`; `None` if it is gone, or not a delivery.
    pub async fn read(&self, name: &str, deadline: Instant) -> Result<Option<Record>, StoreError> {
        read(&self.0.spill, name, deadline).await
    }

    /// Lists the hooks that have deliveries in the folder, limited to the hook of the options. Hooks with
    /// leftover states alone are included: a redriver that was overtaken by another one leaves them. The
    /// second value has the entries beside the hooks' folders.
    async fn hooks(
        &self,
        options: &Options,
        deadline: Instant,
    ) -> Result<(Vec<String>, Foreign), StoreError> {
        if let Some(hook) = &options.hook {
            return Ok((vec![hook.clone()], Foreign::default()));
        }
        let folders = async |folder: Folder| {
            let prefix = folder.prefix(self.target().name(), None);
            self.0.spill.store().folders(&prefix, deadline).await
        };
        let Folders { names: mut hooks, foreign } = folders(options.folder()).await?;
        if options.covers().is_some() {
            hooks.extend(folders(Folder::Retry).await?.names);
            sort(&mut hooks);
            hooks.dedup();
        }
        Ok((hooks, foreign))
    }

    /// Carries one delivery from the store to its outcome.
    async fn one(
        &self,
        entry: &Entry,
        states: &[State],
        options: &Options,
        pace: &Pace,
        held: &mut Held,
        deadline: Instant,
    ) -> Done {
        let done = self.carry(entry, states, options, pace, held, deadline).await;
        done.unwrap_or_else(|error| {
            tracing::error!(object = entry.name, %error, "redrive");
            Done::Store(error, false)
        })
    }

    async fn carry(
        &self,
        entry: &Entry,
        states: &[State],
        options: &Options,
        pace: &Pace,
        held: &mut Held,
        deadline: Instant,
    ) -> Result<Done, StoreError> {
        let Inner { carrier, spill, context, .. } = &*self.0;
        // Only an object of the first releases has the time of its delivery's next attempt inside.
        if !options.now
            && let Some(State { next: None, .. }) = states.iter().max()
            && let Some(backoff) = history(spill, states, options.soon(deadline)).await?
            && !is_due(backoff.next, context.clock.now())
        {
            return Ok(Done::Early(backoff.next));
        }
        let Some(bytes) = spill.store().get(&entry.name, options.soon(deadline)).await? else {
            return Ok(Done::Gone);
        };
        let parsed = self.record(entry, &bytes, options);
        drop(bytes);
        let record = match parsed {
            Ok(record) => record,
            Err(error) => {
                tracing::error!(object = entry.name, error, "redrive");
                return Ok(Done::Corrupt);
            }
        };
        if options.id.as_ref().is_some_and(|id| *id != record.delivery.id) {
            return Ok(Done::Passed);
        }
        let newest = states.iter().max();
        if options.id.is_some()
            && !options.now
            && let Some(next) = newest.and_then(|newest| newest.next)
            && !is_due(next, context.clock.now())
        {
            return Ok(Done::Early(next));
        }
        held.keep_for(&record);
        let (name, id) = (record.delivery.hook.clone(), record.delivery.id.clone());
        let report = carrier.carry(self.cargo(entry, record, states, options, pace, deadline)).await;
        Ok(match report.fate {
            Fate::Queued(receipt) => {
                tracing::info!(hook = name, delivery = id, message_id = receipt.message_id, "redriven");
                Done::Sent
            }
            Fate::Repeated(_) => Done::Repeated,
            Fate::Dead(_, DeadCause { class, history, .. }) => {
                let reason = history.errormessage;
                tracing::warn!(hook = name, delivery = id, class, reason, "moved to dead/");
                Done::Dead
            }
            Fate::Failed(error) | Fate::Refused(error) => {
                tracing::warn!(hook = name, delivery = id, %error, "not redriven");
                Done::Failed(error, report.next)
            }
            Fate::Held(error) => Done::Held(error),
            Fate::NoMessage | Fate::Unrenderable(_) | Fate::Spilled(..) => Done::NoMessage,
            Fate::StoreFailed(error) => Done::Store(error, report.is_undeleted),
        })
    }

    /// Parses the delivery of an object of this redriver's target; an error describes the problem with it.
    fn record(&self, entry: &Entry, bytes: &[u8], options: &Options) -> Result<Record, String> {
        named(entry, bytes, options).and_then(|record| {
            if record.target() == *self.target() {
                Ok(record)
            } else {
                Err("the object is for a target of another vendor".to_owned())
            }
        })
    }

    /// Builds the cargo of a delivery with the current hook, to be carried, or to be described by a dry run.
    fn cargo<'a>(
        &'a self,
        entry: &'a Entry,
        record: Record,
        states: &'a [State],
        options: &Options,
        pace: &'a Pace,
        deadline: Instant,
    ) -> Cargo<'a> {
        let Inner { carrier, config, .. } = &*self.0;
        let hook = config.hook(&record.delivery.hook);
        let recipe = hook.and_then(|hook| hook.recipe(&carrier.target, &config.source_uri));
        let (folder, render) = (options.folder(), options.render);
        let stored = StoredDelivery { folder, name: &entry.name, record, states, render, pace };
        Cargo { load: Load::Stored(Box::new(stored)), hook, recipe, deadline }
    }
}

/// Parses a delivery and checks its object's name, for any target; an error describes the problem with it.
fn named(entry: &Entry, bytes: &[u8], options: &Options) -> Result<Record, String> {
    let record = Record::parse(bytes).map_err(|error| error.to_string())?;
    if options.folder().name(&record.target(), &record.delivery) == entry.name {
        Ok(record)
    } else {
        Err("the object has another delivery's name".to_owned())
    }
}

async fn read(spill: &Spill, name: &str, deadline: Instant) -> Result<Option<Record>, StoreError> {
    let bytes = spill.store().get(name, deadline).await?;
    Ok(bytes.and_then(|bytes| Record::parse(&bytes).ok()))
}

/// Reads the newest state of a delivery, which is only its history: one that cannot be read is logged and
/// counts as none, so that the delivery is due. It is an error only if the store falls silent.
async fn history(spill: &Spill, states: &[State], deadline: Instant) -> Result<Option<Backoff>, StoreError> {
    match spill.backoff(states, deadline).await {
        Err(error) if !error.is_silence() => {
            let object = states.iter().max().map_or("", |newest| &newest.name);
            tracing::warn!(object, %error, "cannot read the state of a delivery, which counts as due");
            Ok(None)
        }
        read => read,
    }
}
