//! Fuzz target for a field of a JSON body: the first line is the path, the rest the body. If another parser
//! reads the body too, it finds the same value, or none.
#![no_main]

use hookmq_shared::json;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fn value_at<'d>(document: &'d Value, path: &str) -> Option<&'d Value> {
    path.split('.').try_fold(document, |value, step| match value {
        Value::Object(members) => members.get(step),
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        _ => None,
    })
}

fuzz_target!(|data: &[u8]| {
    let at = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    let (path, body) = data.split_at(at);
    let body = body.get(1..).unwrap_or_default();
    let path = String::from_utf8_lossy(path);
    let found = json::find(body, &path);
    // A found value is a part of a valid document.
    if let Ok(Some(raw)) = found {
        let text = std::str::from_utf8(body).expect("JSON is UTF-8");
        assert!(json::is_valid(text) && json::is_valid(raw.get()) && text.contains(raw.get()));
    }
    if let (Ok(found), Ok(document)) = (found, serde_json::from_slice(body)) {
        let found = found.map(|raw| serde_json::from_str(raw.get()).expect("JSON"));
        assert_eq!(found.as_ref(), value_at(&document, &path));
    }
    let _ = json::text(body, &path);
});
