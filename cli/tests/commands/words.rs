//! Tests of the words in which the command line tells mistakes: options, not keys of a hooks file, and the name that
//! was probably meant.

use std::process::Command;

const SECRET: &str = "0123456789abcdef0123456789";
const HOOK: &str = "[hooks.a]\nsource = \"none\"\ntopic = \"a/b/c\"\n";

/// Runs the command and returns the exit code and both outputs.
fn hookmq(arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookmq"));
    let done = command.args(arguments).env_clear().stdin(std::process::Stdio::null()).output().unwrap();
    let text = [done.stdout, done.stderr].concat();
    (done.status.code().unwrap(), String::from_utf8(text).unwrap())
}

#[test]
fn a_mistake_is_told_in_the_words_of_the_command_line() {
    let wecom = ["sign", "--source", "wecom", "--secret", SECRET];
    for (arguments, told) in [
        (&["sign", "--source", "github"][..], "--secret is missing: write --secret env:NAME"),
        (
            &["sign", "--source", "square", "--secret", SECRET],
            "--url is missing: the sender signs the address",
        ),
        (&wecom, "--param aes_key=VALUE is missing: "),
        (
            &[&wecom[..], &["--param", "aeskey=x"]].concat(),
            "--param aeskey: this source has no such parameter; did you mean aes_key?",
        ),
        (
            &["verify", "--source", "aws-sns", "--param", "topic="],
            "--param topic: is empty: set it, or leave it out",
        ),
        (&["verify", "--source", "clerk", "--secret", "nothex"], "--secret: is not a key of this source"),
        (
            &["sign", "--source", "discord", "--secret", "zz"],
            "--secret: is not a key of this source: write hex text\n",
        ),
        (
            &["verify", "--source", "github", "--secret", "file:/nope"],
            "cannot read /nope: there is no such file",
        ),
        (
            &["verify", "--source", "github", "--secret", SECRET, "--param", "x=file:/nope"],
            "--param x: cannot read /nope",
        ),
        (&["verify", "--source", "gitlb"], "did you mean gitlab-secret-token or gitlab-signing-token?"),
        (&["verify", "--source", "kafka"], "`hookmq sources` lists all"),
        (
            &["send", "--source", "github", "--secret", SECRET, "--url", "127.0.0.1:9000/x"],
            "is not an address: write it with http://",
        ),
        (&["torture", "--deliveries", "0"], "0 is not in 1.."),
        (&["verfy"], "'verify'"),
    ] {
        let (code, text) = hookmq(arguments);
        assert!(code == 2 && text.contains(told), "{arguments:?}: {told}\n{text}");
    }
    let (_, usage) = hookmq(&["verify"]);
    assert!(
        usage.contains("--verify <FILE>>\n")
            && !usage.lines().any(|line| line.starts_with("Usage") && line.contains("batch")),
        "{usage}"
    );
    assert_eq!(hookmq(&["version"]), (0, format!("hookmq {}\n", env!("CARGO_PKG_VERSION"))));
    assert!(hookmq(&["sources"]).1.contains("  GitHub: repository, organization and app webhooks\n"));
}

#[test]
fn a_connection_that_fails_says_how() {
    let send = |url: &str| hookmq(&["send", "--source", "github", "--secret", SECRET, "--url", url]);
    let (code, text) = send("http://127.0.0.1:1/x");
    assert!(code == 3 && text.contains("Connection refused"), "{text}");
    let (code, text) = send("http://nosuch.invalid/x");
    assert!(code == 3 && text.contains("the name nosuch.invalid cannot be looked up"), "{text}");
}

#[test]
fn a_table_of_ones_own_is_signed_for() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let table = "[verify]\nkind = \"hmac\"\nhash = \"sha256\"\nsigned = [\"{body}\"]\n\
                 signature = { from = \"header:X-Sig\", encoding = \"hex\" }\n";
    std::fs::write(file.path(), table).unwrap();
    let path = file.path().to_str().unwrap();
    let (code, text) = hookmq(&["sign", "--verify", path, "--secret", SECRET]);
    assert!(code == 0 && text.contains("x-sig: ") && text.starts_with("POST /hook HTTP/1.1"), "{text}");
}

