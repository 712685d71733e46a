//! Tests of `xml`.

use super::*;

fn get(body: &str, path: &str) -> Result<Option<String>, XmlError> {
    find(body.as_bytes(), path).map(|found| found.map(|f| f.text))
}

#[test]
fn fields_are_found_as_written() {
    let body = "<?xml version=\"1.0\"?>\n<xml a='1' b=\"&#x3e;\"><A><![CDATA[a<&b]]></A><B> x&amp;&lt;y </B >\
                    <C><D>1</D><E/><A>no</A></C><F>a<![CDATA[]]]]><![CDATA[>]]>b</F><G></G></xml> \n";
    for (path, want) in [
        ("A", Some("a<&b")),
        ("B", Some(" x&<y ")),
        ("C.D", Some("1")),
        ("C.A", Some("no")),
        ("C.E", Some("")),
        ("F", Some("a]]>b")),
        ("G", Some("")),
        ("C", None),
        ("D", None),
        ("xml", None),
        ("", None),
        ("A.B", None),
        ("C.D.E", None),
    ] {
        assert_eq!(get(body, path), Ok(want.map(str::to_owned)), "{path}");
    }
    assert_eq!(get("<a/>", "b"), Ok(None));
    let found = find(body.as_bytes(), "A").unwrap().unwrap();
    assert_eq!(&body[found.span], "<![CDATA[a<&b]]>");
    let found = find(b"<x><a>1</a><b/></x>", "a").unwrap().unwrap();
    assert_eq!(found.span, 6..7);
}

#[test]
fn a_doubled_element_on_the_path_is_refused() {
    assert_eq!(get("<x><a>1</a><a>2</a></x>", "a"), Err(XmlError::Duplicate));
    assert_eq!(get("<x><a/><a>2</a></x>", "a"), Err(XmlError::Duplicate));
    assert_eq!(get("<x><p><a>1</a></p><p><a>2</a></p></x>", "p.a"), Err(XmlError::Duplicate));
    assert_eq!(get("<x><b/><b/><a>3</a></x>", "a"), Ok(Some("3".into())));
}

#[test]
fn what_is_no_plain_xml_is_refused() {
    for body in [
        "",
        "a",
        " <x/>y",
        "<x>",
        "<x></y>",
        "<x><a></x></a>",
        "<x/><y/>",
        "<!DOCTYPE x><x/>",
        "<x><!DOCTYPE y></x>",
        "<!DOCTYPE x [<!ENTITY e \"v\">]><x><a>&e;</a></x>",
        "<x><a>&e;</a></x>",
        "<x><a>&#65;</a></x>",
        "<x><a>&amp</a></x>",
        "<x><a>&</a></x>",
        "<x><!-- c --><a>1</a></x>",
        "<x><?p?><a>1</a></x>",
        "<x><a>]]></a></x>",
        "<x a=1/>",
        "<x a=\"<\"/>",
        "<xa=\"\"/>",
        "<x a=\"1\"b=\"2\"/>",
        "<![CDATA[a]]><x/>",
        "<x/><![CDATA[a]]>",
        "< x/>",
        "<1/>",
        "</x>",
        "\u{feff}<x/>",
        "<x><?xml version=\"1.0\"?></x>",
        "<?xml version=\"1.0\" encoding=\"UTF-7\"?><x/>",
        "<?xml version='1.0' encoding = 'iso-8859-1'?><x/>",
    ] {
        assert_eq!(get(body, "a"), Err(XmlError::Invalid), "{body}");
    }
    assert_eq!(find(b"<x><a>\xff</a></x>", "a"), Err(XmlError::Invalid));
    let deep = "<a>".repeat(100_000);
    assert_eq!(get(&deep, "a"), Err(XmlError::Invalid));
}

#[test]
fn escaped_text_is_read_back() {
    let odd = "a<b>&c;\"']]>";
    assert_eq!(get(&format!("<x><a>{}</a></x>", escape(odd)), "a"), Ok(Some(odd.into())));
}

#[test]
fn children_are_listed_as_written() {
    let body = "<?xml version=\"1.0\"?>\n<L xmlns=\"u\"><N>a&#39;</N> <C><K>1</K><E/></C><C/><X/ ></L>";
    assert_eq!(children(body), Err(XmlError::Invalid));
    let body = body.replace("<X/ >", "<N><![CDATA[<]]></N >");
    let (root, list) = children(&body).unwrap();
    let seen: Vec<_> = list.iter().map(|c| (c.name, c.outer, c.inner)).collect();
    assert_eq!(root, "L");
    assert_eq!(
        seen,
        [
            ("N", "<N>a&#39;</N>", "a&#39;"),
            ("C", "<C><K>1</K><E/></C>", "<K>1</K><E/>"),
            ("C", "<C/>", ""),
            ("N", "<N><![CDATA[<]]></N >", "<![CDATA[<]]>"),
        ]
    );
    let (root, list) = children(list[1].outer).unwrap();
    assert_eq!((root, list.len(), list[0].inner, list[1].inner), ("C", 2, "1", ""));
    assert_eq!(children("<a/>"), Ok(("a", Vec::new())));
    for body in
        ["", "<a>", "<a></b>", "<a><b></a></b>", "<a/><a/>", "<a/>x", "<!DOCTYPE a><a/>", "<a><!-- --></a>"]
    {
        assert_eq!(children(body), Err(XmlError::Invalid), "{body}");
    }
    assert_eq!(children(&"<a>".repeat(100_000)), Err(XmlError::Invalid));
}

proptest::proptest! {
    #[test]
    fn no_text_panics(body in "(<|>|/|x|a|&|;|amp|lt| |=|\"|'|<!\\[CDATA\\[|\\]\\]>|é|<x>|</x>){0,30}") {
        let _ = get(&body, "a.x");
        let _ = get(&format!("<x>{body}</x>"), "a");
        if let Ok((_, list)) = children(&body) {
            // Each child is an XML document by itself.
            proptest::prop_assert!(list.iter().all(|child| children(child.outer).is_ok()));
        }
    }
}
