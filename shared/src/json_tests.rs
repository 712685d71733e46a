//! Tests of `json`.

use super::*;

fn get(body: &str, path: &str) -> Option<String> {
    text(body.as_bytes(), path).unwrap().map(Cow::into_owned)
}

#[test]
fn fields_are_found_as_written() {
    let body =
        r#" {"a":{"b":[10,{"c":"x\u0041é"}]},"n":1.50,"big":18446744073709551616,"t":true,"z":null,"o":{}} "#;
    assert_eq!(get(body, "a.b.1.c").as_deref(), Some("xAé"));
    assert_eq!(get(body, "a.b.0").as_deref(), Some("10"));
    assert_eq!(get(body, "n").as_deref(), Some("1.50"));
    assert_eq!(get(body, "big").as_deref(), Some("18446744073709551616"));
    assert_eq!(get(body, "t").as_deref(), Some("true"));
    for path in ["z", "o", "a", "a.b", "a.b.2", "a.b.1.c.d", "n.x", "missing", "", "a.b.-1"] {
        assert_eq!(get(body, path), None, "{path}");
    }
}

#[test]
fn strings_are_written_as_serde_writes_them_and_their_length_is_known() {
    let all: String = (0..0x3000).filter_map(char::from_u32).collect();
    let each = "\u{1}\u{1f}\u{7f}\"\\\n\r\t\u{8}\u{c}é\u{1F600}\u{80}!# ";
    let (six, two, none) = ("\u{1f}".repeat(2100), "\n\"".repeat(1500), "\u{7f} é".repeat(999));
    let turned: Vec<String> = (0..9).map(|n| "x".repeat(n) + &each.repeat(150)).collect();
    let texts = ["", "plain", each, &six, &two, &none, &all].into_iter();
    for text in texts.chain(turned.iter().map(String::as_str)) {
        let mut out = "before".to_owned();
        write_string(&mut out, text);
        assert_eq!(out, format!("before{}", serde_json::to_string(text).unwrap()));
        assert_eq!(out.len() - "before".len(), string_len(text), "{text:?}");
    }
}

#[test]
fn a_doubled_key_on_the_path_is_refused() {
    assert_eq!(find(br#"{"a":1,"a":2}"#, "a").err(), Some(JsonError::Duplicate));
    assert_eq!(find(br#"{"a":1,"\u0061":2}"#, "a").err(), Some(JsonError::Duplicate));
    assert_eq!(find(br#"{"x":1,"x":2,"a":3}"#, "a").unwrap().unwrap().get(), "3");
}

#[test]
fn members_are_all_there_once() {
    let found = members(br#" {"a":"x\u0041", "\u0062" : [1], "c":null} "#).unwrap();
    let found: Vec<_> = found.iter().map(|(key, raw)| (key.as_ref(), raw.get(), string(raw))).collect();
    let want = [("a", r#""x\u0041""#, Some("xA".into())), ("b", "[1]", None), ("c", "null", None)];
    assert_eq!(found, want);
    assert_eq!(members(br#"{"a":1,"b":2,"\u0061":3}"#).err(), Some(JsonError::Duplicate));
    for body in ["", "[]", "1", "{", "{} x"] {
        assert_eq!(members(body.as_bytes()).err(), Some(JsonError::Invalid), "{body}");
    }
}

#[test]
fn lists_are_bounded() {
    let list = |count: usize| {
        let items = vec!["1"; count].join(",");
        let members: Vec<String> = (0..count).map(|i| format!("\"{i}\":1")).collect();
        (format!("[{items}]"), format!("{{\"a\":[{items}]}}"), format!("{{{}}}", members.join(",")))
    };
    let (_, array, object) = list(MAX_PARTS);
    assert_eq!(items(array.as_bytes(), "a").unwrap().unwrap().len(), MAX_PARTS);
    assert_eq!(members(object.as_bytes()).unwrap().len(), MAX_PARTS);
    let (plain, array, object) = list(MAX_PARTS + 1);
    assert_eq!(items(array.as_bytes(), "a"), Err(JsonError::Invalid));
    assert_eq!(members(object.as_bytes()).err(), Some(JsonError::Invalid));
    assert!(is_valid(&plain) && find(array.as_bytes(), "a").unwrap().is_some());
}

#[test]
fn what_is_not_json_is_an_error() {
    for body in ["", "{", r#"{"a":1}x"#, r#"{"a":1,}"#, "{'a':1}", "\u{feff}{}"] {
        assert_eq!(find(body.as_bytes(), "a").err(), Some(JsonError::Invalid), "{body}");
    }
    assert_eq!(find(b"{\"a\":\"\xff\"}", "a").err(), Some(JsonError::Invalid));
}

#[test]
fn nesting_has_no_limit_off_the_path() {
    let deep = format!(r#"{{"d":{}{},"a":"x"}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(get(&deep, "a").as_deref(), Some("x"));
    assert!(is_valid(&deep));
}

#[test]
fn validity_is_rfc_8259() {
    for good in ["1", " null\n", r#""\ud800""#, "[1e400]", "-0"] {
        assert!(is_valid(good), "{good}");
    }
    for bad in ["", "01", "1.", "[1,]", "\"\t\"", "{} {}", "NaN", "'a'"] {
        assert!(!is_valid(bad), "{bad}");
    }
}
