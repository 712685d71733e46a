//! Answers that a sender wants for its deliveries.

use crate::http::Response;
use crate::json;
use crate::problem::Problem;
use crate::reader::{At, Strings, Table};
use crate::source::scheme::field::Field;
use crate::source::scheme::words;

/// Answer to deliveries, as the key `ack` configures it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ack {
    stored: Stored,
    /// Member of the JSON body that tells messages apart which want other answers, and those answers' statuses with
    /// its values.
    cases: Option<AckCases>,
    /// True if the sender wants 403 instead of 401 for a request that is not authentic.
    forbids: bool,
}

/// Member of a JSON body, and the statuses of answers, each with the member's values that ask for it.
type AckCases = (String, Vec<(u16, Vec<String>)>);

/// Answer to a delivery that is stored or dropped on purpose.
#[derive(Clone, Debug, Default)]
enum Stored {
    /// Documented body (see `docs/configuration.md`): `{"status":"accepted","id":"…"}`.
    #[default]
    Contract,
    /// The response that the sender asks for, the same for every delivery.
    Fixed(Response),
    /// A text that is encrypted as events are.
    Encrypted(String),
}

impl Ack {
    /// Reads `ack = { status = 204 }`, `ack = { status = 200, type = "text/plain", body = "success" }` or
    /// `ack = { encrypted = "success" }`; each form may add `refuse = 403`.
    pub(crate) fn read(table: Table<'_>) -> Self {
        let refuse = table.number("refuse").and_then(|at| u16::try_from(at.value).ok());
        if table.has("refuse") && refuse != Some(403) {
            table.error("refuse", "write refuse = 403, or leave it out for 401");
        }
        let stored = if let Some(at) = table.str("encrypted") {
            Stored::Encrypted(at.value.to_owned())
        } else {
            let text = |key| table.str(key).map_or("", |at| at.value).to_owned();
            Stored::Fixed(Response::new(status(&table), &text("type"), text("body")))
        };
        let cases = table.has("by").then(|| Self::cases(&table)).flatten();
        table.finish();
        Self { stored, cases, forbids: refuse.is_some() }
    }

    /// Reads `by = "json:type", cases = { "202" = ["2", "3"] }`: answers without a body, each with the values that
    /// ask for it.
    fn cases(table: &Table<'_>) -> Option<AckCases> {
        let Field::Json(path) = words::field(table, "by", "\"json:type\"")? else {
            table.error("by", "is for members of a JSON body: write by = \"json:type\"");
            return None;
        };
        let lists = table.table("cases").map(|cases| cases.named_lists()).unwrap_or_default();
        let read = |(status, values): &(At<&str>, Strings<'_>)| {
            let status = status.value.parse().ok().filter(|status| (200..300).contains(status));
            if status.is_none() {
                table.error(
                    "cases",
                    "a delivery is answered by a success: write cases = { \"202\" = [\"2\"] }",
                );
            }
            Some((status?, values.value.iter().map(|at| at.value.to_owned()).collect()))
        };
        Some((path, lists.iter().filter_map(read).collect()))
    }

    pub(crate) const fn status(&self) -> u16 {
        match &self.stored {
            Stored::Fixed(response) => response.status,
            Stored::Contract | Stored::Encrypted(_) => 200,
        }
    }

    /// Returns the problem of a request that is not authentic: [`Problem::Unauthorized`] by default.
    pub(crate) const fn refusal(&self) -> Problem {
        if self.forbids { Problem::Forbidden } else { Problem::Unauthorized }
    }

    /// Returns the text of an encrypted answer, or `None` if answers are sent in the clear.
    pub(crate) fn encrypted(&self) -> Option<&str> {
        match &self.stored {
            Stored::Encrypted(text) => Some(text),
            Stored::Contract | Stored::Fixed(_) => None,
        }
    }

    /// Builds the answer to the delivery with this body, if its sender wants another than the usual one.
    pub(crate) fn case(&self, body: &[u8]) -> Option<Response> {
        let (path, cases) = self.cases.as_ref()?;
        let value = json::text(body, path).ok()??;
        let (status, _) = cases.iter().find(|(_, known)| known.iter().any(|known| **known == *value))?;
        Some(Response::new(*status, "", ""))
    }

    pub(crate) fn response(&self, status: &str, id: &str) -> Response {
        match &self.stored {
            Stored::Fixed(response) => response.clone(),
            Stored::Contract | Stored::Encrypted(_) => {
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

/// Reads the key `status`, which must be 2xx because the answer says that the delivery is safe.
pub(crate) fn status(table: &Table<'_>) -> u16 {
    let status = table.number("status").and_then(|at| u16::try_from(at.value).ok());
    status.filter(|status| (200..300).contains(status)).unwrap_or_else(|| {
        table.error("status", "missing or not a success: write status = 200");
        200
    })
}

/// Reads the key `type`, which an answer with a body must have.
pub(crate) fn content_type(table: &Table<'_>) -> String {
    words::text(table, "type", "\"application/json\"").unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use toml::de::DeTable;

    use super::*;
    use crate::reader::Mistakes;

    fn read(text: &str) -> (Ack, Vec<String>) {
        let mistakes = Mistakes::new("x.toml", text);
        let document = DeTable::parse(text).unwrap();
        let ack = Ack::read(Table::new(&mistakes, "ack", 0, document.get_ref()));
        (ack, mistakes.into_sorted().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_is_not_authentic_has_one_of_two_statuses() {
        assert_eq!(Ack::default().refusal().status(), 401);
        for (text, want) in [("status = 204", 401), ("status = 204\nrefuse = 403", 403)] {
            let (ack, mistakes) = read(text);
            assert_eq!((ack.refusal().status(), ack.status(), mistakes.len()), (want, 204, 0));
        }
        for wrong in ["401", "404", "200", "503", "65939"] {
            let (_, mistakes) = read(&format!("encrypted = \"success\"\nrefuse = {wrong}"));
            assert!(mistakes[0].contains("write refuse = 403"), "{mistakes:?}");
        }
    }
}
