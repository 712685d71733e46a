//! Fuzz target for a field of a form or a query: the first line is its name, the rest the form. The value
//! equals that of the URL standard's own parser, if that parser finds exactly one.
#![no_main]

use hookmq_shared::http::{Headers, Request};
use hookmq_shared::source::Rejection;
use hookmq_shared::source::fuzzing::read;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (name, form) = text.split_once('\n').unwrap_or((text, ""));
    let request = Request {
        method: "POST".to_owned(),
        path: "/h".to_owned(),
        raw_query: form.to_owned(),
        headers: Headers::new(),
        body: form.to_owned().into(),
        request_id: String::new(),
        deadline: None,
        received: tokio::time::Instant::now(),
        source_ip: None,
    };
    let Some(found) = read(&format!("form:{name}"), &request) else { return };
    // The standard's parser replaces bytes that are not UTF-8, which may make a name of them. A name with a word
    // that combines fields is more than one place, and a body of several parts is another form.
    let is_combined = name.contains(['{', '|', '=', '>', '#']);
    // What begins as JSON or XML does is not a form.
    let start = form.trim_start_matches(['\u{feff}', '\0', '\t', '\n', '\x0b', '\x0c', '\r', ' ']);
    let is_markup = start.starts_with(['{', '[', '"', ')', '<']);
    if name.contains(char::REPLACEMENT_CHARACTER) || is_combined || is_markup || form.starts_with("--") {
        return;
    }
    let values: Vec<_> = form_urlencoded::parse(form.as_bytes())
        .filter(|(key, _)| key == name)
        .map(|(_, value)| value)
        .collect();
    match (&found, values.as_slice()) {
        (Ok(value), [one]) => assert_eq!(String::from_utf8_lossy(value), *one),
        (Err(Rejection::Missing(_)), values) => {
            assert!(values.iter().all(|value| value.is_empty()) && values.len() < 2)
        }
        // A name that some receiver takes for this one makes it ambiguous too.
        (Err(Rejection::Ambiguous(_)), values) => assert!(!values.is_empty()),
        _ => panic!("{found:?}, but {values:?}"),
    }
    let of_query = read(&format!("query:{name}"), &request).map(Result::ok);
    assert_eq!(of_query, Some(found.ok()));
});
