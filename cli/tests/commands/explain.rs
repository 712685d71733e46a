//! Tests of `hookmq verify --explain`: each usual mistake is named, and none is accepted.

use std::io::Write as _;
use std::process::{Command, Stdio};

const SECRET: &str = "0123456789abcdef0123456789";
const URL: &str = "https://x.example/square";

/// Runs the command with `input` and returns the exit code and both outputs.
fn hookmq(arguments: &[&str], input: &[u8]) -> (i32, String) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_hookmq"))
        .args(arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that needs no input may have ended.
    let _ = program.stdin.take().unwrap().write_all(input);
    let done = program.wait_with_output().unwrap();
    let text = [done.stdout, done.stderr].concat();
    (done.status.code().unwrap(), String::from_utf8(text).unwrap())
}

fn signed(arguments: &[&str]) -> Vec<u8> {
    let (code, text) = hookmq(&[&["sign"], arguments].concat(), b"{\"a\":1}");
    assert_eq!(code, 0, "{text}");
    text.into_bytes()
}

/// Replaces the body, and its announced length.
fn with_body(request: &[u8], body: &str) -> Vec<u8> {
    let text = String::from_utf8(request.to_vec()).unwrap();
    let (head, old) = text.split_once("\r\n\r\n").unwrap();
    let length = |length: usize| format!("content-length: {length}");
    format!("{}\r\n\r\n{body}", head.replace(&length(old.len()), &length(body.len()))).into_bytes()
}

fn explain(arguments: &[&str], request: &[u8]) -> String {
    let (code, text) = hookmq(&[&["verify", "--explain"], arguments].concat(), request);
    assert_eq!(code, 1, "a near miss is never accepted: {text}");
    text
}

#[test]
fn a_changed_body_is_told_from_another_secret() {
    let request = signed(&["--source", "github", "--secret", SECRET, "--body", "-"]);
    let told = |body: &str, secret: &str| {
        explain(&["--source", "github", "--secret", secret], &with_body(&request, body))
    };
    for (body, miss) in [
        ("{\"a\":1}\n", "the body without the line end at its end"),
        ("{\"a\":1}\r\n", "the body without the line end at its end"),
        ("{ \"a\" : 1 }", "the body as JSON without blanks"),
        ("\u{feff}{\"a\":1}", "the body without the byte order mark"),
    ] {
        let text = told(body, SECRET);
        assert!(text.contains(&format!("near miss: it matches with {miss}")), "{body:?}: {text}");
    }
    for (secret, miss) in [
        (format!(" {SECRET} "), "the secret without the blanks around it"),
        (format!("\"{SECRET}\""), "the secret without the quotes around it"),
    ] {
        let text = told("{\"a\":1}", &secret);
        assert!(text.contains(&format!("near miss: it matches with {miss}")), "{text}");
        assert!(!text.contains(SECRET), "{text}");
    }
    let text = told("{\"a\":1}", "quite another secret");
    assert!(text.contains("near misses: none of the usual ones") && !text.contains("it matches"), "{text}");
    assert!(text.contains("cause: the secret is another one, or the body was changed"), "{text}");
    // A body that was written anew has another length than was announced.
    let text = String::from_utf8(request).unwrap().replace("content-length: 7", "content-length: 9");
    assert!(
        explain(&["--source", "github", "--secret", "x"], text.as_bytes()).contains("Content-Length says 9")
    );
}

#[test]
fn another_spelling_of_the_address_is_named() {
    let request = signed(&["--source", "square", "--secret", SECRET, "--url", URL, "--body", "-"]);
    for url in [
        "https://x.example/square/",
        "http://x.example/square",
        "https://x.example:443/square",
        "https://X.example/square",
    ] {
        let text = explain(&["--source", "square", "--secret", SECRET, "--url", url], &request);
        assert!(
            text.contains(&format!("near miss: it matches with the address {URL}: write `url`")),
            "{url}: {text}"
        );
        assert!(text.contains("or `url` is not the address set at the sender"), "{text}");
    }
}

#[test]
fn an_age_has_figures_and_a_clock() {
    let request = signed(&["--source", "stripe", "--secret", SECRET, "--body", "-"]);
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    for (at, told) in [(now + 4000, "s ago"), (now - 4000, "s ahead")] {
        let text = explain(&["--source", "stripe", "--secret", SECRET, "--at", &at.to_string()], &request);
        assert!(text.contains("age: 4") || text.contains("age: 3"), "{text}");
        assert!(text.contains(told) && text.contains("and 300 s are allowed"), "{text}");
    }
}

#[test]
fn the_expected_form_of_a_signature_is_shown() {
    for (source, field, form) in [
        ("stripe", "Stripe-Signature: sha256=abc", "expected form: header:Stripe-Signature: t=…,v1=HEX"),
        ("stripe", "Stripe-Signature: t=1, v1=abc", "has blanks or commas around an item"),
        ("github", "X-Other: 1", "expected form: header:X-Hub-Signature-256: sha256=HEX"),
        ("svix", "svix-signature: abc", "expected form: header:svix-signature"),
    ] {
        let secret = if source == "svix" { "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM=" } else { SECRET };
        let (code, text) = hookmq(
            &[
                "verify",
                "--explain",
                "--source",
                source,
                "--secret",
                secret,
                "-H",
                field,
                "-H",
                "svix-id: 1",
                "-H",
                "svix-timestamp: 1",
            ],
            b"",
        );
        assert!(code == 1 && text.contains(form), "{source}: {text}");
    }
}

#[test]
fn messages_that_are_not_envelopes_of_sns_say_which_switch_to_turn() {
    let topic = "--param=topic=arn:aws:sns:us-east-1:123456789012:t";
    let head = "POST /x HTTP/1.1\r\nx-amz-sns-message-type: Notification\r\n";
    let raw = format!("{head}x-amz-sns-rawdelivery: true\r\ncontent-length: 2\r\n\r\n{{}}");
    let text = explain(&["--source", "aws-sns", topic], raw.as_bytes());
    assert!(text.contains("turn raw message delivery off"), "{text}");
    let body = r#"{"Type":"Notification","Signature":"eA==","SignatureVersion":"1","TopicArn":"arn:aws:sns:us-east-1:123456789012:t"}"#;
    let one = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    let text = explain(&["--source", "aws-sns", topic], one.as_bytes());
    assert!(text.contains("set the topic's SignatureVersion to 2"), "{text}");
}
