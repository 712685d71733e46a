//! `hookmq check --live`: makes one signed call to each vendor, which it must refuse, and prints its exact
//! answer; writes a small object to each store.

mod store;

use std::fmt::Write as _;
use std::time::Duration;

use hookmq_shared::config::{Config, Hook};
use hookmq_shared::context::Context;
use hookmq_shared::env::Env;
use hookmq_shared::queue::failure::Failure;
use hookmq_shared::queue::probe::{ProbeReport, ProbeRoute, ProbeVerdict};
use hookmq_shared::queue::{Class, Client, Target, Vendor};

use crate::{Exit, check};

/// Time limit of one call, from name resolution to the answer.
const LIMIT: Duration = Duration::from_secs(20);

/// Stand-in for a placeholder in a topic; no real topic contains this character.
const OPEN: &str = "\u{0}";

/// Upper bound on a clock difference that counts as none, in seconds: a `Date` header is cut to the second,
/// and the answer takes time.
const SAME_TIME: i64 = 2;

/// Asks each target that the hooks send to; a vendor's default target only if some of its variables are set.
pub(crate) async fn run(config: &Config, context: &Context) -> (String, Exit) {
    let (mut text, mut exits) = (String::new(), Vec::new());
    for target in check::targets(config) {
        let topics = topics(config, &target);
        if topics.is_empty() {
            let _ = writeln!(text, "{target}: not asked: no hook sends to it");
            continue;
        }
        if target == target.vendor().into() && !is_set_up(&context.env, target.vendor()) {
            let _ = writeln!(text, "{target}: not asked: none of its variables is set");
            continue;
        }
        let own = config.context_of(&target, context);
        let client = Client::new(target.vendor(), own.clone());
        for report in client.probe(&own, &topics, OPEN, LIMIT).await {
            let (told, exit) = match report {
                Ok(report) => (told(&target, &report), exit(&report)),
                Err(problem) => {
                    (format!("{target}: error: {}\n", config.locate(&target, &problem)), Exit::Configuration)
                }
            };
            text += &told;
            exits.push(exit);
        }
    }
    for (told, exit) in store::run(context).await {
        text += &told;
        exits.push(exit);
    }
    if exits.is_empty() {
        text += "nothing was asked: set a vendor's variables as the function has them, and give its hooks a topic\n";
        return (text, Exit::Configuration);
    }
    let worst = [Exit::Configuration, Exit::Bad].into_iter().find(|exit| exits.contains(exit));
    (text, worst.unwrap_or(Exit::Good))
}

/// Returns the target's topics of the sound hooks, with [`OPEN`] for each part that a delivery fills in.
fn topics(config: &Config, target: &Target) -> Vec<String> {
    let sends = |hook: &&Hook| hook.targets(target.vendor()).contains(target);
    let topic = |hook: &Hook| Some(hook.recipe(target, "")?.topic.outline(OPEN));
    config.hooks().filter(sends).filter_map(topic).collect()
}

fn is_set_up(env: &Env, vendor: Vendor) -> bool {
    vendor.spec().set_up_by.iter().any(|variable| env.get(variable).is_some())
}

const fn exit(report: &ProbeReport) -> Exit {
    match report.verdict {
        ProbeVerdict::Good => Exit::Good,
        ProbeVerdict::Refused | ProbeVerdict::Unknown | ProbeVerdict::Stored => Exit::Bad,
    }
}

fn told(target: &Target, report: &ProbeReport) -> String {
    let place: Vec<String> = report.place.iter().map(|(name, value)| format!(", {name} {value}")).collect();
    let mut text = format!("{target}: {}{}\n", report.endpoint, place.concat());
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<12} {value}");
    };
    let access = &report.access;
    let token = if access.is_temporary { "with" } else { "without" };
    // A name server checks no credentials, and the route was not measured.
    if !is_native(report) {
        line("credentials", format!("{} {}, {token} a token", access.variable, access.id));
    }
    line("asked", format!("{}, which does not exist", report.asked));
    if !is_native(report) {
        line("connection", connection(&report.route, report.endpoint.starts_with("https")));
    }
    let took = millis(report.took);
    match (&report.answer, report.status) {
        (Err(failure), None) => line("answer", format!("none, after {took}: {}", failure.detail)),
        (Err(failure), Some(status)) => {
            line("answer", format!("HTTP {status} in {took}{}", codes(failure)));
            line("message", failure.detail.clone());
        }
        (Ok(accepted), status) => {
            let status = status.unwrap_or_default();
            line("answer", format!("HTTP {status} in {took}, message id {}", accepted.message_id));
        }
    }
    if report.status.is_some() {
        line("clock", clock(report.clock_offset));
    }
    let (verdict, what_to_do) = verdict(report);
    line("verdict", verdict);
    if !what_to_do.is_empty() {
        line("what to do", what_to_do.to_owned());
    }
    text
}

