//! Tests of `address`.

use super::*;

#[test]
fn addresses_are_plain() {
    for good in ["https://a.example/", "https://a-1.example/x?y=z", "https://a/b.pem"] {
        assert!(Address::parse(good).is_some(), "{good}");
    }
    for bad in [
        "",
        "https://",
        "https://a.example",
        "https:///x",
        "http://a.example/",
        "HTTPS://a.example/",
        "https://A.example/",
        "https://a.example:443/",
        "https://u@a.example/",
        "https://u:p@a.example/",
        "https://a..example/",
        "https://a.example./",
        "https://[::1]/",
        "https://a.example/#x",
        "https://a.example\\@b.example/",
        "https://a.example/\r\nHost: b",
        "https://a.example/a b",
        "https://a.example/é",
        "https://a.example/../x",
        "https://a.example/x/.",
        " https://a.example/",
    ] {
        assert!(Address::parse(bad).is_none(), "{bad}");
    }
    assert!(Address::parse(&format!("https://a.example/{}", "x".repeat(MAX_ADDRESS))).is_none());
}

#[test]
fn patterns_match_whole_texts() {
    let is = |pattern: &str, text: &str| matches(pattern.as_bytes(), text.as_bytes());
    assert!(is("sns.??-*.a.com", "sns.us-east-1.a.com"));
    assert!(is("/S-*.pem", "/S-0aZ.pem") && is("/*a*b", "/xaab") && is("", ""));
    for (pattern, text) in [
        ("sns.??-*.a.com", "sns.s3-ap-1.a.com"),
        ("sns.??-*.a.com", "sns.us-east-1.x.a.com"),
        ("sns.??-*.a.com", "sns.us-east-1.a.com.evil"),
        ("/*.pem", "/a/b.pem"),
        ("/*.pem", "/a.pem?x"),
        ("/*.pem", "/..pem"),
        ("/", "/x"),
        ("/x", "/"),
    ] {
        assert!(!is(pattern, text), "{pattern} {text}");
    }
}
