//! Fields that every delivery has, and fields that none can have.

use std::fmt;

use crate::http::can_arrive;
use crate::source::scheme::Scheme;
use crate::source::scheme::field::{Field, Joint};
use crate::source::scheme::kinds::{Kind, Rule, Several};

/// Facts that hold for every delivery which a scheme accepts, at the step that reads it.
#[derive(Clone, Copy)]
pub(crate) struct Certainty<'s> {
    pub(crate) scheme: &'s Scheme,
    /// True if a delivery may be a GET, which has no body.
    pub(crate) delivers_by_get: bool,
    pub(crate) reader: Reader,
}

/// Part of a table that reads fields.
#[derive(Clone, Copy)]
pub(crate) enum Reader {
    /// The verifier, and the names of a delivery. What needs a key of the table is checked with that key.
    Verifier,
    /// A handshake, which reads no single item: the pairs of the signature and the event, if they are known then.
    Handshake { has_pairs: bool, has_plaintext: bool },
}

/// A condition of a handshake.
#[derive(Clone, Copy)]
pub(crate) enum Condition<'h> {
    /// The field has this value.
    Is(&'h Field, &'h str),
    Has(&'h Field),
    Lacks(&'h Field),
}

impl Condition<'_> {
    /// Returns the key of the condition in the table of its handshake.
    pub(crate) const fn key(&self) -> &'static str {
        match self {
            Self::Is(..) => "when",
            Self::Has(_) => "present",
            Self::Lacks(_) => "absent",
        }
    }
}

impl fmt::Display for Condition<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(field, value) => write!(f, "{field} = {value:?}"),
            Self::Has(field) | Self::Lacks(field) => write!(f, "{} = \"{field}\"", self.key()),
        }
    }
}

impl<'s> Certainty<'s> {
    /// Builds the facts that the verifier and the names of a delivery need.
    pub(crate) const fn of_verifier(scheme: &'s Scheme) -> Self {
        Self { scheme, delivers_by_get: true, reader: Reader::Verifier }
    }

    /// Returns true if every delivery fulfils the condition.
    pub(crate) fn holds(&self, condition: &Condition<'_>) -> bool {
        match condition {
            Condition::Is(field, value) => self.value(field).is_some_and(|known| known == *value),
            Condition::Has(field) => self.has(field),
            Condition::Lacks(field) => self.lacks(field),
        }
    }

