//! How a sender wants to be answered.

use super::grammar;
use crate::http::Response;
use crate::json;
use crate::reader::Table;

/// The answer to a delivery that is stored, or dropped on purpose.
#[derive(Clone, Debug, Default)]
pub(super) enum Ack {
    /// `{"status":"accepted","id":"…"}`
    #[default]
    Contract,
    /// What the sender asks for, whatever was delivered.
    Fixed(Response),
    /// A text, encrypted as events are.
    Encrypted(String),
}

impl Ack {
    /// Reads `ack = { status = 204 }`, `ack = { status = 200, type = "text/plain", body = "success" }` or
    /// `ack = { encrypted = "success" }`.
    pub(super) fn read(table: Table<'_>) -> Self {
        if let Some(at) = table.str("encrypted") {
            table.finish();
            return Self::Encrypted(at.value.to_owned());
        }
        let status = status(&table);
        let (content_type, body) = (table.str("type"), table.str("body"));
        table.finish();
        let text = |at: Option<crate::reader::At<&str>>| at.map_or("", |at| at.value).to_owned();
        Self::Fixed(Response::new(status, &text(content_type), text(body)))
    }

    pub(super) const fn status(&self) -> u16 {
        match self {
            Self::Fixed(response) => response.status,
            Self::Contract | Self::Encrypted(_) => 200,
        }
    }

    /// The text to be encrypted, if it is.
    pub(super) fn encrypted(&self) -> Option<&str> {
        match self {
            Self::Encrypted(text) => Some(text),
            Self::Contract | Self::Fixed(_) => None,
        }
    }

    pub(super) fn response(&self, status: &str, id: &str) -> Response {
        match self {
            Self::Fixed(response) => response.clone(),
            Self::Contract | Self::Encrypted(_) => {
                let mut body = r#"{"status":"#.to_owned();
                json::write_string(&mut body, status);
                body.push_str(r#","id":"#);
                json::write_string(&mut body, id);
                body.push('}');
                Response::new(200, "application/json", body)
            }
        }
    }
}

/// The key `status`: 2xx, because the answer says that the delivery is safe.
pub(super) fn status(table: &Table<'_>) -> u16 {
    let status = table.number("status").and_then(|at| u16::try_from(at.value).ok());
    status.filter(|status| (200..300).contains(status)).unwrap_or_else(|| {
        table.error("status", "missing or no success: write status = 200");
        200
    })
}

/// The key `type`, where the answer has a body.
pub(super) fn content_type(table: &Table<'_>) -> String {
    grammar::text(table, "type", "\"application/json\"").unwrap_or_default().to_owned()
}
