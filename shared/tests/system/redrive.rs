//! Tests of the redriver: every acknowledged delivery that waits is sent, at a known cost, once its problem
//! is corrected.
//!
//! The forwarder and the redriver are the real ones, the vendor is the emulator, and the store is in memory,
//! where it counts calls and a test can remove objects.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hookmq_emulator::{Config as EmulatorConfig, Emulator, Fault, FaultKind, StoredMessage, sample};
use hookmq_shared::clock::{Clock, Random, Timestamp};
use hookmq_shared::config::{Config, Reading, Samples};
use hookmq_shared::context::Context;
use hookmq_shared::env::Env;
use hookmq_shared::gateway::{Gateway, Stores};
use hookmq_shared::http::Request;
use hookmq_shared::metrics::Metrics;
use hookmq_shared::queue::Vendor;
use hookmq_shared::redrive::{Options, Redriver, Stopped, Summary};
use hookmq_shared::service::Service as _;
use hookmq_shared::spill::Spill;
use hookmq_shared::store::memory::{self, MemoryStore, Operation};
use hookmq_shared::store::{Store, StoreError};
use serde_json::Value;
use tokio::time::{Instant, timeout};

use crate::kit::world::{Vendored, topic};

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(Duration::from_secs(600), test).await.unwrap() });
}

/// Test modules that run each test with the clients of both vendors.
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
    a_message_that_refers_renews_its_claim,
    a_hook_that_cannot_be_sent_costs_the_others_nothing,
    a_corrected_topic_sends_what_waits,
    a_corrected_topic_sends_what_was_kept_first,
    what_was_buried_is_sent_once_its_cause_is_mended,
    a_hook_that_is_gone_leaves_its_message,
    all_is_made_anew_if_that_is_asked_for,
    what_is_not_due_and_what_is_no_delivery_stop_nothing,
    a_wait_is_an_hour_at_most,
    calls_of_the_store_are_counted,
    calls_of_the_store_for_pages,
    a_store_that_falls_silent_ends_the_run,
);

/// A forwarder, its store, and its vendor.
struct Yard<Q> {
    emulator: Emulator,
    memory: MemoryStore,
    context: Context,
    hooks: String,
    queue: fn(Context) -> Q,
}

impl<Q: Vendored> Yard<Q> {
    /// Starts the parts with these hooks, given as a name and further lines of the hook's table.
    async fn start(hooks: &[(&str, &str)], queue: fn(Context) -> Q) -> Self {
        let emulator = Emulator::start(([127, 0, 0, 1], 0).into(), EmulatorConfig::default()).await.unwrap();
        let url = emulator.url();
        let env = Env::of([
            ("TENCENTCLOUD_SECRET_ID", sample::SECRET_ID),
            ("TENCENTCLOUD_SECRET_KEY", sample::SECRET_KEY),
            ("TENCENTCLOUD_REGION", "ap-guangzhou"),
            ("TDMQ_ENDPOINT", &url),
            ("HUAWEICLOUD_SDK_AK", sample::ACCESS_KEY),
            ("HUAWEICLOUD_SDK_SK", sample::SECRET_ACCESS_KEY),
            ("HUAWEICLOUD_SDK_PROJECT_ID", sample::PROJECT_ID),
            ("ROCKETMQ_ENDPOINT", &url),
            ("ROCKETMQ_INSTANCE_ID", sample::INSTANCE_ID),
            // The hooks require a store in the environment, although the tests use the one in memory.
            ("SPILL_URL", "file:///nowhere"),
        ]);
        let context = Context { env, clock: Clock::system(), random: Random::system() };
        let table = |(name, rest): &(&str, &str)| {
            let topic = format!("topic = \"{}\"\n", topic(Q::VENDOR));
            let topic = if rest.contains("topic = ") { "" } else { &topic };
            format!("[hooks.{name}]\nsource = \"none\"\n{topic}{rest}\n")
        };
        let hooks = hooks.iter().map(table).collect();
        Self { emulator, memory: MemoryStore::new(context.clock.clone()), context, hooks, queue }
    }

    fn config(&self) -> Config {
        let reading = Reading::new(&self.context.env, Samples::Accepted);
        let config = Config::parse("hooks.toml", &self.hooks, reading);
        assert!(!config.has_errors(), "{:?}", config.mistakes);
        config
    }

    fn spill(&self) -> Spill {
        Spill::new(Store::new(self.memory.clone()), &self.context)
    }

