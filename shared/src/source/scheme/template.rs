//! Templates of the signed bytes: literals and parts of the request, one after the other.

use std::borrow::Cow;

use crate::http::Request;
use crate::json::MAX_PARTS;
use crate::reader::{At, Strings, Table};
use crate::secret::sorted;
use crate::sort::sort;
use crate::source::scheme::field::{Field, View};
use crate::source::scheme::form::pairs;
use crate::source::scheme::parts::{Compound, Empty};
use crate::source::scheme::words;
use crate::source::{Params, Rejection};

/// The key `signed`, in one of three forms: `signed = ["v0:", "{header:X-Timestamp}", ":", "{body}"]`,
/// `signed = { sort = true, parts = […] }` or, if the kind of request decides,
/// `signed = { by = "json:type", cases = { event = […], ping = […] } }`.
#[derive(Clone, Debug)]
pub(crate) struct SignedTemplate {
    /// Field whose value selects the case; without the field there is one case.
    by: Option<Field>,
    cases: Vec<(String, Vec<Part>)>,
    sort: bool,
    /// Spellings of the public URL that the sender may have signed, at least one.
    spellings: Vec<Spelling>,
}

#[derive(Clone, Debug)]
enum Part {
    Literal(String),
    Body,
    Method,
    /// The hook's public URL, with the query of the request.
    Url,
    PathQuery,
    Secret,
    Field(Field),
    Compound(Compound),
    /// A parameter of a preset, until [`SignedTemplate::bind`] replaces it by its value.
    Param(String),
}

/// The signed bytes of a request, except the secret.
pub(crate) struct SignedMessage<'v> {
    pieces: Vec<Piece<'v>>,
    sort: bool,
}

enum Piece<'v> {
    Bytes(Cow<'v, [u8]>),
    Secret,
}

