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
        ("TENCENTCLOUD_REGION", "a b"),
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

/// Runs the check with these variables, of which those in `wrong` are errors, each told once, and no other is one.
fn are_errors(variables: &[(&str, &str)], wrong: &[&str]) {
    let (code, text) = check(&[], variables);
    assert_eq!(code, if wrong.is_empty() { 0 } else { 2 }, "{variables:?}: {text}");
    for variable in wrong {
        let line = format!("environment: error: {variable} ");
        assert_eq!(text.matches(&line).count(), 1, "{variables:?}: {variable}: {text}");
    }
    assert_eq!(text.matches("environment: error: ").count(), wrong.len(), "{variables:?}: {text}");
}

#[test]
fn a_variable_is_read_beside_one_that_counts_before_it() {
    for (good, wrong) in [
        (("TDMQ_REGION", "ap-guangzhou"), ("TENCENTCLOUD_REGION", "a b")),
        (("HUAWEICLOUD_SDK_PROJECT_ID", "0123456789abcdef0123456789abcdef"), ("OS_PROJECT_ID", "x")),
        (("LISTEN", "127.0.0.1:8080"), ("PORT", "http")),
        (("HTTPS_PROXY", "http://proxy:3128"), ("https_proxy", "socks5://x")),
        (("HTTPS_PROXY", "http://proxy:3128"), ("ALL_PROXY", "socks5://x")),
        (("https_proxy", "http://proxy:3128"), ("all_proxy", "socks5://x")),
        (("NO_PROXY", "10.0.0.0/8"), ("no_proxy", "10.0.0.0/99")),
        (("S3_REGION", "eu-west-1"), ("AWS_REGION", "a b")),
        (("AWS_REGION", "eu-west-1"), ("AWS_DEFAULT_REGION", "a b")),
        (("S3_ENDPOINT", "https://s3.eu-west-1.amazonaws.com"), ("AWS_REGION", "a b")),
        (("AWS_LAMBDA_LOG_LEVEL", "INFO"), ("LOG_LEVEL", "verbose")),
        (("QUARANTINE_URL", "s3://bucket"), ("QUARANTINE_KEY", "short")),
    ] {
        are_errors(&[good, wrong], &[wrong.0]);
        are_errors(&[wrong], &[wrong.0]);
    }
    // Two that are wrong are two errors, whichever counts first.
    for pair in [
        [("TDMQ_REGION", "a b"), ("TENCENTCLOUD_REGION", "a b")],
        [("HUAWEICLOUD_SDK_PROJECT_ID", "x"), ("OS_PROJECT_ID", "x")],
        [("HTTPS_PROXY", "socks5://x"), ("all_proxy", "socks5://x")],
        [("NO_PROXY", "10.0.0.0/99"), ("no_proxy", "*.example.com")],
        [("S3_REGION", "a b"), ("AWS_DEFAULT_REGION", "a b")],
        [("HOOKS_FILE", "/nope"), ("AWS_REGION", "a b")],
    ] {
        are_errors(&pair, &pair.map(|(variable, _)| variable));
    }
    // An access key counts before a login.
    let key = [("HUAWEICLOUD_SDK_AK", "a"), ("HUAWEICLOUD_SDK_SK", "b")];
    are_errors(&[key[0], key[1], ("OS_AUTH_URL", "nonsense")], &["OS_AUTH_URL"]);
    // The port alone would be every address, which these fields must not come from.
    are_errors(&[("FGS_TRUST_HEADERS", "1"), ("LISTEN", "127.0.0.1:8000"), ("PORT", "8080")], &[]);
    // The region is missing, which is a note, and hides nothing.
    are_errors(&[("SPILL_URL", "s3://bucket"), ("S3_WRITE_HEADERS", "x")], &["S3_WRITE_HEADERS"]);
}

