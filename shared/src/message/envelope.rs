//! Envelope of a message in the JSON event format of CloudEvents 1.0.
//!
//! The envelope is written by hand rather than by a serialiser: a JSON body is inserted verbatim, so that
//! the bytes that a consumer takes out of `data` are the bytes that were verified.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Claim, DATAREF, Format, ORIGINALREF};
use crate::delivery::Delivery;
use crate::json;

/// Media type of the envelope, in the spelling that every CloudEvents SDK looks up: without a parameter.
const ENVELOPE: &str = "application/cloudevents+json";

/// Context attributes of a delivery, including extensions. `webhookheaders` is kept apart, because it is
/// large and goes into the envelope only.
#[derive(Clone, Debug)]
pub(super) struct Attributes(Vec<(&'static str, String)>);

/// Upper bound on the value of an attribute, in bytes. A value must not hold a control character either:
/// CloudEvents forbids them, and brokers split properties at them.
const MAX_ATTRIBUTE: usize = 1024;

impl Attributes {
    pub(super) fn new(
        delivery: &Delivery,
        source_uri: &str,
        type_prefix: Option<&str>,
        key: Option<&str>,
        claim: Option<&Claim>,
    ) -> Result<Self, &'static str> {
        let hook = &delivery.hook;
        let prefix = type_prefix.map_or_else(|| format!("webhook.{hook}"), str::to_owned);
        let kind = match delivery.event.as_deref() {
            Some(event) if !event.is_empty() => format!("{prefix}.{event}"),
            _ => prefix,
        };
        let mut list = vec![
            ("specversion", "1.0".to_owned()),
            ("id", delivery.id.clone()),
            ("source", format!("{source_uri}/hooks/{hook}")),
            ("type", kind),
            ("time", delivery.received_at.rfc3339()),
            ("datacontenttype", content_type(delivery).to_owned()),
        ];
        let mut optional = |name, value: Option<&str>| {
            if let Some(value) = value.filter(|v| !v.is_empty()) {
                list.push((name, value.to_owned()));
            }
        };
        optional("subject", delivery.subject.as_deref());
        optional("webhooksource", delivery.source.as_deref());
        optional("webhookverified", Some(delivery.coverage.as_str()));
        optional("traceparent", traceparent(delivery));
        optional("partitionkey", key);
        optional(DATAREF, claim.map(|claim| claim.body.as_str()));
        optional(ORIGINALREF, claim.and_then(|claim| claim.original.as_deref()));
        match list.iter().find(|(_, v)| v.len() > MAX_ATTRIBUTE || v.chars().any(char::is_control)) {
            Some((name, _)) => Err(name),
            None => Ok(Self(list)),
        }
    }

    /// Converts the attributes to message properties, named as in the RocketMQ binding of CloudEvents, in which
    /// `CE_contenttype` decides how a message is read. With the type of an envelope, the text is the whole event
    /// (structured mode), and a reader that finds `CE_specversion` would take the envelope for the event's data.
    /// Otherwise the attributes are the event's, and the text is its data (binary mode).
    pub(super) fn properties(self, format: Format, delivery: &Delivery) -> Vec<(Cow<'static, str>, String)> {
        let is_structured = format == Format::CloudEvents;
        let content_type = if is_structured { Some(ENVELOPE) } else { usable_type(delivery) };
        let name = |attribute| match attribute {
            "specversion" => "CE_specversion",
            "id" => "CE_id",
            "source" => "CE_source",
            "type" => "CE_type",
            "time" => "CE_time",
            "datacontenttype" => "CE_datacontenttype",
            "subject" => "CE_subject",
            "webhooksource" => "CE_webhooksource",
            "webhookverified" => "CE_webhookverified",
            "traceparent" => "CE_traceparent",
            DATAREF => "CE_dataref",
            ORIGINALREF => "CE_webhookoriginalref",
            _ => "CE_partitionkey",
        };
        let content_type = content_type.map(|value| (Cow::Borrowed("CE_contenttype"), value.to_owned()));
        let attributes =
            self.0.into_iter().filter(|(attribute, _)| !is_structured || *attribute != "specversion");
        let attributes = attributes.map(|(attribute, value)| (Cow::Borrowed(name(attribute)), value));
        content_type.into_iter().chain(attributes).collect()
    }

    /// Builds the event as one JSON object, with `original`, the encrypted body as it was received, if it is
    /// given. If the bodies alone take more than `most` bytes, the error is their number of bytes.
    pub(super) fn envelope(
        &self,
        delivery: &Delivery,
        original: Option<&[u8]>,
        most: usize,
    ) -> Result<String, usize> {
        let is_elsewhere = self.0.iter().any(|(name, _)| *name == DATAREF);
        let data = Some(Data::of(delivery)).filter(|_| !is_elsewhere);
        let least = data.as_ref().map_or(0, |data| data.least(delivery)) + original.map_or(0, base64_len);
        if least > most {
            return Err(least);
        }
        // The capacity is enough for a large envelope, so that its memory is allocated once.
        let headers: usize = delivery.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        let mut out = String::with_capacity(least + 2 * headers + 2048);
        let mut separator = '{';
        let mut member = |out: &mut String, name: &str| {
            out.push(separator);
            separator = ',';
            json::write_string(out, name);
            out.push(':');
        };
        for (name, value) in &self.0 {
            member(&mut out, name);
            json::write_string(&mut out, value);
        }
        member(&mut out, "webhookheaders");
        json::write_string(&mut out, &header_pairs(delivery));
        if let Some(original) = original {
            member(&mut out, "webhookoriginal");
            base64_string(&mut out, original);
        }
        match data {
            None => {}
            Some(Data::Json(text)) => {
                member(&mut out, "data");
                out.push_str(text);
            }
            Some(Data::Text(text)) => {
                member(&mut out, "data");
                json::write_string(&mut out, text);
            }
            Some(Data::Binary) => {
                member(&mut out, "data_base64");
                base64_string(&mut out, &delivery.body);
            }
        }
        out.push('}');
        Ok(out)
    }
}

const fn base64_len(bytes: &[u8]) -> usize {
    bytes.len().div_ceil(3) * 4
}

fn base64_string(out: &mut String, bytes: &[u8]) {
    out.push('"');
    STANDARD.encode_string(bytes, out);
    out.push('"');
}

/// Returns the bytes that the body and the encrypted body take in the envelope.
pub(super) fn least(delivery: &Delivery, original: Option<&[u8]>) -> usize {
    Data::of(delivery).least(delivery) + original.map_or(0, base64_len)
}

/// Returns an upper bound on the bytes of the envelope, without reading the body.
pub(super) fn at_most(delivery: &Delivery, original: Option<&[u8]>) -> usize {
    // Base64 turns three bytes into four, and a JSON escape turns one byte into six.
    let body = if is_json(delivery) { base64_len(&delivery.body) } else { 6 * delivery.body.len() };
    let names = [Some(&delivery.id), delivery.event.as_ref(), delivery.subject.as_ref()];
    let names: usize = names.into_iter().flatten().map(String::len).sum();
    let headers: usize = delivery.headers.iter().map(|(name, value)| name.len() + value.len() + 8).sum();
    // Header fields are JSON within a JSON string, and the hook's templates may repeat names and fields.
    body + original.map_or(0, base64_len) + 8 * (names + headers) + 2048
}

/// Encoding of a body inside the envelope.
enum Data<'d> {
    Json(&'d str),
    Text(&'d str),
    Binary,
}

impl<'d> Data<'d> {
    fn of(delivery: &'d Delivery) -> Self {
        let is_json = is_json(delivery);
        match std::str::from_utf8(&delivery.body) {
            Ok(text) if is_json && json::is_valid(text) => Self::Json(text),
            Ok(text) if !is_json => Self::Text(text),
            _ => Self::Binary,
        }
    }

    /// Returns the bytes that the encoded body takes in the envelope.
    fn least(&self, delivery: &Delivery) -> usize {
        match self {
            Self::Json(text) => text.len(),
            Self::Text(text) => json::string_len(text),
            Self::Binary => base64_len(&delivery.body),
        }
    }
}

fn is_json(delivery: &Delivery) -> bool {
    delivery.content_type.as_deref().is_some_and(is_json_type)
}

/// Returns true for media types of JSON, such as `application/json` or
/// `application/problem+json; charset=utf-8`.
fn is_json_type(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media_type.split_once('/').is_some_and(|(_, subtype)| subtype == "json" || subtype.ends_with("+json"))
}

/// Returns the content type of the body, or `application/octet-stream` if it is unusable: without a type,
/// CloudEvents would take the body for JSON.
fn content_type(delivery: &Delivery) -> &str {
    usable_type(delivery).unwrap_or("application/octet-stream")
}

/// Returns the content type of the body if it is one that an attribute can hold.
fn usable_type(delivery: &Delivery) -> Option<&str> {
    let is_usable = |kind: &&str| {
        !kind.is_empty() && kind.len() <= 256 && kind.bytes().all(|b| (b' '..=b'~').contains(&b))
    };
    delivery.content_type.as_deref().filter(is_usable)
}

/// Returns the sender's trace context if it is well-formed (W3C Trace Context, version 00).
fn traceparent(delivery: &Delivery) -> Option<&str> {
    let (_, value) = delivery.headers.iter().find(|(name, _)| name == "traceparent")?;
    let parts: Vec<&str> = value.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|p| p.len()).collect();
    let hex = |p: &&str| p.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    (lengths == [2, 32, 16, 2] && parts.iter().all(hex)).then_some(value)
}

/// Builds the text of a JSON array with a pair of name and value for each kept header.
fn header_pairs(delivery: &Delivery) -> String {
    let mut out = String::from("[");
    for (i, (name, value)) in delivery.headers.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        out.push('[');
        json::write_string(&mut out, name);
        out.push(',');
        json::write_string(&mut out, value);
        out.push(']');
    }
    out.push(']');
    out
}
