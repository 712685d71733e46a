//! Tests of TLS, proxies, and connections made before the first request.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookmq_shared::queue::tdmq::Client;
use hookmq_shared::queue::{Class, Queue as _, rocketmq};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ProtocolVersion, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::kit::server::{Server, Step, Wall, context, message, ok, seconds};

const STORED: &str = r#"{"Response":{"MessageId":"71:11:0:0","ErrorMsg":"","RequestId":"r-1"}}"#;

/// A TLS server with a certificate of its own authority, which answers every request with `STORED`.
struct TlsServer {
    port: u16,
    ca_file: PathBuf,
    versions: Arc<Mutex<Vec<ProtocolVersion>>>,
    _dir: tempfile::TempDir,
}

impl TlsServer {
    fn start(names: &[&str], versions: &[&'static SupportedProtocolVersion]) -> Self {
        let mut ca = CertificateParams::new([]).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &ca).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let ca_file = dir.path().join("ca.pem");
        std::fs::write(&ca_file, ca.pem()).unwrap();

        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (config, seen) = (Arc::new(config), Arc::new(Mutex::new(Vec::new())));
        let versions = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let connection = ServerConnection::new(config.clone()).unwrap();
                let seen = seen.clone();
                std::thread::spawn(move || serve(StreamOwned::new(connection, stream.unwrap()), &seen));
            }
        });
        Self { port, ca_file, versions, _dir: dir }
    }
}

fn serve(stream: StreamOwned<ServerConnection, std::net::TcpStream>, seen: &Mutex<Vec<ProtocolVersion>>) {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut line, mut length) = (String::new(), 0);
        while line != "\r\n" {
            line.clear();
            if stream.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        stream.read_exact(&mut vec![0; length]).unwrap();
        seen.lock().unwrap().push(stream.get_ref().conn.protocol_version().unwrap());
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{STORED}", STORED.len());
        stream.get_mut().write_all(answer.as_bytes()).unwrap();
    }
}

fn client(url: &str, vars: &[(&str, &str)]) -> Client {
    let own = [
        ("TDMQ_ENDPOINT", url),
        ("TDMQ_REGION", "ap-guangzhou"),
        ("TENCENTCLOUD_SECRET_ID", "AKIDEXAMPLE"),
        ("TENCENTCLOUD_SECRET_KEY", "KEYEXAMPLE"),
    ];
    Client::new(context(&[&own, vars].concat(), Wall::new().clock()))
}

#[tokio::test]
async fn both_versions_of_tls_are_spoken_with_a_root_of_ones_own() {
    for (version, protocol) in [
        (&rustls::version::TLS12, ProtocolVersion::TLSv1_2),
        (&rustls::version::TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let server = TlsServer::start(&["localhost"], &[version]);
        let vars = [("TLS_CA_FILE", server.ca_file.to_str().unwrap())];
        let client = client(&format!("https://localhost:{}", server.port), &vars);
        assert_eq!(client.problems(), []);
        let receipt = client.send(&message("a/b/c", "x"), seconds(30)).await.unwrap();
        assert_eq!(receipt.attempts, 1);
        assert_eq!(*server.versions.lock().unwrap(), [protocol]);
    }
}

#[tokio::test]
async fn a_certificate_must_be_of_a_known_root_and_of_the_right_name() {
    let server = TlsServer::start(&["other.example"], &[&rustls::version::TLS13]);
    let url = format!("https://localhost:{}", server.port);
    let known = vec![("TLS_CA_FILE", server.ca_file.to_str().unwrap())];
    for (vars, words) in [(vec![], "TLS_CA_FILE"), (known, "for another host (other.example)")] {
        let client = client(&url, &vars);
        let error = client.send(&message("a/b/c", "x"), seconds(30)).await.unwrap_err();
        assert_eq!((error.class, error.attempts, error.maybe_stored), (Class::Config, 1, false), "{error}");
        assert!(error.detail.contains(&url) && error.detail.contains(words), "{error}");
        // The circuit belongs to the endpoint, so the next message is not tried.
        let error = client.send(&message("a/b/other", "x"), seconds(30)).await.unwrap_err();
        assert_eq!((error.class, error.attempts), (Class::Config, 0), "{error}");
    }
    assert!(server.versions.lock().unwrap().is_empty(), "no request was made");
}

#[tokio::test]
async fn a_file_without_certificates_is_a_problem() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for content in ["", "not PEM", garbage] {
        std::fs::write(&path, content).unwrap();
        let client = client("https://localhost", &[("TLS_CA_FILE", path.to_str().unwrap())]);
        let problems: Vec<_> = client.problems().iter().map(|p| p.variable).collect();
        assert_eq!(problems, ["TLS_CA_FILE"], "{content}");
    }
}

