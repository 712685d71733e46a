//! Tests of `hookmq check`: a mistake ends in an error, and `--live` tries the stores.

use std::process::Command;

const HOOKS: &str = "[hooks.h]\nsource = \"none\"\ntopic = \"pulsar-demo/webhooks/h\"\n";

/// Runs the command and returns the exit code and the output.
fn check(arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_hookmq"))
        .arg("check")
        .args(arguments)
        .env_clear()
        .env("HOOKS", HOOKS)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    (done.status.code().unwrap(), String::from_utf8(done.stdout).unwrap())
}

#[test]
fn what_is_set_and_wrong_is_an_error_and_what_is_missing_a_note() {
    let (code, text) = check(&[], &[]);
    assert_eq!(code, 0, "{text}");
    for (variable, value) in [
        ("SPILL_URL", "gs://bucket/x"),
        ("SPILL_URL", "/a/folder"),
        ("SPILL_URL", "file://relative"),
        ("SPILL_URL", "s3://"),
        ("QUARANTINE_URL", "ftp://x"),
        ("TDMQ_ENDPOINT", "nonsense"),
        ("TDMQ_REGION", "not a region"),
        ("TENCENTCLOUD_SECRET_ID", "file:/no/such/file"),
        ("HTTPS_PROXY", "socks5://x"),
        ("LISTEN", ":http"),
        ("LISTEN", "http://127.0.0.1:8080"),
        ("PORT", "99999"),
        ("MAX_IN_FLIGHT", "abc"),
        ("MAX_IN_FLIGHT", "0"),
        ("MAX_IN_FLIGHT_BYTES", "much"),
        ("MAX_ACCEPTED", "none"),
        ("IDLE_TIMEOUT", "5s"),
        ("DRAIN_AFTER", "abc"),
        ("DRAIN_WITHIN", "0"),
        ("METRICS", "yes"),
        ("REDRIVE_SHARD", "5/4"),
        ("REDRIVE_EVERY", "abc"),
        ("LOG_LEVEL", "verbose"),
        ("LOG_FORMAT", "txt"),
        ("SCF_TRUST_HEADERS", "1"),
    ] {
        let both = ("FGS_TRUST_HEADERS", if variable == "SCF_TRUST_HEADERS" { "1" } else { "" });
        let (code, text) = check(&[], &[(variable, value), both]);
        assert_eq!(code, 2, "{variable}={value}: {text}");
        assert!(text.contains(&format!("environment: error: {variable}")), "{variable}={value}: {text}");
    }
    // The function has its own environment, which may set the region.
    let (code, text) = check(&[], &[("SPILL_URL", "s3://bucket")]);
    assert!(code == 0 && text.contains("environment: note: S3_REGION"), "{text}");
}

#[test]
fn every_variable_is_read_and_no_mistake_hides_another() {
    // Nothing names a store, a quarantine or RocketMQ, and the settings are wrong all the same.
    let wrong = [
        ("ALLOW_HTTP_ENDPOINTS", "yes"),
        ("ALLOW_SAMPLE_SECRETS", "on"),
        ("BASE_PATH", "a b"),
        ("CONNECT_TIMEOUT", "soon"),
        ("DURABLE_FOLDER", "data"),
        ("HTTPS_PROXY", "socks5://x"),
        ("LISTEN", ":http"),
        ("LOG_FORMAT", "xml"),
        ("LOG_LEVEL", "verbose"),
        ("MAX_CONNECTIONS", "0"),
        ("MAX_IN_FLIGHT", "lots"),
        ("METRICS", "yes"),
        ("METRICS_NAMESPACE", "a~b"),
        ("OS_AUTH_URL", "nonsense"),
        ("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", "x"),
        ("PORT", "http"),
        ("PREWARM", "yes"),
        ("QUARANTINE_KEY", "short"),
        ("QUARANTINE_URL", "ftp://x"),
        ("QUEUE_ATTEMPTS", "99"),
        ("QUEUE_RETRY_WITHIN", "x"),
        ("READY", "some"),
        ("REDRIVE_EVERY", "1m"),
        ("REDRIVE_SHARD", "5/4"),
        ("ROCKETMQ_ENDPOINT", "nonsense"),
        ("ROCKETMQ_MAX_MESSAGE", "1"),
        ("S3_ENDPOINT", "foo"),
        ("S3_FORCE_PATH_STYLE", "always"),
        ("S3_REGION", "!"),
        ("SOURCE_URI", "a b"),
        ("TDMQ_ENDPOINT", "nonsense"),
        ("TDMQ_MAX_MESSAGE", "1"),
        ("TDMQ_REGION", "not a region"),
        ("TDMQ_SEND_TIMEOUT", "never"),
        ("TLS_CA_FILE", "/nope"),
        ("TRUST_PROXIES", "yes"),
    ];
    let (code, text) = check(&[], &wrong);
    assert_eq!(code, 2, "{text}");
    for (variable, _) in wrong {
        let line = format!("environment: error: {variable} ");
        assert_eq!(text.matches(&line).count(), 1, "{variable}: {text}");
    }
}

