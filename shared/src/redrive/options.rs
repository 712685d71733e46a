//! Options and results of a run.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::carry::SEND;
use crate::clock::Timestamp;
use crate::env::EnvProblem;
use crate::queue::{Target, Vendor};
use crate::shard::Shard;
use crate::spill::Folder;
use crate::store::StoreError;

/// Default number of concurrent sends per target.
const CONCURRENCY: usize = 32;

/// Default time limit of a call of the store, and of a whole delivery: a store that is slower counts as gone.
const PATIENCE: Duration = Duration::from_secs(30);

/// Selection of the deliveries to redrive, and the speed.
#[derive(Clone, Debug)]
pub struct Options {
    /// Vendor whose targets are redriven; `None` for all vendors.
    pub vendor: Option<Vendor>,
    /// Name of the target that is redriven; `None` for all targets.
    pub target: Option<String>,
    /// Name of the hook whose deliveries are redriven; `None` for all hooks.
    pub hook: Option<String>,
    /// Id of the delivery that is redriven; `None` for all ids.
    pub id: Option<String>,
    /// Earliest time of writing of the objects that are redriven; `None` for all objects.
    pub since: Option<Timestamp>,
    /// True if deliveries are taken from `dead/` instead of `spill/`.
    pub dead: bool,
    /// True if deliveries are redriven before they are due.
    pub now: bool,
    /// True if every message is rendered again with the current hooks, regardless of its failure.
    pub render: bool,
    /// Upper bound on concurrent sends per target.
    pub concurrency: usize,
    /// Upper bound on sends per second and target; `None` for the vendor's default. The shards divide it
    /// among them.
    pub rate: Option<u32>,
    /// Shard that is redriven; other redrivers have the other shards.
    pub shard: Shard,
    /// Time limit of a page of a listing, or of a delivery's object. The store is retried until then, and a
    /// store that does not answer ends the run.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            vendor: None,
            target: None,
            hook: None,
            id: None,
            since: None,
            dead: false,
            now: false,
            render: false,
            concurrency: CONCURRENCY,
            rate: None,
            shard: Shard::WHOLE,
            patience: PATIENCE,
        }
    }
}

impl Options {
    /// Returns true if a run with these options handles the target's deliveries.
    pub fn takes(&self, target: &Target) -> bool {
        self.vendor.is_none_or(|only| only == target.vendor())
            && self.target.as_deref().is_none_or(|only| only == target.name())
    }

    /// Returns true if a run with these options handles everything that waits.
    pub const fn is_all(&self) -> bool {
        matches!(self.covers(), Some(shard) if shard.is_whole())
    }

    /// Returns the shard whose waiting deliveries a run with these options handles completely; `None` if
    /// another option leaves out a part of it.
    pub const fn covers(&self) -> Option<Shard> {
        let is_narrowed = self.vendor.is_some()
            || self.target.is_some()
            || self.hook.is_some()
            || self.id.is_some()
            || self.since.is_some()
            || self.dead;
        if is_narrowed { None } else { Some(self.shard) }
    }

    /// Returns the deadline of a call of the store that begins now.
    pub(super) fn soon(&self, deadline: Instant) -> Instant {
        deadline.min(Instant::now() + self.patience)
    }

    /// Returns the deadline of a delivery that begins now: even with little patience it has time for the
    /// queue.
    pub(super) fn whole(&self, deadline: Instant) -> Instant {
        let whole = (self.patience + SEND).min(PATIENCE).max(self.patience);
        deadline.min(Instant::now() + whole)
    }

    /// Returns the folder that a run with these options takes deliveries from.
    pub const fn folder(&self) -> Folder {
        if self.dead { Folder::Dead } else { Folder::Spill }
    }

    /// Returns the number of sends per second of this run for a target of that vendor, at least 1.
    pub(super) fn pace(&self, vendor: Vendor) -> u32 {
        let whole = self.rate.unwrap_or_else(|| vendor.spec().sends_a_second);
        (whole / self.shard.of()).max(1)
    }
}

/// Unknown name in the options, with the known names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// User action: write the target's name as hooks.toml or the store has it.
    #[error("there is no target {0}: hooks.toml and the store have {known}", known = listed(.1))]
    Target(String, BTreeSet<String>),
    /// User action: write the hook's name as hooks.toml or the store has it.
    #[error("there is no hook {0}: hooks.toml and the store have {known}", known = listed(.1))]
    Hook(String, BTreeSet<String>),
}

impl Unknown {
    /// Returns the error if the options ask for a hook that is not among the known ones.
    pub fn hook(options: &Options, known: BTreeSet<String>) -> Option<Self> {
        let name = options.hook.as_ref().filter(|name| !known.contains(*name))?;
        Some(Self::Hook(name.clone(), known))
    }
}

fn listed(names: &BTreeSet<String>) -> String {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Errors that keep a run from beginning.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedriveError {
    /// User action: set the missing variable; until then the deliveries wait.
    #[error("{0}")]
    Environment(#[from] EnvProblem),
    /// User action: put the target back into the hooks file, or move its deliveries by hand.
    #[error(
        "deliveries of {} wait for this target, and hooks.toml has no valid [targets] table of that name",
        hooks(.0)
    )]
    NoTarget(Vec<String>),
    /// User action: see the store's error; until then the deliveries wait.
    #[error("cannot list the store: {0}")]
    Store(#[from] StoreError),
}

impl Serialize for RedriveError {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn hooks(names: &[String]) -> String {
    if names.is_empty() { "some hook".to_owned() } else { format!("the hooks {}", names.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_divide_the_pace_of_a_target() {
        let of = |shard: &str, rate| {
            let options = Options { shard: Shard::parse(shard).unwrap(), rate, ..Options::default() };
            Vendor::ALL.map(|vendor| options.pace(vendor))
        };
        assert_eq!(of("0/1", None), [1000, 200]);
        assert_eq!(of("7/8", None), [125, 25]);
        assert_eq!(of("1/4", Some(40)), [10, 10]);
        assert_eq!(of("1/8", Some(4)), [1, 1], "no shard stands still");
    }
}
