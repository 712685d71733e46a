//! Host of the redriver: on Lambda it runs on a schedule's events. Elsewhere it has a clock of its own and an
//! HTTP server for the platform's probes and, on loopback alone, for runs on demand: `POST /` for the due records,
//! `POST /?now=1` for all waiting records, `POST /?shard=3/8` for one shard.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use percent_encoding::percent_decode_str;
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{HostError, Service, lambda, log_panics, poll, start};
use crate::env::{Env, EnvProblem, RUNTIME_API};
use crate::http::{Headers, Request, Response};
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::readiness::Readiness;
use crate::redrive;
use crate::shard::{Shard, ShardError};
use crate::stopping::Stopping;

/// Name of the variable with the time between two runs of a redriver.
pub const REDRIVE_EVERY: &str = "REDRIVE_EVERY";

/// Default interval between two runs without an external schedule.
const EVERY: Duration = Duration::from_secs(60);

/// Time limit of a run, shorter than [`EVERY`], so that a run ends before the next one is due.
const LONGEST: Duration = Duration::from_secs(50);

/// Seconds after which a failed run may be requested again.
const RETRY_AFTER: u32 = 60;

/// Set of records that a run takes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Records that are due.
    Due,
    /// All waiting records, those in back-off after a failure included.
    All,
}

/// Request for one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) scope: Scope,
    /// Shard of the run; `None` for the process's own shard.
    pub(super) shard: Option<Shard>,
}

impl Order {
    /// Builds the order of a clock: the due records of `shard`.
    pub(super) const fn due(shard: Option<Shard>) -> Self {
        Self { scope: Scope::Due, shard }
    }
}

/// Work that a host runs repeatedly.
pub(super) trait Job: Clone + Send + Sync + 'static {
    /// Works until `deadline` at the latest. Returns a report for the caller, or an error if the work could
    /// not be done.
    fn run(&self, order: Order, deadline: Instant) -> impl Future<Output = Result<Value, String>> + Send;

    /// Returns the metrics that count the runs.
    fn metrics(&self) -> &Metrics;

    /// Returns the readiness to do a run, from local knowledge alone: no remote call is made.
    fn readiness(&self) -> Readiness;

    /// Returns the number of sound hooks and the file that they were read from.
    fn hooks(&self) -> Option<(usize, &str)> {
        None
    }
}

impl Job for redrive::RedriveJob {
    async fn run(&self, order: Order, deadline: Instant) -> Result<Value, String> {
        let options = redrive::Options {
            now: order.scope == Scope::All,
            shard: order.shard.unwrap_or_else(|| self.shard()),
            ..redrive::Options::default()
        };
        // The store is tried concurrently with the first run, not before it: the credentials are available
        // here, and nothing freezes the process.
        let ((), report) = futures_util::join!(self.try_store(), self.run(&options, deadline));
        // Serialising a report never fails.
        let value = serde_json::to_value(&report).unwrap_or_default();
        if report.is_whole() { Ok(value) } else { Err(value.to_string()) }
    }

    fn metrics(&self) -> &Metrics {
        self.metrics()
    }

    fn readiness(&self) -> Readiness {
        self.readiness()
    }

    fn hooks(&self) -> Option<(usize, &str)> {
        Some(self.hooks())
    }
}

/// Runs the whole redriver, which sends the records that the forwarders spilled.
pub async fn redrive() -> Result<(), HostError> {
    // The hooks admit no request here: they only define how messages are made.
    let (config, context) = start(|_| false);
    log_panics();
    for problem in &config.problems {
        tracing::error!(%problem, "configuration");
    }
    let job = redrive::RedriveJob::new(config, &context)?;
    if context.env.get(RUNTIME_API).is_some() {
        return lambda::run_job(job, &context).await;
    }
    if let Some(platform) = poll::PollPlatform::of(&context.env)? {
        return poll::run_job(job, platform, &context).await;
    }
    let every = every(&context.env)?;
    job.metrics().repeats(every);
    // Boxed: the future of a run is large.
    super::server::run_beside(OnDemand(job.clone()), &context, Box::pin(repeat(job, every))).await
}

