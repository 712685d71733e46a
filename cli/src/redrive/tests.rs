//! Tests of stores that do not answer, on real sockets, and of foreign text on a terminal.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use hookmq_shared::clock::{Clock, Random};
use hookmq_shared::context::Context;
use hookmq_shared::env::Env;
use hookmq_shared::spill::Folder;
use hookmq_shared::store::Store;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::output::{clean, visible};
use super::store::{Patience, Trouble, ask};

fn bucket(at: SocketAddr) -> Store {
    let env = Env::of([
        ("S3_ENDPOINT", format!("http://{at}").as_str()),
        ("S3_REGION", "eu-1"),
        ("S3_ACCESS_KEY_ID", "a"),
        ("S3_SECRET_ACCESS_KEY", "the-secret-of-the-store"),
    ]);
    let context = Context { env, clock: Clock::system(), random: Random::system() };
    Store::open("SPILL_URL", "s3://bucket/prefix", &context).unwrap()
}

/// Asks the store and waits for `patience`; returns the notices and the answer.
async fn asked(at: SocketAddr, patience: Duration) -> (Vec<String>, Result<(), Trouble>) {
    let said = Mutex::new(Vec::new());
    let say = |words: &str| said.lock().unwrap().push(words.to_owned());
    let answer = ask(&bucket(at), Folder::Spill, Patience::of(patience), &say).await;
    (said.into_inner().unwrap(), answer)
}

/// Starts a server that gives the same answer to each request.
async fn answering(answer: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let answer = answer.clone();
            tokio::spawn(async move {
                let _ = socket.read(&mut [0; 4096]).await;
                let _ = socket.write_all(answer.as_bytes()).await;
            });
        }
    });
    at
}

fn response(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_given_up() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    // This listener accepts connections and never sends a byte.
    let hole = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let down = answering(response("500 Internal Server Error", "")).await;
    for at in [closed, hole.local_addr().unwrap(), down] {
        let (said, answer) = asked(at, Duration::from_millis(600)).await;
        let place = format!("s3://bucket/prefix at http://{at}");
        assert_eq!(said.len(), 1, "{at}");
        assert!(said[0].starts_with(&format!("{place} does not answer yet: trying again")), "{said:?}");
        let error = answer.unwrap_err();
        assert!(matches!(error, Trouble::Silent(..)), "{error}");
        let text = error.to_string();
        assert!(text.starts_with(&place) && !text.contains("the-secret"), "{text}");
        for what in ["S3_ENDPOINT", "S3_REGION", "network", "credentials"] {
            assert!(text.contains(what), "{text}");
        }
    }
}

#[tokio::test]
async fn a_store_that_answers_is_not_waited_for() {
    let long = Duration::from_secs(600);
    let denied = "<Error><Code>AccessDenied</Code><Message>said no</Message></Error>";
    let (said, answer) = asked(answering(response("403 Forbidden", denied)).await, long).await;
    assert!(said.is_empty());
    let error = answer.unwrap_err();
    assert!(matches!(error, Trouble::Refused(..)) && error.to_string().contains("said no"), "{error}");
    let listing = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";
    let (said, answer) = asked(answering(response("200 OK", listing)).await, long).await;
    assert!(said.is_empty() && answer.is_ok(), "{answer:?}");
}

#[test]
fn a_terminal_obeys_nothing_that_others_wrote() {
    let text = "a\u{1b}[2J\u{9b}31m\r\n\u{202e}b\u{7f}ä";
    assert_eq!(clean(text), "a\\u001b[2J\\u009b31m\\u000d\\u000a\\u202eb\\u007fä");
    let json = serde_json::json!({ "x": text }).to_string();
    let shown = visible(&json);
    assert!(!shown.chars().any(char::is_control), "{shown}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap()["x"], text);
}

#[test]
fn patience_is_that_of_the_whole_command() {
    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: super::Args,
    }
    for (words, seconds) in [(&["redrive"][..], 10), (&["redrive", "--patience", "3s"][..], 3)] {
        let Command { args } = <Command as clap::Parser>::parse_from(words);
        assert_eq!(args.options(&Context::system()).patience, Duration::from_secs(seconds));
    }
}
