//! Mutation tests of the grammar's words: a request of each word is broken at every byte, loses, doubles and gains
//! fields, and is refused or delivers exactly what its sender signed.
//!
//! `mutations.rs` does the same with the requests of all presets. Here each table names the delivery by signed
//! fields alone, so that nothing of it may differ.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use hookmq_shared::delivery::Coverage;
use hookmq_shared::http::{Headers, Request};
use hookmq_shared::source::{Settings, Source, Verdict};
use miniz_oxide::deflate::{compress_to_vec, compress_to_vec_zlib};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use ring::{digest, hmac};
use serde_json::json;

use crate::kit::source::{NOW, custom, request, settings};

const SECRET: &str = "correct horse battery";
/// Secret of another customer of the same provider, who can sign whatever he likes with it.
const OTHER: &str = "another horse battery";

/// Table with a word, and a request that its sender signed.
struct Word {
    name: &'static str,
    table: String,
    source: Source,
    request: Request,
}

/// Effect of a request that is not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Delivered {
    /// `None` if the signature does not cover it.
    body: Option<Bytes>,
    names: [Option<String>; 3],
}

impl Word {
    fn new(name: &'static str, table: &str, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Self {
        let source = custom(table, settings(&json!([SECRET]))).unwrap();
        Self { name, table: table.to_owned(), source, request: request("POST", &json!(headers), body.into()) }
    }

    fn delivered(&self, request: Request) -> Option<Delivered> {
        match self.source.check("h", request, NOW) {
            Verdict::Verified(delivery) => {
                let id = delivery.id_from_provider.then(|| delivery.id.clone());
                let names = [id, delivery.event.clone(), delivery.subject.clone()];
                let body = Some(delivery.body.clone()).filter(|_| delivery.coverage == Coverage::Body);
                Some(Delivered { body, names })
            }
            Verdict::Rejected(_) => None,
            other => panic!("{}: {other:?}", self.name),
        }
    }
}

fn mac(parts: &[&[u8]]) -> Vec<u8> {
    mac_by(SECRET, parts)
}

fn mac_by(secret: &str, parts: &[&[u8]]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), &parts.concat()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_le_bytes();
    let head = b"\x1f\x8b\x08\x1e\0\0\0\0\0\x03\x03\0abcname\0comment\0cc";
    [&head[..], &compress_to_vec(content, 9), b"csum", &length].concat()
}

fn part(name: &str, value: &str) -> String {
    format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
}

/// Returns a table of this signature and these signed parts, with further lines.
fn table(signature: &str, signed: &str, more: &str) -> String {
    let head = "kind = \"hmac\"\nhash = \"sha256\"";
    format!("{head}\nsignature = {{ {signature} }}\nsigned = [{signed}]\n{more}")
}

const EVENT: &[u8] =
    br#"{"id":"evt_1","type":"paid","list":[1,2,3,4,5,6,7,8,9,10],"a":"aaaaaaaaaaaaaaaaaaaaaaaa"}"#;
const HEX: &str = "from = \"header:S\", encoding = \"hex\"";
const NAMES: &str = "id = \"json:id\"\nevent = \"json:type\"";

fn codings() -> Vec<Word> {
    let decoded = table(HEX, "\"{body}\"", &format!("content_coding = \"decoded\"\n{NAMES}"));
    let signature = hex(&mac(&[EVENT]));
    let word = |name, coding: &str, body| {
        Word::new(name, &decoded, &[("S", &signature), ("Content-Encoding", coding)], body)
    };
    vec![
        word("gzip", "gzip", gzip(EVENT)),
        word("gzip without compression", "x-gzip", {
            let length = u32::try_from(EVENT.len()).unwrap().to_le_bytes();
            let head = b"\x1f\x8b\x08\0\0\0\0\0\0\x03";
            [&head[..], &compress_to_vec(EVENT, 0), b"csum", &length].concat()
        }),
        word("deflate", "deflate", compress_to_vec_zlib(EVENT, 9)),
        Word::new("a coding that is turned on and not used", &decoded, &[("S", &signature)], EVENT),
        // What was signed is the compressed text, and so it is what travels.
        Word::new(
            "a coding as it was received",
            &table(HEX, "\"{body}\"", ""),
            &[("S", &hex(&mac(&[&gzip(EVENT)]))), ("Content-Encoding", "gzip")],
            gzip(EVENT),
        ),
    ]
}

