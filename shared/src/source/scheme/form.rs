//! Form in a body, in the one reading that a receiver can have of it.
//!
//! The header field `Content-Type` is not signed. If it chose the reading alone, anybody could choose what is
//! read of a signed body; if the body chose it alone, the receiver would read by the type what was not verified.
//! So what is found in a form counts only if both say the same.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memmem;
use percent_encoding::percent_decode;

use crate::http::Headers;
use crate::source::scheme::multipart::{FormError, Multipart};

/// A form in a body.
pub(crate) enum FormBody<'b> {
    /// The pairs of `application/x-www-form-urlencoded`.
    Pairs(&'b [u8]),
    /// The parts of `multipart/form-data`.
    Parts(Multipart<'b>),
    /// Text of JSON or XML, which holds texts of users and no fields of a form.
    Other,
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
        match markup(body) {
            Some(_) => Self::Other,
            None => Multipart::of(body).map_or(Self::Pairs(body), Self::Parts),
        }
    }

    /// Returns true if the content type names this form. Pairs need no type, but none that says otherwise; parts
    /// need the type that names their boundary.
    pub(crate) fn is_named(&self, headers: &Headers) -> bool {
        match (self, Type::of(headers)) {
            (Self::Pairs(_) | Self::Other, Type::Pairs | Type::Open) => true,
            (Self::Parts(parts), Type::Parts(boundary)) => parts.boundary() == boundary.as_bytes(),
            _ => false,
        }
    }

    /// Returns true if the content type names this form itself.
    pub(crate) fn is_declared(&self, headers: &Headers) -> bool {
        match self {
            Self::Pairs(_) => is_pairs(headers),
            Self::Parts(_) => self.is_named(headers),
            Self::Other => false,
        }
    }

    /// Returns the value of the only field with this name, decoded.
    pub(crate) fn field(&self, name: &str) -> Result<Option<Cow<'b, [u8]>>, FormError> {
        match self {
            Self::Parts(parts) => Ok(parts.field(name)?.map(Cow::Borrowed)),
            Self::Pairs(text) => only(text, name),
            Self::Other => Ok(None),
        }
    }

    /// Returns the place of the first field with this name in the body, in its encoded form.
    pub(crate) fn span(&self, name: &str) -> Option<Range<usize>> {
        match self {
            Self::Parts(parts) => parts.span(name).ok()?,
            Self::Pairs(text) => values(text, name).next().map(|(_, span)| span),
            Self::Other => None,
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
        let media = unblanked(media).to_ascii_lowercase();
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
        let value = unblanked(value);
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        let is_plain = value.bytes().all(|b| b.is_ascii_alphanumeric() || b"'()+_-./:?= &".contains(&b));
        if !is_plain || value.ends_with(' ') {
            return None;
        }
        match unblanked(name).to_ascii_lowercase().as_str() {
            "boundary" if found.is_none() => found = Some(value),
            "charset" => {}
            _ => return None,
        }
    }
    found
}

/// Removes blanks and tabs, the only white space of a header field, from both ends.
fn unblanked(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// Returns the type of a body that its content type declares to be a form although it is JSON or XML, which a text
/// of the sender's user can make a form of that user's choice. `None` if the declared type stands. Receivers read a
/// type by its beginning, and a body that is nearly JSON by its type, so neither has to be sound.
pub(crate) fn corrected_type(headers: &Headers, body: &[u8]) -> Option<&'static str> {
    let is_form = headers.all("content-type").any(|kind| {
        let kind = kind.to_ascii_lowercase();
        [&b"x-www-form-urlencoded"[..], b"form-data"].iter().any(|form| memmem::find(&kind, form).is_some())
    });
    if is_form { markup(body) } else { None }
}

/// Returns the type of a body that begins as JSON or XML does, and as no encoder begins a form.
fn markup(body: &[u8]) -> Option<&'static str> {
    let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    match text.iter().find(|b| !matches!(b, 0 | 9..=13 | b' '))? {
        b'{' | b'[' | b'"' | b')' => Some("application/json"),
        b'<' => Some("application/xml"),
        _ => None,
    }
}

/// Returns the content type that a sender gives to this body instead of its usual one; `None` if the body is not a
/// form, or the usual type names one already.
#[cfg(feature = "sender")]
pub(crate) fn type_of(body: &[u8], usual: &str) -> Option<String> {
    match FormBody::of(body) {
        FormBody::Parts(parts) => {
            let boundary = String::from_utf8_lossy(parts.boundary()).into_owned();
            Some(format!("multipart/form-data; boundary=\"{boundary}\""))
        }
        FormBody::Pairs(_) if usual.contains("json") && body.contains(&b'=') => {
            Some("application/x-www-form-urlencoded".to_owned())
        }
        FormBody::Pairs(_) | FormBody::Other => None,
    }
}

/// Returns true if the content type is that of pairs.
pub(crate) fn is_pairs(headers: &Headers) -> bool {
    matches!(Type::of(headers), Type::Pairs)
}

/// Returns the decoded value of the only pair with this name.
///
/// Receivers disagree about names: PHP takes `a.b`, ` a_b` and `a[b` for `a_b`, and `a_b[]` in its place; ASP.NET
/// ignores case; and some split at a semicolon too. So a name that any of them takes for this one is a second one.
pub(crate) fn only<'v>(text: &'v [u8], name: &str) -> Result<Option<Cow<'v, [u8]>>, FormError> {
    let mut values = values(text, name).map(|(value, _)| value);
    let Some(value) = values.next() else { return Ok(None) };
    let names = text.split(|b| *b == b';').flat_map(encoded).map(|(key, ..)| decode(key));
    let is_only = values.next().is_none() && names.filter(|other| is_alike(other, name)).count() == 1;
    if is_only { Ok(Some(value)) } else { Err(FormError::Twice) }
}

/// Returns true if some receiver takes `other` for `name`, or for a part of it.
pub(crate) fn is_alike(other: &[u8], name: &str) -> bool {
    let folded = |byte: u8| match byte {
        b'.' | b' ' | b'[' => b'_',
        byte => byte.to_ascii_lowercase(),
    };
    let other = other.trim_ascii();
    let end = other.iter().position(|b| *b == 0).unwrap_or(other.len());
    let (start, rest) = other.split_at(end.min(name.len()));
    start.len() == name.len()
        && start.iter().zip(name.bytes()).all(|(a, b)| folded(*a) == folded(b))
        && (rest.first().is_none_or(|b| matches!(b, 0 | b'[')))
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
