//! Hosts: the sources of requests. A cloud's function runtime delivers a trigger's event; elsewhere an
//! HTTP/1.1 server accepts requests. One binary serves both: the environment selects the host.
//!
//! ```text
//! AWS_LAMBDA_RUNTIME_API set ──────────────► lambda ─┬► trigger ─┐
//! SCF_RUNTIME_API or RUNTIME_API_ADDR set ─► poll ───┘           │
//! otherwise ───────────────────────────────► server ─────────────┴─► Request ─► Service ─► Response
//! ```
//!
//! A host reads requests and writes answers; it decides nothing about hooks. A host's own refusals (broken
//! framing, wrong base64, limits) have the same form as the gateway's refusals.

pub mod cloud;
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
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use ::http::{HeaderMap, HeaderName, HeaderValue};

use crate::config::{Config, Reading, Samples};
use crate::context::Context;
use crate::env::{Env, EnvProblem, PREWARM, RUNTIME_API, SAMPLES};
use crate::gateway::Gateway;
use crate::http::{Request, Response};
use crate::platform;
use crate::problem::Problem;
use crate::queue::Vendor;
use crate::service::Service;
use crate::telemetry;
pub use job::{REDRIVE_EVERY, redrive};
pub use process::main;
pub use settings::{done_without, fatal};
#[cfg(feature = "catalog")]
pub use settings::{incomplete, survey};

/// Errors that keep a host from starting or that stop it.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// User action: set `LISTEN` to an address of this machine whose port is free.
    #[error("cannot listen on {address}: {}", server::refused(source))]
    Listen {
        /// Address from `LISTEN` or `PORT`, as written.
        address: String,
        /// Error of the operating system.
        source: io::Error,
    },
    /// User action: start the function through a Lambda runtime or its emulator, which sets the variable.
    #[error(
        "{0} is missing or wrong: a cloud's function runtime sets it, so start the function there or under an \
         emulator of it"
    )]
    Environment(&'static str),
    /// Loss of the Lambda runtime API, which ends the sandbox.
    #[error("the Lambda runtime stopped: {0}")]
    Runtime(#[source] lambda_runtime::Error),
    /// Loss of the platform's runtime interface; the platform starts another process.
    #[error("the platform's runtime interface cannot be reached")]
    Unreachable,
    /// User action: correct the variable. A server without an address is unreachable; a redriver without a
    /// store has no work.
    #[error(transparent)]
    Setting(#[from] EnvProblem),
    /// Refusal of signal handlers by the operating system.
    #[error("cannot wait for signals: {0}")]
    Signal(#[source] io::Error),
    /// Refusal of a resource that every process needs; the operating system may be short of descriptors.
    #[error("cannot start: {0}")]
    Start(#[source] io::Error),
}

/// Runs a whole function, as the future for [`main`].
///
/// Mistakes in the configuration do not keep the function from starting: a failed init takes every hook down,
/// the sound ones too.
pub async fn run(vendor: Vendor) -> Result<(), HostError> {
    let (config, context) = start(platform::is_server);
    let gateway = Gateway::connect(config, vendor, &context);
    if context.env.is_on(PREWARM) {
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
    // `sam local` sets its own variable; any other local run must set `ALLOW_SAMPLE_SECRETS`.
    let is_local = ["AWS_SAM_LOCAL", SAMPLES].iter().any(|name| context.env.is_on(name));
    let samples = if is_local { Samples::Accepted } else { Samples::Refused };
    if samples == Samples::Accepted {
        tracing::warn!("sample secrets are accepted, which everybody knows: for local runs only");
    }
    if context.env.allows_http() {
        tracing::warn!("plain HTTP endpoints are allowed: messages and signatures can be read on the way");
    }
    let over_http = over_http(&context.env);
    let mut config = Config::load(Reading { over_http, ..Reading::new(&context.env, samples) });
    config.problems.extend(done_without(&context.env));
    (config, context)
}

/// Serves until the platform ends the process: events if a cloud's function runtime is in the environment,
/// otherwise HTTP on `LISTEN` or `PORT` (default `127.0.0.1:9000`) until SIGTERM or SIGINT.
pub async fn serve<S: Service>(service: S, context: &Context) -> Result<(), HostError> {
    log_panics();
    if context.env.get(RUNTIME_API).is_some() {
        return lambda::run(service, context).await;
    }
    match poll::PollPlatform::of(&context.env)? {
        Some(platform) => poll::run(service, platform, context).await,
        None => server::run(service, context).await,
    }
}

/// Installs a panic hook that logs the location alone: a panic's message may quote data.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "panicked");
    }));
}

/// Delay that a sender is asked for after a panic, in seconds: its cause may last a while.
const PANIC_RETRY_AFTER: u32 = 5;

/// Calls the service. A panic becomes a 503: the sender retries, and the next request is served.
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

/// Refuses a request that never reaches the service, and logs the refusal as the service would. `path` and
/// `source_ip` are those of the request, as far as they are known.
fn refuse(
    problem: Problem,
    reason: &'static str,
    request_id: &str,
    (path, source_ip): (Option<&str>, Option<IpAddr>),
) -> Response {
    tracing::warn!(
        request_id,
        status = problem.status(),
        problem = problem.name(),
        reason,
        path = path.map(telemetry::shown),
        source_ip = source_ip.map(display),
        "refused"
    );
    problem.response(request_id)
}

/// Returns the answer's header fields for a platform. A value that is not a valid header field (a control
/// character in a vendor's id) is left out: the answer matters more.
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
