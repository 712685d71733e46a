//! Outages: what a way to a queue is worth, by what attempts on it came to lately.
//!
//! Nothing here waits or sends, and no clock is read: it is told what attempts came to, and when, and says whether
//! another one may begin. Three failures in a row that are not about a message open the narrowest circuit that
//! explains them; then one at a time probes, sooner at first, and whoever else asks is told at once.
//!
//! | Failures in a row | Open |
//! |---|---|
//! | of one topic | the topic's circuit |
//! | of several topics, none of which had a success meanwhile | the key's, if the vendor asks for fewer requests; else the endpoint's |
//! | without a connection | the endpoint's |
//!
//! Only attempts count that were begun after the last success. Throttling less than a second after a success
//! opens nothing: it lowers the topic's rate ([`Flow`]).

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

use super::breaker::{Fingerprint, Way, refusal};
use super::flow::Flow;
use super::{Class, Effort, Open, Reach};
use crate::net::endpoint::Endpoint;
use crate::queue::failure::{Failure, Scope};

/// Failures in a row that open a circuit.
const ENOUGH: u32 = 3;

/// Failures that the topic which failed most does not explain: with so many, several topics share a cause.
const OTHERS: u32 = 2;

/// How long after a failure the first probe is; twice as long after each that fails,
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// and no longer than this, so that sending is back soon after the queue is.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// The longest wait that a vendor is granted which asks for one: whoever sends more than it takes has to know soon
/// when that is over.
const MAX_ASKED: Duration = Duration::from_secs(4);

/// A probe that was not answered within this leaves its place to another one, and goes on waiting.
const HOLD: Duration = Duration::from_secs(3);

/// The topic whose probe failed leaves the next one to other topics for so long: it may be the only bad one.
const OTHERS_FIRST: Duration = Duration::from_secs(1);

/// Vendors count by the second: what is throttled so soon after a success is over the rate and no outage.
const CALM: Duration = Duration::from_secs(1);

/// Topics, keys and endpoints that are remembered: a message's content may choose its topic.
pub(super) const MOST: usize = 1024;

/// What nobody asked for so long is told as open no more.
const FORGET: Duration = Duration::from_secs(600);

/// What is known of the ways to one vendor.
#[derive(Default)]
pub(super) struct Outages {
    topics: Lines<String>,
    keys: Lines<Fingerprint>,
    endpoints: Lines<Endpoint>,
    probes: u64,
}

/// Leave to begin an attempt; the number of the probe that it is, if it is one.
pub(super) type Leave = Option<u64>;

/// Something that people want to know.
#[derive(Debug, PartialEq)]
pub(super) enum Change {
    Opened(Reach, Failure),
    Closed(Reach),
    /// From now on so many a second are asked for.
    Slowed(f64),
}

impl Outages {
    /// Whether an attempt over `way` may begin at `now`; the failure that speaks against it.
    pub(super) fn admit(&mut self, way: &Way, effort: Effort, now: Instant) -> Result<Leave, Failure> {
        let mut is_open = false;
        for (reach, line) in self.on(way) {
            line.used = now;
            let Some(gap) = &line.gap else { continue };
            is_open = true;
            let waits_for_others = reach != Reach::Topic && gap.is_left_to_others(&way.topic);
            let due = if waits_for_others { gap.until + OTHERS_FIRST } else { gap.until };
            if effort.heeds(&gap.why) && (gap.is_probed(now) || now < due) {
                return Err(refusal(&gap.why, due.saturating_duration_since(now)));
            }
        }
        if !is_open {
            return self.within_rate(way, effort, now).map(|()| None);
        }
        self.probes += 1;
        let number = self.probes;
        for (_, line) in self.on(way) {
            if let Some(gap) = line.gap.as_mut().filter(|gap| !gap.is_probed(now) && now >= gap.until) {
                (gap.probe, gap.newest) = (Some((number, now)), now);
            }
        }
        Ok(Some(number))
    }

    /// Whether the topic's rate has room for one more.
    fn within_rate(&mut self, way: &Way, effort: Effort, now: Instant) -> Result<(), Failure> {
        let Some(line) = self.topics.0.get_mut(&way.topic).filter(|_| effort == Effort::Brief) else {
            return Ok(());
        };
        line.flow.take(now).map_err(|wait| {
            let detail = "over the rate that is left since the queue asked for fewer messages";
            Failure { retry_after: Some(wait), ..Failure::new(Class::Throttle, detail) }
        })
    }

