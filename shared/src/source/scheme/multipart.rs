//! Text fields of a `multipart/form-data` body ([RFC 7578]), which senders write for a form with attachments.
//!
//! [RFC 7578]: https://www.rfc-editor.org/rfc/rfc7578

use std::ops::Range;

use memchr::memmem;

use crate::json::MAX_PARTS;

/// Upper bound on the head of a part in bytes, blank line included.
const MAX_HEAD: usize = 1024;

/// Upper bound on a boundary in bytes ([RFC 2046] 5.1.1), which also bounds the work of a search.
///
/// [RFC 2046]: https://www.rfc-editor.org/rfc/rfc2046
const MAX_BOUNDARY: usize = 70;

/// Reason why a field cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PartsError {
    /// The body breaks off, or has too many parts.
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
    /// The body begins with its boundary, as every sender writes it. The boundary of the content type does not
    /// count: that header field is not signed, so that anybody could choose what is read of a signed body.
    pub(crate) fn of(body: &'b [u8]) -> Option<Self> {
        let rest = body.strip_prefix(b"--")?;
        let line = rest.get(..rest.len().min(MAX_BOUNDARY + 2))?;
        let boundary = rest.get(..find(line, b"\r\n").filter(|end| *end > 0)?)?;
        Some(Self { body, delimiter: [b"\r\n--", boundary].concat() })
    }

    /// Finds the value of the only text field with this name.
    pub(crate) fn field(&self, name: &str) -> Result<Option<Range<usize>>, PartsError> {
        const BROKEN: PartsError = PartsError::Broken;
        let Self { body, delimiter } = self;
        let (mut found, mut at) = (None, delimiter.len() - 2);
        for _ in 0..MAX_PARTS {
            let part = body.get(at..).ok_or(BROKEN)?;
            if part.starts_with(b"--") {
                return Ok(found);
            }
            let head = part.get(..part.len().min(MAX_HEAD)).filter(|head| head.starts_with(b"\r\n"));
            let head = head.and_then(|head| head.get(..find(head, b"\r\n\r\n")?)).ok_or(BROKEN)?;
            let start = at + head.len() + 4;
            let end = body.get(start..).and_then(|rest| find(rest, delimiter)).ok_or(BROKEN)? + start;
            if head.split(|byte| *byte == b'\n').any(|line| name_of(line) == Some(name.as_bytes())) {
                if found.is_some() {
                    return Err(PartsError::Twice);
                }
                found = Some(start..end);
            }
            at = end + delimiter.len();
        }
        Err(BROKEN)
    }
}

/// Returns the name of a part, if the line of its head gives the name and nothing else. A part with a file name is
/// not a text field, and whoever chose that file name must not choose another name for the part.
fn name_of(line: &[u8]) -> Option<&[u8]> {
    const DISPOSITION: &[u8] = b"content-disposition:";
    let (key, value) = line.split_at_checked(DISPOSITION.len())?;
    let param =
        value.trim_ascii().strip_prefix(b"form-data;").filter(|_| key.eq_ignore_ascii_case(DISPOSITION))?;
    let name = param.trim_ascii_start().strip_prefix(b"name=")?;
    Some(name.strip_prefix(b"\"").and_then(|name| name.strip_suffix(b"\"")).unwrap_or(name))
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    memmem::find_iter(text, wanted).next()
}

#[cfg(test)]
#[path = "multipart_tests.rs"]
mod tests;
