//! Tests of the worked example in `docs/add-a-source.md`.

use hookmq_shared::clock::Timestamp;
use hookmq_shared::reader::{Mistakes, Table};
use hookmq_shared::source::{Draft, Settings, Source, VerifyOutcome};
use serde_json::Value;
use toml::de::DeTable;

use crate::kit::source::{NOW, of_case, random, settings};

const DOCUMENT: &str = include_str!("../../../docs/add-a-source.md");

/// Returns the text of the only block in this language.
fn block(language: &str) -> &'static str {
    let (_, rest) = DOCUMENT.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```").unwrap().0
}

fn source(settings: Settings) -> Source {
    let mistakes = Mistakes::new("acme.toml", block("toml"));
    let document = DeTable::parse(block("toml")).unwrap();
    let table = Table::new(&mistakes, "", 0, document.get_ref()).table("verify").unwrap();
    Source::custom(table, settings).unwrap()
}

#[test]
fn its_vectors_have_their_verdicts() {
    let file: Value = serde_json::from_str(block("json")).unwrap();
    let cases = file["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 4);
    for case in cases {
        let (request, settings) = of_case(case);
        let now = Timestamp::from_unix(case["now"].as_i64().unwrap());
        let outcome = source(settings).explain(&request, now).outcome;
        let verdict = if let VerifyOutcome::Verified(Some(0)) = outcome { "accept" } else { "reject" };
        assert_eq!(verdict, case["expect"], "{}: {outcome:?}", case["name"]);
    }
}

#[test]
fn it_signs_what_it_accepts() {
    let source = source(settings(&serde_json::json!(["acme-example-signing-secret"])));
    let request = source.sign(Draft::default(), 0, NOW, &random()).unwrap();
    assert_eq!(source.explain(&request, NOW).outcome, VerifyOutcome::Verified(Some(0)));
}

/// Keys that only the file of a preset has, or that are words of another table.
const OF_PRESETS: [&str; 17] = [
    "about",
    "at",
    "confidence",
    "envelope",
    "event",
    "events",
    "for",
    "may_be_empty",
    "read",
    "required",
    "retries",
    "sample",
    "says",
    "secret",
    "setup",
    "tried",
    "params",
];

/// Returns the keys that the code asks a table for.
fn keys(code: &str) -> Vec<String> {
    let asks = [
        "str(\"",
        "table(\"",
        "tables(\"",
        "strings(\"",
        "numbers(\"",
        "bool(\"",
        "number(\"",
        "duration(\"",
        "text(\"",
        "field(&table, \"",
        "field(&inner, \"",
        "one_of(&table, \"",
        "one_of(&inner, \"",
        "field(table, \"",
        "one_of(table, \"",
        "fields(&table, \"",
    ];
    let mut keys = Vec::new();
    for ask in asks {
        for (at, _) in code.match_indices(ask) {
            let key: String =
                code[at + ask.len()..].chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            let is_word = code[at + ask.len() + key.len()..].starts_with('"');
            let is_call = code[..at].ends_with(['.', ':', '(', ' ', '|', '=', '!']);
            if is_word && is_call && !key.is_empty() {
                keys.push(key);
            }
        }
    }
    keys
}

#[test]
fn every_key_of_a_verify_table_is_in_the_configuration() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = std::fs::read_to_string(folder.join("../docs/configuration.md")).unwrap();
    let (_, section) = document.split_once("### `[hooks.NAME.verify]`").unwrap();
    let (section, _) = section.split_once("### Rotating a secret").unwrap();
    let mut folders = ["src/source/scheme", "src/source/reply"].map(|path| folder.join(path)).to_vec();
    let mut found = std::collections::BTreeSet::new();
    while let Some(path) = folders.pop() {
        for entry in std::fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.to_string_lossy().ends_with("_tests.rs") {
                found.extend(keys(&std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.extend(keys(&std::fs::read_to_string(folder.join("src/source/address.rs")).unwrap()));
    assert!(found.len() > 60, "{found:?}");
    let is_word = |c: char| c.is_ascii_lowercase() || c == '_';
    let words: std::collections::BTreeSet<&str> = section.split(|c| !is_word(c)).collect();
    let missing: Vec<_> = found
        .iter()
        .filter(|key| !words.contains(key.as_str()) && !OF_PRESETS.contains(&key.as_str()))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    for part in [
        "{fieldlines:",
        "{sorted_pairs:",
        "{sorted_form}",
        "{canon_headers:",
        "{crc32(body)}",
        "xml:",
        "item:",
        "decrypted:",
    ] {
        assert!(section.contains(part), "{part}");
    }
}
