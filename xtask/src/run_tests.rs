//! Tests of the threads of a run and of the processes of a step.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::Duration;

use super::{Outcome, Place, drive};
use crate::schedule::State;
use crate::step::{BUILD, MEASURE, Step, WAIT};

const STEPS: &[Step] = &[
    Step { name: "download", ..WAIT },
    Step { name: "compile", ..BUILD },
    Step { name: "measure", ..MEASURE },
    Step { name: "container", after: &["compile"], ..WAIT },
    Step { name: "link", ..BUILD },
];

fn states(outcomes: &[Outcome]) -> Vec<State> {
    outcomes.iter().map(|outcome| outcome.state).collect()
}

#[test]
fn lanes_run_beside_each_other_and_a_measurement_runs_alone() {
    let steps: Vec<&Step> = STEPS.iter().collect();
    let (running, beside) = (AtomicUsize::new(0), Mutex::new(0));
    let meeting = Condvar::new();
    let outcomes = drive(&steps, &|step| {
        running.fetch_add(1, Ordering::SeqCst);
        let has_passed = match step.name {
            // Each of the two goes on when the other one runs too.
            "download" | "compile" => {
                let mut count = beside.lock().unwrap();
                *count += 1;
                meeting.notify_all();
                let wait = meeting.wait_timeout_while(count, Duration::from_secs(10), |count| *count < 2);
                !wait.unwrap().1.timed_out()
            }
            "measure" => {
                thread::sleep(Duration::from_millis(50));
                running.load(Ordering::SeqCst) == 1
            }
            _ => true,
        };
        running.fetch_sub(1, Ordering::SeqCst);
        has_passed
    });
    assert_eq!(states(&outcomes), [State::Passed; 5]);
    assert!(outcomes[2].took >= Duration::from_millis(50));
}

#[test]
fn a_failure_ends_the_run_after_what_runs() {
    let steps: Vec<&Step> = STEPS.iter().collect();
    let outcomes = drive(&steps, &|step| {
        // The download is still running when the compiler fails.
        thread::sleep(Duration::from_millis(if step.name == "download" { 200 } else { 1 }));
        step.name != "compile"
    });
    let pending = State::Pending;
    assert_eq!(states(&outcomes), [State::Passed, State::Failed, pending, pending, pending]);
    assert_eq!(outcomes[4].took, Duration::ZERO);
}

fn place(name: &str) -> Place {
    let logs = std::env::temp_dir().join(format!("xtask-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&logs).unwrap();
    Place { root: PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src"), logs, is_shown: false }
}

#[test]
fn commands_run_until_one_fails_and_the_log_has_them_all() {
    let place = place("log");
    let step = &STEPS[0];
    assert!(place.run(step, &["echo one", "echo two >&2; test -f main.rs"]).unwrap());
    let log = std::fs::read_to_string(place.log(step)).unwrap();
    assert_eq!(log, "$ echo one\none\n$ echo two >&2; test -f main.rs\ntwo\n");

    // A failure inside of a pipe, and a command that would succeed behind it.
    assert!(!place.run(step, &["echo one", "false | cat", "echo three"]).unwrap());
    let log = std::fs::read_to_string(place.log(step)).unwrap();
    assert_eq!(log, "$ echo one\none\n$ false | cat\n-- the command ended with exit status: 1\n");
    std::fs::remove_dir_all(place.logs).unwrap();
}

#[test]
fn a_step_is_shown_while_it_runs() {
    let place = Place { is_shown: true, ..place("shown") };
    assert!(place.run(&STEPS[0], &["true"]).unwrap());
    assert!(!place.run(&STEPS[0], &["exit 3"]).unwrap());
    std::fs::remove_dir_all(place.logs).unwrap();
}

#[test]
fn a_step_does_not_see_the_package_that_runs_it() {
    // `cargo test` sets these variables for this test, as `cargo run` does for the program.
    let place = place("variables");
    let command = "test -z \"${CARGO_PKG_NAME:-}${CARGO_MANIFEST_DIR:-}${CARGO:-}\" && test -n \"$PATH\"";
    assert!(place.run(&STEPS[0], &[command]).unwrap());
    std::fs::remove_dir_all(place.logs).unwrap();
}
