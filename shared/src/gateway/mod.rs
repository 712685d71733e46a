//! The composition: one request's way from the host to the queue and back (contract 2.4).

mod readmit;
mod verify;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::Timestamp;
use crate::config::{Config, Hook, Lookup};
use crate::context::Context;
use crate::delivery::Delivery;
use crate::fetch::Fetcher;
use crate::forward::{Fate, Forwarder, UNRENDERABLE};
use crate::host::Service;
use crate::http::{MAX_HEADER_BYTES, MAX_HEADERS, Request, Response};
use crate::message::Recipe;
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::quarantine::Quarantine;
use crate::queue::{Class, Queue, Receipt, SendError};
use crate::rate::Rates;
use crate::secret::Resolver;
use crate::source::Source;
use crate::spill::Spill;
use crate::telemetry::{Line, Outcome};
pub(crate) use readmit::Readmission;
use verify::{Refused, Verified, Why};

/// Seconds after which a sender may try again when a person must act first, and when not.
const RETRY_AFTER_REPAIR: u32 = 60;
const RETRY_AFTER: u32 = 5;

/// 2025-01-01, before this program was written. A clock that says less is wrong, and would make every
/// signature one from the future: a 401 for a fault of ours.
const EARLIEST: Timestamp = Timestamp::from_unix(1_735_689_600);

/// The class of what is wrong in our own configuration, as that of a send.
const CONFIG: &str = Class::Config.as_str();

/// Bytes of the longest event that is logged.
const MAX_LOGGED_EVENT: usize = 256;

/// Receives requests for one queue.
#[derive(Debug)]
pub struct Gateway<Q>(Arc<Inner<Q>>);

#[derive(Debug)]
struct Inner<Q> {
    config: Config,
    forwarder: Forwarder<Q>,
    quarantine: Option<Quarantine>,
    context: Context,
    fetcher: Fetcher,
    resolver: Resolver,
    rates: Rates,
    metrics: Metrics,
}

impl<Q> Clone for Gateway<Q> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<Q: Queue> Gateway<Q> {
    /// Puts the parts together and logs every mistake in them; it serves what it can.
    pub fn new(config: Config, queue: Q, context: Context) -> Self {
        let metrics = Metrics::from_env(&context, config.names());
        Self::with_metrics(config, queue, context, metrics)
    }

    /// As [`new`](Self::new), and counts where it is told to.
    pub fn with_metrics(config: Config, queue: Q, context: Context, metrics: Metrics) -> Self {
        for mistake in &config.mistakes {
            match mistake.severity {
                crate::config::Severity::Error => tracing::error!(%mistake, "configuration"),
                crate::config::Severity::Warning => tracing::warn!(%mistake, "configuration"),
            }
        }
        let (spill, quarantine) = (Spill::from_env(&context), Quarantine::from_env(&context));
        let stores = spill.as_ref().err().into_iter().chain(quarantine.as_ref().err());
        let store = spill.iter().flatten().find_map(|spill| spill.store().problem());
        for problem in config.problems.iter().chain(&queue.problems()).chain(stores).chain(&store) {
            tracing::error!(%problem, "configuration");
        }
        let (fetcher, resolver) = (Fetcher::new(&context.env), Resolver::new(&context.env));
        // Without the store, what it should have taken is answered 503: nothing is lost.
        let forwarder = Forwarder { queue, spill: spill.unwrap_or(None), context: context.clone() };
        let quarantine = quarantine.unwrap_or(None);
        let rates = Rates::default();
        Self(Arc::new(Inner { config, forwarder, quarantine, context, fetcher, resolver, rates, metrics }))
    }

