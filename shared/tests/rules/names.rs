//! A type that more than one folder can name has a name of its own: a reader who meets it on a delivery's way
//! never asks which of two it is. The name of an environment variable stands in one file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::kit::rust_files::{code_of, is_test, rust_files};

/// Returns true for a file whose types carry the name of their module in code: each protocol signs in a module
/// of its own, and each vendor has a client, as in `tdmq::Client` and `tdmq::sign::Head`.
fn is_qualified(file: &str) -> bool {
    let parts: Vec<_> = file.split('/').collect();
    matches!(parts[..], ["queue", _, "client.rs" | "sign.rs"] | ["store", "s3", "sign.rs"])
}

/// Returns the strings of a code that have the form of a variable's name.
fn variables(code: &str) -> BTreeSet<&str> {
    let is_name = |text: &&str| {
        let is_word = |word: &str| word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        text.contains('_')
            && text.starts_with(|c: char| c.is_ascii_uppercase())
            && text.split('_').all(is_word)
    };
    // The compiler reads these two, not the program.
    let is_read = |name: &&str| !["CARGO_PKG_VERSION", "OUT_DIR"].contains(name);
    code.split('"').filter(is_name).filter(is_read).collect()
}

/// Returns the name of the type that a line declares for the whole crate or for its users.
fn declared(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = line.strip_prefix("pub ").or_else(|| line.strip_prefix("pub(crate) "))?;
    let name = ["struct ", "enum ", "trait ", "type "].iter().find_map(|word| line.strip_prefix(word))?;
    let end = name.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(name.len());
    Some(&name[..end])
}

/// Returns the files that declare each name.
fn files_by_name(files: &[(String, String)]) -> BTreeMap<&str, Vec<&str>> {
    let mut found = BTreeMap::<&str, Vec<&str>>::new();
    for (file, text) in files {
        for name in text.lines().filter_map(declared) {
            found.entry(name).or_default().push(file);
        }
    }
    found
}

#[test]
fn a_name_that_the_whole_crate_sees_means_one_type() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let read = |path: std::path::PathBuf| {
        let file = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        (!is_qualified(&file)).then(|| (file, std::fs::read_to_string(path).unwrap()))
    };
    let files: Vec<_> = rust_files(&root).into_iter().filter_map(read).collect();
    assert!(files.len() > 200, "only {} files were read", files.len());
    let names = files_by_name(&files);
    assert!(names.len() > 150, "only {} types were found", names.len());
    let twice: Vec<_> = names.into_iter().filter(|(_, files)| files.len() > 1).collect();
    assert_eq!(twice, [], "rename one of each: the name of its module's subject usually helps");
}

#[test]
fn the_name_of_a_variable_stands_in_one_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeMap::<String, Vec<String>>::new();
    for path in rust_files(&root).into_iter().filter(|path| !is_test(path)) {
        let file = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        for name in variables(&code_of(&std::fs::read_to_string(path).unwrap())) {
            found.entry(name.to_owned()).or_default().push(file.clone());
        }
    }
    assert!(found.len() > 60, "only {} variables were found", found.len());
    let twice: Vec<_> = found.into_iter().filter(|(_, files)| files.len() > 1).collect();
    assert_eq!(twice, [], "make it a constant where it is read, and use that");
}

#[test]
fn a_variable_is_found_in_code_alone() {
    let text = "// \"IN_COMMENT\"\nlet a = (\"A_B2\", \"Not_One\", \"NOT\", \"X_\u{e4}\");\n#[cfg(test)]\nmod tests {\n\"C_D\"";
    assert_eq!(variables(&code_of(text)), BTreeSet::from(["A_B2"]));
}

#[test]
fn only_types_that_leave_their_folder_count() {
    let of = |file: &str, text: &str| (file.to_owned(), text.to_owned());
    let files = [
        of("a.rs", "pub struct One;\npub(crate) enum Two { A }\nstruct Three;\npub(super) trait Four {}"),
        of("b.rs", "    pub trait One<T> {}\npub type Two = u8;\npub struct Three(u8);\npub fn four() {}"),
    ];
    let names = files_by_name(&files);
    assert_eq!(
        names.iter().map(|(name, files)| (*name, files.len())).collect::<Vec<_>>(),
        [("One", 2), ("Three", 1), ("Two", 2)]
    );
}
