//! Tests of every Lambda trigger's events, as tables: the requests in them, and the answers to them.

use std::fs;

use aws_lambda_events::alb::AlbTargetGroupResponse;
use aws_lambda_events::apigw::{ApiGatewayProxyResponse, ApiGatewayV2httpResponse};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hookmq_shared::clock::Timestamp;
use hookmq_shared::host::cloud::CLOUDS;
use hookmq_shared::host::trigger::{EventError, Incoming, Invocation, Trigger, read, read_as, read_bytes};
use hookmq_shared::http::{Request, Response};
use hookmq_shared::secret::Secret;
use hookmq_shared::source::{Settings, Source, Verdict};
use proptest::prelude::*;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};

const INVOCATION_ID: &str = "8476a536-e9f4-11e8-9739-2dfe598c3fcd";

#[derive(Deserialize)]
struct Table<C> {
    cases: Vec<C>,
}

/// A test case; its event is kept as text, because a JSON tree would drop duplicate keys.
#[derive(Deserialize)]
struct Case {
    name: String,
    event: Box<RawValue>,
    expect: Expect,
}

#[derive(Deserialize)]
struct Expect {
    trigger: String,
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
    body_base64: Option<String>,
    request_id: Option<String>,
    #[serde(default)]
    refused: bool,
}

