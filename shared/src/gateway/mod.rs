//! Composition of the parts: the way of one request from the host to the queue and back. The answers are
//! listed in `docs/configuration.md`.

mod copies;
mod readmit;
mod ready;
mod settle;
mod verify;
pub(crate) mod waiting;

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use crate::carry::Carrier;
use crate::clock::Timestamp;
use crate::config::{Config, Hook, Lookup};
use crate::context::Context;
use crate::delivery::Delivery;
use crate::env::EnvProblem;
use crate::fetch::Fetcher;
use crate::http::{MAX_HEADER_BYTES, MAX_HEADERS, Request, Response};
use crate::metrics::Metrics;
use crate::outcome::{Ending, Outcome, Why};
use crate::platform::Platform;
use crate::problem::Problem;
use crate::quarantine::Quarantine;
use crate::queue::{Class, Client, Queue, Target, Vendor};
use crate::rate::Rates;
use crate::readiness::{HEALTH, READY, Readiness, alive};
use crate::service::Service;
use crate::source::Source;
use crate::spill::{Spill, StoreProbe, Trial};
use crate::telemetry::{Asked, Line};
use crate::vault::Resolver;
use copies::Copies;
pub(crate) use readmit::Readmission;
use ready::Footing;
use settle::Lane;
use verify::{RefusedRequest, VerifiedRequest};
use waiting::WaitingRoom;

/// `Retry-After` in seconds if a person must correct something first. All other refusals use `RETRY_AFTER`.
const RETRY_AFTER_REPAIR: u32 = 60;
const RETRY_AFTER: u32 = 5;

/// Earliest plausible time: 2025-01-01, before this program was written. A clock with an earlier time is
/// wrong: each signature would seem to come from the future, and be answered 401 for a fault of ours.
const EARLIEST: Timestamp = Timestamp::from_unix(1_735_689_600);

/// Class of a mistake in our own configuration, the same as for a failed send.
const CONFIG: &str = Class::Config.as_str();

/// Service that receives the requests of the hooks, and forwards the deliveries to the queue of one vendor
/// or to the targets that a hook names.
#[derive(Debug)]
pub struct Gateway<Q>(Arc<Inner<Q>>);

#[derive(Debug)]
struct Inner<Q> {
    config: Config,
    own: Vendor,
    carriers: Vec<Carrier<Q>>,
    quarantine: Option<Quarantine>,
    context: Context,
    fetcher: Fetcher,
    resolver: Resolver,
    rates: Rates,
    copies: Copies,
    waiting: Arc<WaitingRoom>,
    metrics: Metrics,
    /// Probe of the spill store in a function's process. Any other host probes the store when it starts.
    trial: Option<Arc<Trial>>,
    footing: Footing,
}

/// Stores of a gateway for deliveries and requests that it cannot pass on.
#[derive(Debug, Default)]
pub struct Stores {
    /// Store for deliveries; without it, a delivery that the queue does not take is answered 503.
    pub spill: Option<Spill>,
    /// Store for requests that failed verification.
    pub quarantine: Option<Quarantine>,
    /// Problems with the settings of the stores that could not be opened.
    pub problems: Vec<EnvProblem>,
}

impl Stores {
    /// Opens the stores that the environment names, and collects the problems with their settings.
    pub fn from_env(context: &Context) -> Self {
        let mut problems = Vec::new();
        let spill = Spill::from_env(context).unwrap_or_else(|problem| {
            problems.push(problem);
            None
        });
        let quarantine = Quarantine::from_env(context).unwrap_or_else(|problem| {
            problems.push(problem);
            None
        });
        Self { spill, quarantine, problems }
    }
}

/// Refusal of a request by its head.
struct Unadmitted<'g> {
    hook: Option<&'g str>,
    ending: Box<Ending>,
    /// Upper bound that the body exceeds.
    limit: Option<usize>,
}

impl<'g> Unadmitted<'g> {
    fn refused(hook: Option<&'g str>, problem: Problem) -> Self {
        let why = Why::bare(problem.name());
        Self { hook, ending: Box::new(Ending::refused(Outcome::Refused, problem).because(why)), limit: None }
    }

    /// Refuses a request for a fault of the service. The outcome is the one for unknown senders, so that
    /// strangers do not trigger an alarm of an outage.
    fn ours(hook: &'g str, why: Why, retry_after: u32) -> Self {
        Self { hook: Some(hook), ending: Box::new(unverified(why, retry_after)), limit: None }
    }
}

