use super::*;
use crate::limits::EnvFile;
use crate::limits::table::Platform;
use hookmq_shared::config::{Reading, Samples};
use hookmq_shared::env::Env;

/// Returns the lines of the misfits at a place, and true if one of them is an error.
fn told_at(place: &str, region: Option<&str>, hooks: &str, file: &str) -> (Vec<String>, bool) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.env");
    std::fs::write(&path, file).unwrap();
    let file = EnvFile::read(&path).unwrap();
    let env = Env::of(file.variables());
    let config = Config::parse("hooks.toml", hooks, Reading::new(&env, Samples::Refused));
    let settings = Settings::collect(Some(&file), [], ("hooks.toml", hooks));
    let limits = Limits::read().unwrap();
    let judged = judge(&limits, &place.parse().unwrap(), region, (&config, hooks), &settings);
    let folder = format!("{}/", folder.path().display());
    let is_misfit = |line: &&String| line.contains(": error: ") || line.contains(": warning: ");
    let lines = judged.lines.iter().filter(is_misfit).map(|line| line.replace(&folder, "")).collect();
    (lines, judged.has_errors)
}

fn hook(more: &str) -> String {
    format!("[hooks.h]\nsource = \"none\"\ntopic = \"a/b/c\"\nmax_body = \"64KiB\"\n{more}")
}

/// Checks that there is one misfit, of this severity, which begins and goes on like this.
fn is_told(place: &str, hooks: &str, file: &str, start: &str, part: &str) {
    let (lines, has_errors) = told_at(place, None, hooks, file);
    assert_eq!(lines.len(), 1, "{place}: {lines:#?}");
    assert!(lines[0].starts_with(start) && lines[0].contains(part), "{place}: {}", lines[0]);
    assert_eq!(has_errors, lines[0].contains(": error: "), "{}", lines[0]);
    assert!(lines[0].contains("https://") && lines[0].contains("read on 2026-"), "{}", lines[0]);
}

#[test]
fn what_fits_is_not_told() {
    let limits = Limits::read().unwrap();
    for platform in Platform::ALL {
        let triggers = limits.triggers(platform);
        let region = match platform {
            Platform::Lambda => "eu-central-1",
            Platform::Scf => "ap-guangzhou",
            Platform::FunctiongraphHuawei => "ap-southeast-3",
            Platform::FunctiongraphOtc => "eu-de",
            Platform::Http => "anywhere",
        };
        let places = triggers.iter().map(|trigger| format!("{}/{trigger}", platform.name()));
        for place in places.chain([platform.name().to_owned()]) {
            let file = "TDMQ_REGION=ap-guangzhou\nGITHUB=correct_horse_battery\n";
            let (lines, has_errors) = told_at(&place, Some(region), &hook(""), file);
            assert!(lines.is_empty() && !has_errors, "{place}: {lines:#?}");
        }
    }
}

#[test]
fn a_body_over_the_triggers_limit_is_an_error_in_its_line() {
    let sized = |size: &str| hook("").replace("64KiB", size);
    let start = "hooks.toml:4: error: hooks.h.max_body: deliveries of 2,097,152 bytes do not reach hookmq";
    is_told("lambda/alb", &sized("2MiB"), "", start, "the limit of lambda/alb: 1 MB (1,000,000 bytes");
    let start = "hooks.toml:4: error: hooks.h.max_body: ";
    is_told("functiongraph-huawei", &sized("5MiB"), "", start, "functiongraph-huawei/apig: 4 MiB");
    is_told("lambda/http-api", &sized("7MiB"), "", start, "the limit of lambda: 6 MiB");
    is_told("scf", &sized("7MiB"), "", start, "scf/function-url: 6 MB");
    is_told("functiongraph-otc", &sized("7MiB"), "", start, "functiongraph-otc: 6 MiB");
    // An undefined MB may be the larger one, and a default is nobody's mistake.
    is_told("lambda/alb", &sized("1MiB"), "", "hooks.toml:4: warning: hooks.h.max_body: ", "1 MB");
    let default = hook("").replace("max_body = \"64KiB\"\n", "");
    let start = "hooks.toml: warning: hooks.h.max_body: deliveries up to the default of 6,291,456 bytes";
    is_told("lambda/alb", &default, "", start, "1 MB");
    assert!(told_at("lambda", None, &default, "").0.is_empty());
}

