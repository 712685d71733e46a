//! Places and forms of signatures in a request.

use crate::http::MAX_HEADER_BYTES;
use crate::reader::Table;
use crate::source::Rejection;
use crate::source::crypto::encoding::Encoding;
use crate::source::rejection::MAX_SIGNATURES;
use crate::source::scheme::field::{Field, View};
use crate::source::scheme::words;

/// The key `signature = { from, prefix?, format?, encoding }`.
#[derive(Clone, Debug)]
pub(crate) struct Signature {
    pub(crate) from: Field,
    prefix: Option<Prefix>,
    format: Format,
    encoding: Encoding,
}

#[derive(Clone, Debug)]
enum Format {
    /// One signature and nothing else.
    Raw,
    /// Items; those that start with `take` are signatures.
    List { sep: String, take: String },
    /// Items `key=value`; those with the key `take` are signatures, and the keys in `single` occur at most
    /// once.
    Kv { sep: String, take: String, single: Vec<String> },
}

/// Upper bound on a field with signatures, in bytes: the bound on a header field.
const MAX_TEXT: usize = MAX_HEADER_BYTES;

/// Signatures of a request.
#[derive(Debug, Default)]
pub(crate) struct Given {
    /// Decoded signatures: at least one, at most [`MAX_SIGNATURES`].
    pub(crate) signatures: Vec<Vec<u8>>,
    /// Pairs of the `kv` format, for `sigkv:` fields.
    pub(crate) pairs: Vec<(String, String)>,
}

impl Signature {
    pub(crate) fn read(table: Table<'_>) -> Option<Self> {
        let from = words::field(&table, "from", "\"header:X-Signature\"");
        if let Some(Field::SigKv(_)) = from {
            table.error("from", "a signature cannot stand in itself: write header:, query:, json: or form:");
        }
        let prefix = table.str("prefix").filter(|at| !at.value.is_empty()).map(|at| Prefix(at.value.into()));
        let encodings =
            [("hex", Encoding::Hex), ("base64", Encoding::Base64), ("base64url", Encoding::Base64Url)];
        let encoding = words::one_of(&table, "encoding", &encodings);
        let kinds = [("raw", 0), ("list", 1), ("kv", 2)];
        let kind = if table.has("format") { words::one_of(&table, "format", &kinds) } else { Some(0) };
        let part = |key, example| words::text(&table, key, example);
        let format = match kind {
            Some(0) => Some(Format::Raw),
            Some(1) => part("sep", "\" \"")
                .zip(part("take", "\"v1,\""))
                .map(|(sep, take)| Format::List { sep: sep.into(), take: take.into() }),
            Some(_) => {
                let single = table.strings("single").map(|at| at.value).unwrap_or_default();
                let single = single.iter().map(|at| at.value.to_owned()).collect();
                part("sep", "\",\"").zip(part("take", "\"v1\"")).map(|(sep, take)| Format::Kv {
                    sep: sep.into(),
                    take: take.into(),
                    single,
                })
            }
            None => None,
        };
        table.finish();
        Some(Self { from: from?, prefix, format: format?, encoding: encoding? })
    }

    /// Returns true if the format has pairs, so that `sigkv:` fields can be read.
    pub(crate) const fn has_pairs(&self) -> bool {
        matches!(self.format, Format::Kv { .. })
    }

    /// Reads the signatures of a request.
    pub(crate) fn given(&self, view: &View<'_>) -> Result<Given, Rejection> {
        self.parse(&self.from.read_text(view)?)
    }

    /// Parses the signatures in the text of their field.
    pub(crate) fn parse(&self, text: &str) -> Result<Given, Rejection> {
        let malformed = || Rejection::Malformed(self.from.to_string());
        let text = Some(text).filter(|text| text.len() <= MAX_TEXT).ok_or_else(malformed)?;
        let text = match &self.prefix {
            Some(prefix) => prefix.strip(text).ok_or_else(malformed)?,
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
            Format::List { sep, take } => {
                for item in text.split(sep.as_str()) {
                    if is_joined(item) {
                        return Err(Rejection::Ambiguous(self.from.to_string()));
                    }
                    // Unknown versions are other ways to sign; they never count.
                    if let Some(encoded) = item.strip_prefix(take.as_str()) {
                        add(encoded)?;
                    }
                }
            }
            Format::Kv { sep, take, single } => {
                for item in text.split(sep.as_str()) {
                    if is_joined(item) {
                        return Err(Rejection::Ambiguous(self.from.to_string()));
                    }
                    let (key, value) = item.split_once('=').ok_or_else(malformed)?;
                    if key == take {
                        add(value)?;
                    }
                    given.pairs.push((key.to_owned(), value.to_owned()));
                }
                if single.iter().any(|key| given.pairs.iter().filter(|(k, _)| k == key).count() > 1) {
                    return Err(Rejection::Ambiguous(self.from.to_string()));
                }
            }
        }
        if given.signatures.is_empty() {
            return Err(Rejection::Missing(self.from.to_string()));
        }
        Ok(given)
    }

    /// Builds the text of the field for one signature; in the `kv` format the pairs come first.
    #[cfg(feature = "sender")]
    pub(crate) fn write(&self, pairs: &[(String, String)], signature: &[u8]) -> String {
        let mut text = self.prefix.as_ref().map_or_else(String::new, |prefix| prefix.0.clone());
        let encoded = self.encoding.encode(signature);
        match &self.format {
            Format::Raw => text.push_str(&encoded),
            Format::List { take, .. } => text.extend([take, encoded.as_str()]),
            Format::Kv { sep, take, .. } => {
                for (key, value) in pairs {
                    text.extend([key, "=", value, sep]);
                }
                text.extend([take, "=", &encoded]);
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
