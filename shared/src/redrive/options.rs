//! What a run takes on, and what it did.

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

/// Sends at a time of one target, by default.
const CONCURRENCY: usize = 32;

/// What a call of the store gets by default, and the whole of a delivery: a store that is this slow is gone.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is redriven, and how fast.
#[derive(Clone, Debug)]
pub struct Options {
    /// Only this vendor's.
    pub vendor: Option<Vendor>,
    /// Only this target's, by its name.
    pub target: Option<String>,
    /// Only this hook's.
    pub hook: Option<String>,
    /// Only the delivery of this id.
    pub id: Option<String>,
    /// Only what was kept at or after this time.
    pub since: Option<Timestamp>,
    /// What lies in `dead/` instead of what waits in `spill/`.
    pub dead: bool,
    /// Also what is not due yet.
    pub now: bool,
    /// Messages made anew by today's hooks, whatever failed.
    pub render: bool,
    /// Sends of one target at a time.
    pub concurrency: usize,
    /// Sends of one target a second; `None` for what its vendor takes. Shards divide it among them.
    pub rate: Option<u32>,
    /// Only this share of what is there; other redrivers have the others.
    pub shard: Shard,
    /// What a page of a listing, or a delivery's object, gets at most: the store tries again until then, and one
    /// that does not answer ends the run.
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
            || self.id.is_some()
            || self.since.is_some()
            || self.dead;
        if is_narrowed { None } else { Some(self.shard) }
    }

    /// Until when a call of the store may take that begins now.
    pub(super) fn soon(&self, deadline: Instant) -> Instant {
        deadline.min(Instant::now() + self.patience)
    }

    /// Until when a delivery may take that begins now: with whatever little patience, it has time for the queue.
    pub(super) fn whole(&self, deadline: Instant) -> Instant {
        let whole = (self.patience + SEND).min(PATIENCE).max(self.patience);
        deadline.min(Instant::now() + whole)
    }

    /// The folder that a run with these takes from.
    pub const fn folder(&self) -> Folder {
        if self.dead { Folder::Dead } else { Folder::Spill }
    }

    /// Sends a second of this run for a target of that vendor.
    pub(super) fn pace(&self, vendor: Vendor) -> u32 {
        let whole = self.rate.unwrap_or_else(|| vendor.sends_a_second());
        (whole / self.shard.of()).max(1)
    }
}

/// A name that was asked for and nobody knows, with those that are known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// User action: write the name as hooks.toml or the store has it.
    #[error("there is no target {0}: hooks.toml and the store have {known}", known = listed(.1))]
    Target(String, BTreeSet<String>),
    /// User action: as with a target.
    #[error("there is no hook {0}: hooks.toml and the store have {known}", known = listed(.1))]
    Hook(String, BTreeSet<String>),
}

impl Unknown {
    /// Whether the options ask for a hook that is not among the known ones.
    pub fn hook(options: &Options, known: BTreeSet<String>) -> Option<Self> {
        let name = options.hook.as_ref().filter(|name| !known.contains(*name))?;
        Some(Self::Hook(name.clone(), known))
    }
}

fn listed(names: &BTreeSet<String>) -> String {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Why a run could not begin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedriveError {
    /// User action: set what is missing; until then the deliveries wait.
    #[error("{0}")]
    Environment(#[from] EnvProblem),
    /// User action: put the target back into the hooks file, or move its deliveries by hand.
    #[error(
        "deliveries of {} wait for this target, and hooks.toml has no sound [targets] table of that name",
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
