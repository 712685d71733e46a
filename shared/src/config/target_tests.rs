//! Tests of `target`.

use super::*;
use crate::config::{Config, Reading, Samples};

fn parse(text: &str) -> Config {
    let env = Env::of([("A", "b")]);
    Config::parse("f", text, Reading::new(&env, Samples::Refused))
}

fn mistakes(text: &str) -> Vec<String> {
    parse(text).mistakes.iter().map(ToString::to_string).collect()
}

#[test]
fn keys_are_not_mixed_with_the_environments() {
    let env = Env::of([
        ("TENCENTCLOUD_SECRET_ID", "a"),
        ("TENCENTCLOUD_SECRETID", "b"),
        ("TENCENTCLOUD_SESSIONTOKEN", "t"),
        ("TDMQ_REGION", "r"),
        ("TDMQ_ENDPOINT", "https://e.test"),
        ("HUAWEICLOUD_SDK_AK", "ak"),
        ("OTC_SDK_SK", "sk"),
        ("OS_PASSWORD", "pw"),
        ("OS_PROJECT_ID", "p"),
    ]);
    let of = |rest: &str| {
        let config = parse(&format!("[targets.t]\n{rest}"));
        assert_eq!(
            config.mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().len(),
            1,
            "{config:?}"
        );
        config.targets[0].env(&env)
    };
    let eu = of("vendor = \"tdmq\"\nregion = \"eu-frankfurt\"");
    assert_eq!(eu.get("TDMQ_REGION").as_deref(), Some("eu-frankfurt"));
    assert_eq!(eu.get("TENCENTCLOUD_SECRET_ID").as_deref(), Some("a"), "its key is the environment's");
    let own = of("vendor = \"tdmq\"\nsecret_id = \"env:X\"");
    assert_eq!(own.get("TENCENTCLOUD_SECRET_ID").as_deref(), Some("env:X"));
    assert_eq!(own.get("TDMQ_ENDPOINT").as_deref(), Some("https://e.test"));
    for variable in ["TENCENTCLOUD_SECRET_KEY", "TENCENTCLOUD_SECRETID", "TENCENTCLOUD_SESSIONTOKEN"] {
        assert_eq!(own.get(variable), None, "{variable}");
    }
    let login = of("vendor = \"rocketmq\"\nauth_url = \"https://iam.test/v3\"\nproject_name = \"n\"");
    for variable in ["HUAWEICLOUD_SDK_AK", "OTC_SDK_SK", "OS_PASSWORD", "OS_PROJECT_ID"] {
        assert_eq!(login.get(variable), None, "{variable}");
    }
    assert_eq!(login.get("OS_PROJECT_NAME").as_deref(), Some("n"));
}

#[test]
fn a_target_has_one_route_whatever_the_environments_is() {
    let native =
        ["ROCKETMQ_NAME_SERVER", "ROCKETMQ_TLS", "ROCKETMQ_ACL_ACCESS_KEY", "ROCKETMQ_ACL_SECRET_KEY"];
    let http = ["ROCKETMQ_ENDPOINT", "ROCKETMQ_INSTANCE_ID"];
    let env = Env::of(native.into_iter().chain(http).map(|variable| (variable, "the environment's")));
    let of = |rest: &str| parse(&format!("[targets.t]\nvendor = \"rocketmq\"\n{rest}")).targets[0].env(&env);
    let own = of("name_server = \"10.0.0.1:9876\"");
    assert_eq!(own.get("ROCKETMQ_NAME_SERVER").as_deref(), Some("10.0.0.1:9876"));
    for variable in native[1..].iter().chain(&http) {
        assert_eq!(own.get(variable), None, "{variable}");
    }
    let own = of("instance = \"i\"");
    assert_eq!(own.get("ROCKETMQ_ENDPOINT").as_deref(), Some("the environment's"));
    assert_eq!(own.get("ROCKETMQ_NAME_SERVER"), None);
    assert!(of("max_message = \"1MiB\"").get("ROCKETMQ_NAME_SERVER").is_some(), "neither route is chosen");

    let both = "[targets.t]\nvendor = \"rocketmq\"\ninstance = \"i\"\nname_server = \"a:1\"\n\
                [hooks.h]\nsource = \"none\"\ntargets = [\"t\"]\ntopic = \"t-1\"\n";
    let found = mistakes(both).concat();
    assert!(
        found.contains("f:4: error: targets.t.name_server: is of the native route, and instance"),
        "{found}"
    );
}

