//! Tests of strangers that burden the HTTP host, over real sockets: a genuine request is served all the same.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hookmq_shared::clock::Random;
use hookmq_shared::host::server::{Limits, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::kit::host::{Answer, Double, exchange, read_answer};

const MAX_BODY: usize = 6 << 20;

async fn start(limits: Limits) -> (SocketAddr, Double) {
    let double = Double::new(MAX_BODY);
    let server = Server::bind("127.0.0.1:0", limits).await.unwrap();
    let address = server.local_addr();
    tokio::spawn(server.serve(double.clone(), Random::system(), pending()));
    (address, double)
}

async fn send(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// Sends a genuine delivery over a connection of its own and returns the status.
async fn genuine(address: SocketAddr) -> u16 {
    let body = "x".repeat(2000);
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("POST /a HTTP/1.1\r\nContent-Length: 2000\r\n\r\n{body}");
    exchange(&mut stream, request.as_bytes()).await.status
}

async fn health(address: SocketAddr) -> u16 {
    let mut stream = TcpStream::connect(address).await.unwrap();
    exchange(&mut stream, b"GET /_/health HTTP/1.1\r\n\r\n").await.status
}

#[tokio::test]
async fn whoever_asks_for_much_at_once_leaves_others_their_turn() {
    // Each connection has its turn; the bound on refused requests in between is four times as high.
    for (path, most) in [("/_/metrics", 50), ("/unknown", 200)] {
        let (address, double) = start(Limits::default()).await;
        let looks = || double.looks.load(Ordering::Relaxed);
        let asks = format!("GET {path} HTTP/1.1\r\n\r\n").repeat(1000);
        let mut others = Vec::new();
        for _ in 0..4 {
            let (mut answers, mut stream) = send(address, b"").await.into_split();
            let asks = asks.clone();
            others.push(tokio::spawn(async move { stream.write_all(asks.as_bytes()).await.unwrap() }));
            others
                .push(tokio::spawn(async move { while answers.read(&mut [0; 4096]).await.unwrap() > 0 {} }));
        }
        while looks() == 0 {
            tokio::task::yield_now().await;
        }
        let before = looks();
        assert_eq!(health(address).await, 200);
        assert!(looks() - before < most, "{path}: {} answers meanwhile", looks() - before);
    }
}

/// A request that has arrived before its connection must give way is served, even if the server sees all
/// connections at once.
#[tokio::test]
async fn a_request_that_is_here_when_its_connection_is_to_give_way_is_served() {
    use std::io::Write as _;
    let request = format!("POST /a HTTP/1.1\r\nContent-Length: 100000\r\n\r\n{}", "x".repeat(100_000));
    let request = request.as_bytes();
    let limits = Limits { connections: 8, ..Limits::default() };
    let adopted = |stream: std::net::TcpStream| {
        stream.set_nonblocking(true).unwrap();
        TcpStream::from_std(stream).unwrap()
    };
    // New connections, each of which needs the place of the one before.
    let (address, _) = start(limits.clone()).await;
    let new: Vec<_> = (0..40)
        .map(|_| {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.write_all(request).unwrap();
            stream
        })
        .collect();
    for (n, stream) in new.into_iter().enumerate() {
        assert_eq!(read_answer(&mut adopted(stream)).await.expect("new").status, 200, "{n}");
    }
    // Idle connections that are reused when others arrive.
    let (address, _) = start(limits).await;
    let mut idle = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert_eq!(exchange(&mut stream, request).await.status, 200);
        idle.push(stream);
    }
    let _others: Vec<_> = (0..8).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
    let idle = idle.into_iter().map(|stream| {
        let mut stream = stream.into_std().unwrap();
        stream.write_all(request).unwrap();
        stream
    });
    for (n, stream) in idle.collect::<Vec<_>>().into_iter().enumerate() {
        assert_eq!(read_answer(&mut adopted(stream)).await.expect("idle").status, 200, "{n}");
    }
}

#[tokio::test]
async fn requests_that_take_every_connection_leave_probes_room() {
    let (address, double) = start(Limits { connections: 8, ..Limits::default() }).await;
    let mut others = Vec::new();
    for n in 0..100 {
        others.push(send(address, b"GET /wait HTTP/1.1\r\n\r\n").await);
        if n < 8 {
            double.waiting.notified().await;
        }
    }
    for _ in 0..20 {
        assert_eq!(health(address).await, 200);
    }
    assert_eq!(read_answer(&mut others[8]).await.unwrap().status, 503);
}

/// Writes the whole request before it reads the answer, as many senders and proxies do.
async fn write_all_first(address: SocketAddr, head: &str, body: &[u8]) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.ok()?;
    for piece in body.chunks(64 * 1024) {
        stream.write_all(piece).await.ok()?;
    }
    read_answer(&mut stream).await
}

