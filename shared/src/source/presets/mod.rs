//! Providers as data: one TOML file each, which is read only if a hook uses it. Samples and descriptions for
//! people are compiled in only with the feature `catalog`; a function has just the keys that verify and
//! answer.

pub(crate) mod blueprint;
#[cfg(feature = "catalog")]
pub(crate) mod info;

use std::time::Duration;

use toml::de::DeTable;

use crate::reader::{At, Mistakes, Table};
use crate::source::reply::ack::Ack;
use crate::source::reply::handshake::Handshake;
use crate::source::scheme::{Scheme, words};

/// A preset: the scheme of a provider, and its answers, parameters and descriptions.
#[derive(Clone, Debug)]
pub(crate) struct Preset {
    pub(crate) name: &'static str,
    pub(crate) scheme: Scheme,
    #[cfg(feature = "catalog")]
    pub(crate) notes: Notes,
    pub(crate) params: Vec<Param>,
    pub(crate) profile: Profile,
}

/// Descriptions of a preset for people.
#[cfg(feature = "catalog")]
#[derive(Clone, Debug)]
pub(crate) struct Notes {
    pub(crate) about: String,
    pub(crate) secret: String,
    pub(crate) setup: Option<String>,
    pub(crate) confidence: String,
    pub(crate) evidence: String,
}

/// Behaviour of a source beside verification.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    pub(crate) type_prefix: Option<String>,
    pub(crate) deadline: Duration,
    pub(crate) methods: &'static str,
    pub(crate) ack: Ack,
    pub(crate) handshakes: Vec<Handshake>,
    #[cfg(feature = "sender")]
    pub(crate) sample: Sample,
}

/// Content of a signed example, for the parts that the caller does not give. Only the feature `catalog` has
/// those of the presets.
#[cfg(feature = "sender")]
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) event: Option<String>,
    pub(crate) content_type: String,
    /// Header fields of the example that no other key of the preset sets.
    pub(crate) headers: Vec<(String, String)>,
    /// Body of the example; for an encrypted event, the plaintext.
    pub(crate) body: String,
    /// Body around the ciphertext of an encrypted event, if it holds more than the ciphertext.
    pub(crate) envelope: Option<String>,
}

/// A parameter that a preset takes from `params`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// Key of the parameter.
    pub name: String,
    /// True if the preset does not work without the parameter.
    pub required: bool,
    /// True if the value is a secret: then `hooks.toml` holds a reference to it.
    pub secret: bool,
    /// Description of the parameter.
    pub about: String,
}

/// Deadline for an answer if the provider publishes none: shorter than most gateways and senders allow.
const DEADLINE: Duration = Duration::from_secs(10);

/// Values of `Allow` that a preset may choose.
const METHODS: [&str; 4] = ["POST", "GET, POST", "HEAD, POST", "POST, OPTIONS"];

/// Names and whole texts of the files in `presets/`, sorted by name; `build.rs` lists them.
#[cfg(feature = "catalog")]
const PRESETS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/presets.rs"));

/// Names of the files in `presets/` and the parts of their texts that a function reads, sorted by name.
#[cfg(not(feature = "catalog"))]
const PRESETS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/bare_presets.rs"));

/// Returns the name and the text of a preset. The error for an unknown name suggests similar ones.
pub(crate) fn preset_text(name: &str) -> Result<(&'static str, &'static str), String> {
    PRESETS.iter().find(|(known, _)| *known == name).copied().ok_or_else(|| unknown(name))
}

/// Returns the parameters of the preset `name`; none if the preset is unknown.
pub(crate) fn preset_params(name: &str) -> Vec<Param> {
    Preset::load(name).map(|preset| preset.params).unwrap_or_default()
}

/// Returns the names of all presets, sorted.
pub fn preset_names() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|(name, _)| *name)
}

impl Preset {
    /// Reads the preset of this name. The error for an unknown name suggests similar ones.
    pub(crate) fn load(name: &str) -> Result<Self, String> {
        let (name, text) = preset_text(name)?;
        Self::parse(name, text)
    }

    /// Reads the text of a preset's file; the error lists every mistake in it.
    pub(crate) fn parse(name: &'static str, text: &'static str) -> Result<Self, String> {
        let mistakes = Mistakes::new(format!("{name}.toml"), text);
        let preset = match DeTable::parse(text) {
            Ok(doc) => Self::read(name, Table::new(&mistakes, "", 0, doc.get_ref())),
            Err(error) => return Err(error.to_string()),
        };
        let mistakes: Vec<String> = mistakes.into_sorted().iter().map(ToString::to_string).collect();
        preset.filter(|_| mistakes.is_empty()).ok_or_else(|| mistakes.join("; "))
    }

