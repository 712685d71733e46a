//! Keys of a `[verify]` table that several parts of the grammar read the same way.

use crate::reader::{At, Table};
use crate::source::Params;
use crate::source::scheme::field::Field;

/// Returns the name in `{param:NAME}`, which may have text around it.
pub(crate) fn param(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("{param:")?;
    Some(rest.split_once('}')?.0)
}

/// Replaces `{param:NAME}` by the value of that parameter.
pub(crate) fn bind(text: &mut String, params: &Params) {
    let Some(name) = param(text) else { return };
    if let Some(value) = params.get(name).and_then(|value| value.expose_str()) {
        *text = text.replace(&format!("{{param:{name}}}"), value);
    }
}

/// Reads a string that is required and must not be empty; `example` completes the error message.
pub(crate) fn text<'a>(table: &Table<'a>, key: &'static str, example: &str) -> Option<&'a str> {
    let at = table.str(key);
    if at.is_some_and(|at| at.value.is_empty()) || !table.has(key) {
        table.error(key, format!("missing: write {key} = {example}"));
        return None;
    }
    at.map(|at| at.value)
}

/// Reads a required field; `example` completes the error message.
pub(crate) fn field(table: &Table<'_>, key: &'static str, example: &str) -> Option<Field> {
    let text = text(table, key, example)?;
    Field::parse(text).map_err(|message| table.error(key, message)).ok()
}

/// Reads a required field in which the name of a header field may end with an asterisk.
pub(crate) fn field_of_names(table: &Table<'_>, key: &'static str, example: &str) -> Option<Field> {
    let text = text(table, key, example)?;
    Field::parse_names(text).map_err(|message| table.error(key, message)).ok()
}

/// Reads one field, or a list of fields of which the first that is present counts.
pub(crate) fn fields(table: &Table<'_>, key: &'static str) -> Vec<Field> {
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

/// Reads a required string that must be one of the words, and returns the word's value.
pub(crate) fn one_of<T: Copy>(table: &Table<'_>, key: &'static str, words: &[(&str, T)]) -> Option<T> {
    let known = words.iter().map(|(word, _)| format!("{word:?}")).collect::<Vec<_>>().join(" or ");
    let word = text(table, key, &known)?;
    let found = words.iter().find(|(w, _)| *w == word);
    if found.is_none() {
        table.error(key, format!("{word:?} is unknown: write {known}"));
    }
    found.map(|(_, value)| *value)
}