impl SignedTemplate {
    /// Reads the key `signed` of a `[verify]` table.
    pub(crate) fn read(table: &Table<'_>) -> Option<Self> {
        const EXAMPLE: &str = r#"signed = ["{header:X-Timestamp}", ".", "{body}"]"#;
        if !table.has("signed") {
            table.error("signed", format!("missing: write what the sender signs, such as {EXAMPLE}"));
            return None;
        }
        let part = |at: &At<&str>| {
            Part::parse(at.value).map_err(|message| table.error_at(at.offset, "signed", message)).ok()
        };
        let parts = |list: Strings<'_>| {
            let parts: Vec<Option<Part>> = list.value.iter().map(part).collect();
            parts.into_iter().collect::<Option<Vec<Part>>>()
        };
        let spellings = if table.has("url") { Spelling::read_all(table) } else { vec![Spelling::AsIs] };
        let mut template = Self { by: None, cases: Vec::new(), sort: false, spellings };
        if table.is_table("signed") {
            let inner = table.table("signed")?;
            template.sort = inner.bool("sort").is_some_and(|at| at.value);
            let cases: Vec<(String, _)> = if inner.has("by") {
                template.by = words::field(&inner, "by", "\"json:type\"");
                let lists = inner.table("cases").map(|cases| cases.named_lists()).unwrap_or_default();
                if lists.is_empty() {
                    inner.error("cases", r#"missing: write cases = { event = ["{body}"] }"#);
                }
                #[cfg(feature = "catalog")]
                if lists.iter().any(|(name, _)| name.value.is_empty()) {
                    inner.error("cases", "no request has an empty value there: write the value of each case");
                }
                lists.into_iter().map(|(name, list)| (name.value.to_owned(), list)).collect()
            } else {
                if !inner.has("parts") {
                    inner.error("parts", r#"missing: write parts = ["{secret}", "{query:nonce}"]"#);
                }
                inner.strings("parts").map(|list| (String::new(), list)).into_iter().collect()
            };
            inner.finish();
            let read = |(name, list)| Some((name, parts(list)?));
            template.cases = cases.into_iter().map(read).collect::<Option<_>>()?;
        } else {
            template.cases = vec![(String::new(), parts(table.strings("signed")?)?)];
        }
        let is_empty = |parts: &Vec<Part>| {
            parts
                .iter()
                .all(|part| matches!(part, Part::Literal(_) | Part::Secret | Part::Method | Part::Param(_)))
        };
        if template.cases.iter().any(|(_, parts)| is_empty(parts)) {
            table.error("signed", format!("nothing of the request is signed: write {EXAMPLE}"));
            return None;
        }
        if let Some(by) = template.by.as_ref().filter(|by| !template.covers(by)) {
            let message =
                format!("{by} chooses the case, so sign it in each case, or one could pass for another");
            table.error("signed", message);
            return None;
        }
        Some(template).filter(|template| !template.cases.is_empty())
    }

    fn all_parts(&self) -> impl Iterator<Item = &Part> {
        self.cases.iter().flat_map(|(_, parts)| parts)
    }

    /// Returns the names of the parameters that the template needs.
    pub(crate) fn params(&self) -> impl Iterator<Item = &str> {
        self.all_parts()
            .filter_map(|part| if let Part::Param(name) = part { Some(name.as_str()) } else { None })
    }

    /// Replaces the parameters by their values.
    pub(crate) fn bind(&mut self, params: &Params) {
        for part in self.cases.iter_mut().flat_map(|(_, parts)| parts) {
            if let Part::Param(name) = part
                && let Some(value) = params.get(name).and_then(|secret| secret.expose_str())
            {
                *part = Part::Literal(value.to_owned());
            }
        }
    }

    /// Returns true if every case covers everything that the body says.
    pub(crate) fn has_body(&self) -> bool {
        let has = |part: &Part| match part {
            Part::Body => true,
            Part::Compound(compound) => compound.has_body(),
            _ => false,
        };
        self.cases.iter().all(|(_, parts)| parts.iter().any(has))
    }

    pub(crate) fn has_secret(&self) -> bool {
        self.all_parts().any(|part| matches!(part, Part::Secret))
    }

    /// Returns true if a case ends with the secret.
    pub(crate) fn ends_with_secret(&self) -> bool {
        self.cases.iter().any(|(_, parts)| matches!(parts.last(), Some(Part::Secret)))
    }

    pub(crate) fn has_url(&self) -> bool {
        self.all_parts().any(|part| matches!(part, Part::Url))
    }

    /// Returns true if a case signs a checksum of the body, which does not cover it.
    pub(crate) fn has_checksum(&self) -> bool {
        self.all_parts().any(|part| matches!(part, Part::Compound(Compound::Crc32)))
    }

    /// Returns the members of the JSON body that this request signs, if it signs only some.
    pub(crate) fn members(&self, view: &View<'_>) -> Option<Vec<&str>> {
        // A request without a case is never accepted, so nothing of it needs to be kept.
        let parts = self.case(view).unwrap_or_default();
        let has_lines = |part: &Part| matches!(part, Part::Compound(Compound::FieldLines(_)));
        let compounds =
            parts.iter().filter_map(|part| if let Part::Compound(c) = part { Some(c) } else { None });
        (parts.is_empty() || parts.iter().any(has_lines))
            .then(|| compounds.flat_map(Compound::members).collect())
    }

    /// Returns the required fields that the template reads one by one.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &Field> {
        self.all_parts().filter_map(|part| match part {
            Part::Field(field) => Some(field),
            _ => None,
        })
    }

    /// Returns the required [`fields`](Self::fields) of the template, then the optional ones, which may be
    /// missing.
    pub(crate) fn all_fields(&self) -> impl Iterator<Item = &Field> {
        let optional = self.all_parts().filter_map(|part| match part {
            Part::Compound(compound) => compound.optional(),
            _ => None,
        });
        self.fields().chain(optional)
    }

    /// Returns the fields that list signed header fields, each with the text that a sender writes there.
    #[cfg(feature = "sender")]
    pub(crate) fn lists(&self) -> impl Iterator<Item = (&Field, String)> {
        self.all_parts().filter_map(|part| if let Part::Compound(part) = part { part.list() } else { None })
    }