#[tokio::test]
async fn announced_bodies_that_do_not_come_block_nobody() {
    for announced in [9, MAX_BODY] {
        let (address, _) = start(Limits { body_bytes: MAX_BODY, ..Limits::default() }).await;
        let mut others = Vec::new();
        let head = format!("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: {announced}\r\n\r\n");
        for _ in 0..300 {
            others.push(send(address, head.as_bytes()).await);
        }
        assert_eq!((genuine(address).await, health(address).await), (200, 200), "{announced}");
    }
}

#[tokio::test]
async fn half_arrived_bodies_block_nobody() {
    let limits = Limits { requests: 8, body_bytes: MAX_BODY, ..Limits::default() };
    let (address, _) = start(limits).await;
    let mut others = Vec::new();
    let head = format!("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: {MAX_BODY}\r\n\r\n");
    for part in [MAX_BODY - 1, 1_000_000, 500_000, MAX_BODY - 1] {
        let mut stream = send(address, head.as_bytes()).await;
        // A connection that must give way is answered, and the server reads no more from it.
        let _ = stream.write_all(&vec![b'x'; part]).await;
        others.push(stream);
        assert_eq!(genuine(address).await, 200, "beside {}", others.len());
    }
    // The last connection holds the memory for more than a second, and must then give way.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let whole = vec![b'x'; MAX_BODY];
    let answer = write_all_first(address, &head, &whole).await.unwrap();
    assert_eq!(answer.status, 200);
    let refused = read_answer(others.last_mut().unwrap()).await.unwrap();
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")));
}

#[tokio::test]
async fn idle_and_slow_connections_make_way_for_a_probe() {
    let (address, _) = start(Limits { connections: 64, ..Limits::default() }).await;
    let mut others = Vec::new();
    for n in 0..200 {
        let part: &[u8] = match n % 4 {
            0 => b"",
            1 => b"POST /a HT",
            2 => b"POST /a HTTP/1.1\r\nContent-Length: 9\r\n\r\nhal",
            _ => b"GET /unknown HTTP/1.1\r\n\r\n",
        };
        others.push(send(address, part).await);
    }
    for _ in 0..20 {
        assert_eq!((health(address).await, genuine(address).await), (200, 200));
    }
}

/// A handshake proves nothing, since some are answered to anybody.
#[tokio::test]
async fn a_connection_with_a_handshake_goes_before_one_with_an_ack() {
    let (address, _) = start(Limits { connections: 3, ..Limits::default() }).await;
    let mut acked = TcpStream::connect(address).await.unwrap();
    let mut greeted = TcpStream::connect(address).await.unwrap();
    for (stream, path) in [(&mut acked, "/a"), (&mut greeted, "/handshake")] {
        let request = format!("POST {path} HTTP/1.1\r\nContent-Length: 1\r\n\r\nx");
        assert_eq!(exchange(stream, request.as_bytes()).await.status, 200);
    }
    for _ in 0..8 {
        assert_eq!(health(address).await, 200);
        drop(TcpStream::connect(address).await.unwrap());
    }
    let (_one, _other) = (send(address, b"").await, send(address, b"").await);
    assert_eq!(greeted.read(&mut [0]).await.unwrap_or(0), 0, "closed");
    let again = exchange(&mut acked, b"POST /a HTTP/1.1\r\nContent-Length: 1\r\n\r\nx").await;
    assert_eq!(again.status, 200);
}

#[tokio::test]
async fn senders_that_never_read_their_answers_make_way() {
    let (address, _) = start(Limits { connections: 8, ..Limits::default() }).await;
    let mut others = Vec::new();
    for _ in 0..16 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let pipelined = "GET /unknown HTTP/1.1\r\n\r\n".repeat(40_000);
        let write = stream.write_all(pipelined.as_bytes());
        let _ = tokio::time::timeout(Duration::from_millis(100), write).await;
        others.push(stream);
    }
    assert_eq!((health(address).await, genuine(address).await), (200, 200));
}

#[tokio::test]
async fn an_answer_that_is_not_taken_is_not_kept_for_ever() {
    let (address, _) = start(Limits { linger: Duration::from_millis(500), ..Limits::default() }).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = b"GET /unknown HTTP/1.1\r\n\r\n".repeat(1000);
    // An idle connection would be kept for minutes; this one is read no further, and closed in the end.
    while stream.write_all(&request).await.is_ok() {}
    assert_eq!(health(address).await, 200);
}