/// Ends a request whose sender is unknown, and could not be verified through a fault of the service.
fn unverified(why: Why, retry_after: u32) -> Ending {
    Ending::refused(Outcome::Unverified, Problem::Unavailable { retry_after }).because(why)
}

/// Ends an authentic request that could not be served.
fn unavailable(why: Why, retry_after: u32) -> Ending {
    Ending::refused(Outcome::Unavailable, Problem::Unavailable { retry_after }).because(why)
}

/// Verified delivery, the source that verified it, and the hook's targets or the reason why they cannot be
/// served.
struct Checked<'g, Q> {
    delivery: Box<Delivery>,
    source: Arc<Source>,
    lanes: Result<Vec<Lane<'g, Q>>, Why>,
}

impl<Q> Clone for Gateway<Q> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<Q: Queue> Gateway<Q> {
    /// Builds a gateway with `queue` as its only target. Every mistake in the parts is logged, and all sound
    /// hooks are served.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use hookmq_shared::config::{Config, Reading, Samples};
    /// use hookmq_shared::context::Context;
    /// use hookmq_shared::env::Env;
    /// use hookmq_shared::gateway::Gateway;
    /// use hookmq_shared::net::answer::Answer;
    /// use hookmq_shared::net::endpoint::Endpoint;
    /// use hookmq_shared::queue::Vendor;
    /// use hookmq_shared::queue::memory::{Broker, QueueLimits, MemoryQueue, Reply, Try, What};
    /// use hookmq_shared::service::Service as _;
    /// use hookmq_shared::source::Draft;
    ///
    /// /// Vendor that stores every message.
    /// struct Storing;
    ///
    /// impl Broker for Storing {
    ///     fn way(&self, _: &Try<'_>) -> Duration {
    ///         Duration::ZERO
    ///     }
    ///
    ///     fn take(&self, attempt: &Try<'_>) -> Reply {
    ///         assert_eq!(attempt.message.topic, "tenant/webhooks/push");
    ///         let body = r#"{"Response":{"MessageId":"1:2","RequestId":"r"}}"#.into();
    ///         let answer = Answer { status: 200, body, ..Answer::default() };
    ///         Reply { after: Duration::ZERO, what: What::Answer(answer) }
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let env = Env::of([("GITHUB_SECRET", "a long random text")]);
    /// let hooks = r#"
    ///     [hooks.github]
    ///     source = "github"
    ///     secrets = ["env:GITHUB_SECRET"]
    ///     topic = "tenant/webhooks/{event}"
    /// "#;
    /// let config = Config::parse("hooks.toml", hooks, Reading::new(&env, Samples::Refused));
    /// let source = config.hook("github").and_then(|hook| hook.source.current()).ok_or("a broken hook")?;
    ///
    /// let context = Context { env, ..Context::system() };
    /// let endpoint = Endpoint::parse("https://vendor.test", false)?;
    /// let (limits, key) = (QueueLimits { most: 1 << 20, scale: 1 }, Default::default());
    /// let queue = MemoryQueue::new(Vendor::Tdmq, endpoint, limits, key, context.clone(), Storing);
    /// let gateway = Gateway::new(config, queue, context.clone());
    ///
    /// let draft = Draft { path: "/github".to_owned(), ..Draft::default() };
    /// let request = source.sign(draft, 0, context.clock.now(), &context.random)?;
    /// let forged = hookmq_shared::http::Request { body: "{}".into(), ..request.clone() };
    /// assert_eq!(gateway.call(request).await.status, 200);
    /// assert_eq!(gateway.call(forged).await.status, 401);
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(config: Config, queue: Q, context: Context) -> Self {
        let metrics = Metrics::from_env(&context, config.names());
        Self::with_metrics(config, queue, context, metrics)
    }

    /// Builds a gateway like [`new`](Self::new), which counts in the given `metrics`.
    pub fn with_metrics(config: Config, queue: Q, context: Context, metrics: Metrics) -> Self {
        let own = queue.vendor();
        let stores = Stores::from_env(&context);
        Self::assemble(config, own, vec![(own.into(), queue)], stores, context, metrics)
    }