    /// Returns true if every delivery fulfils one of the conditions: a field is there or not, or each of the values
    /// that it may have is named.
    pub(crate) fn is_one_of(&self, conditions: &[Condition<'_>]) -> bool {
        let lacks = |is: &dyn Fn(&Field) -> bool| {
            conditions.iter().any(|other| matches!(other, Condition::Lacks(field) if is(field)))
        };
        let is_named = |field: &Field, value: &str| {
            conditions
                .iter()
                .any(|other| matches!(other, Condition::Is(named, want) if named.is(field) && *want == value))
        };
        conditions.iter().any(|condition| match condition {
            Condition::Has(field) => lacks(&|missing| missing.implies(field)),
            Condition::Is(field, _) => {
                let are_named = |values: Vec<&str>| values.into_iter().all(|value| is_named(field, value));
                self.scheme.allowed(field).is_some_and(are_named)
                    && (self.has(field) || lacks(&|missing| missing.is(field)))
            }
            Condition::Lacks(_) => false,
        })
    }

    /// Returns true if every delivery has a value in this place.
    pub(crate) fn has(&self, field: &Field) -> bool {
        let is_needed = || self.scheme.needs(&|needed| needed.implies(field));
        match field {
            Field::Body => !self.delivers_by_get,
            Field::Either(fields) => fields.iter().any(|field| self.has(field)) || is_needed(),
            Field::Listed(list) => self.has(list),
            Field::Equal(field, value) => self.value(field).is_some_and(|known| known == *value),
            Field::Joined(joints) => Joint::fields(joints).all(|field| self.has(field)),
            _ => is_needed(),
        }
    }

    /// Returns true if no delivery has a value in this place.
    pub(crate) fn lacks(&self, field: &Field) -> bool {
        // A body that is read as a whole, as a token is, has no fields.
        let has_other_format = |format| {
            let is_other = |needed: &Field| {
                matches!(needed, Field::Body) || needed.format().is_some_and(|other| other != format)
            };
            self.scheme.needs(&is_other)
        };
        self.is_nowhere(field)
            || field.format().is_some_and(has_other_format)
            || match field {
                Field::Form(_) => self.scheme.decode.unwraps(),
                Field::Either(fields) => fields.iter().all(|field| self.lacks(field)),
                Field::Inside(outer, _) | Field::Listed(outer) => self.lacks(outer),
                Field::Equal(field, value) => {
                    let is_allowed = |values: Vec<&str>| values.contains(&value.as_str());
                    self.lacks(field) || !self.scheme.allowed(field).is_none_or(is_allowed)
                }
                Field::Joined(joints) => Joint::fields(joints).any(|field| self.lacks(field)),
                _ => false,
            }
    }

    /// Returns true if no request at all can have a value in this place.
    pub(crate) fn is_nowhere(&self, field: &Field) -> bool {
        match field {
            Field::Header(name) => {
                !can_arrive(name)
                    || self.scheme.decode.inflates() && name.eq_ignore_ascii_case("content-encoding")
            }
            Field::SigKv(_) => matches!(self.reader, Reader::Handshake { has_pairs: false, .. }),
            Field::Item(_) => matches!(self.reader, Reader::Handshake { .. }),
            Field::Decrypted(_) => matches!(self.reader, Reader::Handshake { has_plaintext: false, .. }),
            Field::Either(fields) => fields.iter().all(|field| self.is_nowhere(field)),
            Field::Inside(outer, _) | Field::Listed(outer) => self.is_nowhere(outer),
            Field::Equal(field, value) => value.is_empty() || self.is_nowhere(field),
            Field::Joined(joints) => Joint::fields(joints).any(|field| self.is_nowhere(field)),
            Field::Query(_) | Field::Json(_) | Field::Xml(_) | Field::Form(_) | Field::Body => false,
        }
    }

    /// Returns the value that every delivery has in this place, if it is the same in all.
    pub(crate) fn value(&self, field: &Field) -> Option<String> {
        match field {
            Field::Either(fields) => self.value(fields.iter().find(|field| !self.lacks(field))?),
            Field::Listed(list) => Some(self.value(list)?.split(',').next()?.to_owned()),
            Field::Equal(_, value) => self.has(field).then(|| value.clone()),
            Field::Joined(joints) => {
                let text = |joint: &Joint| match joint {
                    Joint::Literal(text) => Some(text.clone()),
                    Joint::Field(field) => self.value(field),
                };
                joints.iter().map(text).collect()
            }
            _ => match self.scheme.allowed(field)?.as_slice() {
                [first, more @ ..] if more.iter().all(|value| value == first) => {
                    self.has(field).then(|| (*first).to_owned())
                }
                _ => None,
            },
        }
    }
}

impl Scheme {
    /// Returns true if `is` holds for a field that every accepted request has. A field without a name stands for
    /// the format of the body.
    pub(crate) fn needs(&self, is: &dyn Fn(&Field) -> bool) -> bool {
        let is_read = match &self.kind {
            Kind::Token(token) => is(&token.from),
            Kind::Jwt(jwt) => is(&jwt.from) || jwt.claimed().any(|(field, _)| is(&field)),
            Kind::Signed(signed) => {
                let key = signed.algorithm.named_by();
                is(&signed.signature.from)
                    || signed.signature.pair().is_some_and(|pair| is(&pair))
                    || signed.template.needs(is)
                    || signed.body_hash.iter().any(|hash| is(&hash.from))
                    || key.is_some_and(is)
            }
            Kind::Several(Several { rule: Rule::All, members }) => {
                members.iter().any(|member| member.needs(is))
            }
            Kind::Several(Several { rule: Rule::Any, members }) => {
                members.iter().all(|member| member.needs(is))
            }
            Kind::None | Kind::Network(_) => false,
        };
        is_read
            || self.timestamp.iter().any(|window| is(&window.from))
            || self.require.iter().any(|pin| !pin.is_optional && is(&pin.from))
            || self.decrypt.iter().any(|decrypt| !decrypt.optional && decrypt.fields().any(is))
            || self.items.is_some() && is(&Field::Json(String::new()))
    }

    /// Returns the values that accepted requests may have in this place; `None` if any may be there.
    pub(crate) fn allowed(&self, field: &Field) -> Option<Vec<&str>> {
        let mut lists: Vec<Vec<&str>> = Vec::new();
        let pins = self.require.iter().filter(|pin| pin.from.is(field));
        lists.extend(pins.map(|pin| pin.values.iter().map(String::as_str).collect()));
        match &self.kind {
            Kind::Signed(signed) => lists.extend(signed.template.allowed(field)),
            Kind::Jwt(jwt) => {
                let claims = jwt.claimed().filter(|(claim, _)| claim.is(field));
                lists.extend(claims.map(|(_, values)| values.iter().map(String::as_str).collect()));
            }
            Kind::Several(Several { rule: Rule::All, members }) => {
                lists.extend(members.iter().filter_map(|member| member.allowed(field)));
            }
            Kind::Several(Several { rule: Rule::Any, members }) => {
                let all: Option<Vec<_>> = members.iter().map(|member| member.allowed(field)).collect();
                lists.extend(all.map(|lists| lists.concat()));
            }
            Kind::None | Kind::Token(_) | Kind::Network(_) => {}
        }
        let others = lists.split_off(lists.len().min(1));
        let mut first = lists.pop()?;
        first.retain(|value| !value.is_empty() && others.iter().all(|list| list.contains(value)));
        Some(first)
    }
}
