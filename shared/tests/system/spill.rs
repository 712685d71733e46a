//! Tests of deliveries that the queue does not take: spilled, sent later, buried, referred to, marked,
//! quarantined.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hookmq_emulator::{Fault, FaultKind};
use hookmq_shared::clock::{Clock, Random};
use hookmq_shared::config::{Config, Reading, Samples};
use hookmq_shared::context::Context;
use hookmq_shared::env::Env;
use hookmq_shared::gateway::Gateway;
use hookmq_shared::http::Headers;
use hookmq_shared::quarantine::Quarantine;
use hookmq_shared::queue::Vendor;
use hookmq_shared::redrive::{Options, QuarantinePages, Redriver, Reverified, Summary, reverify};
use hookmq_shared::secret::Secret;
use hookmq_shared::source::{Draft, Settings, Source};
use hookmq_shared::spill::{Folder, Spill};
use serde_json::Value;
use tokio::time::Instant;

use crate::kit::world::{Vendored, World, assert_never_written, topic};

const TOKEN: &str = "a-token-of-the-spill-tests";

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

/// A test module for each test, with the clients of both vendors.
macro_rules! both_vendors {
    ($($test:ident),* $(,)?) => {$(
        mod $test {
            #[test]
            fn tdmq() {
                super::run(super::$test(hookmq_shared::queue::tdmq::Client::new));
            }

            #[test]
            fn rocketmq() {
                super::run(super::$test(hookmq_shared::queue::rocketmq::Client::new));
            }
        }
    )*};
}

both_vendors!(
    what_the_queue_does_not_take_in_time_is_sent_later,
    every_class_has_its_place,
    what_cannot_be_a_message_is_kept_for_somebody_to_look_at,
    a_body_too_large_is_referred_to,
    an_encrypted_body_too_large_is_referred_to_as_well,
    a_referring_message_has_two_attempts_of_its_own,
    a_repeat_is_not_sent_again,
    always_answers_before_the_queue_has_it,
    a_store_that_fails_is_no_store,
    nothing_is_deleted_without_a_receipt,
    two_redrivers_lose_nothing,
    a_refused_request_is_verified_again,
);

/// A forwarder with a store in a temporary folder.
struct House {
    world: World,
    dir: tempfile::TempDir,
    hooks: String,
}

impl House {
    async fn start<Q: Vendored>(rest: &str, queue: fn(Context) -> Q) -> Self {
        Self::of(&format!("source = \"bearer\"\nsecrets = [\"env:A_TOKEN\"]\n{rest}\n"), &[], queue).await
    }

    /// Starts a forwarder with this hook and further variables.
    async fn of<Q: Vendored>(hook: &str, vars: &[(&str, &str)], queue: fn(Context) -> Q) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = |name: &str| format!("file://{}", dir.path().join(name).display());
        let (spill, quarantine) = (url("spill"), url("quarantine"));
        let key = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
        let more = [
            ("SPILL_URL", spill.as_str()),
            ("QUARANTINE_URL", quarantine.as_str()),
            ("QUARANTINE_KEY", key),
            ("A_TOKEN", TOKEN),
        ];
        let more = [&more, vars].concat();
        let hooks = format!("[hooks.h]\ntopic = \"{}\"\n{hook}", topic(Q::VENDOR));
        Self { world: World::start_with(&hooks, &more, queue).await, dir, hooks }
    }

    async fn send(&self, id: &str, body: impl Into<Bytes>) -> u16 {
        let token = format!("Bearer {TOKEN}");
        let headers: Headers =
            [("authorization", token), ("content-type", "application/json".into()), ("x-id", id.to_owned())]
                .into_iter()
                .collect();
        self.world.send("POST", "/h", &headers, body).await.status
    }

    fn fail(&self, kind: FaultKind) {
        self.world.emulator.set_faults(vec![Fault::new(kind).times(0)]);
    }

    fn heal(&self) {
        self.world.emulator.set_faults(Vec::new());
    }

    /// Returns the names of the objects in a folder of the store.
    fn names(&self, folder: Folder) -> Vec<String> {
        let root = if folder == Folder::Quarantine { "quarantine" } else { "spill" };
        let mut names = Vec::new();
        walk(&self.dir.path().join(root).join(folder.as_str()), &mut names);
        names
    }

    fn config(&self) -> Config {
        Config::parse("hooks", &self.hooks, Reading::new(&self.world.context.env, Samples::Accepted))
    }

    fn redriver<Q: Vendored>(&self, queue: fn(Context) -> Q) -> Redriver<Q> {
        let context = self.world.context.clone();
        let spill = Spill::from_env(&context).unwrap().unwrap();
        Redriver::new(Q::VENDOR, queue(context.clone()), spill, Arc::new(self.config()), context)
    }

    async fn redrive<Q: Vendored>(&self, queue: fn(Context) -> Q, options: Options) -> Summary {
        self.redriver(queue).run(&options, soon()).await.unwrap()
    }

    /// Returns the ids and bodies of the messages in the queue.
    fn queued(&self) -> Vec<(String, Value)> {
        let event = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let pair = |event: Value| (event["id"].as_str().unwrap().to_owned(), event["data"].clone());
        self.world.messages().iter().map(|message| pair(event(&message.text))).collect()
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn walk(folder: &Path, names: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { walk(&path, names) } else { names.push(path.display().to_string()) }
    }
}

