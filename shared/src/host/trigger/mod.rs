//! HTTP triggers of functions: the meaning of their events, and the form of their answers.
//!
//! | trigger | event | recognised by |
//! | --- | --- | --- |
//! | HTTP API, function URL | payload 2.0 | `requestContext.http` |
//! | REST API, HTTP API with payload 1.0 | payload 1.0 | `httpMethod`, `path` |
//! | ALB | single- or multi-value headers | `requestContext.elb` |
//! | SCF's function URL and API Gateway | single values, `queryString` | the host: SCF's runtime |
//! | FunctionGraph's APIG | single values, base64 by default | the host: FunctionGraph's runtime |
//!
//! Formats: [payload 2.0 and 1.0][gw], [ALB][alb].
//!
//! [gw]: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
//! [alb]: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html

mod answer;
mod event;
mod query;

use std::collections::HashSet;
use std::net::IpAddr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use tokio::time::Instant;

pub use answer::TriggerAnswer;
use event::{Event, RequestContext};

use super::cloud::{AWS, Cloud, Events};
use super::refuse;
use crate::http::{Headers, Request, Response};
use crate::problem::Problem;

/// Trigger, as far as it determines the form of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// HTTP API or function URL, payload 2.0.
    HttpApi,
    /// REST API, or HTTP API with payload 1.0.
    RestApi {
        /// True if the event has `multiValueHeaders`.
        multi_value: bool,
    },
    /// Application Load Balancer.
    Alb {
        /// Value of the target group's attribute `lambda.multi_value_headers.enabled`, seen in the event.
        multi_value: bool,
    },
    /// Trigger of SCF or FunctionGraph: every header has one value.
    Plain,
}

/// Data about an event from the platform, outside the event itself.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// UUID of the invocation.
    pub request_id: String,
    /// Time by which the answer must be under way.
    pub deadline: Option<Instant>,
}

/// An event that came through an HTTP trigger.
#[derive(Debug)]
pub struct Incoming {
    /// Trigger of the event, which determines the form of the answer.
    pub trigger: Trigger,
    /// The request, or the refusal of an unreadable one (wrong base64).
    pub request: Result<Request, Response>,
}

/// Function error for an event that is not an HTTP request. It contains nothing of the event but a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// User action: none on AWS; correct the tool that makes the event.
    #[error("the event is not a JSON object")]
    NotJson,
    /// User action: correct the tool that makes the event.
    #[error("the event has a field of the wrong type, at line {line}, column {column}")]
    Broken {
        /// Line of the wrong field, counted from 1.
        line: usize,
        /// Column of the wrong field, counted from 1.
        column: usize,
    },
    /// User action: remove the trigger, or let it call another function.
    #[error(
        "{0} is not an HTTP request: this function serves HTTP triggers (API gateways, function URLs, ALB)"
    )]
    NotHttp(&'static str),
}

impl EventError {
    /// Returns the error type for the platform. It is stable: alarms and retry rules may name it.
    pub const fn error_type(self) -> &'static str {
        match self {
            Self::NotJson | Self::Broken { .. } => "Hookmq.MalformedEvent",
            Self::NotHttp(_) => "Hookmq.UnsupportedEvent",
        }
    }
}

/// Reads an event of AWS. The event itself determines the trigger, and the base64 flag is believed: nothing
/// is guessed.
pub fn read(event: &str, invocation: Invocation) -> Result<Incoming, EventError> {
    read_as(&AWS, event, invocation)
}

/// Reads an event like [`read`], but of the triggers of `cloud`.
pub fn read_as(cloud: &Cloud, event: &str, invocation: Invocation) -> Result<Incoming, EventError> {
    // A record may be written as a JSON array too, so the first character is checked.
    if !event.starts_with('{') {
        return Err(EventError::NotJson);
    }
    match serde_json::from_str::<Event>(event) {
        Ok(event) => request(cloud.events, event, invocation),
        Err(error) if error.is_data() => {
            Err(EventError::Broken { line: error.line(), column: error.column() })
        }
        Err(_) => Ok(unreadable(&invocation)),
    }
}

/// Refuses an event that is not text, is not JSON, or has half a character in a text (`\ud800`). Gateways
/// hand over a byte of a header field as it came, so any stranger can cause this. The event is refused like a
/// request because a function error triggers alarms.
pub fn unreadable(invocation: &Invocation) -> Incoming {
    Incoming { trigger: Trigger::Plain, request: Err(refuse(Problem::Malformed, &invocation.request_id)) }
}

