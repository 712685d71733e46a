//! The texts of a run: durations, verdicts and the table at its end.

use std::fmt::Write as _;
use std::time::Duration;

use crate::run::Outcome;
use crate::schedule::State;
use crate::step::Step;

/// Number of lines of a failed step's log that stand at the end of a run.
const LAST: usize = 12;

/// Returns a duration as minutes and seconds.
pub(crate) fn clock(seconds: u64) -> String {
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// Returns the word for how a step ended. Time never fails a run: a slow step is named and passes.
fn verdict(step: &Step, outcome: Outcome, is_long: bool) -> &'static str {
    match outcome.state {
        State::Pending | State::Running => "not started",
        State::Failed => "FAILED",
        State::Passed if outcome.took.as_secs() > step.expected(is_long) => "passed, over budget",
        State::Passed => "passed",
    }
}

/// Returns the table of a run: each step with its time beside its budget, and what the short form left out.
pub(crate) fn table(steps: &[&Step], outcomes: &[Outcome], total: Duration, is_long: bool) -> String {
    let mut text = format!("{:<16} {:>7} {:>7}  verdict\n", "step", "time", "budget");
    for (step, &outcome) in steps.iter().zip(outcomes) {
        let time =
            if outcome.state == State::Pending { "-".to_owned() } else { clock(outcome.took.as_secs()) };
        let budget = clock(step.expected(is_long));
        line(
            &mut text,
            format_args!("{:<16} {time:>7} {budget:>7}  {}", step.name, verdict(step, outcome, is_long)),
        );
    }
    line(&mut text, format_args!("{:<16} {:>7}", "in all", clock(total.as_secs())));
    if !is_long && steps.iter().any(|step| step.long.is_some()) {
        line(&mut text, format_args!("\n--long adds"));
        for (step, long) in steps.iter().filter_map(|step| Some((step, step.long.as_ref()?))) {
            line(&mut text, format_args!("{:<16} {} ({})", step.name, long.adds, clock(long.budget)));
        }
    }
    text
}

/// Returns the lines in which a step says what it left out, because this machine does not have it.
pub(crate) fn skipped(log: &str) -> impl Iterator<Item = &str> {
    log.lines().filter(|line| line.starts_with("skipped: "))
}

/// Returns the last lines of a failed step's log.
pub(crate) fn ending(step: &Step, log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let last = &lines[lines.len().saturating_sub(LAST)..];
    format!("{} failed; its log ends with:\n{}", step.name, last.join("\n"))
}

/// Returns the list of steps, each with its budget and what it shows.
pub(crate) fn list(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        line(&mut text, format_args!("{:<16} {:>5}  {}", step.name, clock(step.budget), step.shows));
    }
    text
}

/// Appends a line to a text.
fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{line}");
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
