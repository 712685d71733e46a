//! Text forms of keys and signatures.

use base64::Engine as _;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

/// A text form of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// UTF-8: the text itself.
    Utf8,
    /// Hexadecimal digits, all in lower case or all in upper case.
    Hex,
    /// Base64 with the standard alphabet, padded.
    Base64,
    /// Base64 of lower-case hexadecimal text.
    Base64Hex,
    /// Base64 with the URL-safe alphabet, padded or not.
    Base64Url,
}

impl Encoding {
    /// Decodes `text` if its form is exact: no white space, no stray bits, no mixed case. Bytes therefore
    /// have no second form, apart from the case of hexadecimal digits and the padding of base64url.
    pub(crate) fn decode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Utf8 => Some(text.as_bytes().to_vec()),
            Self::Hex => hex(text),
            Self::Base64 => STANDARD.decode(text).ok(),
            Self::Base64Hex => hex(std::str::from_utf8(&STANDARD.decode(text).ok()?).ok()?),
            Self::Base64Url => any_padding(text, &URL_SAFE, &URL_SAFE_NO_PAD),
        }
    }

    /// Decodes a key like [`decode`](Self::decode), and accepts base64 without padding, as consoles show it.
    pub(crate) fn decode_key(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Base64 => any_padding(text, &STANDARD, &STANDARD_NO_PAD),
            _ => self.decode(text),
        }
    }

    /// Encodes `bytes` as text, with the padding that the encoding has.
    pub(crate) fn encode(self, bytes: &[u8]) -> String {
        match self {
            Self::Utf8 => String::from_utf8_lossy(bytes).into_owned(),
            Self::Hex => to_hex(bytes),
            Self::Base64 => STANDARD.encode(bytes),
            Self::Base64Hex => STANDARD.encode(to_hex(bytes)),
            Self::Base64Url => URL_SAFE.encode(bytes),
        }
    }

    /// Returns the name of the encoding in a `[verify]` table.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Utf8 => "utf8",
            Self::Hex => "hex",
            Self::Base64 => "base64",
            Self::Base64Hex => "base64-hex",
            Self::Base64Url => "base64url",
        }
    }
}

/// Decodes base64 that has all of its padding or none, as senders and consoles write it.
fn any_padding(text: &str, padded: &GeneralPurpose, unpadded: &GeneralPurpose) -> Option<Vec<u8>> {
    if text.ends_with('=') { padded.decode(text).ok() } else { unpadded.decode(text).ok() }
}

/// Encodes `bytes` as lower-case hexadecimal.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|b| [b >> 4, b & 0xf])
        .map(|nibble| char::from(DIGITS[usize::from(nibble)]))
        .collect()
}

/// Decodes hexadecimal text in one case. Mixed case is refused, because no encoder produces it.
fn hex(text: &str) -> Option<Vec<u8>> {
    let bytes = text.as_bytes();
    let mixed = bytes.iter().any(u8::is_ascii_lowercase) && bytes.iter().any(u8::is_ascii_uppercase);
    if mixed || !bytes.len().is_multiple_of(2) {
        return None;
    }
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    bytes.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_signature_has_one_text() {
        assert_eq!(Encoding::Hex.decode("00ff"), Some(vec![0, 255]));
        assert_eq!(Encoding::Hex.decode("00FF"), Some(vec![0, 255]));
        for bad in ["00fF", "0", "0g", "0x", " 00", "+1", "é"] {
            assert_eq!(Encoding::Hex.decode(bad), None, "{bad}");
        }
        assert_eq!(Encoding::Base64.decode("/+8="), Some(vec![255, 239]));
        for bad in ["/+8", "/+9=", "_-8=", "/+8= ", "/+8=="] {
            assert_eq!(Encoding::Base64.decode(bad), None, "{bad}");
        }
        assert_eq!(Encoding::Base64Url.decode("_-8"), Some(vec![255, 239]));
        assert_eq!(Encoding::Base64Url.decode("_-8="), Some(vec![255, 239]));
        for bad in ["_-9", "/+8", "_-8==", "vA=", "vA===", "="] {
            assert_eq!(Encoding::Base64Url.decode(bad), None, "{bad}");
        }
        for key in ["/+8", "/+8="] {
            assert_eq!(Encoding::Base64.decode_key(key), Some(vec![255, 239]));
        }
        assert_eq!(Encoding::Base64.decode_key("vA="), None);
    }

    #[test]
    fn encode_undoes_decode() {
        for encoding in
            [Encoding::Utf8, Encoding::Hex, Encoding::Base64, Encoding::Base64Hex, Encoding::Base64Url]
        {
            assert_eq!(encoding.decode(&encoding.encode(b"a?>~")), Some(b"a?>~".to_vec()));
        }
    }
}
