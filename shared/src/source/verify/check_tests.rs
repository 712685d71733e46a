//! Tests of `check`.

use proptest::prelude::*;

use super::*;

#[test]
fn each_part_makes_another_id() {
    let plain = ("h", Some("e"), Some("s"), "b");
    let others = [
        ("i", Some("e"), Some("s"), "b"),
        ("h", Some("f"), Some("s"), "b"),
        ("h", Some("e"), Some("t"), "b"),
        ("h", Some("e"), Some("s"), "c"),
        ("h", Some(""), Some("s"), "b"),
        ("h", None, Some("s"), "b"),
        ("h", Some("e"), Some(""), "b"),
        ("h", Some("e"), None, "b"),
        ("h", Some("s"), Some("e"), "b"),
    ];
    let id = |(hook, event, subject, body): (&str, Option<&str>, Option<&str>, &str)| {
        content_id(hook, event, subject, body.as_bytes())
    };
    let ids: std::collections::BTreeSet<String> = others.into_iter().chain([plain]).map(id).collect();
    assert_eq!(ids.len(), 1 + others.len());
    assert!(ids.iter().all(|id| id.len() == 7 + 64 && id.starts_with("sha256-")));
}

/// Returns the part of a text between two offsets, or `None` if the part is to be absent.
fn cut(text: &str, ends: (usize, usize), is_there: bool) -> Option<&str> {
    is_there.then(|| &text[ends.0..ends.1])
}

proptest! {
    /// Two deliveries have one id only if hook, event, subject and body are equal, even if bytes move
    /// between these parts or a part comes or goes.
    #[test]
    fn the_parts_cannot_be_shifted(
        text in "[a\\x00\\xff]{0,24}",
        one in any::<[prop::sample::Index; 3]>(),
        other in any::<[prop::sample::Index; 3]>(),
        there in any::<[bool; 4]>(),
    ) {
        let places: Vec<usize> = (0..=text.len()).filter(|&at| text.is_char_boundary(at)).collect();
        let parts = |at: [prop::sample::Index; 3], event, subject| {
            let mut at = at.map(|index| *index.get(&places));
            at.sort_unstable();
            let hook = &text[..at[0]];
            (hook, cut(&text, (at[0], at[1]), event), cut(&text, (at[1], at[2]), subject), &text[at[2]..])
        };
        let (one, other) = (parts(one, there[0], there[1]), parts(other, there[2], there[3]));
        let id = |(hook, event, subject, body): (&str, Option<&str>, Option<&str>, &str)| {
            content_id(hook, event, subject, body.as_bytes())
        };
        prop_assert_eq!(id(one) == id(other), one == other, "{:?} {:?}", one, other);
    }
}
