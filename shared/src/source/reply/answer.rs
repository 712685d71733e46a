//! Answers to handshakes: fixed text, fields of the request, computed values.

use ring::{digest, hmac};

use crate::http::Response;
use crate::json;
use crate::reader::{At, Table};
use crate::secret::Secret;
use crate::source::crypto::encoding::Encoding;
use crate::source::rejection::MAX_CHALLENGE;
use crate::source::reply::ack;
#[cfg(feature = "catalog")]
use crate::source::scheme::Scheme;
use crate::source::scheme::field::{Field, View};
use crate::source::scheme::template::is_token;
use crate::source::{Rejection, Source};

/// The `status`, `headers`, `type` and `body` of a handshake.
#[derive(Clone, Debug)]
pub(crate) struct AnswerTemplate {
    status: u16,
    headers: Vec<(&'static str, Part)>,
    content_type: String,
    body: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    Literal(String),
    /// A field of the request, of bounded length; a JSON answer holds it as a JSON string.
    Field(Field),
    /// A field of the request, or a text if the request lacks it: `{FIELD??TEXT}`.
    Or(Field, String),
    /// The whole decrypted text.
    Decrypted,
    /// HMAC of a field with the hook's secret as the key: `{hex(hmac_sha256(FIELD))}` or `{base64(…)}`.
    Mac(Encoding, Field),
    /// Signature of a field, made as those of deliveries are: `{hex(sign(FIELD))}` or `{base64(…)}`.
    Signature(Encoding, Field),
    /// Hash of several values, one after the other: `{hex(sha256(FIELD,param:NAME,url))}` or `{base64(…)}`.
    Hash(Encoding, Vec<Hashed>),
    /// A parameter of the preset: `{param:NAME}`.
    Param(String),
}

/// Value among those of a hash.
#[derive(Clone, Debug)]
enum Hashed {
    /// A field of the request: letters and digits, so that nothing else can be hashed in its place.
    Field(Field),
    Param(String),
    /// The hook's public URL.
    Url,
}

/// Forms of a part that is not a text.
const PARTS: &str = "{FIELD}, {FIELD??TEXT}, {param:NAME}, {decrypted}, {hex(sign(FIELD))}, \
                     {base64(hmac_sha256(FIELD))} or {hex(sha256(FIELD,param:NAME,url))}";

/// Header fields that an answer to a handshake may set.
const HEADERS: [&str; 6] = [
    "allow",
    "webhook-allowed-origin",
    "webhook-allowed-rate",
    "x-hook-secret",
    "validation-token",
    "x-vercel-verify",
];

impl AnswerTemplate {
    pub(crate) fn read(table: &Table<'_>) -> Self {
        let status = ack::status(table);
        let body = table.strings("body").map(|at| at.value).unwrap_or_default();
        let part = |key, at: &At<&str>| {
            Part::parse(at.value).map_err(|message| table.error_at(at.offset, key, message)).ok()
        };
        let body: Vec<Part> = body.iter().filter_map(|at| part("body", at)).collect();
        let content_type = if body.is_empty() { String::new() } else { ack::content_type(table) };
        let headers = table.table("headers").map(|inner| inner.named_strings()).unwrap_or_default();
        let known = |name: &str| HEADERS.into_iter().find(|header| *header == name);
        let headers = headers.iter().filter_map(|(name, value)| {
            let header = known(name.value);
            if header.is_none() {
                table.error("headers", format!("{:?} is unknown: write {}", name.value, HEADERS.join(", ")));
            }
            header.zip(part("headers", value))
        });
        Self { status, headers: headers.collect(), content_type, body }
    }

    fn parts(&self) -> impl Iterator<Item = &Part> {
        self.body.iter().chain(self.headers.iter().map(|(_, part)| part))
    }

    /// Returns true if the answer holds a value that is computed with a secret.
    pub(crate) fn is_computed(&self) -> bool {
        self.computed().next().is_some()
    }

    /// Returns the fields whose values are computed with a secret.
    pub(crate) fn computed(&self) -> impl Iterator<Item = &Field> {
        self.parts().filter_map(|part| match part {
            Part::Mac(_, field) | Part::Signature(_, field) => Some(field),
            _ => None,
        })
    }

