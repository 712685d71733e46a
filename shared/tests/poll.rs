//! Tests of the custom runtimes of Tencent SCF and of FunctionGraph, against a server that follows their
//! documents.
//!
//! They are a binary of their own because a host replaces the panic hook of its process, after which a test
//! that fails has no message.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod kit;

use std::time::Duration;

use hookmq_shared::clock::{Clock, Random};
use hookmq_shared::context::Context;
use hookmq_shared::env::Env;
use hookmq_shared::host::{self, HostError};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::kit::host::Double;
use crate::kit::server::{Seen, Server, Step, ok, status};

/// Serves until the script is over; returns the requests that the platform received, and the service.
async fn play(
    script: Vec<Step>,
    env: impl FnOnce(&str) -> Vec<(&'static str, String)>,
) -> (Vec<Seen>, Double, Context) {
    let steps = script.len();
    let mut script = script;
    script.push(Step::Hang);
    let server = Server::start(script).await;
    let address = server.url.strip_prefix("http://").unwrap().to_owned();
    let context = Context { env: Env::of(env(&address)), clock: Clock::system(), random: Random::system() };
    let double = Double::new(1 << 20);
    let serving = tokio::spawn({
        let (double, context) = (double.clone(), context.clone());
        async move { host::serve(double, &context).await }
    });
    timeout(Duration::from_secs(20), async {
        while server.seen().len() <= steps {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    serving.abort();
    (server.seen(), double, context)
}

fn scf(address: &str) -> Vec<(&'static str, String)> {
    let (host, port) = address.split_once(':').unwrap();
    vec![("SCF_RUNTIME_API", host.to_owned()), ("SCF_RUNTIME_API_PORT", port.to_owned())]
}

fn functiongraph(address: &str) -> Vec<(&'static str, String)> {
    vec![("RUNTIME_API_ADDR", address.to_owned()), ("RUNTIME_TIMEOUT", "10".to_owned())]
}

fn event(headers: &[(&'static str, &str)], event: &Value) -> Step {
    let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Step::Answer(200, headers, event.to_string())
}

fn lines(seen: &[Seen]) -> Vec<&str> {
    seen.iter().map(|seen| seen.line.strip_suffix(" HTTP/1.1").unwrap()).collect()
}

#[tokio::test]
async fn scf_polls_and_answers_one_event_after_the_other() {
    let headers = [("request_id", "r-1"), ("memory_limit_in_mb", "128"), ("time_limit_in_ms", "3000")];
    let url = json!({
        "httpMethod": "POST", "path": "/tdmq/github", "queryString": {"k": "a b"},
        "headers": {"content-type": "application/json", "x-scf-remote-addr": "203.0.113.9"}, "body": "{\"n\":1}",
    });
    let gateway = json!({
        "requestContext": {"sourceIp": "203.0.113.9", "stage": "release", "httpMethod": "POST", "identity": {}},
        "headers": {}, "body": "eyJuIjoxfQ==", "isBase64Encoded": true, "pathParameters": {},
        "queryStringParameters": {}, "headerParameters": {}, "stageVariables": {"stage": "release"},
        "path": "/release/a", "queryString": {}, "httpMethod": "POST",
    });
    let timer =
        json!({"Type": "Timer", "TriggerName": "EveryMinute", "Time": "2026-11-22T11:49:00Z", "Message": ""});
    let script = vec![
        ok(""),
        event(&headers, &url),
        ok(""),
        event(&headers, &gateway),
        ok(""),
        event(&headers, &timer),
        ok(""),
        event(&headers, &json!({"Records": [{"cos": {}}]})),
        ok(""),
    ];
    let (seen, double, _) = play(script, scf).await;
    assert_eq!(
        lines(&seen),
        [
            "POST /runtime/init/ready",
            "GET /runtime/invocation/next",
            "POST /runtime/invocation/response",
            "GET /runtime/invocation/next",
            "POST /runtime/invocation/response",
            "GET /runtime/invocation/next",
            "POST /runtime/invocation/response",
            "GET /runtime/invocation/next",
            "POST /runtime/invocation/error",
            "GET /runtime/invocation/next",
        ]
    );
    let requests = double.requests();
    assert_eq!((requests[0].path.as_str(), requests[0].raw_query.as_str()), ("/tdmq/github", "k=a%20b"));
    assert_eq!((&requests[0].body[..], requests[0].source_ip), (&b"{\"n\":1}"[..], None));
    assert!(requests[0].deadline.is_some() && requests[0].headers.all("x-scf-remote-addr").next().is_none());
    // The path has no stage in it, and the source address is the gateway's own value.
    assert_eq!((requests[1].path.as_str(), &requests[1].body[..]), ("/release/a", &b"{\"n\":1}"[..]));
    assert_eq!(requests[1].source_ip, Some([203, 0, 113, 9].into()));
    let answer = seen[2].json();
    assert_eq!((&answer["statusCode"], &answer["isBase64Encoded"]), (&json!(200), &json!(false)));
    assert!(answer["headers"].is_object() && answer["body"].is_string(), "{answer}");
    assert_eq!(
        (double.requests().len(), &seen[6].json()["statusCode"]),
        (2, &json!(200)),
        "a timer is a ping"
    );
    assert_eq!(seen[8].json()["errorType"], "Hookmq.UnsupportedEvent");
}

#[tokio::test]
async fn functiongraph_hands_over_credentials_which_go_no_further() {
    let headers = [
        ("X-Cff-Request-Id", "a31d3d70-4152-4142-92fa-8b2cade9b453"),
        ("X-CFF-Access-Key", "the-access-key"),
        ("X-CFF-Secret-Key", "the-secret-key"),
        ("X-CFF-Security-Token", "the-token"),
    ];
    let apig = json!({
        "body": "eyJuIjoxfQ==", "isBase64Encoded": true, "httpMethod": "POST", "path": "/rocketmq/a",
        "pathParameters": {"": "a"}, "queryStringParameters": {"k": "v"},
        "headers": {"content-type": "application/json", "x-real-ip": "203.0.113.9", "X-CFF-Access-Key": "forged"},
        "requestContext": {"apiId": "b", "requestId": "a31d3d70415214292fa8b2cade9b4538", "stage": "RELEASE"},
    });
    let other = [("X-Cff-Request-Id", "a31d3d70-4152-4142-92fa-8b2cade9b454")];
    let script = vec![
        status(500, ""),
        event(&[], &apig),
        event(&headers, &apig),
        ok(""),
        event(&other, &apig),
        ok(""),
    ];
    let (seen, double, context) = play(script, functiongraph).await;
    assert_eq!(
        lines(&seen),
        [
            "GET /v1/runtime/invocation/request",
            "GET /v1/runtime/invocation/request",
            "GET /v1/runtime/invocation/request",
            "POST /v1/runtime/invocation/response/a31d3d70-4152-4142-92fa-8b2cade9b453",
            "GET /v1/runtime/invocation/request",
            "POST /v1/runtime/invocation/response/a31d3d70-4152-4142-92fa-8b2cade9b454",
            "GET /v1/runtime/invocation/request",
        ],
        "a failed poll, and an event without an id, are followed by another poll"
    );
    let requests = double.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!((requests[0].path.as_str(), requests[0].raw_query.as_str()), ("/rocketmq/a", "k=v"));
    assert_eq!((&requests[0].body[..], requests[0].source_ip), (&b"{\"n\":1}"[..], None));
    let answer = seen[3].json();
    for member in ["statusCode", "headers", "body", "isBase64Encoded"] {
        assert!(!answer[member].is_null(), "{member}");
    }
    // Each event has its own credentials, which are dropped with the event.
    let lent = ["the-access-key", "the-secret-key", "the-token"].map(|value| Some(value.to_owned()));
    assert_eq!(*double.lent.lock().unwrap(), [lent, [const { None }; 3]]);
    assert_eq!(context.env.get("HUAWEICLOUD_SDK_AK"), None);
    let shown = format!("{:?} {}", requests[0].headers, answer);
    assert!(!shown.contains("the-"), "{shown}");
    let names: Vec<&str> = requests[0].headers.iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        ["content-type", "x-real-ip"],
        "what a client sends in a platform's name goes no further"
    );
}

#[tokio::test]
async fn a_platform_that_is_gone_ends_the_process() {
    let refused = |env: Vec<(&'static str, String)>| async {
        let context = Context { env: Env::of(env), clock: Clock::system(), random: Random::system() };
        host::serve(Double::new(1), &context).await.unwrap_err()
    };
    let error = refused(vec![("SCF_RUNTIME_API", "127.0.0.1".to_owned())]).await;
    assert!(matches!(error, HostError::Environment("SCF_RUNTIME_API_PORT")), "{error}");
    let error = refused(vec![("RUNTIME_API_ADDR", "no address".to_owned())]).await;
    assert!(matches!(error, HostError::Environment("RUNTIME_API_ADDR")), "{error}");
    // Port 1 has no listener.
    let error = refused(vec![("RUNTIME_API_ADDR", "127.0.0.1:1".to_owned())]).await;
    assert!(matches!(error, HostError::Unreachable), "{error}");
}
