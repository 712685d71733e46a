//! Places and forms of signatures in a request.

use crate::http::MAX_HEADER_BYTES;
use crate::json;
use crate::pattern::Pattern;
use crate::reader::Table;
use crate::source::Rejection;
use crate::source::crypto::encoding::Encoding;
use crate::source::rejection::MAX_SIGNATURES;
use crate::source::scheme::field::{Field, View};
use crate::source::scheme::words;

/// The key `signature = { from, prefix?, or_bare?, format?, encoding, several? }`.
#[derive(Clone, Debug)]
pub(crate) struct Signature {
    pub(crate) from: Field,
    /// Names of header fields that each may have signatures, one of which must match; empty if one field has all.
    /// Senders with several keys sign in several fields, or in one that occurs more than once.
    several: Vec<Pattern>,
    prefix: Option<Prefix>,
    /// True if a text without the prefix is a signature too.
    or_bare: bool,
    format: Format,
    encoding: Encoding,
}

#[derive(Clone, Debug)]
enum Format {
    /// One signature and nothing else.
    Raw,
    /// Items; those that start with `take` are signatures.
    /// A comma may stand behind an item if `commas` is true. In an item, the signature may stand behind the first
    /// `after`, with the name of a key before it; items without one are none of ours.
    List { sep: String, take: String, after: Option<String>, commas: bool },
    /// Items `key=value`; those with the key `take` are signatures, and the keys in `single` have one value.
    /// Several sets of items may follow each other, with `sets` between them.
    Kv { sep: String, take: String, single: Vec<String>, sets: Option<String> },
    /// The base64 of a JSON object; its member `take` is the signature, and its texts are pairs too.
    Json { take: String },
}

#[cfg(feature = "catalog")]
impl Format {
    /// Describes the key by which no signature could ever be found.
    fn fault(&self) -> Option<(&'static str, String)> {
        let never = |key, text: &str| {
            Some((
                key,
                format!("{text:?} never stands in an item: the items end there, or the text is empty"),
            ))
        };
        match self {
            Self::List { sep, take, .. } if take.contains(sep.as_str()) => never("take", take),
            Self::List { sep, after: Some(after), .. }
                if after.is_empty() || after.contains(sep.as_str()) =>
            {
                never("after", after)
            }
            Self::Kv { sep, take, .. } if take.contains(['=']) || take.contains(sep.as_str()) => {
                never("take", take)
            }
            Self::Kv { sets: Some(sets), .. } if sets.is_empty() => never("sets", sets),
            _ => None,
        }
    }
}

/// Upper bound on a field with signatures, in bytes: the bound on a header field.
const MAX_TEXT: usize = MAX_HEADER_BYTES;

/// Signatures of a request.
#[derive(Debug, Default)]
pub(crate) struct Given {
    /// Decoded signatures: at least one, at most [`MAX_SIGNATURES`].
    pub(crate) signatures: Vec<Vec<u8>>,
    /// Pairs of the formats `kv` and `json`, for `sigkv:` fields.
    pub(crate) pairs: Vec<(String, String)>,
}

impl Signature {
    pub(crate) fn read(table: Table<'_>) -> Option<Self> {
        let has_several = table.bool("several").is_some_and(|at| at.value);
        let example = "\"header:X-Signature\"";
        let from = if has_several {
            words::field_of_names(&table, "from", example)
        } else {
            words::field(&table, "from", example)
        };
        if from.as_ref().is_some_and(Field::in_signature) {
            table.error("from", "a signature cannot stand in itself: write header:, query:, json: or form:");
        }
        let name = |field: &Field| match field {
            Field::Header(name) => Pattern::parse(name).filter(|names| !names.text().is_empty()),
            _ => None,
        };
        let several: Option<Vec<Pattern>> = match &from {
            Some(from) if has_several => from.places().into_iter().map(name).collect(),
            _ => Some(Vec::new()),
        };
        if several.is_none() {
            table.error("several", "is for header fields: write from = \"header:NAME\" or \"header:NAME-*\"");
        }
        let several = several.unwrap_or_default();
        let prefix = table.str("prefix").filter(|at| !at.value.is_empty()).map(|at| Prefix(at.value.into()));
        let or_bare = table.bool("or_bare").is_some_and(|at| at.value);
        if or_bare && prefix.is_none() {
            table.error("or_bare", "there is no prefix that may be missing: leave it out");
        }
        let encodings =
            [("hex", Encoding::Hex), ("base64", Encoding::Base64), ("base64url", Encoding::Base64Url)];
        let encoding = words::one_of(&table, "encoding", &encodings);
        let kinds = [("raw", 0), ("list", 1), ("kv", 2), ("json", 3)];
        let kind = if table.has("format") { words::one_of(&table, "format", &kinds) } else { Some(0) };
        let part = |key, example| words::text(&table, key, example);
        let commas = kind == Some(1) && table.bool("commas").is_some_and(|at| at.value);
        let format = match kind {
            Some(0) => Some(Format::Raw),
            Some(1) => {
                let after = table.str("after").map(|at| at.value.to_owned());
                let take =
                    if after.is_some() && !table.has("take") { Some("") } else { part("take", "\"v1,\"") };
                part("sep", "\" \"").zip(take).map(|(sep, take)| Format::List {
                    sep: sep.into(),
                    take: take.into(),
                    after,
                    commas,
                })
            }
            Some(3) => part("take", "\"signature\"").map(|take| Format::Json { take: take.into() }),
            Some(_) => {
                let single = table.strings("single").map(|at| at.value).unwrap_or_default();
                let single = single.iter().map(|at| at.value.to_owned()).collect();
                part("sep", "\",\"").zip(part("take", "\"v1\"")).map(|(sep, take)| Format::Kv {
                    sep: sep.into(),
                    take: take.into(),
                    single,
                    sets: table.str("sets").map(|at| at.value.to_owned()),
                })
            }
            None => None,
        };
        if !several.is_empty() && matches!(format, Some(Format::Kv { .. } | Format::Json { .. })) {
            table.error("several", "the pairs of one field would mix with those of another: leave it out");
        }
        #[cfg(feature = "catalog")]
        if let Some((key, message)) = format.as_ref().and_then(Format::fault) {
            table.error(key, message);
        }
        table.finish();
        Some(Self { from: from?, several, prefix, or_bare, format: format?, encoding: encoding? })
    }

