//! The "Sending Messages" API of DMS for RocketMQ
//! (<https://support.huaweicloud.com/intl/en-us/api-hrm/SendMessage.html>), and the API gateway in front of
//! it.

use std::fmt::Display;

use http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime, PrimitiveDateTime, macros::format_description};

use crate::{
    config::{ABSENT, Config, HuaweiCredential, PathForm, sample},
    iam, properties,
    reply::{Call, Reply},
    sign::{Authorization, sdk_hmac},
    spec::{KeyPair, Known, Spec, Vendor, refused, set, unsettled},
    store::{Failures, State, StoredMessage, header, kept_headers, random, request_id},
};

/// DMS for RocketMQ.
pub(crate) static SPEC: Spec = Spec {
    name: "rocketmq",
    serves: |_, path| path.starts_with("/v2/"),
    handle,
    visible: Some(visible),
    error,
    throttled,
    no_id: Some(no_id),
    error_msg: None,
    legacy: None,
    errors: &[
        ("transient", refused("DMS.00500000", 500, "")),
        ("ambiguous", unsettled("APIG.0203", 504)),
        ("permanent", refused("DMS.10540012", 400, "")),
        ("config", refused("DMS.00400876", 400, "")),
        ("auth", refused("APIG.0301", 401, "verify aksk signature fail")),
        ("auth-refresh", Known::Tokens),
        ("permission", refused("DMS.00403003", 403, "")),
        ("quota", refused("DMS.00500987", 500, "")),
        ("too-large", refused("DMS.10540011", 400, "")),
    ],
    environment: |url| {
        vec![
            (ACCESS_KEY, sample::ACCESS_KEY.to_owned()),
            (SECRET_KEY, sample::SECRET_ACCESS_KEY.to_owned()),
            (PROJECT_ID, sample::PROJECT_ID.to_owned()),
            ("ROCKETMQ_ENDPOINT", url.to_owned()),
            (INSTANCE_ID, sample::INSTANCE_ID.to_owned()),
        ]
    },
    key: Some([ACCESS_KEY, SECRET_KEY]),
    login: Some(|url| {
        vec![
            ("OS_AUTH_URL", url.to_owned()),
            (iam::USERNAME, sample::USERNAME.to_owned()),
            (iam::PASSWORD, sample::PASSWORD.to_owned()),
            (iam::USER_DOMAIN, sample::DOMAIN.to_owned()),
        ]
    }),
    restrict: |config, keys, topics| {
        let key = |(id, key): &KeyPair| HuaweiCredential {
            access_key: id.clone(),
            secret_key: key.clone(),
            security_token: None,
        };
        config.dms = keys.iter().map(key).collect();
        config.rocketmq_topics = topics.clone();
    },
    configure: |config, lookup| {
        for credential in &mut config.dms {
            set(&mut credential.access_key, lookup, ACCESS_KEY);
            set(&mut credential.secret_key, lookup, SECRET_KEY);
            credential.security_token = lookup("HUAWEICLOUD_SDK_SECURITY_TOKEN");
        }
        set(&mut config.project_id, lookup, PROJECT_ID);
        set(&mut config.instance_id, lookup, INSTANCE_ID);
    },
};

const ACCESS_KEY: &str = "HUAWEICLOUD_SDK_AK";
const SECRET_KEY: &str = "HUAWEICLOUD_SDK_SK";
const PROJECT_ID: &str = "HUAWEICLOUD_SDK_PROJECT_ID";
const INSTANCE_ID: &str = "ROCKETMQ_INSTANCE_ID";

/// Upper bound on a message, in bytes.
const MAX_MESSAGE: usize = 4 << 20;
/// Upper bound on a request that the gateway passes on, in bytes.
const MAX_REQUEST: usize = 12 << 20;
/// Upper bound on the URI, and on each header, in bytes.
const MAX_HEADER: usize = 32 << 10;
/// Upper bound on all headers together, in bytes.
const MAX_HEADERS: usize = 128 << 10;
/// Upper bound on the difference between a signature's time and the emulator's, in seconds.
const MAX_SKEW: u64 = 15 * 60;
/// Number of consecutive failures after which the next one locks an access key; `LOCK` is the duration.
const FAILURES_BEFORE_LOCK: u32 = 5;
const LOCK: Duration = Duration::minutes(5);

