//! HTTP triggers of functions: the meaning of their events, and the form of their answers.
//!
//! | trigger | event | recognised by |
//! | --- | --- | --- |
//! | HTTP API, function URL | payload 2.0 | `requestContext.http` |
//! | REST API, HTTP API with payload 1.0 | payload 1.0 | `httpMethod`, `path` |
//! | ALB | single- or multi-value headers | `requestContext.elb` |
//! | VPC Lattice, version 2.0 | lists of values | `requestContext.serviceNetworkArn` |
//! | SCF's function URL and API Gateway | single values, `queryString` | the host: SCF's runtime |
//! | FunctionGraph's APIG | single values, base64 by default | the host: FunctionGraph's runtime |
//!
//! A value may have any JSON type. A list has several values, a number or a boolean is a text, null is absent;
//! an object, where a text is meant, is left out. Method, path and body must be texts, or the answer is 400.
//!
//! Formats: [payload 2.0 and 1.0][gw], [ALB][alb], [VPC Lattice][lattice].
//!
//! [gw]: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
//! [alb]: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
//! [lattice]: https://docs.aws.amazon.com/vpc-lattice/latest/ug/lambda-functions.html

mod answer;
mod event;
pub mod fuzzing;
mod mend;
mod query;

use std::net::IpAddr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use tokio::time::Instant;

pub use answer::TriggerAnswer;
use event::Json;
use mend::{MARK, plain};

use super::cloud::{AWS, Cloud, Events};
use super::{Service, call, refuse};
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
    /// VPC Lattice: every header of the event has a list of values, and of the answer one.
    Lattice,
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
    /// The request, or the answer to an event that holds none: the refusal of an unreadable one (wrong
    /// base64), or a few words for a ping.
    pub request: Result<Request, Response>,
    /// True if a part of the request could not be read, and is repaired or left out.
    pub is_changed: bool,
}

/// Function error for an event that is not an HTTP request. It contains nothing of the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// User action: remove the trigger, or let it call another function.
    #[error(
        "{0} is not an HTTP request: this function serves HTTP triggers (API gateways, function URLs, ALB)"
    )]
    NotHttp(&'static str),
}

impl EventError {
    /// Returns the error type for the platform. It is stable: alarms and retry rules may name it.
    pub const fn error_type(self) -> &'static str {
        "Hookmq.UnsupportedEvent"
    }
}

/// Reads an event of AWS. The event itself determines the trigger, and the base64 flag is believed: nothing
/// is guessed.
pub fn read(event: &str, invocation: Invocation) -> Result<Incoming, EventError> {
    read_as(&AWS, event, invocation)
}

/// Reads an event like [`read`], but of the triggers of `cloud`.
pub fn read_as(cloud: &Cloud, event: &str, invocation: Invocation) -> Result<Incoming, EventError> {
    read_bytes(cloud, event.as_bytes(), invocation)
}

/// Reads an event like [`read_as`], which need not be text.
///
/// Gateways hand over a header field as it came, so any stranger can write an event that is not text, or not
/// JSON. Such an event is repaired; if that does not help, it is refused like a request, because
/// a function error triggers alarms.
pub fn read_bytes(cloud: &Cloud, event: &[u8], invocation: Invocation) -> Result<Incoming, EventError> {
    if let Some(event) = std::str::from_utf8(event).ok().and_then(Json::parse) {
        return request(cloud.events, event, invocation, false);
    }
    let mended = mend::mend(event);
    match mended.as_deref().and_then(Json::parse) {
        Some(event) => request(cloud.events, event, invocation, true),
        None if event.trim_ascii().is_empty() => Ok(Incoming::ping(&invocation)),
        None => {
            let refused =
                refuse(Problem::Malformed, "the event is not JSON", &invocation.request_id, (None, None));
            Ok(Incoming { trigger: Trigger::Plain, request: Err(refused), is_changed: true })
        }
    }
}

impl Incoming {
    /// Answers an event that asks for nothing: a warm-up, a schedule, a console's test. A function error
    /// would trigger alarms.
    fn ping(invocation: &Invocation) -> Self {
        tracing::info!(
            request_id = invocation.request_id,
            "an event that is not an HTTP request: nothing to do"
        );
        let answer = Response::new(200, "text/plain", "not an HTTP request: nothing to do");
        Self { trigger: Trigger::Plain, request: Err(answer), is_changed: false }
    }

