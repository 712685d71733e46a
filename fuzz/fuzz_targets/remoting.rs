//! Fuzz target for what a broker of RocketMQ sends: frames, headers of answers, and routes.
#![no_main]

use bytes::BytesMut;
use hookmq_shared::queue::remoting::frame::{Frame, FrameError, take};
use hookmq_shared::queue::remoting::{command, route};
use libfuzzer_sys::fuzz_target;

const LIMIT: usize = 64 << 10;

fn frames(pieces: &[&[u8]]) -> (Vec<Frame>, Option<FrameError>) {
    let (mut buffer, mut frames) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match take(&mut buffer, LIMIT) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
        assert!(buffer.capacity() <= 4 * LIMIT + 2 * piece.len());
    }
    (frames, None)
}

fuzz_target!(|data: &[u8]| {
    let whole = frames(&[data]);
    let cut = data.first().map_or(0, |first| usize::from(*first) % data.len());
    let (head, tail) = data.split_at(cut);
    assert_eq!(whole, frames(&[head, tail]));
    for body in whole.0.iter().map(|frame| &frame.body[..]).chain([data]) {
        let Some(route) = route::TopicRoute::parse(body) else { continue };
        let queues = route.queues();
        assert!(route.brokers.iter().all(|broker| broker.queues > 0));
        assert!(route.queue(queues).is_none() && (queues == 0 || route.queue(queues - 1).is_some()));
    }
    for frame in whole.0 {
        let size = frame.header.len();
        if let Ok(Some((_, answer))) = command::read(frame) {
            assert!(answer.remark.len() <= 3 * size);
        }
    }
});
