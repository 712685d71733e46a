//! Tests of credentials in a request's header fields: which platform they belong to, and where they are used.

use std::time::Duration;

use bytes::Bytes;
use hookmq_shared::http::Headers;
use hookmq_shared::queue::{rocketmq, tdmq};
use tokio::time::timeout;

use crate::kit::server::{Seen, Server, Step};
use crate::kit::world::{Answer, World, assert_never_written};

const HOOKS: &str = r#"
[hooks.own]
source = "bearer"
secrets = ["plain:a-token-of-the-handover-tests"]
topic = { tdmq = "pulsar-demo/webhooks/own", rocketmq = "webhooks_own" }
"#;

const DMS_ANSWER: &str = r#"{"msg_id":"644F0E2A315323EAB33D8F4733110009"}"#;
const TDMQ_ANSWER: &str = r#"{"Response":{"MessageId":"1:2:3","RequestId":"r"}}"#;

/// Header fields of the id, the key and the token on one cloud's platform.
type Names = [&'static str; 3];

const FUNCTIONGRAPH: Names =
    ["X-CFF-Security-Access-Key", "X-CFF-Security-Secret-Key", "X-CFF-Security-Token"];
const SCF: Names = ["X-Scf-Secret-Id", "X-Scf-Secret-Key", "X-Scf-Session-Token"];

/// Sends a delivery as a platform passes it on, with credentials named `name`.
async fn deliver(world: &World, names: Names, name: &str) -> Answer {
    let values = ["id", "key", "token"].map(|part| format!("{name}-{part}"));
    let mut headers: Headers = [
        ("authorization", "Bearer a-token-of-the-handover-tests"),
        ("content-type", "application/json"),
        ("x-cff-auth-token", "iam-token"),
        ("x-cff-request-id", "r-1"),
    ]
    .into_iter()
    .map(|(name, value)| (name, Bytes::from_static(value.as_bytes())))
    .collect();
    for (name, value) in names.iter().zip(values) {
        headers.push(name, value);
    }
    world.send("POST", "/own", &headers, format!(r#"{{"for":"{name}"}}"#)).await
}

/// Waits until the vendor holds this number of requests at once.
async fn held(vendor: &Server, count: usize) {
    let enough = async {
        while vendor.seen().len() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), enough).await.unwrap();
}

fn is_signed_with(request: &Seen, name: &str, token: &str) {
    let authorization = request.header("authorization").unwrap();
    assert!(authorization.contains(&format!("={name}-id")), "{authorization}");
    assert_eq!(request.header(token), Some(format!("{name}-token").as_str()));
    let text = format!("{request:?}").to_ascii_lowercase();
    assert!(!text.contains("x-cff-") && !text.contains("x-scf-") && !text.contains("iam-token"), "{text}");
}

/// A test that two requests in flight at the same time are each sent with their own credentials.
macro_rules! each_with_its_own {
    ($test:ident, $client:path, $names:expr, $vars:expr, $endpoint:literal, $answer:expr, $token:literal) => {
        #[tokio::test]
        async fn $test() {
            let late = || Step::Late($answer.to_owned(), Duration::from_millis(300));
            let vendor = Server::start([late(), late()]).await;
            let vars: Vec<(&str, &str)> =
                $vars.into_iter().chain([($endpoint, vendor.url.as_str())]).collect();
            let world = World::start_with(HOOKS, &vars, $client).await;
            let both = async { tokio::join!(deliver(&world, $names, "one"), deliver(&world, $names, "two")) };
            let ((one, two), ()) = tokio::join!(both, held(&vendor, 2));
            assert_eq!((one.status, two.status), (200, 200), "{} {}", one.text(), two.text());
            for name in ["one", "two"] {
                let own = |seen: &&Seen| seen.body.contains(&format!(r#"for\":\"{name}"#));
                is_signed_with(vendor.seen().iter().find(own).unwrap(), name, $token);
            }
            assert_never_written(&["one-key", "one-token", "two-key", "two-token", "iam-token"]);
        }
    };
}

each_with_its_own!(
    functiongraph_each_request_is_sent_with_its_own,
    rocketmq::Client::new,
    FUNCTIONGRAPH,
    [("HUAWEICLOUD_SDK_AK", ""), ("HUAWEICLOUD_SDK_SK", ""), ("FGS_TRUST_HEADERS", "1")],
    "ROCKETMQ_ENDPOINT",
    DMS_ANSWER,
    "x-security-token"
);

each_with_its_own!(
    scf_each_request_is_sent_with_its_own,
    tdmq::Client::new,
    SCF,
    [
        ("TENCENTCLOUD_SECRET_ID", ""),
        ("TENCENTCLOUD_SECRET_KEY", ""),
        ("TENCENTCLOUD_SECRETID", "of-the-start"),
        ("TENCENTCLOUD_SECRETKEY", "of-the-start"),
        ("SCF_TRUST_HEADERS", "1"),
    ],
    "TDMQ_ENDPOINT",
    TDMQ_ANSWER,
    "x-tc-token"
);

#[tokio::test]
async fn a_client_cannot_hand_over_credentials() {
    // Unless a variable says that a platform writes the fields, they are ignored and never passed on.
    let world = World::start(HOOKS, rocketmq::Client::new).await;
    for names in [FUNCTIONGRAPH, SCF, ["X-CFF-Access-Key", "X-CFF-Secret-Key", "X-CFF-Security-Token"]] {
        assert_eq!(deliver(&world, names, "spoofed").await.status, 200);
    }
    let messages = world.messages();
    assert_eq!(messages.len(), 3);
    for message in &messages {
        let text = format!("{} {:?} {:?}", message.text, message.properties, message.headers);
        assert!(!text.to_ascii_lowercase().contains("x-cff-") && !text.contains("spoofed-"), "{text}");
    }
    // A function without credentials of its own then has none at all.
    let none = [("HUAWEICLOUD_SDK_AK", ""), ("HUAWEICLOUD_SDK_SK", "")];
    let world = World::start_with(HOOKS, &none, rocketmq::Client::new).await;
    assert_eq!(deliver(&world, FUNCTIONGRAPH, "spoofed").await.status, 503);
    assert_never_written(&["spoofed-id", "spoofed-key", "spoofed-token", "iam-token"]);
}
