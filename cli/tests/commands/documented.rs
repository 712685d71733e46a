//! Tests of documents: the command in `docs/add-a-source.md` prints the documented output, links between
//! documents resolve, and the index names every page.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const DOCUMENT: &str = include_str!("../../../docs/add-a-source.md");

fn block(language: &str) -> &'static str {
    let (_, rest) = DOCUMENT.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```").unwrap().0
}

#[test]
fn the_example_verifies() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::write(folder.join("acme.toml"), block("toml")).unwrap();
    fs::write(folder.join("acme.http"), block("http")).unwrap();
    let (command, output) = block("console").split_once('\n').unwrap();
    let (command, input) = command.strip_prefix("$ hookmq ").unwrap().split_once(" < ").unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_hookmq"))
        .args(command.split(' '))
        .current_dir(folder)
        .stdin(File::open(folder.join(input)).unwrap())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(run.stdout).unwrap(), output, "{}", String::from_utf8_lossy(&run.stderr));
    assert_eq!(run.status.code(), Some(0));
}

#[test]
fn exit_codes_are_as_written() {
    let code = |arguments: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookmq"));
        let run = command.args(arguments.split(' ')).stdin(std::process::Stdio::null()).output().unwrap();
        (run.status.code(), String::from_utf8(run.stderr).unwrap())
    };
    assert_eq!(code("sources github").0, Some(0));
    let (status, message) = code("sources githb");
    assert_eq!((status, message.contains("did you mean github?")), (Some(2), true), "{message}");
    let (status, message) = code("sign --source telegram --secret=correct-horse-battery --tamper body");
    assert_eq!((status, message.contains("does not notice a changed body")), (Some(2), true), "{message}");
    assert_eq!(code("verify --source github --secret=correct-horse-battery").0, Some(1));
}

/// Returns the Markdown files of the repository, without those of builds, installed packages and tools.
fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(ROOT)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let is_foreign =
                ["target", "node_modules"].contains(&name) || name.starts_with('.') && name != ".github";
            if path.is_dir() && !is_foreign {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found
}

/// Returns the lines of a document outside blocks of code.
fn prose(text: &str) -> Vec<&str> {
    let mut is_code = false;
    let mut is_prose = |line: &&str| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    };
    text.lines().filter(|line| is_prose(line)).collect()
}

/// Returns the targets of the relative links, with their anchors.
///
/// Code between backticks is left out. That is done by paragraph, so that an unpaired backtick hides the
/// links of its own paragraph alone.
fn links(text: &str) -> Vec<String> {
    let text = prose(text).join("\n");
    let pieces = text.split("\n\n").flat_map(|paragraph| paragraph.split('`').step_by(2));
    let targets = pieces.flat_map(|piece| piece.split("](").skip(1)).filter_map(|rest| rest.split_once(')'));
    targets.filter(|(target, _)| !target.contains("://")).map(|(target, _)| target.to_owned()).collect()
}

/// Returns true if a document has a heading with this anchor, as GitHub makes it.
fn has_anchor(text: &str, anchor: &str) -> bool {
    let slug = |heading: &str| -> String {
        let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    prose(text).iter().any(|line| line.starts_with('#') && slug(line.trim_start_matches('#')) == anchor)
}

/// Returns true if the link of a document leads to a file or folder, and to a heading if it names one.
fn resolves(document: &Path, link: &str) -> bool {
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = if path.is_empty() { document.to_owned() } else { document.parent().unwrap().join(path) };
    target.exists()
        && (anchor.is_empty() || fs::read_to_string(target).is_ok_and(|text| has_anchor(&text, anchor)))
}

#[test]
fn every_link_between_documents_resolves() {
    let mut seen = 0;
    let mut broken = Vec::new();
    for document in documents() {
        for link in links(&fs::read_to_string(&document).unwrap()) {
            seen += 1;
            if !resolves(&document, &link) {
                broken.push(format!("{}: {link}", document.strip_prefix(ROOT).unwrap().display()));
            }
        }
    }
    assert!(seen > 200, "only {seen} links were found");
    assert!(broken.is_empty(), "these links lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn a_broken_link_is_noticed() {
    let text = "[a](gone.md) [`b`](README.md#gone) `[c](code.md)`\n```text\n[d](block.md)\n```\n[e](https://example.com)";
    assert_eq!(links(text), ["gone.md", "README.md#gone"]);
    let document = Path::new(ROOT).join("README.md");
    assert!(["gone.md", "README.md#gone", "#gone"].iter().all(|link| !resolves(&document, link)));
    assert!(
        ["docs", "docs/releases.md#a-new-version", "#how-it-works"]
            .iter()
            .all(|link| resolves(&document, link))
    );
}

#[test]
fn the_index_names_every_page() {
    let index = links(&fs::read_to_string(Path::new(ROOT).join("docs/README.md")).unwrap());
    for entry in fs::read_dir(Path::new(ROOT).join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let is_page =
            name != "README.md" && Path::new(&name).extension().is_some_and(|extension| extension == "md");
        assert!(!is_page || index.contains(&name), "docs/README.md does not name {name}");
    }
}
