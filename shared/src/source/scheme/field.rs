//! Places of values in a request: `header:N`, `query:N`, `json:a.b.0.c`, `form:N`, `sigkv:k`, `xml:a.b`,
//! `item:a.b` in one of several items, `decrypted:a.b` in a decrypted event, `body` for the whole body.
//!
//! Places combine: `A|B` is the first of several that is present, `form:N>json:a.b` a value in JSON that another
//! place holds, `A#1` the first item of a list with commas, `A==VALUE` a value only if it is that one, and
//! `{A}.{B}` the text of several, all of which must be present.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde_json::value::RawValue;

use crate::http::Request;
use crate::json::{self, JsonError};
use crate::source::Rejection;
use crate::source::address::{Address, Fetched};
use crate::source::scheme::credential::{is_credential_header, is_credential_query};
use crate::source::scheme::decrypt;
use crate::source::scheme::form::{self, FormBody};
use crate::source::scheme::multipart::FormError;
use crate::xml::{self, XmlError};

/// A place in a request.
#[derive(Clone, Debug)]
pub(crate) enum Field {
    /// The only header field of this name.
    Header(String),
    /// The only query parameter of this name, decoded.
    Query(String),
    /// The scalar at this path of the JSON body.
    Json(String),
    /// The text of the element at this path below the root of the XML body.
    Xml(String),
    /// The only field of this name in the form body, decoded; in a form of several parts the only text field.
    Form(String),
    /// The only value of this key in a `kv` signature.
    SigKv(String),
    /// The scalar at this path of one item, if the body holds several items that are verified one by one.
    Item(String),
    /// The value at this path of the decrypted event, in JSON or XML, or of a token's claims.
    Decrypted(String),
    /// The whole body.
    Body,
    /// The first of several places that is present: a provider's spellings of one field.
    Either(Vec<Self>),
    /// The scalar at this path of the JSON text in another place.
    Inside(Box<Self>, String),
    /// The value of another place, if it is this one.
    Equal(Box<Self>, String),
    /// The first item of a list with commas in another place.
    Listed(Box<Self>),
    /// The texts of several places with literals between them.
    Joined(Vec<Joint>),
}

/// Piece of [`Field::Joined`].
#[derive(Clone, Debug)]
pub(crate) enum Joint {
    Literal(String),
    Field(Field),
}

/// Format of a body that is read field by field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyFormat {
    Json,
    Xml,
    Form,
}

/// Returns true if a path has a step without a name, which nothing in a document has.
fn has_empty_step(path: &str) -> bool {
    path.split('.').any(str::is_empty)
}

impl Joint {
    /// Returns the fields among the pieces.
    pub(crate) fn fields(joints: &[Self]) -> impl Iterator<Item = &Field> {
        joints.iter().filter_map(|joint| if let Self::Field(field) = joint { Some(field) } else { None })
    }
}

/// A request as verification sees it.
#[derive(Clone, Copy)]
pub(crate) struct View<'v> {
    pub(crate) request: &'v Request,
    /// The hook's public URL, for schemes that sign it.
    pub(crate) url: Option<&'v str>,
    /// The pairs of a `kv` signature.
    pub(crate) pairs: &'v [(String, String)],
    /// JSON text of the current item, a part of the body.
    pub(crate) item: &'v [u8],
    /// Certificates and key sets that were fetched for this request.
    pub(crate) fetched: &'v [Fetched],
    /// The event, once it is decrypted.
    pub(crate) plaintext: Option<&'v [u8]>,
}

impl<'v> View<'v> {
    /// Builds the view of a request as it arrived: without pairs, item, fetched documents or decrypted event.
    pub(crate) const fn of(request: &'v Request, url: Option<&'v str>) -> Self {
        Self { request, url, pairs: &[], item: &[], fetched: &[], plaintext: None }
    }

    /// Returns the document that was fetched from this address.
    pub(crate) fn fetched_from(&self, address: &Address) -> Option<&'v Fetched> {
        self.fetched.iter().find(|fetched| fetched.address == *address)
    }
}

/// Returns true if a value in JSON is nothing: `null`, or the empty text.
pub(super) fn is_empty(raw: &RawValue) -> bool {
    matches!(raw.get(), "null" | "\"\"")
}

