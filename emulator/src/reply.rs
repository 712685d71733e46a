//! Requests in the form that the services read, and answers in the form that is sent.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode, header::CONTENT_LENGTH, header::CONTENT_TYPE, request,
};
use http_body::{Body, Frame};
use serde_json::Value;
use time::OffsetDateTime;
use tokio::time::Sleep;

/// A request with its whole body.
pub(crate) struct Call<'a> {
    pub(crate) head: &'a request::Parts,
    /// The body; empty if it was longer than any service accepts.
    pub(crate) body: &'a [u8],
    /// Number of bytes received, even if the body was not kept.
    pub(crate) body_length: usize,
    /// The body as JSON; `Null` if it is not valid JSON.
    pub(crate) json: &'a Value,
    /// The emulator's time for this request, in whole seconds, with clock faults applied.
    pub(crate) now: OffsetDateTime,
    /// The emulator's time without clock faults, in milliseconds since the Unix epoch.
    pub(crate) received_at_ms: u64,
}

/// The answer of a service, before a fault changes it.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Text for the `outcome` of a [`SeenRequest`](crate::SeenRequest).
    pub(crate) outcome: String,
    /// True if the request took effect: a message was stored, or a token issued.
    pub(crate) effective: bool,
}

impl Reply {
    pub(crate) fn new(
        status: StatusCode,
        content_type: HeaderValue,
        body: impl Into<Bytes>,
        outcome: impl Into<String>,
    ) -> Self {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type)]);
        Self { status, headers, body: body.into(), outcome: outcome.into(), effective: false }
    }

    pub(crate) fn json(status: StatusCode, body: &Value, outcome: impl Into<String>) -> Self {
        Self::new(status, HeaderValue::from_static("application/json"), body.to_string(), outcome)
    }

    pub(crate) fn effective(self) -> Self {
        Self { effective: true, ..self }
    }

    /// Builds an answer that is sent at once.
    pub(crate) fn whole(self) -> Response<Paced> {
        let chunks = [self.body.clone()].into();
        self.paced(chunks, Duration::ZERO, false)
    }

    /// Builds an answer that ends after half of the announced body, with the connection.
    pub(crate) fn truncated(self) -> Response<Paced> {
        let chunks = [self.body.slice(..self.body.len() / 2)].into();
        // The pause lets the first half leave before the connection does.
        self.paced(chunks, Duration::from_millis(20), true)
    }

    /// Builds an answer with a body that is sent in ten pieces over `time`.
    pub(crate) fn slow(self, time: Duration) -> Response<Paced> {
        const PIECES: usize = 10;
        let size = self.body.len().div_ceil(PIECES).max(1);
        let chunks: VecDeque<_> = self.body.chunks(size).map(|piece| self.body.slice_ref(piece)).collect();
        let pieces = u32::try_from(chunks.len()).unwrap_or(1).max(1);
        self.paced(chunks, time / pieces, false)
    }

    fn paced(self, chunks: VecDeque<Bytes>, pause: Duration, cut: bool) -> Response<Paced> {
        let mut response = Response::new(Paced { chunks, pause, pausing: None, cut });
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response.headers_mut().insert(CONTENT_LENGTH, self.body.len().into());
        response
    }
}

/// A response body with pauses between its chunks and an optional cut at the end.
pub(crate) struct Paced {
    chunks: VecDeque<Bytes>,
    /// Pause before each chunk, and before the cut.
    pause: Duration,
    pausing: Option<Pin<Box<Sleep>>>,
    cut: bool,
}

/// Error of a response that a fault ends on purpose, with its connection.
#[derive(Debug)]
pub(crate) struct Dropped;

impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("connection dropped by a fault")
    }
}

impl std::error::Error for Dropped {}

impl Body for Paced {
    type Data = Bytes;
    type Error = Dropped;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Dropped>>> {
        if self.chunks.is_empty() && !self.cut {
            return Poll::Ready(None);
        }
        if !self.pause.is_zero() {
            let pause = self.pause;
            let pausing = self.pausing.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
            ready!(pausing.as_mut().poll(cx));
            self.pausing = None;
        }
        Poll::Ready(Some(self.chunks.pop_front().map(Frame::data).ok_or(Dropped)))
    }
}
