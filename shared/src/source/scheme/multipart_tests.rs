use super::*;

fn read<'b>(body: &'b str, name: &str) -> Result<Option<&'b str>, FormError> {
    let form = Multipart::of(body.as_bytes()).ok_or(FormError::Broken)?;
    Ok(form.field(name)?.map(|value| std::str::from_utf8(value).unwrap()))
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
        ("twice", Err(FormError::Twice)),
        ("empty", Ok(Some(""))),
        ("Token", Ok(None)),
    ] {
        assert_eq!(read(&text, name), value, "{name}");
    }
}

/// The sender of a mail with attachments chooses their names and their content.
#[test]
fn a_file_is_not_a_field_whatever_its_name() {
    for (file, is_clear) in [
        ("a.txt", true),
        ("token", true),
        ("x; name=token", true),
        // Readers disagree about a quote that is not escaped, and then no field is read.
        ("\"; name=\"token", false),
        ("\\\"; name=\"token", false),
        ("x\"; filename=\"", false),
        ("x\\", false),
    ] {
        let head = format!("Content-Disposition: form-data; name=\"attachment-1\"; filename=\"{file}\"");
        let expected = if is_clear { Ok(Some("2")) } else { Err(FormError::Broken) };
        assert_eq!(read(&body(&[(&head, "1"), (&named("token"), "2")]), "token"), expected, "{file}");
        let head = format!("Content-Disposition: form-data; name=\"token\"; filename=\"{file}\"");
        let expected = if is_clear { Ok(None) } else { Err(FormError::Broken) };
        assert_eq!(read(&body(&[(&head, "1")]), "token"), expected, "{file}");
    }
    let inner = body(&[(&named("token"), "1")]).replace("--b", "--c");
    for file in ["filename*=utf-8''%E2%82%AC", "filename=\"a; b.txt\"; filename*=utf-8''a%3B"] {
        let head = format!("Content-Disposition: form-data; name=\"mail\"; {file}");
        assert_eq!(read(&body(&[(&head, &inner)]), "token"), Ok(None), "{file}");
    }
}

/// Each of these parts is one field for some readers, and another or none for others.
#[test]
fn a_part_that_readers_understand_differently_is_not_read() {
    let genuine = named("token");
    for head in [
        "Content-Disposition: form-data; name=\"token\"; name=\"a\"",
        "Content-Disposition: form-data; name=\"a\"; name=\"token\"",
        "Content-Disposition: form-data; name=\"token\"; filename=\"\"",
        "Content-Disposition: form-data; name=\"token\"; filename=x",
        "Content-Disposition: form-data; name=\"token\"; filename=\"x",
        "Content-Disposition: form-data; name=\"token\"; filename=\"\u{e9}\"",
        "Content-Disposition: form-data; name=\"a\"; filename=\"",
        "Content-Disposition: form-data; name=\"token\"; filename*=x",
        "Content-Disposition: form-data; name=\"a\"; filename*=x; name=\"token\"",
        "Content-Disposition: form-data; name=\"token\"; xfilename=\"x\"",
        "Content-Disposition: form-data; name=\"token\"; a=\"; filename=x\"",
        "Content-Disposition: form-data; name=\"to\\ken\"",
        "Content-Disposition: form-data; name=\"token",
        "Content-Disposition: form-data; name*=utf-8''token",
        "Content-Disposition: form-data; name = \"token\"",
        "Content-Disposition: form-data; name=\t\"token\"",
        "Content-Disposition: form-data; name= \"token\"",
        "Content-Disposition: form-data; Name=\"token\"",
        "Content-Disposition: form-data;\r\n name=\"token\"",
        "Content-Disposition: attachment; name=\"token\"",
        "Content-Disposition : form-data; name=\"token\"",
        " Content-Disposition: form-data; name=\"token\"",
        "Content-Disposition: form-data; name=\"a\"\r\nContent-Disposition: form-data; name=\"token\"",
        "Content-Disposition: form-data; name=\"token\"\r\nContent-Transfer-Encoding: base64",
        "Content-Disposition: form-data; name=\"a\"\rContent-Disposition: form-data; name=\"token\"",
        "Content-Disposition: form-data; name=\"a\"; filename=\"\"; name=\"token\"",
        "Content-Disposition: form-data; name=\"a\"; filename=; name=\"token\"",
        "Content-Disposition: form-data; name=\"a\"; filename=\"x\"; filename=\"\"; name=\"token\"",
        "Content-Disposition: form-data; name=\"a\"\r\nContent-Type: multipart/mixed; boundary=c",
        "Content-Type: text/plain",
        "x",
    ] {
        for parts in [[(head, "1"), (&*genuine, "2")], [(&*genuine, "2"), (head, "1")]] {
            assert_eq!(read(&body(&parts), "token"), Err(FormError::Broken), "{head}");
        }
    }
    for value in ["1\n--b\nContent-Disposition: form-data; name=\"token\"\n\n2", "\n--b--", "\n--bb"] {
        assert_eq!(
            read(&body(&[(&named("a"), value), (&genuine, "2")]), "token"),
            Err(FormError::Broken),
            "{value}"
        );
    }
    // Some readers go on behind the end.
    let whole = body(&[(&genuine, "2")]);
    for behind in ["x", "\r\n", "--b\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\n3\r\n--b--\r\n"]
    {
        assert_eq!(read(&format!("{whole}{behind}"), "token"), Err(FormError::Broken), "{behind}");
    }
    assert_eq!(read(whole.trim_end(), "token"), Ok(Some("2")));
    // The usual coding is named by some senders.
    let head =
        format!("{genuine}\r\nContent-Transfer-Encoding: 8bit\r\nContent-Type: text/plain; charset=utf-8");
    assert_eq!(read(&body(&[(&head, "2")]), "token"), Ok(Some("2")));
}

#[test]
fn what_breaks_off_or_has_no_end_is_not_read() {
    let whole = body(&[(&named("a"), "1"), (&named("b"), "2")]);
    for end in 0..whole.len() - 4 {
        assert_eq!(read(&whole[..end], "a"), Err(FormError::Broken), "{end}");
    }
    assert_eq!(read(&format!("preamble\r\n{whole}"), "a"), Err(FormError::Broken));
    assert_eq!(read(&whole.replace("\r\n", "\n"), "a"), Err(FormError::Broken));
    let head = |len| body(&[(&format!("{}\r\nX: {}", named("a"), "x".repeat(len)), "1")]);
    let most = MAX_HEAD - named("a").len() - "\r\n".len() - "\r\nX: ".len() - "\r\n\r\n".len();
    assert_eq!(read(&head(most), "a"), Ok(Some("1")));
    assert_eq!(read(&head(most + 1), "a"), Err(FormError::Broken));
    let many = |len| body(&vec![(named("a").as_str(), ""); len]);
    assert_eq!(read(&many(MAX_PARTS - 1), "b"), Ok(None));
    assert_eq!(read(&many(MAX_PARTS), "b"), Err(FormError::Broken));
}