fn now() -> Options {
    Options { now: true, ..Options::default() }
}

/// Builds an error of the vendor, by its code.
fn error<Q: Vendored>(tdmq: &str, rocketmq: (&str, u16)) -> FaultKind {
    let (code, status) = if Q::VENDOR == Vendor::Tdmq {
        (tdmq.to_owned(), None)
    } else {
        (rocketmq.0.to_owned(), http::StatusCode::from_u16(rocketmq.1).ok())
    };
    FaultKind::Error { code, status, message: None, headers: http::HeaderMap::new(), stored: false }
}

async fn what_the_queue_does_not_take_in_time_is_sent_later<Q: Vendored>(queue: fn(Context) -> Q) {
    let house = House::start("deadline = \"1500ms\"", queue).await;
    for fault in [FaultKind::Hang, FaultKind::Reset, FaultKind::Throttle] {
        house.world.emulator.clear();
        house.fail(fault.clone());
        assert_eq!(house.send("1", "{\"n\":1}").await, 200, "{fault:?}");
        assert_eq!((house.queued().len(), house.names(Folder::Spill).len()), (0, 1), "{fault:?}");
        // A repeated delivery is the same object.
        assert_eq!(house.send("1", "{\"n\":1}").await, 200);
        assert_eq!(house.names(Folder::Spill).len(), 1);

        house.heal();
        let summary = house.redrive(queue, Options::default()).await;
        assert_eq!((summary.found, summary.sent, summary.left()), (1, 1, 0), "{summary:?}");
        assert!(house.names(Folder::Spill).is_empty());
        let queued = house.queued();
        assert_eq!(queued.len(), 1);
        assert!(queued[0].0.starts_with("sha256-") && queued[0].1 == serde_json::json!({"n": 1}));
    }
    assert_never_written(&[TOKEN]);
}

async fn every_class_has_its_place<Q: Vendored>(queue: fn(Context) -> Q) {
    let house = House::start("deadline = \"1500ms\"", queue).await;
    let permanent = error::<Q>("InternalError.IllegalMessage", ("DMS.10540012", 400));
    let config = error::<Q>("ResourceNotFound.Topic", ("DMS.10540019", 404));
    let large = error::<Q>("FailedOperation.MaxMessageSizeError", ("DMS.10540011", 400));
    house.fail(permanent);
    assert_eq!(house.send("1", "{}").await, 200);
    assert_eq!((house.names(Folder::Spill).len(), house.names(Folder::Dead).len()), (0, 1));
    // An operator sends the buried delivery by hand.
    house.heal();
    let dead = Options { dead: true, ..Options::default() };
    assert_eq!(house.redrive(queue, dead).await.sent, 1);
    assert!(house.names(Folder::Dead).is_empty() && house.queued().len() == 1);

    house.fail(config);
    assert_eq!(house.send("2", "[2]").await, 200);
    assert_eq!((house.names(Folder::Spill).len(), house.names(Folder::Dead).len()), (1, 0));
    // A delivery that turns out to be permanently refused is buried, with the number of its attempts.
    house.fail(error::<Q>("InternalError.IllegalMessage", ("DMS.10540012", 400)));
    let summary = house.redrive(queue, Options::default()).await;
    assert_eq!((summary.dead, summary.left()), (1, 0), "{summary:?}");
    let redriver = house.redriver(queue);
    let dead = Options { dead: true, ..Options::default() };
    let entries = redriver.list(&dead, soon()).await.unwrap();
    let record = redriver.read(&entries[0].name, soon()).await.unwrap().unwrap();
    assert_eq!((record.error.errorclass.as_str(), record.error.errorattempts), ("permanent", 2));
    assert!(record.error.errorfirsttime <= record.error.errorlasttime);

    // The topic's circuit is open, so another house is used.
    let house = House::start("deadline = \"1500ms\"", queue).await;
    house.fail(large);
    // A small message is not believed to be too large, because a reference would not be smaller.
    assert_eq!(house.send("3", "[3]").await, 200);
    assert_eq!((house.names(Folder::Spill).len(), house.names(Folder::Claims).len()), (1, 0));
    assert!(house.names(Folder::Dead).is_empty());
}

