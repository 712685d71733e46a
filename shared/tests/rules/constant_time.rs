//! Checks that secrets are compared in constant time, in exactly those places that `docs/security.md` lists.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::kit::rust_files::rust_files;

const DOCUMENT: &str = include_str!("../../../docs/security.md");

/// Code that inspects the form of a secret when the source is built, at a switch, or for a colon; it compares
/// no value of a sender.
const FORM: &[&str] = &[
    "is_published(value.expose())",
    "bytes.expose().len() == KEY_LENGTH",
    "key.expose().len() != KEY_LENGTH",
    "rposition(|b| *b != 0)",
    "key.expose().is_empty() || (self.encoding == Encoding::Utf8",
    "der.expose().strip_prefix(SPKI)",
    "secret.expose().contains(&b':')",
    "pair.contains(&b':')",
    "position(|b| *b == b':')",
    "value.expose_str() == Some(\"true\")",
];

/// Returns every file of the library, without its tests and comments.
fn files() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let found = rust_files(&root);
    assert!(found.len() > 50, "{}", found.len());
    let read = |path: PathBuf| {
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(path).unwrap();
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
        let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        (name, lines.collect::<Vec<_>>().join("\n"))
    };
    found.into_iter().filter(|path| !path.ends_with("tests.rs")).map(read).collect()
}

#[test]
fn the_document_names_every_comparison() {
    let (_, section) = DOCUMENT.split_once("## How comparisons are constant time").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| ") && line.contains(".rs` |"));
    let named: BTreeSet<String> = rows.map(|row| row.rsplit('`').nth(1).unwrap().to_owned()).collect();
    let compares = |code: &str| ["ct_eq(", "ct_gt(", "hmac::verify("].iter().any(|call| code.contains(call));
    let found: BTreeSet<String> =
        files().into_iter().filter(|(_, code)| compares(code)).map(|(name, _)| name).collect();
    assert_eq!(named, found);
}

#[test]
fn a_secret_has_one_equality() {
    let files = files();
    let code = |name: &str| &files.iter().find(|(file, _)| file == name).unwrap().1;
    let secret = code("secret.rs");
    let (before, _) = secret.split_once("pub struct Secret(").unwrap();
    assert_eq!(
        before.lines().last(),
        Some("#[derive(Clone)]"),
        "no PartialEq, Ord or Hash of its own making"
    );
    let (_, equality) = secret.split_once("impl PartialEq for Secret {").unwrap();
    assert!(equality.split('}').next().unwrap().contains("ct_eq("));
    // A function that compares a sender's value contains no other comparison.
    for (name, function) in [
        ("source/scheme/kinds/mac.rs", "fn verify("),
        ("source/scheme/kinds/digest.rs", "fn verify("),
        ("source/scheme/kinds/token.rs", "fn position("),
    ] {
        let (_, body) = code(name).split_once(function).unwrap();
        let body = body.split("\n}").next().unwrap().split("\n    }").next().unwrap();
        assert!(body.contains("ct_eq(") && !body.contains("==") && !body.contains("!="), "{name}");
    }
}

/// `secret::sorted` sorts every secret that is sorted among a sender's values.
#[test]
fn what_is_signed_is_sorted_by_one_function() {
    for (name, code) in files() {
        if ["source/scheme/template.rs", "source/reply/encrypted.rs"].contains(&name.as_str()) {
            assert!(
                code.contains("sorted(&") && !code.contains(".sort_") && !code.contains(".sort("),
                "{name}"
            );
        }
    }
}

/// Statements that expose a secret's bytes do not compare, search or order them.
#[test]
fn no_exposed_secret_is_compared() {
    let compare = [
        " == ",
        " != ",
        ".eq(",
        ".ne(",
        ".cmp(",
        "contains(",
        "starts_with(",
        "ends_with(",
        "strip_prefix(",
        "strip_suffix(",
        ".find(",
        "sort",
        "matches!(",
    ];
    let mut exposed = 0;
    for (name, code) in files() {
        for (at, _) in code.match_indices(".expose") {
            exposed += 1;
            let start = code[..at].rfind([';', '{', '}']).map_or(0, |end| end + 1);
            let end = code[at..].find([';', '{', '}']).map_or(code.len(), |length| at + length);
            let statement = code[start..end].split_whitespace().collect::<Vec<_>>().join(" ");
            let is_compared = compare.iter().any(|compare| statement.contains(compare));
            let is_known = FORM.iter().any(|known| statement.contains(known));
            assert!(!is_compared || is_known, "{name}: {statement}");
        }
    }
    assert!(exposed > 40, "{exposed}");
}
