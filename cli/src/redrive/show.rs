//! `--list` and `--dry-run`: lists the content of the store page by page, but never a body, a header field or
//! a query.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use hookmq_shared::clock::Timestamp;
use hookmq_shared::context::Context;
use hookmq_shared::redrive::{Found, Known, Options, Plan, RedriveJob, Sight, Unlisted};
use hookmq_shared::spill::History;
use hookmq_shared::store::{Foreign, StoreError};
use serde::Serialize;
use tokio::time::Instant;

use super::output::{clean, visible, write};
use crate::{Exit, complain};

/// Options of the listing.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(super) struct Form {
    pub(super) is_json: bool,
    /// True for `--dry-run`: the plan for each delivery is shown.
    pub(super) has_plan: bool,
    /// True for `--dead`: the listing covers `dead/`, whose deliveries are never tried automatically.
    pub(super) is_dead: bool,
    /// True for `--now`: deliveries that are not due yet count as due.
    pub(super) is_now: bool,
}

/// Numbers of listed deliveries, by state and plan.
#[derive(Debug, Default)]
struct Count {
    deliveries: usize,
    early: usize,
    sent: usize,
    stays: usize,
    repeats: usize,
    buried: usize,
    unreadable: usize,
    /// Targets of the deliveries that have a plan: a run meets their wrong settings.
    met: BTreeSet<String>,
}

/// First wrong setting of each target that nothing can be sent to.
type Blocked = BTreeMap<String, String>;

/// Prints every delivery that the options select.
pub(super) async fn all(
    job: &RedriveJob,
    options: &Options,
    form: Form,
    context: &Context,
    deadline: Instant,
) -> Result<Exit, StoreError> {
    let failed = |error: std::io::Error| StoreError::Other(format!("cannot write what it holds: {error}"));
    let mut pages = job.pages(options, form.has_plan, deadline).await?;
    let blocked = if form.has_plan { job.problems(options) } else { Vec::new() };
    let blocked: Blocked =
        blocked.into_iter().map(|(target, problem)| (target.to_owned(), problem.to_string())).collect();
    let mut count = Count::default();
    while let Some(page) = pages.next(deadline).await? {
        let now = context.clock.now();
        let mut text = String::new();
        for sight in &page {
            if count.deliveries + count.unreadable == 0 && !form.is_json {
                text.push_str(HEAD);
            }
            let why = blocked.get(&sight.target).map(String::as_str);
            count.add(sight, why.is_some());
            text.push_str(&if form.is_json { line(sight, why, now) } else { words(sight, form, why, now) });
        }
        // The reader has closed the pipe.
        if !write(&visible(&text)).map_err(failed)? {
            return Ok(Exit::Good);
        }
    }
    let is_met = |(target, _): &(&String, &String)| count.met.contains(*target);
    let wrong: Vec<(&String, &String)> = blocked.iter().filter(is_met).collect();
    if !form.is_json {
        let mut end = count.words(form);
        for (target, problem) in &wrong {
            // Writing to a `String` never fails.
            let _ = writeln!(end, "{target}: nothing can be sent to it: {problem}");
        }
        end.push_str(dead(job, options, deadline).await);
        write(&visible(&end)).map_err(failed)?;
    }
    if let Some(words) = foreign(pages.foreign()) {
        complain(words);
    }
    for Unlisted { target, hook, error } in pages.unlisted() {
        complain(format!(
            "{}: the deliveries of {} cannot be listed: {}",
            clean(target),
            clean(hook),
            clean(&error.to_string())
        ));
    }
    Ok(match (wrong.is_empty(), pages.unlisted().is_empty()) {
        (false, _) => Exit::Configuration,
        (true, false) => Exit::Bad,
        (true, true) => Exit::Good,
    })
}

/// Returns the last line of an output that is not about `dead/`, if there are deliveries; empty if not, or if
/// the store does not answer, and the command succeeds all the same.
pub(super) async fn dead(job: &RedriveJob, options: &Options, deadline: Instant) -> &'static str {
    let has_dead = !options.dead && job.has_dead(options, deadline).await.unwrap_or(false);
    if has_dead { "dead/ has deliveries too: hookmq redrive --dead --list shows them\n" } else { "" }
}

