//! Mutation tests: every request that a provider's vectors accept is broken at every byte and in every field.
//!
//! A changed request is rejected, unless the change does not alter the delivery: a field that no verifier
//! reads, an equivalent escape, or a second signature beside a right one.

use std::collections::BTreeSet;

use bytes::Bytes;
use hookmq_shared::clock::Timestamp;
use hookmq_shared::delivery::Coverage;
use hookmq_shared::http::{Headers, Request};
use hookmq_shared::source::{Settings, Source, Verdict};
use serde_json::Value;

use crate::kit::source::{load, of_case, params_for, verify};

/// Effect of a request that is not rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Done {
    Delivery { body: Bytes, id: String, event: Option<String>, subject: Option<String>, coverage: Coverage },
    Answer(String),
}

struct Vector {
    name: String,
    source: Source,
    request: Request,
    now: Timestamp,
    /// `[verify]` table of the provider.
    config: Value,
}

impl Vector {
    fn done(&self, request: Request) -> Option<Done> {
        match self.source.check("h", request, self.now) {
            Verdict::Verified(delivery) => {
                let delivery = *delivery;
                Some(Done::Delivery {
                    body: delivery.body.clone(),
                    id: delivery.id.clone(),
                    event: delivery.event.clone(),
                    subject: delivery.subject.clone(),
                    coverage: delivery.coverage,
                })
            }
            Verdict::Handshake(response) => Some(Done::Answer(format!("{response:?}"))),
            Verdict::Confirm(address, response) => Some(Done::Answer(format!("{address:?} {response:?}"))),
            Verdict::Rejected(_) => None,
            other => panic!("{}: {other:?}", self.name),
        }
    }

    /// Returns the names of the fields of this kind that the table verifies, without fields that only name a
    /// delivery.
    fn fields(&self, kind: &str) -> BTreeSet<String> {
        let mut config = self.config.clone();
        for naming in ["id", "event", "subject"] {
            config.as_object_mut().unwrap().remove(naming);
        }
        let (text, kind) = (config.to_string(), format!("{kind}:"));
        let names = text.split(&kind).skip(1);
        names.map(|rest| rest.split(['"', '}', '?', ',']).next().unwrap().to_owned()).collect()
    }
}

/// Returns every accepted case of the vectors, with its preset.
fn accepted() -> Vec<Vector> {
    let dir = format!("{}/tests/vectors/webhooks", env!("CARGO_MANIFEST_DIR"));
    let mut vectors = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let file = entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned();
        let preset = file.replace('_', "-");
        let content = load(&file);
        if content["config"].is_null() {
            continue;
        }
        for case in content["cases"].as_array().unwrap().iter().filter(|case| case["expect"] == "accept") {
            let (request, settings) = of_case(case);
            let params = params_for(&preset).into_iter().chain(settings.params.clone()).collect();
            let source = Source::preset(&preset, Settings { params, ..settings }).unwrap();
            vectors.push(Vector {
                name: format!("{preset} {}", case["name"]),
                source,
                request,
                now: Timestamp::from_unix(case["now"].as_i64().unwrap()),
                config: content["config"].clone(),
            });
        }
    }
    assert!(vectors.len() > 500, "{}", vectors.len());
    vectors
}

/// Returns copies of the value with one flipped bit, one for each byte.
fn flipped(value: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..value.len()).map(|place| {
        let mut flipped = value.to_vec();
        flipped[place] ^= 1 << (place % 8);
        flipped
    })
}

/// Replaces the values of a header field by these (none, one or several).
fn with_header(request: &Request, name: &str, values: &[&[u8]]) -> Request {
    let others = request.headers.iter().filter(|(n, _)| *n != name);
    let mut headers: Headers = others.map(|(n, v)| (n, Bytes::copy_from_slice(v))).collect();
    for value in values {
        headers.push(name, value.to_vec());
    }
    Request { headers, ..request.clone() }
}

/// Returns replacements for a field's value: no value, an empty value, and two values in every order.
fn replaced(value: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let (value, other) = (value.to_vec(), b"x".to_vec());
    let doubled = [[value.clone(), value.clone()], [other.clone(), value.clone()], [value, other]];
    [vec![], vec![vec![]]].into_iter().chain(doubled.map(Vec::from)).collect()
}

impl Vector {
    fn preset(&self) -> &str {
        self.name.split(' ').next().unwrap()
    }

    /// Returns true if the field contains more than one signature, of which one must be right.
    fn has_several(&self, value: &str) -> bool {
        let signature = &self.config["signature"];
        let single = signature["single"].as_array().map_or(0, Vec::len);
        let sep = signature["sep"].as_str();
        let is_joined = signature["several"] == true && value.contains(',');
        is_joined || sep.is_some_and(|sep| value.split(sep).count() > single + 1)
    }

