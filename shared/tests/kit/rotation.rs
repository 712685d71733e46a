//! A gateway with hooks whose secrets change, and its log.

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use hookmq_shared::clock::Clock;
use hookmq_shared::config::{Config, Reading, Samples};
use hookmq_shared::context::Context;
use hookmq_shared::env::Env;
use hookmq_shared::gateway::Gateway;
use hookmq_shared::http::{Request, Response};
use hookmq_shared::queue::tdmq::Client;
use hookmq_shared::secret::Secret;
use hookmq_shared::service::Service as _;
use hookmq_shared::source::{Draft, Settings, Source};
use hookmq_shared::telemetry;

use super::server::{Server, Step, ok};
use super::source::{NOW, random};

const STORED: &str = r#"{"Response":{"MessageId":"71:11:0:0","ErrorMsg":"","RequestId":"r-1"}}"#;
pub const OLD: &str = "an-old-secret-0123456789";
pub const NEW: &str = "a-new-secret-9876543210";
pub const KEY: &str = "whsec_6KmH+XtgmFGnfhDW1IE47w5Rj0a58doRRboYOtAvk1M=";

/// Everything that this test binary logged.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Returns the log lines about a hook; each test has hooks of its own.
pub fn log(hook: &str) -> Vec<String> {
    let text = String::from_utf8(LOG.lock().unwrap().clone()).unwrap();
    for secret in [OLD, NEW, KEY] {
        assert!(!text.contains(secret), "{secret} is logged");
    }
    text.lines().filter(|line| line.contains(&format!("\"hook\":\"{hook}\""))).map(str::to_owned).collect()
}

pub struct World {
    pub gateway: Gateway<Client>,
    dir: tempfile::TempDir,
    pub queue: Server,
}

impl World {
    /// Starts a gateway with these hooks, in which `DIR` is a directory with these files.
    pub async fn start(files: &[(&str, &str)], hooks: &str) -> Self {
        Self::with(&[], files, hooks).await
    }

    /// Starts such a gateway, whose queue takes its time for each answer: long enough that a thread has read a file
    /// meanwhile, on however busy a machine.
    pub async fn with_slow_queue(files: &[(&str, &str)], hooks: &str) -> Self {
        let answer = Step::Late(STORED.to_owned(), Duration::from_millis(250));
        Self::on(answer, &[], files, hooks).await
    }

    /// Starts such a gateway with further variables.
    pub async fn with(vars: &[(&str, &str)], files: &[(&str, &str)], hooks: &str) -> Self {
        Self::on(ok(STORED), vars, files, hooks).await
    }

    async fn on(answer: Step, vars: &[(&str, &str)], files: &[(&str, &str)], hooks: &str) -> Self {
        static INIT: OnceLock<()> = OnceLock::new();
        INIT.get_or_init(|| telemetry::init_to(&Env::of([("LOG_LEVEL", "debug")]), || Log));
        let dir = tempfile::tempdir().unwrap();
        let queue = Server::start(vec![answer; 32]).await;
        let own = [
            ("TENCENTCLOUD_SECRET_ID", "id"),
            ("TENCENTCLOUD_SECRET_KEY", "key"),
            ("TENCENTCLOUD_REGION", "ap-guangzhou"),
            ("TDMQ_ENDPOINT", &queue.url),
        ];
        let env = Env::of(own.iter().chain(vars).copied());
        for (name, value) in files {
            std::fs::write(dir.path().join(name), value).unwrap();
        }
        let hooks = hooks.replace("DIR", dir.path().to_str().unwrap());
        let config = Config::parse("hooks.toml", &hooks, Reading::new(&env, Samples::Refused));
        assert!(!config.has_errors(), "{:?}", config.mistakes);
        let context = Context { env, clock: Clock::from_fn(|| NOW), random: random() };
        let gateway = Gateway::new(config, Client::new(context.clone()), context);
        Self { gateway, dir, queue }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, value: &str) {
        std::fs::write(self.path(name), value).unwrap();
    }

    pub async fn answer(&self, request: &Request) -> Response {
        self.gateway.call(request.clone()).await
    }

    pub async fn deliver(&self, request: &Request) -> u16 {
        self.answer(request).await.status
    }
}

/// Signs a delivery to a hook, as the preset does, with this secret.
pub fn signed_as(preset: &str, hook: &str, secret: &str) -> Request {
    let settings = Settings { secrets: vec![Secret::new(secret)], ..Settings::default() };
    let draft = Draft { path: format!("/{hook}"), ..Draft::default() };
    Source::preset(preset, settings).unwrap().sign(draft, 0, NOW, &random()).unwrap()
}

pub fn signed(hook: &str, secret: &str) -> Request {
    signed_as("github", hook, secret)
}

/// Advances the clock by this number of seconds.
pub async fn pass(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

pub fn github(hook: &str, secrets: &str) -> String {
    format!("[hooks.{hook}]\nsource = \"github\"\ntopic = \"a/b/c\"\nsecrets = [{secrets}]\n")
}