    fn gateway(&self) -> Gateway<Q> {
        let stores = Stores { spill: Some(self.spill()), ..Stores::default() };
        let queues = vec![(Q::VENDOR.into(), (self.queue)(self.context.clone()))];
        Gateway::assemble(self.config(), Q::VENDOR, queues, stores, self.context.clone(), Metrics::off())
    }

    /// Delivers these bodies to one forwarder, which must acknowledge all of them.
    async fn accept(&self, hook: &str, bodies: impl IntoIterator<Item = String>) {
        let gateway = self.gateway();
        for body in bodies {
            let request = Request {
                method: "POST".into(),
                path: format!("/{hook}"),
                raw_query: String::new(),
                headers: [("content-type", "application/json")].into_iter().collect(),
                body: body.into(),
                request_id: "r".into(),
                received: Instant::now(),
                source_ip: None,
                deadline: None,
            };
            let answer = gateway.call(request).await;
            assert_eq!(answer.status, 200, "{:?}", answer.body);
        }
    }

    /// Runs a redriver as a new process would.
    async fn redrive(&self, options: &Options) -> Summary {
        self.redrive_for(options, Duration::from_secs(20)).await
    }

    async fn redrive_for(&self, options: &Options, time: Duration) -> Summary {
        let queue = (self.queue)(self.context.clone());
        let config = Arc::new(self.config());
        let redriver = Redriver::new(Q::VENDOR, queue, self.spill(), config, self.context.clone());
        redriver.run(options, Instant::now() + time).await.unwrap()
    }

    /// Makes every request with this topic, or every request, fail in this way.
    fn fail(&self, topic: Option<&str>, kind: FaultKind) {
        let fault = Fault::new(kind).times(0);
        let fault = Fault { topic: topic.map(str::to_owned), ..fault };
        self.emulator.set_faults(vec![fault]);
    }

    fn heal(&self) {
        self.emulator.set_faults(Vec::new());
    }

    fn count(&self, folder: &str) -> usize {
        self.memory.count(&format!("{folder}/"))
    }

    /// Returns the envelopes in the queue of this topic.
    fn queued(&self, topic: &str) -> Vec<Value> {
        let messages = self.emulator.messages();
        let here = messages.iter().filter(|message| message.topic.ends_with(topic));
        let parsed = |message: &StoredMessage| {
            crate::kit::contract::assert_kept(&message.text);
            serde_json::from_str(&message.text).unwrap()
        };
        here.map(parsed).collect()
    }

    fn calls(&self) -> Calls {
        let of = |operation| self.memory.calls(operation);
        Calls {
            folders: of(Operation::Folders),
            lists: of(Operation::List),
            gets: of(Operation::Get),
            new: of(Operation::PutNew),
            puts: of(Operation::Put),
            deletes: of(Operation::Delete),
            heads: of(Operation::Head),
        }
    }

    /// Makes a run and returns its summary and the store calls that it cost.
    async fn price(&self, options: &Options) -> (Summary, Calls) {
        let before = self.calls();
        let summary = self.redrive(options).await;
        let after = self.calls();
        let calls = Calls {
            folders: after.folders - before.folders,
            lists: after.lists - before.lists,
            gets: after.gets - before.gets,
            new: after.new - before.new,
            puts: after.puts - before.puts,
            deletes: after.deletes - before.deletes,
            heads: after.heads - before.heads,
        };
        (summary, calls)
    }
}

/// Numbers of calls to the store, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Calls {
    folders: u64,
    lists: u64,
    gets: u64,
    new: u64,
    puts: u64,
    deletes: u64,
    heads: u64,
}

fn now() -> Options {
    Options { now: true, ..Options::default() }
}

fn dead() -> Options {
    Options { dead: true, ..Options::default() }
}

/// Builds an error of the vendor with its code.
fn error<Q: Vendored>(tdmq: &str, rocketmq: (&str, u16)) -> FaultKind {
    let (code, status) = if Q::VENDOR == Vendor::Tdmq {
        (tdmq.to_owned(), None)
    } else {
        (rocketmq.0.to_owned(), http::StatusCode::from_u16(rocketmq.1).ok())
    };
    FaultKind::Error { code, status, message: None, headers: http::HeaderMap::new(), stored: false }
}

/// Builds the vendor's error for a missing topic.
fn no_topic<Q: Vendored>() -> FaultKind {
    error::<Q>("ResourceNotFound.Topic", ("DMS.10540019", 404))
}

