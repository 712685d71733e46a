//! Repair of an event that is not text, or not JSON, because a gateway copied a stranger's bytes into it.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Mark in front of each repaired character, for those parts of an event that must not be repaired. Unicode
/// gives it no meaning.
pub(super) const MARK: char = '\u{10ffff}';

/// Upper bound on the repairs of one event. Header fields do not have so many bytes, and each repair takes
/// several times the memory of what it repairs.
const MAX_REPAIRS: usize = 64 * 1024;

/// Repairs the texts of an event: bytes that are not UTF-8 are Latin-1, as HTTP's own header fields are, also
/// if they are written as `\xEE`; half a character (`\ud800`) is one that cannot be shown, and a backslash
/// before anything else is itself. Each repair is marked with [`MARK`]. `None` if there are too many.
pub(super) fn mend(event: &[u8]) -> Option<String> {
    let mut repairs = 0;
    let mut text = String::with_capacity(event.len());
    for chunk in event.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.extend([MARK, char::from(*byte)]);
        }
        repairs += chunk.invalid().len();
        if repairs > MAX_REPAIRS {
            return None;
        }
    }
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut is_inside) = (text.as_str(), false);
    while let Some(at) = rest.find(|c: char| c < ' ' || c == '"' || c == '\\') {
        let (plain, from) = rest.split_at(at);
        out.push_str(plain);
        // The number of bytes that are dealt with, and the character in their place.
        let (len, repaired) = match from.as_bytes() {
            [b'"', ..] => {
                is_inside = !is_inside;
                (1, None)
            }
            [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => (2, None),
            [b'\\', b'u', ..] => {
                match (hex(from, "\\u", 4), from.get(6..).and_then(|next| hex(next, "\\u", 4))) {
                    (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => (12, None),
                    (Some(0xd800..=0xdfff), _) => (6, Some(char::REPLACEMENT_CHARACTER)),
                    (Some(_), _) => (6, None),
                    (None, _) => (1, Some('\\')),
                }
            }
            [b'\\', ..] => match hex(from, "\\x", 2) {
                Some(byte) => (4, char::from_u32(byte)),
                None => (1, Some('\\')),
            },
            [control, ..] if is_inside => (1, Some(char::from(*control))),
            _ => (1, None),
        };
        let (kept, after) = from.split_at(len);
        match repaired {
            // Writing to a `String` never fails.
            Some(c) => {
                let _ = write!(out, "{MARK}\\u{:04x}", u32::from(c));
                repairs += 1;
                if repairs > MAX_REPAIRS {
                    return None;
                }
            }
            None => out.push_str(kept),
        }
        rest = after;
    }
    Some(out + rest)
}

/// Returns a text without [`MARK`]s.
pub(super) fn plain(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.contains(MARK) { text.replace(MARK, "").into() } else { text }
}

/// Returns the number that an escape at the start of the text has, by its two first characters and the count
/// of its digits.
fn hex(text: &str, escape: &str, digits: usize) -> Option<u32> {
    let digits = text.strip_prefix(escape)?.get(..digits)?;
    // A sign is not a digit, but a part of a number.
    if digits.starts_with('+') { None } else { u32::from_str_radix(digits, 16).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_send_is_read_as_they_meant_it() {
        for (event, mended) in [
            (&b"{\"a\": \"Beno\xeet\"}"[..], "Benoît"),
            (br#"{"a": "Beno\xEEt"}"#, "Benoît"),
            (br#"{"a": "Beno\xE"}"#, "Beno\\xE"),
            (br#"{"a": "\q\"\u00ee"}"#, "\\q\"î"),
            (br#"{"a": "\u12"}"#, "\\u12"),
            (br#"{"a": "\u+123"}"#, "\\u+123"),
            (br#"{"a": "\ud83d"}"#, "\u{fffd}"),
            (br#"{"a": "\ud83dx\ude00"}"#, "\u{fffd}x\u{fffd}"),
            (br#"{"a": "\ud83d\ude00"}"#, "\u{1f600}"),
            (b"{\"a\": \"\x00\n\x7f\"}", "\0\n\x7f"),
            ("{\"a\": \"\u{e9}\\\u{e9}\"}".as_bytes(), "\u{e9}\\\u{e9}"),
            (b"{\n\t\"a\": \"\\\\\"}", "\\"),
        ] {
            let text = mend(event).unwrap();
            let value: serde_json::Value =
                serde_json::from_str(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(value["a"].as_str().unwrap().replace(MARK, ""), mended, "{text}");
        }
    }

    #[test]
    fn what_is_sound_stays_and_what_is_broken_stays_broken() {
        let sound = r#"{"a": ["\u00ee\ud83d\ude00\"\\\/\b\f\n\r\t", 1.5e3, null], "\\": "é"}"#;
        assert_eq!(mend(sound.as_bytes()).unwrap(), sound);
        for broken in ["{\"a\": \"b", "{\"a\": \"b\\", "\\", "{\"a\" \"\\x\"}", "\\u"] {
            assert!(
                serde_json::from_str::<serde_json::Value>(&mend(broken.as_bytes()).unwrap()).is_err(),
                "{broken}"
            );
        }
    }

    #[test]
    fn there_is_an_end_to_repairs() {
        for byte in [b"\xee".as_slice(), b"\x01", b"\\q"] {
            let event = |n| [b"\"".as_slice(), &byte.repeat(n), b"\""].concat();
            assert!(mend(&event(MAX_REPAIRS)).is_some());
            assert!(mend(&event(MAX_REPAIRS + 1)).is_none());
        }
    }
}
