//! Tests of DMS "Sending Messages" over a real connection, with keys and with tokens.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use crate::kit::*;
use hookmq_emulator::{Config, HuaweiCredential, Topics, Vendor, sample};
use serde_json::{Value, json};

const SIGNED: &str = "content-type;host;x-project-id;x-sdk-date";

#[tokio::test]
async fn a_signed_message_is_stored_and_echoed() {
    let emulator = start().await;
    let sent = json!({"topic": DMS_TOPIC, "body": "Grüße 你好 🚀", "property_list": [
        {"name": "KEYS", "value": "evt_1 order-7"}, {"name": "TAGS", "value": "push"}, {"name": "none"}]});
    let answer = dms_signed(dms_unsigned(&emulator, &sent)).send(&emulator).await;

    assert_eq!(answer.status, 200);
    assert!(answer.header("x-request-id").is_some());
    let body = answer.json();
    for field in ["topic", "body", "property_list"] {
        assert_eq!(body[field], sent[field], "{field}");
    }
    assert!(body["queue_id"].is_u64() && body["queue_offset"].is_u64() && body["broker_name"].is_string());
    let messages = emulator.messages();
    let message = &messages[0];
    assert_eq!(body["msg_id"], message.message_id.as_str());
    assert!(message.message_id.len() == 32 && message.message_id.bytes().all(|b| b.is_ascii_hexdigit()));
    assert_eq!((message.vendor, message.text.as_str()), (Vendor::Rocketmq, "Grüße 你好 🚀"));
    let properties: Vec<_> = message.properties.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(properties, [("KEYS", "evt_1 order-7"), ("TAGS", "push")], "as a consumer sees them");
    let request = &emulator.requests()[0];
    assert_eq!(request.delivery_id.as_deref(), Some("evt_1"));
    assert_eq!(request.signed_at.as_deref(), Some("20261122T123355Z"));
}

#[tokio::test]
async fn what_is_not_right_is_refused_with_the_vendors_code() {
    let topics = Topics::only([DMS_TOPIC]);
    let emulator = start_with(Config { rocketmq_topics: topics, ..config() }).await;
    let body = json!({"topic": DMS_TOPIC, "body": "x"});
    let good = || dms_unsigned(&emulator, &body);
    let at = |target: &str| {
        let mut request = good();
        request.target = target.into();
        dms_signed(request)
    };
    let with_body = |body: &[u8]| {
        let mut request = good();
        request.body = body.to_vec();
        dms_signed(request)
    };
    let with = |body: Value| with_body(body.to_string().as_bytes());
    let property = |value: Value| with(json!({"topic": DMS_TOPIC, "body": "x", "property_list": value}));
    let (other_project, other_instance) = ("f".repeat(32), "f1111111-2222-3333-4444-555555555555");
    let mut get = good();
    get.method = "GET".into();
    let large = "x".repeat(16_385);

    for (index, (status, code, request)) in [
        (401, "DMS.10240103", good()),
        (401, "APIG.0301", good().header("Authorization", "SDK-HMAC-SHA256 Credential=a/b")),
        (401, "DMS.10240101", good().header("X-Auth-Token", "unknown")),
        (401, "DMS.10240104", at(&dms_path(&other_project, sample::INSTANCE_ID))),
        (401, "DMS.10240104", dms_signed(good().header("X-Project-Id", &other_project))),
        (400, "DMS.00400002", at(&dms_path("demo", sample::INSTANCE_ID))),
        (404, "DMS.00404022", at(&dms_path(sample::PROJECT_ID, other_instance))),
        (400, "DMS.00400030", at(&dms_path(sample::PROJECT_ID, "demo"))),
        (404, "APIG.0101", at("/v2/nothing")),
        (405, "DMS.00405001", dms_signed(get)),
        (400, "DMS.00400004", with_body(b"")),
        (400, "DMS.00400005", with_body(b"{\"topic\"")),
        (400, "DMS.00400005", with_body(b"\xff")),
        (400, "DMS.00400800", with(json!({"body": "x"}))),
        (400, "DMS.00400800", with(json!({"topic": DMS_TOPIC}))),
        (400, "DMS.00400800", with(json!({"topic": DMS_TOPIC, "body": ""}))),
        (400, "DMS.00400800", with(json!({"topic": DMS_TOPIC, "body": {"a": 1}}))),
        (400, "DMS.00400800", property(json!({"KEYS": "a"}))),
        (400, "DMS.00400800", property(json!(["KEYS"]))),
        (400, "DMS.00400800", property(json!([{"name": "KEYS", "value": 1}]))),
        (400, "DMS.00400800", property(json!([{"name": "KEYS", "value": large}]))),
        (400, "DMS.00400876", with(json!({"topic": "elsewhere", "body": "x"}))),
        (414, "APIG.0201", at(&format!("/v2/x?{}", "a".repeat(33_000)))),
        (494, "APIG.0201", dms_signed(good().header("X-Large", &"a".repeat(33_000)))),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = request.send(&emulator).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "case {index}");
        assert!(answer.json()["request_id"].is_string(), "case {index}");
    }
    assert!(emulator.messages().is_empty());
}

