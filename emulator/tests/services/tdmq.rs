//! Tests of TDMQ `SendMessages` over a real connection.

use crate::kit::*;
use hookmq_emulator::{Config, TencentCredential, Topics, Vendor, sample};
use serde_json::json;

#[tokio::test]
async fn a_signed_message_is_stored_and_answered() {
    let emulator = start().await;
    let payload = "{\"id\": \"evt_1\", \"text\": \"Grüße 你好 🚀\\n\\u0001\"}";
    let answer = tdmq(&emulator, payload).send(&emulator).await;

    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("date"), Some("Sun, 22 Nov 2026 12:33:55 GMT"));
    let response = &answer.json()["Response"];
    assert_eq!(response["ErrorMsg"], "");
    assert_eq!(response["RequestId"].as_str().unwrap().len(), 36);
    let messages = emulator.messages();
    let message = &messages[0];
    assert_eq!(messages.len(), 1);
    assert_eq!(response["MessageId"], message.message_id.as_str());
    assert_eq!(message.message_id.split(':').count(), 4);
    assert_eq!((message.vendor, message.topic.as_str()), (Vendor::Tdmq, TDMQ_TOPIC));
    assert_eq!(message.text, payload);
    assert_eq!(message.received_at_ms, NOW.unsigned_abs() * 1000);
    assert_eq!(message.headers["x-tc-region"], "ap-guangzhou");

    let request = &emulator.requests()[0];
    assert_eq!((request.outcome.as_str(), request.status, request.stored), ("stored", Some(200), true));
    assert_eq!(request.delivery_id.as_deref(), Some("evt_1"));
    assert_eq!(request.signed_at.as_deref(), Some("1795350835"));
}

#[tokio::test]
async fn what_is_not_right_is_refused_with_the_vendors_code() {
    let emulator = start_with(Config { tdmq_topics: Topics::all_but(["a/b/missing"]), ..config() }).await;
    let good = || tdmq_unsigned(&emulator, &json!({"Topic": TDMQ_TOPIC, "Payload": "x"}));
    let with = |id, key, signed, time| good().tc3(id, key, signed, time);
    let (id, key, basic) = (sample::SECRET_ID, sample::SECRET_KEY, "content-type;host");
    let body = |body: &serde_json::Value| tdmq_signed(tdmq_unsigned(&emulator, body));
    let mut tampered = tdmq_signed(good());
    tampered.body = b"{\"Topic\": \"pulsar-abc/ns/t\", \"Payload\": \"y\"}".to_vec();
    let mut not_json = good();
    not_json.body = b"{\"Topic\"".to_vec();
    let signed = tdmq_signed(good());
    let foreign_scope = signed.get("authorization").replace("/tdmq/", "/cvm/");
    let foreign_scope = signed.clone().header("Authorization", &foreign_scope);

    let cases = [
        ("AuthFailure.InvalidAuthorization", good()),
        ("AuthFailure.InvalidAuthorization", good().header("Authorization", "TC3-HMAC-SHA256 nonsense")),
        ("AuthFailure.InvalidAuthorization", with(id, key, "host", NOW)),
        ("AuthFailure.SecretIdNotFound", with("AKIDunknown", key, basic, NOW)),
        ("AuthFailure.SignatureFailure", with(id, "wrong", basic, NOW)),
        ("AuthFailure.SignatureFailure", with(id, key, "host;content-type", NOW)),
        ("AuthFailure.SignatureFailure", with(id, key, "content-type;host;x-absent", NOW)),
        ("AuthFailure.SignatureFailure", tampered),
        ("AuthFailure.SignatureFailure", foreign_scope),
        ("AuthFailure.SignatureFailure", tdmq_signed(good()).header("Host", "elsewhere")),
        ("AuthFailure.SignatureExpire", with(id, key, basic, NOW - 301)),
        ("AuthFailure.SignatureExpire", with(id, key, basic, NOW + 301)),
        ("AuthFailure.TokenFailure", tdmq_signed(good()).header("X-TC-Token", "not due")),
        ("MissingParameter", tdmq_signed(good()).without("X-TC-Timestamp")),
        ("InvalidParameter", tdmq_signed(good()).header("X-TC-Timestamp", "soon")),
        ("MissingParameter", tdmq_signed(good()).without("X-TC-Action")),
        ("InvalidAction", tdmq_signed(good()).header("X-TC-Action", "SendMsg")),
        ("MissingParameter", tdmq_signed(good()).without("X-TC-Version")),
        ("NoSuchVersion", tdmq_signed(good()).header("X-TC-Version", "2017-03-12")),
        ("MissingParameter", tdmq_signed(good()).without("X-TC-Region")),
        ("UnsupportedRegion", tdmq_signed(good()).header("X-TC-Region", "eu-de")),
        ("InvalidParameter", tdmq_signed(not_json)),
        ("InvalidParameter", body(&json!([]))),
        ("InvalidParameter", body(&json!({"Topic": TDMQ_TOPIC, "Payload": 1}))),
        ("InvalidParameter", body(&json!({"Topic": TDMQ_TOPIC, "Payload": "x", "SendTimeout": "5"}))),
        ("MissingParameter", body(&json!({"Payload": "x"}))),
        ("MissingParameter", body(&json!({"Topic": TDMQ_TOPIC}))),
        ("UnknownParameter", body(&json!({"Topic": TDMQ_TOPIC, "Payload": "x", "Key": "k"}))),
        ("InvalidParameterValue.TopicNotFound", body(&json!({"Topic": "a/b", "Payload": "x"}))),
        (
            "InvalidParameterValue.TopicNotFound",
            body(&json!({"Topic": "persistent://a/b/missing", "Payload": "x"})),
        ),
    ];
    for (index, (code, request)) in cases.iter().enumerate() {
        let answer = request.send(&emulator).await;
        assert_eq!((answer.status, answer.code().as_str()), (200, *code), "case {index}");
    }
    assert!(emulator.messages().is_empty());
    let outcomes: Vec<_> = emulator.requests().into_iter().map(|seen| seen.outcome).collect();
    assert_eq!(outcomes, cases.map(|(code, _)| code));
}

