//! Fuzz target for the repair of events and for their values of any type. What another parser reads is not changed
//! and has the same values; what is repaired once needs no further repair.
#![no_main]

use hookmq_shared::host::trigger::fuzzing::{MARK, mended, parsed};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// Numbers and booleans as texts.
fn texts(value: Value) -> Value {
    match value {
        Value::Bool(value) => Value::String(value.to_string()),
        Value::Number(value) => match (value.as_u64(), value.as_i64(), value.as_f64()) {
            (None, None, Some(value)) => Value::String(value.to_string()),
            _ => Value::String(value.to_string()),
        },
        Value::Array(items) => items.into_iter().map(texts).collect(),
        Value::Object(members) => Value::Object(members.into_iter().map(|(k, v)| (k, texts(v))).collect()),
        other => other,
    }
}

fuzz_target!(|event: &[u8]| {
    let Some(text) = mended(event) else { return };
    assert!(text.len() <= event.len() * 12 + 12, "each byte becomes a mark and an escape at most");
    let read: Option<Value> = serde_json::from_slice(event).ok();
    if let Some(value) = read {
        assert_eq!(text.as_bytes(), event, "what is sound stays");
        assert_eq!(parsed(&text), Some(texts(value)));
    }
    let again: Option<Value> = serde_json::from_str(&text).ok();
    assert_eq!(again.is_some(), parsed(&text).is_some());
    if again.is_some() {
        assert_eq!(mended(text.as_bytes()).as_ref(), Some(&text), "what is repaired is sound");
    }
    if std::str::from_utf8(event).is_ok_and(|event| !event.contains(MARK)) && !text.contains(MARK) {
        assert_eq!(text.as_bytes(), event, "nothing is repaired without a mark");
    }
});