#[tokio::test]
async fn a_proxy_is_asked_for_a_tunnel() {
    let server = TlsServer::start(&["tdmq.example"], &[&rustls::version::TLS13]);
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://user:p%40ss@{}", proxy.local_addr().unwrap());
    let port = server.port;
    let asked = tokio::spawn(async move {
        let (stream, _) = proxy.accept().await.unwrap();
        let mut stream = tokio::io::BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            stream.read_line(&mut head).await.unwrap();
        }
        stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
        let mut onward = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        tokio::spawn(async move { tokio::io::copy_bidirectional(&mut stream, &mut onward).await });
        head
    });
    let vars = [("HTTPS_PROXY", url.as_str()), ("TLS_CA_FILE", server.ca_file.to_str().unwrap())];
    client("https://tdmq.example", &vars).send(&message("a/b/c", "x"), seconds(30)).await.unwrap();
    let head = asked.await.unwrap();
    assert!(head.starts_with("CONNECT tdmq.example:443 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("Proxy-Authorization: Basic dXNlcjpwQHNz\r\n"), "{head}");
}

#[tokio::test]
async fn a_proxy_that_refuses_stores_nothing() {
    let proxy = Server::start([]).await;
    // The script's server does not answer a request without a length, and closes the connection.
    let error = client("https://tdmq.example", &[("HTTPS_PROXY", &proxy.url)])
        .send(&message("a/b/c", "x"), seconds(1))
        .await
        .unwrap_err();
    assert_eq!((error.class, error.maybe_stored), (Class::Transient, false), "{error}");
}

/// Starts a proxy that answers each request with `answer` after this delay and joins both ends; returns its
/// URL and the number of requests.
async fn proxy(answer: &'static str, after: Duration, port: u16) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let mut stream = tokio::io::BufReader::new(stream);
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).await.unwrap() > 0 {}
                tokio::time::sleep(after).await;
                stream.write_all(format!("HTTP/1.1 {answer}\r\nVia: x\r\n\r\n").as_bytes()).await.unwrap();
                let mut onward = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut onward).await;
            });
        }
    });
    (url, asked)
}

#[tokio::test]
async fn what_a_proxy_answers_is_told_apart() {
    let server = TlsServer::start(&["tdmq.example"], &[&rustls::version::TLS13]);
    let ca = server.ca_file.to_str().unwrap();
    for (answer, class) in [
        ("201 Created", None),
        ("407 Proxy Authentication Required", Some(Class::Config)),
        ("403 Forbidden", Some(Class::Config)),
        ("429 Too Many Requests", Some(Class::Transient)),
        ("503 Service Unavailable", Some(Class::Transient)),
    ] {
        let (url, _) = proxy(answer, Duration::ZERO, server.port).await;
        let client = client("https://tdmq.example", &[("HTTPS_PROXY", &url), ("TLS_CA_FILE", ca)]);
        // The deadline leaves enough time for a success, but little for a failure that is retried until the
        // end.
        let deadline = seconds(if class == Some(Class::Transient) { 1 } else { 30 });
        let sent = client.send(&message("a/b/c", "x"), deadline).await;
        assert_eq!(sent.as_ref().err().map(|error| error.class), class, "{answer}: {sent:?}");
    }
}