/// HTTP status, code and message of a refusal.
struct Refusal(u16, &'static str, String);

pub(crate) fn handle(config: &Config, state: &mut State, call: &Call<'_>) -> Reply {
    send(config, state, call).unwrap_or_else(|Refusal(status, code, message)| {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        error(status, code, &message)
    })
}

fn send(config: &Config, state: &mut State, call: &Call<'_>) -> Result<Reply, Refusal> {
    gateway_limits(call)?;
    let found = target(call.head.uri.path()).filter(|(form, ..)| config.rocketmq_paths.contains(form));
    let (_, project, instance) = found.ok_or_else(|| {
        Refusal(404, "APIG.0101", "The API does not exist or has not been published.".into())
    })?;
    if call.head.method != Method::POST {
        return Err(Refusal(405, "DMS.00405001", "This request method is not allowed.".into()));
    }
    authenticate(config, state, call)?;
    let sent_project = header(&call.head.headers, "x-project-id").unwrap_or(project);
    if project != config.project_id || sent_project != project {
        return Err(if is_hex(project, 32) {
            Refusal(401, "DMS.10240104", "The project ID and token do not match.".into())
        } else {
            Refusal(400, "DMS.00400002", "The project ID format is invalid.".into())
        });
    }
    if instance != config.instance_id {
        return Err(if is_uuid(instance) {
            Refusal(404, "DMS.00404022", "This instance does not exist.".into())
        } else {
            Refusal(400, "DMS.00400030", "Invalid DMS instance id. The id must be a uuid.".into())
        });
    }

    let (topic, text, sent_properties) = message(call)?;
    if text.len() > MAX_MESSAGE {
        let text = format!("The message size is {}, larger than the size limit {MAX_MESSAGE}.", text.len());
        return Err(Refusal(400, "DMS.10540011", text));
    }
    let properties = properties::as_consumed(&sent_properties).map_err(invalid)?;
    if !config.rocketmq_topics.has(topic, well_formed) {
        return Err(Refusal(400, "DMS.00400876", "The topic does not exist.".into()));
    }

    let number = state.next_number();
    // The form of the Java client's ids: address, process and time, then a counter.
    let message_id = format!("7F000001{:016X}{:08X}", random(), number & 0xffff_ffff);
    state.messages.push(StoredMessage {
        vendor: Vendor::Rocketmq,
        topic: topic.to_owned(),
        message_id: message_id.clone(),
        text: text.to_owned(),
        properties,
        received_at_ms: call.received_at_ms,
        headers: kept_headers(&call.head.headers),
    });
    let mut body = echo(call.json);
    body["msg_id"] = message_id.into();
    body["queue_id"] = 0.into();
    body["queue_offset"] = number.into();
    body["broker_name"] = "broker-0".into();
    Ok(response(StatusCode::OK, &body, &request_id(), "stored").effective())
}

fn gateway_limits(call: &Call<'_>) -> Result<(), Refusal> {
    let too_large = |status, text: &str| Err(Refusal(status, "APIG.0201", text.to_owned()));
    let sizes: Vec<_> =
        call.head.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).collect();
    if call.head.uri.to_string().len() > MAX_HEADER {
        too_large(414, "Request URI too large.")
    } else if sizes.iter().any(|size| *size > MAX_HEADER) || sizes.iter().sum::<usize>() > MAX_HEADERS {
        too_large(494, "Request headers too large.")
    } else if call.body_length > MAX_REQUEST {
        too_large(413, "Request entity too large.")
    } else {
        Ok(())
    }
}

/// Returns the form of a path, and its project and instance.
fn target(path: &str) -> Option<(PathForm, &str, &str)> {
    match path.split('/').collect::<Vec<_>>().as_slice() {
        ["", "v2", project, "rocketmq", "instances", instance, "messages"] => {
            Some((PathForm::ProjectFirst, project, instance))
        }
        ["", "v2", "rocketmq" | "reliability", project, "instances", instance, "messages"] => {
            Some((PathForm::EngineFirst, project, instance))
        }
        _ => None,
    }
}

fn authenticate(config: &Config, state: &mut State, call: &Call<'_>) -> Result<(), Refusal> {
    let headers = &call.head.headers;
    if let Some(token) = header(headers, "x-auth-token") {
        return match state.tokens.get(token) {
            None => Err(Refusal(401, "DMS.10240101", "Invalid token.".into())),
            Some(token) if token.outdated => {
                Err(Refusal(401, "APIG.0307", "The token must be updated.".into()))
            }
            Some(token) if token.expires_at <= call.now => {
                Err(Refusal(401, "DMS.10240102", "Expired token.".into()))
            }
            Some(_) => Ok(()),
        };
    }
    let Some(authorization) = header(headers, "authorization") else {
        return Err(Refusal(401, "DMS.10240103", "Missing token.".into()));
    };
    let authorization = Authorization::parse(authorization, sdk_hmac::ALGORITHM, "Access")
        .ok_or_else(|| incorrect("authorization header is not in the form of SDK-HMAC-SHA256 Access="))?;
    let access_key = authorization.key;
    let credential = config
        .dms
        .iter()
        .find(|known| known.access_key == access_key)
        .ok_or_else(|| incorrect(format!("Get secretKey failed,ak:{access_key},err:ak not exist")))?;

    let failures = state.failures.entry(access_key.to_owned()).or_default();
    if failures.locked_until.is_some_and(|until| call.now < until) {
        return Err(incorrect("AK access failed to reach the limit,forbidden"));
    }
    let checked = check_signature(credential, &authorization, call);
    if checked.is_ok() {
        state.failures.remove(access_key);
        if config.denied.contains(access_key) {
            let text = "This role does not have the permissions to perform this operation.";
            return Err(Refusal(403, "DMS.00403003", text.into()));
        }
    } else {
        failures.in_a_row += 1;
        if failures.in_a_row > FAILURES_BEFORE_LOCK {
            *failures = Failures { in_a_row: 0, locked_until: call.now.checked_add(LOCK) };
        }
    }
    checked
}

