//! The executable: its first line, and what it reads from its environment.

mod common;

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use common::*;
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
