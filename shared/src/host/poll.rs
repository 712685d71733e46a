//! Cloud runtimes that a function polls over HTTP: an event, an answer, the next event.
//! [`cloud`](super::cloud) has their differences as data.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::cloud::{CLOUDS, Cloud, Runtime};
use super::handover::Handover;
use super::job::Job;
use super::timer;
use super::trigger::{self, EventError, Invocation, is_uuid};
use super::{HostError, Service};
use crate::context::Context;
use crate::env::Env;
use crate::net::endpoint::Endpoint;
use crate::net::transport::{Call, Transport, headers};

/// Time-out of the poll for the next event, 30 days: the platform may freeze a function for any time between
/// two events.
const FOREVER: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Time-out of the `POST` that hands an answer to the platform.
const TAKEN: Duration = Duration::from_secs(10);

/// Upper bound on the size of an event, in bytes: a body of 6 MB as base64 in JSON, with room to spare.
const MAX_EVENT: usize = 16 * 1024 * 1024;

/// Pause after a failed poll, as long as in FunctionGraph's own samples.
const PAUSE: Duration = Duration::from_millis(50);

/// Failed polls in a row after which the process ends, so that the platform starts another.
const ENOUGH: u32 = 200;

/// Time kept back from the platform's limit for the transfer of the answer.
const ANSWER_RESERVE: Duration = Duration::from_millis(300);

/// Time limit of an invocation if the platform names none.
const DEFAULT_TIME: Duration = Duration::from_secs(3);

/// Runtime interface of the cloud whose variables are set.
#[derive(Clone, Debug)]
pub(super) struct PollPlatform {
    cloud: &'static Cloud,
    runtime: &'static Runtime,
    endpoint: Endpoint,
    /// Time limit of an invocation from `RUNTIME_TIMEOUT`.
    time: Option<Duration>,
}

/// Event with its id, and the time by which to answer it.
struct PolledEvent {
    id: String,
    body: Bytes,
    deadline: Instant,
}

impl PollPlatform {
    /// Returns the platform whose variables are set; `None` outside of both platforms.
    pub(super) fn of(env: &Env) -> Result<Option<Self>, HostError> {
        let found = CLOUDS.into_iter().find_map(|cloud| {
            let runtime = cloud.runtime.as_ref()?;
            Some((cloud, runtime, env.get(runtime.address)?))
        });
        let Some((cloud, runtime, mut address)) = found else { return Ok(None) };
        if let Some(variable) = runtime.port {
            let port = env.get(variable).ok_or(HostError::Environment(variable))?;
            address = format!("{address}:{port}");
        }
        // The endpoint is the platform's own interface, on this machine or in its sandbox's network.
        let endpoint = Endpoint::parse(&format!("http://{address}"), true)
            .map_err(|_| HostError::Environment(runtime.address))?;
        let seconds = env.get("RUNTIME_TIMEOUT").and_then(|text| text.parse().ok());
        Ok(Some(Self { cloud, runtime, endpoint, time: seconds.map(Duration::from_secs) }))
    }

    fn done(&self, outcome: &str, id: &str) -> String {
        let Runtime { done, answers_by_id, .. } = self.runtime;
        if *answers_by_id { format!("{done}/{outcome}/{id}") } else { format!("{done}/{outcome}") }
    }

    /// Builds the event from its headers and body; `None` without an id that an answer could be sent under.
    fn event(&self, headers: &HeaderMap, body: Bytes) -> Option<PolledEvent> {
        let text = |name: &str| headers.get(name)?.to_str().ok();
        let id = text(self.runtime.id).unwrap_or_default();
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if !id.bytes().all(is_plain) || (id.is_empty() && self.runtime.answers_by_id) {
            return None;
        }
        let limit = text("time_limit_in_ms").and_then(|text| text.parse().ok()).map(Duration::from_millis);
        let time = limit.or(self.time).unwrap_or(DEFAULT_TIME);
        let deadline = Instant::now() + time.saturating_sub(ANSWER_RESERVE);
        Some(PolledEvent { id: id.to_owned(), body, deadline })
    }
}

