//! Connection to a broker, a name server or a proxy, with several calls under way.
//!
//! One task owns the socket: it writes what is queued, and hands each answer to the call with its number, in
//! whatever order the answers come. An answer to a number that nobody waits for is passed over. The task ends
//! when the peer closes the connection, sends what cannot be read, or when nobody holds the connection any
//! more.

use std::collections::{HashMap, VecDeque};
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
use tokio::time::{Instant, timeout_at};

use super::command::{self, Answer, Request};
use super::frame::{self, FrameError};
use crate::clock::{Clock, Timestamp};
use crate::net::Stream;
use crate::net::transport::TransportError;
use crate::tasks::spawn;

/// Silence after which a connection is not used for another message: the function may have been frozen since,
/// and the peer may be gone without a word.
const SILENT: Duration = Duration::from_secs(20);
const SILENT_MILLIS: i64 = 20_000;

/// Upper bound on frames that answer no call, in bytes.
const UNASKED: usize = 64 << 10;

/// Failure of a call.
#[derive(Debug)]
pub(super) enum CallError {
    /// Request of which no byte was written.
    Unwritten,
    /// Failure after writing began.
    Failed(TransportError),
}

/// Handle of an open connection. The connection ends when its last handle is dropped.
pub(super) struct Connection {
    shared: Arc<Shared>,
    clock: Clock,
    made: Instant,
}

struct Shared {
    state: Mutex<State>,
    waker: AtomicWaker,
}

struct State {
    number: i32,
    queued: VecDeque<(i32, [Bytes; 2])>,
    waiting: HashMap<i32, Waiting>,
    ended: Option<Ended>,
    /// Time of the last answer by both clocks: the monotonic one may stand still while a machine sleeps.
    heard: (Instant, Timestamp),
}

struct Waiting {
    to: oneshot::Sender<Answer>,
    /// Upper bound on the answer in bytes.
    limit: usize,
}

#[derive(Clone)]
enum Ended {
    Broken(String),
    Unreadable,
    TooLong(usize),
}

impl Connection {
    /// Takes over an open stream.
    pub(super) fn over(stream: Stream, clock: &Clock) -> Self {
        let state = State {
            number: 0,
            queued: VecDeque::new(),
            waiting: HashMap::new(),
            ended: None,
            heard: (Instant::now(), clock.now()),
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), waker: AtomicWaker::new() });
        let mut task = Task {
            stream: TokioIo::new(stream),
            input: BytesMut::new(),
            output: VecDeque::new(),
            shared: Arc::clone(&shared),
            clock: clock.clone(),
        };
        spawn(Box::pin(async move {
            let ended = poll_fn(|cx| task.poll(cx)).await;
            let mut state = task.shared.state();
            state.ended.get_or_insert(ended);
            // The calls under way see that their answers will not come.
            state.waiting.clear();
        }));
        Self { shared, clock: clock.clone(), made: Instant::now() }
    }

    /// Returns the time at which the connection was made.
    pub(super) fn made(&self) -> Instant {
        self.made
    }

    /// Returns true if another message may be written: the connection is open, and was not silent for long.
    pub(super) fn is_usable(&self) -> bool {
        let state = self.shared.state();
        let (heard, at) = state.heard;
        let slept = self.clock.now().unix_millis().saturating_sub(at.unix_millis());
        state.ended.is_none() && heard.elapsed() <= SILENT && slept <= SILENT_MILLIS
    }

    /// Sends a request and waits for its answer, which has up to `limit` bytes.
    pub(super) async fn call(
        &self,
        request: &Request,
        limit: usize,
        deadline: Instant,
    ) -> Result<Answer, CallError> {
        let (call, answer) = self.begin(request, limit)?;
        let answered = timeout_at(deadline, answer).await;
        if let Ok(Ok(answer)) = answered {
            return Ok(answer);
        }
        if call.withdraw() {
            return Err(CallError::Unwritten);
        }
        Err(CallError::Failed(match (answered, self.shared.state().ended.clone()) {
            (Err(_), _) => TransportError::TimedOut,
            (_, Some(Ended::TooLong(limit))) => TransportError::TooLong(limit),
            (_, Some(Ended::Unreadable)) => {
                TransportError::Unreadable("it is not of RocketMQ's remoting protocol".to_owned())
            }
            (_, Some(Ended::Broken(why))) => TransportError::Broken(why),
            (_, None) => TransportError::Broken("it was closed".to_owned()),
        }))
    }

    fn begin(
        &self,
        request: &Request,
        limit: usize,
    ) -> Result<(Call<'_>, oneshot::Receiver<Answer>), CallError> {
        let mut state = self.shared.state();
        if state.ended.is_some() {
            return Err(CallError::Unwritten);
        }
        state.number = state.number.wrapping_add(1);
        let number = state.number;
        let (to, answer) = oneshot::channel();
        state.waiting.insert(number, Waiting { to, limit });
        state.queued.push_back((number, request.encode(number)));
        drop(state);
        self.shared.waker.wake();
        Ok((Call { shared: &self.shared, number }, answer))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.state().ended.get_or_insert(Ended::Broken("it was closed".to_owned()));
        self.shared.waker.wake();
    }
}