#[tokio::test]
async fn a_refused_signature_says_why() {
    let emulator = start().await;
    let good = || dms_unsigned(&emulator, &json!({"topic": DMS_TOPIC, "body": "x"}));
    let (ak, sk) = (sample::ACCESS_KEY, sample::SECRET_ACCESS_KEY);
    let mut tampered = dms_signed(good());
    tampered.body = b"{\"topic\": \"test-001\", \"body\": \"y\"}".to_vec();
    let mut queried = dms_signed(good());
    queried.target += "?topic=test-001";
    let late =
        format!("signature expired, signature time:{},server time:20261122T123355Z", sdk_date(NOW - 901));
    for (text, request) in [
        ("Get secretKey failed,ak:NOBODY,err:ak not exist", good().sdk("NOBODY", sk, SIGNED, NOW)),
        ("verify aksk signature fail", good().sdk(ak, "wrong", SIGNED, NOW)),
        ("canonicalRequest:POST|/v2/0123", tampered),
        ("|topic=test-001|", queried),
        ("verify aksk signature fail", dms_signed(good()).header("Content-Type", "text/json")),
        (&late, good().sdk(ak, sk, SIGNED, NOW - 901)),
        ("signature expired", good().sdk(ak, sk, SIGNED, NOW + 901)),
        ("X-Sdk-Date", good().sdk(ak, sk, "content-type;host", NOW)),
        ("X-Sdk-Date", dms_signed(good()).header("X-Sdk-Date", "now")),
        ("SignedHeaders", good().sdk(ak, sk, "x-sdk-date;host", NOW)),
        ("X-Security-Token", good().header("X-Security-Token", "t").sdk(ak, sk, SIGNED, NOW)),
    ] {
        let answer = request.send(&emulator).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "APIG.0301"), "{text}");
        let said = answer.json()["error_msg"].as_str().unwrap().to_owned();
        assert!(said.starts_with("Incorrect IAM authentication information: "), "{said}");
        assert!(said.contains(text), "{said}: {text}");
        emulator.clear();
    }
}

#[tokio::test]
async fn what_the_documents_allow_is_accepted() {
    let emulator = start().await;
    let good = || dms_unsigned(&emulator, &json!({"topic": DMS_TOPIC, "body": "x", "property_list": []}));
    let (ak, sk) = (sample::ACCESS_KEY, sample::SECRET_ACCESS_KEY);
    let mut queried = good();
    queried.target += "?topic=test-001";
    let mut unsigned = good().header("X-Sdk-Content-Sha256", "UNSIGNED-PAYLOAD").sdk(
        ak,
        sk,
        "x-sdk-content-sha256;x-sdk-date",
        NOW,
    );
    unsigned.body = b"{\"topic\": \"test-001\", \"body\": \"y\", \"property_list\": null}".to_vec();
    for (name, request) in [
        ("only the date signed", good().sdk(ak, sk, "x-sdk-date", NOW)),
        (
            "user agent signed",
            good().header("User-Agent", "sdk/1  x").sdk(ak, sk, "user-agent;x-sdk-date", NOW),
        ),
        ("fifteen minutes early", good().sdk(ak, sk, SIGNED, NOW - 900)),
        ("fifteen minutes late", good().sdk(ak, sk, SIGNED, NOW + 900)),
        ("topic in the query", dms_signed(queried)),
        ("unsigned payload", unsigned),
    ] {
        assert_eq!(request.send(&emulator).await.code(), "none", "{name}");
    }
    assert_eq!(emulator.messages().len(), 6);
}

