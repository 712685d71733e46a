//! Tests of deliveries during a flood, or while a vendor is down: they go to the store at once, or back to
//! the sender.

use std::path::Path;
use std::time::Duration;

use hookmq_shared::config::{Config, Reading, Samples};
use hookmq_shared::gateway::Gateway;
use hookmq_shared::http::{Request, Response};
use hookmq_shared::metrics::Metrics;
use hookmq_shared::queue::tdmq::Client;
use hookmq_shared::service::Service as _;
use tokio::time::{Instant, advance};

use crate::kit::server::{Server, Step, Wall, context, ok};

const TOKEN: &str = "a-token-of-the-pressure-tests";
/// Seconds of three years; the gateway trusts no clock from before this program was written.
const THREE_YEARS: i64 = 3 * 365 * 24 * 3600;

const STORED: &str = r#"{"Response":{"MessageId":"71:11:0:0","ErrorMsg":"","RequestId":"r-1"}}"#;

fn failing(code: &str) -> Step {
    ok(&format!(r#"{{"Response":{{"Error":{{"Code":"{code}","Message":"m"}},"RequestId":"r-1"}}}}"#))
}

/// Builds a forwarder to TDMQ at `url` that spills into `dir`. Clocks stand still unless a test moves them.
fn gateway(url: &str, dir: &Path, rest: &str) -> Gateway<Client> {
    let spill = format!("file://{}", dir.display());
    let vars = [
        ("TDMQ_ENDPOINT", url),
        ("TDMQ_REGION", "ap-guangzhou"),
        ("TENCENTCLOUD_SECRET_ID", "AKIDEXAMPLE"),
        ("TENCENTCLOUD_SECRET_KEY", "KEYEXAMPLE"),
        ("SPILL_URL", &spill),
    ];
    let wall = Wall::new();
    wall.advance(THREE_YEARS);
    let context = context(&vars, wall.clock());
    let hooks = format!(
        "[hooks.h]\nsource = \"bearer\"\nsecrets = [\"plain:{TOKEN}\"]\ntopic = \"pulsar-a/ns/t\"\n\
         deadline = \"8s\"\n{rest}\n"
    );
    let config = Config::parse("hooks", &hooks, Reading::new(&context.env, Samples::Accepted));
    assert!(!config.has_errors(), "{:?}", config.mistakes);
    Gateway::with_metrics(config, Client::new(context.clone()), context, Metrics::off())
}

/// Sends a delivery; returns the answer and the time until it.
async fn send(gateway: &Gateway<Client>, token: &str, body: u32) -> (Response, Duration) {
    let received = Instant::now();
    let answer = gateway
        .call(Request {
            method: "POST".into(),
            path: "/h".into(),
            raw_query: String::new(),
            headers: [("authorization", format!("Bearer {token}"))].into_iter().collect(),
            body: body.to_string().into(),
            request_id: "8476a536-e9f4-11e8-9739-2dfe598c3fcd".into(),
            received,
            source_ip: None,
            deadline: None,
        })
        .await;
    (answer, received.elapsed())
}

fn is_queued(answer: &Response) -> bool {
    assert_eq!(answer.status, 200);
    answer.header("x-hookmq-message-id").is_some()
}

fn spilled(dir: &Path) -> usize {
    let list = std::fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path());
    list.map(|path| if path.is_dir() { spilled(&path) } else { 1 }).sum()
}

#[tokio::test(start_paused = true)]
async fn while_a_circuit_is_open_deliveries_go_straight_to_the_store() {
    for (code, open) in [("AuthFailure.SignatureFailure", 30), ("InvalidParameterValue.TopicNotFound", 30)] {
        let server = Server::start([failing(code)]).await;
        let dir = tempfile::tempdir().unwrap();
        let gateway = gateway(&server.url, dir.path(), "");
        assert!(!is_queued(&send(&gateway, TOKEN, 0).await.0), "{code}");
        assert_eq!((server.seen().len(), spilled(dir.path())), (1, 1), "{code}");
        // No send is attempted, and no delivery waits.
        for body in 1..4 {
            let (answer, took) = send(&gateway, TOKEN, body).await;
            assert!(!is_queued(&answer) && took == Duration::ZERO, "{code}: {took:?}");
        }
        assert_eq!((server.seen().len(), spilled(dir.path())), (1, 4), "{code}");

        // Half-open circuit: one delivery is the probe, and another at the same time goes straight to the
        // store.
        advance(Duration::from_secs(open)).await;
        server.then([Step::Late(STORED.to_owned(), Duration::from_secs(2)), ok(STORED)]);
        let ((probe, probing), (other, took)) =
            tokio::join!(send(&gateway, TOKEN, 4), send(&gateway, TOKEN, 5));
        assert!(is_queued(&probe) && probing >= Duration::from_secs(2), "{code}: {probing:?}");
        assert!(!is_queued(&other) && took == Duration::ZERO, "{code}: {took:?}");
        assert_eq!((server.seen().len(), spilled(dir.path())), (2, 5), "{code}");
        // The probe was stored, so the circuit is closed.
        assert!(is_queued(&send(&gateway, TOKEN, 6).await.0), "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_fails_opens_the_circuit_again() {
    let code = "AuthFailure.SignatureFailure";
    let server = Server::start([failing(code), failing(code)]).await;
    let dir = tempfile::tempdir().unwrap();
    let gateway = gateway(&server.url, dir.path(), "");
    for (body, seen) in [(0, 1), (1, 1), (2, 2), (3, 2)] {
        if body == 2 {
            advance(Duration::from_secs(30)).await;
        }
        assert!(!is_queued(&send(&gateway, TOKEN, body).await.0));
        assert_eq!(server.seen().len(), seen, "{body}");
    }
    assert_eq!(spilled(dir.path()), 4);
}

#[tokio::test(start_paused = true)]
async fn a_dead_endpoint_costs_one_delivery_its_time() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let gateway = gateway(&format!("http://{}", listener.local_addr().unwrap()), dir.path(), "");
    drop(listener);
    let (answer, took) = send(&gateway, TOKEN, 0).await;
    assert!(!is_queued(&answer) && took > Duration::ZERO, "{took:?}");
    let (answer, took) = send(&gateway, TOKEN, 1).await;
    assert!(!is_queued(&answer) && took == Duration::ZERO, "{took:?}");
    assert_eq!(spilled(dir.path()), 2);
}

#[tokio::test(start_paused = true)]
async fn over_the_rate_nothing_is_stored_and_the_sender_comes_again() {
    for (status, problem) in [("429", "too-many-requests"), ("503", "unavailable")] {
        let server = Server::start(vec![ok(STORED); 3]).await;
        let dir = tempfile::tempdir().unwrap();
        let rate = format!("rate = {{ limit = 2, per = \"10s\", status = {status} }}");
        let gateway = gateway(&server.url, dir.path(), &rate);
        // Requests with a wrong signature do not count toward the rate.
        for body in 0..10 {
            assert_eq!(send(&gateway, "forged", body).await.0.status, 401);
        }
        for body in 0..2 {
            assert!(is_queued(&send(&gateway, TOKEN, body).await.0));
        }
        for _ in 0..3 {
            let (answer, _) = send(&gateway, TOKEN, 2).await;
            assert_eq!(answer.status.to_string(), status);
            assert_eq!(answer.header("retry-after"), Some("5"));
            assert!(answer.body.contains(&format!("urn:hookmq:problem:{problem}")), "{}", answer.body);
        }
        assert_eq!((server.seen().len(), spilled(dir.path())), (2, 0));
        advance(Duration::from_secs(5)).await;
        assert!(is_queued(&send(&gateway, TOKEN, 2).await.0));
        assert_eq!(server.seen().len(), 3);
    }
}
