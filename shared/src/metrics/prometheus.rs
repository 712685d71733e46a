//! Renderer of metrics in Prometheus' text exposition format, version 0.0.4.

use std::fmt::{Display, Write as _};

use super::NO_HOOK;
use super::figures::Figures;
use super::process::Process;
use super::registry::{BOUNDS, Counts, Histogram, Repeats};
use crate::queue::{Open, Reach};
use crate::shard::Shard;

/// Renders the families in a fixed order. A family without samples is left out.
pub(super) fn render(hooks: &[String], counts: &Counts, open: &[(&str, Open)], figures: &Figures) -> String {
    let hook = |at: &Option<usize>| at.and_then(|at| hooks.get(at)).map_or(NO_HOOK, String::as_str);
    let mut text = Text(String::new());

    let samples = counts.deliveries.iter().map(|((at, outcome, class), n)| {
        (vec![("hook", hook(at)), ("outcome", *outcome), ("class", *class)], *n)
    });
    text.family(
        "hookmq_deliveries_total",
        "counter",
        "Requests, by outcome and by the class of a failure.",
        samples,
    );

    let numbered: Vec<_> =
        counts.secrets.iter().map(|((at, secret), n)| (hook(at), secret.to_string(), *n)).collect();
    let samples = numbered.iter().map(|(hook, secret, n)| (vec![("hook", *hook), ("secret", secret)], *n));
    let help = "Verified requests, by the number of the secret that matched, from 0.";
    text.family("hookmq_secret_matches_total", "counter", help, samples);

    if !counts.acks.is_empty() {
        let name = "hookmq_ack_seconds";
        text.head(name, "histogram", "Seconds from a request's first byte to the ack of its delivery.");
        for (at, histogram) in &counts.acks {
            text.histogram(name, ("hook", hook(at)), histogram);
        }
    }

    let broken = counts.broken.iter().map(|(hook, n)| (vec![("hook", hook.as_str())], *n));
    let help = "Hooks that this process cannot serve, because their configuration is wrong.";
    text.family("hookmq_broken_hooks", "gauge", help, broken);

    let probes = counts.probes.iter().map(|(class, n)| {
        let result = if class.is_empty() { "worked" } else { "failed" };
        (vec![("result", result), ("class", *class)], *n)
    });
    let help = "Probes of the spill store, by result and by the class of a failure.";
    text.family("hookmq_store_probes_total", "counter", help, probes);
    if !counts.sends.is_empty() {
        let name = "hookmq_send_seconds";
        text.head(
            name,
            "histogram",
            "Seconds of waiting for a target's queue, all attempts of a delivery together.",
        );
        for (target, histogram) in &counts.sends {
            text.histogram(name, ("target", target), histogram);
        }
    }
    let circuits = open.iter().flat_map(|(target, open)| {
        let of =
            move |(reach, n): (Reach, usize)| (vec![("target", *target), ("circuit", reach.as_str())], n);
        open.by_reach().map(of)
    });
    let help =
        "Open circuits: topics, keys and endpoints that are not used for a while, because sending fails.";
    text.family("hookmq_open_circuits", "gauge", help, circuits);

    let help = "Runs of the redriver that were done, or failed to begin or to list all hooks.";
    text.family("hookmq_redrive_runs_total", "counter", help, counts.runs.iter().map(by_target));
    let help = "Spilled deliveries that the redriver tried, by result.";
    text.family("hookmq_redriven_total", "counter", help, counts.redriven.iter().map(by_target));

    let shard = counts.shard.to_string();
    let mut repeats = |name, help, of: fn(&Repeats, Shard) -> u64| {
        let told = counts.repeats.iter().map(|repeats| (vec![("shard", &*shard)], of(repeats, counts.shard)));
        text.family(name, "gauge", help, told);
    };
    let help = "Seconds from one run of the redriver to the next.";
    repeats("hookmq_redrive_interval_seconds", help, |repeats, _| repeats.every.as_secs());
    let help = "Number of shards into which the redrivers divide the spilled deliveries.";
    repeats("hookmq_redrive_shards", help, |_, shard| shard.of().into());
    let help = "Seconds since a run of the process' shard ended, or since the process began.";
    repeats("hookmq_redrive_since_run_seconds", help, |repeats, _| repeats.since.elapsed().as_secs());
    let failures = counts.failures.iter().map(|(target, n)| (vec![("target", target.as_str())], *n));
    let help = "Runs in a row that could not begin, 0 after a run that could.";
    text.family("hookmq_redrive_failures_in_a_row", "gauge", help, failures);
    let of = |target| {
        let mut labels = vec![("target", target)];
        // The whole needs no label, so that its series keep their names.
        if !counts.shard.is_whole() {
            labels.push(("shard", shard.as_str()));
        }
        labels
    };
    let depths = counts.spilled.iter().map(|(target, left)| (of(target.as_str()), left.depth));
    text.family("hookmq_spill_depth", "gauge", "Deliveries that the redriver's last run left.", depths);
    let ages = counts.spilled.iter().map(|(target, left)| (of(target.as_str()), left.oldest_age_s));
    let help = "Age of the oldest delivery that the last run left, 0 if it left none.";
    text.family("hookmq_spill_oldest_age_seconds", "gauge", help, ages);

    host(&mut text, figures);
    text.0
}