/// Formats a note on foreign entries, which hookmq did not write, if there are any.
pub(super) fn foreign(found: &Foreign) -> Option<String> {
    let example = clean(found.example.as_deref()?);
    let (entries, are) = if found.count == 1 { ("entry", "is") } else { ("entries", "are") };
    Some(format!(
        "{} {entries} in the store {are} not hookmq's and {are} skipped (links, or names that hookmq \
         does not use), such as {example}",
        found.count
    ))
}

impl Count {
    fn add(&mut self, sight: &Sight, is_blocked: bool) {
        let Found::Delivery(known) = &sight.found else {
            self.unreadable += 1;
            return;
        };
        self.deliveries += 1;
        self.early += usize::from(known.next.is_some());
        if known.plan.is_some() && !self.met.contains(&sight.target) {
            self.met.insert(sight.target.clone());
        }
        match &known.plan {
            Some(Plan::Send { .. }) if is_blocked => self.stays += 1,
            Some(Plan::Send { .. }) => self.sent += 1,
            Some(Plan::Repeat) => self.repeats += 1,
            Some(Plan::Bury(_)) => self.buried += 1,
            Some(Plan::Stay(_) | Plan::NoTarget) => self.stays += 1,
            Some(Plan::Early(_)) | None => {}
        }
    }

    fn words(&self, form: Form) -> String {
        let Self { deliveries, early, sent, stays, repeats, buried, unreadable, met: _ } = *self;
        let mut text = format!("{deliveries} {}", if deliveries == 1 { "delivery" } else { "deliveries" });
        // Writing to a `String` never fails.
        let mut and = |number: usize, what: &str| {
            if number > 0 {
                let _ = write!(text, ", {number} {what}");
            }
        };
        if form.has_plan {
            and(sent, "would be sent");
            and(repeats, "would be removed, sent before");
            and(buried, "would go to dead/");
            and(stays, "would stay");
        }
        if !form.is_dead {
            and(early, if form.is_now { "not due yet" } else { "not due yet (--now takes them too)" });
        }
        if unreadable > 0 {
            let _ = write!(text, ", and {unreadable} that cannot be read");
        }
        text.push('\n');
        text
    }
}

const HEAD: &str = "AGE   TARGET       HOOK             EVENT                    TRIES NEXT    ID\n";

fn words(sight: &Sight, form: Form, blocked: Option<&str>, now: Timestamp) -> String {
    let Sight { object, target, hook, found, kept, .. } = sight;
    let (target, hook) = (clean(target), clean(hook));
    match found {
        Found::Unreadable(why) => {
            let age = span(*kept, now);
            format!("{age:<5} {target:<12} {hook:<16} cannot be read: {}: {}\n", clean(object), clean(why))
        }
        Found::Delivery(known) => {
            let Known { id, event, received, failure, next, plan } = &**known;
            let next = match next {
                _ if form.is_dead => "by hand".to_owned(),
                None => "now".to_owned(),
                Some(next) => format!("in {}", span(now, *next)),
            };
            let (age, tries) = (span(*received, now), failure.errorattempts);
            let event = event.as_deref().map_or_else(|| "-".to_owned(), clean);
            let mut text =
                format!("{age:<5} {target:<12} {hook:<16} {event:<24} {tries:>5} {next:<7} {}\n", clean(id));
            // Writing to a `String` never fails.
            let _ = writeln!(text, "      {}", reason(failure));
            if let Some(plan) = plan {
                let _ = writeln!(text, "      -> {}", clean(&told(plan, blocked, now)));
            }
            text
        }
    }
}

/// Explains why a delivery is kept.
fn reason(failure: &History) -> String {
    let History { errorclass, errorcode, errormessage, .. } = failure;
    if errorclass == "always" {
        return "its hook keeps all first (spill = \"always\")".to_owned();
    }
    // Most messages contain the code already.
    let code = errorcode.as_ref().filter(|code| !errormessage.contains(code.as_str()));
    let code = code.map(|code| format!(" {code}")).unwrap_or_default();
    clean(&format!("{errorclass}{code}: {errormessage}"))
}

