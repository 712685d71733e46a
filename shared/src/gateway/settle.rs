//! End of a verified delivery: a place at each of its targets, or no acknowledgement.

use futures_util::future::join_all;
use tokio::time::Instant;

use super::copies::weight;
use super::{Gateway, RETRY_AFTER, RETRY_AFTER_REPAIR};
use crate::carry::{Cargo, Carrier, CarryReport, DeadCause, Fate, Load, UNRENDERABLE};
use crate::config::Hook;
use crate::delivery::Delivery;
use crate::message::Recipe;
use crate::outcome::{Ending, Outcome, Sends, Why};
use crate::problem::Problem;
use crate::queue::{Class, Queue, SendError, Target};
use crate::source::Source;
use crate::spill::Folder;

/// Way of a hook's deliveries to one target: the carrier, and the recipe for the messages.
pub(super) type Lane<'g, Q> = (&'g Carrier<Q>, Recipe<'g>);

impl<Q: Queue> Gateway<Q> {
    /// Takes the delivery to a safe place on every lane: an ack to the sender means that each lane has it.
    pub(super) async fn settle(
        &self,
        (hook, source): (&Hook, &Source),
        lanes: &[Lane<'_, Q>],
        delivery: &Delivery,
        request_id: &str,
        deadline: Instant,
    ) -> Ending {
        if delivery.may_have_other_events && delivery.event.is_none() {
            tracing::warn!(hook = hook.name, "the name of the event cannot be read: the delivery has none");
        }
        if let Some(rule) = hook.drops(delivery) {
            let ending = Ending::answered(Outcome::Ignored, source.ack("ignored", delivery));
            return ending.because(Why::new("events", rule));
        }
        if let Some(rate) = hook.rate
            && let Err(wait) = self.0.rates.take(&hook.name, rate.allowance())
        {
            let why = Why::new("rate", format!("more than the hook's {rate}"));
            return Ending::refused(Outcome::Limited, rate.problem(wait)).because(why);
        }
        let _beside = self.0.trial.as_ref().map(|trial| trial.beside());
        let ends = lanes.iter().map(|(carrier, recipe)| async {
            let weight = weight(delivery, recipe, carrier.spill.is_some());
            let Some(_held) = self.0.copies.hold(weight, deadline).await else {
                let error = SendError::new(Class::Transient, "other large deliveries use up the memory");
                return end_at(&carrier.target, delivery, CarryReport::of(Fate::Held(error)));
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
            end_at(&carrier.target, delivery, report)
        });
        let ends = join_all(ends).await;
        if ends.len() > 1 {
            for end in &ends {
                end.log(hook, delivery, request_id);
            }
        }
        finish(ends, source, delivery)
    }
}

/// End of a delivery at one target.
struct TargetEnd<'t> {
    target: &'t Target,
    outcome: Outcome,
    /// Problem that the sender is told, if the end is not an ack.
    problem: Option<Problem>,
    why: Option<Why>,
    sends: Sends,
}

fn end_at<'t>(target: &'t Target, delivery: &Delivery, report: CarryReport) -> TargetEnd<'t> {
    let CarryReport { fate, topic, rendered, sent, .. } = report;
    let sends = Sends { topic, rendered, sent, ..Sends::default() };
    let mut end = TargetEnd { target, outcome: Outcome::Accepted, problem: None, why: None, sends };
    match fate {
        Fate::Queued(receipt) => {
            end.why = receipt.is_uncopied.then_some(Why::bare("uncopied"));
            end.sends.attempts = receipt.attempts;
            end.sends.receipt_request_id = receipt.request_id;
            end.sends.message_id = Some(receipt.message_id);
        }
        Fate::Repeated(_) => end.outcome = Outcome::Repeated,
        Fate::Spilled(_, error) => {
            end.outcome = Outcome::Spilled;
            end.sends.object = Some(Folder::Spill.name(target, delivery));
            match error {
                Some(error) => end.note(error),
                None => end.why = Some(Why::bare("always")),
            }
        }
        Fate::Dead(_, DeadCause { class, history, error }) => {
            end.outcome = Outcome::Dead;
            end.sends.object = Some(Folder::Dead.name(target, delivery));
            end.why = Some(Why::new(class, format!("{}: {}", history.errorclass, history.errormessage)));
            end.sends.attempts = history.errorattempts;
            end.sends.failure = error.map(|error| error.failure);
        }
        Fate::Unrenderable(error) => {
            (end.outcome, end.problem) = (Outcome::Unprocessable, Some(Problem::Unprocessable));
            end.why = Some(Why::new(UNRENDERABLE, error.to_string()));
        }
        Fate::Refused(error) | Fate::Failed(error) | Fate::Held(error) => {
            let problem = problem(&error);
            let is_too_large = problem == Problem::TooLarge;
            end.outcome = if is_too_large { Outcome::TooLarge } else { Outcome::Unavailable };
            end.problem = Some(problem);
            end.note(error);
        }
        // These ends occur only for deliveries from the store, not from a sender.
        Fate::NoMessage | Fate::StoreFailed(_) => {
            let problem = Problem::Unavailable { retry_after: RETRY_AFTER };
            (end.outcome, end.problem) = (Outcome::Unavailable, Some(problem));
        }
    }
    end
}

