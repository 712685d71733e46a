//! `hookmq redrive` over a folder that a real forwarder spilled to: what it tells is what it does.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use hookmq_emulator::{Config as EmulatorConfig, Emulator, Fault, FaultKind, Vendor as Queue, sample};
use hookmq_shared::clock::{Clock, Random};
use hookmq_shared::config::{Config, Reading, Samples};
use hookmq_shared::context::Context;
use hookmq_shared::env::Env;
use hookmq_shared::gateway::Gateway;
use hookmq_shared::host::Service as _;
use hookmq_shared::http::Request;
use hookmq_shared::queue::{Client, Vendor};
use serde_json::Value;
use tokio::time::Instant;

const IN_BODY: &str = "a-word-of-the-body";
const IN_HEADER: &str = "a-word-of-a-header-field";
const IN_QUERY: &str = "a-word-of-the-query";

/// A store, hooks, and the vendor.
struct Yard {
    emulator: Emulator,
    dir: tempfile::TempDir,
    vars: Vec<(&'static str, String)>,
}

/// What the command wrote.
#[derive(Debug)]
struct Told {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Told {
    fn json(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Yard {
    async fn start(hooks: &str) -> Self {
        let emulator = Emulator::start(([127, 0, 0, 1], 0).into(), EmulatorConfig::default()).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let vars = vec![
            ("TENCENTCLOUD_SECRET_ID", sample::SECRET_ID.to_owned()),
            ("TENCENTCLOUD_SECRET_KEY", sample::SECRET_KEY.to_owned()),
            ("TENCENTCLOUD_REGION", "ap-guangzhou".to_owned()),
            ("TDMQ_ENDPOINT", emulator.url()),
            ("HUAWEICLOUD_SDK_AK", sample::ACCESS_KEY.to_owned()),
            ("HUAWEICLOUD_SDK_SK", sample::SECRET_ACCESS_KEY.to_owned()),
            ("HUAWEICLOUD_SDK_PROJECT_ID", sample::PROJECT_ID.to_owned()),
            ("ROCKETMQ_ENDPOINT", emulator.url()),
            ("ROCKETMQ_INSTANCE_ID", sample::INSTANCE_ID.to_owned()),
            ("SPILL_URL", format!("file://{}", dir.path().join("store").display())),
            ("HOOKS_FILE", dir.path().join("hooks.toml").display().to_string()),
        ];
        let yard = Self { emulator, dir, vars };
        yard.write(hooks);
        yard
    }

    fn write(&self, hooks: &str) {
        fs::write(self.hooks(), hooks).unwrap();
    }

    fn hooks(&self) -> PathBuf {
        self.dir.path().join("hooks.toml")
    }

    /// Neither vendor knows the topic, and says so with a text that no terminal should see.
    fn fail(&self) {
        let fault = |code, status, vendor| Fault::new(error(code, status)).vendor(vendor).times(0);
        self.emulator.set_faults(vec![
            fault("ResourceNotFound.Topic", None, Queue::Tdmq),
            fault("DMS.10540019", Some(404), Queue::Rocketmq),
        ]);
    }

    async fn accept(&self, hook: &str, body: String) {
        let context = Context {
            env: Env::of(self.vars.iter().map(|(name, value)| (*name, value.as_str()))),
            clock: Clock::system(),
            random: Random::system(),
        };
        let reading = Reading::new(&context.env, Samples::Accepted);
        let config = Config::parse("hooks.toml", &fs::read_to_string(self.hooks()).unwrap(), reading);
        assert!(!config.has_errors(), "{:?}", config.mistakes);
        let fields = [("content-type", "application/json"), ("x-note", IN_HEADER)];
        let request = Request {
            method: "POST".into(),
            path: format!("/{hook}"),
            raw_query: format!("q={IN_QUERY}"),
            headers: fields.into_iter().collect(),
            body: body.into(),
            request_id: "r".into(),
            received: Instant::now(),
            source_ip: None,
            deadline: None,
        };
        let gateway = Gateway::<Client>::connect(config, Vendor::Tdmq, &context);
        let answer = gateway.call(request).await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
    }

    async fn redrive(&self, arguments: &str) -> Told {
        let told = redrive(&self.vars, self.dir.path().to_owned(), arguments).await;
        for (what, text) in [("out", &told.out), ("err", &told.err)] {
            for word in [IN_BODY, IN_HEADER, IN_QUERY, sample::SECRET_KEY, sample::SECRET_ACCESS_KEY] {
                assert!(!text.contains(word), "{word} in {what} of {arguments}: {text}");
            }
            assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{what} of {arguments}: {text:?}");
        }
        told
    }

    fn topics(&self) -> Vec<String> {
        let mut topics: Vec<_> =
            self.emulator.messages().iter().map(|message| message.topic.clone()).collect();
        topics.sort();
        topics
    }
}

async fn redrive(vars: &[(&str, String)], folder: PathBuf, arguments: &str) -> Told {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookmq"));
    command.arg("redrive").args(arguments.split_whitespace()).env_clear().current_dir(folder);
    command.envs(vars.iter().map(|(name, value)| (*name, value))).stdin(Stdio::null());
    let run = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Told { code: run.status.code(), out: text(run.stdout), err: text(run.stderr) }
}

fn hooks(topics: [&str; 2]) -> String {
    format!(
        "[hooks.erp]\nsource = \"none\"\ndeadline = \"1s\"\ntargets = [\"tdmq\", \"rocketmq\"]\n\
         topic = {{ tdmq = \"pulsar-demo/webhooks/{}\", rocketmq = \"{}\" }}\n",
        topics[0], topics[1]
    )
}

const OLD: [&str; 2] = ["webhoks", "webhoks"];
const NEW: [&str; 2] = ["webhooks", "webhooks_test"];

/// What a dry run says is what the run does: before, it told of the stored topic, which was not sent to,
/// and two targets' entries of one delivery looked the same.
#[tokio::test]
async fn what_waits_is_told_and_then_sent() {
    let yard = Yard::start(&hooks(OLD)).await;
    yard.fail();
    yard.accept("erp", format!("{{\"x\":\"{IN_BODY}\"}}")).await;
    let list = yard.redrive("--list").await;
    assert_eq!(list.code, Some(0), "{list:?}");
    assert!(list.out.starts_with("AGE ") && list.out.ends_with("2 deliveries\n"), "{}", list.out);
    for word in
        ["tdmq ", "rocketmq ", " erp ", "config ResourceNotFound.Topic", "config DMS.10540019", " now "]
    {
        assert!(list.out.contains(word), "{word} in {}", list.out);
    }

    let lines = yard.redrive("--list --json").await.json();
    assert_eq!(lines.len(), 2);
    for (line, target) in lines.iter().zip(["tdmq", "rocketmq"]) {
        assert_eq!(
            (&line["target"], &line["hook"], &line["class"]),
            (&target.into(), &"erp".into(), &"config".into())
        );
        assert!(line["attempts"].as_u64() > Some(0) && line["plan"].is_null(), "{line}");
        assert!(line["object"].as_str().unwrap().starts_with(&format!("spill/{target}/erp/")), "{line}");
    }
    let id = lines[0]["id"].as_str().unwrap();
    assert_eq!(yard.redrive(&format!("--list --json --id {id} --target tdmq")).await.json().len(), 1);
    assert!(yard.redrive("--list --json --id of-nobody").await.json().is_empty());
    assert_eq!(yard.redrive("--list --json --hook other").await.out, "");
    let mut found = 0;
    for shard in 0..4 {
        found += yard.redrive(&format!("--list --json --shard {shard}/4")).await.json().len();
    }
    assert_eq!(found, 2, "each is one shard's");

    // A run while nothing is mended says why, until when, and what to do.
    let failed = yard.redrive("").await;
    assert_eq!(failed.code, Some(1), "{failed:?}");
    for word in ["1 failed", "1 x erp: config: ", "is due at ", "--now"] {
        assert!(failed.out.contains(word), "{word} in {}", failed.out);
    }
    let dry = yard.redrive("--dry-run").await;
    assert!(dry.out.contains("stays until ") && dry.out.contains("2 not due yet"), "{}", dry.out);

    // The hook is corrected: what would be sent is what is sent.
    yard.emulator.set_faults(Vec::new());
    yard.write(&hooks(NEW));
    let dry = yard.redrive("--dry-run --now").await;
    for topic in ["to pulsar-demo/webhooks/webhooks, made anew", "to webhooks_test, made anew"] {
        assert!(dry.out.contains(topic), "{topic} in {}", dry.out);
    }
    assert!(yard.topics().is_empty() && dry.out.contains("2 would be sent"), "{}", dry.out);
    let plans = yard.redrive("--dry-run --now --json").await.json();
    assert_eq!((&plans[0]["plan"]["do"], &plans[0]["plan"]["made"]), (&"send".into(), &"anew".into()));
    let done = yard.redrive("--now --json").await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let report: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(
        (&report["tdmq"]["done"]["sent"], &report["rocketmq"]["done"]["sent"]),
        (&1.into(), &1.into())
    );
    assert_eq!(yard.topics().len(), 2);
    assert!(
        yard.topics().iter().all(|topic| topic.ends_with("webhooks") || topic.ends_with("webhooks_test"))
    );
    assert_eq!(yard.redrive("").await.out, "rocketmq: nothing in spill/\ntdmq: nothing in spill/\n");
}

fn error(code: &str, status: Option<u16>) -> FaultKind {
    let status = status.and_then(|status| http::StatusCode::from_u16(status).ok());
    let message = Some("said \u{1b}[31mno\u{7}".to_owned());
    FaultKind::Error {
        code: code.to_owned(),
        status,
        message,
        headers: http::HeaderMap::new(),
        stored: false,
    }
}

/// What lies in `dead/` for want of a message says why, and is sent once hooks.toml is corrected.
#[tokio::test]
async fn what_is_buried_says_why() {
    let keyed = "[hooks.erp]\nsource = \"none\"\ntopic = \"pulsar-demo/webhooks/webhooks\"\nkey = \"{json:order.id}\"\n";
    let yard = Yard::start(keyed).await;
    yard.accept("erp", format!("{{\"x\":\"{IN_BODY}\"}}")).await;
    let dry = yard.redrive("--dead --dry-run").await;
    assert!(dry.out.contains("unrenderable: "), "{}", dry.out);
    assert!(
        dry.out.contains("stays, no message can be made of it: key: the delivery has no {json:order.id}"),
        "{}",
        dry.out
    );
    assert_eq!(yard.redrive("--dead").await.code, Some(1));
    yard.write(&keyed.replace("{json:order.id}", "{id}"));
    let dry = yard.redrive("--dead --dry-run").await;
    assert!(dry.out.contains("to pulsar-demo/webhooks/webhooks, made anew"), "{}", dry.out);
    assert_eq!(yard.redrive("--dead").await.code, Some(0));
    assert_eq!(
        (yard.topics().len(), yard.redrive("--dead --list").await.out),
        (1, "0 deliveries\n".to_owned())
    );
}

/// What is for a target that no table names is told by everything that looks.
#[tokio::test]
async fn a_target_that_is_gone_is_told() {
    let table = "[targets.eu]\nvendor = \"tdmq\"\n";
    let hook = "[hooks.erp]\nsource = \"none\"\nspill = \"always\"\ntargets = [\"eu\"]\n\
                topic = { eu = \"pulsar-demo/webhooks/webhooks\" }\n";
    let yard = Yard::start(&format!("{table}{hook}")).await;
    yard.accept("erp", "{}".to_owned()).await;
    yard.write("[hooks.other]\nsource = \"none\"\ntopic = \"pulsar-demo/webhooks/webhooks\"\n");
    for arguments in ["", "--target eu", "--shard 0/8"] {
        let told = yard.redrive(arguments).await;
        assert_eq!(told.code, Some(2), "{told:?}");
        assert!(told.out.contains("eu: nothing was sent: deliveries of the hooks erp wait"), "{}", told.out);
    }
    let told = yard.redrive("--dry-run").await;
    assert!(told.out.contains("eu ") && told.out.contains("no sound [targets] table"), "{}", told.out);
    let told = yard.redrive("--target nowhere").await;
    assert_eq!(told.code, Some(2));
    assert!(told.err.contains("no such target"), "{}", told.err);
}

/// Before, each of these hung for an hour without a word.
#[tokio::test]
async fn a_store_that_does_not_answer_ends_every_command() {
    let dir = tempfile::tempdir().unwrap();
    let hole = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", hole.local_addr().unwrap());
    let vars = [
        ("SPILL_URL", "s3://bucket".to_owned()),
        ("QUARANTINE_URL", "s3://bucket".to_owned()),
        ("QUARANTINE_KEY", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=".to_owned()),
        ("S3_ENDPOINT", endpoint.clone()),
        ("S3_REGION", "eu-1".to_owned()),
        ("S3_ACCESS_KEY_ID", "a".to_owned()),
        ("S3_SECRET_ACCESS_KEY", "b".to_owned()),
    ];
    let commands =
        ["", "--list", "--dry-run", "--dead --list", "--json", "--quarantine", "--quarantine --reverify"];
    for command in commands {
        let told = redrive(&vars, dir.path().to_owned(), &format!("{command} --patience 500ms")).await;
        assert_eq!((told.code, told.out.as_str()), (Some(2), ""), "{command}: {told:?}");
        for words in [&endpoint, "does not answer yet: trying again", "check S3_ENDPOINT and S3_REGION"] {
            assert!(told.err.contains(words), "{words} of {command}: {}", told.err);
        }
    }
}
