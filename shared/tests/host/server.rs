//! Tests of the HTTP host over real sockets.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hookmq_shared::clock::Random;
use hookmq_shared::host::server::{Limits, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::kit::host::{Double, exchange, read_answer};

const MAX_BODY: usize = 64;

async fn start_with(
    double: &Double,
    limits: Limits,
    stop: oneshot::Receiver<()>,
) -> (SocketAddr, JoinHandle<()>) {
    let server = Server::bind("127.0.0.1:0", limits).await.unwrap();
    let address = server.local_addr();
    let double = double.clone();
    let shutdown = async {
        // A test that does not stop its server drops the sender.
        if stop.await.is_err() {
            pending::<()>().await;
        }
    };
    (address, tokio::spawn(server.serve(double, Random::system(), shutdown)))
}

async fn connect() -> (TcpStream, Double) {
    let double = Double::new(MAX_BODY);
    let (address, _) = start_with(&double, Limits::default(), oneshot::channel().1).await;
    (TcpStream::connect(address).await.unwrap(), double)
}

/// Returns true if the server has closed its side.
async fn is_closed(stream: &mut TcpStream) -> bool {
    read_answer(stream).await.is_none()
}

#[tokio::test]
async fn a_request_arrives_as_it_was_sent() {
    let (mut stream, double) = connect().await;
    let answer = exchange(
        &mut stream,
        b"POST /a%2Fb/%C3%A9?z=1&a=%20+&z=2 HTTP/1.1\r\nHost: h\r\nX-Sig: one\r\nX-Forwarded-For: 192.0.2.7\r\nX-Name: caf\xe9\r\n\
          X-CFF-Security-Secret-Key: k\r\nx-cff-request-id: r\r\nX-Scf-Session-Token: t\r\nx-sig: two\r\nContent-Length: 4\r\n\r\n\0\xff{}",
    )
    .await;
    assert_eq!((answer.status, answer.header("x-double")), (200, Some("1")));
    assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
    assert_eq!(answer.header("server"), None);

    let request = &double.requests()[0];
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/a%2Fb/%C3%A9"));
    assert_eq!(request.raw_query, "z=1&a=%20+&z=2");
    assert_eq!(request.headers.all("x-sig").collect::<Vec<_>>(), [b"one", b"two"]);
    assert_eq!(request.headers.one("x-name"), Some(b"caf\xe9".as_slice()));
    // A field with a platform's reserved name is not passed on.
    let names: Vec<&str> = request.headers.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["host", "x-sig", "x-sig", "x-forwarded-for", "x-name", "content-length"]);
    assert_eq!(request.body.as_ref(), b"\0\xff{}");
    assert!(hookmq_shared::host::trigger::is_uuid(&request.request_id));
    assert_eq!(request.source_ip, Some(stream.local_addr().unwrap().ip()));
    assert_eq!(request.deadline, None);
}

#[tokio::test]
async fn requests_share_a_connection() {
    let (mut stream, double) = connect().await;
    stream
        .write_all(
            b"GET /1 HTTP/1.1\r\n\r\nPOST /2 HTTP/1.1\r\nContent-Length: 2\r\n\r\nhiHEAD /3 HTTP/1.1\r\n\r\n",
        )
        .await
        .unwrap();
    for _ in 0..2 {
        assert_eq!(read_answer(&mut stream).await.unwrap().status, 200);
    }
    // An answer to HEAD announces a body and has none.
    let mut head = vec![0; 1024];
    let n = stream.read(&mut head).await.unwrap();
    assert!(head[..n].ends_with(b"\r\n\r\n"));
    assert_eq!(exchange(&mut stream, b"OPTIONS * HTTP/1.1\r\n\r\n").await.status, 200);
    let requests = double.requests();
    assert_eq!(requests.iter().map(|r| r.path.as_str()).collect::<Vec<_>>(), ["/1", "/2", "/3", "*"]);
    let ids: std::collections::HashSet<_> = requests.iter().map(|r| &r.request_id).collect();
    assert_eq!(ids.len(), 4);
}