    /// Returns true if the format has pairs, so that `sigkv:` fields can be read.
    pub(crate) const fn has_pairs(&self) -> bool {
        matches!(self.format, Format::Kv { .. } | Format::Json { .. })
    }

    /// Returns the field that reads the signature among the pairs of the formats `kv` and `json`.
    pub(crate) fn pair(&self) -> Option<Field> {
        match &self.format {
            Format::Kv { take, .. } | Format::Json { take } => Some(Field::SigKv(take.clone())),
            _ => None,
        }
    }

    /// Reads the signatures of a request.
    pub(crate) fn given(&self, view: &View<'_>) -> Result<Given, Rejection> {
        if self.several.is_empty() {
            return self.parse(&self.from.read_text(view)?);
        }
        let is_one = |name: &str| self.several.iter().any(|names| names.matches_any_case(name));
        let fields = view.request.headers.iter().filter(|(name, _)| is_one(name));
        let mut all = Given::default();
        for (_, value) in fields {
            let text = std::str::from_utf8(value).map_err(|_| Rejection::Malformed(self.from.to_string()))?;
            // A gateway may have joined fields of one name. No field holds NUL, so a list is read by itself.
            let between = if matches!(self.format, Format::Raw) { ',' } else { '\0' };
            for text in text.split(between) {
                all.signatures.append(&mut self.parse(text.trim_matches(' '))?.signatures);
                if all.signatures.len() > MAX_SIGNATURES {
                    return Err(Rejection::TooManySignatures);
                }
            }
        }
        if all.signatures.is_empty() { Err(Rejection::Missing(self.from.to_string())) } else { Ok(all) }
    }

    /// Parses the signatures in the text of their field.
    pub(crate) fn parse(&self, text: &str) -> Result<Given, Rejection> {
        let malformed = || Rejection::Malformed(self.from.to_string());
        let text = Some(text).filter(|text| text.len() <= MAX_TEXT).ok_or_else(malformed)?;
        let text = match &self.prefix {
            Some(prefix) => {
                let bare = Some(text).filter(|_| self.or_bare);
                prefix.strip(text).or(bare).ok_or_else(malformed)?
            }
            None => text,
        };
        let mut given = Given::default();
        let mut add = |encoded: &str| {
            if given.signatures.len() == MAX_SIGNATURES {
                return Err(Rejection::TooManySignatures);
            }
            given.signatures.push(self.encoding.decode(encoded).ok_or_else(malformed)?);
            Ok(())
        };
        match &self.format {
            Format::Raw => add(text)?,
            Format::List { sep, take, after, commas } => {
                for item in text.split(sep.as_str()) {
                    let item = item.strip_suffix(',').filter(|_| *commas).unwrap_or(item);
                    if is_joined(item) {
                        return Err(Rejection::Joined(self.from.to_string()));
                    }
                    // Unknown versions are other ways to sign; they never count.
                    let encoded = item.strip_prefix(take.as_str());
                    let encoded = encoded.and_then(|text| match after {
                        Some(after) => text.split_once(after.as_str()).map(|(_, encoded)| encoded),
                        None => Some(text),
                    });
                    if let Some(encoded) = encoded {
                        add(encoded)?;
                    }
                }
            }
            Format::Kv { sep, take, single, sets } => {
                let sets: Vec<&str> = match sets {
                    Some(between) => text.split(between.as_str()).collect(),
                    None => vec![text],
                };
                for item in sets.iter().flat_map(|set| set.split(sep.as_str())) {
                    if is_joined(item) {
                        return Err(Rejection::Joined(self.from.to_string()));
                    }
                    let (key, value) = item.split_once('=').ok_or_else(malformed)?;
                    if key == take {
                        add(value)?;
                    }
                    // Sets are signed at one time, each by a key of its own.
                    let is_again = sets.len() > 1 && given.pairs.iter().any(|(k, v)| k == key && v == value);
                    if !is_again {
                        given.pairs.push((key.to_owned(), value.to_owned()));
                    }
                }
                if single.iter().any(|key| given.pairs.iter().filter(|(k, _)| k == key).count() > 1) {
                    return Err(Rejection::Ambiguous(self.from.to_string()));
                }
            }
            Format::Json { take } => {
                let object = Encoding::Base64.decode(text).ok_or_else(malformed)?;
                // No member has two values.
                for (key, value) in json::members(&object).map_err(|_| malformed())? {
                    let Some(value) = json::string(value) else { continue };
                    if key == *take {
                        add(&value)?;
                    }
                    given.pairs.push((key.into_owned(), value.into_owned()));
                }
            }
        }
        match &self.format {
            Format::Json { take } if given.signatures.is_empty() => Err(self.lacks(take, "")),
            Format::List { take: item, .. } if given.signatures.is_empty() => Err(self.lacks(item, "…")),
            Format::Kv { take: item, .. } if given.signatures.is_empty() => Err(self.lacks(item, "=…")),
            _ => Ok(given),
        }
    }