    /// The widest circuit that is open on `way`.
    pub(super) fn open_on(&mut self, way: &Way) -> Option<Reach> {
        self.on(way).find(|(_, line)| line.gap.is_some()).map(|(reach, _)| reach)
    }

    /// The vendor took a message, or answered for it alone: the way is sound.
    pub(super) fn sound(&mut self, way: &Way, is_taken: bool, now: Instant) -> Vec<Change> {
        let mut changes = Vec::new();
        for (reach, line) in self.used(way, now) {
            (line.succeeded, line.streak) = (Some(now), 0);
            line.topics.clear();
            if let Some(gap) = line.gap.take() {
                if gap.why.class == Class::Throttle {
                    line.flow.lift();
                }
                changes.push(Change::Closed(reach));
            }
            if is_taken && reach == Reach::Topic {
                line.flow.taken(now);
            }
        }
        if changes.iter().any(|change| matches!(change, Change::Closed(Reach::Endpoint | Reach::Key))) {
            // What all shared is over: each topic may tell at once whether it has trouble of its own.
            for gap in self.topics.0.values_mut().filter_map(|line| line.gap.as_mut()) {
                (gap.until, gap.wait) = (now, FIRST_WAIT);
            }
        }
        changes
    }

    /// An attempt over `way` that was begun at `begun` has failed.
    pub(super) fn failed(
        &mut self,
        way: &Way,
        leave: Leave,
        failure: &Failure,
        (begun, now): (Instant, Instant),
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        let is_throttled = failure.class == Class::Throttle;
        let is_wide = failure.unreachable || failure.scope == Scope::Api;
        // What a narrower circuit explains speaks against nothing wider.
        let is_explained = self.topics.0.get(&way.topic).is_some_and(|line| line.gap.is_some());
        for (reach, line) in self.used(way, now) {
            if is_throttled
                && reach == Reach::Topic
                && let Some(rate) = line.flow.throttled(begun, now)
            {
                changes.push(Change::Slowed(rate));
            }
            line.probe_failed(leave, &way.topic, failure, (begun, now));
            let counts = match reach {
                Reach::Topic => !is_wide,
                Reach::Key => is_throttled && (is_wide || !is_explained),
                Reach::Endpoint => !is_throttled && (is_wide || !is_explained),
            };
            if counts && line.count(failure, begun, now) {
                let is_cause = reach == Reach::Topic || is_wide || line.is_shared_with(&way.topic);
                if line.streak >= ENOUGH && is_cause && line.gap.is_none() {
                    line.gap = Some(Gap::new(&way.topic, failure, now));
                    changes.push(Change::Opened(reach, failure.clone()));
                }
            }
        }
        changes
    }

    /// An attempt has ended, or was given up, and proves nothing: another one may probe.
    pub(super) fn leave(&mut self, way: &Way, leave: Leave) {
        let Some(number) = leave else { return };
        for (_, line) in self.on(way) {
            if let Some(gap) = &mut line.gap {
                gap.probe.take_if(|(probe, _)| *probe == number);
            }
        }
    }

    /// How many circuits are open.
    pub(super) fn open(&self, now: Instant) -> Open {
        Open { topic: self.topics.open(now), key: self.keys.open(now), endpoint: self.endpoints.open(now) }
    }

    /// As [`on`](Self::on), and what was not known of it is from now on.
    fn used<'a>(
        &'a mut self,
        way: &Way,
        now: Instant,
    ) -> impl Iterator<Item = (Reach, &'a mut Line)> + use<'a> {
        self.endpoints.line(&way.endpoint, now);
        self.keys.line(&way.key, now);
        self.topics.line(&way.topic, now);
        self.on(way)
    }

    /// What is known of `way`, the widest first.
    fn on<'a>(&'a mut self, way: &Way) -> impl Iterator<Item = (Reach, &'a mut Line)> + use<'a> {
        let endpoint = self.endpoints.0.get_mut(&way.endpoint).map(|line| (Reach::Endpoint, line));
        let key = self.keys.0.get_mut(&way.key).map(|line| (Reach::Key, line));
        let topic = self.topics.0.get_mut(&way.topic).map(|line| (Reach::Topic, line));
        [endpoint, key, topic].into_iter().flatten()
    }
}

