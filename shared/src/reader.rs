//! Reading TOML so that every mistake is found in one pass, each with its line.
//!
//! A [`Table`] hands out typed values and remembers which keys were asked for; [`Table::finish`]
//! reports the others as unknown. Nothing stops at the first mistake.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// How bad a mistake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The hook (or the file) cannot be used.
    Error,
    /// It works, and someone should look at it.
    Warning,
}

/// One thing wrong in a hooks file: what, where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The file's name as the user knows it.
    pub file: String,
    /// Line, counted from 1.
    pub line: usize,
    /// The key, dotted: `hooks.github.topic`. Empty for the file as a whole.
    pub key: String,
    /// What is wrong and what to do.
    pub message: String,
    /// Error or warning.
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

/// Collects the mistakes of one file.
#[derive(Debug)]
pub struct Mistakes {
    file: String,
    /// Byte offsets at which lines start.
    lines: Vec<usize>,
    found: RefCell<Vec<Mistake>>,
}

impl Mistakes {
    /// For the file called `file` that holds `text`.
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

    /// What they are in.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// How many errors there are so far: a caller compares before and after to see whether its part
    /// is sound.
    pub fn errors(&self) -> usize {
        self.found.borrow().iter().filter(|m| m.severity == Severity::Error).count()
    }

    /// All mistakes, by line.
    pub fn into_sorted(self) -> Vec<Mistake> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|m| m.line);
        found
    }
}

/// A value and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Byte offset in the file, for [`Mistakes`].
    pub offset: usize,
}

/// An array of strings and where each stands.
pub type Strings<'a> = At<Vec<At<&'a str>>>;

/// One TOML table being read.
#[derive(Debug)]
pub struct Table<'a> {
    mistakes: &'a Mistakes,
    path: String,
    offset: usize,
    entries: &'a DeTable<'a>,
    asked: RefCell<BTreeSet<&'static str>>,
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

    /// Where the table starts.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Where mistakes go, for those at a place of their own.
    pub fn mistakes(&self) -> &'a Mistakes {
        self.mistakes
    }

    /// The dotted name of `key` in this table.
    pub fn name(&self, key: &str) -> String {
        match (self.path.is_empty(), key.is_empty()) {
            (true, _) => key.to_owned(),
            (false, true) => self.path.clone(),
            (false, false) => format!("{}.{key}", self.path),
        }
    }

    /// Records an error about `key`, at its place if it is there, else at the table's.
    pub fn error(&self, key: &str, message: impl fmt::Display) {
        self.mistakes.error(self.place(key), &self.name(key), message);
    }

    /// Records a warning about `key`.
    pub fn warning(&self, key: &str, message: impl fmt::Display) {
        self.mistakes.warning(self.place(key), &self.name(key), message);
    }

    /// Records an error about `key` at a place of its own, for values inside an array or table.
    pub fn error_at(&self, offset: usize, key: &str, message: impl fmt::Display) {
        self.mistakes.error(offset, &self.name(key), message);
    }

    /// Where `key` stands; for `secrets[1]` or `params.topic`, where `secrets` or `params` does.
    fn place(&self, key: &str) -> usize {
        let key = key.split(['[', '.']).next().unwrap_or(key);
        self.entries.get_key_value(key).map_or(self.offset, |(k, _)| k.span().start)
    }

    /// Whether the key is written.
    pub fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Every key of the table as written, with its value's table where it is one: for tables whose
    /// keys are names. Values that are no tables are errors.
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

    /// Every key of the table as written, with its string: for tables whose keys are names.
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

    /// Every key of the table as written, with its array of strings: for tables whose keys are names.
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
        self.asked.borrow_mut().insert(key);
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

    /// A string.
    pub fn str(&self, key: &'static str) -> Option<At<&'a str>> {
        self.typed(key, "a string", |v| match v {
            DeValue::String(s) => Some(s.as_ref()),
            _ => None,
        })
    }

    /// A boolean.
    pub fn bool(&self, key: &'static str) -> Option<At<bool>> {
        self.typed(key, "true or false", DeValue::as_bool)
    }

    /// A whole number from 0.
    pub fn number(&self, key: &'static str) -> Option<At<u64>> {
        self.typed(key, "a whole number", |v| {
            let n = v.as_integer()?;
            u64::from_str_radix(n.as_str(), n.radix()).ok()
        })
    }

    /// A duration such as `"500ms"`, `"8s"`, `"5m"`, `"1h"`, or a whole number of seconds.
    pub fn duration(&self, key: &'static str) -> Option<At<Duration>> {
        self.typed(key, r#"a duration such as "500ms", "8s", "5m" or "1h""#, |v| match v {
            DeValue::String(s) => parse_duration(s),
            DeValue::Integer(n) => {
                Some(Duration::from_secs(u64::from_str_radix(n.as_str(), n.radix()).ok()?))
            }
            _ => None,
        })
    }

    /// A size such as `"512KiB"`, `"4MiB"`, `"1MB"`, or a whole number of bytes.
    pub fn size(&self, key: &'static str) -> Option<At<usize>> {
        self.typed(key, r#"a size such as "512KiB", "1MiB" or a number of bytes"#, |v| match v {
            DeValue::String(s) => parse_size(s),
            DeValue::Integer(n) => usize::from_str_radix(n.as_str(), n.radix()).ok(),
            _ => None,
        })
    }

    /// An array of strings; an entry that is no string is an error of its own.
    pub fn strings(&self, key: &'static str) -> Option<Strings<'a>> {
        let items = self.typed(key, "an array of strings", DeValue::as_array)?;
        let strings = self.list(key, items.value);
        Some(At { value: strings, offset: items.offset })
    }

    /// An array of whole numbers from 0.
    pub fn numbers(&self, key: &'static str) -> Option<At<Vec<usize>>> {
        let number = |v: &Spanned<DeValue<'_>>| {
            let n = v.get_ref().as_integer()?;
            usize::from_str_radix(n.as_str(), n.radix()).ok()
        };
        self.typed(key, "an array of whole numbers", |v| v.as_array()?.iter().map(number).collect())
    }

    /// A table.
    pub fn table(&self, key: &'static str) -> Option<Table<'a>> {
        let at = self.typed(key, "a table", DeValue::as_table)?;
        Some(Table::new(self.mistakes, self.name(key), self.place(key), at.value))
    }

    /// An array of tables.
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

    /// Whether the value of `key` is a string (and not, say, a table): for keys with two forms.
    pub fn is_str(&self, key: &str) -> bool {
        self.entries.get(key).is_some_and(|v| v.get_ref().is_str())
    }

    /// Whether the value of `key` is a table: for keys with two forms.
    pub fn is_table(&self, key: &str) -> bool {
        self.entries.get(key).is_some_and(|v| v.get_ref().is_table())
    }

    /// Reports every key that nobody asked for.
    pub fn finish(self) {
        let asked = self.asked.into_inner();
        for (key, _) in self.entries {
            let name = key.get_ref().as_ref();
            if asked.contains(name) {
                continue;
            }
            let known = asked.iter().copied().collect::<Vec<_>>().join(", ");
            let dotted = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
            self.mistakes.error(key.span().start, &dotted, format!("unknown key; known here: {known}"));
        }
    }
}

