//! An event as JSON of any types: each cloud writes its own, and gateways copy what strangers send.
//!
//! `aws_lambda_events`' request types are not used: one header value that is not ASCII, or one number among
//! the texts, would lose the delivery.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// Value of an event. Numbers and booleans are texts, and an object keeps its order and its repeated keys.
#[derive(Debug, Default)]
pub(super) enum Json<'e> {
    #[default]
    Null,
    Text(Cow<'e, str>),
    List(Vec<Self>),
    Object(Vec<(Self, Self)>),
}

impl<'e> Json<'e> {
    /// Parses a whole event; `None` if it is not JSON.
    pub(super) fn parse(text: &'e str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Returns the member of that name, without taking it.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        let found = members.iter().find(|(key, _)| key.text() == Some(name)).map(|(_, value)| value);
        found.filter(|value| !matches!(value, Self::Null))
    }

    /// Takes the member of that name out. A member that occurs twice is a list without items, which is neither
    /// absent nor a text.
    pub(super) fn take(&mut self, name: &str) -> Self {
        let Self::Object(members) = self else { return Self::Null };
        let mut found = members.iter_mut().filter(|(key, _)| key.text() == Some(name));
        match (found.next(), found.next()) {
            (Some((_, value)), None) => std::mem::take(value),
            (None, _) => Self::Null,
            _ => Self::List(Vec::new()),
        }
    }

    /// Returns the text of a value that is one.
    pub(super) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// Returns the text of the member of that name.
    pub(super) fn text_of(&self, name: &str) -> Option<&str> {
        self.get(name)?.text()
    }

    /// Takes each text of a text or a list of texts, and returns false if there was anything else.
    pub(super) fn each_text(self, take: &mut dyn FnMut(Cow<'e, str>)) -> bool {
        match self {
            Self::Null => true,
            Self::Text(text) => {
                take(text);
                true
            }
            Self::List(items) => {
                let mut is_whole = true;
                for item in items {
                    is_whole &= item.each_text(take);
                }
                is_whole
            }
            Self::Object(_) => false,
        }
    }

    /// Takes each text of each member, with its name, and returns false if there was anything else.
    pub(super) fn each_field(self, take: &mut dyn FnMut(&str, Cow<'e, str>)) -> bool {
        match self {
            Self::Null => true,
            Self::Object(members) => members.into_iter().fold(true, |all, (name, value)| {
                let name = name.text().unwrap_or_default();
                value.each_text(&mut |text| take(name, text)) && all
            }),
            // Some languages write an object without members so.
            Self::List(items) => items.is_empty(),
            Self::Text(_) => false,
        }
    }

    /// Returns true if no value is inside of another. Pings that keep a function warm are so, and the events
    /// that consoles offer for a test.
    pub(super) fn is_flat(&self) -> bool {
        let is_leaf = |value: &Self| matches!(value, Self::Null | Self::Text(_));
        match self {
            Self::Object(members) => members.iter().all(|(_, value)| is_leaf(value)),
            Self::List(items) => items.iter().all(is_leaf),
            Self::Null | Self::Text(_) => true,
        }
    }
}

impl<'de> Deserialize<'de> for Json<'de> {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        de.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Json::Text(Cow::Borrowed(if value { "true" } else { "false" })))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Json::Text(value.to_string().into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Json::Text(value.to_string().into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Json::Text(value.to_string().into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Json::Text(value.to_owned().into()))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Json::Text(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Json::Object(members))
    }
}
