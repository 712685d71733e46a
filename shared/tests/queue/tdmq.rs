//! Tests of the TDMQ client: its requests, its environment variables, and its refusals.

use hookmq_shared::clock::Timestamp;
use hookmq_shared::queue::credentials::Credentials;
use hookmq_shared::queue::tdmq::{Client, sign};
use hookmq_shared::queue::{Class, Queue as _};
use hookmq_shared::secret::Secret;
use serde_json::{Value, json};

use crate::kit::server::{Seen, Server, Wall, context, message, ok, seconds};

const STORED: &str = r#"{"Response":{"MessageId":"71:11:0:0","ErrorMsg":"","RequestId":"r-1"}}"#;

const SDK: [(&str, &str); 2] =
    [("TENCENTCLOUD_SECRET_ID", "AKIDEXAMPLE"), ("TENCENTCLOUD_SECRET_KEY", "KEYEXAMPLE")];

const SCF: [(&str, &str); 3] = [
    ("TENCENTCLOUD_SECRETID", "AKIDSCF"),
    ("TENCENTCLOUD_SECRETKEY", "KEYSCF"),
    ("TENCENTCLOUD_SESSIONTOKEN", "TOKENSCF"),
];

fn client(vars: &[&[(&str, &str)]]) -> Client {
    Client::new(context(&vars.concat(), Wall::new().clock()))
}

/// Sends one message with these variables and returns the request.
async fn sent(vars: &[&[(&str, &str)]]) -> Seen {
    let server = Server::start([ok(STORED)]).await;
    let own = [("TDMQ_ENDPOINT", server.url.as_str()), ("TENCENTCLOUD_REGION", "ap-guangzhou")];
    let client = client(&[&own, vars.concat().as_slice()]);
    client.send(&message("pulsar-abc/ns/t", "hello TDMQ"), seconds(10)).await.unwrap();
    server.seen().remove(0)
}

#[tokio::test(start_paused = true)]
async fn a_message_is_stored() {
    let server = Server::start([ok(STORED), ok(STORED)]).await;
    let client = client(&[&SDK, &[("TDMQ_ENDPOINT", &server.url), ("TDMQ_REGION", "ap-guangzhou")]]);
    assert_eq!(client.problems(), []);
    let message = message("pulsar-a/ns/t", "hello");
    let receipt = client.send(&message, seconds(10)).await.unwrap();
    assert_eq!((receipt.message_id.as_str(), receipt.attempts), ("71:11:0:0", 1));
    assert_eq!(receipt.request_id.as_deref(), Some("r-1"));
    client.clone().send(&message, seconds(10)).await.unwrap();
    assert_eq!(server.connections(), 1, "clones share the connection");
}

#[tokio::test(start_paused = true)]
async fn the_request_is_what_the_vendors_sdk_sends() {
    let seen = sent(&[&SDK, &[("TDMQ_SEND_TIMEOUT", "off")]]).await;
    let captures: Value = serde_json::from_str(include_str!("../vectors/sdk_wire_captures.json")).unwrap();
    let sdk = &captures["captures"]["tencent_python_sdk"][0];
    assert_eq!(seen.line, sdk["request_line"].as_str().unwrap());
    assert_eq!(
        seen.json().to_string(),
        serde_json::from_str::<Value>(sdk["body"].as_str().unwrap()).unwrap().to_string()
    );
    for name in ["X-TC-Action", "X-TC-Version", "X-TC-Region"] {
        assert_eq!(seen.header(name), sdk["headers"][name].as_str(), "{name}");
    }
    assert_eq!(seen.header("x-tc-timestamp"), Some("1700000000"));
    assert_eq!(seen.header("x-tc-language"), Some("en-US"));
    assert_eq!(seen.header("x-tc-token"), None);
}

#[tokio::test(start_paused = true)]
async fn what_is_signed_is_what_is_sent() {
    let seen = sent(&[&SDK]).await;
    let headers =
        [("content-type", seen.header("content-type").unwrap()), ("host", seen.header("host").unwrap())];
    let head = sign::Head { service: "tdmq", headers: &headers, body: seen.body.as_bytes() };
    let credentials =
        Credentials { id: "AKIDEXAMPLE".to_owned(), key: Secret::new("KEYEXAMPLE"), token: None };
    let signature = sign::sign(&head, &credentials, Timestamp::from_unix(1_700_000_000));
    assert_eq!(seen.header("authorization"), Some(signature.authorization.as_str()));
}

#[tokio::test(start_paused = true)]
async fn id_key_and_token_are_of_one_family() {
    let id = |seen: &Seen| {
        let authorization = seen.header("authorization").unwrap();
        authorization.split_once("Credential=").unwrap().1.split_once('/').unwrap().0.to_owned()
    };
    let seen = sent(&[&SDK, &SCF]).await;
    assert_eq!((id(&seen).as_str(), seen.header("x-tc-token")), ("AKIDEXAMPLE", None));
    let seen = sent(&[&SCF, &[("TENCENTCLOUD_TOKEN", "STRAY")]]).await;
    assert_eq!((id(&seen).as_str(), seen.header("x-tc-token")), ("AKIDSCF", Some("TOKENSCF")));
    let seen = sent(&[&SDK, &[("TENCENTCLOUD_TOKEN", "env:T"), ("T", "TOKEN")]]).await;
    assert_eq!((id(&seen).as_str(), seen.header("x-tc-token")), ("AKIDEXAMPLE", Some("TOKEN")));

    // An incomplete family of variables is a mistake, not a reason to use the other family.
    let problems = client(&[&SCF, &SDK[..1], &[("TDMQ_REGION", "ap-guangzhou")]]).problems();
    assert_eq!(problems.iter().map(|p| p.variable).collect::<Vec<_>>(), ["TENCENTCLOUD_SECRET_KEY"]);
}

