//! Tests of several targets: other instances, regions and keys, and one delivery to more than one target.

use std::time::Duration;

use futures_util::future::join_all;
use hookmq_emulator::{
    Config as EmulatorConfig, Emulator, Fault, FaultKind, TencentCredential, Vendor as Queue,
};
use hookmq_shared::config::{Config, Reading, Samples};
use hookmq_shared::context::Context;
use hookmq_shared::http::Headers;
use hookmq_shared::queue::Vendor;
use hookmq_shared::redrive::{Options, RedriveJob, RunReport, TargetReport};
use proptest::collection;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::Value;
use tokio::time::Instant;

use crate::kit::world::{Answer, VENDOR_SECRETS, World, assert_never_written, is_written};

const TOKEN: &str = "a-token-of-the-target-tests";
const SECOND_KEY: &str = "a-secret-key-of-the-second-cluster";

/// Faults that a request may meet, after which the message is stored or not.
const FAULTS: [FaultKind; 8] = [
    FaultKind::Pass,
    FaultKind::Throttle,
    FaultKind::NoId,
    FaultKind::Reset,
    FaultKind::Hang,
    FaultKind::StoredReset,
    FaultKind::StoredNoAnswer,
    FaultKind::Truncate,
];

const HOOK: &str = "[hooks.h]\nsource = \"bearer\"\nsecrets = [\"env:A_TOKEN\"]\n";

/// Hook lines for the environment's own targets of both vendors.
const BOTH: &str = "targets = [\"tdmq\", \"rocketmq\"]\n\
                    topic = { tdmq = \"pulsar-demo/webhooks/both\", rocketmq = \"webhooks_both\" }\n";

/// Starts another cluster, in another region and with a key of its own.
async fn second() -> Emulator {
    let tdmq = vec![TencentCredential {
        secret_id: "AKIDsecond".into(),
        secret_key: SECOND_KEY.into(),
        token: None,
    }];
    let config =
        EmulatorConfig { tdmq, tdmq_regions: vec!["eu-frankfurt".into()], ..EmulatorConfig::default() };
    Emulator::start(([127, 0, 0, 1], 0).into(), config).await.unwrap()
}

fn second_table(emulator: &Emulator) -> String {
    format!(
        "[targets.eu]\nvendor = \"tdmq\"\nendpoint = \"{}\"\nregion = \"eu-frankfurt\"\n\
         secret_id = \"plain:AKIDsecond\"\nsecret_key = \"plain:{SECOND_KEY}\"\n",
        emulator.url()
    )
}

async fn send(world: &World, id: &str) -> Answer {
    let headers: Headers = [
        ("authorization", format!("Bearer {TOKEN}")),
        ("content-type", "application/json".into()),
        ("x-id", id.into()),
    ]
    .into_iter()
    .collect();
    world.send("POST", "/h", &headers, format!("{{\"n\":\"{id}\"}}")).await
}

/// Returns the topics and bodies of an emulator's messages, sorted.
fn held(emulator: &Emulator) -> Vec<(String, Value)> {
    let pair = |message: hookmq_emulator::StoredMessage| {
        let event: Value = serde_json::from_str(&message.text).unwrap();
        (message.topic, event["data"]["n"].clone())
    };
    let mut held: Vec<_> = emulator.messages().into_iter().map(pair).collect();
    held.sort_by_key(|(topic, n)| (topic.clone(), n.to_string()));
    held
}

fn at(topic: &str, n: &str) -> (String, Value) {
    (topic.to_owned(), n.into())
}

fn ids(answer: &Answer) -> Vec<String> {
    let ids = answer.headers.get_all("x-hookmq-message-id").iter();
    ids.map(|id| id.to_str().unwrap().split_once('=').unwrap().0.to_owned()).collect()
}

fn down(queue: Queue) -> Vec<Fault> {
    vec![Fault::new(FaultKind::Throttle).vendor(queue).times(0)]
}

