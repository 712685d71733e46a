//! Lists the presets, so that a new one is a file and nothing else.

use std::fmt;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Below the crate.
const FOLDER: &str = "src/source/presets";

/// Why there is no list.
enum Failure {
    Read(PathBuf, io::Error),
    /// A preset is named as its file is, and what a hook may write is this.
    Name(PathBuf),
    /// The list is Rust, which is UTF-8.
    Path(PathBuf),
    Empty(PathBuf),
    Write(PathBuf, io::Error),
    Unset(&'static str),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, error) => write!(f, "{}: cannot be read: {error}", path.display()),
            Self::Name(path) => {
                let path = path.display();
                write!(f, "{path}: a preset's file is named NAME.toml, with NAME of a-z, 0-9 and -")
            }
            Self::Path(path) => write!(f, "{}: is no UTF-8: move the source", path.display()),
            Self::Empty(path) => write!(f, "{}: there is no preset", path.display()),
            Self::Write(path, error) => write!(f, "{}: cannot be written: {error}", path.display()),
            Self::Unset(name) => write!(f, "{name} is not set: this is a build script of cargo"),
        }
    }
}

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed={FOLDER}");
    let saved = told("CARGO_MANIFEST_DIR").and_then(|package| save(&list(&package.join(FOLDER))?));
    match saved {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            println!("cargo::error={failure}");
            ExitCode::FAILURE
        }
    }
}

/// A Rust expression: the names, sorted, each with the text of its file.
fn list(folder: &Path) -> Result<String, Failure> {
    let unread = |error| Failure::Read(folder.to_owned(), error);
    let mut presets = Vec::new();
    for entry in folder.read_dir().map_err(unread)? {
        let path = entry.map_err(unread)?.path();
        // What editors leave there for a moment is no preset.
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let text = path.to_str().ok_or_else(|| Failure::Path(path.clone()))?;
        let name = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".toml"));
        let name = name.filter(|name| is_name(name)).ok_or_else(|| Failure::Name(path.clone()))?;
        presets.push((name.to_owned(), text.to_owned()));
    }
    if presets.is_empty() {
        return Err(Failure::Empty(folder.to_owned()));
    }
    presets.sort();
    let mut list = "&[\n".to_owned();
    for (name, path) in presets {
        // To a String this cannot fail.
        let _ = writeln!(list, "    ({name:?}, include_str!({path:?})),");
    }
    Ok(list + "]\n")
}

fn is_name(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty() && name.bytes().all(known)
}

fn save(list: &str) -> Result<(), Failure> {
    let path = told("OUT_DIR")?.join("presets.rs");
    std::fs::write(&path, list).map_err(|error| Failure::Write(path, error))
}

/// A folder, as cargo tells it.
fn told(name: &'static str) -> Result<PathBuf, Failure> {
    #[expect(clippy::disallowed_methods, reason = "build scripts are told so")]
    let folder = std::env::var_os(name);
    folder.map(PathBuf::from).ok_or(Failure::Unset(name))
}