/// Outcome of an event: the answer's JSON, or the type and message of a function error.
type Answered = Result<String, (&'static str, String)>;

/// Serves events until the platform ends the process.
pub(super) async fn run<S: Service>(
    service: S,
    platform: PollPlatform,
    context: &Context,
) -> Result<(), HostError> {
    let cloud = platform.cloud;
    poll(platform, context, |event| {
        let service = service.clone();
        async move { answer(&service, cloud, &event, context).await }
    })
    .await
}

/// Runs a job with each event; a timer's event may name a shard.
pub(super) async fn run_job<J: Job>(
    job: J,
    platform: PollPlatform,
    context: &Context,
) -> Result<(), HostError> {
    let cloud = platform.cloud;
    poll(platform, context, |event| {
        let job = job.clone();
        async move {
            let text = std::str::from_utf8(&event.body).ok();
            timer::run(&job, cloud, text, event.deadline).await.map(|report| report.to_string())
        }
    })
    .await
}

async fn answer<S: Service>(service: &S, cloud: &Cloud, event: &PolledEvent, context: &Context) -> Answered {
    let request_id = if is_uuid(&event.id) { event.id.clone() } else { context.random.uuid() };
    let invocation = Invocation { request_id, deadline: Some(event.deadline) };
    let incoming = trigger::read_bytes(cloud, &event.body, invocation).map_err(failure)?;
    // Serialising an answer never fails.
    Ok(serde_json::to_string(&incoming.answer(service).await).unwrap_or_default())
}

fn failure(error: EventError) -> (&'static str, String) {
    (error.error_type(), error.to_string())
}

/// Handles one event after the other: SCF's answers name no event, and both platforms freeze work that
/// outlasts an event.
async fn poll<F: Future<Output = Answered>>(
    platform: PollPlatform,
    context: &Context,
    handle: impl Fn(PolledEvent) -> F,
) -> Result<(), HostError> {
    let transport = Transport::new(&Env::of::<&str, &str>([]));
    let client = Client { transport, platform };
    if let Some(ready) = client.platform.runtime.ready {
        client.post(ready, " ".to_owned()).await;
    }
    let mut failures = 0;
    while failures < ENOUGH {
        let Some((headers, body)) = client.next().await else {
            failures += 1;
            sleep(PAUSE).await;
            continue;
        };
        failures = 0;
        let field = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let take = |credentials: &Handover| credentials.lent(field, &context.env);
        let lent = client.platform.runtime.credentials.map(take).unwrap_or_default();
        let Some(event) = client.platform.event(&headers, body) else {
            tracing::error!("the platform sent an event without an id");
            sleep(PAUSE).await;
            continue;
        };
        let id = event.id.clone();
        let (path, body) = match lent.to(handle(event)).await {
            Ok(answer) => (client.platform.done("response", &id), answer),
            Err((error_type, message)) => {
                tracing::error!(request_id = id, error_type, message, "the event failed");
                let error = json!({"errorType": error_type, "errorMessage": message});
                (client.platform.done("error", &id), error.to_string())
            }
        };
        client.post(&path, body).await;
    }
    Err(HostError::Unreachable)
}

struct Client {
    transport: Transport,
    platform: PollPlatform,
}

impl Client {
    /// Polls for the next event's headers and body.
    async fn next(&self) -> Option<(HeaderMap, Bytes)> {
        let answer = self.send(Method::GET, self.platform.runtime.next, Bytes::new(), FOREVER).await?;
        Some((answer.headers, answer.body))
    }

    /// Posts to the platform. A failure is only logged: the platform has given the event up by then.
    async fn post(&self, path: &str, body: String) {
        self.send(Method::POST, path, body.into(), TAKEN).await;
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        patience: Duration,
    ) -> Option<crate::net::answer::Answer> {
        let call = Call {
            method,
            endpoint: &self.platform.endpoint,
            path_and_query: path,
            headers: headers([("content-type", "application/json")]),
            body,
            limit: MAX_EVENT,
            deadline: Instant::now() + patience,
            fresh: false,
        };
        match self.transport.send(call).await {
            Ok(answer) if answer.is_2xx() => Some(answer),
            Ok(answer) => {
                tracing::warn!(status = answer.status, path, "the platform refuses");
                None
            }
            Err(error) => {
                tracing::warn!(%error, path, "the platform cannot be reached");
                None
            }
        }
    }
}
