//! The `[verify]` table: what every preset and every hook's own source is written in.

use super::field::{Field, View};
use super::kinds::{Kind, WORDS, Word};
use super::window::Window;
use super::{Params, Rejection};
use crate::reader::{At, Table};

/// A `[verify]` table, read.
#[derive(Clone, Debug)]
pub(super) struct Scheme {
    pub(super) kind: Kind,
    pub(super) timestamp: Option<Window>,
    pub(super) require: Vec<Pin>,
    /// The first that is there counts, in each of these.
    pub(super) id: Vec<Field>,
    pub(super) event: Vec<Field>,
    pub(super) subject: Vec<Field>,
}

/// A field whose value is set by configuration, so that no message chooses its own algorithm or key.
#[derive(Clone, Debug)]
pub(super) struct Pin {
    pub(super) from: Field,
    pub(super) values: Vec<String>,
}

impl Scheme {
    /// Reads a whole table; `None` if anything in it is wrong, which its mistakes then tell.
    pub(super) fn read(table: Table<'_>) -> Option<Self> {
        let mistakes = table.mistakes();
        let before = mistakes.errors();
        // A table of no kind has no known keys either: that one mistake is enough.
        let word = one_of(&table, "kind", &WORDS)?;
        let kind = Kind::read(word, &table);
        let timestamp = match word {
            Word::None | Word::Token => None,
            _ => table.table("timestamp").and_then(Window::read),
        };
        let require = table.tables("require").unwrap_or_default().into_iter().map(Pin::read).collect();
        let (id, event, subject) = (fields(&table, "id"), fields(&table, "event"), fields(&table, "subject"));
        let scheme =
            kind.zip(require).map(|(kind, require)| Self { kind, timestamp, require, id, event, subject });
        if let Some(scheme) = &scheme {
            scheme.check(&table);
        }
        table.finish();
        scheme.filter(|_| mistakes.errors() == before)
    }

    /// The parameters that templates and pins need, written `{param:NAME}`.
    pub(super) fn params(&self) -> Vec<String> {
        let pinned = self.require.iter().flat_map(|pin| &pin.values).filter_map(|value| param(value));
        let mut names: Vec<String> = pinned.map(str::to_owned).collect();
        if let Kind::Signed(signed) = &self.kind {
            names.extend(signed.template.params().map(str::to_owned));
        }
        names
    }

    /// Puts the values of parameters in.
    pub(super) fn bind(&mut self, params: &Params) {
        for value in self.require.iter_mut().flat_map(|pin| &mut pin.values) {
            bind(value, params);
        }
        if let Kind::Signed(signed) = &mut self.kind {
            signed.template.bind(params);
        }
    }

    /// What no key can tell alone.
    fn check(&self, table: &Table<'_>) {
        let named = [("id", &self.id), ("event", &self.event), ("subject", &self.subject)];
        if let Kind::Token(token) = &self.kind {
            for (key, _) in named.iter().filter(|(_, fields)| fields.iter().any(|f| f.is(&token.from))) {
                table.error(
                    key,
                    format!("{} is the token, which is never kept: name another field", token.from),
                );
            }
        }
        let has_pairs = matches!(&self.kind, Kind::Signed(signed) if signed.signature.has_pairs());
        if has_pairs {
            return;
        }
        let mut used: Vec<(&str, &Field)> =
            named.iter().flat_map(|(key, fields)| fields.iter().map(move |f| (*key, f))).collect();
        if let Kind::Signed(signed) = &self.kind {
            used.extend(signed.template.fields().map(|f| ("signed", f)));
        }
        used.extend(self.timestamp.iter().map(|w| ("timestamp", &w.from)));
        used.extend(self.require.iter().map(|p| ("require", &p.from)));
        for (key, field) in used.into_iter().filter(|(_, field)| matches!(field, Field::SigKv(_))) {
            table.error(key, format!("{field} needs a signature of format = \"kv\""));
        }
    }
}

impl Pin {
    fn read(table: Table<'_>) -> Option<Self> {
        let from = field(&table, "from", "\"header:X-Signature-Version\"");
        let values = table.strings("in").map(|at| at.value).unwrap_or_default();
        let values: Vec<String> = values.iter().map(|at| at.value.to_owned()).collect();
        if values.is_empty() {
            table.error("in", "no value is allowed: write in = [\"v1\"]");
        }
        table.finish();
        Some(Self { from: from?, values })
    }

    pub(super) fn check(&self, view: &View<'_>) -> Result<(), Rejection> {
        let value = self.from.read(view)?;
        let pinned = self.values.iter().any(|allowed| *allowed.as_bytes() == *value);
        if pinned { Ok(()) } else { Err(Rejection::Pinned(self.from.to_string())) }
    }
}

/// The name in `{param:NAME}`.
pub(super) fn param(text: &str) -> Option<&str> {
    text.strip_prefix("{param:")?.strip_suffix('}')
}

/// Puts a parameter's value in place of `{param:NAME}`.
pub(super) fn bind(text: &mut String, params: &Params) {
    if let Some(value) = param(text).and_then(|name| params.get(name)).and_then(|value| value.expose_str()) {
        *text = value.to_owned();
    }
}

/// A string that must be there and not be empty.
pub(super) fn text<'a>(table: &Table<'a>, key: &'static str, example: &str) -> Option<&'a str> {
    let at = table.str(key);
    if at.is_some_and(|at| at.value.is_empty()) || !table.has(key) {
        table.error(key, format!("missing: write {key} = {example}"));
        return None;
    }
    at.map(|at| at.value)
}

/// A field that must be there.
pub(super) fn field(table: &Table<'_>, key: &'static str, example: &str) -> Option<Field> {
    let text = text(table, key, example)?;
    Field::parse(text).map_err(|message| table.error(key, message)).ok()
}

/// A field, or several of which the first that is there counts.
pub(super) fn fields(table: &Table<'_>, key: &'static str) -> Vec<Field> {
    let texts = if table.is_str(key) { table.str(key).into_iter().collect() } else { strings(table, key) };
    let parse = |at: &At<&str>| {
        let wrong = |message| table.error_at(at.offset, key, message);
        Field::parse(at.value).map_err(wrong).ok()
    };
    texts.iter().filter_map(parse).collect()
}

fn strings<'a>(table: &Table<'a>, key: &'static str) -> Vec<At<&'a str>> {
    table.strings(key).map(|at| at.value).unwrap_or_default()
}

/// One of the words, which must be there.
pub(super) fn one_of<T: Copy>(table: &Table<'_>, key: &'static str, words: &[(&str, T)]) -> Option<T> {
    let known = words.iter().map(|(word, _)| format!("{word:?}")).collect::<Vec<_>>().join(" or ");
    let word = text(table, key, &known)?;
    let found = words.iter().find(|(w, _)| *w == word);
    if found.is_none() {
        table.error(key, format!("{word:?} is unknown: write {known}"));
    }
    found.map(|(_, value)| *value)
}
