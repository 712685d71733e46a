//! Tests of whole processes: `serve` under a Lambda runtime API, and as an HTTP server that is told to stop.
//!
//! The Lambda runtime reads the process's environment, so this binary starts itself again with the
//! environment of the test; the new process runs [`child`]. It is apart from the other tests of hosts because
//! of that, and because one test raises the limit of descriptors.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod kit;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use hookmq_shared::context::Context;
use hookmq_shared::host::{main, redrive, run, serve};
use hookmq_shared::queue::Vendor;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::kit::host::{Double, exchange};

#[tokio::test]
#[ignore = "started by the other tests, in a process of its own"]
async fn child() {
    tracing_subscriber::fmt().json().init();
    serve(Double::new(1024), &Context::system()).await.unwrap();
}

/// The function runs as it is deployed.
#[test]
#[ignore = "started by the other tests, in a process of its own"]
fn function() {
    assert_eq!(main(run(Vendor::Tdmq)), ExitCode::SUCCESS);
}

/// The redriver runs as it is deployed.
#[test]
#[ignore = "started by the other tests, in a process of its own"]
fn redriver() {
    assert_eq!(main(redrive()), ExitCode::SUCCESS);
}

fn start_child(env: &[(&str, String)]) -> Child {
    start("child", env)
}

fn start(entry: &str, env: &[(&str, String)]) -> Child {
    begin(Command::new(std::env::current_exe().unwrap()), entry, env)
}

