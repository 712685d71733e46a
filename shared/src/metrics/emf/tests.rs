use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::super::Metrics;
use serde_json::{Value, json};

use super::*;
use crate::clock::Timestamp;
use crate::problem::Problem;

const NOW: i64 = 1_700_000_000_123;

const OUTCOMES: [Outcome; 14] = [
    Outcome::Accepted,
    Outcome::Spilled,
    Outcome::Dead,
    Outcome::Repeated,
    Outcome::Ignored,
    Outcome::Handshake,
    Outcome::Rejected,
    Outcome::Refused,
    Outcome::Unprocessable,
    Outcome::TooLarge,
    Outcome::Limited,
    Outcome::Unavailable,
    Outcome::Unverified,
    Outcome::Cancelled,
];

/// Returns the lines that `write` produces, after checking each of them.
fn lines(level: &str, write: impl FnOnce(&Metrics)) -> Vec<Value> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let (out, clock) = (Arc::clone(&lines), Clock::fixed(Timestamp::from_unix_millis(NOW)));
    write(&Metrics::embedded(["a", "b"], "space", clock, level, move |line| {
        out.lock().unwrap().push(line.to_owned());
    }));
    let lines = lines.lock().unwrap();
    lines.iter().map(|line| check(line)).collect()
}

/// Checks a line against the rules of the specification.
fn check(line: &str) -> Value {
    assert!(line.len() < 2048 && !line.contains('\n'), "{line}");
    let document: Value = serde_json::from_str(line).unwrap();
    let root = document.as_object().unwrap();
    assert!(root.values().all(|value| !value.is_null()), "{line}");
    assert!(document["_aws"]["Timestamp"].is_i64());
    let directives = document["_aws"]["CloudWatchMetrics"].as_array().unwrap();
    assert!(!directives.is_empty());
    let mut defined = BTreeSet::new();
    for directive in directives {
        assert_eq!(directive["Namespace"], "space");
        let sets = directive["Dimensions"].as_array().unwrap();
        assert!(!sets.is_empty());
        for set in sets.iter().map(|set| set.as_array().unwrap()) {
            assert!(set.len() <= 30);
            for dimension in set {
                let value = root[dimension.as_str().unwrap()].as_str().unwrap();
                assert!((1..=1024).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_graphic()));
            }
        }
        let metrics = directive["Metrics"].as_array().unwrap();
        assert!((1..=100).contains(&metrics.len()));
        for metric in metrics {
            let name = metric["Name"].as_str().unwrap();
            assert!(root[name].as_f64().unwrap() >= 0.0);
            let unit = metric["Unit"].as_str().unwrap();
            assert!(["Count", "Milliseconds", "Seconds"].contains(&unit), "{unit}");
            assert!(defined.insert(name.to_owned()), "{name} is defined twice");
        }
    }
    // Every number belongs to a metric.
    let numbers = root.iter().filter(|(_, value)| value.is_number()).map(|(name, _)| name.clone());
    assert_eq!(numbers.collect::<BTreeSet<_>>(), defined);
    document
}

fn ended(outcome: Outcome) -> Ended<'static> {
    Ended { hook: Some("a"), outcome, class: None, secret: None, ack: None, send: None }
}

/// Returns the dimensions of a metric.
fn by(document: &Value, metric: &str) -> Value {
    let directives = document["_aws"]["CloudWatchMetrics"].as_array().unwrap();
    let names = |d: &Value| d["Metrics"].as_array().unwrap().iter().any(|m| m["Name"] == metric);
    directives.iter().find(|d| names(d)).map_or(Value::Null, |d| d["Dimensions"].clone())
}