    /// Returns the first part that a source of this scheme can never fill, as it is written, and what it needs.
    #[cfg(feature = "catalog")]
    pub(crate) fn vain(&self, scheme: &Scheme) -> Option<(&'static str, &'static str)> {
        self.parts().find_map(|part| match part {
            Part::Signature(..) if !scheme.can_answer() => Some(("sign(…)", "secrets that sign")),
            Part::Mac(..) if !scheme.has_shared_secrets() => Some(("hmac_sha256(…)", "a shared secret")),
            Part::Decrypted if scheme.decrypt.is_none() => Some(("{decrypted}", "an encrypted event")),
            _ => None,
        })
    }

    /// Returns the names of the parameters that the answer needs.
    #[cfg(feature = "catalog")]
    pub(crate) fn params(&self) -> impl Iterator<Item = &str> {
        self.parts().flat_map(|part| match part {
            Part::Param(name) => vec![name.as_str()],
            Part::Hash(_, values) => values.iter().filter_map(Hashed::param).collect(),
            _ => Vec::new(),
        })
    }

    /// Returns true if the answer has a hash of the hook's URL.
    #[cfg(feature = "catalog")]
    pub(crate) fn needs_url(&self) -> bool {
        let is_url = |value: &Hashed| matches!(value, Hashed::Url);
        self.parts().any(|part| matches!(part, Part::Hash(_, values) if values.iter().any(is_url)))
    }

    pub(crate) fn response(
        &self,
        view: &View<'_>,
        source: &Source,
        secret: usize,
    ) -> Result<Response, Rejection> {
        let is_json = self.content_type == "application/json";
        let mut body = String::new();
        for part in &self.body {
            let value = part.value(view, source, secret)?;
            match part {
                Part::Field(_) | Part::Or(..) | Part::Decrypted if is_json => {
                    json::write_string(&mut body, &value);
                }
                _ => body.push_str(&value),
            }
        }
        let mut response = Response::new(self.status, &self.content_type, body);
        // A browser must never take the reflected value for a page.
        if !is_json {
            response = response.with("x-content-type-options", "nosniff");
        }
        for (name, part) in &self.headers {
            match part.value(view, source, secret) {
                Ok(value) if value.bytes().all(|b| (b' '..=b'~').contains(&b)) => {
                    response = response.with(name, value);
                }
                // A header field is sent only if the request holds the value for it.
                Err(Rejection::Missing(_)) => {}
                Ok(_) => return Err(Rejection::Malformed((*name).to_owned())),
                Err(rejection) => return Err(rejection),
            }
        }
        Ok(response)
    }
}

impl Hashed {
    #[cfg(feature = "catalog")]
    fn param(&self) -> Option<&str> {
        if let Self::Param(name) = self { Some(name) } else { None }
    }

    fn parse(text: &str) -> Option<Self> {
        if text == "url" {
            return Some(Self::Url);
        }
        match text.strip_prefix("param:") {
            Some(name) => Some(Self::Param(name.to_owned())),
            None => Field::parse(text).ok().map(Self::Field),
        }
    }
}

impl Part {
    fn parse(text: &str) -> Result<Self, String> {
        let inside = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or_default();
        // JSON has a name in quotes, or nothing.
        if inside.is_empty() || inside.trim_start().starts_with('"') {
            return Ok(Self::Literal(text.to_owned()));
        }
        let computed = |form, encoding| {
            let inner = inside.strip_prefix(form)?.strip_prefix('(')?.strip_suffix("))")?;
            let (how, field) = inner.split_once('(')?;
            if how == "sha256" {
                let values: Option<Vec<Hashed>> = field.split(',').map(Hashed::parse).collect();
                return values.map(|values| Self::Hash(encoding, values));
            }
            let field = Field::parse(field).ok()?;
            match how {
                "hmac_sha256" => Some(Self::Mac(encoding, field)),
                "sign" => Some(Self::Signature(encoding, field)),
                _ => None,
            }
        };
        if let Some(name) = inside.strip_prefix("param:") {
            return Ok(Self::Param(name.to_owned()));
        }
        // Before fields, because a signed field may itself be made of several.
        if let Some(computed) =
            computed("hex", Encoding::Hex).or_else(|| computed("base64", Encoding::Base64))
        {
            return Ok(computed);
        }
        if let Some((Ok(field), text)) =
            inside.split_once("??").map(|(field, text)| (Field::parse(field), text))
        {
            return Ok(Self::Or(field, text.to_owned()));
        }
        match Field::parse(inside) {
            _ if inside == "decrypted" => Ok(Self::Decrypted),
            Ok(field) => Ok(Self::Field(field)),
            Err(_) => Err(format!("{text:?} is not a part: write {PARTS}")),
        }
    }

