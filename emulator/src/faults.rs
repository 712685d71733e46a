//! The fault plan: faults on demand, and their selection for each request.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};
use serde::{Deserialize, Deserializer, Serialize};

use crate::{spec::Vendor, wire};

/// A fault, and the requests that it applies to. See the [crate's documentation](crate#faults).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Kind of the fault.
    pub fault: FaultKind,
    /// Restriction to one service; default any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<Vendor>,
    /// Restriction to requests with exactly this topic; default any request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Number of requests that the fault still hits; 0 (or `null`): until cleared. Default 1.
    #[serde(default = "once", deserialize_with = "null_is_zero")]
    pub times: u64,
}

/// Kind of a fault. In JSON it is a name (`"reset"`), or a name and its value (`{"latency_ms": 300}`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FaultKind {
    /// Modifier: the answer, or the end of the connection, is delayed by this number of milliseconds. The
    /// request has taken effect.
    LatencyMs(u64),
    /// Modifier: the answer is held until this number of requests wait for theirs at the same time.
    Gather(usize),
    /// Modifier: the emulator's clock is off by this many seconds.
    ClockOffsetS(i64),
    /// Modifier: every token issued so far expires before the request is checked.
    ExpireTokens,
    /// Modifier: every token issued so far is refused with 401 `APIG.0307` ("the token must be updated").
    OutdateTokens,
    /// Placeholder: an entry of the plan that lets one request succeed.
    Pass,
    /// The rate limit refuses the request: `RequestLimitExceeded`, or 429 `APIG.0308` with `Retry-After: 1`.
    Throttle,
    /// Any vendor error.
    Error {
        /// The vendor's code, e.g. `InternalError` or `DMS.00500000`.
        code: String,
        /// Status of the answer; default 200 for TDMQ, 500 for DMS and IAM.
        #[serde(default, with = "wire::optional_status", skip_serializing_if = "Option::is_none")]
        status: Option<StatusCode>,
        /// The vendor's error text; default the code.
        #[serde(default)]
        message: Option<String>,
        /// Further response headers, e.g. `Retry-After`.
        #[serde(default, with = "wire::headers", skip_serializing_if = "HeaderMap::is_empty")]
        headers: HeaderMap,
        /// True if the message is stored all the same.
        #[serde(default)]
        stored: bool,
    },
    /// TDMQ only: an answer with this text in `ErrorMsg`, but without `Error`.
    ErrorMsg(String),
    /// TDMQ and DMS: an answer with neither a message id nor an error; no message is stored.
    NoId,
    /// TDMQ only: the old error envelope with this `codeDesc`.
    Legacy(String),
    /// Any answer, e.g. a proxy's HTML page.
    Raw {
        /// Status of the answer.
        #[serde(with = "wire::status")]
        status: StatusCode,
        /// Content type of the answer; default `text/html`.
        #[serde(default = "html", with = "wire::value")]
        content_type: HeaderValue,
        /// Body of the answer.
        #[serde(default)]
        body: String,
    },
    /// A redirect (302) to this address.
    Redirect(#[serde(with = "wire::value")] HeaderValue),
    /// The connection is reset (TCP RST), and no message is stored.
    Reset,
    /// The connection is closed (FIN) without an answer, and no message is stored.
    Close,
    /// The request is never answered, and no message is stored.
    Hang,
    /// The message is stored, then the connection is reset.
    StoredReset,
    /// The message is stored, but the request is never answered.
    StoredNoAnswer,
    /// The message is stored; the answer breaks off in the middle of its body.
    Truncate,
    /// The message is stored; the answer's headers come at once, its body in pieces over this number of
    /// milliseconds.
    SlowBodyMs(u64),
}

impl Fault {
    /// Creates a fault that hits the next request to any service, once.
    pub fn new(fault: FaultKind) -> Self {
        Self { fault, vendor: None, topic: None, times: 1 }
    }

    /// Restricts the fault to one service.
    #[must_use]
    pub fn vendor(self, vendor: Vendor) -> Self {
        Self { vendor: Some(vendor), ..self }
    }

    /// Restricts the fault to one topic, spelled exactly as in the request.
    #[must_use]
    pub fn topic(self, topic: impl Into<String>) -> Self {
        Self { topic: Some(topic.into()), ..self }
    }

    /// Sets the number of requests that the fault hits; 0: until cleared.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times, ..self }
    }

    fn matches(&self, vendor: Vendor, topic: Option<&str>) -> bool {
        let possible = match self.fault {
            FaultKind::ErrorMsg(_) => vendor.spec().error_msg.is_some(),
            FaultKind::Legacy(_) => vendor.spec().legacy.is_some(),
            FaultKind::NoId => vendor.spec().no_id.is_some(),
            _ => true,
        };
        possible
            && self.vendor.is_none_or(|only| only == vendor)
            && self.topic.as_deref().is_none_or(|only| Some(only) == topic)
    }
}

