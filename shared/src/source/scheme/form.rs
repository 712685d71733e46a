//! Form in a body, in the one reading that a receiver can have of it.
//!
//! The header field `Content-Type` is not signed. If it chose the reading alone, anybody could choose what is
//! read of a signed body; if the body chose it alone, the receiver would read by the type what was not verified.
//! So what is found in a form counts only if both say the same.

use std::borrow::Cow;
use std::ops::Range;

use percent_encoding::percent_decode;

use crate::http::Headers;
use crate::source::scheme::multipart::{FormError, Multipart};

/// A form in a body.
pub(crate) enum FormBody<'b> {
    /// The pairs of `application/x-www-form-urlencoded`.
    Pairs(&'b [u8]),
    /// The parts of `multipart/form-data`.
    Parts(Multipart<'b>),
}

/// Reading that a content type asks for.
enum Type<'h> {
    Pairs,
    /// Parts between this boundary.
    Parts(&'h str),
    /// Absence of a type, or one that receivers do not take apart.
    Open,
    /// JSON, XML, several types at once, or parts without a boundary.
    Other,
}

impl<'b> FormBody<'b> {
    /// Reads the body as the form that its beginning shows. [`is_named`](Self::is_named) tells if a receiver
    /// reads it so too.
    pub(crate) fn of(body: &'b [u8]) -> Self {
        Multipart::of(body).map_or(Self::Pairs(body), Self::Parts)
    }

    /// Returns true if the content type names this form. Pairs need no type, but none that says otherwise; parts
    /// need the type that names their boundary.
    pub(crate) fn is_named(&self, headers: &Headers) -> bool {
        match (self, Type::of(headers)) {
            (Self::Pairs(_), Type::Pairs | Type::Open) => true,
            (Self::Parts(parts), Type::Parts(boundary)) => parts.boundary() == boundary.as_bytes(),
            _ => false,
        }
    }

    /// Returns the value of the only field with this name, decoded.
    pub(crate) fn field(&self, name: &str) -> Result<Option<Cow<'b, [u8]>>, FormError> {
        match self {
            Self::Parts(parts) => Ok(parts.field(name)?.map(Cow::Borrowed)),
            Self::Pairs(text) => {
                let mut values = values(text, name).map(|(value, _)| value);
                let first = values.next();
                if values.next().is_some() { Err(FormError::Twice) } else { Ok(first) }
            }
        }
    }

    /// Returns the place of the first field with this name in the body, in its encoded form.
    pub(crate) fn span(&self, name: &str) -> Option<Range<usize>> {
        match self {
            Self::Parts(parts) => parts.span(name).ok()?,
            Self::Pairs(text) => values(text, name).next().map(|(_, span)| span),
        }
    }
}

impl<'h> Type<'h> {
    fn of(headers: &'h Headers) -> Self {
        let mut types = headers.all("content-type").map(std::str::from_utf8);
        let (first, second) = (types.next(), types.next());
        let kind = match (first, second) {
            (None, _) => return Self::Open,
            (Some(Ok(kind)), None) => kind,
            _ => return Self::Other,
        };
        let (media, params) = kind.split_once(';').unwrap_or((kind, ""));
        let media = media.trim().to_ascii_lowercase();
        match media.as_str() {
            "application/x-www-form-urlencoded" => Self::Pairs,
            "multipart/form-data" => boundary(params).map_or(Self::Other, Self::Parts),
            _ if ["json", "xml", "multipart/"].iter().any(|format| media.contains(format)) => Self::Other,
            _ => Self::Open,
        }
    }
}

/// Returns the value of the parameter `boundary` ([RFC 2045] 5.1), if `charset` is the only one beside it. Readers
/// disagree about any other: `boundary*`, `xboundary`, a second one, or one in the quotes of another.
///
/// [RFC 2045]: https://www.rfc-editor.org/rfc/rfc2045
fn boundary(params: &str) -> Option<&str> {
    let mut found = None;
    for param in params.split(';') {
        let (name, value) = param.split_once('=')?;
        let value = value.trim();
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        let is_plain = value.bytes().all(|b| b.is_ascii_alphanumeric() || b"'()+_-./:?= &".contains(&b));
        if !is_plain || value.ends_with(' ') {
            return None;
        }
        match name.trim().to_ascii_lowercase().as_str() {
            "boundary" if found.is_none() => found = Some(value),
            "charset" => {}
            _ => return None,
        }
    }
    found
}

/// Returns the content type that a sender gives to this body instead of its usual one; `None` if the body is not a
/// form, or the usual type names one already.
#[cfg(feature = "sender")]
pub(crate) fn type_of(body: &[u8], usual: &str) -> Option<String> {
    let is_json = body.trim_ascii().starts_with(b"{") || body.trim_ascii().starts_with(b"[");
    match FormBody::of(body) {
        FormBody::Parts(parts) => {
            let boundary = String::from_utf8_lossy(parts.boundary()).into_owned();
            Some(format!("multipart/form-data; boundary=\"{boundary}\""))
        }
        FormBody::Pairs(_) if usual.contains("json") && !is_json && body.contains(&b'=') => {
            Some("application/x-www-form-urlencoded".to_owned())
        }
        FormBody::Pairs(_) => None,
    }
}

/// Returns true if the content type is that of pairs.
pub(crate) fn is_pairs(headers: &Headers) -> bool {
    matches!(Type::of(headers), Type::Pairs)
}

/// Decodes the values of `name` in `application/x-www-form-urlencoded` text, each with the span of its
/// encoded form.
pub(crate) fn values<'v>(text: &'v [u8], name: &str) -> impl Iterator<Item = (Cow<'v, [u8]>, Range<usize>)> {
    let named = encoded(text).filter(move |(key, ..)| *decode(key) == *name.as_bytes());
    named.map(|(_, value, end)| (decode(value), end - value.len()..end))
}

/// Decodes the names and values of form text, without empty pairs.
pub(crate) fn pairs(text: &[u8]) -> impl Iterator<Item = (Cow<'_, [u8]>, Cow<'_, [u8]>)> {
    encoded(text)
        .filter(|(key, value, _)| !(key.is_empty() && value.is_empty()))
        .map(|(key, value, _)| (decode(key), decode(value)))
}

/// Splits form text into names and values in their encoded form, each pair with the offset of its end.
fn encoded(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8], usize)> {
    let mut end = 0;
    text.split(|b| *b == b'&').map(move |pair| {
        let start = end;
        end += pair.len() + 1;
        let equals = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
        let (key, rest) = pair.split_at(equals);
        (key, rest.get(1..).unwrap_or_default(), start + pair.len())
    })
}

fn decode(text: &[u8]) -> Cow<'_, [u8]> {
    if text.contains(&b'+') {
        let spaced: Vec<u8> = text.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
        percent_decode(&spaced).collect::<Vec<u8>>().into()
    } else {
        percent_decode(text).into()
    }
}

#[cfg(test)]
#[path = "form_tests.rs"]
mod tests;