    /// Returns true if `is` holds for a field that every signed request has: see [`Scheme::needs`].
    ///
    /// [`Scheme::needs`]: crate::source::scheme::Scheme::needs
    pub(crate) fn needs(&self, is: &dyn Fn(&Field) -> bool) -> bool {
        let is_read = |part: &Part| match part {
            Part::Field(field) => is(field),
            Part::Compound(compound) => compound.needs(is),
            _ => false,
        };
        self.by.as_ref().is_some_and(is) || self.cases.iter().all(|(_, parts)| parts.iter().any(is_read))
    }

    /// Returns the names of the cases if this field chooses among them.
    pub(crate) fn allowed(&self, field: &Field) -> Option<Vec<&str>> {
        let chooses = self.by.as_ref().is_some_and(|by| by.is(field));
        chooses.then(|| self.cases.iter().map(|(name, _)| name.as_str()).collect())
    }

    /// Returns true if a change of the value at this place is noticed in every case.
    pub(crate) fn covers(&self, field: &Field) -> bool {
        let has = |part: &Part| match part {
            Part::Body => field.in_body(),
            Part::Url | Part::PathQuery => matches!(field, Field::Query(_)),
            // A spelling that is not there gives way to the next.
            Part::Field(Field::Either(signed)) => signed.iter().any(|signed| signed.is(field)),
            Part::Field(signed) => signed.is(field),
            Part::Compound(compound) => compound.covers(field),
            _ => false,
        };
        let is_in_all = self.cases.iter().all(|(_, parts)| parts.iter().any(has));
        is_in_all || field.is_several() && field.places().into_iter().all(|place| self.covers(place))
    }

    /// Returns true if a case signs the value at this place, or more of the request that has it.
    #[cfg(feature = "catalog")]
    pub(crate) fn holds(&self, field: &Field) -> bool {
        if let Field::Either(fields) = field {
            return fields.iter().all(|field| self.holds(field));
        }
        let is_in = |signed: &Field, place: &Field| match signed {
            Field::Either(signed) => signed.iter().any(|signed| signed.is(place)),
            Field::Joined(_) => signed.places().into_iter().any(|signed| signed.is(place)),
            _ => signed.is(place),
        };
        let has = |part: &Part, place: &Field| match part {
            Part::Body => place.in_body(),
            Part::Url | Part::PathQuery => matches!(place, Field::Query(_)),
            Part::Field(signed) => is_in(signed, place),
            Part::Compound(compound) => compound.holds(place),
            _ => false,
        };
        let mut places = field.places().into_iter().chain([field]);
        places.any(|place| self.all_parts().any(|part| has(part, place)))
    }

    /// Returns the names, or their beginnings, of header fields that make a part together.
    #[cfg(feature = "catalog")]
    pub(crate) fn header_names(&self) -> impl Iterator<Item = &str> {
        self.all_parts().flat_map(|part| {
            let compound = if let Part::Compound(compound) = part { Some(compound) } else { None };
            compound.into_iter().flat_map(Compound::header_names)
        })
    }

    /// Returns true if a case signs only what [`is_token`] takes; `length` knows the most bytes of a field of that
    /// form.
    #[cfg(feature = "catalog")]
    pub(crate) fn is_token(&self, length: &dyn Fn(&Field) -> Option<usize>) -> bool {
        let of_part = |part: &Part| match part {
            Part::Literal(text) if text.is_empty() || is_token(text.as_bytes()) => Some(text.len()),
            // The secret does not count as a part of the text.
            Part::Secret => Some(0),
            Part::Method => Some("OPTIONS".len()),
            Part::Field(field) => length(field),
            Part::Compound(compound) => compound.token_length(length),
            _ => None,
        };
        let of_case = |parts: &[Part]| parts.iter().map(of_part).sum::<Option<usize>>();
        self.cases.iter().any(|(_, parts)| of_case(parts).is_some_and(|length| length <= MAX_ANSWERED))
    }