    /// Builds a gateway from existing parts: a queue for each target, and the stores.
    pub fn assemble(
        config: Config,
        own: Vendor,
        queues: Vec<(Target, Q)>,
        stores: Stores,
        context: Context,
        metrics: Metrics,
    ) -> Self {
        for mistake in &config.mistakes {
            match mistake.severity {
                crate::config::Severity::Error => tracing::error!(%mistake, "configuration"),
                crate::config::Severity::Warning => tracing::warn!(%mistake, "configuration"),
            }
        }
        for (target, queue) in &queues {
            metrics.watch(target, queue);
            for problem in queue.problems() {
                tracing::error!(problem = config.locate(target, &problem), "configuration");
            }
        }
        let footing = Footing::new(&config, &stores, &context.env);
        let Stores { spill, quarantine, problems } = stores;
        let store = spill.iter().find_map(|spill| spill.store().problem());
        for problem in config.problems.iter().chain(&problems).chain(&store) {
            tracing::error!(%problem, "configuration");
        }
        metrics.broken(config.broken());
        if spill.is_none() && Spill::is_named(&context.env) {
            metrics.probed(Some(CONFIG));
        }
        let (fetcher, resolver) = (Fetcher::new(&context.env), Resolver::new(&context.env));
        let is_frozen = Platform::of(&context.env).freezes();
        let trial = spill.clone().filter(|_| is_frozen).map(|spill| Trial::new(spill, metrics.clone()));
        let carrier =
            |(target, queue)| Carrier { target, queue, spill: spill.clone(), context: context.clone() };
        let carriers = queues.into_iter().map(carrier).collect();
        let rates = Rates::default();
        Self(Arc::new(Inner {
            config,
            own,
            carriers,
            quarantine,
            waiting: WaitingRoom::from_env(&context.env),
            context,
            fetcher,
            resolver,
            rates,
            copies: Copies::default(),
            metrics,
            trial,
            footing,
        }))
    }

    fn spill(&self) -> Option<&Spill> {
        self.0.carriers.first().and_then(|carrier| carrier.spill.as_ref())
    }

    /// Returns the state of the spill store as last probed, or `None` if no store is configured.
    pub fn store(&self) -> Option<StoreProbe> {
        let is_wrong = || Spill::is_named(&self.0.context.env).then_some(StoreProbe::Failed(CONFIG));
        self.spill().map(Spill::probed).or_else(is_wrong)
    }

    /// Returns the vendor whose queue serves the hooks that name no targets.
    pub fn vendor(&self) -> Vendor {
        self.0.own
    }

    /// Returns one lane for each target of the hook. The error explains which target or topic is missing.
    fn lanes<'g>(&'g self, hook: &'g Hook) -> Result<Vec<Lane<'g, Q>>, Why> {
        let Inner { config, own, carriers, .. } = &*self.0;
        let wrong = |message: String| Why::new(CONFIG, message);
        let lane = |target: Target| {
            let carrier = carriers.iter().find(|carrier| carrier.target == target);
            let carrier = carrier.ok_or_else(|| wrong(format!("there is no target {target} here")))?;
            let recipe = hook.recipe(&target, &config.source_uri);
            let recipe = recipe.ok_or_else(|| wrong(format!("the hook has no topic for {target}")))?;
            Ok((carrier, recipe))
        };
        hook.targets(*own).into_iter().map(lane).collect()
    }