#[test]
fn every_part_of_a_login_is_read_by_itself() {
    let families: [&[&str]; 7] = [
        &["TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY", "TENCENTCLOUD_TOKEN"],
        &["TENCENTCLOUD_SECRETID", "TENCENTCLOUD_SECRETKEY", "TENCENTCLOUD_SESSIONTOKEN"],
        &["HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK", "HUAWEICLOUD_SDK_SECURITY_TOKEN"],
        &["OTC_SDK_AK", "OTC_SDK_SK"],
        &["OS_USERNAME", "OS_PASSWORD"],
        &["S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY", "S3_SESSION_TOKEN"],
        &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"],
    ];
    for family in families {
        // All are wrong, each alone, and each beside others that are right.
        let all: Vec<_> = family.iter().map(|variable| (*variable, "file:/nope")).collect();
        are_errors(&all, family);
        for wrong in family {
            are_errors(&[(wrong, "file:/nope")], &[wrong]);
            are_errors(&[(wrong, "env:NO_SUCH_VARIABLE")], &[wrong]);
            let good_or_not =
                |variable: &&'static str| (*variable, if variable == wrong { "file:/nope" } else { "a" });
            are_errors(&family.iter().map(good_or_not).collect::<Vec<_>>(), &[wrong]);
        }
    }
    // Two families, and all of them at once.
    are_errors(&[("HUAWEICLOUD_SDK_AK", "a"), ("OTC_SDK_AK", "file:/nope")], &["OTC_SDK_AK"]);
    let every: Vec<&str> = families.concat();
    are_errors(&every.iter().map(|variable| (*variable, "file:/nope")).collect::<Vec<_>>(), &every);
    // What a key cannot hold, in a family that is not used too.
    are_errors(
        &[("S3_ACCESS_KEY_ID", "a"), ("S3_SECRET_ACCESS_KEY", "b"), ("AWS_SECRET_ACCESS_KEY", "\"b\"")],
        &["AWS_SECRET_ACCESS_KEY"],
    );
}

