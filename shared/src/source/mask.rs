//! Finding copies of a secret, however they are spelt.

use crate::secret::Secret;

/// Stands where a token stood.
pub(super) const VERIFIED: &str = "[verified]";

/// The text with every copy of the secrets replaced; `None` if it holds none.
pub(super) fn masked<'s>(text: &[u8], secrets: impl IntoIterator<Item = &'s Secret>) -> Option<Vec<u8>> {
    let secrets: Vec<&[u8]> = secrets.into_iter().map(Secret::expose).filter(|s| !s.is_empty()).collect();
    // A copy begins with its first byte or with an escape: most of a text is passed over by that.
    let mut begins = [false; 256];
    for first in secrets.iter().filter_map(|secret| secret.first()).chain(b"%\\&+") {
        begins[usize::from(*first)] = true;
    }
    let mut out: Option<Vec<u8>> = None;
    let (mut kept, mut at) = (0, 0);
    while let Some(next) = text.get(at..).and_then(|t| t.iter().position(|b| begins[usize::from(*b)])) {
        at += next;
        let rest = text.get(at..).unwrap_or_default();
        let Some(length) = secrets.iter().filter_map(|secret| copy(rest, secret)).max() else {
            at += 1;
            continue;
        };
        let out = out.get_or_insert_with(|| Vec::with_capacity(text.len()));
        out.extend_from_slice(text.get(kept..at).unwrap_or_default());
        out.extend_from_slice(VERIFIED.as_bytes());
        at += length;
        kept = at;
    }
    if let Some(out) = &mut out {
        out.extend_from_slice(text.get(kept..).unwrap_or_default());
    }
    out
}

/// How many bytes at the start of the text are a copy of the secret.
fn copy(text: &[u8], secret: &[u8]) -> Option<usize> {
    Spelling::ALL.iter().filter_map(|spelling| spelling.copy(text, secret)).max()
}

/// How a value is written where it stands: one way for all of it.
#[derive(Clone, Copy)]
enum Spelling {
    Plain,
    /// In an address or a form.
    Url,
    Json,
    Xml,
}

impl Spelling {
    const ALL: [Self; 4] = [Self::Plain, Self::Url, Self::Json, Self::Xml];

    fn copy(self, text: &[u8], secret: &[u8]) -> Option<usize> {
        let (mut at, mut missing) = (0, secret);
        while let Some(next) = missing.first() {
            let rest = text.get(at..)?;
            let (character, length) = match (self, rest.first()?) {
                (Self::Url, b'%') => (u32::from(hex(rest.get(1..3)?)?), 3),
                (Self::Url, b'+') if *next == b' ' => (u32::from(b' '), 1),
                (Self::Json, b'\\') => {
                    let (character, length) = json(rest)?;
                    let mut bytes = [0; 4];
                    missing = missing.strip_prefix(character.encode_utf8(&mut bytes).as_bytes())?;
                    at += length;
                    continue;
                }
                (Self::Xml, b'&') => xml(rest)?,
                (_, byte) => (u32::from(*byte), 1),
            };
            if character != u32::from(*next) {
                return None;
            }
            missing = missing.get(1..)?;
            at += length;
        }
        Some(at)
    }
}

/// The character that an escape of JSON stands for (RFC 8259 7), and the length of the escape.
fn json(text: &[u8]) -> Option<(char, usize)> {
    let code = |at: usize| {
        let digits = text.get(at..)?.strip_prefix(b"\\u")?.get(..4)?;
        Some(u32::from(hex(&digits[..2])?) << 8 | u32::from(hex(&digits[2..])?))
    };
    let character = match text.get(1)? {
        b'u' => {
            let high = code(0)?;
            if !(0xd800..0xdc00).contains(&high) {
                return Some((char::from_u32(high)?, 6));
            }
            let low = code(6).filter(|low| (0xdc00..0xe000).contains(low))?;
            return Some((char::from_u32(0x1_0000 + ((high - 0xd800) << 10 | (low - 0xdc00)))?, 12));
        }
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        same @ (b'"' | b'\\' | b'/') => char::from(*same),
        _ => return None,
    };
    Some((character, 2))
}

/// The character that an entity of XML stands for, and the length of the entity.
fn xml(text: &[u8]) -> Option<(u32, usize)> {
    const ENTITIES: [(&[u8], char); 5] =
        [(b"&amp;", '&'), (b"&lt;", '<'), (b"&gt;", '>'), (b"&quot;", '"'), (b"&apos;", '\'')];
    let (entity, character) = ENTITIES.iter().find(|(entity, _)| text.starts_with(entity))?;
    Some((u32::from(*character), entity.len()))
}

/// The byte that two hexadecimal digits stand for.
fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |b: &u8| char::from(*b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    match digits {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    proptest::proptest! {
        #[test]
        fn nothing_else_is_changed(text in "[ab%6+\\\\u0&;é]{0,40}", secret in "[ab%+é]{1,4}") {
            let found = masked(&text, &[&secret]);
            proptest::prop_assert!(!text.contains(&secret) || found.is_some());
            if let Some(found) = found {
                proptest::prop_assert!(!found.contains(&secret));
                // What stands between the copies is in the text, in that order.
                let mut rest = text.as_str();
                for part in found.split(VERIFIED) {
                    let at = rest.find(part);
                    proptest::prop_assert!(at.is_some(), "{text} {secret} {found}");
                    rest = &rest[at.unwrap() + part.len()..];
                }
            }
        }
    }
}
