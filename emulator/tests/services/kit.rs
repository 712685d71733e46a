//! A client for these tests, which builds, signs and sends requests byte by byte.

use std::{io, sync::Arc, time::Duration, time::UNIX_EPOCH};

use hmac::{Hmac, Mac};
use hookmq_emulator::{Config, Emulator, sample};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use time::{OffsetDateTime, macros::format_description};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The emulator's time in these tests: 2026-11-22T12:33:55Z, in Unix seconds.
pub(crate) const NOW: i64 = 1_795_350_835;
pub(crate) const TDMQ_TOPIC: &str = "pulsar-abc/ns/t";
pub(crate) const DMS_TOPIC: &str = "test-001";

/// Returns a configuration with a clock that stands still at [`NOW`].
pub(crate) fn config() -> Config {
    let now = UNIX_EPOCH + Duration::from_secs(NOW.unsigned_abs());
    Config { clock: Arc::new(move || now), ..Config::default() }
}

pub(crate) async fn start() -> Emulator {
    start_with(config()).await
}

pub(crate) async fn start_with(config: Config) -> Emulator {
    Emulator::start(([127, 0, 0, 1], 0).into(), config).await.unwrap()
}

/// A request that can be changed before and after it is signed.
#[derive(Clone)]
pub(crate) struct Outgoing {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

pub(crate) struct Incoming {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Incoming {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Returns the error code of the answer, in the form of any of the services.
    pub(crate) fn code(&self) -> String {
        let body = self.json();
        let code = [&body["Response"]["Error"]["Code"], &body["error_code"], &body["error"]["title"]];
        code.iter().find_map(|code| code.as_str()).unwrap_or("none").to_owned()
    }
}

impl Outgoing {
    pub(crate) fn new(method: &str, target: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { method: method.into(), target: target.into(), headers: Vec::new(), body: body.into() }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(k, _)| !k.eq_ignore_ascii_case(name));
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(k, _)| !k.eq_ignore_ascii_case(name));
        self
    }

    pub(crate) fn get(&self, name: &str) -> &str {
        self.headers.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)).map_or("", |(_, v)| v.trim())
    }

    fn canonical(&self, signed: &str, lower: bool) -> String {
        let line = |name: &str| {
            let value = self.get(name);
            format!("{name}:{}\n", if lower { value.to_lowercase() } else { value.to_owned() })
        };
        signed.split(';').map(line).collect()
    }

    /// Signs the headers `signed` with TC3 at `time`.
    pub(crate) fn tc3(self, id: &str, key: &str, signed: &str, time: i64) -> Self {
        let date = OffsetDateTime::from_unix_timestamp(time).unwrap().date();
        let scope = format!("{date}/tdmq/tc3_request");
        let hash = match self.get("x-tc-content-sha256") {
            "" => sha256(&self.body),
            text => sha256(text.as_bytes()),
        };
        let canonical = format!("POST\n/\n\n{}\n{signed}\n{hash}", self.canonical(signed, true));
        let to_sign = format!("TC3-HMAC-SHA256\n{time}\n{scope}\n{}", sha256(canonical.as_bytes()));
        let mut signing_key = hmac(format!("TC3{key}").as_bytes(), &date.to_string());
        for part in ["tdmq", "tc3_request"] {
            signing_key = hmac(&signing_key, part);
        }
        let signature = hex(&hmac(&signing_key, &to_sign));
        let authorization =
            format!("TC3-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={signed}, Signature={signature}");
        self.header("X-TC-Timestamp", &time.to_string()).header("Authorization", &authorization)
    }

    /// Signs the headers `signed` with SDK-HMAC-SHA256; the query must already be canonical.
    pub(crate) fn sdk(self, access_key: &str, secret_key: &str, signed: &str, time: i64) -> Self {
        let date = sdk_date(time);
        let this = self.header("X-Sdk-Date", &date);
        let (path, query) = this.target.split_once('?').unwrap_or((&this.target, ""));
        let hash = match this.get("x-sdk-content-sha256") {
            "" => sha256(&this.body),
            text => text.to_owned(),
        };
        let headers = this.canonical(signed, false);
        let canonical = format!("{}\n{path}/\n{query}\n{headers}\n{signed}\n{hash}", this.method);
        let to_sign = format!("SDK-HMAC-SHA256\n{date}\n{}", sha256(canonical.as_bytes()));
        let signature = hex(&hmac(secret_key.as_bytes(), &to_sign));
        let authorization =
            format!("SDK-HMAC-SHA256 Access={access_key}, SignedHeaders={signed}, Signature={signature}");
        this.header("Authorization", &authorization)
    }

    /// Sends the request over a connection of its own.
    pub(crate) async fn send(&self, emulator: &Emulator) -> Incoming {
        self.try_send(emulator).await.unwrap()
    }

    pub(crate) async fn try_send(&self, emulator: &Emulator) -> io::Result<Incoming> {
        let mut stream = TcpStream::connect(emulator.addr()).await?;
        self.send_over(&mut stream).await
    }

    pub(crate) async fn send_over(&self, stream: &mut TcpStream) -> io::Result<Incoming> {
        let headers: Vec<_> =
            self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!(
            "{} {} HTTP/1.1\r\n{}Content-Length: {}\r\n\r\n",
            self.method,
            self.target,
            headers.concat(),
            self.body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&self.body).await?;
        receive(stream).await
    }
}

