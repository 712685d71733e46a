//! Secrets that change while a function runs.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod queue_support;
mod source_common;

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use hookmq_shared::clock::Clock;
use hookmq_shared::config::{Config, Reading, Samples};
use hookmq_shared::context::Context;
use hookmq_shared::env::Env;
use hookmq_shared::gateway::Gateway;
use hookmq_shared::host::Service as _;
use hookmq_shared::http::{Headers, Request};
use hookmq_shared::queue::tdmq::Client;
use hookmq_shared::secret::Secret;
use hookmq_shared::source::{Draft, Settings, Source};
use hookmq_shared::telemetry;
use queue_support::{Server, ok};
use source_common::{NOW, random, request};

const STORED: &str = r#"{"Response":{"MessageId":"71:11:0:0","ErrorMsg":"","RequestId":"r-1"}}"#;
const OLD: &str = "an-old-secret-0123456789";
const NEW: &str = "a-new-secret-9876543210";
const KEY: &str = "whsec_6KmH+XtgmFGnfhDW1IE47w5Rj0a58doRRboYOtAvk1M=";

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

/// The lines about a hook; each test has hooks of its own.
fn log(hook: &str) -> Vec<String> {
    let text = String::from_utf8(LOG.lock().unwrap().clone()).unwrap();
    for secret in [OLD, NEW, KEY] {
        assert!(!text.contains(secret), "{secret} is logged");
    }
    text.lines().filter(|line| line.contains(&format!("\"hook\":\"{hook}\""))).map(str::to_owned).collect()
}

struct World {
    gateway: Gateway<Client>,
    dir: tempfile::TempDir,
    _queue: Server,
}

impl World {
    /// A gateway with these hooks, in which `DIR` is a directory with these files.
    async fn start(files: &[(&str, &str)], hooks: &str) -> Self {
        static INIT: OnceLock<()> = OnceLock::new();
        INIT.get_or_init(|| telemetry::init_to(&Env::of([("LOG_LEVEL", "debug")]), || Log));
        let dir = tempfile::tempdir().unwrap();
        let queue = Server::start(vec![ok(STORED); 32]).await;
        let env = Env::of([
            ("TENCENTCLOUD_SECRET_ID", "id"),
            ("TENCENTCLOUD_SECRET_KEY", "key"),
            ("TENCENTCLOUD_REGION", "ap-guangzhou"),
            ("TDMQ_ENDPOINT", &queue.url),
        ]);
        for (name, value) in files {
            std::fs::write(dir.path().join(name), value).unwrap();
        }
        let hooks = hooks.replace("DIR", dir.path().to_str().unwrap());
        let config = Config::parse("hooks.toml", &hooks, Reading::new(&env, Samples::Refused));
        assert!(!config.has_errors(), "{:?}", config.mistakes);
        let context = Context { env, clock: Clock::from_fn(|| NOW), random: random() };
        let gateway = Gateway::new(config, Client::new(context.clone()), context);
        Self { gateway, dir, _queue: queue }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, value: &str) {
        std::fs::write(self.path(name), value).unwrap();
    }

    async fn deliver(&self, request: &Request) -> u16 {
        self.gateway.call(request.clone()).await.status
    }
}

/// A delivery to a hook of the preset `github`, or another one, signed with this secret.
fn signed_as(preset: &str, hook: &str, secret: &str) -> Request {
    let settings = Settings { secrets: vec![Secret::new(secret)], ..Settings::default() };
    let draft = Draft { path: format!("/{hook}"), ..Draft::default() };
    Source::preset(preset, settings).unwrap().sign(draft, 0, NOW, &random()).unwrap()
}

fn signed(hook: &str, secret: &str) -> Request {
    signed_as("github", hook, secret)
}

