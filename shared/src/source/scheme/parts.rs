//! Parts of a template that combine several values or read the whole body.

use std::borrow::Cow;

use crate::http::Request;
use crate::json::{self, JsonError, MAX_PARTS};
use crate::sort::sort;
use crate::source::Rejection;
use crate::source::crypto::encoding::Encoding;
use crate::source::crypto::hash::Hash;
use crate::source::scheme::field::{Field, View};
use crate::source::scheme::form::{FormBody, pairs};

/// A part with more than one value or a special form: `{crc32(body)}`, `{fieldlines:a,b?,c}`,
/// `{canon_headers:prefix}`, `{sorted_pairs:dropped}`, `{sorted_form}`, `{sha256(body)}`, `{json:a?}`,
/// `{named_values:sigkv:h}`, `{named_headers:header:X-Signed-Headers,needed}`.
#[derive(Clone, Debug)]
pub(crate) enum Compound {
    /// The CRC-32 of the body (ISO-HDLC, as in zip) in decimal digits. It is not a hash: anyone with one body
    /// can make another body with the same sum.
    Crc32,
    /// Hash of the body, as bytes or encoded: `{sha256(body)}`, `{sha256(body):hex}`, `{sha256(body):base64}`.
    Digest(Hash, Option<Encoding>),
    /// `name LF value LF` for members of the JSON body, which must be strings. A member that is written with
    /// a `?` is left out if it is missing or `null`.
    FieldLines(Vec<FieldLine>),
    /// `name:value LF` for the header fields whose names start with the prefix, sorted by name.
    CanonHeaders(String),
    /// `name=value&…` of the form body, decoded and sorted, without the listed names.
    SortedPairs(Vec<String>),
    /// Names and values of the form body, decoded and sorted, with each pair once and no separators.
    SortedForm,
    /// A field that adds nothing to the signed bytes if it is missing, empty or `null`.
    Optional(Field),
    /// Header fields whose names another field lists, with commas or blanks between.
    Named(NamedHeaders),
}

/// The part `{named_values:FIELD}` is the values in the order of the list, joined by dots, with nothing for a field
/// that is missing; `{named_headers:FIELD,NAME…}` is `name:value` of those that are present, sorted, joined by
/// semicolons. The list must hold the names that are written behind its field.
#[derive(Clone, Debug)]
pub(crate) struct NamedHeaders {
    list: Field,
    with_names: bool,
    needed: Vec<String>,
}

/// A member of the JSON body that takes two lines of the signed text.
#[derive(Clone, Debug)]
pub(crate) struct FieldLine {
    name: String,
    optional: bool,
}

/// Treatment of optional members that are present and empty. Documents and samples of one provider differ in
/// it, and both forms have the same meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Empty {
    LeftOut,
    Signed,
}

