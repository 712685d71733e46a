//! The redriver's host: on Lambda a schedule's events, elsewhere a clock of its own and an HTTP server
//! for the platform's probes and for a run at any time (`POST /`).

use std::future::Future;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{HostError, Service, lambda, log_panics, poll, start};
use crate::env::Env;
use crate::http::{Request, Response};
use crate::problem::Problem;
use crate::queue::EnvProblem;
use crate::redrive;

/// How often the store is looked at where nobody else schedules it.
const EVERY: Duration = Duration::from_secs(60);

/// A run ends after this much time at most, so that one ends while the next is due.
const LONGEST: Duration = Duration::from_secs(50);

/// Seconds after which a run that failed may be asked for again.
const RETRY_AFTER: u32 = 60;

/// Work that is done again and again.
pub(super) trait Job: Clone + Send + Sync + 'static {
    /// Works until `deadline` at most. What was done, for whoever asked; an error if it could not be.
    fn run(&self, deadline: Instant) -> impl Future<Output = Result<Value, String>> + Send;
}

impl Job for redrive::Job {
    async fn run(&self, deadline: Instant) -> Result<Value, String> {
        let report = self.run(&redrive::Options::default(), deadline).await;
        // A report serialises without fail.
        let value = serde_json::to_value(&report).unwrap_or_default();
        if report.is_whole() { Ok(value) } else { Err(value.to_string()) }
    }
}

/// The scheduled function, whole: sends what the forwarders spilled.
pub async fn redrive() -> Result<(), HostError> {
    let (config, context) = start();
    log_panics();
    let job = redrive::Job::new(config, &context)?;
    if context.env.get(lambda::RUNTIME_API).is_some() {
        return lambda::run_job(job, &context).await;
    }
    if let Some(platform) = poll::Platform::of(&context.env)? {
        return poll::run_job(job, platform, &context).await;
    }
    let every = every(&context.env)?;
    tokio::select! {
        served = super::server::run(OnDemand(job.clone()), &context) => served,
        () = repeat(job, every) => Ok(()),
    }
}

/// `REDRIVE_EVERY`: seconds between two runs, 60 by default.
fn every(env: &Env) -> Result<Duration, EnvProblem> {
    let Some(text) = env.get("REDRIVE_EVERY") else { return Ok(EVERY) };
    let seconds = text.parse().ok().filter(|seconds| (1..=86_400).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(|| EnvProblem {
        variable: "REDRIVE_EVERY",
        message: "is no number of seconds from 1 to 86400".to_owned(),
    })
}

async fn repeat<J: Job>(job: J, every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // What went wrong is in the log, and the next run is due soon.
        let _ = job.run(Instant::now() + LONGEST).await;
    }
}

/// `POST /` runs the job once.
#[derive(Clone)]
struct OnDemand<J>(J);

impl<J: Job> Service for OnDemand<J> {
    async fn call(&self, request: Request) -> Response {
        if request.path != "/" {
            return Problem::NotFound.response(&request.request_id);
        }
        if request.method != "POST" {
            return Problem::MethodNotAllowed("POST").response(&request.request_id);
        }
        match self.0.run(Instant::now() + LONGEST).await {
            Ok(report) => Response::new(200, "application/json", report.to_string()),
            Err(_) => Problem::Unavailable { retry_after: RETRY_AFTER }.response(&request.request_id),
        }
    }

    /// A run takes no body.
    fn max_body(&self) -> usize {
        64 * 1024
    }

    fn is_ready(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_checked() {
        let of = |text: &str| every(&Env::of([("REDRIVE_EVERY", text)]));
        assert_eq!(of("").ok(), Some(EVERY));
        assert_eq!(of("5").ok(), Some(Duration::from_secs(5)));
        for wrong in ["0", "-1", "1m", "86401"] {
            assert_eq!(of(wrong).unwrap_err().variable, "REDRIVE_EVERY", "{wrong}");
        }
    }
}