    /// Returns the hook of a request, by the request's head and the length of the body: nothing else is known
    /// before the body has arrived. Refuses the request if the head is enough for that.
    fn admit(&self, request: &Request, length: usize) -> Result<&Hook, Unadmitted<'_>> {
        let Inner { config, context, .. } = &*self.0;
        let hook = match config.lookup(&request.path) {
            Lookup::Hook(hook) => hook,
            Lookup::Unknown => return Err(Unadmitted::refused(None, Problem::NotFound)),
            Lookup::Broken(name) => {
                let why = Why::new(CONFIG, "the hook's configuration has errors");
                return Err(Unadmitted::ours(name, why, RETRY_AFTER_REPAIR));
            }
        };
        let name = hook.name.as_str();
        let refused = |problem| Err(Unadmitted::refused(Some(name), problem));
        // Every hook answers HEAD, with which senders try an address.
        if request.method != "HEAD" && !hook.methods.split(", ").any(|method| method == request.method) {
            return refused(Problem::MethodNotAllowed(hook.methods));
        }
        if request.headers.len() > MAX_HEADERS || request.headers.size() > MAX_HEADER_BYTES {
            return refused(Problem::HeadersTooLarge);
        }
        if length > hook.max_body {
            let limit = Some(hook.max_body);
            return Err(Unadmitted { limit, ..Unadmitted::refused(Some(name), Problem::TooLarge) });
        }
        if context.clock.now() < EARLIEST {
            let why = Why::new("clock", "the clock of this machine is wrong");
            return Err(Unadmitted::ours(name, why, RETRY_AFTER));
        }
        Ok(hook)
    }

    /// Answers a request that was not admitted: a probe, which no hook has a path for, or a request that is
    /// refused, which is logged.
    fn refuse(
        &self,
        request: &Request,
        request_id: &str,
        bytes: Option<usize>,
        unadmitted: Unadmitted<'_>,
    ) -> Response {
        let is_read = matches!(request.method.as_str(), "GET" | "HEAD");
        // A proxy that keeps strangers from `/_/` compares the path as it came: no other spelling may lead there.
        let is_plain = !request.path.contains("//");
        match &*self.0.config.below_base(&request.path) {
            // Balancers ask for the root by default.
            "" if is_read => return alive(),
            HEALTH if is_read && is_plain => return alive(),
            READY if is_read && is_plain => return self.readiness().response(request_id),
            HEALTH | READY if is_plain => return Problem::MethodNotAllowed("GET, HEAD").response(request_id),
            _ => {}
        }
        let Unadmitted { hook, ending, limit } = unadmitted;
        let mut line = Line::new(request_id, Some(request.received), &self.0.metrics);
        line.of_hook(hook);
        let (method, path) = (Some(request.method.clone()), Some(request.path.clone()));
        line.asks(Asked { method, path, bytes, limit, source_ip: request.source_ip });
        line.write(&ending);
        ending.answer.unwrap_or_else(|problem| problem.response(request_id))
    }

    /// Verifies a request of the hook. The ending is the one of a request that is not a delivery, or is
    /// refused.
    async fn check<'g>(
        &'g self,
        hook: &'g Hook,
        request: Request,
        deadline: Instant,
    ) -> Result<Checked<'g, Q>, Ending> {
        let Inner { own, quarantine, context, .. } = &*self.0;
        let now = context.clock.now();
        let lanes = self.lanes(hook);
        // Verification takes the request; its parts are shared, not copied.
        let copy = quarantine.as_ref().filter(|_| hook.keeping.quarantine).zip(Some(request.clone()));
        match (self.verify(hook, request, now, deadline, lanes.is_ok()).await, lanes) {
            (Ok(VerifiedRequest::Delivery(delivery, source)), lanes) => {
                Ok(Checked { delivery, source, lanes })
            }
            (Ok(VerifiedRequest::Handshake(response)), Ok(_)) => {
                Err(Ending::answered(Outcome::Handshake, response))
            }
            (Ok(VerifiedRequest::Handshake(_)), Err(why)) => Err(unverified(why, RETRY_AFTER_REPAIR)),
            (Err(refused), _) => {
                let copy = copy.filter(|_| matches!(refused, RefusedRequest::Rejected(_)));
                let mut ending = refused.ending(hook);
                if let Some((quarantine, request)) = copy {
                    ending.sends.object = quarantine.keep(*own, &hook.name, request, now, deadline).await;
                }
                Err(ending)
            }
        }
    }

    /// Finds a place for a verified delivery at each target of its hook.
    async fn end(&self, hook: &Hook, checked: Checked<'_, Q>, request_id: &str, deadline: Instant) -> Ending {
        let Checked { delivery, source, lanes } = checked;
        match lanes {
            Ok(lanes) => {
                let settled = self.settle((hook, &source), &lanes, &delivery, request_id, deadline);
                beside(settled, hook.source.freshen(&self.0.resolver, deadline)).await
            }
            // The sender was given an address at which it is not served.
            Err(why) => unavailable(why, RETRY_AFTER_REPAIR),
        }
    }
}

