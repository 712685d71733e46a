//! Client of TDMQ for Pulsar: the `SendMessages` API, version 2020-02-17.
//!
//! <https://www.tencentcloud.com/document/api/1110/44129>. The API carries only a topic and a text: it has no
//! key, no properties, and no means of idempotence. So the delivery id is sent inside the text, and a message
//! with an unknown outcome is sent again.

mod client;
pub mod error;
pub mod sign;
pub mod wire;

#[cfg(feature = "catalog")]
use super::Class;
use super::credentials::{TENCENT, TENCENT_TOKEN};
use super::spec::KeyKind::{Plain, Secret};
use super::spec::{Route, Spec, TargetKey, key};
pub use client::Client;
pub use wire::{MAX_TEXT, check_topic};

/// Variables of the client's settings beside its credentials.
pub(crate) const REGION: &str = "TDMQ_REGION";
pub(crate) const OTHER_REGION: &str = "TENCENTCLOUD_REGION";
pub(crate) const ENDPOINT: &str = "TDMQ_ENDPOINT";
const SEND_TIMEOUT: &str = "TDMQ_SEND_TIMEOUT";
const MAX_MESSAGE: &str = "TDMQ_MAX_MESSAGE";

/// TDMQ for Pulsar.
pub(crate) static SPEC: Spec = Spec {
    name: "tdmq",
    label: "TDMQ",
    routes: &[Route { name: "http", operation: "SendMessages" }],
    check_topic,
    takes_bare_topic: |topic| topic.contains('/'),
    max_text: MAX_TEXT,
    carries_attributes: false,
    sends_a_second: 1000,
    target_keys: &KEYS,
    families: &TENCENT,
    native_keys: &[],
    set_up_by: &[TENCENT[0].id, TENCENT[1].id, ENDPOINT, REGION],
    #[cfg(feature = "catalog")]
    example_topic: |word| format!("pulsar-{word}/webhooks/{word}"),
    #[cfg(feature = "catalog")]
    proves: "signature, permission, region and cluster",
    #[cfg(feature = "catalog")]
    advice,
    fits: |message, most| wire::check(&message.topic, &message.text, most),
    read: wire::read,
};

static KEYS: [TargetKey; 7] = [
    key("region", REGION, Plain),
    key("endpoint", ENDPOINT, Plain),
    key("send_timeout", SEND_TIMEOUT, Plain),
    key("max_message", MAX_MESSAGE, Plain),
    key("secret_id", TENCENT[0].id, Secret),
    key("secret_key", TENCENT[0].key, Secret),
    key("token", TENCENT_TOKEN, Secret),
];

#[cfg(feature = "catalog")]
const fn advice(class: Class) -> Option<&'static str> {
    match class {
        Class::Permission => Some(
            "allow tdmq:SendMessages to the owner of the key (CAM); a policy for single resources must name the cluster",
        ),
        Class::Config => Some(
            "correct region, endpoint or cluster (a cluster is found in its own region only), or look up the code",
        ),
        _ => None,
    }
}