#[test]
fn a_mistake_of_a_hooks_file_says_what_where_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hooks.toml");
    let told = |text: &str| {
        std::fs::write(&file, text).unwrap();
        hookmq(&["check", file.to_str().unwrap()]).1.replace(&format!("{}:", file.display()), "")
    };
    let path = |path: &str| format!("{HOOK}path = \"{path}\"\n");
    for (text, wanted) in [
        (
            format!("{HOOK}deadline = \"5\"\n"),
            "found \"5\", which has no unit: write one of ms, s, m, h and d",
        ),
        (
            format!("{HOOK}deadline = \"2 min\"\n"),
            "found \"2 min\", whose unit is unknown: known are ms, s, m, h and d",
        ),
        (
            format!("{HOOK}max_body = \"1GB\"\n"),
            "found \"1GB\", whose unit is unknown: known are B, KB, KiB, MB and MiB",
        ),
        (path("/pay/"), "hooks.a.path: ends with \"/\""),
        (path("pay"), "hooks.a.path: does not begin with \"/\""),
        (path("/_/x"), "is under \"/_/\", where the probes are"),
        (path("/a//b"), "hooks.a.path: has \"//\""),
        (path("/a b"), "has a character that is not allowed"),
        (
            format!("{}{}", path("/pay"), path("/pay").replace("hooks.a", "hooks.b")),
            "8: error: hooks.b.path: the hook a has the path /pay too",
        ),
        (format!("{HOOK}{HOOK}"), "4: error: [hooks.a] is there already, in line 1"),
        (format!("{HOOK}topic = \"x\"\n"), "4: error: topic is there already, in line 3"),
        (format!("{HOOK}pth = \"/x\"\n"), "unknown key; did you mean path? Known here: "),
        (format!("{HOOK}secret = []\n"), "unknown key; did you mean secrets? Known here: "),
        (
            "[hooks.a]\nsource = \"stripe\"\nsecrets = [\"whsec_x\"]\ntopic = \"a/b/c\"\n".to_owned(),
            "write env:NAME, file:PATH, secretsmanager:ID, ssm:NAME or, for a literal, plain:VALUE",
        ),
        (
            "[hooks.a]\nsource = \"stripe\"\nsecrets = [\"file:nofile\"]\ntopic = \"a/b/c\"\n".to_owned(),
            "a relative path counts from the folder where the process starts",
        ),
    ] {
        let found = told(&text);
        assert!(found.contains(wanted), "{text}\n{wanted}\n{found}");
    }
    // One mistake is one line.
    assert_eq!(told(&format!("{HOOK}{HOOK}")).matches("error:").count(), 1);
    for (secret, doubt) in [
        (format!("\\\"{SECRET}\\\""), "has quotes around it"),
        (format!("{SECRET} "), "has blanks or line ends around it"),
        (format!("\u{feff}{SECRET}"), "begins with a byte order mark"),
        (format!("sk_live_{SECRET}"), "looks like a key for the provider's API"),
    ] {
        let found = told(&signed("github", &secret));
        assert!(found.contains(&format!("3: warning: hooks.a.secrets[0]: {doubt}")), "{doubt}: {found}");
        assert_eq!(found.matches("secrets[0]").count(), 1, "{found}");
        assert!(!found.contains(SECRET), "{found}");
    }
    // Some providers do sign with such a key, and their presets say so.
    for (source, start, is_doubted) in [
        ("paystack", "sk_live_", false),
        ("paystack", "sk_test_", false),
        ("paystack", "ghp_", true),
        ("stripe", "sk_live_", true),
    ] {
        let found = told(&signed(source, &format!("{start}{SECRET}")));
        assert_eq!(found.contains("looks like a key"), is_doubted, "{source} {start}: {found}");
    }
}

/// Builds a hook of this source with one secret.
fn signed(source: &str, secret: &str) -> String {
    format!("[hooks.a]\nsource = \"{source}\"\nsecrets = [\"plain:{secret}\"]\ntopic = \"a/b/c\"\n")
}

#[test]
fn an_event_in_another_case_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hooks.toml");
    for (source, events, told) in [
        ("github", "Push", Some("\"Push\" differs from the event \"push\" in its case, which counts: ")),
        ("github", "PU*", Some("\"PU*\" differs from the event \"push\" in its case, which counts: ")),
        ("github", "push", None),
        ("github", "pu*", None),
        ("github", "*", None),
        ("github", "Nothing", None),
    ] {
        std::fs::write(&file, format!("{}events = [\"{events}\"]\n", signed(source, SECRET))).unwrap();
        let (code, text) = hookmq(&["check", file.to_str().unwrap()]);
        let line = told.map(|told| format!(":5: warning: hooks.a.events: {told}"));
        assert!(code == 0 && line.as_ref().is_none_or(|line| text.contains(line)), "{events}: {text}");
        assert_eq!(text.contains("warning: "), line.is_some(), "{events}: {text}");
    }
}

/// A reader that has closed the pipe (`| head`) ends no command with a panic.
#[test]
fn output_that_nobody_reads_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hooks.toml");
    std::fs::write(&file, HOOK).unwrap();
    let file = file.to_str().unwrap();
    for arguments in [
        &["check", file][..],
        &["check", file, "--url", "https://hooks.example.com"],
        &["verify", "--source", "github", "--secret", SECRET, "--explain"],
        &["sources"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookmq"));
        command.args(arguments).env_clear().stdin(std::process::Stdio::null()).stdout(writer);
        let done = command.stderr(std::process::Stdio::piped()).output().unwrap();
        let told = String::from_utf8(done.stderr).unwrap();
        assert!(done.status.code().is_some_and(|code| code < 3), "{arguments:?}: {:?} {told}", done.status);
        assert!(!told.contains("panicked"), "{arguments:?}: {told}");
    }
}
