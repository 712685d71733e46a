//! Providers as data: one TOML file each, which is read only if a hook uses it. Samples and descriptions for
//! people are compiled in only with the feature `catalog`; a function has just the keys that verify and
//! answer.

pub(crate) mod blueprint;
#[cfg(feature = "catalog")]
pub(crate) mod info;

use std::time::Duration;

use toml::de::DeTable;

#[cfg(feature = "catalog")]
use crate::reader::near;
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
    pub(crate) tried: Option<String>,
    pub(crate) evidence: Vec<Evidence>,
    pub(crate) retries: Option<Retries>,
}

/// Source of the knowledge about a provider's scheme.
#[cfg(feature = "catalog")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Address of the page, or a repository's or package's name and the path in it.
    pub at: String,
    /// Description of what is shown there.
    pub says: String,
    /// Day on which it was read, as `YYYY-MM-DD`.
    pub read: String,
}

/// Repetitions of a delivery by its sender, and what is known about their signatures.
#[cfg(feature = "catalog")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retries {
    /// Time from the first attempt to the last, if it is known.
    pub span: Option<Duration>,
    /// Signing of repetitions: `anew`, `once`, or `unknown`.
    pub signed: String,
    /// Time for which a request is valid by the end that it names itself, if it names one.
    pub valid: Option<Duration>,
    /// Description of what is known.
    pub says: String,
}

/// Behaviour of a source beside verification.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    pub(crate) type_prefix: Option<String>,
    pub(crate) deadline: Duration,
    pub(crate) methods: &'static str,
    /// True if the sender can send deliveries by GET, with the event in a signed query.
    pub(crate) delivers_by_get: bool,
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
    /// Names of the provider's events, at least that of the example.
    pub(crate) events: Vec<String>,
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
    /// True if an empty value has a meaning of its own.
    pub may_be_empty: bool,
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
const PRESETS: InTurn = include!(concat!(env!("OUT_DIR"), "/bare_presets.rs"));

/// Returns the name and the text of each preset, sorted by name.
#[cfg(feature = "catalog")]
fn presets() -> impl Iterator<Item = (&'static str, &'static str)> {
    PRESETS.iter().copied()
}

/// Returns the name and the text of each preset, sorted by name.
#[cfg(not(feature = "catalog"))]
fn presets() -> impl Iterator<Item = (&'static str, &'static str)> {
    in_turn(PRESETS)
}

/// Names and texts in turn, after their lengths in bytes.
#[cfg(any(test, not(feature = "catalog")))]
type InTurn = (&'static [(u8, u16)], &'static str);

#[cfg(any(test, not(feature = "catalog")))]
fn in_turn((lengths, mut rest): InTurn) -> impl Iterator<Item = (&'static str, &'static str)> {
    lengths.iter().map_while(move |(name, text)| {
        let (name, after) = rest.split_at_checked(usize::from(*name))?;
        let (text, after) = after.split_at_checked(usize::from(*text))?;
        rest = after;
        Some((name, text))
    })
}

/// Returns the name and the text of a preset. The error for an unknown name suggests similar ones.
pub(crate) fn preset_text(name: &str) -> Result<(&'static str, &'static str), String> {
    presets().find(|(known, _)| *known == name).ok_or_else(|| unknown(name))
}

/// Returns the parameters of the preset `name`; none if the preset is unknown.
pub(crate) fn preset_params(name: &str) -> Vec<Param> {
    Preset::load(name).map(|preset| preset.params).unwrap_or_default()
}

/// Returns the description of the secret of the preset `name`.
#[cfg(feature = "catalog")]
pub(crate) fn preset_secret(name: &str) -> Option<String> {
    Preset::load(name).ok().map(|preset| preset.notes.secret)
}

/// Returns the names of all presets, sorted.
pub fn preset_names() -> impl Iterator<Item = &'static str> {
    presets().map(|(name, _)| name)
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
            tried: table.str("tried").map(|at| at.value.to_owned()),
            evidence: table
                .tables("evidence")
                .unwrap_or_default()
                .into_iter()
                .filter_map(Evidence::read)
                .collect(),
            retries: table.table("retries").and_then(Retries::read),
        })
    }
}

#[cfg(feature = "catalog")]
impl Evidence {
    fn read(table: Table<'_>) -> Option<Self> {
        let text = |key| words::text(&table, key, "\"…\"").map(str::to_owned);
        let evidence = Self { at: text("at")?, says: text("says")?, read: text("read")? };
        table.finish();
        Some(evidence)
    }
}