    /// Takes the parts from the request; every required part must be present.
    pub(crate) fn fill<'v>(&'v self, view: &View<'v>) -> Result<SignedMessage<'v>, Rejection> {
        let first = self.spellings.first().copied().unwrap_or(Spelling::AsIs);
        self.fill_with(view, Empty::LeftOut, first)
    }

    /// Refuses a signed value that a reader could take from elsewhere, under the rules of [`Field::refuse_alike`].
    pub(crate) fn refuse_alike(&self, view: &View<'_>) -> Result<(), Rejection> {
        let fields = self.case(view)?.iter().filter_map(|part| match part {
            Part::Field(field) => Some(field),
            Part::Compound(compound) => compound.optional(),
            _ => None,
        });
        fields.into_iter().try_for_each(|field| field.refuse_alike(view))
    }

    /// Builds the other messages that the same request can stand for, one after the other: see [`Empty`] and
    /// [`Spelling`].
    pub(crate) fn fill_otherwise<'v>(&'v self, view: &View<'v>) -> impl Iterator<Item = SignedMessage<'v>> {
        let is_open = |part: &Part| matches!(part, Part::Compound(compound) if compound.has_optional());
        let empty = self.all_parts().any(is_open).then_some((Empty::Signed, Spelling::AsIs));
        let spelled = if self.has_url() { self.spellings.get(1..).unwrap_or_default() } else { &[] };
        let others = empty.into_iter().chain(spelled.iter().map(|spelling| (Empty::LeftOut, *spelling)));
        let view = *view;
        others.filter_map(move |(empty, spelling)| self.fill_with(&view, empty, spelling).ok())
    }

    fn fill_with<'v>(
        &'v self,
        view: &View<'v>,
        empty: Empty,
        spelling: Spelling,
    ) -> Result<SignedMessage<'v>, Rejection> {
        let bytes = |text: &'v str| Piece::Bytes(text.as_bytes().into());
        let parts = self.case(view)?;
        let piece = |(at, part): (usize, &'v Part)| {
            let request = view.request;
            Ok(match part {
                Part::Literal(text) => bytes(text),
                Part::Body => Piece::Bytes(Cow::Borrowed(&request.body)),
                Part::Method => bytes(&request.method),
                Part::Secret => Piece::Secret,
                Part::Field(field) => Piece::Bytes(field.read(view)?),
                Part::Compound(compound) => Piece::Bytes(compound.fill(view, empty)?),
                Part::Param(name) => return Err(Rejection::Missing(format!("param:{name}"))),
                Part::PathQuery => {
                    let signed = with_query(&request.path, &request.raw_query)?;
                    let is_known = match view.url {
                        Some(url) => url.as_bytes().ends_with(&signed),
                        None => request.raw_query.is_empty() && !request.path.ends_with('/'),
                    };
                    self.admit(is_known, parts, at, request)?;
                    Piece::Bytes(signed)
                }
                Part::Url => {
                    let url = view.url.ok_or_else(|| Rejection::Missing("url".to_owned()))?;
                    let (base, query) = url.split_once('?').unwrap_or((url, ""));
                    // A trigger that hands over a map of the query loses its spelling; the hook's own counts.
                    let is_known = query == request.raw_query || is_same_query(query, &request.raw_query);
                    self.admit(is_known, parts, at, request)?;
                    let query = if is_known { query } else { &request.raw_query };
                    Piece::Bytes(spelling.of(with_query(base, query)?))
                }
            })
        };
        let pieces = parts.iter().enumerate().map(piece).collect::<Result<_, _>>()?;
        Ok(SignedMessage { pieces, sort: self.sort })
    }

    /// Refuses an address that differs from the configured one, if its end is not separate from the signed
    /// part beside it: bytes could then be moved from the body into the query, which is not forwarded. A GET
    /// or HEAD request has no body and is not a delivery.
    fn admit(&self, is_known: bool, parts: &[Part], at: usize, request: &Request) -> Result<(), Rejection> {
        let is_filled = |part: &&Part| !matches!(part, Part::Literal(text) if text.is_empty());
        let next = parts.iter().skip(at + 1).find(is_filled);
        let before = parts.iter().take(at).rfind(is_filled);
        let is_apart = match next {
            _ if self.sort => parts.len() == 1,
            None => !matches!(before, Some(Part::Body)),
            Some(Part::Literal(text)) => {
                text.contains(|c: char| c.is_ascii_control() || NO_QUERY.contains(&c))
            }
            Some(_) => false,
        };
        if is_known || is_apart || ["GET", "HEAD"].contains(&request.method.as_str()) {
            return Ok(());
        }
        Err(Rejection::OtherQuery)
    }

    fn case(&self, view: &View<'_>) -> Result<&[Part], Rejection> {
        let value = self.by.as_ref().map(|by| by.read(view)).transpose()?.unwrap_or_default();
        let found = self.cases.iter().find(|(name, _)| name.as_bytes() == &*value);
        let unknown = || Rejection::Pinned(self.by.as_ref().map(ToString::to_string).unwrap_or_default());
        found.map(|(_, parts)| parts.as_slice()).ok_or_else(unknown)
    }
}