/// Reads one response; fails with `UnexpectedEof` if the connection ends early.
async fn receive(stream: &mut TcpStream) -> io::Result<Incoming> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(k, v)| (k.to_owned(), v.trim().to_owned()))
        .collect();
    let mut incoming = Incoming { status, headers, body: Vec::new() };
    let length = incoming.header("content-length").map_or(0, |length| length.parse().unwrap());
    incoming.body = vec![0; length];
    stream.read_exact(&mut incoming.body).await?;
    Ok(incoming)
}

/// Builds a TDMQ request without a signature.
pub(crate) fn tdmq_unsigned(emulator: &Emulator, body: &Value) -> Outgoing {
    Outgoing::new("POST", "/", body.to_string())
        .header("Host", &emulator.addr().to_string())
        .header("Content-Type", "application/json")
        .header("X-TC-Action", "SendMessages")
        .header("X-TC-Version", "2020-02-17")
        .header("X-TC-Region", "ap-guangzhou")
        .header("X-TC-Timestamp", &NOW.to_string())
}

/// Signs a TDMQ request with the sample key.
pub(crate) fn tdmq_signed(request: Outgoing) -> Outgoing {
    request.tc3(sample::SECRET_ID, sample::SECRET_KEY, "content-type;host", NOW)
}

pub(crate) fn tdmq(emulator: &Emulator, payload: &str) -> Outgoing {
    tdmq_signed(tdmq_unsigned(emulator, &json!({"Topic": TDMQ_TOPIC, "Payload": payload})))
}

pub(crate) fn dms_path(project: &str, instance: &str) -> String {
    format!("/v2/{project}/rocketmq/instances/{instance}/messages")
}

/// Builds a DMS request without a signature.
pub(crate) fn dms_unsigned(emulator: &Emulator, body: &Value) -> Outgoing {
    Outgoing::new("POST", &dms_path(sample::PROJECT_ID, sample::INSTANCE_ID), body.to_string())
        .header("Host", &emulator.addr().to_string())
        .header("Content-Type", "application/json")
        .header("X-Project-Id", sample::PROJECT_ID)
}

/// Signs a DMS request with the sample key.
pub(crate) fn dms_signed(request: Outgoing) -> Outgoing {
    let signed = "content-type;host;x-project-id;x-sdk-date";
    request.sdk(sample::ACCESS_KEY, sample::SECRET_ACCESS_KEY, signed, NOW)
}

pub(crate) fn dms(emulator: &Emulator, text: &str) -> Outgoing {
    dms_signed(dms_unsigned(emulator, &json!({"topic": DMS_TOPIC, "body": text})))
}

/// Builds a request for an IAM token.
pub(crate) fn iam(emulator: &Emulator, body: &Value) -> Outgoing {
    Outgoing::new("POST", "/v3/auth/tokens?nocatalog=1", body.to_string())
        .header("Host", &emulator.addr().to_string())
        .header("Content-Type", "application/json")
}

pub(crate) fn iam_body() -> Value {
    json!({"auth": {
        "identity": {"methods": ["password"], "password": {"user": {
            "name": sample::USERNAME, "password": sample::PASSWORD, "domain": {"name": sample::DOMAIN}}}},
        "scope": {"project": {"id": sample::PROJECT_ID}},
    }})
}

pub(crate) async fn token(emulator: &Emulator) -> String {
    iam(emulator, &iam_body()).send(emulator).await.header("x-subject-token").unwrap().to_owned()
}

/// Builds a DMS request with a token.
pub(crate) fn dms_with(emulator: &Emulator, token: &str) -> Outgoing {
    dms_unsigned(emulator, &json!({"topic": DMS_TOPIC, "body": "x"})).header("X-Auth-Token", token)
}

pub(crate) fn sdk_date(time: i64) -> String {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    OffsetDateTime::from_unix_timestamp(time).unwrap().format(format).unwrap()
}

fn hmac(key: &[u8], data: &str) -> Vec<u8> {
    Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(data).finalize().into_bytes().to_vec()
}

fn sha256(data: &[u8]) -> String {
    hex(&Sha256::digest(data))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}
