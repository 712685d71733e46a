use miniz_oxide::deflate::{compress_to_vec, compress_to_vec_zlib};

use super::*;

type Unpack = fn(&[u8], usize) -> Result<Vec<u8>, InflateError>;

fn gzip(content: &[u8], flags: u8, more: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_le_bytes();
    let head = [&GZIP[..], &[flags, 0, 0, 0, 0, 0, 3], more].concat();
    [&head, &*compress_to_vec(content, 9), b"csum", &length].concat()
}

fn both(content: &[u8]) -> [(Unpack, Vec<u8>); 2] {
    [(gunzip, gzip(content, 0, b"")), (unzlib, compress_to_vec_zlib(content, 9))]
}

#[test]
fn content_of_any_size_is_unpacked_up_to_the_limit() {
    for size in [0, 1, 100, 40_000, 1 << 20] {
        let content: Vec<u8> = (0..size).map(|n| u8::try_from(n % 7).unwrap()).collect();
        for (unpack, stream) in both(&content) {
            assert_eq!(unpack(&stream, size.max(1)), Ok(content.clone()), "{size}");
            if size > 1 {
                assert_eq!(unpack(&stream, size - 1), Err(InflateError::TooLarge), "{size}");
            }
        }
    }
}

#[test]
fn a_gzip_head_may_have_every_optional_part() {
    let more = b"\x03\0abcname\0comment\0cc";
    assert_eq!(gunzip(&gzip(b"{}", 0b1_1110, more), 2).as_deref(), Ok(&b"{}"[..]));
    for end in 0..more.len() {
        assert_eq!(gunzip(&gzip(b"{}", 0b1_1110, &more[..end])[..10 + end], 2), Err(InflateError::Broken));
    }
}

/// Other programs read a second member as more content, or stop before it.
#[test]
fn nothing_may_be_missing_and_nothing_may_follow() {
    for (unpack, stream) in both(b"{\"a\":1}") {
        for end in 0..stream.len() {
            assert_eq!(unpack(&stream[..end], 100), Err(InflateError::Broken), "{end}");
        }
        let other = [b"\0".to_vec(), b"csum\x07\0\0\0".to_vec(), stream.clone()];
        for more in other {
            assert_eq!(unpack(&[&*stream, &more].concat(), 100), Err(InflateError::Broken), "{more:?}");
        }
    }
}
