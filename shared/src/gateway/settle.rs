//! End of a verified delivery: a place at each of its targets, or no acknowledgement.

use futures_util::future::join_all;
use tokio::time::Instant;

use super::copies::weight;
use super::verify::Why;
use super::{Gateway, MAX_LOGGED_EVENT, RETRY_AFTER, RETRY_AFTER_REPAIR};
use crate::carry::{Cargo, Carrier, Fate, Load, Report, UNRENDERABLE};
use crate::config::Hook;
use crate::delivery::Delivery;
use crate::http::Response;
use crate::message::Recipe;
use crate::outcome::Outcome;
use crate::problem::Problem;
use crate::queue::{Class, Queue, SendError, Target};
use crate::source::Source;
use crate::telemetry::Line;

/// Way of a hook's deliveries to one target: the carrier, and the recipe for the messages.
pub(super) type Lane<'g, Q> = (&'g Carrier<Q>, Recipe<'g>);

impl<Q: Queue> Gateway<Q> {
    /// Takes the delivery to a safe place on every lane: an ack to the sender means that each lane has it.
    pub(super) async fn settle(
        &self,
        (hook, source): (&Hook, &Source),
        lanes: &[Lane<'_, Q>],
        delivery: &Delivery,
        deadline: Instant,
        line: &mut Line,
    ) -> (Outcome, Result<Response, Problem>) {
        // The event's name may come from the body: a text too long for a name is not logged.
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
        let _beside = self.0.trial.as_ref().map(|trial| trial.beside());
        let ends = lanes.iter().map(|(carrier, recipe)| async {
            let weight = weight(delivery, recipe, carrier.spill.is_some());
            let Some(_held) = self.0.copies.hold(weight, deadline).await else {
                let error = SendError::ours("other large deliveries take the memory");
                return end_at(&carrier.target, Report::of(Fate::Held(error)));
            };
            let cargo = Cargo {
                load: Load::Sender(delivery),
                hook: Some(hook),
                recipe: Some(recipe.clone()),
                deadline,
            };
            let report = carrier.carry(cargo).await;
            if let Some(took) = report.sending(Instant::now()) {
                self.0.metrics.sent(carrier.target.name(), took);
            }
            end_at(&carrier.target, report)
        });
        let ends = join_all(ends).await;
        finish(ends, source, delivery, line)
    }
}

/// Result of a delivery at one target.
struct End<'t> {
    target: &'t Target,
    outcome: Outcome,
    /// Problem that the sender is told; `None` if this target permits an ack.
    problem: Option<Problem>,
    class: Option<&'static str>,
    reason: Option<String>,
    code: Option<String>,
    message_id: Option<String>,
    vendor_request_id: Option<String>,
    attempts: u32,
    maybe_stored: bool,
    rendered: Option<Instant>,
    sent: Option<Instant>,
}

fn end_at(target: &Target, report: Report) -> End<'_> {
    let Report { fate, rendered, sent, .. } = report;
    let mut end = End {
        target,
        outcome: Outcome::Accepted,
        problem: None,
        class: None,
        reason: None,
        code: None,
        message_id: None,
        vendor_request_id: None,
        attempts: 0,
        maybe_stored: false,
        rendered,
        sent,
    };
    match fate {
        Fate::Queued(receipt) => {
            end.attempts = receipt.attempts;
            end.vendor_request_id = receipt.request_id;
            end.message_id = Some(receipt.message_id);
        }
        Fate::Repeated(_) => end.outcome = Outcome::Repeated,
        Fate::Spilled(_, error) => {
            end.outcome = Outcome::Spilled;
            match error {
                Some(error) => end.note(error),
                None => end.class = Some("always"),
            }
        }
        Fate::Dead(_, class, failure) => {
            end.outcome = Outcome::Dead;
            end.class = Some(class);
            end.reason = Some(format!("{}: {}", failure.errorclass, failure.errormessage));
            end.attempts = failure.errorattempts;
            end.code = failure.errorcode;
        }
        Fate::Unrenderable(error) => {
            (end.outcome, end.problem) = (Outcome::Unprocessable, Some(Problem::Unprocessable));
            (end.class, end.reason) = (Some(UNRENDERABLE), Some(error.to_string()));
        }
        Fate::Refused(error) | Fate::Failed(error) | Fate::Held(error) => {
            let problem = problem(&error);
            let is_too_large = problem == Problem::TooLarge;
            end.outcome = if is_too_large { Outcome::TooLarge } else { Outcome::Unavailable };
            end.problem = Some(problem);
            end.note(error);
        }
        // Ends of deliveries that come from the store, not from a sender.
        Fate::NoMessage | Fate::StoreFailed(_) => {
            let problem = Problem::Unavailable { retry_after: RETRY_AFTER };
            (end.outcome, end.problem) = (Outcome::Unavailable, Some(problem));
        }
    }
    end
}