/// Upper bound on the texts in JSON that hold one another, in one field.
const MAX_NESTED: usize = 8;

impl Field {
    /// Parses `KIND:NAME`; the error lists the valid forms.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let field = Self::parse_names(text)?;
        if text.contains('*')
            && field.any(&|field| matches!(field, Self::Header(name) if name.ends_with('*')))
        {
            return Err(format!(
                "{text:?}: only a signature with several = true is read from all fields of a beginning"
            ));
        }
        Ok(field)
    }

    /// Parses `KIND:NAME`, where the name of a header field may end with an asterisk.
    pub(crate) fn parse_names(text: &str) -> Result<Self, String> {
        const FORMS: &str = "write header:NAME, query:NAME, json:a.b.0, xml:a.b, form:NAME, sigkv:KEY, item:a.b, decrypted:a.b or body";
        if text == "body" {
            return Ok(Self::Body);
        }
        // Most fields are single places, and a start reads hundreds of them.
        if text.contains(['{', '|', '=', '>', '#'])
            && let Some(combined) = Self::combined(text)
        {
            return combined;
        }
        let (kind, name) = text.split_once(':').ok_or_else(|| format!("{text:?} is not a field: {FORMS}"))?;
        if name.is_empty() || name.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(format!("{text:?} does not name a field: {FORMS}"));
        }
        if ["json", "xml", "item", "decrypted"].contains(&kind) && has_empty_step(name) {
            return Err(format!("{text:?} does not name a field: {FORMS}"));
        }
        let name = name.to_owned();
        match kind {
            "header" => Ok(Self::Header(name)),
            "query" => Ok(Self::Query(name)),
            "json" => Ok(Self::Json(name)),
            "form" => Ok(Self::Form(name)),
            "sigkv" => Ok(Self::SigKv(name)),
            "item" => Ok(Self::Item(name)),
            "xml" => Ok(Self::Xml(name)),
            "decrypted" => Ok(Self::Decrypted(name)),
            _ => Err(format!("{text:?} is not a field: {FORMS}")),
        }
    }

    /// Parses a text that combines fields; `None` if it names a single place.
    fn combined(text: &str) -> Option<Result<Self, String>> {
        if text.contains('{') {
            return Some(Self::joined(text));
        }
        // A bar is a letter of names too.
        if text.contains('|') && text.split('|').all(|part| part.contains(':')) {
            return Some(text.split('|').map(Self::parse_names).collect::<Result<_, _>>().map(Self::Either));
        }
        let inner = |text| Self::parse_names(text).map(Box::new);
        if let Some((field, value)) = text.split_once("==") {
            return Some(inner(field).map(|field| Self::Equal(field, value.to_owned())));
        }
        // Each word is taken once or a few times, so that no text nests as deep as it is long.
        if let Some(list) = text.strip_suffix("#1") {
            let twice = list.ends_with("#1").then(|| Err(format!("{text:?} has #1 twice")));
            return Some(twice.unwrap_or_else(|| inner(list).map(Self::Listed)));
        }
        // A text without a word of these is the name of a single place.
        let depth = text.matches(">json:").count();
        if depth == 0 {
            return None;
        }
        if depth > MAX_NESTED {
            return Some(Err(format!("the field has >json: {depth} times, {MAX_NESTED} are the most")));
        }
        if text.split(">json:").skip(1).any(has_empty_step) {
            return Some(Err(format!("{text:?} does not name a field: write such as form:a>json:b.c")));
        }
        let mut pieces = text.split(">json:");
        let outer = pieces.next().map(Self::parse_names)?;
        // A text in JSON may hold JSON again.
        let nested = |outer: Self| {
            pieces.fold(outer, |outer, path| match outer {
                Self::Body => Self::Json(path.to_owned()),
                outer => Self::Inside(Box::new(outer), path.to_owned()),
            })
        };
        Some(outer.map(nested))
    }

    /// Parses a text with fields in braces.
    fn joined(text: &str) -> Result<Self, String> {
        let mut joints = Vec::new();
        for piece in text.split_inclusive('}') {
            let (literal, field) =
                piece.split_once('{').map_or((piece, None), |(text, field)| (text, Some(field)));
            if !literal.is_empty() {
                joints.push(Joint::Literal(literal.to_owned()));
            }
            if let Some(field) = field {
                let name = field.strip_suffix('}').ok_or_else(|| format!("{text:?} has an open brace"))?;
                joints.push(Joint::Field(Self::parse_names(name)?));
            }
        }
        Ok(Self::Joined(joints))
    }

    /// Returns the single places that the field is made of.
    pub(crate) fn places(&self) -> Vec<&Self> {
        let parts = self.parts();
        if parts.is_empty() { vec![self] } else { parts.into_iter().flat_map(Self::places).collect() }
    }

    /// Returns the places that the field combines, each read by itself.
    fn parts(&self) -> Vec<&Self> {
        match self {
            Self::Either(fields) => fields.iter().collect(),
            Self::Inside(outer, _) | Self::Equal(outer, _) | Self::Listed(outer) => vec![&**outer],
            Self::Joined(joints) => Joint::fields(joints).collect(),
            _ => Vec::new(),
        }
    }

    /// Returns true if `is` holds for any of the single places that the field is made of.
    pub(crate) fn any(&self, is: &dyn Fn(&Self) -> bool) -> bool {
        if self.is_several() { self.places().into_iter().any(is) } else { is(self) }
    }

    /// Returns true if the field is made of other places.
    pub(crate) const fn is_several(&self) -> bool {
        matches!(
            self,
            Self::Either(_) | Self::Inside(..) | Self::Equal(..) | Self::Listed(_) | Self::Joined(_)
        )
    }

    /// Returns true if the field can be written: it is a place, or one of several spellings of a place.
    #[cfg(feature = "sender")]
    pub(crate) const fn is_place(&self) -> bool {
        !matches!(self, Self::Equal(..) | Self::Joined(_) | Self::Inside(..))
    }

    /// Returns true if the name of the field says that it holds a credential.
    pub(crate) fn is_credential(&self) -> bool {
        self.any(&|field| match field {
            Self::Header(name) => is_credential_header(name),
            Self::Query(name) => is_credential_query(name),
            _ => false,
        })
    }

    /// Reads the value. An absent value and an empty one are the same: neither may take the place of
    /// something signed.
    pub(crate) fn read<'v>(&self, view: &View<'v>) -> Result<Cow<'v, [u8]>, Rejection> {
        self.find(view)?.ok_or_else(|| Rejection::Missing(self.to_string()))
    }

    /// Reads a value that a request may lack. A body that is not JSON lacks all JSON fields; all else is as
    /// in [`read`](Self::read).
    pub(crate) fn read_optional<'v>(&self, view: &View<'v>) -> Result<Option<Cow<'v, [u8]>>, Rejection> {
        match self.find(view) {
            Err(Rejection::Malformed(_)) => Ok(None),
            other => other,
        }
    }

    /// Reads a value, or nothing if it is missing, empty or `null`. An object or an array is neither a value
    /// nor nothing, so it is refused; all else is as in [`read`](Self::read).
    pub(crate) fn read_or_empty<'v>(&self, view: &View<'v>) -> Result<Cow<'v, [u8]>, Rejection> {
        if let Some(value) = self.find(view)? {
            return Ok(value);
        }
        let text = match self {
            Self::Json(path) => json::find(&view.request.body, path),
            Self::Item(path) => json::find(view.item, path),
            _ => Ok(None),
        };
        match text.map_err(|error| self.unreadable(error))? {
            Some(raw) if !is_empty(raw) => Err(Rejection::Malformed(self.to_string())),
            _ => Ok(Cow::Borrowed(&[])),
        }
    }

    /// Reads the value as UTF-8 text, under the rules of [`read`](Self::read).
    pub(crate) fn read_text<'v>(&self, view: &View<'v>) -> Result<Cow<'v, str>, Rejection> {
        let malformed = || Rejection::Malformed(self.to_string());
        match self.read(view)? {
            Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| malformed()),
            Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|_| malformed()),
        }
    }

    /// Finds the value; a missing and an empty one are `None`.
    pub(crate) fn find<'v>(&self, view: &View<'v>) -> Result<Option<Cow<'v, [u8]>>, Rejection> {
        let request = view.request;
        let value = match self {
            // `Headers::all` is of no use here: its iterator would borrow the name as long as the values.
            Self::Header(name) => self.one(
                request.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.into()),
            )?,
            Self::Query(name) => form::only(request.raw_query.as_bytes(), name)
                .map_err(|_| Rejection::Ambiguous(self.to_string()))?,
            Self::Form(name) => {
                let form = FormBody::of(&request.body);
                let value = form.field(name).map_err(|error| match error {
                    FormError::Twice => Rejection::Ambiguous(self.to_string()),
                    FormError::Broken => Rejection::Malformed(self.to_string()),
                })?;
                if value.is_some() && !form.is_named(&request.headers) {
                    return Err(Rejection::OtherForm(self.to_string()));
                }
                value
            }
            Self::SigKv(key) => {
                self.one(view.pairs.iter().filter(|(k, _)| k == key).map(|(_, v)| v.as_bytes().into()))?
            }
            Self::Json(path) => self.json(&request.body, path)?,
            Self::Item(path) => self.json(view.item, path)?,
            Self::Xml(path) => self.xml(&request.body, path)?,
            Self::Decrypted(path) => match view.plaintext {
                Some(event) if decrypt::is_xml(event) => self.xml(event, path)?,
                Some(event) => self.json(event, path)?,
                None => None,
            },
            Self::Body => Some(Cow::Borrowed(&*request.body)),
            Self::Either(fields) => return self.first(fields, view),
            Self::Inside(outer, path) => match outer.find(view)? {
                Some(text) => self.json(&text, path)?.map(|value| Cow::Owned(value.into_owned())),
                None => None,
            },
            Self::Listed(list) => list.find(view)?.map(|list| match list {
                Cow::Borrowed(list) => Cow::Borrowed(list.split(|b| *b == b',').next().unwrap_or(list)),
                Cow::Owned(mut list) => {
                    list.truncate(list.iter().position(|b| *b == b',').unwrap_or(list.len()));
                    Cow::Owned(list)
                }
            }),
            Self::Equal(field, value) => field.find(view)?.filter(|found| **found == *value.as_bytes()),
            Self::Joined(joints) => {
                let mut text = Vec::new();
                for joint in joints {
                    match joint {
                        Joint::Literal(literal) => text.extend_from_slice(literal.as_bytes()),
                        Joint::Field(field) => match field.find(view)? {
                            Some(value) => text.extend_from_slice(&value),
                            None => return Ok(None),
                        },
                    }
                }
                Some(text.into())
            }
        };
        Ok(value.filter(|v| !v.is_empty()))
    }

    /// Finds the value in the first place that is present. A place in a body of another format is absent.
    fn first<'v>(&self, fields: &[Self], view: &View<'v>) -> Result<Option<Cow<'v, [u8]>>, Rejection> {
        let mut is_readable = false;
        for field in fields {
            match field.find(view) {
                Ok(Some(value)) => return Ok(Some(value)),
                Ok(None) => is_readable = true,
                Err(Rejection::Malformed(_)) => {}
                Err(other) => return Err(other),
            }
        }
        // The format of the body is one of those that the fields are in, unless all of them say otherwise.
        if is_readable { Ok(None) } else { Err(Rejection::Malformed(self.to_string())) }
    }

    /// Refuses a value of JSON beside which there is another whose name differs in case alone. Where only single values
    /// are signed, anybody can add such a member, and readers that ignore case take it for the signed one.
    pub(crate) fn refuse_alike(&self, view: &View<'_>) -> Result<(), Rejection> {
        let is_ambiguous = match self {
            Self::Json(path) => json::has_alike(&view.request.body, path),
            Self::Item(path) => json::has_alike(view.item, path),
            Self::Inside(outer, path) => outer.find(view)?.is_some_and(|text| json::has_alike(&text, path)),
            _ => false,
        };
        if is_ambiguous {
            return Err(Rejection::Ambiguous(self.to_string()));
        }
        self.parts().into_iter().try_for_each(|part| part.refuse_alike(view))
    }

    fn json<'v>(&self, text: &'v [u8], path: &str) -> Result<Option<Cow<'v, [u8]>>, Rejection> {
        let found = json::text(text, path).map_err(|error| self.unreadable(error))?;
        Ok(found.map(|text| match text {
            Cow::Borrowed(s) => Cow::Borrowed(s.as_bytes()),
            Cow::Owned(s) => Cow::Owned(s.into_bytes()),
        }))
    }

    fn xml<'v>(&self, text: &[u8], path: &str) -> Result<Option<Cow<'v, [u8]>>, Rejection> {
        match xml::find(text, path) {
            Ok(found) => Ok(found.map(|found| Cow::Owned(found.text.into_bytes()))),
            Err(XmlError::Duplicate) => Err(Rejection::Ambiguous(self.to_string())),
            Err(XmlError::Invalid) => Err(Rejection::Malformed(self.to_string())),
        }
    }

    fn unreadable(&self, error: JsonError) -> Rejection {
        match error {
            JsonError::Duplicate => Rejection::Ambiguous(self.to_string()),
            JsonError::Invalid => Rejection::Malformed(self.to_string()),
        }
    }

    /// Returns the JSON texts of the items in the array at this place of the body.
    pub(crate) fn items<'v>(&self, view: &View<'v>) -> Result<Vec<&'v [u8]>, Rejection> {
        let Self::Json(path) = self else { return Err(Rejection::Malformed(self.to_string())) };
        let items = json::items(&view.request.body, path).map_err(|error| self.unreadable(error))?;
        items.ok_or_else(|| Rejection::Missing(self.to_string()))
    }

    fn one<T>(&self, mut values: impl Iterator<Item = T>) -> Result<Option<T>, Rejection> {
        let first = values.next();
        match values.next() {
            Some(_) => Err(Rejection::Ambiguous(self.to_string())),
            None => Ok(first),
        }
    }

    /// Returns the place of a value that must not be kept, in the body or the decrypted event, and the text
    /// to write there: `instead`, with the escapes of that format.
    pub(crate) fn span(&self, view: &View<'_>, instead: &str) -> Option<(Range<usize>, String)> {
        let body = &*view.request.body;
        match self {
            Self::Decrypted(path) => match view.plaintext? {
                event if decrypt::is_xml(event) => xml_span(event, path, instead),
                event => json_span(event, event, path, instead),
            },
            Self::Xml(path) => xml_span(body, path, instead),
            Self::Json(path) => json_span(body, body, path, instead),
            Self::Item(path) => json_span(body, view.item, path, instead),
            Self::Form(name) => FormBody::of(body).span(name).map(|span| (span, instead.to_owned())),
            Self::Body => Some((0..body.len(), instead.to_owned())),
            Self::Either(fields) => {
                let present = fields.iter().find(|field| matches!(field.find(view), Ok(Some(_))))?;
                present.span(view, instead)
            }
            Self::Inside(outer, _) | Self::Equal(outer, _) | Self::Listed(outer) => outer.span(view, instead),
            _ => None,
        }
    }

    /// Returns true if both fields name the same place.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Header(a), Self::Header(b)) => a.eq_ignore_ascii_case(b),
            (Self::Query(a), Self::Query(b))
            | (Self::Json(a), Self::Json(b))
            | (Self::Form(a), Self::Form(b))
            | (Self::SigKv(a), Self::SigKv(b))
            | (Self::Item(a), Self::Item(b))
            | (Self::Xml(a), Self::Xml(b))
            | (Self::Decrypted(a), Self::Decrypted(b)) => a == b,
            (Self::Either(a), Self::Either(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is(b)),
            (Self::Inside(a, path), Self::Inside(b, other)) => a.is(b) && path == other,
            (Self::Body, Self::Body) => true,
            _ => false,
        }
    }

    /// Returns true if every request with a value in this place has one in the other place too.
    pub(crate) fn implies(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Either(fields), _) => fields.iter().all(|field| field.implies(other)),
            (_, Self::Either(others)) => others.iter().any(|other| self.implies(other)),
            (_, Self::Listed(list)) => self.implies(list),
            _ => {
                self.is(other)
                    || matches!(other, Self::Body) && self.format().is_some()
                    || self.parts().into_iter().any(|part| part.implies(other))
            }
        }
    }

    /// Returns the format of a body that has this place.
    pub(crate) const fn format(&self) -> Option<BodyFormat> {
        match self {
            Self::Json(_) | Self::Item(_) => Some(BodyFormat::Json),
            Self::Xml(_) => Some(BodyFormat::Xml),
            Self::Form(_) => Some(BodyFormat::Form),
            _ => None,
        }
    }

    /// Returns true if the value is a part of the body.
    pub(crate) fn in_body(&self) -> bool {
        let is_in = |field: &Self| {
            matches!(field, Self::Json(_) | Self::Xml(_) | Self::Form(_) | Self::Item(_) | Self::Body)
        };
        !self.any(&|field| !is_in(field))
    }

    /// Returns true if the value is a part of the decrypted event.
    pub(crate) fn is_decrypted(&self) -> bool {
        self.any(&|field| matches!(field, Self::Decrypted(_)))
    }

    /// Returns true if the value is in a signature of pairs.
    pub(crate) fn in_signature(&self) -> bool {
        self.any(&|field| matches!(field, Self::SigKv(_)))
    }

    /// Builds a JSON or XML body that holds only this field, with an empty value.
    #[cfg(feature = "sender")]
    pub(crate) fn wrapper(&self) -> Option<String> {
        match self {
            Self::Json(path) => Some(path.rsplit('.').fold("\"\"".to_owned(), |inner, key| {
                let mut object = "{".to_owned();
                json::write_string(&mut object, key);
                object + ":" + &inner + "}"
            })),
            Self::Xml(path) => {
                let inner =
                    path.rsplit('.').fold(String::new(), |inner, name| format!("<{name}>{inner}</{name}>"));
                Some(format!("<xml>{inner}</xml>"))
            }
            Self::Either(fields) => fields.first()?.wrapper(),
            _ => None,
        }
    }
}

