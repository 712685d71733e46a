//! Outages of a way to a queue, recognized from the results of recent attempts.
//!
//! This module neither waits nor sends, and reads no clock: its caller reports the results of attempts with
//! their times, and asks before each attempt. Three failures in a row that are not about one message open the
//! narrowest circuit that explains them. Then one send at a time probes, with growing waits in between; all
//! other sends end at once.
//!
//! | Failures in a row | Open |
//! |---|---|
//! | of one topic | the topic's circuit |
//! | of several topics, none of which had a success meanwhile | the key's, if the vendor asks for fewer requests; else the endpoint's |
//! | without a connection | the endpoint's |
//!
//! Only attempts that began after the last success count. Throttling less than a second after a success opens
//! no circuit: it lowers the topic's rate ([`Flow`]).

use std::time::Duration;

use tokio::time::Instant;

use super::breaker::{Fingerprint, Way, refusal};
use super::flow::Flow;
use super::{Class, Effort, Open, Reach};
use crate::net::endpoint::Endpoint;
use crate::queue::failure::{Failure, Scope};

/// Number of failures in a row that open a circuit.
const ENOUGH: u32 = 3;

/// Number of failures of other topics than the one that failed most: with so many, several topics share a
/// cause.
const OTHERS: u32 = 2;

/// Wait from the failure that opens a circuit to the first probe. It doubles with each probe that fails.
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// Upper bound on the wait between probes, so that sending resumes soon after the queue has recovered.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// Upper bound on a wait that the vendor asks for: a sender above the vendor's rate has to notice soon when
/// the wait is over.
const MAX_ASKED: Duration = Duration::from_secs(4);

/// Time after which a probe without an answer no longer keeps others from probing. It goes on waiting.
const HOLD: Duration = Duration::from_secs(3);

/// Time for which the topic of a failed probe leaves the next probe to other topics: it may be the only bad
/// one.
const OTHERS_FIRST: Duration = Duration::from_secs(1);

/// Time after a success in which throttling only means a rate above the limit, not an outage: vendors count
/// by the second.
const CALM: Duration = Duration::from_secs(1);

/// Upper bound on each of the topics, keys and endpoints that are remembered: a message's content may choose
/// its topic.
pub(super) const MOST: usize = 1024;

/// Time after its last use for which an open circuit is counted as open.
const FORGET: Duration = Duration::from_secs(600);

/// Results of the attempts on all ways to one vendor.
#[derive(Default)]
pub(super) struct Outages {
    topics: Lines<String>,
    keys: Lines<Fingerprint>,
    endpoints: Lines<Endpoint>,
    probes: u64,
}

/// Permission to begin an attempt, with the number of the probe that the attempt is, if any.
pub(super) type Leave = Option<u64>;

/// Event for the log.
#[derive(Debug, PartialEq)]
pub(super) enum Change {
    Opened(Reach, Failure),
    Closed(Reach),
    /// New limit of a topic, in messages per second.
    Slowed(f64),
}

impl Outages {
    /// Admits an attempt over `way` at `now`, or returns the failure that keeps it from being made.
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

    /// Checks that the topic's rate has room for one more message; only an [`Effort::Brief`] is held back.
    fn within_rate(&mut self, way: &Way, effort: Effort, now: Instant) -> Result<(), Failure> {
        let Some(line) = self.topics.known(&way.topic).filter(|_| effort == Effort::Brief) else {
            return Ok(());
        };
        line.flow.take(now).map_err(|wait| {
            let detail = "over the rate that is left since the queue asked for fewer messages";
            Failure { retry_after: Some(wait), ..Failure::new(Class::Throttle, detail) }
        })
    }

    /// Returns the reach of the widest open circuit on `way`.
    pub(super) fn open_on(&mut self, way: &Way) -> Option<Reach> {
        self.on(way).find(|(_, line)| line.gap.is_some()).map(|(reach, _)| reach)
    }