#[test]
fn a_body_as_large_as_an_event_is_a_warning_because_it_is_carried_as_base64() {
    let sized = |size: &str| hook("").replace("64KiB", size);
    let fits = |number: &str| format!("three quarters of the limit fit then ({number} bytes)");
    let start = "hooks.toml:4: warning: hooks.h.max_body: ";
    for (place, size, number) in [
        ("lambda", "6MiB", "4,718,592"),
        ("lambda/rest-api", "6MiB", "4,718,592"),
        ("lambda/function-url", "6MiB", "4,718,592"),
        ("lambda/lattice", "6MiB", "4,718,592"),
        ("functiongraph-otc", "6MiB", "4,718,592"),
        ("scf", "6000000", "4,500,000"),
    ] {
        is_told(place, &sized(size), "", start, &fits(number));
    }
    // The gateway's limit is of the body, and what it lets through fits the event as base64.
    assert!(told_at("functiongraph-huawei", None, &sized("4MiB"), "").0.is_empty());
    assert!(told_at("http", None, &sized("6MiB"), "").0.is_empty());
    assert!(told_at("lambda", None, &sized("6291455"), "").0.is_empty(), "text of this size may fit");
}

#[test]
fn a_deadline_over_the_triggers_time_out_is_an_error_unless_it_can_be_raised() {
    let timed = |time: &str| hook(&format!("deadline = \"{time}\"\n"));
    let start = "hooks.toml:5: error: hooks.h.deadline: 31 s are longer than the platform waits";
    is_told("lambda/http-api", &timed("31s"), "", start, "the limit of lambda/http-api: 30 seconds");
    is_told("lambda/http-api", &timed("30500ms"), "", start, "30 seconds");
    is_told("lambda/rest-api", &timed("30s"), "", "hooks.toml:5: warning: ", "lambda/rest-api: 29 seconds");
    for place in ["lambda/http-api", "lambda/function-url", "scf", "functiongraph-otc", "http"] {
        assert!(told_at(place, None, &timed("30s"), "").0.is_empty(), "{place}");
    }
}

#[test]
fn a_name_that_the_platform_keeps_is_an_error_in_its_line() {
    let kept = "the platform keeps this name for itself: use another";
    is_told("scf", &hook(""), "A1=x\nSCF_TRUST_HEADERS=on\n", "f.env:2: error: SCF_TRUST_HEADERS: ", kept);
    is_told("scf", &hook(""), "TENCENTCLOUD_SECRET_ID=x\n", "f.env:1: error: TENCENTCLOUD_SECRET_ID: ", kept);
    is_told("lambda", &hook(""), "AWS_SESSION_TOKEN=x\n", "f.env:1: error: AWS_SESSION_TOKEN: ", kept);
    is_told("lambda", &hook(""), "AWS_DEFAULT_REGION=x\n", "f.env:1: warning: AWS_DEFAULT_REGION: ", kept);
    is_told("functiongraph-otc", &hook(""), "RUNTIME_CPU=x\n", "f.env:1: error: RUNTIME_CPU: ", kept);
    // A prefix is reserved only where a document says so.
    assert!(told_at("functiongraph-otc", None, &hook(""), "RUNTIME_X=x\n").0.is_empty());
    assert!(told_at("lambda", None, &hook(""), "AWS_X=x\nTENCENTCLOUD_SECRET_ID=x\n").0.is_empty());
    // So is one that the hooks file refers to.
    let hooks =
        "[hooks.h]\nsource = \"github\"\nmax_body = 9\nsecrets = [\"env:SCF_GITHUB\"]\ntopic = \"a/b/c\"\n";
    is_told("scf", hooks, "", "hooks.toml:4: error: SCF_GITHUB: ", kept);
}