impl FaultKind {
    /// Returns the name of the kind in JSON.
    fn name(&self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::String(name)) => name,
            Ok(serde_json::Value::Object(one)) => one.keys().next().cloned().unwrap_or_default(),
            _ => String::new(),
        }
    }
}

/// The faults that apply to one request: every matching modifier, and the first other match.
#[derive(Default)]
pub(crate) struct Met {
    pub(crate) latency: Duration,
    pub(crate) gather: usize,
    pub(crate) clock_offset_s: i64,
    pub(crate) expire_tokens: bool,
    pub(crate) outdate_tokens: bool,
    pub(crate) action: Option<FaultKind>,
    pub(crate) names: Vec<String>,
}

/// Selects the faults that apply to a request, and removes used-up faults from the plan.
pub(crate) fn meet(plan: &mut Vec<Fault>, vendor: Vendor, topic: Option<&str>) -> Met {
    let mut met = Met::default();
    plan.retain_mut(|fault| {
        if !fault.matches(vendor, topic) {
            return true;
        }
        match &fault.fault {
            FaultKind::LatencyMs(ms) => met.latency = met.latency.saturating_add(Duration::from_millis(*ms)),
            FaultKind::Gather(size) => met.gather = met.gather.max(*size),
            FaultKind::ClockOffsetS(s) => met.clock_offset_s = met.clock_offset_s.saturating_add(*s),
            FaultKind::ExpireTokens => met.expire_tokens = true,
            FaultKind::OutdateTokens => met.outdate_tokens = true,
            _ if met.action.is_some() => return true,
            action => met.action = Some(action.clone()),
        }
        met.names.push(fault.fault.name());
        let spent = fault.times == 1;
        fault.times = fault.times.saturating_sub(1);
        !spent
    });
    met
}

fn once() -> u64 {
    1
}

fn null_is_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(0))
}

fn html() -> HeaderValue {
    HeaderValue::from_static("text/html")
}

#[cfg(test)]
mod tests {
    use super::{
        FaultKind::{Hang, Pass, Reset},
        *,
    };

    fn plan(json: &str) -> Vec<Fault> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn modifiers_stack_and_actions_come_one_a_request_in_order() {
        let mut plan = plan(
            r#"[{"fault": {"latency_ms": 5}, "times": 0}, {"fault": {"latency_ms": 7}},
                {"fault": "reset", "times": 2}, {"fault": "pass"}, {"fault": "hang"}]"#,
        );
        let met: Vec<_> = (0..5).map(|_| meet(&mut plan, Vendor::Tdmq, None)).collect();
        let millis: Vec<_> = met.iter().map(|met| met.latency.as_millis()).collect();
        assert_eq!(millis, [12, 5, 5, 5, 5]);
        let actions: Vec<_> = met.into_iter().map(|met| met.action).collect();
        assert_eq!(actions, [Some(Reset), Some(Reset), Some(Pass), Some(Hang), None]);
        assert_eq!(plan.len(), 1, "only what has no end is left");
    }

    #[test]
    fn a_fault_hits_only_its_vendor_and_topic_and_what_it_can_happen_to() {
        let mut plan = plan(
            r#"[{"fault": "throttle", "vendor": "tdmq", "topic": "a/b/c"}, {"fault": "no_id", "times": null}]"#,
        );
        assert_eq!(meet(&mut plan, Vendor::Iam, None).action, None);
        assert_eq!(meet(&mut plan, Vendor::Rocketmq, Some("a/b/c")).action, Some(FaultKind::NoId));
        assert_eq!(meet(&mut plan, Vendor::Tdmq, Some("a/b/d")).action, Some(FaultKind::NoId));
        let met = meet(&mut plan, Vendor::Tdmq, Some("a/b/c"));
        assert_eq!((met.action, met.names), (Some(FaultKind::Throttle), vec!["throttle".to_owned()]));
    }

    #[test]
    fn a_plan_survives_json() {
        let json = r#"[{"fault":{"error":{"code":"X","status":503,"message":null,
            "headers":{"retry-after":"2"},"stored":true}},"times":3},
            {"fault":{"raw":{"status":502,"content_type":"text/html","body":"<html>"}},"times":1},
            {"fault":{"redirect":"https://example.com/"},"vendor":"iam","times":0}]"#;
        let faults = plan(json);
        let again: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_value(&faults).unwrap(), again);
    }

    #[test]
    fn a_mistaken_plan_is_refused() {
        for wrong in [
            r#"[{"fault": "sulk"}]"#,
            r#"[{"fault": "reset", "time": 2}]"#,
            r#"[{"fault": {"raw": {"status": 99}}}]"#,
            r#"[{"fault": {"raw": {"status": 200, "typ": "x"}}}]"#,
            r#"[{"fault": {"error": {"code": "X", "headers": {"a b": "c"}}}}]"#,
            r#"[{"fault": {"redirect": "a\nb"}}]"#,
            r#"[{"fault": "reset", "vendor": "kafka"}]"#,
        ] {
            assert!(serde_json::from_str::<Vec<Fault>>(wrong).is_err(), "{wrong}");
        }
    }
}
