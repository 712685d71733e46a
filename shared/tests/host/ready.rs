//! Tests of `/_/ready` on the HTTP host: a known cause that makes every delivery fail keeps an instance out
//! of service.

use hookmq_shared::config::{Config, Reading, Samples};
use hookmq_shared::context::Context;
use hookmq_shared::env::Env;
use hookmq_shared::gateway::Gateway;
use hookmq_shared::host;
use hookmq_shared::host::server::{Limits, Server};
use hookmq_shared::queue::Vendor;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::kit::host::exchange;

const HOOKS: &str = "[hooks.a]\nsource = \"none\"\ntopic = { tdmq = \"t/n/a\", rocketmq = \"topic_a\" }\n";

const BROKEN: &str = "[hooks.b]\nsource = \"gihtub\"\ntopic = \"t/n/b\"\n";

const SOUND: [(&str, &str); 4] = [
    ("TENCENTCLOUD_REGION", "ap-guangzhou"),
    ("TENCENTCLOUD_SECRET_ID", "id"),
    ("TENCENTCLOUD_SECRET_KEY", "plain:key-0123456789abcdef"),
    ("HOOKS", HOOKS),
];

/// A forwarder with these variables; those of `more` replace the sound ones.
struct Host(std::net::SocketAddr);

impl Host {
    async fn new(vendor: Vendor, more: &[(&str, &str)]) -> Self {
        let sound = SOUND.iter().filter(|(name, _)| more.iter().all(|(other, _)| other != name));
        let env = Env::of(sound.chain(more).copied());
        let context = Context { env, ..Context::system() };
        let reading = Reading { over_http: true, ..Reading::new(&context.env, Samples::Refused) };
        let mut config = Config::load(reading);
        config.problems.extend(host::done_without(&context.env));
        let gateway = Gateway::connect(config, vendor, &context);
        let server = Server::bind("127.0.0.1:0", Limits::default()).await.unwrap();
        let address = server.local_addr();
        tokio::spawn(server.serve(gateway, context.random.clone(), std::future::pending()));
        Self(address)
    }

    /// Returns the status and the reported problems.
    async fn ready(&self) -> (u16, Value) {
        let mut stream = TcpStream::connect(self.0).await.unwrap();
        let answer = exchange(&mut stream, b"GET /_/ready HTTP/1.1\r\n\r\n").await;
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        (answer.status, body["problems"].clone())
    }
}

async fn ready(more: &[(&str, &str)]) -> (u16, Value) {
    Host::new(Vendor::Tdmq, more).await.ready().await
}

fn lacks(variable: &str) -> Value {
    json!([{"target": "tdmq", "variable": variable, "problem": "missing or wrong"}])
}

#[tokio::test]
async fn what_every_delivery_needs_is_looked_at() {
    assert_eq!(ready(&[]).await, (200, Value::Null));
    for (name, value) in [
        ("TENCENTCLOUD_SECRET_ID", ""),
        ("TENCENTCLOUD_SECRET_KEY", ""),
        ("TENCENTCLOUD_SECRET_KEY", "file:/nowhere/key"),
        ("TENCENTCLOUD_SECRET_KEY", "two words"),
        ("TDMQ_REGION", "Frankfurt am Main"),
        ("TDMQ_ENDPOINT", "ftp://tdmq.test"),
        ("TLS_CA_FILE", "/nowhere/ca.pem"),
        ("HTTPS_PROXY", "socks5://proxy.test"),
        ("MAX_CONNECTIONS", "0"),
    ] {
        assert_eq!(ready(&[(name, value)]).await, (503, lacks(name)), "{name}={value}");
    }
    assert_eq!(ready(&[("TENCENTCLOUD_REGION", "")]).await, (503, lacks("TDMQ_REGION")));
    let rocketmq = Host::new(Vendor::Rocketmq, &[]).await.ready().await;
    let told =
        json!([{"target": "rocketmq", "variable": "ROCKETMQ_ENDPOINT", "problem": "missing or wrong"}]);
    assert_eq!(rocketmq, (503, told));
}

#[tokio::test]
async fn one_hook_that_can_be_served_is_enough_unless_all_must() {
    let both = format!("{HOOKS}{BROKEN}");
    let broken = json!([{"hook": "b", "problem": "the hook has errors"}]);
    let elsewhere = format!("{HOOKS}[hooks.c]\nsource = \"none\"\ntopic = \"topic_c\"\n");
    let no_topic = json!([{"hook": "c", "problem": "the hook has no topic here"}]);
    let target = format!(
        "{HOOKS}[targets.eu]\nvendor = \"tdmq\"\nsecret_id = \"file:/nowhere\"\n\
         [hooks.d]\nsource = \"none\"\ntargets = [\"eu\", \"tdmq\"]\ntopic = \"t/n/d\"\n"
    );
    let eu = json!([{"target": "eu", "variable": "TENCENTCLOUD_SECRET_ID", "problem": "missing or wrong"}]);
    let syntax = format!("{HOOKS}[hooks.b\n");
    for (hooks, told) in [(&both, broken), (&elsewhere, no_topic), (&target, eu)] {
        assert_eq!(ready(&[("HOOKS", hooks)]).await, (200, told.clone()));
        assert_eq!(ready(&[("HOOKS", hooks), ("READY", "any")]).await, (200, told.clone()));
        assert_eq!(ready(&[("HOOKS", hooks), ("READY", "all")]).await, (503, told));
    }
    assert_eq!(ready(&[("READY", "all")]).await, (200, Value::Null));
    assert_eq!(ready(&[("HOOKS", &syntax), ("READY", "all")]).await.0, 503);
    for hooks in [BROKEN, "# none"] {
        assert_eq!(ready(&[("HOOKS", hooks)]).await.0, 503, "{hooks}");
    }
    assert_eq!(ready(&[("HOOKS", ""), ("HOOKS_FILE", "/nowhere/hooks.toml")]).await.0, 503);
    let (status, told) = ready(&[("READY", "strict")]).await;
    assert_eq!((status, told), (503, json!([{"variable": "READY", "problem": "missing or wrong"}])));
}

