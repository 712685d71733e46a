//! The summaries of doc comments, in every Rust file of the workspace, begin as `CONTRIBUTING.md` asks, and the
//! messages in string literals are free of some idioms.

use std::fmt::Write as _;
use std::path::Path;

use crate::kit::rust_files::rust_files;

const OPENING: &str = "no summary begins with this word";
const VERB: &str = "a function's summary begins with a verb in the third person";
const IS_NO: &str = "a summary says \"is not a\", never \"is no\"";

/// First words of a sentence that needs its neighbour, or of a part of one.
const OPENINGS: &[&str] = &[
    "And", "Another", "As", "At", "Behind", "Beside", "Between", "But", "By", "For", "From", "How", "If",
    "In", "No", "Never", "Nobody", "Not", "Nothing", "Of", "On", "Once", "Or", "So", "That", "These", "This",
    "Those", "To", "Under", "What", "Whatever", "When", "Where", "Whether", "Which", "Who", "Whoever",
    "Whose", "Why", "With",
];

/// Words that end like a verb in the third person, but begin no summary of a function as one.
const NOT_VERBS: &[&str] = &[
    "as", "bytes", "headers", "hooks", "its", "members", "names", "seconds", "secrets", "this", "was",
    "words",
];

/// Idioms that no message may hold, in lower case.
const IDIOMS: &[&str] =
    &["is no ", "are no ", "names no ", " anew", " in vain", "is mended", "another than "];

/// A doc comment and the item below it.
#[derive(Debug, Default)]
struct Doc<'t> {
    /// Number of the first line, counted from 1.
    line: usize,
    /// Words up to the end of the first sentence or paragraph.
    summary: Vec<&'t str>,
    of_function: bool,
    of_test: bool,
}

/// Returns the text of a line of a doc comment, if it is one.
fn doc_text(line: &str) -> Option<&str> {
    let text = line.strip_prefix("//!").or_else(|| line.strip_prefix("///"))?;
    (!text.starts_with('/')).then_some(text)
}

fn is_function(item: &str) -> bool {
    let is_modifier = |word: &str| word.starts_with("pub") || ["const", "async", "unsafe"].contains(&word);
    item.split_whitespace().find(|word| !is_modifier(word)) == Some("fn")
}

/// Returns true if the attribute makes its function a test, of whichever runner.
fn makes_test(attribute: &str) -> bool {
    let name = attribute.strip_prefix("#[").unwrap_or_default().split(['(', ']']).next();
    name.is_some_and(|name| name == "test" || name.ends_with("::test"))
}

fn docs(text: &str) -> Vec<Doc<'_>> {
    let mut found = Vec::new();
    let mut lines = text.lines().map(str::trim).zip(1..).peekable();
    while let Some((opening, line)) = lines.next() {
        let Some(text) = doc_text(opening) else { continue };
        let mut doc = Doc { line, summary: text.split_whitespace().collect(), ..Doc::default() };
        let mut is_paragraph = true;
        while let Some(text) = lines.peek().and_then(|(line, _)| doc_text(line)) {
            is_paragraph &= !text.trim().is_empty();
            doc.summary.extend(text.split_whitespace().filter(|_| is_paragraph));
            lines.next();
        }
        let end = doc.summary.iter().position(|word| word.ends_with('.'));
        doc.summary.truncate(end.map_or(usize::MAX, |end| end + 1));
        let (mut opened, mut closed) = (0, 0);
        while let Some((attribute, _)) = lines.peek()
            && (opened > closed || attribute.is_empty() || attribute.starts_with("#["))
        {
            opened += attribute.matches('[').count();
            closed += attribute.matches(']').count();
            doc.of_test |= makes_test(attribute);
            lines.next();
        }
        doc.of_function =
            opening.starts_with("///") && lines.peek().is_some_and(|(item, _)| is_function(item));
        found.push(doc);
    }
    found
}