/// Builds the vendor's error for a message that it will never take.
fn never<Q: Vendored>() -> FaultKind {
    error::<Q>("InternalError.IllegalMessage", ("DMS.10540012", 400))
}

/// Returns a mistyped topic.
fn typo(vendor: Vendor) -> &'static str {
    if vendor == Vendor::Tdmq { "pulsar-demo/webhoks/tset" } else { "webhoks_tset" }
}

/// Returns the last segment of a topic, which ends its full name in the queue.
fn end(topic: &str) -> &str {
    topic.rsplit('/').next().unwrap()
}

/// Checks that a message with a reference renews a claim that is gone, in `spill/` and in `dead/`. Earlier,
/// the stored message was sent with its broken reference, and the only copy of the body was deleted.
async fn a_message_that_refers_renews_its_claim<Q: Vendored>(queue: fn(Context) -> Q) {
    let body = format!("{{\"x\":\"{}\"}}", "y".repeat(5 << 20));
    for is_dead in [false, true] {
        let mode = if is_dead { "" } else { "spill = \"always\"" };
        let yard = Yard::start(&[("h", mode)], queue).await;
        yard.fail(None, never::<Q>());
        yard.accept("h", [body.clone()]).await;
        yard.heal();
        let claims = yard.memory.names("claims/");
        assert_eq!(claims.len(), 1);
        yard.memory.remove(&claims[0]);
        let options = if is_dead { dead() } else { Options::default() };
        let summary = yard.redrive(&options).await;
        assert_eq!((summary.sent, summary.left()), (1, 0), "{summary:?}");
        assert_eq!(yard.count("spill") + yard.count("dead"), 0);
        let event = yard.queued("").remove(0);
        let address = event["dataref"].as_str().unwrap();
        let name = address.strip_prefix("memory://store/").unwrap();
        assert_eq!(yard.memory.object(name).unwrap().bytes, body.as_bytes(), "the body is there");
    }
}

/// Checks that a hook that cannot be sent does not delay the others. Earlier, five consecutive failures of
/// one hook ended each run of its whole target.
async fn a_hook_that_cannot_be_sent_costs_the_others_nothing<Q: Vendored>(queue: fn(Context) -> Q) {
    let bad = typo(Q::VENDOR);
    let rest = format!("spill = \"always\"\ntopic = \"{bad}\"");
    let yard = Yard::start(&[("bad", rest.as_str()), ("sound", "spill = \"always\"")], queue).await;
    yard.accept("bad", (0..200).map(|n| format!("[{n}]"))).await;
    yard.accept("sound", (0..20).map(|n| format!("[{n}]"))).await;
    yard.fail(Some(bad), no_topic::<Q>());
    let summary = yard.redrive_for(&Options::default(), Duration::from_secs(6)).await;
    assert_eq!(summary.sent, 20, "{summary:?}");
    assert_eq!(yard.queued(end(topic(Q::VENDOR))).len(), 20);
    // A delivery that was not tried is not a failure, and has no wait.
    assert!(summary.failed < 50 && summary.waiting >= 150, "{summary:?}");
    assert_eq!(yard.count("retry"), summary.failed);
    assert!(summary.reasons.keys().all(|why| why.starts_with("bad: config: ")), "{:?}", summary.reasons);
}

/// Checks that deliveries in `spill/` are sent to a corrected topic (`config`). Earlier, they were sent to
/// the stored topic for ever.
async fn a_corrected_topic_sends_what_waits<Q: Vendored>(queue: fn(Context) -> Q) {
    let (bad, good) = (typo(Q::VENDOR), topic(Q::VENDOR));
    let rest = format!("deadline = \"1s\"\ntopic = \"{bad}\"");
    let mut yard = Yard::start(&[("h", rest.as_str())], queue).await;
    yard.fail(Some(bad), no_topic::<Q>());
    yard.accept("h", (0..3).map(|n| format!("[{n}]"))).await;
    assert_eq!(yard.count("spill"), 3);
    yard.hooks = yard.hooks.replace(bad, good);
    let summary = yard.redrive(&Options::default()).await;
    assert_eq!((summary.sent, summary.left()), (3, 0), "{summary:?}");
    assert_eq!(yard.queued(end(good)).len(), 3);
}