    fn read(name: &'static str, table: Table<'_>) -> Option<Self> {
        let preset = Self {
            name,
            scheme: table.table("verify").and_then(Scheme::read)?,
            #[cfg(feature = "catalog")]
            notes: Notes::read(&table)?,
            params: table.table("params").as_ref().map(Param::read_all).unwrap_or_default(),
            profile: Profile::read(&table),
        };
        table.finish();
        Some(preset)
    }
}

#[cfg(feature = "catalog")]
impl Notes {
    fn read(table: &Table<'_>) -> Option<Self> {
        let text = |key| words::text(table, key, "\"…\"").map(str::to_owned);
        Some(Self {
            about: text("about")?,
            secret: text("secret")?,
            setup: table.str("setup").map(|at| at.value.to_owned()),
            confidence: text("confidence")?,
            evidence: text("evidence")?,
        })
    }
}

impl Profile {
    fn read(table: &Table<'_>) -> Self {
        let handshakes = table.tables("handshake").unwrap_or_default();
        let methods = METHODS.map(|methods| (methods, methods));
        let methods = if table.has("methods") { words::one_of(table, "methods", &methods) } else { None };
        let default = Self::default();
        Self {
            type_prefix: table.str("type_prefix").map(|at| at.value.to_owned()),
            deadline: table.duration("deadline").map_or(default.deadline, |at| at.value),
            methods: methods.unwrap_or(default.methods),
            ack: table.table("ack").map(Ack::read).unwrap_or_default(),
            handshakes: handshakes.into_iter().map(Handshake::read).collect(),
            #[cfg(feature = "sender")]
            sample: table.table("sample").map_or(default.sample, Sample::read),
        }
    }
}

/// Profile of a hook's own `[verify]` table.
impl Default for Profile {
    fn default() -> Self {
        Self {
            type_prefix: None,
            deadline: DEADLINE,
            methods: "POST",
            ack: Ack::default(),
            handshakes: Vec::new(),
            #[cfg(feature = "sender")]
            sample: Sample::default(),
        }
    }
}

#[cfg(feature = "sender")]
impl Sample {
    fn read(table: Table<'_>) -> Self {
        let text = |key| table.str(key).map(|at| at.value.to_owned());
        let default = Self::default();
        let headers = table.table("headers").map(|headers| headers.named_strings()).unwrap_or_default();
        let sample = Self {
            event: text("event"),
            content_type: text("type").unwrap_or(default.content_type),
            headers: headers
                .into_iter()
                .map(|(name, value)| (name.value.into(), value.value.into()))
                .collect(),
            body: text("body").unwrap_or(default.body),
            envelope: text("envelope"),
        };
        table.finish();
        sample
    }
}

#[cfg(feature = "sender")]
impl Default for Sample {
    fn default() -> Self {
        Self {
            event: None,
            content_type: "application/json".to_owned(),
            headers: Vec::new(),
            body: "{}".to_owned(),
            envelope: None,
        }
    }
}

impl Param {
    fn read_all(table: &Table<'_>) -> Vec<Self> {
        let read = |(name, table): (At<&str>, Table<'_>)| {
            let is_on = |key| table.bool(key).is_some_and(|at| at.value);
            let param = Self {
                name: name.value.to_owned(),
                required: is_on("required"),
                secret: is_on("secret"),
                about: words::text(&table, "about", "\"…\"").unwrap_or_default().to_owned(),
            };
            table.finish();
            param
        };
        table.named_tables().into_iter().map(read).collect()
    }
}

fn unknown(name: &str) -> String {
    let words = |known: &&str| known.split('-').any(|word| name.split(['-', '_']).any(|n| n == word));
    let mut close: Vec<&str> = preset_names().filter(words).collect();
    for far in 1..=2 {
        if close.is_empty() {
            close = preset_names().filter(|known| distance(name, known) <= far).collect();
        }
    }
    if close.is_empty() {
        let all: Vec<&str> = preset_names().collect();
        format!("no such source; known are {}", all.join(", "))
    } else {
        format!("no such source; did you mean {}?", close.join(" or "))
    }
}

/// Returns the number of bytes to change, add or leave out to turn `a` into `b` (Levenshtein distance).
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

#[cfg(test)]
mod tests;
