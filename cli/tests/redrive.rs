//! Tests of `hookmq redrive` over a folder that a real forwarder spilled to: its reports match its actions.
//!
//! They are a binary of their own because their deliveries are due again within a second: other tests that
//! start processes beside them would use up that time.
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
use hookmq_shared::http::Request;
use hookmq_shared::queue::{Client, Vendor};
use hookmq_shared::service::Service as _;
use serde_json::Value;
use tokio::time::Instant;

const IN_BODY: &str = "a-word-of-the-body";
const IN_HEADER: &str = "a-word-of-a-header-field";
const IN_QUERY: &str = "a-word-of-the-query";

/// A store, hooks, and the vendors' emulator.
struct Yard {
    emulator: Emulator,
    dir: tempfile::TempDir,
    vars: Vec<(&'static str, String)>,
}

/// Output and exit code of the command.
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

    fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    fn hooks(&self) -> PathBuf {
        self.dir.path().join("hooks.toml")
    }

    /// Makes both vendors refuse the topic, with a text that must not reach a terminal.
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

/// A dry run announces exactly what the run then does. Earlier, it named the stored topic, which was not
/// used, and showed the same entry for both targets of a delivery.
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
    let mut found = 0;
    for shard in 0..4 {
        found += yard.redrive(&format!("--list --json --shard {shard}/4")).await.json().len();
    }
    assert_eq!(found, 2, "each is one shard's");

    // A run before any correction reports the reason, the time of the next attempt, and the remedy.
    let failed = yard.redrive("").await;
    assert_eq!(failed.code, Some(1), "{failed:?}");
    for word in ["1 failed", "1 x erp: config: ", "is due at ", "--now"] {
        assert!(failed.out.contains(word), "{word} in {}", failed.out);
    }
    let dry = yard.redrive("--dry-run").await;
    assert!(dry.out.contains("stays until ") && dry.out.contains("2 not due yet (--now"), "{}", dry.out);