/// Spelling of the public URL that a sender signs. The key `url` lists those that one provider uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// The URL of the hook, byte for byte.
    AsIs,
    /// The URL with the default port of its scheme, if it has no port.
    Port,
    /// The URL without a port.
    NoPort,
    /// The URL with the escapes of [`DECODED`] decoded.
    Decoded,
}

/// Escapes that `decoded` stands for: those that `HubSpot` lists, which Twilio decodes too where it signs for SIP
/// callers.
const DECODED: [(&str, &str); 12] = [
    ("%3A", ":"),
    ("%2F", "/"),
    ("%3F", "?"),
    ("%40", "@"),
    ("%21", "!"),
    ("%24", "$"),
    ("%27", "'"),
    ("%28", "("),
    ("%29", ")"),
    ("%2A", "*"),
    ("%2C", ","),
    ("%3B", ";"),
];

impl Spelling {
    /// Reads the key `url`: the spellings to try, in this order.
    fn read_all(table: &Table<'_>) -> Vec<Self> {
        const WORDS: [(&str, Spelling); 4] = [
            ("as-is", Spelling::AsIs),
            ("port", Spelling::Port),
            ("no-port", Spelling::NoPort),
            ("decoded", Spelling::Decoded),
        ];
        let read = |at: &At<&str>| {
            let found = WORDS.into_iter().find(|(word, _)| *word == at.value);
            if found.is_none() {
                table.error_at(
                    at.offset,
                    "url",
                    "write some of \"as-is\", \"port\", \"no-port\", \"decoded\"",
                );
            }
            found.map(|(_, spelling)| spelling)
        };
        let list = table.strings("url").map(|list| list.value).unwrap_or_default();
        list.iter().filter_map(read).collect()
    }

    /// Spells a URL in this way.
    fn of(self, url: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
        let changed = std::str::from_utf8(&url).ok().and_then(|text| match self {
            Self::AsIs => None,
            // Most addresses have no escapes.
            Self::Decoded if !text.contains('%') => None,
            Self::Decoded => {
                let spelled = DECODED.iter().fold(text.to_owned(), |text, (from, to)| {
                    text.replace(from, to).replace(&from.to_ascii_lowercase(), to)
                });
                Some(spelled)
            }
            Self::Port | Self::NoPort => {
                let (scheme, rest) = text.split_once("://")?;
                let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
                let (name, port) =
                    host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).unzip();
                match (self, port) {
                    (Self::Port, None) => {
                        let port = if scheme.eq_ignore_ascii_case("http") { 80 } else { 443 };
                        Some(format!("{scheme}://{host}:{port}{path}"))
                    }
                    (Self::NoPort, Some(_)) => Some(format!("{scheme}://{}{path}", name.unwrap_or(host))),
                    _ => None,
                }
            }
        });
        changed.map_or(url, |text| text.into_bytes().into())
    }
}

