//! Readers of events, for the fuzz targets only; they are not a part of the API.

use serde_json::Value;

use super::event::Json;
use super::mend;

/// Mark in front of each repaired character.
pub const MARK: char = mend::MARK;

/// Repairs the texts of an event; `None` if there is too much to repair.
pub fn mended(event: &[u8]) -> Option<String> {
    mend::mend(event)
}

/// Parses an event, and returns it with numbers and booleans as texts; `None` if it is not JSON. Of a member that
/// occurs twice the last one counts.
pub fn parsed(event: &str) -> Option<Value> {
    Json::parse(event).map(value)
}

fn value(json: Json<'_>) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Text(text) => Value::String(text.into_owned()),
        Json::List(items) => items.into_iter().map(value).collect(),
        Json::Object(members) => {
            let name = |name: Json<'_>| name.text().unwrap_or_default().to_owned();
            Value::Object(members.into_iter().map(|(key, member)| (name(key), value(member))).collect())
        }
    }
}