fn request(events: Events, mut event: Event, invocation: Invocation) -> Result<Incoming, EventError> {
    let context = event.request_context.take().unwrap_or_default();
    let multi_value = event.multi_value_headers.is_some();
    let (trigger, method, path, raw_query) = match (&context.http, &event) {
        (Some(http), Event { raw_path: Some(path), raw_query_string, .. }) if events == Events::Aws => (
            Trigger::HttpApi,
            http.method.clone(),
            path.clone(),
            raw_query_string.clone().unwrap_or_default(),
        ),
        (_, Event { http_method: Some(method), path: Some(path), .. }) => {
            // An ALB hands names and values over as they came, API Gateway decodes them.
            let is_alb = events == Events::Aws && context.elb.is_some();
            let trigger = match events {
                Events::Aws if is_alb => Trigger::Alb { multi_value },
                Events::Aws => Trigger::RestApi { multi_value },
                Events::Plain => Trigger::Plain,
            };
            (trigger, method.clone(), path.clone(), query::rebuild(&event, is_alb))
        }
        _ => return Err(EventError::NotHttp(kind(&event))),
    };
    let request_id = match &context.request_id {
        Some(id) if is_uuid(id) => id.clone(),
        _ => invocation.request_id,
    };
    let request = match body(event.body.take(), event.is_base64_encoded) {
        Some(body) => Ok(Request {
            method,
            path: if events == Events::Aws { without_stage(path, &context) } else { path },
            raw_query,
            headers: headers(event),
            body,
            request_id,
            received: Instant::now(),
            source_ip: source_ip(trigger, &context),
            deadline: invocation.deadline,
        }),
        None => Err(refuse(Problem::Malformed, &request_id)),
    };
    Ok(Incoming { trigger, request })
}

/// Returns the caller's address that API Gateway or the function URL saw. An ALB hands it over in
/// `X-Forwarded-For` only, whose first entries its client may have written.
fn source_ip(trigger: Trigger, context: &RequestContext) -> Option<IpAddr> {
    let text = match trigger {
        Trigger::HttpApi => context.http.as_ref()?.source_ip.as_deref(),
        Trigger::RestApi { .. } => context.identity.as_ref()?.source_ip.as_deref(),
        // SCF's API Gateway names it; its function URL and FunctionGraph have it in a header only.
        Trigger::Plain => context.source_ip.as_deref(),
        Trigger::Alb { .. } => None,
    };
    text?.parse().ok()
}

/// Decodes the body; `None` if it is flagged as base64 and is not valid base64.
fn body(text: Option<String>, is_base64: Option<bool>) -> Option<Bytes> {
    let text = text.unwrap_or_default();
    if is_base64 == Some(true) {
        BASE64_STANDARD.decode(text).ok().map(Bytes::from)
    } else {
        Some(text.into())
    }
}

/// Collects the header fields: `multiValueHeaders` first, then the fields that only `headers` has (which
/// keeps the last of several values), without a platform's own.
fn headers(event: Event) -> Headers {
    let mut headers = Headers::new();
    let mut seen = HashSet::new();
    for (name, values) in event.multi_value_headers.into_iter().flat_map(|pairs| pairs.0) {
        for value in values {
            headers.push(&name, value);
        }
        seen.insert(name.to_ascii_lowercase());
    }
    for (name, value) in event.headers.into_iter().flat_map(|pairs| pairs.0) {
        if !seen.contains(&name.to_ascii_lowercase()) {
            headers.push(&name, value);
        }
    }
    // Payload 2.0 takes the cookies out of the headers; its emulators leave them there as well.
    let cookies = event.cookies.unwrap_or_default();
    if !cookies.is_empty() && headers.all("cookie").next().is_none() {
        headers.push("cookie", cookies.join("; "));
    }
    headers.without_platforms()
}

/// Removes a named stage from the start of the path, where payload 2.0 has it. A REST API removes it itself;
/// its `requestContext.path` then is the stage followed by the path.
fn without_stage(path: String, context: &RequestContext) -> String {
    let Some(stage) = context.stage.as_deref().filter(|stage| !matches!(*stage, "" | "$default")) else {
        return path;
    };
    let prefix = format!("/{stage}");
    if context.path.as_deref().and_then(|whole| whole.strip_prefix(&prefix)) == Some(&path) {
        return path;
    }
    match path.strip_prefix(&prefix) {
        Some(rest) if rest.starts_with('/') => rest.to_owned(),
        _ => path,
    }
}

/// Describes an event that is not an HTTP request, for the error.
fn kind(event: &Event) -> &'static str {
    if event.records.is_some() {
        "a batch of records (SQS, SNS, S3 and their like)"
    } else if event.detail_type.is_some() {
        "an EventBridge event"
    } else {
        "this event"
    }
}

/// Returns true if `text` has the form of a UUID. HTTP APIs and emulators have ids of other forms.
pub fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}
