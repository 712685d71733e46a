//! Tests of the table: names, dependencies and the files that its commands name.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use super::STEPS;
use crate::step::INSTALL;

#[test]
fn names_are_unique_and_in_kebab_case() {
    let mut names = HashSet::new();
    for step in STEPS {
        assert!(names.insert(step.name), "{} stands twice in the table", step.name);
        let is_kebab = step.name.chars().all(|c| c == '-' || c.is_ascii_lowercase() || c.is_ascii_digit());
        assert!(is_kebab && !step.name.is_empty(), "{} is not in kebab case", step.name);
    }
}

#[test]
fn a_step_stands_below_those_that_it_waits_for() {
    for (index, step) in STEPS.iter().enumerate() {
        for before in step.after {
            let is_above = STEPS[..index].iter().any(|other| other.name == *before);
            assert!(is_above, "{} waits for {before}, which does not stand above it", step.name);
        }
    }
}

#[test]
fn each_step_says_what_it_shows_what_it_costs_and_what_it_runs() {
    for step in STEPS {
        assert!(
            !step.shows.is_empty() && step.budget > 0 && !step.short.is_empty(),
            "{} is incomplete",
            step.name
        );
        if let Some(long) = &step.long {
            let is_whole = !long.adds.is_empty() && long.budget >= step.budget && !long.commands.is_empty();
            assert!(is_whole, "{} is incomplete in its long form", step.name);
            assert_ne!(step.short, long.commands, "{} has a long form that is the short one", step.name);
        }
    }
}

/// Returns the files that a command names: by their paths, as modules of Python, or to `tests.in_venv`.
fn files(command: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut before = "";
    for word in command.split_whitespace() {
        if [".ci/", "scripts/"].iter().any(|folder| word.starts_with(folder)) {
            found.push(word.to_owned());
        } else if word.starts_with("tests.") {
            found.push(word.replace('.', "/") + ".py");
        } else if before == "tests.in_venv" {
            found.push(format!("tests/{}.py", word.replace('.', "/")));
        }
        before = word;
    }
    found
}

#[test]
fn each_file_that_a_command_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut count = 0;
    for step in STEPS {
        let commands = [step.commands(false), step.commands(true)].concat();
        for command in commands {
            for file in files(command) {
                assert!(root.join(&file).is_file(), "{} names {file}, which does not exist", step.name);
                count += 1;
            }
        }
    }
    assert!(count > STEPS.len(), "only {count} files were looked for");
}

#[test]
fn the_workflow_runs_every_step_behind_those_that_it_waits_for() {
    let workflow = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.github/workflows/ci.yml");
    let workflow = std::fs::read_to_string(workflow).unwrap();
    let groups: Vec<Vec<&str>> = workflow
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("steps: "))
        .map(|names| names.split_whitespace().collect())
        .collect();
    let named: BTreeSet<&str> = groups.iter().flatten().copied().collect();
    let known: BTreeSet<&str> = STEPS.iter().map(|step| step.name).filter(|name| *name != INSTALL).collect();
    assert_eq!(named, known);
    for group in &groups {
        for (index, name) in group.iter().enumerate() {
            let step = STEPS.iter().find(|step| step.name == *name).unwrap();
            for before in step.after.iter().filter(|before| **before != INSTALL) {
                assert!(group[..index].contains(before), "{name} is in a group without {before} before it");
            }
        }
    }
}
