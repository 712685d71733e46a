//! A forwarder with a store, and a vendor with outages, in Tokio's paused time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookmq_shared::clock::{Clock, Random, Timestamp};
use hookmq_shared::config::{Config, Reading, Samples};
use hookmq_shared::context::Context;
use hookmq_shared::env::Env;
use hookmq_shared::gateway::{Gateway, Stores};
use hookmq_shared::http::Request;
use hookmq_shared::metrics::Metrics;
use hookmq_shared::net::answer::Answer;
use hookmq_shared::net::endpoint::Endpoint;
use hookmq_shared::queue::Vendor;
use hookmq_shared::queue::memory::{Broker, MemoryQueue, QueueLimits, Reply, Try, What};
use hookmq_shared::service::Service as _;
use hookmq_shared::spill::{Record, Spill};
use hookmq_shared::store::Store;
use hookmq_shared::store::memory::{Fault, MemoryStore};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

/// Duration of a write to the store.
pub(crate) const WRITE: Duration = Duration::from_millis(4);

/// Duration of an attempt that is answered at once.
pub(crate) const ANSWER: Duration = Duration::from_millis(10);

/// The vendor's behaviour for an attempt, by its topic.
type Decide = dyn FnMut(&str) -> (Duration, What) + Send;

struct Vendors {
    decide: Arc<Mutex<Box<Decide>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// An attempt that reached the vendor.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) at: Instant,
    pub(crate) topic: String,
    pub(crate) id: String,
    pub(crate) is_stored: bool,
}

impl Broker for Vendors {
    fn way(&self, _: &Try<'_>) -> Duration {
        ANSWER / 2
    }

    fn take(&self, attempt: &Try<'_>) -> Reply {
        let topic = attempt.message.topic.clone();
        let (after, what) = (self.decide.lock().unwrap())(&topic);
        let is_stored =
            matches!(&what, What::Answer(answer) if answer.body.windows(9).any(|w| w == b"MessageId"));
        let id = attempt.message.id.clone();
        self.asked.lock().unwrap().push(Asked { at: Instant::now(), topic, id, is_stored });
        Reply { after, what }
    }
}

/// Builds an answer of TDMQ.
pub(crate) fn said(status: u16, body: &str) -> (Duration, What) {
    let answer = Answer { status, body: body.to_owned().into(), ..Answer::default() };
    (ANSWER / 2, What::Answer(answer))
}

