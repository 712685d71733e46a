//! Tests of the command line.

use super::{Mistake, Task, parse, select};
use crate::step::Step;
use crate::steps::STEPS;

fn parsed(line: &str) -> Result<Task, Mistake> {
    parse(line.split_whitespace().map(str::to_owned))
}

fn selected(names: &[&str]) -> Result<Vec<&'static str>, Mistake> {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    select(STEPS, &names).map(|steps: Vec<&Step>| steps.iter().map(|step| step.name).collect())
}

#[test]
fn steps_and_options_come_in_any_order() {
    let siege = |is_long| Ok(Task::Ci { names: vec!["siege".to_owned()], is_long });
    assert_eq!(parsed("ci siege"), siege(false));
    assert_eq!(parsed("ci siege --long"), siege(true));
    assert_eq!(parsed("ci --long siege"), siege(true));
    assert_eq!(parsed("ci"), Ok(Task::Ci { names: Vec::new(), is_long: false }));
    assert_eq!(parsed("ci siege --list"), Ok(Task::List));
    assert_eq!(parsed("--help"), Ok(Task::Help));
    assert_eq!(parsed("ci --help"), Ok(Task::Help));
}

#[test]
fn a_wrong_line_is_told_with_what_would_be_right() {
    assert_eq!(parsed(""), Err(Mistake::NoTask));
    assert_eq!(parsed("bench"), Err(Mistake::Task("bench".to_owned())));
    assert_eq!(parsed("ci --slow"), Err(Mistake::Option("--slow".to_owned())));
    let told = selected(&["fmt", "seige"]).unwrap_err().to_string();
    assert!(told.starts_with("there is no step `seige`; the steps are install, fmt, "), "{told}");
    assert!(told.ends_with(", fuzz"), "{told}");
}

#[test]
fn a_named_step_runs_alone_with_the_installation_that_it_needs() {
    assert_eq!(selected(&["siege"]), Ok(vec!["siege"]));
    assert_eq!(selected(&["manifests"]), Ok(vec!["install", "manifests"]));
    assert_eq!(selected(&["sam", "fmt", "fmt"]), Ok(vec!["install", "fmt", "sam"]));
    assert_eq!(selected(&[]).unwrap().len(), STEPS.len());
}