#[cfg(feature = "catalog")]
impl Retries {
    /// Returns true if neither the signing of repetitions nor their time is known, so that no window can follow.
    pub fn is_open(&self) -> bool {
        self.signed == "unknown" && self.span.is_none()
    }

    fn read(table: Table<'_>) -> Option<Self> {
        let words = ["anew", "once", "unknown"].map(|word| (word, word));
        let retries = Self {
            span: table.duration("for").map(|at| at.value),
            signed: words::one_of(&table, "signed", &words)?.to_owned(),
            valid: table.duration("valid").map(|at| at.value),
            says: words::text(&table, "says", "\"…\"")?.to_owned(),
        };
        table.finish();
        Some(retries)
    }
}

impl Profile {
    /// Returns the names of the provider's known events.
    #[cfg(feature = "sender")]
    pub(crate) fn known_events(&self) -> &[String] {
        &self.sample.events
    }

    /// Returns the names of the provider's known events: a function lists none.
    #[cfg(not(feature = "sender"))]
    #[expect(clippy::unused_self, reason = "with the feature `sender` there are some")]
    pub(crate) const fn known_events(&self) -> &[String] {
        &[]
    }

    /// Reads the keys beside the verifier: of a preset's file, or of a hook's own table.
    pub(crate) fn read(table: &Table<'_>) -> Self {
        let handshakes = table.tables("handshake").unwrap_or_default();
        let default = Self::default();
        let methods = METHODS.map(|methods| (methods, methods));
        let methods = if table.has("methods") { words::one_of(table, "methods", &methods) } else { None };
        let methods = methods.unwrap_or(default.methods);
        let delivers_by_get = table.bool("delivers_by_get").is_some_and(|at| at.value);
        // A function makes no samples, and takes a table that has one.
        #[cfg(not(feature = "sender"))]
        table.has("sample");
        Self {
            type_prefix: table.str("type_prefix").map(|at| at.value.to_owned()),
            deadline: table.duration("deadline").map_or(default.deadline, |at| at.value),
            methods,
            delivers_by_get,
            ack: table.table("ack").map(Ack::read).unwrap_or_default(),
            handshakes: handshakes
                .into_iter()
                .map(|table| Handshake::read(table, methods, delivers_by_get))
                .collect(),
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
            delivers_by_get: false,
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
        let event = text("event");
        let listed = table.strings("events").map(|list| list.value).unwrap_or_default();
        let listed = listed.iter().map(|at| at.value.to_owned());
        let sample = Self {
            events: event.iter().cloned().chain(listed).collect(),
            event,
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
            events: Vec::new(),
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
                may_be_empty: is_on("may_be_empty"),
                about: words::text(&table, "about", "\"…\"").unwrap_or_default().to_owned(),
            };
            table.finish();
            param
        };
        table.named_tables().into_iter().map(read).collect()
    }
}

/// Describes a name that no preset has. Names are near if they have a word in common, then if one begins with the
/// other (hyphens left out), then if a name or a word of it is mistyped.
#[cfg(feature = "catalog")]
fn unknown(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    let has_word = |known: &&str| known.split('-').any(|word| name.split(['-', '_']).any(|n| n == word));
    let bare = |text: &str| text.replace(['-', '_', ' ', '.'], "");
    let begins = |known: &&str| {
        let (known, name) = (bare(known), bare(&name));
        name.len() >= 4 && known.starts_with(&name) || known.len() >= 4 && name.starts_with(&known)
    };
    let mut close: Vec<&str> = preset_names().filter(has_word).collect();
    if close.is_empty() {
        close = preset_names().filter(begins).collect();
    }
    if close.is_empty() {
        let words: Vec<&str> =
            preset_names().flat_map(|known| [known].into_iter().chain(known.split('-'))).collect();
        let near = near(&name, &words);
        close = preset_names()
            .filter(|known| near.iter().any(|n| n == known || known.split('-').any(|w| w == *n)))
            .collect();
    }
    if close.is_empty() {
        let count = preset_names().count();
        format!("no such source; `hookmq sources` lists all {count}, and [verify] describes one of your own")
    } else {
        format!("no such source; did you mean {}?", close.join(" or "))
    }
}

/// Describes a name that no preset has. A function does without a search for the one that is meant.
#[cfg(not(feature = "catalog"))]
fn unknown(name: &str) -> String {
    format!("there is no source {name:?}")
}

#[cfg(test)]
mod tests;
