//! Tests of the command in `docs/add-a-source.md`: run as documented, it prints the documented output.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

const DOCUMENT: &str = include_str!("../../docs/add-a-source.md");

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