impl End<'_> {
    fn note(&mut self, error: SendError) {
        self.class = Some(error.class.as_str());
        self.reason = Some(error.to_string());
        self.attempts = error.attempts;
        self.maybe_stored = error.maybe_stored;
        self.code = error.code;
        self.vendor_request_id = error.request_id;
    }

    /// Returns the rank of a result: the highest rank of all targets decides the answer. A delivery that only
    /// some targets have is not acknowledged, and a failure that a retry may cure outranks one that it
    /// cannot.
    const fn rank(&self) -> u8 {
        match self.outcome {
            Outcome::Unavailable => 6,
            Outcome::TooLarge => 5,
            Outcome::Unprocessable => 4,
            Outcome::Dead => 3,
            Outcome::Spilled => 2,
            Outcome::Accepted => 1,
            _ => 0,
        }
    }

    fn log(&self, line: &Line) {
        let Self { target, outcome, class, attempts, .. } = self;
        tracing::info!(
            request_id = %line.request_id,
            hook = line.hook.as_deref(),
            delivery = line.delivery.as_deref(),
            to = target.name(),
            outcome = outcome.as_str(),
            class,
            reason = self.reason.as_deref(),
            attempts,
            message_id = self.message_id.as_deref(),
            code = self.code.as_deref(),
            vendor_request_id = self.vendor_request_id.as_deref(),
            maybe_stored = self.maybe_stored.then_some(true),
            "target"
        );
    }
}

/// Combines the results of all targets into one answer and one log line. If there are several targets, each
/// also has a line of its own.
fn finish(
    ends: Vec<End<'_>>,
    source: &Source,
    delivery: &Delivery,
    line: &mut Line,
) -> (Outcome, Result<Response, Problem>) {
    let is_one = ends.len() == 1;
    if !is_one {
        for end in &ends {
            end.log(line);
        }
    }
    line.rendered = ends.iter().filter_map(|end| end.rendered).max();
    line.sent = ends.iter().filter_map(|end| end.sent).max();
    line.attempts = ends.iter().map(|end| end.attempts).sum();
    line.maybe_stored = ends.iter().any(|end| end.maybe_stored);
    // The id is the vendor's text: only printable ASCII may go into a header field.
    let is_header = |id: &&String| id.bytes().all(|b| b.is_ascii_graphic());
    let mut ack = source.ack("accepted", delivery);
    for (target, id) in ends.iter().filter_map(|end| Some((end.target, end.message_id.as_ref()?))) {
        if let Some(id) = Some(id).filter(is_header) {
            let value = if is_one { id.clone() } else { format!("{target}={id}") };
            ack = ack.with("x-hookmq-message-id", value);
        }
    }
    let Some(worst) = ends.into_iter().max_by_key(End::rank) else {
        // A hook without a lane is refused earlier.
        return (Outcome::Unavailable, Err(Problem::Unavailable { retry_after: RETRY_AFTER_REPAIR }));
    };
    line.class = worst.class;
    line.reason =
        worst.reason.map(|reason| if is_one { reason } else { format!("{}: {reason}", worst.target) });
    line.code = worst.code;
    if is_one {
        line.message_id = worst.message_id;
        line.vendor_request_id = worst.vendor_request_id;
    }
    (worst.outcome, worst.problem.map_or(Ok(ack), Err))
}

/// Converts the error of a delivery that neither a queue nor a store has. The sender is told if the delivery
/// is too large; every other failure is our fault or the vendor's, and the sender is asked to retry (see the
/// table of classes in `docs/delivery-semantics.md`).
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