#[tokio::test]
async fn an_answer_before_the_bodys_end_arrives_at_a_sender_that_writes_all_first() {
    let (address, double) = start(Limits::default()).await;
    for size in [7 << 20, 31 << 20] {
        let body = vec![b'x'; size];
        let mut chunked = Vec::new();
        for piece in body.chunks(1 << 20) {
            chunked.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            chunked.extend_from_slice(piece);
            chunked.extend_from_slice(b"\r\n");
        }
        chunked.extend_from_slice(b"0\r\n\r\n");
        let many = "X-A: 1\r\n".repeat(101);
        for (path, fields, status) in [
            ("/a", "", 413),
            ("/unknown", "", 404),
            ("/_/health", "", 405),
            ("/_/ready", "", 405),
            ("/_/metrics", "", 405),
            ("/a", many.as_str(), 431),
        ] {
            let head = format!("POST {path} HTTP/1.1\r\n{fields}Content-Length: {size}\r\n\r\n");
            let answer = write_all_first(address, &head, &body).await;
            let status_and_close = |answer: Option<Answer>| {
                answer.map(|answer| (answer.status, answer.header("connection").map(str::to_owned)))
            };
            let wanted = Some((status, Some("close".to_owned())));
            assert_eq!(status_and_close(answer), wanted, "{path} of {size}");
            let head = format!("POST {path} HTTP/1.1\r\n{fields}Transfer-Encoding: chunked\r\n\r\n");
            let answer = write_all_first(address, &head, &chunked).await;
            assert_eq!(status_and_close(answer), wanted, "{path} of {size}, chunked");
        }
    }
    let head = format!("POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n", 7 << 20);
    let answer = write_all_first(address, &head, &vec![b'x'; 7 << 20]).await.unwrap();
    assert_eq!(answer.status, 413, "also where it does not wait to be told");
    assert!(double.requests().is_empty());
}

#[tokio::test]
async fn a_503_and_a_408_arrive_as_well() {
    let (address, double) = start(Limits { requests: 1, ..Limits::default() }).await;
    let mut first = send(address, b"GET /wait HTTP/1.1\r\n\r\n").await;
    double.waiting.notified().await;
    let body = vec![b'x'; 5 << 20];
    let head = format!("POST /a HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len());
    assert_eq!(write_all_first(address, &head, &body).await.unwrap().status, 503);
    double.go.notify_one();
    assert_eq!(read_answer(&mut first).await.unwrap().status, 200);

    let limits = Limits { body_timeout: Duration::from_millis(300), ..Limits::default() };
    let (address, _) = start(limits).await;
    let mut slow = send(address, head.as_bytes()).await;
    slow.write_all(&body[..1 << 20]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1200)).await;
    slow.write_all(&body[1 << 20..]).await.unwrap();
    assert_eq!(read_answer(&mut slow).await.unwrap().status, 408);
}

#[tokio::test]
async fn a_route_is_looked_up_before_the_body() {
    let (address, double) = start(Limits::default()).await;
    let mut stream = send(address, b"POST /unknown HTTP/1.1\r\nContent-Length: 5\r\n\r\n").await;
    assert_eq!(read_answer(&mut stream).await.unwrap().status, 404);
    let mut asks =
        send(address, b"POST /unknown HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").await;
    assert_eq!(read_answer(&mut asks).await.unwrap().status, 404, "it is not told to go on");
    // A connection without a request body stays usable.
    let mut stream = TcpStream::connect(address).await.unwrap();
    for _ in 0..2 {
        let answer = exchange(&mut stream, b"GET /unknown HTTP/1.1\r\n\r\n").await;
        assert_eq!((answer.status, answer.header("connection")), (404, None));
    }
    assert!(double.requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_outlives_any_balancers() {
    let (address, _) = start(Limits::default()).await;
    for idle in [30, 60, 75, 90, 600] {
        let mut used = TcpStream::connect(address).await.unwrap();
        assert_eq!(exchange(&mut used, b"GET /a HTTP/1.1\r\n\r\n").await.status, 200);
        let mut unused = TcpStream::connect(address).await.unwrap();
        tokio::time::sleep(Duration::from_secs(idle)).await;
        for stream in [&mut used, &mut unused] {
            assert_eq!(exchange(stream, b"GET /b HTTP/1.1\r\n\r\n").await.status, 200, "after {idle} s");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_idle_time_is_settable_and_not_the_heads() {
    let seconds = Duration::from_secs;
    let limits = Limits { idle_timeout: seconds(5), ..Limits::default() };
    let (address, _) = start(limits).await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    assert_eq!(exchange(&mut idle, b"GET /a HTTP/1.1\r\n\r\n").await.status, 200);
    assert_eq!(idle.read(&mut [0; 9]).await.unwrap(), 0);
    // A head has a time limit of its own, and may be slow at first.
    let mut slow = send(address, b"GET /a HT").await;
    tokio::time::sleep(seconds(7)).await;
    assert_eq!(exchange(&mut slow, b"TP/1.1\r\n\r\n").await.status, 200);
    // After that, a minimum rate is required.
    let mut slower = send(address, b"GET /a HT").await;
    let before = tokio::time::Instant::now();
    assert_eq!(read_answer(&mut slower).await.unwrap().status, 408);
    assert!(before.elapsed() < seconds(12), "{:?}", before.elapsed());
}