#[tokio::test(start_paused = true)]
async fn the_topics_region_wins_over_an_injected_one() {
    let seen = sent(&[&SDK, &[("TDMQ_REGION", "eu-frankfurt")]]).await;
    assert_eq!(seen.header("x-tc-region"), Some("eu-frankfurt"));
}

#[tokio::test(start_paused = true)]
async fn the_server_gives_up_before_we_do() {
    // An attempt gets two thirds of the ten seconds.
    assert_eq!(
        sent(&[&SDK]).await.json(),
        json!({"Topic": "pulsar-abc/ns/t", "Payload": "hello TDMQ", "SendTimeout": 6})
    );
    assert_eq!(sent(&[&SDK, &[("TDMQ_SEND_TIMEOUT", "off")]]).await.json().get("SendTimeout"), None);
}

#[tokio::test]
async fn every_problem_is_named() {
    let names =
        |vars: &[(&str, &str)]| client(&[vars]).problems().iter().map(|p| p.variable).collect::<Vec<_>>();
    assert_eq!(names(&[]), ["TDMQ_REGION", "TENCENTCLOUD_SECRET_ID"]);
    let region = ("TDMQ_REGION", "ap-guangzhou");
    for (wrong, variable) in [
        (("TDMQ_ENDPOINT", "http://tdmq.tencentcloudapi.com"), "TDMQ_ENDPOINT"),
        (("TDMQ_ENDPOINT", "https://tdmq.tencentcloudapi.com/v3"), "TDMQ_ENDPOINT"),
        (("TDMQ_SEND_TIMEOUT", "5"), "TDMQ_SEND_TIMEOUT"),
        (("TLS_CA_FILE", "/nonexistent"), "TLS_CA_FILE"),
        (("HTTPS_PROXY", "socks5://x:1"), "HTTPS_PROXY"),
        (("TENCENTCLOUD_TOKEN", "a b"), "TENCENTCLOUD_TOKEN"),
        (("TENCENTCLOUD_TOKEN", "\"a\""), "TENCENTCLOUD_TOKEN"),
        (("TENCENTCLOUD_SECRET_ID", "'AKIDEXAMPLE'"), "TENCENTCLOUD_SECRET_ID"),
        (("TENCENTCLOUD_TOKEN", "file:/nonexistent"), "TENCENTCLOUD_TOKEN"),
        (("TDMQ_REGION", "ap guangzhou"), "TDMQ_REGION"),
    ] {
        let mut vars = SDK.to_vec();
        vars.push(if wrong.0 == "TDMQ_REGION" { wrong } else { region });
        vars.push(wrong);
        assert_eq!(names(&vars), [variable], "{wrong:?}");
        let error = client(&[&vars]).send(&message("a/b/c", "x"), seconds(5)).await.unwrap_err();
        assert_eq!((error.class, error.attempts), (Class::Config, 0), "{wrong:?}");
        assert!(error.detail.starts_with(variable), "{error}");
    }
    let allowed = [("TDMQ_ENDPOINT", "http://tdmq.internal"), ("ALLOW_HTTP_ENDPOINTS", "1"), region];
    assert_eq!(client(&[&SDK, &allowed]).problems(), []);
}

#[tokio::test]
async fn what_cannot_be_taken_is_refused_without_asking() {
    let server = Server::start([]).await;
    let client = client(&[&SDK, &[("TDMQ_ENDPOINT", &server.url), ("TDMQ_REGION", "ap-guangzhou")]]);
    let large = "é".repeat(524_289);
    for (topic, text, class) in [
        ("a/b/c", large.as_str(), Class::TooLarge),
        ("webhooks", "x", Class::Config),
        ("a/b/c/d", "x", Class::Config),
        ("a//c", "x", Class::Config),
        ("a/b/c d", "x", Class::Config),
        ("http://a/b/c", "x", Class::Config),
        ("persistent://a/b", "x", Class::Config),
    ] {
        let error = client.send(&message(topic, text), seconds(5)).await.unwrap_err();
        assert_eq!((error.class, error.attempts, error.maybe_stored), (class, 0, false), "{topic}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn what_can_be_taken_arrives_as_it_is() {
    let largest = "\u{1}".repeat(1 << 20);
    for (topic, text) in [
        ("persistent://a/b/c", "x"),
        ("non-persistent://a/b/c", ""),
        ("a/b/c", "Grüße \u{0} \u{2028} \"\\ 🚀"),
        ("a/b/c", largest.as_str()),
    ] {
        let server = Server::start([ok(STORED)]).await;
        let client = client(&[&SDK, &[("TDMQ_ENDPOINT", &server.url), ("TDMQ_REGION", "ap-guangzhou")]]);
        client.send(&message(topic, text), seconds(10)).await.unwrap();
        let sent = server.seen()[0].json();
        assert!(sent["Topic"] == topic && sent["Payload"] == text, "{topic}");
    }
}
