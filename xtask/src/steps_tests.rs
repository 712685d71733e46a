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

/// Files that may pass without a part of their work, because what it needs cannot be promised.
const LEAVING_OUT: [(&str, &str); 7] = [
    (".ci/install", "Debian's optional packages"),
    ("scripts/release", "the advisories' database, which is another host's"),
    ("tests/differential/libraries.py", "npm, which is optional"),
    ("tests/networks/namespaces.py", "the rights of root, outside CI"),
    ("tests/networks/proxies.py", "Caddy, which is optional"),
    ("tests/platforms/cargo_lambda.py", "a processor"),
    ("tests/platforms/senders.py", "Alertmanager and docker-registry, of which one is optional"),
];

#[test]
fn a_step_passes_without_a_part_of_its_work_only_where_nothing_promises_what_it_needs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut folders: Vec<_> = ["tests", "scripts", ".ci"].map(|folder| root.join(folder)).into();
    let mut found = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if std::fs::read_to_string(&path).is_ok_and(|text| text.to_lowercase().contains("skipped"))
                && path.extension().is_none_or(|ending| ending != "md")
            {
                found.insert(path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let known: BTreeSet<String> = LEAVING_OUT.iter().map(|(file, _)| (*file).to_owned()).collect();
    assert_eq!(found, known);
    // What is built with Go is not among them.
    let install = std::fs::read_to_string(root.join(".ci/install")).unwrap();
    for required in ["has go || packages+=(golang-go)", "has ip || packages+=(iproute2)"] {
        assert!(install.contains(required), "{required}");
    }
}
