//! Counters of one process.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Ended;
use crate::outcome::Outcome;
use crate::outcome::Summary;
use crate::shard::Shard;

/// Upper bounds of the time to an ack, in milliseconds. Senders' own time-outs are among them: 3 s is
/// Slack's, 5 s that of many, 10 s GitHub's.
pub(super) const BOUNDS: [u64; 12] = [5, 10, 25, 50, 100, 250, 500, 1000, 3000, 5000, 10_000, 30_000];

/// A hook's place in the list of names; `None` for a request that reached none.
type Hook = Option<usize>;

/// Shared by all requests; each takes it for a few instructions.
#[derive(Debug, Default)]
pub(super) struct Registry(Mutex<Counts>);

/// Everything that is counted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// By hook, outcome and class.
    pub(super) deliveries: BTreeMap<(Hook, &'static str, &'static str), u64>,
    /// By hook and the secret's number.
    pub(super) secrets: BTreeMap<(Hook, usize), u64>,
    /// By hook.
    pub(super) acks: BTreeMap<Hook, Histogram>,
    /// How many hooks the process cannot serve, by name.
    pub(super) broken: BTreeMap<String, u64>,
    /// Probes of the spill store, by the class of what they met; empty for those that worked.
    pub(super) probes: BTreeMap<&'static str, u64>,
    /// By target.
    pub(super) sends: BTreeMap<String, Histogram>,
    /// By target and what became of a spilled delivery.
    pub(super) redriven: BTreeMap<(String, &'static str), u64>,
    /// By target and whether the run could begin.
    pub(super) runs: BTreeMap<(String, &'static str), u64>,
    /// What the last run left of this process' shard, by target.
    pub(super) spilled: BTreeMap<String, Spilled>,
    /// By target, how many runs could not begin since the last one that could.
    pub(super) failures: BTreeMap<String, u64>,
    /// `None` where runs are made on demand only: none of them is missed.
    pub(super) repeats: Option<Repeats>,
    /// The process': several processes' gauges are told apart by it, and add up.
    pub(super) shard: Shard,
}

/// Runs that are made in turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Repeats {
    pub(super) every: Duration,
    /// When the last one of the process' shard ended; before that, when the process began.
    pub(super) since: Instant,
}

/// How long something took.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    /// How many were within each of [`BOUNDS`] and over the one before.
    pub(super) within: [u64; BOUNDS.len()],
    pub(super) count: u64,
    pub(super) sum: Duration,
}

/// What waits in the spill store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spilled {
    pub(super) depth: usize,
    pub(super) oldest_age_s: u64,
}

impl Registry {
    /// Of a process that has this shard.
    pub(super) fn of(shard: Shard) -> Self {
        Self(Mutex::new(Counts { shard, ..Counts::default() }))
    }

    /// Each hook starts with a zero, so that its first delivery is an increase.
    pub(super) fn begin(&self, hooks: usize) {
        let mut counts = self.counts();
        for hook in 0..hooks {
            counts.deliveries.insert((Some(hook), Outcome::Accepted.as_str(), ""), 0);
        }
    }

    pub(super) fn ended(&self, hook: Hook, ended: Ended<'_>) {
        let Ended { outcome, class, secret, ack, .. } = ended;
        let mut counts = self.counts();
        *counts.deliveries.entry((hook, outcome.as_str(), class.unwrap_or_default())).or_default() += 1;
        if let Some(secret) = secret {
            *counts.secrets.entry((hook, secret)).or_default() += 1;
        }
        if let Some(ack) = ack {
            counts.acks.entry(hook).or_default().add(ack);
        }
    }

    pub(super) fn broken(&self, hook: &str) {
        *self.counts().broken.entry(hook.to_owned()).or_default() += 1;
    }

    pub(super) fn probed(&self, failed: Option<&'static str>) {
        *self.counts().probes.entry(failed.unwrap_or_default()).or_default() += 1;
    }

    pub(super) fn sent(&self, target: &str, took: Duration) {
        self.counts().sends.entry(target.to_owned()).or_default().add(took);
    }

    pub(super) fn repeats(&self, every: Duration) {
        self.counts().repeats = Some(Repeats { every, since: Instant::now() });
    }

    /// The gauges are of the process' own shard: somebody may ask for a run of another at any time, and what
    /// that left is another process' to tell.
    pub(super) fn redriven(&self, target: &str, summary: Option<&Summary>, covers: Option<Shard>) {
        let mut counts = self.counts();
        let result = if summary.is_some_and(Summary::is_whole) { "done" } else { "failed" };
        *counts.runs.entry((target.to_owned(), result)).or_default() += 1;
        let failures = counts.failures.entry(target.to_owned()).or_default();
        *failures = if summary.is_some() { 0 } else { failures.saturating_add(1) };
        let is_own = covers == Some(counts.shard);
        if let Some(repeats) = counts.repeats.as_mut().filter(|_| is_own) {
            repeats.since = Instant::now();
        }
        let Some(summary) = summary else { return };
        let Summary { sent, repeated, dead, failed, oldest_age_s, .. } = *summary;
        for (result, n) in [("sent", sent), ("repeated", repeated), ("dead", dead), ("failed", failed)] {
            *counts.redriven.entry((target.to_owned(), result)).or_default() += n as u64;
        }
        if is_own {
            let depth = summary.left();
            counts
                .spilled
                .insert(target.to_owned(), Spilled { depth, oldest_age_s: oldest_age_s.unwrap_or(0) });
        }
    }

    pub(super) fn read<T>(&self, read: impl FnOnce(&Counts) -> T) -> T {
        read(&self.counts())
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Histogram {
    fn add(&mut self, took: Duration) {
        if let Some(at) = BOUNDS.iter().position(|bound| took <= Duration::from_millis(*bound)) {
            self.within[at] += 1;
        }
        self.count += 1;
        self.sum += took;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let mut histogram = Histogram::default();
        for millis in [0, 5, 6, 30_000, 30_001] {
            histogram.add(Duration::from_millis(millis));
        }
        assert_eq!(histogram.within, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!((histogram.count, histogram.sum), (5, Duration::from_millis(60_012)));
    }
}
