//! A forwarder on a socket, the emulator behind it, and a record of everything that was written.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Mutex, OnceLock};

use bytes::Bytes;
use hookmq_emulator::{Config as EmulatorConfig, Emulator, StoredMessage, sample};
use hookmq_shared::clock::{Clock, Random};
use hookmq_shared::config::{Config, Reading, Samples};
use hookmq_shared::context::Context;
use hookmq_shared::env::Env;
use hookmq_shared::gateway::Gateway;
use hookmq_shared::host::server::{Limits, Server};
use hookmq_shared::http::{Headers, Request};
use hookmq_shared::queue::{Client, Queue, Vendor, rocketmq, tdmq};
use hookmq_shared::telemetry;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use memchr::memmem;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// Everything that this test binary wrote to logs, answers and queues.
static RECORD: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Record;

impl Write for Record {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        RECORD.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Asserts that none of these values was written so far, neither verbatim nor escaped in JSON.
pub(crate) fn assert_never_written(secrets: &[&str]) {
    let record = RECORD.lock().unwrap();
    let holds = |text: &str| memmem::find(&record, text.as_bytes()).is_some();
    assert!(holds("\"outcome\":\"accepted\""), "the record holds the log");
    for secret in secrets {
        let escaped = serde_json::to_string(secret).unwrap();
        let escaped = escaped.trim_matches('"');
        assert!(!holds(secret) && (escaped == *secret || !holds(escaped)), "{secret} was written");
    }
}

/// Returns true if this text was written to any of the recorded outputs.
pub(crate) fn is_written(text: &str) -> bool {
    memmem::find(&RECORD.lock().unwrap(), text.as_bytes()).is_some()
}

/// Secrets of the forwarder itself, which must not appear in any output.
pub(crate) const VENDOR_SECRETS: [&str; 2] = [sample::SECRET_KEY, sample::SECRET_ACCESS_KEY];

/// A forwarder and its emulator.
pub(crate) struct World {
    pub(crate) emulator: Emulator,
    pub(crate) address: SocketAddr,
    /// Context that the forwarder was started with.
    pub(crate) context: Context,
    _stop: oneshot::Sender<()>,
}

/// An answer of the forwarder.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl World {
    /// Starts a forwarder and its emulator; `hooks` is the text of a hooks file.
    pub(crate) async fn start<Q: Queue>(hooks: &str, queue: impl FnOnce(Context) -> Q) -> Self {
        Self::start_with(hooks, &[], queue).await
    }

    /// Starts both like [`start`](Self::start), with further variables in the environment.
    pub(crate) async fn start_with<Q: Queue>(
        hooks: &str,
        more: &[(&str, &str)],
        queue: impl FnOnce(Context) -> Q,
    ) -> Self {
        Self::begin(hooks, more, |config, context| Gateway::new(config, queue(context.clone()), context))
            .await
    }

    /// Starts a function as it is deployed, with a client for each target that its hooks name.
    pub(crate) async fn connect(hooks: &str, more: &[(&str, &str)], vendor: Vendor) -> Self {
        let gateway = |config, context| Gateway::<Client>::connect(config, vendor, &context);
        Self::begin(hooks, more, gateway).await
    }

    async fn begin<Q: Queue>(
        hooks: &str,
        more: &[(&str, &str)],
        gateway: impl FnOnce(Config, Context) -> Gateway<Q>,
    ) -> Self {
        static LOG: OnceLock<()> = OnceLock::new();
        LOG.get_or_init(|| telemetry::init_to(&Env::of([("LOG_LEVEL", "debug")]), || Record));
        let emulator = Emulator::start(([127, 0, 0, 1], 0).into(), EmulatorConfig::default()).await.unwrap();
        let url = emulator.url();
        let vendors = [
            ("TENCENTCLOUD_SECRET_ID", sample::SECRET_ID),
            ("TENCENTCLOUD_SECRET_KEY", sample::SECRET_KEY),
            ("TENCENTCLOUD_REGION", "ap-guangzhou"),
            ("TDMQ_ENDPOINT", &url),
            ("HUAWEICLOUD_SDK_AK", sample::ACCESS_KEY),
            ("HUAWEICLOUD_SDK_SK", sample::SECRET_ACCESS_KEY),
            ("HUAWEICLOUD_SDK_PROJECT_ID", sample::PROJECT_ID),
            ("ROCKETMQ_ENDPOINT", &url),
            ("ROCKETMQ_INSTANCE_ID", sample::INSTANCE_ID),
        ];
        let env = Env::of(vendors.iter().chain(more).copied());
        let config = Config::parse("hooks.toml", hooks, Reading::new(&env, Samples::Accepted));
        let context = Context { env, clock: Clock::system(), random: Random::system() };
        let gateway = gateway(config, context.clone());
        let server = Server::bind("127.0.0.1:0", Limits::default()).await.unwrap().trusting(&context.env);
        let address = server.local_addr();
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(server.serve(gateway, Random::system(), async { drop(stopped.await) }));
        Self { emulator, address, context, _stop: stop }
    }

    /// Sends one request over a connection of its own.
    pub(crate) async fn send(
        &self,
        method: &str,
        target: &str,
        headers: &Headers,
        body: impl Into<Bytes>,
    ) -> Answer {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = http::Request::builder().method(method).uri(target).header("host", "hooks.test");
        for (name, value) in headers.iter() {
            request = request.header(name, value);
        }
        let answer = sender.send_request(request.body(Full::new(body.into())).unwrap()).await.unwrap();
        let (head, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let mut record = RECORD.lock().unwrap();
        record.extend_from_slice(format!("{:?}", head.headers).as_bytes());
        record.extend_from_slice(&body);
        Answer { status: head.status.as_u16(), headers: head.headers, body }
    }

    /// Sends a request that a source has signed.
    pub(crate) async fn deliver(&self, request: &Request) -> Answer {
        let query =
            if request.raw_query.is_empty() { String::new() } else { format!("?{}", request.raw_query) };
        let target = format!("{}{query}", request.path);
        self.send(&request.method, &target, &request.headers, request.body.clone()).await
    }

    /// Returns the messages in the queue, and records them.
    pub(crate) fn messages(&self) -> Vec<StoredMessage> {
        let messages = self.emulator.messages();
        let mut record = RECORD.lock().unwrap();
        for message in &messages {
            super::contract::assert_kept(&message.text);
            record.extend_from_slice(message.text.as_bytes());
            record.extend_from_slice(format!("{:?} {:?}", message.properties, message.headers).as_bytes());
        }
        messages
    }

    /// Returns the message in the queue, which must be the only one.
    pub(crate) fn message(&self) -> StoredMessage {
        let mut messages = self.messages();
        assert_eq!(messages.len(), 1, "{messages:?}");
        messages.remove(0)
    }
}

/// A client type with a vendor that is known without an instance.
pub(crate) trait Vendored: Queue {
    const VENDOR: Vendor;
}

impl Vendored for tdmq::Client {
    const VENDOR: Vendor = Vendor::Tdmq;
}

impl Vendored for rocketmq::Client {
    const VENDOR: Vendor = Vendor::Rocketmq;
}

/// Returns a topic that the vendor accepts, as `hooks.toml` writes it.
pub(crate) fn topic(vendor: Vendor) -> &'static str {
    if vendor == Vendor::Tdmq { "pulsar-demo/webhooks/test" } else { "webhooks_test" }
}