async fn what_cannot_be_a_message_is_kept_for_somebody_to_look_at<Q: Vendored>(queue: fn(Context) -> Q) {
    let mut house = House::start("key = \"{json:order.id}\"", queue).await;
    assert_eq!(house.send("1", "{}").await, 200);
    assert_eq!((house.names(Folder::Dead).len(), house.queued().len()), (1, 0));
    let dead = || Options { dead: true, ..Options::default() };
    assert_eq!(house.redrive(queue, dead()).await.waiting, 1, "nothing has changed");
    // The hook is corrected.
    house.hooks = house.hooks.replace("order.id", "nothing").replace("key = \"{json:nothing}\"", "");
    assert_eq!(house.redrive(queue, dead()).await.sent, 1);
    assert_eq!((house.names(Folder::Dead).len(), house.queued().len()), (0, 1));
}

async fn a_body_too_large_is_referred_to<Q: Vendored>(queue: fn(Context) -> Q) {
    let body = format!("{{\"x\":\"{}\"}}", "y".repeat(5 << 20));
    for mode in ["", "spill = \"always\""] {
        let house = House::start(mode, queue).await;
        assert_eq!(house.send("1", body.clone()).await, 200);
        // The redriver finds out that a body that was spilled first is too large.
        let summary = house.redrive(queue, Options::default()).await;
        assert_eq!((summary.sent, summary.left()), (usize::from(!mode.is_empty()), 0), "{summary:?}");
        let event: Value = serde_json::from_str(&house.world.message().text).unwrap();
        assert!(event.get("data").is_none() && event.get("data_base64").is_none());
        let path = event["dataref"].as_str().unwrap().strip_prefix("file://").unwrap();
        assert_eq!(std::fs::read(path).unwrap(), body.as_bytes());
    }

    let house = House::start("oversize = \"reject\"", queue).await;
    assert_eq!(house.send("1", body).await, 413);
}

async fn a_referring_message_has_two_attempts_of_its_own<Q: Vendored>(queue: fn(Context) -> Q) {
    let large = error::<Q>("FailedOperation.MaxMessageSizeError", ("DMS.10540011", 400));
    let transient = error::<Q>("InternalError", ("DMS.00500000", 500));
    // Once, and for as long as it lasts.
    for (times, is_queued) in [(1, true), (0, false)] {
        let house = House::start("", queue).await;
        let faults = [Fault::new(large.clone()).times(1), Fault::new(transient.clone()).times(times)];
        house.world.emulator.set_faults(faults.into());
        assert_eq!(house.send("1", "x".repeat(100 << 10)).await, 200);
        assert_eq!(house.world.emulator.requests().len(), 3, "one whole, two that refer");
        assert_eq!(
            (house.queued().len(), house.names(Folder::Spill).len()),
            if is_queued { (1, 0) } else { (0, 1) }
        );
        assert_eq!(house.names(Folder::Claims).len(), 1);
    }
}

