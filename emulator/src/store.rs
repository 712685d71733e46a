//! What the emulator remembers: messages, requests, tokens, failures.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::{BuildHasher, Hasher, RandomState},
};

use http::HeaderMap;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::faults::Fault;

/// The service that a request was meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Vendor {
    /// Tencent Cloud TDMQ for Pulsar.
    Tdmq,
    /// Huawei Cloud / OTC DMS for RocketMQ.
    Rocketmq,
    /// Huawei Cloud / OTC IAM.
    Iam,
}

/// A message as a consumer would receive it, and how it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoredMessage {
    /// The queue that holds it.
    pub vendor: Vendor,
    /// The topic as the request named it.
    pub topic: String,
    /// The id that was answered.
    pub message_id: String,
    /// The message itself.
    pub text: String,
    /// RocketMQ: the properties as a consumer decodes them. TDMQ has none.
    pub properties: BTreeMap<String, String>,
    /// Milliseconds since the Unix epoch.
    pub received_at_ms: u64,
    /// The request's headers without credentials, names in lower case.
    pub headers: BTreeMap<String, String>,
}

/// A request to one of the three services, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SeenRequest {
    /// The service it was meant for.
    pub vendor: Vendor,
    /// HTTP method.
    pub method: String,
    /// Path without the query.
    pub path: String,
    /// The topic, where the body names one.
    pub topic: Option<String>,
    /// RocketMQ: the first of `KEYS`. Else the `id` of a message that is a JSON object.
    pub delivery_id: Option<String>,
    /// `X-TC-Timestamp` or `X-Sdk-Date`, as sent.
    pub signed_at: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub received_at_ms: u64,
    /// Number of the connection, counted from 1.
    pub connection: u64,
    /// Whether an earlier request came over the same connection.
    pub reused: bool,
    /// Names of the faults that it met.
    pub faults: Vec<String>,
    /// `stored`, `token issued`, an error code, or how the connection ended.
    pub outcome: String,
    /// The HTTP status answered; `None` where there was no answer.
    pub status: Option<u16>,
    /// Whether a message was stored, answered or not.
    pub stored: bool,
}

/// A token that IAM issued.
pub(crate) struct Token {
    pub(crate) expires_at: OffsetDateTime,
    /// "The token must be updated": refused until a new one is fetched.
    pub(crate) outdated: bool,
}

/// Failed signatures of one access key in a row.
#[derive(Default)]
pub(crate) struct Failures {
    pub(crate) in_a_row: u32,
    pub(crate) locked_until: Option<OffsetDateTime>,
}

/// What is counted of messages and requests, whether they are kept or not.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Counts {
    /// Requests to the three services.
    pub(crate) requests: u64,
    /// The number of the last connection that any of them came over.
    pub(crate) connections: u64,
    /// Messages that were stored.
    pub(crate) messages: u64,
    /// Different deliveries among them, told apart by vendor, topic and delivery id.
    pub(crate) deliveries: u64,
    /// When the first message was stored, and the last one, in milliseconds since the Unix epoch.
    pub(crate) first_ms: Option<u64>,
    pub(crate) last_ms: Option<u64>,
    /// Hashes of the deliveries: two that hash alike would look like a repetition, and never hide a loss.
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
    /// Never reset, so that message ids stay unique.
    sequence: u64,
}

impl State {
    /// The next number of a message, from 1.
    pub(crate) fn next_number(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    pub(crate) fn clear(&mut self) {
        *self = Self { sequence: self.sequence, ..Self::default() };
    }
}

/// 64 random bits: `RandomState` is seeded by the operating system, and each instance differs.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A random UUID (version 4).
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

/// The headers worth asserting on. A list of what is kept, so that no credential ever is.
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

/// A header's text, trimmed; `None` where it is missing, empty or not ASCII.
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
