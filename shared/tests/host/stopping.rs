//! Tests of the shutdown of an HTTP server: load balancers notice first, and requests in progress are kept or
//! answered.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use hookmq_shared::clock::{Clock, Random};
use hookmq_shared::config::{Config, Reading, Samples};
use hookmq_shared::context::Context;
use hookmq_shared::env::{Env, EnvProblem};
use hookmq_shared::gateway::Gateway;
use hookmq_shared::host::server::{Limits, Server, Stop};
use hookmq_shared::message::Message;
use hookmq_shared::queue::{Queue, Receipt, SendError, Until, Vendor};
use hookmq_shared::service::Service;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::kit::host::{Double, exchange, read_answer};

async fn start<S: Service>(service: S) -> (SocketAddr, oneshot::Sender<Stop>, JoinHandle<()>) {
    let server = Server::bind("127.0.0.1:0", Limits::default()).await.unwrap();
    let address = server.local_addr();
    let (stop, stopped) = oneshot::channel();
    let stopped = async { stopped.await.unwrap() };
    (address, stop, tokio::spawn(server.serve_until(service, Random::system(), stopped)))
}

async fn get(stream: &mut TcpStream, path: &str) -> (u16, Option<String>) {
    let answer = exchange(stream, format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes()).await;
    (answer.status, answer.header("connection").map(str::to_owned))
}

#[tokio::test(start_paused = true)]
async fn others_notice_before_anything_is_closed() {
    let double = Double::new(64);
    let (address, stop, server) = start(double.clone()).await;
    let mut kept = TcpStream::connect(address).await.unwrap();
    assert_eq!(get(&mut kept, "/a").await, (200, None));
    let mut unused = TcpStream::connect(address).await.unwrap();
    assert_eq!(get(&mut TcpStream::connect(address).await.unwrap(), "/_/ready").await, (200, None));

    let told = Instant::now();
    stop.send(Stop::Leaving).unwrap();
    sleep(Duration::from_secs(1)).await;
    let last = Some("close".to_owned());
    for (path, status) in [("/_/ready", 503), ("/_/health", 200), ("/b", 200)] {
        let mut new = TcpStream::connect(address).await.unwrap();
        assert_eq!(get(&mut new, path).await, (status, last.clone()), "{path}");
        assert!(read_answer(&mut new).await.is_none());
    }
    assert_eq!(get(&mut kept, "/c").await, (200, last.clone()), "it was not closed before");
    assert_eq!(get(&mut unused, "/d").await, (200, last));
    let _quiet = TcpStream::connect(address).await.unwrap();
    server.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
    assert!(told.elapsed() <= Duration::from_secs(9), "{:?}", told.elapsed());
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_at_a_keyboard_does_not_wait_for_balancers() {
    let (address, stop, server) = start(Double::new(64)).await;
    let mut kept = TcpStream::connect(address).await.unwrap();
    assert_eq!(get(&mut kept, "/a").await.0, 200);
    let told = Instant::now();
    stop.send(Stop::Now).unwrap();
    assert!(read_answer(&mut kept).await.is_none());
    server.await.unwrap();
    assert!(told.elapsed() < Duration::from_secs(2), "{:?}", told.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_request_on_a_connection_just_made_is_answered() {
    let (address, stop, server) = start(Double::new(64)).await;
    stop.send(Stop::Now).unwrap();
    let mut new = TcpStream::connect(address).await.unwrap();
    tokio::task::yield_now().await;
    new.write_all(b"GET /a HT").await.unwrap();
    sleep(Duration::from_millis(10)).await;
    assert_eq!(exchange(&mut new, b"TP/1.1\r\n\r\n").await.status, 200);
    server.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_does_not_end_is_answered_503() {
    let double = Double::new(64);
    let (address, stop, server) = start(double.clone()).await;
    let mut busy = TcpStream::connect(address).await.unwrap();
    busy.write_all(b"GET /wait HTTP/1.1\r\n\r\n").await.unwrap();
    double.waiting.notified().await;
    let told = Instant::now();
    stop.send(Stop::Leaving).unwrap();
    let answer = read_answer(&mut busy).await.unwrap();
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
    server.await.unwrap();
    assert!(told.elapsed() <= Duration::from_secs(9), "{:?}", told.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_does_not_arrive_before_the_end_is_answered_503() {
    let (address, stop, server) = start(Double::new(64)).await;
    let begun = async |bytes: &str| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        stream
    };
    let mut senders = Vec::new();
    for begin in [
        "POST /a HTTP/1.1\r\nContent-Length: 64\r\n\r\nx",
        "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
        "POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 64\r\n\r\n",
        "POST /a HT",
    ] {
        senders.push((begin, begun(begin).await));
    }
    let (_, asking) = &mut senders[2];
    assert_eq!(read_answer(asking).await.unwrap().status, 100);
    let mut trickling = begun("POST /a HTTP/1.1\r\nContent-Length: 64\r\n\r\n").await;
    let told = Instant::now();
    stop.send(Stop::Leaving).unwrap();
    // The body arrives at the slowest rate that is allowed, and its last byte is missing.
    for _ in 0..63 {
        sleep(Duration::from_millis(130)).await;
        trickling.write_all(b"x").await.unwrap();
    }
    senders.push(("a trickle", trickling));
    for (begin, mut stream) in senders {
        let answer = read_answer(&mut stream).await.expect(begin);
        assert_eq!((answer.status, answer.header("connection")), (503, Some("close")), "{begin}");
    }
    server.await.unwrap();
    assert!(told.elapsed() <= Duration::from_secs(9) + Duration::from_millis(50), "{:?}", told.elapsed());
}

/// A queue that answers long after the server's time limit for its shutdown.
#[derive(Clone, Debug)]
struct Late;

impl Queue for Late {
    fn vendor(&self) -> Vendor {
        Vendor::Tdmq
    }

    fn takes(&self, _: &Message) -> Result<(), SendError> {
        Ok(())
    }

    fn problems(&self) -> Vec<EnvProblem> {
        Vec::new()
    }

    async fn prewarm(&self) {}

    async fn send(&self, _: &Message, _: impl Into<Until> + Send) -> Result<Receipt, SendError> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_delivery_under_way_is_spilled_before_the_process_ends() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("file://{}", dir.path().display());
    for (store, status) in [(url.as_str(), 200), ("", 503)] {
        let env = Env::of([("SPILL_URL", store)]);
        let hooks = "[hooks.slow]\nsource = \"bearer\"\nsecrets = [\"plain:a-token-of-the-stopping-tests\"]\n\
                     topic = \"pulsar-demo/webhooks/test\"\ndeadline = \"60s\"\n";
        let config = Config::parse("hooks.toml", hooks, Reading::new(&env, Samples::Accepted));
        let context = Context { env, clock: Clock::system(), random: Random::system() };
        let (address, stop, server) = start(Gateway::new(config, Late, context)).await;
        let mut sender = TcpStream::connect(address).await.unwrap();
        let request = "POST /slow HTTP/1.1\r\nAuthorization: Bearer a-token-of-the-stopping-tests\r\n\
                       Content-Length: 2\r\n\r\n{}";
        sender.write_all(&Bytes::from(request)).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        let told = Instant::now();
        stop.send(Stop::Leaving).unwrap();
        assert_eq!(read_answer(&mut sender).await.unwrap().status, status, "{store}");
        server.await.unwrap();
        assert!(told.elapsed() <= Duration::from_secs(9), "{:?}", told.elapsed());
    }
}
