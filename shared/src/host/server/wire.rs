//! One connection's socket, which notes what comes, and what is done with it once HTTP is over.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::connections::Conn;
use super::unspoken::{LOOKED_AT, Unspoken};
use super::weakest::State;

/// How much is read and thrown away after an answer that came before its request's end.
const LINGER_BYTES: usize = 64 * 1024 * 1024;

/// Of one that gives way, only what is here already: an answer is lost where bytes are left unread.
const LEFT_BYTES: usize = 256 * 1024;

/// A socket.
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

    /// What the connection began with looks like.
    pub(super) fn looks_like(&self) -> Unspoken {
        Unspoken::of(&self.first[..self.seen])
    }

    /// Answers a request of which only a part of the head has come, as far as the socket takes it.
    pub(super) fn answer_plainly(&mut self, status: &str) {
        if !self.is_stuck {
            let answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
            // Nobody waits for it: whoever does not read it knows as much from the end of the connection.
            let _ = self.stream.try_write(answer.as_bytes());
        }
    }

    /// Ends our side, and takes what is here already.
    pub(super) async fn close(mut self) {
        if !self.has_ended && self.end_writing().await.is_ok() {
            self.discard(LEFT_BYTES);
        }
    }

    /// Ends our side and reads on until the sender ends its own: a socket that is closed with bytes unread is
    /// reset, and the answer is lost on its way to a sender that writes all before it reads.
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

    /// Reads and throws away up to so many bytes of those that are here; how many.
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

    /// Notes whether the other side takes its answers.
    fn noted(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_pending() != self.is_stuck {
            self.is_stuck = written.is_pending();
            self.conn.sticks(self.is_stuck);
        }
        written
    }

    /// Whether bytes are here that nobody has read.
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
            // What is here already and was not noticed yet is served first.
            Poll::Pending if self.conn.is_closing() && self.has_more() => self.conn.spare(),
            // To HTTP it looks as if the sender had ended, so it ends as well.
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
