//! Tests of secrets from Secrets Manager and Parameter Store, over real sockets.

use std::time::Duration;

use futures_util::future::join_all;
use hookmq_shared::config::{Config, Lookup, Reading, Samples, Severity};
use hookmq_shared::context::Context;
use hookmq_shared::env::Env;
use hookmq_shared::quarantine::Quarantine;
use hookmq_shared::queue::Vendor;
use hookmq_shared::redrive::{Options, QuarantinePages, reverify};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::kit::extension::{Extension, Held, TOKEN};
use crate::kit::rotation::{KEY, NEW, OLD, World, github, log, pass, signed, signed_as};

const ARN: &str = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:hooks/github-AbCdEf";

fn text(value: &str) -> Held {
    Held::Text(value.to_owned())
}

async fn world(extension: &Extension, hooks: &str) -> World {
    let vars = extension.vars();
    let vars: Vec<(&str, &str)> = vars.iter().map(|(name, value)| (*name, value.as_str())).collect();
    World::with(&vars, &[], hooks).await
}

#[tokio::test]
async fn secrets_of_both_stores_are_read_by_the_first_delivery() {
    let extension = Extension::start().await;
    extension.secret(ARN, text(&json!({ "github": OLD, "other": "x" }).to_string()));
    extension.secret("whole", Held::Binary(NEW.as_bytes().to_vec()));
    extension.parameter("/hooks/third one", "a-third-secret-0123456789");
    let refs = format!(r#""secretsmanager:{ARN}#github", "secretsmanager:whole", "ssm:/hooks/third one""#);
    let world = world(&extension, &github("stores", &refs)).await;
    assert_eq!(extension.seen(), [""; 0], "the extension serves no init");
    for secret in [OLD, NEW, "a-third-secret-0123456789"] {
        assert_eq!(world.deliver(&signed("stores", secret)).await, 200);
    }
    let arn = "arn%3Aaws%3Asecretsmanager%3Aeu-central-1%3A123456789012%3Asecret%3Ahooks%2Fgithub-AbCdEf";
    assert_eq!(
        extension.seen(),
        [
            format!("/secretsmanager/get?secretId={arn}"),
            "/secretsmanager/get?secretId=whole".to_owned(),
            "/systemsmanager/parameters/get?name=%2Fhooks%2Fthird%20one&withDecryption=true".to_owned(),
        ],
        "once, not once a delivery"
    );
    let log = log("stores");
    for (i, line) in log.iter().enumerate() {
        assert!(line.contains(&format!("\"secret\":{i}")), "{line}");
    }
    assert_eq!(log.len(), 3, "{log:?}");
}

#[tokio::test]
async fn a_variable_may_hold_the_reference_in_the_secrets_place() {
    let extension = Extension::start().await;
    extension.secret("hookmq", text(&json!({ "GITHUB_SECRET": OLD }).to_string()));
    extension.parameter("/token", "a-third-secret-0123456789");
    let own = extension.vars();
    let mut vars: Vec<(&str, &str)> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
    vars.extend([
        ("GITHUB_SECRET", "secretsmanager:hookmq#GITHUB_SECRET"),
        ("TOKEN", "ssm:/token"),
        ("OTHER_SECRET", "secretsmanager:hookmq#OTHER_SECRET"),
        ("PLAIN_SECRET", NEW),
    ]);
    let hooks = [
        github("chained", r#""env:GITHUB_SECRET", "env:TOKEN", "env:PLAIN_SECRET""#),
        github("chained-none", r#""env:OTHER_SECRET""#),
        github("chained-plain", r#""env:PLAIN_SECRET""#),
    ];
    let world = World::with(&vars, &[], &hooks.concat()).await;
    assert_eq!(extension.seen(), [""; 0], "the extension serves no init");
    assert_eq!(world.deliver(&signed("chained-plain", NEW)).await, 200);
    for secret in [OLD, "a-third-secret-0123456789", NEW] {
        assert_eq!(world.deliver(&signed("chained", secret)).await, 200);
    }
    let seen = [
        "/secretsmanager/get?secretId=hookmq",
        "/systemsmanager/parameters/get?name=%2Ftoken&withDecryption=true",
    ];
    assert_eq!(extension.seen(), seen);
    let reference = "secretsmanager:hookmq#GITHUB_SECRET";
    assert_eq!(world.deliver(&signed("chained", reference)).await, 401, "the reference is not a secret");

    assert_eq!(world.deliver(&signed("chained-none", "secretsmanager:hookmq#OTHER_SECRET")).await, 503);
    let told = "secrets[0]: hookmq has no text at \\\"OTHER_SECRET\\\"";
    assert!(log("chained-none")[0].contains(told), "{:?}", log("chained-none"));
    pass(31).await;
    let both = json!({ "GITHUB_SECRET": "a-rotated-secret-0123456789", "OTHER_SECRET": NEW });
    extension.secret("hookmq", text(&both.to_string()));
    assert_eq!(world.deliver(&signed("chained-none", NEW)).await, 200);
    assert_eq!(world.deliver(&signed("chained", "a-rotated-secret-0123456789")).await, 200);
}

#[tokio::test]
async fn the_key_of_the_quarantine_is_read_when_a_request_is_refused() {
    let extension = Extension::start().await;
    let dir = tempfile::tempdir().unwrap();
    let url = format!("file://{}", dir.path().display());
    let own = extension.vars();
    let mut vars: Vec<(&str, &str)> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
    vars.extend([("QUARANTINE_URL", &*url), ("QUARANTINE_KEY", "secretsmanager:hookmq#QUARANTINE_KEY")]);
    let hooks = github("kept", &format!("\"plain:{OLD}\"")) + "quarantine = true\n";
    let world = World::with(&vars, &[], &hooks).await;
    assert_eq!(world.deliver(&signed("kept", OLD)).await, 200);
    assert_eq!(extension.seen(), [""; 0], "nothing was refused");

    let kept = |key: &str| {
        let env = Env::of([("QUARANTINE_URL", &*url), ("QUARANTINE_KEY", key)]);
        Quarantine::from_env(&Context { env, ..Context::system() }).unwrap().unwrap()
    };
    let key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    let options = Options::default();
    let soon = || tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    let list = async || {
        let quarantine = kept(key);
        let mut pages = QuarantinePages::new(Vendor::Tdmq, &quarantine, &options);
        pages.next(soon()).await.unwrap().unwrap().len()
    };

    for _ in 0..2 {
        assert_eq!(world.deliver(&signed("kept", NEW)).await, 401, "whatever the quarantine does");
    }
    assert_eq!(extension.seen().len(), 1, "asked again after a pause only");
    let told = "QUARANTINE_KEY has no value: hookmq is refused with status 400";
    assert!(log("kept").iter().any(|line| line.contains("cannot quarantine") && line.contains(told)));
    assert_eq!(list().await, 0);

    pass(5).await;
    extension.secret("hookmq", text(&json!({ "QUARANTINE_KEY": key }).to_string()));
    for _ in 0..2 {
        assert_eq!(world.deliver(&signed("kept", NEW)).await, 401);
    }
    assert_eq!(extension.seen().len(), 2, "once, not once a request");
    assert_eq!(list().await, 1, "the same request twice");
    let done = reverify(&world.gateway, &kept(key), &options, soon()).await.unwrap();
    assert_eq!((done.found, done.rejected, done.unreadable), (1, 1, 0), "sealed with that key");
    let other = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=";
    let done = reverify(&world.gateway, &kept(other), &options, soon()).await.unwrap();
    assert_eq!((done.found, done.unreadable), (1, 1));
}

#[tokio::test]
async fn an_extension_that_starts_is_waited_for() {
    let extension = Extension::start().await;
    extension.parameter("s", OLD);
    extension.starts_for(3);
    let world = world(&extension, &github("starts", r#""ssm:s""#)).await;
    assert_eq!(world.deliver(&signed("starts", OLD)).await, 200);
    assert_eq!(extension.seen().len(), 4);
}

#[tokio::test]
async fn without_the_extension_the_other_hooks_serve_and_this_one_is_tried_again() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let hooks = [github("absent", r#""ssm:s""#), github("present", &format!("\"plain:{OLD}\""))].concat();
    let port_text = port.to_string();
    let vars = [("AWS_SESSION_TOKEN", TOKEN), ("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", &*port_text)];
    let world = World::with(&vars, &[], &hooks).await;
    let answer = world.answer(&signed("absent", OLD)).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
    assert_eq!(world.deliver(&signed("present", OLD)).await, 200);
    let layer = format!("nothing answers at localhost:{port}: add the layer");
    assert!(log("absent").last().unwrap().contains(&layer), "{:?}", log("absent"));

    let extension = Extension::listen(TcpListener::bind(("127.0.0.1", port)).await.unwrap());
    extension.parameter("s", OLD);
    assert_eq!(world.deliver(&signed("absent", OLD)).await, 503, "it was tried a moment ago");
    assert_eq!(extension.seen().len(), 0);
    pass(5).await;
    assert_eq!(world.deliver(&signed("absent", OLD)).await, 200);
    assert_eq!(extension.seen().len(), 1);
}

#[tokio::test]
async fn every_cause_is_told_and_is_a_503() {
    let extension = Extension::start().await;
    extension.secret("failing", Held::Answer(500, OLD.to_owned()));
    extension.secret("denied", Held::Answer(403, OLD.to_owned()));
    extension.secret("foreign", Held::Answer(200, format!("<html>{OLD}</html>")));
    extension.secret("object", text(&json!({ "a": OLD, "n": 1 }).to_string()));
    extension.secret("scalar", text(OLD));
    extension.secret("blank", text(" "));
    extension.secret("sample", text("hookmq-sample-github-secret"));
    for (i, (reference, told)) in [
        ("secretsmanager:nowhere", "nowhere is refused with status 400"),
        ("ssm:nowhere", "nowhere is refused with status 400"),
        ("secretsmanager:denied", "denied is refused with status 403"),
        (
            "secretsmanager:failing",
            "failing cannot be read: the AWS Parameters and Secrets extension answered 500",
        ),
        ("secretsmanager:foreign", "foreign cannot be read: the answer is not from the AWS Parameters"),
        ("secretsmanager:object#b", "object has no text at \\\"b\\\""),
        ("secretsmanager:object#n", "object has no text at \\\"n\\\""),
        ("secretsmanager:scalar#a", "scalar is not a JSON object"),
        ("secretsmanager:blank", "the secret is empty"),
        ("secretsmanager:sample", "secrets[0]: this is a sample secret"),
    ]
    .into_iter()
    .enumerate()
    {
        let hook = format!("cause-{i}");
        let world = world(&extension, &github(&hook, &format!("{reference:?}"))).await;
        let before = extension.seen().len();
        for _ in 0..2 {
            assert_eq!(world.deliver(&signed(&hook, OLD)).await, 503, "{reference}");
        }
        assert_eq!(extension.seen().len(), before + 1, "{reference}: asked once");
        let log = log(&hook);
        assert!(log.iter().all(|line| line.contains(told)), "{told}: {log:?}");
    }
    for (i, (vars, told)) in [
        (vec![], "AWS_SESSION_TOKEN is unset"),
        (
            vec![("AWS_SESSION_TOKEN", TOKEN), ("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", "65536")],
            "PARAMETERS_SECRETS_EXTENSION_HTTP_PORT is not a port",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let hook = format!("variable-{i}");
        let world = World::with(&vars, &[], &github(&hook, r#""ssm:s""#)).await;
        assert_eq!(world.deliver(&signed(&hook, OLD)).await, 503);
        assert!(log(&hook).iter().all(|line| line.contains(told)), "{:?}", log(&hook));
    }
}

#[tokio::test]
async fn a_rotated_secret_is_read_and_forged_requests_do_not_hammer_the_extension() {
    let extension = Extension::start().await;
    extension.secret("s", text(OLD));
    let world = world(&extension, &github("turned", r#""secretsmanager:s""#)).await;
    assert_eq!(world.deliver(&signed("turned", OLD)).await, 200);
    pass(31).await;
    for _ in 0..5 {
        assert_eq!(world.deliver(&signed("turned", "forged-0123456789")).await, 401);
    }
    assert_eq!(extension.seen().len(), 2, "at the first delivery, and for the first forged one");
    pass(31).await;
    extension.secret("s", text(NEW));
    assert_eq!(world.deliver(&signed("turned", NEW)).await, 200);
    pass(31).await;
    // A secret that was read keeps working without the extension.
    extension.secret("s", Held::Answer(500, String::new()));
    assert_eq!(world.deliver(&signed("turned", OLD)).await, 503, "there may be a newer one");
    assert_eq!(world.deliver(&signed("turned", NEW)).await, 200);
}

/// Few requests wait for a hanging extension, because each of them holds a place of the host.
#[tokio::test]
async fn few_requests_wait_for_an_extension_that_hangs() {
    let extension = Extension::start().await;
    extension.secret("s", text(OLD));
    let world = world(&extension, &github("hanging", r#""secretsmanager:s""#)).await;
    // At first no secret is known; later there is one that forged requests ask to read again.
    for is_known in [false, true] {
        if is_known {
            pass(31).await;
            extension.secret("s", text(OLD));
            assert_eq!(world.deliver(&signed("hanging", OLD)).await, 200);
            pass(31).await;
        }
        extension.secret("s", Held::Silence);
        tokio::time::pause();
        let forged = signed("hanging", "forged-0123456789");
        let calls = (0..100).map(async |_| {
            let begun = Instant::now();
            let status = world.deliver(&forged).await;
            (status, begun.elapsed() < Duration::from_millis(500))
        });
        let answers = join_all(calls).await;
        tokio::time::resume();
        assert!(answers.iter().all(|(status, _)| *status == 503), "{answers:?}");
        let at_once = answers.iter().filter(|(_, is_at_once)| *is_at_once).count();
        assert_eq!(at_once, 67, "one reads, and 32 wait for it: {is_known}");
    }
    extension.secret("s", text(NEW));
    pass(31).await;
    assert_eq!(world.deliver(&signed("hanging", NEW)).await, 200);
}

#[tokio::test]
async fn a_secret_of_the_wrong_form_is_told_when_it_is_read() {
    let extension = Extension::start().await;
    extension.parameter("s", "whsec_this is not base64");
    let hooks = "[hooks.form]\nsource = \"standard-webhooks\"\ntopic = \"a/b/c\"\nsecrets = [\"ssm:s\"]\n";
    let world = world(&extension, hooks).await;
    let request = signed_as("standard-webhooks", "form", KEY);
    assert_eq!(world.deliver(&request).await, 503);
    assert!(log("form")[0].contains("secrets[0]: is not a key of this source"), "{:?}", log("form"));
    extension.parameter("s", KEY);
    pass(5).await;
    assert_eq!(world.deliver(&request).await, 200);
}

#[test]
fn what_is_wrong_beside_such_a_secret_is_told_at_once() {
    let env = Env::of([("", "")]);
    let parse = |text: &str| Config::parse("hooks.toml", text, Reading::new(&env, Samples::Refused));
    for (lines, wrong) in [
        ("source = \"none\"\nsecrets = [\"ssm:s\"]", "secrets[0]: this source does not take it"),
        ("source = \"githib\"\nsecrets = [\"ssm:s\"]", "source"),
        ("source = \"github\"\nsecrets = [\"ssm:s\", \"env:NONE\"]", "secrets[1]"),
        ("source = \"github\"\nsecrets = [\"ssm: \"]", "secrets[0]"),
        ("source = \"github\"\nsecrets = [\"ssm:s\"]\nparams = { x = \"ssm:x\" }", "params.x"),
        ("source = \"github\"\nparams = { x = \"ssm:x\" }", "params.x"),
        ("source = \"wecom\"\nsecrets = [\"ssm:s\"]\nparams = { aes_key = \"ssm:x\" }", "params.receiver"),
        ("source = \"trello\"\nsecrets = [\"ssm:s\"]", "url"),
    ] {
        let config = parse(&format!("[hooks.a]\ntopic = \"a/b/c\"\n{lines}\n"));
        let errors = config.mistakes.iter().filter(|mistake| mistake.severity == Severity::Error);
        let errors: Vec<String> = errors.map(ToString::to_string).collect();
        assert!(
            errors.iter().any(|error| error.contains(&format!("hooks.a.{wrong}"))),
            "{lines}: {errors:?}"
        );
        assert!(matches!(config.lookup("/a"), Lookup::Broken("a")), "{lines}");
    }
    let sound = "[hooks.a]\ntopic = \"a/b/c\"\nsource = \"wecom\"\nsecrets = [\"ssm:s\"]\n\
                 params = { aes_key = \"secretsmanager:x#y\", receiver = \"r\" }\n";
    let config = parse(sound);
    assert!(!config.has_errors(), "{:?}", config.mistakes);
    let hook = config.hook("a").unwrap();
    assert!(hook.source.current().is_none() && hook.recipe(&Vendor::Tdmq.into(), "").is_some());
}

#[tokio::test]
async fn what_the_extension_gives_grows_old() {
    let extension = Extension::start().await;
    extension.secret("s", text(OLD));
    let world = world(&extension, &github("aging", r#""secretsmanager:s""#)).await;
    assert_eq!(world.deliver(&signed("aging", OLD)).await, 200);
    extension.secret("s", text(NEW));
    pass(240).await;
    assert_eq!(world.deliver(&signed("aging", OLD)).await, 401);
    // An outage of the secret's store must not lose deliveries for an hour.
    for trouble in [Held::Answer(500, String::new()), Held::Answer(400, String::new())] {
        extension.secret("s", text(NEW));
        pass(240).await;
        assert_eq!(world.deliver(&signed("aging", NEW)).await, 200);
        extension.secret("s", trouble);
        pass(3599).await;
        assert_eq!(world.deliver(&signed("aging", NEW)).await, 200);
        pass(2).await;
        assert_eq!(world.deliver(&signed("aging", NEW)).await, 503);
        pass(5).await;
    }
}

/// A slow request does not extend the use of old secrets, so its sender cannot keep a replaced secret in use.
#[tokio::test]
async fn a_request_that_comes_slowly_leaves_the_secrets_as_old_as_they_are() {
    let extension = Extension::start().await;
    extension.secret("s", text(OLD));
    let world = world(&extension, &github("slowly", r#""secretsmanager:s""#)).await;
    assert_eq!(world.deliver(&signed("slowly", OLD)).await, 200);
    extension.secret("s", Held::Silence);
    pass(240).await;
    let deadline = Some(tokio::time::Instant::now() + std::time::Duration::from_millis(200));
    let slow = hookmq_shared::http::Request { deadline, ..signed("slowly", OLD) };
    assert_eq!(world.deliver(&slow).await, 503);
    extension.secret("s", text(NEW));
    pass(5).await;
    assert_eq!(world.deliver(&signed("slowly", OLD)).await, 401);
}

/// A secret is read again after a failed reading, so that the failure does not extend the use of an old
/// secret.
#[tokio::test]
async fn a_secret_that_could_not_be_read_once_is_read_again() {
    let extension = Extension::start().await;
    extension.secret("s", text(OLD));
    let world = world(&extension, &github("again", r#""secretsmanager:s""#)).await;
    assert_eq!(world.deliver(&signed("again", OLD)).await, 200);
    extension.secret("s", Held::Answer(500, String::new()));
    pass(241).await;
    assert_eq!(world.deliver(&signed("again", OLD)).await, 200, "nobody can tell");
    extension.secret("s", text(NEW));
    pass(31).await;
    assert_eq!(world.deliver(&signed("again", OLD)).await, 401);
    assert_eq!(world.deliver(&signed("again", NEW)).await, 200);
}

/// A slow forged request gets a 401: the secrets are read, however little of the deadline is left.
#[tokio::test]
async fn a_forged_request_that_comes_slowly_is_a_401() {
    let extension = Extension::start().await;
    extension.secret("s", text(OLD));
    let world = world(&extension, &github("forged", r#""secretsmanager:s""#)).await;
    assert_eq!(world.deliver(&signed("forged", OLD)).await, 200);
    pass(31).await;
    let deadline = Some(tokio::time::Instant::now() - std::time::Duration::from_secs(1));
    let slow = hookmq_shared::http::Request { deadline, ..signed("forged", "forged-0123456789") };
    assert_eq!(world.deliver(&slow).await, 401);
}