/// Returns the rule that the summary breaks, if it breaks one.
fn broken(doc: &Doc<'_>) -> Option<&'static str> {
    let bare = |word: &&str| word.trim_matches(|c: char| !c.is_alphanumeric()).to_owned();
    let words: Vec<String> = doc.summary.iter().map(bare).collect();
    let first = words.first().map(String::as_str).unwrap_or_default();
    let is_verb = || first.ends_with('s') && !NOT_VERBS.contains(&first.to_lowercase().as_str());
    if OPENINGS.contains(&first) {
        Some(OPENING)
    } else if doc.of_function && !doc.of_test && !is_verb() {
        Some(VERB)
    } else if words.windows(2).any(|two| ["is", "are"].contains(&two[0].as_str()) && two[1] == "no") {
        Some(IS_NO)
    } else {
        None
    }
}

/// Returns the string literals of a Rust file that hold an idiom. Literals of several lines are joined if a
/// backslash joins them.
fn odd_literals(text: &str) -> Vec<String> {
    let mut code = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
        let start = line.strip_suffix('\\');
        code.push_str(start.unwrap_or(line));
        code.push_str(if start.is_some() { "" } else { "\n" });
    }
    let code = code.replace("\\\"", "'").replace("'\"'", "");
    let is_odd = |literal: &&str| {
        let plain = literal.to_lowercase().replace("there is no ", "").replace("there are no ", "");
        IDIOMS.iter().any(|idiom| plain.contains(idiom))
    };
    code.lines()
        .flat_map(|line| line.split('"').skip(1).step_by(2))
        .filter(is_odd)
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_summary_begins_as_the_rules_ask() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let paths = rust_files(root);
    let mut seen = 0;
    let mut wrong = String::new();
    for path in &paths {
        let text = std::fs::read_to_string(path).unwrap();
        for doc in docs(&text) {
            seen += 1;
            if let Some(rule) = broken(&doc) {
                let name = path.strip_prefix(root).unwrap().display();
                let _ = writeln!(wrong, "{name}:{}: {rule}: {}", doc.line, doc.summary.join(" "));
            }
        }
    }
    assert!(paths.len() > 100 && seen > 1000, "{seen} summaries in {} files", paths.len());
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn messages_are_plain_english() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let paths = rust_files(root);
    let mut seen = 0;
    let mut wrong = String::new();
    for path in &paths {
        let name = path.strip_prefix(root).unwrap();
        // Only developers see the texts in folders of tests.
        if name.iter().any(|part| part == "src") {
            seen += 1;
            for literal in odd_literals(&std::fs::read_to_string(path).unwrap()) {
                let _ = writeln!(wrong, "{}: {literal}", name.display());
            }
        }
    }
    assert!(seen > 100, "{seen} files");
    assert!(wrong.is_empty(), "say \"is not a\", or who does what:\n{wrong}");
}

#[test]
fn an_idiom_is_noticed() {
    let planted = [
        "//! \"What\" is \"no message is no concern\".",
        "let anew = 1;",
        "let a = (\"PORT\", '\"', \"is no port: write \\\"8080\\\"\");",
        "let b = \"there is no hook of this name\";",
        "tracing::info!(anew, \"the secrets were read \\",
        "               anew\");",
        "let c = \"There are no free ports\"; let d = \"names no shard\";",
    ];
    let wanted = ["is no port: write '8080'", "the secrets were read anew", "names no shard"];
    assert_eq!(odd_literals(&planted.join("\n")), wanted);
}

#[test]
fn each_rule_is_noticed() {
    let planted = [
        "//! What a module is for.",
        "",
        "/// `Name` of a thing.",
        "#[must_use]",
        "pub(crate) const fn name() {}",
        "/// The length.",
        "#[expect(",
        "    clippy::all,",
        ")]",
        "#[cfg(test)]",
        "async fn length() {}",
        "/// Names of the hooks.",
        "fn names() {}",
        "/// Store that is no",
        "/// folder.",
        "struct Store;",
    ];
    let planted = planted.join("\n");
    let found: Vec<_> = docs(&planted).iter().filter_map(|doc| Some((doc.line, broken(doc)?))).collect();
    assert_eq!(found, [(1, OPENING), (3, VERB), (6, VERB), (12, VERB), (14, IS_NO)]);
}

#[test]
fn other_texts_are_left_alone() {
    let sound = [
        "//! Test of a part. What follows is not the summary, and is no part of it.",
        "",
        "/// Returns true if nothing is known.",
        "///",
        "/// What is known is no secret.",
        "fn is_known() {}",
        "/// The clock may stand still.",
        "#[tokio::test(start_paused = true)]",
        "async fn clock() {}",
        "//// What is not a doc comment.",
        "// What is a comment.",
        "/// Size of a page.",
        "const SIZE: u8 = 1;",
    ];
    let sound = sound.join("\n");
    let found = docs(&sound);
    assert_eq!(found.iter().map(|doc| doc.line).collect::<Vec<_>>(), [1, 3, 7, 12]);
    assert!(found.iter().all(|doc| broken(doc).is_none()), "{found:?}");
}