#[tokio::test]
async fn a_temporary_key_needs_its_token_signed() {
    let temporary = HuaweiCredential {
        access_key: "TMP".into(),
        secret_key: "sk".into(),
        security_token: Some("tok".into()),
    };
    let emulator = start_with(Config { dms: vec![temporary], ..config() }).await;
    let good = || dms_unsigned(&emulator, &json!({"topic": DMS_TOPIC, "body": "x"}));
    let signed = format!("{SIGNED};x-security-token");
    let with =
        |token: &str, key: &str| good().header("X-Security-Token", token).sdk("TMP", key, &signed, NOW);
    let unsigned = good().sdk("TMP", "sk", SIGNED, NOW);
    for (name, request) in [
        ("missing", unsigned.clone()),
        ("not signed", unsigned.header("X-Security-Token", "tok")),
        ("another", with("old", "sk")),
    ] {
        assert_eq!(request.send(&emulator).await.code(), "APIG.0301", "{name}");
    }
    let refused = with("tok", "wrong key").send(&emulator).await.json()["error_msg"].to_string();
    assert!(refused.contains("x-security-token:***|"), "a token is never shown: {refused}");
    assert_eq!(with("tok", "sk").send(&emulator).await.code(), "none");
}

#[tokio::test]
async fn sizes_are_checked_to_the_byte() {
    let emulator = start().await;
    let most = "x".repeat(4 << 20);
    let answer = dms(&emulator, &most).send(&emulator).await;
    assert_eq!(
        (answer.code().as_str(), answer.json()["body"].as_str().map(str::len)),
        ("none", Some(4 << 20))
    );
    let answer = dms(&emulator, &(most + "x")).send(&emulator).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "DMS.10540011"));
    for (length, status) in [(12 << 20, 400), ((12 << 20) + 1, 413), (20 << 20, 413)] {
        let mut request = dms_unsigned(&emulator, &json!({}));
        request.body = vec![b'x'; length];
        assert_eq!(dms_signed(request).send(&emulator).await.status, status, "{length}");
    }
    assert_eq!(emulator.messages().len(), 1);
}

#[tokio::test]
async fn more_than_five_failures_in_a_row_lock_the_key_for_five_minutes() {
    let seconds = Arc::new(AtomicU64::new(NOW.unsigned_abs()));
    let clock = Arc::clone(&seconds);
    let clock = Arc::new(move || UNIX_EPOCH + Duration::from_secs(clock.load(Ordering::Relaxed)));
    let emulator = start_with(Config { clock, ..config() }).await;
    let good = dms(&emulator, "x");
    let bad = dms_unsigned(&emulator, &json!({"topic": DMS_TOPIC, "body": "x"}));
    let bad = bad.sdk(sample::ACCESS_KEY, "wrong", SIGNED, NOW);

    for _ in 0..5 {
        assert_eq!(bad.send(&emulator).await.status, 401);
    }
    assert_eq!(good.send(&emulator).await.status, 200, "five in a row are forgiven by one success");
    for _ in 0..6 {
        assert_eq!(bad.send(&emulator).await.status, 401);
    }
    let locked = good.send(&emulator).await.json()["error_msg"].to_string();
    assert!(locked.contains("AK access failed to reach the limit,forbidden"), "{locked}");
    assert_eq!(
        dms_with(&emulator, &token(&emulator).await).send(&emulator).await.status,
        200,
        "tokens still do"
    );

    seconds.fetch_add(299, Ordering::Relaxed);
    assert_eq!(good.send(&emulator).await.status, 401);
    seconds.fetch_add(1, Ordering::Relaxed);
    assert_eq!(good.send(&emulator).await.status, 200);
}
