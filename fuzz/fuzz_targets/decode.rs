//! Fuzz target for bodies in a wrapping: one byte chooses the keys of the table, the lines that follow are values of
//! `Content-Encoding` and `Content-Type`, and the body stands behind an empty line. A body is replaced only as the
//! keys say, by what other parsers find, and never by more than the limit.
#![no_main]

use std::io::Read as _;

use flate2::bufread;
use hookmq_shared::http::{Headers, Request};
use hookmq_shared::source::Rejection;
use hookmq_shared::source::fuzzing::decoded;
use libfuzzer_sys::fuzz_target;

const LIMIT: usize = 4096;
const TABLES: [&str; 4] = [
    "",
    "content_coding = \"decoded\"",
    "unwrap = \"form:payload\"",
    "content_coding = \"decoded\"\nunwrap = \"form:payload\"",
];

fn inflated(body: &[u8], coding: &str) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    let most = LIMIT as u64 + 1;
    match coding {
        "gzip" | "x-gzip" => bufread::GzDecoder::new(body).take(most).read_to_end(&mut content).ok()?,
        "deflate" => bufread::ZlibDecoder::new(body).take(most).read_to_end(&mut content).ok()?,
        _ => return Some(body.to_vec()),
    };
    Some(content)
}

fuzz_target!(|data: &[u8]| {
    let Some((way, data)) = data.split_first() else { return };
    let at = data.windows(2).position(|two| two == b"\n\n").unwrap_or(data.len());
    let (head, body) = (&data[..at], data.get(at + 2..).unwrap_or_default());
    let names = ["content-encoding", "content-type", "content-encoding"];
    let values = head.split(|byte| *byte == b'\n').zip(names).filter(|(value, _)| !value.is_empty());
    let headers: Headers = values.map(|(value, name)| (name, value.to_vec())).collect();
    let request = Request {
        method: "POST".to_owned(),
        path: "/h".to_owned(),
        raw_query: String::new(),
        headers,
        body: body.to_vec().into(),
        request_id: String::new(),
        deadline: None,
        received: tokio::time::Instant::now(),
        source_ip: None,
    };
    let table = TABLES[usize::from(*way) % TABLES.len()];
    let codings: Vec<String> = request
        .headers
        .all("content-encoding")
        .map(|value| {
            String::from_utf8_lossy(value).trim_matches([' ', '\t', '\n', '\r', '\x0c']).to_ascii_lowercase()
        })
        .collect();
    let kind = request.headers.one_str("content-type").unwrap_or_default().to_ascii_lowercase();
    let (is_decoded, is_unwrapped) = (table.contains("decoded"), table.contains("unwrap"));
    match decoded(table, request, LIMIT).expect("a sound table") {
        Ok(found) => {
            let coding = codings.first().map_or("", String::as_str);
            let known = ["", "identity", "gzip", "x-gzip", "deflate"].contains(&coding) && codings.len() < 2;
            assert!(!is_decoded || known, "{codings:?}");
            let content = if is_decoded { inflated(body, coding) } else { Some(body.to_vec()) };
            // The checksum of gzip is left to the signature.
            let Some(content) = content else { return assert!(coding.ends_with("gzip"), "{coding}") };
            let is_form = kind.trim_matches([' ', '\t']).starts_with("application/x-www-form-urlencoded");
            let payload = || {
                let mut named = form_urlencoded::parse(&content).filter(|(name, _)| name == "payload");
                named.next().map(|(_, value)| value.into_owned())
            };
            if found.body == content {
                return;
            }
            assert!(is_unwrapped && is_form);
            assert_eq!(Some(String::from_utf8_lossy(&found.body).into_owned()), payload());
        }
        Err(Rejection::Coding) => assert!(is_decoded && !codings.is_empty()),
        Err(Rejection::TooLarge) => {
            assert!(inflated(body, &codings[0]).is_none_or(|found| found.len() > LIMIT))
        }
        Err(other) => assert!(is_decoded && matches!(other, Rejection::Malformed(_)), "{other}"),
    }
});