impl Compound {
    /// Parses the text between the braces; returns `None` if it is not one of these parts.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text == "crc32(body)" {
            return Some(Self::Crc32);
        }
        if text == "sorted_form" {
            return Some(Self::SortedForm);
        }
        if let Some((hash, form)) = text.split_once("(body)") {
            let (_, hash) = Hash::WORDS.into_iter().find(|(word, _)| *word == hash)?;
            return match form {
                "" => Some(Self::Digest(hash, None)),
                ":hex" => Some(Self::Digest(hash, Some(Encoding::Hex))),
                ":base64" => Some(Self::Digest(hash, Some(Encoding::Base64))),
                _ => None,
            };
        }
        let (kind, names) = text.split_once(':').filter(|(_, names)| !names.is_empty())?;
        let list = || names.split(',').map(str::trim).filter(|name| !name.is_empty());
        match kind {
            "fieldlines" if list().next().is_none() => None,
            "fieldlines" => Some(Self::FieldLines(list().map(FieldLine::parse).collect())),
            "canon_headers" => Some(Self::CanonHeaders(names.to_ascii_lowercase())),
            "sorted_pairs" => Some(Self::SortedPairs(list().map(str::to_owned).collect())),
            "named_values" | "named_headers" => {
                let (field, needed) = names.split_once(',').unwrap_or((names, ""));
                let needed = needed.split(',').map(str::trim).filter(|name| !name.is_empty());
                Some(Self::Named(NamedHeaders {
                    list: Field::parse(field).ok()?,
                    with_names: kind == "named_headers",
                    needed: needed.map(str::to_ascii_lowercase).collect(),
                }))
            }
            _ => Field::parse(text.strip_suffix('?')?).ok().map(Self::Optional),
        }
    }

    /// Returns true if the part covers everything that the body says.
    pub(crate) const fn has_body(&self) -> bool {
        matches!(self, Self::FieldLines(_) | Self::SortedPairs(_) | Self::SortedForm | Self::Digest(..))
    }

    /// Returns true if a change of the value at this place is noticed.
    pub(crate) fn covers(&self, field: &Field) -> bool {
        match (self, field) {
            // A line's name is the name of a member, with any dots; a path with dots leads to another place.
            (Self::FieldLines(lines), Field::Json(path)) => {
                !path.contains('.') && lines.iter().any(|line| line.name == *path)
            }
            (Self::SortedPairs(dropped), Field::Form(name)) => !dropped.contains(name),
            (Self::SortedForm, Field::Form(_)) => true,
            (Self::Digest(..), field) => field.in_body(),
            (Self::Optional(signed), field) => signed.is(field),
            (Self::CanonHeaders(prefix), Field::Header(name)) => {
                name.to_ascii_lowercase().starts_with(prefix.as_str())
            }
            // Values alone do not tell where one ends and the next begins.
            (Self::Named(named), Field::Header(name)) => {
                named.with_names && named.needed.iter().any(|needed| needed.eq_ignore_ascii_case(name))
            }
            _ => false,
        }
    }

    /// Returns true if the part is made of the value at this place, or of more that has it.
    #[cfg(feature = "catalog")]
    pub(crate) fn holds(&self, field: &Field) -> bool {
        match (self, field) {
            (Self::Crc32, field) => field.in_body(),
            (Self::Named(named), field) => {
                let is_named = |name: &str| named.needed.iter().any(|n| n.eq_ignore_ascii_case(name));
                named.list.is(field) || matches!(field, Field::Header(name) if is_named(name))
            }
            _ => self.covers(field),
        }
    }

    /// Returns the most bytes of the part if it has the form of a token; `length` knows those of a field.
    #[cfg(feature = "catalog")]
    pub(crate) fn token_length(&self, length: &dyn Fn(&Field) -> Option<usize>) -> Option<usize> {
        match self {
            Self::Crc32 => Some(u32::MAX.to_string().len()),
            Self::Digest(hash, Some(encoding)) => Some(encoding.encode(&hash.of(|_| ())).len()),
            Self::Optional(field) => length(field),
            _ => None,
        }
    }

    /// Returns the names, or the beginning of the names, of the header fields that the part is made of.
    #[cfg(feature = "catalog")]
    pub(crate) fn header_names(&self) -> impl Iterator<Item = &str> {
        let (prefix, needed) = match self {
            Self::CanonHeaders(prefix) => (Some(prefix), [].as_slice()),
            Self::Named(named) => (None, named.needed.as_slice()),
            _ => (None, [].as_slice()),
        };
        prefix.into_iter().chain(needed).map(String::as_str)
    }

    /// Returns true if `is` holds for a field that every request with this part has. A field without a name stands
    /// for the format of the body.
    pub(crate) fn needs(&self, is: &dyn Fn(&Field) -> bool) -> bool {
        match self {
            Self::FieldLines(lines) => {
                let needed = lines.iter().filter(|line| !line.optional && !line.name.contains('.'));
                let mut names = needed.map(|line| line.name.clone()).chain([String::new()]);
                names.any(|name| is(&Field::Json(name)))
            }
            Self::SortedPairs(_) | Self::SortedForm => is(&Field::Form(String::new())),
            Self::Named(named) => is(&named.list),
            Self::Crc32 | Self::Digest(..) | Self::CanonHeaders(_) | Self::Optional(_) => false,
        }
    }

    /// Returns the members of the JSON body that are signed, if the part signs only some.
    pub(crate) fn members(&self) -> impl Iterator<Item = &str> {
        let lines = if let Self::FieldLines(lines) = self { lines.as_slice() } else { &[] };
        lines.iter().map(|line| line.name.as_str())
    }

    /// Returns the field that may be missing, if this part is one.
    pub(crate) const fn optional(&self) -> Option<&Field> {
        if let Self::Optional(field) = self { Some(field) } else { None }
    }

    /// Returns true if the two forms of [`Empty`] can differ for this part.
    pub(crate) fn has_optional(&self) -> bool {
        match self {
            Self::FieldLines(lines) => lines.iter().any(|line| line.optional),
            Self::SortedPairs(_) => true,
            _ => false,
        }
    }

    pub(crate) fn fill<'v>(&self, view: &View<'v>, empty: Empty) -> Result<Cow<'v, [u8]>, Rejection> {
        match self {
            Self::Crc32 => Ok(crc32(&view.request.body).to_string().into_bytes().into()),
            Self::Digest(hash, encoding) => {
                let digest = hash.of(|feed| feed(&view.request.body));
                Ok(encoding.map_or(digest.clone(), |encoding| encoding.encode(&digest).into_bytes()).into())
            }
            Self::FieldLines(lines) => field_lines(lines, &view.request.body, empty).map(Cow::Owned),
            Self::CanonHeaders(prefix) => {
                header_lines(view, &|name| name.starts_with(prefix.as_str()), b'\n').map(Cow::Owned)
            }
            Self::SortedPairs(dropped) => sorted_pairs(dropped, view.request, empty).map(Cow::Owned),
            Self::SortedForm => sorted_form(view.request).map(Cow::Owned),
            Self::Optional(field) => field.read_or_empty(view),
            Self::Named(named) => named.fill(view).map(Cow::Owned),
        }
    }

    /// Returns the list of names that the part needs, for a sender that writes one.
    #[cfg(feature = "sender")]
    pub(crate) fn list(&self) -> Option<(&Field, String)> {
        let Self::Named(NamedHeaders { list, needed, with_names }) = self else { return None };
        let sep = if *with_names { "," } else { " " };
        Some((list, if needed.is_empty() { "content-type".to_owned() } else { needed.join(sep) }))
    }
}