    /// Builds the rejection of a field without an item that begins with `item` and `end`.
    fn lacks(&self, item: &str, end: &str) -> Rejection {
        Rejection::NoItem(self.from.to_string(), [item, end].concat())
    }

    /// Describes the form of the field, such as `t=…,v1=HEX`.
    #[cfg(feature = "catalog")]
    pub(crate) fn form(&self) -> String {
        let signature = match self.encoding {
            Encoding::Hex => "HEX",
            Encoding::Base64Url => "BASE64URL",
            _ => "BASE64",
        };
        let prefix = self.prefix.as_ref().map_or("", |prefix| prefix.0.as_str());
        match &self.format {
            Format::Raw => format!("{prefix}{signature}"),
            Format::List { sep, take, .. } => {
                format!("{prefix}{take}{signature}, and more after {sep:?} if there are several")
            }
            Format::Kv { sep, take, single, .. } => {
                let pairs: Vec<String> = single.iter().map(|key| format!("{key}=…{sep}")).collect();
                format!("{prefix}{}{take}={signature}", pairs.concat())
            }
            Format::Json { take } => format!("{prefix}the base64 of {{\"{take}\":\"{signature}\",…}}"),
        }
    }

    /// Builds the text of the field for one signature; in the `kv` format the pairs come first.
    #[cfg(feature = "sender")]
    pub(crate) fn write(&self, pairs: &[(String, String)], signature: &[u8]) -> String {
        let mut text = self.prefix.as_ref().map_or_else(String::new, |prefix| prefix.0.clone());
        let encoded = self.encoding.encode(signature);
        match &self.format {
            Format::Raw => text.push_str(&encoded),
            Format::List { take, after, .. } => {
                // Any name of a key will do: the key itself proves whose signature it is.
                let name = after.as_ref().map_or_else(String::new, |after| format!("key{after}"));
                text.extend([take, name.as_str(), encoded.as_str()]);
            }
            Format::Kv { sep, take, .. } => {
                for (key, value) in pairs {
                    text.extend([key, "=", value, sep]);
                }
                text.extend([take, "=", &encoded]);
            }
            Format::Json { take } => {
                let own = [(take.clone(), encoded)];
                let members: serde_json::Map<String, serde_json::Value> = pairs
                    .iter()
                    .chain(&own)
                    .map(|(key, value)| (key.clone(), value.as_str().into()))
                    .collect();
                let object = serde_json::Value::Object(members).to_string();
                text.push_str(&Encoding::Base64.encode(object.as_bytes()));
            }
        }
        text
    }
}

/// Returns true if a gateway joined two header fields of one name (`a, b`) at this item, which makes the
/// value as ambiguous as two fields.
fn is_joined(item: &str) -> bool {
    item.ends_with(',') || item.starts_with([',', ' ', '\t']) || item.ends_with([' ', '\t'])
}

/// Text in front of a value. A prefix that ends with a blank is an authentication scheme: its case does not
/// matter, and any number of blanks may follow ([RFC 9110] 11.1 and 11.4). Other prefixes are exact.
///
/// [RFC 9110]: https://www.rfc-editor.org/rfc/rfc9110#section-11.1
#[derive(Clone, Debug)]
pub(crate) struct Prefix(pub(crate) String);

impl Prefix {
    pub(crate) fn strip<'v>(&self, text: &'v str) -> Option<&'v str> {
        let (head, rest) = text.split_at_checked(self.0.len())?;
        if self.0.ends_with(' ') {
            head.eq_ignore_ascii_case(&self.0).then(|| rest.trim_start_matches(' '))
        } else {
            (head == self.0).then_some(rest)
        }
    }
}
