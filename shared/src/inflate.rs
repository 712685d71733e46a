//! Decompression of gzip and zlib, with a bound on the result.

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_PARSE_ZLIB_HEADER, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

/// First bytes of every gzip stream: two magic bytes, and deflate as the method.
pub(crate) const GZIP: [u8; 3] = [0x1f, 0x8b, 8];

/// Length of the end of a gzip stream in bytes: a checksum, and the length of the content.
const GZIP_END: usize = 8;

/// Reason why a stream cannot be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InflateError {
    /// The content has more bytes than the limit.
    TooLarge,
    /// The stream is broken or incomplete.
    Broken,
}

/// Unpacks a zlib stream (RFC 1950), which HTTP calls `deflate`, to at most `limit` bytes.
pub(crate) fn unzlib(stream: &[u8], limit: usize) -> Result<Vec<u8>, InflateError> {
    let (content, rest) = inflate(stream, TINFL_FLAG_PARSE_ZLIB_HEADER, limit)?;
    if rest.is_empty() { Ok(content) } else { Err(InflateError::Broken) }
}

/// Unpacks a gzip stream (RFC 1952) of one member to at most `limit` bytes. The length shows that the stream is
/// complete; TLS and signatures guard against changes.
pub(crate) fn gunzip(stream: &[u8], limit: usize) -> Result<Vec<u8>, InflateError> {
    let deflated = deflated(stream).ok_or(InflateError::Broken)?;
    let (content, end) = inflate(deflated, 0, limit)?;
    let length = end.last_chunk().map(|length| u32::from_le_bytes(*length));
    let is_whole = end.len() == GZIP_END && u32::try_from(content.len()).ok() == length;
    if is_whole { Ok(content) } else { Err(InflateError::Broken) }
}

/// Unpacks a deflate stream (RFC 1951) to at most `limit` bytes, and returns what follows its end: other programs
/// differ in what they make of that, so there must be nothing.
fn inflate(stream: &[u8], flags: u32, limit: usize) -> Result<(Vec<u8>, &[u8]), InflateError> {
    let flags = flags | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let mut state = Box::<DecompressorOxide>::default();
    let (mut rest, mut end) = (stream, 0);
    let mut content = vec![0; stream.len().saturating_mul(2).min(limit)];
    loop {
        let (status, read, written) = decompress(&mut state, rest, &mut content, end, flags);
        rest = rest.get(read..).ok_or(InflateError::Broken)?;
        end += written;
        match status {
            TINFLStatus::Done => {
                content.truncate(end);
                return Ok((content, rest));
            }
            TINFLStatus::HasMoreOutput if content.len() >= limit => return Err(InflateError::TooLarge),
            TINFLStatus::HasMoreOutput => content.resize(content.len().saturating_mul(2).min(limit), 0),
            _ => return Err(InflateError::Broken),
        }
    }
}

/// Returns the part of a gzip stream behind its head.
fn deflated(stream: &[u8]) -> Option<&[u8]> {
    const CHECKSUM: u8 = 2;
    const EXTRA: u8 = 4;
    const NAME: u8 = 8;
    const COMMENT: u8 = 16;
    let (head, mut rest) = stream.split_at_checked(10).filter(|_| stream.starts_with(&GZIP))?;
    let flags = *head.get(3)?;
    if flags & EXTRA != 0 {
        let (length, after) = rest.split_first_chunk()?;
        rest = after.get(usize::from(u16::from_le_bytes(*length))..)?;
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            let end = rest.iter().position(|byte| *byte == 0)?;
            rest = rest.get(end + 1..)?;
        }
    }
    if flags & CHECKSUM != 0 {
        rest = rest.get(2..)?;
    }
    Some(rest)
}

#[cfg(test)]
#[path = "inflate_tests.rs"]
mod tests;
