//! Connection to a broker, a name server or a proxy, with several calls under way.
//!
//! One task owns the socket: it connects, writes what is queued, and hands each answer to the call with its number,
//! in whatever order the answers come. An answer to a number that nobody waits for is passed over. The task ends
//! when the peer closes the connection, sends what cannot be read, or when nobody holds the connection any
//! more.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::task::AtomicWaker;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use super::command::{self, BrokerAnswer, Request};
use super::frame::{self, FrameError};
use crate::clock::{Clock, Timestamp};
use crate::net::endpoint::Endpoint;
use crate::net::transport::TransportError;
use crate::net::{ConnectError, Connector, Stream};
use crate::tasks::spawn;

/// Upper bound on the time to make a connection.
const CONNECT: Duration = Duration::from_secs(3);

/// Upper bound on frames that answer no call, in bytes.
const UNASKED: usize = 64 << 10;

/// Failure of a call.
#[derive(Debug)]
pub(super) struct CallError {
    pub(super) error: TransportError,
    /// True if a byte of the request may have been written.
    pub(super) is_written: bool,
}

/// Handle of a connection that is open or being made. The connection ends when its last handle is dropped.
pub(super) struct Connection {
    shared: Arc<Shared>,
    clock: Clock,
}

struct Shared {
    state: Mutex<State>,
    waker: AtomicWaker,
}

struct State {
    queued: Vec<Request>,
    waiting: Vec<Waiting>,
    ended: Option<TransportError>,
    /// Address while the connection is being made.
    making: Option<String>,
    /// Time of the last answer by both clocks: the monotonic one may stand still while a machine sleeps.
    heard: (Instant, Timestamp),
}

struct Waiting {
    number: i32,
    to: oneshot::Sender<BrokerAnswer>,
    /// Upper bound on the answer in bytes.
    limit: usize,
}

impl Connection {
    /// Begins to connect. Requests wait until the connection is open.
    pub(super) fn open(connector: Connector, endpoint: Endpoint, clock: &Clock) -> Self {
        let heard = (Instant::now(), clock.now());
        let making = Some(shown(&endpoint));
        let state = State { queued: Vec::new(), waiting: Vec::new(), ended: None, making, heard };
        let shared = Arc::new(Shared { state: Mutex::new(state), waker: AtomicWaker::new() });
        let connection = Self { shared: Arc::clone(&shared), clock: clock.clone() };
        let clock = clock.clone();
        spawn(Box::pin(async move {
            let error = match timeout(CONNECT, connector.connect(&endpoint)).await {
                Ok(Ok(stream)) => {
                    let (input, output) = (BytesMut::new(), Bytes::new());
                    let stream = TokioIo::new(stream);
                    shared.opened(&clock);
                    let mut task = Task { stream, input, output, shared: Arc::clone(&shared), clock };
                    poll_fn(|cx| task.poll(cx)).await
                }
                Ok(Err(ConnectError::Lasting(why))) => TransportError::Unusable(shown(&endpoint), why),
                Ok(Err(ConnectError::Passing(why))) => TransportError::Connect(shown(&endpoint), why),
                Err(_) => TransportError::Connect(shown(&endpoint), "timed out".to_owned()),
            };
            let mut state = shared.state();
            state.ended.get_or_insert(error);
            // The calls under way see that their answers will not come.
            state.waiting = Vec::new();
        }));
        connection
    }

    /// Returns true if another message may be written: the connection has not ended, and was not silent for
    /// longer than `silent`.
    #[inline(never)]
    pub(super) fn is_usable(&self, silent: Duration) -> bool {
        let state = self.shared.state();
        let (heard, at) = state.heard;
        let slept = self.clock.now().unix_millis().saturating_sub(at.unix_millis());
        let is_awake = i64::try_from(silent.as_millis()).is_ok_and(|silent| slept <= silent);
        state.ended.is_none() && heard.elapsed() <= silent && is_awake
    }

    /// Returns true if the connection is not open yet, and has not failed.
    pub(super) fn is_being_made(&self) -> bool {
        let state = self.shared.state();
        state.ended.is_none() && state.making.is_some()
    }

    /// Sends a request and waits for its answer, which has up to `limit` bytes.
    pub(super) async fn call(
        &self,
        request: Request,
        limit: usize,
        deadline: Instant,
    ) -> Result<BrokerAnswer, CallError> {
        let (call, answer) = self.begin(request, limit);
        match timeout_at(deadline, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            ended => Err(call.failed(ended.is_err())),
        }
    }

