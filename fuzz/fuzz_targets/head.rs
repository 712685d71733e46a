//! Fuzz target for request heads: the bytes of a connection to the HTTP host. For any input, the host
//! answers, closes or waits for more, and serves the next connection; an answer reveals only values of the
//! request.
#![no_main]

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::Duration;

use hookmq_shared::clock::Random;
use hookmq_shared::host::server::{Limits, Server};
use hookmq_shared::http::{MAX_HEADER_BYTES, MAX_HEADERS, Request, Response};
use hookmq_shared::readiness::Readiness;
use hookmq_shared::service::Service;
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

/// A service that repeats the request, and checks that no request exceeds the limits.
#[derive(Clone)]
struct Echo;

impl Service for Echo {
    async fn call(&self, request: Request) -> Response {
        assert!(request.headers.len() <= MAX_HEADERS && request.headers.size() <= MAX_HEADER_BYTES);
        assert!(request.body.len() <= self.max_body());
        assert!(
            !request.path.contains(['?', ' ', '\r', '\n']) && !request.raw_query.contains([' ', '\r', '\n'])
        );
        for (name, value) in request.headers.iter() {
            assert!(!name.is_empty() && !name.bytes().any(|b| b.is_ascii_uppercase() || b <= b' '));
            assert!(!value.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)));
        }
        Response::new(200, "text/plain", "echo")
    }

    fn max_body(&self) -> usize {
        1024
    }

    fn readiness(&self) -> Readiness {
        true.into()
    }
}

thread_local! {
    static HOST: RefCell<Option<(Runtime, SocketAddr)>> = const { RefCell::new(None) };
}

fn start() -> (Runtime, SocketAddr) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let address = runtime.block_on(async {
        let server = Server::bind("127.0.0.1:0", Limits::default()).await.expect("a port");
        let address = server.local_addr();
        tokio::spawn(server.serve(Echo, Random::system(), std::future::pending()));
        address
    });
    (runtime, address)
}

async fn ask(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    // The host may close the connection before everything is written.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "neither answered nor closed");
    answer
}

fuzz_target!(|bytes: &[u8]| {
    HOST.with_borrow_mut(|host| {
        let (runtime, address) = host.get_or_insert_with(start);
        runtime.block_on(async {
            let answer = ask(*address, bytes).await;
            assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."));
            let health =
                ask(*address, b"GET /_/health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
            assert!(health.starts_with(b"HTTP/1.1 200"));
        });
    });
});
