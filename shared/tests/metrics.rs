//! Metrics over a socket, as Prometheus scrapes them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hookmq_emulator::{Fault, FaultKind};
use hookmq_shared::clock::Clock;
use hookmq_shared::config::{Config, Reading, Samples};
use hookmq_shared::gateway::Gateway;
use hookmq_shared::host::Service as _;
use hookmq_shared::http::{Headers, Request};
use hookmq_shared::metrics::Metrics;
use hookmq_shared::queue::{Vendor, tdmq};
use serde_json::Value;
use tokio::time::Instant;
use world::{World, topic};

const TOKENS: [&str; 2] = ["a-new-token-of-the-metrics-tests", "an-old-token-of-the-metrics-tests"];

fn hooks() -> String {
    let [new, old] = TOKENS;
    let topic = topic(Vendor::Tdmq);
    format!(
        "[hooks.shop]\nsource = \"bearer\"\nsecrets = [\"plain:{new}\", \"plain:{old}\"]\ntopic = \"{topic}\"\n\
         max_body = 1000\n[hooks.broken]\nsource = \"no-such-preset\"\ntopic = \"{topic}\"\n"
    )
}

fn headers(token: &str) -> Headers {
    [("authorization", format!("Bearer {token}"))].into_iter().collect()
}

/// Samples by name and labels, of a text whose form is checked on the way.
fn samples(text: &str) -> BTreeMap<String, String> {
    let (mut samples, mut families) = (BTreeMap::new(), BTreeMap::new());
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(families.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} is there twice");
        } else if !line.starts_with("# HELP ") {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let name = sample.split('{').next().unwrap();
            let of_family = |suffix: &str| name.strip_suffix(suffix).and_then(|name| families.get(name));
            let histogram = ["_bucket", "_sum", "_count"].into_iter().find_map(of_family);
            assert!(
                families.contains_key(name) || histogram.is_some_and(|kind| kind == "histogram"),
                "{name}"
            );
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(samples.insert(sample.to_owned(), value.to_owned()).is_none(), "{sample} twice");
        }
    }
    samples
}