    /// Lets the service answer the request, and returns the answer in the form of its trigger.
    pub(super) async fn answer<S: Service>(self, service: &S) -> TriggerAnswer {
        let refused = |response| {
            if let Some(metrics) = service.metrics() {
                metrics.refused(Problem::Malformed);
            }
            response
        };
        let response = match self.request {
            Ok(request) => {
                let changed = self.is_changed.then(|| request.request_id.clone());
                let response = call(service, request).await;
                match changed {
                    // The sender may have signed a part that did not arrive as it was sent.
                    Some(request_id) if matches!(response.status, 401 | 403) => {
                        const WHY: &str = "a header field or a parameter that cannot be read may be signed";
                        refused(refuse(Problem::Malformed, WHY, &request_id, (None, None)))
                    }
                    _ => response,
                }
            }
            Err(response) if response.status == Problem::Malformed.status() => refused(response),
            Err(response) => response,
        };
        self.trigger.answer(&response)
    }
}

/// Members of an event that has a trigger.
struct Found {
    trigger: Trigger,
    /// Names of the members with method and path.
    names: [&'static str; 2],
}

fn find(events: Events, event: &Json<'_>, context: &Json<'_>, multi_value: bool) -> Option<Found> {
    let has = |name| event.get(name).is_some();
    let is_aws = events == Events::Aws;
    if is_aws && context.get("http").is_some() && has("rawPath") {
        // The method is in the context.
        return Some(Found { trigger: Trigger::HttpApi, names: ["", "rawPath"] });
    }
    if is_aws && context.get("serviceNetworkArn").is_some() && has("method") && has("path") {
        return Some(Found { trigger: Trigger::Lattice, names: ["method", "path"] });
    }
    let trigger = match events {
        Events::Aws if context.get("elb").is_some() => Trigger::Alb { multi_value },
        Events::Aws => Trigger::RestApi { multi_value },
        Events::Plain => Trigger::Plain,
    };
    (has("httpMethod") && has("path")).then_some(Found { trigger, names: ["httpMethod", "path"] })
}

fn request(
    events: Events,
    mut event: Json<'_>,
    invocation: Invocation,
    is_mended: bool,
) -> Result<Incoming, EventError> {
    let context = event.take("requestContext");
    let multi_value = matches!(event.get("multiValueHeaders"), Some(Json::Object(_)));
    let Some(Found { trigger, names }) = find(events, &event, &context, multi_value) else {
        return kind(&event, &context)
            .map_or_else(|| Ok(Incoming::ping(&invocation)), |kind| Err(EventError::NotHttp(kind)));
    };
    let request_id = match context.text_of("requestId") {
        Some(id) if is_uuid(id) => id.to_owned(),
        _ => invocation.request_id,
    };
    let source_ip = source_ip(trigger, &context);
    let refused = |reason| {
        let from = (None, source_ip);
        let request = Err(refuse(Problem::Malformed, reason, &request_id, from));
        Ok(Incoming { trigger, request, is_changed: true })
    };
    // Method, path and body are what they are: a repair would guess.
    let sound = |value: Json<'_>| match value {
        Json::Text(text) if !(is_mended && text.contains(MARK)) => Some(text.into_owned()),
        _ => None,
    };
    let [method, path] = names.map(|name| event.take(name));
    let method = match context.get("http").filter(|_| trigger == Trigger::HttpApi) {
        Some(http) => http.text_of("method").map(str::to_owned),
        None => sound(method),
    };
    let (Some(method), Some(mut path)) = (method, sound(path)) else {
        return refused("the event's method or path is not text");
    };
    let body = match event.take("body") {
        Json::Null => Some(String::new()),
        body => sound(body),
    };
    let Some(body) = body else { return refused("the event's body is not text") };
    let Some(body) = decoded(body, &event.take("isBase64Encoded")) else {
        return refused("the event's body is not base64");
    };
    let (raw_query, mut is_whole) = query(trigger, &mut event, &mut path);
    let headers = headers(&mut event, &mut is_whole);
    Ok(Incoming {
        trigger,
        request: Ok(Request {
            method,
            path: if events == Events::Aws { without_stage(path, &context) } else { path },
            raw_query,
            headers,
            body,
            request_id,
            received: Instant::now(),
            source_ip,
            deadline: invocation.deadline,
        }),
        is_changed: is_mended || !is_whole,
    })
}