impl Gateway<Client> {
    /// Builds the gateway of a function, with a client for each target of its hooks. The vendor's own queue
    /// has a client if a hook names no targets, or if there is no valid hook.
    pub fn connect(config: Config, vendor: Vendor, context: &Context) -> Self {
        let metrics = Metrics::from_env(context, config.names());
        let mut targets: Vec<Target> = Vec::new();
        for target in config.hooks().flat_map(|hook| hook.targets(vendor)) {
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
        if targets.is_empty() {
            targets.push(vendor.into());
        }
        let queue = |target: Target| {
            let queue = Client::new(target.vendor(), config.context_of(&target, context));
            (target, queue)
        };
        let queues = targets.into_iter().map(queue).collect();
        let stores = Stores::from_env(context);
        Self::assemble(config, vendor, queues, stores, context.clone(), metrics)
    }
}

impl<Q: Queue> Service for Gateway<Q> {
    async fn call(&self, mut request: Request) -> Response {
        let request_id = std::mem::take(&mut request.request_id);
        let (received, source_ip, bytes) = (request.received, request.source_ip, request.body.len());
        let hook = match self.admit(&request, bytes) {
            Ok(hook) => hook,
            Err(unadmitted) => return self.refuse(&request, &request_id, Some(bytes), unadmitted),
        };
        let mut line = Line::new(&request_id, Some(received), &self.0.metrics);
        line.of_hook(Some(&hook.name));
        let deadline = deadline(hook, &request);
        let checked = self.check(hook, request, deadline).await;
        line.verified(checked.as_ref().ok().map(|checked| &*checked.delivery));
        let ending = match checked {
            Ok(checked) => self.end(hook, checked, &request_id, deadline).await,
            Err(ending) => ending,
        };
        if ending.answer.is_err() {
            let path = Some(format!("{}{}", self.0.config.base_path, hook.path));
            let is_over = ending.outcome == Outcome::Refused
                && ending.answer.as_ref().err() == Some(&Problem::TooLarge);
            let limit = is_over.then_some(hook.max_body);
            line.asks(Asked { path, bytes: Some(bytes), limit, source_ip, ..Asked::default() });
        }
        line.write(&ending);
        let answer = ending.answer.unwrap_or_else(|problem| problem.response(&request_id));
        Response { is_ack: ending.outcome.is_ack(), ..answer }
    }

    fn admits(&self, head: &Request, announced: usize) -> Result<usize, Response> {
        match self.admit(head, announced) {
            Ok(hook) => Ok(hook.max_body),
            Err(unadmitted) => {
                // The length of a body in chunks is not announced.
                let bytes = Some(announced).filter(|bytes| *bytes < usize::MAX);
                Err(self.refuse(head, &head.request_id, bytes, unadmitted))
            }
        }
    }

    fn max_body(&self) -> usize {
        self.0.config.max_body()
    }

    fn hooks(&self) -> Option<(usize, &str)> {
        let config = &self.0.config;
        Some((config.hooks().count(), &config.file))
    }

    fn endpoints(&self) -> usize {
        let spill = self.spill().map(Spill::store);
        let stores = spill.into_iter().chain(self.0.quarantine.as_ref().map(Quarantine::store));
        self.0.carriers.len() + stores.filter(|store| store.connects()).count()
    }

    fn readiness(&self) -> Readiness {
        self.readiness()
    }

    fn metrics(&self) -> Option<&Metrics> {
        Some(&self.0.metrics)
    }

    async fn prewarm(&self) {
        // All connect concurrently while the function starts, because connecting is mostly waiting.
        join_all(self.0.carriers.iter().map(|carrier| carrier.queue.prewarm())).await;
        if let Some(spill) = self.spill() {
            spill.prewarm().await;
        }
    }

    async fn begin(&self) {
        if self.0.trial.is_none()
            && let Some(spill) = self.spill()
        {
            spill.probe(&self.0.metrics).await;
        }
    }
}

/// Runs `first` to its end, and `second` only until then: a function may be frozen once it has answered, so
/// no work can be left for later.
async fn beside<T>(first: impl Future<Output = T>, second: impl Future<Output = ()>) -> T {
    let second = async {
        second.await;
        pending().await
    };
    tokio::select! {
        biased;
        done = first => done,
        done = second => done,
    }
}

/// Returns the deadline for all work on a request: the sender's (or the hook's) or the platform's, whichever
/// is earlier. A tenth of the sender's time, but at most half a second, is left for the way of the answer.
fn deadline(hook: &Hook, request: &Request) -> Instant {
    let margin = (hook.deadline / 10).min(Duration::from_millis(500));
    let own = request.received + hook.deadline.saturating_sub(margin);
    request.deadline.map_or(own, |platform| platform.min(own))
}
