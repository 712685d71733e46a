//! A plain HTTP/1.1 client for the demo and for `hookmq send`.

use std::error::Error;
use std::net::SocketAddr;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use hookmq_shared::http::Headers;

/// Upper bound on the body of an answer, in bytes.
const MAX_ANSWER: usize = 1024 * 1024;

/// The parts of an answer that the commands use.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: StatusCode,
    /// Message ids that the queue gave, one for each target that stored the message.
    pub message_ids: Vec<String>,
    pub body: Bytes,
}

/// Sends one request over a TCP connection of its own.
pub(crate) async fn send(
    to: SocketAddr,
    method: &str,
    target: &str,
    headers: &Headers,
    body: Bytes,
) -> Result<Answer, Box<dyn Error + Send + Sync>> {
    let stream = TokioIo::new(TcpStream::connect(to).await?);
    exchange(stream, &to.to_string(), method, target, headers, body).await
}

/// Sends one request over the given stream and reads at most 1 MiB of its answer.
pub(crate) async fn exchange(
    stream: impl Read + Write + Unpin + Send + 'static,
    host: &str,
    method: &str,
    target: &str,
    headers: &Headers,
    body: Bytes,
) -> Result<Answer, Box<dyn Error + Send + Sync>> {
    let (mut sender, connection) = http1::handshake(stream).await?;
    let driver = tokio::spawn(connection);
    let mut request = http::Request::builder().method(method).uri(target).header("host", host);
    for (name, value) in headers.iter().filter(|(name, _)| !matches!(*name, "host" | "content-length")) {
        request = request.header(name, value);
    }
    let answer = sender.send_request(request.body(Full::new(body))?).await?;
    let status = answer.status();
    let ids = answer.headers().get_all("x-hookmq-message-id").iter();
    let message_ids = ids.filter_map(|id| id.to_str().ok()).map(str::to_owned).collect();
    let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await?.to_bytes();
    driver.abort();
    Ok(Answer { status, message_ids, body })
}