fn table<C: DeserializeOwned>(name: &str) -> Vec<C> {
    let path = format!("{}/tests/vectors/host/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let cases = serde_json::from_str::<Table<C>>(&fs::read_to_string(path).unwrap()).unwrap().cases;
    assert!(!cases.is_empty());
    cases
}

fn read_event(event: &str) -> Result<Incoming, EventError> {
    read(event, Invocation { request_id: INVOCATION_ID.to_owned(), deadline: None })
}

fn read_request(event: &str) -> Request {
    read_event(event).unwrap().request.unwrap()
}

/// The request is served, whatever a stranger's header field makes of the event. A request that cannot be
/// served is a 400, which raises no alarm.
#[test]
fn what_is_no_text_is_repaired_or_refused_and_rings_no_alarm() {
    let event = |value: &str| {
        format!(r#"{{"httpMethod":"POST","path":"/h","headers":{{"x-a":{value}}},"requestContext":{{}}}}"#)
    };
    for (stranger, read) in [
        (r#""\ud800""#, Some("\u{fffd}")),
        (r#""\udc00\ud800""#, Some("\u{fffd}\u{fffd}")),
        (r#""\ud83d\ude00""#, Some("\u{1f600}")),
        ("\"a\u{1}b\"", Some("a\u{1}b")),
        (r#""\x""#, Some("\\x")),
        (r#""Zo\xEB""#, Some("Zoë")),
        ("7", Some("7")),
        ("-1.5", Some("-1.5")),
        ("true", Some("true")),
        (r#"["a"]"#, Some("a")),
        (r#"[["a"], null]"#, Some("a")),
        ("null", None),
        ("[]", None),
        (r#"{"a":1}"#, None),
    ] {
        let request = read_request(&event(stranger));
        assert_eq!(request.headers.one_str("x-a"), read, "{stranger}");
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/h"));
    }
    let raw = event("\"Zo@\"")
        .into_bytes()
        .into_iter()
        .map(|b| if b == b'@' { 0xeb } else { b })
        .collect::<Vec<_>>();
    for cloud in CLOUDS {
        let invocation = Invocation { request_id: INVOCATION_ID.to_owned(), deadline: None };
        let incoming = read_bytes(cloud, &raw, invocation).unwrap();
        assert!(incoming.is_changed);
        assert_eq!(incoming.request.unwrap().headers.one_str("x-a"), Some("Zoë"));
    }
    for broken in [
        r#"{"httpMethod":"POST","path":"/a","body":"trunc"#,
        r#"{"httpMethod":"POST","path":"/a"} {}"#,
        r#"{"httpMethod":"POST","path":"/a","body":"\ud800"}"#,
        r#"{"httpMethod":"POST","path":"/\ud800"}"#,
    ] {
        assert_eq!(read_event(broken).unwrap().request.unwrap_err().status, 400, "{broken}");
    }
}

fn trigger(name: &str) -> Trigger {
    match name {
        "http-api" => Trigger::HttpApi,
        "rest-api-multi" => Trigger::RestApi { multi_value: true },
        "rest-api-single" => Trigger::RestApi { multi_value: false },
        "alb-multi" => Trigger::Alb { multi_value: true },
        "alb-single" => Trigger::Alb { multi_value: false },
        _ => panic!("{name}"),
    }
}

#[test]
fn events_become_requests() {
    for file in ["http_api", "rest_api", "alb"] {
        for Case { name, event, expect } in table(file) {
            let case = format!("{file}: {name}");
            let incoming = read_event(event.get()).unwrap_or_else(|e| panic!("{case}: {e}"));
            assert_eq!(incoming.trigger, trigger(&expect.trigger), "{case}");
            let request = match incoming.request {
                Ok(request) => request,
                Err(refusal) => {
                    assert!(expect.refused, "{case}");
                    assert_eq!(refusal.status, 400, "{case}");
                    assert!(refusal.body.contains("malformed-request"), "{case}");
                    continue;
                }
            };
            assert!(!expect.refused, "{case}");
            assert_eq!(request.method, expect.method, "{case}");
            assert_eq!(request.path, expect.path, "{case}");
            assert_eq!(request.raw_query, expect.query, "{case}");
            let headers: Vec<_> = request
                .headers
                .iter()
                .map(|(name, value)| (name.to_owned(), String::from_utf8(value.to_vec()).unwrap()))
                .collect();
            assert_eq!(headers, expect.headers, "{case}");
            let body = match (expect.body, expect.body_base64) {
                (Some(text), None) => text.into_bytes(),
                (None, Some(encoded)) => BASE64_STANDARD.decode(encoded).unwrap(),
                _ => panic!("{case}: expects one body"),
            };
            assert_eq!(request.body, body, "{case}");
            assert_eq!(request.request_id, expect.request_id.as_deref().unwrap_or(INVOCATION_ID), "{case}");
        }
    }
}

/// The source address comes from the platform, never from header fields, which anybody can send.
#[test]
fn the_source_address_is_the_platforms_own() {
    let forged =
        json!({"x-forwarded-for": "192.0.2.7", "forwarded": "for=192.0.2.7", "x-real-ip": "192.0.2.7"});
    let http = |ip: Value| json!({"http": {"method": "POST", "sourceIp": ip}});
    let identity = |ip: Value| json!({"identity": {"sourceIp": ip}});
    for (context, want) in [
        (http(json!("203.0.113.9")), Some("203.0.113.9")),
        (http(json!("2001:db8::1")), Some("2001:db8::1")),
        (http(json!("203.0.113.9, 192.0.2.7")), None),
        (http(json!("")), None),
        (http(Value::Null), None),
        (identity(json!("203.0.113.9")), Some("203.0.113.9")),
        (identity(json!("test-invoke-source-ip")), None),
        (json!({}), None),
        (json!({"elb": {}, "identity": {"sourceIp": "203.0.113.9"}}), None),
    ] {
        let is_v2 = context.get("http").is_some();
        let mut event = json!({"headers": forged, "requestContext": context});
        event[if is_v2 { "rawPath" } else { "path" }] = json!("/a");
        if !is_v2 {
            event["httpMethod"] = json!("POST");
        }
        let source_ip = read_request(&event.to_string()).source_ip.map(|ip| ip.to_string());
        assert_eq!(source_ip.as_deref(), want, "{event}");
    }
}

#[test]
fn what_is_no_http_request_is_a_function_error_only_if_something_is_lost() {
    #[derive(Deserialize)]
    struct Case {
        becomes: String,
        event: String,
    }
    for Case { becomes, event } in table("not_http") {
        let became = match read_event(&event).map(|incoming| incoming.request.map_err(|answer| answer.status))
        {
            Ok(Err(200)) => "ping",
            Ok(Err(400)) => "refused",
            Ok(other) => panic!("{event}: {other:?}"),
            Err(error) => {
                assert_eq!(error.error_type(), "Hookmq.UnsupportedEvent");
                "error"
            }
        };
        assert_eq!(became, becomes, "{event}");
    }
}

/// The same GitHub-style delivery is read as it was signed from many gateways' events, including those of
/// other clouds, and an event with a lost or doubled part is refused.
#[test]
fn gateway_envelopes_are_opened_without_loss() {
    #[derive(Deserialize)]
    struct Case {
        name: String,
        event: Box<RawValue>,
        secret: String,
        decoded_body_b64: String,
        expect: String,
    }
    let mut accepted = 0;
    for Case { name, event, secret, decoded_body_b64, expect } in table::<Case>("gateway_envelopes") {
        let settings = Settings { secrets: vec![Secret::new(secret)], ..Settings::default() };
        let github = Source::preset("github", settings).unwrap();
        let verdict = match read_event(event.get()).map(|incoming| incoming.request) {
            Ok(Ok(request)) => github.check("h", request, Timestamp::from_unix(0)),
            Ok(Err(refusal)) => {
                assert_eq!((refusal.status, expect.as_str()), (400, "reject"), "{name}");
                continue;
            }
            Err(error) => panic!("{name}: {error}"),
        };
        match verdict {
            Verdict::Verified(delivery) => {
                assert_eq!(delivery.body, BASE64_STANDARD.decode(decoded_body_b64).unwrap(), "{name}");
                assert_eq!(delivery.event.as_deref(), Some("push"), "{name}");
                assert_ne!(expect, "reject", "{name}");
                accepted += 1;
            }
            Verdict::Rejected(_) => assert_eq!(expect, "reject", "{name}"),
            other => panic!("{name}: {other:?}"),
        }
    }
    assert_eq!(accepted, 9);
}

#[test]
fn many_headers_and_large_bodies_arrive() {
    let headers: serde_json::Map<_, _> = (0..10_000).map(|i| (format!("X-{i:05}"), json!(["v"]))).collect();
    let event = json!({"httpMethod": "POST", "path": "/a", "headers": {"X-00000": "v", "Y": "v"}, "multiValueHeaders": headers});
    assert_eq!(read_request(&event.to_string()).headers.len(), 10_001);

    let body = vec![0xa5; 6 << 20];
    for (text, is_base64) in [(BASE64_STANDARD.encode(&body), true), ("\u{e9}".repeat(3 << 20), false)] {
        let event = json!({"httpMethod": "POST", "path": "/a", "body": text, "isBase64Encoded": is_base64});
        let expected = if is_base64 { body.as_slice() } else { text.as_bytes() };
        assert!(read_request(&event.to_string()).body.as_ref() == expected);
    }
}

#[test]
fn answers_have_the_triggers_own_form() {
    let response = Response::new(503, "application/problem+json", r#"{"é":1}"#).with("retry-after", "5");
    let single = json!({"content-type": "application/problem+json", "retry-after": "5"});
    let multi = json!({"content-type": ["application/problem+json"], "retry-after": ["5"]});
    let answer = |name| serde_json::to_value(trigger(name).answer(&response)).unwrap();
    let rest = |headers: &Value, multi: &Value| {
        json!({"statusCode": 503, "headers": headers, "multiValueHeaders": multi, "body": r#"{"é":1}"#,
            "isBase64Encoded": false})
    };
    let with = |mut answer: Value, name: &str, value: Value| {
        answer[name] = value;
        answer
    };
    let none = json!({});
    assert_eq!(answer("http-api"), with(rest(&single, &none), "cookies", json!([])));
    assert_eq!(answer("rest-api-single"), rest(&single, &none));
    assert_eq!(answer("rest-api-multi"), rest(&none, &multi));
    let description = json!("503 Service Unavailable");
    let lattice = serde_json::to_value(Trigger::Lattice.answer(&response)).unwrap();
    let four = json!({"statusCode": 503, "headers": single, "body": r#"{"é":1}"#, "isBase64Encoded": false});
    assert_eq!(lattice, with(four.clone(), "statusDescription", json!("503 Service Unavailable")));
    assert_eq!(serde_json::to_value(Trigger::Plain.answer(&response)).unwrap(), four);
    assert_eq!(answer("alb-single"), with(rest(&single, &none), "statusDescription", description.clone()));
    assert_eq!(answer("alb-multi"), with(rest(&none, &multi), "statusDescription", description));
}

proptest! {
    /// Any event leads to an error or a request, never to a panic, and the trigger can read the answer.
    #[test]
    fn no_event_panics(event in event()) {
        for dialect in CLOUDS {
            let invocation = Invocation { request_id: INVOCATION_ID.to_owned(), deadline: None };
            let Ok(incoming) = read_as(dialect, &event, invocation) else { continue };
            let response = incoming.request.map_or_else(|refusal| refusal, |r| Response::new(200, "text/plain", r.path));
            let answer = serde_json::to_string(&incoming.trigger.answer(&response)).unwrap();
            match incoming.trigger {
                Trigger::HttpApi => drop(serde_json::from_str::<ApiGatewayV2httpResponse>(&answer).unwrap()),
                Trigger::RestApi { .. } => drop(serde_json::from_str::<ApiGatewayProxyResponse>(&answer).unwrap()),
                Trigger::Alb { .. } => drop(serde_json::from_str::<AlbTargetGroupResponse>(&answer).unwrap()),
                Trigger::Lattice | Trigger::Plain => {
                    let answer: Value = serde_json::from_str(&answer).unwrap();
                    prop_assert!(answer["headers"].as_object().unwrap().values().all(Value::is_string));
                    prop_assert!(answer["statusCode"].is_u64() && answer["body"].is_string());
                }
            }
        }
    }

    #[test]
    fn no_text_panics(text in ".*") {
        prop_assert!(!read_event(&text).is_ok_and(|incoming| incoming.request.is_ok()));
    }

    /// A body comes out as it went in, in each encoding of a trigger.
    #[test]
    fn bodies_survive(body in ".*") {
        let encoded = BASE64_STANDARD.encode(&body);
        for (text, is_base64) in [(body.as_str(), false), (encoded.as_str(), true)] {
            let event = json!({"rawPath": "/a", "requestContext": {"http": {"method": "POST"}},
                "body": text, "isBase64Encoded": is_base64});
            let request = read_request(&event.to_string());
            prop_assert_eq!(request.body.as_ref(), body.as_bytes());
        }
    }
}

/// Generates events with mostly correct field names and often wrong types.
fn event() -> impl Strategy<Value = String> {
    let names = prop::sample::select(vec![
        "rawPath",
        "rawQueryString",
        "cookies",
        "httpMethod",
        "path",
        "headers",
        "multiValueHeaders",
        "queryStringParameters",
        "multiValueQueryStringParameters",
        "body",
        "isBase64Encoded",
        "Records",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        Just(json!("eyJuIjoxfQ==")),
    ];
    let value = leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,4}", inner, 0..4).prop_map(|map| json!(map)),
        ]
    });
    let contexts = prop::sample::select(vec![
        json!(null),
        json!({"http": {"method": "POST"}, "stage": "a"}),
        json!({"elb": {}}),
        json!({"stage": "é", "path": "/é/é"}),
        json!({"requestId": INVOCATION_ID}),
    ]);
    (prop::collection::btree_map(names, value, 0..8), contexts, any::<bool>()).prop_map(
        |(fields, context, whole)| {
            let mut event = json!(fields);
            event["requestContext"] = context;
            if whole {
                event["rawPath"] = json!("/é/a");
                event["httpMethod"] = json!("POST");
                event["path"] = json!("/é/a");
            }
            event.to_string()
        },
    )
}