impl NamedHeaders {
    fn fill(&self, view: &View<'_>) -> Result<Vec<u8>, Rejection> {
        let list = self.list.read_text(view)?.to_ascii_lowercase();
        let has = |wanted: &str| list.split([',', ' ']).any(|name| name == wanted);
        if let Some(needed) = self.needed.iter().find(|needed| !has(needed)) {
            return Err(Rejection::NoItem(self.list.to_string(), needed.clone()));
        }
        if self.with_names {
            let mut lines = header_lines(view, &has, b';')?;
            lines.pop();
            return Ok(lines);
        }
        let mut values = Vec::new();
        for (i, name) in list.split([',', ' ']).enumerate() {
            if i > 0 {
                values.push(b'.');
            }
            values.extend_from_slice(&Field::Header(name.to_owned()).read_or_empty(view)?);
        }
        // The body follows after a dot. The first brace must be its own, or bytes could move from one to the other.
        if values.contains(&b'{') || !view.request.body.starts_with(b"{") {
            return Err(Rejection::Malformed(self.list.to_string()));
        }
        Ok(values)
    }
}

impl FieldLine {
    fn parse(text: &str) -> Self {
        let name = text.strip_suffix('?');
        Self { name: name.unwrap_or(text).to_owned(), optional: name.is_some() }
    }
}

/// Builds the lines of signed members. They can be read back in only one way: only the first value may hold a
/// line break, or text could move from one signed member to another.
fn field_lines(lines: &[FieldLine], body: &[u8], empty: Empty) -> Result<Vec<u8>, Rejection> {
    let members = json::members(body).map_err(|error| match error {
        JsonError::Duplicate => Rejection::Ambiguous("a JSON member".to_owned()),
        JsonError::Invalid => Rejection::Malformed("the JSON body".to_owned()),
    })?;
    let mut text = String::new();
    for (i, FieldLine { name, optional }) in lines.iter().enumerate() {
        let place = || format!("json:{name}");
        let found = members.iter().find(|(key, _)| key == name).map(|(_, raw)| *raw);
        let found = found.filter(|raw| !optional || raw.get() != "null");
        let value = match found {
            None if *optional => continue,
            None => return Err(Rejection::Missing(place())),
            Some(raw) => json::string(raw).ok_or_else(|| Rejection::Malformed(place()))?,
        };
        if value.is_empty() && !optional {
            return Err(Rejection::Missing(place()));
        }
        if i > 0 && value.contains('\n') {
            return Err(Rejection::Malformed(place()));
        }
        if !value.is_empty() || empty == Empty::Signed {
            text.extend([name, "\n", &*value, "\n"]);
        }
    }
    Ok(text.into_bytes())
}

