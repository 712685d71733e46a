//! Frames of the remoting protocol: total size, size of the header with the codec in its top byte, header and
//! body.
//!
//! Both sizes are numbers of four bytes, and a broker is not trusted with them: a frame over the limit of the
//! calls under way ends the connection before memory is reserved for it.

use bytes::{Buf as _, Bytes, BytesMut};

/// Frame that was read: its header, which is JSON, and its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Header as JSON.
    pub header: Bytes,
    /// Body, often empty.
    pub body: Bytes,
}

/// Reason for which a stream of frames cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// Frame over the limit in bytes.
    TooLong(usize),
    /// Sizes that contradict each other, or a codec that was not asked for.
    Malformed,
}

/// Takes the first frame from the buffer; `None` if it has not arrived whole. A frame has up to `limit` bytes.
#[inline(never)]
pub fn take(buffer: &mut BytesMut, limit: usize) -> Result<Option<Frame>, FrameError> {
    let number = |at: usize| Some(u32::from_be_bytes(buffer.get(at..at + 4)?.try_into().ok()?) as usize);
    let Some(total) = number(0) else { return Ok(None) };
    if total > limit {
        return Err(FrameError::TooLong(limit));
    }
    if total < 4 {
        return Err(FrameError::Malformed);
    }
    let Some(sizes) = number(4) else { return Ok(None) };
    let (codec, header) = (sizes >> 24, sizes & 0x00ff_ffff);
    if codec != 0 || header > total - 4 {
        return Err(FrameError::Malformed);
    }
    if buffer.len() < 4 + total {
        buffer.reserve(4 + total - buffer.len());
        return Ok(None);
    }
    let mut frame = buffer.split_to(4 + total).freeze();
    frame.advance(8);
    let header = frame.split_to(header);
    Ok(Some(Frame { header, body: frame }))
}

/// Writes a frame. A header has less than 16 MiB.
#[inline(never)]
pub fn write(header: &[u8], body: &[u8]) -> Vec<u8> {
    let size = |size: usize| u32::try_from(size).unwrap_or(u32::MAX).to_be_bytes();
    let total = 4 + header.len() + body.len();
    let mut frame = Vec::with_capacity(4 + total);
    for part in [&size(total)[..], &size(header.len() & 0x00ff_ffff), header, body] {
        frame.extend_from_slice(part);
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_as_they_were_written_in_any_pieces() {
        let bytes = [write(b"{\"code\":0}", b"body"), write(b"{}", b"")].concat();
        for cut in 0..=bytes.len() {
            let (mut buffer, mut frames) = (BytesMut::new(), Vec::new());
            for piece in [&bytes[..cut], &bytes[cut..]] {
                buffer.extend_from_slice(piece);
                while let Some(frame) = take(&mut buffer, 99).unwrap() {
                    frames.push((frame.header, frame.body));
                }
            }
            let want = [("{\"code\":0}", "body"), ("{}", "")].map(|(h, b)| (Bytes::from(h), Bytes::from(b)));
            assert_eq!(frames, want, "{cut}");
            assert!(buffer.is_empty());
        }
    }

    #[test]
    fn sizes_that_lie_end_the_stream() {
        for (bytes, want) in [
            (&b"\xff\xff\xff\xff"[..], FrameError::TooLong(99)),
            (b"\x00\x00\x00\x64\0\0\0\x01", FrameError::TooLong(99)),
            (b"\0\0\0\x03", FrameError::Malformed),
            (b"\0\0\0\x08\0\0\0\x05{}{}", FrameError::Malformed),
            (b"\0\0\0\x08\x01\0\0\x04{}{}", FrameError::Malformed),
            (b"\0\0\0\x08\0\xff\xff\xff", FrameError::Malformed),
        ] {
            assert_eq!(take(&mut bytes.into(), 99), Err(want), "{bytes:?}");
        }
        assert_eq!(take(&mut b"\0\0\0\x63\0\0\0\x01{"[..].into(), 99), Ok(None));
    }
}
