//! Work whose size a stranger chooses, done once: the HTTP host reads and answers a request's head, or copies
//! of secrets are masked in a text.
//!
//! Run with `SHAPE BYTES`, so that `tests/load/instructions.py --linear` can count instructions. Run with
//! `list` to list the shapes.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark may panic and print")]

use std::hint::black_box;

use hookmq_shared::clock::Random;
use hookmq_shared::host::server::{Limits, Server};
use hookmq_shared::http::{Request, Response};
use hookmq_shared::readiness::Readiness;
use hookmq_shared::secret::Secret;
use hookmq_shared::service::Service;
use hookmq_shared::source::fuzzing::masked;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Builder of a request's head of about the given number of bytes.
type Make = fn(usize) -> String;

/// Shapes of heads. Some are above the limits and refused.
const HEADS: [(&str, Make); 4] = [
    ("head: one long field", |bytes| format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n", "v".repeat(bytes))),
    ("head: many fields", |bytes| {
        let fields: Vec<String> = (0..bytes / 20).map(|n| format!("x-{n:06}: abcdefgh\r\n")).collect();
        format!("GET / HTTP/1.1\r\nhost: a\r\n{}", fields.concat())
    }),
    ("head: a long target", |bytes| {
        format!("GET /{} HTTP/1.1\r\nhost: a\r\n", "%41".repeat(bytes.div_ceil(3)))
    }),
    ("head: a long query", |bytes| {
        format!("GET /?{} HTTP/1.1\r\nhost: a\r\n", "token=a&".repeat(bytes.div_ceil(8)))
    }),
];

/// Name of the shape that sends the first head in small pieces.
const TRICKLED: &str = "head: in pieces of 64 bytes";

const SECRET: &str = "aaaaaaaaaaaaaaaaaaaab";

/// Shapes of texts, each with the unit that it repeats.
const TEXTS: [(&str, &str); 5] = [
    ("mask: nothing to mask", "the quick brown fox jumps; "),
    ("mask: copies", "aaaaaaaaaaaaaaaaaaaab, "),
    ("mask: almost copies", "aaaaaaaaaaaaaaaaaaaaac"),
    ("mask: escapes of an address", "%61%2561%61"),
    ("mask: escapes of JSON and XML", r"\u0061&#x61;&amp;#97;"),
];

/// Service that answers every request with an empty 200.
#[derive(Clone)]
struct Answer;

impl Service for Answer {
    async fn call(&self, _: Request) -> Response {
        Response::new(200, "text/plain", "")
    }

    fn max_body(&self) -> usize {
        0
    }

    fn readiness(&self) -> Readiness {
        true.into()
    }
}

/// Sends the head in pieces of `piece` bytes, and reads until the host closes the connection.
async fn ask(head: String, piece: usize) {
    let server = Server::bind("127.0.0.1:0", Limits::default()).await.unwrap();
    let address = server.local_addr();
    let serving = tokio::spawn(server.serve(Answer, Random::system(), std::future::pending()));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let head = head + "connection: close\r\n\r\n";
    for piece in head.as_bytes().chunks(piece) {
        // The host may refuse the head before all of it is written.
        let _ = stream.write_all(piece).await;
        tokio::task::yield_now().await;
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.starts_with(b"HTTP/1.1 "));
    serving.abort();
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let heads = HEADS.iter().map(|(name, _)| *name);
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [shape, bytes] if shape.starts_with("mask") => {
            let (_, unit) = TEXTS.iter().find(|(name, _)| name == shape).unwrap();
            let bytes: usize = bytes.parse().unwrap();
            let text = unit.repeat(bytes.div_ceil(unit.len()));
            black_box(masked(text.as_bytes(), &[Secret::new(SECRET)]));
        }
        [shape, bytes] => {
            let (piece, name) = if *shape == TRICKLED { (64, HEADS[0].0) } else { (usize::MAX, *shape) };
            let (_, head) = HEADS.iter().find(|(known, _)| *known == name).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(ask(head(bytes.parse().unwrap()), piece));
        }
        // `cargo bench` and `cargo test` pass flags.
        _ => heads.chain([TRICKLED]).chain(TEXTS.map(|(name, _)| name)).for_each(|name| println!("{name}")),
    }
}