#[tokio::test]
async fn what_the_documents_allow_is_accepted() {
    let emulator = start().await;
    let good = || tdmq_unsigned(&emulator, &json!({"Topic": TDMQ_TOPIC, "Payload": ""}));
    let (id, key, basic) = (sample::SECRET_ID, sample::SECRET_KEY, "content-type;host");
    let all = json!({"Topic": "persistent://a/b/c", "Payload": "p", "StringToken": "st", "ProducerName": "pn",
        "SendTimeout": 5, "MaxPendingMessages": 1});
    let mut unsigned_payload = tdmq_signed(good().header("X-TC-Content-SHA256", "UNSIGNED-PAYLOAD"));
    unsigned_payload.body = json!({"Topic": "bare-name", "Payload": "y"}).to_string().into_bytes();
    for (name, request) in [
        ("action signed too", good().tc3(id, key, "content-type;host;x-tc-action", NOW)),
        ("five minutes early", good().tc3(id, key, basic, NOW - 300)),
        ("five minutes late", good().tc3(id, key, basic, NOW + 300)),
        ("charset", tdmq_signed(good().header("Content-Type", "application/json; charset=utf-8"))),
        ("all parameters", tdmq_signed(tdmq_unsigned(&emulator, &all))),
        ("unsigned payload", unsigned_payload),
    ] {
        assert_eq!(request.send(&emulator).await.code(), "none", "{name}");
    }
    assert_eq!(emulator.messages().len(), 6);
}

#[tokio::test]
async fn a_temporary_key_needs_its_token() {
    let temporary =
        TencentCredential { secret_id: "tmp".into(), secret_key: "key".into(), token: Some("tok".into()) };
    let emulator = start_with(Config { tdmq: vec![temporary], ..config() }).await;
    let request = tdmq_unsigned(&emulator, &json!({"Topic": TDMQ_TOPIC, "Payload": "x"}));
    let request = request.tc3("tmp", "key", "content-type;host", NOW);
    assert_eq!(request.send(&emulator).await.code(), "AuthFailure.TokenFailure");
    assert_eq!(
        request.clone().header("X-TC-Token", "old").send(&emulator).await.code(),
        "AuthFailure.TokenFailure"
    );
    assert_eq!(request.header("X-TC-Token", "tok").send(&emulator).await.code(), "none");
    let kept = format!("{:?}{:?}", emulator.messages(), emulator.requests());
    assert!(!kept.contains("tok\"") && !kept.contains("Signature="), "{kept}");
}

#[tokio::test]
async fn sizes_are_checked_to_the_byte() {
    let emulator = start().await;
    let most = "x".repeat(1 << 20);
    assert_eq!(tdmq(&emulator, &most).send(&emulator).await.code(), "none");
    let code = tdmq(&emulator, &(most + "x")).send(&emulator).await.code();
    assert_eq!(code, "FailedOperation.MaxMessageSizeError");
    for (length, code) in [(10 << 20, "InvalidParameter"), ((10 << 20) + 1, "RequestSizeLimitExceeded")] {
        let mut request = tdmq(&emulator, "");
        request.body = vec![b'x'; length];
        assert_eq!(tdmq_signed(request).send(&emulator).await.code(), code);
    }
    let mut request = tdmq(&emulator, "");
    request.body = vec![b'x'; 20 << 20];
    assert_eq!(request.send(&emulator).await.code(), "RequestSizeLimitExceeded");
    assert_eq!(emulator.messages().len(), 1);
}