    // After the hook is corrected, the dry run and the run agree.
    yard.emulator.set_faults(Vec::new());
    yard.write(&hooks(NEW));
    let dry = yard.redrive("--dry-run --now").await;
    for topic in [
        "to pulsar-demo/webhooks/webhooks, made with the current hooks.toml",
        "to webhooks_test, made with the current hooks.toml",
    ] {
        assert!(dry.out.contains(topic), "{topic} in {}", dry.out);
    }
    assert!(yard.topics().is_empty() && dry.out.contains("2 would be sent"), "{}", dry.out);
    assert!(dry.out.ends_with(", 2 not due yet\n"), "--now is given already: {}", dry.out);
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

/// A delivery in `dead/` without a message shows the reason, and is sent once hooks.toml is corrected.
#[tokio::test]
async fn what_is_buried_says_why() {
    let keyed = "[hooks.erp]\nsource = \"none\"\ntopic = \"pulsar-demo/webhooks/webhooks\"\nkey = \"{json:order.id}\"\n";
    let yard = Yard::start(keyed).await;
    yard.accept("erp", format!("{{\"x\":\"{IN_BODY}\"}}")).await;
    let dry = yard.redrive("--dead --dry-run").await;
    assert!(dry.out.contains("unrenderable: "), "{}", dry.out);
    assert!(
        dry.out.contains("stays, no message can be made from it: key: the delivery has no {json:order.id}"),
        "{}",
        dry.out
    );
    let dead = yard.redrive("--dead").await;
    assert_eq!(dead.code, Some(1));
    assert!(dead.out.contains("1 not tried") && !dead.out.contains("later"), "{}", dead.out);
    yard.write(&keyed.replace("{json:order.id}", "{id}"));
    let dry = yard.redrive("--dead --dry-run").await;
    assert!(
        dry.out.contains("to pulsar-demo/webhooks/webhooks, made with the current hooks.toml"),
        "{}",
        dry.out
    );
    assert_eq!(yard.redrive("--dead").await.code, Some(0));
    assert_eq!(
        (yard.topics().len(), yard.redrive("--dead --list").await.out),
        (1, "0 deliveries\n".to_owned())
    );
}

/// A dry run ends as the run would if the vendor's variables are missing. Earlier, it said that the
/// deliveries would be sent, and its exit code was 0.
#[tokio::test]
async fn a_dry_run_without_a_vendors_settings_promises_nothing() {
    let mut yard = Yard::start(&hooks(OLD)).await;
    yard.fail();
    yard.accept("erp", "{}".to_owned()).await;
    yard.vars.retain(|(name, _)| *name != "TENCENTCLOUD_REGION");
    let dry = yard.redrive("--dry-run --now --target tdmq").await;
    assert_eq!(dry.code, Some(2), "{dry:?}");
    for words in
        ["-> stays, as nothing can be sent", "1 would stay", "tdmq: nothing can be sent to it: TDMQ_REGION"]
    {
        assert!(dry.out.contains(words) && !dry.out.contains("would be sent"), "{words} in {}", dry.out);
    }
    let plan = yard.redrive("--dry-run --now --json --target tdmq").await;
    let why = plan.json()[0]["plan"]["why"].as_str().unwrap().to_owned();
    assert_eq!((plan.code, &plan.json()[0]["plan"]["do"]), (Some(2), &"stay".into()));
    assert!(why.starts_with("TDMQ_REGION"), "{why}");
    assert_eq!(yard.redrive("--now --target tdmq").await.code, Some(2), "as the run");

    // The other target has its settings.
    let dry = yard.redrive("--dry-run --now --target rocketmq").await;
    assert!(dry.code == Some(0) && dry.out.contains("1 would be sent"), "{dry:?}");
    let dry = yard.redrive("--dry-run --now").await;
    assert!(dry.code == Some(2) && dry.out.contains("1 would be sent, 1 would stay"), "{dry:?}");
    assert_eq!(yard.redrive("--list").await.code, Some(0), "a list sends nothing");
}

/// Acknowledged deliveries in `dead/` are mentioned by the commands that do not show them.
#[tokio::test]
async fn what_is_buried_is_mentioned() {
    const HINT: &str = "dead/ has deliveries too: hookmq redrive --dead --list shows them\n";
    let keyed = "[hooks.erp]\nsource = \"none\"\ntopic = \"pulsar-demo/webhooks/webhooks\"\nkey = \"{json:order.id}\"\n";
    let plain = keyed.replace("{json:order.id}", "{id}").replace("hooks.erp", "hooks.shop");
    let yard = Yard::start(&format!("{keyed}{plain}")).await;
    yard.accept("erp", "{}".to_owned()).await;
    for (arguments, is_mentioned) in [
        ("", true),
        ("--list", true),
        ("--dry-run", true),
        ("--list --vendor tdmq", true),
        ("--list --hook erp", true),
        ("--hook shop", false),
        ("--list --target rocketmq", false),
        ("--list --json", false),
        ("--json", false),
        ("--dead --list", false),
    ] {
        let told = yard.redrive(arguments).await;
        assert_eq!(told.code, Some(0), "{arguments}: {told:?}");
        assert_eq!(told.out.ends_with(HINT), is_mentioned, "{arguments}: {told:?}");
        assert_eq!(told.out.matches("dead/ has").count(), usize::from(is_mentioned), "{told:?}");
    }
    // The command succeeds even if it cannot look.
    fs::remove_dir_all(yard.store().join("dead")).unwrap();
    fs::write(yard.store().join("dead"), "x").unwrap();
    let told = yard.redrive("--list").await;
    assert_eq!((told.code, told.out.as_str()), (Some(0), "0 deliveries\n"), "{told:?}");
}

/// The list begins the reason of a missing topic with what to do.
#[tokio::test]
async fn a_missing_topic_is_told_with_what_to_do() {
    let yard = Yard::start(&hooks(OLD)).await;
    let kind: FaultKind = serde_json::from_value(
        serde_json::json!({ "error": { "code": "ResourceNotFound.Topic", "message": "the vendor's text" } }),
    )
    .unwrap();
    yard.emulator.set_faults(vec![Fault::new(kind).vendor(Queue::Tdmq).times(0)]);
    yard.accept("erp", "{}".to_owned()).await;
    let list = yard.redrive("--list --target tdmq").await.out;
    let reason = "config ResourceNotFound.Topic: create the topic, or correct its name in hooks.toml (";
    assert!(list.contains(reason) && list.contains("): the vendor's text\n"), "{list}");
}

/// Every command reports deliveries for a target that no table names.
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
    assert!(told.out.contains("eu ") && told.out.contains("no valid [targets] table"), "{}", told.out);
    // An object under another delivery's name does not count as a delivery in this target either.
    let folder = yard.store().join("spill/eu/erp");
    let name = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    fs::rename(&name, folder.join("0".repeat(64))).unwrap();
    let told = yard.redrive("--list").await;
    assert!(told.out.contains("cannot be read: ") && told.out.contains("another delivery's"), "{told:?}");
}