fn aliases() -> Vec<Word> {
    let alias = table(
        "from = \"header:S|header:S-Old\", encoding = \"hex\"",
        "\"{header:Id|header:Id-Old}\", \".\", \"{header:T|header:T-Old}\", \".\", \"{body}\"",
        "timestamp = { from = \"header:T|header:T-Old\", unit = \"s\" }\nid = \"header:Id|header:Id-Old\"",
    );
    let signature = hex(&mac(&[b"id-1.1760000000.", EVENT]));
    let form = table(
        "from = \"json:sig|form:sig\", encoding = \"hex\"",
        "\"{json:t|form:t}\", \"{json:token|form:token}\"",
        "timestamp = { from = \"json:t|form:t\", unit = \"s\" }\nid = \"json:token|form:token\"",
    );
    let token_signature = hex(&mac(&[b"1760000000", b"abc"]));
    let parts =
        part("t", "1760000000") + &part("token", "abc") + &part("sig", &token_signature) + "--b--\r\n";
    vec![
        Word::new(
            "aliases, the new",
            &alias,
            &[("S", &signature), ("Id", "id-1"), ("T", "1760000000")],
            EVENT,
        ),
        Word::new(
            "aliases, the old",
            &alias,
            &[("S-Old", &signature), ("Id-Old", "id-1"), ("T-Old", "1760000000")],
            EVENT,
        ),
        Word::new(
            "aliases, JSON",
            &form,
            &[],
            format!(r#"{{"t":1760000000,"token":"abc","sig":"{token_signature}"}}"#),
        ),
        Word::new("aliases, a form", &form, &[], format!("t=1760000000&token=abc&sig={token_signature}")),
        Word::new(
            "aliases, several parts",
            &form,
            &[("Content-Type", "multipart/form-data; boundary=b")],
            parts,
        ),
    ]
}

fn signatures() -> Vec<Word> {
    let good = mac(&[EVENT]);
    let bad = mac_by(OTHER, &[EVENT]);
    let word = |name, signature: &str, headers: &[(&str, &str)]| {
        Word::new(name, &table(signature, "\"{body}\"", NAMES), headers, EVENT)
    };
    let (good64, bad64) = (base64(&good), base64(&bad));
    let kv = |signature: &[u8]| format!("t=1760000000,v1={}", hex(signature));
    let at = mac(&[b"1760000000.", EVENT]);
    let pairs = "from = \"header:S\", format = \"kv\", sep = \",\", take = \"v1\", single = [\"t\"], sets = \" \", encoding = \"hex\"";
    let time = format!("timestamp = {{ from = \"sigkv:t\", unit = \"s\" }}\n{NAMES}");
    let sets = table(pairs, "\"{sigkv:t}\", \".\", \"{body}\"", &time);
    vec![
        word(
            "numbered",
            "from = \"header:S-*\", several = true, encoding = \"base64\"",
            &[("S-1", &bad64), ("S-2", &good64)],
        ),
        word(
            "repeated",
            "from = \"header:S\", several = true, encoding = \"base64\"",
            &[("S", &bad64), ("S", &good64)],
        ),
        word(
            "of two names",
            "from = \"header:S|header:Z\", several = true, encoding = \"base64\"",
            &[("S", &bad64), ("Z", &good64)],
        ),
        word(
            "a list with commas",
            "from = \"header:S\", format = \"list\", sep = \" \", take = \"v1,\", commas = true, encoding = \"base64\"",
            &[("S", &format!("v1,{bad64}, v1,{good64},"))],
        ),
        word(
            "a prefix",
            "from = \"header:S\", prefix = \"sha256=\", or_bare = true, encoding = \"hex\"",
            &[("S", &format!("sha256={}", hex(&good)))],
        ),
        word(
            "a prefix that is left out",
            "from = \"header:S\", prefix = \"sha256=\", or_bare = true, encoding = \"hex\"",
            &[("S", &hex(&good))],
        ),
        Word::new("sets", &sets, &[("S", &format!("{} {}", kv(&bad), kv(&at)))], EVENT),
        Word::new("one set", &sets, &[("S", &kv(&at))], EVENT),
    ]
}

fn digests() -> Vec<Word> {
    let sum = digest::digest(&digest::SHA256, EVENT);
    let sum = sum.as_ref();
    let word = |name, part: &str, text: &[u8]| {
        let signed = format!("\"{{header:T}}\", \".\", \"{part}\"");
        let more = format!("timestamp = {{ from = \"header:T\", unit = \"s\" }}\n{NAMES}");
        let signature = hex(&mac(&[b"1760000000.", text]));
        Word::new(name, &table(HEX, &signed, &more), &[("S", &signature), ("T", "1760000000")], EVENT)
    };
    vec![
        word("a digest", "{sha256(body)}", sum),
        word("a digest in hex", "{sha256(body):hex}", hex(sum).as_bytes()),
        word("a digest in base64", "{sha256(body):base64}", base64(sum).as_bytes()),
    ]
}

fn fields() -> Vec<Word> {
    let word = |name, more: &str, signed: &str, headers: &[(&str, &str)], text: &str| {
        let signature = hex(&mac(&[text.as_bytes(), b".", EVENT]));
        let headers = [&[("S", signature.as_str())], headers].concat();
        Word::new(name, &table(HEX, &format!("{signed}, \".\", \"{{body}}\""), more), &headers, EVENT)
    };
    let inner = r#"{"type":"block_actions","trigger_id":"1","token":"abc"}"#;
    let form = format!("payload={}", utf8_percent_encode(inner, NON_ALPHANUMERIC));
    let inside = "event = \"form:payload>json:type\"\nid = \"form:payload>json:trigger_id\"";
    let kind = "event = [\"header:K==revocation\", \"header:E\"]";
    let pin = format!("require = [{{ from = \"header:V\", in = [\"2\"], optional = true }}]\n{NAMES}");
    let joined = "event = \"{header:E}.{json:type}\"";
    vec![
        Word::new(
            "inside",
            &table(HEX, "\"{body}\"", inside),
            &[("S", &hex(&mac(&[form.as_bytes()])))],
            form.as_str(),
        ),
        Word::new(
            "inside, signed by its parts",
            &table(
                HEX,
                "\"{form:payload>json:token}\", \"{form:payload>json:type}\"",
                "event = \"form:payload>json:type\"",
            ),
            &[("S", &hex(&mac(&[b"abc", b"block_actions"])))],
            form.as_str(),
        ),
        Word::new(
            "unwrap",
            &table(HEX, "\"{body}\"", "unwrap = \"form:payload\"\nevent = \"json:type\""),
            &[("S", &hex(&mac(&[inner.as_bytes()]))), ("Content-Type", "application/x-www-form-urlencoded")],
            form.as_str(),
        ),
        word(
            "equal",
            kind,
            "\"{header:K}\", \"{header:E}\"",
            &[("K", "revocation"), ("E", "follow")],
            "revocationfollow",
        ),
        word(
            "not equal",
            kind,
            "\"{header:K}\", \"{header:E}\"",
            &[("K", "notification"), ("E", "follow")],
            "notificationfollow",
        ),
        word(
            "the first of a list",
            "event = \"header:E#1\"",
            "\"{header:E}\"",
            &[("E", "users.1.update,users.*")],
            "users.1.update,users.*",
        ),
        word("joined", joined, "\"{header:E}\"", &[("E", "issue")], "issue"),
        word("an optional pin that is there", &pin, "\"{header:V?}\"", &[("V", "2")], "2"),
        word("an optional pin that is not", &pin, "\"{header:V?}\"", &[], ""),
    ]
}

fn urls() -> Vec<Word> {
    let spelled = |name, signed: &str| {
        let table = table(
            HEX,
            "\"{url}\", \"{body}\"",
            &format!("url = [\"no-port\", \"port\", \"decoded\"]\n{NAMES}"),
        );
        let url = Some("https://h.example:8443/h%2Ci?a=%27b%27".to_owned());
        let source = custom(&table, Settings { url, ..settings(&json!([SECRET])) }).unwrap();
        let headers = json!([["S", hex(&mac(&[signed.as_bytes(), EVENT]))]]);
        let request = Request {
            path: "/h%2Ci".to_owned(),
            raw_query: "a=%27b%27".to_owned(),
            ..request("POST", &headers, EVENT.to_vec())
        };
        Word { name, table, source, request }
    };
    vec![
        spelled("a URL without its port", "https://h.example/h%2Ci?a=%27b%27"),
        spelled("a URL with its port", "https://h.example:8443/h%2Ci?a=%27b%27"),
        spelled("a URL without escapes", "https://h.example:8443/h,i?a='b'"),
    ]
}

fn words() -> Vec<Word> {
    let all = [codings(), aliases(), signatures(), digests(), fields(), urls()];
    let all: Vec<Word> = all.into_iter().flatten().collect();
    for word in &all {
        assert!(word.delivered(word.request.clone()).is_some(), "{} is not accepted", word.name);
    }
    all
}

/// Yields copies with one bit flipped, one byte missing, one byte more and the end cut off, at each place, and a
/// doubled one.
fn broken(value: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let value = value.to_vec();
    let at = value.clone();
    let places = (0..value.len()).flat_map(move |place| {
        let (before, rest) = at.split_at(place);
        let flipped = [before, &[rest[0] ^ 1 << (place % 8)], &rest[1..]].concat();
        [flipped, [before, &rest[1..]].concat(), [before, b"1", rest].concat(), before.to_vec()]
    });
    places.chain([[&*value, b"\0"].concat(), value.repeat(2)])
}

/// Returns the request with other values for a header field: none, one or several.
fn with(request: &Request, name: &str, values: &[&[u8]]) -> Request {
    let others = request.headers.iter().filter(|(found, _)| *found != name);
    let mut headers: Headers = others.map(|(name, value)| (name, Bytes::copy_from_slice(value))).collect();
    for value in values {
        headers.push(name, value.to_vec());
    }
    Request { headers, ..request.clone() }
}

impl Word {
    /// Asserts that the request is refused, or delivers what the sender signed.
    fn assert_sound(&self, request: Request, change: &dyn std::fmt::Debug) {
        let good = self.delivered(self.request.clone());
        let done = self.delivered(request);
        assert!(done.is_none() || done == good, "{}, {change:?}: {done:?}", self.name);
    }

    /// Returns the names of header fields that the table or the request has, and neighbours of patterns.
    fn header_names(&self) -> BTreeSet<String> {
        let read = self.table.split("header:").skip(1);
        let read = read.map(|rest| rest.split(['"', '}', '?', '|', '#', '=']).next().unwrap().to_owned());
        let numbers = |name: String| match name.strip_suffix('*') {
            Some(start) => (0..4).map(|n| format!("{start}{n}")).collect(),
            None => vec![name],
        };
        let present = self.request.headers.iter().map(|(name, _)| name.to_owned());
        let more = ["content-encoding", "content-type"].map(str::to_owned);
        let names = read.flat_map(numbers).chain(present).chain(more);
        names.map(|name| name.to_ascii_lowercase()).collect()
    }
}

#[test]
fn another_secret_signs_nothing_of_it() {
    for word in words() {
        let url = Some("https://h.example:8443/h%2Ci?a=%27b%27".to_owned());
        let source = custom(&word.table, Settings { url, ..settings(&json!([OTHER])) }).unwrap();
        let is_by_both = ["numbered", "repeated", "of two names", "a list with commas"].contains(&word.name);
        let verdict = source.check("h", word.request.clone(), NOW);
        assert_eq!(matches!(verdict, Verdict::Verified(_)), is_by_both, "{}: {verdict:?}", word.name);
    }
}

#[test]
fn no_header_field_can_be_changed_added_or_left_out() {
    let mut changes = 0;
    for word in words() {
        let forged = [hex(&mac_by(OTHER, &[EVENT])), base64(&mac_by(OTHER, &[EVENT]))];
        for name in word.header_names() {
            let values: Vec<Vec<u8>> = word.request.headers.all(&name).map(<[u8]>::to_vec).collect();
            let right = values.first().cloned().unwrap_or_default();
            let others = ["", "x", "2", "3", "1760000001", "revocation", "gzip", "deflate", "identity", "br"];
            let types =
                ["application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"];
            let others = others.into_iter().chain(types).chain(forged.iter().map(String::as_str));
            let mut sets: Vec<Vec<Vec<u8>>> = vec![vec![]];
            for other in others.map(|other| other.as_bytes().to_vec()) {
                sets.extend([
                    vec![other.clone()],
                    vec![other.clone(), right.clone()],
                    vec![right.clone(), other.clone()],
                    vec![[&*other, b", ", &*right].concat()],
                    vec![[&*right, b",", &*other].concat()],
                ]);
            }
            for place in 0..values.len() {
                let broken = broken(&values[place]).map(|broken| {
                    let mut values = values.clone();
                    values[place] = broken;
                    values
                });
                sets.extend(broken);
            }
            for set in sets {
                changes += 1;
                let set: Vec<&[u8]> = set.iter().map(Vec::as_slice).collect();
                word.assert_sound(with(&word.request, &name, &set), &(&name, &set));
            }
        }
    }
    assert!(changes > 10_000, "{changes}");
}

#[test]
fn no_byte_of_a_body_can_be_changed_added_or_left_out() {
    let mut changes = 0;
    for word in words() {
        for body in broken(&word.request.body) {
            changes += 1;
            let what = String::from_utf8_lossy(&body).into_owned();
            word.assert_sound(Request { body: body.into(), ..word.request.clone() }, &what);
        }
    }
    assert!(changes > 10_000, "{changes}");
}

/// Other content in the same wrapping: compressed, in a form or in several parts.
#[test]
fn no_other_content_stands_for_what_was_signed() {
    let forged: &[u8] = br#"{"id":"evt_2","type":"refunded","t":1760000000,"token":"abd","trigger_id":"2"}"#;
    let text = std::str::from_utf8(forged).unwrap();
    let escaped = utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let parts = |values: &[(&str, &str)]| {
        values.iter().map(|(name, value)| part(name, value)).collect::<String>() + "--b--\r\n"
    };
    for word in words() {
        let genuine = &*word.request.body;
        let other = [
            forged.to_vec(),
            gzip(forged),
            compress_to_vec_zlib(forged, 9),
            // A member before and behind the genuine one, and one with a length that agrees with the first.
            [gzip(forged), gzip(EVENT)].concat(),
            [gzip(EVENT), gzip(forged)].concat(),
            [gzip(EVENT), gzip(EVENT)].concat(),
            [gzip(EVENT), forged.to_vec()].concat(),
            [genuine, forged].concat(),
            [forged, genuine].concat(),
            format!("payload={escaped}").into_bytes(),
            format!("payload={escaped}&{}", String::from_utf8_lossy(genuine)).into_bytes(),
            format!("{}&payload={escaped}", String::from_utf8_lossy(genuine)).into_bytes(),
            parts(&[("payload", text)]).into_bytes(),
            parts(&[("t", "1760000000"), ("token", "abd"), ("sig", &hex(&mac(&[b"1760000000", b"abc"])))])
                .into_bytes(),
            parts(&[("t", "1760000001"), ("token", "abc"), ("sig", &hex(&mac(&[b"1760000000", b"abc"])))])
                .into_bytes(),
        ];
        let types = ["", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"];
        for (number, body) in other.iter().enumerate() {
            for kind in types {
                for coding in ["", "gzip", "deflate"] {
                    let mut request = Request { body: body.clone().into(), ..word.request.clone() };
                    if !kind.is_empty() {
                        request = with(&request, "content-type", &[kind.as_bytes()]);
                    }
                    if !coding.is_empty() {
                        request = with(&request, "content-encoding", &[coding.as_bytes()]);
                    }
                    word.assert_sound(request, &(number, kind, coding));
                }
            }
        }
    }
}

#[test]
fn no_byte_of_a_signed_query_can_be_changed_added_or_left_out() {
    for word in urls() {
        for query in broken(word.request.raw_query.as_bytes()) {
            let raw_query = String::from_utf8_lossy(&query).into_owned();
            word.assert_sound(Request { raw_query: raw_query.clone(), ..word.request.clone() }, &raw_query);
        }
    }
}

/// A pin guards against what the sender itself signs, or anybody with its key: an older version, another algorithm.
#[test]
fn an_optional_pin_takes_no_other_value_whoever_signed_it() {
    let pinned = "require = [{ from = \"header:V\", in = [\"2\"], optional = true }]";
    let table = table(HEX, "\"{header:V?}\", \".\", \"{body}\"", pinned);
    for (value, is_accepted) in [("2", true), ("3", false), ("22", false), ("two", false)] {
        let signature = hex(&mac(&[value.as_bytes(), b".", EVENT]));
        let word = Word::new("a pin", &table, &[("S", &signature), ("V", value)], EVENT);
        assert_eq!(word.delivered(word.request.clone()).is_some(), is_accepted, "{value}");
    }
}