fn check_signature(
    credential: &HuaweiCredential,
    authorization: &Authorization<'_>,
    call: &Call<'_>,
) -> Result<(), Refusal> {
    let headers = &call.head.headers;
    let date = header(headers, "x-sdk-date").filter(|_| authorization.signs("x-sdk-date"));
    let (date, time) = date
        .and_then(|date| Some((date, PrimitiveDateTime::parse(date, SDK_DATE).ok()?.assume_utc())))
        .ok_or_else(|| incorrect("header X-Sdk-Date is missing, not signed or not a time"))?;
    if time.unix_timestamp().abs_diff(call.now.unix_timestamp()) > MAX_SKEW {
        let server_time = sdk_date(call.now);
        return Err(incorrect(format!("signature expired, signature time:{date},server time:{server_time}")));
    }
    let head = call.head;
    let canonical = sdk_hmac::canonical_request(
        &head.method,
        &head.uri,
        headers,
        authorization.signed_headers,
        call.body,
    )
    .ok_or_else(|| incorrect("SignedHeaders is not a sorted list of lower-case headers of this request"))?;
    let expected = sdk_hmac::signature(&credential.secret_key, &sdk_hmac::string_to_sign(date, &canonical));
    if authorization.signature != expected {
        let seen = shown(&canonical);
        return Err(incorrect(format!("verify aksk signature fail, canonicalRequest:{seen}")));
    }
    let token = header(headers, "x-security-token");
    if token != credential.security_token.as_deref()
        || token.is_some() && !authorization.signs("x-security-token")
    {
        return Err(incorrect("X-Security-Token is missing, wrong, not due or not signed"));
    }
    Ok(())
}

/// Formats the canonical request in one line, as the vendor shows it, but masks the value of a security
/// token, which is a signed header.
fn shown(canonical: &str) -> String {
    let line = |line| if str::starts_with(line, "x-security-token:") { "x-security-token:***" } else { line };
    canonical.split('\n').map(line).collect::<Vec<_>>().join("|")
}

const SDK_DATE: &[time::format_description::BorrowedFormatItem<'_>] =
    format_description!("[year][month][day]T[hour][minute][second]Z");

fn sdk_date(time: OffsetDateTime) -> String {
    time.format(SDK_DATE).unwrap_or_default()
}

type Properties<'a> = Vec<(&'a str, &'a str)>;

/// Returns the topic, the text and the properties of a request's body.
fn message<'a>(call: &Call<'a>) -> Result<(&'a str, &'a str, Properties<'a>), Refusal> {
    if call.body.is_empty() {
        return Err(Refusal(400, "DMS.00400004", "The request body is empty.".into()));
    }
    let Some(body) = call.json.as_object() else {
        let text = "The message body is not in JSON format or contains invalid characters.";
        return Err(Refusal(400, "DMS.00400005", text.into()));
    };
    let text = |name: &str| {
        let text = body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        text.ok_or_else(|| invalid(format!("{name} must be a string and not empty")))
    };
    let mut properties = Vec::new();
    match body.get("property_list") {
        None | Some(Value::Null) => {}
        Some(Value::Array(list)) => {
            for property in list {
                let part = |name: &str| match property.get(name) {
                    None | Some(Value::Null) if property.is_object() => Ok(""),
                    Some(Value::String(text)) => Ok(text.as_str()),
                    _ => Err(invalid("property_list must hold objects of name and value")),
                };
                properties.push((part("name")?, part("value")?));
            }
        }
        Some(_) => return Err(invalid("property_list must be an array")),
    }
    Ok((text("topic")?, text("body")?, properties))
}