impl TargetEnd<'_> {
    fn note(&mut self, error: SendError) {
        self.why = Some(Why::new(error.class.as_str(), error.to_string()));
        self.sends.attempts = error.attempts;
        self.sends.maybe_stored = error.maybe_stored;
        self.sends.failure = Some(error.failure);
    }

    /// Returns the rank of a result: the highest rank of all targets decides the answer. A delivery that only
    /// some targets have is not acknowledged, and a failure that a retry may cure outranks one that it
    /// cannot.
    const fn rank(&self) -> u8 {
        match self.outcome {
            Outcome::Unavailable => 7,
            Outcome::TooLarge => 6,
            Outcome::Unprocessable => 5,
            Outcome::Dead => 4,
            Outcome::Spilled => 3,
            Outcome::Accepted if self.why.is_some() => 2,
            Outcome::Accepted => 1,
            _ => 0,
        }
    }

    fn log(&self, hook: &Hook, delivery: &Delivery, request_id: &str) {
        let Self { target, outcome, why, sends, .. } = self;
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    request_id,
                    hook = hook.name,
                    delivery = delivery.id,
                    to = target.name(),
                    outcome = outcome.as_str(),
                    class = why.as_ref().map(|why| why.class),
                    reason = why.as_ref().and_then(|why| why.reason.as_deref()),
                    topic = sends.topic.as_deref(),
                    attempts = sends.attempts,
                    message_id = sends.message_id.as_deref(),
                    code = sends.code(),
                    vendor_request_id = sends.vendor_request_id(),
                    maybe_stored = sends.maybe_stored.then_some(true),
                    object = sends.object.as_deref(),
                    "target"
                )
            };
        }
        // The levels are those of the delivery's own line.
        match outcome {
            Outcome::Spilled | Outcome::Unprocessable | Outcome::TooLarge => line!(warn),
            Outcome::Dead | Outcome::Unavailable => line!(error),
            _ => line!(info),
        }
    }
}

/// Joins the ends at all targets into one ending.
fn finish(ends: Vec<TargetEnd<'_>>, source: &Source, delivery: &Delivery) -> Ending {
    let is_one = ends.len() == 1;
    let mut sends = Sends {
        attempts: ends.iter().map(|end| end.sends.attempts).sum(),
        maybe_stored: ends.iter().any(|end| end.sends.maybe_stored),
        rendered: ends.iter().filter_map(|end| end.sends.rendered).max(),
        sent: ends.iter().filter_map(|end| end.sends.sent).max(),
        ..Sends::default()
    };
    // The id is the vendor's text: only a text that a header field may hold goes there.
    let is_header = |id: &&String| id.bytes().all(|b| b.is_ascii_graphic());
    let mut ack = source.ack("accepted", delivery);
    for (target, id) in ends.iter().filter_map(|end| Some((end.target, end.sends.message_id.as_ref()?))) {
        if let Some(id) = Some(id).filter(is_header) {
            let value = if is_one { id.clone() } else { format!("{target}={id}") };
            ack = ack.with("x-hookmq-message-id", value);
        }
    }
    let Some(worst) = ends.into_iter().max_by_key(TargetEnd::rank) else {
        // A hook without a target is refused before.
        return Ending::refused(
            Outcome::Unavailable,
            Problem::Unavailable { retry_after: RETRY_AFTER_REPAIR },
        );
    };
    sends.failure = worst.sends.failure;
    sends.object = worst.sends.object;
    if is_one {
        sends.target = Some(worst.target.clone());
        sends.topic = worst.sends.topic;
        sends.message_id = worst.sends.message_id;
        sends.receipt_request_id = worst.sends.receipt_request_id;
    }
    let named = |reason| if is_one { reason } else { format!("{}: {reason}", worst.target) };
    let why = worst.why.map(|why| Why { reason: why.reason.map(named), ..why });
    Ending { outcome: worst.outcome, why, sends, answer: worst.problem.map_or(Ok(ack), Err) }
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