    /// Returns true if a change at this place of a verified field may have no effect.
    fn is_loose(&self, header: &str, value: &str, place: usize) -> bool {
        match header {
            // The case of an authentication scheme does not matter.
            "authorization" => value.find(' ').is_some_and(|blank| place < blank),
            // The address of the certificate does not matter if the key is configured, nor do the key's id and the
            // members that nobody reads; `sign.rs` knows which these are.
            "paypal-cert-url" | "x-ebay-signature" => true,
            _ => self.has_several(value),
        }
    }

    /// Returns true if these values say the same as the right one: a pinned field that may be absent, or one with
    /// several signatures, of which one is right.
    fn may_have(&self, header: &str, right: &str, values: &[&[u8]]) -> bool {
        let table = verify(self.preset());
        let pins = table["require"].as_array().cloned().unwrap_or_default();
        let is_pin =
            |pin: &Value| pin["from"].as_str().is_some_and(|from| from.to_lowercase().ends_with(header));
        let is_optional = pins.iter().any(|pin| is_pin(pin) && pin["optional"] == true);
        let is_empty = values.iter().all(|value| value.is_empty());
        let signature = &table["signature"];
        let is_signature = signature["from"].as_str().is_some_and(|from| {
            from.split('|').any(|from| {
                header.starts_with(from.to_lowercase().trim_start_matches("header:").trim_end_matches('*'))
            })
        });
        let has_right = values.contains(&right.as_bytes());
        is_optional && is_empty || is_signature && signature["several"] == true && has_right
    }

    /// Returns the signed content of a body: the values of a form, or the members of a message without those
    /// that describe its signature.
    fn said(&self, body: &[u8]) -> Vec<u8> {
        match self.preset() {
            "alipay-notify" | "alipay-notify-v2" | "twilio-form" | "twilio-sharedkey-sha256" => {
                percent_encoding::percent_decode(body).collect()
            }
            "aws-sns" | "huawei-smn" => {
                let mut members: Value = serde_json::from_slice(body).unwrap();
                for unsigned in ["SigningCertURL", "signing_cert_url", "signature_version"] {
                    members.as_object_mut().unwrap().remove(unsigned);
                }
                members.to_string().into_bytes()
            }
            _ => body.to_vec(),
        }
    }

    /// Returns true if both deliveries have the same content, apart from their ids and names.
    fn is_same(&self, one: &Done, other: &Done) -> bool {
        match (one, other) {
            (
                Done::Delivery { body: one, coverage: first, .. },
                Done::Delivery { body: other, coverage: second, .. },
            ) => first == second && self.said(one) == self.said(other),
            _ => one == other,
        }
    }
}

#[test]
fn no_byte_of_a_field_that_verifies_can_be_changed() {
    let mut changes = 0;
    for vector in accepted() {
        let good = vector.done(vector.request.clone()).unwrap();
        let verified: BTreeSet<String> = vector.fields("header").iter().map(|n| n.to_lowercase()).collect();
        for header in verified {
            let Some(value) = vector.request.headers.one_str(&header) else { continue };
            for (place, flipped) in flipped(value.as_bytes()).enumerate() {
                changes += 1;
                let done = vector.done(with_header(&vector.request, &header, &[&flipped]));
                let is_refused = done.is_none();
                let is_harmless = vector.is_loose(&header, value, place) && done.as_ref() == Some(&good);
                assert!(is_refused || is_harmless, "{} {header} at {place}", vector.name);
            }
            for values in replaced(value.as_bytes()) {
                let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
                let done = vector.done(with_header(&vector.request, &header, &values));
                let is_harmless = vector.may_have(&header, value, &values) && done.as_ref() == Some(&good);
                assert!(done.is_none() || is_harmless, "{} {header}: {values:?}", vector.name);
            }
        }
    }
    assert!(changes > 20_000, "{changes}");
}

/// A change of a field that only names a delivery, or that is not verified, changes neither the content nor
/// the coverage.
#[test]
fn no_other_field_changes_what_is_delivered() {
    for vector in accepted() {
        let good = vector.done(vector.request.clone()).unwrap();
        let verified: BTreeSet<String> = vector.fields("header").iter().map(|n| n.to_lowercase()).collect();
        let names: BTreeSet<&str> = vector.request.headers.iter().map(|(name, _)| name).collect();
        for name in names.into_iter().filter(|name| !verified.contains(*name)) {
            let value = vector.request.headers.all(name).next().unwrap();
            let changed = flipped(value).map(|flipped| vec![flipped]).chain(replaced(value));
            for values in changed {
                let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
                let done = vector.done(with_header(&vector.request, name, &values));
                if let (Some(done @ Done::Delivery { .. }), Done::Delivery { .. }) = (&done, &good) {
                    assert!(vector.is_same(done, &good), "{} {name}: {values:?}", vector.name);
                }
            }
        }
    }
}

