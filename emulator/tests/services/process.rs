//! Tests of the executable: its first line of output, and the environment variables that it reads.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use crate::kit::*;
use serde_json::json;
use tokio::net::TcpStream;

#[tokio::test]
async fn it_says_where_it_listens_and_takes_its_names_from_the_environment() {
    let mut process = Command::new(env!("CARGO_BIN_EXE_hookmq-emulator"))
        .env_clear()
        .envs([("LISTEN", "127.0.0.1:0"), ("MISSING_TOPICS", "a/b/c, gone"), ("OS_PASSWORD", "another")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let addr = line.trim().strip_prefix("listening http://").unwrap();

    let mut stream = TcpStream::connect(addr).await.unwrap();
    let mut body = iam_body();
    let ask = |body: &serde_json::Value| {
        Outgoing::new("POST", "/v3/auth/tokens", body.to_string()).header("Host", addr)
    };
    assert_eq!(ask(&body).send_over(&mut stream).await.unwrap().status, 401);
    body["auth"]["identity"]["password"]["user"]["password"] = json!("another");
    let token = ask(&body).send_over(&mut stream).await.unwrap();
    let token = token.header("x-subject-token").unwrap();
    for (topic, code) in [("gone", "DMS.00400876"), ("there", "none")] {
        let path = dms_path(hookmq_emulator::sample::PROJECT_ID, hookmq_emulator::sample::INSTANCE_ID);
        let request = Outgoing::new("POST", &path, json!({"topic": topic, "body": "x"}).to_string())
            .header("Host", addr)
            .header("X-Auth-Token", token);
        assert_eq!(request.send_over(&mut stream).await.unwrap().code(), code, "{topic}");
    }
    process.kill().unwrap();
    process.wait().unwrap();
}

#[tokio::test]
async fn what_is_counted_need_not_be_kept_and_a_store_stands_beside() {
    let mut process = Command::new(env!("CARGO_BIN_EXE_hookmq-emulator"))
        .env_clear()
        .envs([("KEEP_MESSAGES", "0"), ("S3_LISTEN", "127.0.0.1:0")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut line = || lines.next().unwrap().unwrap();
    let (vendor, s3) = (line(), line());
    let vendor = vendor.strip_prefix("listening http://").unwrap();
    let s3 = s3.strip_prefix("s3 http://").unwrap();

    let token = {
        let mut stream = TcpStream::connect(vendor).await.unwrap();
        let ask = Outgoing::new("POST", "/v3/auth/tokens", iam_body().to_string()).header("Host", vendor);
        let answer = ask.send_over(&mut stream).await.unwrap();
        answer.header("x-subject-token").unwrap().to_owned()
    };
    let mut stream = TcpStream::connect(vendor).await.unwrap();
    for id in ["one", "two", "one"] {
        let path = dms_path(hookmq_emulator::sample::PROJECT_ID, hookmq_emulator::sample::INSTANCE_ID);
        let message = json!({"topic": "topic", "body": json!({"id": id}).to_string()}).to_string();
        let send =
            Outgoing::new("POST", &path, message).header("Host", vendor).header("X-Auth-Token", &token);
        assert_eq!(send.send_over(&mut stream).await.unwrap().status, 200);
    }
    let get = async |addr: &str, method: &str, path: &str, body: &str| {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let ask = Outgoing::new(method, path, body.to_owned()).header("Host", addr);
        ask.send_over(&mut stream).await.unwrap()
    };
    let counts = get(vendor, "GET", "/_/counts", "").await.json();
    for (name, count) in [("requests", 4), ("messages", 3), ("deliveries", 2), ("connections", 2)] {
        assert_eq!(counts[name], count, "{name} of {counts}");
    }
    assert_eq!(get(vendor, "GET", "/_/messages", "").await.json(), json!([]));
    assert_eq!(get(s3, "POST", "/_/objects", "a/b\tsome\na/c\t\n").await.status, 204);
    assert_eq!(get(s3, "POST", "/_/objects", "no tab").await.status, 400);
    assert_eq!(get(s3, "GET", "/hooks/a/b", "").await.status, 403, "everything else is signed");
    let counts = get(s3, "GET", "/_/counts", "").await.json();
    assert_eq!(counts["objects"], json!({"a": 2}), "{counts}");
    assert_eq!(counts["calls"]["get"], 0, "{counts}");
    process.kill().unwrap();
    process.wait().unwrap();
}
