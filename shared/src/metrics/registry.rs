//! Counters of a process.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Ended;
use crate::outcome::{Outcome, Summary};
use crate::shard::Shard;

/// Upper bounds of the histogram buckets, in milliseconds. They include common time-outs of senders: 3 s is
/// Slack's, 5 s that of many, and 10 s GitHub's.
pub(super) const BOUNDS: [u64; 12] = [5, 10, 25, 50, 100, 250, 500, 1000, 3000, 5000, 10_000, 30_000];

/// Index of a hook in the list of names, or `None` for a request without a configured hook.
type Hook = Option<usize>;

/// Counters that all requests share. Each update holds the lock for a few instructions only.
#[derive(Debug, Default)]
pub(super) struct Registry(Mutex<Counts>);

/// All counters and gauges of a process.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Requests by hook, outcome and class.
    pub(super) deliveries: BTreeMap<(Hook, &'static str, &'static str), u64>,
    /// Verified requests by hook and index of the secret.
    pub(super) secrets: BTreeMap<(Hook, usize), u64>,
    /// Time to the ack, by hook.
    pub(super) acks: BTreeMap<Hook, Histogram>,
    /// Hooks that the process cannot serve, by name.
    pub(super) broken: BTreeMap<String, u64>,
    /// Probes of the spill store by class of error; the class is empty for a successful probe.
    pub(super) probes: BTreeMap<&'static str, u64>,
    /// Time spent waiting for the queue, by target.
    pub(super) sends: BTreeMap<String, Histogram>,
    /// Spilled deliveries that the redriver tried, by target and result.
    pub(super) redriven: BTreeMap<(String, &'static str), u64>,
    /// Runs by target and result: `done`, or `failed` if the run could not start or not list all objects.
    pub(super) runs: BTreeMap<(String, &'static str), u64>,
    /// Deliveries that the last run over the process' own shard left, by target.
    pub(super) spilled: BTreeMap<String, Spilled>,
    /// Consecutive runs that could not start, by target.
    pub(super) failures: BTreeMap<String, u64>,
    /// Schedule of the runs, or `None` if runs happen on demand only, so that none can be missing.
    pub(super) repeats: Option<Repeats>,
    /// Shard of this process. The label distinguishes the gauges of several processes, which add up.
    pub(super) shard: Shard,
}

/// Schedule of periodic runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Repeats {
    pub(super) every: Duration,
    /// End of the last run over the process' own shard, or the start of the process.
    pub(super) since: Instant,
}

/// Histogram of durations.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    /// Values per bucket of [`BOUNDS`]: up to its bound and over the bound before it.
    pub(super) within: [u64; BOUNDS.len()],
    pub(super) count: u64,
    pub(super) sum: Duration,
}

/// Remaining deliveries in the spill store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spilled {
    pub(super) depth: usize,
    pub(super) oldest_age_s: u64,
}

impl Registry {
    /// Creates the counters of a process that owns this shard.
    pub(super) fn of(shard: Shard) -> Self {
        Self(Mutex::new(Counts { shard, ..Counts::default() }))
    }

    /// Adds a zero for each hook, so that its first delivery is an increase.
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

    /// Counts a run. Only runs over the process' own shard set the gauges: an operator may start a run over
    /// another shard at any time, whose gauges belong to another process.
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
