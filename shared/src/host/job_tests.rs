//! Tests of `job`.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::doubles::Noting;
use super::*;
use crate::clock::Random;
use crate::config::{Config, Reading, Samples};
use crate::context::Context;
use crate::hops::Hops;
use crate::host::server::{Limits, Server, Stop};
use crate::http::Headers;
use crate::message::Message;
use crate::message::tests::delivery;
use crate::queue::told::{Said, ToldQueue};
use crate::queue::{Queue, Receipt, SendError, Target, Until, Vendor};
use crate::redrive::Redriver;
use crate::spill::{Folder, History, Record, Spill};
use crate::store::Store;
use crate::store::memory::{Fault, MemoryStore, Operation};

#[tokio::test]
async fn a_run_on_demand_takes_what_is_due_or_all() {
    let job = Noting::default();
    let answer_with = |headers: Headers, source: Option<&str>, method: &str, path: &str, raw_query: &str| {
        let request = Request {
            method: method.into(),
            path: path.into(),
            raw_query: raw_query.into(),
            headers,
            body: bytes::Bytes::new(),
            request_id: String::new(),
            received: Instant::now(),
            source_ip: source.map(|address| address.parse().unwrap()),
            deadline: None,
        };
        let demand = OnDemand(job.clone());
        async move { demand.call(request).await.status }
    };
    let answer_to = |source, method: &str, path: &str, raw_query: &str| {
        answer_with(Headers::default(), source, method, path, raw_query)
    };
    // Anybody who reaches the port could ask for runs, also through a proxy beside the process.
    for other in [
        None,
        Some("10.0.0.7"),
        Some("::ffff:10.0.0.7"),
        Some("2001:db8::1"),
        Some("0.0.0.0"),
        Some("127.0.0.6"),
    ] {
        assert_eq!(answer_to(other, "POST", "/", "now=1").await, 403, "{other:?}");
    }
    for own in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
        assert_eq!(answer_to(Some(own), "POST", "/", "now=0").await, 400, "{own}");
    }
    for field in ["x-forwarded-for", "forwarded", "via"] {
        let headers = [(field, "127.0.0.1")].into_iter().collect();
        assert_eq!(answer_with(headers, Some("127.0.0.1"), "POST", "/", "now=1").await, 403, "{field}");
    }
    // An address that TRUST_PROXIES names is a proxy's, and nobody knows whose a request without its field is.
    let env = Env::of([("TRUST_PROXIES", "127.0.0.0/8, ::1")]);
    let hops = Hops::from_env(&env).unwrap();
    for peer in ["127.0.0.1", "::1"] {
        let source = hops.sender(peer.parse().unwrap(), &http::HeaderMap::new());
        assert_eq!(source, None, "{peer}");
    }
    let advice = |fields: &[(&'static str, &'static str)], source: Option<&str>| {
        refusal(&fields.iter().copied().collect(), source.map(|source| source.parse().unwrap()))
    };
    assert!(advice(&[], None).unwrap().contains("TRUST_PROXIES names this peer"));
    assert!(advice(&[("via", "1.1 x")], Some("::1")).unwrap().contains("a proxy handed this on"));
    assert!(advice(&[], Some("10.0.0.7")).unwrap().contains("on loopback alone"));
    assert_eq!(advice(&[], Some("127.0.0.1")), None);
    let answer = |method, path, query| answer_to(Some("127.0.0.1"), method, path, query);
    for (method, path, query, status) in [
        ("POST", "/", "", 200),
        ("POST", "/", "now=1", 200),
        ("POST", "/", "now=0", 400),
        ("POST", "/", "dead=1", 400),
        ("POST", "/", "shard=3/8", 200),
        ("POST", "/", "now=1&shard=0%2F1", 200),
        ("POST", "/", "shard=1/2&now=1", 200),
        ("POST", "/", "shard=", 400),
        ("POST", "/", "shard=8/8", 400),
        ("POST", "/", "shard=%ff", 400),
        ("POST", "/", "shard=0/2&shard=1/2", 400),
        ("POST", "/", "now=1&now=1", 400),
        ("POST", "/", "now=1&", 400),
        ("POST", "/", "&", 400),
        ("GET", "/", "now=1", 405),
        ("POST", "/else", "", 404),
    ] {
        assert_eq!(answer(method, path, query).await, status, "{method} {path}?{query}");
    }
    let shard = |text| Some(Shard::parse(text).unwrap());
    assert_eq!(
        job.orders(),
        [
            Order::due(None),
            Order { scope: Scope::All, shard: None },
            Order::due(shard("3/8")),
            Order { scope: Scope::All, shard: shard("0/1") },
            Order { scope: Scope::All, shard: shard("1/2") },
        ],
        "what cannot be read runs nothing, and never all"
    );
}

#[test]
fn the_interval_is_checked() {
    let of = |text: &str| every(&Env::of([("REDRIVE_EVERY", text)]));
    assert_eq!(of("").ok(), Some(EVERY));
    assert_eq!(of("5").ok(), Some(Duration::from_secs(5)));
    for wrong in ["0", "-1", "1m", "86401"] {
        assert_eq!(of(wrong).unwrap_err().variable, "REDRIVE_EVERY", "{wrong}");
    }
}

/// Queue that stores a message at once and answers late.
#[derive(Clone, Debug)]
struct Slow(ToldQueue);

impl Queue for Slow {
    fn vendor(&self) -> Vendor {
        Vendor::Tdmq
    }

    fn takes(&self, message: &Message) -> Result<(), SendError> {
        self.0.takes(message)
    }