#[test]
fn no_byte_of_a_body_that_is_covered_can_be_changed() {
    let mut changes = 0;
    for vector in accepted() {
        let good = vector.done(vector.request.clone()).unwrap();
        if !matches!(good, Done::Delivery { coverage: Coverage::Body, .. }) {
            continue;
        }
        for (place, flipped) in flipped(&vector.request.body).enumerate() {
            changes += 1;
            let done = vector.done(Request { body: flipped.into(), ..vector.request.clone() });
            assert!(done.is_none_or(|done| vector.is_same(&done, &good)), "{} at {place}", vector.name);
        }
        let longer = [&vector.request.body[..], b"\0"].concat();
        let done = vector.done(Request { body: longer.into(), ..vector.request.clone() });
        assert!(done.is_none_or(|done| vector.is_same(&done, &good)), "{} longer", vector.name);
    }
    assert!(changes > 30_000, "{changes}");
}

/// Changes of signatures, timestamps and tokens in an uncovered body are noticed.
#[test]
fn no_byte_of_a_value_in_the_body_that_verifies_can_be_changed() {
    let mut changes = 0;
    for vector in accepted() {
        let text = String::from_utf8_lossy(&vector.request.body).into_owned();
        let paths = vector.fields("json").into_iter().chain(vector.fields("item"));
        for path in paths.filter(|path| !["notificationItems", "value"].contains(&path.as_str())) {
            // The value follows its name in one piece, because no vector has escapes in these values.
            let name = format!("\"{}\"", path.rsplit('.').next().unwrap());
            let Some(at) = text.find(&name) else { continue };
            let rest = text[at + name.len()..].trim_start_matches([':', ' ', '"']);
            let start = text.len() - rest.len();
            let end = start + rest.find(['"', ',', '}']).unwrap();
            for (place, flipped) in flipped(&vector.request.body[start..end]).enumerate() {
                changes += 1;
                let body = [&vector.request.body[..start], &flipped, &vector.request.body[end..]].concat();
                let done = vector.done(Request { body: body.into(), ..vector.request.clone() });
                let is_loose = ["SigningCertURL", "signing_cert_url", "signature_version", "encrypt"];
                let is_harmless = is_loose.contains(&path.as_str());
                assert!(done.is_none() || is_harmless, "{} {path} at {place}", vector.name);
            }
        }
    }
    assert!(changes > 1_000, "{changes}");
}

#[test]
fn no_byte_of_a_parameter_that_verifies_can_be_changed() {
    let mut changes = 0;
    for vector in accepted() {
        let mut verified = vector.fields("query");
        let query = vector.request.raw_query.clone();
        let pairs: Vec<(&str, &str)> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        let text = vector.config.to_string();
        if text.contains("{url}") || text.contains("{path_query}") {
            verified.extend(pairs.iter().map(|(name, _)| (*name).to_owned()));
        }
        for (name, value) in pairs.iter().filter(|(name, _)| verified.contains(*name)) {
            let others: Vec<String> = pairs
                .iter()
                .filter(|(other, _)| other != name)
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            let flips = flipped(value.as_bytes()).filter_map(|flipped| String::from_utf8(flipped).ok());
            let broken = flips.map(|flipped| format!("{name}={flipped}")).chain([
                String::new(),
                format!("{name}="),
                format!("{name}={value}&{name}={value}"),
                format!("{name}={value}&{name}=x"),
            ]);
            for change in broken {
                changes += 1;
                let raw_query = [&others[..], std::slice::from_ref(&change)].concat().join("&");
                let done = vector.done(Request { raw_query, ..vector.request.clone() });
                // An escape in other digits has the same meaning.
                let decoded = |text: &str| percent_encoding::percent_decode_str(text).collect::<Vec<u8>>();
                let is_same = decoded(&change) == decoded(&format!("{name}={value}"));
                // The same signature stands in another parameter too, which counts if this one is absent.
                let from = &verify(vector.preset())["signature"]["from"];
                let is_absent = change.is_empty() || change.ends_with('=');
                let has_other = is_absent && from.as_str().is_some_and(|from| from.contains('|'));
                assert!(done.is_none() || is_same || has_other, "{} {change}", vector.name);
            }
        }
    }
    assert!(changes > 1_000, "{changes}");
}
