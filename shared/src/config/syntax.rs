//! Effects of TOML syntax errors on hooks and targets.

use std::borrow::Cow;
use std::collections::BTreeMap;

use toml::de::DeTable;

use crate::reader::Mistakes;

/// Usable part of a hooks file.
#[derive(Debug)]
pub(super) struct Usable<'t> {
    /// Text of the file, with blanks in place of unusable parts, so that offsets and lines stay the same. It
    /// parses without errors.
    pub(super) text: Cow<'t, str>,
    /// Hooks and targets with a syntax error in one of their tables.
    spoiled: Vec<Owner>,
    /// True if the whole file is usable. If false, the unusable part may define further hooks.
    pub(super) is_all: bool,
}

/// Section of a table (`hooks` or `targets`) and the name in that section.
type Owner = (&'static str, String);

impl Usable<'_> {
    /// Returns true if the hook has a syntax error. Targets need no such check, because the text no longer
    /// contains a target with a syntax error.
    pub(super) fn is_spoiled(&self, hook: &str) -> bool {
        self.spoiled.iter().any(|(section, name)| *section == "hooks" && name == hook)
    }
}

/// Reports the syntax errors and returns the usable part of the file.
///
/// The parser can recover, but the part that it drops or moves may be a check (a `timestamp` line, for
/// example). So a hook or target is used only if its own tables parse by themselves. An error outside of
/// these tables, such as in a header, may have moved lines from one hook to another: then no hook is used.
pub(super) fn usable<'t>(text: &'t str, mistakes: &Mistakes) -> Usable<'t> {
    let (_, errors) = DeTable::parse_recoverable(text);
    let found = errors.iter().map(|error| {
        let offset = error.span().map_or(0, |span| span.start).min(text.len());
        (offset, error.message().to_owned())
    });
    #[cfg(feature = "catalog")]
    let found = without_repeats(text, found.collect());
    for (offset, message) in found {
        mistakes.error(offset, "", message);
    }
    if errors.is_empty() {
        return Usable { text: text.into(), spoiled: Vec::new(), is_all: true };
    }
    let (text, spoiled) = without_spoiled(text).unwrap_or_default();
    Usable { text: text.into(), spoiled, is_all: false }
}

/// Replaces the errors about keys that are there twice by one for each table or key, with the line of the first.
#[cfg(feature = "catalog")]
fn without_repeats(text: &str, found: Vec<(usize, String)>) -> Vec<(usize, String)> {
    let lines: Vec<&str> = text.lines().collect();
    let line_of = |offset: usize| text.get(..offset).unwrap_or_default().matches('\n').count();
    let line = |number: usize| lines.get(number).copied().unwrap_or_default().trim();
    let is_header = |number: &usize| line(*number).starts_with('[');
    let header_of = |number: usize| (0..=number).rev().find(is_header);
    let key_of = |number: usize| line(number).split('=').next().unwrap_or_default().trim();
    let mut kept = Vec::new();
    let mut headers = Vec::new();
    for (offset, message) in found {
        let number = line_of(offset);
        let header = header_of(number);
        let message = if message != DUPLICATE {
            message
        } else if is_header(&number) {
            headers.push(number);
            match (0..number).find(|other| line(*other) == line(number)) {
                Some(first) => format!("{} is there already, in line {}", line(number), first + 1),
                None => message,
            }
        } else if header.is_some_and(|header| headers.contains(&header)) {
            continue;
        } else {
            let start = header.map_or(0, |header| header + 1);
            match (start..number).find(|other| key_of(*other) == key_of(number)) {
                Some(first) => format!("{} is there already, in line {}", key_of(number), first + 1),
                None => message,
            }
        };
        kept.push((offset, message));
    }
    kept
}

/// Message of the parser about a key that is there twice.
#[cfg(feature = "catalog")]
const DUPLICATE: &str = "duplicate key";

/// Blanks out hooks and targets with syntax errors. Returns the text and their names, or `None` if an error
/// cannot be attributed to a hook or target.
fn without_spoiled(text: &str) -> Option<(String, Vec<Owner>)> {
    // A line inside a multi-line string may look like a header.
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

/// Returns the hook or target to which the lines below a table header belong.
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
