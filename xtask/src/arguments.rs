//! The command line: which task was asked for, and what is wrong with a line that asks for none.

use std::fmt;

use crate::step::{INSTALL, Step};

/// Text that explains the command line.
pub(crate) const USAGE: &str = "\
usage: cargo xtask ci [STEP…] [--long] [--list]

  STEP     run these steps only, and `install` if one of them needs it
  --long   run every step to its full size
  --list   print the steps and what each one shows

Each step writes to target/xtask/STEP.log. The exit code is 1 if a step fails, 2 for a wrong command line.";

/// Task that the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Request for the explanation of the command line.
    Help,
    /// Request for the list of steps.
    List,
    /// Request for a run.
    Ci {
        /// Names of the steps, or none for all of them.
        names: Vec<String>,
        /// True for the full size of each step.
        is_long: bool,
    },
}

/// Mistake on the command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// Command line without a task.
    NoTask,
    /// Task that does not exist.
    Task(String),
    /// Option that does not exist.
    Option(String),
    /// Step that does not exist, and the names of those that do.
    Step(String, Vec<&'static str>),
}

impl fmt::Display for Mistake {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTask => write!(to, "no task was given: say `cargo xtask ci`"),
            Self::Task(name) => write!(to, "there is no task `{name}`: say `cargo xtask ci`"),
            Self::Option(name) => write!(to, "there is no option `{name}`: there are --long and --list"),
            Self::Step(name, known) => {
                write!(to, "there is no step `{name}`; the steps are {}", known.join(", "))
            }
        }
    }
}

/// Parses the arguments that follow the name of the program.
pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Task, Mistake> {
    let mut arguments = arguments.into_iter();
    match arguments.next().as_deref() {
        None => return Err(Mistake::NoTask),
        Some("help" | "--help" | "-h") => return Ok(Task::Help),
        Some("ci") => {}
        Some(other) => return Err(Mistake::Task(other.to_owned())),
    }
    let (mut names, mut is_long, mut is_list) = (Vec::new(), false, false);
    for argument in arguments {
        match argument.as_str() {
            "--help" | "-h" => return Ok(Task::Help),
            "--long" => is_long = true,
            "--list" => is_list = true,
            option if option.starts_with('-') => return Err(Mistake::Option(argument)),
            _ => names.push(argument),
        }
    }
    Ok(if is_list { Task::List } else { Task::Ci { names, is_long } })
}

/// Returns the named steps in the order of the table, with [`INSTALL`] if one of them waits for it. Without a
/// name it returns all steps.
pub(crate) fn select<'a>(table: &'a [Step], names: &[String]) -> Result<Vec<&'a Step>, Mistake> {
    if let Some(unknown) = names.iter().find(|name| table.iter().all(|step| step.name != **name)) {
        return Err(Mistake::Step(unknown.clone(), table.iter().map(|step| step.name).collect()));
    }
    let is_named = |step: &Step| names.is_empty() || names.iter().any(|name| name == step.name);
    let is_needed = table.iter().any(|step| is_named(step) && step.after.contains(&INSTALL));
    Ok(table.iter().filter(|step| is_named(step) || (is_needed && step.name == INSTALL)).collect())
}

#[cfg(test)]
#[path = "arguments_tests.rs"]
mod tests;
