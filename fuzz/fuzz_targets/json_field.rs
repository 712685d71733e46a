//! A field of a JSON body: the first line is the path, the rest the body.
#![no_main]

use hookmq_shared::json;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let at = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    let (path, body) = data.split_at(at);
    let body = body.get(1..).unwrap_or_default();
    let path = String::from_utf8_lossy(path);
    let found = json::find(body, &path);
    // What is found is a part of a valid document.
    if let Ok(Some(raw)) = found {
        let text = std::str::from_utf8(body).expect("JSON is UTF-8");
        assert!(json::is_valid(text) && json::is_valid(raw.get()) && text.contains(raw.get()));
    }
    let _ = json::text(body, &path);
});