/// Builds an error answer of TDMQ with this code.
pub(crate) fn error(code: &str) -> (Duration, What) {
    said(200, &format!(r#"{{"Response":{{"Error":{{"Code":"{code}","Message":"m"}},"RequestId":"r"}}}}"#))
}

/// Builds the answer to a stored message.
pub(crate) fn stored() -> (Duration, What) {
    said(200, r#"{"Response":{"MessageId":"1:2:3:4","RequestId":"r"}}"#)
}

/// A kind of outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    InternalError,
    Unavailable,
    UnknownCode,
    BadGateway,
    Error500,
    Error503,
    Throttled,
    Throttled429,
    ThrottledUin,
    SlowTimeOut,
    GatewayTimeOut,
    SendFailed,
    Hangs,
    AnswersLate,
    HangsForSome,
    Resets,
    ResetsLate,
    Refused,
    NoRoute,
    NoName,
}

impl Kind {
    /// All kinds of outages, at least three of each group.
    pub(crate) const ALL: [Self; 20] = [
        Self::InternalError,
        Self::Unavailable,
        Self::UnknownCode,
        Self::BadGateway,
        Self::Error500,
        Self::Error503,
        Self::Throttled,
        Self::Throttled429,
        Self::ThrottledUin,
        Self::SlowTimeOut,
        Self::GatewayTimeOut,
        Self::SendFailed,
        Self::Hangs,
        Self::AnswersLate,
        Self::HangsForSome,
        Self::Resets,
        Self::ResetsLate,
        Self::Refused,
        Self::NoRoute,
        Self::NoName,
    ];

    /// One kind of each group.
    pub(crate) const FEW: [Self; 6] =
        [Self::InternalError, Self::BadGateway, Self::Throttled, Self::Hangs, Self::Resets, Self::Refused];

    /// Returns true if no connection can be made.
    pub(crate) const fn is_unreachable(self) -> bool {
        matches!(self, Self::Refused | Self::NoRoute | Self::NoName)
    }

    /// Returns the vendor's behaviour for one attempt.
    pub(crate) fn met(self) -> (Duration, What) {
        let seconds = Duration::from_secs;
        match self {
            Self::InternalError => error("InternalError"),
            Self::Unavailable => error("ServiceUnavailable"),
            Self::UnknownCode => error("SomethingNew.Entirely"),
            Self::BadGateway => said(502, "<html>Bad Gateway</html>"),
            Self::Error500 => said(500, "internal server error"),
            Self::Error503 => said(503, "{}"),
            Self::Throttled => error("RequestLimitExceeded"),
            Self::Throttled429 => said(429, "slow down"),
            Self::ThrottledUin => error("RequestLimitExceeded.UinLimitExceeded"),
            Self::SlowTimeOut => (seconds(3), error("FailedOperation.SendMessageTimeoutError").1),
            Self::GatewayTimeOut => (seconds(5), said(504, "<html>").1),
            Self::SendFailed => error("FailedOperation.SendMsgFailed"),
            Self::Hangs => (Duration::ZERO, What::Silence),
            Self::AnswersLate => (seconds(12), stored().1),
            Self::HangsForSome => (seconds(60), What::Cut),
            Self::Resets => (Duration::ZERO, What::Cut),
            Self::ResetsLate => (seconds(2), What::Cut),
            Self::Refused => (Duration::ZERO, What::Refused),
            Self::NoRoute => (seconds(3), What::Refused),
            Self::NoName => (seconds(1), What::Refused),
        }
    }

    /// Returns true if a failed attempt may have stored its message, so that a retry makes a second copy.
    pub(crate) const fn is_time_out(self) -> bool {
        matches!(
            self,
            Self::SlowTimeOut | Self::GatewayTimeOut | Self::Hangs | Self::AnswersLate | Self::HangsForSome
        )
    }

    /// Returns true if the vendor asks for fewer requests.
    pub(crate) const fn is_throttling(self) -> bool {
        matches!(self, Self::Throttled | Self::Throttled429 | Self::ThrottledUin)
    }
}

/// A forwarder, its vendor and its store.
#[derive(Clone)]
pub(crate) struct House {
    gateway: Gateway<MemoryQueue>,
    decide: Arc<Mutex<Box<Decide>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    pub(crate) store: MemoryStore,
    sent: Arc<AtomicU64>,
    clock: Clock,
}

/// Status of an answer, and the time until it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) took: Duration,
}

impl House {
    /// Creates a forwarder with a hook for each of three topics.
    pub(crate) fn new(vars: &[(&str, &str)], rest: &str) -> Self {
        let url = [("SPILL_URL", "file:///unused")];
        let env = Env::of(url.into_iter().chain(vars.iter().copied()));
        let seed = AtomicU64::new(1);
        let random = Random::from_fn(move || {
            let next = seed.load(Ordering::Relaxed).wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            seed.store(next, Ordering::Relaxed);
            next >> 16
        });
        let begun = Instant::now();
        let clock = Clock::from_fn(move || {
            let millis = i64::try_from(begun.elapsed().as_millis()).unwrap();
            Timestamp::from_unix(1_760_000_000).shifted(millis)
        });
        let context = Context { env: env.clone(), clock: clock.clone(), random };
        let hook = |name| {
            format!("[hooks.{name}]\nsource = \"none\"\ntopic = \"t/n/{name}\"\ndeadline = \"10s\"\n{rest}\n")
        };
        let hooks = ["a", "b", "c"].map(hook).concat();
        let config = Config::parse("hooks", &hooks, Reading::new(&env, Samples::Accepted));
        assert!(config.hook("a").is_some(), "{:?}", config.mistakes);
        let decide: Arc<Mutex<Box<Decide>>> = Arc::new(Mutex::new(Box::new(|_| stored())));
        let asked = Arc::default();
        let endpoint = Endpoint::parse("https://vendor.test", false).unwrap();
        let limits = QueueLimits { most: 1 << 20, scale: 1 };
        let broker = Vendors { decide: Arc::clone(&decide), asked: Arc::clone(&asked) };
        let queue = MemoryQueue::new(Vendor::Tdmq, endpoint, limits, Arc::default(), context.clone(), broker);
        let store = MemoryStore::new(clock.clone());
        store.set_faults(|_, _| Fault::slow(WRITE));
        let spill = Spill::new(Store::new(store.clone()), &context);
        let stores = Stores { spill: Some(spill), quarantine: None, problems: Vec::new() };
        let queues = vec![(Vendor::Tdmq.into(), queue)];
        let gateway = Gateway::assemble(config, Vendor::Tdmq, queues, stores, context, Metrics::off());
        Self { gateway, decide, asked, store, sent: Arc::default(), clock }
    }

    /// Sets the vendor's behaviour from now on.
    pub(crate) fn vendor(&self, decide: impl FnMut(&str) -> (Duration, What) + Send + 'static) {
        *self.decide.lock().unwrap() = Box::new(decide);
    }

    /// Returns the attempts that the vendor has seen since the last call.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    /// Sends one delivery and waits for its answer.
    pub(crate) async fn deliver(&self, hook: &str) -> Answered {
        let n = self.sent.fetch_add(1, Ordering::Relaxed);
        let begun = Instant::now();
        let request = Request {
            method: "POST".into(),
            path: format!("/{hook}"),
            raw_query: String::new(),
            headers: [("content-type", "application/json")].into_iter().collect(),
            body: format!("{{\"n\":{n}}}").into(),
            request_id: "r".into(),
            received: begun,
            source_ip: None,
            deadline: None,
        };
        let status = self.gateway.call(request).await.status;
        Answered { status, took: begun.elapsed() }
    }

    /// Sends `count` deliveries at once.
    pub(crate) async fn burst(&self, hook: &str, count: usize) -> Vec<Answered> {
        let all: Vec<_> = (0..count)
            .map(|_| {
                let (house, hook) = (self.clone(), hook.to_owned());
                tokio::spawn(async move { house.deliver(&hook).await })
            })
            .collect();
        let mut answers = Vec::new();
        for one in all {
            answers.push(one.await.unwrap());
        }
        answers
    }

    /// Sends `rate` deliveries per second during `time`; returns all answers in order.
    pub(crate) async fn stream(&self, hook: &str, rate: u32, time: Duration) -> Vec<Answered> {
        let mut answers = Vec::new();
        for one in self.stream_on(hook, rate, time).await {
            answers.push(one.await.unwrap());
        }
        answers
    }

    /// Sends deliveries like [`stream`](Self::stream), but does not wait for those in progress at the end.
    pub(crate) async fn stream_on(&self, hook: &str, rate: u32, time: Duration) -> Vec<JoinHandle<Answered>> {
        let (begun, mut all) = (Instant::now(), Vec::new());
        let every = Duration::from_secs(1) / rate;
        for n in 0.. {
            let at = begun + every * n;
            if at >= begun + time {
                break;
            }
            sleep_until(at).await;
            let (house, hook) = (self.clone(), hook.to_owned());
            all.push(tokio::spawn(async move { house.deliver(&hook).await }));
        }
        all
    }

    /// Counts the spilled deliveries that were received since then.
    pub(crate) fn spilled_since(&self, since: Instant) -> usize {
        let since = self.clock.now().unix_millis() - i64::try_from(since.elapsed().as_millis()).unwrap();
        let names = self.store.names("spill/");
        let record = |name: &String| Record::parse(&self.store.object(name)?.bytes).ok();
        let received =
            names.iter().filter_map(record).map(|record| record.delivery.received_at.unix_millis());
        received.filter(|at| *at > since).count()
    }
}

/// Returns the median time until an answer.
pub(crate) fn median(answers: &[Answered]) -> Duration {
    let mut times: Vec<Duration> = answers.iter().map(|answer| answer.took).collect();
    times.sort();
    times[times.len() / 2]
}

/// Waits for this time.
pub(crate) async fn pause(time: Duration) {
    sleep(time).await;
}
