//! Tests of `prometheus`.

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
        let of_redrive = |line: &&str| line.starts_with("hookmq_redrive_") && !line.contains("runs_total");
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