/// What is known of one topic, key or endpoint.
struct Line {
    used: Instant,
    succeeded: Option<Instant>,
    /// Failures in a row.
    streak: u32,
    /// Whose they are, of a key or an endpoint: three topics at most, which is enough to tell.
    topics: Vec<(String, u32)>,
    /// Whether its circuit is open.
    gap: Option<Gap>,
    flow: Flow,
}

/// An open circuit.
struct Gap {
    /// No probe before this.
    until: Instant,
    /// How long the wait before that was.
    wait: Duration,
    /// The last probe that is under way, and when it began.
    probe: Option<(u64, Instant)>,
    /// When the newest probe began, or the circuit opened.
    newest: Instant,
    /// The topic of the failure that came last.
    topic: String,
    why: Failure,
}

impl Line {
    const fn new(now: Instant) -> Self {
        Self { used: now, succeeded: None, streak: 0, topics: Vec::new(), gap: None, flow: Flow::new(now) }
    }

    /// Counts one more failure in a row, if it is one.
    fn count(&mut self, failure: &Failure, begun: Instant, now: Instant) -> bool {
        if self.succeeded.is_some_and(|at| begun < at) {
            return false;
        }
        if failure.class == Class::Throttle && self.succeeded.is_some_and(|at| now < at + CALM) {
            return false;
        }
        self.streak = self.streak.saturating_add(1);
        true
    }

    /// Counts a failure of the topic; whether those in a row have no one topic as their cause.
    fn is_shared_with(&mut self, topic: &str) -> bool {
        if let Some((_, count)) = self.topics.iter_mut().find(|(known, _)| known == topic) {
            *count = count.saturating_add(1);
        } else if self.topics.len() <= OTHERS as usize {
            self.topics.push((topic.to_owned(), 1));
        }
        let counts = || self.topics.iter().map(|(_, count)| *count);
        counts().sum::<u32>() - counts().max().unwrap_or_default() >= OTHERS
    }

    /// If this was the last probe, or tells as much as one would: the next one is a while away.
    fn probe_failed(
        &mut self,
        leave: Leave,
        topic: &str,
        failure: &Failure,
        (begun, now): (Instant, Instant),
    ) {
        let Some(gap) = &mut self.gap else { return };
        let is_last = match gap.probe {
            Some((number, _)) => Some(number) == leave,
            // One that no circuit holds back, because there is no store.
            None => begun >= gap.newest,
        };
        if is_last {
            gap.probe = None;
            gap.wait = (gap.wait * 2).min(MAX_WAIT);
            gap.until = now + gap.wait.max(asked(failure));
            topic.clone_into(&mut gap.topic);
            gap.why = failure.clone();
        }
    }
}

impl Gap {
    fn new(topic: &str, why: &Failure, now: Instant) -> Self {
        let until = now + FIRST_WAIT.max(asked(why));
        Self { until, wait: FIRST_WAIT, probe: None, newest: now, topic: topic.to_owned(), why: why.clone() }
    }

    /// Whether another one has to end first.
    fn is_probed(&self, now: Instant) -> bool {
        self.probe.is_some_and(|(_, begun)| now < begun + HOLD)
    }

    /// Whether other topics come first; where no topic matters, all are alike.
    fn is_left_to_others(&self, topic: &str) -> bool {
        !self.why.unreachable && self.why.scope == Scope::Topic && self.topic == topic
    }
}

fn asked(failure: &Failure) -> Duration {
    failure.retry_after.unwrap_or_default().min(MAX_ASKED)
}

/// Lines by their names, no more than [`MOST`].
struct Lines<K>(HashMap<K, Line>);

impl<K> Default for Lines<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Hash + Eq + Clone> Lines<K> {
    /// What is known of it, if only that it was used now.
    fn line(&mut self, name: &K, now: Instant) -> Option<&mut Line> {
        if !self.0.contains_key(name) {
            if self.0.len() >= MOST {
                let oldest = self.0.iter().min_by_key(|(_, line)| (line.gap.is_some(), line.used));
                if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                    self.0.remove(&oldest);
                }
            }
            self.0.insert(name.clone(), Line::new(now));
        }
        let line = self.0.get_mut(name)?;
        line.used = now;
        Some(line)
    }

    fn open(&self, now: Instant) -> usize {
        self.0.values().filter(|line| line.gap.is_some() && now < line.used + FORGET).count()
    }
}

#[cfg(test)]
#[path = "outage_tests.rs"]
mod tests;
