//! The report of a run in plain words, and the exit code that follows from it.

use std::fmt::Write as _;

use hookmq_shared::clock::Timestamp;
use hookmq_shared::redrive::{Options, RedriveError, RunReport, Stopped, Summary, TargetReport};

use super::output::clean;
use super::show::span;
use super::store::Place;
use crate::Exit;

/// Returns the exit code of a run: all done, something left, or something to correct first.
pub(super) fn exit(report: &RunReport) -> Exit {
    let of = |report: &TargetReport| match report {
        // A target that could not begin needs a correction of the environment, hooks.toml or the store.
        TargetReport::Error(_) | TargetReport::Done(Summary { stopped: Some(Stopped::Store(_)), .. }) => {
            Exit::Configuration
        }
        TargetReport::Done(summary) if summary.left() > 0 || summary.more => Exit::Bad,
        TargetReport::Done(_) => Exit::Good,
    };
    let all: Vec<Exit> = report.0.values().map(of).collect();
    let worst = [Exit::Configuration, Exit::Bad].into_iter().find(|exit| all.contains(exit));
    worst.unwrap_or(Exit::Good)
}

/// Returns true if every target could run and found nothing.
pub(super) fn is_empty(report: &RunReport) -> bool {
    let is_none = |report: &TargetReport| matches!(report, TargetReport::Done(summary) if summary.found == 0);
    report.0.values().all(is_none)
}

/// Returns true if any target's deliveries were moved to `dead/`.
pub(super) fn has_buried(report: &RunReport) -> bool {
    report.0.values().any(|report| matches!(report, TargetReport::Done(summary) if summary.dead > 0))
}

/// Formats one paragraph for each target.
pub(super) fn words(report: &RunReport, options: &Options, now: Timestamp, place: &Place) -> String {
    let mut text = String::new();
    for (target, report) in &report.0 {
        match report {
            TargetReport::Done(summary) => {
                text.push_str(&target_words(&clean(target), summary, options, now, place));
            }
            TargetReport::Error(error) => {
                // Writing to a `String` never fails.
                let _ = writeln!(text, "{}: nothing was sent: {}", clean(target), clean(&error.to_string()));
                if matches!(error, RedriveError::Store(_)) {
                    let _ = writeln!(text, "  {}: {}", clean(&place.to_string()), place.advice);
                }
            }
        }
    }
    text
}

fn target_words(target: &str, summary: &Summary, options: &Options, now: Timestamp, place: &Place) -> String {
    let folder = if options.dead { "dead/" } else { "spill/" };
    let is_empty = summary.found + summary.foreign == 0;
    if is_empty && summary.stopped.is_none() && !summary.more {
        return format!("{target}: nothing in {folder}\n");
    }
    let mut text = format!("{target}: {} found in {folder}", summary.found);
    // Writing to a `String` never fails.
    for (number, what) in [
        (summary.sent, "sent"),
        (summary.repeated, "sent before and removed"),
        (summary.dead, "moved to dead/"),
        (summary.failed, "failed"),
        // Deliveries in dead/ are tried by hand alone.
        (summary.waiting, if options.dead { "not tried" } else { "left for later" }),
        (summary.corrupt, "not readable"),
        (summary.store_errors.saturating_sub(summary.unlisted), "hit a failure of the store"),
        (summary.foreign, "more that hookmq did not write"),
    ] {
        if number > 0 {
            let _ = write!(text, ", {number} {what}");
        }
    }
    text.push('\n');
    let mut add = |line: &str| {
        let _ = writeln!(text, "  {line}");
    };
    for (reason, number) in &summary.reasons {
        add(&clean(&format!("{number} x {reason}")));
    }
    if let Some(next) = &summary.next {
        let wait = Timestamp::parse_rfc3339(next).map(|at| format!(" (in {})", span(now, at)));
        let wait = wait.unwrap_or_default();
        add(&format!("the first of the remaining deliveries is due at {next}{wait}: --now sends it at once"));
    } else if summary.waiting > 0 && !options.now && !options.dead {
        add("deliveries left for later were held back, not reached or are not due: --now tries the last too");
    }
    match &summary.stopped {
        None => {}
        Some(Stopped::Class(class)) => {
            add(&format!("ended early: {} is wrong for all of the target's deliveries", class.as_str()));
        }
        Some(Stopped::Store(error)) => {
            add(&clean(&format!("ended early: {place} fails: {error}")));
            add(place.advice);
        }
        Some(stopped @ (Stopped::NoTime | Stopped::Resting)) => add(&format!("ended early: {stopped}")),
    }
    if summary.unlisted > 0 {
        add(
            "the deliveries of some hooks could not be listed, or not completely: the reasons name the hooks",
        );
    } else if summary.more {
        add("the store holds more than this run reached: run it again");
    }
    if summary.dead > 0 {
        add("to see the deliveries that no queue accepts: hookmq redrive --dead --list");
    }
    if summary.corrupt > 0 {
        add("objects that cannot be read stay in the store: hookmq redrive --list names them");
    }
    if summary.foreign > 0 {
        add("entries that hookmq did not write are not deliveries: hookmq redrive --list names the first");
    }
    text
}
