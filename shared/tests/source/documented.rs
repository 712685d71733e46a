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
