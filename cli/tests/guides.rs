//! Tests of `docs/add-a-queue.md` and `docs/add-a-host.md`: each guide is followed in a copy of the
//! workspace, file by file and edit by edit, and its commands pass there.
//!
//! A block of Rust or TOML is a new file, and its first line a comment with the path. A block of `diff` is an
//! edit of the file that its first line names, `+++ PATH`: the lines without `+` occur once in the file, and
//! are replaced by the lines without `-`. The commands of `console` blocks are run.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Steps of a guide.
#[derive(Default)]
struct Guide {
    /// New files: path and text.
    files: Vec<(String, String)>,
    edits: Vec<Edit>,
    /// Commands, without `$ `.
    commands: Vec<String>,
}

struct Edit {
    path: String,
    old: String,
    new: String,
}

impl Guide {
    fn read(text: &str) -> Self {
        let mut guide = Self::default();
        for block in text.split("\n```").skip(1).step_by(2) {
            let (language, block) = block.split_once('\n').unwrap();
            let (first, rest) = block.split_once('\n').unwrap_or((block, ""));
            let path = first.split_once(' ').map(|(_, path)| path.to_owned()).unwrap_or_default();
            match language {
                "diff" => guide.edits.push(Edit::read(path, rest)),
                "rust" | "toml" => guide.files.push((path, format!("{rest}\n"))),
                "console" => {
                    let commands = block.lines().filter_map(|line| line.strip_prefix("$ "));
                    guide.commands.extend(commands.map(str::to_owned));
                }
                other => panic!("a block of {other} is not a step"),
            }
        }
        guide
    }

    fn new_rust_files(&self) -> usize {
        self.files.iter().filter(|(path, _)| is_rust(path)).count()
    }

    fn edits_of_rust_files(&self) -> usize {
        self.edits.iter().filter(|edit| is_rust(&edit.path)).count()
    }

    /// Follows the guide in a copy of the workspace, and runs its commands there.
    fn follow(&self, name: &str) {
        let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let mut files: BTreeSet<PathBuf> = BTreeSet::new();
        sources(Path::new(ROOT), Path::new(""), &mut files);
        let new: Vec<PathBuf> = self.files.iter().map(|(path, _)| PathBuf::from(path)).collect();
        assert!(new.iter().all(|path| !files.contains(path)), "a new file exists");
        for path in &files {
            let edits = self.edits.iter().filter(|edit| Path::new(&edit.path) == path);
            let mut text = fs::read(Path::new(ROOT).join(path)).unwrap();
            for edit in edits {
                text = edit.apply(&String::from_utf8(text).unwrap()).into_bytes();
            }
            if path == Path::new("Cargo.toml") {
                text = renumbered(&String::from_utf8(text).unwrap(), name).into_bytes();
            }
            put(&copy.join(path), &text);
        }
        for edit in &self.edits {
            assert!(files.contains(Path::new(&edit.path)), "{} does not exist", edit.path);
        }
        for (path, text) in &self.files {
            put(&copy.join(path), text.as_bytes());
        }
        files.extend(new);
        let mut found = BTreeSet::new();
        sources(&copy, Path::new(""), &mut found);
        for stale in found.difference(&files) {
            fs::remove_file(copy.join(stale)).unwrap();
        }
        for command in &self.commands {
            run(command, &copy);
        }
    }
}

impl Edit {
    fn read(path: String, lines: &str) -> Self {
        let side = |marks: [char; 2]| -> String {
            let kept = lines.lines().filter_map(|line| line.strip_prefix(marks));
            kept.flat_map(|line| [line, "\n"]).collect()
        };
        Self { path, old: side([' ', '-']), new: side([' ', '+']) }
    }

    fn apply(&self, text: &str) -> String {
        let Self { path, old, new } = self;
        assert_eq!(text.matches(old.as_str()).count(), 1, "{path} does not hold this once:\n{old}");
        text.replace(old.as_str(), new)
    }
}

