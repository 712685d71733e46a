//! CloudWatch's embedded metric format: a JSON line of which CloudWatch Logs makes metrics.
//! (Amazon CloudWatch User Guide, "Specification: Embedded metric format")
//!
//! A line stands by itself: what the log's formatter writes has its fields elsewhere. Each pair of a
//! metric and a set of dimensions is a metric that is paid for, so the sets are few.

use std::io::Write as _;

use serde_json::{Map, Value, json};

use super::Ended;
use crate::clock::Clock;
use crate::redrive::{Shard, Summary};
use crate::telemetry::Outcome;

pub(super) struct Emf {
    namespace: String,
    clock: Clock,
    level: String,
    out: Box<dyn Fn(&str) + Send + Sync>,
}

/// One line being written.
struct Document<'n> {
    namespace: &'n str,
    root: Map<String, Value>,
    directives: Vec<Value>,
}

impl Emf {
    /// Under Lambda's JSON format a line is dropped whose level is below the function's, and one
    /// without a level and a timestamp counts as `INFO`: so each has the function's own level.
    pub(super) fn new(
        namespace: &str,
        clock: Clock,
        level: &str,
        out: impl Fn(&str) + Send + Sync + 'static,
    ) -> Self {
        let level = if level.is_empty() { "INFO".to_owned() } else { level.to_ascii_uppercase() };
        Self { namespace: namespace.to_owned(), clock, level, out: Box::new(out) }
    }

    /// With how many circuits are open, which an outage opens long before anything is old.
    pub(super) fn ended(&self, ended: Ended<'_>, open: Option<usize>) {
        let Ended { hook, outcome, class, secret, ack, send } = ended;
        let mut document = Document::new(&self.namespace);
        document.set("Hook", hook.unwrap_or_default());
        document.set("Outcome", outcome.as_str());
        let mut by: Vec<&[&str]> = vec![&["Hook", "Outcome"], &["Hook"], &[]];
        if let Some(class) = class {
            document.set("Class", class);
            by.push(&["Hook", "Outcome", "Class"]);
        }
        document.metrics(&by, &[("Deliveries", "Count", json!(1))]);
        let mut metrics = Vec::new();
        if let Some(name) = metric(outcome) {
            metrics.push((name, "Count", json!(1)));
        }
        match (outcome, class) {
            // What nobody can verify is ours here, whoever asked: no request brings it about.
            (Outcome::Unverified, Some("secret" | "clock")) => {
                metrics.push(("NotReady", "Count", json!(1)));
            }
            (Outcome::Unverified, _) => {}
            // Spilled or not: nothing gets into the queue until somebody corrects it.
            (_, Some("auth" | "auth_refresh" | "permission" | "config" | "quota")) => {
                metrics.push(("SetupFailures", "Count", json!(1)));
            }
            _ => {}
        }
        for (name, took) in [("AckMilliseconds", ack), ("SendMilliseconds", send)] {
            let Some(took) = took else { continue };
            metrics.push((name, "Milliseconds", json!((took.as_secs_f64() * 1e6).round() / 1e3)));
        }
        document.metrics(&[&["Hook"], &[]], &metrics);
        if let Some(open) = open {
            document.metrics(&[&[]], &[("OpenCircuits", "Count", json!(open))]);
        }
        if let Some(secret) = secret {
            document.set("Secret", secret.to_string());
            document.metrics(&[&["Hook", "Secret"]], &[("SecretMatches", "Count", json!(1))]);
        }
        self.write(document);
    }

    /// A hook that this process cannot serve.
    pub(super) fn broken(&self, hook: &str) {
        let mut document = Document::new(&self.namespace);
        document.set("Hook", hook);
        document.metrics(&[&["Hook"], &[]], &[("NotReady", "Count", json!(1))]);
        self.write(document);
    }

    /// A probe of the spill store; 0 for one that worked.
    pub(super) fn probed(&self, failed: Option<&'static str>) {
        let mut document = Document::new(&self.namespace);
        if let Some(class) = failed {
            document.set("Class", class);
        }
        document.metrics(&[&[]], &[("StoreProbeFailures", "Count", json!(u8::from(failed.is_some())))]);
        self.write(document);
    }

    /// `RedriveErrors` has a datum for each run of each shard, so that one that does not run is missed.
    pub(super) fn redriven(&self, target: &str, summary: Option<&Summary>, covers: Option<Shard>) {
        let mut document = Document::new(&self.namespace);
        document.set("Target", target);
        let mut by: Vec<&[&str]> = vec![&["Target"], &[]];
        if let Some(shard) = covers {
            document.set("Shard", shard.to_string());
            by.push(&["Shard"]);
        }
        document.metrics(
            &by,
            &[("RedriveErrors", "Count", json!(u8::from(!summary.is_some_and(Summary::is_whole))))],
        );
        if let Some(summary) = summary {
            let mut metrics = Vec::from([
                ("Redriven", "Count", json!(summary.sent)),
                ("Dead", "Count", json!(summary.dead)),
                ("RedriveFailed", "Count", json!(summary.failed)),
            ]);
            if let Some(shard) = covers {
                // The oldest of all is the maximum of the shards'; how many there are is their sum, which
                // no statistic of one metric is: a part of a depth has its own.
                let age = json!(summary.oldest_age_s.unwrap_or(0));
                metrics.push(("SpillOldestAgeSeconds", "Seconds", age));
                let depth = ("SpillDepth", "Count", json!(summary.left()));
                if shard.is_whole() {
                    metrics.push(depth);
                } else {
                    document.metrics(&[&["Target", "Shard"]], &[depth]);
                }
            }
            document.metrics(&[&["Target"], &[]], &metrics);
        }
        self.write(document);
    }

    fn write(&self, mut document: Document<'_>) {
        let now = self.clock.now();
        document.set("timestamp", now.rfc3339());
        document.set("level", self.level.as_str());
        let directives = std::mem::take(&mut document.directives);
        document.set("_aws", json!({ "Timestamp": now.unix_millis(), "CloudWatchMetrics": directives }));
        (self.out)(&Value::Object(document.root).to_string());
    }
}

impl<'n> Document<'n> {
    fn new(namespace: &'n str) -> Self {
        Self { namespace, root: Map::new(), directives: Vec::new() }
    }

    fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.root.insert(name.to_owned(), value.into());
    }

    /// Metrics with their units and values, each by each of these sets of dimensions.
    fn metrics(&mut self, by: &[&[&str]], metrics: &[(&str, &str, Value)]) {
        if metrics.is_empty() {
            return;
        }
        let definitions: Vec<Value> =
            metrics.iter().map(|(name, unit, _)| json!({ "Name": name, "Unit": unit })).collect();
        self.directives
            .push(json!({ "Namespace": self.namespace, "Dimensions": by, "Metrics": definitions }));
        for (name, _, value) in metrics {
            self.set(name, value.clone());
        }
    }
}

/// The outcomes that alarms ask for have a metric of their own; the others are in `Deliveries`.
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

/// One write, so that no other line gets in between.
pub(super) fn to_stdout(line: &str) {
    // A log that cannot be written must not cost the answer.
    let _ = std::io::stdout().write_all(format!("{line}\n").as_bytes());
}

#[cfg(test)]
mod tests;
