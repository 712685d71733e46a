//! Tests of `mask`.

use std::cell::Cell;

use proptest::prop_assert;

use super::*;

thread_local! {
    static STEPS: Cell<usize> = const { Cell::new(0) };
}

pub(crate) fn step() {
    STEPS.set(STEPS.get() + 1);
}

fn masked(text: &str, secrets: &[&str]) -> Option<String> {
    let secrets: Vec<Secret> = secrets.iter().map(|secret| Secret::new(*secret)).collect();
    super::masked(text.as_bytes(), &secrets).map(|bytes| String::from_utf8(bytes).unwrap())
}

#[test]
fn copies_are_replaced_once_and_the_longest_first() {
    for (text, secrets, want) in [
        ("", &["a"][..], None),
        ("abc", &[], None),
        ("abc", &[""], None),
        ("abc", &["d"], None),
        ("aaa", &["aa"], Some("[verified]a")),
        ("xabcdx", &["abc", "abcd"], Some("x[verified]x")),
        // A copy that begins inside of another copy does not show its end.
        ("xabcdex", &["abc", "bcde"], Some("x[verified]x")),
        ("verified", &["e", "i"], Some("v[verified]r[verified]f[verified][verified]d")),
    ] {
        assert_eq!(masked(text, secrets).as_deref(), want, "{text}");
    }
}

#[test]
fn escapes_are_read_as_their_place_reads_them() {
    for (secret, copy) in [
        ("a b", "a+b"),
        ("a b", "%61%20b"),
        ("a+b", "a+b"),
        ("a+b", "a%2bb"),
        ("%41", "%41"),
        ("%41", "%2541"),
        ("\u{8}\u{c}\n\r\t", r"\b\f\n\r\t"),
        ("\\\\", r"\\\\"),
        ("é😀x", r"\u00e9\ud83d\ude00x"),
        ("é", "%c3%A9"),
        ("<'>", "&lt;&apos;&gt;"),
    ] {
        assert_eq!(masked(&format!("{copy}!"), &[secret]).as_deref(), Some("[verified]!"), "{copy}");
    }
    for (secret, other) in [
        ("ab", "a%6"),
        ("ab", "a%6g"),
        ("ab", r"a\u006"),
        ("ab", r"a\x62"),
        ("😀", r"\ud83d"),
        ("😀", r"\ud83d\u0041"),
        ("a&b", "a&ampb"),
        ("ab", "a"),
        ("ab", "%61\\u0062"),
    ] {
        assert_eq!(masked(other, &[secret]), None, "{other}");
    }
}

/// The work is linear in the text even if a copy begins almost everywhere, in every spelling, of secrets
/// whose own beginnings repeat.
#[test]
fn the_work_is_linear_in_the_text() {
    let ab = "ab".repeat(2000);
    for (secret, part) in [
        ("s3cret-token-0123456789", "s3cret-token-012345678 "),
        ("s3cret-token-0123456789", "s3cret-token-0123456789"),
        ("s3cret token 0123456789", "s3cret+token+%30%31&amp;\\u0030"),
        ("aaaaaaaaaaaaaaaaaaaaaaab", "a"),
        ("aaaaaaaaaaaaaaaaaaaaaaab", "%61\\u0061&"),
        (&ab, "ab"),
        (&format!("{ab}c"), "%61%62"),
        (&format!("{ab}c"), "\\\\"),
    ] {
        for size in [1_000, 10_000, 100_000] {
            let text = part.repeat(size / part.len() + 1);
            STEPS.set(0);
            drop(masked(&text, &[secret]));
            // The secret itself is read first, for its borders.
            let most = 13 * text.len() + 8 * secret.len();
            assert!(STEPS.get() <= most, "{secret:.20} in {size} of {part:.20}: {} steps", STEPS.get());
        }
    }
}

proptest::proptest! {
    /// A copy of a secret in any spelling is found between other text.
    #[test]
    fn every_copy_is_found(
        text in "[ab%61+\\\\u0&;mp]{0,12}",
        secret in "[ab +&]{1,4}",
        how in 0_usize..4,
        tail in "[ab%+]{0,4}",
    ) {
        let copy: String = secret.chars().map(|c| match how {
            0 => format!("%{:02x}", u32::from(c)),
            1 if c == ' ' => "+".to_owned(),
            1 if c == '+' => "%2B".to_owned(),
            2 => format!("\\u{:04x}", u32::from(c)),
            3 if c == '&' => "&amp;".to_owned(),
            _ => c.to_string(),
        }).collect();
        // The text before the copy must not be half of an escape.
        let text = text.replace(['%', '\\', '&'], "x");
        prop_assert!(masked(&format!("{text}{copy}{tail}"), &[&secret]).is_some(), "{} {}", text, copy);
    }


    #[test]
    fn nothing_else_is_changed(text in "[ab%6+\\\\u0&;é]{0,40}", secret in "[ab%+é]{1,4}") {
        let found = masked(&text, &[&secret]);
        proptest::prop_assert!(!text.contains(&secret) || found.is_some());
        if let Some(found) = found {
            proptest::prop_assert!(!found.contains(&secret));
            // The parts between the copies are in the text, in the same order.
            let mut rest = text.as_str();
            for part in found.split(VERIFIED) {
                let at = rest.find(part);
                proptest::prop_assert!(at.is_some(), "{text} {secret} {found}");
                rest = &rest[at.unwrap() + part.len()..];
            }
        }
    }
}