/// Returns true if two queries have the same names and values, in any order.
fn is_same_query(one: &str, other: &str) -> bool {
    let list = |query| {
        let mut list: Vec<_> = pairs(str::as_bytes(query)).take(MAX_PARTS + 1).collect();
        sort(&mut list);
        list
    };
    let (one, other) = (list(one), list(other));
    !one.is_empty() && one.len() <= MAX_PARTS && one == other
}

/// Characters that neither a query nor a request line can hold.
const NO_QUERY: [char; 6] = ['"', '<', '>', '{', '}', ' '];

/// Joins an address and its query; refuses a character that no query can hold (RFC 3986 3.4).
fn with_query<'v>(base: &'v str, query: &str) -> Result<Cow<'v, [u8]>, Rejection> {
    if query.contains(NO_QUERY) {
        Err(Rejection::Malformed("the query".to_owned()))
    } else if query.is_empty() {
        Ok(base.as_bytes().into())
    } else {
        Ok(format!("{base}?{query}").into_bytes().into())
    }
}

impl Part {
    fn parse(text: &str) -> Result<Self, String> {
        const PARTS: &str = "{body}, {method}, {url}, {path_query}, {secret}, {crc32(body)}, {sha256(body)}, {fieldlines:A,B?}, \
             {canon_headers:PREFIX}, {named_values:FIELD}, {named_headers:FIELD}, {sorted_pairs:DROPPED}, {sorted_form} or a field such as {header:NAME}";
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
                let param = name.strip_prefix("param:").map(|name| Self::Param(name.to_owned()));
                let part = param.or_else(|| Compound::parse(name).map(Self::Compound));
                let part = part.or_else(|| Field::parse(name).map(Self::Field).ok());
                part.ok_or_else(|| format!("{text:?} is not a part: write {PARTS}"))
            }
        }
    }
}

impl SignedMessage<'_> {
    /// Passes the signed bytes to `sink` piece by piece, without a copy of the body.
    pub(crate) fn feed(&self, secret: &[u8], mut sink: impl FnMut(&[u8])) {
        let pieces = self.pieces.iter().map(|piece| match piece {
            Piece::Bytes(bytes) => bytes.as_ref(),
            Piece::Secret => secret,
        });
        if self.sort {
            sorted(&pieces.collect::<Vec<_>>()).into_iter().for_each(&mut sink);
        } else {
            pieces.for_each(&mut sink);
        }
    }

    /// Returns true if a handshake may sign these bytes for anybody: see [`is_token`].
    pub(crate) fn is_token(&self) -> bool {
        is_token_of(self.pieces.iter().map(|piece| match piece {
            Piece::Bytes(bytes) => bytes.as_ref(),
            Piece::Secret => &[],
        }))
    }

    /// Returns the signed bytes in one piece, with `secret` in its place.
    pub(crate) fn to_bytes(&self, secret: &[u8]) -> Cow<'_, [u8]> {
        if let [Piece::Bytes(only)] = self.pieces.as_slice() {
            return Cow::Borrowed(only);
        }
        let mut bytes = Vec::new();
        self.feed(secret, |piece| bytes.extend_from_slice(piece));
        bytes.into()
    }
}

/// Returns true if we may sign the text for an unverified requester: `[A-Za-z0-9+/=_-]{1,128}`. The answer to
/// any other text could be that text's valid signature; for the same reason no text of this form is accepted
/// as what a delivery has signed, where a handshake signs for anybody.
pub(crate) fn is_token(value: &[u8]) -> bool {
    is_token_of(std::iter::once(value))
}

/// Upper bound on a text that a handshake signs, in bytes.
const MAX_ANSWERED: usize = 128;

fn is_token_of<'p>(mut pieces: impl Iterator<Item = &'p [u8]> + Clone) -> bool {
    let is_plain = |b: &u8| b.is_ascii_alphanumeric() || b"+/=_-".contains(b);
    let length: usize = pieces.clone().map(<[u8]>::len).sum();
    (1..=MAX_ANSWERED).contains(&length) && pieces.all(|piece| piece.iter().all(is_plain))
}