fn told(plan: &Plan, blocked: Option<&str>, now: Timestamp) -> String {
    match plan {
        Plan::Send { topic, is_new, refers, instead } => {
            let stays = blocked.map(|_| "stays, as nothing can be sent to its target; else ");
            let mut text = format!("{}to {topic}, ", stays.unwrap_or_default());
            text.push_str(if *is_new {
                "made with the current hooks.toml"
            } else {
                "the message as it is stored"
            });
            if *refers {
                text.push_str(", which refers to its body (written again)");
            }
            if let Some(why) = instead {
                let _ = write!(text, "; the current hooks.toml makes none: {why}");
            }
            text
        }
        Plan::Repeat => "removed: it was sent before".to_owned(),
        Plan::Bury(why) => format!("to dead/: {why}"),
        Plan::Stay(why) => format!("stays, no message can be made from it: {why}"),
        Plan::Early(next) => {
            format!("stays until {} (in {}); --now sends it", next.rfc3339(), span(now, *next))
        }
        Plan::NoTarget => "stays: hooks.toml has no valid [targets] table of this name".to_owned(),
    }
}

/// Formats the time between two timestamps in a suitable unit, such as `90s` or `3h`.
pub(super) fn span(from: Timestamp, to: Timestamp) -> String {
    let seconds = to.unix().saturating_sub(from.unix()).max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// One line of JSON output, as `docs/delivery-semantics.md` describes it.
#[derive(Serialize)]
struct Line<'a> {
    object: &'a str,
    target: &'a str,
    hook: &'a str,
    size: u64,
    kept: String,
    #[serde(flatten)]
    delivery: Option<Delivery<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<&'a str>,
}

#[derive(Serialize)]
struct Delivery<'a> {
    id: &'a str,
    event: Option<&'a str>,
    received: String,
    age_s: i64,
    class: &'a str,
    code: Option<&'a str>,
    message: &'a str,
    attempts: u32,
    first: String,
    last: String,
    next: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<Action<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "do", rename_all = "lowercase")]
enum Action<'a> {
    Send { topic: &'a str, made: &'a str, refers: bool, instead: Option<&'a str> },
    Remove,
    Bury { why: &'a str },
    Stay { why: &'a str },
    Wait { until: String },
}

impl<'a> Action<'a> {
    fn of(plan: &'a Plan, blocked: Option<&'a str>) -> Self {
        if let (Plan::Send { .. }, Some(why)) = (plan, blocked) {
            return Self::Stay { why };
        }
        match plan {
            Plan::Send { topic, is_new, refers, instead } => {
                let made = if *is_new { "anew" } else { "stored" };
                Self::Send { topic, made, refers: *refers, instead: instead.as_deref() }
            }
            Plan::Repeat => Self::Remove,
            Plan::Bury(why) => Self::Bury { why },
            Plan::Stay(why) => Self::Stay { why },
            Plan::Early(next) => Self::Wait { until: next.rfc3339() },
            Plan::NoTarget => Self::Stay { why: "no target of that name" },
        }
    }
}

fn line(sight: &Sight, blocked: Option<&str>, now: Timestamp) -> String {
    let Sight { object, target, hook, size, kept, found } = sight;
    let (delivery, unreadable) = match found {
        Found::Unreadable(why) => (None, Some(why.as_str())),
        Found::Delivery(known) => {
            let Known { id, event, received, failure, next, plan } = &**known;
            let delivery = Delivery {
                id,
                event: event.as_deref(),
                received: received.rfc3339(),
                age_s: now.unix().saturating_sub(received.unix()),
                class: &failure.errorclass,
                code: failure.errorcode.as_deref(),
                message: &failure.errormessage,
                attempts: failure.errorattempts,
                first: failure.errorfirsttime.rfc3339(),
                last: failure.errorlasttime.rfc3339(),
                next: next.map(Timestamp::rfc3339),
                plan: plan.as_ref().map(|plan| Action::of(plan, blocked)),
            };
            (Some(delivery), None)
        }
    };
    let line = Line { object, target, hook, size: *size, kept: kept.rfc3339(), delivery, unreadable };
    // Strings and numbers always serialize.
    serde_json::to_string(&line).unwrap_or_default() + "\n"
}
