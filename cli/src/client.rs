//! A plain HTTP/1.1 client for loopback: what the demo sends its samples with.

use std::error::Error;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use hookmq_shared::http::Headers;

/// An answer, as far as the demo looks at it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub message_id: Option<String>,
    pub body: Bytes,
}

/// Sends one request over a connection of its own.
pub(crate) async fn send(
    to: SocketAddr,
    method: &str,
    target: &str,
    headers: &Headers,
    body: Bytes,
) -> Result<Answer, Box<dyn Error + Send + Sync>> {
    let stream = TcpStream::connect(to).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let mut request = http::Request::builder().method(method).uri(target).header("host", to.to_string());
    for (name, value) in headers.iter().filter(|(name, _)| !matches!(*name, "host" | "content-length")) {
        request = request.header(name, value);
    }
    let answer = sender.send_request(request.body(Full::new(body))?).await?;
    let status = answer.status().as_u16();
    let message_id = answer.headers().get("x-hookmq-message-id");
    let message_id = message_id.and_then(|id| id.to_str().ok()).map(str::to_owned);
    let body = answer.into_body().collect().await?.to_bytes();
    driver.abort();
    Ok(Answer { status, message_id, body })
}