fn connection(route: &ProbeRoute, is_https: bool) -> String {
    let mut steps = Vec::new();
    if route.is_proxied {
        steps.push("through the proxy".to_owned());
    }
    match &route.dns {
        Some(Ok((addresses, took))) => steps.push(format!("dns {} ({addresses} found)", millis(*took))),
        Some(Err(why)) => steps.push(format!("dns failed: {why}")),
        None => {}
    }
    match &route.tcp {
        Some(Ok(took)) => steps.push(format!("tcp {}", millis(*took))),
        Some(Err(why)) => steps.push(format!("tcp failed: {why}")),
        None => {}
    }
    if let Some(took) = route.connection {
        let tls = if is_https { ", TLS included" } else { "" };
        steps.push(format!("in all {}{tls}", millis(took)));
    }
    if steps.is_empty() { "not made".to_owned() } else { steps.join(", ") }
}

fn millis(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

fn codes(failure: &Failure) -> String {
    let named = |name: &str, value: &Option<String>| {
        value.as_ref().map(|value| format!(", {name} {value}")).unwrap_or_default()
    };
    named("code", &failure.code) + &named("request id", &failure.request_id)
}

fn clock(offset: Option<i64>) -> String {
    match offset {
        None => "unknown: the answer has no Date".to_owned(),
        Some(offset) if offset.abs() <= SAME_TIME => "the vendor's agrees with ours".to_owned(),
        Some(offset) if offset > 0 => format!("ours is {offset} s behind the vendor's"),
        Some(offset) => format!("ours is {} s ahead of the vendor's", -offset),
    }
}

/// Returns true if a name server was asked, by RocketMQ's own protocol.
fn is_native(report: &ProbeReport) -> bool {
    report.asked.starts_with("GET_ROUTEINFO")
}

/// Explains the verdict of a report, and what to do.
fn verdict(report: &ProbeReport) -> (String, &'static str) {
    let class = report.answer.as_ref().err().map_or("", |failure| failure.class.as_str());
    match report.verdict {
        ProbeVerdict::Good if is_native(report) => {
            let limits = "nothing was sent, and access key and permission are a broker's to check";
            (format!("good: the name server answers; {limits}"), "")
        }
        ProbeVerdict::Good => {
            let accepted = report.vendor.spec().proves;
            let limits = "nothing was stored, and no hook's topic was tried";
            (format!("good: {accepted} were accepted; {limits}"), "")
        }
        ProbeVerdict::Stored => (
            "stored, against the vendor's documents: a consumer of that topic gets it".to_owned(),
            "please report this: the credentials are good, and the documents wrong",
        ),
        ProbeVerdict::Refused => (format!("refused, class {class}"), advice(report)),
        ProbeVerdict::Unknown => (format!("nothing is proven, class {class}"), advice(report)),
    }
}

fn advice(report: &ProbeReport) -> &'static str {
    let Err(failure) = &report.answer else { return "" };
    if let Some(own) = (report.vendor.spec().advice)(failure.class)
        && report.status.is_some()
    {
        return own;
    }
    match failure.class {
        _ if failure.unreachable => {
            "correct the endpoint, or open the way to it: name resolution, routes, firewalls, HTTPS_PROXY, NO_PROXY, TLS_CA_FILE"
        }
        Class::Config | Class::Permission => "what the answer's line says",
        Class::Auth => "correct the id and the key: they belong together and to this cloud",
        Class::AuthRefresh => "get a new token or temporary key: this one is out of date",
        Class::ClockSkew => {
            "set the clock of this machine; a function corrects its signatures by the vendor's time itself"
        }
        Class::Quota => "look at the account: a quota is used up, or it is in arrears",
        Class::Permanent | Class::TooLarge => "look up the code in the vendor's documents",
        Class::Throttle | Class::Transient | Class::Ambiguous => "try again later",
    }
}

#[cfg(test)]
mod tests {
    use hookmq_emulator::{Emulator, sample};
    use hookmq_shared::clock::{Clock, Random};
    use hookmq_shared::config::{Reading, Samples};

    use super::*;

    const HOOKS: &str = r#"
        [hooks.github]
        source = "github"
        secrets = ["plain:0123456789abcdef"]
        topic = { tdmq = "pulsar-demo/webhooks/github", rocketmq = "webhooks_github" }
        [hooks.gitlab]
        source = "gitlab-secret-token"
        secrets = ["plain:0123456789abcdef"]
        topic = "persistent://pulsar-other/webhooks/{event}"
    "#;

    async fn live(variables: &[(&str, &str)]) -> (String, Exit) {
        live_of(HOOKS, variables).await
    }

    async fn live_of(hooks: &str, variables: &[(&str, &str)]) -> (String, Exit) {
        let env = Env::of(variables.iter().copied());
        let context = Context { env, clock: Clock::system(), random: Random::system() };
        let config = Config::parse("hooks.toml", hooks, Reading::new(&context.env, Samples::Refused));
        assert!(!config.has_errors());
        Box::pin(run(&config, &context)).await
    }

    async fn emulator() -> Emulator {
        Emulator::start(([127, 0, 0, 1], 0).into(), hookmq_emulator::Config::default()).await.unwrap()
    }