/// A connection that takes longer than an attempt is completed and serves a later attempt.
#[tokio::test]
async fn a_connection_that_takes_longer_than_an_attempt_is_made_all_the_same() {
    let server = TlsServer::start(&["tdmq.example"], &[&rustls::version::TLS13]);
    let ca = server.ca_file.to_str().unwrap();
    let (url, asked) = proxy("200 OK", Duration::from_millis(600), server.port).await;
    let vars = [("HTTPS_PROXY", url.as_str()), ("TLS_CA_FILE", ca), ("CONNECT_TIMEOUT", "200ms")];
    let client = client("https://tdmq.example", &vars);
    let receipt = client.send(&message("a/b/c", "x"), seconds(30)).await.unwrap();
    assert!(receipt.attempts > 1, "it was waited for");
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn how_long_a_connection_is_waited_for_can_be_set() {
    for wrong in ["0", "99ms", "61s", "soon"] {
        let problems = client("https://localhost", &[("CONNECT_TIMEOUT", wrong)]).problems();
        assert_eq!(problems[0].variable, "CONNECT_TIMEOUT", "{wrong}");
    }
    for right in ["100ms", "5s", "1m"] {
        assert_eq!(client("https://localhost", &[("CONNECT_TIMEOUT", right)]).problems(), [], "{right}");
    }
}

/// Other programs read the same variables, and curl in the same way.
#[tokio::test]
async fn the_proxy_is_for_the_hosts_that_it_is_meant_for() {
    let server = TlsServer::start(&["tdmq.internal.example"], &[&rustls::version::TLS13]);
    let ca = ("TLS_CA_FILE", server.ca_file.to_str().unwrap());
    for (name, exempt, is_asked) in [
        ("HTTPS_PROXY", None, true),
        ("https_proxy", None, true),
        ("ALL_PROXY", None, true),
        ("all_proxy", None, true),
        ("HTTP_PROXY", None, false),
        ("HTTPS_PROXY", Some(("NO_PROXY", "other.example,al.example")), true),
        ("HTTPS_PROXY", Some(("NO_PROXY", "10.0.0.0/8, .internal.example")), false),
        ("https_proxy", Some(("NO_PROXY", "internal.example")), false),
        ("ALL_PROXY", Some(("no_proxy", "tdmq.internal.example")), false),
        ("HTTPS_PROXY", Some(("no_proxy", "*")), false),
    ] {
        let (url, asked) = proxy("200 OK", Duration::ZERO, server.port).await;
        let vars: Vec<_> = [(name, url.as_str()), ca].into_iter().chain(exempt).collect();
        let client = client("https://tdmq.internal.example", &vars);
        // Without the proxy, the name is not known.
        let sent = client.send(&message("a/b/c", "x"), seconds(if is_asked { 30 } else { 1 })).await;
        let found = (sent.is_ok(), asked.load(Ordering::Relaxed) > 0);
        assert_eq!(found, (is_asked, is_asked), "{name} {exempt:?}: {sent:?}");
    }
    for (exempt, host) in [("127.0.0.9,192.0.2.0/24", "192.0.2.7"), ("2001:db8::/32", "[2001:db8::7]")] {
        let (url, asked) = proxy("200 OK", Duration::ZERO, server.port).await;
        let vars = [("HTTPS_PROXY", url.as_str()), ("NO_PROXY", exempt), ("CONNECT_TIMEOUT", "100ms")];
        let client = client(&format!("https://{host}"), &vars);
        assert!(client.send(&message("a/b/c", "x"), seconds(1)).await.is_err());
        assert_eq!(asked.load(Ordering::Relaxed), 0, "{exempt}");
    }
    // The problem is of the variable that is wrong.
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        let problems = client("https://tdmq.example", &[(name, "socks5://127.0.0.1:1")]).problems();
        assert_eq!(problems[0].variable, name);
    }
    // The login is asked for in the variable that has the address.
    let (url, _) = proxy("407 Proxy Authentication Required", Duration::ZERO, server.port).await;
    let client = client("https://tdmq.internal.example", &[("https_proxy", &url)]);
    let error = client.send(&message("a/b/c", "x"), seconds(30)).await.unwrap_err();
    assert!(error.detail.contains("write https_proxy as"), "{error}");
}

#[tokio::test]
async fn this_machine_is_never_behind_the_proxy() {
    let (proxy, server) = (Server::start([]).await, Server::start([ok(STORED)]).await);
    let client = client(&server.url, &[("HTTPS_PROXY", &proxy.url)]);
    client.send(&message("a/b/c", "x"), seconds(10)).await.unwrap();
    assert_eq!(proxy.connections(), 0);
}

