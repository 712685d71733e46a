//! Placeholders in topics, keys and tags: `{event}`, `{id}`, `{hook}`, `{header:Name}`, `{json:a.b}`.
//!
//! A placeholder's value comes from the request and is often not covered by the signature, so each place
//! has a rule for its values. A value that breaks the rule is refused, never cut or cleaned up.

use std::borrow::Cow;

use crate::delivery::Delivery;
use crate::json;
use crate::source;

/// Text with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Value(Placeholder),
}

/// Reference to a value of the delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placeholder {
    /// Name of the event: `{event}`.
    Event,
    /// Id of the delivery: `{id}`.
    Id,
    /// Name of the hook: `{hook}`.
    Hook,
    /// Value of a header field that occurs once: `{header:Name}`.
    Header(String),
    /// Value at a path of a JSON body: `{json:a.b.0}`.
    Json(String),
}

/// Syntax error in a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Brace without its partner.
    #[error("a brace is not closed: placeholders are written {{event}}")]
    Brace,
    /// Unknown placeholder, or one without its argument.
    #[error(
        "unknown placeholder {{{0}}}: write {{event}}, {{id}}, {{hook}}, {{header:Name}} or {{json:a.b}}"
    )]
    Unknown(String),
    /// Header with a credential, which is never kept.
    #[error("{{header:{0}}} is a credential and never leaves the function")]
    Credential(String),
    /// Empty template.
    #[error("is empty")]
    Empty,
}

/// Destination of a rendered text, which decides the values that its placeholders may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Topic: each value must match `[A-Za-z0-9_-]{1,64}`, because the signature often does not cover the
    /// value, which must not lead to a topic that is not configured.
    Topic,
    /// Tag: no value may be empty or have a blank, a `|` or a control character, so that one tag stays one
    /// tag.
    Tag,
    /// Key: any value that is not empty. All characters but letters, digits and `-._~:` are percent-encoded,
    /// so that one key stays one key.
    Key,
}

impl Place {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Tag => "tag",
            Self::Key => "key",
        }
    }

    fn admit(self, value: &str) -> Option<Cow<'_, str>> {
        match self {
            Self::Topic => {
                let fits = (1..=64).contains(&value.len())
                    && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
                fits.then_some(Cow::Borrowed(value))
            }
            Self::Tag => {
                let fits = !value.is_empty()
                    && !value.chars().any(|c| c.is_whitespace() || c.is_control() || c == '|');
                fits.then_some(Cow::Borrowed(value))
            }
            Self::Key => {
                (!value.is_empty()).then(|| percent_encoding::utf8_percent_encode(value, KEY_ESCAPES).into())
            }
        }
    }
}

const KEY_ESCAPES: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

/// Mismatch of a delivery and a template. It never holds the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// Value that the delivery does not have.
    #[error("{place}: the delivery has no {placeholder}")]
    Missing {
        /// Place of the template: `topic`, `key` or `tag`.
        place: &'static str,
        /// Placeholder as it is written in the template.
        placeholder: String,
    },
    /// Value that the place does not take.
    #[error("{place}: the value of {placeholder} does not fit")]
    Unfit {
        /// Place that refuses the value: `topic`, `key` or `tag`.
        place: &'static str,
        /// Placeholder of the refused value, as it is written in the template.
        placeholder: String,
    },
}

impl Template {
    /// Parses the text of a template.
    ///
    /// ```
    /// use hookmq_shared::message::{Placeholder, Template, TemplateError};
    ///
    /// let template = Template::parse("tenant/webhooks/orders-{event}")?;
    /// assert_eq!(template.placeholders().collect::<Vec<_>>(), [&Placeholder::Event]);
    /// assert_eq!(template.outline("created"), "tenant/webhooks/orders-created");
    ///
    /// assert_eq!(Template::parse("orders-{event"), Err(TemplateError::Brace));
    /// let credential = Template::parse("orders-{header:Authorization}");
    /// assert_eq!(credential, Err(TemplateError::Credential("Authorization".to_owned())));
    /// # Ok::<(), TemplateError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            match rest.find(['{', '}']) {
                Some(0) => {
                    let (name, after) = rest
                        .strip_prefix('{')
                        .and_then(|inner| inner.split_once('}'))
                        .ok_or(TemplateError::Brace)?;
                    parts.push(Part::Value(Placeholder::parse(name)?));
                    rest = after;
                }
                at => {
                    let (literal, after) = rest.split_at(at.unwrap_or(rest.len()));
                    parts.push(Part::Literal(literal.to_owned()));
                    rest = after;
                }
            }
        }
        if parts.is_empty() { Err(TemplateError::Empty) } else { Ok(Self { parts }) }
    }

    /// Returns the template's placeholders, in their order.
    pub fn placeholders(&self) -> impl Iterator<Item = &Placeholder> {
        self.parts.iter().filter_map(|p| match p {
            Part::Value(v) => Some(v),
            Part::Literal(_) => None,
        })
    }

    /// Returns the text with every placeholder replaced by `stand_in`, to check its shape before there is a
    /// delivery.
    pub fn outline(&self, stand_in: &str) -> String {
        self.parts
            .iter()
            .map(|p| match p {
                Part::Literal(text) => text.as_str(),
                Part::Value(_) => stand_in,
            })
            .collect()
    }

    /// Builds the text for a place, with the delivery's values instead of the placeholders.
    pub fn render(&self, delivery: &Delivery, place: Place) -> Result<String, RenderError> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Value(placeholder) => {
                    let named = || (place.as_str(), placeholder.to_string());
                    let value = placeholder.of(delivery).ok_or_else(|| {
                        let (place, placeholder) = named();
                        RenderError::Missing { place, placeholder }
                    })?;
                    text.push_str(&place.admit(&value).ok_or_else(|| {
                        let (place, placeholder) = named();
                        RenderError::Unfit { place, placeholder }
                    })?);
                }
            }
        }
        Ok(text)
    }
}

impl Placeholder {
    fn parse(name: &str) -> Result<Self, TemplateError> {
        match name.split_once(':') {
            None if name == "event" => Ok(Self::Event),
            None if name == "id" => Ok(Self::Id),
            None if name == "hook" => Ok(Self::Hook),
            Some(("header", header)) if source::is_credential_header(header) => {
                Err(TemplateError::Credential(header.to_owned()))
            }
            Some(("header", header)) if !header.is_empty() => Ok(Self::Header(header.to_owned())),
            Some(("json", path)) if !path.is_empty() => Ok(Self::Json(path.to_owned())),
            _ => Err(TemplateError::Unknown(name.to_owned())),
        }
    }

    fn of<'d>(&self, delivery: &'d Delivery) -> Option<Cow<'d, str>> {
        match self {
            Self::Event => delivery.event.as_deref().map(Cow::Borrowed),
            Self::Id => Some(Cow::Borrowed(&delivery.id)),
            Self::Hook => Some(Cow::Borrowed(&delivery.hook)),
            Self::Header(name) => {
                let mut values = delivery.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
                let (_, value) = values.next()?;
                // With two fields of one name, it is unknown which of them the template means.
                values.next().is_none().then_some(Cow::Borrowed(value.as_str()))
            }
            Self::Json(path) => json::text(&delivery.body, path).ok().flatten(),
        }
    }
}

impl std::fmt::Display for Placeholder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Event => f.write_str("{event}"),
            Self::Id => f.write_str("{id}"),
            Self::Hook => f.write_str("{hook}"),
            Self::Header(name) => write!(f, "{{header:{name}}}"),
            Self::Json(path) => write!(f, "{{json:{path}}}"),
        }
    }
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
