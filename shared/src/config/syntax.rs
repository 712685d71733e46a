//! What TOML syntax errors mean for the hooks and targets around them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use toml::de::DeTable;

use crate::reader::Mistakes;

/// What of a hooks file can be used.
#[derive(Debug)]
pub(super) struct Usable<'t> {
    /// The file, with blanks where it cannot be used: offsets and lines stay what they are. It parses.
    pub(super) text: Cow<'t, str>,
    /// Hooks and targets that have a syntax error in one of their tables.
    spoiled: Vec<Owner>,
    /// Whether that is all of the file; if not, it may have meant to say anything more.
    pub(super) is_all: bool,
}

/// The section of a table, and its name there.
type Owner = (&'static str, String);

impl Usable<'_> {
    /// Whether the hook has a syntax error. A target that has one is not there any more.
    pub(super) fn is_spoiled(&self, hook: &str) -> bool {
        self.spoiled.iter().any(|(section, name)| *section == "hooks" && name == hook)
    }
}

/// Reports the syntax errors and says what is left.
///
/// The parser can recover, but what it then drops or moves may be a check (a `timestamp` line, say).
/// So a hook or target is used only if its own tables parse by themselves. An error that is in no such table,
/// such as in a header, may have moved lines from one hook to another: then no hook is used.
pub(super) fn usable<'t>(text: &'t str, mistakes: &Mistakes) -> Usable<'t> {
    let (_, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let offset = error.span().map_or(0, |span| span.start).min(text.len());
        mistakes.error(offset, "", error.message());
    }
    if errors.is_empty() {
        return Usable { text: text.into(), spoiled: Vec::new(), is_all: true };
    }
    let (text, spoiled) = without_spoiled(text).unwrap_or_default();
    Usable { text: text.into(), spoiled, is_all: false }
}

/// The text with what is spoiled blanked out, and their names; `None` if it cannot be told.
fn without_spoiled(text: &str) -> Option<(String, Vec<Owner>)> {
    // Inside of a long string, a line may look like a header.
    if text.contains("\"\"\"") || text.contains("'''") {
        return None;
    }
    let mut owner = None;
    let mut lines: Vec<(Option<Owner>, &str)> = Vec::new();
    let mut tables: BTreeMap<Option<Owner>, String> = BTreeMap::new();
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with('[') {
            owner = owner_of(line);
        }
        tables.entry(owner.clone()).or_default().push_str(line);
        lines.push((owner.clone(), line));
    }
    let parses = |text: &str| DeTable::parse(text).is_ok();
    tables.retain(|_, part| !parses(part));
    let rest: String = lines
        .iter()
        .map(|(owner, line)| if tables.contains_key(owner) { blank(line) } else { (*line).to_owned() })
        .collect();
    let spoiled: Option<Vec<Owner>> = tables.into_keys().collect();
    Some((rest, spoiled?)).filter(|(rest, _)| parses(rest))
}

/// The hook or target in whose table a header's lines are.
fn owner_of(header: &str) -> Option<Owner> {
    let document = DeTable::parse(header).ok()?;
    ["hooks", "targets"].into_iter().find_map(|section| {
        let tables = document.get_ref().get(section)?.get_ref().as_table()?;
        tables.keys().next().map(|name| (section, name.get_ref().to_string()))
    })
}

fn blank(line: &str) -> String {
    line.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect()
}