    /// Answers a request, and tells the line how it went.
    async fn answer(&self, mut request: Request, line: &mut Line) -> (Outcome, Response) {
        let Inner { config, quarantine, context, .. } = &*self.0;
        let request_id = std::mem::take(&mut request.request_id);
        let answer = |outcome, problem: Problem| (outcome, problem.response(&request_id));
        let refuse = |line: &mut Line, problem: Problem| {
            line.class = Some(problem.name());
            answer(Outcome::Refused, problem)
        };
        let ours = |line: &mut Line, why: Why, retry_after| {
            why.tell(line);
            answer(Outcome::Unavailable, Problem::Unavailable { retry_after })
        };

        let hook = match config.lookup(&request.path) {
            Lookup::Hook(hook) => hook,
            Lookup::Unknown => return refuse(line, Problem::NotFound),
            Lookup::Broken(name) => {
                line.hook = Some(name.to_owned());
                let why = Why(CONFIG, "the hook's configuration has errors".to_owned());
                return ours(line, why, RETRY_AFTER_REPAIR);
            }
        };
        line.hook = Some(hook.name.clone());
        let Some(recipe) = hook.recipe(Q::VENDOR, &config.source_uri) else {
            let why = Why(CONFIG, format!("the hook has no topic for {}", Q::VENDOR.as_str()));
            return ours(line, why, RETRY_AFTER_REPAIR);
        };
        let allowed = hook.methods;
        if !allowed.split(", ").any(|method| method == request.method) {
            return refuse(line, Problem::MethodNotAllowed(allowed));
        }
        if request.headers.len() > MAX_HEADERS || request.headers.size() > MAX_HEADER_BYTES {
            return refuse(line, Problem::HeadersTooLarge);
        }
        if request.body.len() > hook.max_body {
            return refuse(line, Problem::TooLarge);
        }
        let now = context.clock.now();
        if now < EARLIEST {
            let why = Why("clock", "the clock of this machine is wrong".to_owned());
            return ours(line, why, RETRY_AFTER);
        }
        let deadline = deadline(hook, &request);

        // Verification takes the request; its parts are shared, not copied.
        let copy = quarantine.as_ref().filter(|_| hook.keeping.quarantine).zip(Some(request.clone()));
        let verified = self.verify(hook, request, now, deadline).await;
        line.verified();
        let (delivery, source) = match verified {
            Ok(Verified::Delivery(delivery, source)) => (delivery, source),
            Ok(Verified::Handshake(response)) => return (Outcome::Handshake, response),
            Err(Refused::Rejected(why)) => {
                why.tell(line);
                if let Some((quarantine, request)) = copy {
                    quarantine.keep(Q::VENDOR, &hook.name, request, now, deadline).await;
                }
                let forbids = hook.refusal == 403;
                let problem = if forbids { Problem::Forbidden } else { Problem::Unauthorized };
                return answer(Outcome::Rejected, problem);
            }
            Err(Refused::Handshake(status, why)) => {
                why.tell(line);
                let problem =
                    if status == 403 { Problem::Forbidden } else { Problem::MethodNotAllowed(allowed) };
                return answer(Outcome::Rejected, problem);
            }
            Err(Refused::Unavailable(why)) => return ours(line, why, RETRY_AFTER),
        };
        let (outcome, settled) = self.settle((hook, &source), &recipe, &delivery, deadline, line).await;
        match settled {
            Ok(ack) => (outcome, ack),
            Err(problem) => answer(outcome, problem),
        }
    }