#[test]
fn every_request_is_one_line() {
    let documents = lines("", |metrics| {
        for outcome in OUTCOMES {
            metrics.ended(ended(outcome));
            let ack = Some(Duration::from_micros(12_345));
            metrics.ended(Ended { class: Some("transient"), secret: Some(1), ack, ..ended(outcome) });
        }
    });
    assert_eq!(documents.len(), 2 * OUTCOMES.len());
    let outcomes: BTreeSet<&str> = documents.iter().map(|d| d["Outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes.len(), OUTCOMES.len());
}

#[test]
fn a_line_tells_what_alarms_ask_for() {
    let ack = Some(Duration::from_micros(12_345));
    let send = Some(Duration::from_micros(7_891));
    let accepted = Ended { secret: Some(1), ack, send, ..ended(Outcome::Accepted) };
    let documents = lines("", |metrics| {
        metrics.ended(accepted);
        metrics.ended(Ended { class: Some("auth"), ..ended(Outcome::Unavailable) });
        metrics.ended(ended(Outcome::Cancelled));
        metrics.ended(Ended { hook: Some("nobody's"), ..ended(Outcome::Refused) });
        metrics.refused(Problem::Malformed);
        metrics.refused(Problem::Unavailable { retry_after: 5 });
    });
    let [accepted, unavailable, cancelled, refused, malformed, full] = &documents[..] else { panic!() };
    assert_eq!(accepted["_aws"]["Timestamp"], NOW);
    assert_eq!(
        (&accepted["timestamp"], &accepted["level"]),
        (&json!("2023-11-14T22:13:20.123Z"), &json!("INFO"))
    );
    assert_eq!(
        (&accepted["Hook"], &accepted["Outcome"], &accepted["Secret"]),
        (&json!("a"), &json!("accepted"), &json!("1"))
    );
    assert_eq!(
        (&accepted["Deliveries"], &accepted["Accepted"], &accepted["AckMilliseconds"]),
        (&json!(1), &json!(1), &json!(12.345))
    );
    assert_eq!(accepted["SendMilliseconds"], 7.891);
    assert_eq!(accepted["OpenCircuits"], Value::Null, "nothing is sent to");
    assert_eq!(by(accepted, "Deliveries"), json!([["Hook", "Outcome"], ["Hook"], []]));
    for name in ["Accepted", "AckMilliseconds", "SendMilliseconds"] {
        assert_eq!(by(accepted, name), json!([["Hook"], []]), "{name}");
    }
    assert_eq!(by(accepted, "SecretMatches"), json!([["Hook", "Secret"]]));
    assert_eq!((&unavailable["Class"], &unavailable["Unavailable"]), (&json!("auth"), &json!(1)));
    assert_eq!(by(unavailable, "Deliveries")[3], json!(["Hook", "Outcome", "Class"]));
    assert_eq!(by(unavailable, "AckMilliseconds"), Value::Null);
    assert_eq!(cancelled["Unavailable"], 1, "nobody was told: it must alarm");
    assert_eq!((&refused["Hook"], &refused["Refused"]), (&json!("-"), &Value::Null));
    assert_eq!((&malformed["Hook"], &malformed["Class"]), (&json!("-"), &json!("malformed-request")));
    assert_eq!((&full["Outcome"], &full["Unverified"]), (&json!("unverified"), &json!(1)));
    assert_eq!(full["Unavailable"], Value::Null, "nobody knows whose it was");
}

/// Requests that were not verified do not count in the metrics of an outage, except for causes that no
/// request can bring about.
#[test]
fn strangers_have_metrics_of_their_own() {
    let classes = [
        "config",
        "auth",
        "auth_refresh",
        "permission",
        "quota",
        "fetch",
        "expired",
        "cancelled",
        "secret_unread",
    ];
    let documents = lines("", |metrics| {
        for class in classes.into_iter().chain(["secret", "clock"]) {
            metrics.ended(Ended { class: Some(class), ..ended(Outcome::Unverified) });
        }
        metrics.broken(["a", "nobody's"].into_iter());
    });
    for (at, document) in documents.iter().enumerate() {
        let is_ours = at >= classes.len();
        assert_eq!(document["NotReady"].as_u64(), is_ours.then_some(1), "{document}");
        for metric in ["Unavailable", "SetupFailures", "Rejected"] {
            assert_eq!(document[metric], Value::Null, "{document}");
        }
    }
    assert_eq!(by(&documents[0], "Unverified"), json!([["Hook"], []]));
    let hooks: Vec<&Value> = documents.iter().rev().take(2).map(|document| &document["Hook"]).collect();
    assert_eq!(hooks, ["-", "a"]);
}

#[test]
fn a_run_of_the_redriver_is_one_line_for_each_target() {
    let summary =
        Summary { found: 9, sent: 4, dead: 1, failed: 2, oldest_age_s: Some(77), ..Summary::default() };
    let documents = lines("", |metrics| {
        metrics.redriven("tdmq", Some(&summary), Some(Shard::WHOLE));
        metrics.redriven("rocketmq", Some(&Summary::default()), Some(Shard::WHOLE));
        metrics.redriven("tdmq", Some(&summary), None);
        metrics.redriven("tdmq", None, Some(Shard::WHOLE));
    });
    let [some, empty, part, failed] = &documents[..] else { panic!() };
    for (name, value) in
        [("SpillDepth", 4), ("SpillOldestAgeSeconds", 77), ("Redriven", 4), ("Dead", 1), ("RedriveFailed", 2)]
    {
        assert_eq!((&some[name], by(some, name)), (&json!(value), json!([["Target"], []])), "{name}");
        assert_eq!((&empty[name], &empty["Target"]), (&json!(0), &json!("rocketmq")), "{name}");
    }
    assert_eq!(
        (&part["SpillDepth"], &part["Redriven"]),
        (&Value::Null, &json!(4)),
        "a part is not the depth"
    );
    assert_eq!(
        (&failed["RedriveErrors"], &failed["SpillDepth"]),
        (&json!(1), &Value::Null),
        "unknown is not 0"
    );
    for (document, errors) in [(some, 0), (empty, 0), (failed, 1)] {
        assert_eq!((&document["RedriveErrors"], &document["Shard"]), (&json!(errors), &json!("0/1")));
        assert_eq!(by(document, "RedriveErrors"), json!([["Target"], [], ["Shard"]]), "a run that is missed");
    }
    assert_eq!(by(part, "RedriveErrors"), json!([["Target"], []]), "no shard ran");
}

/// A shard's depth is never mistaken for the total: the age is a maximum over all shards, while the depth is
/// a sum and needs a series per shard.
#[test]
fn a_shards_depth_is_never_taken_for_that_of_all() {
    let summary = Summary { found: 9, oldest_age_s: Some(77), ..Summary::default() };
    let shards = ["3/8", "0/8"].map(|text| Shard::parse(text).unwrap());
    let documents = lines("", |metrics| {
        for shard in shards {
            metrics.redriven("tdmq", Some(&summary), Some(shard));
        }
    });
    for (document, shard) in documents.iter().zip(shards) {
        assert_eq!((&document["Shard"], &document["SpillDepth"]), (&json!(shard.to_string()), &json!(9)));
        assert_eq!(by(document, "SpillDepth"), json!([["Target", "Shard"]]));
        for name in ["SpillOldestAgeSeconds", "Redriven", "Dead", "RedriveFailed"] {
            assert_eq!(by(document, name), json!([["Target"], []]), "{name}");
        }
        assert_eq!(by(document, "RedriveErrors"), json!([["Target"], [], ["Shard"]]));
    }
}

#[test]
fn a_line_has_the_level_that_the_function_lets_pass() {
    for (set, level) in [("", "INFO"), ("WARN", "WARN"), ("error", "ERROR"), ("DEBUG", "DEBUG")] {
        let documents = lines(set, |metrics| metrics.ended(ended(Outcome::Accepted)));
        assert_eq!(documents[0]["level"], level);
    }
}
