use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::hmac;

use super::*;
use crate::clock::{Random, Timestamp};
use crate::delivery::{Content, Delivery, Verified};
use crate::http::{Headers, Request};
use crate::message::Format;
use crate::queue::Vendor;
use crate::source::{Draft, Verdict};

const GOOD: &str = r#"
[hooks.github]
source  = "github"
secrets = ["env:GITHUB_SECRET", "plain:an-older-secret-of-ours"]
topic   = { tdmq = "pulsar-demo/webhooks/github", rocketmq = "webhooks_github" }
events  = ["push", "release"]

[hooks.erp]
path     = "/erp/orders"
secrets  = ["env:ERP_SECRET"]
topic    = "pulsar-demo/webhooks/erp-{event}"
format   = "raw"
key      = "{json:order.id}"
tag      = "{event}"
deadline = "8s"
max_body = "512KiB"
url      = "https://hooks.example.com/erp/orders"
[hooks.erp.verify]
kind      = "hmac"
hash      = "sha256"
signature = { from = "header:X-Signature", prefix = "sha256=", encoding = "hex" }
signed    = ["{header:X-Timestamp}", ".", "{body}"]
timestamp = { from = "header:X-Timestamp", unit = "s", past = "5m", future = "5m" }
id        = "header:X-Request-Id"
event     = "header:X-Event"
"#;

fn env() -> Env {
    Env::of([
        ("GITHUB_SECRET", "a-github-secret-0123456789"),
        ("ERP_SECRET", "an-erp-secret-0123456789"),
        ("BASE_PATH", "/tdmq/"),
    ])
}

fn parse(text: &str) -> Config {
    Config::parse("hooks.toml", text, Reading::new(&env(), Samples::Refused))
}

fn of_event(event: Option<&str>) -> Delivery {
    let content = crate::message::tests::delivery(b"{}", None).into_content();
    Delivery::new(Content { event: event.map(str::to_owned), ..content }, Verified::for_tests())
}

fn errors(config: &Config) -> Vec<String> {
    config.mistakes.iter().filter(|m| m.severity == Severity::Error).map(ToString::to_string).collect()
}

