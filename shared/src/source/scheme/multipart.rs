//! Text fields of a `multipart/form-data` body ([RFC 7578]), which senders write for a form with attachments.
//!
//! [RFC 7578]: https://www.rfc-editor.org/rfc/rfc7578

use std::ops::Range;

use memchr::memmem;

use crate::json::MAX_PARTS;
use crate::source::scheme::form::is_alike;

/// Upper bound on the head of a part in bytes, blank line included.
const MAX_HEAD: usize = 1024;

/// Upper bound on a boundary in bytes ([RFC 2046] 5.1.1), which also bounds the work of a search.
///
/// [RFC 2046]: https://www.rfc-editor.org/rfc/rfc2046
const MAX_BOUNDARY: usize = 70;

/// Reason why a field of a form cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FormError {
    /// The body breaks off, has too many parts, or has one that readers understand differently.
    Broken,
    /// The field is there more than once.
    Twice,
}

/// A form of several parts.
pub(crate) struct Multipart<'b> {
    body: &'b [u8],
    /// Line end, two hyphens and boundary.
    delimiter: Vec<u8>,
}

impl<'b> Multipart<'b> {
    /// Reads the boundary of a body; `None` if it is not of several parts.
    ///
    /// The body begins with its boundary, as every sender writes it. [`FormBody`] compares it with the content type:
    /// that header field is not signed, so that anybody could choose what is read of a signed body.
    ///
    /// [`FormBody`]: crate::source::scheme::form::FormBody
    pub(crate) fn of(body: &'b [u8]) -> Option<Self> {
        let rest = body.strip_prefix(b"--")?;
        let line = rest.get(..rest.len().min(MAX_BOUNDARY + 2))?;
        let boundary = rest.get(..find(line, b"\r\n").filter(|end| *end > 0)?)?;
        Some(Self { body, delimiter: [b"\r\n--", boundary].concat() })
    }

    /// Returns the boundary.
    pub(crate) fn boundary(&self) -> &[u8] {
        self.delimiter.get(4..).unwrap_or_default()
    }

    /// Finds the place of the value of the only text field with this name.
    pub(crate) fn span(&self, name: &str) -> Result<Option<Range<usize>>, FormError> {
        const BROKEN: FormError = FormError::Broken;
        let Self { body, delimiter } = self;
        let bare = delimiter.get(1..).unwrap_or_default();
        let (mut found, mut alike, mut at) = (None, 0, delimiter.len() - 2);
        for _ in 0..MAX_PARTS {
            let part = body.get(at..).ok_or(BROKEN)?;
            if let Some(rest) = part.strip_prefix(b"--") {
                // Some readers go on behind the end, so nothing may stand there.
                return match found {
                    _ if !rest.is_empty() && rest != b"\r\n" => Err(BROKEN),
                    Some(_) if alike > 1 => Err(FormError::Twice),
                    found => Ok(found),
                };
            }
            let head = part.get(..part.len().min(MAX_HEAD)).filter(|head| head.starts_with(b"\r\n"));
            let head = head.and_then(|head| head.get(2..find(head, b"\r\n\r\n")?)).ok_or(BROKEN)?;
            let start = at + head.len() + 6;
            // Some readers end a line at a lone line feed, so a boundary behind one is not a part of a value.
            let end = body.get(start..).and_then(|rest| find(rest, bare)).ok_or(BROKEN)? + start;
            let value = body.get(start..end).and_then(|value| value.strip_suffix(b"\r")).ok_or(BROKEN)?;
            let end = start + value.len();
            let read = name_of(head, name).ok_or(BROKEN)?;
            if read != Name::Other {
                alike += 1;
            }
            if read == Name::Wanted {
                found = Some(start..end);
            }
            at = end + delimiter.len();
        }
        Err(BROKEN)
    }

    /// Returns the value of the only text field with this name.
    pub(crate) fn field(&self, name: &str) -> Result<Option<&'b [u8]>, FormError> {
        Ok(self.span(name)?.and_then(|span| self.body.get(span)))
    }
}

/// Name of a part, beside the wanted one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    /// The wanted name, of a text field.
    Wanted,
    /// A name of a text field that some receiver takes for the wanted one.
    Alike,
    /// Name of something else, or a file.
    Other,
}

