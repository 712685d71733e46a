//! Requests by which a sender makes sure of us, answered without a delivery.

use super::Rejection;
use super::address::{Address, Allow};
use super::field::{Field, View};
use super::grammar;
use super::kinds::position;
use super::rejection::MAX_CHALLENGE;
use super::{Params, ack};
use crate::http::Response;
use crate::json;
use crate::reader::Table;
use crate::secret::Secret;

/// One kind of handshake of a preset.
#[derive(Clone, Debug)]
pub(super) struct Handshake {
    /// Whether the sender does not sign it. Then only what `token` or the bounds allow is answered.
    pub(super) before_verify: bool,
    method: Option<String>,
    /// Fields and their values, all of which must match.
    when: Vec<(Field, String)>,
    /// Fields that must not be there.
    absent: Vec<Field>,
    token: Option<Token>,
    status: u16,
    content_type: String,
    body: Vec<Part>,
    /// The address to call, and what may be called. Never without a verified signature.
    confirm: Option<(Field, Allow)>,
}

/// A field that must hold the parameter, or one of the hook's secrets where there is no such
/// parameter or it is not set.
#[derive(Clone, Debug)]
struct Token {
    from: Field,
    param: Option<String>,
}

#[derive(Clone, Debug)]
enum Part {
    Literal(String),
    /// Bounded; in a JSON answer it is a JSON string.
    Field(Field),
}

impl Handshake {
    /// Reads an entry of `[[handshake]]`.
    pub(super) fn read(table: Table<'_>) -> Self {
        let before_verify = table.bool("before_verify").is_some_and(|at| at.value);
        let method = table.str("method").map(|at| at.value.to_owned());
        let parse = |text| Field::parse(text).map_err(|message| table.error("when", message)).ok();
        let when = table.table("when").map(|t| t.named_strings()).unwrap_or_default();
        let when = when.iter().filter_map(|(f, v)| Some((parse(f.value)?, v.value.to_owned()))).collect();
        let absent = grammar::fields(&table, "absent");
        let token = table.table("token").and_then(|inner| {
            let from = grammar::field(&inner, "from", "\"json:token\"");
            let param = inner.str("param").map(|at| at.value.to_owned());
            inner.finish();
            Some(Token { from: from?, param })
        });
        let status = ack::status(&table);
        let body = table.strings("body").map(|at| at.value).unwrap_or_default();
        let body: Vec<Part> = body.iter().map(|at| Part::parse(at.value)).collect();
        let content_type = if body.is_empty() { String::new() } else { ack::content_type(&table) };
        let confirm = table.table("confirm").and_then(|inner| {
            let url = grammar::field(&inner, "url", "\"json:SubscribeURL\"");
            let allow = Allow::read(&inner);
            inner.finish();
            url.zip(allow)
        });
        if confirm.is_some() && before_verify {
            table.error("confirm", "nothing is called that a request without a signature names");
        }
        table.finish();
        Self { before_verify, method, when, absent, token, status, content_type, body, confirm }
    }

    /// Whether the request is this handshake.
    pub(super) fn matches(&self, view: &View<'_>) -> bool {
        self.method.as_ref().is_none_or(|method| view.request.method == *method)
            && self.absent.iter().all(|field| matches!(field.read_optional(view), Ok(None)))
            && self.when.iter().all(|(f, want)| f.read(view).is_ok_and(|value| *value == *want.as_bytes()))
    }

    /// The address that must be called before it is answered.
    pub(super) fn confirmation(&self, view: &View<'_>) -> Result<Option<Address>, Rejection> {
        let Some((from, allow)) = &self.confirm else { return Ok(None) };
        let address = Address::parse(&from.read_text(view)?).filter(|address| allow.permits(address, true));
        address.map(Some).ok_or_else(|| Rejection::NotAllowed(from.to_string()))
    }

    /// The answer, if the handshake's token is right.
    pub(super) fn answer(
        &self,
        view: &View<'_>,
        params: &Params,
        secrets: &[Secret],
    ) -> Result<Response, Rejection> {
        if let Some(token) = &self.token {
            let param = token.param.as_ref().and_then(|name| params.get(name));
            let allowed = param.map_or(secrets, std::slice::from_ref);
            position(allowed, &Secret::new(token.from.read(view)?)).ok_or(Rejection::NoMatch)?;
        }
        let is_json = self.content_type == "application/json";
        let mut body = String::new();
        for part in &self.body {
            match part {
                Part::Literal(text) => body.push_str(text),
                Part::Field(field) => {
                    let value = field.read_text(view)?;
                    if value.len() > MAX_CHALLENGE {
                        return Err(Rejection::ChallengeTooLong);
                    }
                    if is_json { json::write_string(&mut body, &value) } else { body.push_str(&value) }
                }
            }
        }
        let response = Response::new(self.status, &self.content_type, body);
        // What we reflect must never be taken for a page.
        Ok(if is_json { response } else { response.with("x-content-type-options", "nosniff") })
    }
}

impl Part {
    fn parse(text: &str) -> Self {
        let field = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).map(Field::parse);
        match field {
            Some(Ok(field)) => Self::Field(field),
            _ => Self::Literal(text.to_owned()),
        }
    }
}
