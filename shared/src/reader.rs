//! Reader of TOML that finds all mistakes in one pass, each with its line.
//!
//! A [`Table`] returns typed values and remembers the requested keys, looked for or read; [`Table::finish`]
//! reports all other keys as unknown, each with the one that is probably meant. Reading continues after a
//! mistake.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use crate::sort::sort_by;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// Severity of a mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Mistake that makes the hook (or the file) unusable.
    Error,
    /// Doubtful setting that works but deserves attention.
    Warning,
}

/// Mistake in a hooks file: its place, its description and its remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Name of the file, as the user knows it.
    pub file: String,
    /// Line number, counted from 1.
    pub line: usize,
    /// Dotted key, such as `hooks.github.topic`. Empty for the file as a whole.
    pub key: String,
    /// Description of the mistake and of its remedy.
    pub message: String,
    /// Severity of the mistake.
    pub severity: Severity,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, key, message, severity } = self;
        let kind = match severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        if key.is_empty() {
            write!(f, "{file}:{line}: {kind}: {message}")
        } else {
            write!(f, "{file}:{line}: {kind}: {key}: {message}")
        }
    }
}

/// Collector of the mistakes in a file.
#[derive(Debug)]
pub struct Mistakes {
    file: String,
    /// Byte offsets of the starts of lines.
    lines: Vec<usize>,
    found: RefCell<Vec<Mistake>>,
}

impl Mistakes {
    /// Creates a collector for the file called `file`, whose content is `text`.
    pub fn new(file: impl Into<String>, text: &str) -> Self {
        let starts = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1);
        Self {
            file: file.into(),
            lines: std::iter::once(0).chain(starts).collect(),
            found: RefCell::default(),
        }
    }

    /// Records an error at byte `offset`.
    pub fn error(&self, offset: usize, key: &str, message: impl fmt::Display) {
        self.push(offset, key, message, Severity::Error);
    }

    /// Records a warning at byte `offset`.
    pub fn warning(&self, offset: usize, key: &str, message: impl fmt::Display) {
        self.push(offset, key, message, Severity::Warning);
    }

    fn push(&self, offset: usize, key: &str, message: impl fmt::Display, severity: Severity) {
        let line = self.lines.partition_point(|start| *start <= offset);
        self.found.borrow_mut().push(Mistake {
            file: self.file.clone(),
            line,
            key: key.to_owned(),
            message: message.to_string(),
            severity,
        });
    }

    /// Returns the name of the file.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Returns the number of errors so far. A caller compares the number before and after to see if its part
    /// is sound.
    pub fn errors(&self) -> usize {
        self.found.borrow().iter().filter(|m| m.severity == Severity::Error).count()
    }

    /// Returns all mistakes, sorted by line.
    pub fn into_sorted(self) -> Vec<Mistake> {
        // Mistakes in one line stay in the order in which they were found.
        let mut found: Vec<_> = self.found.into_inner().into_iter().enumerate().collect();
        sort_by(&mut found, &|(i, a), (j, b)| (a.line, i).cmp(&(b.line, j)));
        found.into_iter().map(|(_, mistake)| mistake).collect()
    }
}

/// Value with its position in the file.
#[derive(Clone, Copy, Debug)]
pub struct At<T> {
    /// Value that was read.
    pub value: T,
    /// Byte offset in the file, for [`Mistakes`].
    pub offset: usize,
}

/// Array of strings, each with its position.
pub type Strings<'a> = At<Vec<At<&'a str>>>;

