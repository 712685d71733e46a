//! Tests of the objects in the store and of their ids.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hookmq_emulator::{Fault, FaultKind};
use hookmq_shared::config::{Config, Reading, Samples};
use hookmq_shared::http::Headers;
use hookmq_shared::queue::{Vendor, tdmq};
use hookmq_shared::redrive::{Options, Redriver};
use hookmq_shared::spill::{Folder, Record, Spill};
use serde_json::Value;
use tokio::time::Instant;

use crate::kit::world::{World, topic};

const TOKEN: &str = "a-token-of-the-identity-tests";

/// Name, id and content of an object in the previous form, with an id that is made of hook and body alone.
const OLD_NAME: &str = "spill/tdmq/h/127ec2e38b5c3d4a0481d5059b7d210d8e2f19c9511ec05aaba904d6ec54226e";
const OLD_ID: &str = "sha256-409fa406c1d571b89e560bb685010ae69e0554a520be0a0cac2cfd32c139a71d";
const OLD: &str = r#"{"version":1,"vendor":"tdmq","message":{"id":"sha256-409fa406c1d571b89e560bb685010ae69e0554a520be0a0cac2cfd32c139a71d","topic":"pulsar-demo/webhooks/test","text":"{\"specversion\":\"1.0\",\"id\":\"sha256-409fa406c1d571b89e560bb685010ae69e0554a520be0a0cac2cfd32c139a71d\",\"source\":\"/hooks/h\",\"type\":\"webhook.h.created\",\"time\":\"2025-10-09T08:53:20.692Z\",\"datacontenttype\":\"application/json\",\"webhookverified\":\"request\",\"webhookheaders\":\"[[\\\"host\\\",\\\"hooks.test\\\"],[\\\"content-type\\\",\\\"application/json\\\"],[\\\"x-event\\\",\\\"created\\\"],[\\\"content-length\\\",\\\"2\\\"]]\",\"data\":{}}","key":null,"tag":null,"properties":[["CE_specversion","1.0"],["CE_id","sha256-409fa406c1d571b89e560bb685010ae69e0554a520be0a0cac2cfd32c139a71d"],["CE_source","/hooks/h"],["CE_type","webhook.h.created"],["CE_time","2025-10-09T08:53:20.692Z"],["CE_datacontenttype","application/json"],["CE_webhookverified","request"]]},"error":{"errorclass":"always","errormessage":"","errorattempts":0,"errorfirsttime":"2025-10-09T08:53:20.693Z","errorlasttime":"2025-10-09T08:53:20.693Z"},"delivery":{"hook":"h","source":null,"id":"sha256-409fa406c1d571b89e560bb685010ae69e0554a520be0a0cac2cfd32c139a71d","id_from_provider":false,"event":"created","subject":null,"received_at":"2025-10-09T08:53:20.692Z","query":"","headers":[["host","hooks.test"],["content-type","application/json"],["x-event","created"],["content-length","2"]],"content_type":"application/json","body":"e30=","original":null,"coverage":"request","secret":0,"verifier":null}}"#;

/// A forwarder of one hook, with a store in a temporary folder.
struct House {
    world: World,
    dir: tempfile::TempDir,
    hooks: String,
}

impl House {
    async fn start(rest: &str, verify: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("file://{}", dir.path().display());
        let topic = topic(Vendor::Tdmq);
        let hooks = format!(
            "[hooks.h]\nsecrets = [\"env:A_TOKEN\"]\ntopic = \"{topic}\"\n{rest}\n[hooks.h.verify]\n\
             kind = \"token\"\nfrom = \"header:authorization\"\nprefix = \"Bearer \"\n{verify}\n"
        );
        let world =
            World::start_with(&hooks, &[("SPILL_URL", &url), ("A_TOKEN", TOKEN)], tdmq::Client::new).await;
        Self { world, dir, hooks }
    }

