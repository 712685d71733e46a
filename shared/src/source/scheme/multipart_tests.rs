use super::*;

fn read<'b>(body: &'b str, name: &str) -> Result<Option<&'b str>, PartsError> {
    let form = Multipart::of(body.as_bytes()).ok_or(PartsError::Broken)?;
    Ok(form.field(name)?.map(|span| &body[span]))
}

/// Returns a body of the parts, each with these lines as its head.
fn body(parts: &[(&str, &str)]) -> String {
    let parts = parts.iter().map(|(head, value)| format!("--b\r\n{head}\r\n\r\n{value}\r\n"));
    parts.collect::<String>() + "--b--\r\n"
}

fn named(name: &str) -> String {
    format!("Content-Disposition: form-data; name=\"{name}\"")
}

#[test]
fn a_body_of_several_parts_begins_with_its_boundary() {
    let text = body(&[(&named("a"), "1")]);
    assert_eq!(read(&text, "a"), Ok(Some("1")));
    for boundary in ["x", "-", "a b'()+_,-./:=?", &"b".repeat(MAX_BOUNDARY)] {
        let text = text.replace("--b", &format!("--{boundary}"));
        assert_eq!(read(&text, "a"), Ok(Some("1")), "{boundary}");
    }
    for other in ["", &"b".repeat(MAX_BOUNDARY + 1)] {
        assert!(Multipart::of(text.replace("--b", &format!("--{other}")).as_bytes()).is_none());
    }
    for other in ["", "--", "--b", "--b\n", "a=1&b=2", "{}", "\r\n--b\r\n"] {
        assert!(Multipart::of(other.as_bytes()).is_none(), "{other:?}");
    }
}

#[test]
fn text_fields_have_their_values_as_they_are() {
    let text = body(&[
        (&named("timestamp"), "1760000000"),
        ("content-type: text/plain\r\nCONTENT-DISPOSITION:form-data;name=token", "a=b&c%20\r\n--\r\n--a"),
        (&named("twice"), "1"),
        (&named("twice"), "2"),
        (&named("empty"), ""),
    ]);
    for (name, value) in [
        ("timestamp", Ok(Some("1760000000"))),
        ("token", Ok(Some("a=b&c%20\r\n--\r\n--a"))),
        ("twice", Err(PartsError::Twice)),
        ("empty", Ok(Some(""))),
        ("Token", Ok(None)),
    ] {
        assert_eq!(read(&text, name), value, "{name}");
    }
}

/// The sender of a mail with attachments chooses their names and their content.
#[test]
fn a_file_is_not_a_field_whatever_its_name() {
    for file in ["a.txt", "token", "\"; name=\"token", "x; name=token", "\\\"; name=\"token"] {
        let head = format!("Content-Disposition: form-data; name=\"attachment-1\"; filename=\"{file}\"");
        assert_eq!(read(&body(&[(&head, "1"), (&named("token"), "2")]), "token"), Ok(Some("2")), "{file}");
        let head = format!("Content-Disposition: form-data; name=\"token\"; filename=\"{file}\"");
        assert_eq!(read(&body(&[(&head, "1")]), "token"), Ok(None), "{file}");
    }
    let inner = body(&[(&named("token"), "1")]).replace("--b", "--c");
    assert_eq!(read(&body(&[("Content-Disposition: attachment; name=token", &inner)]), "token"), Ok(None));
}

#[test]
fn what_breaks_off_or_has_no_end_is_not_read() {
    let whole = body(&[(&named("a"), "1"), (&named("b"), "2")]);
    for end in 0..whole.len() - 4 {
        assert_eq!(read(&whole[..end], "a"), Err(PartsError::Broken), "{end}");
    }
    assert_eq!(read(&format!("preamble\r\n{whole}"), "a"), Err(PartsError::Broken));
    assert_eq!(read(&whole.replace("\r\n", "\n"), "a"), Err(PartsError::Broken));
    let head = |len| body(&[(&format!("{}\r\nX: {}", named("a"), "x".repeat(len)), "1")]);
    let most = MAX_HEAD - named("a").len() - "\r\n".len() - "\r\nX: ".len() - "\r\n\r\n".len();
    assert_eq!(read(&head(most), "a"), Ok(Some("1")));
    assert_eq!(read(&head(most + 1), "a"), Err(PartsError::Broken));
    let many = |len| body(&vec![(named("a").as_str(), ""); len]);
    assert_eq!(read(&many(MAX_PARTS - 1), "b"), Ok(None));
    assert_eq!(read(&many(MAX_PARTS), "b"), Err(PartsError::Broken));
}