/// Starts a server that answers requests before it has read their bodies, and reads no body on the first
/// connection.
fn hasty_server() -> String {
    let socket = TcpSocket::new_v4().unwrap();
    // The unread data must not fit into the system's buffers either.
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let listener = socket.listen(8).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut busy = Vec::new();
        for (status, body) in [(429, "slow down"), (200, r#"{"msg_id":"M1"}"#)] {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = tokio::io::BufReader::new(stream);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                stream.read_line(&mut head).await.unwrap();
            }
            let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
            busy.push(stream);
        }
        std::future::pending::<()>().await;
    });
    url
}

#[tokio::test]
async fn a_connection_that_is_busy_with_the_last_request_is_not_waited_for() {
    let client = rocketmq::Client::new(context(
        &[
            ("ROCKETMQ_ENDPOINT", hasty_server().as_str()),
            ("ROCKETMQ_INSTANCE_ID", "11111111-2222-3333-4444-555555555555"),
            ("HUAWEICLOUD_SDK_AK", "AKEXAMPLE"),
            ("HUAWEICLOUD_SDK_SK", "SKEXAMPLE"),
            ("HUAWEICLOUD_SDK_PROJECT_ID", "0123456789abcdef0123456789abcdef"),
        ],
        Wall::new().clock(),
    ));
    let large = message("test-001", &"\u{1}".repeat(1_900_000)); // six bytes each in JSON
    assert_eq!(client.send(&large, seconds(30)).await.unwrap().attempts, 2);
}

#[tokio::test(start_paused = true)]
async fn a_connection_can_be_there_before_the_first_request() {
    let server = Server::start([ok(STORED)]).await;
    let client = client(&server.url, &[]);
    client.prewarm().await;
    tokio::task::yield_now().await;
    assert_eq!((server.connections(), server.seen().len()), (1, 0));
    client.send(&message("a/b/c", "x"), seconds(10)).await.unwrap();
    assert_eq!(server.connections(), 1);
}

/// The pool keeps as many connections as were in use at once; a fixed size would open and close the excess
/// for one send each.
#[tokio::test]
async fn as_many_connections_are_kept_as_were_in_use() {
    const AT_ONCE: usize = 60;
    let server = Server::start((0..3 * AT_ONCE).map(|_| ok(STORED))).await;
    let (client, message) = (client(&server.url, &[]), message("a/b/c", "{}"));
    for _ in 0..3 {
        let sends = (0..AT_ONCE).map(|_| client.send(&message, seconds(60)));
        let sent = futures_util::future::join_all(sends).await;
        assert!(sent.iter().all(Result::is_ok), "{sent:?}");
    }
    assert_eq!(server.connections(), AT_ONCE);
}

#[tokio::test]
async fn connections_are_as_few_as_allowed() {
    let server = Server::start((0..4).map(|_| ok(STORED))).await;
    let one = client(&server.url, &[("MAX_CONNECTIONS", "1")]);
    let message = message("a/b/c", "{}");
    let send = || one.send(&message, seconds(5));
    let all = tokio::join!(send(), send(), send(), send());
    assert!(all.0.is_ok() && all.1.is_ok() && all.2.is_ok() && all.3.is_ok(), "{all:?}");
    assert_eq!(server.connections(), 1);

    // A message that gets no connection was not tried, and its failure says nothing about the endpoint.
    let server = Server::start([Step::Hang]).await;
    let one = client(&server.url, &[("MAX_CONNECTIONS", "1")]);
    let deadline = seconds(1);
    let (stuck, waiting) = tokio::join!(one.send(&message, deadline), one.send(&message, deadline));
    let (stuck, waiting) = (stuck.unwrap_err(), waiting.unwrap_err());
    assert_eq!((stuck.class, stuck.maybe_stored), (Class::Ambiguous, true));
    assert_eq!((waiting.class, waiting.maybe_stored), (Class::Transient, false), "{waiting}");

    for wrong in ["0", "-1", "many", "65536"] {
        let problems = client(&server.url, &[("MAX_CONNECTIONS", wrong)]).problems();
        assert_eq!(problems[0].variable, "MAX_CONNECTIONS", "{wrong}");
    }
}
