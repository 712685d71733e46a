//! The tasks of a contributor. `cargo xtask ci` runs every step that a change must pass, in two lanes: one
//! compiles while the other one downloads and waits. `cargo xtask ci STEP` runs one step.
//!
//! Exit codes: 0 success, 1 a failed step, 2 a wrong command line.

mod arguments;
mod report;
mod run;
mod schedule;
mod step;
mod steps;

use std::fmt;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use arguments::Task;
use run::{Outcome, Place};
use schedule::State;
use step::{INSTALL, Step};
use steps::STEPS;

fn main() -> ExitCode {
    let (names, is_long) = match arguments::parse(std::env::args().skip(1)) {
        Ok(Task::Help) => return done(format_args!("{}", arguments::USAGE), true),
        Ok(Task::List) => return done(format_args!("{}", report::list(STEPS).trim_end()), true),
        Ok(Task::Ci { names, is_long }) => (names, is_long),
        Err(mistake) => return wrong(&mistake),
    };
    let steps = match arguments::select(STEPS, &names) {
        Ok(steps) => steps,
        Err(mistake) => return wrong(&mistake),
    };
    // The output of two steps at a time could not be told apart.
    let is_shown = steps.iter().filter(|step| step.name != INSTALL).count() <= 1;
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = package.parent().unwrap_or(package).to_owned();
    let place = Place { logs: target(&root).join("xtask"), root, is_shown };
    if let Err(error) = std::fs::create_dir_all(&place.logs) {
        return done(format_args!("{} cannot be created: {error}", place.logs.display()), false);
    }
    let begun = run::now();
    let outcomes = run::drive(&steps, &|step| {
        say(format_args!("[{}] {}: started", report::clock(begun.elapsed().as_secs()), step.name));
        let has_passed = passes(step, &place, is_long);
        let word = if has_passed { "passed" } else { "FAILED" };
        say(format_args!("[{}] {}: {word}", report::clock(begun.elapsed().as_secs()), step.name));
        // A log that cannot be read was told with the step.
        let log = std::fs::read(place.log(step)).unwrap_or_default();
        for line in report::skipped(&String::from_utf8_lossy(&log)).filter(|_| has_passed && !place.is_shown)
        {
            say(format_args!("       {}: {line}", step.name));
        }
        has_passed
    });
    let is_good = outcomes.iter().all(|outcome: &Outcome| outcome.state == State::Passed);
    say(format_args!("\n{}", report::table(&steps, &outcomes, begun.elapsed(), is_long).trim_end()));
    // Whoever keeps only the end of the output sees there why the run failed.
    for (step, _) in steps.iter().zip(&outcomes).filter(|(_, outcome)| outcome.state == State::Failed) {
        let log = std::fs::read(place.log(step)).unwrap_or_default();
        say(format_args!("\n{}", report::ending(step, &String::from_utf8_lossy(&log))));
    }
    ExitCode::from(u8::from(!is_good))
}

/// Runs a step, and prints its whole log if it fails.
fn passes(step: &Step, place: &Place, is_long: bool) -> bool {
    let ran = place.run(step, step.commands(is_long));
    let log = place.log(step);
    match ran {
        Ok(true) => return true,
        Ok(false) if place.is_shown => {}
        Ok(false) => match std::fs::read(&log) {
            Ok(text) => say(format_args!("{}", String::from_utf8_lossy(&text).trim_end())),
            Err(error) => say(format_args!("{} cannot be read: {error}", log.display())),
        },
        Err(error) => say(format_args!("{}: {error}", step.name)),
    }
    say(format_args!("{}: this is its log, {}", step.name, log.display()));
    false
}

/// Returns the folder in which Cargo builds.
fn target(root: &Path) -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "a test needs no other folder than Cargo's")]
    let folder = std::env::var_os("CARGO_TARGET_DIR");
    root.join(folder.unwrap_or_else(|| "target".into()))
}

/// Prints a line. A reader that is gone must not stop the steps that run, so that failures are ignored.
fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Prints the last line and returns the exit code of a run.
fn done(line: fmt::Arguments<'_>, is_good: bool) -> ExitCode {
    say(line);
    ExitCode::from(u8::from(!is_good))
}

/// Explains a mistake on the command line and returns its exit code.
fn wrong(mistake: &arguments::Mistake) -> ExitCode {
    let _ = writeln!(io::stderr(), "xtask: {mistake}");
    ExitCode::from(2)
}
