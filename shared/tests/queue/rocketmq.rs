//! Tests of the RocketMQ client: its requests, both ways of authentication, and its refusals.

use std::time::Duration;

use hookmq_shared::clock::Timestamp;
use hookmq_shared::message::Message;
use hookmq_shared::queue::credentials::Credentials;
use hookmq_shared::queue::rocketmq::{Client, sign};
use hookmq_shared::queue::{Class, Effort, Queue as _, Until};
use hookmq_shared::secret::Secret;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::advance;

use crate::kit::server::{Server, Step, Wall, context, message, ok, seconds, status};

const PROJECT: &str = "0123456789abcdef0123456789abcdef";
const INSTANCE: &str = "11111111-2222-3333-4444-555555555555";
const PATH: &str =
    "/v2/0123456789abcdef0123456789abcdef/rocketmq/instances/11111111-2222-3333-4444-555555555555/messages";
const STORED: &str = r#"{"topic":"test-001","body":"hello","property_list":null,"msg_id":"644F0E2A315323EAB33D8F4733110009","queue_id":0.0,"queue_offset":9007199254740993,"broker_name":"broker-0"}"#;

const KEY: [(&str, &str); 3] = [
    ("HUAWEICLOUD_SDK_AK", "AKEXAMPLE"),
    ("HUAWEICLOUD_SDK_SK", "SKEXAMPLE"),
    ("HUAWEICLOUD_SDK_PROJECT_ID", PROJECT),
];

fn client_at(url: &str, vars: &[(&str, &str)], wall: &Wall) -> Client {
    let own = [("ROCKETMQ_ENDPOINT", url), ("ROCKETMQ_INSTANCE_ID", INSTANCE)];
    Client::new(context(&[&own, vars].concat(), wall.clock()))
}

fn client(url: &str, vars: &[(&str, &str)]) -> Client {
    client_at(url, vars, &Wall::new())
}

fn hello() -> Message {
    message("test-001", "hello")
}

#[tokio::test(start_paused = true)]
async fn a_message_is_stored() {
    let answer = Step::Answer(200, vec![("X-Request-Id", "r-1".to_owned())], STORED.to_owned());
    let server = Server::start([answer]).await;
    let client = client(&server.url, &KEY);
    assert_eq!(client.problems(), []);
    let message = Message {
        key: Some("order-7".to_owned()),
        tag: Some("push".to_owned()),
        properties: vec![("CE_id".into(), "evt_1".to_owned())],
        ..hello()
    };
    let receipt = client.send(&message, seconds(10)).await.unwrap();
    assert_eq!(receipt.message_id, "644F0E2A315323EAB33D8F4733110009");
    assert_eq!((receipt.request_id.as_deref(), receipt.attempts), (Some("r-1"), 1));

    let seen = server.seen().remove(0);
    assert_eq!(seen.line, format!("POST {PATH} HTTP/1.1"));
    let properties = json!([
        {"name": "KEYS", "value": "evt_1 order-7"},
        {"name": "TAGS", "value": "push"},
        {"name": "CE_id", "value": "evt_1"},
    ]);
    assert_eq!(seen.json(), json!({"topic": "test-001", "body": "hello", "property_list": properties}));
}

