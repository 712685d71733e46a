//! Replays of the files in `host/` on a whole function, with the emulator behind it: `host/expect.json` says
//! what must become of each.
//!
//! Each case is a process of its own: this binary starts itself again with the environment of the case.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../kit/mod.rs"]
mod kit;
mod web;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use hookmq_emulator::{Config, Emulator, environment};
use hookmq_shared::context::Context;
use hookmq_shared::host::{main, run};
use hookmq_shared::queue::Vendor;
use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::kit::server::{Server, Step, answer, ok};

/// Case of a bucket's answer, which the test `a_condition_that_is_refused_is_left_out` of the stores reads.
const ELSEWHERE: &str = "s3/if-none-match-400.xml";

/// Upper bound on the time of one case, for a test that would wait for ever.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
struct Cases {
    secret: String,
    hooks: String,
    #[serde(rename = "cases")]
    all: BTreeMap<String, Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    expect: OneOrMany,
    #[expect(dead_code, reason = "for people")]
    why: String,
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// Runtime, if it is not the folder's.
    runtime: Option<String>,
    /// True if a line of the log at INFO or above must tell of the request.
    #[serde(default)]
    log: bool,
    #[serde(default, rename = "answer_status")]
    _answer_status: Option<u16>,
    #[serde(default, rename = "stored")]
    _stored: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(Outcome),
    Many(Vec<Outcome>),
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Outcome {
    /// Status of the answer, or its class as `4xx`.
    status: Option<Value>,
    answered: bool,
    function_error: Option<String>,
    message: bool,
    text: Option<String>,
    /// Map of the answer that has its header fields.
    multi: Option<bool>,
}

/// Behaviour of a function in one case.
#[derive(Debug)]
struct Seen {
    /// Answer of the function, or the reported error.
    answer: Result<Value, String>,
    texts: Vec<String>,
    log: String,
}

impl Outcome {
    fn is(&self, seen: &Seen) -> bool {
        let messages = usize::from(self.message);
        let is_answer = match (&seen.answer, &self.function_error) {
            (Err(told), Some(error)) => told == error,
            (Ok(answer), None) => {
                let fields = answer["multiValueHeaders"].as_object().is_some_and(|fields| !fields.is_empty());
                let told = &answer["statusCode"];
                let class = told.as_u64().map(|status| format!("{}xx", status / 100));
                let is = |status: &Value| status == told || status.as_str() == class.as_deref();
                let status = self.status.as_ref().is_none_or(is);
                (self.answered || self.status.is_some())
                    && status
                    && self.multi.is_none_or(|multi| multi == fields)
            }
            _ => false,
        };
        let has = |text: &String| seen.texts.iter().any(|stored| holds(stored, text));
        is_answer && seen.texts.len() == messages && self.text.as_ref().is_none_or(has)
    }
}

/// Returns true if a message holds the text, as it is or as a string of its JSON.
fn holds(message: &str, text: &str) -> bool {
    let quoted = serde_json::to_string(text).unwrap();
    message.contains(text) || message.contains(quoted.trim_matches('"'))
}

#[test]
#[ignore = "started by the other test, in a process of its own"]
fn tdmq() {
    assert_eq!(main(run(Vendor::Tdmq)), ExitCode::SUCCESS);
}

#[test]
#[ignore = "started by the other test, in a process of its own"]
fn rocketmq() {
    assert_eq!(main(run(Vendor::Rocketmq)), ExitCode::SUCCESS);
}

/// A function in a process of its own, which ends with this value.
struct Function(Child);

impl Function {
    fn start(entry: &str, env: &[(String, String)]) -> Self {
        let mut program = Command::new(std::env::current_exe().unwrap());
        let program = program.args(["--exact", entry, "--ignored", "--nocapture"]);
        let program = program.env_remove("AWS_LAMBDA_RUNTIME_API").envs(env.iter().cloned());
        Self(program.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Ends the process, in its own time if it is a server, and returns its log.
    fn log(mut self, is_server: bool) -> String {
        use std::io::Read as _;
        if is_server {
            let told = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap();
            assert!(told.success());
        } else {
            self.0.kill().unwrap();
        }
        let mut log = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut log).unwrap();
        log
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Hands an event to a function through the runtime interface of a platform.
async fn invoke(
    platform: &str,
    event: &[u8],
    mut env: Vec<(String, String)>,
) -> (Result<Value, String>, String) {
    let millis = Context::system().clock.now().unix_millis() + 30_000;
    let fields = format!(
        "lambda-runtime-aws-request-id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\n\
         lambda-runtime-deadline-ms: {millis}\r\nrequest_id: r-1\r\ntime_limit_in_ms: 30000\r\n\
         X-Cff-Request-Id: a31d3d70-4152-4142-92fa-8b2cade9b453\r\nConnection: close\r\n"
    );
    let next = answer(200, &fields, event);
    let script = if platform == "scf" { vec![ok(""), next, ok("")] } else { vec![next, ok("")] };
    let server = Server::start(script.into_iter().chain([Step::Hang])).await;
    let address = server.url.strip_prefix("http://").unwrap();
    let (host, port) = address.split_once(':').unwrap();
    let variables = match platform {
        "scf" => vec![("SCF_RUNTIME_API", host), ("SCF_RUNTIME_API_PORT", port)],
        "fg" => vec![("RUNTIME_API_ADDR", address), ("RUNTIME_TIMEOUT", "30")],
        _ => vec![
            ("AWS_LAMBDA_RUNTIME_API", address),
            ("AWS_LAMBDA_FUNCTION_NAME", "tdmq"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
        ],
    };
    env.extend(variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
    let function = Function::start(if platform == "fg" { "rocketmq" } else { "tdmq" }, &env);
    let report = async {
        loop {
            let seen = server.seen();
            let report =
                seen.iter().find(|seen| seen.line.starts_with("POST") && !seen.line.contains("/init/"));
            if let Some(report) = report {
                return (report.line.contains("/error"), report.json());
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    let Ok((is_error, report)) = timeout(PATIENCE, report).await else { panic!("{}", function.log(false)) };
    let log = function.log(false);
    if is_error { (Err(report["errorType"].as_str().unwrap().to_owned()), log) } else { (Ok(report), log) }
}

/// Sends bytes to the HTTP server; the answer is in the form of a function's.
async fn send(bytes: &[u8], mut env: Vec<(String, String)>) -> (Result<Value, String>, String) {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    for (name, value) in [("LISTEN", free.as_str()), ("DRAIN_AFTER", "0"), ("DRAIN_WITHIN", "1")] {
        env.push((name.to_owned(), value.to_owned()));
    }
    let function = Function::start("tdmq", &env);
    let exchange = async {
        let mut stream = loop {
            match TcpStream::connect(&free).await {
                Ok(stream) => break stream,
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        };
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    };
    let Ok(answer) = timeout(PATIENCE, exchange).await else { panic!("{}", function.log(false)) };
    let status = answer.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok());
    (Ok(serde_json::json!({ "statusCode": status })), function.log(true))
}

#[tokio::test]
async fn each_file_of_a_host_has_its_outcome() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cases/host");
    let cases = fs::read_to_string(folder.join("expect.json")).unwrap();
    let Cases { secret, hooks, all: cases } = serde_json::from_str(&cases).unwrap();
    let mut wrong = Vec::new();
    for (name, case) in cases.iter().filter(|(name, _)| *name != ELSEWHERE) {
        let Ok(file) = fs::read(folder.join(name)) else { panic!("{name} is not there") };
        let emulator = Emulator::start(([127, 0, 0, 1], 0).into(), Config::default()).await.unwrap();
        let mut env: Vec<(String, String)> = environment(&emulator.url())
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .chain(case.env.iter().map(|(name, value)| (name.clone(), value.clone())))
            .collect();
        env.extend([("GITHUB_SECRET".to_owned(), secret.clone()), ("HOOKS".to_owned(), hooks.clone())]);
        let folder = name.split_once('/').unwrap().0;
        let (answer, log) = match case.runtime.as_deref().unwrap_or(folder) {
            "http" => send(&file, env).await,
            platform => invoke(platform, &file, env).await,
        };
        let messages = emulator.messages();
        let texts =
            messages.iter().map(|stored| format!("{} {:?}", stored.text, stored.properties)).collect();
        let seen = Seen { answer, texts, log };
        let outcomes = match &case.expect {
            OneOrMany::One(outcome) => std::slice::from_ref(outcome),
            OneOrMany::Many(outcomes) => outcomes,
        };
        let is_told = |line: &str| line.contains("refused") || line.contains("not served");
        if !outcomes.iter().any(|outcome| outcome.is(&seen)) || case.log && !seen.log.lines().any(is_told) {
            wrong.push(format!("{name}: {outcomes:?}, but {seen:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}