#[test]
fn the_documented_file_is_understood() {
    let config = parse(GOOD);
    assert_eq!(errors(&config), [""; 0]);
    let Lookup::Hook(github) = config.lookup("/tdmq/github") else { panic!("no hook") };
    assert_eq!(github.drops(&of_event(Some("push"))), None);
    for dropped in [Some("fork"), None] {
        let rule = github.drops(&of_event(dropped)).unwrap();
        assert_eq!(rule, r#"events = ["push", "release"] has no match"#);
    }
    assert!(github.recipe(&Vendor::Rocketmq.into(), "").is_some());
    assert_eq!(github.deadline.as_secs(), 10);
    let Lookup::Hook(erp) = config.lookup("/tdmq/erp/orders/") else { panic!("no hook") };
    assert_eq!((erp.deadline.as_secs(), erp.max_body), (8, 512 * 1024));
    assert_eq!(erp.recipe(&Vendor::Tdmq.into(), "").unwrap().format, Format::Raw);
    assert!(erp.recipe(&Vendor::Rocketmq.into(), "").is_none());
    assert!(matches!(config.lookup("/tdmq/erp"), Lookup::Unknown));
    assert!(matches!(config.lookup("/tdmqgithub"), Lookup::Unknown));
    // The prefix may be missing, since some triggers strip it.
    assert!(matches!(config.lookup("/github"), Lookup::Hook(_)));
    // An address that ends with a slash, and a path.
    for path in ["//github", "/tdmq//github", "//tdmq/github//", "/tdmq/erp//orders"] {
        assert!(matches!(config.lookup(path), Lookup::Hook(_)), "{path}");
    }
    assert!(matches!(config.lookup("//"), Lookup::Unknown));
}

/// Hooks with every key of a hook and of a target, some of which exclude each other.
const WHOLE: &str = r#"
[targets.eu]
vendor = "tdmq"
region = "ap-guangzhou"
endpoint = "https://tdmq.example.com"
secret_id = "env:ERP_SECRET"
[hooks.a]
source = "github"
params = { secret = "x" }
secrets = ["env:GITHUB_SECRET"]
path = "/a/b"
topic = { eu = "a/b/c" }
targets = ["eu"]
durable = false
events = ["push"]
format = "cloudevents"
keep_headers = ["x-*"]
keep_original = false
key = "{id}"
tag = "{event}"
deadline = "8s"
max_body = "512KiB"
url = "https://hooks.example.com/a"
spill = "never"
oversize = "reject"
dedupe = "1h"
quarantine = false
window = "24h"
rate = { limit = 50, per = "1s", status = 503 }
[hooks.b]
topic = "a/b/c"
[hooks.b.verify]
kind = "none"
id = "header:X-Id"
"#;

/// A mistyped key is answered with the key itself and with all keys of its table, in every table.
#[test]
fn a_mistyped_key_is_met_with_the_right_one() {
    let mut met = 0;
    for (line, text) in WHOLE.lines().enumerate() {
        let mut seen = 0;
        for (i, _) in text.match_indices(" = ") {
            seen += 1;
            let start = text[..i].rfind([' ', '{']).map_or(0, |at| at + 1);
            let key = &text[start..i];
            // The name of a target, the name of a parameter, and the key that chooses the other keys.
            if ["topic", "params"].iter().any(|of| text[..start].starts_with(of)) || key == "kind" {
                continue;
            }
            let mut lines: Vec<String> = WHOLE.lines().map(str::to_owned).collect();
            lines[line].insert(i, 'x');
            let found = errors(&parse(&lines.join("\n")));
            let at = format!("hooks.toml:{}: ", line + 1);
            let is_met = |m: &String| {
                let Some((_, known)) = m.split_once(&format!("did you mean {key}? Known here: ")) else {
                    return false;
                };
                // The file has every key of a hook.
                let has =
                    |key: &str| WHOLE.contains(&format!("{key} = ")) || WHOLE.contains(&format!(".{key}]"));
                let missing: Vec<&str> = known.split(", ").filter(|key| !has(key)).collect();
                let is_whole = missing.is_empty() || m.contains(".verify.") || !m.contains(" hooks.");
                assert!(is_whole, "{missing:?} are not in the file");
                m.starts_with(&at) && m.contains("unknown key") && known.split(", ").any(|k| k == key)
            };
            assert!(found.iter().any(is_met), "{key}: {found:#?}");
            met += 1;
        }
        assert!(seen > 0 || text.is_empty() || text.starts_with('['), "{text}");
    }
    assert!(met > 25, "{met}");
}

/// Quotes of an env file, and marks of an editor, are a part of a secret and match nothing.
#[test]
fn a_secret_with_more_than_the_providers_text_is_warned_of() {
    for (secret, words) in [
        (&b"\"a-secret-of-my-own-0123\""[..], Some("has quotes around it")),
        (b"'a-secret-of-my-own-0123'", Some("has quotes around it")),
        (b"\xef\xbb\xbfa-secret-of-my-own-0123", Some("begins with a byte order mark")),
        (b"a-secret-of-my-own-0123\n", Some("has blanks or line ends around it")),
        (b"a-secret-of-my-own-0123\r", Some("has blanks or line ends around it")),
        (b"\ta-secret-of-my-own-0123", Some("has blanks or line ends around it")),
        (b"\xffa-secret-of-my-own-0123\n", Some("has blanks or line ends around it")),
        (b"a-secret-of-my-own-0123\"", None),
    ] {
        let given = [Secret::new(secret)];
        let env = Env::of([("GITHUB_SECRET", "x"), ("ERP_SECRET", "y")]);
        let with = Reading { secrets: Some(&given), ..Reading::new(&env, Samples::Refused) };
        let config = Config::parse("hooks.toml", GOOD, with);
        let found: Vec<String> = config.mistakes.iter().map(ToString::to_string).collect();
        let told = |hook: &str| {
            let key = format!("warning: hooks.{hook}.secrets[0]: ");
            found.iter().filter_map(|text| text.split(&key).nth(1)).collect::<Vec<_>>()
        };
        for hook in ["github", "erp"] {
            let told = told(hook);
            assert_eq!(told.len(), usize::from(words.is_some()), "one warning a secret: {found:?}");
            assert!(told.iter().all(|text| words.is_some_and(|words| text.starts_with(words))), "{found:?}");
        }
    }
}

/// A recorded request can have another id, if the id is not signed, and no `dedupe` notices.
#[test]
fn a_window_is_warned_of_if_repeats_cannot_be_known() {
    let warned = |id: &str, signed: &str, dedupe: &str| {
        let text = format!(
            "[hooks.a]\nsecrets = [\"env:A\"]\ntopic = \"p/n/t\"\nwindow = \"24h\"\n{dedupe}\n[hooks.a.verify]\n\
             kind = \"hmac\"\nhash = \"sha256\"\nsignature = {{ from = \"header:S\", encoding = \"hex\" }}\nsigned = \
             [\"{{header:T}}\", \".\", {signed}]\ntimestamp = {{ from = \"header:T\", unit = \"s\" }}\n{id}"
        );
        let env = Env::of([("A", "a-secret-of-my-own-0123"), ("SPILL_URL", "file:///spill")]);
        let config = Config::parse("hooks.toml", &text, Reading::new(&env, Samples::Refused));
        let found: Vec<String> = config.mistakes.iter().map(ToString::to_string).collect();
        found.concat()
    };
    let body = "\"{body}\"";
    let dedupe = "dedupe = \"24h\"";
    assert_eq!(warned("id = \"json:id\"", body, dedupe), "");
    assert!(warned("id = \"json:id\"", body, "dedupe = \"1h\"").contains("write a dedupe that is as long"));
    assert!(warned("", body, "").contains("no id by which repeats are known"));
    for (id, signed) in [
        ("id = \"header:X-Id\"", body),
        ("id = [\"json:id\", \"header:X-Id\"]", body),
        ("id = \"json:id\"", "\"{json:type}\""),
    ] {
        let found = warned(id, signed, dedupe);
        assert!(found.contains("another id each time, because the id is not signed"), "{id}: {found}");
    }
    assert_eq!(warned("id = \"header:X-Id\"", "\"{header:X-Id}\", \".\", \"{body}\"", dedupe), "");
}

/// A delivery without an event is acknowledged and dropped by a list of names, but not by the pattern for all.
#[test]
fn the_pattern_for_all_takes_deliveries_without_an_event() {
    for (events, is_dropped) in [("\"*\"", false), ("\"push\", \"*\"", false), ("\"push*\"", true)] {
        let text = format!(
            "[hooks.a]\nsource = \"github\"\nsecrets = [\"env:A\"]\ntopic = \"p/n/t\"\nevents = [{events}]\n"
        );
        let env = Env::of([("A", "a-secret-of-my-own-0123")]);
        let config = Config::parse("hooks.toml", &text, Reading::new(&env, Samples::Refused));
        let hook = config.hooks().next().unwrap();
        assert_eq!(hook.drops(&of_event(None)).is_some(), is_dropped, "{events}");
        assert_eq!(hook.drops(&of_event(Some("push"))), None, "{events}");
    }
}

#[test]
fn a_short_secret_is_named_where_it_is_written() {
    let env = Env::of([("GITHUB_SECRET", "short"), ("ERP_SECRET", "short too")]);
    let config = Config::parse("hooks.toml", GOOD, Reading::new(&env, Samples::Refused));
    let found: Vec<String> = config.mistakes.iter().map(ToString::to_string).collect();
    let short = |key| format!("warning: hooks.{key}.secrets[0]: is under 16 bytes: use a longer one");
    for (line, key) in [(4, "github"), (10, "erp")] {
        let wanted = format!("hooks.toml:{line}: {}", short(key));
        assert!(found.contains(&wanted), "{wanted} in {found:#?}");
    }
    assert_eq!(found.iter().filter(|m| m.contains("under 16 bytes")).count(), 2, "{found:#?}");
    let given = [Secret::new("short")];
    let with = Reading { secrets: Some(&given), ..Reading::new(&env, Samples::Refused) };
    let config = Config::parse("hooks.toml", GOOD, with);
    let wanted = format!("hooks.toml:2: {}", short("github"));
    assert!(config.mistakes.iter().any(|m| m.to_string() == wanted), "{:?}", config.mistakes);
}

/// Lines, each with a part of the mistake that must be reported there.
type Named = &'static [(usize, &'static str)];

