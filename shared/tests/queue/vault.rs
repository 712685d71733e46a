//! Tests of credentials from Secrets Manager and Parameter Store, over real sockets.

use std::time::Duration;

use hookmq_shared::queue::{Class, Queue as _, Receipt, SendError, rocketmq, tdmq};
use serde_json::json;

use crate::kit::extension::{Extension, Held};
use crate::kit::server::{Server, Wall, context, message, ok, seconds, status};

const STORED: &str = r#"{"Response":{"MessageId":"71:11:0:0","ErrorMsg":"","RequestId":"r-1"}}"#;
const REFUSED: &str =
    r#"{"Response":{"Error":{"Code":"AuthFailure.SignatureFailure","Message":"m"},"RequestId":"r-2"}}"#;

const SHARED: [(&str, &str); 3] = [
    ("TENCENTCLOUD_SECRET_ID", "secretsmanager:tencent#id"),
    ("TENCENTCLOUD_SECRET_KEY", "secretsmanager:tencent#key"),
    ("TENCENTCLOUD_REGION", "ap-guangzhou"),
];

/// Builds a client for this server, with credentials from the extension.
fn client(server: &Server, extension: &Extension) -> tdmq::Client {
    let extension = extension.vars();
    let mut vars = SHARED.to_vec();
    vars.push(("TDMQ_ENDPOINT", &server.url));
    vars.extend(extension.iter().map(|(name, value)| (*name, value.as_str())));
    tdmq::Client::new(context(&vars, Wall::new().clock()))
}

fn hold(extension: &Extension, key: &str) {
    extension.secret("tencent", Held::Text(json!({ "id": key, "key": "KEYEXAMPLE" }).to_string()));
}

async fn send(client: &tdmq::Client) -> Result<Receipt, SendError> {
    client.send(&message("pulsar-a/ns/t", "hello"), seconds(10)).await
}

/// Returns the key ids that the requests were signed with.
fn ids(server: &Server) -> Vec<String> {
    let id = |authorization: &str| authorization.split(['=', '/']).nth(1).unwrap().to_owned();
    server.seen().iter().map(|seen| id(seen.header("authorization").unwrap())).collect()
}

async fn pass(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn they_are_read_once_and_kept_for_five_minutes() {
    let (server, extension) = (Server::start(vec![ok(STORED); 4]).await, Extension::start().await);
    hold(&extension, "FIRST");
    let client = client(&server, &extension);
    assert_eq!(client.problems(), [], "the extension serves no init");
    assert_eq!(extension.seen().len(), 0);
    for _ in 0..2 {
        send(&client).await.unwrap();
    }
    assert_eq!(extension.seen(), ["/secretsmanager/get?secretId=tencent"], "id and key of one version");
    pass(299).await;
    hold(&extension, "SECOND");
    send(&client).await.unwrap();
    pass(1).await;
    send(&client).await.unwrap();
    assert_eq!(ids(&server), ["FIRST", "FIRST", "FIRST", "SECOND"]);
    assert_eq!(extension.seen().len(), 2);
}

#[tokio::test]
async fn a_variable_may_name_another_that_names_the_secret() {
    let (server, extension) = (Server::start([ok(STORED)]).await, Extension::start().await);
    hold(&extension, "FIRST");
    let own = extension.vars();
    let mut vars = vec![
        ("TENCENTCLOUD_SECRET_ID", "env:THE_ID"),
        ("THE_ID", "secretsmanager:tencent#id"),
        ("TENCENTCLOUD_SECRET_KEY", "secretsmanager:tencent#key"),
        ("TENCENTCLOUD_REGION", "ap-guangzhou"),
        ("TDMQ_ENDPOINT", &server.url),
    ];
    vars.extend(own.iter().map(|(name, value)| (*name, value.as_str())));
    let client = tdmq::Client::new(context(&vars, Wall::new().clock()));
    assert_eq!(client.problems(), []);
    send(&client).await.unwrap();
    assert_eq!(ids(&server), ["FIRST"]);
    assert_eq!(extension.seen(), ["/secretsmanager/get?secretId=tencent"]);
}

#[tokio::test]
async fn refused_ones_are_read_anew() {
    let script = [ok(STORED), ok(REFUSED), ok(STORED), ok(REFUSED)];
    let (server, extension) = (Server::start(script).await, Extension::start().await);
    hold(&extension, "FIRST");
    let client = client(&server, &extension);
    send(&client).await.unwrap();
    pass(30).await;
    hold(&extension, "SECOND");
    assert_eq!(send(&client).await.unwrap().attempts, 2);
    // The secret was read a moment ago, so it is not read again.
    assert_eq!(send(&client).await.unwrap_err().class, Class::Auth);
    assert_eq!(ids(&server), ["FIRST", "FIRST", "SECOND", "SECOND"]);
    assert_eq!(extension.seen().len(), 2);
}

#[tokio::test]
async fn an_extension_that_fails_stops_only_who_knows_nothing() {
    let (server, extension) = (Server::start(vec![ok(STORED); 3]).await, Extension::start().await);
    let client = client(&server, &extension);
    for _ in 0..2 {
        let error = send(&client).await.unwrap_err();
        assert_eq!((error.class, error.attempts), (Class::Config, 0));
        let told = "TENCENTCLOUD_SECRET_ID has no value: tencent is refused with status 400";
        assert!(error.to_string().contains(told), "{error}");
    }
    assert_eq!(extension.seen().len(), 1, "asked again after a pause only");
    pass(5).await;
    hold(&extension, "FIRST");
    send(&client).await.unwrap();
    pass(301).await;
    extension.secret("tencent", Held::Answer(500, String::new()));
    for _ in 0..2 {
        send(&client).await.unwrap();
    }
    assert_eq!(ids(&server), ["FIRST"; 3]);
    assert_eq!(extension.seen().len(), 3);
}

#[tokio::test]
async fn a_user_and_a_password_of_iam_may_be_parameters() {
    let (server, extension) = (Server::start([status(401, "{}")]).await, Extension::start().await);
    extension.parameter("/iam/user", "a-user");
    extension.parameter("/iam/password", "a-password");
    let extension_vars = extension.vars();
    let mut vars = vec![
        ("OS_AUTH_URL", server.url.as_str()),
        ("OS_USERNAME", "ssm:/iam/user"),
        ("OS_PASSWORD", "ssm:/iam/password"),
        ("OS_USER_DOMAIN_NAME", "domain"),
        ("OS_PROJECT_ID", "0123456789abcdef0123456789abcdef"),
        ("ROCKETMQ_ENDPOINT", &server.url),
        ("ROCKETMQ_INSTANCE_ID", "c3f4a1b2-0000-4000-8000-0123456789ab"),
    ];
    vars.extend(extension_vars.iter().map(|(name, value)| (*name, value.as_str())));
    let client = rocketmq::Client::new(context(&vars, Wall::new().clock()));
    assert_eq!(client.problems(), []);
    let error = client.send(&message("t_1", "hello"), seconds(10)).await.unwrap_err();
    assert_eq!(error.class, Class::Auth, "{error}");
    let user = &server.seen()[0].json()["auth"]["identity"]["password"]["user"];
    assert_eq!((user["name"].as_str(), user["password"].as_str()), (Some("a-user"), Some("a-password")));
}