#[tokio::test]
async fn http_1_0_is_answered_and_closed() {
    let (mut stream, _) = connect().await;
    let answer = exchange(&mut stream, b"POST /a HTTP/1.0\r\nContent-Length: 1\r\n\r\nx").await;
    assert_eq!(answer.status, 200);
    assert!(is_closed(&mut stream).await);
}

#[tokio::test]
async fn a_sender_may_close_its_side_first() {
    let (mut stream, _) = connect().await;
    stream.write_all(b"POST /a HTTP/1.1\r\nContent-Length: 1\r\n\r\nx").await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(read_answer(&mut stream).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let fits = format!("POST /a HTTP/1.1\r\nContent-Length: {MAX_BODY}\r\n\r\n{}", "x".repeat(MAX_BODY));
    let chunk =
        format!("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n41\r\n{}\r\n", "x".repeat(0x41));
    let (mut stream, _) = connect().await;
    assert_eq!(exchange(&mut stream, fits.as_bytes()).await.status, 200);
    // The announced body is never sent, and the answer does not wait for it.
    for refused in ["POST /a HTTP/1.1\r\nContent-Length: 65\r\n\r\n", chunk.as_str()] {
        let (mut stream, double) = connect().await;
        let answer = exchange(&mut stream, refused.as_bytes()).await;
        assert_eq!((answer.status, answer.problem().as_str()), (413, "too-large"));
        assert!(is_closed(&mut stream).await);
        assert!(double.requests().is_empty());
    }
}

#[tokio::test]
async fn a_chunked_request_leaves_the_connection_open() {
    let (mut stream, double) = connect().await;
    for _ in 0..2 {
        let chunked = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
        let answer = exchange(&mut stream, chunked).await;
        assert_eq!((answer.status, answer.header("connection")), (200, None));
    }
    assert_eq!(double.requests().len(), 2);
}

#[tokio::test]
async fn a_body_of_6_mb_arrives() {
    let double = Double::new(8 << 20);
    let (address, _) = start_with(&double, Limits::default(), oneshot::channel().1).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let body = vec![b'x'; 6 << 20];
    stream
        .write_all(format!("POST /a HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes())
        .await
        .unwrap();
    assert_eq!(exchange(&mut stream, &body).await.status, 200);
    assert!(double.requests()[0].body.as_ref() == body);
}

#[tokio::test]
async fn a_sender_that_asks_first_is_told_to_go_on() {
    let (mut stream, _) = connect().await;
    let head = b"POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    assert_eq!(exchange(&mut stream, head).await.status, 100);
    assert_eq!(exchange(&mut stream, b"hi").await.status, 200);
    let head = b"POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 65\r\n\r\n";
    assert_eq!(exchange(&mut stream, head).await.status, 413);
}

#[tokio::test]
async fn too_many_or_too_large_headers_are_a_431() {
    let many = |n: usize| format!("GET /a HTTP/1.1\r\n{}\r\n", "X-A: 1\r\n".repeat(n));
    let (mut stream, double) = connect().await;
    assert_eq!(exchange(&mut stream, many(100).as_bytes()).await.status, 200);
    let large = format!("GET /a HTTP/1.1\r\nX-A: {}\r\n\r\n", "x".repeat(33 * 1024));
    let target = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(33 * 1024));
    for refused in [many(101), large, target] {
        let (mut stream, double) = connect().await;
        let answer = exchange(&mut stream, refused.as_bytes()).await;
        assert_eq!((answer.status, answer.problem().as_str()), (431, "headers-too-large"));
        assert!(is_closed(&mut stream).await);
        assert!(double.requests().is_empty());
    }
    // Heads above the limit of the parser get the status only.
    let endless = format!("GET /a HTTP/1.1\r\nX-A: {}", "x".repeat(130 * 1024));
    for refused in [many(10_000), endless] {
        let (mut stream, _) = connect().await;
        assert_eq!(exchange(&mut stream, refused.as_bytes()).await.status, 431);
    }
    assert_eq!(double.requests().len(), 1);
}

#[tokio::test]
async fn what_is_not_http_is_a_400() {
    let broken: [&[u8]; 9] = [
        b"nonsense\r\n\r\n",
        b"POST\r\n\r\n",
        b"POST /a b HTTP/1.1\r\n\r\n",
        b"POST /a HTTP/9.9\r\n\r\n",
        b"GET /\0 HTTP/1.1\r\n\r\n",
        b"POST /a HTTP/1.1\r\nX-A: nul \0 here\r\n\r\n",
        b"POST /a HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST /a HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ];
    for bytes in broken {
        let (mut stream, double) = connect().await;
        let answer = exchange(&mut stream, bytes).await;
        assert_eq!(answer.status, 400, "{}", bytes.escape_ascii());
        assert!(is_closed(&mut stream).await);
        assert!(double.requests().is_empty());
    }
    for hosts in ["Host: a\r\nHost: b", "Host: a\r\nX-A: 1\r\nhost: a"] {
        let (mut stream, double) = connect().await;
        let two = format!("POST /a HTTP/1.1\r\n{hosts}\r\nContent-Length: 0\r\n\r\n");
        let answer = exchange(&mut stream, two.as_bytes()).await;
        assert_eq!((answer.status, answer.problem().as_str()), (400, "malformed-request"), "{hosts}");
        assert!(double.requests().is_empty());
    }
    let (mut stream, double) = connect().await;
    let chunked = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nnot a length\r\n";
    let answer = exchange(&mut stream, chunked).await;
    assert_eq!((answer.status, answer.problem().as_str()), (400, "malformed-request"));
    assert!(is_closed(&mut stream).await);
    assert!(double.requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_end_is_closed() {
    let (mut stream, double) = connect().await;
    stream.write_all(b"POST /a HTTP/1.1\r\nX-A: ").await.unwrap();
    assert_eq!(read_answer(&mut stream).await.unwrap().status, 408);
    assert!(is_closed(&mut stream).await);
    let (mut idle, _) = connect().await;
    assert_eq!(exchange(&mut idle, b"GET /a HTTP/1.1\r\n\r\n").await.status, 200);
    assert!(is_closed(&mut idle).await);
    assert!(double.requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_a_408() {
    for head in ["Content-Length: 5\r\n\r\nhal", "Transfer-Encoding: chunked\r\n\r\n3\r\nhal"] {
        let (mut stream, double) = connect().await;
        let answer = exchange(&mut stream, format!("POST /a HTTP/1.1\r\n{head}").as_bytes()).await;
        assert_eq!((answer.status, answer.problem().as_str()), (408, "request-timeout"));
        assert!(is_closed(&mut stream).await);
        assert!(double.requests().is_empty());
    }
}

#[tokio::test]
async fn a_sender_that_goes_away_is_forgotten() {
    let double = Double::new(MAX_BODY);
    let (address, _) = start_with(&double, Limits::default(), oneshot::channel().1).await;
    for part in ["", "POST /a HT", "POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nhal"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(part.as_bytes()).await.unwrap();
    }
    let mut stream = TcpStream::connect(address).await.unwrap();
    assert_eq!(exchange(&mut stream, b"GET /b HTTP/1.1\r\n\r\n").await.status, 200);
    assert_eq!(double.requests().len(), 1);
}

#[tokio::test]
async fn a_panic_is_a_503_and_the_next_request_is_served() {
    let (mut stream, _) = connect().await;
    let answer = exchange(&mut stream, b"POST /panic HTTP/1.1\r\nContent-Length: 6\r\n\r\nsecret").await;
    assert_eq!((answer.status, answer.problem().as_str()), (503, "unavailable"));
    assert!(answer.header("retry-after").is_some());
    assert!(!answer.body.contains("secret"));
    assert_eq!(exchange(&mut stream, b"GET /a HTTP/1.1\r\n\r\n").await.status, 200);
}

#[tokio::test]
async fn probes_are_answered_by_the_host() {
    let (mut stream, double) = connect().await;
    for path in ["health", "ready"] {
        let answer = exchange(&mut stream, format!("GET /_/{path}?x HTTP/1.1\r\n\r\n").as_bytes()).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"status":"ok"}"#));
        let answer = exchange(&mut stream, format!("POST /_/{path} HTTP/1.1\r\n\r\n").as_bytes()).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")));
    }
    let answer = exchange(&mut stream, b"GET /_/metrics HTTP/1.1\r\n\r\n").await;
    assert_eq!((answer.status, answer.problem().as_str()), (404, "no-such-hook"), "nothing is counted here");
    double.is_ready.store(false, Ordering::Relaxed);
    assert_eq!(exchange(&mut stream, b"GET /_/health HTTP/1.1\r\n\r\n").await.status, 200);
    let answer = exchange(&mut stream, b"GET /_/ready HTTP/1.1\r\n\r\n").await;
    assert_eq!((answer.status, answer.problem().as_str()), (503, "unavailable"));
    assert!(double.requests().is_empty());
}

#[tokio::test]
async fn the_longest_idle_connection_gives_way_to_a_new_one() {
    let double = Double::new(MAX_BODY);
    let limits = Limits { connections: 2, ..Limits::default() };
    let (address, _) = start_with(&double, limits, oneshot::channel().1).await;
    let mut served = Vec::new();
    for path in ["/1", "/2", "/3"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert_eq!(
            exchange(&mut stream, format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes()).await.status,
            200
        );
        served.push(stream);
    }
    assert!(is_closed(&mut served[0]).await);
    for stream in &mut served[1..] {
        assert_eq!(exchange(stream, b"GET /4 HTTP/1.1\r\n\r\n").await.status, 200);
    }
}

/// Starts a server with these limits, on which one request with a body of 40 bytes is in flight.
async fn busy(limits: Limits) -> (SocketAddr, Double, TcpStream) {
    let double = Double::new(MAX_BODY);
    let (address, _) = start_with(&double, limits, oneshot::channel().1).await;
    let mut busy = TcpStream::connect(address).await.unwrap();
    let request = format!("POST /wait HTTP/1.1\r\nContent-Length: 40\r\n\r\n{}", "x".repeat(40));
    busy.write_all(request.as_bytes()).await.unwrap();
    double.waiting.notified().await;
    (address, double, busy)
}

async fn answer_of(address: SocketAddr, request: &str) -> Option<(u16, bool)> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let answer = exchange(&mut stream, request.as_bytes()).await;
    if answer.status == 503 {
        assert_eq!((answer.problem().as_str(), answer.header("retry-after")), ("unavailable", Some("5")));
        assert_eq!(answer.header("connection"), Some("close"));
        return is_closed(&mut stream).await.then_some((503, true));
    }
    Some((answer.status, false))
}

const SERVED: Option<(u16, bool)> = Some((200, false));
const REFUSED: Option<(u16, bool)> = Some((503, true));

#[tokio::test]
async fn a_request_that_finds_no_room_is_refused() {
    let (address, double, mut first) = busy(Limits { requests: 1, ..Limits::default() }).await;
    assert_eq!(answer_of(address, "POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi").await, REFUSED);
    // A request that has not arrived needs no place yet, and gets one once it has arrived.
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nh").await.unwrap();
    for probe in ["health", "ready"] {
        let probe = format!("GET /_/{probe} HTTP/1.1\r\n\r\n");
        assert_eq!(answer_of(address, &probe).await, SERVED, "there is always room for a probe");
    }
    assert_eq!(double.requests().len(), 1);
    double.go.notify_one();
    assert_eq!(read_answer(&mut first).await.unwrap().status, 200);
    assert_eq!(exchange(&mut slow, b"i").await.status, 200);
    assert_eq!(answer_of(address, "POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi").await, SERVED);
}

#[tokio::test]
async fn a_body_that_finds_no_room_is_refused() {
    let (address, double, mut first) = busy(Limits { body_bytes: MAX_BODY, ..Limits::default() }).await;
    let body = |n: usize| format!("POST /a HTTP/1.1\r\nContent-Length: {n}\r\n\r\n{}", "x".repeat(n));
    assert_eq!(answer_of(address, &body(25)).await, REFUSED, "what is being served does not give way");
    let chunks = |second: usize| {
        let (one, two) = ("x".repeat(16), "y".repeat(second));
        format!(
            "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{one}\r\n{second:x}\r\n{two}\r\n"
        )
    };
    assert_eq!(answer_of(address, &chunks(9)).await, REFUSED);
    assert_eq!(double.requests().len(), 1);
    assert_eq!(answer_of(address, &(chunks(8) + "0\r\n\r\n")).await, SERVED);
    assert_eq!(answer_of(address, &body(24)).await, SERVED);
    double.go.notify_one();
    assert_eq!(read_answer(&mut first).await.unwrap().status, 200);
    assert_eq!(answer_of(address, &body(MAX_BODY)).await, SERVED);
}

#[tokio::test]
async fn the_largest_body_fits_by_itself() {
    let double = Double::new(MAX_BODY);
    let limits = Limits { body_bytes: 1, ..Limits::default() };
    let (address, _) = start_with(&double, limits, oneshot::channel().1).await;
    let all = format!("POST /a HTTP/1.1\r\nContent-Length: {MAX_BODY}\r\n\r\n{}", "x".repeat(MAX_BODY));
    assert_eq!(answer_of(address, &all).await, SERVED);
}

#[tokio::test]
async fn a_sender_that_goes_away_gives_its_room_back() {
    let double = Double::new(MAX_BODY);
    let limits = Limits { requests: 1, body_bytes: MAX_BODY, ..Limits::default() };
    let (address, _) = start_with(&double, limits, oneshot::channel().1).await;
    for _ in 0..3 {
        let mut gone = TcpStream::connect(address).await.unwrap();
        gone.write_all(
            format!("POST /a HTTP/1.1\r\nContent-Length: 64\r\n\r\n{}", "x".repeat(63)).as_bytes(),
        )
        .await
        .unwrap();
    }
    let all = format!("POST /a HTTP/1.1\r\nContent-Length: {MAX_BODY}\r\n\r\n{}", "x".repeat(MAX_BODY));
    while answer_of(address, &all).await == REFUSED {}
    assert_eq!(double.requests().len(), 1);
}

#[tokio::test]
async fn stopping_answers_what_is_in_flight() {
    let double = Double::new(MAX_BODY);
    let (stop, stopped) = oneshot::channel();
    let (address, server) = start_with(&double, Limits::default(), stopped).await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    assert_eq!(exchange(&mut idle, b"GET /a HTTP/1.1\r\n\r\n").await.status, 200);
    let mut busy = TcpStream::connect(address).await.unwrap();
    busy.write_all(b"GET /wait HTTP/1.1\r\n\r\n").await.unwrap();
    double.waiting.notified().await;

    stop.send(()).unwrap();
    assert!(is_closed(&mut idle).await);
    assert!(TcpStream::connect(address).await.is_err());
    double.go.notify_one();
    let answer = read_answer(&mut busy).await.unwrap();
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    server.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn stopping_does_not_wait_for_ever() {
    let double = Double::new(MAX_BODY);
    let (stop, stopped) = oneshot::channel();
    let limits = Limits { drain: Duration::from_secs(3), ..Limits::default() };
    let (address, server) = start_with(&double, limits, stopped).await;
    let mut busy = TcpStream::connect(address).await.unwrap();
    busy.write_all(b"GET /wait HTTP/1.1\r\n\r\n").await.unwrap();
    double.waiting.notified().await;
    stop.send(()).unwrap();
    server.await.unwrap();
}

#[tokio::test]
async fn an_address_that_cannot_be_had_is_named() {
    let taken = Server::bind("127.0.0.1:0", Limits::default()).await.unwrap();
    for address in [taken.local_addr().to_string(), "nonsense".to_owned()] {
        let error = Server::bind(&address, Limits::default()).await.unwrap_err();
        assert!(error.to_string().contains(&address), "{error}");
    }
}