#[tokio::test(start_paused = true)]
async fn the_request_is_what_the_vendors_sdk_sends() {
    let server = Server::start([ok(STORED)]).await;
    client(&server.url, &KEY).send(&hello(), seconds(10)).await.unwrap();
    let seen = server.seen().remove(0);
    let captures: Value = serde_json::from_str(include_str!("../vectors/sdk_wire_captures.json")).unwrap();
    let sdk = &captures["captures"]["huawei_python_sdk"][0];
    let signed = |authorization: &str| {
        let list = authorization.split_once("SignedHeaders=").unwrap().1.split_once(',').unwrap().0;
        list.split(';').filter(|name| *name != "user-agent").map(str::to_owned).collect::<Vec<_>>()
    };
    let theirs = sdk["headers"]["Authorization"].as_str().unwrap();
    assert_eq!(signed(seen.header("authorization").unwrap()), signed(theirs));
    assert_eq!(seen.header("content-type"), sdk["headers"]["Content-Type"].as_str());
    assert_eq!(seen.header("x-project-id"), Some(PROJECT));
    let theirs: Value = serde_json::from_str(sdk["body"].as_str().unwrap()).unwrap();
    for name in ["topic", "body"] {
        assert_eq!(seen.json()[name], theirs[name]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_signed_is_what_is_sent() {
    let server = Server::start([ok(STORED)]).await;
    let vars = [&KEY[..], &[("HUAWEICLOUD_SDK_SECURITY_TOKEN", "TOKEN+/=")]].concat();
    client(&server.url, &vars).send(&hello(), seconds(10)).await.unwrap();
    let seen = server.seen().remove(0);
    let names = ["content-type", "host", "x-project-id", "x-security-token"];
    let headers: Vec<_> = names.iter().map(|name| (*name, seen.header(name).unwrap())).collect();
    let head =
        sign::Head { method: "POST", path: PATH, query: &[], headers: &headers, body: seen.body.as_bytes() };
    let credentials = Credentials { id: "AKEXAMPLE".to_owned(), key: Secret::new("SKEXAMPLE"), token: None };
    let time = Timestamp::parse_basic(seen.header("x-sdk-date").unwrap()).unwrap();
    assert_eq!(time, Timestamp::from_unix(1_700_000_000));
    let signature = sign::sign(&head, &credentials, time);
    assert_eq!(seen.header("authorization"), Some(signature.authorization.as_str()));
}

/// Form of the address that Huawei Cloud documents.
const ENGINE_FIRST: &str =
    "/v2/rocketmq/0123456789abcdef0123456789abcdef/instances/11111111-2222-3333-4444-555555555555/messages";

fn unknown(code: &str) -> Step {
    let text = "The API does not exist or has not been published in the environment.";
    status(404, &json!({"error_code": code, "error_msg": text}).to_string())
}

/// Returns the paths of the requests so far.
fn paths(server: &Server) -> Vec<String> {
    server.seen().iter().map(|seen| seen.line.split(' ').nth(1).unwrap().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn an_address_that_the_gateway_does_not_know_gives_way_to_the_other_once() {
    for code in ["APIG.0101", "APIGW.0101"] {
        let server = Server::start([unknown(code), ok(STORED), ok(STORED)]).await;
        let client = client(&server.url, &KEY);
        let receipt = client.send(&hello(), seconds(10)).await.unwrap();
        assert_eq!(receipt.attempts, 1, "{code}");
        // A receipt proves the form, so the next message begins with it.
        client.send(&hello(), seconds(10)).await.unwrap();
        assert_eq!(paths(&server), [PATH, ENGINE_FIRST, ENGINE_FIRST], "{code}");
    }
    // The same key signs the other address anew.
    let server = Server::start([unknown("APIG.0101"), ok(STORED)]).await;
    client(&server.url, &KEY).send(&hello(), seconds(10)).await.unwrap();
    let [first, second] = &server.seen()[..] else { panic!() };
    assert_ne!(first.header("authorization"), second.header("authorization"));
}

#[tokio::test(start_paused = true)]
async fn no_other_404_is_about_the_address() {
    let foreign = Step::Answer(404, vec![], "<html>not found</html>".to_owned());
    let refused = |code: &str| status(404, &json!({"error_code": code, "error_msg": "m"}).to_string());
    let other_status = status(403, &json!({"error_code": "APIG.0101", "error_msg": "m"}).to_string());
    for step in
        [foreign, refused("DMS.00404022"), refused("APIG.0103"), refused("DMS.00404001"), other_status]
    {
        let server = Server::start([step]).await;
        let until = Until { effort: Effort::Brief, ..seconds(1).into() };
        let _ = client(&server.url, &KEY).send(&hello(), until).await.unwrap_err();
        assert!(paths(&server).iter().all(|path| path == PATH), "{:?}", paths(&server));
    }
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_knows_neither_address_is_a_mistake_in_the_configuration() {
    let server = Server::start([unknown("APIG.0101"), unknown("APIGW.0101"), ok(STORED)]).await;
    let client = client(&server.url, &KEY);
    let error = client.send(&hello(), seconds(10)).await.unwrap_err();
    assert_eq!((error.class, error.attempts, error.maybe_stored), (Class::Config, 1, false));
    assert!(error.detail.starts_with("the endpoint knows neither form of the address"), "{}", error.detail);
    assert_eq!(paths(&server), [PATH, ENGINE_FIRST]);
}

#[tokio::test(start_paused = true)]
async fn a_message_turns_to_the_other_address_once_and_stays_there() {
    let busy = || status(503, &json!({"error_code": "DMS.00500000", "error_msg": "m"}).to_string());
    let server = Server::start([unknown("APIG.0101"), busy(), ok(STORED), ok(STORED)]).await;
    let sender = client(&server.url, &KEY);
    assert_eq!(sender.send(&hello(), seconds(10)).await.unwrap().attempts, 2);
    assert_eq!(paths(&server), [PATH, ENGINE_FIRST, ENGINE_FIRST]);
    // Without a receipt nothing is remembered.
    let server = Server::start([unknown("APIG.0101"), busy(), busy(), ok(STORED)]).await;
    let sender = client(&server.url, &KEY);
    let until = Until { effort: Effort::Brief, ..seconds(10).into() };
    sender.send(&hello(), until).await.unwrap_err();
    sender.send(&message("other-topic", "x"), seconds(10)).await.unwrap();
    assert_eq!(paths(&server), [PATH, ENGINE_FIRST, ENGINE_FIRST, PATH]);
}

/// Starts a server that does not know the address of one request, and is out of reach from then on.
async fn gone_after_one_request() -> (String, tokio::task::JoinHandle<String>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serve = async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut read, mut part) = (Vec::new(), [0; 4096]);
        while !read.ends_with(b"}") {
            let size = stream.read(&mut part).await.unwrap();
            read.extend_from_slice(&part[..size]);
        }
        drop(listener);
        let body = json!({"error_code": "APIG.0101", "error_msg": "m"}).to_string();
        let head = format!("HTTP/1.1 404 X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).await.unwrap();
        String::from_utf8_lossy(&read).split(' ').nth(1).unwrap().to_owned()
    };
    (url, tokio::spawn(serve))
}

#[tokio::test(start_paused = true)]
async fn a_message_turns_to_the_other_address_once_at_each_endpoint() {
    // The first endpoint knows the other form alone, and is out of reach before it is asked in that.
    for (script, asked) in [
        (vec![ok(STORED)], vec![PATH]),
        (vec![unknown("APIG.0101"), ok(STORED)], vec![PATH, ENGINE_FIRST]),
        (vec![unknown("APIG.0101"), unknown("APIG.0101"), ok(STORED)], vec![PATH, ENGINE_FIRST]),
    ] {
        let is_stored = script.len() == asked.len();
        let (first, path) = gone_after_one_request().await;
        let second = Server::start(script).await;
        let sender = client(&format!("{first},{}", second.url), &KEY);
        let sent = sender.send(&hello(), seconds(10)).await;
        assert_eq!(
            (path.await.unwrap().as_str(), paths(&second)),
            (PATH, asked.iter().map(|p| (*p).to_owned()).collect())
        );
        match sent {
            Ok(receipt) => assert!(is_stored && receipt.attempts == 2, "{receipt:?}"),
            Err(error) => assert!(!is_stored && error.class == Class::Config, "{error:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_environment_can_say_which_address_comes_first() {
    for (word, path) in [("engine-first", ENGINE_FIRST), ("project-first", PATH)] {
        let server = Server::start([ok(STORED)]).await;
        let client = client(&server.url, &[&KEY[..], &[("ROCKETMQ_PATH", word)]].concat());
        assert_eq!(client.problems(), []);
        client.send(&hello(), seconds(10)).await.unwrap();
        assert_eq!(paths(&server), [path]);
    }
    let wrong = client("https://dms.example.com", &[&KEY[..], &[("ROCKETMQ_PATH", "v2")]].concat());
    let problems = wrong.problems();
    assert_eq!(problems[0].variable, "ROCKETMQ_PATH");
    assert!(problems[0].message.contains("neither engine-first"), "{problems:?}");
}

#[tokio::test(start_paused = true)]
async fn access_keys_are_of_one_family_and_come_before_the_token_route() {
    let otc = [("OTC_SDK_AK", "AKOTC"), ("OTC_SDK_SK", "SKOTC"), ("HUAWEICLOUD_SDK_SECURITY_TOKEN", "STRAY")];
    for (vars, id) in [
        ([&KEY[..], &otc[..2]].concat(), "AKEXAMPLE"),
        (
            [&otc[..], &[("OS_PROJECT_ID", PROJECT), ("OS_AUTH_URL", "https://iam.example/v3")]].concat(),
            "AKOTC",
        ),
    ] {
        let server = Server::start([ok(STORED)]).await;
        client(&server.url, &vars).send(&hello(), seconds(10)).await.unwrap();
        let seen = server.seen().remove(0);
        assert!(seen.header("authorization").unwrap().contains(&format!("Access={id},")));
        assert_eq!(seen.header("x-security-token"), None);
    }
}

#[tokio::test]
async fn every_problem_is_named() {
    let names = |vars: &[(&str, &str)]| {
        let client = Client::new(context(vars, Wall::new().clock()));
        client.problems().iter().map(|p| p.variable).collect::<Vec<_>>()
    };
    assert_eq!(names(&[]), ["ROCKETMQ_ENDPOINT", "ROCKETMQ_INSTANCE_ID", "HUAWEICLOUD_SDK_AK"]);
    let place = [("ROCKETMQ_ENDPOINT", "https://dms.example"), ("ROCKETMQ_INSTANCE_ID", INSTANCE)];
    let login = [
        ("OS_AUTH_URL", "https://iam.example/v3"),
        ("OS_USERNAME", "u"),
        ("OS_PASSWORD", "p"),
        ("OS_USER_DOMAIN_NAME", "d"),
        ("OS_PROJECT_NAME", "eu-de"),
    ];
    assert_eq!(names(&[&place[..], &KEY].concat()), [""; 0]);
    assert_eq!(names(&[&place[..], &login].concat()), [""; 0]);
    for missing in 1..login.len() {
        let mut login = login.to_vec();
        let (variable, _) = login.remove(missing);
        assert_eq!(names(&[&place[..], &login].concat()), [variable]);
    }
    for (vars, variable) in [
        (&KEY[..2], "HUAWEICLOUD_SDK_PROJECT_ID"),
        (&KEY[1..], "HUAWEICLOUD_SDK_AK"),
        (&[("HUAWEICLOUD_SDK_PROJECT_ID", "eu-de")], "HUAWEICLOUD_SDK_PROJECT_ID"),
        (&[("OS_AUTH_URL", "http://iam.example/v3")], "OS_AUTH_URL"),
    ] {
        assert_eq!(names(&[&place[..], vars].concat()), [variable]);
    }
    let wrong_id = [("ROCKETMQ_ENDPOINT", "https://dms.example"), ("ROCKETMQ_INSTANCE_ID", "rocketmq-1")];
    assert_eq!(names(&[&wrong_id[..], &KEY].concat()), ["ROCKETMQ_INSTANCE_ID"]);
}

#[tokio::test]
async fn what_cannot_be_taken_is_refused_without_asking() {
    let server = Server::start([]).await;
    let client = client(&server.url, &KEY);
    // The texts have four megabytes, and over twelve as JSON.
    let (large, inflated) = ("x".repeat((4 << 20) + 1), "\u{1}".repeat(2_000_001));
    for (topic, text, class) in [
        ("test-001", "", Class::Permanent),
        ("test-001", large.as_str(), Class::TooLarge),
        ("test-001", inflated.as_str(), Class::TooLarge),
        ("%DLQ%group", "x", Class::Config),
        ("a/b/c", "x", Class::Config),
    ] {
        let error = client.send(&message(topic, text), seconds(5)).await.unwrap_err();
        assert_eq!((error.class, error.attempts, error.maybe_stored), (class, 0, false), "{topic}");
    }
    let tagged = Message { tag: Some("a\u{2}DELAY\u{1}3".to_owned()), ..hello() };
    assert_eq!(client.send(&tagged, seconds(5)).await.unwrap_err().class, Class::Permanent);
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_message_may_be_echoed_with_every_character_escaped() {
    let text = "<".repeat(4 << 20);
    let echo = format!(r#"{{"body":"{}","msg_id":"M1"}}"#, "\\u003c".repeat(text.len()));
    let server = Server::start([ok(&echo)]).await;
    let receipt = client(&server.url, &KEY).send(&message("test-001", &text), seconds(30)).await.unwrap();
    assert_eq!((receipt.message_id.as_str(), receipt.attempts), ("M1", 1));

    let endless = format!(r#"{{"body":"{}","msg_id":"M1"}}"#, "x".repeat(1 << 20));
    let server = Server::start(vec![ok(&endless); 50]).await;
    let error = client(&server.url, &KEY).send(&hello(), seconds(1)).await.unwrap_err();
    assert_eq!((error.class, error.maybe_stored, error.attempts), (Class::Config, true, 2));
}

#[tokio::test(start_paused = true)]
async fn a_locked_key_is_left_alone() {
    let locked = r#"{"error_msg":"Incorrect IAM authentication information: AK access failed to reach the limit,forbidden.","error_code":"APIG.0301","request_id":"r"}"#;
    let server = Server::start([status(401, locked), ok(STORED)]).await;
    let client = client(&server.url, &KEY);
    assert_eq!(client.send(&hello(), seconds(8)).await.unwrap_err().attempts, 1);
    for _ in 0..20 {
        let error = client.send(&hello(), seconds(8)).await.unwrap_err();
        assert_eq!((error.class, error.attempts), (Class::Auth, 0));
    }
    assert_eq!(server.seen().len(), 1);
    advance(Duration::from_secs(310)).await;
    client.send(&hello(), seconds(8)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_vendors_clock_is_in_the_text() {
    let expired = r#"{"error_msg":"Incorrect IAM authentication information: signature expired, signature time: 20231114T221320Z, server time: 20231114T231320Z","error_code":"APIGW.0301"}"#;
    let server = Server::start([status(401, expired), ok(STORED), ok(STORED)]).await;
    let client = client(&server.url, &KEY);
    assert_eq!(client.send(&hello(), seconds(8)).await.unwrap().attempts, 2);
    assert_eq!(client.send(&hello(), seconds(8)).await.unwrap().attempts, 1);
    let dates: Vec<_> = server.seen().iter().map(|s| s.header("x-sdk-date").unwrap().to_owned()).collect();
    assert_eq!(dates, ["20231114T221320Z", "20231114T231320Z", "20231114T231320Z"]);
}

mod token_route {
    use super::*;

    fn granted(token: &str, expires: &str) -> Step {
        let body = json!({"token": {"expires_at": expires, "project": {"id": PROJECT, "name": "eu-de"}}});
        Step::Answer(201, vec![("X-Subject-Token", token.to_owned())], body.to_string())
    }

    const TOMORROW: &str = "2023-11-15T22:13:20.000000Z";

    fn login(iam: &Server) -> Vec<(&'static str, String)> {
        vec![
            ("OS_AUTH_URL", format!("{}/v3", iam.url)),
            ("OS_USERNAME", "user".to_owned()),
            ("OS_PASSWORD", "pass word ü".to_owned()),
            ("OS_USER_DOMAIN_NAME", "OTC00000000001000000001".to_owned()),
            ("OS_PROJECT_NAME", "eu-de".to_owned()),
        ]
    }

    fn client_of(dms: &Server, vars: &[(&'static str, String)], wall: &Wall) -> Client {
        let vars: Vec<(&str, &str)> = vars.iter().map(|(n, v)| (*n, v.as_str())).collect();
        client_at(&dms.url, &vars, wall)
    }

    fn tokens(dms: &Server) -> Vec<String> {
        dms.seen().iter().map(|s| s.header("x-auth-token").unwrap().to_owned()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn one_token_serves_every_send() {
        let (iam, dms) =
            (Server::start([granted("T1", TOMORROW)]).await, Server::start(vec![ok(STORED); 3]).await);
        let client = client_of(&dms, &login(&iam), &Wall::new());
        let message = hello();
        let (a, b) = tokio::join!(client.send(&message, seconds(9)), client.send(&message, seconds(9)));
        a.and(b).unwrap();
        client.send(&message, seconds(9)).await.unwrap();
        assert_eq!(tokens(&dms), ["T1"; 3]);
        assert_eq!(dms.seen()[0].line, format!("POST {PATH} HTTP/1.1"), "the project is the token's");
        assert_eq!(dms.seen()[0].header("authorization"), None);

        let asked = iam.seen();
        assert_eq!(asked.len(), 1);
        assert_eq!(asked[0].line, "POST /v3/auth/tokens?nocatalog=1 HTTP/1.1");
        let user =
            json!({"name": "user", "password": "pass word ü", "domain": {"name": "OTC00000000001000000001"}});
        let identity = json!({"methods": ["password"], "password": {"user": user}});
        let scope = json!({"project": {"name": "eu-de"}});
        assert_eq!(asked[0].json(), json!({"auth": {"identity": identity, "scope": scope}}));
    }

    #[tokio::test(start_paused = true)]
    async fn a_projects_id_is_its_scope_and_v3_may_be_left_out() {
        let (iam, dms) = (Server::start([granted("T1", TOMORROW)]).await, Server::start([ok(STORED)]).await);
        let mut vars = login(&iam);
        vars[0].1 = iam.url.clone();
        vars.push(("OS_PROJECT_ID", PROJECT.to_owned()));
        client_of(&dms, &vars, &Wall::new()).send(&hello(), seconds(9)).await.unwrap();
        assert_eq!(iam.seen()[0].line, "POST /v3/auth/tokens?nocatalog=1 HTTP/1.1");
        assert_eq!(iam.seen()[0].json()["auth"]["scope"], json!({"project": {"id": PROJECT}}));
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_renewed_before_its_end_and_when_dms_says_so() {
        let updated = r#"{"error_code":"APIG.0307","error_msg":"The token must be updated."}"#;
        let expired = r#"{"error_code":"DMS.10240102","error_msg":"Expired token."}"#;
        let script = [
            granted("T1", TOMORROW),
            granted("T2", "2023-11-16T22:13:20Z"),
            granted("T3", "2023-11-16T22:13:20Z"),
            granted("T4", "2023-11-16T22:13:20Z"),
        ];
        let iam = Server::start(script).await;
        let dms = Server::start([
            ok(STORED),
            ok(STORED),
            status(401, updated),
            ok(STORED),
            status(401, expired),
            status(401, expired),
        ])
        .await;
        let wall = Wall::new();
        let client = client_of(&dms, &login(&iam), &wall);
        client.send(&hello(), seconds(9)).await.unwrap();
        wall.advance(24 * 3600 - 200);
        client.send(&hello(), seconds(9)).await.unwrap();
        assert_eq!(client.send(&hello(), seconds(9)).await.unwrap().attempts, 2);
        let error = client.send(&hello(), seconds(9)).await.unwrap_err();
        assert_eq!((error.class, error.attempts), (Class::AuthRefresh, 2));
        assert_eq!(tokens(&dms), ["T1", "T2", "T2", "T3", "T3", "T4"]);
        assert_eq!(client.send(&hello(), seconds(9)).await.unwrap_err().attempts, 0, "left alone");
    }

    #[tokio::test(start_paused = true)]
    async fn what_iam_refuses_is_of_its_class_and_stores_nothing() {
        let refusal =
            r#"{"error":{"code":401,"message":"The password pass word ü is wrong.","title":"Unauthorized"}}"#;
        for (answer, class, attempts) in [
            (status(401, refusal), Class::Auth, 1..=1),
            (status(403, "{}"), Class::Permission, 1..=1),
            (status(404, "<html>"), Class::Config, 1..=1),
            (status(429, "{}"), Class::Throttle, 2..=5),
            (status(500, "{}"), Class::Transient, 3..=9),
            (status(302, "<html>"), Class::Transient, 3..=9),
            (status(300, r#"{"versions":{}}"#), Class::Config, 1..=1),
            (status(301, "<html>"), Class::Config, 1..=1),
            (status(410, "<html>"), Class::Config, 1..=1),
            (status(423, "<html>"), Class::Transient, 3..=9),
            (status(201, "{}"), Class::Config, 1..=1),
            (Step::Drop, Class::Transient, 3..=9),
            (Step::Hang, Class::Transient, 2..=9),
        ] {
            let (iam, dms) = (Server::start(vec![answer; 50]).await, Server::start([]).await);
            let client = client_of(&dms, &login(&iam), &Wall::new());
            let error = client.send(&hello(), seconds(6)).await.unwrap_err();
            assert_eq!((error.class, error.maybe_stored), (class, false), "{error}");
            assert!(attempts.contains(&error.attempts), "{error:?}");
            assert!(!error.detail.contains("pass word ü"), "{error}");
            let address = format!("{}/v3/auth/tokens", iam.url);
            assert!(class != Class::Config || error.detail.contains(&address), "{error}");
            assert_eq!(dms.connections(), 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_address_of_iam_is_taken_as_it_is_met() {
        for path in ["", "/", "/v3", "/v3/", "/v3/auth/tokens", "/v3/auth/tokens/", "/auth/tokens"] {
            let iam = Server::start([granted("T1", TOMORROW)]).await;
            let dms = Server::start([ok(STORED)]).await;
            let mut vars = login(&iam);
            vars[0].1 = format!("{}{path}", iam.url);
            client_of(&dms, &vars, &Wall::new()).send(&hello(), seconds(9)).await.unwrap();
            assert_eq!(iam.seen()[0].line, "POST /v3/auth/tokens?nocatalog=1 HTTP/1.1", "{path}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_wrong_password_is_tried_once_for_all_who_wait() {
        let (iam, dms) = (Server::start(vec![status(401, "{}"); 9]).await, Server::start([]).await);
        let (client, message) = (client_of(&dms, &login(&iam), &Wall::new()), hello());
        let send = || client.send(&message, seconds(6));
        let (a, b, c) = tokio::join!(send(), send(), send());
        for sent in [a, b, c] {
            let error = sent.unwrap_err();
            assert_eq!((error.class, error.attempts), (Class::Auth, 1));
        }
        assert_eq!(iam.seen().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_dms_cannot_read_is_replaced_once() {
        let unreadable = r#"{"error_code":"APIG.0301","error_msg":"Incorrect IAM authentication information: decrypt token fail"}"#;
        let iam = Server::start(["T1", "T2", "T3"].map(|token| granted(token, TOMORROW))).await;
        let dms = Server::start([
            status(401, unreadable),
            ok(STORED),
            status(401, unreadable),
            status(401, unreadable),
        ])
        .await;
        let client = client_of(&dms, &login(&iam), &Wall::new());
        assert_eq!(client.send(&hello(), seconds(6)).await.unwrap().attempts, 2);
        let error = client.send(&hello(), seconds(6)).await.unwrap_err();
        assert_eq!((error.class, error.attempts), (Class::AuthRefresh, 2));
        assert_eq!(tokens(&dms), ["T1", "T2", "T2", "T3"]);
        assert_eq!(client.send(&hello(), seconds(6)).await.unwrap_err().attempts, 0, "left alone");
    }

    #[tokio::test(start_paused = true)]
    async fn a_wrong_password_is_tried_once() {
        let (iam, dms) = (Server::start(vec![status(401, "{}"); 9]).await, Server::start([]).await);
        let client = client_of(&dms, &login(&iam), &Wall::new());
        for attempts in [1, 0, 0] {
            let error = client.send(&hello(), seconds(6)).await.unwrap_err();
            assert_eq!((error.class, error.attempts), (Class::Auth, attempts));
        }
        assert_eq!(iam.seen().len(), 1);
    }
}
