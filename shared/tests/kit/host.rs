//! A service that records the requests of a host, and raw HTTP to talk to the host.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use hookmq_shared::env::Env;
use hookmq_shared::http::{Request, Response};
use hookmq_shared::metrics::Metrics;
use hookmq_shared::readiness::Readiness;
use hookmq_shared::service::Service;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;

#[derive(Clone)]
pub(crate) struct Double(Arc<State>);

pub(crate) struct State {
    /// Requests that were served, in order.
    pub(crate) requests: Mutex<Vec<Request>>,
    /// `HUAWEICLOUD_SDK_…` AK, SK and token for each request, beyond the environment.
    pub(crate) lent: Mutex<Vec<[Option<String>; 3]>>,
    /// Signal that a request to `/wait` has arrived.
    pub(crate) waiting: Notify,
    /// Signal that lets a request to `/wait` continue.
    pub(crate) go: Notify,
    pub(crate) is_ready: AtomicBool,
    /// Number of requests for the metrics, and of refused requests.
    pub(crate) looks: AtomicUsize,
    pub(crate) max_body: usize,
}

impl Double {
    pub(crate) fn new(max_body: usize) -> Self {
        Self(Arc::new(State {
            requests: Mutex::default(),
            lent: Mutex::default(),
            waiting: Notify::new(),
            go: Notify::new(),
            is_ready: AtomicBool::new(true),
            looks: AtomicUsize::new(0),
            max_body,
        }))
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.0.requests.lock().unwrap().clone()
    }
}

impl std::ops::Deref for Double {
    type Target = State;
    fn deref(&self) -> &State {
        &self.0
    }
}

impl Service for Double {
    async fn call(&self, request: Request) -> Response {
        let path = request.path.clone();
        let text = format!(
            r#"{{"method":"{}","path":"{path}","bytes":{},"deadline":{}}}"#,
            request.method,
            request.body.len(),
            request.deadline.is_some()
        );
        let body = String::from_utf8_lossy(&request.body).into_owned();
        self.0.requests.lock().unwrap().push(request);
        let nothing = Env::of::<&str, &str>([]);
        let lent = ["AK", "SK", "SECURITY_TOKEN"].map(|name| nothing.get(&format!("HUAWEICLOUD_SDK_{name}")));
        self.0.lent.lock().unwrap().push(lent);
        match path.as_str() {
            "/panic" => panic!("the message quotes {body}"),
            "/wait" => {
                self.0.waiting.notify_one();
                self.0.go.notified().await;
            }
            _ => {}
        }
        let is_ack = path != "/handshake";
        Response { is_ack, ..Response::new(200, "application/json", text).with("x-double", "1") }
    }

    fn admits(&self, head: &Request, _: usize) -> Result<usize, Response> {
        self.0.looks.fetch_add(1, Ordering::Relaxed);
        let is_unknown = head.path.starts_with("/unknown");
        let unknown = || Response::new(404, "text/plain", "unknown").with("x-double", "1");
        if is_unknown { Err(unknown()) } else { Ok(self.0.max_body) }
    }

    fn max_body(&self) -> usize {
        self.0.max_body
    }

    fn metrics(&self) -> Option<&Metrics> {
        self.0.looks.fetch_add(1, Ordering::Relaxed);
        None
    }

    fn readiness(&self) -> Readiness {
        self.0.is_ready.load(Ordering::Relaxed).into()
    }
}

/// An answer as it was received.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (n, value) = line.split_once(": ")?;
            n.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// Returns the last part of a problem document's `type`.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(body["status"], self.status);
        assert!(body["instance"].as_str().unwrap().starts_with("urn:uuid:"));
        body["type"].as_str().unwrap().rsplit(':').next().unwrap().to_owned()
    }
}

/// Reads one answer; `None` at the end of the stream or on a reset.
pub(crate) async fn read_answer(stream: &mut TcpStream) -> Option<Answer> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut answer = Answer { status, head, body: String::new() };
    let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    answer.body = String::from_utf8(body).unwrap();
    Some(answer)
}

/// Sends `bytes` and reads one answer.
pub(crate) async fn exchange(stream: &mut TcpStream, bytes: &[u8]) -> Answer {
    stream.write_all(bytes).await.unwrap();
    read_answer(stream).await.expect("an answer")
}
