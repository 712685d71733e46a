//! The `SendMessages` API of TDMQ for Pulsar (<https://www.tencentcloud.com/document/api/1110/44129>).

use std::collections::BTreeMap;

use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::{
    config::{ABSENT, Config, TencentCredential, sample},
    reply::{Call, Reply},
    sign::{Authorization, tc3},
    spec::{KeyPair, Spec, Vendor, refused, set, unsettled},
    store::{State, StoredMessage, header, kept_headers, request_id},
};

/// TDMQ for Pulsar.
pub(crate) static SPEC: Spec = Spec {
    name: "tdmq",
    serves: |method, path| path == "/" && method != Method::GET,
    handle,
    visible: Some(visible),
    error: |_, code, message| error(code, message),
    throttled,
    no_id: Some(|_| no_id()),
    error_msg: Some(error_msg),
    legacy: Some(legacy),
    errors: &[
        ("transient", refused("InternalError", 200, "")),
        ("ambiguous", unsettled("FailedOperation.SendMessageTimeoutError", 200)),
        ("permanent", refused("InternalError.IllegalMessage", 200, "")),
        ("config", refused("InvalidParameterValue.TopicNotFound", 200, "")),
        ("auth", refused("AuthFailure.SignatureFailure", 200, "")),
        ("auth-refresh", refused("AuthFailure.TokenFailure", 200, "")),
        ("permission", refused("UnauthorizedOperation", 200, "")),
        ("quota", refused("ResourceUnavailable.FundRequired", 200, "")),
        ("too-large", refused("FailedOperation.MaxMessageSizeError", 200, "")),
    ],
    environment: |url| {
        vec![
            (SECRET_ID, sample::SECRET_ID.to_owned()),
            (SECRET_KEY, sample::SECRET_KEY.to_owned()),
            ("TENCENTCLOUD_REGION", "ap-guangzhou".to_owned()),
            ("TDMQ_ENDPOINT", url.to_owned()),
        ]
    },
    key: Some([SECRET_ID, SECRET_KEY]),
    login: None,
    restrict: |config, keys, topics| {
        let key = |(id, key): &KeyPair| TencentCredential {
            secret_id: id.clone(),
            secret_key: key.clone(),
            token: None,
        };
        config.tdmq = keys.iter().map(key).collect();
        config.tdmq_topics = topics.clone();
    },
    configure: |config, lookup| {
        for credential in &mut config.tdmq {
            set(&mut credential.secret_id, lookup, SECRET_ID);
            set(&mut credential.secret_key, lookup, SECRET_KEY);
            credential.token = lookup("TENCENTCLOUD_TOKEN");
        }
    },
};

const SECRET_ID: &str = "TENCENTCLOUD_SECRET_ID";
const SECRET_KEY: &str = "TENCENTCLOUD_SECRET_KEY";

const ACTION: &str = "SendMessages";
const VERSION: &str = "2020-02-17";
/// Upper bound on a payload, in bytes: "1 MB", by the text of `FailedOperation.MaxMessageSizeError`.
const MAX_PAYLOAD: usize = 1 << 20;
/// Upper bound on a Signature v3 request, in bytes: <https://cloud.tencent.com/document/product/1278/46710>.
const MAX_REQUEST: usize = 10 << 20;
/// Upper bound on the difference between a signature's time and the emulator's, in seconds.
const MAX_SKEW: u64 = 5 * 60;

