//! Requests and answers of the "Sending Messages" API.

use bytes::Bytes;
use serde::Serialize;

use super::error::{classify, scope};
use super::properties::{MAX_ALL as MAX_PROPERTIES, Property, properties};
use crate::clock::Timestamp;
use crate::json;
use crate::message::Message;
use crate::net::answer::{Answer, id};
use crate::queue::Class;
use crate::queue::failure::{Accepted, Failure, Lock, Private};
use crate::sabotage::{Safeguard, is_pulled};

/// Upper bound on a text, in bytes of UTF-8 (DMS, "Constraints": 4 MB).
pub const MAX_TEXT: usize = 4 << 20;

/// Upper bound on a request body that may be signed, JSON's escapes included, in bytes.
const MAX_BODY: usize = 12_000_000;

/// Names of RocketMQ's own topics, in lower case.
const SYSTEM_TOPICS: [&str; 7] = [
    "tbw102",
    "schedule_topic_xxxx",
    "benchmarktest",
    "trans_check_max_time_topic",
    "self_test_topic",
    "offset_moved_event",
    "checkpoint_topic",
];

/// Prefixes of further topics of RocketMQ's own, in lower case.
const SYSTEM_PREFIXES: [&str; 3] = ["rmq_sys_", "%retry%", "%dlq%"];

#[derive(Serialize)]
struct SendMessage<'a> {
    topic: &'a str,
    body: &'a str,
    property_list: &'a [Property<'a>],
}

/// Checks that a topic can exist on DMS: 3 to 64 letters, digits, `%`, `|`, `_` and `-`, and none of
/// RocketMQ's own names.
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

/// Upper bound on a message, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Limit {
    /// Bound on the text, which DMS documents.
    Text(usize),
    /// Bound on all that a broker stores: text, topic, properties and its own fields.
    Message(usize),
}

/// Allowance for the broker's own part of a message in bytes (`MessageDecoder`): 91 bytes of fixed fields,
/// and more with IPv6 addresses and properties that the broker sets.
const BROKERS_OWN: usize = 512;

/// Checks a message without a request, and returns its properties.
pub(super) fn check(message: &Message, limit: Limit) -> Result<Vec<Property<'_>>, Failure> {
    let properties = check_sizes(message, limit)?;
    // JSON needs up to six bytes for one, so most texts need no counting.
    if 6 * (message.text.len() + MAX_PROPERTIES) > MAX_BODY {
        let mut counter = Counter(0);
        // Strings serialise without failure, and so does counting.
        let _ = serde_json::to_writer(&mut counter, &request(message, &properties));
        if counter.0 > MAX_BODY {
            return Err(too_large("the request, escaped as JSON,", counter.0, MAX_BODY));
        }
    }
    Ok(properties)
}

fn too_large(what: &str, len: usize, most: usize) -> Failure {
    Failure::new(Class::TooLarge, format!("{what} has {len} bytes, RocketMQ takes {most}"))
}

/// Checks topic, text and properties of a message, which every route has, and returns the properties.
pub(super) fn check_sizes(message: &Message, limit: Limit) -> Result<Vec<Property<'_>>, Failure> {
    check_topic(&message.topic).map_err(|why| Failure::new(Class::Config, why))?;
    let text = message.text.len();
    if text == 0 {
        return Err(Failure::new(Class::Permanent, "the message is empty, which RocketMQ refuses"));
    }
    let properties = properties(message)?;
    let (what, len, most) = match limit {
        Limit::Text(most) => ("the message", text, most),
        Limit::Message(most) => {
            let beside: usize = properties.iter().map(Property::size).sum();
            (
                "the message, all that the broker stores with it,",
                text + beside + message.topic.len() + BROKERS_OWN,
                most,
            )
        }
    };
    if len > most { Err(too_large(what, len, most)) } else { Ok(properties) }
}

/// Checks a message without a request; its text may have up to `most` bytes.
pub(in crate::queue) fn fits(message: &Message, most: usize) -> Result<(), Failure> {
    check(message, Limit::Text(most)).map(drop)
}

/// Serialises the request's body.
pub(super) fn body(message: &Message, properties: &[Property<'_>]) -> Bytes {
    json::to_bytes(&request(message, properties), json::string_len(&message.text) + MAX_PROPERTIES)
}

fn request<'a>(message: &'a Message, properties: &'a [Property<'a>]) -> SendMessage<'a> {
    SendMessage { topic: &message.topic, body: &message.text, property_list: properties }
}

/// Writer that only counts its bytes.
struct Counter(usize);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Returns the upper bound on an answer to `message`, in bytes: DMS echoes text and properties, and may
/// escape every character.
pub(super) fn limit(message: &Message) -> usize {
    6 * (message.text.len() + 40_000)
}

/// Reads an answer. Only a message id under a successful status confirms the message. The echoed body is
/// skipped without a copy. The parts in `private` are removed from the error text.
pub fn read(answer: &Answer, private: &Private<'_>) -> Result<Accepted, Failure> {
    let answer = &*answer.in_utf8();
    let get = |path| json::text(&answer.body, path).ok().flatten().filter(|text| !text.trim().is_empty());
    let first = |paths: &[&'static str]| paths.iter().find_map(|path| get(path));
    let request_id = || get("request_id").as_deref().or_else(|| answer.header("x-request-id")).and_then(id);

    let foreign = || Failure { request_id: request_id(), lock: Lock::Key, ..answer.foreign() };
    if answer.is_2xx() && is_pulled(Safeguard::ReceiptNamesMessage) {
        let message_id = answer.id("msg_id").unwrap_or_else(|| "unknown".to_owned());
        return Ok(Accepted { message_id, request_id: request_id(), is_uncopied: false });
    }
    let has = |path| answer.has(path).map_err(|_| foreign());
    let failed = has("error_code")? || has("errorCode")? || has("error")?;
    if let Some(message_id) = answer.id("msg_id").filter(|_| !failed && answer.is_2xx()) {
        return Ok(Accepted { message_id, request_id: request_id(), is_uncopied: false });
    }
    let code = first(&["error_code", "errorCode", "code", "error.code"]);
    let text = first(&["error_msg", "errorMsg", "message", "error.message", "error.title"]);
    if code.is_none() && text.is_none() {
        return Err(foreign());
    }
    let (code, text) = (code.as_deref().unwrap_or_default().trim(), text.as_deref().unwrap_or_default());
    let (mut class, maybe_stored) = classify(answer.status, code, text);
    // The status reports success, but there is neither a known error nor an id.
    let unread = answer.is_2xx() && !failed && class == Class::Transient && maybe_stored;
    if unread {
        class = Class::Ambiguous;
    }
    Err(Failure {
        code: id(code),
        request_id: request_id(),
        retry_after: answer.retry_after(),
        maybe_stored,
        scope: scope(answer.status, code),
        unread,
        timed_out: class == Class::Ambiguous && !unread,
        lock: Lock::Key,
        server_time: Some(()).filter(|()| class == Class::ClockSkew).and_then(|()| server_time(answer, text)),
        ..Failure::new(class, private.clean(if text.is_empty() { code } else { text }))
    })
}

/// Reads the server's time from a text with `server time:20240102T040405Z`, else from the `Date` header.
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
