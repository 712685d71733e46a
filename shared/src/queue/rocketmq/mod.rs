//! Client of DMS for RocketMQ, on Open Telekom Cloud and Huawei Cloud: the "Sending Messages" API, version 2.
//!
//! <https://support.huaweicloud.com/intl/en-us/api-hrm/SendMessage.html>. The API creates a new message id
//! with every call. So the delivery id is sent in `KEYS`, which consumers can look up, and inside the text; a
//! message with an unknown outcome is sent again.

mod client;
pub mod error;
mod iam;
mod path;
mod properties;
pub mod sign;
pub mod wire;

#[cfg(feature = "catalog")]
use super::Class;
use super::credentials::{HUAWEI, HUAWEI_TOKEN};
use super::remoting;
use super::spec::KeyKind::{Login, Plain, Secret};
use super::spec::{Route, Spec, TargetKey, key};
pub use client::Client;
pub use wire::{MAX_TEXT, check_topic};

/// Variables of the client's settings, and of the login that replaces an access key.
pub(crate) const ENDPOINT: &str = "ROCKETMQ_ENDPOINT";
pub(crate) const INSTANCE: &str = "ROCKETMQ_INSTANCE_ID";
const MAX_MESSAGE: &str = "ROCKETMQ_MAX_MESSAGE";
pub(crate) const PROJECT: &str = "HUAWEICLOUD_SDK_PROJECT_ID";
pub(crate) const OTHER_PROJECT: &str = "OS_PROJECT_ID";
pub(crate) const AUTH_URL: &str = "OS_AUTH_URL";

/// Variables without which no login is whole, and those of them that may be references.
#[cfg(feature = "catalog")]
pub(crate) const LOGIN: [&str; 4] = [AUTH_URL, iam::USERNAME, iam::PASSWORD, iam::USER_DOMAIN];
#[cfg(feature = "catalog")]
pub(crate) const LOGIN_SECRETS: [&str; 2] = iam::Login::SECRETS;

/// DMS for RocketMQ.
pub(crate) static SPEC: Spec = Spec {
    name: "rocketmq",
    label: "RocketMQ",
    routes: &[
        Route {
            name: "http",
            operation: "POST /v2/rocketmq/{project_id}/instances/{instance_id}/messages, or /v2/{project_id}/rocketmq/…",
        },
        Route { name: "native", operation: "SEND_MESSAGE_V2" },
    ],
    check_topic,
    takes_bare_topic: |topic| !topic.contains('/'),
    max_text: MAX_TEXT,
    carries_attributes: true,
    sends_a_second: 200,
    target_keys: &KEYS,
    families: &HUAWEI,
    native_keys: &NATIVE_KEYS,
    set_up_by: &[HUAWEI[0].id, HUAWEI[1].id, AUTH_URL, ENDPOINT, INSTANCE, remoting::NAME_SERVER],
    #[cfg(feature = "catalog")]
    example_topic: |word| format!("webhooks_{word}"),
    #[cfg(feature = "catalog")]
    proves: "signature, permission, project and instance",
    #[cfg(feature = "catalog")]
    advice,
    fits: wire::fits,
    read: wire::read,
};

/// Keys of the native route alone; the first chooses it.
const NATIVE_KEYS: [&str; 6] =
    ["name_server", "tls", "group", "durable_copies", "acl_access_key", "acl_secret_key"];

static KEYS: [TargetKey; 19] = [
    key("endpoint", ENDPOINT, Plain),
    key("instance", INSTANCE, Plain),
    key("max_message", MAX_MESSAGE, Plain),
    key("path", path::PATH, Plain),
    key("project", PROJECT, Plain),
    key("access_key", HUAWEI[0].id, Secret),
    key("secret_key", HUAWEI[0].key, Secret),
    key("security_token", HUAWEI_TOKEN, Secret),
    key("auth_url", AUTH_URL, Login),
    key("domain", iam::USER_DOMAIN, Login),
    key("username", iam::USERNAME, Secret),
    key("password", iam::PASSWORD, Secret),
    key("project_name", iam::PROJECT_NAME, Plain),
    key("name_server", remoting::NAME_SERVER, Plain),
    key("tls", remoting::TLS, Plain),
    key("group", remoting::GROUP, Plain),
    key("durable_copies", remoting::COPIES, Plain),
    key("acl_access_key", remoting::ACCESS_KEY, Secret),
    key("acl_secret_key", remoting::SECRET_KEY, Secret),
];

#[cfg(feature = "catalog")]
const fn advice(class: Class) -> Option<&'static str> {
    match class {
        Class::Permission => {
            Some("give the owner of the key a role that may send to DMS for RocketMQ in this project (IAM)")
        }
        Class::Auth => Some(
            "correct the id and the key: they belong together and to this cloud. DMS locks a key for five minutes \
             after a few failures",
        ),
        Class::Config => Some(
            "correct endpoint, project or instance (an instance is found in its own project and region only), or look \
             up the code",
        ),
        _ => None,
    }
}
