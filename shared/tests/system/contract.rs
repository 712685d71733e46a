//! Tests of the contract of messages itself: docs/message.schema.json refuses what breaks it.

use serde_json::Value;

use crate::kit::contract::SCHEMA;

#[test]
fn what_breaks_the_contract_is_noticed() {
    let page = include_str!("../../../docs/messages.md");
    let (_, block) = page.split_once("```json envelope\n").unwrap();
    let envelope: Value = serde_json::from_str(block.split_once("\n```").unwrap().0).unwrap();
    assert!(SCHEMA.is_valid(&envelope));
    for (member, value) in [
        ("specversion", "0.3".into()),
        ("id", "a b".into()),
        ("source", "/hook/github".into()),
        ("time", "2025-10-09T08:53:20Z".into()),
        ("webhookverified", "yes".into()),
        ("webhookheaders", Value::Array(Vec::new())),
        ("dataref", "s3://b/c".into()),
        ("data_base64", "e30=".into()),
        ("subject", Value::Null),
    ] {
        let mut other = envelope.clone();
        other[member] = value;
        assert!(!SCHEMA.is_valid(&other), "{member}");
    }
    for member in ["id", "source", "type", "data", "webhookverified"] {
        let mut other = envelope.clone();
        other.as_object_mut().unwrap().remove(member);
        assert!(!SCHEMA.is_valid(&other), "{member}");
    }
}