/// Call under way. One that is given up is neither written any more nor waited for.
struct Call<'a> {
    shared: &'a Shared,
    number: i32,
}

impl Call<'_> {
    /// Gives the call up, and returns true if no byte of it was written.
    fn withdraw(&self) -> bool {
        let mut state = self.shared.state();
        state.waiting.remove(&self.number);
        let at = state.queued.iter().position(|(number, _)| *number == self.number);
        at.and_then(|at| state.queued.remove(at)).is_some()
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.withdraw();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Owner of the socket.
struct Task {
    stream: TokioIo<Stream>,
    input: BytesMut,
    /// Parts of the request that is being written.
    output: VecDeque<Bytes>,
    shared: Arc<Shared>,
    clock: Clock,
}

impl Task {
    /// Writes and reads what it can; ready when the connection has ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        self.shared.waker.register(cx.waker());
        if let Some(ended) = &self.shared.state().ended {
            return Poll::Ready(ended.clone());
        }
        let broken = |error: std::io::Error| Ended::Broken(error.to_string());
        if let Poll::Ready(Err(error)) = self.poll_write(cx) {
            return Poll::Ready(broken(error));
        }
        loop {
            match ready!(self.poll_read(cx)) {
                Ok(0) => return Poll::Ready(Ended::Broken("the peer closed it".to_owned())),
                Ok(_) => {}
                Err(error) => return Poll::Ready(broken(error)),
            }
            if let Err(ended) = self.answer() {
                return Poll::Ready(ended);
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        loop {
            let Some(part) = self.output.front_mut() else {
                let Some((_, parts)) = self.shared.state().queued.pop_front() else { break };
                self.output.extend(parts.into_iter().filter(|part| !part.is_empty()));
                continue;
            };
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, part))?;
            if written == 0 {
                return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
            }
            part.advance(written);
            if part.is_empty() {
                self.output.pop_front();
            }
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
    fn answer(&mut self) -> Result<(), Ended> {
        let mut state = self.shared.state();
        loop {
            let limit = state.waiting.values().map(|waiting| waiting.limit).fold(UNASKED, usize::max);
            let frame = frame::take(&mut self.input, limit).map_err(|error| match error {
                FrameError::TooLong(limit) => Ended::TooLong(limit),
                FrameError::Malformed => Ended::Unreadable,
            })?;
            let Some(frame) = frame else { return Ok(()) };
            let size = frame.header.len() + frame.body.len();
            state.heard = (Instant::now(), self.clock.now());
            let Some((number, answer)) = command::read(frame).map_err(|()| Ended::Unreadable)? else {
                continue;
            };
            if let Some(waiting) = state.waiting.remove(&number) {
                if size > waiting.limit {
                    return Err(Ended::TooLong(waiting.limit));
                }
                // The call may have been given up meanwhile.
                let _ = waiting.to.send(answer);
            }
        }
    }
}
