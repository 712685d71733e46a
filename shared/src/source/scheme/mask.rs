//! Search for the copies of a secret, in every spelling.

use std::ops::Range;

use memchr::memchr;
use memchr::memmem;

use crate::secret::Secret;
use crate::sort::sort_by;

/// Replacement for a token.
pub(crate) const VERIFIED: &str = "[verified]";

/// Replaces every copy of the secrets in a text; returns `None` if the text holds none. The text is read once
/// for each secret and each spelling that it may hold, however often a copy begins.
pub(crate) fn masked<'s>(text: &[u8], secrets: impl IntoIterator<Item = &'s Secret>) -> Option<Vec<u8>> {
    let mut copies = Vec::new();
    for secret in secrets.into_iter().map(Secret::expose).filter(|secret| !secret.is_empty()) {
        copies.extend(memmem::find_iter(text, secret).map(|at| at..at + secret.len()));
        for spelling in Spelling::ALL {
            if spelling.stands_in(text, secret) {
                spelling.find(text, secret, &mut copies);
            }
        }
    }
    if copies.is_empty() {
        return None;
    }
    sort_by(&mut copies, &|a, b| (a.start, a.end).cmp(&(b.start, b.end)));
    let mut out = Vec::with_capacity(text.len());
    // No part of a copy is left, even if another copy begins inside of it.
    let mut at = 0;
    for Range { start, end } in copies {
        if start >= at {
            out.extend_from_slice(text.get(at..start).unwrap_or_default());
            out.extend_from_slice(VERIFIED.as_bytes());
        }
        at = at.max(end);
    }
    out.extend_from_slice(text.get(at..).unwrap_or_default());
    Some(out)
}

/// Escapes of a value in its place, the same for the whole value; the plain spelling is searched for
/// separately.
#[derive(Clone, Copy)]
enum Spelling {
    /// Percent-encoding, as in an address.
    Url,
    /// Percent-encoding in a form, where a plus is a blank.
    Form,
    Json,
    Xml,
}

/// Bytes of one character, plain or escaped, and the length of its spelling in the text, in bytes.
struct Unit {
    bytes: [u8; 4],
    count: usize,
    length: usize,
}

impl Unit {
    fn of(character: char, length: usize) -> Self {
        let mut bytes = [0; 4];
        let count = character.encode_utf8(&mut bytes).len();
        Self { bytes, count, length }
    }

    const fn byte(byte: u8, length: usize) -> Self {
        Self { bytes: [byte, 0, 0, 0], count: 1, length }
    }
}

impl Spelling {
    const ALL: [Self; 4] = [Self::Url, Self::Form, Self::Json, Self::Xml];

    /// Returns true if the text may hold the secret in this spelling, other than in the plain one.
    fn stands_in(self, text: &[u8], secret: &[u8]) -> bool {
        match self {
            Self::Url => memchr(b'%', text).is_some(),
            Self::Form => memchr(b' ', secret).is_some() && memchr(b'+', text).is_some(),
            Self::Json => memchr(b'\\', text).is_some(),
            Self::Xml => memchr(b'&', text).is_some(),
        }
    }

    /// Reads the character or escape at the start of the text, which is not empty.
    fn unit(self, text: &[u8]) -> Unit {
        let first = text.first().copied().unwrap_or_default();
        let escape = match (self, first) {
            (Self::Url | Self::Form, b'%') => text.get(1..3).and_then(hex).map(|byte| Unit::byte(byte, 3)),
            (Self::Form, b'+') => Some(Unit::byte(b' ', 1)),
            (Self::Json, b'\\') => json(text).map(|(character, length)| Unit::of(character, length)),
            (Self::Xml, b'&') => xml(text).map(|(character, length)| Unit::of(character, length)),
            _ => None,
        };
        // A byte that begins no valid escape stands for itself.
        escape.unwrap_or(Unit::byte(first, 1))
    }

    /// Adds the copies of the secret in this spelling (algorithm of Knuth, Morris and Pratt).
    fn find(self, text: &[u8], secret: &[u8], copies: &mut Vec<Range<usize>>) {
        let borders = borders(secret);
        // Offsets of the latest bytes' beginnings, as many as a copy has bytes.
        let mut starts = vec![0; secret.len()];
        let (mut at, mut count, mut matched) = (0, 0, 0);
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            step();
            let unit = self.unit(rest);
            let end = at + unit.length;
            for byte in unit.bytes.iter().take(unit.count) {
                if let Some(slot) = starts.get_mut(count % secret.len()) {
                    *slot = at;
                }
                count += 1;
                matched = advance(secret, &borders, matched, *byte);
                if matched == secret.len() {
                    copies.extend(starts.get(count % secret.len()).map(|start| *start..end));
                    matched = 0;
                }
            }
            at = end;
        }
    }
}

/// Computes, for each byte of the pattern, the length of the longest proper prefix that ends at that byte.
fn borders(pattern: &[u8]) -> Vec<usize> {
    let mut borders = vec![0; pattern.len()];
    let mut matched = 0;
    for (at, byte) in pattern.iter().enumerate().skip(1) {
        matched = advance(pattern, &borders, matched, *byte);
        if let Some(border) = borders.get_mut(at) {
            *border = matched;
        }
    }
    borders
}

/// Returns the length of the pattern's prefix that ends with the next byte, given the one that ended before
/// it.
fn advance(pattern: &[u8], borders: &[usize], mut matched: usize, byte: u8) -> usize {
    loop {
        step();
        if pattern.get(matched) == Some(&byte) {
            return matched + 1;
        }
        match matched.checked_sub(1).and_then(|last| borders.get(last)) {
            Some(shorter) => matched = *shorter,
            None => return 0,
        }
    }
}

/// Counts one step in tests, which check that the work is linear in the text.
#[cfg(not(test))]
const fn step() {}

#[cfg(test)]
use tests::step;

/// Decodes an escape of JSON (RFC 8259 7), and returns its character and its length in bytes.
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

/// Decodes an entity of XML, and returns its character and its length in bytes.
fn xml(text: &[u8]) -> Option<(char, usize)> {
    const ENTITIES: [(&[u8], char); 5] =
        [(b"&amp;", '&'), (b"&lt;", '<'), (b"&gt;", '>'), (b"&quot;", '"'), (b"&apos;", '\'')];
    let (entity, character) = ENTITIES.iter().find(|(entity, _)| text.starts_with(entity))?;
    Some((*character, entity.len()))
}

/// Decodes two hexadecimal digits.
fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |b: &u8| char::from(*b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    match digits {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    }
}

#[cfg(test)]
#[path = "mask_tests.rs"]
mod tests;