async fn scrape(world: &World) -> BTreeMap<String, String> {
    let answer = world.send("GET", "/_/metrics", &Headers::new(), Bytes::new()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    samples(answer.text())
}

#[tokio::test]
async fn every_request_is_counted_once() {
    let world = World::start(&hooks(), tdmq::Client::new).await;
    let quiet = scrape(&world).await;
    assert_eq!(quiet[r#"hookmq_deliveries_total{hook="shop",outcome="accepted",class=""}"#], "0");

    let [new, old] = TOKENS;
    for (token, path, body, status) in [
        (new, "/shop", "{}", 200),
        (old, "/shop", "{}", 200),
        (new, "/shop", "[1]", 200),
        ("forged", "/shop", "{}", 401),
        (new, "/broken", "{}", 503),
        (new, "/unknown", "{}", 404),
        (new, "/another\"}unknown", "{}", 404),
    ] {
        assert_eq!(world.send("POST", path, &headers(token), body).await.status, status, "{path}");
    }
    assert_eq!(world.send("PUT", "/shop", &headers(new), "").await.status, 405);
    assert_eq!(world.send("POST", "/shop", &headers(new), vec![b'x'; 1001]).await.status, 413);
    // Larger than any hook takes: its body is not read.
    assert_eq!(world.send("POST", "/shop", &headers(new), vec![b'x'; 7 << 20]).await.status, 413);
    let refuse = FaultKind::Error {
        code: "UnauthorizedOperation".to_owned(),
        status: None,
        message: None,
        headers: http::HeaderMap::new(),
        stored: false,
    };
    world.emulator.set_faults(vec![Fault::new(refuse).times(0)]);
    assert_eq!(world.send("POST", "/shop", &headers(new), "{}").await.status, 503);

    let samples = scrape(&world).await;
    assert_eq!(samples[r#"hookmq_send_seconds_count{target="tdmq"}"#], "4", "three receipts and a refusal");
    let mut counted: Vec<(&str, &str)> = samples
        .iter()
        .filter_map(|(sample, n)| Some((sample.strip_prefix("hookmq_deliveries_total")?, n.as_str())))
        .collect();
    counted.sort_by_key(|(sample, _)| *sample);
    assert_eq!(
        counted,
        [
            (r#"{hook="-",outcome="refused",class="no-such-hook"}"#, "2"),
            (r#"{hook="broken",outcome="accepted",class=""}"#, "0"),
            (r#"{hook="broken",outcome="unavailable",class="config"}"#, "1"),
            (r#"{hook="shop",outcome="accepted",class=""}"#, "3"),
            (r#"{hook="shop",outcome="refused",class="method-not-allowed"}"#, "1"),
            (r#"{hook="shop",outcome="refused",class="too-large"}"#, "2"),
            (r#"{hook="shop",outcome="rejected",class="no_match"}"#, "1"),
            (r#"{hook="shop",outcome="unavailable",class="permission"}"#, "1"),
        ]
    );
    let of = |sample: &str| samples.get(sample).map(String::as_str);
    // The one that was verified and not stored matched a secret, too.
    assert_eq!(of(r#"hookmq_secret_matches_total{hook="shop",secret="0"}"#), Some("3"));
    assert_eq!(of(r#"hookmq_secret_matches_total{hook="shop",secret="1"}"#), Some("1"));
    assert_eq!(of(r#"hookmq_ack_seconds_count{hook="shop"}"#), Some("3"));
    assert_eq!(of(r#"hookmq_ack_seconds_bucket{hook="shop",le="+Inf"}"#), Some("3"));
    assert_eq!(of(r#"hookmq_ack_seconds_count{hook="-"}"#), None);
    assert_eq!((of("hookmq_requests_in_flight"), of("hookmq_body_bytes_in_flight")), (Some("0"), Some("0")));
}

#[tokio::test]
async fn they_can_be_turned_off() {
    let world = World::start_with(&hooks(), &[("METRICS", "off")], tdmq::Client::new).await;
    let answer = world.send("GET", "/_/metrics", &Headers::new(), Bytes::new()).await;
    assert_eq!(answer.status, 404);
    assert_eq!(world.send("POST", "/_/metrics", &Headers::new(), "").await.status, 405);
}

/// On Lambda, each request writes one line in CloudWatch's format; `metrics::emf` checks its form.
#[tokio::test]
async fn every_request_writes_one_line_on_lambda() {
    let world = World::start(&hooks(), tdmq::Client::new).await;
    let context = world.context.clone();
    let config = Config::parse("hooks", &hooks(), Reading::new(&context.env, Samples::Accepted));
    let lines = Arc::new(Mutex::new(Vec::new()));
    let out = Arc::clone(&lines);
    let metrics = Metrics::embedded(["shop", "broken"], "space", Clock::system(), "", move |line| {
        out.lock().unwrap().push(serde_json::from_str::<Value>(line).unwrap());
    });
    let gateway = Gateway::with_metrics(config, tdmq::Client::new(context.clone()), context, metrics);
    for (token, path, status) in
        [(TOKENS[1], "/shop", 200), ("forged", "/shop", 401), ("forged", "/no\"where", 404)]
    {
        let request = Request {
            method: "POST".into(),
            path: path.into(),
            raw_query: String::new(),
            headers: headers(token),
            body: "{}".into(),
            request_id: "8476a536-e9f4-11e8-9739-2dfe598c3fcd".into(),
            received: Instant::now(),
            source_ip: None,
            deadline: None,
        };
        assert_eq!(gateway.call(request).await.status, status);
    }
    let lines = lines.lock().unwrap();
    let told: Vec<_> = lines
        .iter()
        .map(|line| ["Hook", "Outcome", "Class", "Secret"].map(|name| line[name].as_str().unwrap_or("")))
        .collect();
    assert_eq!(
        told,
        [
            ["shop", "accepted", "", "1"],
            ["shop", "rejected", "no_match", ""],
            ["-", "refused", "no-such-hook", ""]
        ]
    );
    assert!(lines[0]["AckMilliseconds"].as_f64().unwrap() > 0.0 && lines[1]["AckMilliseconds"].is_null());
    let text = format!("{lines:?}");
    for secret in TOKENS.iter().chain(&["forged", "no\"where"]) {
        assert!(!text.contains(secret), "{text}");
    }
    assert!(gateway.metrics().is_some_and(|metrics| format!("{metrics:?}").contains("emf")));
}
