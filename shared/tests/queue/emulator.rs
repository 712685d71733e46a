//! Tests of both clients against the emulator, which checks signatures with code of its own.

use hookmq_emulator::{Config, Emulator, Fault, FaultKind, sample};
use hookmq_shared::clock::Clock;
use hookmq_shared::message::Message;
use hookmq_shared::queue::{Class, Queue, rocketmq, tdmq};

use crate::kit::server::{context, message, seconds};

async fn emulator() -> Emulator {
    Emulator::start(([127, 0, 0, 1], 0).into(), Config::default()).await.unwrap()
}

fn tdmq_client(url: &str, secret_key: &str) -> tdmq::Client {
    let vars = [
        ("TDMQ_ENDPOINT", url),
        ("TDMQ_REGION", "ap-guangzhou"),
        ("TENCENTCLOUD_SECRET_ID", sample::SECRET_ID),
        ("TENCENTCLOUD_SECRET_KEY", secret_key),
    ];
    tdmq::Client::new(context(&vars, Clock::system()))
}

fn rocketmq_client(url: &str, auth: &[(&str, &str)]) -> rocketmq::Client {
    let place = [("ROCKETMQ_ENDPOINT", url), ("ROCKETMQ_INSTANCE_ID", sample::INSTANCE_ID)];
    rocketmq::Client::new(context(&[&place, auth].concat(), Clock::system()))
}

fn access_key(secret_key: &str) -> [(&'static str, &str); 3] {
    [
        ("HUAWEICLOUD_SDK_AK", sample::ACCESS_KEY),
        ("HUAWEICLOUD_SDK_SK", secret_key),
        ("HUAWEICLOUD_SDK_PROJECT_ID", sample::PROJECT_ID),
    ]
}

fn login(url: &str) -> [(&'static str, &str); 5] {
    [
        ("OS_AUTH_URL", url),
        ("OS_USERNAME", sample::USERNAME),
        ("OS_PASSWORD", sample::PASSWORD),
        ("OS_USER_DOMAIN_NAME", sample::DOMAIN),
        ("OS_PROJECT_NAME", sample::PROJECT_NAME),
    ]
}

fn to_tdmq() -> Message {
    message("pulsar-demo/webhooks/github", "Grüße \u{1} \"\\ 🚀")
}

fn to_rocketmq() -> Message {
    Message {
        key: Some("order-7".to_owned()),
        tag: Some("push".to_owned()),
        properties: vec![("CE_id".into(), "evt_1".to_owned())],
        ..message("webhooks_github", "Grüße \u{1} \"\\ 🚀")
    }
}

/// Checks each fault alone: the message arrives in the end, and twice only if it was stored before the fault.
async fn survives<Q: Queue>(emulator: &Emulator, client: &Q, message: &Message) {
    let redirect = http::HeaderValue::from_static("http://127.0.0.1:1/");
    for (fault, times, attempts, stored) in [
        (FaultKind::Pass, 1, 1, 1),
        (FaultKind::Throttle, 1, 2, 1),
        (FaultKind::NoId, 1, 2, 1),
        (FaultKind::Reset, 1, 2, 1),
        (FaultKind::Close, 1, 2, 1),
        (FaultKind::Redirect(redirect), 1, 2, 1),
        (FaultKind::StoredReset, 1, 2, 2),
        (FaultKind::Truncate, 1, 2, 2),
        (FaultKind::LatencyMs(50), 1, 1, 1),
        (FaultKind::ClockOffsetS(3600), 0, 2, 1),
    ] {
        emulator.clear();
        emulator.set_faults(vec![Fault::new(fault.clone()).times(times)]);
        let receipt = client.send(message, seconds(20)).await.unwrap();
        assert_eq!(receipt.attempts, attempts, "{fault:?}");
        let messages = emulator.messages();
        assert_eq!(messages.len(), stored, "{fault:?}");
        assert_eq!(messages.last().unwrap().message_id, receipt.message_id, "{fault:?}");
        assert!(messages.iter().all(|m| m.text == message.text && m.topic == message.topic), "{fault:?}");
    }
}

#[tokio::test]
async fn tdmq_survives_each_fault() {
    let emulator = emulator().await;
    survives(&emulator, &tdmq_client(&emulator.url(), sample::SECRET_KEY), &to_tdmq()).await;
}

#[tokio::test]
async fn rocketmq_survives_each_fault() {
    let emulator = emulator().await;
    let client = rocketmq_client(&emulator.url(), &access_key(sample::SECRET_ACCESS_KEY));
    survives(&emulator, &client, &to_rocketmq()).await;
    let properties = &emulator.messages()[0].properties;
    for (name, value) in [("KEYS", "evt_1 order-7"), ("TAGS", "push"), ("CE_id", "evt_1")] {
        assert_eq!(properties.get(name).map(String::as_str), Some(value));
    }
}

#[tokio::test]
async fn the_token_route_works_and_renews_its_token() {
    let emulator = emulator().await;
    let url = format!("{}/v3", emulator.url());
    let client = rocketmq_client(&emulator.url(), &login(&url));
    assert_eq!(client.send(&to_rocketmq(), seconds(20)).await.unwrap().attempts, 1);
    for fault in [FaultKind::OutdateTokens, FaultKind::ExpireTokens] {
        emulator.set_faults(vec![Fault::new(fault.clone())]);
        assert_eq!(client.send(&to_rocketmq(), seconds(20)).await.unwrap().attempts, 2, "{fault:?}");
    }
    assert_eq!(emulator.messages().len(), 3);
}

#[tokio::test]
async fn a_wrong_key_is_refused_once() {
    let emulator = emulator().await;
    let tdmq = tdmq_client(&emulator.url(), "wrong");
    let rocketmq = rocketmq_client(&emulator.url(), &access_key("wrong"));
    for attempts in [1, 0] {
        let error = tdmq.send(&to_tdmq(), seconds(20)).await.unwrap_err();
        assert_eq!((error.class, error.attempts), (Class::Auth, attempts), "{error}");
        let error = rocketmq.send(&to_rocketmq(), seconds(20)).await.unwrap_err();
        assert_eq!((error.class, error.attempts), (Class::Auth, attempts), "{error}");
    }
    assert_eq!((emulator.messages().len(), emulator.requests().len()), (0, 2));
}
