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