#[test]
fn a_variable_of_the_tools_in_this_environment_is_a_warning() {
    let config = Config::parse("hooks.toml", "", Reading::new(&Env::of([("", "")]), Samples::Refused));
    let asked = [("AWS_ACCESS_KEY_ID".to_owned(), "x".to_owned())];
    let settings = Settings::collect(None, asked, ("hooks.toml", ""));
    let judged = judge(&Limits::read().unwrap(), &"lambda".parse().unwrap(), None, (&config, ""), &settings);
    let start = "environment: warning: AWS_ACCESS_KEY_ID: the platform sets this name itself";
    assert!(judged.lines[0].starts_with(start) && !judged.has_errors, "{:#?}", judged.lines);
}

#[test]
fn a_name_has_the_platforms_form_and_length() {
    let form = "the platform does not take a name of this form: use another";
    is_told("lambda", &hook(""), "A=x\n", "f.env:1: error: A: ", form);
    for (place, name) in [("lambda", "A-B"), ("scf", "_AB"), ("functiongraph-otc", "1A"), ("scf", "A.B")] {
        is_told(place, &hook(""), &format!("{name}=x\n"), &format!("f.env:1: error: {name}: "), form);
    }
    let long = "A".repeat(65);
    let start = format!("f.env:1: error: {long}: a name of 65 bytes is too long");
    is_told("scf", &hook(""), &format!("{long}=x\n"), &start, "64 bytes");
}

#[test]
fn many_variables_or_long_ones_are_an_error() {
    let many = |name: &str, count: usize| {
        (0..count).fold(String::new(), |text, index| format!("{text}{name}_{index}=x\n"))
    };
    let text = many("OPEN", 21) + &many("TOKEN", 20);
    let start = "f.env: error: 21 variables of user_data are too many";
    is_told("functiongraph-huawei", &hook(""), &text, start, "20 variables");
    // The module sets six of the twenty itself.
    let text = many("OPEN", 14) + &many("TOKEN", 21);
    let start = "f.env: error: 21 variables of encrypted_user_data are too many";
    is_told("functiongraph-otc", &hook(""), &text, start, "env:NAME#KEY");
    for place in ["lambda", "scf"] {
        assert!(told_at(place, None, &hook(""), &text).0.is_empty(), "{place}");
    }
    // {"AB":"…"} has nine bytes besides the value.
    let of = |size: usize| format!("AB={}\n", "x".repeat(size));
    let start = "f.env: error: 4,097 are too many for all variables together";
    is_told("lambda", &hook(""), &of(4088), start, "4 KiB (4,096 bytes)");
    let start = "f.env: warning: ";
    is_told("lambda", &hook(""), &of(4087), start, "together with the 21 that template.yaml sets itself");
    assert!(told_at("lambda", None, &hook(""), &of(2000)).0.is_empty());
    // SCF's KB is defined nowhere, and its console speaks of shorter values.
    let severities = |size: usize| -> Vec<String> {
        let lines = told_at("scf", None, &hook(""), &of(size)).0;
        lines.iter().map(|line| line.split(": ").take(3).collect::<Vec<_>>().join(": ")).collect()
    };
    assert_eq!(severities(64), Vec::<String>::new());
    assert_eq!(severities(65), ["f.env:1: warning: AB"]);
    assert_eq!(severities(3990)[1].split(": ").nth(1), Some("warning"));
    assert_eq!(severities(4000)[1].split(": ").nth(1), Some("warning"));
    assert_eq!(severities(4200)[1].split(": ").nth(1), Some("error"));
}