/// Each mistake is reported with its line. An entry replaces a text of the good file and lists the mistakes
/// that must be reported.
#[test]
fn every_mistake_is_named_with_its_line() {
    let table: &[(&str, &str, Named)] = &[
        ("source  = \"github\"", "source  = \"githib\"", &[(3, "hooks.github.source")]),
        ("source  = \"github\"", "sauce = \"github\"", &[(2, "source"), (3, "unknown key")]),
        ("source  = \"github\"", "source = 7", &[(3, "expected a string, found integer")]),
        (r#""env:GITHUB_SECRET""#, r#""hunter2""#, &[(4, "plain:VALUE")]),
        (r#""env:GITHUB_SECRET""#, r#""env:NOT_SET""#, &[(4, "NOT_SET is unset")]),
        (r#""env:GITHUB_SECRET""#, r#""plain:""#, &[(4, "empty")]),
        (r#""env:GITHUB_SECRET""#, r#""plain: ""#, &[(4, "empty")]),
        (r#""env:GITHUB_SECRET""#, r#""file:/no/such/file""#, &[(4, "cannot read /no/such/file")]),
        ("events  = [\"push\", \"release\"]", "events = []", &[(6, "would drop every delivery")]),
        ("[\"push\", \"release\"]", "[\"push\", \"*.x\"]", &[(6, "\"*.x\" matches no event")]),
        ("[\"push\", \"release\"]", "[\"\"]", &[(6, "matches no event: write a name")]),
        (
            "[\"push\", \"release\"]",
            "[\"com.github.push\"]",
            &[(6, "write the event's name \"push\"; its documents name push, and maybe others")],
        ),
        ("webhooks_github", "rmq_sys_x", &[(5, "hooks.github.topic.rocketmq")]),
        ("pulsar-demo/webhooks/github", "pulsar-demo//github", &[(5, "hooks.github.topic.tdmq")]),
        (
            "pulsar-demo/webhooks/github",
            "non-persistent://pulsar-demo/webhooks/github",
            &[(5, "durable = false")],
        ),
        ("pulsar-demo/webhooks/erp-{event}", "a/b/{evnt}", &[(11, "unknown placeholder {evnt}")]),
        ("pulsar-demo/webhooks/erp-{event}", "a/b/{header:Cookie}", &[(11, "credential")]),
        ("path     = \"/erp/orders\"", "path = \"erp\"", &[(9, "hooks.erp.path")]),
        ("path     = \"/erp/orders\"", "path = \"/github\"", &[(2, "/github too"), (9, "/github too")]),
        ("path     = \"/erp/orders\"", "path = \"/_/health\"", &[(9, "hooks.erp.path")]),
        ("format   = \"raw\"", "format = \"xml\"", &[(12, r#""cloudevents" or "raw""#)]),
        ("deadline = \"8s\"", "deadline = \"8 lightyears\"", &[(15, "a duration such as")]),
        ("deadline = \"8s\"", "deadline = \"1h\"", &[(15, "from \"500ms\" to \"60s\"")]),
        ("max_body = \"512KiB\"", "max_body = 0", &[(16, "a limit of 0 bytes")]),
        ("url      = \"https:", "url = \"http:", &[(17, "https://")]),
        ("tag      = \"{event}\"", "tag = \"a|b\"", &[(14, "no blank")]),
        ("kind      = \"hmac\"", "kind = \"rot13\"", &[(19, "hooks.erp.verify.kind")]),
        ("[hooks.erp.verify]", "[hooks.erp.verfy]", &[(8, "source"), (18, "unknown key")]),
        ("\"env:ERP_SECRET\"", "\n\"env:ERP\", \"plain: \",\n", &[(11, "secrets[0]"), (11, "secrets[1]")]),
        ("[\"push\", \"release\"]", "[]", &[(6, "hooks.github.events")]),
        ("event     = \"header:X-Event\"\n", "", &[(11, "leave {event} out"), (14, "leave {event} out")]),
        ("[hooks.github]", "[hooks.Git_Hub]", &[(2, "a-z, 0-9")]),
        (
            "[hooks.github]",
            "[hoks.github]",
            &[(2, "unknown key; did you mean hooks? Known here: hooks, targets")],
        ),
    ];
    for (from, to, wanted) in table {
        assert!(GOOD.contains(from), "{from}");
        let config = parse(&GOOD.replacen(from, to, 1));
        let found = errors(&config);
        for (line, text) in *wanted {
            let is_named =
                found.iter().any(|m| m.starts_with(&format!("hooks.toml:{line}: ")) && m.contains(text));
            assert!(is_named, "{to}: expected line {line} with {text:?}, found {found:#?}");
        }
        assert!(config.has_errors());
    }
}

#[test]
fn each_secret_is_named_where_it_stands() {
    let secrets = "\"env:UNSET\",\n\"plain:no-key\",\n";
    let key = "kind      = \"hmac\"\nkey = { encoding = \"hex\" }";
    let text = GOOD.replace("\"env:ERP_SECRET\"", secrets).replace("kind      = \"hmac\"", key);
    let found = errors(&parse(&text));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("hooks.toml:10: error: hooks.erp.secrets[0]: environment"), "{found:?}");
    assert!(found[1].starts_with("hooks.toml:11: error: hooks.erp.secrets[1]: is not a key"), "{found:?}");
    let found = errors(&parse(&GOOD.replace("ERP_SECRET", "UNSET")));
    assert_eq!(found.len(), 1, "not missing as well: {found:?}");
    let found = errors(&parse(&GOOD.replace("\"env:ERP_SECRET\"", "")));
    assert!(found.len() == 1 && found[0].contains("secrets: missing"), "{found:?}");
}

#[test]
fn a_literal_secret_is_written_out_in_params_too() {
    let hook = |token: &str| {
        let params = format!("params = {{ verification_token = \"{token}\" }}");
        let rest = "topic = \"topic\"\nsecrets = [\"plain:an-encrypt-key-of-ours\"]";
        errors(&parse(&format!("[hooks.feishu]\nsource = \"feishu\"\n{rest}\n{params}\n")))
    };
    assert_eq!(hook("plain:v-token"), [""; 0]);
    assert!(hook("v-token")[0].contains("hooks.feishu.params.verification_token: write env:NAME"));
}

#[test]
fn an_unusable_source_uri_is_our_fault() {
    for uri in ["x".repeat(513), "https://exa mple".into(), "https://\u{1}".into()] {
        let env = Env::of([("SOURCE_URI", uri), ("GITHUB_SECRET", "0123456789abcdef".into())]);
        let config = Config::parse("hooks.toml", BUILT_IN, Reading::new(&env, Samples::Refused));
        assert!(matches!(config.lookup("/github"), Lookup::Broken(_)));
        assert!(config.has_errors());
    }
}

#[test]
fn all_mistakes_are_named_at_once() {
    let text = GOOD.replace("\"github\"", "\"githib\"").replace("\"8s\"", "8.5").replace("512KiB", "many");
    assert_eq!(errors(&parse(&text)).len(), 3, "{:?}", errors(&parse(&text)));
}

#[test]
fn one_mistake_is_named_once() {
    let text = GOOD.replace("\"env:GITHUB_SECRET\", \"plain:an-older-secret-of-ours\"", "\"env:NOT_SET\"");
    assert_eq!(errors(&parse(&text)).len(), 1);
}

#[test]
fn a_broken_hook_leaves_the_others_alone() {
    let config = parse(&GOOD.replace("kind      = \"hmac\"", "kind = \"rot13\""));
    assert!(matches!(config.lookup("/tdmq/github"), Lookup::Hook(_)));
    assert!(matches!(config.lookup("/tdmq/erp/orders"), Lookup::Broken("erp")));
    assert!(matches!(config.lookup("/tdmq/other"), Lookup::Unknown));
}

#[test]
fn a_syntax_error_breaks_the_hook_it_stands_in() {
    let config = parse(&GOOD.replace("timestamp = {", "timestamp = "));
    assert!(matches!(config.lookup("/tdmq/github"), Lookup::Hook(_)), "{:?}", config.mistakes);
    assert!(matches!(config.lookup("/tdmq/erp/orders"), Lookup::Broken(_)));
    // The unusable part of the file may define this path.
    assert!(matches!(config.lookup("/tdmq/other"), Lookup::Broken(_)));
    assert!(config.mistakes.iter().any(|m| m.line == 23));
}

#[test]
fn a_syntax_error_in_a_header_breaks_every_hook() {
    let config = parse(&GOOD.replace("[hooks.erp]", "[hooks.erp"));
    for path in ["/tdmq/github", "/tdmq/erp/orders", "/tdmq/other"] {
        assert!(matches!(config.lookup(path), Lookup::Broken(_)), "{path}");
    }
}

/// A path that may belong to a broken hook gets a 503. A 404 would make the sender drop the delivery for a
/// fault of the service.
#[test]
fn a_path_that_may_be_a_broken_hooks_is_not_unknown() {
    for text in [
        GOOD.replace("[hooks.", "[hoks."),
        GOOD.replace("\"/erp/orders\"", "\"erp/orders\""),
        GOOD.replace("\"/erp/orders\"", "[\"/erp/orders\"]"),
        "hooks = 1".to_owned(),
        "[hooks]\nerp = \"x\"".to_owned(),
        "[[hooks]]\nname = \"erp\"".to_owned(),
    ] {
        let config = parse(&text);
        assert!(matches!(config.lookup("/tdmq/erp/orders"), Lookup::Broken(_)), "{text}");
        assert_eq!(config.max_body(), 6 * 1024 * 1024);
    }
    let empty = parse("");
    assert!(matches!(empty.lookup("/tdmq/erp/orders"), Lookup::Unknown));
    assert!(empty.max_body() > 0, "a 404 is not a 413");
}

#[test]
fn garbage_is_named_and_serves_nothing() {
    for text in
        ["\0", "[", "=", "hooks = 1", "[hooks]\na = 1", "[hooks.a", "[[hooks]]\n", "\u{feff}[hooks.a]\n"]
    {
        let config = parse(text);
        assert!(config.has_errors(), "{text:?}: {:?}", config.mistakes);
        assert_eq!(config.hooks().count(), 0, "{text:?}");
    }
}

#[test]
fn short_secrets_and_weak_schemes_are_warned_of() {
    let config = parse(&GOOD.replace("an-older-secret-of-ours", "short"));
    assert_eq!(errors(&config), [""; 0]);
    let warnings: Vec<_> = config.mistakes.iter().map(ToString::to_string).collect();
    assert!(warnings.iter().any(|w| w.contains("16 bytes")), "{warnings:?}");
    assert!(warnings.iter().any(|w| w.contains("raw TDMQ message carries no delivery id")), "{warnings:?}");
}

#[test]
fn an_unreadable_file_is_our_fault_not_the_senders() {
    let env = Env::of([("HOOKS_FILE", "/no/such/hooks.toml")]);
    let config = Config::load(Reading::new(&env, Samples::Refused));
    assert!(matches!(config.lookup("/github"), Lookup::Broken(_)));
    assert_eq!(errors(&config).len(), 1);
    let env = Env::of([
        ("HOOKS", GOOD),
        ("HOOKS_FILE", "/no/such/hooks.toml"),
        ("GITHUB_SECRET", "0123456789abcdef"),
    ]);
    assert!(Config::load(Reading::new(&env, Samples::Refused)).hook("github").is_some());
}

#[test]
fn lines_of_a_variable_count_from_its_first() {
    let env = Env::of([("HOOKS", "\n\n[hooks.a]\nfoo = 1\n")]);
    let found = errors(&Config::load(Reading::new(&env, Samples::Refused)));
    assert!(found.iter().any(|m| m.starts_with("HOOKS:4: error: hooks.a.foo: unknown key")), "{found:?}");
}

#[test]
fn a_rate_is_a_number_in_a_time() {
    let with = |rate: &str| {
        let text = format!("[hooks.h]\nsource = \"none\"\ntopic = \"t-1\"\n{rate}");
        let config = parse(&text);
        (config.hook("h").map(|hook| hook.rate), errors(&config))
    };
    let rate = |limit, seconds, excess| Some(Rate { limit, per: Duration::from_secs(seconds), excess });
    for (text, expected) in [
        ("", None),
        ("rate = { limit = 50 }", rate(50, 1, Excess::Unavailable)),
        ("rate = { limit = 1, per = \"1h\", status = 429 }", rate(1, 3600, Excess::TooManyRequests)),
        ("[hooks.h.rate]\nlimit = 1000000\nper = 60\nstatus = 503", rate(1_000_000, 60, Excess::Unavailable)),
    ] {
        assert_eq!(with(text), (Some(expected), Vec::new()), "{text}");
    }
    for (text, key) in [
        ("rate = \"50/s\"", "rate"),
        ("rate = {}", "rate.limit"),
        ("rate = { limit = 0 }", "rate.limit"),
        ("rate = { limit = -1 }", "rate.limit"),
        ("rate = { limit = 1000001 }", "rate.limit"),
        ("rate = { limit = 5, per = \"999ms\" }", "rate.per"),
        ("rate = { limit = 5, per = \"61m\" }", "rate.per"),
        ("rate = { limit = 5, status = 500 }", "rate.status"),
        ("rate = { limit = 5, burst = 10 }", "rate.burst"),
    ] {
        let (hook, errors) = with(text);
        assert!(hook.is_none() && errors[0].contains(&format!("hooks.h.{key}:")), "{text}: {errors:?}");
    }
}

/// Verifiers with an age of their own, each with the seconds of it.
const WITH_AGE: [(&str, u64); 5] = [
    ("source = \"linear\"", 8 * 3600),
    ("source = \"stripe\"", 300),
    ("source = \"vonage\"", 25 * 3600),
    ("verify = { kind = \"any\", verify = [ONE, OTHER] }", 300),
    ("verify = { kind = \"all\", verify = [ONE, OTHER] }", 300),
];

/// Leaves out the end that a signed token has itself, as Vonage does.
fn without_end(request: &mut Request, key: &str) {
    let Some(token) =
        request.headers.one_str("authorization").and_then(|value| value.strip_prefix("Bearer "))
    else {
        return;
    };
    let (signed, _) = token.rsplit_once('.').unwrap();
    let (head, claims) = signed.split_once('.').unwrap();
    let mut claims: serde_json::Value =
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    assert!(claims.as_object_mut().unwrap().remove("exp").is_some());
    let signed = format!("{head}.{}", BASE64_URL_SAFE_NO_PAD.encode(claims.to_string()));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), signed.as_bytes());
    let token = format!("Bearer {signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(tag));
    let others = request.headers.iter().filter(|(name, _)| *name != "authorization");
    let mut headers: Headers = others.map(|(name, value)| (name, value.to_vec())).collect();
    headers.push("authorization", token);
    request.headers = headers;
}

#[test]
fn a_window_is_the_age_up_to_which_a_request_is_accepted() {
    let keys = ["a-secret-of-sixteen", "another-of-sixteen"];
    let member = |name: &str, secret: usize| {
        format!(
            "{{ kind = \"hmac\", hash = \"sha256\", signature = {{ from = \"header:{name}\", encoding = \"hex\" }}, \
             signed = [\"{{header:T}}\", \"{{body}}\"], timestamp = {{ from = \"header:T\", unit = \"s\" }}, \
             secrets = [{secret}] }}"
        )
    };
    let begun = Timestamp::from_unix(1_760_000_000);
    for (source, age) in WITH_AGE {
        let source = source.replace("ONE", &member("A", 0)).replace("OTHER", &member("B", 1));
        let accepted = |window: &str, seconds: u64| {
            let text = format!(
                "[hooks.h]\nsecrets = [\"plain:{}\", \"plain:{}\"]\ntopic = \"t-1\"\n{window}\n{source}\n",
                keys[0], keys[1]
            );
            let config = parse(&text);
            assert_eq!(errors(&config), [""; 0], "{text}");
            let source = config.hook("h").unwrap().source.current().unwrap();
            let at = begun.shifted(i64::try_from(seconds * 1000).unwrap());
            [0, 1].map(|secret| {
                let mut request =
                    source.sign(Draft::default(), secret, begun, &Random::from_fn(|| 1)).unwrap();
                without_end(&mut request, keys[secret]);
                matches!(source.check("h", request, at), Verdict::Verified(_))
            })
        };
        for (window, age) in [("", age), ("window = \"1m\"", 60), ("window = \"168h\"", 168 * 3600)] {
            assert_eq!(accepted(window, age - 1), [true, true], "{source} {window}");
            // A token has a leeway of a minute.
            assert_eq!(accepted(window, age + 61), [false, false], "{source} {window}");
        }
    }
}

/// A token of monday.com is valid for five minutes, and one of the sender here too.
#[test]
fn a_window_is_also_the_time_after_a_tokens_end() {
    let begun = Timestamp::from_unix(1_760_000_000);
    for (window, past) in [("", 1800), ("window = \"1m\"", 60), ("window = \"168h\"", 168 * 3600)] {
        let config = parse(&format!(
            "[hooks.h]\nsource = \"monday\"\nsecrets = [\"plain:a-secret-of-sixteen\"]\ntopic = \"t-1\"\n\
             params = {{ audience = \"https://hooks.example.com/h\" }}\n{window}\n"
        ));
        assert_eq!(errors(&config), [""; 0]);
        let source = config.hook("h").unwrap().source.current().unwrap();
        let request = source.sign(Draft::default(), 0, begun, &Random::from_fn(|| 1)).unwrap();
        // The clocks may differ by a minute.
        let end = 300 + past + 60;
        let accepted = |seconds: i64| {
            let verdict = source.check("h", request.clone(), begun.shifted(seconds * 1000));
            matches!(verdict, Verdict::Verified(_))
        };
        assert_eq!([end - 1, end].map(accepted), [true, false], "{window}");
    }
}

#[test]
fn a_window_is_refused_or_warned_of() {
    let env = Env::of([("SPILL_URL", "s3://b/p")]);
    let told = |source: &str, rest: &str| {
        let text = format!(
            "[hooks.h]\nsource = \"{source}\"\nsecrets = [\"plain:a-secret-of-sixteen\"]\ntopic = \"t-1\"\n\
             url = \"https://hooks.example.com/h\"\n{rest}\n"
        );
        let config = Config::parse("f", &text, Reading::new(&env, Samples::Refused));
        let told = config.mistakes.iter().map(ToString::to_string);
        told.filter(|told| told.contains("hooks.h.window")).collect::<Vec<_>>()
    };
    for (source, rest, want) in [
        ("linear", "window = \"59s\"", "error: hooks.h.window: write a time from \"1m\" to \"168h\""),
        ("linear", "window = \"169h\"", "error: hooks.h.window: write a time from \"1m\" to \"168h\""),
        ("github", "window = \"24h\"", "error: hooks.h.window: this source has no timestamp, or one"),
        ("tencent-vod", "window = \"24h\"", "error: hooks.h.window: this source has no timestamp, or one"),
        ("linear", "window = \"24h\"", "warning: hooks.h.window: anybody who has recorded a request can"),
        (
            "linear",
            "window = \"24h\"\ndedupe = \"24h\"",
            "time, with another id each time, because the id is",
        ),
        ("slack", "window = \"24h\"", "again within this time: write a dedupe that is as long"),
        ("slack", "window = \"24h\"\ndedupe = \"23h\"", "time: write a dedupe that is as long"),
        ("vonage", "window = \"24h\"\ndedupe = \"24h\"", "the source has no id by which repeats are known"),
    ] {
        // One mistake each: what is refused is not warned of.
        let told = told(source, rest);
        assert!(told.len() == 1 && told[0].contains(want), "{source} {rest}: {told:?}");
    }
    assert_eq!(told("slack", "window = \"24h\"\ndedupe = \"24h\""), [""; 0]);
}

#[test]
fn what_a_hook_keeps_needs_a_store() {
    let hook = |rest: &str| {
        let source =
            "[hooks.h]\nsource = \"github\"\nsecrets = [\"plain:0123456789abcdef\"]\ntopic = \"t-1\"\n";
        source.to_owned() + rest
    };
    let with = |rest: &str, env: &Env| {
        let config = Config::parse("f", &hook(rest), Reading::new(env, Samples::Refused));
        (config.hook("h").map(|hook| hook.keeping), errors(&config))
    };
    let (none, both) =
        (Env::of([("A", "b")]), Env::of([("SPILL_URL", "s3://b/p"), ("QUARANTINE_URL", "s3://b/q")]));
    let bare = Keeping { spill: Mode::Never, oversize: Oversize::Reject, dedupe: None, quarantine: false };
    assert_eq!(with("", &none).0, Some(bare));
    let kept = Keeping { spill: Mode::OnFailure, oversize: Oversize::Reference, ..bare };
    assert_eq!(with("", &both).0, Some(kept));
    assert_eq!(with("format = \"raw\"", &both).0.map(|k| k.oversize), Some(Oversize::Reject));
    let all = "spill = \"always\"\noversize = \"reject\"\ndedupe = \"24h\"\nquarantine = true";
    let day = Some(Duration::from_secs(24 * 60 * 60));
    let kept = Keeping { spill: Mode::Always, oversize: Oversize::Reject, dedupe: day, quarantine: true };
    assert_eq!(with(all, &both).0, Some(kept));
    for rest in [
        "spill = \"always\"",
        "spill = \"on-failure\"",
        "oversize = \"reference\"",
        "dedupe = \"24h\"",
        "quarantine = true",
    ] {
        let (hook, errors) = with(rest, &none);
        let key = rest.split(' ').next().unwrap();
        assert!(hook.is_none() && errors[0].contains(&format!("hooks.h.{key}: needs a store")), "{errors:?}");
    }
    for rest in [
        "spill = \"sometimes\"",
        "oversize = \"cut\"",
        "dedupe = \"1s\"",
        "dedupe = \"169h\"",
        "format = \"raw\"\noversize = \"reference\"",
        "quarantine = \"yes\"",
    ] {
        assert!(with(rest, &both).0.is_none(), "{rest}");
    }
    let bearer = hook("dedupe = \"24h\"").replace("github", "bearer");
    let config = Config::parse("f", &bearer, Reading::new(&both, Samples::Refused));
    assert!(errors(&config)[0].contains("no id"), "{:?}", errors(&config));
}

#[test]
fn the_built_in_file_is_sound() {
    let env = Env::of([("GITHUB_SECRET", "0123456789abcdef0")]);
    let config = Config::parse("hooks.toml", BUILT_IN, Reading::new(&env, Samples::Refused));
    assert_eq!(config.mistakes, []);
    // The examples in comments must work as well.
    let shown: String = BUILT_IN
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.starts_with('[') || rest.contains(" = ") => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let secrets = ["GITHUB_SECRET", "STRIPE_SECRET", "ERP_SECRET"].map(|n| (n, "0123456789abcdef0"));
    let config = Config::parse("hooks.toml", &shown, Reading::new(&Env::of(secrets), Samples::Refused));
    assert_eq!(errors(&config), [""; 0]);
    assert_eq!(config.hooks().count(), 3);
}

/// A hook that is served despite a syntax error is exactly the hook that the file defines.
#[test]
fn no_slip_of_the_pen_changes_a_hook_that_is_served() {
    const TEXT: &str = r#"[hooks.a]
secrets = ["plain:0123456789abcdef"]
topic = "topic-a"
[hooks.a.verify]
kind = "hmac"
hash = "sha256"
signature = { from = "header:S", encoding = "hex" }
signed = ["{header:T}", "{body}"]
timestamp = { from = "header:T", unit = "s" }
require = [{ from = "header:V", in = ["1"] }]

[ hooks.b ]
secrets = [
  "plain:0123456789abcdef",
]
topic = "topic-b"
events = ["x", "y"]
[ hooks . b . verify ]
kind = "hmac"
hash = "sha256"
signature = { from = "header:S", encoding = "hex" }
signed = ["{header:T}", "{body}"]
timestamp = { from = "header:T", unit = "s" }
event = "header:E"
[[hooks.b.verify.require]]
from = "header:V"
in = ["1"]
"#;
    let whole = parse(TEXT);
    assert_eq!(errors(&whole), [""; 0]);
    let mut changed = Vec::new();
    let mut check = |text: String, what: String| {
        if DeTable::parse(&text).is_ok() {
            return;
        }
        for hook in parse(&text).hooks() {
            if whole.hook(&hook.name).map(|h| format!("{h:?}")) != Some(format!("{hook:?}")) {
                changed.push(format!("{what}: {} is served, but changed", hook.name));
            }
        }
    };
    for at in 0..TEXT.len() {
        let line = TEXT[..at].matches('\n').count() + 1;
        let (head, tail) = TEXT.split_at(at);
        check(format!("{head}{}", &tail[1..]), format!("line {line}: {:?} left out", &tail[..1]));
        for slip in ["\"", "'", "[", "]", "{", "}", "=", ",", "\n", "#", ".", "\"\"\"", "'''"] {
            check(format!("{head}{slip}{tail}"), format!("line {line}: {slip:?} before {:?}", &tail[..1]));
        }
    }
    assert!(changed.is_empty(), "{changed:#?}");
}

#[test]
fn the_original_is_kept_where_there_is_one() {
    let hook = |source: &str, rest: &str| {
        let text = format!(
            "[hooks.h]\nsource = \"{source}\"\nsecrets = [\"plain:a-secret-of-sixteen\"]\ntopic = \"topic\"\n\
             keep_original = true\n{rest}"
        );
        parse(&text)
    };
    let config = hook("feishu", "");
    assert_eq!(errors(&config), [""; 0]);
    let Lookup::Hook(feishu) = config.lookup("/tdmq/h") else { panic!("no hook") };
    assert!(feishu.recipe(&Vendor::Rocketmq.into(), "").unwrap().keep_original);
    let want = "hooks.toml:5: error: hooks.h.keep_original: needs encrypted events and format = \"cloudevents\": \
                leave it out";
    assert_eq!(errors(&hook("github", "")), [want]);
    assert_eq!(errors(&hook("feishu", "format = \"raw\"")), [want]);
}

#[test]
fn header_fields_are_kept_by_name_or_start() {
    let hook = |rest: &str| {
        let text = format!(
            "[hooks.h]\nsource = \"github\"\nsecrets = [\"plain:a-secret-of-sixteen\"]\ntopic = \"topic\"\n{rest}\n"
        );
        parse(&text)
    };
    let kept = |rest: &str| {
        let config = hook(rest);
        assert_eq!(errors(&config), [""; 0]);
        let Lookup::Hook(hook) = config.lookup("/tdmq/h") else { panic!("no hook") };
        let mut delivery = crate::message::tests::delivery(b"{}", None);
        let names = ["traceparent", "content-type", "x-github-event", "x-githu", "x-forwarded-for", "host"];
        delivery.content_mut().headers =
            names.iter().map(|name| ((*name).to_owned(), "1".to_owned())).collect();
        hook.trim(&mut delivery);
        delivery.headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(kept(""), "traceparent content-type x-github-event x-githu x-forwarded-for host");
    assert_eq!(kept("keep_headers = []"), "traceparent");
    assert_eq!(
        kept("keep_headers = [\"X-GitHub-*\", \"Content-Type\"]\nkey = \"{header:X-GitHub-Event}\""),
        "traceparent content-type x-github-event"
    );
    for (rest, want) in [
        ("keep_headers = [\"x-*-y\"]", "keep_headers: write header fields' names"),
        ("keep_headers = [\"\"]", "keep_headers: write header fields' names"),
        ("keep_headers = [\"Cookie\"]", "keep_headers: is a credential, which is never forwarded"),
        ("keep_headers = [\"x-gitlab-token\"]", "keep_headers: is a credential, which is never forwarded"),
        ("keep_headers = [\"host\"]\nkey = \"{header:X-One}\"", "key: {header:X-One} is not in keep_headers"),
    ] {
        let errors = errors(&hook(rest));
        assert!(errors.len() == 1 && errors[0].contains(want), "{rest}: {errors:?}");
    }
}

/// A token that a sender sends to the wrong hook by mistake is not in the messages of that hook, although the
/// hook does not know the token.
#[test]
fn tokens_of_other_hooks_are_in_no_delivery() {
    let own =
        "[hooks.own]\nsecrets = [\"plain:a-secret-of-sixteen\"]\ntopic = \"topic\"\n[hooks.own.verify]\n";
    let hook = |rest: &str| {
        format!(
            "[hooks.h]\nsource = \"github\"\nsecrets = [\"plain:a-secret-of-sixteen\"]\ntopic = \"topic\"\n{rest}\n"
        )
    };
    let kept = |config: &Config, name: &str| {
        let mut delivery = crate::message::tests::delivery(b"{}", None);
        let fields = ["x-acme-pass-phrase-1", "x-github-event"];
        delivery.content_mut().headers =
            fields.iter().map(|name| ((*name).to_owned(), "1".to_owned())).collect();
        delivery.content_mut().query = "a=1&acme=2&ACME=3&b".to_owned();
        config.hook(name).unwrap().trim(&mut delivery);
        let names = delivery.headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" ");
        format!("{names} {}", delivery.query)
    };
    let whole = "x-acme-pass-phrase-1 x-github-event a=1&acme=2&ACME=3&b";
    let header = "kind = \"token\"\nfrom = \"header:X-Acme-Pass-Phrase-1\"\n";
    let query = "kind = \"token\"\nfrom = \"query:acme\"\n";
    let jwt = header.replace("token", "jwt") + "algorithm = \"HS256\"\n";
    let bound = format!("{jwt}body_hash = {{ claim = \"sha256\", encoding = \"hex\" }}\n");
    let any = format!(
        "kind = \"any\"\nverify = [{{ {}, secrets = [0] }}, {{ {}, secrets = [0] }}]\n",
        header.trim().replace('\n', ", "),
        query.trim().replace('\n', ", ")
    );
    let without_header = "x-github-event a=1&acme=2&ACME=3&b";
    let without_query = "x-acme-pass-phrase-1 x-github-event a=1&acme=[removed]&ACME=[removed]&b";
    for (verify, want) in [
        (header, without_header),
        (query, without_query),
        (&jwt, without_header),
        (&bound, whole),
        (&any, "x-github-event a=1&acme=[removed]&ACME=[removed]&b"),
    ] {
        // The order of the hooks does not matter.
        for text in [format!("{own}{verify}{}", hook("")), format!("{}{own}{verify}", hook(""))] {
            let config = parse(&text);
            assert_eq!(errors(&config), [""; 0], "{text}");
            assert_eq!(kept(&config, "h"), want, "{text}");
        }
        // The token is removed even if the hook that it belongs to is broken.
        let broken = own.replace("plain:a-secret-of-sixteen", "env:UNSET");
        assert_eq!(kept(&parse(&format!("{broken}{verify}{}", hook(""))), "h"), want);
    }
    assert_eq!(kept(&parse(&hook("")), "h"), whole);
    // The mark of a verified token is not a token.
    let config = parse(&format!("{own}{any}"));
    let mut delivery = crate::message::tests::delivery(b"{}", None);
    delivery.content_mut().headers = vec![("x-acme-pass-phrase-1".to_owned(), "[verified]".to_owned())];
    delivery.content_mut().query = "acme=[verified]".to_owned();
    let before = delivery.clone();
    config.hook("own").unwrap().trim(&mut delivery);
    assert_eq!((&delivery.headers, &delivery.query), (&before.headers, &before.query));
}

#[test]
fn tokens_of_other_hooks_name_nothing() {
    let own = "[hooks.own]\nsecrets = [\"plain:a-secret-of-sixteen\"]\ntopic = \"topic\"\n\
               verify = { kind = \"any\", verify = [\n{ kind = \"token\", from = \"header:X-Acme-1\", secrets = [0] },\n\
               { kind = \"token\", from = \"query:acme\", secrets = [0] }] }\n";
    let hook = |key: &str, verify: &str| {
        format!(
            "[hooks.h]\nsecrets = [\"plain:a-secret-of-sixteen\"]\ntopic = \"topic\"\n{key}\n[hooks.h.verify]\n\
             kind = \"hmac\"\nhash = \"sha256\"\nsignature = {{ from = \"header:X-Sig\", encoding = \"hex\" }}\n\
             signed = [\"{{body}}\"]\n{verify}\n"
        )
    };
    for (key, verify, want) in [
        (
            "key = \"{header:x-acme-1}\"",
            "",
            "h.key: {header:x-acme-1} is the token, which is never forwarded",
        ),
        ("", "event = \"header:x-acme-1\"", "h.verify.event: header:x-acme-1 is another hook's token"),
        ("", "id = [\"header:X-Id\", \"query:acme\"]", "h.verify.id: query:acme is another hook's token"),
        ("", "subject = \"query:Acme\"", "h.verify.subject: query:Acme is another hook's token"),
    ] {
        for text in [hook(key, verify) + own, own.to_owned() + &hook(key, verify)] {
            let found = errors(&parse(&text));
            assert!(found.len() == 1 && found[0].contains(want), "{want}: {found:?}");
        }
        assert_eq!(errors(&parse(&hook(key, verify))), [""; 0], "alone");
    }
}
