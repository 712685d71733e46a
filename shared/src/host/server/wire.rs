//! Socket of one connection: it counts arriving bytes, and is emptied and closed once HTTP is over.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::connections::Conn;
use super::unspoken::{LOOKED_AT, Unspoken};
use super::weakest::State;
use crate::problem::Problem;

/// Upper bound on the bytes read and thrown away after an answer that came before its request's end.
const LINGER_BYTES: usize = 64 * 1024 * 1024;

/// Upper bound on the bytes thrown away at a time, and in all on a closing connection: an answer is lost if
/// bytes are left unread.
const LEFT_BYTES: usize = 256 * 1024;

/// Socket with the first bytes that it brought.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    conn: Arc<Conn>,
    first: [u8; LOOKED_AT],
    seen: usize,
    has_ended: bool,
    is_stuck: bool,
}

impl Wire {
    pub(super) fn new(stream: TcpStream, conn: Arc<Conn>) -> Self {
        // Without it an answer can wait 40 ms for the peer's delayed acknowledgement.
        let _ = stream.set_nodelay(true);
        let first = [0; LOOKED_AT];
        Self { stream, conn, first, seen: 0, has_ended: false, is_stuck: false }
    }

    /// Classifies the connection by its first bytes.
    pub(super) fn looks_like(&self) -> Unspoken {
        Unspoken::of(&self.first[..self.seen])
    }

    /// Answers a request whose head has arrived only in part, as far as the socket takes the answer.
    pub(super) fn answer_plainly(&mut self, problem: Problem) {
        if !self.is_stuck
            && let Ok(status) = StatusCode::from_u16(problem.status())
        {
            let answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
            // The result does not matter: a sender that does not read the answer learns as much from the end
            // of the connection.
            let _ = self.stream.try_write(answer.as_bytes());
        }
    }

    /// Ends this side of the connection, and throws away the bytes that have already arrived.
    pub(super) async fn close(mut self) {
        if !self.has_ended && self.end_writing().await.is_ok() {
            self.discard(LEFT_BYTES);
        }
    }

    /// Ends this side of the connection and reads on until the sender ends its own: a socket that is closed
    /// with bytes unread is reset, and the answer is lost on its way to a sender that writes everything
    /// before it reads.
    pub(super) async fn linger(mut self) {
        if self.has_ended || self.end_writing().await.is_err() {
            return;
        }
        self.conn.goes_to(State::Linger);
        let mut left = LINGER_BYTES;
        while left > 0 {
            tokio::select! {
                _ = self.conn.told() => break,
                ready = self.stream.readable() => if ready.is_err() { break },
            }
            left = left.saturating_sub(self.discard(LEFT_BYTES.min(left)));
            if self.has_ended {
                break;
            }
        }
    }

    /// Reads and throws away already arrived bytes, up to `most` or the end of a read. Returns their number.
    fn discard(&mut self, most: usize) -> usize {
        let (mut buffer, mut discarded) = ([0; 16 * 1024], 0);
        while discarded < most {
            match self.stream.try_read(&mut buffer) {
                Ok(n) if n > 0 => {
                    self.conn.arrived(n);
                    discarded += n;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Ok(_) | Err(_) => {
                    self.has_ended = true;
                    break;
                }
            }
        }
        discarded
    }

    async fn end_writing(&mut self) -> io::Result<()> {
        poll_fn(|cx| Pin::new(&mut self.stream).poll_shutdown(cx)).await
    }

    /// Notes if the peer does not take its answers, or takes them again.
    fn noted(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_pending() != self.is_stuck {
            self.is_stuck = written.is_pending();
            self.conn.sticks(self.is_stuck);
        }
        written
    }

    /// Returns true if unread bytes are waiting in the socket.
    fn has_more(&self) -> bool {
        #[cfg(unix)]
        return rustix::io::ioctl_fionread(&self.stream).is_ok_and(|bytes| bytes > 0);
        #[cfg(not(unix))]
        return false;
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        match &read {
            Poll::Ready(Ok(())) => {
                let come = &buf.filled()[before..];
                if come.is_empty() {
                    self.has_ended = true;
                } else {
                    let (seen, n) = (self.seen, come.len().min(LOOKED_AT - self.seen));
                    self.first[seen..seen + n].copy_from_slice(&come[..n]);
                    self.seen += n;
                    self.conn.arrived(come.len());
                }
            }
            Poll::Ready(Err(_)) => self.has_ended = true,
            // Bytes that are already here and were not noticed yet are served first.
            Poll::Pending if self.conn.is_closing() && self.has_more() => self.conn.spare(),
            // HTTP sees the end of the sender's side, and ends as well.
            Poll::Pending if self.conn.is_closing() => return Poll::Ready(Ok(())),
            Poll::Pending => {}
        }
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.noted(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.noted(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
