//! A short conservation experiment with the real binaries: `hookmq torture` over three seeds. Longer runs,
//! and the proof that the experiment can fail, are in `tests/conservation`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output};
use std::thread;

use serde_json::Value;

const HOOKMQ: &str = env!("CARGO_BIN_EXE_hookmq");

/// Builds the functions beside `hookmq`, because a test of the workspace builds only their tests. `hookmq` is
/// built with them, so that the dependencies are those of its own build.
fn build_functions() {
    let folder = Path::new(HOOKMQ).parent().unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "-p", "hookmq-cli", "-p", "tdmq", "-p", "rocketmq", "-p", "redrive"]);
    // Variables about this package would cause other packages to be built again.
    let of_this =
        |name: &str| ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| name.starts_with(prefix));
    for (name, _) in std::env::vars().filter(|(name, _)| of_this(name)) {
        cargo.env_remove(name);
    }
    cargo.arg("--manifest-path").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"));
    cargo.arg("--target-dir").arg(folder.parent().unwrap());
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    assert!(cargo.status().unwrap().success());
}

fn torture(arguments: &[&str]) -> Output {
    let mut hookmq = Command::new(HOOKMQ);
    hookmq.args(["torture", "--deliveries", "300", "--concurrency", "12"]).args(arguments);
    hookmq.output().unwrap()
}

#[test]
fn what_was_acknowledged_is_in_the_queue() {
    build_functions();
    let runs = [
        ["--seed", "1", "--faults", "all", "--vendor", "tdmq", "--hooks", "20"],
        ["--seed", "2", "--faults", "all", "--vendor", "rocketmq", "--hooks", "9"],
        ["--seed", "3", "--faults", "all", "--vendor", "tdmq", "--spill", "never"],
    ];
    let kept = tempfile::tempdir().unwrap();
    let folder = |run: &[&str]| kept.path().join(run[1]);
    let runs = runs.map(|run| {
        let folder = folder(&run);
        thread::spawn(move || (run, torture(&[&run[..], &["--keep", folder.to_str().unwrap()]].concat())))
    });
    for (run, output) in runs.map(|run| run.join().unwrap()) {
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.ends_with("HELD\n"),
            "{run:?}\n{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let faults = text.lines().find(|line| line.starts_with("faults")).unwrap();
        assert!(faults.contains("kill-forwarder"), "{faults}");
        keeps_the_contract(&folder(&run).join("messages.jsonl"));
    }
}

/// Checks the texts of messages against docs/message.schema.json, but for those of the hooks with `format = "raw"`.
fn keeps_the_contract(messages: &Path) {
    let schema: Value = serde_json::from_str(include_str!("../../docs/message.schema.json")).unwrap();
    let schema = jsonschema::draft202012::new(&schema).unwrap();
    let (mut envelopes, text) = (0, std::fs::read_to_string(messages).unwrap());
    for line in text.lines() {
        let text: String = serde_json::from_str(line).unwrap();
        if !text.starts_with("{\"specversion\":") {
            continue;
        }
        // The body is the last member, and some bodies have numbers that this parser does not read.
        let rest = text.split_once(r#"","data":"#).map(|(rest, _)| format!(r#"{rest}","data":null}}"#));
        let envelope: Value = serde_json::from_str(rest.as_deref().unwrap_or(&text)).unwrap();
        let broken: Vec<String> = schema.iter_errors(&envelope).map(|error| error.to_string()).collect();
        assert!(broken.is_empty(), "{broken:?} in {text}");
        envelopes += 1;
    }
    assert!(envelopes > 100, "{envelopes} of {} messages are envelopes", text.lines().count());
}

#[cfg(target_os = "linux")]
#[test]
fn a_log_that_cannot_be_written_ends_no_function() {
    build_functions();
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    for name in ["tdmq", "rocketmq", "redrive"] {
        let mut function = Command::new(Path::new(HOOKMQ).with_file_name(name));
        // A missing configuration is logged, and so is the address.
        let store = concat!("file://", env!("CARGO_TARGET_TMPDIR"), "/full-log");
        let env = [("LISTEN", "127.0.0.1:0"), ("HOOKS_FILE", "/nowhere/hooks.toml"), ("SPILL_URL", store)];
        function.env_clear().envs(env);
        let mut function = function.stdout(full()).stderr(full()).spawn().unwrap();
        thread::sleep(std::time::Duration::from_millis(500));
        let ended = function.try_wait().unwrap();
        function.kill().unwrap();
        function.wait().unwrap();
        assert_eq!(ended, None, "{name}");
    }
}

#[test]
fn what_cannot_begin_says_why() {
    let without = torture(&["--forwarder", "/nowhere/tdmq"]);
    assert_eq!(without.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&without.stderr).contains("cargo build -p tdmq"));
    let unknown = torture(&["--faults", "clock,sulk"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("no fault sulk"));
}