/// A mistyped name is an error. Earlier, it found nothing, which looked like nothing to do.
#[tokio::test]
async fn a_name_that_nobody_knows_is_an_error() {
    let yard = Yard::start(&hooks(OLD)).await;
    yard.fail();
    yard.accept("erp", "{}".to_owned()).await;
    yard.write("[hooks.shop]\nsource = \"none\"\ntopic = \"pulsar-demo/webhooks/webhooks\"\n");
    for arguments in ["", "--list", "--dry-run", "--dead", "--dead --list", "--list --target tdmq"] {
        let told = yard.redrive(&format!("{arguments} --hook nonesuch")).await;
        assert_eq!((told.code, &*told.out), (Some(2), ""), "{arguments}: {told:?}");
        assert!(told.err.contains("there is no hook nonesuch: ") && told.err.contains("shop"), "{told:?}");
    }
    for arguments in ["", "--list", "--dry-run", "--dead --list"] {
        let told = yard.redrive(&format!("{arguments} --target nowhere")).await;
        assert_eq!((told.code, &*told.out), (Some(2), ""), "{arguments}: {told:?}");
        assert!(told.err.contains("there is no target nowhere: ") && told.err.contains("tdmq"), "{told:?}");
    }
    // A hook that hooks.toml names has no deliveries; a removed hook has some.
    assert_eq!(yard.redrive("--list --hook shop").await.out, "0 deliveries\n");
    let told = yard.redrive("--list --hook erp").await;
    assert!(told.code == Some(0) && told.out.ends_with("2 deliveries\n"), "{told:?}");

    let told = yard.redrive("--hook nonesuch --json").await;
    assert!(told.json()[0]["error"].as_str().unwrap().contains("no hook nonesuch"), "{told:?}");
    for wrong in ["--patience 0s", "--concurrency 0", "--rate 0"] {
        let told = yard.redrive(wrong).await;
        assert!(told.code == Some(2) && told.out.is_empty() && !told.err.is_empty(), "{wrong}: {told:?}");
    }
}