/// An error code and its message, answered under HTTP 200.
struct Refusal(&'static str, String);

pub(crate) fn handle(config: &Config, state: &mut State, call: &Call<'_>) -> Reply {
    send(config, state, call).unwrap_or_else(|Refusal(code, message)| error(code, &message))
}

fn send(config: &Config, state: &mut State, call: &Call<'_>) -> Result<Reply, Refusal> {
    if call.head.method != Method::POST {
        return Err(Refusal("UnsupportedProtocol", "only POST is served here".into()));
    }
    if call.body_length > MAX_REQUEST {
        return Err(Refusal("RequestSizeLimitExceeded", "the request exceeds 10 MB".into()));
    }
    let headers = &call.head.headers;
    if required_header(headers, "X-TC-Action")? != ACTION {
        return Err(Refusal("InvalidAction", format!("the only action here is {ACTION}")));
    }
    if required_header(headers, "X-TC-Version")? != VERSION {
        return Err(Refusal("NoSuchVersion", format!("the only version here is {VERSION}")));
    }
    authenticate(config, call)?;
    let region = required_header(headers, "X-TC-Region")?;
    if !config.tdmq_regions.iter().any(|known| known == region) {
        return Err(Refusal("UnsupportedRegion", format!("no region `{region}`")));
    }

    let (topic, payload) = parameters(call.json)?;
    if payload.len() > MAX_PAYLOAD {
        let text = "the message size exceeds the upper limit of 1 MB";
        return Err(Refusal("FailedOperation.MaxMessageSizeError", text.into()));
    }
    if is_elsewhere(config, topic, region) {
        let text = format!("no tenant of `{topic}` in {region}");
        return Err(Refusal("InvalidParameter.TenantNotFound", text));
    }
    if !config.tdmq_topics.has(topic, full_name) {
        return Err(Refusal("InvalidParameterValue.TopicNotFound", format!("no topic `{topic}`")));
    }

    // ledger:entry:partition:batch index
    let message_id = format!("71:{}:0:-1", state.next_number());
    state.messages.push(StoredMessage {
        vendor: Vendor::Tdmq,
        topic: topic.to_owned(),
        message_id: message_id.clone(),
        text: payload.to_owned(),
        properties: BTreeMap::new(),
        received_at_ms: call.received_at_ms,
        headers: kept_headers(headers),
    });
    let body = json!({"MessageId": message_id, "ErrorMsg": "", "RequestId": request_id()});
    Ok(response(&body, "stored").effective())
}

fn authenticate(config: &Config, call: &Call<'_>) -> Result<(), Refusal> {
    let headers = &call.head.headers;
    let failure = |text: &str| Refusal("AuthFailure.SignatureFailure", text.to_owned());

    let authorization = header(headers, "authorization")
        .and_then(|value| Authorization::parse(value, tc3::ALGORITHM, "Credential"))
        .filter(|authorization| authorization.signs("content-type") && authorization.signs("host"));
    let Some(authorization) = authorization else {
        let text = "`Authorization` is missing, malformed, or does not sign content-type and host";
        return Err(Refusal("AuthFailure.InvalidAuthorization", text.into()));
    };
    let (secret_id, scope) =
        authorization.key.split_once('/').ok_or_else(|| failure("the credential has no scope"))?;
    let credential = config
        .tdmq
        .iter()
        .find(|known| known.secret_id == secret_id)
        .ok_or_else(|| Refusal("AuthFailure.SecretIdNotFound", "the SecretId is not found".into()))?;

    let timestamp: i64 = required_header(headers, "X-TC-Timestamp")?
        .parse()
        .map_err(|_| Refusal("InvalidParameter", "X-TC-Timestamp is not a number".into()))?;
    if timestamp.abs_diff(call.now.unix_timestamp()) > MAX_SKEW {
        let text = "the signature's time differs from the server's by more than five minutes";
        return Err(Refusal("AuthFailure.SignatureExpire", text.into()));
    }
    let date = OffsetDateTime::from_unix_timestamp(timestamp).ok().map(OffsetDateTime::date);
    if Some(scope) != date.map(|date| format!("{date}/tdmq/tc3_request")).as_deref() {
        return Err(failure("the credential's scope is not `DATE/tdmq/tc3_request` of X-TC-Timestamp"));
    }
    let canonical = tc3::canonical_request(headers, authorization.signed_headers, call.body)
        .ok_or_else(|| failure("SignedHeaders is not a sorted list of lower-case headers of this request"))?;
    let expected =
        tc3::signature(&credential.secret_key, scope, &tc3::string_to_sign(timestamp, scope, &canonical));
    if authorization.signature != expected {
        return Err(failure("the provided credentials could not be validated: check the signature"));
    }
    if header(headers, "x-tc-token") != credential.token.as_deref() {
        return Err(Refusal("AuthFailure.TokenFailure", "the token is missing, wrong or not due".into()));
    }
    if config.denied.contains(secret_id) {
        let text = "the operation `tdmq:SendMessages` is not authorized by CAM";
        return Err(Refusal("AuthFailure.UnauthorizedOperation", text.into()));
    }
    Ok(())
}

fn required_header<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, Refusal> {
    header(headers, name).ok_or_else(|| Refusal("MissingParameter", format!("the header {name} is missing")))
}

/// Returns the topic and the payload. Every other parameter is only checked, because it has no visible
/// effect.
fn parameters(body: &Value) -> Result<(&str, &str), Refusal> {
    let object = body
        .as_object()
        .ok_or_else(|| Refusal("InvalidParameter", "the request body is not a JSON object".into()))?;
    for (name, value) in object {
        let right = match name.as_str() {
            "Topic" | "Payload" => value.is_string(),
            "StringToken" | "ProducerName" => value.is_string() || value.is_null(),
            "SendTimeout" | "MaxPendingMessages" => value.is_u64() || value.is_null(),
            _ => return Err(Refusal("UnknownParameter", format!("no parameter `{name}`"))),
        };
        if !right {
            return Err(Refusal("InvalidParameter", format!("`{name}` is of the wrong type")));
        }
    }
    let required = |name: &str| {
        object
            .get(name)
            .and_then(Value::as_str)
            .ok_or_else(|| Refusal("MissingParameter", format!("the parameter `{name}` is missing")))
    };
    Ok((required("Topic")?, required("Payload")?))
}

/// Completes a topic's name as Pulsar does; returns `None` if the name is malformed or can never exist.
///
/// A segment is at most 128 letters, digits and `-_=:.`, and no segment names a partition
/// (<https://www.tencentcloud.com/document/product/1110/42930>).
fn full_name(topic: &str) -> Option<String> {
    let (domain, path) = match topic.split_once("://") {
        Some((domain @ ("persistent" | "non-persistent"), path)) => (domain, path),
        Some(_) => return None,
        None => ("persistent", topic),
    };
    let well_formed = |segment: &str| {
        (1..=128).contains(&segment.len())
            && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_=:.".contains(&b))
            && !segment.contains("-partition-")
    };
    let segments: Vec<_> = path.split('/').collect();
    match segments.as_slice() {
        [name] if path == topic => well_formed(name).then(|| format!("persistent://public/default/{name}")),
        [_, namespace, _] if segments.iter().all(|s| well_formed(s)) && !namespace.starts_with(ABSENT) => {
            Some(format!("{domain}://{path}"))
        }
        _ => None,
    }
}

/// Returns true if the topic's cluster, which is its tenant, is in another region.
fn is_elsewhere(config: &Config, topic: &str, region: &str) -> bool {
    let path = topic.split_once("://").map_or(topic, |(_, path)| path);
    let tenant = path.split('/').next().unwrap_or_default();
    config.tdmq_clusters.get(tenant).is_some_and(|home| home != region)
}

fn response(body: &Value, outcome: &str) -> Reply {
    Reply::json(StatusCode::OK, &json!({"Response": body}), outcome)
}

/// Builds an API error, which is answered under HTTP 200.
pub(crate) fn error(code: &str, message: &str) -> Reply {
    let error = json!({"Code": code, "Message": message});
    response(&json!({"Error": error, "RequestId": request_id()}), code)
}

pub(crate) fn throttled() -> Reply {
    error("RequestLimitExceeded", "the request rate exceeds the limit of 1000 a second")
}

/// Builds the error form of the data APIs: a text in `ErrorMsg`, without `Error` and message id.
pub(crate) fn error_msg(text: &str) -> Reply {
    response(&json!({"MessageId": "", "ErrorMsg": text, "RequestId": request_id()}), "ErrorMsg")
}

pub(crate) fn no_id() -> Reply {
    response(&json!({"MessageId": null, "ErrorMsg": "", "RequestId": request_id()}), "no id")
}

/// Builds the error envelope of the older API, which the vendor's Go SDK still reads.
pub(crate) fn legacy(code: &str) -> Reply {
    let body = json!({"code": 4100, "message": "old error envelope", "codeDesc": code});
    Reply::json(StatusCode::OK, &body, code)
}

/// Returns the topic of a request, and the delivery id if the message is a JSON object with an `id`.
pub(crate) fn visible(body: &Value) -> (Option<&str>, Option<String>) {
    (body["Topic"].as_str(), body["Payload"].as_str().and_then(id_of))
}

/// Returns the `id` of a message that is a JSON object.
pub(crate) fn id_of(text: &str) -> Option<String> {
    let message: Value = serde_json::from_str(text).ok()?;
    message["id"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_names_are_completed_as_pulsar_does() {
        assert_eq!(full_name("t").unwrap(), "persistent://public/default/t");
        assert_eq!(full_name("pulsar-1/ns/t").unwrap(), "persistent://pulsar-1/ns/t");
        assert_eq!(full_name("persistent://a/b/c"), full_name("a/b/c"));
        assert_eq!(full_name("non-persistent://a/b/c").unwrap(), "non-persistent://a/b/c");
        let long = "x".repeat(129);
        for wrong in [
            "",
            "a/b",
            "a/b/c/d",
            "a//c",
            "a/b/c d",
            "kafka://a/b/c",
            "persistent://t",
            "t-partition-0",
            "a/hookmq-check-1/c",
            &long,
        ] {
            assert!(full_name(wrong).is_none(), "{wrong}");
        }
    }
}