fn begin(mut program: Command, entry: &str, env: &[(&str, String)]) -> Child {
    program
        .args(["--exact", entry, "--ignored", "--nocapture"])
        .env_remove("AWS_LAMBDA_RUNTIME_API")
        .envs(env.iter().map(|(name, value)| (name, value)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// A Lambda runtime API, which hands out events in order and passes on the function's reports.
struct RuntimeApi {
    events: Mutex<VecDeque<Bytes>>,
    reports: mpsc::UnboundedSender<(String, Value)>,
}

impl RuntimeApi {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        let Some(call) = path.strip_prefix("/2018-06-01/runtime/invocation/") else { panic!("{path}") };
        if call == "next" {
            let event = self.events.lock().unwrap().pop_front();
            // Without an event the call stays open, as on the platform.
            let Some(event) = event else { return std::future::pending().await };
            return Response::builder()
                .header("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
                .header(
                    "lambda-runtime-deadline-ms",
                    (Context::system().clock.now().unix_millis() + 10_000).to_string(),
                )
                .body(Full::from(event))
                .unwrap();
        }
        let kind = call.rsplit('/').next().unwrap().to_owned();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        self.reports.send((kind, serde_json::from_slice(&body).unwrap())).unwrap();
        Response::builder().status(StatusCode::ACCEPTED).body(Full::default()).unwrap()
    }
}

/// Starts the function under a runtime API with these events.
async fn start_function(
    events: impl IntoIterator<Item = impl Into<Bytes>>,
    concurrency: usize,
) -> (Child, mpsc::UnboundedReceiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (reports, received) = mpsc::unbounded_channel();
    let api =
        Arc::new(RuntimeApi { events: Mutex::new(events.into_iter().map(Into::into).collect()), reports });
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let api = Arc::clone(&api);
            let answer = service_fn(move |request| {
                let api = Arc::clone(&api);
                async move { Ok::<_, Infallible>(api.answer(request).await) }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
        }
    });
    let child = start_child(&[
        ("AWS_LAMBDA_RUNTIME_API", address.to_string()),
        ("AWS_LAMBDA_FUNCTION_NAME", "tdmq".to_owned()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128".to_owned()),
        ("AWS_LAMBDA_MAX_CONCURRENCY", concurrency.to_string()),
    ]);
    (child, received)
}

fn http_api(path: &str, body: &str) -> String {
    json!({"version": "2.0", "rawPath": path, "requestContext": {"http": {"method": "POST"}}, "body": body})
        .to_string()
}

/// Kills the process and returns its log.
fn log_of(mut child: Child) -> String {
    child.kill().unwrap();
    let mut log = String::new();
    child.stdout.take().unwrap().read_to_string(&mut log).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    child.wait().unwrap();
    log
}

#[tokio::test]
async fn a_function_answers_every_event() {
    let mut latin_1 = http_api("/latin-1", "private").into_bytes();
    let at = latin_1.windows(7).position(|window| window == b"private").unwrap();
    latin_1[at] = 0xee;
    let events = [
        http_api("/one", "{}"),
        String::new(),
        r#"{"httpMethod":"POST","path":"/a","body":"private, trunc"#.to_owned(),
        r#"{"httpMethod":"POST","path":"/a","body":["private"]}"#.to_owned(),
        r#"{"Records":[{"eventSource":"aws:sqs","body":"private"}]}"#.to_owned(),
        "{}".to_owned(),
        http_api("/panic", "private"),
        r#"{"httpMethod":"POST","path":"/a","body":"private","isBase64Encoded":true}"#.to_owned(),
        http_api("/last", &"x".repeat(6 << 20)),
    ]
    .map(|event| if event.is_empty() { latin_1.clone() } else { event.into_bytes() });
    let (child, mut reports) = start_function(events, 1).await;
    let mut next = async || reports.recv().await.unwrap();

    let (kind, answer) = next().await;
    assert_eq!((kind.as_str(), &answer["statusCode"]), ("response", &json!(200)));
    assert_eq!(answer["body"], r#"{"method":"POST","path":"/one","bytes":2,"deadline":true}"#);
    // All of these may come from a stranger, so they must not raise the alarm for function errors.
    for _ in ["a byte that is not UTF-8", "an end that is missing", "a body that is a list"] {
        let (kind, answer) = next().await;
        assert_eq!((kind.as_str(), &answer["statusCode"]), ("response", &json!(400)));
        assert_eq!(answer["headers"]["content-type"], "application/problem+json");
    }
    let (kind, error) = next().await;
    assert_eq!((kind.as_str(), &error["errorType"]), ("error", &json!("Hookmq.UnsupportedEvent")));
    assert!(!error["errorMessage"].as_str().unwrap().contains("private"), "{error}");
    let (kind, answer) = next().await;
    assert_eq!((kind.as_str(), &answer["statusCode"]), ("response", &json!(200)), "a ping");
    for status in [503, 400] {
        let (kind, answer) = next().await;
        assert_eq!((kind.as_str(), &answer["statusCode"]), ("response", &json!(status)));
        assert_eq!(answer["headers"]["content-type"], "application/problem+json");
    }
    let (kind, answer) = next().await;
    assert_eq!((kind.as_str(), &answer["statusCode"]), ("response", &json!(200)));

    let log = log_of(child);
    let errors = log.lines().filter(|line| line.contains(r#""level":"ERROR""#)).count();
    // The function error logs one line, and the panic two: its location, then its request.
    assert_eq!(errors, 3, "{log}");
    for told in ["kit/host.rs:", "the event's body is not text", "a batch of records", "nothing to do"] {
        assert!(log.contains(told), "{told} in {log}");
    }
    assert!(!log.contains("private"), "{log}");
}

#[tokio::test]
async fn invocations_run_side_by_side_where_the_platform_allows_it() {
    // The first invocation never ends; the second is answered all the same.
    let (child, mut reports) = start_function([http_api("/wait", ""), http_api("/two", "")], 2).await;
    let (_, answer) = reports.recv().await.unwrap();
    assert!(answer["body"].as_str().unwrap().contains("/two"), "{answer}");
    log_of(child);
}

#[cfg(unix)]
#[tokio::test]
async fn a_server_says_where_it_listens_and_stops_when_told() {
    for (signal, variable, value) in [
        ("-TERM", "LISTEN", "127.0.0.1:0"),
        ("-INT", "PORT", "0"),
        ("-INT", "LISTEN", ":0"),
        ("-INT", "LISTEN", "0"),
    ] {
        let mut child = start_child(&[(variable, value.to_owned())]);
        let mut log = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let listening = log.find(|line| line.contains("listening")).unwrap();
        let line: Value = serde_json::from_str(&listening).unwrap();
        let address = line["fields"]["address"].as_str().unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        if value != "127.0.0.1:0" {
            let port = address.rsplit_once(':').unwrap().1;
            stream = TcpStream::connect(format!("127.0.0.1:{port}")).await.unwrap();
        }
        assert_eq!(exchange(&mut stream, b"GET /a HTTP/1.1\r\n\r\n").await.status, 200);
        let told = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(told.success());
        let status = tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
        assert!(status.success(), "{signal}: {status}");
    }
}

/// Starts a function on HTTP; its log is not read yet.
async fn start_server() -> (Child, String) {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let hooks = "[hooks.a]\nsource = \"none\"\ntopic = \"a/b/c\"\n".to_owned();
    let child = start("function", &[("LISTEN", free.clone()), ("HOOKS", hooks)]);
    while TcpStream::connect(&free).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (child, free)
}

/// A process with 1024 descriptors still writes to its store, with the maximum of connections to queues that
/// never answer, and more senders than it has room for.
#[cfg(unix)]
#[tokio::test]
async fn a_thousand_descriptors_are_enough_for_all_that_is_kept() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let (spill, free) = (tempfile::tempdir().unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let listen = free.local_addr().unwrap().to_string();
    drop(free);
    let queues =
        [TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap()];
    let target = |(n, queue): (usize, &TcpListener)| {
        let endpoint = queue.local_addr().unwrap();
        format!(
            "[targets.t{n}]\nvendor = \"tdmq\"\nregion = \"ap-guangzhou\"\nendpoint = \"http://{endpoint}\"\n\
             secret_id = \"plain:id\"\nsecret_key = \"plain:key\"\n"
        )
    };
    let hook =
        "[hooks.a]\nsource = \"none\"\ntopic = \"a/b/c\"\ndeadline = \"4s\"\ntargets = [\"t0\", \"t1\"]\n";
    let hooks = queues.iter().enumerate().map(target).chain([hook.to_owned()]).collect::<String>();
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 1024 && exec \"$0\" \"$@\""]).arg(std::env::current_exe().unwrap());
    let spill = format!("file://{}", spill.path().display());
    let child =
        begin(limited, "function", &[("LISTEN", listen.clone()), ("HOOKS", hooks), ("SPILL_URL", spill)]);
    while TcpStream::connect(&listen).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut idle = Vec::new();
    for _ in 0..700 {
        let mut stream = TcpStream::connect(&listen).await.unwrap();
        assert_eq!(exchange(&mut stream, b"GET /_/health HTTP/1.1\r\n\r\n").await.status, 200);
        idle.push(stream);
    }
    let delivery = async |_| {
        let mut stream = TcpStream::connect(&listen).await.unwrap();
        exchange(&mut stream, b"POST /a HTTP/1.1\r\nContent-Length: 1\r\n\r\nx").await.status
    };
    let answers = join_all((0..250).map(delivery)).await;
    let log = log_of(child);
    assert!(answers.iter().all(|status| *status == 200), "{answers:?} {log}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_log_that_nobody_reads_keeps_nobody() {
    let (child, address) = start_server().await;
    let mut stream = TcpStream::connect(&address).await.unwrap();
    // These are far more lines than a pipe holds.
    for n in 0..1000 {
        let answer = exchange(&mut stream, b"GET /unknown HTTP/1.1\r\n\r\n").await;
        assert_eq!(answer.status, 404, "{n}");
    }
    assert_eq!(exchange(&mut stream, b"GET /_/health HTTP/1.1\r\n\r\n").await.status, 200);
    let mut child = child;
    child.kill().unwrap();
    child.wait().unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn what_http_refuses_is_counted_and_named_once_a_minute() {
    let (child, address) = start_server().await;
    let endless = format!("GET /a HTTP/1.1\r\nX-A: {}", "x".repeat(130 * 1024));
    let kinds: [(&str, &[u8], &str); 6] = [
        ("tls", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "looks like TLS"),
        ("http2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "looks like HTTP/2"),
        ("proxy_v1", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\n\r\n", "looks like the PROXY"),
        ("proxy_v2", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c", "looks like the PROXY"),
        ("malformed", b"POST /a b HTTP/1.1\r\n\r\n", "not an HTTP/1.1 request"),
        ("head_too_large", endless.as_bytes(), "too large"),
    ];
    for _ in 0..2 {
        for (kind, bytes, _) in &kinds {
            let mut stream = TcpStream::connect(&address).await.unwrap();
            stream.write_all(bytes).await.unwrap();
            let mut answer = Vec::new();
            assert!(stream.read_to_end(&mut answer).await.is_ok(), "{kind} is not reset");
        }
    }
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let metrics = exchange(&mut stream, b"GET /_/metrics HTTP/1.1\r\n\r\n").await.body;
    let log = log_of(child);
    for (kind, _, hint) in kinds {
        let sample = format!("hookmq_not_served_total{{kind=\"{kind}\"}} 2\n");
        assert!(metrics.contains(&sample), "{sample} in {metrics}");
        let lines = log.lines().filter(|line| line.contains(&format!("\"kind\":\"{kind}\"")));
        assert_eq!(lines.filter(|line| line.contains(hint)).count(), 1, "{kind} in {log}");
    }
    for name in ["process_start_time_seconds", "process_open_fds", "hookmq_limit{limit=\"connections\"}"] {
        assert!(metrics.contains(&format!("\n{name} ")), "{name} in {metrics}");
    }
}

/// A refusal names what an operator needs to find the wrong address, the sender, or the limit.
#[cfg(unix)]
#[tokio::test]
async fn a_refusal_says_for_what_and_to_whom() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let hooks = "[hooks.a]\nsource = \"github\"\nsecrets = [\"env:OWN\"]\ntopic = \"a/b/c\"\nmax_body = 5\n";
    let child = start(
        "function",
        &[
            ("LISTEN", free.clone()),
            ("HOOKS", hooks.to_owned()),
            ("OWN", "a-secret-of-my-own-0123456789".to_owned()),
            ("DRAIN_AFTER", "0".to_owned()),
        ],
    );
    let mut stream = loop {
        match TcpStream::connect(&free).await {
            Ok(stream) => break stream,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    let request = |line: &str, length: usize| {
        format!("{line} HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{}", "x".repeat(length))
    };
    let cases = [
        (
            "POST /b?token=private",
            1,
            404,
            r#""status":404,"method":"POST","path":"/b","bytes":1,"source_ip":"127.0.0.1""#,
        ),
        ("PUT /a", 0, 405, r#""status":405,"method":"PUT","path":"/a","bytes":0,"source_ip":"127.0.0.1""#),
        ("POST /a/", 2, 401, r#""status":401,"path":"/a","bytes":2,"source_ip":"127.0.0.1""#),
        (
            "POST //a",
            7,
            413,
            r#""status":413,"method":"POST","path":"//a","bytes":7,"limit":5,"source_ip":"127.0.0.1""#,
        ),
    ];
    for (line, length, status, _) in cases {
        let answer = exchange(&mut stream, request(line, length).as_bytes()).await;
        assert_eq!(answer.status, status, "{line}");
        if answer.header("connection") == Some("close") {
            stream = TcpStream::connect(&free).await.unwrap();
        }
    }
    for line in ["GET /", "HEAD /", "GET /_/health"] {
        let mut stream = TcpStream::connect(&free).await.unwrap();
        stream.write_all(format!("{line} HTTP/1.1\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{line}: {answer}");
    }
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let log = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    for (line, _, _, told) in cases {
        assert!(log.contains(told), "{line}: {told} in {log}");
    }
    assert!(!log.contains("private"), "{log}");
    assert_eq!(log.matches(r#""message":"delivery""#).count(), cases.len(), "a probe writes no line: {log}");
}

/// A process ends although the thread that reads a secret's file hangs and cannot be cancelled.
#[cfg(unix)]
#[tokio::test]
async fn a_file_that_hangs_keeps_no_process_from_ending() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "a-secret-of-enough-bytes").unwrap();
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let hooks = format!(
        "[hooks.a]\nsource = \"bearer\"\nsecrets = [\"file:{}\"]\ntopic = \"a/b/c\"\ndeadline = \"500ms\"\n",
        secret.display()
    );
    let [after, within] = [("DRAIN_AFTER", "0".to_owned()), ("DRAIN_WITHIN", "1".to_owned())];
    let mut child = start("function", &[("LISTEN", free.clone()), ("HOOKS", hooks), after, within]);
    while TcpStream::connect(&free).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    std::fs::remove_file(&secret).unwrap();
    assert!(Command::new("mkfifo").arg(&secret).status().unwrap().success());
    let mut stream = TcpStream::connect(&free).await.unwrap();
    let forged = b"POST /a HTTP/1.1\r\nAuthorization: Bearer forged\r\nContent-Length: 1\r\n\r\nx";
    assert_eq!(exchange(&mut stream, forged).await.status, 503);
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    // This is far longer than the process may take; a process that waits for the file would never end.
    let mut ended = false;
    for _ in 0..600 {
        ended = child.try_wait().unwrap().is_some();
        if ended {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let log = log_of(child);
    assert!(ended, "the process is still there: {log}");
    let listening = log.lines().find(|line| line.contains(r#""message":"listening""#)).unwrap();
    assert!(listening.contains(r#""hooks":1,"file":"HOOKS""#), "{listening}");
}

/// A process that cannot start logs the reason in one line, in words.
#[tokio::test]
async fn a_process_that_cannot_start_says_what_to_write() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let store = tempfile::tempdir().unwrap();
    let spill = ("SPILL_URL", format!("file://{}", store.path().display()));
    let of = |variable: &'static str, value: &str| vec![(variable, value.to_owned())];
    let with_store = |variable: &'static str, value: &str| vec![spill.clone(), (variable, value.to_owned())];
    for (entry, variables, told) in [
        ("function", of("LISTEN", ":http"), "LISTEN has no port from 0 to 65535 at its end: write :8080"),
        ("function", of("LISTEN", &address), "another process has the port"),
        ("function", of("PORT", "99999"), "PORT is not a port: write a number from 0 to 65535"),
        ("redriver", of("SPILL_URL", ""), "SPILL_URL is not set"),
        ("redriver", of("SPILL_URL", "gs://bucket"), "SPILL_URL "),
        ("redriver", with_store("REDRIVE_EVERY", "abc"), "REDRIVE_EVERY is not a number of seconds"),
        ("redriver", with_store("REDRIVE_SHARD", "5/4"), "REDRIVE_SHARD does not name a shard"),
    ] {
        let done = start(entry, &variables).wait_with_output().unwrap();
        let log = String::from_utf8(done.stdout).unwrap();
        assert!(!done.status.success(), "{variables:?}: {log}");
        let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let ends = lines.iter().find(|line| line["message"] == "the process ends").unwrap();
        assert_eq!(ends["level"], "ERROR", "{ends}");
        assert!(ends["error"].as_str().unwrap().contains(told), "{variables:?}: {ends}");
    }
}
