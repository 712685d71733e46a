//! Tests of the command for every source that it lists: `hookmq verify` accepts the output of `hookmq sign`,
//! and rejects it once it was broken.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::thread;

use serde_json::Value;

use crate::kit::{params_for, secret_for};

/// A source, as listed by `hookmq sources --json`.
struct Source {
    info: Value,
    name: String,
    /// The arguments that `sign` and `verify` have in common, beginning with the source.
    arguments: Vec<String>,
}

fn hookmq(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookmq"));
    command.args(arguments);
    command
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn sources() -> Vec<Source> {
    let listed = hookmq(&["sources", "--json"]).output().unwrap();
    let listed: Vec<Value> = serde_json::from_slice(&listed.stdout).unwrap();
    listed.into_iter().map(Source::new).collect()
}

impl Source {
    fn new(info: Value) -> Self {
        let name = info["name"].as_str().unwrap().to_owned();
        let mut arguments = vec!["--source".to_owned(), name.clone()];
        arguments.push(format!("--url=https://hooks.example.com/tdmq/{name}"));
        arguments.extend(params_for(&name).iter().map(|(name, value)| format!("--param={name}={value}")));
        Self { info, name, arguments }
    }

    fn command(&self, command: &str, secret: &str, more: &[&str]) -> Command {
        let mut command = hookmq(&[command]);
        command.args(&self.arguments).args(more).stdin(Stdio::null());
        if self.name != "none" {
            command.arg(format!("--secret=plain:{secret}"));
        }
        command
    }

    fn sign(&self, more: &[&str]) -> Output {
        self.command("sign", &secret_for(&self.name), more).output().unwrap()
    }

    /// Returns the value that verifies: the secret itself, or the public key that `sign` printed.
    fn verifying(&self, signed: &Output) -> String {
        let told = text(&signed.stderr).strip_prefix("the public key, which verifies it: ");
        told.map_or_else(|| secret_for(&self.name), |key| key.trim_end().to_owned())
    }

    /// Runs `verify` and returns the verdict, after a check that the exit code agrees.
    fn verdict(&self, verifying: &str, signed: &[u8]) -> String {
        let mut verify = self.command("verify", verifying, &[]);
        let mut verify = verify.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        verify.stdin.take().unwrap().write_all(signed).unwrap();
        let verify = verify.wait_with_output().unwrap();
        let verdict = text(&verify.stdout).split(':').next().unwrap().trim().to_owned();
        let code = i32::from(verdict == "rejected");
        assert_eq!(verify.status.code(), Some(code), "{}: {verdict}", self.name);
        verdict
    }

    /// Returns true if the source has the part that `--tamper` breaks; `None` if the kind does not tell.
    fn has(&self, tamper: &str) -> Option<bool> {
        match (tamper, self.info["kind"].as_str().unwrap()) {
            ("body", _) => self.info["covers_body"].as_bool(),
            ("timestamp", _) => Some(self.info["max_age_seconds"].is_number()),
            (_, "none" | "network") | ("signature", "token") => Some(false),
            (_, "any" | "all") | ("secret", "ecdsa" | "rsa" | "jwt") => None,
            _ => Some(true),
        }
    }
}

/// Runs a test for each source, several at once, because most of the time is spent on starting processes.
fn for_every_source(test: fn(&Source)) {
    let sources = sources();
    let chunks = sources.chunks(sources.len().div_ceil(4));
    thread::scope(|scope| {
        for chunk in chunks {
            scope.spawn(move || chunk.iter().for_each(test));
        }
    });
}

#[test]
fn verify_accepts_what_sign_prints() {
    for_every_source(|source| {
        for trigger in ["http", "http-api"] {
            let signed = source.sign(&["--trigger", trigger]);
            assert_eq!(signed.status.code(), Some(0), "{}: {}", source.name, text(&signed.stderr));
            let verifying = source.verifying(&signed);
            let verdict = source.verdict(&verifying, &signed.stdout);
            assert_eq!(verdict, "accepted", "{} as {trigger}", source.name);
        }
    });
}

#[test]
fn verify_rejects_what_sign_broke() {
    for_every_source(|source| {
        let verifying = source.verifying(&source.sign(&[]));
        for tamper in ["body", "signature", "timestamp", "secret"] {
            let signed = source.sign(&["--tamper", tamper]);
            let has = source.has(tamper);
            if signed.status.code() == Some(2) {
                let message = text(&signed.stderr);
                assert!(
                    message.contains(&format!("{tamper} cannot be broken")),
                    "{}: {message}",
                    source.name
                );
                assert_ne!(has, Some(true), "{} has a {tamper}", source.name);
                continue;
            }
            assert_eq!(signed.status.code(), Some(0), "{} {tamper}", source.name);
            assert_ne!(has, Some(false), "{} has no {tamper}", source.name);
            assert_eq!(source.verdict(&verifying, &signed.stdout), "rejected", "{} {tamper}", source.name);
        }
    });
}

#[test]
fn a_pipe_carries_a_request_from_one_to_the_other() {
    let sources = sources();
    let github = sources.iter().find(|source| source.name == "github").unwrap();
    let secret = secret_for("github");
    let mut sign = github.command("sign", &secret, &[]).stdout(Stdio::piped()).spawn().unwrap();
    let mut verify = github.command("verify", &secret, &[]);
    let verify = verify.stdin(sign.stdout.take().unwrap()).output().unwrap();
    assert_eq!(text(&verify.stdout), "accepted: hmac by secrets[0]\n");
    assert_eq!((sign.wait().unwrap().code(), verify.status.code()), (Some(0), Some(0)));
}

#[test]
fn each_says_whether_and_by_what_it_is_confirmed() {
    let is = |source: &Source, confidence: &str| source.info["confidence"] == confidence;
    let sources = sources();
    assert!(sources.iter().filter(|source| is(source, "confirmed")).count() >= 150);
    for source in sources {
        assert!(is(&source, "confirmed") || is(&source, "unconfirmed"), "{}", source.name);
        let opened = source.info["evidence"].as_array().unwrap();
        // The preset `none` verifies nothing, so nothing is to be confirmed.
        let is_shown = !opened.is_empty() || source.info["tried"].is_string() || source.name == "none";
        assert!(is_shown, "{}", source.name);
    }
}
