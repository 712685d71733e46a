//! Tests of `parts`.

use super::*;
use crate::source::scheme::field::tests::request;

fn fill(part: &str, headers: &[(&str, &str)], body: &str) -> Result<String, &'static str> {
    let request = request("", headers, body);
    let view = View::of(&request, None);
    let filled = Compound::parse(part).unwrap().fill(&view, Empty::LeftOut);
    filled.map(|bytes| String::from_utf8(bytes.into_owned()).unwrap()).map_err(|r| r.as_str())
}

#[test]
fn crc32_is_that_of_zip() {
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    let bytes: Vec<u8> = (0..=255).collect();
    assert_eq!(crc32(&bytes), 0x2905_8c73);
    assert_eq!(fill("crc32(body)", &[], "").as_deref(), Ok("0"));
}

#[test]
fn lines_are_of_strings_that_are_there_once() {
    let part = "fieldlines:m,id,s?";
    assert_eq!(fill(part, &[], r#"{"id":"1","m":"a\nb","x":2}"#).as_deref(), Ok("m\na\nb\nid\n1\n"));
    assert!(["fieldlines:", "fieldlines:, ,"].into_iter().all(|none| Compound::parse(none).is_none()));
    assert_eq!(fill(part, &[], r#"{"m":"a","id":"1","s":"t"}"#).as_deref(), Ok("m\na\nid\n1\ns\nt\n"));
    assert_eq!(fill(part, &[], r#"{"m":"a","id":"1","s":""}"#).as_deref(), Ok("m\na\nid\n1\n"));
    assert_eq!(fill(part, &[], r#"{"m":"a","id":"1","s":null}"#).as_deref(), Ok("m\na\nid\n1\n"));
    for (body, want) in [
        (r#"{"m":null,"id":"1"}"#, "malformed"),
        (r#"{"m":"a"}"#, "missing"),
        (r#"{"m":"","id":"1"}"#, "missing"),
        (r#"{"m":1,"id":"1"}"#, "malformed"),
        (r#"{"m":"a","id":"1\ns\nt"}"#, "malformed"),
        (r#"{"m":"a","id":"1","id":"2"}"#, "ambiguous"),
        (r#"{"m":"a","id":"1","x":1,"\u0078":2}"#, "ambiguous"),
        (r#"["m"]"#, "malformed"),
        ("", "malformed"),
    ] {
        assert_eq!(fill(part, &[], body), Err(want), "{body}");
    }
}

#[test]
fn header_fields_and_pairs_are_sorted() {
    let headers = [("X-B-2", "2"), ("x-a", "0"), ("x-b-1", " 1")];
    assert_eq!(fill("canon_headers:x-b-", &headers, "").as_deref(), Ok("x-b-1: 1\nx-b-2:2\n"));
    let twice = [("x-b", "1"), ("X-B", "1")];
    assert_eq!(fill("canon_headers:x-b", &twice, ""), Err("ambiguous"));
    let form = "b=2+%26&sign=x&a=%E4%BD%A0&c";
    assert_eq!(fill("sorted_pairs:sign,sign_type", &[], form).as_deref(), Ok("a=你&b=2 &"));
    assert_eq!(fill("sorted_pairs:sign", &[], "a=1&a=1"), Err("ambiguous"));
    assert_eq!(fill("sorted_form", &[], "b=%2B+x&B=&a=2&a=1&a=2&c").as_deref(), Ok("Ba1a2b+ xc"));
    assert_eq!(fill("sorted_form", &[], "").as_deref(), Ok(""));
}

/// Long field names of a sender do not appear in error messages, and a form with too many pairs is
/// refused: both limits protect the log and the memory.
#[test]
fn neither_names_nor_numbers_of_fields_are_the_senders_choice() {
    let long = "x".repeat(100_000);
    for (part, headers, body) in [
        ("sorted_pairs:sign", &[][..], format!("{long}=1&{long}=2")),
        ("canon_headers:x", &[(long.as_str(), "1"), (&long, "2")], String::new()),
    ] {
        let request = request("", headers, &body);
        let rejection = Compound::parse(part).unwrap().fill(&View::of(&request, None), Empty::LeftOut);
        let text = rejection.unwrap_err().to_string();
        assert!(text.ends_with("is given more than once") && text.len() < 100, "{}", text.len());
    }
    for part in ["sorted_form", "sorted_pairs:sign"] {
        let form = |count: usize| {
            let pairs: Vec<String> = (0..count).map(|i| format!("{i}=")).collect();
            fill(part, &[], &pairs.join("&")).map(drop)
        };
        assert_eq!((form(MAX_PARTS), form(MAX_PARTS + 1)), (Ok(()), Err("malformed")), "{part}");
    }
}

/// Bytes that are a form of parts and a form of pairs have one reading: its fields are read from the parts, so
/// the pairs are not what a signature covers.
#[test]
fn a_form_of_several_parts_has_no_pairs() {
    let parts = "--b&sign=\r\nContent-Disposition: form-data; name=\"app_id\"\r\n\r\nvictim\r\n--b&sign=--";
    for part in ["sorted_pairs:sign", "sorted_form"] {
        assert_eq!(fill(part, &[], &format!("{parts}&app_id=attacker")), Err("malformed"), "{part}");
        assert!(fill(part, &[], "--b&app_id=attacker").is_ok(), "{part}");
    }
}

#[test]
fn an_optional_field_is_a_scalar_or_nothing() {
    let part = "json:a.b?";
    for (body, want) in [
        (r#"{"a":{"b":"x"}}"#, Ok("x")),
        (r#"{"a":{"b":1}}"#, Ok("1")),
        (r#"{"a":{"b":""}}"#, Ok("")),
        (r#"{"a":{"b":null}}"#, Ok("")),
        (r#"{"a":{}}"#, Ok("")),
        ("{}", Ok("")),
        (r#"{"a":{"b":{}}}"#, Err("malformed")),
        (r#"{"a":{"b":[]}}"#, Err("malformed")),
        (r#"{"a":{"b":"\ud800"}}"#, Err("malformed")),
        (r#"{"a":{"b":1,"b":2}}"#, Err("ambiguous")),
        ("", Err("malformed")),
    ] {
        assert_eq!(fill(part, &[], body).as_deref().map_err(|error| *error), want, "{body}");
    }
}

#[test]
fn the_fields_that_a_list_names_are_signed() {
    let headers = [("Signed", "X-B,x-a,x-c"), ("X-A", "1"), ("x-b", "2; 3"), ("X-D", "4")];
    assert_eq!(fill("named_headers:header:Signed", &headers, "").as_deref(), Ok("x-a:1;x-b:2; 3"));
    assert_eq!(fill("named_headers:header:Signed,X-A", &headers, "").as_deref(), Ok("x-a:1;x-b:2; 3"));
    assert_eq!(fill("named_headers:header:Signed,X-D", &headers, ""), Err("missing"));
    assert_eq!(fill("named_headers:header:Other", &headers, ""), Err("missing"));
    let twice = [("Signed", "x-a"), ("X-A", "1"), ("x-a", "1")];
    assert_eq!(fill("named_headers:header:Signed", &twice, ""), Err("ambiguous"));
    assert_eq!(fill("named_values:header:Signed", &twice, "{}"), Err("ambiguous"));

    let headers = [("Signed", "x-b x-c x-a"), ("X-A", "1"), ("x-b", "2.0")];
    assert_eq!(fill("named_values:header:Signed", &headers, "{}").as_deref(), Ok("2.0..1"));
    // Nothing may move between a value and the body behind it.
    assert_eq!(fill("named_values:header:Signed", &headers, "x.{}"), Err("malformed"));
    let brace = [("Signed", "x-a"), ("X-A", "1.{\"a\":1")];
    assert_eq!(fill("named_values:header:Signed", &brace, "{}"), Err("malformed"));
}

#[test]
fn a_list_covers_what_it_must_hold() {
    let field = |name: &str| Field::parse(name).unwrap();
    let named = Compound::parse("named_headers:header:Signed,x-time").unwrap();
    assert!(named.covers(&field("header:X-Time")) && !named.covers(&field("header:X-Other")));
    assert!(!Compound::parse("named_values:sigkv:h,x-time").unwrap().covers(&field("header:X-Time")));
    assert!(Compound::parse("named_values:nothing").is_none());
}