/// Returns `name:value` for the header fields that are wanted, sorted by name, with `end` behind each.
fn header_lines(view: &View<'_>, is_wanted: &dyn Fn(&str) -> bool, end: u8) -> Result<Vec<u8>, Rejection> {
    let named = view.request.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value));
    let mut fields: Vec<_> = named.filter(|(name, _)| is_wanted(name)).collect();
    sort(&mut fields);
    if fields.windows(2).any(|two| two[0].0 == two[1].0) {
        return Err(Rejection::Ambiguous("a signed header field".to_owned()));
    }
    let lines =
        fields.iter().flat_map(|(name, value)| [name.as_bytes(), b":", value, std::slice::from_ref(&end)]);
    Ok(lines.collect::<Vec<_>>().concat())
}

/// A decoded name and its decoded value.
type Pair<'f> = (Cow<'f, [u8]>, Cow<'f, [u8]>);

/// Decodes and sorts the pairs of a form. A body of megabytes could hold millions of pairs, and their list
/// takes many times the size of the body, so more than [`MAX_PARTS`] pairs are refused. So is a form of several
/// parts: a field is read from its parts, which would then not be what the pairs have signed.
fn sorted(request: &Request) -> Result<Vec<Pair<'_>>, Rejection> {
    let form = FormBody::of(&request.body);
    let malformed = || Rejection::Malformed("the form body".to_owned());
    if matches!(form, FormBody::Parts(_)) {
        return Err(malformed());
    }
    if !form.is_named(&request.headers) {
        return Err(Rejection::OtherForm("the body".to_owned()));
    }
    // Some receivers split at a semicolon, which no sender leaves unencoded, and would read fields that nobody signed.
    if request.body.contains(&b';') {
        return Err(malformed());
    }
    let mut pairs: Vec<_> = pairs(&request.body).take(MAX_PARTS + 1).collect();
    if pairs.len() > MAX_PARTS {
        return Err(malformed());
    }
    sort(&mut pairs);
    Ok(pairs)
}

fn sorted_pairs(dropped: &[String], request: &Request, empty: Empty) -> Result<Vec<u8>, Rejection> {
    let mut pairs = sorted(request)?;
    pairs.retain(|(name, _)| !dropped.iter().any(|dropped| dropped.as_bytes() == &**name));
    if pairs.windows(2).any(|two| two[0].0 == two[1].0) {
        return Err(Rejection::Ambiguous("a form field".to_owned()));
    }
    pairs.retain(|(_, value)| empty == Empty::Signed || !value.is_empty());
    let pairs = pairs.iter().map(|(name, value)| [name.as_ref(), b"=", value.as_ref()].concat());
    Ok(pairs.collect::<Vec<_>>().join(b"&".as_slice()))
}

/// Builds the text that [Twilio] signs for a form.
///
/// [Twilio]: https://www.twilio.com/docs/usage/webhooks/webhooks-security
fn sorted_form(request: &Request) -> Result<Vec<u8>, Rejection> {
    let mut pairs = sorted(request)?;
    pairs.dedup();
    Ok(pairs.iter().flat_map(|(name, value)| [name.as_ref(), value.as_ref()]).collect::<Vec<_>>().concat())
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| CRC_OF_BYTE[usize::from(crc.to_le_bytes()[0] ^ byte)] ^ (crc >> 8);
    !bytes.iter().fold(u32::MAX, step)
}

/// CRC of every byte value. The table handles one byte at a time, because any sender can make us compute the
/// sum of megabytes before anything is verified.
const CRC_OF_BYTE: [u32; 256] = {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    let mut table = [0; 256];
    let (mut place, mut byte) = (0, 0_u32);
    while place < table.len() {
        let (mut crc, mut bit) = (byte, 0);
        while bit < 8 {
            crc = (crc >> 1) ^ (POLYNOMIAL & 0_u32.wrapping_sub(crc & 1));
            bit += 1;
        }
        table[place] = crc;
        (place, byte) = (place + 1, byte + 1);
    }
    table
};

#[cfg(test)]
#[path = "parts_tests.rs"]
mod tests;