/// TOML table that is being read.
#[derive(Debug)]
pub struct Table<'a> {
    mistakes: &'a Mistakes,
    path: String,
    offset: usize,
    entries: &'a DeTable<'a>,
    /// Requested keys, in the order of the requests; a key may be in it several times.
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Table<'a> {
    /// Starts reading `table`, whose dotted name is `path`.
    pub fn new(
        mistakes: &'a Mistakes,
        path: impl Into<String>,
        offset: usize,
        table: &'a DeTable<'a>,
    ) -> Self {
        Self { mistakes, path: path.into(), offset, entries: table, asked: RefCell::default() }
    }

    /// Returns the byte offset at which the table starts.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Returns the collector, for mistakes at a position outside this table.
    pub fn mistakes(&self) -> &'a Mistakes {
        self.mistakes
    }

    /// Returns the dotted name of `key` in this table.
    pub fn name(&self, key: &str) -> String {
        match (self.path.is_empty(), key.is_empty()) {
            (true, _) => key.to_owned(),
            (false, true) => self.path.clone(),
            (false, false) => format!("{}.{key}", self.path),
        }
    }

    /// Records an error about `key`, at the key's position, or at the table's if the key is missing.
    pub fn error(&self, key: &str, message: impl fmt::Display) {
        self.mistakes.error(self.place(key), &self.name(key), message);
    }

    /// Records a warning about `key`, at the same position as [`error`](Self::error).
    pub fn warning(&self, key: &str, message: impl fmt::Display) {
        self.mistakes.warning(self.place(key), &self.name(key), message);
    }

    /// Records an error about `key` at a given position, for values inside an array or table.
    pub fn error_at(&self, offset: usize, key: &str, message: impl fmt::Display) {
        self.mistakes.error(offset, &self.name(key), message);
    }

    /// Records a warning about `key` at a given position, for values inside an array or table.
    pub fn warning_at(&self, offset: usize, key: &str, message: impl fmt::Display) {
        self.mistakes.warning(offset, &self.name(key), message);
    }

    /// Returns the position of `key`. For `secrets[1]` or `params.topic`, returns the position of `secrets`
    /// or `params`.
    pub(crate) fn place(&self, key: &str) -> usize {
        let key = key.split(['[', '.']).next().unwrap_or(key);
        self.entries.get_key_value(key).map_or(self.offset, |(k, _)| k.span().start)
    }

    /// Returns true if the table contains the key, which is known from then on: a mistyped key is often
    /// looked for and never read.
    pub fn has(&self, key: &'static str) -> bool {
        self.get(key).is_some()
    }

    /// Returns every key of the table with its value, for tables that map names to tables. Values that are
    /// not tables are errors.
    pub fn named_tables(&self) -> Vec<(At<&'a str>, Table<'a>)> {
        let mut tables = Vec::new();
        for (key, value) in self.entries {
            let (name, offset): (&'a str, usize) = (key.get_ref().as_ref(), key.span().start);
            match value.get_ref() {
                DeValue::Table(t) => tables.push((
                    At { value: name, offset },
                    Table::new(self.mistakes, self.name(name), offset, t),
                )),
                other => self.mistakes.error(offset, &self.name(name), wrong("a table", other)),
            }
        }
        tables
    }

    /// Returns every key of the table with its value, for tables that map names to strings. Values that are
    /// not strings are errors.
    pub fn named_strings(&self) -> Vec<(At<&'a str>, At<&'a str>)> {
        let mut strings = Vec::new();
        for (key, value) in self.entries {
            let (name, offset): (&'a str, usize) = (key.get_ref().as_ref(), key.span().start);
            match value.get_ref() {
                DeValue::String(s) => strings
                    .push((At { value: name, offset }, At { value: s.as_ref(), offset: value.span().start })),
                other => self.mistakes.error(offset, &self.name(name), wrong("a string", other)),
            }
        }
        strings
    }

    /// Returns every key of the table with its value, for tables that map names to arrays of strings. Other
    /// values are errors.
    pub fn named_lists(&self) -> Vec<(At<&'a str>, Strings<'a>)> {
        let mut lists = Vec::new();
        for (key, value) in self.entries {
            let (name, offset): (&'a str, usize) = (key.get_ref().as_ref(), key.span().start);
            match value.get_ref() {
                DeValue::Array(items) => {
                    let value = self.list(name, items);
                    lists.push((At { value: name, offset }, At { value, offset }));
                }
                other => self.mistakes.error(offset, &self.name(name), wrong("an array of strings", other)),
            }
        }
        lists
    }

    fn list(&self, key: &str, items: &'a DeArray<'a>) -> Vec<At<&'a str>> {
        let mut strings = Vec::new();
        for item in items {
            let offset = item.span().start;
            match item.get_ref() {
                DeValue::String(s) => strings.push(At { value: s.as_ref(), offset }),
                other => self.mistakes.error(offset, &self.name(key), wrong("a string", other)),
            }
        }
        strings
    }

    fn get(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.asked.borrow_mut().push(key);
        self.entries.get(key)
    }

    fn typed<T>(
        &self,
        key: &'static str,
        wanted: &str,
        read: impl FnOnce(&'a DeValue<'a>) -> Option<T>,
    ) -> Option<At<T>> {
        let spanned = self.get(key)?;
        let offset = spanned.span().start;
        if let Some(value) = read(spanned.get_ref()) {
            return Some(At { value, offset });
        }
        self.mistakes.error(offset, &self.name(key), wrong(wanted, spanned.get_ref()));
        None
    }

    /// Reads a string.
    pub fn str(&self, key: &'static str) -> Option<At<&'a str>> {
        self.typed(key, "a string", |v| match v {
            DeValue::String(s) => Some(s.as_ref()),
            _ => None,
        })
    }

    /// Reads a boolean.
    pub fn bool(&self, key: &'static str) -> Option<At<bool>> {
        self.typed(key, "true or false", DeValue::as_bool)
    }

    /// Reads a whole number that is not negative.
    pub fn number(&self, key: &'static str) -> Option<At<u64>> {
        self.typed(key, "a whole number", |v| {
            let n = v.as_integer()?;
            u64::from_str_radix(n.as_str(), n.radix()).ok()
        })
    }

    /// Reads a duration such as `"500ms"`, `"8s"`, `"5m"`, `"1h"`, or a whole number of seconds.
    pub fn duration(&self, key: &'static str) -> Option<At<Duration>> {
        self.typed(key, DURATION, |v| match v {
            DeValue::String(s) => parse_duration(s),
            DeValue::Integer(n) => {
                Some(Duration::from_secs(u64::from_str_radix(n.as_str(), n.radix()).ok()?))
            }
            _ => None,
        })
    }

    /// Reads a size such as `"512KiB"`, `"4MiB"`, `"1MB"`, or a whole number of bytes.
    pub fn size(&self, key: &'static str) -> Option<At<usize>> {
        self.typed(key, SIZE, |v| match v {
            DeValue::String(s) => parse_size(s),
            DeValue::Integer(n) => usize::from_str_radix(n.as_str(), n.radix()).ok(),
            _ => None,
        })
    }

    /// Reads an array of strings. Each entry that is not a string is a separate error.
    pub fn strings(&self, key: &'static str) -> Option<Strings<'a>> {
        let items = self.typed(key, "an array of strings", DeValue::as_array)?;
        let strings = self.list(key, items.value);
        Some(At { value: strings, offset: items.offset })
    }

    /// Reads an array of whole numbers that are not negative.
    pub fn numbers(&self, key: &'static str) -> Option<At<Vec<usize>>> {
        let number = |v: &Spanned<DeValue<'_>>| {
            let n = v.get_ref().as_integer()?;
            usize::from_str_radix(n.as_str(), n.radix()).ok()
        };
        self.typed(key, "an array of whole numbers", |v| v.as_array()?.iter().map(number).collect())
    }

    /// Reads a table.
    pub fn table(&self, key: &'static str) -> Option<Table<'a>> {
        let at = self.typed(key, "a table", DeValue::as_table)?;
        Some(Table::new(self.mistakes, self.name(key), self.place(key), at.value))
    }

    /// Reads an array of tables. Each entry that is not a table is a separate error.
    pub fn tables(&self, key: &'static str) -> Option<Vec<Table<'a>>> {
        let items = self.typed(key, "an array of tables", DeValue::as_array)?;
        let mut tables = Vec::new();
        for (i, item) in items.value.iter().enumerate() {
            let offset = item.span().start;
            match item.get_ref() {
                DeValue::Table(t) => {
                    tables.push(Table::new(self.mistakes, format!("{}[{i}]", self.name(key)), offset, t));
                }
                other => self.mistakes.error(offset, &self.name(key), wrong("a table", other)),
            }
        }
        Some(tables)
    }

    /// Returns true if the value of `key` is a string, for keys that also accept a table.
    pub fn is_str(&self, key: &'static str) -> bool {
        self.get(key).is_some_and(|v| v.get_ref().is_str())
    }

    /// Returns true if the value of `key` is a table, for keys that also accept a string.
    pub fn is_table(&self, key: &'static str) -> bool {
        self.get(key).is_some_and(|v| v.get_ref().is_table())
    }

    /// Reports every key that was not requested, with the key that is probably meant and all known ones.
    pub fn finish(self) {
        let asked = self.asked.into_inner();
        for (key, _) in self.entries {
            let name = key.get_ref().as_ref();
            if asked.contains(&name) {
                continue;
            }
            let mut known = BTreeSet::new();
            for asked in &asked {
                known.insert(*asked);
            }
            let known: Vec<&str> = known.into_iter().collect();
            let dotted = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
            #[cfg(feature = "catalog")]
            let known_here = match meant(name, &known) {
                Some(meant) => format!("did you mean {meant}? Known here"),
                None => "known here".to_owned(),
            };
            #[cfg(not(feature = "catalog"))]
            let known_here = "known here";
            let message = format!("unknown key; {known_here}: {}", known.join(", "));
            self.mistakes.error(key.span().start, &dotted, message);
        }
    }
}

/// Returns the names that are probably meant by a mistyped one, as `a or b`. A function does without: it has the
/// list of all names, and `hookmq check` says more.
#[cfg(feature = "catalog")]
pub fn meant(name: &str, known: &[&str]) -> Option<String> {
    Some(near(name, known)).filter(|close| !close.is_empty()).map(|close| close.join(" or "))
}

/// Returns the known names that are nearest to a mistyped one: one byte off, else two, and never all of them.
#[cfg(feature = "catalog")]
pub(crate) fn near<'k>(name: &str, known: &[&'k str]) -> Vec<&'k str> {
    let mut nearest = Vec::new();
    let mut least = 2;
    for known in known {
        let far = distance(name, known);
        if far > least || far >= name.len().min(known.len()) {
            continue;
        }
        if far < least {
            nearest.clear();
            least = far;
        }
        nearest.push(*known);
    }
    nearest
}

/// Returns the number of bytes to change, add or leave out to turn `a` into `b` (Levenshtein distance).
#[cfg(feature = "catalog")]
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(b.bytes()) {
            let best = (diagonal + usize::from(x != y)).min(*cell + 1).min(left + 1);
            diagonal = std::mem::replace(cell, best);
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// Names of what is expected in place of a wrong value.
const DURATION: &str = r#"a duration such as "500ms", "8s", "5m" or "1h""#;
const SIZE: &str = r#"a size such as "512KiB", "1MiB" or a number of bytes"#;

fn wrong(wanted: &str, found: &DeValue<'_>) -> String {
    #[cfg(feature = "catalog")]
    if let DeValue::String(text) = found
        && let Some((_, unit)) = split_unit(text.trim())
    {
        let units = match wanted {
            DURATION => "ms, s, m, h and d",
            SIZE => "B, KB, KiB, MB and MiB",
            _ => "",
        };
        match unit {
            _ if units.is_empty() => {}
            "" => {
                return format!("expected {wanted}, found {text:?}, which has no unit: write one of {units}");
            }
            _ => {
                return format!(
                    "expected {wanted}, found {text:?}, whose unit is unknown: known are {units}"
                );
            }
        }
    }
    format!("expected {wanted}, found {}", found.type_str())
}

/// Parses a duration such as `"8s"`, with one of the units `ms`, `s`, `m`, `h` and `d`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        "h" => Some(Duration::from_secs(number.checked_mul(3600)?)),
        "d" => Some(Duration::from_secs(number.checked_mul(86_400)?)),
        _ => None,
    }
}

/// Parses a size such as `"512KiB"`, or a number of bytes without a unit.
pub fn parse_size(text: &str) -> Option<usize> {
    let (number, unit) = split_unit(text)?;
    let factor: u64 = match unit {
        "" | "B" => 1,
        "KB" | "kB" => 1_000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        _ => return None,
    };
    usize::try_from(number.checked_mul(factor)?).ok()
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit.trim_start()))
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