    async fn send(&self, more: &[(&str, &str)], body: &'static str) -> u16 {
        let token = format!("Bearer {TOKEN}");
        let own = [("authorization", token.as_str()), ("content-type", "application/json")];
        let fields = own.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let headers: Headers = fields.collect();
        self.world.send("POST", "/h", &headers, Bytes::from_static(body.as_bytes())).await.status
    }

    fn fail(&self, kind: FaultKind) {
        self.world.emulator.set_faults(vec![Fault::new(kind).times(0)]);
    }

    fn heal(&self) {
        self.world.emulator.set_faults(Vec::new());
    }

    fn spilled(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        walk(&self.dir.path().join("spill"), &mut found);
        found
    }

    async fn redrive(&self) -> usize {
        let context = self.world.context.clone();
        let config = Config::parse("hooks", &self.hooks, Reading::new(&context.env, Samples::Accepted));
        let spill = Spill::from_env(&context).unwrap().unwrap();
        let redriver =
            Redriver::new(Vendor::Tdmq, tdmq::Client::new(context.clone()), spill, Arc::new(config), context);
        let soon = Instant::now() + Duration::from_secs(20);
        redriver.run(&Options::default(), soon).await.unwrap().sent
    }

    /// Returns the ids and bodies of the messages in the queue.
    fn queued(&self) -> Vec<(String, Value)> {
        let event = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let pair = |event: Value| (event["id"].as_str().unwrap().to_owned(), event["data"].clone());
        self.world.messages().iter().map(|message| pair(event(&message.text))).collect()
    }
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { walk(&path, found) } else { found.push(path) }
    }
}

#[tokio::test]
async fn events_with_equal_bodies_are_all_kept() {
    let house = House::start("spill = \"always\"", "event = \"header:x-event\"").await;
    for event in ["created", "updated", "deleted"] {
        assert_eq!(house.send(&[("x-event", event)], "{}").await, 200);
    }
    assert_eq!(house.spilled().len(), 3);
    assert_eq!((house.redrive().await, house.queued().len()), (3, 3));
}

#[tokio::test]
async fn an_object_of_the_old_form_is_sent_under_its_id() {
    let house = House::start("deadline = \"1500ms\"", "event = \"header:x-event\"").await;
    // The name follows from the stored delivery, independently of the current form of ids.
    let record = Record::parse(OLD.as_bytes()).unwrap();
    assert_eq!(record.delivery.id, OLD_ID);
    for (folder, name) in [(Folder::Spill, OLD_NAME), (Folder::Claims, &OLD_NAME.replace("spill", "claims"))]
    {
        assert_eq!(folder.name(&record.target(), &record.delivery), name);
    }
    let path = house.dir.path().join(OLD_NAME);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, OLD).unwrap();

    // A retry by the sender is another delivery for this release: it is sent twice, but never lost.
    house.fail(FaultKind::Throttle);
    assert_eq!(house.send(&[("x-event", "created")], "{}").await, 200);
    assert_eq!(house.spilled().len(), 2);
    house.heal();
    assert_eq!((house.redrive().await, house.spilled().len()), (2, 0));
    let ids: Vec<String> = house.queued().into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), 2);
    assert!(ids.contains(&OLD_ID.to_owned()) && ids[0] != ids[1], "{ids:?}");
}

#[tokio::test]
async fn a_delivery_without_its_id_is_no_repeat() {
    let house = House::start("deadline = \"1500ms\"\ndedupe = \"24h\"", "id = \"header:x-id\"").await;
    let nameless: [&[(&str, &str)]; 3] = [&[], &[], &[("x-id", "not an id")]];
    // Two deliveries have equal bodies, but may be different.
    for (more, body) in nameless.into_iter().zip(["{}", "{}", "[]"]) {
        assert_eq!(house.send(more, body).await, 200);
    }
    assert_eq!(house.queued().len(), 3);

    // The redriver does not treat such deliveries as one either.
    house.fail(FaultKind::Throttle);
    assert_eq!(house.send(&[], "{}").await, 200);
    house.heal();
    assert_eq!(house.send(&[], "{}").await, 200);
    assert_eq!((house.redrive().await, house.queued().len()), (1, 5));
}
