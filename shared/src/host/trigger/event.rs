//! Record that covers the events of all HTTP triggers: each trigger fills a part of it.
//!
//! `aws_lambda_events`' request types are not used: their `http::HeaderMap` refuses an event for one header
//! value that is not ASCII, and silently keeps only one of two spellings of a name.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Event {
    /// Path in payload 2.0, as are the fields `raw_query_string` and `cookies`.
    pub raw_path: Option<String>,
    pub raw_query_string: Option<String>,
    pub cookies: Option<Vec<String>>,
    /// Method in payload 1.0 and ALB events, as are `path` and the `multi_value_…` and
    /// `query_string_parameters` fields.
    pub http_method: Option<String>,
    pub path: Option<String>,
    pub multi_value_headers: Option<Pairs<Vec<String>>>,
    pub query_string_parameters: Option<Pairs<String>>,
    pub multi_value_query_string_parameters: Option<Pairs<Vec<String>>>,
    /// Query parameters in SCF events.
    pub query_string: Option<Pairs<String>>,
    /// Header fields; like `body`, `is_base64_encoded` and `request_context` they are in the events of every
    /// trigger.
    pub headers: Option<Pairs<String>>,
    pub body: Option<String>,
    pub is_base64_encoded: Option<bool>,
    pub request_context: Option<RequestContext>,
    /// Mark of events that are not from an HTTP trigger: queues, topics and buckets have `Records`,
    /// `EventBridge` has `detail-type`.
    #[serde(rename = "Records")]
    pub records: Option<IgnoredAny>,
    #[serde(rename = "detail-type")]
    pub detail_type: Option<IgnoredAny>,
}

#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RequestContext {
    pub http: Option<Http>,
    pub elb: Option<IgnoredAny>,
    pub identity: Option<Identity>,
    pub request_id: Option<String>,
    pub stage: Option<String>,
    pub path: Option<String>,
    /// Address of the caller, from SCF's API Gateway.
    pub source_ip: Option<String>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Http {
    pub method: String,
    pub source_ip: Option<String>,
}

/// Caller of a request in payload 1.0.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Identity {
    pub source_ip: Option<String>,
}

/// JSON object as it is written: it keeps the order and repeated keys. A `null` value is left out.
pub(super) struct Pairs<V>(pub Vec<(String, V)>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Pairs<V> {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        de.deserialize_map(PairsVisitor(PhantomData))
    }
}

struct PairsVisitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for PairsVisitor<V> {
    type Value = Pairs<V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some((key, value)) = map.next_entry::<String, Option<V>>()? {
            pairs.extend(value.map(|v| (key, v)));
        }
        Ok(Pairs(pairs))
    }
}
