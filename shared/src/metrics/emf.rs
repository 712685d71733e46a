//! Metrics in CloudWatch's embedded metric format: JSON log lines from which CloudWatch Logs extracts metrics
//! (Amazon CloudWatch User Guide, "Specification: Embedded metric format").
//!
//! Lines are written here, because the log's formatter puts its fields elsewhere. AWS charges for each pair
//! of a metric and a set of dimensions, so the sets are few.

use std::borrow::Cow;
use std::io::Write as _;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::Ended;
use crate::clock::Clock;
use crate::outcome::{Outcome, Summary};
use crate::shard::Shard;

pub(super) struct Emf {
    namespace: String,
    clock: Clock,
    level: String,
    out: Box<dyn Fn(&str) + Send + Sync>,
}

/// Metrics line under construction. It is not a JSON tree, which would allocate each name of each delivery's line.
struct Document<'d> {
    namespace: &'d str,
    members: Vec<(&'static str, Member<'d>)>,
    directives: Vec<Directive<'d>>,
}

#[derive(serde::Serialize)]
#[serde(untagged)]
enum Member<'d> {
    Text(Cow<'d, str>),
    Count(u64),
    Milliseconds(f64),
    About(About<'d>),
}

/// Set of dimensions for a metric.
type Set = &'static [&'static str];

/// Name, unit and value of a metric.
type Metric = (&'static str, &'static str, Member<'static>);

fn count(number: usize) -> Member<'static> {
    Member::Count(u64::try_from(number).unwrap_or(u64::MAX))
}

const ONE: Member<'static> = Member::Count(1);

#[derive(serde::Serialize)]
#[serde(rename_all = "PascalCase")]
struct Directive<'d> {
    namespace: &'d str,
    dimensions: Vec<Set>,
    metrics: Vec<Definition>,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "PascalCase")]
struct Definition {
    name: &'static str,
    unit: &'static str,
}

/// Value of the member `_aws`.
#[derive(serde::Serialize)]
#[serde(rename_all = "PascalCase")]
struct About<'d> {
    timestamp: i64,
    cloud_watch_metrics: Vec<Directive<'d>>,
}

impl Emf {
    /// Creates the writer of lines. Under Lambda's JSON format, a line below the function's level is dropped,
    /// and a line without a level and a timestamp counts as `INFO`. So each line gets the function's own
    /// level.
    pub(super) fn new(
        namespace: &str,
        clock: Clock,
        level: &str,
        out: impl Fn(&str) + Send + Sync + 'static,
    ) -> Self {
        let level = if level.is_empty() { "INFO".to_owned() } else { level.to_ascii_uppercase() };
        Self { namespace: namespace.to_owned(), clock, level, out: Box::new(out) }
    }

    /// Writes the line of a request that ended. `open` is the number of open circuits, which shows an outage
    /// long before a delivery is old.
    pub(super) fn ended(&self, ended: Ended<'_>, open: Option<usize>) {
        let Ended { hook, outcome, class, secret, ack, send } = ended;
        let mut document = Document::new(&self.namespace);
        document.set("Hook", hook.unwrap_or_default());
        document.set("Outcome", outcome.as_str());
        let mut by: Vec<Set> = vec![&["Hook", "Outcome"], &["Hook"], &[]];
        if let Some(class) = class {
            document.set("Class", class);
            by.push(&["Hook", "Outcome", "Class"]);
        }
        document.metrics(&by, [("Deliveries", "Count", ONE)]);
        let mut metrics = Vec::new();
        if let Some(name) = metric(outcome) {
            metrics.push((name, "Count", ONE));
        }
        match (outcome, class) {
            // Failures of this service's own secrets or clock; requests cannot cause them.
            (Outcome::Unverified, Some("secret" | "clock")) => {
                metrics.push(("NotReady", "Count", ONE));
            }
            (Outcome::Unverified, _) => {}
            // The queue takes nothing until an operator fixes the setup, even if the delivery was spilled.
            (_, Some("auth" | "auth_refresh" | "permission" | "config" | "quota")) => {
                metrics.push(("SetupFailures", "Count", ONE));
            }
            _ => {}
        }
        for (name, took) in [("AckMilliseconds", ack), ("SendMilliseconds", send)] {
            let Some(took) = took else { continue };
            let milliseconds = (took.as_secs_f64() * 1e6).round() / 1e3;
            metrics.push((name, "Milliseconds", Member::Milliseconds(milliseconds)));
        }
        document.metrics(&[&["Hook"], &[]], metrics);
        if let Some(open) = open {
            document.metrics(&[&[]], [("OpenCircuits", "Count", count(open))]);
        }
        if let Some(secret) = secret {
            document.set("Secret", secret.to_string());
            document.metrics(&[&["Hook", "Secret"]], [("SecretMatches", "Count", ONE)]);
        }
        self.write(document);
    }