    /// Finds a place for a verified delivery: the sender's ack means that it has one.
    async fn settle(
        &self,
        (hook, source): (&Hook, &Source),
        recipe: &Recipe<'_>,
        delivery: &Delivery,
        deadline: Instant,
        line: &mut Line,
    ) -> (Outcome, Result<Response, Problem>) {
        // The body may hold the event's name: what is no name is not logged.
        line.event = delivery.event.clone().filter(|event| event.len() <= MAX_LOGGED_EVENT);
        line.delivery = Some(delivery.id.clone());
        line.secret = delivery.secret;
        line.verifier = delivery.verifier;
        if !hook.wants(delivery.event.as_deref()) {
            return (Outcome::Ignored, Ok(source.ack("ignored", delivery)));
        }
        if let Some(rate) = hook.rate
            && let Err(wait) = self.0.rates.take(&hook.name, rate.allowance())
        {
            Why("rate", format!("more than the hook's {rate}")).tell(line);
            return (Outcome::Limited, Err(rate.problem(wait)));
        }
        let accepted = || source.ack("accepted", delivery);
        match self.0.forwarder.forward(hook, recipe, delivery, deadline, line).await {
            Fate::Queued(receipt) => (Outcome::Accepted, Ok(with_receipt(accepted(), receipt, line))),
            Fate::Repeated(_) => (Outcome::Repeated, Ok(accepted())),
            Fate::Spilled(_, error) => {
                match error {
                    Some(error) => note(error, line),
                    None => line.class = Some("always"),
                }
                (Outcome::Spilled, Ok(accepted()))
            }
            Fate::Dead(_, class, failure) => {
                line.class = Some(class);
                line.reason = Some(format!("{}: {}", failure.errorclass, failure.errormessage));
                line.attempts = failure.errorattempts;
                line.code = failure.errorcode;
                (Outcome::Dead, Ok(accepted()))
            }
            Fate::Unrenderable(error) => {
                Why(UNRENDERABLE, error.to_string()).tell(line);
                (Outcome::Unprocessable, Err(Problem::Unprocessable))
            }
            Fate::Refused(error) => {
                let problem = problem(&error);
                note(error, line);
                let is_too_large = problem == Problem::TooLarge;
                (if is_too_large { Outcome::TooLarge } else { Outcome::Unavailable }, Err(problem))
            }
        }
    }
}

impl<Q: Queue> Service for Gateway<Q> {
    async fn call(&self, request: Request) -> Response {
        let mut line = Line::new(&request.request_id, &self.0.metrics);
        line.received = Some(request.received);
        let (outcome, response) = self.answer(request, &mut line).await;
        line.write(outcome, response.status);
        response
    }

    fn max_body(&self) -> usize {
        self.0.config.max_body()
    }

    fn is_ready(&self) -> bool {
        self.0.config.hooks().any(|hook| hook.recipe(Q::VENDOR, "").is_some())
    }

    fn metrics(&self) -> Option<&Metrics> {
        Some(&self.0.metrics)
    }

    async fn prewarm(&self) {
        let Forwarder { queue, spill, .. } = &self.0.forwarder;
        queue.prewarm().await;
        if let Some(spill) = spill {
            spill.prewarm().await;
        }
    }
}

/// One deadline for everything: the sender's (or the hook's), the platform's, whichever is first. A
/// tenth of the sender's, half a second at most, is left for the answer's way back.
fn deadline(hook: &Hook, request: &Request) -> Instant {
    let margin = (hook.deadline / 10).min(Duration::from_millis(500));
    let own = request.received + hook.deadline.saturating_sub(margin);
    request.deadline.map_or(own, |platform| platform.min(own))
}

/// The ack of a delivery that is in the queue names its message.
fn with_receipt(mut ack: Response, receipt: Receipt, line: &mut Line) -> Response {
    // The id is the vendor's text: only what may stand in a header field goes there.
    if receipt.message_id.bytes().all(|b| b.is_ascii_graphic()) {
        ack = ack.with("x-hookmq-message-id", receipt.message_id.clone());
    }
    line.attempts = receipt.attempts;
    line.vendor_request_id = receipt.request_id;
    line.message_id = Some(receipt.message_id);
    ack
}

/// Contract 2.5 where nobody has the delivery: what is too large is the sender's to know; everything else is
/// our fault or the vendor's, and is asked for again.
fn problem(error: &SendError) -> Problem {
    let default = match error.class {
        Class::TooLarge => return Problem::TooLarge,
        Class::Throttle | Class::Transient | Class::Ambiguous | Class::ClockSkew | Class::AuthRefresh => {
            RETRY_AFTER
        }
        Class::Permanent | Class::Config | Class::Auth | Class::Permission | Class::Quota => {
            RETRY_AFTER_REPAIR
        }
    };
    let asked = error.retry_after.and_then(|d| u32::try_from(d.as_secs()).ok()).unwrap_or(0);
    Problem::Unavailable { retry_after: asked.clamp(default, 3600) }
}

fn note(error: SendError, line: &mut Line) {
    line.class = Some(error.class.as_str());
    line.reason = Some(error.to_string());
    line.attempts = error.attempts;
    line.maybe_stored = error.maybe_stored;
    line.code = error.code;
    line.vendor_request_id = error.request_id;
}