    /// Records that the way is sound: the vendor took a message, or refused it for a reason of its own.
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
            // The cause that all shared has passed: each topic may show at once if it fails for its own
            // reasons.
            for gap in self.topics.0.iter_mut().filter_map(|(_, line)| line.gap.as_mut()) {
                (gap.until, gap.wait) = (now, FIRST_WAIT);
            }
        }
        changes
    }

    /// Records that an attempt over `way`, begun at `begun`, has failed.
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
        // A failure that a topic's own circuit explains does not count for the key or the endpoint.
        let is_explained = self.topics.known(&way.topic).is_some_and(|line| line.gap.is_some());
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

    /// Records that an attempt ended, or was given up, without a result that counts: another attempt may
    /// probe.
    pub(super) fn leave(&mut self, way: &Way, leave: Leave) {
        let Some(number) = leave else { return };
        for (_, line) in self.on(way) {
            if let Some(gap) = &mut line.gap {
                gap.probe.take_if(|(probe, _)| *probe == number);
            }
        }
    }

    /// Returns the number of open circuits.
    pub(super) fn open(&self, now: Instant) -> Open {
        Open { topic: self.topics.open(now), key: self.keys.open(now), endpoint: self.endpoints.open(now) }
    }

    /// Lists the lines of `way` like [`on`](Self::on), after adding the missing ones.
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

    /// Lists the known lines of `way`, the widest first.
    fn on<'a>(&'a mut self, way: &Way) -> impl Iterator<Item = (Reach, &'a mut Line)> + use<'a> {
        let endpoint = self.endpoints.known(&way.endpoint).map(|line| (Reach::Endpoint, line));
        let key = self.keys.known(&way.key).map(|line| (Reach::Key, line));
        let topic = self.topics.known(&way.topic).map(|line| (Reach::Topic, line));
        [endpoint, key, topic].into_iter().flatten()
    }
}

/// History of one topic, key or endpoint.
struct Line {
    used: Instant,
    succeeded: Option<Instant>,
    /// Number of failures in a row.
    streak: u32,
    /// Topics of these failures with their counts, for a key or an endpoint: three topics are enough.
    topics: Vec<(String, u32)>,
    /// Open circuit, if there is one.
    gap: Option<Gap>,
    flow: Flow,
}

/// Open circuit, and the state of its probes.
struct Gap {
    /// Time before which no probe is made.
    until: Instant,
    /// Length of the last wait between probes.
    wait: Duration,
    /// Number and begin of the last probe under way.
    probe: Option<(u64, Instant)>,
    /// Time at which the newest probe began, or the circuit opened.
    newest: Instant,
    /// Topic of the latest failure.
    topic: String,
    why: Failure,
}

impl Line {
    const fn new(now: Instant) -> Self {
        Self { used: now, succeeded: None, streak: 0, topics: Vec::new(), gap: None, flow: Flow::new(now) }
    }

    /// Counts one more failure in a row, and returns true if the failure counts.
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

    /// Counts a failure of the topic, and returns true if no single topic explains the failures in a row.
    fn is_shared_with(&mut self, topic: &str) -> bool {
        if let Some((_, count)) = self.topics.iter_mut().find(|(known, _)| known == topic) {
            *count = count.saturating_add(1);
        } else if self.topics.len() <= OTHERS as usize {
            self.topics.push((topic.to_owned(), 1));
        }
        let counts = || self.topics.iter().map(|(_, count)| *count);
        counts().sum::<u32>() - counts().max().unwrap_or_default() >= OTHERS
    }

    /// Makes the next probe wait if the failed attempt was the last probe, or is as good as one.
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
            // An attempt that no circuit holds back, because there is no store, may serve as a probe.
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

    /// Returns true if another probe has to end first.
    fn is_probed(&self, now: Instant) -> bool {
        self.probe.is_some_and(|(_, begun)| now < begun + HOLD)
    }

    /// Returns true if topics other than `topic` probe first. All topics are alike if the failure is not
    /// about one.
    fn is_left_to_others(&self, topic: &str) -> bool {
        !self.why.unreachable && self.why.scope == Scope::Topic && self.topic == topic
    }
}

fn asked(failure: &Failure) -> Duration {
    failure.retry_after.unwrap_or_default().min(MAX_ASKED)
}

/// Lines by name, up to [`MOST`] of them. It is a list: there are few, and the code of a map is two kilobytes of a
/// function for each type of name.
struct Lines<K>(Vec<(K, Line)>);

impl<K> Default for Lines<K> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Eq + Clone> Lines<K> {
    fn known(&mut self, name: &K) -> Option<&mut Line> {
        self.0.iter_mut().find(|(known, _)| known == name).map(|(_, line)| line)
    }

    /// Returns the line of `name`, added if missing, and marks it as used now.
    fn line(&mut self, name: &K, now: Instant) -> Option<&mut Line> {
        let lines = &mut self.0;
        let at = lines.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            if lines.len() >= MOST {
                let lines_by_age = lines.iter().enumerate();
                let oldest = lines_by_age.min_by_key(|(_, (_, line))| (line.gap.is_some(), line.used));
                if let Some((at, _)) = oldest {
                    lines.swap_remove(at);
                }
            }
            lines.push((name.clone(), Line::new(now)));
            lines.len() - 1
        });
        let (_, line) = lines.get_mut(at)?;
        line.used = now;
        Some(line)
    }

    fn open(&self, now: Instant) -> usize {
        self.0.iter().filter(|(_, line)| line.gap.is_some() && now < line.used + FORGET).count()
    }
}

#[cfg(test)]
#[path = "outage_tests.rs"]
mod tests;