fn wrong(wanted: &str, found: &DeValue<'_>) -> String {
    format!("expected {wanted}, found {}", found.type_str())
}

/// Reads `"8s"`; `None` for anything else.
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

/// Reads `"512KiB"`, or a number of bytes without a unit; `None` for anything else.
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
mod tests {
    use super::*;

    fn read(text: &str, read: impl FnOnce(&Table<'_>)) -> Vec<String> {
        let mistakes = Mistakes::new("f.toml", text);
        let doc = DeTable::parse(text).unwrap();
        let table = Table::new(&mistakes, "", 0, doc.get_ref());
        read(&table);
        table.finish();
        mistakes.into_sorted().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_mistake_has_its_line() {
        let text = "a = 1\nb = \"x\"\n\n[t]\nc = [1, \"ok\"]\nd = 2\n";
        let found = read(text, |t| {
            assert!(t.str("a").is_none());
            assert_eq!(t.str("b").unwrap().value, "x");
            let inner = t.table("t").unwrap();
            assert_eq!(inner.strings("c").unwrap().value.len(), 1);
            inner.finish();
        });
        assert_eq!(
            found,
            [
                "f.toml:1: error: a: expected a string, found integer",
                "f.toml:5: error: t.c: expected a string, found integer",
                "f.toml:6: error: t.d: unknown key; known here: c",
            ]
        );
    }

    #[test]
    fn durations_and_sizes() {
        assert_eq!(parse_duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse_duration("5m"), Some(Duration::from_secs(300)));
        for bad in ["", "s", "5", "5 parsecs", "-5s", "99999999999999999999s", "18446744073709551615h"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
        assert_eq!(parse_size("512KiB"), Some(524_288));
        assert_eq!(parse_size("1MB"), Some(1_000_000));
        assert_eq!(parse_size("18446744073709551615MiB"), None);
    }
}