    #[inline(never)]
    fn begin(&self, request: Request, limit: usize) -> (Call<'_>, oneshot::Receiver<BrokerAnswer>) {
        let (number, (to, answer)) = (request.number, oneshot::channel());
        let mut state = self.shared.state();
        state.queued.push(request);
        // The sender is dropped if the connection has ended.
        if state.ended.is_none() {
            state.waiting.push(Waiting { number, to, limit });
        }
        drop(state);
        self.shared.waker.wake();
        (Call { shared: &self.shared, number }, answer)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.state().ended.get_or_insert_with(closed);
        self.shared.waker.wake();
    }
}

fn closed() -> TransportError {
    TransportError::Broken("it was closed".to_owned())
}

/// Writes an endpoint as the protocol's users know it.
fn shown(endpoint: &Endpoint) -> String {
    let (host, port) = endpoint.place();
    format!("{host}:{port}")
}

/// Call under way. One that is given up is neither written any more nor waited for.
struct Call<'a> {
    shared: &'a Shared,
    number: i32,
}

impl Call<'_> {
    /// Gives the call up, and returns true if a byte of it may have been written.
    #[inline(never)]
    fn withdraw(&self) -> bool {
        let mut state = self.shared.state();
        state.waiting.retain(|waiting| waiting.number != self.number);
        let queued = state.queued.len();
        state.queued.retain(|request| request.number != self.number);
        state.queued.len() == queued
    }

    /// Gives the call up after it failed.
    #[inline(never)]
    fn failed(&self, is_late: bool) -> CallError {
        let is_written = self.withdraw();
        let state = self.shared.state();
        let (ended, making) = (state.ended.clone(), state.making.clone());
        drop(state);
        // An address that does not answer at all is one that cannot be reached, however short the time was.
        let never = |place| TransportError::Connect(place, "timed out".to_owned());
        let late = is_late.then(|| making.map_or(TransportError::TimedOut, never));
        CallError { error: ended.or(late).unwrap_or_else(closed), is_written }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.withdraw();
    }
}

impl Shared {
    /// Notes that the connection is open.
    fn opened(&self, clock: &Clock) {
        let mut state = self.state();
        (state.making, state.heard) = (None, (Instant::now(), clock.now()));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Owner of the socket.
struct Task {
    stream: TokioIo<Stream>,
    input: BytesMut,
    /// Rest of the request that is being written.
    output: Bytes,
    shared: Arc<Shared>,
    clock: Clock,
}

impl Task {
    /// Writes and reads what it can; ready when the connection has ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<TransportError> {
        self.shared.waker.register(cx.waker());
        if let Some(ended) = &self.shared.state().ended {
            return Poll::Ready(ended.clone());
        }
        let broken = |error: std::io::Error| TransportError::Broken(error.to_string());
        if let Poll::Ready(Err(error)) = self.poll_write(cx) {
            return Poll::Ready(broken(error));
        }
        loop {
            match ready!(self.poll_read(cx)) {
                Ok(0) => return Poll::Ready(TransportError::Broken("the peer closed it".to_owned())),
                Ok(_) => {}
                Err(error) => return Poll::Ready(broken(error)),
            }
            if let Err(ended) = self.answer() {
                return Poll::Ready(ended);
            }
        }
    }

    #[inline(never)]
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        loop {
            if self.output.is_empty() {
                let mut state = self.shared.state();
                if state.queued.is_empty() {
                    break;
                }
                self.output = state.queued.remove(0).bytes;
            }
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.output))?;
            if written == 0 {
                return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
            }
            self.output.advance(written);
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        let mut space = [0; 8192];
        let mut buffer = ReadBuf::new(&mut space);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        self.input.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Hands the answers that have arrived to their calls.
    #[inline(never)]
    fn answer(&mut self) -> Result<(), TransportError> {
        let unreadable =
            || TransportError::Unreadable("it is not of RocketMQ's remoting protocol".to_owned());
        let mut state = self.shared.state();
        loop {
            let limit = state.waiting.iter().fold(UNASKED, |limit, waiting| limit.max(waiting.limit));
            let frame = frame::take(&mut self.input, limit).map_err(|error| match error {
                FrameError::TooLong(limit) => TransportError::TooLong(limit),
                FrameError::Malformed => unreadable(),
            })?;
            let Some(frame) = frame else { return Ok(()) };
            let size = frame.header.len() + frame.body.len();
            state.heard = (Instant::now(), self.clock.now());
            let Some((number, answer)) = command::read(frame).map_err(|_| unreadable())? else {
                continue;
            };
            if let Some(at) = state.waiting.iter().position(|waiting| waiting.number == number) {
                let waiting = state.waiting.swap_remove(at);
                if size > waiting.limit {
                    return Err(TransportError::TooLong(waiting.limit));
                }
                // The call may have been given up meanwhile.
                let _ = waiting.to.send(answer);
            }
        }
    }
}
