//! Repair of answers: undoes changes by servers on the way, as far as possible.
//!
//! A vendor confirms a stored message once, and an unreadable answer causes one more copy. So a gateway's
//! compression, a byte order mark and text in another encoding must not hide a receipt.

use std::borrow::Cow;

use http::header::CONTENT_ENCODING;

use super::answer::Answer;
use crate::inflate::{GZIP, gunzip, unzlib};
use crate::json;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Lowest lead byte of a two-byte character in GBK, GB 18030, Big5 and similar encodings.
const LEAD: u8 = 0x81;

/// Lowest second byte of a two-byte character in these encodings. A backslash can be one.
const TRAIL: u8 = 0x40;

impl Answer {
    /// Undoes a compression that was not asked for, if it is gzip or zlib and the result has up to `limit`
    /// bytes; otherwise the answer stays as it is.
    pub(crate) fn inflated(mut self, limit: usize) -> Self {
        let coding = self.coding().map(str::to_ascii_lowercase);
        let inflated = if self.body.starts_with(&GZIP) {
            gunzip(&self.body, limit).ok()
        } else if coding.as_deref() == Some("deflate") {
            unzlib(&self.body, limit).ok()
        } else {
            None
        };
        if let Some(body) = inflated {
            self.body = body.into();
            self.headers.remove(CONTENT_ENCODING);
        }
        self
    }

    /// Returns the compression that `Content-Encoding` names, if any.
    pub(crate) fn coding(&self) -> Option<&str> {
        let coding = self.header(CONTENT_ENCODING.as_str())?.trim();
        Some(coding).filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity"))
    }

    /// Converts the body to UTF-8 without a byte order mark. Other bytes become U+FFFD, so that the text
    /// around them can be read.
    pub(crate) fn in_utf8(&self) -> Cow<'_, Self> {
        let body = self.body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&self.body);
        let body = match std::str::from_utf8(body) {
            Ok(_) if body.len() == self.body.len() => return Cow::Borrowed(self),
            Ok(_) => self.body.slice_ref(body),
            Err(_) => mended(body).into(),
        };
        Cow::Owned(Self { body, ..self.clone() })
    }
}

/// Replaces bytes that are not UTF-8, one by one. If the result is not JSON, the second byte of a two-byte
/// character may look like a backslash, so it replaces the bytes in pairs.
fn mended(body: &[u8]) -> String {
    let single = String::from_utf8_lossy(body).into_owned();
    if json::is_valid(&single) {
        return single;
    }
    let mut paired = String::with_capacity(body.len());
    let mut bytes = body.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte.is_ascii() {
            paired.push(char::from(byte));
        } else {
            paired.push(char::REPLACEMENT_CHARACTER);
            bytes.next_if(|next| byte >= LEAD && *next >= TRAIL);
        }
    }
    if json::is_valid(&paired) { paired } else { single }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn answer(body: &[u8]) -> Answer {
        Answer { status: 200, body: Bytes::copy_from_slice(body), ..Answer::default() }
    }

    #[test]
    fn what_is_sound_is_not_copied() {
        for body in ["", "{}", "é", "<html>"] {
            assert!(matches!(answer(body.as_bytes()).in_utf8(), Cow::Borrowed(_)), "{body}");
        }
        assert_eq!(answer(b"\xef\xbb\xbf{}").in_utf8().body, "{}");
    }

    #[test]
    fn other_encodings_hide_nothing_that_is_ascii() {
        // A pair that ends in a backslash before a quote, in GBK; a letter before an escaped quote, in
        // Latin-1.
        for body in [&b"{\"a\":\"\x95\x5c\",\"b\":1}"[..], b"{\"a\":\"\xe9\\\"\",\"b\":1}"] {
            let answer = answer(body);
            assert_eq!(json::text(&answer.in_utf8().body, "b").unwrap().as_deref(), Some("1"), "{body:?}");
        }
        assert_eq!(answer(b"\xff\xff").in_utf8().body, "\u{fffd}\u{fffd}");
    }

    /// Builds a gzip stream with every part that a head can have.
    fn gzip(content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap().to_le_bytes();
        let head =
            [&GZIP[..], &[2 | 4 | 8 | 16, 0, 0, 0, 0, 0, 3], b"\x02\0ex", b"name\0", b"comment\0", b"hc"];
        [&head.concat(), &*miniz_oxide::deflate::compress_to_vec(content, 9), b"csum", &length].concat()
    }

    #[test]
    fn what_inflates_without_end_does_not() {
        let bomb = gzip(&vec![b' '; 1 << 20]);
        assert_eq!(answer(&bomb).inflated(1 << 20).body.len(), 1 << 20);
        assert_eq!(answer(&bomb).inflated((1 << 20) - 1).body, bomb, "left as it is");
    }

    #[test]
    fn what_is_torn_is_left_as_it_is() {
        let whole = gzip(br#"{"a":1}"#);
        assert_eq!(answer(&whole).inflated(99).body, r#"{"a":1}"#);
        for end in 0..whole.len() {
            assert_eq!(answer(&whole[..end]).inflated(99).body, whole[..end], "{end}");
        }
        // A change of any bit gives the original or an inflated answer, never a panic.
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut changed = whole.clone();
                changed[at] ^= 1 << bit;
                assert!(answer(&changed).inflated(99).body.len() <= 99.max(whole.len()));
            }
        }
    }

    #[test]
    fn deflate_is_zlib_where_it_is_named() {
        let mut answer = answer(&miniz_oxide::deflate::compress_to_vec_zlib(b"{}", 1));
        assert_ne!(answer.clone().inflated(9).body, "{}");
        answer.headers.insert(CONTENT_ENCODING, "deflate".parse().unwrap());
        let inflated = answer.inflated(9);
        assert_eq!((inflated.body.as_ref(), inflated.coding()), (&b"{}"[..], None));
    }
}