fn is_rust(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == "rs")
}

/// Collects the files below `root`, without those of builds, installed packages and tools.
fn sources(root: &Path, folder: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(root.join(folder)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = folder.join(&name);
        let kind = entry.file_type().unwrap();
        if ["target", "node_modules", "fuzz"].contains(&name.as_str()) || name.starts_with('.') {
            continue;
        }
        if kind.is_dir() {
            sources(root, &path, found);
        } else if kind.is_file() {
            found.insert(path);
        }
    }
}

/// Writes a file that differs, so that Cargo builds again only what has changed since the last run.
fn put(path: &Path, text: &[u8]) {
    if fs::read(path).ok().as_deref() != Some(text) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// Gives the copy's crates a version of their own. In a target folder, Cargo tells crates of workspaces apart
/// by name and version alone, and would take the copy's for the workspace's own.
fn renumbered(manifest: &str, name: &str) -> String {
    let (before, rest) = manifest.split_once("\nversion = \"").unwrap();
    let (version, after) = rest.split_once('"').unwrap();
    format!("{before}\nversion = \"{version}-{name}\"{after}")
}

/// Runs a command of Cargo in the copy, offline and with the workspace's own target folder, so that no
/// dependency is built again. Cargo's variables of this test are removed, since build scripts of dependencies
/// look at them.
fn run(command: &str, copy: &Path) {
    let arguments = command.strip_prefix("cargo ").unwrap();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    for (name, _) in std::env::vars_os() {
        let is_of_test = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
        if name.to_str().is_some_and(|name| is_of_test.iter().any(|start| name.starts_with(start))) {
            cargo.env_remove(name);
        }
    }
    let done = cargo
        .args(arguments.split(' '))
        .current_dir(copy)
        .env("CARGO_NET_OFFLINE", "true")
        .env("CARGO_TARGET_DIR", target)
        .output()
        .unwrap();
    let told = [done.stdout, done.stderr].map(|told| String::from_utf8_lossy(&told).into_owned());
    assert!(done.status.success(), "{command} fails:\n{}", told.concat());
    assert!(!told[1].contains("warning:"), "{command} warns:\n{}", told[1]);
    let passed = told[0].lines().filter(|line| line.starts_with("test ") && line.ends_with(" ok")).count();
    assert!(passed > 0 || !command.starts_with("cargo test "), "{command} runs no test:\n{}", told[0]);
}

#[test]
fn the_guide_to_a_queue_leads_to_a_queue() {
    let guide = Guide::read(include_str!("../../docs/add-a-queue.md"));
    let (files, edits) = (guide.new_rust_files(), guide.edits_of_rust_files());
    assert!(files <= 8 && edits <= 6, "{files} new files and {edits} edits are too many");
    assert_eq!(guide.commands.len(), 4);
    guide.follow("add-a-queue");
}

#[test]
fn the_guide_to_a_host_leads_to_a_host() {
    let guide = Guide::read(include_str!("../../docs/add-a-host.md"));
    let statics = |edit: &Edit| edit.new.lines().filter(|line| line.starts_with("pub static ")).count();
    let added: usize = guide.edits.iter().map(statics).sum();
    let edits = guide.edits_of_rust_files();
    // `CLOUDS` is one of the two.
    assert!(added <= 2 && edits <= 2, "{added} statics and {edits} edits are too many");
    assert_eq!((guide.new_rust_files(), guide.commands.len()), (1, 1), "the new file is the test");
    guide.follow("add-a-host");
}

#[test]
fn an_edit_that_does_not_fit_is_noticed() {
    let edit = Edit::read("f".to_owned(), " a\n-b\n+c\n");
    assert_eq!(edit.apply("a\nb\n"), "a\nc\n");
    for text in ["a\n", "a\nb\na\nb\n"] {
        assert!(std::panic::catch_unwind(|| edit.apply(text)).is_err(), "{text}");
    }
}