/// Returns the caller's address that API Gateway or the function URL saw. An ALB hands it over in
/// `X-Forwarded-For` only, whose first entries its client may have written.
fn source_ip(trigger: Trigger, context: &Json<'_>) -> Option<IpAddr> {
    let caller = match trigger {
        Trigger::HttpApi => context.get("http")?,
        Trigger::RestApi { .. } => context.get("identity")?,
        // SCF's API Gateway names it; its function URL and FunctionGraph have it in a header only.
        Trigger::Plain => context,
        Trigger::Alb { .. } | Trigger::Lattice => return None,
    };
    caller.text_of("sourceIp")?.parse().ok()
}

/// Decodes the body; `None` if it is flagged as base64 and is not valid base64, or if the flag says neither
/// yes nor no.
fn decoded(body: String, flag: &Json<'_>) -> Option<Bytes> {
    let is = |words: [&str; 2]| {
        flag.text().is_some_and(|flag| words.iter().any(|word| flag.eq_ignore_ascii_case(word)))
    };
    if is(["true", "1"]) {
        BASE64_STANDARD.decode(body).ok().map(Bytes::from)
    } else if matches!(flag, Json::Null) || is(["false", "0"]) || is(["", ""]) {
        Some(body.into())
    } else {
        None
    }
}

/// Returns the query, and true if every part of it could be read.
fn query(trigger: Trigger, event: &mut Json<'_>, path: &mut String) -> (String, bool) {
    if trigger == Trigger::HttpApi {
        return query::rebuild(event.take("rawQueryString"), false);
    }
    if trigger == Trigger::Lattice
        && let Some((before, query)) = path.split_once('?')
    {
        let query = query.to_owned();
        path.truncate(before.len());
        return (query, true);
    }
    let maps = ["multiValueQueryStringParameters", "queryString", "queryStringParameters"];
    let map = maps.into_iter().find(|name| event.get(name).is_some()).map(|name| event.take(name));
    // An ALB hands names and values over as they came, API Gateway decodes them.
    query::rebuild(map.unwrap_or_default(), matches!(trigger, Trigger::Alb { .. }))
}

/// Collects the header fields: `multiValueHeaders` first, then the fields that only `headers` has (which
/// keeps the last of several values), without a platform's own.
fn headers(event: &mut Json<'_>, is_whole: &mut bool) -> Headers {
    let mut headers = Headers::new();
    let multi = event.take("multiValueHeaders");
    *is_whole &=
        multi.each_field(&mut |name, value| headers.push(&plain(name.into()), plain(value).into_owned()));
    let several = headers.len();
    *is_whole &= event.take("headers").each_field(&mut |name, value| {
        let name = plain(name.into());
        if !headers.iter().take(several).any(|(seen, _)| seen.eq_ignore_ascii_case(&name)) {
            headers.push(&name, plain(value).into_owned());
        }
    });
    // Payload 2.0 takes the cookies out of the headers; its emulators leave them there as well.
    let mut cookies = Vec::new();
    *is_whole &= event.take("cookies").each_text(&mut |cookie| cookies.push(plain(cookie)));
    if !cookies.is_empty() && headers.all("cookie").next().is_none() {
        headers.push("cookie", cookies.join("; "));
    }
    headers.without_platforms()
}

/// Removes a named stage from the start of the path, where payload 2.0 has it. A REST API removes it itself;
/// its `requestContext.path` then is the stage followed by the path.
fn without_stage(path: String, context: &Json<'_>) -> String {
    let Some(stage) = context.text_of("stage").filter(|stage| !matches!(*stage, "" | "$default")) else {
        return path;
    };
    let prefix = format!("/{stage}");
    if context.text_of("path").and_then(|whole| whole.strip_prefix(&prefix)) == Some(&path) {
        return path;
    }
    match path.strip_prefix(&prefix) {
        Some(rest) if rest.starts_with('/') => rest.to_owned(),
        _ => path,
    }
}

/// Describes an event that is not an HTTP request, for the error; `None` if nothing is lost with it.
fn kind(event: &Json<'_>, context: &Json<'_>) -> Option<&'static str> {
    let has = |name: &&str| event.get(name).is_some();
    if has(&"Records") {
        return Some("a batch of records (SQS, SNS, S3 and their like)");
    }
    if has(&"detail-type") {
        let is_schedule = event.text_of("detail-type") == Some("Scheduled Event");
        return (!is_schedule).then_some("an EventBridge event");
    }
    // A part of a request was meant to be one.
    let is_part = ["httpMethod", "path", "rawPath", "headers", "body"].iter().any(has);
    let is_ping = event.is_flat() && matches!(context, Json::Null) && !is_part;
    (!is_ping).then_some("this event")
}

/// Returns true if `text` has the form of a UUID. HTTP APIs and emulators have ids of other forms.
pub fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}
