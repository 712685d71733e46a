//! Clouds that run functions, as data: the form of their events, their timers, and the runtime interface that
//! a function polls over HTTP. A new cloud is one `static` here and its place in [`CLOUDS`].
//!
//! | | Tencent SCF | Huawei Cloud and OTC FunctionGraph |
//! |---|---|---|
//! | recognised by | `SCF_RUNTIME_API`, `SCF_RUNTIME_API_PORT` | `RUNTIME_API_ADDR` |
//! | ready | `POST /runtime/init/ready` | – |
//! | next event | `GET /runtime/invocation/next` | `GET /v1/runtime/invocation/request` |
//! | answer | `POST /runtime/invocation/response` | `POST /v1/runtime/invocation/response/{id}` |
//! | failure | `POST /runtime/invocation/error` | `POST /v1/runtime/invocation/error/{id}` |
//! | request id | header `request_id` | header `X-Cff-Request-Id` |
//! | time | header `time_limit_in_ms` | variable `RUNTIME_TIMEOUT`, in seconds |
//! | credentials | environment | headers `X-CFF-…`, with each event |
//! | timer's text | `Message`, the trigger's additional information | `user_event` |
//!
//! Formats: [SCF's custom runtime][scf], [FunctionGraph's][fg].
//!
//! [scf]: https://www.tencentcloud.com/document/product/583/38129
//! [fg]: https://docs.otc.t-systems.com/function-graph/umn/

use super::handover::{CUSTOM_RUNTIME, Handover};
use crate::platform::{FUNCTION_GRAPH_RUNTIME, SCF_RUNTIME};

/// Cloud that runs functions.
#[derive(Debug)]
pub struct Cloud {
    /// Form of the events of its HTTP triggers.
    pub(super) events: Events,
    /// Member of a timer's event that holds the text of the trigger; `None` if the event is the text.
    pub(super) timer_text: Option<&'static str>,
    /// Timer's text that asks for no shard: this project's own from the time before shards.
    pub(super) whole_store: Option<&'static str>,
    /// Runtime interface that a function polls; `None` if a library does it.
    pub(super) runtime: Option<Runtime>,
}

/// Form of the events of a cloud's HTTP triggers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Events {
    /// API Gateway's payloads 1.0 and 2.0, function URLs and load balancers.
    Aws,
    /// API Gateway's payload 1.0 without a stage in its path.
    Plain,
}

/// Runtime interface of a cloud.
#[derive(Debug)]
pub(super) struct Runtime {
    /// Variable with the interface's host, and its port unless `port` names another variable.
    pub(super) address: &'static str,
    pub(super) port: Option<&'static str>,
    /// Path that is told once that the function is ready.
    pub(super) ready: Option<&'static str>,
    /// Path of the next event.
    pub(super) next: &'static str,
    /// Start of the paths of an answer and of a failure.
    pub(super) done: &'static str,
    /// Header field with an event's id.
    pub(super) id: &'static str,
    /// True if the paths of an answer and of a failure end with the event's id, which is then required.
    pub(super) answers_by_id: bool,
    /// Header fields with credentials that come with each event.
    pub(super) credentials: Option<&'static Handover>,
}

/// AWS Lambda, whose runtime interface `lambda_runtime` polls.
pub static AWS: Cloud = Cloud { events: Events::Aws, timer_text: None, whole_store: None, runtime: None };

/// Tencent SCF: function URL, or API Gateway with integrated response.
pub static SCF: Cloud = Cloud {
    events: Events::Plain,
    timer_text: Some("Message"),
    whole_store: None,
    runtime: Some(Runtime {
        address: SCF_RUNTIME,
        port: Some("SCF_RUNTIME_API_PORT"),
        ready: Some("/runtime/init/ready"),
        next: "/runtime/invocation/next",
        done: "/runtime/invocation",
        id: "request_id",
        answers_by_id: false,
        credentials: None,
    }),
};

/// Huawei Cloud and OTC FunctionGraph: APIG.
pub static FUNCTION_GRAPH: Cloud = Cloud {
    events: Events::Plain,
    timer_text: Some("user_event"),
    whole_store: Some("redrive"),
    runtime: Some(Runtime {
        address: FUNCTION_GRAPH_RUNTIME,
        port: None,
        ready: None,
        next: "/v1/runtime/invocation/request",
        done: "/v1/runtime/invocation",
        id: "x-cff-request-id",
        answers_by_id: true,
        credentials: Some(&CUSTOM_RUNTIME),
    }),
};

/// All clouds. If the variables of several are set, the first counts.
pub static CLOUDS: [&Cloud; 3] = [&AWS, &SCF, &FUNCTION_GRAPH];
