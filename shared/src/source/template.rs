//! What is signed: literals and parts of the request, one after the other.

use std::borrow::Cow;

use super::Rejection;
use super::field::{Field, View};
use crate::reader::{At, Table};

/// `signed = ["v0:", "{header:X-Timestamp}", ":", "{body}"]`, or
/// `signed = { sort = true, parts = […] }`.
#[derive(Clone, Debug)]
pub(super) struct Template {
    parts: Vec<Part>,
    sort: bool,
}

#[derive(Clone, Debug)]
enum Part {
    Literal(String),
    Body,
    Method,
    /// The hook's public URL with the query as received.
    Url,
    PathQuery,
    Secret,
    Field(Field),
}

/// A template filled in, but for the secret.
pub(super) struct Message<'v> {
    pieces: Vec<Piece<'v>>,
    sort: bool,
}

enum Piece<'v> {
    Bytes(Cow<'v, [u8]>),
    Secret,
}

impl Template {
    /// Reads the key `signed` of a `[verify]` table.
    pub(super) fn read(table: &Table<'_>) -> Option<Self> {
        const EXAMPLE: &str = r#"signed = ["{header:X-Timestamp}", ".", "{body}"]"#;
        if !table.has("signed") {
            table.error("signed", format!("what the sender signs is missing: write {EXAMPLE}"));
            return None;
        }
        let (parts, sort) = if table.is_table("signed") {
            let inner = table.table("signed")?;
            let sort = inner.bool("sort").is_some_and(|at| at.value);
            let parts = inner.strings("parts");
            if !inner.has("parts") {
                inner.error("parts", r#"missing: write parts = ["{secret}", "{query:nonce}"]"#);
            }
            inner.finish();
            (parts?, sort)
        } else {
            (table.strings("signed")?, false)
        };
        let part = |at: &At<&str>| match Part::parse(at.value) {
            Ok(part) => Some(part),
            Err(message) => {
                table.error_at(at.offset, "signed", message);
                None
            }
        };
        let parts: Vec<Option<Part>> = parts.value.iter().map(part).collect();
        let parts = parts.into_iter().collect::<Option<_>>()?;
        let template = Self { parts, sort };
        if template.parts.iter().all(|part| matches!(part, Part::Literal(_) | Part::Secret | Part::Method)) {
            table.error("signed", format!("nothing of the request is signed: write {EXAMPLE}"));
            return None;
        }
        Some(template)
    }

    pub(super) fn has_body(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Body))
    }

    pub(super) fn has_secret(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Secret))
    }

    /// Whether nothing follows the secret.
    pub(super) fn ends_with_secret(&self) -> bool {
        matches!(self.parts.last(), Some(Part::Secret))
    }

    pub(super) fn has_url(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Url))
    }

    /// The places that the template reads.
    pub(super) fn fields(&self) -> impl Iterator<Item = &Field> {
        self.parts.iter().filter_map(|part| match part {
            Part::Field(field) => Some(field),
            _ => None,
        })
    }

    /// Whether a change of this place is noticed.
    pub(super) fn covers(&self, field: &Field) -> bool {
        (field.in_body() && self.has_body()) || self.fields().any(|f| f.is(field))
    }

    /// Takes the parts from the request; each must be there.
    pub(super) fn fill<'v>(&'v self, view: &View<'v>) -> Result<Message<'v>, Rejection> {
        let bytes = |text: &'v str| Piece::Bytes(text.as_bytes().into());
        let piece = |part: &'v Part| {
            let request = view.request;
            Ok(match part {
                Part::Literal(text) => bytes(text),
                Part::Body => Piece::Bytes(Cow::Borrowed(&request.body)),
                Part::Method => bytes(&request.method),
                Part::Secret => Piece::Secret,
                Part::Field(field) => Piece::Bytes(field.read(view)?),
                Part::PathQuery => Piece::Bytes(with_query(&request.path, &request.raw_query)),
                Part::Url => {
                    let url = view.url.ok_or_else(|| Rejection::Missing("url".to_owned()))?;
                    let base = url.split_once('?').map_or(url, |(base, _)| base);
                    Piece::Bytes(with_query(base, &request.raw_query))
                }
            })
        };
        let pieces = self.parts.iter().map(piece).collect::<Result<_, _>>()?;
        Ok(Message { pieces, sort: self.sort })
    }
}

fn with_query<'v>(base: &'v str, query: &str) -> Cow<'v, [u8]> {
    if query.is_empty() { base.as_bytes().into() } else { format!("{base}?{query}").into_bytes().into() }
}

impl Part {
    fn parse(text: &str) -> Result<Self, String> {
        const PARTS: &str =
            "{body}, {method}, {url}, {path_query}, {secret} or a field such as {header:NAME}";
        let Some(name) = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')) else {
            return if text.contains('{') && text.contains('}') {
                Err(format!(
                    r#"a placeholder is a part of its own: write ["t=", "{{header:X}}"], not {text:?}"#
                ))
            } else {
                Ok(Self::Literal(text.to_owned()))
            };
        };
        match name {
            "body" => Ok(Self::Body),
            "method" => Ok(Self::Method),
            "url" => Ok(Self::Url),
            "path_query" => Ok(Self::PathQuery),
            "secret" => Ok(Self::Secret),
            _ => {
                Field::parse(name).map(Self::Field).map_err(|_| format!("{text:?} is no part: write {PARTS}"))
            }
        }
    }
}

impl Message<'_> {
    /// Hands the signed bytes to `sink`, piece by piece: a body is not copied.
    pub(super) fn feed(&self, secret: &[u8], mut sink: impl FnMut(&[u8])) {
        let pieces = self.pieces.iter().map(|piece| match piece {
            Piece::Bytes(bytes) => bytes.as_ref(),
            Piece::Secret => secret,
        });
        let mut pieces: Vec<&[u8]> = pieces.collect();
        if self.sort {
            pieces.sort_unstable();
        }
        pieces.into_iter().for_each(&mut sink);
    }

    /// The signed bytes in one piece.
    pub(super) fn to_bytes(&self, secret: &[u8]) -> Cow<'_, [u8]> {
        if let [Piece::Bytes(only)] = self.pieces.as_slice() {
            return Cow::Borrowed(only);
        }
        let mut bytes = Vec::new();
        self.feed(secret, |piece| bytes.extend_from_slice(piece));
        bytes.into()
    }
}
