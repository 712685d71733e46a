//! The HTTP server for the three services and the control paths, on one listener.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response, header::DATE};
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{
    control,
    reply::{Dropped, Paced},
    service::{Arrival, Ending, Shared},
    spec::Vendor,
};

/// Upper bound on a body that is kept, in bytes; more than any service accepts.
const KEPT_BODY: usize = 16 << 20;
/// Upper bound on a body that is read, in bytes, so that a client that sends too much still gets its answer.
const READ_BODY: usize = 64 << 20;

/// Accepts connections until the task is aborted, which drops every connection.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    let mut number = 0;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                number += 1;
                let open = Open::of(&shared);
                let served = serve_connection(stream, number, Arc::clone(&shared));
                connections.spawn(async move {
                    served.await;
                    drop(open);
                });
            }
            // The process is out of descriptors, or the client is gone; neither lasts.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn serve_connection(stream: TcpStream, number: u64, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let reset = Arc::new(AtomicBool::new(false));
    let io = TokioIo::new(Resettable { stream, reset: Arc::clone(&reset) });
    let connection = Arc::new(Connection { number, served: AtomicU64::new(0), reset, shared });
    let service = service_fn(move |request| Arc::clone(&connection).answer(request));
    // An error means that the client left, or that a fault dropped the connection.
    let _ = http1::Builder::new().header_read_timeout(None).serve_connection(io, service).await;
}

/// A guard that counts one open connection until it is dropped.
struct Open(Arc<Shared>);

impl Open {
    fn of(shared: &Arc<Shared>) -> Self {
        shared.open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(shared))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Connection {
    number: u64,
    served: AtomicU64,
    reset: Arc<AtomicBool>,
    shared: Arc<Shared>,
}

impl Connection {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Paced>, Dropped> {
        let reused = self.served.fetch_add(1, Ordering::Relaxed) > 0;
        let (head, body) = request.into_parts();
        let (body, body_length) = read(body).await?;
        let serves = |vendor: &Vendor| (vendor.spec().serves)(&head.method, head.uri.path());
        let Some(vendor) = Vendor::ALL.into_iter().find(serves) else {
            return Ok(control::handle(&self.shared, &head, &body).whole());
        };

        let arrival = Arrival { head: &head, body: &body, body_length, connection: self.number, reused };
        let mut verdict = self.shared.judge(vendor, &arrival);
        if let Some(message) = verdict.stored.take()
            && let Some(ending) = self.shared.publish(message).await
        {
            verdict.ending = ending;
        }
        if !verdict.latency.is_zero() {
            tokio::time::sleep(verdict.latency).await;
        }
        if verdict.gather > 1 {
            self.shared.gathering.wait(verdict.gather).await;
        }
        let mut response = match verdict.ending {
            Ending::Whole(reply) => reply.whole(),
            Ending::Truncated(reply) => reply.truncated(),
            Ending::Slow(reply, time) => reply.slow(time),
            Ending::Closed => return Err(Dropped),
            Ending::Reset => {
                self.reset.store(true, Ordering::Relaxed);
                return Err(Dropped);
            }
            Ending::Never => std::future::pending().await,
        };
        if let Ok(date) = HeaderValue::from_str(&httpdate::fmt_http_date(verdict.now.into())) {
            response.headers_mut().insert(DATE, date);
        }
        Ok(response)
    }
}

/// Reads a body to its end; returns its bytes, empty above [`KEPT_BODY`], and their number.
async fn read(mut body: Incoming) -> Result<(Bytes, usize), Dropped> {
    let (mut kept, mut length) = (BytesMut::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Dropped)?.into_data() else { continue };
        length += data.len();
        if length <= KEPT_BODY {
            kept.extend_from_slice(&data);
        } else {
            kept.clear();
        }
        if length > READ_BODY {
            break;
        }
    }
    Ok((kept.freeze(), length))
}

/// A TCP stream that can end in a reset instead of an orderly close.
struct Resettable {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for Resettable {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed) {
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Resettable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Resettable {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
