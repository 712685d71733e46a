//! Tests of `decrypt`.

use super::*;

#[test]
fn padding_is_right_or_not() {
    let padded = |count: u8, byte: u8| {
        let mut text = vec![9; 32];
        text.iter_mut().rev().take(usize::from(count)).for_each(|b| *b = byte);
        text
    };
    for count in 1..=32 {
        let want = 32 - usize::from(count);
        assert_eq!(unpadded(&padded(count, count), 32), Some(want));
        assert_eq!(unpadded(&padded(count, count), 16), (count <= 16).then_some(want), "{count}");
        let mut wrong = padded(count, count);
        wrong[want] ^= 1;
        assert_eq!(unpadded(&wrong, 32), None, "{count}");
    }
    for (text, pad) in [(vec![0; 16], 16), (vec![], 16), (vec![33; 48], 32), (vec![32; 16], 32)] {
        assert_eq!(unpadded(&text, pad), None, "{text:?}");
    }
}

#[test]
fn a_frame_is_exact() {
    let frame = |receiver: &str| Frame::Wechat(Some(Secret::new(receiver)));
    let text = [&[7; 16][..], &[0, 0, 0, 2], b"hi", b"corp"].concat();
    assert_eq!(unframe(text.clone(), &frame("corp")).as_deref(), Some(&b"hi"[..]));
    for receiver in ["", "cor", "corpo", "Corp"] {
        assert_eq!(unframe(text.clone(), &frame(receiver)), None, "{receiver}");
    }
    for (length, receiver) in [(1, "icorp"), (0, "hicorp"), (6, "")] {
        let mut other = text.clone();
        other[19] = length;
        assert!(unframe(other.clone(), &frame(receiver)).is_some());
        assert_eq!(unframe(other, &frame("corp")), None, "{length}");
    }
    for length in [[0, 0, 0, 7], [255; 4]] {
        let mut other = text.clone();
        other[16..20].copy_from_slice(&length);
        assert_eq!(unframe(other, &frame("")), None);
    }
    assert_eq!(unframe(text[..19].to_vec(), &frame("")), None);
}