async fn an_encrypted_body_too_large_is_referred_to_as_well<Q: Vendored>(queue: fn(Context) -> Q) {
    const AES_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY";
    const LIMITS: [(&str, &str); 2] = [("TDMQ_MAX_MESSAGE", "64KiB"), ("ROCKETMQ_MAX_MESSAGE", "64KiB")];
    let text = "y".repeat(48 << 10);
    let params = vec![("aes_key", AES_KEY), ("receiver", "corp-1")];
    let dingtalk = ("dingtalk", params.clone(), format!(r#"{{"EventType":"x","text":"{text}"}}"#));
    let wecom = ("wecom", params, format!("<xml><MsgType>text</MsgType><Content>{text}</Content></xml>"));
    for (preset, params, body) in [dingtalk, wecom] {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let settings = Settings {
            secrets: vec![Secret::new(TOKEN)],
            params: params.iter().map(owned).collect(),
            ..Settings::default()
        };
        let draft = Draft { path: "/h".into(), body: Some(body.clone().into()), ..Draft::default() };
        let signer = Source::preset(preset, settings).unwrap();
        let request = signer.sign(draft, 0, Clock::system().now(), &Random::system()).unwrap();
        let params: Vec<String> = params.iter().map(|(n, v)| format!("{n} = \"plain:{v}\"")).collect();
        let hook = format!(
            "source = \"{preset}\"\nsecrets = [\"env:A_TOKEN\"]\nparams = {{ {} }}\ndeadline = \"60s\"\n",
            params.join(", ")
        );
        for (mode, kept) in [("", true), ("spill = \"always\"\n", true), ("", false)] {
            let house = House::of(&format!("{hook}{mode}keep_original = {kept}\n"), &LIMITS, queue).await;
            assert_eq!(house.world.deliver(&request).await.status, 200, "{preset}");
            house.redrive(queue, Options::default()).await;
            let event: Value = serde_json::from_str(&house.world.message().text).unwrap();
            let read = |name: &str| {
                let path = event[name].as_str()?.strip_prefix("file://").unwrap();
                Some(std::fs::read(path).unwrap())
            };
            assert!(read("dataref").is_none_or(|read| read == body.as_bytes()), "{preset} {mode}");
            let original = read("webhookoriginalref");
            assert_eq!(original.is_some(), kept, "{preset} {mode}: {:?}", event["dataref"]);
            assert!(original.is_none_or(|read| read == request.body), "{preset} {mode}");
        }
    }
}

async fn a_repeat_is_not_sent_again<Q: Vendored>(queue: fn(Context) -> Q) {
    let verify = "\n[hooks.h.verify]\nkind = \"token\"\nfrom = \"header:authorization\"\nprefix = \"Bearer \"\n\
                  id = \"header:x-id\"";
    let house = House::start("dedupe = \"24h\"", queue).await;
    // This source does not name its deliveries, so two that look alike may be different.
    assert_eq!(house.send("1", "{}").await, 503);
    let custom = |house: &House| house.hooks.replace("source = \"bearer\"\n", "") + verify;
    let hooks = custom(&house);
    let env = &house.world.context.env;
    let vars = ["SPILL_URL", "A_TOKEN"].map(|name| (name, env.get(name).unwrap()));
    let more: Vec<(&str, &str)> = vars.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let world = World::start_with(&hooks, &more, queue).await;
    let house = House { world, hooks, ..house };
    for _ in 0..3 {
        assert_eq!(house.send("1", "{}").await, 200);
    }
    assert_eq!(house.queued().len(), 1);
    assert_eq!((house.send("2", "{}").await, house.send("1", "[]").await), (200, 200));
    assert_eq!(house.queued().len(), 3, "another id, or another body, is another delivery");

    // The delivery was spilled and then sent directly, so the redriver finds its mark.
    house.fail(FaultKind::Throttle);
    assert_eq!(house.send("3", "{}").await, 200);
    house.heal();
    assert_eq!(house.send("3", "{}").await, 200);
    let summary = house.redrive(queue, Options::default()).await;
    assert_eq!((summary.repeated, summary.sent), (1, 0), "{summary:?}");
    assert_eq!(house.queued().len(), 4);
}

async fn always_answers_before_the_queue_has_it<Q: Vendored>(queue: fn(Context) -> Q) {
    let house = House::start("spill = \"always\"", queue).await;
    assert_eq!(house.send("1", "{}").await, 200);
    assert!(house.world.emulator.requests().is_empty());
    assert_eq!(house.redrive(queue, Options::default()).await.sent, 1);
    assert_eq!(house.queued().len(), 1);
}

async fn a_store_that_fails_is_no_store<Q: Vendored>(queue: fn(Context) -> Q) {
    let house = House::start("deadline = \"1500ms\"", queue).await;
    std::fs::write(house.dir.path().join("spill"), "no folder").unwrap();
    house.fail(FaultKind::Throttle);
    assert_eq!(house.send("1", "{}").await, 503, "nobody has it");
    house.heal();
    assert_eq!(house.send("1", "{}").await, 200);
}

async fn nothing_is_deleted_without_a_receipt<Q: Vendored>(queue: fn(Context) -> Q) {
    let house = House::start("deadline = \"1500ms\"", queue).await;
    house.fail(FaultKind::Throttle);
    for n in 0..7 {
        assert_eq!(house.send("1", format!("[{n}]")).await, 200);
    }
    house.fail(FaultKind::NoId);
    let options = Options { rate: Some(1000), concurrency: 1, ..Options::default() };
    let deadline = Instant::now() + Duration::from_secs(5);
    let summary = house.redriver(queue).run(&options, deadline).await.unwrap();
    assert_eq!((summary.sent, summary.left()), (0, 7), "{summary:?}");
    assert!(summary.failed > 0 && summary.stopped.is_some() && summary.oldest_age_s.is_some());
    assert_eq!(house.names(Folder::Spill).len(), 7);
    let tried = house.names(Folder::Retry).len();
    assert_eq!(tried, summary.failed, "what a circuit held back is not a failure: {summary:?}");
    house.heal();
    // Deliveries that were tried are not due yet, and the others are sent.
    let rest = house.redrive(queue, Options::default()).await;
    assert_eq!((rest.sent, rest.waiting), (7 - tried, tried), "{rest:?}");
    assert_eq!(house.redrive(queue, now()).await.sent, tried);
    assert!(house.names(Folder::Spill).is_empty() && house.names(Folder::Retry).is_empty());
    assert_eq!(house.queued().len(), 7);
    // An object that cannot be read stays where it is.
    let broken = house.dir.path().join("spill/spill").join(Q::VENDOR.as_str()).join("h/00");
    std::fs::write(&broken, "{").unwrap();
    assert_eq!(house.redrive(queue, now()).await.corrupt, 1);
    assert!(broken.exists());
}

async fn two_redrivers_lose_nothing<Q: Vendored>(queue: fn(Context) -> Q) {
    let house = House::start("deadline = \"1500ms\"", queue).await;
    house.fail(FaultKind::Throttle);
    for n in 0..20 {
        assert_eq!(house.send("1", format!("[{n}]")).await, 200);
    }
    house.heal();
    let (one, other) = (house.redriver(queue), house.redriver(queue));
    let options = Options { rate: Some(10_000), ..Options::default() };
    let (one, other) = tokio::join!(one.run(&options, soon()), other.run(&options, soon()));
    let (one, other) = (one.unwrap(), other.unwrap());
    assert!(one.sent + other.sent >= 20 && one.store_errors + other.store_errors == 0, "{one:?} {other:?}");
    let mut ids: Vec<String> = house.queued().into_iter().map(|(id, _)| id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 20);
    assert!(house.names(Folder::Spill).is_empty());
}

async fn a_refused_request_is_verified_again<Q: Vendored>(queue: fn(Context) -> Q) {
    let mut house = House::start("quarantine = true", queue).await;
    let live = "a-live-token-of-the-provider";
    let json = ("content-type", "application/json".to_owned());
    let headers: Headers = [("authorization", format!("Bearer {live}")), json].into_iter().collect();
    assert_eq!(house.world.send("POST", "/h?x=1", &headers, "{\"n\":1}").await.status, 401);
    let wrong: Headers = [("authorization", "Bearer of-somebody-else")].into_iter().collect();
    assert_eq!(house.world.send("POST", "/h", &wrong, "{\"n\":2}").await.status, 401);
    let names = house.names(Folder::Quarantine);
    assert_eq!(names.len(), 2);
    for name in &names {
        let sealed = std::fs::read(name).unwrap();
        assert!(!sealed.windows(live.len()).any(|part| part == live.as_bytes()), "a live token");
    }

    // The secret is corrected.
    house.hooks = house.hooks.replace("env:A_TOKEN", &format!("plain:{live}"));
    let context = house.world.context.clone();
    let gateway = Gateway::new(house.config(), queue(context.clone()), context.clone());
    let quarantine = Quarantine::from_env(&context).unwrap().unwrap();
    let options = Options::default();
    let mut pages = QuarantinePages::new(Q::VENDOR, &quarantine, &options);
    assert_eq!(pages.next(soon()).await.unwrap().unwrap().len(), 2);
    let done = reverify(&gateway, &quarantine, &options, soon()).await.unwrap();
    assert_eq!(done, Reverified { found: 2, accepted: 1, rejected: 1, ..Reverified::default() });
    assert_eq!((house.queued()[0].1.clone(), house.queued().len()), (serde_json::json!({"n": 1}), 1));
    assert_eq!(house.names(Folder::Quarantine).len(), 1);
    // A wrong key cannot open the requests.
    let url = context.env.get("QUARANTINE_URL").unwrap();
    let other = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";
    let env = Env::of([("QUARANTINE_URL", url.as_str()), ("QUARANTINE_KEY", other)]);
    let quarantine = Quarantine::from_env(&Context { env, ..context }).unwrap().unwrap();
    let done = reverify(&gateway, &quarantine, &options, soon()).await.unwrap();
    assert_eq!((done.unreadable, done.accepted), (1, 0));
}