/// Reads the name in the head of a part; `None` if readers can understand the head differently. A part with a file
/// name is not a text field, and whoever chose that file name must not choose another name for the part.
fn name_of(head: &[u8], wanted: &str) -> Option<Name> {
    let (mut disposition, mut is_encoded) = (None, false);
    for line in head.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (key, value) = line.split_at(line.iter().position(|byte| *byte == b':')?);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        // A line that begins with a blank goes on with the one before.
        let is_line = key.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
        if !is_line || line.contains(&b'\r') {
            return None;
        } else if key.eq_ignore_ascii_case(b"content-disposition") {
            if disposition.replace(value).is_some() {
                return None;
            }
        } else if key.eq_ignore_ascii_case(b"content-type") {
            let kind = value.get(..b"multipart".len()).unwrap_or_default();
            if kind.eq_ignore_ascii_case(b"multipart") {
                return None;
            }
        } else if key.eq_ignore_ascii_case(b"content-transfer-encoding") {
            is_encoded = ![b"7bit".as_slice(), b"8bit", b"binary"]
                .iter()
                .any(|plain| value.eq_ignore_ascii_case(plain));
        }
    }
    let named = param(disposition?.strip_prefix(b"form-data")?)?.strip_prefix(b"name=")?;
    let quoted = named.strip_prefix(b"\"");
    let end = if quoted.is_some() { b'"' } else { b';' };
    let text = quoted.unwrap_or(named);
    let at = text.iter().position(|byte| *byte == end);
    let (name, rest) = text.split_at(if quoted.is_some() { at? } else { at.unwrap_or(text.len()) });
    let name = if quoted.is_some() { name } else { name.trim_ascii_end() };
    let rest = rest.strip_prefix(b"\"").unwrap_or(rest).trim_ascii();
    // Without quotes it is a token, and readers disagree about what else may stand there.
    let is_token = quoted.is_some() || name.iter().all(|b| b.is_ascii_graphic() && *b != b'"');
    if name.is_empty() || name.contains(&b'\\') || !is_token {
        return None;
    }
    let name = match name {
        name if name == wanted.as_bytes() => Name::Wanted,
        name if is_alike(name, wanted) => Name::Alike,
        _ => Name::Other,
    };
    if rest.is_empty() {
        return if name != Name::Other && is_encoded { None } else { Some(name) };
    }
    let (file, rest) = param(rest)?.split_at_checked(b"filename".len())?;
    // An empty file name is none to some readers, and then a name may follow; so is one in another character set.
    // Without its closing quotes, or with bytes of another charset, it is none to others.
    if name != Name::Other && !rest.iter().all(|b| matches!(b, b' '..=b'~')) {
        return None;
    }
    let quoted = rest.strip_prefix(b"=\"").and_then(|rest| rest.strip_suffix(b"\""));
    let is_named = quoted.is_some_and(|file| {
        !file.is_empty() && !file.starts_with(b"\"") && !file.ends_with(b"\\") && !file.contains(&b';')
    });
    let is_other = name == Name::Other && rest.starts_with(b"*=") && !rest.contains(&b';');
    let is_file = file.eq_ignore_ascii_case(b"filename") && (is_named || is_other || is_quoted_whole(rest));
    is_file.then_some(Name::Other)
}

/// Returns true if the rest is one quoted file name, whatever semicolons it has in it, and an encoded one at most
/// behind it.
fn is_quoted_whole(rest: &[u8]) -> bool {
    let Some(quoted) = rest.strip_prefix(b"=\"").filter(|quoted| !quoted.starts_with(b"\"")) else {
        return false;
    };
    let Some(end) = quoted.iter().position(|byte| *byte == b'"') else { return false };
    let (name, behind) = quoted.split_at(end);
    let behind = behind.get(1..).unwrap_or_default();
    let is_encoded =
        param(behind).is_some_and(|param| param.starts_with(b"filename*=") && !param.contains(&b';'));
    !name.contains(&b'\\') && (behind.is_empty() || is_encoded)
}

/// Returns what follows the semicolon before a parameter.
fn param(text: &[u8]) -> Option<&[u8]> {
    text.trim_ascii_start().strip_prefix(b";").map(<[u8]>::trim_ascii_start)
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    memmem::find_iter(text, wanted).next()
}

#[cfg(test)]
#[path = "multipart_tests.rs"]
mod tests;
