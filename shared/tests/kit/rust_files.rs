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
