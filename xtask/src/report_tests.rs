//! Tests of the table at the end of a run.

use std::time::Duration;

use super::{clock, ending, list, skipped, table};
use crate::run::Outcome;
use crate::schedule::State;
use crate::step::{BUILD, Long, Step};

const STEPS: &[Step] = &[
    Step { name: "fast", shows: "it is fast", budget: 60, ..BUILD },
    Step {
        name: "slow",
        shows: "it is slow",
        budget: 60,
        long: Some(Long { adds: "every case", budget: 3600, commands: &[] }),
        ..BUILD
    },
    Step { name: "broken", shows: "it fails", budget: 60, ..BUILD },
    Step { name: "last", shows: "it never starts", budget: 60, ..BUILD },
];

fn told(is_long: bool) -> String {
    let of = |state, seconds| Outcome { state, took: Duration::from_secs(seconds) };
    let outcomes =
        [of(State::Passed, 60), of(State::Passed, 61), of(State::Failed, 5), of(State::Pending, 0)];
    table(&STEPS.iter().collect::<Vec<_>>(), &outcomes, Duration::from_secs(126), is_long)
}

#[test]
fn times_stand_beside_budgets_and_slow_steps_pass() {
    let expected = "\
step                time  budget  verdict
fast                1:00    1:00  passed
slow                1:01    1:00  passed, over budget
broken              0:05    1:00  FAILED
last                   -    1:00  not started
in all              2:06

--long adds
slow             every case (60:00)
";
    assert_eq!(told(false), expected);
}

#[test]
fn the_long_form_has_its_own_budget_and_leaves_nothing_out() {
    let told = told(true);
    assert!(told.contains("slow                1:01   60:00  passed\n"), "{told}");
    assert!(told.ends_with("in all              2:06\n"), "{told}");
}

#[test]
fn the_list_says_what_each_step_shows() {
    assert!(list(STEPS).starts_with("fast              1:00  it is fast\n"), "{}", list(STEPS));
    assert_eq!(clock(3_725), "62:05");
}

#[test]
fn the_end_of_a_failed_step_stands_at_the_end_of_the_run() {
    let log = (1..=30).map(|line| format!("line {line}")).collect::<Vec<_>>().join("\n");
    let told = ending(&STEPS[2], &log);
    assert!(told.starts_with("broken failed; its log ends with:\nline 19\n"), "{told}");
    assert!(told.ends_with("\nline 30"), "{told}");
    assert_eq!(ending(&STEPS[2], "one\n"), "broken failed; its log ends with:\none");
}

#[test]
fn what_a_step_leaves_out_is_found_in_its_log() {
    let log = "$ python3 x\nskipped: caddy is not installed here\n3 tests skipped: none\n";
    assert_eq!(skipped(log).collect::<Vec<_>>(), ["skipped: caddy is not installed here"]);
}
