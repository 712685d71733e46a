//! Reader and writer for the subset of DER (X.690) that keys and the dates of certificates need.

use crate::clock::Timestamp;

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
#[cfg(feature = "sender")]
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// Tag `[0] EXPLICIT`, which marks a certificate's version.
const VERSION: u8 = 0xa0;

/// DER values, one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Der<'a>(pub(crate) &'a [u8]);

impl<'a> Der<'a> {
    /// Reads the next value, and returns its tag and content. Lengths must be definite, in their shortest
    /// form and under 64 KiB; tags must be one byte long.
    pub(crate) fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, rest) = self.0.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match (first, rest) {
            (0..=0x7f, rest) => (usize::from(*first), rest),
            (0x81, [length @ 0x80..=0xff, rest @ ..]) => (usize::from(*length), rest),
            (0x82, [high @ 1..=0xff, low, rest @ ..]) => {
                (usize::from(u16::from_be_bytes([*high, *low])), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        (tag & 0x1f != 0x1f).then_some((*tag, content))
    }

    /// Reads the next value, and returns its content if the value has this tag.
    pub(crate) fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }

    /// Returns the content of the only value, or `None` if the tag differs or another value follows.
    pub(crate) fn only(mut self, tag: u8) -> Option<&'a [u8]> {
        self.take(tag).filter(|_| self.0.is_empty())
    }
}

/// Encodes a value with this tag. The content belongs to a key, so it is far shorter than 64 KiB.
pub(crate) fn write(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let [high, low] = u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes();
    let head: &[u8] = match (high, low) {
        (0, 0..=0x7f) => &[tag, low],
        (0, _) => &[tag, 0x81, low],
        _ => &[tag, 0x82, high, low],
    };
    [head, &content].concat()
}

/// Returns the first and the last moment at which a certificate is valid ([RFC 5280] 4.1.2.5).
///
/// [RFC 5280]: https://www.rfc-editor.org/rfc/rfc5280#section-4.1.2.5
pub(crate) fn validity(certificate: &[u8]) -> Option<(Timestamp, Timestamp)> {
    let mut tbs = Der(Der(Der(certificate).only(SEQUENCE)?).take(SEQUENCE)?);
    // Version, serial number, signature algorithm, issuer.
    for tag in [VERSION, INTEGER, SEQUENCE, SEQUENCE] {
        tbs.take(tag)?;
    }
    let mut dates = Der(tbs.take(SEQUENCE)?);
    let (from, until) = (time(dates.next()?)?, time(dates.next()?)?);
    dates.0.is_empty().then_some((from, until))
}

/// Parses a `UTCTime` (`YYMMDDHHMMSSZ`) or a `GeneralizedTime` (`YYYYMMDDHHMMSSZ`).
fn time((tag, text): (u8, &[u8])) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?;
    let text = match tag {
        UTC_TIME if text.len() == 13 => format!("{}{text}", if text < "50" { "20" } else { "19" }),
        GENERALIZED_TIME if text.len() == 15 => text.to_owned(),
        _ => return None,
    };
    Timestamp::parse_basic(&format!("{}T{}", text.get(..8)?, text.get(8..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_one_form() {
        let long = [&[4, 0x82, 1, 0][..], &[7; 256]].concat();
        assert_eq!(Der(&long).only(OCTET_STRING), Some(&[7; 256][..]));
        assert_eq!(write(OCTET_STRING, &[&[7; 256]]), long);
        for length in [0, 1, 127, 128, 255, 256, 5000] {
            let content = vec![1; length];
            assert_eq!(Der(&write(OCTET_STRING, &[&content])).only(OCTET_STRING), Some(&content[..]));
        }
        for bad in [
            &[][..],
            &[4],
            &[4, 1],
            &[4, 0x80, 0, 0],
            &[4, 0x81, 1, 7],
            &[4, 0x82, 0, 1, 7],
            &[4, 0x83, 0, 0, 1, 7],
            &[4, 1, 7, 0],
            &[0x1f, 1, 7],
        ] {
            assert_eq!(Der(bad).only(OCTET_STRING), None, "{bad:?}");
        }
    }

    #[test]
    fn years_have_two_digits_or_four() {
        let at = |text: &str| Timestamp::parse_rfc3339(text);
        assert_eq!(time((UTC_TIME, b"491231235959Z")), at("2049-12-31T23:59:59Z"));
        assert_eq!(time((UTC_TIME, b"500101000000Z")), at("1950-01-01T00:00:00Z"));
        assert_eq!(time((GENERALIZED_TIME, b"20500101000000Z")), at("2050-01-01T00:00:00Z"));
        for bad in ["4912312359Z", "491231235959", "491331235959Z", "20500101000000.1Z", "é91231235959Z"] {
            assert_eq!(time((UTC_TIME, bad.as_bytes())), None, "{bad}");
            assert_eq!(time((GENERALIZED_TIME, bad.as_bytes())), None, "{bad}");
        }
    }
}