#[test]
fn variables_that_a_deployment_sets_itself_count_too() {
    let many = |count: usize| (0..count).fold(String::new(), |text, index| format!("{text}OPEN_{index}=x\n"));
    for (place, by) in [
        ("functiongraph-otc", "deploy/functiongraph/otc"),
        ("functiongraph-huawei", "deploy/functiongraph/huawei"),
    ] {
        let part = format!("with the 6 that {by} sets itself");
        is_told(
            place,
            &hook(""),
            &many(15),
            "f.env: warning: 21 variables of user_data are too many ",
            &part,
        );
        assert!(told_at(place, None, &hook(""), &many(14)).0.is_empty());
        // One that is named is not counted twice.
        let own = many(14) + "SPILL_URL=s3://hooks\n";
        assert!(told_at(place, None, &hook(""), &own).0.is_empty());
    }
    // In the list of the others alone.
    let secrets = (0..20).fold(String::new(), |text, index| format!("{text}TOKEN_{index}=x\n"));
    assert!(told_at("functiongraph-otc", None, &hook(""), &secrets).0.is_empty());
    let long = (0..68).fold(String::new(), |text, index| format!("{text}OPEN_{index}={}\n", "x".repeat(44)));
    let start = "f.env: warning: ";
    is_told("scf", &hook(""), &long, start, "together with the 4 that deploy/tencent-scf sets itself");
}

#[test]
fn a_region_that_nobody_knows_is_a_warning_with_the_known_ones() {
    for (place, wrong, told) in [
        ("lambda", "eu-cental-1", "did you mean eu-central-1? Known: af-south-1, "),
        ("lambda/alb", "mars", "Known: af-south-1, "),
        ("scf", "ap-guangzho", "did you mean ap-guangzhou? Known: ap-bangkok, "),
        ("functiongraph-otc", "eu-deu", "did you mean eu-de? Known: eu-ch2, eu-de, eu-nl"),
        ("functiongraph-huawei", "eu-west-1", "did you mean "),
    ] {
        let (lines, has_errors) = told_at(place, Some(wrong), &hook(""), "");
        let start = format!(
            "--region: warning: {wrong}: is not known as a region of {}",
            place.split('/').next().unwrap()
        );
        assert!(lines.len() == 1 && lines[0].starts_with(&start) && lines[0].contains(told), "{lines:?}");
        assert!(!has_errors && lines[0].contains("https://"), "{lines:?}");
    }
    for (place, known) in [("lambda", "EU-Central-1"), ("functiongraph-otc", "eu-ch2"), ("http", "mars")] {
        assert!(told_at(place, Some(known), &hook(""), "").0.is_empty(), "{place} {known}");
    }
    // What lacks the trigger is known.
    assert_eq!(told_at("lambda/function-url", Some("eu-central-2"), &hook(""), "").0.len(), 1);
    assert_eq!(told_at("functiongraph-otc", Some("eu-nl"), &hook(""), "").0.len(), 1);
}

#[test]
fn a_region_without_the_trigger_is_an_error() {
    let at = |place: &str, region: &str| told_at(place, Some(region), &hook(""), "");
    let (lines, has_errors) = at("lambda/function-url", "eu-central-2");
    assert!(
        has_errors && lines[0].starts_with("--region: error: eu-central-2: the region does not have"),
        "{lines:?}"
    );
    assert!(!at("lambda/function-url", "mx-central-1").1, "cfn-lint's word alone");
    assert!(at("lambda/http-api", "eu-central-2").0.is_empty());
    assert!(at("functiongraph-otc", "eu-nl").1 && at("functiongraph-huawei", "cn-north-1").1);
}

#[test]
fn what_a_sender_is_told_is_said() {
    let limits = Limits::read().unwrap();
    let config = Config::parse("hooks.toml", "", Reading::new(&Env::of([("", "")]), Samples::Refused));
    for (place, statuses) in [
        ("lambda/http-api", ["sender of more: 500 ", "throttled sender: 429 "]),
        ("lambda/alb", ["sender of more: 413 ", "throttled sender: 502 "]),
        ("lambda/function-url", ["sender of more: 413 ", "throttled sender: 429 "]),
        ("scf", ["sender of more: 406 ", "throttled sender: 432 "]),
        ("functiongraph-otc", ["sender of more: 413 ", "throttled sender: 429 "]),
        ("http", ["sender of more: 413 ", "throttled sender: 503 "]),
    ] {
        let place: Place = place.parse().unwrap();
        let judged = judge(&limits, &place, None, (&config, ""), &Settings::default());
        let text = judged.lines.join("\n");
        assert!(!judged.has_errors && statuses.iter().all(|status| text.contains(status)), "{place}: {text}");
    }
}
