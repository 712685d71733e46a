//! The emulator's state: messages, requests, tokens and failures.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::{BuildHasher, Hasher, RandomState},
};

use http::HeaderMap;
use serde::Serialize;
use time::OffsetDateTime;

use crate::{faults::Fault, service::Ending, spec::Vendor};

/// A message as a consumer would receive it, with details of its request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoredMessage {
    /// The service whose queue holds the message.
    pub vendor: Vendor,
    /// The topic, as the request spelled it.
    pub topic: String,
    /// The message id in the answer.
    pub message_id: String,
    /// The text of the message.
    pub text: String,
    /// Properties of a RocketMQ message, as a consumer decodes them; empty for TDMQ.
    pub properties: BTreeMap<String, String>,
    /// Time of receipt, in milliseconds since the Unix epoch.
    pub received_at_ms: u64,
    /// Selected headers of the request, without credentials; names in lower case.
    pub headers: BTreeMap<String, String>,
}

/// A request to one of the three services, and its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SeenRequest {
    /// The service that the request was addressed to.
    pub vendor: Vendor,
    /// HTTP method of the request.
    pub method: String,
    /// Path of the request, without the query.
    pub path: String,
    /// The topic, if the body names one.
    pub topic: Option<String>,
    /// The first of `KEYS` for RocketMQ, else the `id` of a message that is a JSON object.
    pub delivery_id: Option<String>,
    /// Value of `X-TC-Timestamp` or `X-Sdk-Date`, as sent.
    pub signed_at: Option<String>,
    /// Time of receipt, in milliseconds since the Unix epoch.
    pub received_at_ms: u64,
    /// Number of the connection, counted from 1.
    pub connection: u64,
    /// True if an earlier request used the same connection.
    pub reused: bool,
    /// Names of the faults that applied to the request.
    pub faults: Vec<String>,
    /// Result: `stored`, `token issued`, an error code, or how the connection ended.
    pub outcome: String,
    /// HTTP status of the answer; `None` if there was no answer.
    pub status: Option<u16>,
    /// True if a message was stored, with or without an answer.
    pub stored: bool,
}

/// A token that IAM issued.
pub(crate) struct Token {
    pub(crate) expires_at: OffsetDateTime,
    /// True after an `outdate_tokens` fault: the token is refused with "The token must be updated".
    pub(crate) outdated: bool,
}

/// Consecutive failed signatures of one access key.
#[derive(Default)]
pub(crate) struct Failures {
    pub(crate) in_a_row: u32,
    pub(crate) locked_until: Option<OffsetDateTime>,
}

/// Numbers of messages and requests, counted even if they are not kept.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Counts {
    /// Number of requests to the three services.
    pub(crate) requests: u64,
    /// The highest number of a connection that a request came over.
    pub(crate) connections: u64,
    /// Number of stored messages.
    pub(crate) messages: u64,
    /// Number of different deliveries among the messages, by vendor, topic and delivery id.
    pub(crate) deliveries: u64,
    /// Times of the first and the last stored message, in milliseconds since the Unix epoch.
    pub(crate) first_ms: Option<u64>,
    pub(crate) last_ms: Option<u64>,
    /// Hashes of the deliveries; a collision would look like a repetition and never hide a loss.
    #[serde(skip)]
    seen: HashSet<u64>,
    #[serde(skip)]
    hasher: RandomState,
}

impl Counts {
    pub(crate) fn request(&mut self, connection: u64) {
        self.requests += 1;
        self.connections = self.connections.max(connection);
    }

    pub(crate) fn message(&mut self, delivery: (Vendor, Option<&str>, Option<&str>), at_ms: u64) {
        self.messages += 1;
        if self.seen.insert(self.hasher.hash_one(delivery)) {
            self.deliveries += 1;
        }
        self.first_ms.get_or_insert(at_ms);
        self.last_ms = Some(at_ms);
    }
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) messages: Vec<StoredMessage>,
    pub(crate) requests: Vec<SeenRequest>,
    pub(crate) counts: Counts,
    pub(crate) faults: Vec<Fault>,
    pub(crate) tokens: HashMap<String, Token>,
    pub(crate) failures: HashMap<String, Failures>,
    /// Number of the last message; never reset, so that message ids stay unique.
    sequence: u64,
}

impl State {
    /// Returns the number of the next message, counted from 1.
    pub(crate) fn next_number(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// Removes a message that the broker behind the emulator did not take, and records the answer that its client got.
    pub(crate) fn withdraw(&mut self, id: &str, ending: &Ending) {
        let Some(place) = self.messages.iter().rposition(|message| message.message_id == id) else { return };
        self.messages.remove(place);
        self.counts.messages -= 1;
        // The n-th message belongs to the n-th request with `stored` set.
        if let Some(request) = self.requests.iter_mut().filter(|request| request.stored).nth(place) {
            request.stored = false;
            (request.outcome, request.status) = ending.summary();
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self { sequence: self.sequence, ..Self::default() };
    }
}

/// Returns 64 random bits: the operating system seeds `RandomState`, and each instance differs.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Makes a random UUID (version 4).
pub(crate) fn request_id() -> String {
    let (high, low) = (random(), random());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 48 & 0x3fff | 0x8000,
        low & 0xffff_ffff_ffff
    )
}

/// Returns the headers that tests may assert on. The list is explicit, so that no credential is ever kept.
pub(crate) fn kept_headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    const KEPT: [&str; 18] = [
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "host",
        "traceparent",
        "user-agent",
        "x-project-id",
        "x-sdk-content-sha256",
        "x-sdk-date",
        "x-tc-action",
        "x-tc-content-sha256",
        "x-tc-language",
        "x-tc-region",
        "x-tc-requestclient",
        "x-tc-timestamp",
        "x-tc-version",
    ];
    KEPT.into_iter().filter_map(|name| Some((name.to_owned(), header(headers, name)?.to_owned()))).collect()
}

/// Returns the trimmed text of a header; `None` if it is missing, empty or not ASCII.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_a_version_4_uuid() {
        let id = request_id();
        let parts: Vec<_> = id.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12], "{id}");
        assert_eq!(id.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&id.as_bytes()[19]));
        assert_ne!(id, request_id());
    }
}