/// Finds a JSON value in `text`, which is a part of `body`. Returns its place in `body` and the JSON text to
/// write there.
fn json_span(body: &[u8], text: &[u8], path: &str, instead: &str) -> Option<(Range<usize>, String)> {
    let raw = json::find(text, path).ok()??.get();
    let start = (raw.as_ptr() as usize).checked_sub(body.as_ptr() as usize)?;
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let mut text = String::new();
    if digits(raw) && digits(instead) && json::is_valid(instead) {
        text.push_str(instead);
    } else {
        json::write_string(&mut text, instead);
    }
    Some((start..start + raw.len(), text))
}

fn xml_span(body: &[u8], path: &str, instead: &str) -> Option<(Range<usize>, String)> {
    let found = xml::find(body, path).ok()??;
    Some((found.span, xml::escape(instead)))
}

/// Spelling of a field in a `[verify]` table: `KIND:NAME`.
impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Query(name) => write!(f, "query:{name}"),
            Self::Json(path) => write!(f, "json:{path}"),
            Self::Form(name) => write!(f, "form:{name}"),
            Self::SigKv(key) => write!(f, "sigkv:{key}"),
            Self::Item(path) => write!(f, "item:{path}"),
            Self::Xml(path) => write!(f, "xml:{path}"),
            Self::Decrypted(path) => write!(f, "decrypted:{path}"),
            Self::Body => f.write_str("body"),
            Self::Either(fields) => {
                for (i, field) in fields.iter().enumerate() {
                    write!(f, "{}{field}", if i > 0 { "|" } else { "" })?;
                }
                Ok(())
            }
            Self::Inside(outer, path) => write!(f, "{outer}>json:{path}"),
            Self::Equal(field, value) => write!(f, "{field}=={value}"),
            Self::Listed(list) => write!(f, "{list}#1"),
            Self::Joined(joints) => joints.iter().try_for_each(|joint| match joint {
                Joint::Literal(text) => f.write_str(text),
                Joint::Field(field) => write!(f, "{{{field}}}"),
            }),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Signs of words that are not whole words are letters of names, and no text nests without end.
    #[test]
    fn every_text_is_read_in_few_steps() {
        for (text, name) in
            [("json:a>b", "a>b"), ("query:a=b", "a=b"), ("json:a|b", "a|b"), ("json:a#2", "a#2")]
        {
            let field = Field::parse(text).expect(text);
            assert!(matches!(&field, Field::Json(n) | Field::Query(n) if n == name), "{text}");
        }
        for part in ["#1", ">json:a", "{", "|json:", "==", "=", ">"] {
            // Whether it is a field or not: the stack has room for the answer.
            let _ = Field::parse(&format!("json:a{}", part.repeat(100_000)));
        }
        assert!(
            Field::parse("json:a#1#1").is_err()
                && Field::parse(&format!("json:a{}", ">json:a".repeat(9))).is_err()
        );
    }

    pub(crate) fn request(query: &str, headers: &[(&str, &str)], body: &str) -> Request {
        Request {
            method: "POST".into(),
            path: "/hook".into(),
            raw_query: query.into(),
            headers: headers.iter().map(|(n, v)| (*n, (*v).to_owned())).collect(),
            body: body.to_owned().into(),
            request_id: "r".into(),
            received: tokio::time::Instant::now(),
            source_ip: None,
            deadline: None,
        }
    }

    fn read(field: &str, request: &Request) -> Result<String, &'static str> {
        let pairs = [("t".to_owned(), "1".to_owned()), ("v".into(), "a".into()), ("v".into(), "b".into())];
        let view = View { pairs: &pairs, ..View::of(request, None) };
        let value = Field::parse(field).unwrap().read(&view);
        value.map(|v| String::from_utf8(v.into_owned()).unwrap()).map_err(|r| r.as_str())
    }

    #[test]
    fn a_value_is_read_once_or_not_at_all() {
        let r =
            request("a=1&b=%41+%2B&a=2&e=&f", &[("X-A", "1"), ("X-B", "2"), ("x-b", "3"), ("X-C", "")], "");
        for (field, want) in [
            ("header:x-a", Ok("1")),
            ("header:X-B", Err("ambiguous")),
            ("header:X-C", Err("missing")),
            ("header:X-D", Err("missing")),
            ("query:b", Ok("A +")),
            ("query:a", Err("ambiguous")),
            ("query:e", Err("missing")),
            ("query:f", Err("missing")),
            ("query:A", Err("missing")),
            ("sigkv:t", Ok("1")),
            ("sigkv:v", Err("ambiguous")),
            ("json:a", Err("malformed")),
        ] {
            assert_eq!(read(field, &r), want.map(str::to_owned), "{field}");
        }
    }

    #[test]
    fn bodies_are_read_as_json_or_form() {
        let r = request("", &[], r#"{"a":{"b":[1,"x"]},"d":1,"d":2,"e":""}"#);
        for (field, want) in [
            ("json:a.b.1", Ok("x")),
            ("json:d", Err("ambiguous")),
            ("json:e", Err("missing")),
            ("json:a", Err("missing")),
        ] {
            assert_eq!(read(field, &r), want.map(str::to_owned), "{field}");
        }
        let r = request("", &[], "k=v%20w&k2=1");
        assert_eq!(read("form:k", &r).as_deref(), Ok("v w"));
    }

    #[test]
    fn spans_are_exact() {
        let cut = |field: &str, body: &str| {
            let request = request("", &[], body);
            let view = View::of(&request, None);
            let (span, instead) = Field::parse(field).unwrap().span(&view, "[v]").unwrap();
            format!("{}{instead}{}", &body[..span.start], &body[span.end..])
        };
        assert_eq!(cut("json:a.t", r#"{ "a":{"t" : "s\u0041" }}"#), r#"{ "a":{"t" : "[v]" }}"#);
        assert_eq!(cut("form:t", "x=1&t=a%20b&y"), "x=1&t=[v]&y");
    }

    #[test]
    fn what_is_no_field_says_what_is() {
        for text in [
            "",
            "header",
            "header:",
            "header:a b",
            "Header:X",
            "cookie:x",
            "xml:",
            "decrypted",
            "a{",
            "{header:A}{",
            "{}",
        ] {
            assert!(Field::parse(text).is_err(), "{text}");
        }
        assert!(Field::parse("header:X-A").unwrap().is(&Field::parse("header:x-a").unwrap()));
    }
}