/// Checks that a corrected topic is used with `spill = "always"`, where no send had failed before the
/// delivery was stored.
async fn a_corrected_topic_sends_what_was_kept_first<Q: Vendored>(queue: fn(Context) -> Q) {
    let (bad, good) = (typo(Q::VENDOR), topic(Q::VENDOR));
    let rest = format!("spill = \"always\"\ntopic = \"{bad}\"");
    let mut yard = Yard::start(&[("h", rest.as_str())], queue).await;
    yard.fail(Some(bad), no_topic::<Q>());
    yard.accept("h", (0..100).map(|n| format!("[{n}]"))).await;
    let failed = yard.redrive_for(&Options::default(), Duration::from_secs(5)).await;
    assert!(failed.sent == 0 && failed.failed > 0, "{failed:?}");
    yard.hooks = yard.hooks.replace(bad, good);
    let summary = yard.redrive(&now()).await;
    assert_eq!((summary.sent, summary.left()), (100, 0), "{summary:?}");
    assert_eq!(yard.queued(end(good)).len(), 100);
    assert_eq!((yard.count("spill"), yard.count("retry")), (0, 0));
}

/// Checks that deliveries in `dead/` are sent once their template or their refused topic is corrected.
/// Earlier, the old message was sent again.
async fn what_was_buried_is_sent_once_its_cause_is_mended<Q: Vendored>(queue: fn(Context) -> Q) {
    let (bad, good) = (typo(Q::VENDOR), topic(Q::VENDOR));
    let rest = format!("deadline = \"1s\"\ntopic = \"{bad}\"");
    let keyed = "key = \"{json:order.id}\"";
    let mut yard = Yard::start(&[("keyed", keyed), ("refused", rest.as_str())], queue).await;
    yard.accept("keyed", ["{\"order\":{}}".to_owned()]).await;
    yard.fail(Some(bad), never::<Q>());
    yard.accept("refused", ["[1]".to_owned()]).await;
    assert_eq!((yard.count("dead"), yard.count("spill")), (2, 0));
    // Without a change, no delivery is sent or removed.
    let summary = yard.redrive(&dead()).await;
    assert_eq!((summary.sent, summary.left(), yard.count("dead")), (0, 2, 2), "{summary:?}");
    yard.hooks = yard.hooks.replace(keyed, "key = \"{id}\"").replace(bad, good);
    let summary = yard.redrive(&dead()).await;
    assert_eq!((summary.sent, summary.left(), yard.count("dead")), (2, 0, 0), "{summary:?}");
    assert_eq!(yard.queued(end(good)).len(), 2);
}

/// Checks that a stored message is sent if its hook is gone and can make no other.
async fn a_hook_that_is_gone_leaves_its_message<Q: Vendored>(queue: fn(Context) -> Q) {
    let mut yard = Yard::start(&[("h", "deadline = \"1s\"")], queue).await;
    yard.fail(None, no_topic::<Q>());
    yard.accept("h", ["[1]".to_owned()]).await;
    yard.fail(None, never::<Q>());
    yard.accept("h", ["[2]".to_owned()]).await;
    yard.heal();
    yard.hooks = yard.hooks.replace("[hooks.h]", "[hooks.another]");
    assert_eq!(yard.redrive(&Options::default()).await.sent, 1);
    assert_eq!(yard.redrive(&dead()).await.sent, 1);
    assert_eq!((yard.queued("").len(), yard.memory.count("")), (2, 0));
}

/// Checks that `hookmq redrive --render` makes new messages, also for deliveries that failed for another
/// reason.
async fn all_is_made_anew_if_that_is_asked_for<Q: Vendored>(queue: fn(Context) -> Q) {
    let (old, new) = (typo(Q::VENDOR), topic(Q::VENDOR));
    let rest = format!("spill = \"always\"\ntopic = \"{old}\"");
    for is_dead in [false, true] {
        let mut yard = Yard::start(&[("h", rest.as_str())], queue).await;
        yard.accept("h", ["[1]".to_owned()]).await;
        if is_dead {
            yard.fail(None, never::<Q>());
            assert_eq!(yard.redrive(&Options::default()).await.dead, 1);
            yard.heal();
        }
        yard.hooks = yard.hooks.replace(old, new);
        let options = Options { render: true, dead: is_dead, ..Options::default() };
        assert_eq!(yard.redrive(&options).await.sent, 1);
        assert_eq!((yard.queued(end(new)).len(), yard.queued(end(old)).len()), (1, 0), "{is_dead}");
        assert_eq!(yard.memory.count(""), 0);
    }
}