    fn value(&self, view: &View<'_>, source: &Source, secret: usize) -> Result<String, Rejection> {
        let value = match self {
            Self::Literal(text) => return Ok(text.clone()),
            Self::Field(field) => field.read_text(view)?.into_owned(),
            Self::Or(field, text) => match field.read_text(view) {
                Err(Rejection::Missing(_)) => return Ok(text.clone()),
                value => value?.into_owned(),
            },
            Self::Decrypted => {
                let text = view.plaintext.and_then(|text| std::str::from_utf8(text).ok());
                text.ok_or(Rejection::Undecryptable)?.to_owned()
            }
            Self::Param(name) => {
                let value = source.params.get(name).and_then(Secret::expose_str);
                value.ok_or_else(|| Rejection::Missing(format!("param:{name}")))?.to_owned()
            }
            Self::Hash(encoding, values) => {
                let mut context = digest::Context::new(&digest::SHA256);
                for value in values {
                    match value {
                        Hashed::Field(field) => {
                            let value = field.read(view)?;
                            if !is_token(&value) {
                                return Err(Rejection::Malformed(field.to_string()));
                            }
                            context.update(&value);
                        }
                        Hashed::Param(name) => {
                            let value = source.params.get(name).map(Secret::expose);
                            context.update(value.ok_or_else(|| Rejection::NoParam(name.clone()))?);
                        }
                        Hashed::Url => {
                            let url = view.url.ok_or_else(|| Rejection::Missing("url".to_owned()))?;
                            context.update(url.as_bytes());
                        }
                    }
                }
                encoding.encode(context.finish().as_ref())
            }
            Self::Mac(encoding, field) | Self::Signature(encoding, field) => {
                let value = field.read(view)?;
                if !is_token(&value) {
                    return Err(Rejection::Malformed(field.to_string()));
                }
                let signed = if matches!(self, Self::Signature(..)) {
                    source.answer(&value, secret)
                } else {
                    let key = source.secrets.get(secret);
                    let key = key.map(|key| hmac::Key::new(hmac::HMAC_SHA256, key.expose()));
                    key.map(|key| hmac::sign(&key, &value).as_ref().to_vec())
                };
                encoding.encode(&signed.ok_or(Rejection::NoMatch)?)
            }
        };
        if value.len() > MAX_CHALLENGE { Err(Rejection::ChallengeTooLong) } else { Ok(value) }
    }
}

#[cfg(test)]
mod tests {
    use toml::de::DeTable;

    use super::*;
    use crate::reader::Mistakes;
    use crate::source::Settings;
    use crate::source::scheme::field::tests::request;

    #[test]
    fn what_is_decrypted_is_a_string_in_json() {
        let text = "status = 200\ntype = \"application/json\"\nbody = ['{\"a\":', \"{decrypted}\", \"}\"]";
        let (mistakes, document) = (Mistakes::new("x.toml", text), DeTable::parse(text).unwrap());
        let answer = AnswerTemplate::read(&Table::new(&mistakes, "", 0, document.get_ref()));
        let request = request("", &[], "");
        let view = View { plaintext: Some(b"\",\"b\":\""), ..View::of(&request, None) };
        let source = Source::preset("none", Settings::default()).unwrap();
        assert_eq!(answer.response(&view, &source, 0).unwrap().body, r#"{"a":"\",\"b\":\""}"#);
    }
}
