//! Lambda host: events through the runtime API.
//!
//! `lambda_runtime` polls, answers and reports; [`trigger`] interprets the event. The runtime also logs each
//! function error, as the `Debug` form of the handler's error: a [`Diagnostic`] of this crate, which quotes
//! nothing of the event.

use std::task::{self, Poll};
use std::time::Duration;

use bytes::Bytes;
use lambda_runtime::layers::TracingLayer;
use lambda_runtime::tower::layer::layer_fn;
use lambda_runtime::{Diagnostic, LambdaEvent, LambdaInvocation, Runtime, service_fn};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use tokio::task::futures::TaskLocalFuture;
use tokio::time::Instant;
use tower_service::Service as Handler;

use super::cloud::AWS;
use super::job::Job;
use super::timer;
use super::trigger::{self, EventError, Invocation, TriggerAnswer};
use super::{HostError, Service};
use crate::clock::Timestamp;
use crate::context::Context;
use crate::env::{Env, RUNTIME_API};
use crate::platform::LAMBDA_FUNCTION;

/// Time kept back from the invocation for the answer: serialising and logging it on the 7 % of a CPU that a
/// 128 MB function gets, and the runtime API's round trip. A later answer is a time-out: the sandbox dies,
/// and the sender sees a 5xx for a stored delivery.
const ANSWER_RESERVE: Duration = Duration::from_millis(300);

/// Upper bound on the time that Lambda runs an invocation (90 minutes, on Managed Instances). A deadline
/// further away is an emulator's invention.
const LONGEST_INVOCATION: Duration = Duration::from_secs(5400);

/// Time limit of a job if the runtime names no plausible deadline.
const DEFAULT_JOB: Duration = Duration::from_secs(50);

tokio::task_local! {
    /// Event of the current invocation, as it came.
    static EVENT: Bytes;
}

pub(super) async fn run<S: Service>(service: S, context: &Context) -> Result<(), HostError> {
    check_environment(&context.env)?;
    let context = context.clone();
    let handler = service_fn(move |event: LambdaEvent<()>| {
        let (service, context) = (service.clone(), context.clone());
        async move { handle(&service, &context, event.context).await }
    });
    let runtime = Runtime::new(handler).layer(TracingLayer::new()).layer(layer_fn(Untouched));
    runtime.run_concurrent().await.map_err(HostError::Runtime)
}

/// Layer that keeps events from the runtime's parser, which is given `null` instead: the parser would refuse
/// an event that is not JSON, and the event then could not be read at all.
#[derive(Clone)]
struct Untouched<S>(S);

impl<S: Handler<LambdaInvocation>> Handler<LambdaInvocation> for Untouched<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = TaskLocalFuture<Bytes, S::Future>;

    fn poll_ready(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, mut invocation: LambdaInvocation) -> Self::Future {
        let event = std::mem::replace(&mut invocation.body, Bytes::from_static(b"null"));
        EVENT.scope(event, self.0.call(invocation))
    }
}

/// Runs a job with each event; a schedule's event may name a shard.
pub(super) async fn run_job<J: Job>(job: J, context: &Context) -> Result<(), HostError> {
    check_environment(&context.env)?;
    let context = context.clone();
    let handler = service_fn(move |event: LambdaEvent<Payload>| {
        let (job, context) = (job.clone(), context.clone());
        async move {
            let (Payload(event), lambda) = event.into_parts();
            let deadline = deadline(lambda.deadline, context.clock.now());
            let deadline = deadline.unwrap_or_else(|| Instant::now() + DEFAULT_JOB);
            let event = event.as_deref().map(RawValue::get);
            let done = timer::run(&job, &AWS, event, deadline).await;
            done.map_err(|(error_type, error_message)| Diagnostic {
                error_type: error_type.to_owned(),
                error_message,
            })
        }
    });
    lambda_runtime::run_concurrent(handler).await.map_err(HostError::Runtime)
}

/// Checks the variables that `lambda_runtime` needs: it panics if one of them is missing.
fn check_environment(env: &Env) -> Result<(), HostError> {
    let sound = |name, is_sound: fn(&str) -> bool| match env.get(name) {
        Some(value) if is_sound(&value) => Ok(()),
        _ => Err(HostError::Environment(name)),
    };
    sound(RUNTIME_API, |v| v.parse::<http::Uri>().is_ok_and(|uri| uri.authority().is_some()))?;
    sound(LAMBDA_FUNCTION, |_| true)?;
    sound("AWS_LAMBDA_FUNCTION_VERSION", |_| true)?;
    sound("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", |v| v.parse::<i32>().is_ok())
}

/// JSON of a job's event, or `None` if the event is not JSON. Deserializing never fails: this crate names a
/// broken event, while the runtime's own message would quote it.
struct Payload(Option<Box<RawValue>>);

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        Ok(Self(Box::<RawValue>::deserialize(de).ok()))
    }
}

async fn handle<S: Service>(
    service: &S,
    context: &Context,
    lambda: lambda_runtime::Context,
) -> Result<TriggerAnswer, Diagnostic> {
    let invocation = Invocation {
        request_id: if trigger::is_uuid(&lambda.request_id) {
            lambda.request_id
        } else {
            context.random.uuid()
        },
        deadline: deadline(lambda.deadline, context.clock.now()),
    };
    // The layer has set it.
    let event = EVENT.try_with(Bytes::clone).unwrap_or_default();
    let incoming = trigger::read_bytes(&AWS, &event, invocation)?;
    Ok(incoming.answer(service).await)
}

impl From<EventError> for Diagnostic {
    fn from(error: EventError) -> Self {
        Self { error_type: error.error_type().to_owned(), error_message: error.to_string() }
    }
}

/// Returns the time by which to answer, from the invocation's deadline in milliseconds since the epoch. A
/// deadline that has passed or is implausibly far away is ignored (`cargo lambda watch` sends `600000`).
fn deadline(epoch_ms: u64, now: Timestamp) -> Option<Instant> {
    let left = i64::try_from(epoch_ms).ok()?.checked_sub(now.unix_millis())?;
    let left = Duration::from_millis(u64::try_from(left).ok()?);
    let plausible = !left.is_zero() && left <= LONGEST_INVOCATION;
    plausible.then(|| Instant::now() + left.saturating_sub(ANSWER_RESERVE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_a_plausible_deadline_counts() {
        let now = Timestamp::from_unix_millis(1_700_000_000_000);
        let at = |epoch_ms| deadline(epoch_ms, now).map(|at| at - Instant::now());
        assert_eq!(at(1_700_000_010_000), Some(Duration::from_millis(9_700)));
        assert_eq!(at(1_700_000_000_200), Some(Duration::ZERO));
        for implausible in [0, 600_000, 1_700_000_000_000, 1_700_005_400_001, u64::MAX] {
            assert_eq!(at(implausible), None, "{implausible}");
        }
    }

    #[test]
    fn the_environment_is_checked_before_the_runtime_panics() {
        let sound = [
            ("AWS_LAMBDA_RUNTIME_API", "http://127.0.0.1:19100/.rt/tdmq"),
            ("AWS_LAMBDA_FUNCTION_NAME", "tdmq"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
        ];
        assert!(check_environment(&Env::of(sound)).is_ok());
        for (i, (name, _)) in sound.into_iter().enumerate() {
            let mut broken = sound;
            broken[i].1 = " ";
            let error = check_environment(&Env::of(broken)).unwrap_err();
            assert!(matches!(error, HostError::Environment(n) if n == name), "{error}");
        }
        let mut broken = sound;
        broken[3].1 = "128 MB";
        assert!(check_environment(&Env::of(broken)).is_err());
    }
}
