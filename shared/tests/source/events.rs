//! Tests of `events`: a delivery is acknowledged and dropped for the name of its event, never because that name cannot
//! be read.

use hookmq_shared::config::{Config, Reading, Samples};
use hookmq_shared::delivery::Delivery;
use hookmq_shared::env::Env;
use hookmq_shared::source::Verdict;
use serde_json::json;

use crate::kit::source::{NOW, request};

const JSON: &str = "application/json";
const PAIRS: &str = "application/x-www-form-urlencoded";
const PARTS: &str = "multipart/form-data; boundary=b";
const XML: &str = "text/xml";

/// Verifies a request by a token and returns the delivery, and the rule that drops it.
fn verified(event: &str, kind: &str, body: &[u8]) -> (Box<Delivery>, Option<String>) {
    let headers = json!([["x-token", "a-token-of-sixteen"], ["content-type", kind]]);
    let request = request("POST", &headers, body.to_vec());
    let text = format!(
        "[hooks.h]\nsecrets = [\"plain:a-token-of-sixteen\"]\ntopic = \"t-1\"\nevents = [\"paid\", \"paid.*\"]\n\
         [hooks.h.verify]\nkind = \"token\"\nfrom = \"header:X-Token\"\nevent = {event}\n"
    );
    let config = Config::parse("hooks.toml", &text, Reading::new(&Env::of([("A", "b")]), Samples::Refused));
    let hook = config.hooks().next().unwrap_or_else(|| panic!("{:?}", config.mistakes));
    let source = hook.source.current().unwrap();
    let Verdict::Verified(delivery) = source.check("h", request, NOW) else {
        panic!("{event}: not verified")
    };
    let rule = hook.drops(&delivery);
    (delivery, rule)
}

fn is_dropped(event: &str, kind: &str, body: &[u8]) -> bool {
    let (delivery, rule) = verified(event, kind, body);
    assert_eq!(delivery.event, None, "{event}: {}", String::from_utf8_lossy(body));
    rule.is_some()
}

fn part(head: &str, value: &str) -> Vec<u8> {
    format!("--b\r\n{head}\r\n\r\n{value}\r\n--b--\r\n").into_bytes()
}

