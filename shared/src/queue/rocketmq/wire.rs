//! "Sending Messages" on the wire.

use bytes::Bytes;
use serde::Serialize;

use super::error::classify;
use super::properties::{Property, properties};
use crate::clock::Timestamp;
use crate::json;
use crate::message::Message;
use crate::queue::Class;
use crate::queue::answer::{Accepted, Answer, Failure, clean, id};

/// Largest text, in bytes of UTF-8 (DMS, "Constraints": 4 MB).
pub const MAX_TEXT: usize = 4 << 20;

/// Largest request body that may be signed, JSON's escapes included, in bytes.
const MAX_BODY: usize = 12_000_000;

/// Topics of RocketMQ's own, in lower case.
const SYSTEM_TOPICS: [&str; 7] = [
    "tbw102",
    "schedule_topic_xxxx",
    "benchmarktest",
    "trans_check_max_time_topic",
    "self_test_topic",
    "offset_moved_event",
    "checkpoint_topic",
];

/// How further ones begin.
const SYSTEM_PREFIXES: [&str; 3] = ["rmq_sys_", "%retry%", "%dlq%"];

#[derive(Serialize)]
struct SendMessage<'a> {
    topic: &'a str,
    body: &'a str,
    property_list: Vec<Property<'a>>,
}

/// Whether a topic can exist on DMS: 3 to 64 letters, digits, `%`, `|`, `_` and `-`, and none of
/// RocketMQ's own.
pub fn check_topic(topic: &str) -> Result<(), String> {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '%' | '|' | '_' | '-');
    if !(3..=64).contains(&topic.len()) || !topic.chars().all(is_letter) {
        return Err("the topic is not 3 to 64 letters, digits, % | _ and -".to_owned());
    }
    let lower = topic.to_ascii_lowercase();
    if SYSTEM_TOPICS.contains(&lower.as_str()) || SYSTEM_PREFIXES.iter().any(|p| lower.starts_with(p)) {
        return Err("the topic is one of RocketMQ's own: use another name".to_owned());
    }
    Ok(())
}

/// What can be refused without asking, and without making the request's body.
pub(super) fn check(message: &Message) -> Result<(), Failure> {
    check_topic(&message.topic).map_err(|why| Failure::new(Class::Config, why))?;
    if message.text.is_empty() {
        return Err(Failure::new(Class::Permanent, "the message is empty, which RocketMQ refuses"));
    }
    if message.text.len() > MAX_TEXT {
        return Err(too_large("the message", message.text.len(), MAX_TEXT));
    }
    Ok(())
}

fn too_large(what: &str, len: usize, most: usize) -> Failure {
    Failure::new(Class::TooLarge, format!("{what} has {len} bytes, DMS takes {most}"))
}

/// The request's body, or what can be refused without asking.
pub(super) fn body(message: &Message) -> Result<Bytes, Failure> {
    check(message)?;
    let request =
        SendMessage { topic: &message.topic, body: &message.text, property_list: properties(message)? };
    // Strings serialise without fail.
    let body = serde_json::to_vec(&request).unwrap_or_default();
    if body.len() > MAX_BODY {
        return Err(too_large("the request, escaped as JSON,", body.len(), MAX_BODY));
    }
    Ok(body.into())
}

/// Most bytes of an answer to `message`: DMS echoes text and properties, and may escape every
/// character.
pub(super) fn limit(message: &Message) -> usize {
    6 * (message.text.len() + 40_000)
}

/// Reads an answer; only a message id under a status of success is one. The body that it echoes is
/// passed over, not built. `secrets` are kept out of the error.
pub fn read(answer: &Answer, secrets: &[&str]) -> Result<Accepted, Failure> {
    let get = |path| json::text(&answer.body, path).ok().flatten().filter(|text| !text.trim().is_empty());
    let first = |paths: &[&'static str]| paths.iter().find_map(|path| get(path));
    let request_id = || get("request_id").as_deref().or_else(|| answer.header("x-request-id")).and_then(id);

    let foreign = || Failure { request_id: request_id(), ..answer.foreign() };
    let has = |path| answer.has(path).map_err(|_| foreign());
    let failed = has("error_code")? || has("errorCode")? || has("error")?;
    if let Some(message_id) = answer.id("msg_id").filter(|_| !failed && answer.is_2xx()) {
        return Ok(Accepted { message_id, request_id: request_id() });
    }
    let code = first(&["error_code", "errorCode", "code", "error.code"]);
    let text = first(&["error_msg", "errorMsg", "message", "error.message", "error.title"]);
    if code.is_none() && text.is_none() {
        return Err(foreign());
    }
    let (code, text) = (code.as_deref().unwrap_or_default().trim(), text.as_deref().unwrap_or_default());
    let (class, maybe_stored) = classify(answer.status, code, text);
    Err(Failure {
        code: id(code),
        request_id: request_id(),
        retry_after: answer.retry_after(),
        maybe_stored,
        server_time: Some(()).filter(|()| class == Class::ClockSkew).and_then(|()| server_time(answer, text)),
        ..Failure::new(class, clean(if text.is_empty() { code } else { text }, secrets))
    })
}

/// `…,server time:20240102T040405Z`, else the `Date` header.
fn server_time(answer: &Answer, text: &str) -> Option<Timestamp> {
    let in_text = text
        .to_ascii_lowercase()
        .split_once("server time:")
        .and_then(|(_, rest)| Timestamp::parse_basic(&rest.trim_start().get(..16)?.to_ascii_uppercase()));
    in_text.or_else(|| answer.date())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_checked() {
        for good in ["abc", "webhooks_github", "a-b|c%d", &"x".repeat(64), "RETRY"] {
            assert_eq!(check_topic(good), Ok(()), "{good}");
        }
        let system =
            ["TBW102", "rmq_sys_x", "RMQ_SYS_TRACE_TOPIC", "BenchmarkTest", "%RETRY%group", "%DLQ%group"];
        for bad in ["ab", &"x".repeat(65), "a b c", "a/b/c", "täst"].into_iter().chain(system) {
            assert!(check_topic(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_servers_time_is_in_the_text_or_the_date() {
        let mut answer = Answer::default();
        let time = Timestamp::parse_basic("20240102T040405Z");
        assert_eq!(server_time(&answer, "x, Server Time: 20240102T040405Z"), time);
        assert_eq!(server_time(&answer, "server time:20240102"), None);
        answer.headers.insert("date", "Tue, 02 Jan 2024 04:04:05 GMT".parse().unwrap());
        assert_eq!(server_time(&answer, "server time:"), time);
    }
}
