//! End-to-end tests over real sockets: a request, the gateway, the vendor's emulator, the answer.

use std::future::Future;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use hookmq_emulator::{Fault, FaultKind};
use hookmq_shared::clock::{Clock, Random};
use hookmq_shared::context::Context;
use hookmq_shared::http::{Headers, Request};
use hookmq_shared::queue::{Vendor, rocketmq, tdmq};
use hookmq_shared::secret::Secret;
use hookmq_shared::source::{Draft, Settings, Source, Verdict, preset_info, preset_names};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config as Cases, TestRunner};
use serde_json::Value;

use crate::kit::source::{other_secret_for, params_for, reads_body, secret_for, verify};
use crate::kit::world::{Answer, VENDOR_SECRETS, Vendored, World, assert_never_written, is_written, topic};

const TOKEN: &str = "a-token-of-the-end-to-end-tests";
const SECRET: &str = "a-secret-of-the-end-to-end-tests";

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

/// A test module with each test for the clients of both vendors.
macro_rules! both_vendors {
    ($($(#[$doc:meta])* $test:ident),* $(,)?) => {$(
        mod $test {
            #[test]
            fn tdmq() {
                super::run(super::$test(hookmq_shared::queue::tdmq::Client::new));
            }

            #[test]
            fn rocketmq() {
                super::run(super::$test(hookmq_shared::queue::rocketmq::Client::new));
            }
        }
    )*};
}

both_vendors!(
    every_source_is_carried,
    every_body_is_carried,
    every_refusal_has_its_answer,
    a_lost_answer_is_a_repeat_under_one_id,
    a_refused_key_is_left_alone,
);

fn hook<Q: Vendored>(name: &str, rest: &str) -> String {
    let topic = topic(Q::VENDOR);
    format!(
        "[hooks.{name}]\nsource = \"bearer\"\nsecrets = [\"plain:{TOKEN}\"]\ntopic = \"{topic}\"\n{rest}\n"
    )
}

fn headers(more: &[(&str, &str)]) -> Headers {
    let token = format!("Bearer {TOKEN}");
    let own = [("authorization", token.as_str()), ("content-type", "application/json")];
    let own = own.into_iter().filter(|(name, _)| !more.iter().any(|(other, _)| other == name));
    own.chain(more.iter().copied()).map(|(n, v)| (n, Bytes::copy_from_slice(v.as_bytes()))).collect()
}

/// Returns a secret that the preset takes, and the secret that signs for it.
fn secrets(preset: &str) -> (String, String) {
    let signing = secret_for(preset);
    let public = signer(preset, &signing).public_key(0);
    (public.unwrap_or_else(|| signing.clone()), signing)
}

fn signer(preset: &str, secret: &str) -> Source {
    let secrets = if preset == "none" { Vec::new() } else { vec![Secret::new(secret)] };
    let params = params_for(preset);
    Source::preset(preset, Settings { secrets, url: Some(URL.to_owned()), params }).unwrap()
}

/// Public URL of the hook, for providers that sign it.
const URL: &str = "https://hooks.example.com/h";

async fn every_source_is_carried<Q: Vendored>(queue: fn(Context) -> Q) {
    let mut signers = Vec::new();
    for preset in preset_names() {
        let (secret, signing) = secrets(preset);
        let list = if preset == "none" { String::new() } else { format!("{:?}", format!("plain:{secret}")) };
        let params: Vec<String> =
            params_for(preset).iter().map(|(k, v)| format!("{k} = \"plain:{v}\"")).collect();
        let params = params.join(", ");
        let topic = topic(Q::VENDOR);
        let receiver = signer(preset, &secret);
        let hooks = format!(
            "[hooks.h]\nsource = \"{preset}\"\nsecrets = [{list}]\ntopic = \"{topic}\"\nurl = \"{URL}\"\n\
             params = {{ {params} }}\n{}",
            if receiver.decrypts() { "keep_original = true\n" } else { "" },
        );
        let world = World::start(&hooks, queue).await;
        let draft = Draft { path: "/h".into(), ..Draft::default() };
        let request =
            signer(preset, &signing).sign(draft, 0, Clock::system().now(), &Random::system()).unwrap();
        let info = preset_info(preset).unwrap();

        if preset != "none" {
            let signs_bytes = info.covers_body && !receiver.decrypts() && !reads_body(preset);
            let forged = forge(preset, &request, signs_bytes);
            let answer = world.deliver(&forged).await;
            assert_eq!(answer.status, info.refusal, "{preset}");
            assert!(world.messages().is_empty(), "{preset}");
        }
        let answer = world.deliver(&request).await;
        assert!((200..300).contains(&answer.status), "{preset}: {answer:?}");
        let message = world.message();
        let id = answer.headers.get("x-hookmq-message-id").unwrap();
        assert_eq!(id.to_str().unwrap(), message.message_id, "{preset}");

        let event: Value = serde_json::from_str(&message.text).unwrap();
        let mut body = String::from_utf8(request.body.to_vec()).unwrap();
        let mut is_json = request.headers.one("content-type").is_some_and(|t| t.ends_with(b"json"));
        let original = receiver.decrypts().then(|| BASE64_STANDARD.encode(&body));
        assert_eq!(event["webhookoriginal"].as_str(), original.as_deref(), "{preset}");
        // An encrypted body is delivered decrypted, and a body that is a token as its claims; unsigned members of
        // a JSON body are not delivered.
        let is_token = verify(preset)["from"] == "body";
        if receiver.decrypts() || is_token || info.data.contains("{fieldlines:") {
            let Verdict::Verified(delivery) = receiver.check("h", request, Clock::system().now()) else {
                panic!("{preset}")
            };
            body = String::from_utf8(delivery.body.to_vec()).unwrap();
            is_json = delivery.content_type.clone().is_some_and(|t| t.ends_with("json"));
        }
        // A token in the body is the secret itself, which is never delivered.
        let carried = if info.kind == "token" { body.replace(&secret, "[verified]") } else { body };
        let carried = if is_json { carried } else { Value::from(carried).to_string() };
        assert!(message.text.ends_with(&format!(r#","data":{carried}}}"#)), "{preset}: {}", message.text);
        let verified = match info.kind {
            "none" => "none",
            _ if info.covers_body => "body",
            _ => "request",
        };
        assert_eq!(event["webhookverified"], verified, "{preset}");
        if Q::VENDOR == Vendor::Rocketmq {
            assert_eq!(event["id"], message.properties["KEYS"], "{preset}");
            assert_eq!(event["type"], message.properties["CE_type"], "{preset}");
        }
        signers.push(signing);
    }
    assert_never_written(&signers.iter().map(String::as_str).collect::<Vec<_>>());
    assert_never_written(&VENDOR_SECRETS);
}

/// Forges a request with a longer body or, if not every byte of the body is signed, with another secret.
fn forge(preset: &str, request: &Request, signs_bytes: bool) -> Request {
    if signs_bytes {
        return Request { body: [&request.body[..], b" "].concat().into(), ..request.clone() };
    }
    let draft = Draft { path: request.path.clone(), ..Draft::default() };
    let stranger = signer(preset, &other_secret_for(preset));
    stranger.sign(draft, 0, Clock::system().now(), &Random::system()).unwrap()
}

async fn every_body_is_carried<Q: Vendored>(queue: fn(Context) -> Q) {
    let hooks = hook::<Q>("enveloped", "") + &hook::<Q>("raw", "format = \"raw\"");
    let world = World::start(&hooks, queue).await;
    let text = ".{0,80}".prop_map(String::into_bytes);
    let bytes = proptest::collection::vec(any::<u8>(), 0..80);
    let json =
        r#"[ \n]?(\{"a":(1|"[^"\\\x00-\x1f]{0,9}"|\[\])\}|null|-0\.5e9)[ \t]?"#.prop_map(String::into_bytes);
    let content_type = prop_oneof![
        Just("application/json".to_owned()),
        Just("application/x+json; charset=utf-8".to_owned()),
        Just("text/plain".to_owned()),
        "[a-z]{1,9}/[a-z]{1,9}",
    ];
    let cases = (prop_oneof![text, bytes, json], content_type);
    let mut runner = TestRunner::new(Cases { cases: 100, failure_persistence: None, ..Cases::default() });
    // The runner is not asynchronous, so it only generates the cases.
    for _ in 0..runner.config().cases {
        let (body, content_type) = cases.new_tree(&mut runner).unwrap().current();
        let headers = headers(&[("content-type", &content_type)]);
        let case = format!("{content_type}: {body:?}");

        world.emulator.clear();
        let answer = world.send("POST", "/enveloped", &headers, body.clone()).await;
        assert_eq!(answer.status, 200, "{case}: {answer:?}");
        assert_eq!(body_of(&world.message().text, &body), body, "{case}");

        world.emulator.clear();
        let answer = world.send("POST", "/raw", &headers, body.clone()).await;
        match std::str::from_utf8(&body) {
            Ok(text) if !text.is_empty() => {
                assert_eq!(answer.status, 200, "{case}: {answer:?}");
                assert_eq!(world.message().text, text, "{case}");
            }
            _ => {
                assert_eq!((answer.status, world.messages().len()), (422, 0), "{case}");
            }
        }
    }
}

/// Extracts the body from an envelope.
fn body_of(envelope: &str, sent: &[u8]) -> Vec<u8> {
    let event: Value = serde_json::from_str(envelope).unwrap();
    if let Some(base64) = event["data_base64"].as_str() {
        return BASE64_STANDARD.decode(base64).unwrap();
    }
    let media_type = event["datacontenttype"].as_str().unwrap().split(';').next().unwrap().trim();
    if media_type.ends_with("json") {
        // JSON data is verbatim, and the last member.
        let data = envelope.strip_suffix('}').unwrap();
        return data.as_bytes()[data.len() - sent.len()..].to_vec();
    }
    event["data"].as_str().unwrap().as_bytes().to_vec()
}

async fn every_refusal_has_its_answer<Q: Vendored>(queue: fn(Context) -> Q) {
    let other = if Q::VENDOR == Vendor::Tdmq { "other_vendor" } else { "other/vendors/topic" };
    let hooks = [
        hook::<Q>("plain", ""),
        hook::<Q>("small", "max_body = 10"),
        hook::<Q>("tagged", "tag = \"{header:X-Tag}\""),
        hook::<Q>("keyed", "key = \"{json:order.id}\""),
        hook::<Q>("routed", "").replace("test\"", "{json:to}-x\""),
        hook::<Q>("elsewhere", "").replace(topic(Q::VENDOR), other),
        hook::<Q>("broken", "frmat = \"raw\""),
        "[hooks.stripe]\nsource = \"stripe\"\nsecrets = [\"plain:SECRET\"]\ntopic = \"TOPIC\"\n"
            .replace("SECRET", SECRET)
            .replace("TOPIC", topic(Q::VENDOR)),
        "[hooks.github]\nsource = \"github\"\nsecrets = [\"plain:SECRET\"]\nevents = [\"push\"]\ntopic = \"TOPIC\"\n"
            .replace("SECRET", SECRET)
            .replace("TOPIC", topic(Q::VENDOR)),
    ]
    .concat();
    let world = World::start(&hooks, queue).await;
    let good = headers(&[]);
    let nobody = headers(&[("authorization", "Bearer guess")]);
    let none: Headers = [("content-type", "text/plain")].into_iter().collect();
    let mut twice = headers(&[]);
    twice.push("authorization", format!("Bearer {TOKEN}"));
    let many: Headers = (0..200).map(|i| (format!("x-{i}"), "1")).collect();
    let two_mib = vec![b'x'; 2 << 20];
    let five_mib = vec![b'x'; 5 << 20];
    let seven_mib = vec![b'x'; 7 << 20];
    let too_large_for_tdmq = if Q::VENDOR == Vendor::Tdmq { 413 } else { 200 };
    // A RocketMQ topic has at most 64 characters.
    let too_long = if Q::VENDOR == Vendor::Tdmq { 200 } else { 422 };
    let table: Vec<(&str, &str, &Headers, &[u8], u16)> = vec![
        ("POST", "/plain", &good, b"{}", 200),
        ("POST", "/plain/", &good, b"{}", 200),
        ("POST", "/plain?x=1", &good, b"", 200),
        ("POST", "/plain", &nobody, b"{}", 401),
        ("POST", "/plain", &none, b"{}", 401),
        ("POST", "/plain", &twice, b"{}", 401),
        ("POST", "/plain", &many, b"{}", 431),
        ("GET", "/plain", &good, b"", 405),
        ("OPTIONS", "/plain", &good, b"", 405),
        ("POST", "/", &good, b"{}", 404),
        ("POST", "/PLAIN", &good, b"{}", 404),
        ("POST", "/plain/x", &good, b"{}", 404),
        ("POST", "/%70lain", &good, b"{}", 404),
        ("POST", "/small", &good, b"0123456789", 200),
        ("POST", "/small", &good, b"0123456789a", 413),
        ("POST", "/plain", &good, &two_mib, too_large_for_tdmq),
        ("POST", "/plain", &good, &five_mib, 413),
        ("POST", "/plain", &good, &seven_mib, 413),
        ("POST", "/elsewhere", &good, b"{}", 503),
        ("POST", "/broken", &good, b"{}", 503),
        ("POST", "/tagged", &good, b"{}", 422),
        ("POST", "/keyed", &good, br#"{"order":{}}"#, 422),
        ("POST", "/keyed", &good, b"no json", 422),
        ("POST", "/keyed", &good, br#"{"order":{"id":"a b"}}"#, 200),
        ("POST", "/routed", &good, br#"{"to":"a/b"}"#, 422),
        ("POST", "/routed", &good, br#"{"to":"\u0000"}"#, 422),
        ("POST", "/routed", &good, br#"{"to":"ok"}"#, 200),
        ("POST", "/routed", &good, format!(r#"{{"to":"{}"}}"#, "x".repeat(64)).leak().as_bytes(), too_long),
    ];
    let mut stored = 0;
    for (method, target, headers, body, status) in table {
        let answer = world.send(method, target, headers, body.to_vec()).await;
        let case = format!("{method} {target} with {} bytes", body.len());
        assert_eq!(answer.status, status, "{case}: {answer:?}");
        stored += usize::from(status == 200);
        assert_eq!(world.messages().len(), stored, "{case}");
        if status != 200 {
            check_problem(&answer, &case);
        }
    }
    let tag = world.send("POST", "/tagged", &headers(&[("x-tag", "a b")]), "{}").await;
    assert_eq!(tag.status, 422);

    // An event that the hook does not want is acknowledged and dropped.
    let sign = |event: &str| {
        let draft = Draft { path: "/github".into(), event: Some(event.into()), ..Draft::default() };
        signer("github", SECRET).sign(draft, 0, Clock::system().now(), &Random::system()).unwrap()
    };
    let answer = world.deliver(&sign("fork")).await;
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("\"status\":\"ignored\"") && world.messages().len() == stored);
    // A control character cannot become part of an attribute.
    let mut odd = sign("push");
    odd.headers =
        odd.headers.iter().filter(|(n, _)| *n != "x-github-event").map(|(n, v)| (n, v.to_vec())).collect();
    odd.headers.push("x-github-event", "push\tx");
    let answer = world.deliver(&odd).await;
    assert!(answer.text().contains("\"status\":\"ignored\""), "{answer:?}");
    // A name of an event that is as long as a body becomes no attribute, and is not logged.
    let endless = "z".repeat(2000);
    let body = Some(format!(r#"{{"id":"1","type":"{endless}"}}"#).into());
    let draft = Draft { path: "/stripe".into(), body, ..Draft::default() };
    let signed = signer("stripe", SECRET).sign(draft, 0, Clock::system().now(), &Random::system()).unwrap();
    assert_eq!(world.deliver(&signed).await.status, 422);
    assert_never_written(&[TOKEN, SECRET, &endless]);
    assert_never_written(&VENDOR_SECRETS);
}

/// Checks the form of a refusal, which is the same for all; a 401 does not reveal its cause.
fn check_problem(answer: &Answer, case: &str) {
    assert_eq!(answer.headers["content-type"], "application/problem+json", "{case}");
    let problem: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(problem["status"], answer.status, "{case}");
    assert!(problem["instance"].as_str().unwrap().starts_with("urn:uuid:"), "{case}");
    match answer.status {
        401 => {
            assert!(answer.headers.contains_key("www-authenticate"), "{case}");
            assert_eq!(problem["type"], "urn:hookmq:problem:unauthorized", "{case}");
        }
        405 => assert_eq!(answer.headers["allow"], "POST", "{case}"),
        503 => assert!(answer.headers.contains_key("retry-after"), "{case}"),
        _ => {}
    }
}

async fn a_lost_answer_is_a_repeat_under_one_id<Q: Vendored>(queue: fn(Context) -> Q) {
    let world = World::start(&hook::<Q>("h", "deadline = \"3s\""), queue).await;
    for lost in [FaultKind::StoredReset, FaultKind::Truncate] {
        world.emulator.clear();
        world.emulator.set_faults(vec![Fault::new(lost.clone())]);
        let answer = world.send("POST", "/h", &headers(&[]), "{\"n\":1}").await;
        assert_eq!(answer.status, 200, "{lost:?}");
        let id = serde_json::from_str::<Value>(answer.text()).unwrap()["id"].clone();
        let ids: Vec<Value> = world
            .messages()
            .iter()
            .map(|message| serde_json::from_str::<Value>(&message.text).unwrap()["id"].clone())
            .collect();
        assert_eq!(ids, [id.clone(), id], "{lost:?}");
    }
    // The vendor stores the message and never answers: a 503, and the sender's retry has the same id.
    world.emulator.clear();
    world.emulator.set_faults(vec![Fault::new(FaultKind::StoredNoAnswer).times(0)]);
    let answer = world.send("POST", "/h", &headers(&[]), "{\"n\":1}").await;
    assert_eq!(answer.status, 503);
    world.emulator.set_faults(Vec::new());
    let answer = world.send("POST", "/h", &headers(&[]), "{\"n\":1}").await;
    assert_eq!(answer.status, 200);
    let ids: Vec<Value> = world
        .messages()
        .iter()
        .map(|m| serde_json::from_str::<Value>(&m.text).unwrap()["id"].clone())
        .collect();
    assert!(ids.len() >= 2 && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

async fn a_refused_key_is_left_alone<Q: Vendored>(queue: fn(Context) -> Q) {
    let world = World::start(&hook::<Q>("h", ""), queue).await;
    let (code, status) = if Q::VENDOR == Vendor::Tdmq {
        ("AuthFailure.SignatureFailure", None)
    } else {
        ("APIG.0301", http::StatusCode::from_u16(401).ok())
    };
    let message = Some("verify aksk signature fail".to_owned());
    let headers_of_vendor = http::HeaderMap::new();
    let fault =
        FaultKind::Error { code: code.into(), status, message, headers: headers_of_vendor, stored: false };
    world.emulator.set_faults(vec![Fault::new(fault).times(0)]);
    for _ in 0..10 {
        let answer = world.send("POST", "/h", &headers(&[]), "{}").await;
        assert_eq!(answer.status, 503);
    }
    assert_eq!(world.emulator.requests().len(), 1, "five wrong signatures lock a key for everybody");
}

/// An answer meets the sender's deadline even if the vendor never answers.
#[test]
fn a_stalled_vendor_does_not_stall_the_sender() {
    run(async {
        let hooks = hook::<tdmq::Client>("h", "deadline = \"1s\"");
        let world = World::start(&hooks, tdmq::Client::new).await;
        world.emulator.set_faults(vec![Fault::new(FaultKind::Hang).times(0)]);
        let request = headers(&[]);
        let answer = world.send("POST", "/h", &request, "{}");
        let answer = tokio::time::timeout(Duration::from_secs(30), answer).await.unwrap();
        assert_eq!(answer.status, 503);
        assert!(world.messages().is_empty());
    });
}

/// The reason of a 503 names the queue's failure, and the wrong setting of the store beside it.
#[test]
fn a_store_that_cannot_be_used_is_named_beside_the_failure() {
    run(async {
        let hooks = hook::<tdmq::Client>("h", "deadline = \"1s\"");
        let wrong = [("SPILL_URL", "gs://bucket")];
        let world = World::start_with(&hooks, &wrong, tdmq::Client::new).await;
        world.emulator.set_faults(vec![Fault::new(FaultKind::Hang).times(0)]);
        assert_eq!(world.send("POST", "/h", &headers(&[]), "{}").await.status, 503);
        assert!(is_written("no answer in time; SPILL_URL cannot be used, so there is no store"));
    });
}

/// A body that arrives after the sender's deadline is not stored, because the sender would send it again.
#[test]
fn a_slow_body_is_on_the_senders_time() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    run(async {
        let world = World::start(&hook::<tdmq::Client>("h", "deadline = \"500ms\""), tdmq::Client::new).await;
        let mut stream = tokio::net::TcpStream::connect(world.address).await.unwrap();
        let head =
            format!("POST /h HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: 2\r\n");
        stream.write_all(format!("{head}connection: close\r\n\r\n").as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(700)).await;
        stream.write_all(b"{}").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(world.messages().is_empty());
    });
}

#[test]
fn an_iam_token_is_fetched_once_and_again_when_it_must_be_updated() {
    run(async {
        use hookmq_emulator::sample;
        let queue = |context: Context| {
            let with_aksk = context.env.clone();
            let url = with_aksk.get("ROCKETMQ_ENDPOINT").unwrap();
            let env = hookmq_shared::env::Env::of([
                ("OS_AUTH_URL", format!("{url}/v3")),
                ("OS_USERNAME", sample::USERNAME.to_owned()),
                ("OS_PASSWORD", sample::PASSWORD.to_owned()),
                ("OS_USER_DOMAIN_NAME", sample::DOMAIN.to_owned()),
                ("OS_PROJECT_NAME", sample::PROJECT_NAME.to_owned()),
                ("ROCKETMQ_ENDPOINT", url),
                ("ROCKETMQ_INSTANCE_ID", sample::INSTANCE_ID.to_owned()),
            ]);
            rocketmq::Client::new(Context { env, ..context })
        };
        let world = World::start(&hook::<rocketmq::Client>("h", ""), queue).await;
        for expected in [2, 3] {
            let answer = world.send("POST", "/h", &headers(&[]), "{}").await;
            assert_eq!((answer.status, world.emulator.requests().len()), (200, expected));
        }
        world.emulator.set_faults(vec![Fault::new(FaultKind::OutdateTokens)]);
        let answer = world.send("POST", "/h", &headers(&[]), "{}").await;
        // The first request is refused, a new token is fetched, and the message is sent again.
        assert_eq!((answer.status, world.emulator.requests().len()), (200, 6));
        assert_eq!(world.messages().len(), 3);
        assert_never_written(&[sample::PASSWORD]);
    });
}

/// A request of a sender that disconnects is finished and logged, because its message may be stored.
#[test]
fn an_abandoned_request_is_logged() {
    run(async {
        use tokio::io::AsyncWriteExt as _;
        let world =
            World::start(&hook::<tdmq::Client>("abandoned", "deadline = \"1s\""), tdmq::Client::new).await;
        world.emulator.set_faults(vec![Fault::new(FaultKind::Hang).times(0)]);
        let mut sender = tokio::net::TcpStream::connect(world.address).await.unwrap();
        let request = format!(
            "POST /abandoned HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: 2\r\n\r\n{{}}"
        );
        sender.write_all(request.as_bytes()).await.unwrap();
        while world.emulator.requests().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        sender.set_zero_linger().unwrap();
        drop(sender);
        while !is_written("\"hook\":\"abandoned\"") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
}