#[test]
fn a_delivery_whose_event_cannot_be_read_is_forwarded() {
    let odd = part("Content-Disposition: form-data; name=\"type\"; size=4", "paid");
    let utf16: Vec<u8> = "{\"type\":\"paid\"}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let many = [
        (JSON, &br#"{"type":"paid","sum":NaN}"#[..]),
        (JSON, b"{\"type\":\"paid\",\"text\":\"a\tb\"}"),
        (JSON, b"\xef\xbb\xbf{\"type\":\"paid\"}"),
        (JSON, b"{\"type\":\"paid\",\"name\":\"\xe9\"}"),
        (JSON, b"{'type':'paid'}"),
        (JSON, b"{\"type\":\"paid\"}{}"),
        (JSON, b"{\"type\":\"paid\""),
        (JSON, b"{\"type\":{\"name\":\"paid\"}}"),
        (JSON, b"{\"type\":[\"paid\"]}"),
        (JSON, b"{\"type\":\"\\ud800\"}"),
        (JSON, &utf16),
        ("", b"paid"),
    ];
    for (kind, body) in many {
        let text = String::from_utf8_lossy(body);
        for event in ["\"json:type\"", "[\"header:X-Event\", \"json:type\"]", "\"header:X-Event|json:type\""]
        {
            assert!(!is_dropped(event, kind, body), "{event}: {text}");
        }
        assert!(
            !is_dropped("[\"form:payload>json:type\", \"json:type\", \"form:command\"]", kind, body),
            "{text}"
        );
    }
    for body in [
        &b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><x><type>paid</type><n>\xe9</n></x>"[..],
        b"<?xml version=\"1.0\" encoding=\"utf-7\"?><x><type>paid</type></x>",
        b"<!DOCTYPE x><x><type>paid</type></x>",
        b"<x><type>paid</type><n>&eacute;</n></x>",
        b"<x><!-- a --><type>paid</type></x>",
        b"<x><type>paid</type>",
        b"<x><type><name>paid</name></type></x>",
        b"<x><type>paid<br/></type></x>",
    ] {
        for event in ["\"xml:type\"", "[\"xml:type\", \"json:type\"]"] {
            assert!(!is_dropped(event, XML, body), "{event}: {}", String::from_utf8_lossy(body));
        }
    }
    assert!(!is_dropped("\"form:type\"", PARTS, &odd));
    assert!(!is_dropped("\"form:type\"", PARTS, &[b"preamble\r\n", &odd[..]].concat()));
    assert!(!is_dropped("\"form:type\"", JSON, br#"{"type":"paid"}"#));
    for body in [&br#"[{"type":"paid"}]"#[..], b"\"paid\""] {
        assert!(!is_dropped("\"json:type\"", JSON, body));
    }
    assert!(!is_dropped("\"form:type\"", PAIRS, b"type=pa%ffid"));
    assert!(!is_dropped("\"form:payload>json:type\"", PAIRS, b"payload={type:paid}"));
    assert!(!is_dropped("\"form:payload>json:type\"", PAIRS, b"payload=%7B%22type%22%3A%7B%7D%7D"));
}

#[test]
fn white_space_around_an_event_is_not_a_part_of_its_name() {
    for (event, kind, body) in [
        ("\"xml:type\"", XML, &b"<x><type>\n  paid\n</type></x>"[..]),
        ("\"xml:type\"", XML, b"<x><type>\n<![CDATA[paid]]>\n</type></x>"),
        ("\"json:type\"", JSON, br#"{"type":"paid "}"#),
        ("\"form:type\"", PAIRS, b"type=paid%0D%0A"),
    ] {
        assert_eq!(verified(event, kind, body).1, None, "{event}");
    }
}

#[test]
fn a_delivery_without_an_event_is_dropped() {
    for (event, kind, body) in [
        ("\"json:type\"", JSON, &b"{}"[..]),
        ("\"json:type\"", JSON, br#"{"type":null}"#),
        ("\"json:type\"", JSON, br#"{"type":""}"#),
        ("\"json:type\"", JSON, b""),
        ("\"xml:type\"", XML, b"<x/>"),
        ("[\"xml:type\", \"json:type\"]", JSON, b"{}"),
        ("[\"json:type\", \"form:type\"]", PAIRS, b"a=1"),
        ("[\"json:type\", \"form:type\"]", PARTS, &part("Content-Disposition: form-data; name=\"a\"", "1")),
        ("[\"json:type\", \"form:payload>json:type\"]", PAIRS, b"payload={}"),
        ("\"form:type\"", PAIRS, b"a=1"),
        ("\"header:X-Event\"", JSON, b"{'type':'paid'}"),
    ] {
        assert!(is_dropped(event, kind, body), "{event}: {}", String::from_utf8_lossy(body));
    }
}

/// The content type is not signed, so whoever replays a body could make a form of it.
#[test]
fn a_consumer_is_told_the_type_of_the_body_that_was_verified() {
    let body = r#"{"type":"paid","text":"&payload={}"}"#;
    for kind in [PAIRS, PARTS, JSON] {
        let (delivery, _) = verified("\"json:type\"", kind, body.as_bytes());
        assert_eq!(delivery.content_type.as_deref(), Some(JSON), "{kind}");
        let kept: Vec<_> = delivery.headers.iter().filter(|(name, _)| name == "content-type").collect();
        assert!(kept.iter().all(|(_, value)| value == JSON), "{kept:?}");
    }
}

/// Texts of users stand in JSON, and make no fields of a form.
#[test]
fn a_body_of_json_has_no_fields_of_a_form() {
    let body = r#"{"type":"paid","text":"hi&type=other&"}"#;
    let bom = format!("\u{feff}{body}");
    for kind in ["text/plain", "application/octet-stream", "", JSON, "application/x-ndjson"] {
        let (delivery, rule) = verified("[\"form:type\", \"json:type\"]", kind, body.as_bytes());
        assert_eq!((delivery.event.as_deref(), rule), (Some("paid"), None), "{kind}");
        let (delivery, rule) = verified("[\"json:type\", \"form:type\"]", kind, bom.as_bytes());
        assert_eq!((delivery.event.as_deref(), rule), (None, None), "{kind}");
    }
}

#[test]
fn a_batch_is_not_dropped_for_its_first_event() {
    for (event, body, is_kept) in [
        ("\"json:0.type\"", &br#"[{"type":"sent"},{"type":"paid"}]"#[..], true),
        ("\"json:0.type\"", br#"[{"type":"sent"}]"#, false),
        ("\"json:events.0.type\"", br#"{"events":[{"type":"sent"},{"type":"paid"}]}"#, true),
        ("\"json:events.0.type\"", br#"{"events":[{"type":"sent"}]}"#, false),
        ("\"json:type\"", br#"{"type":"sent"}"#, false),
    ] {
        let (delivery, rule) = verified(event, JSON, body);
        assert_eq!((delivery.event.as_deref(), rule.is_none()), (Some("sent"), is_kept), "{event}");
    }
}