/// The clock goes on by so much.
async fn pass(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

fn github(hook: &str, secrets: &str) -> String {
    format!("[hooks.{hook}]\nsource = \"github\"\ntopic = \"a/b/c\"\nsecrets = [{secrets}]\n")
}

#[tokio::test]
async fn a_new_secret_is_read_by_the_first_delivery_that_needs_it() {
    let secrets = r#""plain:another-secret-0123456789", "file:DIR/s""#;
    let world = World::start(&[("s", OLD)], &github("changed", secrets)).await;
    assert_eq!(world.deliver(&signed("changed", OLD)).await, 200);
    world.write("s", NEW);
    assert_eq!(world.deliver(&signed("changed", OLD)).await, 200, "nothing asks for the new one yet");
    // Many at once: one reads, the others wait for it.
    let calls = (0..4).map(|_| {
        let gateway = world.gateway.clone();
        tokio::spawn(async move { gateway.call(signed("changed", NEW)).await.status })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap(), 200);
    }
    assert_eq!(world.deliver(&signed("changed", OLD)).await, 401, "it is configured no more");

    let log = log("changed");
    let told = log.iter().filter(|line| line.contains("the secrets were read anew and have changed"));
    assert_eq!(told.count(), 1, "{log:?}");
    assert_eq!(log.iter().filter(|line| line.contains("\"secret\":1")).count(), 6, "{log:?}");
}

#[tokio::test]
async fn forged_requests_read_once_in_thirty_seconds() {
    let hooks = [github("flood", r#""file:DIR/s""#), github("calm", r#""file:DIR/s""#)].concat();
    let world = World::start(&[("s", OLD)], &hooks).await;
    assert_eq!(world.deliver(&signed("flood", "forged-0123456789")).await, 401);
    world.write("s", NEW);
    assert_eq!(world.deliver(&signed("flood", NEW)).await, 401, "it was read a moment ago");
    assert_eq!(world.deliver(&signed("calm", NEW)).await, 200, "each hook for itself");
    pass(29).await;
    assert_eq!(world.deliver(&signed("flood", NEW)).await, 401);
    pass(2).await;
    assert_eq!(world.deliver(&signed("flood", NEW)).await, 200);
}

#[tokio::test]
async fn what_no_secret_cures_reads_nothing() {
    let hooks = "[hooks.precise]\nsource = \"standard-webhooks\"\ntopic = \"a/b/c\"\n\
                 secrets = [\"file:DIR/s\"]\n";
    let other = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";
    let world = World::start(&[("s", KEY)], hooks).await;
    let good = |secret| signed_as("standard-webhooks", "precise", secret);
    let signed = good(KEY);
    let others = signed.headers.iter().filter(|(name, _)| *name != "webhook-signature");
    let headers = others.map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
    let unsigned = Request { headers, ..signed.clone() };
    let settings = Settings { secrets: vec![Secret::new(KEY)], ..Settings::default() };
    let draft = Draft { path: "/precise".to_owned(), ..Draft::default() };
    let signer = Source::preset("standard-webhooks", settings).unwrap();
    let stale = signer.sign(draft, 0, NOW.shifted(-3_600_000), &random()).unwrap();
    for refused in [unsigned, stale] {
        assert_eq!(world.deliver(&refused).await, 401);
    }
    world.write("s", other);
    assert_eq!(world.deliver(&good(other)).await, 200, "it was not read for them");
}

#[tokio::test]
async fn a_broken_secret_never_replaces_a_sound_one() {
    let hooks = "[hooks.robust]\nsource = \"standard-webhooks\"\ntopic = \"a/b/c\"\n\
                 secrets = [\"file:DIR/a\", \"file:DIR/b\"]\n";
    let other = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";
    let world = World::start(&[("a", KEY), ("b", KEY)], hooks).await;
    let good = |secret| signed_as("standard-webhooks", "robust", secret);
    for (broken, told) in [
        ("", "the secret is empty"),
        (" \n", "the secret is empty"),
        ("hookmq-sample-bearer-token", "this is a sample secret"),
        ("whsec_this is no base64", "is not a key of this source"),
    ] {
        world.write("a", broken);
        world.write("b", broken);
        assert_eq!(world.deliver(&good(other)).await, 401, "{broken:?}");
        assert!(log("robust").iter().any(|line| line.contains(told)), "{told}");
        assert_eq!(world.deliver(&good(KEY)).await, 200, "{broken:?}");
        pass(31).await;
    }
    std::fs::remove_file(world.path("a")).unwrap();
    assert_eq!(world.deliver(&good(other)).await, 401);
    assert_eq!(world.deliver(&good(KEY)).await, 200);
    pass(31).await;
    // One that cannot be had keeps no other from changing.
    world.write("b", other);
    assert_eq!(world.deliver(&good(other)).await, 200);
    assert_eq!(world.deliver(&good(KEY)).await, 200);
}

#[tokio::test]
async fn parameters_change_too() {
    let hooks = "[hooks.feishu]\nsource = \"feishu\"\ntopic = \"a/b/c\"\nsecrets = [\"plain:an-encrypt-key-01234\"]\n\
                 params = { verification_token = \"file:DIR/token\" }\n";
    let world = World::start(&[("token", OLD)], hooks).await;
    let challenge = |token: &str| {
        let body = format!(r#"{{"challenge":"c-1","token":"{token}","type":"url_verification"}}"#);
        let headers = serde_json::json!([["content-type", "application/json"]]);
        Request { path: "/feishu".to_owned(), ..request("POST", &headers, body.into_bytes()) }
    };
    assert_eq!(world.deliver(&challenge(OLD)).await, 200);
    world.write("token", NEW);
    assert_eq!(world.deliver(&challenge(NEW)).await, 200);
    assert_eq!(world.deliver(&challenge(OLD)).await, 401);
}

#[tokio::test]
async fn one_of_several_verifiers_gets_its_new_secret() {
    let hooks = "[hooks.several]\ntopic = \"a/b/c\"\nsecrets = [\"plain:the-first-token-0123\", \"file:DIR/s\"]\n\
                 [hooks.several.verify]\nkind = \"any\"\nverify = [\n\
                 { kind = \"token\", from = \"header:X-A\", secrets = [0] },\n\
                 { kind = \"token\", from = \"header:X-B\", secrets = [1] },\n]\n";
    let world = World::start(&[("s", OLD)], hooks).await;
    let with = |header: &str, token: &str| {
        let headers: Headers = [(header.to_owned(), token.to_owned())].into_iter().collect();
        let request = request("POST", &serde_json::json!([]), b"{}".to_vec());
        Request { path: "/several".to_owned(), headers, ..request }
    };
    assert_eq!(world.deliver(&with("x-b", OLD)).await, 200);
    world.write("s", NEW);
    assert_eq!(world.deliver(&with("x-b", NEW)).await, 200);
    assert_eq!(world.deliver(&with("x-a", "the-first-token-0123")).await, 200);
    assert_eq!(world.deliver(&with("x-b", OLD)).await, 401);
}
