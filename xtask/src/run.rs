//! The execution of steps: the threads of a run, and the processes of a step.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::schedule::{Schedule, State};
use crate::step::Step;

/// Interval at which the output of a running step is passed on to the terminal.
const FOLLOW: Duration = Duration::from_millis(200);

/// Result of a step in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Last state of the step.
    pub(crate) state: State,
    /// Time from the start of the step to its end; zero if it did not start.
    pub(crate) took: Duration,
}

/// Runs steps by `runner`, which returns true if a step passes, and returns the outcome of each.
///
/// `runner` is called on a thread for each step, so it must not panic: the run would wait for its answer.
pub(crate) fn drive(steps: &[&Step], runner: &(impl Fn(&Step) -> bool + Sync)) -> Vec<Outcome> {
    let mut schedule = Schedule::new(steps);
    let mut took = vec![Duration::ZERO; steps.len()];
    let (ending, endings) = mpsc::channel();
    thread::scope(|scope| {
        loop {
            for index in schedule.start() {
                let ending = ending.clone();
                scope.spawn(move || {
                    let begun = now();
                    let has_passed = runner(steps[index]);
                    // The receiver outlives every thread of the scope.
                    let _ = ending.send((index, has_passed, begun.elapsed()));
                });
            }
            if !schedule.is_running() {
                break;
            }
            let Ok((index, has_passed, time)) = endings.recv() else { break };
            took[index] = time;
            schedule.end(index, has_passed);
        }
    });
    schedule.states().iter().zip(took).map(|(&state, took)| Outcome { state, took }).collect()
}

/// Returns the current instant.
#[expect(clippy::disallowed_methods, reason = "the time of a step is measured, and no test depends on it")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Folders of a run, and whether the terminal shows what a step prints.
pub(crate) struct Place {
    /// Root of the repository, in which each command runs.
    pub(crate) root: PathBuf,
    /// Folder of the logs.
    pub(crate) logs: PathBuf,
    /// True to pass the output of a step on to the terminal, beside the log.
    pub(crate) is_shown: bool,
}

impl Place {
    /// Returns the path of a step's log.
    pub(crate) fn log(&self, step: &Step) -> PathBuf {
        self.logs.join(format!("{}.log", step.name))
    }

    /// Runs commands one after the other until one fails, and returns true if all of them succeed.
    pub(crate) fn run(&self, step: &Step, commands: &[&str]) -> io::Result<bool> {
        let path = self.log(step);
        let mut log = File::create(&path)?;
        let mut shown = if self.is_shown { Some(File::open(&path)?) } else { None };
        for command in commands {
            writeln!(log, "$ {command}")?;
            let mut child = self.spawn(command, &log)?;
            if let Some(shown) = &mut shown {
                follow(shown, &mut child)?;
            }
            let status = child.wait()?;
            if !status.success() {
                writeln!(log, "-- the command ended with {status}")?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Starts a command whose output goes to the log.
    fn spawn(&self, command: &str, log: &File) -> io::Result<Child> {
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", command]).current_dir(&self.root);
        // Python would keep back what it prints into a file, and lose it if it is killed.
        bash.env("PYTHONUNBUFFERED", "1");
        bash.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log.try_clone()?);
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_of_this_package(name)) {
            bash.env_remove(name);
        }
        bash.spawn()
    }
}

/// Passes the output of a process on to the terminal until the process ends.
///
/// The log is read, not a pipe: a process that the step leaves behind would keep a pipe open.
fn follow(log: &mut File, child: &mut Child) -> io::Result<()> {
    loop {
        let has_ended = child.try_wait()?.is_some();
        io::copy(log, &mut io::stdout())?;
        if has_ended {
            return Ok(());
        }
        thread::sleep(FOLLOW);
    }
}

/// Returns true for the variables by which `cargo run` describes this package. A build script in a step would
/// take them for changes, and Cargo would compile what is compiled already.
fn is_of_this_package(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name == "CARGO" || ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
