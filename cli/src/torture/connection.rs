//! The connection of a sender, kept open from one delivery to the next.

use std::net::SocketAddr;

use bytes::Bytes;
use hookmq_shared::http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::Fallible;

/// The status, the message id and the body of an answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) message_id: Option<String>,
    pub(super) body: Bytes,
}

pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<hyper::Result<()>>,
    to: SocketAddr,
}

impl Connection {
    pub(super) async fn open(to: SocketAddr) -> Fallible<Self> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        Ok(Self { sender, driver: tokio::spawn(connection), to })
    }

    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Sends a request and reads its answer to the end.
    pub(super) async fn exchange(&mut self, request: Request) -> Fallible<Answer> {
        let Request { method, path, raw_query, headers, body, .. } = request;
        let target = if raw_query.is_empty() { path } else { format!("{path}?{raw_query}") };
        let mut outgoing =
            http::Request::builder().method(&*method).uri(target).header("host", self.to.to_string());
        for (name, value) in headers.iter().filter(|(name, _)| !matches!(*name, "host" | "content-length")) {
            outgoing = outgoing.header(name, value);
        }
        self.sender.ready().await?;
        let answer = self.sender.send_request(outgoing.body(Full::new(body))?).await?;
        let status = answer.status().as_u16();
        let message_id = answer.headers().get("x-hookmq-message-id");
        let message_id = message_id.and_then(|id| id.to_str().ok()).map(str::to_owned);
        let body = answer.into_body().collect().await?.to_bytes();
        Ok(Answer { status, message_id, body })
    }
}

/// Abandons any exchange in flight: the server sees the connection end.
impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Sends the head of a request and the first half of its body, then disconnects.
pub(super) async fn tear(to: SocketAddr, request: &Request) -> Fallible<()> {
    let Request { method, path, headers, body, .. } = request;
    let mut bytes = format!("{method} {path} HTTP/1.1\r\nhost: {to}\r\n").into_bytes();
    for (name, value) in headers.iter().filter(|(name, _)| !matches!(*name, "host" | "content-length")) {
        bytes.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    bytes.extend_from_slice(body.get(..body.len() / 2).unwrap_or_default());
    let mut stream = TcpStream::connect(to).await?;
    stream.write_all(&bytes).await?;
    stream.shutdown().await?;
    Ok(())
}
