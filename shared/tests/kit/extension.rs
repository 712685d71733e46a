//! The HTTP interface of the AWS Parameters and Secrets Lambda extension, for tests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

pub const TOKEN: &str = "a-session-token/of+the=function";

/// Content of a secret, or a failure of its reading.
#[derive(Clone, Debug)]
pub enum Held {
    Text(String),
    Binary(Vec<u8>),
    /// Any other answer, such as an error.
    Answer(u16, String),
    /// Silence on an open connection.
    Silence,
}

#[derive(Default)]
struct State {
    /// Contents by store and name.
    held: BTreeMap<(&'static str, String), Held>,
    /// Number of requests that are still answered as by an extension that is starting.
    starting: usize,
    /// Targets of all requests, in order.
    seen: Vec<String>,
}

/// An extension, which stops with the test's runtime.
pub struct Extension {
    pub port: u16,
    state: Arc<Mutex<State>>,
}

impl Extension {
    pub async fn start() -> Self {
        Self::listen(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub fn listen(listener: TcpListener) -> Self {
        let port = listener.local_addr().unwrap().port();
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { port, state }
    }

    /// Returns the variables of a function that has the extension as a layer.
    pub fn vars(&self) -> [(&'static str, String); 2] {
        [
            ("AWS_SESSION_TOKEN", TOKEN.to_owned()),
            ("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", self.port.to_string()),
        ]
    }

    pub fn secret(&self, id: &str, held: Held) {
        self.state.lock().unwrap().held.insert(("secret", id.to_owned()), held);
    }

    pub fn parameter(&self, name: &str, value: &str) {
        let held = Held::Text(value.to_owned());
        self.state.lock().unwrap().held.insert(("parameter", name.to_owned()), held);
    }

    /// Answers the next requests as an extension that is still starting.
    pub fn starts_for(&self, requests: usize) {
        self.state.lock().unwrap().starting = requests;
    }

    pub fn seen(&self) -> Vec<String> {
        self.state.lock().unwrap().seen.clone()
    }
}

async fn serve(stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let (status, body) = answer(&head, &mut state.lock().unwrap());
        if status == 0 {
            std::future::pending::<()>().await;
        }
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).await.unwrap();
    }
}

fn answer(head: &str, state: &mut State) -> (u16, String) {
    let target = head.strip_prefix("GET ").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    state.seen.push(target.to_owned());
    if state.starting > 0 {
        state.starting -= 1;
        return (400, "not ready to serve traffic, please wait".to_owned());
    }
    let token = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("X-Aws-Parameters-Secrets-Token").then_some(value)
    });
    if token != Some(TOKEN) {
        return (401, "an unexpected error occurred while executing request".to_owned());
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let value = |name| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let (_, value) = pairs.find(|(key, _)| *key == name)?;
        Some(percent_decode_str(value).decode_utf8().unwrap().into_owned())
    };
    let key = match path {
        "/secretsmanager/get" => value("secretId").map(|id| ("secret", id)),
        "/systemsmanager/parameters/get" if value("withDecryption").as_deref() == Some("true") => {
            value("name").map(|name| ("parameter", name))
        }
        _ => return (404, String::new()),
    };
    match key.as_ref().and_then(|key| Some((key.0, state.held.get(key)?.clone()))) {
        Some((_, Held::Answer(status, body))) => (status, body),
        Some((_, Held::Silence)) => (0, String::new()),
        Some(("parameter", Held::Text(value))) => {
            let parameter = json!({ "Name": key.unwrap().1, "Type": "SecureString", "Value": value });
            (200, json!({ "Parameter": parameter, "ResultMetadata": {} }).to_string())
        }
        Some((_, Held::Text(text))) => {
            (200, json!({ "Name": key.unwrap().1, "SecretString": text, "SecretBinary": null }).to_string())
        }
        Some((_, Held::Binary(bytes))) => {
            (200, json!({ "Name": key.unwrap().1, "SecretBinary": STANDARD.encode(bytes) }).to_string())
        }
        None => (400, "an unexpected error occurred while executing request".to_owned()),
    }
}