#[test]
fn every_mistake_has_its_line() {
    let text = r#"[targets.Eu]
vendor = "tdmq"
[targets.tdmq]
vendor = "tdmq"
[targets.a]
region = "r"
[targets.b]
vendor = "kafka"
[targets.c]
vendor = "tdmq"
secret_key = "hunter2"
instance = "i"
[targets.d]
vendor = "rocketmq"
access_key = "env:A"
auth_url = "https://iam.test"
endpoint = " "
[hooks.h]
source = "none"
targets = ["a", "d", "x"]
topic = "t-1"
"#;
    let found = mistakes(text);
    for (line, key) in [
        (1, "targets.Eu"),
        (3, "targets.tdmq"),
        (5, "targets.a.vendor"),
        (8, "targets.b.vendor"),
        (11, "targets.c.secret_key"),
        (12, "targets.c.instance"),
        (16, "targets.d.auth_url"),
        (17, "targets.d.endpoint"),
        (20, "hooks.h.targets"),
    ] {
        let is_there = |m: &String| m.starts_with(&format!("f:{line}: error: {key}: "));
        assert!(found.iter().any(is_there), "{line} {key}: {found:#?}");
    }
    assert!(!found.concat().contains("hunter2"));
    assert!(parse(text).targets.is_empty() && parse(text).hook("h").is_none());
}

#[test]
fn a_hook_has_a_topic_for_each_of_its_targets() {
    let with = |rest: &str| {
        let text = "[targets.eu]\nvendor = \"tdmq\"\n[hooks.h]\nsource = \"none\"\n";
        let config = parse(&format!("{text}{rest}"));
        let hook = config.hook("h").map(|hook| {
            let topic = |target: &Target| hook.recipe(target, "").is_some();
            let targets = hook.targets(Vendor::Rocketmq);
            (targets.iter().all(topic), targets.iter().map(ToString::to_string).collect::<Vec<_>>())
        });
        (hook, config.mistakes.iter().map(ToString::to_string).collect::<String>())
    };
    let good = |rest: &str, targets: &[&str]| {
        let (hook, mistakes) = with(rest);
        let targets: Vec<_> = targets.iter().map(ToString::to_string).collect();
        assert_eq!(hook, Some((true, targets)), "{rest}: {mistakes}");
    };
    let bad = |rest: &str, message: &str| {
        let (hook, mistakes) = with(rest);
        assert!(hook.is_none() && mistakes.contains(message), "{rest}: {mistakes}");
    };
    good("topic = \"t-1\"", &["rocketmq"]);
    good("topic = \"a/b/c\"\ntargets = [\"eu\", \"tdmq\"]", &["eu", "tdmq"]);
    good(
        "topic = { eu = \"a/b/c\", rocketmq = \"t-1\" }\ntargets = [\"rocketmq\", \"eu\"]",
        &["rocketmq", "eu"],
    );
    bad("topic = \"t-1\"\ntargets = [\"eu\"]", "has no topic for eu");
    bad("topic = { eu = \"a/b/c\" }\ntargets = [\"tdmq\", \"eu\"]", "has no topic for tdmq");
    bad("topic = { eu = \"a/b/c\" }", "hooks.h.topic.eu: is neither");
    bad("topic = { eu = \"no-slash\", tdmq = \"a/b/c\" }\ntargets = [\"eu\"]", "hooks.h.topic.eu");
    bad("topic = \"a/b/c\"\ntargets = [\"eu\", \"eu\"]", "twice");
    bad("topic = \"a/b/c\"\ntargets = []", "sends nothing");
    bad("topic = {}", "is empty");
}

#[test]
fn a_slip_in_one_target_leaves_the_other_hooks() {
    let text = "[targets.eu]\nvendor = \"tdmq\nregion = \"r\"\n\
                    [hooks.a]\nsource = \"none\"\ntopic = \"t-1\"\n\
                    [hooks.b]\nsource = \"none\"\ntargets = [\"eu\"]\ntopic = \"a/b/c\"\n";
    let config = parse(text);
    assert!(config.hook("a").is_some() && config.hook("b").is_none(), "{:?}", config.mistakes);
}
