//! Tests of both signers against every published and generated vector, stage by stage.

use hookmq_shared::clock::Timestamp;
use hookmq_shared::queue::credentials::Credentials;
use hookmq_shared::queue::{rocketmq, tdmq};
use hookmq_shared::secret::Secret;
use serde_json::Value;

fn vectors(text: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(text).unwrap();
    ["published", "generated"].iter().flat_map(|part| file[part].as_array().unwrap().clone()).collect()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} is not a string in {value}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().concat()
}

fn credentials(id: &str, key: &str) -> Credentials {
    Credentials { id: id.to_owned(), key: Secret::new(key), token: None }
}

#[test]
fn tc3_comes_out_as_published() {
    let all = vectors(include_str!("../vectors/tencent_tc3.json"));
    assert!(all.len() >= 14);
    for vector in &all {
        let (name, input, expected) = (text(vector, "name"), &vector["input"], &vector["expected"]);
        // The caller chooses the signed headers, which differ between the vectors.
        let signed: Vec<(&str, &str)> = text(expected, "signed_headers")
            .split(';')
            .map(|header| match header {
                "content-type" => (header, text(input, "content_type")),
                "host" => (header, text(input, "host")),
                "x-tc-action" => (header, text(input, "action")),
                other => panic!("{name} signs {other}"),
            })
            .collect();
        // An unsigned payload is by definition the digest of these words.
        let unsigned = input["unsigned_payload"] == true;
        let body = if unsigned { "UNSIGNED-PAYLOAD" } else { text(input, "body") };
        let head =
            tdmq::sign::Head { service: text(input, "service"), headers: &signed, body: body.as_bytes() };
        let credentials = credentials(text(input, "secret_id"), text(input, "secret_key"));
        let time = Timestamp::from_unix(input["timestamp"].as_i64().unwrap());

        let keys = tdmq::sign::derive(&credentials.key, &time.date(), head.service);
        let stages = ["secret_date_hex", "secret_service_hex", "secret_signing_hex"];
        for (stage, key) in stages.iter().zip(keys) {
            assert_eq!(hex(key.as_ref()), text(expected, stage), "{name}: {stage}");
        }
        let signature = tdmq::sign::sign(&head, &credentials, time);
        assert_eq!(signature.canonical_request, text(expected, "canonical_request"), "{name}");
        assert_eq!(signature.scope, text(expected, "credential_scope"), "{name}");
        assert_eq!(signature.string_to_sign, text(expected, "string_to_sign"), "{name}");
        assert_eq!(signature.authorization, text(expected, "authorization"), "{name}");
    }
}

#[test]
fn sdk_hmac_comes_out_as_published() {
    let all = vectors(include_str!("../vectors/huawei_sdk_hmac.json"));
    assert!(all.len() >= 20);
    for vector in &all {
        let (name, input, expected) = (text(vector, "name"), &vector["input"], &vector["expected"]);
        let is_date = |name: &str| name.eq_ignore_ascii_case("x-sdk-date");
        let all_headers = input["headers"].as_object().unwrap();
        let date = all_headers.iter().find(|(n, _)| is_date(n)).unwrap().1.as_str().unwrap();
        let headers: Vec<(&str, &str)> = all_headers
            .iter()
            .filter(|(name, _)| !is_date(name))
            .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
            .collect();
        let query: Vec<(&str, &str)> = input["query"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
            .collect();
        let head = rocketmq::sign::Head {
            method: text(input, "method"),
            path: text(input, "path"),
            query: &query,
            headers: &headers,
            body: text(input, "body").as_bytes(),
        };
        let credentials = credentials(text(input, "access_key"), text(input, "secret_key"));
        let signature = rocketmq::sign::sign(&head, &credentials, Timestamp::parse_basic(date).unwrap());
        assert_eq!(signature.canonical_request, text(expected, "canonical_request"), "{name}");
        assert_eq!(signature.string_to_sign, text(expected, "string_to_sign"), "{name}");
        assert_eq!(signature.authorization, text(expected, "authorization"), "{name}");
    }
}