#[test]
fn the_file_that_a_function_reads_is_checked_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hooks.toml");
    std::fs::write(&file, "[hooks.mine]\nsource = \"none\"\ntopic = \"a/b/c\"\n").unwrap();
    let run = |arguments: &[&str], hooks: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookmq"));
        command.arg("check").args(arguments).env_clear().current_dir(folder.path());
        command.envs(hooks.map(|hooks| ("HOOKS", hooks)));
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    assert!(run(&[], None).ends_with("1 hook OK in ./hooks.toml\n"));
    assert!(run(&[], Some(HOOKS)).ends_with("1 hook OK in HOOKS\n"));
    let both = run(&["hooks.toml"], Some(HOOKS));
    assert!(
        both.contains("environment: note: HOOKS is set: a function reads that in place of hooks.toml"),
        "{both}"
    );
    std::fs::remove_file(&file).unwrap();
    assert!(run(&[], None).contains(" in hooks.toml (built in)"));
}

#[test]
fn a_base_that_is_no_address_is_an_error() {
    for base in ["notaurl", "https://x/tdmq?x=1", "ftp://x"] {
        let (code, text) = check(&["--url", base], &[]);
        assert!(code == 2 && !text.contains("/h (tdmq)"), "{base}: {text}");
    }
    let (code, text) = check(&["--url", "https://x/tdmq/"], &[]);
    assert!(code == 0 && text.contains("h: https://x/tdmq/h (tdmq)"), "{text}");
}

#[test]
fn a_folder_is_refused_where_it_goes_with_the_process() {
    let url = ("SPILL_URL", "file:///var/hookmq");
    for marker in
        ["AWS_LAMBDA_FUNCTION_NAME", "SCF_FUNCTIONNAME", "RUNTIME_FUNC_NAME", "K_SERVICE", "CLOUD_RUN_JOB"]
    {
        let (code, text) = check(&[], &[url, (marker, "x")]);
        assert!(
            code == 2 && text.contains("environment: error: SPILL_URL names a folder that is gone"),
            "{text}"
        );
        assert!(text.contains(marker), "{text}");
        let (code, text) = check(&[], &[url, (marker, "x"), ("DURABLE_FOLDER", "/var/hookmq")]);
        assert_eq!(code, 0, "{marker}: {text}");
    }
}

#[test]
fn the_store_is_tried_live() {
    let folder = tempfile::tempdir().unwrap();
    let good = format!("file://{}", folder.path().display());
    let (code, text) = check(&["--live"], &[("SPILL_URL", &good)]);
    assert_eq!(code, 0, "{text}");
    for told in ["SPILL_URL: file://", "write", "read         as it was written", "delete       done", "good"]
    {
        assert!(text.contains(told), "{told}: {text}");
    }
    assert!(!folder.path().join("probe/store").exists());
    // A file is in the way, or the place is not writable.
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    for bad in [format!("file://{}/x", file.display()), "file:///proc/hookmq".to_owned()] {
        let (code, text) = check(&["--live"], &[("SPILL_URL", &bad)]);
        assert!(code == 1 && text.contains("write        failed:"), "{bad}: {text}");
    }
    // The bucket has no server.
    let (code, text) = check(
        &["--live"],
        &[
            ("SPILL_URL", "s3://bucket"),
            ("S3_REGION", "eu-central-1"),
            ("S3_ENDPOINT", "http://127.0.0.1:9"),
            ("ALLOW_HTTP_ENDPOINTS", "1"),
            ("S3_ACCESS_KEY_ID", "id"),
            ("S3_SECRET_ACCESS_KEY", "key"),
        ],
    );
    assert!(code == 1 && text.contains("write        failed: the store cannot be reached"), "{text}");
}