    fn problems(&self) -> Vec<EnvProblem> {
        Vec::new()
    }

    async fn prewarm(&self) {}

    async fn send(&self, message: &Message, until: impl Into<Until> + Send) -> Result<Receipt, SendError> {
        let sent = self.0.send(message, until).await;
        sleep(Duration::from_secs(3)).await;
        sent
    }
}

/// Job whose redriver sends one message at a time.
#[derive(Clone)]
struct OneByOne {
    redriver: Redriver<Slow>,
    queue: ToldQueue,
    memory: MemoryStore,
}

impl OneByOne {
    async fn start(count: usize) -> Self {
        let context = Context { env: Env::of::<&str, &str>([]), ..Context::system() };
        let memory = MemoryStore::new(context.clock.clone());
        let spill = Spill::new(Store::new(memory.clone()), &context);
        let hooks = "[hooks.github]\nsource = \"none\"\ntopic = \"a/b/c\"\n";
        let config = Config::parse("hooks", hooks, Reading::new(&context.env, Samples::Accepted));
        let target = Target::from(Vendor::Tdmq);
        let recipe = config.hook("github").unwrap().recipe(&target, "").unwrap();
        for n in 0..count {
            let mut delivery = delivery(b"{}", None);
            delivery.content_mut().id = format!("id-{n}");
            let message = recipe.render(&delivery).unwrap();
            let failure = History::other("always", "", context.clock.now());
            let record = Record::new(&target, &delivery, Some(message), failure);
            spill.keep(Folder::Spill, &record, Instant::now() + LONGEST).await.unwrap();
        }
        let queue = ToldQueue::new(Vendor::Tdmq, 1 << 20, |_| Said::STORED);
        let redriver = Redriver::new(target, Slow(queue.clone()), spill, Arc::new(config), context);
        Self { redriver, queue, memory }
    }

    /// Returns the number of messages in the queue, and of records in the store.
    fn count(&self) -> (usize, usize) {
        (self.queue.messages().len(), self.memory.count("spill/"))
    }

    /// Starts a server, with or without a clock; returns its address, its stop and its task.
    async fn serve(&self, has_clock: bool) -> (std::net::SocketAddr, oneshot::Sender<Stop>, JoinHandle<()>) {
        let server = Server::bind("127.0.0.1:0", Limits::default()).await.unwrap();
        let address = server.local_addr();
        let (stop, stopped) = oneshot::channel();
        let (job, every) = (self.clone(), if has_clock { EVERY } else { LONGEST * 1000 });
        let serving = async move {
            let stopped = async { stopped.await.unwrap() };
            let beside = async {
                if has_clock {
                    repeat(job.clone(), every).await;
                } else {
                    Stopping::in_hand().announced().await;
                }
            };
            server.serve_beside(OnDemand(job.clone()), Random::system(), stopped, beside).await;
        };
        (address, stop, tokio::spawn(serving))
    }
}

impl Job for OneByOne {
    async fn run(&self, _: Order, deadline: Instant) -> Result<Value, String> {
        let options = redrive::Options { concurrency: 1, ..redrive::Options::default() };
        let done = self.redriver.run(&options, deadline).await.map_err(|error| error.to_string())?;
        Ok(serde_json::to_value(&done).unwrap())
    }

    fn metrics(&self) -> &Metrics {
        unreachable!()
    }

    fn readiness(&self) -> Readiness {
        true.into()
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_what_is_under_way_end_and_begins_nothing() {
    for (how, at) in [(Stop::Now, 1), (Stop::Leaving, 1), (Stop::Now, 4)] {
        for has_clock in [true, false] {
            let job = OneByOne::start(4).await;
            let (address, stop, serving) = job.serve(has_clock).await;
            let mut asker = TcpStream::connect(address).await.unwrap();
            if !has_clock {
                asker.write_all(b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n").await.unwrap();
            }
            sleep(Duration::from_secs(at)).await;
            let told = Instant::now();
            stop.send(how).unwrap();
            serving.await.unwrap();
            assert!(told.elapsed() < Duration::from_secs(8), "{how:?} {at} {:?}", told.elapsed());
            // Each send takes three seconds; a server that leaves goes on for three more.
            let sent = if how == Stop::Now && at == 1 { 1 } else { 2 };
            assert_eq!(job.count(), (sent, 4 - sent), "{how:?} {at} {has_clock}: one copy of each");
            if !has_clock {
                let mut answer = [0; 12];
                asker.read_exact(&mut answer).await.unwrap();
                assert_eq!(&answer, b"HTTP/1.1 200");
            }
            job.run(Order::due(None), Instant::now() + LONGEST).await.unwrap();
            assert_eq!(job.count(), (4, 0), "{how:?} {at} {has_clock}: the next process sends the rest");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_a_listing() {
    for has_clock in [true, false] {
        let job = OneByOne::start(1).await;
        job.memory.set_faults(|operation, _| {
            let delay = if operation == Operation::List { 3600 } else { 0 };
            Fault::slow(Duration::from_secs(delay))
        });
        let (address, stop, serving) = job.serve(has_clock).await;
        let mut asker = TcpStream::connect(address).await.unwrap();
        asker.write_all(b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        sleep(Duration::from_secs(1)).await;
        let told = Instant::now();
        stop.send(Stop::Now).unwrap();
        serving.await.unwrap();
        assert!(told.elapsed() < Duration::from_secs(1), "{has_clock} {:?}", told.elapsed());
        assert_eq!(job.count(), (0, 1));
    }
}