#[tokio::test]
async fn a_delivery_goes_to_both_vendors() {
    for own in [Vendor::Tdmq, Vendor::Rocketmq] {
        let world = World::connect(&format!("{HOOK}{BOTH}"), &[("A_TOKEN", TOKEN)], own).await;
        let answer = send(&world, "1").await;
        assert_eq!((answer.status, ids(&answer)), (200, vec!["tdmq".to_owned(), "rocketmq".to_owned()]));
        assert_eq!(held(&world.emulator), [at("pulsar-demo/webhooks/both", "1"), at("webhooks_both", "1")]);
        let ids: Vec<Value> = world
            .messages()
            .iter()
            .map(|message| serde_json::from_str::<Value>(&message.text).unwrap()["id"].clone())
            .collect();
        assert_eq!(ids[0], ids[1], "one delivery, one id");
    }
    assert!(is_written(r#""to":"rocketmq","outcome":"accepted""#), "each target has a line");
    assert_never_written(&VENDOR_SECRETS);
}

/// A delivery is acknowledged with 2xx only if each target has it.
#[tokio::test]
async fn one_target_that_fails_is_no_ack() {
    let rest = "deadline = \"1s\"\n";
    let world = World::connect(&format!("{HOOK}{BOTH}{rest}"), &[("A_TOKEN", TOKEN)], Vendor::Tdmq).await;
    world.emulator.set_faults(down(Queue::Rocketmq));
    assert_eq!(send(&world, "1").await.status, 503);
    assert_eq!(held(&world.emulator), [at("pulsar-demo/webhooks/both", "1")]);
    world.emulator.clear();
    world.emulator.set_faults(Vec::new());
    assert_eq!(send(&world, "1").await.status, 200);
    assert_eq!(held(&world.emulator).len(), 2);
}

fn with_store(dir: &tempfile::TempDir) -> String {
    format!("file://{}", dir.path().display())
}

async fn redrive(hooks: &str, context: &Context) -> RunReport {
    let config = Config::parse("hooks.toml", hooks, Reading::new(&context.env, Samples::Accepted));
    let job = RedriveJob::new(config, context).unwrap();
    let options = Options { now: true, ..Options::default() };
    job.run(&options, Instant::now() + Duration::from_secs(20)).await
}

fn sent(report: &RunReport, target: &str) -> usize {
    match &report.0[target] {
        TargetReport::Done(summary) => summary.sent,
        TargetReport::Error(error) => panic!("{target}: {error}"),
    }
}

#[tokio::test]
async fn what_one_target_does_not_take_waits_for_that_one() {
    let (dir, second) = (tempfile::tempdir().unwrap(), second().await);
    let store = with_store(&dir);
    let hooks = format!(
        "{}\n{HOOK}deadline = \"1500ms\"\ntargets = [\"tdmq\", \"eu\"]\n\
         topic = {{ tdmq = \"pulsar-demo/webhooks/near\", eu = \"pulsar-eu/webhooks/far\" }}\n",
        second_table(&second)
    );
    let more = [("A_TOKEN", TOKEN), ("SPILL_URL", store.as_str())];
    let world = World::connect(&hooks, &more, Vendor::Tdmq).await;
    second.set_faults(vec![Fault::new(FaultKind::Throttle).times(0)]);
    assert_eq!(send(&world, "1").await.status, 200);
    assert_eq!(held(&world.emulator), [at("pulsar-demo/webhooks/near", "1")]);
    assert!(dir.path().join("spill/eu/h").is_dir() && !dir.path().join("spill/tdmq").exists());

    // The target is no longer configured: this is reported, and the delivery is kept.
    second.set_faults(Vec::new());
    let report = redrive(HOOK, &world.context).await;
    assert!(
        matches!(&report.0["eu"], TargetReport::Error(error) if error.to_string().contains("targets")),
        "{report:?}"
    );
    assert!(!report.is_whole() && held(&second).is_empty());

    let report = redrive(&hooks, &world.context).await;
    assert_eq!((sent(&report, "tdmq"), sent(&report, "eu"), report.is_whole()), (0, 1, true));
    assert_eq!(held(&second), [at("pulsar-eu/webhooks/far", "1")]);
    assert_eq!(held(&world.emulator).len(), 1, "the other one has it already");
    assert_never_written(&[SECOND_KEY, VENDOR_SECRETS[0], VENDOR_SECRETS[1]]);
}

/// Every acknowledged delivery is in both queues in the end, with any faults of either queue, with a store
/// and without.
#[tokio::test]
async fn what_is_acknowledged_is_in_every_queue() {
    let mut runner = TestRunner::deterministic();
    let (mut acknowledged, mut refused) = (0, 0);
    for case in 0..6 {
        let dir = tempfile::tempdir().unwrap();
        let store = if case % 2 == 0 { with_store(&dir) } else { String::new() };
        let hooks = format!("{HOOK}{BOTH}deadline = \"700ms\"\n");
        let more = [("A_TOKEN", TOKEN), ("SPILL_URL", store.as_str())];
        let world = World::connect(&hooks, &more, Vendor::Tdmq).await;
        let plan =
            collection::vec((any::<bool>(), 0..FAULTS.len()), 16).new_tree(&mut runner).unwrap().current();
        let fault = |(is_tdmq, kind): (bool, usize)| {
            Fault::new(FAULTS[kind].clone()).vendor(if is_tdmq { Queue::Tdmq } else { Queue::Rocketmq })
        };
        world.emulator.set_faults(plan.into_iter().map(fault).collect());
        let ids: Vec<String> = (0..12).map(|n| format!("{case}-{n}")).collect();
        let answers = join_all(ids.iter().map(|id| send(&world, id))).await;
        world.emulator.set_faults(Vec::new());
        if !store.is_empty() {
            let report = redrive(&hooks, &world.context).await;
            let left = |report: &TargetReport| match report {
                TargetReport::Done(summary) => summary.left(),
                TargetReport::Error(error) => panic!("{error}"),
            };
            assert!(report.0.values().all(|report| left(report) == 0), "{report:?}");
        }
        let held = held(&world.emulator);
        for (id, answer) in ids.iter().zip(&answers) {
            let is_held = |topic: &str| held.contains(&at(topic, id));
            match answer.status {
                200 => assert!(
                    is_held("webhooks_both") && is_held("pulsar-demo/webhooks/both"),
                    "{id}: {held:?}"
                ),
                status => assert_eq!(status, 503, "{id}"),
            }
        }
        acknowledged += answers.iter().filter(|answer| answer.status == 200).count();
        refused += answers.iter().filter(|answer| answer.status == 503).count();
    }
    assert!(acknowledged > 30 && refused > 3, "{acknowledged} and {refused}: both must happen");
}

#[tokio::test]
async fn a_target_is_reached_with_its_own_key_only() {
    let second = second().await;
    let one =
        |table: &str| format!("{table}\n{HOOK}targets = [\"eu\"]\ntopic = \"pulsar-eu/webhooks/far\"\n");
    // The environment's key does not replace an incomplete key of the target.
    let table = second_table(&second);
    let half = table.replace(&format!("secret_key = \"plain:{SECOND_KEY}\"\n"), "");
    for (hooks, status) in [(one(&table), 200), (one(&half), 503)] {
        let world = World::connect(&hooks, &[("A_TOKEN", TOKEN)], Vendor::Rocketmq).await;
        assert_eq!(send(&world, "1").await.status, status, "{hooks}");
        assert!(world.emulator.requests().is_empty(), "the environment's queue is not the hook's");
    }
    assert_eq!(held(&second), [at("pulsar-eu/webhooks/far", "1")]);
    assert!(is_written("targets.eu.secret_key is not set"), "under the name that the user knows");
}

#[tokio::test]
async fn a_target_without_a_key_takes_the_environments() {
    let world = World::connect("", &[("A_TOKEN", TOKEN)], Vendor::Tdmq).await;
    let url = world.emulator.url();
    let hooks = format!(
        "[targets.other]\nvendor = \"rocketmq\"\nendpoint = \"{url}\"\n{HOOK}targets = [\"other\"]\ntopic = \"other-topic\"\n"
    );
    let world = World::connect(&hooks, &[("A_TOKEN", TOKEN)], Vendor::Tdmq).await;
    assert_eq!(send(&world, "1").await.status, 200);
}

#[tokio::test]
async fn a_body_too_large_for_one_is_no_ack() {
    let hooks = format!("{HOOK}{BOTH}");
    let world = World::connect(&hooks, &[("A_TOKEN", TOKEN)], Vendor::Tdmq).await;
    let token = format!("Bearer {TOKEN}");
    let headers: Headers =
        [("authorization", token), ("content-type", "application/json".into())].into_iter().collect();
    let body = format!("\"{}\"", "x".repeat(1 << 20));
    assert_eq!(world.send("POST", "/h", &headers, body).await.status, 413);
}
