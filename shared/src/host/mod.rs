//! Hosts: where requests come from. In a cloud's function runtime a trigger's event, elsewhere HTTP/1.1.
//! One binary serves all: the environment says where it is.
//!
//! ```text
//! AWS_LAMBDA_RUNTIME_API set ──────────────► lambda ─┬► trigger ─┐
//! SCF_RUNTIME_API or RUNTIME_API_ADDR set ─► poll ───┘           │
//! otherwise ───────────────────────────────► server ─────────────┴─► Request ─► Service ─► Response
//! ```
//!
//! A host reads and answers; it decides nothing about hooks. What it refuses by itself (broken
//! framing, wrong base64, limits) is answered in the same form as the gateway's refusals.

mod handover;
mod job;
mod lambda;
mod poll;
mod process;
pub mod server;
mod settings;
mod timer;
pub mod trigger;

use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use ::http::{HeaderMap, HeaderName, HeaderValue};

use crate::config::{Config, Reading, Samples};
use crate::context::Context;
use crate::env::{Env, EnvProblem, RUNTIME_API};
use crate::gateway::Gateway;
use crate::http::{Request, Response};
use crate::platform;
use crate::problem::Problem;
use crate::queue::Vendor;
use crate::service::Service;
use crate::telemetry;
pub use job::redrive;
pub use process::main;
pub use settings::{done_without, fatal};

/// Why a host cannot start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// User action: set `LISTEN` to an address of this machine whose port is free.
    #[error("cannot listen on {address}: {}", server::refused(source))]
    Listen {
        /// As `LISTEN` or `PORT` gave it.
        address: String,
        /// The system's reason.
        source: io::Error,
    },
    /// User action: start the function through a Lambda runtime or its emulator, which set it.
    #[error(
        "{0} is missing or wrong: a cloud's function runtime sets it, so start the function there or under an \
         emulator of it"
    )]
    Environment(&'static str),
    /// The Lambda runtime API went away, which ends the sandbox.
    #[error("the Lambda runtime stopped: {0}")]
    Runtime(#[source] lambda_runtime::Error),
    /// The platform's runtime interface is not there any more; the platform starts another process.
    #[error("the platform's runtime interface cannot be reached")]
    Unreachable,
    /// User action: correct the variable. Without an address nobody can call a server; a redriver without a store
    /// has nothing to do.
    #[error(transparent)]
    Setting(#[from] EnvProblem),
    /// The system refuses signal handlers.
    #[error("cannot wait for signals: {0}")]
    Signal(#[source] io::Error),
    /// The system refuses what every process needs; it may be short of descriptors.
    #[error("cannot start: {0}")]
    Start(#[source] io::Error),
}

/// A function, whole, for [`main`] to run.
///
/// Mistakes in the configuration do not keep it from starting: an init that fails takes every hook
/// down, the sound ones too.
pub async fn run(vendor: Vendor) -> Result<(), HostError> {
    let (config, context) = start(platform::is_server);
    let gateway = Gateway::connect(config, vendor, &context);
    if context.env.is_on("PREWARM") {
        gateway.prewarm().await;
    }
    // Boxed: the way to either vendor is a large future.
    Box::pin(serve(gateway, &context)).await
}

/// Starts logging and reads the configuration.
fn start(over_http: impl FnOnce(&Env) -> bool) -> (Config, Context) {
    let context = Context::system();
    if platform::is_server(&context.env) {
        telemetry::init_queued(&context.env);
    } else {
        telemetry::init(&context.env);
    }
    // `sam local` says so itself; any other local run must.
    let is_local = ["AWS_SAM_LOCAL", "ALLOW_SAMPLE_SECRETS"].iter().any(|name| context.env.is_on(name));
    let samples = if is_local { Samples::Accepted } else { Samples::Refused };
    if samples == Samples::Accepted {
        tracing::warn!("sample secrets are accepted, which everybody knows: for local runs only");
    }
    if context.env.is_on("ALLOW_HTTP_ENDPOINTS") {
        tracing::warn!("plain HTTP endpoints are allowed: messages and signatures can be read on the way");
    }
    let over_http = over_http(&context.env);
    let mut config = Config::load(Reading { over_http, ..Reading::new(&context.env, samples) });
    config.problems.extend(done_without(&context.env));
    (config, context)
}

/// Serves until the platform ends it: events where a cloud's function runtime is in the environment,
/// otherwise HTTP on `LISTEN` or `PORT` (default `127.0.0.1:9000`) until SIGTERM or SIGINT.
pub async fn serve<S: Service>(service: S, context: &Context) -> Result<(), HostError> {
    log_panics();
    if context.env.get(RUNTIME_API).is_some() {
        return lambda::run(service, context).await;
    }
    match poll::Platform::of(&context.env)? {
        Some(platform) => poll::run(service, platform, context).await,
        None => server::run(service, context).await,
    }
}

/// A panic's message may quote data, so the log gets the place only.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "panicked");
    }));
}

/// Seconds a sender is asked to wait after a panic: what made it is not gone at once.
const PANIC_RETRY_AFTER: u32 = 5;

/// Calls the service. A panic is a 503: the sender comes again, and the next request is served.
async fn call<S: Service>(service: &S, request: Request) -> Response {
    let request_id = request.request_id.clone();
    let mut call = pin!(async { service.call(request).await });
    let answer = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Some),
        Err(_) => Poll::Ready(None),
    });
    answer.await.unwrap_or_else(|| {
        tracing::error!(request_id, "the handler panicked");
        Problem::Unavailable { retry_after: PANIC_RETRY_AFTER }.response(&request_id)
    })
}

/// Refuses a request that never reaches the service, and logs it as the service would.
fn refuse(problem: Problem, request_id: &str) -> Response {
    tracing::info!(request_id, status = problem.status(), problem = problem.name(), "refused");
    problem.response(request_id)
}

/// The answer's fields for a platform. One that is no header field (a control character in a
/// vendor's id) is left out: the answer matters more.
fn header_map(response: &Response) -> HeaderMap {
    let field = |(name, value): &(&str, String)| {
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(value.as_bytes()).ok()?))
    };
    let mut map = HeaderMap::with_capacity(response.headers.len());
    for (name, value) in response.headers.iter().filter_map(field) {
        map.append(name, value);
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_no_header_is_left_out() {
        let response = Response::new(200, "text/plain", "x").with("x-id", "a\nb").with("x-id", "ü");
        let map = header_map(&response);
        assert_eq!(map.get_all("x-id").iter().collect::<Vec<_>>(), ["ü"]);
        assert_eq!(map.len(), 2);
    }
}
