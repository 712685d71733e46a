//! Requests and answers of the `SendMessages` API.

use bytes::Bytes;
use serde::Serialize;

use super::error::{TIMED_OUT, UNSAID, advice, classify, scope};
use crate::json;
use crate::net::answer::{Answer, id};
use crate::queue::Class;
use crate::queue::failure::{Accepted, Failure, Private, Scope};
use crate::sabotage::{Safeguard, is_pulled};

/// Upper bound on a text, in bytes of UTF-8: the documents say 1 MB.
pub const MAX_TEXT: usize = 1 << 20;

/// Upper bound on a topic, in bytes; real names are far shorter.
const MAX_TOPIC: usize = 1024;

/// Upper bound on a request body that signature version 3 allows, in bytes.
/// <https://cloud.tencent.com/document/product/1278/46710>
const MAX_BODY: usize = 10_000_000;

// JSON needs up to six bytes for one, so the body of a text within its bound is within its own.
const _: () = assert!(6 * (MAX_TEXT + MAX_TOPIC) + 256 < MAX_BODY);

/// Request body. There is no `ProducerName`: it must be unique, and two instances of a function that share
/// one prevent each other from sending.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SendMessages<'a> {
    topic: &'a str,
    payload: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    send_timeout: Option<u64>,
}

/// Serialises the request's body. `send_timeout` is in seconds.
pub(super) fn body(topic: &str, text: &str, send_timeout: Option<u64>) -> Bytes {
    json::to_bytes(&SendMessages { topic, payload: text, send_timeout }, json::string_len(text) + MAX_TOPIC)
}

/// Checks that a topic has one of the documented forms: `tenant/namespace/topic`, with or without
/// `persistent://` or `non-persistent://`. It is sent as it is configured: the documents contradict each
/// other on the meaning of a topic without either prefix.
pub fn check_topic(topic: &str) -> Result<(), String> {
    let path = ["persistent://", "non-persistent://"].iter().find_map(|p| topic.strip_prefix(p));
    let segments: Vec<&str> = path.unwrap_or(topic).split('/').collect();
    let is_name = |s: &&str| !s.is_empty() && s.chars().all(|c| !c.is_whitespace() && !c.is_control());
    if segments.len() == 3 && segments.iter().all(is_name) && topic.len() <= MAX_TOPIC {
        return Ok(());
    }
    Err("the topic is not of the form tenant/namespace/topic (the tenant is the cluster's id, pulsar-…), \
         with or without persistent:// or non-persistent:// before it"
        .to_owned())
}

/// Checks a message without a request; its text may have up to `most` bytes.
pub(in crate::queue) fn check(topic: &str, text: &str, most: usize) -> Result<(), Failure> {
    check_topic(topic).map_err(|why| Failure::new(Class::Config, why))?;
    if text.len() > most {
        let detail = format!("the message has {} bytes, TDMQ takes {most}", text.len());
        return Err(Failure::new(Class::TooLarge, detail));
    }
    Ok(())
}

/// Reads an answer of any content type. Errors come with status 200, `ErrorMsg` is an error without a code,
/// and an answer without a message id and without an error proves nothing. The parts in `private` are removed
/// from the error text.
pub fn read(answer: &Answer, private: &Private<'_>) -> Result<Accepted, Failure> {
    let answer = &*answer.in_utf8();
    let get = |path| json::text(&answer.body, path).ok().flatten().filter(|text| !text.trim().is_empty());
    let request_id = get("Response.RequestId").and_then(|text| id(&text));
    let failure = |(class, maybe_stored), code: Option<&str>, text: Option<&str>| Failure {
        code: code.and_then(id),
        request_id: request_id.clone(),
        retry_after: answer.retry_after(),
        maybe_stored,
        scope: code.map_or(Scope::Topic, scope),
        unread: code == Some(UNSAID),
        timed_out: code == Some(TIMED_OUT),
        server_time: answer.date().filter(|_| class == Class::ClockSkew),
        ..Failure::new(class, private.clean(text.or(code).unwrap_or("error without a code")))
    };

    if answer.is_2xx() && is_pulled(Safeguard::ReceiptNamesMessage) {
        let message_id = answer.id("Response.MessageId").unwrap_or_else(|| "unknown".to_owned());
        return Ok(Accepted { message_id, request_id, is_uncopied: false });
    }
    let has = |path| answer.has(path).map_err(|_| answer.foreign());
    let (error, error_msg, legacy) = (has("Response.Error")?, has("Response.ErrorMsg")?, has("codeDesc")?);
    if error {
        let code = get("Response.Error.Code").unwrap_or_default();
        let text = get("Response.Error.Message");
        let mut failure = failure(classify(code.trim()), Some(code.trim()), text.as_deref());
        let advice = advice(code.trim());
        if !advice.is_empty() {
            failure.detail = format!("{advice}: {}", failure.detail);
        }
        return Err(failure);
    }
    if let Some(code) = get("codeDesc").filter(|code| legacy && code != "Success") {
        return Err(failure(classify(code.trim()), Some(code.trim()), get("message").as_deref()));
    }
    if error_msg {
        return Err(failure((Class::Transient, true), None, get("Response.ErrorMsg").as_deref()));
    }
    match answer.id("Response.MessageId") {
        Some(message_id) if answer.is_2xx() => Ok(Accepted { message_id, request_id, is_uncopied: false }),
        None if answer.is_2xx() && request_id.is_some() => {
            let text = "the answer has neither a message id nor an error";
            Err(Failure { unread: true, ..failure((Class::Ambiguous, true), None, Some(text)) })
        }
        _ => Err(answer.foreign()),
    }
}