/// Checks that deliveries that are not due, and foreign objects, do not slow a run down. Earlier, the run
/// read them, and each took as long as a send.
async fn what_is_not_due_and_what_is_no_delivery_stop_nothing<Q: Vendored>(queue: fn(Context) -> Q) {
    let yard = Yard::start(&[("h", "spill = \"always\"")], queue).await;
    let vendor = Q::VENDOR.as_str();
    let later = yard.context.clock.now().shifted(30 * 60 * 1000).unix_millis();
    for n in 0..3000 {
        yard.memory.insert(&format!("spill/{vendor}/h/{n:064x}"), "early".into());
        yard.memory.insert(&format!("retry/{vendor}/h/{n:064x}.{later:013}.3"), "{}".into());
    }
    for n in 0..300 {
        yard.memory.insert(&format!("spill/{vendor}/h/{n:063x}g"), "{".into());
    }
    yard.accept("h", (0..3).map(|n| format!("[{n}]"))).await;
    // At this pace the other 3,300 objects would take 33 minutes.
    let options = Options { rate: Some(100), ..Options::default() };
    let (summary, calls) = yard.price(&options).await;
    assert_eq!((summary.sent, summary.waiting, summary.corrupt), (3, 3000, 300), "{summary:?}");
    assert_eq!(calls.gets, 1 + 300 + 3, "what is not due is not read");
    assert_eq!(yard.count("spill"), 3300);
}

/// Checks that a wait is at most an hour. Earlier, a vendor's `Retry-After` of a day led to a wait of a day,
/// and a wrong clock to a wait of a year.
async fn a_wait_is_an_hour_at_most<Q: Vendored>(queue: fn(Context) -> Q) {
    let yard = Yard::start(&[("h", "spill = \"always\"")], queue).await;
    yard.accept("h", ["[1]".to_owned()]).await;
    let mut headers = http::HeaderMap::new();
    headers.insert("retry-after", http::HeaderValue::from_static("86400"));
    let (code, status) = if Q::VENDOR == Vendor::Tdmq {
        ("RequestLimitExceeded", None)
    } else {
        ("APIG.0308", Some(http::StatusCode::TOO_MANY_REQUESTS))
    };
    yard.fail(
        None,
        FaultKind::Error { code: code.to_owned(), status, message: None, headers, stored: false },
    );
    let begun = yard.context.clock.now();
    let summary = yard.redrive(&Options::default()).await;
    assert_eq!(summary.failed, 1, "{summary:?}");
    let next = Timestamp::parse_rfc3339(&summary.next.unwrap()).unwrap();
    assert!(next.unix() - begun.unix() <= 3600 + 30, "{next:?} after {begun:?}");
    let waits = yard.memory.names("retry/");
    assert_eq!(waits.len(), 1);
    // A wrong clock writes another time.
    let state = yard.memory.object(&waits[0]).unwrap().bytes;
    yard.memory.remove(&waits[0]);
    let digest = waits[0].split('.').next().unwrap();
    let year = begun.shifted(365 * 24 * 3600 * 1000).unix_millis();
    yard.memory.insert(&format!("{digest}.{year:013}.1"), state);
    yard.heal();
    let summary = yard.redrive(&Options::default()).await;
    assert_eq!((summary.sent, yard.memory.count("")), (1, 0), "{summary:?}");
}