    /// Writes a line for a hook that this process cannot serve.
    pub(super) fn broken(&self, hook: &str) {
        let mut document = Document::new(&self.namespace);
        document.set("Hook", hook);
        document.metrics(&[&["Hook"], &[]], [("NotReady", "Count", ONE)]);
        self.write(document);
    }

    /// Writes a line for a probe of the spill store, with a count of 0 if the probe succeeded.
    pub(super) fn probed(&self, failed: Option<&'static str>) {
        let mut document = Document::new(&self.namespace);
        if let Some(class) = failed {
            document.set("Class", class);
        }
        document.metrics(&[&[]], [("StoreProbeFailures", "Count", Member::Count(failed.is_some().into()))]);
        self.write(document);
    }

    /// Writes a line for a run of the redriver. `RedriveErrors` has a value for each run of each shard, so
    /// that an alarm notices a shard without runs.
    pub(super) fn redriven(&self, target: &str, summary: Option<&Summary>, covers: Option<Shard>) {
        let mut document = Document::new(&self.namespace);
        document.set("Target", target);
        let mut by: Vec<Set> = vec![&["Target"], &[]];
        if let Some(shard) = covers {
            document.set("Shard", shard.to_string());
            by.push(&["Shard"]);
        }
        let failed = !summary.is_some_and(Summary::is_whole);
        document.metrics(&by, [("RedriveErrors", "Count", Member::Count(failed.into()))]);
        if let Some(summary) = summary {
            let mut metrics = Vec::from([
                ("Redriven", "Count", count(summary.sent)),
                ("Dead", "Count", count(summary.dead)),
                ("RedriveFailed", "Count", count(summary.failed)),
            ]);
            if let Some(shard) = covers {
                // The age of the oldest delivery is the maximum over the shards, but the total depth is the
                // sum. No statistic of a single metric gives that sum, so a shard's depth has its own series.
                let age = Member::Count(summary.oldest_age_s.unwrap_or(0));
                metrics.push(("SpillOldestAgeSeconds", "Seconds", age));
                let depth = ("SpillDepth", "Count", count(summary.left()));
                if shard.is_whole() {
                    metrics.push(depth);
                } else {
                    document.metrics(&[&["Target", "Shard"]], [depth]);
                }
            }
            document.metrics(&[&["Target"], &[]], metrics);
        }
        self.write(document);
    }

    fn write<'d>(&'d self, mut document: Document<'d>) {
        let now = self.clock.now();
        document.set("timestamp", now.rfc3339());
        document.set("level", &*self.level);
        let cloud_watch_metrics = std::mem::take(&mut document.directives);
        let about = About { timestamp: now.unix_millis(), cloud_watch_metrics };
        document.members.push(("_aws", Member::About(about)));
        // The members always serialize.
        (self.out)(&serde_json::to_string(&document).unwrap_or_default());
    }
}

impl<'d> Document<'d> {
    fn new(namespace: &'d str) -> Self {
        Self { namespace, members: Vec::with_capacity(16), directives: Vec::with_capacity(4) }
    }

    fn set(&mut self, name: &'static str, value: impl Into<Cow<'d, str>>) {
        self.members.push((name, Member::Text(value.into())));
    }

    /// Adds metrics with their units and values, each under all of these sets of dimensions.
    fn metrics(&mut self, by: &[Set], metrics: impl IntoIterator<Item = Metric>) {
        let mut definitions = Vec::new();
        for (name, unit, value) in metrics {
            definitions.push(Definition { name, unit });
            self.members.push((name, value));
        }
        if !definitions.is_empty() {
            let (namespace, dimensions) = (self.namespace, by.to_vec());
            self.directives.push(Directive { namespace, dimensions, metrics: definitions });
        }
    }
}

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut line = serializer.serialize_map(None)?;
        for (name, value) in &self.members {
            line.serialize_entry(name, value)?;
        }
        line.end()
    }
}

/// Returns the name of the outcome's own metric, for outcomes that alarms use. `Deliveries` counts the rest.
const fn metric(outcome: Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Accepted => Some("Accepted"),
        Outcome::Spilled => Some("Spilled"),
        Outcome::Dead => Some("Dead"),
        Outcome::Rejected => Some("Rejected"),
        Outcome::Limited => Some("Limited"),
        Outcome::Unavailable | Outcome::Cancelled => Some("Unavailable"),
        Outcome::Unverified => Some("Unverified"),
        Outcome::Repeated
        | Outcome::Ignored
        | Outcome::Handshake
        | Outcome::Refused
        | Outcome::Unprocessable
        | Outcome::TooLarge => None,
    }
}

/// Writes the line in a single call, so that other lines cannot come between.
pub(super) fn to_stdout(line: &str) {
    // A log that cannot be written must not cost the answer.
    let _ = std::io::stdout().write_all(format!("{line}\n").as_bytes());
}

#[cfg(test)]
mod tests;
