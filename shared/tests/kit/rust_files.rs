//! Finder of Rust files, for tests that read the code.

use std::path::{Path, PathBuf};

/// Collects the Rust files below a folder, without those that a build or a tool makes.
pub(crate) fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy();
        let is_made = name == "target" || name == "node_modules" || name.starts_with('.');
        if path.is_dir() && !is_made {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// Returns true for a file that has nothing but tests.
pub(crate) fn is_test(path: &Path) -> bool {
    let name = path.file_stem().unwrap().to_string_lossy();
    name == "tests" || name.ends_with("_tests") || path.parent().unwrap().ends_with("tests")
}

/// Returns the code in the text of a file, without its comments and without the tests at its end.
pub(crate) fn code_of(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}
