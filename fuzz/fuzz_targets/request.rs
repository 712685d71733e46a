//! Signature headers, tokens, timestamps, forms and queries of every preset: the first line chooses
//! the preset, the next ones are the query and header fields, what follows an empty line is the body.
#![no_main]

use hookmq_shared::clock::Timestamp;
use hookmq_shared::http::{Headers, Request};
use hookmq_shared::secret::Secret;
use hookmq_shared::source::{Settings, Source, preset_names};
use libfuzzer_sys::fuzz_target;

/// One of these fits each preset: text, base64 or hex.
const SECRETS: [&str; 4] = [
    "a-secret",
    "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
    "whpk_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
    "3030303030303030303030303030303030303030303030303030303030303030",
];

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let mut lines = head.lines();
    let wanted = lines.next().unwrap_or_default();
    let Some(preset) = preset_names().find(|name| *name == wanted) else { return };
    let settings = |secret: &str| Settings {
        secrets: if preset == "none" { Vec::new() } else { vec![Secret::new(secret)] },
        ..Settings::default()
    };
    let Some(source) = SECRETS.iter().find_map(|secret| Source::preset(preset, settings(secret)).ok()) else {
        return;
    };
    let raw_query = lines.next().unwrap_or_default().to_owned();
    let headers: Headers =
        lines.filter_map(|line| line.split_once(':')).map(|(n, v)| (n, v.trim().to_owned())).collect();
    let request = Request {
        method: "POST".to_owned(),
        path: "/h".to_owned(),
        raw_query,
        headers,
        body: body.to_owned().into(),
        request_id: String::new(),
        deadline: None,
        received: tokio::time::Instant::now(),
        source_ip: None,
    };
    let now = Timestamp::from_unix(1_760_000_000);
    let _ = source.explain(&request, now).to_string();
    let _ = source.check("h", request, now);
});
