//! A server that follows a script over real sockets, and other code that the queue tests share.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookmq_shared::clock::{Clock, Random, Timestamp};
use hookmq_shared::context::Context;
use hookmq_shared::env::Env;
use hookmq_shared::message::Message;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// The server's reaction to a request that it has read.
#[derive(Clone)]
pub enum Step {
    /// An answer with status, header fields and body, on a connection that stays open.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// The end of the connection without an answer.
    Drop,
    /// A reset of the connection.
    Reset,
    /// Silence on an open connection.
    Hang,
    /// Text as the answer, then the end of the connection.
    Raw(String),
    /// Bytes as the answer, which need not be text, then the end of the connection.
    Bytes(Vec<u8>),
    /// An answer with this body, sent byte by byte with this pause.
    Slow(String, Duration),
    /// An answer with this body after this delay.
    Late(String, Duration),
}

/// Builds an answer with status 200 and this body.
pub fn ok(body: &str) -> Step {
    Step::Answer(200, Vec::new(), body.to_owned())
}

/// Builds an answer with this status and body.
pub fn status(status: u16, body: &str) -> Step {
    Step::Answer(status, Vec::new(), body.to_owned())
}

/// Builds an answer with these bytes as head and body; its length is added to the head.
pub fn answer(status: u16, fields: &str, body: &[u8]) -> Step {
    let head = format!("HTTP/1.1 {status} X\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
    Step::Bytes([head.as_bytes(), body].concat())
}

/// A request as the server received it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Number of the connection, counted from 0.
    pub connection: usize,
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A server with a script, which stops with the test's runtime.
pub struct Server {
    pub url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    script: Arc<Mutex<VecDeque<Step>>>,
    connections: Arc<AtomicUsize>,
}

impl Server {
    pub async fn start(script: impl IntoIterator<Item = Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            seen: Arc::default(),
            script: Arc::new(Mutex::new(script.into_iter().collect())),
            connections: Arc::default(),
        };
        let (seen, script, connections) =
            (server.seen.clone(), server.script.clone(), server.connections.clone());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let connection = connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(connection, stream, seen.clone(), script.clone()));
            }
        });
        server
    }

    /// Appends steps to the script.
    pub fn then(&self, steps: impl IntoIterator<Item = Step>) {
        self.script.lock().unwrap().extend(steps);
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn serve(
    connection: usize,
    stream: TcpStream,
    seen: Arc<Mutex<Vec<Seen>>>,
    script: Arc<Mutex<VecDeque<Step>>>,
) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read_request(connection, &mut stream).await {
        seen.lock().unwrap().push(request);
        let step = script.lock().unwrap().pop_front().unwrap_or_else(|| status(599, "the script is over"));
        match step {
            Step::Answer(status, headers, body) => {
                let headers: Vec<String> = headers.iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect();
                let headers = headers.concat();
                let head = format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
                stream.write_all((head + &body).as_bytes()).await.unwrap();
            }
            Step::Drop => return,
            Step::Reset => {
                stream.get_ref().set_zero_linger().unwrap();
                return;
            }
            Step::Hang => std::future::pending().await,
            Step::Raw(bytes) => {
                stream.write_all(bytes.as_bytes()).await.unwrap();
                return;
            }
            Step::Bytes(bytes) => {
                stream.write_all(&bytes).await.unwrap();
                return;
            }
            Step::Late(body, after) => {
                tokio::time::sleep(after).await;
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                stream.write_all((head + &body).as_bytes()).await.unwrap();
            }
            Step::Slow(body, apart) => {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                stream.write_all(head.as_bytes()).await.unwrap();
                for byte in body.bytes() {
                    tokio::time::sleep(apart).await;
                    if stream.write_all(&[byte]).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

async fn read_request(connection: usize, stream: &mut BufReader<TcpStream>) -> Option<Seen> {
    let mut next = async || {
        let mut line = String::new();
        let read = stream.read_line(&mut line).await.ok()?;
        (read > 0).then(|| line.trim_end().to_owned())
    };
    let line = next().await?;
    let mut headers = Vec::new();
    loop {
        let header = next().await?;
        let Some((name, value)) = header.split_once(": ") else { break };
        headers.push((name.to_owned(), value.to_owned()));
    }
    let mut seen = Seen { connection, line, headers, body: String::new() };
    let mut body = vec![0; seen.header("content-length").unwrap_or("0").parse().ok()?];
    stream.read_exact(&mut body).await.ok()?;
    seen.body = String::from_utf8(body).unwrap();
    Some(seen)
}

/// A wall clock that a test moves, from 2023-11-14T22:13:20Z.
#[derive(Clone)]
pub struct Wall(Arc<AtomicI64>);

impl Wall {
    pub fn new() -> Self {
        Self(Arc::new(AtomicI64::new(1_700_000_000_000)))
    }

    pub fn advance(&self, seconds: i64) {
        self.0.fetch_add(1000 * seconds, Ordering::Relaxed);
    }

    /// Returns a clock that advances by a second with each reading.
    pub fn ticking(&self) -> Clock {
        let wall = self.clone();
        Clock::from_fn(move || Timestamp::from_unix_millis(wall.0.fetch_add(1000, Ordering::Relaxed)))
    }

    pub fn clock(&self) -> Clock {
        let wall = self.clone();
        Clock::from_fn(move || Timestamp::from_unix_millis(wall.0.load(Ordering::Relaxed)))
    }
}

/// Builds a context with these variables; its jitter is the same in each run.
pub fn context(vars: &[(&str, &str)], clock: Clock) -> Context {
    Context { env: Env::of(vars.iter().copied()), clock, random: Random::from_fn(|| u64::MAX - 1) }
}

pub fn seconds(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds)
}

pub fn message(topic: &str, text: &str) -> Message {
    Message {
        id: "evt_1".to_owned(),
        topic: topic.to_owned(),
        text: text.to_owned(),
        key: None,
        tag: None,
        properties: Vec::new(),
    }
}
