//! Tests of `template`.

use super::*;
use crate::message::tests::delivery;

fn render(template: &str, place: Place, body: &str) -> Result<String, RenderError> {
    Template::parse(template).unwrap().render(&delivery(body.as_bytes(), Some("application/json")), place)
}

#[test]
fn each_place_takes_what_is_safe_there() {
    assert_eq!(render("t-{event}", Place::Topic, "{}").unwrap(), "t-push");
    assert_eq!(render("{json:a}", Place::Key, r#"{"a":"x y|é/"}"#).unwrap(), "x%20y%7C%C3%A9%2F");
    assert_eq!(render("{header:X-One}", Place::Tag, "{}").unwrap(), "1");
    for (place, value) in [
        (Place::Topic, "a/b"),
        (Place::Topic, ""),
        (Place::Topic, "é"),
        (Place::Tag, "a b"),
        (Place::Tag, "a||b"),
        (Place::Tag, "a\\u0001"),
        (Place::Key, ""),
    ] {
        let error = render("{json:a}", place, &format!(r#"{{"a":"{value}"}}"#)).unwrap_err();
        assert!(matches!(error, RenderError::Unfit { .. }), "{place:?} {value}");
    }
    assert!(render("{json:a}", Place::Topic, &format!(r#"{{"a":"{}"}}"#, "x".repeat(65))).is_err());
}

#[test]
fn what_is_not_there_is_missing() {
    for template in ["{json:b}", "{json:a.x}", "{header:X-Two}", "{header:X-None}"] {
        let error = render(template, Place::Key, r#"{"a":1}"#).unwrap_err();
        assert!(matches!(error, RenderError::Missing { .. }), "{template}");
    }
    assert!(matches!(render("{json:a}", Place::Key, "no json"), Err(RenderError::Missing { .. })));
}

#[test]
fn mistakes_are_named() {
    for (text, error) in [
        ("", TemplateError::Empty),
        ("a{b", TemplateError::Brace),
        ("a}b", TemplateError::Brace),
        ("{}", TemplateError::Unknown(String::new())),
        ("{header:}", TemplateError::Unknown("header:".into())),
        ("{query:a}", TemplateError::Unknown("query:a".into())),
        ("{header:Cookie}", TemplateError::Credential("Cookie".into())),
    ] {
        assert_eq!(Template::parse(text), Err(error), "{text}");
    }
    assert_eq!(Template::parse("a/{hook}/b").unwrap().outline("x"), "a/x/b");
}
