//! Build script that lists the presets, both whole and reduced to the keys that functions read, and the
//! places in which presets find tokens. A new preset therefore needs one new file and no other change.

use std::collections::BTreeSet;
use std::fmt;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Folder of the presets' files, relative to the crate.
const FOLDER: &str = "src/source/presets";

/// Causes for which a list of presets cannot be generated.
enum Failure {
    Read(PathBuf, io::Error),
    /// A file name that a hook could not write in `source = "…"`: the preset takes its name from the file.
    Name(PathBuf),
    /// A path that is not UTF-8: the generated list is Rust source, which is UTF-8.
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
            Self::Path(path) => write!(f, "{}: is not UTF-8: move the source", path.display()),
            Self::Empty(path) => write!(f, "{}: there is no preset", path.display()),
            Self::Write(path, error) => write!(f, "{}: cannot be written: {error}", path.display()),
            Self::Unset(name) => write!(f, "{name} is not set: this is a build script of cargo"),
        }
    }
}

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed={FOLDER}");
    match told("CARGO_MANIFEST_DIR").and_then(|package| run(&package.join(FOLDER))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            println!("cargo::error={failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(folder: &Path) -> Result<(), Failure> {
    let presets = presets(folder)?;
    save("presets.rs", &list(&presets))?;
    save("bare_presets.rs", &bare_list(&presets)?)?;
    save("token_headers.rs", &tokens(&presets, "header:")?)?;
    save("token_queries.rs", &tokens(&presets, "query:")?)
}

/// Returns the presets' names and the paths of their files, sorted by name.
fn presets(folder: &Path) -> Result<Vec<(String, String)>, Failure> {
    let unread = |error| Failure::Read(folder.to_owned(), error);
    let mut presets = Vec::new();
    for entry in folder.read_dir().map_err(unread)? {
        let path = entry.map_err(unread)?.path();
        // Editors leave other files there for a moment; they are not presets.
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
    Ok(presets)
}

/// Builds a Rust expression of the presets' names, each with the whole text of its file.
fn list(presets: &[(String, String)]) -> String {
    let mut list = "&[\n".to_owned();
    for (name, path) in presets {
        // Writing to a String cannot fail.
        let _ = writeln!(list, "    ({name:?}, include_str!({path:?})),");
    }
    list + "]\n"
}

/// Builds a Rust expression of one text, which has each preset's name and the part of its file that a function needs,
/// and of the lengths of these. A list of texts would have two addresses for each preset, which the loader adjusts
/// whenever a program starts.
fn bare_list(presets: &[(String, String)]) -> Result<String, Failure> {
    let (mut lengths, mut list) = (String::new(), String::new());
    for (name, path) in presets {
        let text = std::fs::read_to_string(path).map_err(|error| Failure::Read(path.into(), error))?;
        let text = bare(&text);
        // Writing to a String cannot fail.
        let _ = write!(lengths, "({}, {}), ", name.len(), text.len());
        list.extend([name, text.as_str()]);
    }
    Ok(format!("(&[{lengths}], {list:?})\n"))
}

/// Keys before a preset's first table that only people read.
const ABOUT: [&str; 5] = ["about", "secret", "setup", "confidence", "tried"];

/// Tables that only people and `sign` read.
const ABOUT_TABLES: [&str; 3] = ["sample", "evidence", "retries"];

/// Reduces a preset's text to what a function reads: without comments, the [`ABOUT`] keys and the [`ABOUT_TABLES`]. A
/// test of the crate compares what is read from the whole text and from the reduced one.
fn bare(text: &str) -> String {
    let mut table = String::new();
    let mut bare = String::new();
    for line in text.lines() {
        if line.starts_with('[') {
            line.trim_matches(['[', ']']).clone_into(&mut table);
        }
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        let (key, value) = (key.trim(), value.trim());
        let is_about = table.is_empty() && ABOUT.contains(&key);
        let is_about_table = table.split('.').next().is_some_and(|table| ABOUT_TABLES.contains(&table));
        if is_about || is_about_table || key.is_empty() || key.starts_with('#') {
            continue;
        }
        bare.push_str(key);
        if !value.is_empty() {
            bare.push('=');
            bare.push_str(value);
        }
        bare.push('\n');
    }
    bare
}

/// Builds a Rust expression of the fields of one kind in which a preset finds a token, sorted and in lower
/// case. The files are read line by line as text; a test of the crate compares the result with the parsed
/// presets.
fn tokens(presets: &[(String, String)], kind: &str) -> Result<String, Failure> {
    let mut fields = BTreeSet::new();
    for (_, path) in presets {
        let text = std::fs::read_to_string(path).map_err(|error| Failure::Read(path.into(), error))?;
        for table in text.split("\n[") {
            let lines = table.lines().map(|line| line.replace(' ', ""));
            let is_token = table.lines().any(|line| line.replace(' ', "") == "kind=\"token\"");
            for line in lines {
                let own = line.strip_prefix("from=\"").filter(|_| is_token);
                let from = own.or_else(|| line.strip_prefix("token={from=\""));
                // A bar stands between several places of one field.
                let places = from.and_then(|from| from.split('"').next()).unwrap_or_default().split('|');
                let names = places.filter_map(|place| place.strip_prefix(kind));
                fields.extend(names.map(str::to_ascii_lowercase));
            }
        }
    }
    Ok(format!("&{:?}\n", fields.into_iter().collect::<Vec<_>>()))
}

fn is_name(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty() && name.bytes().all(known)
}

fn save(name: &str, list: &str) -> Result<(), Failure> {
    let path = told("OUT_DIR")?.join(name);
    std::fs::write(&path, list).map_err(|error| Failure::Write(path, error))
}

/// Returns a folder that cargo names in an environment variable.
fn told(name: &'static str) -> Result<PathBuf, Failure> {
    #[expect(clippy::disallowed_methods, reason = "build scripts are told so")]
    let folder = std::env::var_os(name);
    folder.map(PathBuf::from).ok_or(Failure::Unset(name))
}