#[tokio::test]
async fn a_store_takes_what_a_target_cannot_and_a_wrong_one_serves_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("file://{}", folder.path().display());
    let with_store = [("SPILL_URL", store.as_str()), ("TENCENTCLOUD_REGION", "")];
    assert_eq!(ready(&with_store).await, (200, lacks("TDMQ_REGION")), "deliveries are spilled");
    assert_eq!(ready(&[with_store[0], with_store[1], ("READY", "all")]).await.0, 503);
    let never = HOOKS.replace("topic =", "spill = \"never\"\ntopic =");
    assert_eq!(ready(&[with_store[0], with_store[1], ("HOOKS", &never)]).await.0, 503, "it has none of it");

    let wrong = json!([{"variable": "SPILL_URL", "problem": "missing or wrong"}]);
    for url in ["gs://bucket", "file:relative", "s3://"] {
        assert_eq!(ready(&[("SPILL_URL", url), ("S3_REGION", "r")]).await, (503, wrong.clone()), "{url}");
    }
    let alone = HOOKS.replace("topic =", "spill = \"never\"\noversize = \"reject\"\ntopic =");
    assert_eq!(
        ready(&[("SPILL_URL", "gs://bucket"), ("HOOKS", &alone)]).await,
        (200, wrong),
        "it wants none"
    );
    // The queue takes the deliveries meanwhile, and the store is not asked.
    let keyless = [("SPILL_URL", "s3://bucket"), ("S3_REGION", "r"), ("S3_ACCESS_KEY_ID", "id")];
    assert_eq!(ready(&keyless).await.0, 200);
    let all = [keyless[0], keyless[1], keyless[2], ("READY", "all")];
    assert_eq!(ready(&all).await.0, 503);
    let always = HOOKS.replace("topic =", "spill = \"always\"\ntopic =");
    assert_eq!(ready(&[keyless[0], keyless[1], keyless[2], ("HOOKS", &always)]).await.0, 503);
}

#[tokio::test]
async fn a_mended_file_needs_no_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (ca, key) = (path("ca.pem"), path("key"));
    std::fs::write(&key, "key-0123456789abcdef").unwrap();
    let reference = format!("file:{key}");
    let more = [("TLS_CA_FILE", ca.as_str()), ("TENCENTCLOUD_SECRET_KEY", &reference), ("READY", "all")];
    let host = Host::new(Vendor::Tdmq, &more).await;
    assert_eq!(host.ready().await, (503, lacks("TLS_CA_FILE")));
    std::fs::write(&ca, "no certificate").unwrap();
    assert_eq!(host.ready().await.0, 503);
    let root = rcgen::generate_simple_self_signed(["ca.test".to_owned()]).unwrap();
    std::fs::write(&ca, root.cert.pem()).unwrap();
    assert_eq!(host.ready().await, (200, Value::Null));
    std::fs::remove_file(&key).unwrap();
    assert_eq!(host.ready().await, (503, lacks("TENCENTCLOUD_SECRET_KEY")));
    std::fs::write(&key, "another-0123456789abcdef").unwrap();
    assert_eq!(host.ready().await.0, 200);
}

#[tokio::test]
async fn a_probe_is_told_no_value_and_no_name_where_metrics_are_off() {
    let more = [("TENCENTCLOUD_SECRET_KEY", "file:/secret/place"), ("METRICS", "off"), ("HOOKS", HOOKS)];
    let (status, told) = ready(&more).await;
    assert_eq!(
        (status, &told),
        (503, &json!([{"variable": "TENCENTCLOUD_SECRET_KEY", "problem": "missing or wrong"}]))
    );
    let (_, told) = ready(&more[..1]).await;
    assert!(!told.to_string().contains("place"), "{told}");
}

/// A process with an unreadable host variable serves with the default, but its rollout stops.
#[tokio::test]
async fn a_variable_of_the_host_that_cannot_be_read_stops_a_rollout() {
    for (variable, value) in [
        ("MAX_IN_FLIGHT", "abc"),
        ("MAX_IN_FLIGHT", "0"),
        ("MAX_IN_FLIGHT_BYTES", "1GB of them"),
        ("MAX_ACCEPTED", "-1"),
        ("IDLE_TIMEOUT", "5s"),
        ("DRAIN_AFTER", "601"),
        ("DRAIN_WITHIN", "0"),
        ("METRICS", "yes"),
        ("LOG_LEVEL", "verbose"),
        ("LOG_FORMAT", "txt"),
        ("FGS_TRUST_HEADERS", "1"),
    ] {
        let told = json!([{"variable": variable, "problem": "missing or wrong"}]);
        let listen = ("LISTEN", "0.0.0.0:8000");
        assert_eq!(ready(&[(variable, value), listen]).await, (200, told.clone()), "{variable}={value}");
        assert_eq!(
            ready(&[(variable, value), listen, ("READY", "all")]).await,
            (503, told),
            "{variable}={value}"
        );
    }
}
