//! Search in a JSON body without building a tree.
//!
//! Bodies are checked and searched in place. A deeply nested or huge body needs no memory for a tree, and the
//! verified bytes are forwarded unchanged.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use crate::sort::sort;
use bytes::Bytes;
use serde::Deserialize as _;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
pub use serde_json::value::RawValue;

/// Reason why a field cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Body that is not JSON (RFC 8259) or not UTF-8.
    #[error("the body is not JSON")]
    Invalid,
    /// Object on the path that holds the key twice, so that the value is ambiguous.
    #[error("the JSON field is given twice")]
    Duplicate,
}

/// Upper bound on the listed members of an object or items of an array, which no sender reaches. A body of
/// megabytes could have millions, and their list would take many times the size of the body.
pub const MAX_PARTS: usize = 10_000;

/// Returns true if `text` is a single RFC 8259 value at any nesting depth, optionally surrounded by white
/// space.
pub fn is_valid(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Finds the value at `path` (`a.b.0.c`: keys and array positions) and returns its raw text.
pub fn find<'a>(body: &'a [u8], path: &str) -> Result<Option<&'a RawValue>, JsonError> {
    let text = std::str::from_utf8(body).map_err(|_| JsonError::Invalid)?;
    let mut de = serde_json::Deserializer::from_str(text);
    let mut doubts = Doubts::default();
    let steps: Vec<&str> = path.split('.').collect();
    let found = Find { steps: &steps, doubts: &mut doubts }.deserialize(&mut de);
    if doubts.duplicate {
        return Err(JsonError::Duplicate);
    }
    let found = found.map_err(|_| JsonError::Invalid)?;
    de.end().map_err(|_| JsonError::Invalid)?;
    Ok(found)
}

/// Returns true if an object on the path has a second member whose name differs from the step's in case alone. Some
/// readers, Go's among them, take one for the other.
pub(crate) fn has_alike(body: &[u8], path: &str) -> bool {
    let Ok(text) = std::str::from_utf8(body) else { return false };
    let steps: Vec<&str> = path.split('.').collect();
    let mut doubts = Doubts { alike: Some(false), ..Doubts::default() };
    let found = Find { steps: &steps, doubts: &mut doubts }
        .deserialize(&mut serde_json::Deserializer::from_str(text));
    found.is_ok() && doubts.alike == Some(true)
}

/// Returns true if the texts differ in case alone, by the rules of Unicode for single letters.
fn is_alike(a: &str, b: &str) -> bool {
    let folded = |text: &str| -> Vec<char> {
        text.chars().flat_map(char::to_lowercase).flat_map(char::to_uppercase).collect()
    };
    a != b && (a.eq_ignore_ascii_case(b) || !(a.is_ascii() && b.is_ascii()) && folded(a) == folded(b))
}

/// Returns the value at `path` as plain text: the content of a string, or a number or boolean as written. The
/// result is `None` for `null`, objects, arrays and missing fields.
pub fn text<'a>(body: &'a [u8], path: &str) -> Result<Option<Cow<'a, str>>, JsonError> {
    Ok(find(body, path)?.and_then(|raw| scalar(raw.get())))
}

/// Lists the members of a JSON object with the raw text of their values. A duplicate key is an error, and so
/// are more than [`MAX_PARTS`] members.
pub fn members(body: &[u8]) -> Result<Vec<(Cow<'_, str>, &RawValue)>, JsonError> {
    let text = std::str::from_utf8(body).map_err(|_| JsonError::Invalid)?;
    let Members(members) = serde_json::from_str(text).map_err(|_| JsonError::Invalid)?;
    let mut keys: Vec<&str> = members.iter().map(|(key, _)| key.as_ref()).collect();
    sort(&mut keys);
    if keys.windows(2).any(|two| two[0] == two[1]) { Err(JsonError::Duplicate) } else { Ok(members) }
}

/// Returns the content of a JSON string, or `None` for any other value.
pub fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    if raw.get().starts_with('"') { scalar(raw.get()) } else { None }
}

/// Returns the raw texts of the items of the array at `path`, or `None` if the value is not an array. More
/// than [`MAX_PARTS`] items are an error.
pub fn items<'a>(body: &'a [u8], path: &str) -> Result<Option<Vec<&'a [u8]>>, JsonError> {
    let Some(raw) = find(body, path)?.filter(|raw| raw.get().starts_with('[')) else { return Ok(None) };
    let Items(items) = serde_json::from_str(raw.get()).map_err(|_| JsonError::Invalid)?;
    Ok(Some(items))
}

pub(crate) fn scalar(raw: &str) -> Option<Cow<'_, str>> {
    match raw.as_bytes().first()? {
        b'"' => {
            // Borrows if the string has no escapes. A lone surrogate is not valid text.
            let mut de = serde_json::Deserializer::from_str(raw);
            Option::from(CowStr::deserialize(&mut de).ok()?.0)
        }
        b'{' | b'[' | b'n' => None,
        _ => Some(Cow::Borrowed(raw)),
    }
}

#[derive(serde::Deserialize)]
struct CowStr<'a>(#[serde(borrow)] Cow<'a, str>);

struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> serde::Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((CowStr(key), value)) = map.next_entry()? {
                    if members.len() == MAX_PARTS {
                        return Err(A::Error::custom("too many members"));
                    }
                    members.push((key, value));
                }
                Ok(Members(members))
            }
        }
        de.deserialize_map(All)
    }
}

struct Items<'a>(Vec<&'a [u8]>);

impl<'de> serde::Deserialize<'de> for Items<'de> {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Items<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element::<&'de RawValue>()? {
                    if items.len() == MAX_PARTS {
                        return Err(A::Error::custom("too many items"));
                    }
                    items.push(item.get().as_bytes());
                }
                Ok(Items(items))
            }
        }
        de.deserialize_seq(All)
    }
}

/// Doubts about the value that a search has found.
#[derive(Default)]
struct Doubts {
    /// Presence of a second member of the same name.
    duplicate: bool,
    /// Presence of a member with a name that is alike, if it is looked for.
    alike: Option<bool>,
}

struct Find<'p> {
    steps: &'p [&'p str],
    doubts: &'p mut Doubts,
}

impl<'de> DeserializeSeed<'de> for Find<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<Self::Value, D::Error> {
        if self.steps.is_empty() { <&RawValue>::deserialize(de).map(Some) } else { de.deserialize_any(self) }
    }
}

impl<'de> Visitor<'de> for Find<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Some((step, rest)) = self.steps.split_first() else { return Ok(None) };
        let (mut seen, mut found) = (false, None);
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if key != *step {
                if let Some(alike) = &mut self.doubts.alike {
                    *alike |= is_alike(&key, step);
                }
                map.next_value::<IgnoredAny>()?;
            } else if seen {
                self.doubts.duplicate = true;
                map.next_value::<IgnoredAny>()?;
            } else {
                seen = true;
                found = map.next_value_seed(Find { steps: rest, doubts: self.doubts })?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let Some((step, rest)) = self.steps.split_first() else { return Ok(None) };
        if let Ok(position) = step.parse::<usize>() {
            for _ in 0..position {
                if seq.next_element::<IgnoredAny>()?.is_none() {
                    return Ok(None);
                }
            }
            let found = seq.next_element_seed(Find { steps: rest, doubts: self.doubts })?;
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(found.flatten());
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// Returns true if a JSON string must escape this byte.
const fn is_escaped(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Writes `text` as a JSON string with quotes. Writes directly into `out` without a copy, because a body is
/// large and escapes may grow it sixfold.
pub fn write_string(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(is_escaped) {
        let (plain, from) = rest.split_at(at);
        out.push_str(plain);
        let mut chars = from.chars();
        match chars.next().unwrap_or_default() {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            control @ '\0'..='\x1f' => {
                // Writing to a `String` never fails.
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.extend(['\\', other]),
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

/// Serializes a value of strings, numbers and lists of them as JSON. If `expected` bytes suffice, the buffer
/// is never copied.
pub(crate) fn to_bytes(value: &impl serde::Serialize, expected: usize) -> Bytes {
    let mut out = Vec::with_capacity(expected);
    // Such values always serialize.
    if serde_json::to_writer(&mut out, value).is_err() { Bytes::new() } else { out.into() }
}

/// Returns the length of `text` as a JSON string, quotes included, in bytes. Every message is measured before
/// it is written, so the count takes eight bytes at a time.
pub fn string_len(text: &str) -> usize {
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    let mut len = text.len() + 2;
    // A lane of one byte can count 255 words.
    for words in words.chunks(255) {
        let (mut escaped, mut in_six) = (0, 0);
        for word in words.iter().map(|word| Lanes(u64::from_ne_bytes(*word))) {
            let controls = word.below(0x20);
            escaped += (controls | word.equal(b'"') | word.equal(b'\\')) >> 7;
            if controls != 0 {
                let in_two =
                    [0x08, b'\t', b'\n', 0x0c, b'\r'].into_iter().fold(0, |all, byte| all | word.equal(byte));
                in_six += (controls & !in_two) >> 7;
            }
        }
        len += Lanes(escaped).sum() + 4 * Lanes(in_six).sum();
    }
    let in_two = |byte| matches!(byte, b'"' | b'\\' | 0x08 | b'\t' | b'\n' | 0x0c | b'\r');
    len + rest.iter().map(|&byte| if in_two(byte) { 1 } else { 5 * usize::from(byte < 0x20) }).sum::<usize>()
}

/// Eight bytes of text. Each comparison sets the highest bit of the matching bytes, without a carry between
/// bytes.
#[derive(Clone, Copy)]
struct Lanes(u64);

impl Lanes {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGHEST: u64 = Self::ONES << 7;

    /// Marks the bytes that are less than `most`, which must not exceed 0x80.
    const fn below(self, most: u8) -> u64 {
        let low = self.0 & !Self::HIGHEST;
        !((low + Self::ONES * (0x80 - most as u64)) | self.0) & Self::HIGHEST
    }

    const fn equal(self, byte: u8) -> u64 {
        Self(self.0 ^ (Self::ONES * byte as u64)).below(1)
    }

    const fn sum(self) -> usize {
        let pairs = Self::ONES / 0x101;
        let sums = (self.0 & (pairs * 0xff)) + ((self.0 >> 8) & (pairs * 0xff));
        (sums.wrapping_mul(pairs) >> 48) as usize
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
