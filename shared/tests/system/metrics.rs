//! Tests of the metrics: over a socket, as Prometheus scrapes them, and in CloudWatch's format.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hookmq_emulator::{Fault, FaultKind};
use hookmq_shared::clock::{Clock, Random};
use hookmq_shared::config::{Config, Reading, Samples};
use hookmq_shared::context::Context;
use hookmq_shared::env::Env;
use hookmq_shared::gateway::Gateway;
use hookmq_shared::http::{Headers, Request};
use hookmq_shared::metrics::Metrics;
use hookmq_shared::queue::{Vendor, tdmq};
use hookmq_shared::service::Service as _;
use serde_json::Value;
use tokio::time::Instant;

use crate::kit::extension::{Extension, Held};
use crate::kit::world::{World, topic};

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

/// Parses a metrics text, checks its form, and returns the samples by name and labels.
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
    // The body is larger than any hook takes, so it is not read.
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
            (r#"{hook="broken",outcome="unverified",class="config"}"#, "1"),
            (r#"{hook="shop",outcome="accepted",class=""}"#, "3"),
            (r#"{hook="shop",outcome="refused",class="method-not-allowed"}"#, "1"),
            (r#"{hook="shop",outcome="refused",class="too-large"}"#, "2"),
            (r#"{hook="shop",outcome="rejected",class="no_match"}"#, "1"),
            (r#"{hook="shop",outcome="unavailable",class="permission"}"#, "1"),
        ]
    );
    let of = |sample: &str| samples.get(sample).map(String::as_str);
    assert_eq!(of(r#"hookmq_broken_hooks{hook="broken"}"#), Some("1"));
    // The request that was verified but not stored also matched a secret.
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

/// Each request on Lambda writes one line in CloudWatch's format; `metrics::emf` tests the format itself.
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
            // The first line is written when the process begins.
            ["broken", "", "", ""],
            ["shop", "accepted", "", "1"],
            ["shop", "rejected", "no_match", ""],
            ["-", "refused", "no-such-hook", ""]
        ]
    );
    for name in ["AckMilliseconds", "SendMilliseconds"] {
        assert!(lines[1][name].as_f64().unwrap() > 0.0 && lines[2][name].is_null(), "{name}");
    }
    let text = format!("{lines:?}");
    for secret in TOKENS.iter().chain(&["forged", "no\"where"]) {
        assert!(!text.contains(secret), "{text}");
    }
    assert!(gateway.metrics().is_some_and(|metrics| format!("{metrics:?}").contains("emf")));
}

/// A TDMQ function that can reach no vendor, and the lines that it writes in CloudWatch's format.
struct Counting {
    gateway: Gateway<tdmq::Client>,
    lines: Arc<Mutex<Vec<Value>>>,
}

impl Counting {
    fn new(hooks: &str) -> Self {
        Self::with(&[], hooks)
    }

    /// Creates such a function with further variables.
    fn with(vars: &[(&str, String)], hooks: &str) -> Self {
        let own = [
            ("TENCENTCLOUD_SECRET_ID", "id"),
            ("TENCENTCLOUD_SECRET_KEY", "key"),
            ("TENCENTCLOUD_REGION", "ap-guangzhou"),
            ("TDMQ_ENDPOINT", "https://127.0.0.1:9"),
            ("HTTPS_PROXY", "http://127.0.0.1:9"),
        ];
        let env = Env::of(own.into_iter().chain(vars.iter().map(|(name, value)| (*name, &**value))));
        let config = Config::parse("hooks", hooks, Reading::new(&env, Samples::Accepted));
        let context = Context { env, clock: Clock::system(), random: Random::system() };
        let lines = Arc::new(Mutex::new(Vec::new()));
        let out = Arc::clone(&lines);
        let metrics = Metrics::embedded(config.names(), "space", Clock::system(), "", move |line| {
            out.lock().unwrap().push(serde_json::from_str::<Value>(line).unwrap());
        });
        let gateway = Gateway::with_metrics(config, tdmq::Client::new(context.clone()), context, metrics);
        Self { gateway, lines }
    }

    async fn send(&self, method: &str, path: &str, headers: Headers, body: String) -> u16 {
        let request = Request {
            method: method.into(),
            path: path.into(),
            raw_query: String::new(),
            headers,
            body: body.into(),
            request_id: "8476a536-e9f4-11e8-9739-2dfe598c3fcd".into(),
            received: Instant::now(),
            source_ip: None,
            deadline: None,
        };
        self.gateway.call(request).await.status
    }

    /// Sums up a metric over all lines, as an alarm does.
    fn sum(&self, metric: &str) -> u64 {
        self.lines.lock().unwrap().iter().filter_map(|line| line[metric].as_u64()).sum()
    }

    /// Returns the metrics that roll a deployment back or report an outage.
    fn outage(&self) -> [u64; 3] {
        ["Unavailable", "SetupFailures", "NotReady"].map(|metric| self.sum(metric))
    }
}

/// Strangers cannot raise an alarm of an outage on a sound deployment; their requests have alarms of their
/// own.
#[tokio::test]
async fn strangers_ring_no_alarm_of_an_outage() {
    let [token, _] = TOKENS;
    let counting = Counting::new(&format!(
        "[hooks.q]\nsource = \"bearer\"\nsecrets = [\"plain:{token}\"]\ntopic = {{ rocketmq = \"webhooks\" }}\n\
         [hooks.either]\nsource = \"slack\"\nsecrets = [\"plain:{token}\"]\ntopic = {{ rocketmq = \"webhooks\" }}\n\
         [hooks.sns]\nsource = \"aws-sns\"\ntopic = \"a/b/c\"\ndeadline = \"2s\"\n\
         params = {{ topic = \"arn:aws:sns:eu-central-1:123456789012:t\" }}\n"
    ));
    // The hook's topic belongs to another vendor, as on one of two functions.
    for (method, path, body) in [
        ("GET", "/q", ""),
        ("POST", "/q", "{}"),
        ("HEAD", "/q", ""),
        ("POST", "/either", "{}"),
        // Slack's challenge must be signed, because anybody can write one.
        ("POST", "/either", r#"{"type":"url_verification","challenge":"x"}"#),
    ] {
        let status = counting.send(method, path, Headers::new(), body.to_owned()).await;
        assert!(matches!(status, 401 | 405 | 503), "{method} {path}: {status}");
        assert_eq!(counting.send("POST", path, headers("forged"), body.to_owned()).await, 401);
    }
    // Each message names a certificate, in existing regions and others.
    for kind in ["Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"] {
        for (n, host) in [
            "sns.ab-7.amazonaws.com",
            "sns.eu-central-1.amazonaws.com",
            "sns.cn-north-1.amazonaws.com.cn",
            "example.com",
        ]
        .into_iter()
        .enumerate()
        {
            let body = serde_json::json!({
                "Type": kind, "MessageId": "1", "TopicArn": "arn:aws:sns:eu-central-1:123456789012:t",
                "Message": "x", "Token": "x", "SubscribeURL": format!("https://{host}/?x"),
                "Timestamp": Clock::system().now().rfc3339(), "SignatureVersion": "2", "Signature": "eA==",
                "SigningCertURL": format!("https://{host}/SimpleNotificationService-{n}.pem"),
            });
            let status = counting.send("POST", "/sns", Headers::new(), body.to_string()).await;
            assert!(matches!(status, 401 | 503), "{kind} {host}: {status}");
        }
    }
    assert_eq!(counting.outage(), [0, 0, 0]);
    assert!(counting.sum("Unverified") > 0 && counting.sum("Rejected") > 0, "alarms of their own see them");
    // A genuine request to a hook that is not served is an outage.
    assert_eq!(counting.send("POST", "/q", headers(token), "{}".to_owned()).await, 503);
    assert_eq!(counting.outage(), [1, 1, 0]);
}

/// The line of each delivery contains the number of open circuits, because a function on Lambda is not
/// scraped.
#[tokio::test]
async fn a_circuit_that_opens_is_told_on_lambda() {
    let [token, _] = TOKENS;
    let counting = Counting::new(&format!(
        "[hooks.shop]\nsource = \"bearer\"\nsecrets = [\"plain:{token}\"]\ntopic = \"a/b/c\"\ndeadline = \"2s\"\n"
    ));
    let open = || counting.lines.lock().unwrap().last().unwrap()["OpenCircuits"].clone();
    assert_eq!(counting.send("POST", "/shop", headers("forged"), "{}".to_owned()).await, 401);
    assert_eq!(open(), 0);
    // The proxy refuses each connection, and three failures open the endpoint's circuit.
    while open() == 0 {
        assert_eq!(counting.send("POST", "/shop", headers(token), "{}".to_owned()).await, 503);
    }
    assert_eq!((open(), counting.lines.lock().unwrap().len() > 1), (serde_json::json!(1), true));
}

/// A forged request makes the function read the secrets again. If the reading fails, the known secrets stay
/// in use, and no outage is reported; without any secret, no request can be verified, and an outage is
/// reported.
#[tokio::test]
async fn strangers_ring_no_alarm_by_a_secret_that_cannot_be_read_again() {
    let [token, other] = TOKENS;
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let held = Extension::start().await;
    for name in ["one", "two"] {
        std::fs::write(path(name), token).unwrap();
        held.secret(name, Held::Text(other.to_owned()));
    }
    let hooks: String = [
        ("file", format!("\"file:{}\"", path("one").display())),
        ("files", format!("\"file:{}\", \"file:{}\"", path("one").display(), path("two").display())),
        ("remote", "\"secretsmanager:one\"".to_owned()),
        ("silent", "\"secretsmanager:two\"".to_owned()),
        ("never", "\"secretsmanager:none\"".to_owned()),
    ]
    .map(|(hook, secrets)| {
        format!("[hooks.{hook}]\nsource = \"bearer\"\nsecrets = [{secrets}]\ntopic = {{ rocketmq = \"webhooks\" }}\n")
    })
    .concat();
    let counting = Counting::with(&held.vars(), &hooks);
    let forge = async |hook: &str| {
        counting.send("POST", &format!("/{hook}"), headers("forged"), "{}".to_owned()).await
    };
    // The first request reads the secrets of the extension.
    for hook in ["file", "files", "remote", "silent"] {
        assert_eq!(forge(hook).await, 401, "{hook}");
    }
    std::fs::remove_file(path("one")).unwrap();
    held.secret("one", Held::Answer(500, String::new()));
    held.secret("two", Held::Silence);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    tokio::time::resume();
    for hook in ["file", "files", "remote", "silent"] {
        // A second failed reading within this time is not attempted.
        for _ in 0..2 {
            assert_eq!(forge(hook).await, 503, "{hook}: the sender may have a newer one");
            assert_eq!(counting.lines.lock().unwrap().last().unwrap()["Class"], "secret_unread", "{hook}");
        }
    }
    assert_eq!(counting.outage(), [0, 0, 0]);
    assert_eq!(counting.sum("Unverified"), 8, "the alarms of strangers' requests see them");
    assert_eq!(forge("never").await, 503);
    assert_eq!(counting.lines.lock().unwrap().last().unwrap()["Class"], "secret");
    assert_eq!(counting.outage(), [0, 0, 1], "there is none, whoever asks");
}

/// A broken hook is reported when the process begins, independently of any request.
#[tokio::test]
async fn a_broken_hook_rings_before_anybody_asks() {
    let counting = Counting::new(&hooks());
    assert_eq!(counting.outage(), [0, 0, 1]);
    assert_eq!(counting.lines.lock().unwrap()[0]["Hook"], "broken");
    assert_eq!(counting.send("POST", "/broken", Headers::new(), "{}".to_owned()).await, 503);
    assert_eq!(counting.outage(), [0, 0, 1], "and strangers ring nothing else");
    // If no part of the file can be read, one line reports that.
    assert_eq!(Counting::new("[hooks").outage(), [0, 0, 1]);
    assert_eq!(Counting::new("").outage(), [0, 0, 0]);
}
