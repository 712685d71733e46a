//! The control paths `/_/…`, by which tests and people steer the emulator.

use std::collections::BTreeMap;

use http::{HeaderValue, Method, StatusCode, header::ALLOW, request};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{faults::Fault, reply::Reply, service::Shared, spec::Vendor, store::Counts};

pub(crate) fn handle(shared: &Shared, head: &request::Parts, body: &[u8]) -> Reply {
    let mut state = shared.state();
    let (path, method) = (head.uri.path(), &head.method);
    match (path, method.as_str()) {
        ("/", "GET") => about(),
        ("/_/messages", "GET") => found(&state.messages),
        ("/_/messages", "DELETE") => {
            state.messages.clear();
            found(&state.messages)
        }
        ("/_/requests", "GET") => {
            let mut counts = BTreeMap::from(Vendor::ALL.map(|vendor| (vendor, 0_u64)));
            for request in &state.requests {
                *counts.entry(request.vendor).or_default() += 1;
            }
            found(&json!({"counts": counts, "requests": state.requests}))
        }
        ("/_/requests", "DELETE") => {
            state.requests.clear();
            found(&state.requests)
        }
        ("/_/counts", "GET") => found(&state.counts),
        ("/_/counts", "DELETE") => {
            state.counts = Counts::default();
            found(&state.counts)
        }
        ("/_/faults", "GET") => found(&state.faults),
        ("/_/faults", "PUT") => match serde_json::from_slice::<Vec<Fault>>(body) {
            Ok(plan) => {
                state.faults = plan;
                found(&state.faults)
            }
            Err(error) => failed(StatusCode::BAD_REQUEST, &format!("not a list of faults: {error}")),
        },
        ("/_/faults", "DELETE") => {
            state.faults.clear();
            found(&state.faults)
        }
        ("/_/messages" | "/_/requests" | "/_/counts", _) => not_allowed(method, "GET, DELETE"),
        ("/_/faults", _) => not_allowed(method, "GET, PUT, DELETE"),
        _ => failed(StatusCode::NOT_FOUND, &format!("nothing is served at {path}")),
    }
}

fn about() -> Reply {
    let text = "hookmq emulator of TDMQ, DMS and IAM\n\n\
                GET    /_/messages   what is stored\n\
                GET    /_/requests   what was asked\n\
                GET    /_/counts     how much of both\n\
                PUT    /_/faults     what goes wrong next\n\
                DELETE any of them   forgets it\n";
    Reply::new(StatusCode::OK, HeaderValue::from_static("text/plain; charset=utf-8"), text, "about")
}

fn found(value: &impl Serialize) -> Reply {
    match serde_json::to_value(value) {
        Ok(value) => Reply::json(StatusCode::OK, &value, "found"),
        Err(error) => failed(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn failed(status: StatusCode, text: &str) -> Reply {
    Reply::json(status, &Value::from_iter([("error", text)]), "failed")
}

fn not_allowed(method: &Method, allowed: &'static str) -> Reply {
    let mut reply = failed(StatusCode::METHOD_NOT_ALLOWED, &format!("{method} is not served here"));
    reply.headers.insert(ALLOW, HeaderValue::from_static(allowed));
    reply
}
