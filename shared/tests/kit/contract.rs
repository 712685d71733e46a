//! The contract of messages: docs/message.schema.json.

use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::Value;

pub(crate) static SCHEMA: LazyLock<Validator> = LazyLock::new(|| {
    let schema: Value = serde_json::from_str(include_str!("../../../docs/message.schema.json")).unwrap();
    jsonschema::draft202012::new(&schema).unwrap()
});

/// Returns true if the text of a message is an envelope. The text of the format `raw` is a body, which no test makes
/// begin like this.
fn is_envelope(text: &str) -> bool {
    text.starts_with(r#"{"specversion":"#)
}

/// Panics if the text of a message is an envelope that breaks the contract.
pub(crate) fn assert_kept(text: &str) {
    if is_envelope(text) {
        let envelope: Value = serde_json::from_str(text).unwrap();
        let broken: Vec<String> = SCHEMA.iter_errors(&envelope).map(|error| error.to_string()).collect();
        assert!(broken.is_empty(), "{broken:?} in {text}");
    }
}
