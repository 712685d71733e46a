//! Message destinations in addition to those of the environment: `[targets.NAME]` tables.
//!
//! A target is the environment with some variables replaced, so that a client reads its settings as usual.
//! The environment supplies the settings that a target leaves out. Only credentials are never mixed: a target
//! that sets one of them takes none from the environment.

use std::collections::BTreeMap;
use std::fmt;

use super::hook::is_name;
use crate::env::{Env, EnvProblem};
use crate::queue::credentials::HUAWEI;
use crate::queue::rocketmq::{AUTH_URL, OTHER_PROJECT, PROJECT};
use crate::queue::spec::KeyKind;
use crate::queue::{Target, Vendor};
use crate::reader::{At, Table};
use crate::secret::SecretRef;

/// Target and the variables that it sets.
#[derive(Clone)]
pub struct Named {
    /// Identity of the target: its name and vendor.
    pub target: Target,
    settings: BTreeMap<&'static str, Option<String>>,
}

/// Name of the target only, since the values may be literal credentials.
impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Named({})", self.target)
    }
}

impl Named {
    /// Returns the environment of the target's client.
    pub fn env(&self, env: &Env) -> Env {
        env.with(self.settings.clone())
    }

    /// Describes a problem of the target under the name of its key, if the target sets the variable.
    pub fn locate(&self, problem: &EnvProblem) -> String {
        let name = self.target.name();
        let key = self.target.vendor().spec().target_keys.iter().find(|key| key.variable == problem.variable);
        match key.filter(|_| self.is_own(problem)) {
            Some(key) => format!("targets.{name}.{} {}", key.name, problem.message),
            None => format!("targets.{name}: {problem}"),
        }
    }

    /// Returns true if the problem is in the target's table, not in the environment.
    pub fn is_own(&self, problem: &EnvProblem) -> bool {
        self.settings.contains_key(problem.variable)
    }
}

/// Reads all `[targets.NAME]` tables and returns the sound targets.
pub(super) fn read_all(root: &Table<'_>) -> Vec<Named> {
    let tables = root.table("targets").map(|table| table.named_tables()).unwrap_or_default();
    let sound = |(name, table): (At<&str>, Table<'_>)| {
        let mistakes = table.mistakes();
        let before = mistakes.errors();
        let named = read(&name, &table);
        // The vendor determines the known keys, so unknown keys can only be reported with a vendor.
        if named.is_some() {
            table.finish();
        }
        named.filter(|_| mistakes.errors() == before)
    };
    tables.into_iter().filter_map(sound).collect()
}

/// Reads a target's table. Mistakes are added to the table; `None` if the name or the vendor is not valid.
fn read(name: &At<&str>, table: &Table<'_>) -> Option<Named> {
    if !is_name(name.value) {
        table.error("", "a target's name is 1 to 63 of a-z, 0-9 and \"-\"");
        return None;
    }
    if Vendor::named(name.value).is_some() {
        table.error("", "is the environment's own target: give this one another name");
        return None;
    }
    let written = table.str("vendor").map(|vendor| vendor.value);
    let Some(vendor) = written.and_then(Vendor::named) else {
        table.error("vendor", format!("write {}", Vendor::names()));
        return None;
    };
    let mut set = Vec::new();
    for key in vendor.spec().target_keys {
        let Some(text) = table.str(key.name) else { continue };
        if text.value.trim().is_empty() {
            table.error(key.name, "is empty: leave it out to take the environment's");
        }
        if key.kind == KeyKind::Secret
            && let Err(error) = SecretRef::parse(text.value)
        {
            table.error(key.name, error);
        }
        set.push((key, text.value.to_owned()));
    }
    let mut settings = BTreeMap::new();
    if set.iter().any(|(key, _)| key.kind != KeyKind::Plain) {
        settings.extend(vendor.spec().logins().map(|variable| (variable, None)));
    }
    // An id takes precedence over a name, even the environment's id.
    if set.iter().any(|(key, _)| key.name == "project_name") {
        settings.extend([PROJECT, OTHER_PROJECT].map(|variable| (variable, None)));
    }
    settings.extend(set.into_iter().map(|(key, value)| (key.variable, Some(value))));
    let has = |variable| settings.get(variable).is_some_and(Option::is_some);
    if has(HUAWEI[0].id) && has(AUTH_URL) {
        table.error("auth_url", "a target has an access key or a user, not both: leave one of them out");
    }
    Some(Named { target: Target::named(name.value, vendor), settings })
}

#[cfg(test)]
mod tests {
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
}
