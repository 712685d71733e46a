//! Tests of every response fixture and every error code: the class, the retry, and the possibility that the
//! message was stored.

use hookmq_shared::net::answer::Answer;
use hookmq_shared::queue::failure::{Accepted, Failure, Private, Scope};
use hookmq_shared::queue::retry::Retry;
use hookmq_shared::queue::{Class, rocketmq, tdmq};
use proptest::prelude::*;
use serde_json::{Value, json};

type Read = fn(&Answer, &Private<'_>) -> Result<Accepted, Failure>;

fn reader(vendor: &str) -> Read {
    match vendor {
        "tencent" => tdmq::wire::read,
        "huawei" => rocketmq::wire::read,
        other => panic!("no such vendor: {other}"),
    }
}

fn answer(status: u16, headers: &Value, body: impl Into<bytes::Bytes>) -> Answer {
    let mut answer = Answer { status, body: body.into(), ..Answer::default() };
    for (name, value) in headers.as_object().into_iter().flatten() {
        let name: http::HeaderName = name.parse().unwrap();
        answer.headers.insert(name, value.as_str().unwrap().parse().unwrap());
    }
    answer
}

/// Returns the retry of a class by the table in `docs/delivery-semantics.md`, by the vector file's names.
fn retry(class: &str) -> Retry {
    match class {
        "too_large" | "permanent" | "config" | "permission" | "quota" => Retry::Never,
        "auth" => Retry::IfCredentialsChanged,
        "auth_refresh" | "clock_skew" => Retry::Once,
        "throttle" | "transient" | "ambiguous" => Retry::UntilDeadline,
        other => panic!("no such class: {other}"),
    }
}

#[test]
fn every_fixture_is_of_its_class() {
    let file: Value = serde_json::from_str(include_str!("../vectors/response_fixtures.json")).unwrap();
    let fixtures = file["fixtures"].as_array().unwrap();
    assert_eq!(fixtures.len(), 32);
    for fixture in fixtures {
        let name = &fixture["name"];
        let status = u16::try_from(fixture["http_status"].as_u64().unwrap()).unwrap();
        let answer = answer(status, &fixture["headers"], fixture["body"].as_str().unwrap().to_owned());
        let result = reader(fixture["vendor"].as_str().unwrap())(&answer, &Private::default());
        let expected = match fixture["expected_class"].as_str().unwrap() {
            "failed" => "transient",
            class => class,
        };
        match result {
            Ok(accepted) => {
                assert_eq!(expected, "ok", "{name}");
                assert!(fixture["body"].as_str().unwrap().contains(&accepted.message_id), "{name}");
            }
            Err(failure) => {
                assert_eq!(failure.class.as_str(), expected, "{name}");
                assert_eq!(failure.class.retry(), retry(expected), "{name}");
                assert!(!failure.detail.is_empty(), "{name}");
                if failure.class.as_str() == "ambiguous" {
                    assert!(failure.maybe_stored, "{name}");
                }
            }
        }
    }
}

#[test]
fn every_code_is_of_its_class() {
    let file: Value = serde_json::from_str(include_str!("../vectors/error_codes.json")).unwrap();
    let mut checked = 0;
    let mut check = |vendor: &str, row: &Value, code: &Value, status: u16, body: Value| {
        let failure =
            reader(vendor)(&answer(status, &Value::Null, body.to_string()), &Private::default()).unwrap_err();
        let class = row["cls"].as_str().unwrap();
        assert_eq!(failure.class.as_str(), class, "{status} {code}");
        assert_eq!(failure.class.retry(), retry(class), "{status} {code}");
        assert_eq!(failure.maybe_stored, row["may_have_been_sent"] != "no", "{status} {code}");
        assert_eq!(failure.code.as_deref(), code.as_str(), "{status} {code}");
        assert_eq!(failure.request_id.as_deref(), Some("r-1"), "{status} {code}");
        assert_eq!(failure.scope == Scope::Api, row["everywhere"].as_bool().unwrap(), "{status} {code}");
        let is_final = matches!(failure.class, Class::Permanent | Class::TooLarge);
        assert_eq!(
            is_final,
            row["about_message"].as_bool().unwrap(),
            "{status} {code}: only the message's own"
        );
        checked += 1;
    };
    for row in file["tencent"]["codes"].as_array().unwrap() {
        let error = json!({"Code": row["code"], "Message": row["description"]});
        let body = json!({"Response": {"Error": error, "RequestId": "r-1"}});
        check("tencent", row, &row["code"], 200, body);
    }
    for part in ["dms", "gateway"] {
        for row in file["huawei"][part].as_array().unwrap() {
            let status = u16::try_from(row["http_status"].as_u64().unwrap()).unwrap();
            let one = [row["code"].clone()];
            for code in row["codes"].as_array().map_or(&one[..], Vec::as_slice) {
                let body = json!({"error_code": code, "error_msg": row["message"], "request_id": "r-1"});
                check("huawei", row, code, status, body);
            }
        }
    }
    assert_eq!(checked, 160 + 202 + 2 * 53);
}

#[test]
fn a_message_id_needs_a_status_of_success_and_no_error() {
    let stored = r#"{"Response":{"MessageId":"1:2:3","RequestId":"r"}}"#;
    for (status, body, class) in [
        (500, stored, "transient"),
        (302, stored, "transient"),
        (200, r#"{"Response":{"MessageId":" ","RequestId":"r"}}"#, "ambiguous"),
        (200, r#"{"Response":{"MessageId":7,"Error":{},"RequestId":"r"}}"#, "transient"),
        (200, r#"{"Response":{"Error":"no","MessageId":"1:2:3"}}"#, "transient"),
        (200, r#"{"Response":{"Error":null,"Error":{"Code":"X"},"MessageId":"1:2:3"}}"#, "ambiguous"),
        (200, r#"{"Response":{"MessageId":false,"RequestId":"r"}}"#, "ambiguous"),
        (200, r#"{"Response":{"MessageId":0,"RequestId":"r"}}"#, "ambiguous"),
        (200, r#"{"Response":{"MessageId":-7,"RequestId":"r"}}"#, "ambiguous"),
        (200, r#"{"Response":{"MessageId":0.0,"RequestId":"r"}}"#, "ambiguous"),
        (200, r#"{"Response":{"MessageId":[7],"RequestId":"r"}}"#, "ambiguous"),
        (200, r#"{"Response":{"MessageId":"1:2:3","MessageId":"","RequestId":"r"}}"#, "ambiguous"),
        (200, r#"{"Response":{"MessageId":"1:2:3","ErrorMsg":"failed","ErrorMsg":""}}"#, "ambiguous"),
        (200, r#"{"Response":{"MessageId":"1:2:3","ErrorMsg":{"text":"failed"}}}"#, "transient"),
        (200, r#"{"Response":{"MessageId":"1:2:3"},"codeDesc":"AuthFailure","codeDesc":""}"#, "ambiguous"),
        (200, r#"{"Response":[]}"#, "ambiguous"),
        (200, "null", "ambiguous"),
        (200, r#"{"code":0,"codeDesc":"Success"}"#, "ambiguous"),
        (429, "slow down", "throttle"),
        (402, "<html>", "quota"),
        (407, "<html>", "config"),
        (409, "<html>", "transient"),
        (413, "<html>", "too_large"),
        (414, "<html>", "config"),
        (423, "<html>", "transient"),
        (431, "", "config"),
        (494, "<html>", "config"),
        (504, "", "ambiguous"),
        (403, "<html>", "transient"),
    ] {
        let failure = tdmq::wire::read(&answer(status, &Value::Null, body), &Private::default()).unwrap_err();
        assert_eq!(failure.class.as_str(), class, "{status} {body}");
    }
    let stored = r#"{"msg_id":"644F0E2A","queue_offset":95.0}"#;
    for (status, body, class) in [
        (500, stored, "transient"),
        (302, stored, "transient"),
        (200, r#"{"msg_id":" "}"#, "ambiguous"),
        (200, r#"{"msg_id":null,"topic":"t"}"#, "ambiguous"),
        (200, r#"{"msg_id":"644F0E2A","error_code":"DMS.00400876"}"#, "config"),
        (200, r#"{"errorCode":"DMS.00400876"}"#, "config"),
        (200, r#"{"msg_id":"644F0E2A","errorCode":"DMS.00400876"}"#, "config"),
        (200, r#"{"msg_id":"644F0E2A","error":{"code":401,"message":"m"}}"#, "auth"),
        (200, r#"{"msg_id":"644F0E2A","error_code":"X","error_code":null}"#, "ambiguous"),
        (200, r#"{"msg_id":"644F0E2A","error_code":{"code":"X"}}"#, "ambiguous"),
        (200, r#"{"msg_id":false}"#, "ambiguous"),
        (200, r#"{"msg_id":0}"#, "ambiguous"),
        (200, "{}", "ambiguous"),
        (200, "", "ambiguous"),
        (200, r#"{"code":0,"message":"success"}"#, "ambiguous"),
        (400, r#"{"code":"DMS.00400017","message":"m"}"#, "transient"),
        (403, "<html>", "transient"),
        (401, "<html>", "auth"),
    ] {
        let failure =
            rocketmq::wire::read(&answer(status, &Value::Null, body), &Private::default()).unwrap_err();
        assert_eq!(failure.class.as_str(), class, "{status} {body}");
    }
    for status in [200, 201, 202] {
        assert!(rocketmq::wire::read(&answer(status, &Value::Null, stored), &Private::default()).is_ok());
    }
}

#[test]
fn errors_keep_no_secret_and_no_novel() {
    let text = format!("canonicalRequest:POST|x-security-token:TOPSECRET|| SK0123 {}", "x".repeat(5000));
    let body = json!({"error_code": "APIG.0301", "error_msg": text}).to_string();
    let failure = rocketmq::wire::read(
        &answer(401, &Value::Null, body),
        &Private { secrets: &["SK0123"], ..Private::default() },
    )
    .unwrap_err();
    assert!(!failure.detail.contains("TOPSECRET") && !failure.detail.contains("SK0123"));
    assert!(failure.detail.chars().count() <= 512);
}

#[test]
fn a_topic_error_begins_with_what_to_do() {
    let detail = |code: &str| {
        let body = json!({"Response": {"Error": {"Code": code, "Message": "the vendor's text"}}});
        tdmq::wire::read(&answer(200, &Value::Null, body.to_string()), &Private::default())
            .unwrap_err()
            .detail
    };
    for (code, begin) in [
        ("ResourceNotFound.Topic", "create the topic, or correct its name in hooks.toml"),
        ("FailedOperation.TopicTypeError", "write the other one of persistent:// and non-persistent://"),
    ] {
        let detail = detail(code);
        let is_right = detail.starts_with(begin) && detail.ends_with(": the vendor's text");
        assert!(is_right && detail.contains("non-persistent://"), "{detail}");
    }
    assert_eq!(detail("InternalError"), "the vendor's text");
}

/// Generates JSON with the API's names in odd places and with odd types.
fn odd_json() -> impl Strategy<Value = String> {
    let names =
        ["Response", "Error", "Code", "MessageId", "ErrorMsg", "msg_id", "error_code", "error", "code"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(4, 32, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((prop::sample::select(names.to_vec()), inner), 0..4)
                .prop_map(|pairs| pairs.into_iter().map(|(n, v)| (n.to_owned(), v)).collect()),
        ]
    });
    value.prop_map(|value| value.to_string())
}

proptest! {
    #[test]
    fn no_answer_is_a_panic_and_only_success_is_stored(
        status in 100..1000u16,
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            odd_json().prop_map(String::into_bytes),
            (odd_json(), 0..100usize).prop_map(|(text, cut)| text.into_bytes().into_iter().take(cut).collect()),
        ],
    ) {
        let answer = answer(status, &Value::Null, body);
        for read in [reader("tencent"), reader("huawei")] {
            match read(&answer, &Private { secrets: &["secret"], ..Private::default() }) {
                Ok(accepted) => prop_assert!((200..300).contains(&status) && !accepted.message_id.is_empty()),
                Err(failure) => prop_assert!(!failure.detail.chars().any(char::is_control)),
            }
        }
    }
}