/// A folder that does not exist, mistyped or not mounted, is an error. Earlier, it counted as empty.
#[tokio::test]
async fn a_folder_that_nobody_has_written_to_is_an_error() {
    let mut yard = Yard::start(&hooks(OLD)).await;
    let store = yard.store();
    yard.vars.extend([
        ("QUARANTINE_URL", format!("file://{}", store.display())),
        ("QUARANTINE_KEY", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=".to_owned()),
    ]);
    let commands = ["", "--list", "--dry-run", "--dead", "--json", "--quarantine"];
    let all_say = async |words: [String; 2]| {
        for command in commands {
            let told = yard.redrive(command).await;
            assert_eq!(told.code, Some(2), "{command}: {told:?}");
            assert!(words.iter().all(|words| told.err.contains(words.as_str())), "{command}: {told:?}");
            assert_eq!(told.out.contains("\"error\""), command == "--json", "{command}: {told:?}");
        }
    };
    let place = store.display().to_string();
    all_say([place.clone(), "no forwarder has written there".to_owned()]).await;
    fs::write(&store, "x").unwrap();
    all_say([place, "is not a folder".to_owned()]).await;
    fs::remove_file(&store).unwrap();
    fs::create_dir(&store).unwrap();
    for folder in ["spill", "dead", "quarantine"] {
        fs::write(store.join(folder), "x").unwrap();
    }
    all_say([store.display().to_string(), "is not a folder".to_owned()]).await;
    // A forwarder that has spilled nothing has at most created the folder.
    for folder in ["spill", "dead", "quarantine"] {
        fs::remove_file(store.join(folder)).unwrap();
    }
    for command in commands {
        let told = yard.redrive(command).await;
        assert_eq!((told.code, &*told.err), (Some(0), ""), "{command}: {told:?}");
    }
}

/// Objects that hookmq has not written are counted, so that they are not overlooked.
#[cfg(unix)]
#[tokio::test]
async fn what_hookmq_has_not_written_is_counted() {
    use std::os::unix::ffi::OsStrExt as _;

    let yard = Yard::start(&hooks(OLD)).await;
    yard.fail();
    yard.accept("erp", "{}".to_owned()).await;
    let (spill, hook) = (yard.store().join("spill"), yard.store().join("spill/tdmq/erp"));
    let delivery = fs::read_dir(&hook).unwrap().next().unwrap().unwrap().path();
    std::os::unix::fs::symlink(&delivery, hook.join("1".repeat(64))).unwrap();
    fs::copy(&delivery, hook.join("A".repeat(64))).unwrap();
    fs::copy(&delivery, hook.join(std::ffi::OsStr::from_bytes(b"\xff"))).unwrap();
    fs::create_dir(spill.join("tdmq/ERP")).unwrap();
    for odd in ["note", "tdmq/note.txt", "tdmq/.DS_Store"] {
        fs::write(spill.join(odd), "x").unwrap();
    }
    let told = yard.redrive("--list --target tdmq").await;
    assert!(told.out.ends_with("1 delivery\n") && told.err.starts_with("hookmq: 6 entries "), "{told:?}");
    for command in ["--list", "--list --json", "--dry-run"] {
        let told = yard.redrive(command).await;
        assert!(told.err.starts_with("hookmq: 7 entries in the store are not hookmq's"), "{told:?}");
    }
    let run = yard.redrive("--json").await.json();
    let foreign = |target: &str| run[0][target]["done"]["foreign"].clone();
    assert_eq!((foreign("tdmq"), foreign("rocketmq")), (6.into(), 0.into()), "{run:?}");
    let run = yard.redrive("").await;
    assert!(run.out.contains("6 more that hookmq did not write"), "{run:?}");
}

/// A reason is reported once, although some vendors' texts repeat the code. A delivery that a circuit holds
/// back is reported with the reason, without remaining seconds that are outdated when read.
#[tokio::test]
async fn a_reason_is_told_once() {
    let yard = Yard::start(&hooks(OLD)).await;
    let codes = ["ResourceNotFound.Topic", "DMS.10540019"];
    let fault = |code: &str, status, vendor| {
        let status = http::StatusCode::from_u16(status).unwrap();
        let kind: FaultKind = serde_json::from_value(
            serde_json::json!({ "error": { "code": code, "status": status.as_u16() } }),
        )
        .unwrap();
        Fault::new(kind).vendor(vendor).times(0)
    };
    yard.emulator.set_faults(vec![fault(codes[0], 200, Queue::Tdmq), fault(codes[1], 404, Queue::Rocketmq)]);
    for n in 0..3 {
        yard.accept("erp", format!("[{n}]")).await;
    }
    let list = yard.redrive("--list").await.out;
    for line in list.lines().filter(|line| line.starts_with("      ")) {
        assert_eq!(codes.iter().map(|code| line.matches(code).count()).sum::<usize>(), 1, "{list}");
    }
    let run = yard.redrive("").await.out;
    for line in run.lines().filter(|line| line.contains(" x erp: ")) {
        assert_eq!(codes.iter().map(|code| line.matches(code).count()).sum::<usize>(), 1, "{run}");
        assert!(!line.contains(" s after: "), "{run}");
    }
    assert!(run.contains("not tried again so soon after: "), "{run}");
}

/// A dry run explains why the stored message of a removed hook would be sent. Earlier, it gave no reason.
#[tokio::test]
async fn a_hook_that_is_gone_is_told_with_what_is_sent_instead() {
    let yard = Yard::start(&hooks(OLD)).await;
    yard.fail();
    yard.accept("erp", "{}".to_owned()).await;
    let topic = |target: &str| {
        let topic = if target == "tdmq" { "pulsar-demo/webhooks/webhooks" } else { "webhooks_test" };
        format!("[hooks.erp]\nsource = \"none\"\ntargets = [\"{target}\"]\ntopic = \"{topic}\"\n")
    };
    let gone = topic("tdmq").replace("hooks.erp", "hooks.other");
    for (hooks, target, why) in [
        (gone, "rocketmq", "hooks.toml has no valid hook erp"),
        (topic("tdmq"), "rocketmq", "the hook erp of hooks.toml has no topic for this target"),
        (topic("rocketmq"), "tdmq", "the hook erp of hooks.toml has no topic for this target"),
    ] {
        yard.write(&hooks);
        for more in ["", "--render"] {
            let told = yard.redrive(&format!("--dry-run --json --target {target} {more}")).await;
            let plan = &told.json()[0]["plan"];
            assert_eq!((&plan["made"], &plan["instead"]), (&"stored".into(), &why.into()), "{told:?}");
        }
    }
}

/// A store that does not answer ends every command. Earlier, each of them hung for an hour without output.
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
        assert_eq!(told.code, Some(2), "{command}: {told:?}");
        assert_eq!(told.out.is_empty(), command != "--json", "{command}: {told:?}");
        for words in [
            &endpoint,
            "does not answer yet: trying again for 0.4 s",
            "hookmq: check S3_ENDPOINT and S3_REGION",
        ] {
            assert!(told.err.contains(words), "{words} of {command}: {}", told.err);
        }
    }
}
