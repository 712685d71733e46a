//! Tests of the probe of the spill store, which runs before the store is needed: at the start of a host, and
//! beside a function's second delivery. Its result is reported and does not affect readiness.

use hookmq_emulator::{Emulator, sample};
use hookmq_shared::clock::{Clock, Random};
use hookmq_shared::config::{Config, Reading, Samples};
use hookmq_shared::context::Context;
use hookmq_shared::env::Env;
use hookmq_shared::gateway::{Gateway, Stores};
use hookmq_shared::http::{Headers, Request};
use hookmq_shared::metrics::Metrics;
use hookmq_shared::queue::{Vendor, tdmq};
use hookmq_shared::service::Service as _;
use hookmq_shared::spill::{PROBE, Spill, StoreProbe};
use hookmq_shared::store::Store;
use hookmq_shared::store::memory::{Fault, MemoryStore, Operation};
use tokio::time::Instant;

const TOKEN: &str = "a-token-of-the-store-probe-tests";

struct House {
    gateway: Gateway<tdmq::Client>,
    store: MemoryStore,
    emulator: Emulator,
}

impl House {
    async fn new(platform: &[(&str, &str)]) -> Self {
        let config = hookmq_emulator::Config::default();
        let emulator = Emulator::start(([127, 0, 0, 1], 0).into(), config).await.unwrap();
        let url = emulator.url();
        let vars = [
            ("TDMQ_ENDPOINT", url.as_str()),
            ("TDMQ_REGION", "ap-guangzhou"),
            ("TENCENTCLOUD_SECRET_ID", sample::SECRET_ID),
            ("TENCENTCLOUD_SECRET_KEY", sample::SECRET_KEY),
            ("ALLOW_HTTP_ENDPOINTS", "1"),
        ];
        let env = Env::of(vars.iter().chain(platform).copied());
        let hooks = format!(
            "[hooks.h]\nsource = \"bearer\"\nsecrets = [\"plain:{TOKEN}\"]\ntopic = \"pulsar-demo/webhooks/h\"\n"
        );
        let config = Config::parse("hooks", &hooks, Reading::new(&env, Samples::Accepted));
        let context = Context { env, clock: Clock::system(), random: Random::system() };
        let store = MemoryStore::new(Clock::system());
        let spill = Some(Spill::new(Store::new(store.clone()), &context));
        let stores = Stores { spill, ..Stores::default() };
        let queues = vec![(Vendor::Tdmq.into(), tdmq::Client::new(context.clone()))];
        let metrics = Metrics::counted(["h"]);
        let gateway = Gateway::assemble(config, Vendor::Tdmq, queues, stores, context, metrics);
        Self { gateway, store, emulator }
    }

    async fn deliver(&self, token: &str) -> u16 {
        let request = Request {
            method: "POST".into(),
            path: "/h".into(),
            raw_query: String::new(),
            headers: Headers::from_iter([("authorization", format!("Bearer {token}"))]),
            body: "{}".into(),
            request_id: "8476a536-e9f4-11e8-9739-2dfe598c3fcd".into(),
            received: Instant::now(),
            source_ip: None,
            deadline: None,
        };
        self.gateway.call(request).await.status
    }

    fn writes(&self) -> u64 {
        self.store.calls(Operation::Put)
    }
}

#[tokio::test]
async fn a_host_tries_it_as_it_begins() {
    for platform in [&[][..], &[("K_SERVICE", "s")]] {
        let house = House::new(platform).await;
        assert_eq!(house.gateway.store(), Some(StoreProbe::Untried));
        house.gateway.begin().await;
        assert_eq!(
            (house.gateway.store(), house.store.names("")),
            (Some(StoreProbe::Worked), vec![PROBE.into()])
        );
        for _ in 0..3 {
            assert_eq!(house.deliver(TOKEN).await, 200);
        }
        assert_eq!(house.writes(), 1, "no delivery is burdened with it");
    }
}

#[tokio::test]
async fn one_that_refuses_takes_no_instance_out() {
    let house = House::new(&[]).await;
    house.store.set_faults(|_, _| Fault::denied());
    house.gateway.begin().await;
    assert_eq!(house.gateway.store(), Some(StoreProbe::Failed("denied")));
    assert!(house.gateway.readiness().is_ready());
    assert_eq!(house.deliver(TOKEN).await, 200);
}

/// A folder that disappears with the process is reported as unusable at the start of the process.
#[tokio::test]
async fn a_store_that_is_none_is_told_too() {
    for platform in ["SCF_TRUST_HEADERS", "FGS_TRUST_HEADERS", "K_SERVICE"] {
        let set = if platform == "K_SERVICE" { "s" } else { "1" };
        let env = Env::of([("SPILL_URL", "file:///var/hookmq"), (platform, set)]);
        let config = Config::parse("hooks", "", Reading::new(&env, Samples::Accepted));
        let context = Context { env, clock: Clock::system(), random: Random::system() };
        let gateway = Gateway::new(config, tdmq::Client::new(context.clone()), context.clone());
        assert_eq!(gateway.store(), Some(StoreProbe::Failed("config")), "{platform}");
        let problem = Spill::from_env(&context).unwrap_err();
        assert!(problem.variable == "SPILL_URL" && problem.message.contains(platform), "{problem}");
    }
}

#[tokio::test]
async fn a_function_tries_it_beside_its_second_delivery() {
    for platform in [
        "AWS_LAMBDA_RUNTIME_API",
        "SCF_RUNTIME_API",
        "SCF_FUNCTIONNAME",
        "RUNTIME_API_ADDR",
        "RUNTIME_FUNC_NAME",
    ] {
        let house = House::new(&[(platform, "127.0.0.1:1")]).await;
        // Before the first poll, a probe would have no time to run.
        house.gateway.prewarm().await;
        house.gateway.begin().await;
        assert_eq!(
            (house.deliver(TOKEN).await, house.writes()),
            (200, 0),
            "{platform}: the first has enough to do"
        );
        for _ in 0..5 {
            assert_eq!(house.deliver("a stranger's").await, 401);
        }
        assert_eq!(house.writes(), 0, "{platform}: nobody but a sender brings it about");
        // The probe takes as long as it needs, independently of the queue.
        while house.gateway.store() != Some(StoreProbe::Worked) {
            assert_eq!(house.deliver(TOKEN).await, 200);
        }
        assert_eq!((house.writes(), house.store.names("")), (1, vec![PROBE.to_owned()]), "{platform}");
        assert!(house.emulator.messages().len() >= 2);
    }
}