/// Checks the number of store calls for each delivery. A run also costs a look for hooks with deliveries and
/// one for hooks with states, a read of the last run's cursor, and a page of each listing.
async fn calls_of_the_store_are_counted<Q: Vendored>(queue: fn(Context) -> Q) {
    let yard = Yard::start(&[("h", "spill = \"always\"")], queue).await;
    let run = Calls { folders: 2, lists: 2, gets: 1, ..Calls::default() };

    // With an empty store, only the hooks are looked up.
    let (_, calls) = yard.price(&Options::default()).await;
    assert_eq!(calls, Calls { folders: 2, ..Calls::default() });

    // A delivery that is sent at once is read and deleted.
    yard.accept("h", (0..10).map(|n| format!("[{n}]"))).await;
    assert_eq!(yard.calls().new, 10);
    let (summary, calls) = yard.price(&Options::default()).await;
    assert_eq!((summary.sent, calls), (10, Calls { gets: 1 + 10, deletes: 10, ..run }));

    // A first failure writes the time of the next attempt.
    yard.accept("h", ["[1]".to_owned()]).await;
    yard.fail(None, FaultKind::Throttle);
    let (summary, calls) = yard.price(&Options::default()).await;
    assert_eq!((summary.failed, calls), (1, Calls { gets: 1 + 1, puts: 1, ..run }));
    // A delivery that is not due costs no call of its own.
    let (summary, calls) = yard.price(&Options::default()).await;
    assert_eq!((summary.waiting, calls), (1, run));
    // A further failure reads the state and writes it again.
    let (summary, calls) = yard.price(&now()).await;
    assert_eq!((summary.failed, calls), (1, Calls { gets: 1 + 2, puts: 1, deletes: 1, ..run }));
    // After success, both objects are deleted.
    yard.heal();
    let (summary, calls) = yard.price(&now()).await;
    assert_eq!((summary.sent, calls), (1, Calls { gets: 1 + 1, deletes: 2, ..run }));

    // A buried delivery is written to `dead/` before it is deleted. A run over `dead/` looks for no states
    // and no cursor.
    yard.accept("h", ["[2]".to_owned()]).await;
    yard.fail(None, never::<Q>());
    let (summary, calls) = yard.price(&Options::default()).await;
    assert_eq!((summary.dead, calls), (1, Calls { gets: 1 + 1, new: 1, deletes: 1, ..run }));
    yard.heal();
    let (summary, calls) = yard.price(&dead()).await;
    let by_hand = Calls { folders: 1, lists: 1, gets: 1, deletes: 1, ..Calls::default() };
    assert_eq!((summary.sent, calls), (1, by_hand));
    assert_eq!(yard.memory.count(""), 0);

    // A body with a reference is written once more.
    yard.accept("h", [format!("{{\"x\":\"{}\"}}", "y".repeat(5 << 20))]).await;
    let (summary, calls) = yard.price(&Options::default()).await;
    assert_eq!((summary.sent, calls), (1, Calls { gets: 1 + 1, puts: 1, deletes: 1, ..run }));
}

/// Checks the number of store calls for listings in pages of a thousand; a hook without states costs one
/// empty page.
async fn calls_of_the_store_for_pages<Q: Vendored>(queue: fn(Context) -> Q) {
    let yard = Yard::start(&[("h", "spill = \"always\"")], queue).await;
    yard.accept("h", (0..1100).map(|n| format!("[{n}]"))).await;
    let options = Options { rate: Some(100_000), ..Options::default() };
    let (summary, calls) = yard.price(&options).await;
    assert_eq!((summary.sent, summary.left()), (1100, 0), "{summary:?}");
    // A run of more than ten seconds writes its position.
    let Calls { puts, .. } = calls;
    assert!(puts <= 3, "{calls:?}");
    let cursor = u64::from(puts > 0);
    let whole = Calls { folders: 2, lists: 2 + 1, gets: 1 + 1100, deletes: 1100 + cursor, puts, ..calls };
    assert_eq!((calls, calls.new + calls.heads), (whole, 0));
}

/// Checks that a store that stops answering during a run ends the run, and that the report contains the work
/// done.
async fn a_store_that_falls_silent_ends_the_run<Q: Vendored>(queue: fn(Context) -> Q) {
    let yard = Yard::start(&[("h", "spill = \"always\"")], queue).await;
    let options = Options { patience: Duration::from_secs(4), concurrency: 8, ..Options::default() };
    let unreachable = StoreError::Unreachable("connection refused".into());
    for fault in
        [memory::Fault::slow(Duration::from_secs(3600)), memory::FaultKind::Fails(unreachable.clone()).into()]
    {
        yard.accept("h", (0..200).map(|n| format!("[{n}]"))).await;
        let mut left = 50;
        yard.memory.set_faults(move |_, _| {
            if left == 0 {
                return fault.clone();
            }
            left -= 1;
            memory::Fault::default()
        });
        let summary = yard.redrive_for(&options, Duration::from_secs(3600)).await;
        let Some(Stopped::Store(error)) = &summary.stopped else { panic!("{summary:?}") };
        assert!(error.is_silence(), "{error}");
        assert!(summary.sent > 5 && summary.left() > 100, "{summary:?}");
        let told = serde_json::to_value(&summary).unwrap()["stopped"].as_str().unwrap().to_owned();
        assert!(told.starts_with("the store fails: "), "{told}");
        yard.memory.clear_faults();
        assert_eq!(yard.redrive(&now()).await.left(), 0);
    }
}