fn one<N>(n: N) -> std::iter::Once<(Labels<'static>, N)> {
    std::iter::once((Vec::new(), n))
}

/// Renders the current load and the limits of the host.
fn host(text: &mut Text, figures: &Figures) {
    text.family("hookmq_requests_in_flight", "gauge", "Requests being served.", one(figures.requests));
    let help = "Bytes of request bodies in memory, including those that are still arriving.";
    text.family("hookmq_body_bytes_in_flight", "gauge", help, one(figures.bytes));
    text.family("hookmq_connections", "gauge", "Connections of senders.", one(figures.connections));
    let limits = [
        ("requests", figures.most_requests),
        ("body_bytes", figures.most_bytes),
        ("connections", figures.most_connections),
    ];
    let limits = limits.into_iter().map(|(limit, n)| (vec![("limit", limit)], n));
    text.family("hookmq_limit", "gauge", "Limits of the host.", limits);
    let help = "Connections that were not served, by kind.";
    let kinds = figures.not_served.iter().map(|(kind, n)| (vec![("kind", *kind)], *n));
    text.family("hookmq_not_served_total", "counter", help, kinds);
    let help = "Log lines that were dropped, because their reader did not keep up.";
    text.family("hookmq_log_lines_dropped_total", "counter", help, one(figures.log_lines_dropped));
}

/// Renders the standard metrics of a process, as far as the system reports them.
pub(super) fn process(process: &Process) -> String {
    let mut text = Text(String::new());
    let build = vec![("version", env!("CARGO_PKG_VERSION"))];
    text.family("hookmq_build_info", "gauge", "Version of this process.", std::iter::once((build, 1)));
    let mut told = |name, kind, help, value: Option<f64>| {
        text.family(name, kind, help, value.into_iter().flat_map(one));
    };
    let help = "Seconds since the Unix epoch when the process started.";
    told("process_start_time_seconds", "gauge", help, process.started);
    told("process_cpu_seconds_total", "counter", "Seconds of processor time.", process.cpu);
    told("process_resident_memory_bytes", "gauge", "Bytes of memory in use.", process.resident);
    told("process_open_fds", "gauge", "Open file descriptors.", process.open_fds);
    told("process_max_fds", "gauge", "Maximum number of open file descriptors.", process.max_fds);
    text.0
}

fn by_target<'c>(counted: (&'c (String, &'static str), &u64)) -> (Labels<'c>, u64) {
    let ((target, result), n) = counted;
    (vec![("target", target.as_str()), ("result", *result)], *n)
}

type Labels<'l> = Vec<(&'static str, &'l str)>;

struct Text(String);

impl Text {
    fn family<'l, N: Display>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        samples: impl Iterator<Item = (Labels<'l>, N)>,
    ) {
        let mut samples = samples.peekable();
        if samples.peek().is_some() {
            self.head(name, kind, help);
        }
        for (labels, value) in samples {
            self.sample(name, &labels, value);
        }
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (i, (label, text)) in labels.iter().enumerate() {
            self.0.push_str(if i == 0 { "{" } else { "," });
            self.0.push_str(label);
            self.0.push_str("=\"");
            escape(&mut self.0, text);
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        self.line(format_args!(" {value}"));
    }

    /// Renders a histogram. A bucket counts all values up to its bound, including those of the smaller
    /// buckets.
    fn histogram(&mut self, name: &str, label: (&'static str, &str), histogram: &Histogram) {
        let bucket = format!("{name}_bucket");
        let mut within = 0;
        for (bound, n) in BOUNDS.iter().zip(histogram.within) {
            within += n;
            let seconds = std::time::Duration::from_millis(*bound).as_secs_f64().to_string();
            self.sample(&bucket, &[label, ("le", &seconds)], within);
        }
        self.sample(&bucket, &[label, ("le", "+Inf")], histogram.count);
        self.sample(&format!("{name}_sum"), &[label], histogram.sum.as_secs_f64());
        self.sample(&format!("{name}_count"), &[label], histogram.count);
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string never fails.
        let _ = writeln!(self.0, "{line}");
    }
}

fn escape(out: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
#[path = "prometheus_tests.rs"]
mod tests;
