//! Control paths of the S3, for the code that runs it: counts of objects and requests, and a fast way to fill
//! the bucket.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Method, Response};
use http_body_util::Full;
use serde_json::json;

use super::{Call, Refusal, S3Object, response};

/// Prefix of the control paths.
pub(super) const PATH: &str = "/_/";

pub(super) fn handle(call: &Call<'_>) -> Response<Full<Bytes>> {
    let mut state = call.shared.state();
    match (call.head.uri.path(), &call.head.method) {
        ("/_/counts", &Method::GET) => {
            let mut objects = BTreeMap::<&str, u64>::new();
            for key in state.objects.keys() {
                *objects.entry(key.split('/').next().unwrap_or_default()).or_default() += 1;
            }
            let counts = json!({"calls": state.calls, "objects": objects});
            response(200, "application/json", counts.to_string().into())
        }
        ("/_/objects", &Method::POST) => {
            let modified = (call.shared.config.clock)();
            for line in call.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                let Some(tab) = line.iter().position(|byte| *byte == b'\t') else {
                    return wrong("a line has no tab");
                };
                let Ok(key) = std::str::from_utf8(&line[..tab]) else { return wrong("a key is not UTF-8") };
                // Copied, because a slice would keep the whole request in memory.
                let bytes = Bytes::copy_from_slice(&line[tab + 1..]);
                state.objects.insert(key.to_owned(), S3Object { bytes, modified });
            }
            response(204, "application/json", Bytes::new())
        }
        _ => wrong("nothing is served at this path"),
    }
}

fn wrong(why: &str) -> Response<Full<Bytes>> {
    Refusal::new(400, "InvalidRequest", why).response()
}