/// Returns the part of the answer that repeats the request.
fn echo(request: &Value) -> Value {
    let properties = request.get("property_list").filter(|list| list.is_array());
    json!({
        "topic": request["topic"],
        "body": request["body"],
        "property_list": properties.unwrap_or(&Value::Array(Vec::new())),
    })
}

/// Returns the topic if it has 3 to 64 letters, digits and `%|_-`, is not reserved by the system, and can
/// exist.
fn well_formed(topic: &str) -> Option<String> {
    const SYSTEM: [&str; 10] = [
        "TBW102",
        "SCHEDULE_TOPIC_XXXX",
        "BenchmarkTest",
        "RMQ_SYS_TRANS_HALF_TOPIC",
        "RMQ_SYS_TRACE_TOPIC",
        "RMQ_SYS_TRANS_OP_HALF_TOPIC",
        "TRANS_CHECK_MAX_TIME_TOPIC",
        "SELF_TEST_TOPIC",
        "OFFSET_MOVED_EVENT",
        "CHECKPOINT_TOPIC",
    ];
    let well_formed = (3..=64).contains(&topic.len())
        && topic.bytes().all(|b| b.is_ascii_alphanumeric() || b"%|_-".contains(&b))
        && !topic.starts_with("rmq_sys_")
        && !SYSTEM.contains(&topic)
        && !topic.starts_with(ABSENT);
    well_formed.then(|| topic.to_owned())
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn is_uuid(text: &str) -> bool {
    let lengths = [8, 4, 4, 4, 12];
    text.split('-').count() == lengths.len()
        && text.split('-').zip(lengths).all(|(part, length)| is_hex(part, length))
}

fn invalid(detail: impl Display) -> Refusal {
    Refusal(400, "DMS.00400800", format!("Invalid request parameter. Check the request parameter: {detail}."))
}

fn incorrect(detail: impl Display) -> Refusal {
    Refusal(401, "APIG.0301", format!("Incorrect IAM authentication information: {detail}"))
}

/// Builds an answer with the request id in a header; an error repeats the id in its body.
fn response(status: StatusCode, body: &Value, request_id: &str, outcome: &str) -> Reply {
    let content_type = HeaderValue::from_static("application/json;charset=UTF-8");
    let mut reply = Reply::new(status, content_type, body.to_string(), outcome);
    if let Ok(request_id) = HeaderValue::from_str(request_id) {
        reply.headers.insert("x-request-id", request_id);
    }
    reply
}

/// Builds an error of the service or its gateway.
pub(crate) fn error(status: StatusCode, code: &str, message: &str) -> Reply {
    let request_id = request_id();
    let body = json!({"error_code": code, "error_msg": message, "request_id": request_id});
    response(status, &body, &request_id, code)
}

pub(crate) fn throttled() -> Reply {
    let text =
        "The throttling threshold has been reached: policy user over ratelimit,limit:200,time:1 second";
    let mut reply = error(StatusCode::TOO_MANY_REQUESTS, "APIG.0308", text);
    reply.headers.insert("retry-after", HeaderValue::from_static("1"));
    reply
}

pub(crate) fn no_id(request: &Value) -> Reply {
    response(StatusCode::OK, &echo(request), &request_id(), "no id")
}

/// Returns the topic of a request and its delivery id: the first of `KEYS`, else the `id` in the message.
pub(crate) fn visible(body: &Value) -> (Option<&str>, Option<String>) {
    let keys = body["property_list"].as_array().into_iter().flatten().find(|p| p["name"] == "KEYS");
    let key = keys.and_then(|p| p["value"].as_str()).and_then(|keys| keys.split_whitespace().next());
    let id = key.map(str::to_owned).or_else(|| body["body"].as_str().and_then(crate::tdmq::id_of));
    (body["topic"].as_str(), id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_documented_paths_lead_to_the_instance() {
        assert_eq!(target("/v2/p/rocketmq/instances/i/messages"), Some((PathForm::ProjectFirst, "p", "i")));
        for engine in ["rocketmq", "reliability"] {
            let path = format!("/v2/{engine}/p/instances/i/messages");
            assert_eq!(target(&path), Some((PathForm::EngineFirst, "p", "i")));
        }
        for wrong in
            ["/v2/p/kafka/instances/i/messages", "/v2/p/rocketmq/instances/i/messages/", "/v1", "*", ""]
        {
            assert_eq!(target(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn topic_names_follow_the_documented_rule() {
        for right in ["webhooks_github", "%RETRY%group", "a|b", &"x".repeat(64)] {
            assert!(well_formed(right).is_some(), "{right}");
        }
        let long = "x".repeat(65);
        for wrong in ["", "ab", "a.b", "a b c", "rmq_sys_x", "TBW102", "hookmq-check-1", &long] {
            assert!(well_formed(wrong).is_none(), "{wrong}");
        }
    }
}
