//! Tunnel through an HTTP proxy: `CONNECT`, and the proxy's answers to it (RFC 9110, 9.3.6).

use std::fmt;
use std::io::{self, ErrorKind};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use percent_encoding::percent_decode_str;
use tokio::net::TcpStream;

use super::fault::ConnectError;
use super::names::Names;
use super::tls::connect;
use crate::env::EnvProblem;

/// Upper bound on a proxy's answer to `CONNECT`, in bytes.
const MAX_HEAD: usize = 8192;

/// Proxy of `HTTPS_PROXY` or of another variable.
pub(super) struct Proxy {
    variable: &'static str,
    host: String,
    port: u16,
    /// Value of `Proxy-Authorization`.
    login: Option<String>,
}

impl Proxy {
    /// Parses `http://[user:password@]host:port`, with or without the scheme.
    pub(super) fn parse(variable: &'static str, url: &str) -> Result<Self, EnvProblem> {
        let wrong = || EnvProblem {
            variable,
            message: "is not a proxy's URL: write it as http://[user:password@]host:port".to_owned(),
        };
        let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http")).ok_or_else(wrong)?;
        let login = authority.as_str().rsplit_once('@').map(|(user, _)| {
            let decoded: Vec<u8> = percent_decode_str(user).collect();
            format!("Basic {}", STANDARD.encode(decoded))
        });
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        Ok(Self { variable, host, port: authority.port_u16().unwrap_or(80), login })
    }

    /// Connects through the proxy; `host` has the brackets of an IPv6 address.
    pub(super) async fn connect(
        &self,
        names: &Names,
        host: &str,
        port: u16,
    ) -> Result<TcpStream, ConnectError> {
        let stream = connect(names, &self.host, self.port).await.map_err(|error| error.by(self))?;
        let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
        if let Some(login) = &self.login {
            request = format!("{request}Proxy-Authorization: {login}\r\n");
        }
        let answered = async {
            write(&stream, format!("{request}\r\n").as_bytes()).await?;
            head(&stream).await
        };
        let head = answered.await.map_err(|error| ConnectError::Passing(error.to_string()).by(self))?;
        match status(&head) {
            Some(200..300) => Ok(stream),
            Some(407) => Err(ConnectError::Lasting(format!(
                "{self} asks for a login, or for another one (status 407): write {} as \
                 http://user:password@host:port",
                self.variable
            ))),
            Some(status @ (408 | 425 | 429)) => Err(passing(status).by(self)),
            Some(status @ 400..500) => Err(ConnectError::Lasting(format!(
                "{self} refuses to connect to it (status {status}): allow {host}:{port} there"
            ))),
            Some(status) => Err(passing(status).by(self)),
            None => Err(ConnectError::Passing("its answer is not HTTP".to_owned()).by(self)),
        }
    }
}

fn passing(status: u16) -> ConnectError {
    ConnectError::Passing(format!("it does not connect (status {status})"))
}

/// Text for logs, without the login.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the proxy {}:{}", self.host, self.port)
    }
}

async fn write(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads the head of the answer. The bytes after it belong to the server, which sends none before the client
/// does.
async fn head(stream: &TcpStream) -> io::Result<Vec<u8>> {
    let (mut head, mut buffer) = (Vec::new(), [0; 1024]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        stream.readable().await?;
        match stream.try_read(&mut buffer) {
            Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "it closed the connection")),
            Ok(read) => head.extend_from_slice(buffer.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if head.len() > MAX_HEAD {
            return Err(io::Error::new(ErrorKind::InvalidData, "its answer is too long"));
        }
    }
    Ok(head)
}

/// Parses the status in the first line of an answer.
fn status(head: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(head.split(|byte| *byte == b'\r').next()?).ok()?;
    let mut words = line.split(' ');
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_named_by_its_url() {
        for (url, shown, login) in [
            ("http://proxy.test:3128", "the proxy proxy.test:3128", None),
            ("proxy.test:3128/", "the proxy proxy.test:3128", None),
            ("http://[::1]", "the proxy ::1:80", None),
            ("http://user:p%40ss@proxy.test:1", "the proxy proxy.test:1", Some("Basic dXNlcjpwQHNz")),
        ] {
            let proxy = Proxy::parse("HTTPS_PROXY", url).unwrap();
            assert_eq!((proxy.to_string().as_str(), proxy.login.as_deref()), (shown, login), "{url}");
        }
        for wrong in ["", "https://proxy.test", "socks5://proxy.test:1", "http://"] {
            assert!(Proxy::parse("HTTPS_PROXY", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_status_is_read_from_the_first_line() {
        assert_eq!(status(b"HTTP/1.0 201 Created\r\nA: b\r\n\r\n"), Some(201));
        assert_eq!(status(b"HTTP/1.1 200\r\n\r\n"), Some(200));
        for other in [&b"\x15\x03\x01\r\n\r\n"[..], b"SSH-2.0 200\r\n\r\n", b"HTTP/1.1 \r\n\r\n", b""] {
            assert_eq!(status(other), None);
        }
    }
}
