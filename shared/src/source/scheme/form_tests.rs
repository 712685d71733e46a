use std::borrow::Cow;

use super::corrected_type;
use crate::source::Rejection;
use crate::source::scheme::field::tests::request;
use crate::source::scheme::field::{Field, View};

const PARTS: &str = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b--\r\n";

fn read(kinds: &[&str], body: &str) -> Result<String, Rejection> {
    let kinds: Vec<_> = kinds.iter().map(|kind| ("Content-Type", *kind)).collect();
    let request = request("", &kinds, body);
    let value = Field::parse("form:a").unwrap().read(&View::of(&request, None))?.into_owned();
    Ok(String::from_utf8(value).unwrap())
}

#[test]
fn a_form_is_of_the_type_that_its_header_field_names() {
    for kind in [
        "application/x-www-form-urlencoded",
        "Application/X-WWW-Form-Urlencoded; charset=utf-8",
        "application/x-www-form-urlencoded;charset=utf-8; text/html",
        "text/plain",
        "application/octet-stream",
    ] {
        assert_eq!(read(&[kind], "a=1&b=2"), Ok("1".to_owned()), "{kind}");
        assert!(read(&[kind], PARTS) == Err(Rejection::OtherForm("form:a".to_owned())), "{kind}");
    }
    assert_eq!(read(&[], "a=1&b=2"), Ok("1".to_owned()));
    for kind in ["multipart/form-data; boundary=b", "Multipart/Form-Data; charset=utf-8; BOUNDARY=\"b\""] {
        assert_eq!(read(&[kind], PARTS), Ok("1".to_owned()), "{kind}");
        assert!(read(&[kind], "a=1") == Err(Rejection::OtherForm("form:a".to_owned())), "{kind}");
    }
}

#[test]
fn a_form_that_another_reader_reads_otherwise_is_not_read() {
    for kinds in [
        &["multipart/form-data"][..],
        &["multipart/form-data; boundary=c"],
        &["multipart/form-data; boundary=B"],
        &["multipart/form-data; boundary=b; boundary=c"],
        &["multipart/form-data; boundary=\"b;\""],
        &["multipart/form-data; boundary=b; boundary*=utf-8''c"],
        &["multipart/form-data; boundary*=utf-8''c; boundary=b"],
        &["multipart/form-data; boundary=b; boundary*0=c"],
        &["multipart/form-data; xboundary=c; boundary=b"],
        &["multipart/form-data; x=\"; boundary=b; y=\"; boundary*=utf-8''c"],
        &["multipart/form-data; charset=a, boundary=c; boundary=b"],
        &["multipart/form-data; boundary=b, boundary=c"],
        &["multipart/form-data; boundary=b;"],
        &["multipart/mixed; boundary=b"],
        &["application/json"],
        &["text/xml"],
        &["application/vnd.api+json"],
        &["application/x-www-form-urlencoded", "multipart/form-data; boundary=b"],
        &[],
    ] {
        assert!(read(kinds, PARTS) == Err(Rejection::OtherForm("form:a".to_owned())), "{kinds:?}");
        assert_eq!(read(kinds, "a=1").is_ok(), kinds.is_empty(), "{kinds:?}");
    }
}

/// Each of the other names is `token` to PHP, ASP.NET or a reader that splits at semicolons.
#[test]
fn a_name_that_a_receiver_takes_for_another_makes_the_field_ambiguous() {
    let read = |name: &str, body: &str| {
        let request = request("", &[], body);
        Field::parse(name).unwrap().read(&View::of(&request, None)).map(Cow::into_owned)
    };
    for (name, other) in [
        ("form:a_b", "a.b"),
        ("form:a_b", "a%2eb"),
        ("form:a_b", "a+b"),
        ("form:a_b", "a[b"),
        ("form:a_b", "+a_b"),
        ("form:a_b", " a_b"),
        ("form:a_b", "%20%20a.b"),
        ("form:a_b", "a_b[]"),
        ("form:a_b", "a.b[0]"),
        ("form:a_b", "a_b%00x"),
        ("form:a_b", "A_B"),
        ("form:a_b", "a_b "),
        ("form:a_b", "x;a_b"),
        ("form:a_b", "x=1;a.b"),
        ("form:a[b]", "a[b][]"),
        ("form:a[b]", "a[B]"),
    ] {
        let (_, bare) = name.split_once(':').unwrap();
        let ambiguous = Err(Rejection::Ambiguous(name.to_owned()));
        for body in [format!("{bare}=1&{other}=2"), format!("{other}=2&c=3&{bare}=1")] {
            assert_eq!(read(name, &body), ambiguous, "{body}");
        }
        let parts = |names: [&str; 2]| {
            let part = |name| format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n1\r\n");
            names.map(part).concat() + "--b--"
        };
        if !other.contains(['%', '+', ';']) {
            for names in [[bare, other], [other, bare]] {
                let request =
                    request("", &[("Content-Type", "multipart/form-data; boundary=b")], &parts(names));
                let found = Field::parse(name).unwrap().read(&View::of(&request, None)).map(Cow::into_owned);
                assert_eq!(found, ambiguous, "{names:?}");
            }
        }
    }
    for other in ["a_bc", "a__b", "xa_b", "a_b_", "a", "a%20_b", "b;a", "%00a_b"] {
        assert_eq!(read("form:a_b", &format!("a_b=1&{other}=2")), Ok(b"1".to_vec()), "{other}");
    }
    assert_eq!(read("form:a_b", "a_b=1;A_B=2"), Err(Rejection::Ambiguous("form:a_b".to_owned())));
    // No field of this name is there, so none is read.
    assert_eq!(read("form:a_b", "a.b=1"), Err(Rejection::Missing("form:a_b".to_owned())));
}

#[test]
fn a_form_in_name_alone_has_the_type_of_its_body() {
    let corrected = |kind: &str, body: &str| {
        let request = request("", &[("Content-Type", kind)], body);
        corrected_type(&request.headers, &request.body)
    };
    let pairs = "application/x-www-form-urlencoded";
    for kind in [pairs, "Application/X-WWW-Form-Urlencoded; charset=utf-8", "multipart/form-data; boundary=b"]
    {
        assert_eq!(corrected(kind, r#"{"text":"&payload={}"}"#), Some("application/json"), "{kind}");
        assert_eq!(corrected(kind, " [1]\n"), Some("application/json"), "{kind}");
        assert_eq!(corrected(kind, "<a><![CDATA[&payload=1]]></a>"), Some("application/xml"), "{kind}");
        for body in ["\u{feff}{}", "\x0b{\"a\":1}", "{}\n{}", "{\"a\":NaN}", "{}\0", ")]}',\n{}"] {
            assert_eq!(corrected(kind, body), Some("application/json"), "{kind}: {body}");
        }
        for body in ["a=1", "", "a={}", "1"] {
            assert_eq!(corrected(kind, body), None, "{kind}: {body}");
        }
    }
    for kind in ["application/json", "text/plain", "application/xml", "multipart/mixed; boundary=b"] {
        assert_eq!(corrected(kind, "{}"), None, "{kind}");
    }
    // Receivers take a type for a form by its beginning.
    for kind in [format!(" \t{pairs}"), format!("{pairs},x"), format!("{pairs} x"), format!("\u{a0}{pairs}")]
    {
        assert_eq!(corrected(&kind, "{}"), Some("application/json"), "{kind}");
    }
}