#[test]
fn what_a_lender_of_keys_needs_is_read() {
    for (variable, value) in [
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "x"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "x"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://agent.example.com/key"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "a\tb"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/nope"),
        ("TENCENTCLOUD_STS_ENDPOINT", "foo"),
        ("HUAWEICLOUD_METADATA_URL", "foo"),
        ("TKE_WEB_IDENTITY_TOKEN_FILE", "/nope"),
        ("RUNTIME_USERDATA", "{"),
    ] {
        are_errors(&[(variable, value)], &[variable]);
        are_errors(
            &[(variable, value), ("SPILL_URL", "s3://bucket"), ("S3_REGION", "eu-west-1")],
            &[variable],
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "token\n").unwrap();
    let file = file.to_str().unwrap();
    are_errors(
        &[
            ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/x"),
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials?a=b"),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "token"),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file),
            ("TENCENTCLOUD_STS_ENDPOINT", "https://sts.example.com"),
            ("HUAWEICLOUD_METADATA_URL", "http://169.254.169.254"),
            ("TKE_WEB_IDENTITY_TOKEN_FILE", file),
            ("NO_PROXY", " , *,.example.com,example.com,10.0.0.0/8,10.1.2.3,2001:db8::/32,::1,localhost"),
            ("HTTPS_PROXY", "foo"),
            ("RUNTIME_USERDATA", "{\"A\":\"a\"}"),
        ],
        &[],
    );
    for hosts in
        ["10.0.0.0/99", "*.example.com", "example.com:443", "a b", "[::1]", "a/8", "b.example,10.0.0.0/"]
    {
        are_errors(&[("NO_PROXY", hosts)], &["NO_PROXY"]);
    }
}

/// Missing variables beside one that is set are a note, used or not, since the deployment may set them.
#[test]
fn a_set_of_variables_that_is_not_whole_is_noted() {
    for (set, missing) in [
        (&[("TKE_ROLE_ARN", "x")][..], &["TKE_PROVIDER_ID", "TKE_REGION", "TKE_WEB_IDENTITY_TOKEN_FILE"][..]),
        (&[("TKE_REGION", "x")], &["TKE_ROLE_ARN"]),
        (&[("OTC_SDK_SK", "b")], &["OTC_SDK_AK"]),
        (&[("S3_ACCESS_KEY_ID", "a")], &["S3_SECRET_ACCESS_KEY"]),
        (&[("TENCENTCLOUD_SECRETKEY", "b")], &["TENCENTCLOUD_SECRETID"]),
        (&[("OS_USERNAME", "a")], &["OS_AUTH_URL", "OS_PASSWORD", "OS_USER_DOMAIN_NAME"]),
        (
            &[("OS_AUTH_URL", "https://iam.example.com")],
            &["OS_USERNAME", "OS_PASSWORD", "OS_USER_DOMAIN_NAME"],
        ),
        (&[("QUARANTINE_KEY", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=")], &[]),
    ] {
        let (code, text) = check(&[], set);
        assert_eq!(code, 0, "{set:?}: {text}");
        for variable in missing {
            let line = format!("environment: note: {variable} is not set, but {} is\n", set[0].0);
            assert_eq!(text.matches(&line).count(), 1, "{set:?}: {variable}: {text}");
        }
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

/// A sender may sign its retries once: where nobody knows, the window is told, unless the hook has chosen one.
#[test]
fn a_source_whose_retries_are_not_documented_is_noted() {
    let told = |source: &str, rest: &str| {
        let hooks = format!(
            "[hooks.h]\nsource = \"{source}\"\nsecrets = [\"plain:a-secret-of-sixteen\"]\n\
             topic = \"pulsar-demo/webhooks/h\"\n{rest}\n"
        );
        let (code, text) = check(&[], &[("HOOKS", &hooks)]);
        assert_eq!(code, 0, "{text}");
        text.contains(
            "note: hooks.h: the sender's retries are not documented: one that is signed once and over 300 s",
        )
    };
    assert!(told("front", ""));
    for (source, rest) in [("front", "window = \"1h\""), ("stripe", ""), ("ghost", ""), ("tencent-vod", "")] {
        assert!(!told(source, rest), "{source} {rest}");
    }
}

#[test]
fn a_deployment_is_judged_by_its_platforms_limits() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("variables.env");
    let named = file.to_str().unwrap();
    std::fs::write(&file, "# of the function\nTDMQ_REGION=ap-guangzhou\nSCF_TRUST_HEADERS=1\n").unwrap();
    let (code, text) = check(&["--deploy", "scf", "--env-file", named], &[("AWS_REGION", "x")]);
    let line = format!("{named}:3: error: SCF_TRUST_HEADERS: the platform keeps this name for itself");
    assert!(code == 2 && text.contains(&line) && !text.contains("AWS_REGION"), "{text}");
    std::fs::write(&file, "HOOKS=[hooks.h]\nTDMQ_REGION=ap-guangzhou\n").unwrap();
    let (code, _) = check(&["--deploy", "scf", "--env-file", named], &[]);
    assert_eq!(code, 2, "the file's own hooks lack a source");

    // Without a file, the variables are those of the environment that hookmq asks for.
    let variables =
        [("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x"), ("SPILL_URL", "s3://bucket")];
    let (code, text) = check(&["--deploy", "lambda/alb"], &variables);
    assert!(code == 0 && text.contains("environment: warning: AWS_ACCESS_KEY_ID: "), "{text}");
    assert!(
        text.contains("HOOKS: warning: hooks.h.max_body: ") && text.contains("sender of more: 413 "),
        "{text}"
    );
    let hooks = HOOKS.replace("\n[", "[") + "max_body = \"2MiB\"\n";
    let (code, text) = check(&["--deploy", "lambda/alb"], &[("HOOKS", &hooks)]);
    assert!(code == 2 && text.contains("HOOKS:4: error: hooks.h.max_body: "), "{text}");
    let (code, text) = check(&["--deploy", "lambda/function-url", "--region", "eu-central-2"], &[]);
    assert!(code == 2 && text.contains("--region: error: eu-central-2: "), "{text}");
    assert_eq!(check(&["--deploy", "azure"], &[]).0, 2);
    assert_eq!(check(&["--env-file", "/no/such/file"], &[]).0, 2);
}