    fn tencent(url: &str) -> [(&str, &str); 4] {
        [
            ("TDMQ_ENDPOINT", url),
            ("TDMQ_REGION", "ap-guangzhou"),
            ("TENCENTCLOUD_SECRET_ID", sample::SECRET_ID),
            ("TENCENTCLOUD_SECRET_KEY", sample::SECRET_KEY),
        ]
    }

    fn huawei<'a>(url: &'a str, secret_key: &'a str) -> [(&'a str, &'a str); 5] {
        [
            ("ROCKETMQ_ENDPOINT", url),
            ("ROCKETMQ_INSTANCE_ID", sample::INSTANCE_ID),
            ("HUAWEICLOUD_SDK_AK", sample::ACCESS_KEY),
            ("HUAWEICLOUD_SDK_SK", secret_key),
            ("HUAWEICLOUD_SDK_PROJECT_ID", sample::PROJECT_ID),
        ]
    }

    #[tokio::test]
    async fn everything_is_asked_and_the_worst_counts() {
        let emulator = emulator().await;
        let url = emulator.url();
        let (good, wrong) = (sample::SECRET_ACCESS_KEY, "aWrongKeyOfThisTest");

        let (text, exit) = live(&[&tencent(&url)[..], &huawei(&url, good)].concat()).await;
        assert_eq!(exit, Exit::Good, "{text}");
        // Two clusters and an instance.
        assert_eq!(text.matches("verdict      good").count(), 3, "{text}");
        for told in [
            "pulsar-demo/hookmq-check-",
            "pulsar-other/hookmq-check-",
            "AKID…0000",
            "DMS.00400876",
            "HTTP 400",
        ] {
            assert!(text.contains(told), "{told}: {text}");
        }
        assert!(!text.contains(good) && !text.contains(sample::SECRET_KEY), "{text}");

        let (text, exit) = live(&[&tencent(&url)[..], &huawei(&url, wrong)].concat()).await;
        assert_eq!(exit, Exit::Bad, "{text}");
        assert!(text.contains("class auth") && text.contains("correct the id and the key"), "{text}");
        assert!(!text.contains(wrong), "{text}");

        let (text, exit) = live(&[&tencent(&url)[..2], &huawei(&url, good)].concat()).await;
        assert_eq!(exit, Exit::Configuration, "{text}");
        assert!(text.contains("tdmq: error: TENCENTCLOUD_SECRET_ID"), "{text}");
        assert!(emulator.messages().is_empty());
    }

    #[tokio::test]
    async fn a_vendor_without_variables_is_left_alone() {
        let emulator = emulator().await;
        let (text, exit) = live(&tencent(&emulator.url())).await;
        assert_eq!(exit, Exit::Good, "{text}");
        assert!(text.contains("rocketmq: not asked"), "{text}");
        let (text, exit) = live(&[]).await;
        assert_eq!(exit, Exit::Configuration, "{text}");
        assert!(text.contains("nothing was asked"), "{text}");
    }

    /// A connection failure that no retry can cure is explained with advice of its own, not with that on
    /// regions.
    #[tokio::test]
    async fn a_way_that_cannot_be_gone_says_why() {
        let emulator = emulator().await;
        let url = emulator.url().replace("http://", "https://");
        let (text, exit) = live(&tencent(&url)).await;
        assert_eq!(exit, Exit::Bad, "{text}");
        assert!(text.contains("class config") && text.contains("it does not speak TLS"), "{text}");
        assert!(!text.contains("region, endpoint or cluster"), "{text}");
    }

    #[tokio::test]
    async fn a_target_is_asked_with_its_own_key() {
        let emulator = emulator().await;
        let url = emulator.url();
        let hooks = format!(
            "[targets.far]\nvendor = \"tdmq\"\nendpoint = \"{url}\"\nregion = \"eu-frankfurt\"\n\
             secret_id = \"plain:{}\"\nsecret_key = \"env:FAR_KEY\"\n\
             [targets.idle]\nvendor = \"rocketmq\"\n\
             [hooks.h]\nsource = \"none\"\ntargets = [\"far\"]\ntopic = \"pulsar-far/webhooks/h\"\n",
            sample::SECRET_ID
        );
        let (text, exit) = live_of(&hooks, &[("FAR_KEY", sample::SECRET_KEY)]).await;
        assert_eq!(exit, Exit::Good, "{text}");
        assert!(text.starts_with("far: http") && text.contains("pulsar-far/hookmq-check-"), "{text}");
        assert!(text.contains("idle: not asked: no hook"), "{text}");
        let (text, exit) = live_of(&hooks, &[("A", "b")]).await;
        assert_eq!(exit, Exit::Configuration, "{text}");
        assert!(text.contains("far: error: targets.far.secret_key has no value"), "{text}");
    }

    #[test]
    fn the_clock_is_told_from_our_side() {
        assert_eq!(clock(Some(-2)), "the vendor's agrees with ours");
        assert_eq!(clock(Some(90)), "ours is 90 s behind the vendor's");
        assert_eq!(clock(Some(-90)), "ours is 90 s ahead of the vendor's");
    }
}