/// Reads `REDRIVE_EVERY`: seconds between two runs, 60 by default.
pub(super) fn every(env: &Env) -> Result<Duration, EnvProblem> {
    let Some(text) = env.get(REDRIVE_EVERY) else { return Ok(EVERY) };
    let seconds = text.parse().ok().filter(|seconds| (1..=86_400).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(|| EnvProblem {
        variable: REDRIVE_EVERY,
        message: "is not a number of seconds from 1 to 86400: write 60 for one run a minute".to_owned(),
    })
}

/// Runs the job at every tick until the process is to stop; a run in progress then ends by itself.
async fn repeat<J: Job>(job: J, every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stopping = Stopping::in_hand();
    loop {
        tokio::select! {
            biased;
            _ = stopping.announced() => return,
            _ = ticks.tick() => {}
        }
        // The log has the error, and the next run is due soon.
        let _ = job.run(Order::due(None), Instant::now() + LONGEST).await;
    }
}

/// Service that runs the job once per `POST /` from the machine or Pod itself: the request has no credentials, and a
/// run costs calls to the store and the vendor. `now=1` is for use after the cause of failures was corrected,
/// `shard=3/8` for another shard than the process's own.
#[derive(Clone)]
struct OnDemand<J>(J);

impl<J: Job> Service for OnDemand<J> {
    async fn call(&self, request: Request) -> Response {
        if let Err(response) = self.admits(&request, request.body.len()) {
            return response;
        }
        let order = match order(&request.raw_query) {
            Ok(order) => order,
            Err(error) => {
                tracing::warn!(request_id = request.request_id, %error, "refused");
                return Problem::Malformed.response(&request.request_id);
            }
        };
        match self.0.run(order, Instant::now() + LONGEST).await {
            Ok(report) => Response::new(200, "application/json", report.to_string()),
            Err(_) => Problem::Unavailable { retry_after: RETRY_AFTER }.response(&request.request_id),
        }
    }

    fn admits(&self, head: &Request, _: usize) -> Result<usize, Response> {
        let problem = match (head.path.as_str(), head.method.as_str()) {
            ("/", "POST") => {
                let Some(advice) = refusal(&head.headers, head.source_ip) else { return Ok(self.max_body()) };
                tracing::warn!(request_id = head.request_id, source = ?head.source_ip, advice, "refused");
                Problem::Forbidden
            }
            ("/", _) => Problem::MethodNotAllowed("POST"),
            _ => Problem::NotFound,
        };
        Err(problem.response(&head.request_id))
    }

    /// Returns 64 KiB, although a run takes no body.
    fn max_body(&self) -> usize {
        64 * 1024
    }

    fn readiness(&self) -> Readiness {
        self.0.readiness()
    }

    fn hooks(&self) -> Option<(usize, &str)> {
        self.0.hooks()
    }

    fn metrics(&self) -> Option<&Metrics> {
        Some(self.0.metrics())
    }
}

/// Returns why a request may not ask for a run, with the remedy; `None` if it is from this machine or Pod, and nobody
/// handed it on. The proxy of a service mesh connects from another loopback address (Istio's from 127.0.0.6), one of
/// the machine from the same.
fn refusal(headers: &Headers, source_ip: Option<IpAddr>) -> Option<&'static str> {
    const OWN: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let is_handed_on =
        ["x-forwarded-for", "forwarded", "via"].into_iter().any(|name| headers.all(name).next().is_some());
    match source_ip.map(|source| source.to_canonical()) {
        _ if is_handed_on => Some("a proxy handed this on: run `hookmq redrive --now`, or forward the port"),
        Some(source) if OWN.contains(&source) => None,
        Some(_) => {
            Some("a run is asked for on loopback alone: run `hookmq redrive --now`, or forward the port")
        }
        None => Some(
            "TRUST_PROXIES names this peer, so a request without a proxy's field has no sender: run \
             `hookmq redrive --now`, or leave loopback out of the redriver's TRUST_PROXIES",
        ),
    }
}

/// Errors in a query that asks for a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum OrderError {
    /// User action: write only the known parameters, each once.
    #[error("the query may hold only now=1 and a shard such as shard=3/8, each once: leave the rest out")]
    Unknown,
    /// User action: correct the shard as the error says.
    #[error("the query's shard {0}")]
    Shard(#[from] ShardError),
}

/// Parses the query of a run: `now=1` and `shard=3/8`, each at most once.
fn order(query: &str) -> Result<Order, OrderError> {
    let mut order = Order::due(None);
    for part in query.split('&').filter(|_| !query.is_empty()) {
        match part.split_once('=') {
            Some(("now", "1")) if order.scope == Scope::Due => order.scope = Scope::All,
            Some(("shard", text)) if order.shard.is_none() => {
                let text = percent_decode_str(text).decode_utf8().map_err(|_| ShardError::Form)?;
                order.shard = Some(Shard::parse(&text)?);
            }
            _ => return Err(OrderError::Unknown),
        }
    }
    Ok(order)
}

#[cfg(test)]
pub(super) mod doubles {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Job that records the orders it gets.
    #[derive(Clone)]
    pub(in crate::host) struct Noting(Arc<Mutex<Vec<Order>>>, Metrics);

    impl Default for Noting {
        fn default() -> Self {
            Self(Arc::default(), Metrics::off())
        }
    }

    impl Noting {
        pub(in crate::host) fn orders(&self) -> Vec<Order> {
            self.0.lock().unwrap().clone()
        }
    }

    impl Job for Noting {
        async fn run(&self, order: Order, _: Instant) -> Result<Value, String> {
            self.0.lock().unwrap().push(order);
            Ok(Value::Null)
        }

        fn metrics(&self) -> &Metrics {
            &self.1
        }

        fn readiness(&self) -> Readiness {
            true.into()
        }
    }
}

#[cfg(test)]
#[path = "job_tests.rs"]
mod tests;
