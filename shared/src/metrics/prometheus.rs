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
mod tests {
    use std::time::Duration;

    use super::super::{Ended, Metrics};
    use super::*;
    use crate::context::Context;
    use crate::env::Env;
    use crate::outcome::Outcome;
    use crate::outcome::Summary;

    fn ended(hook: &str, outcome: Outcome) -> Ended<'_> {
        Ended { hook: Some(hook), outcome, class: None, secret: None, ack: None, send: None }
    }

    #[test]
    fn everything_that_was_counted_is_told() {
        let metrics = Metrics::counted(["a", "b"]);
        for millis in [20, 700] {
            let ack = Some(Duration::from_millis(millis));
            metrics.ended(Ended { secret: Some(1), ack, ..ended("b", Outcome::Accepted) });
        }
        metrics.ended(Ended { class: Some("no_match"), ..ended("b", Outcome::Rejected) });
        metrics.ended(ended("c", Outcome::Refused));
        let summary =
            Summary { found: 9, sent: 4, dead: 1, failed: 2, oldest_age_s: Some(77), ..Summary::default() };
        metrics.redriven("tdmq", Some(&summary), Some(Shard::WHOLE));
        metrics.redriven("rocketmq", None, Some(Shard::WHOLE));
        metrics.redriven("tdmq", Some(&Summary { sent: 1, ..Summary::default() }), None);
        let text = metrics
            .text(&Figures {
                requests: 3,
                bytes: 4096,
                connections: 5,
                most_requests: 256,
                most_bytes: 1 << 26,
                most_connections: 640,
                not_served: vec![("tls", 2)],
                log_lines_dropped: 1,
            })
            .unwrap();
        let expected = r#"# HELP hookmq_deliveries_total Requests, by outcome and by the class of a failure.
# TYPE hookmq_deliveries_total counter
hookmq_deliveries_total{hook="-",outcome="refused",class=""} 1
hookmq_deliveries_total{hook="a",outcome="accepted",class=""} 0
hookmq_deliveries_total{hook="b",outcome="accepted",class=""} 2
hookmq_deliveries_total{hook="b",outcome="rejected",class="no_match"} 1
# HELP hookmq_secret_matches_total Verified requests, by the number of the secret that matched, from 0.
# TYPE hookmq_secret_matches_total counter
hookmq_secret_matches_total{hook="b",secret="1"} 2
# HELP hookmq_ack_seconds Seconds from a request's first byte to the ack of its delivery.
# TYPE hookmq_ack_seconds histogram
hookmq_ack_seconds_bucket{hook="b",le="0.005"} 0
hookmq_ack_seconds_bucket{hook="b",le="0.01"} 0
hookmq_ack_seconds_bucket{hook="b",le="0.025"} 1
hookmq_ack_seconds_bucket{hook="b",le="0.05"} 1
hookmq_ack_seconds_bucket{hook="b",le="0.1"} 1
hookmq_ack_seconds_bucket{hook="b",le="0.25"} 1
hookmq_ack_seconds_bucket{hook="b",le="0.5"} 1
hookmq_ack_seconds_bucket{hook="b",le="1"} 2
hookmq_ack_seconds_bucket{hook="b",le="3"} 2
hookmq_ack_seconds_bucket{hook="b",le="5"} 2
hookmq_ack_seconds_bucket{hook="b",le="10"} 2
hookmq_ack_seconds_bucket{hook="b",le="30"} 2
hookmq_ack_seconds_bucket{hook="b",le="+Inf"} 2
hookmq_ack_seconds_sum{hook="b"} 0.72
hookmq_ack_seconds_count{hook="b"} 2
# HELP hookmq_redrive_runs_total Runs of the redriver that were done, or failed to begin or to list all hooks.
# TYPE hookmq_redrive_runs_total counter
hookmq_redrive_runs_total{target="rocketmq",result="failed"} 1
hookmq_redrive_runs_total{target="tdmq",result="done"} 2
# HELP hookmq_redriven_total Spilled deliveries that the redriver tried, by result.
# TYPE hookmq_redriven_total counter
hookmq_redriven_total{target="tdmq",result="dead"} 1
hookmq_redriven_total{target="tdmq",result="failed"} 2
hookmq_redriven_total{target="tdmq",result="repeated"} 0
hookmq_redriven_total{target="tdmq",result="sent"} 5
# HELP hookmq_redrive_failures_in_a_row Runs in a row that could not begin, 0 after a run that could.
# TYPE hookmq_redrive_failures_in_a_row gauge
hookmq_redrive_failures_in_a_row{target="rocketmq"} 1
hookmq_redrive_failures_in_a_row{target="tdmq"} 0
# HELP hookmq_spill_depth Deliveries that the redriver's last run left.
# TYPE hookmq_spill_depth gauge
hookmq_spill_depth{target="tdmq"} 4
# HELP hookmq_spill_oldest_age_seconds Age of the oldest delivery that the last run left, 0 if it left none.
# TYPE hookmq_spill_oldest_age_seconds gauge
hookmq_spill_oldest_age_seconds{target="tdmq"} 77
# HELP hookmq_requests_in_flight Requests being served.
# TYPE hookmq_requests_in_flight gauge
hookmq_requests_in_flight 3
# HELP hookmq_body_bytes_in_flight Bytes of request bodies in memory, including those that are still arriving.
# TYPE hookmq_body_bytes_in_flight gauge
hookmq_body_bytes_in_flight 4096
# HELP hookmq_connections Connections of senders.
# TYPE hookmq_connections gauge
hookmq_connections 5
# HELP hookmq_limit Limits of the host.
# TYPE hookmq_limit gauge
hookmq_limit{limit="requests"} 256
hookmq_limit{limit="body_bytes"} 67108864
hookmq_limit{limit="connections"} 640
# HELP hookmq_not_served_total Connections that were not served, by kind.
# TYPE hookmq_not_served_total counter
hookmq_not_served_total{kind="tls"} 2
# HELP hookmq_log_lines_dropped_total Log lines that were dropped, because their reader did not keep up.
# TYPE hookmq_log_lines_dropped_total counter
hookmq_log_lines_dropped_total 1
"#;
        let (counted, of_process) = text.split_at(text.find("# HELP hookmq_build_info").unwrap());
        assert_eq!(counted, expected);
        assert!(of_process.contains("\nhookmq_build_info{version=\""), "{of_process}");
    }

    /// The gauges always show the process' own shard, regardless of the order of the runs.
    #[test]
    fn a_part_never_stands_for_another() {
        let left = |found| Summary { found, oldest_age_s: Some(60), ..Summary::default() };
        let shard = |text: &str| Shard::parse(text).unwrap();
        for (own, labels) in [("0/1", ""), ("3/8", ",shard=\"3/8\""), ("0/8", ",shard=\"0/8\"")] {
            let metrics = Metrics::of_redriver(
                &Context { env: Env::of::<&str, &str>([]), ..Context::system() },
                shard(own),
            );
            for (at, covers) in ["4/8", own, "0/1", "3/8", "0/8", "1/2"].into_iter().enumerate() {
                // The last run of the own shard left 2 deliveries.
                let found = if covers == own { 2 } else { 100 + at };
                metrics.redriven("tdmq", Some(&left(found)), Some(shard(covers)));
            }
            metrics.redriven("tdmq", Some(&left(7)), None);
            let text = metrics.text(&Figures::default()).unwrap();
            let gauges: Vec<&str> = text.lines().filter(|line| line.starts_with("hookmq_spill_")).collect();
            assert_eq!(
                gauges,
                [
                    format!("hookmq_spill_depth{{target=\"tdmq\"{labels}}} 2"),
                    format!("hookmq_spill_oldest_age_seconds{{target=\"tdmq\"{labels}}} 60"),
                ]
            );
            assert!(text.contains("hookmq_redrive_runs_total{target=\"tdmq\",result=\"done\"} 7"), "{text}");
        }
    }

    /// A redriver reports its own interval and number of shards, so that an alarm can compare them with its
    /// runs.
    #[tokio::test(start_paused = true)]
    async fn a_redriver_tells_its_interval_and_shards() {
        let told = |metrics: &Metrics| {
            let text = metrics.text(&Figures::default()).unwrap();
            let of_redrive =
                |line: &&str| line.starts_with("hookmq_redrive_") && !line.contains("runs_total");
            let lines: Vec<String> = text.lines().filter(of_redrive).map(str::to_owned).collect();
            lines.join("\n")
        };
        let shard = |text: &str| Some(Shard::parse(text).unwrap());
        let context = Context { env: Env::of::<&str, &str>([]), ..Context::system() };
        let metrics = Metrics::of_redriver(&context, shard("3/8").unwrap());
        assert_eq!(told(&metrics), "", "one run that somebody asks for is not missed");
        metrics.repeats(Duration::from_secs(900));
        tokio::time::advance(Duration::from_secs(70)).await;
        let want = |since: u64| {
            format!(
                "hookmq_redrive_interval_seconds{{shard=\"3/8\"}} 900\nhookmq_redrive_shards{{shard=\"3/8\"}} 8\n\
                 hookmq_redrive_since_run_seconds{{shard=\"3/8\"}} {since}"
            )
        };
        assert_eq!(told(&metrics), want(70), "since it began");
        let row = |n: u64| format!("\nhookmq_redrive_failures_in_a_row{{target=\"tdmq\"}} {n}");
        for (summary, covers, since, failures) in [
            (Some(Summary::default()), shard("4/8"), 140, 0),
            (None, None, 210, 1),
            (None, shard("3/8"), 0, 2),
            (Some(Summary::default()), shard("3/8"), 0, 0),
        ] {
            metrics.redriven("tdmq", summary.as_ref(), covers);
            if since > 0 {
                tokio::time::advance(Duration::from_secs(70)).await;
            }
            assert_eq!(told(&metrics), want(since) + &row(failures));
        }
    }

    /// Circuits are reported by target and reach, without the topic, since a message can choose the topic.
    #[test]
    fn circuits_are_told_by_target_and_reach() {
        let open = [("eu", Open { topic: 2, key: 0, endpoint: 1 }), ("tdmq", Open::default())];
        let text = render(&[], &Counts::default(), &open, &Figures::default());
        let lines: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("hookmq_open_circuits")).collect();
        assert_eq!(
            lines,
            [
                r#"{target="eu",circuit="topic"} 2"#,
                r#"{target="eu",circuit="key"} 0"#,
                r#"{target="eu",circuit="endpoint"} 1"#,
                r#"{target="tdmq",circuit="topic"} 0"#,
                r#"{target="tdmq",circuit="key"} 0"#,
                r#"{target="tdmq",circuit="endpoint"} 0"#,
            ]
        );
    }

    #[test]
    fn a_label_cannot_break_out() {
        let mut text = Text(String::new());
        text.sample("n", &[("l", "a\"b\\c\nd")], 1);
        assert_eq!(text.0, "n{l=\"a\\\"b\\\\c\\nd\"} 1\n");
    }
}
