//! Fuzz target for compressed bodies: two bytes are the limit, the rest a gzip stream, a zlib stream and the
//! deflated content of both. Another implementation finds the same content, and that all of the stream belongs to it.
#![no_main]

use std::io::Read as _;

use flate2::read::DeflateDecoder;
use flate2::{Crc, Decompress, FlushDecompress, Status, bufread};
use hookmq_shared::source::fuzzing::inflated;
use libfuzzer_sys::fuzz_target;

/// Upper bound on what the other implementation unpacks, above every limit.
const MOST: usize = 1 << 17;

/// Unpacks a stream by the other implementation: the content, and how many bytes follow its end.
fn other(stream: &[u8], is_gzip: bool) -> Option<(Vec<u8>, usize)> {
    let mut content = Vec::new();
    let mut rest = stream;
    let most = MOST as u64;
    if is_gzip {
        bufread::GzDecoder::new(&mut rest).take(most).read_to_end(&mut content).ok()?;
    } else {
        bufread::ZlibDecoder::new(&mut rest).take(most).read_to_end(&mut content).ok()?;
    }
    Some((content, rest.len()))
}

/// Finds the end of a deflated content by the other implementation, which stops there.
fn end(stream: &[u8]) -> Option<usize> {
    let mut state = Decompress::new(false);
    let mut out = vec![0; MOST];
    let status = state.decompress(stream, &mut out, FlushDecompress::Finish).ok()?;
    (status == Status::StreamEnd).then(|| usize::try_from(state.total_in()).expect("a length"))
}

fuzz_target!(|data: &[u8]| {
    let Some((limit, stream)) = data.split_first_chunk() else { return };
    let limit = usize::from(u16::from_le_bytes(*limit)).max(1);
    for is_gzip in [true, false] {
        match (inflated(stream, is_gzip, limit), other(stream, is_gzip)) {
            (Ok(content), found) => {
                assert!(content.len() <= limit);
                // The other implementation looks at the checksums of gzip too.
                assert!(found.is_some_and(|found| found == (content, 0)) || is_gzip);
            }
            (Err(true), Some((found, _))) => assert!(found.len() > limit),
            (Err(false), Some((found, rest))) => assert!(rest > 0 || found.len() == MOST, "{found:?}"),
            (Err(_), None) => {}
        }
    }
    // With a sound head and end around it, the same content is always found, and never with anything behind it.
    let Some(end) = end(stream) else { return };
    let mut content = Vec::new();
    if DeflateDecoder::new(&stream[..end]).take(MOST as u64).read_to_end(&mut content).is_err() {
        return;
    }
    let mut sum = Crc::new();
    sum.update(&content);
    let head = b"\x1f\x8b\x08\0\0\0\0\0\0\x03";
    let whole = [&head[..], &stream[..end], &sum.sum().to_le_bytes(), &sum.amount().to_le_bytes()].concat();
    let found = inflated(&whole, true, limit);
    assert_eq!(found, if content.len() <= limit { Ok(content.clone()) } else { Err(true) });
    if content.len() < limit {
        assert_eq!(inflated(&[&*whole, b"\0"].concat(), true, limit), Err(false));
        assert_eq!(inflated(&[&*whole, &whole].concat(), true, limit), Err(false));
        assert_eq!(inflated(&whole[..whole.len() - 1], true, limit), Err(false));
    }
});
