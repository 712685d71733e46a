//! Tables that could accept nothing, as people are told: a function refuses every delivery by such a table itself.

use crate::http::{can_arrive, is_field_name, is_platform_header};
use crate::reader::Table;
use crate::source::scheme::certain::Certainty;
use crate::source::scheme::field::{BodyFormat, Field};
use crate::source::scheme::kinds::{Kind, Signed};
use crate::source::scheme::{Pin, Scheme};

/// Upper bound on the digits of a timestamp, in bytes.
const MAX_DIGITS: usize = 20;

impl Scheme {
    /// Checks that a request can fulfil the table.
    pub(super) fn check_vain(&self, table: &Table<'_>) {
        if let Kind::Signed(signed) = &self.kind {
            self.check_signature(signed, table);
        }
        let certain = Certainty::of_verifier(self);
        for (key, field) in self.read_by() {
            if let Some(header) = field.places().into_iter().find(|place| certain.is_nowhere(place)) {
                let message = match header {
                    Field::Header(name) => nowhere(name),
                    _ => "no request has it",
                };
                table.error(key, format!("{header}: {message}; name another field"));
            } else if key != "event" && certain.lacks(field) {
                table.error(
                    key,
                    format!(
                        "{field} is in no body that has the other fields of this table; name another field"
                    ),
                );
            }
        }
        let is_form = |field: &Field| field.format() == Some(BodyFormat::Form);
        let reads_form = |verifier: &Self| verifier.needs(&is_form);
        if self.decode.unwraps() && (reads_form(self) || self.verifiers().iter().any(reads_form)) {
            table.error(
                "unwrap",
                "takes away the form, in which other keys of this table read fields: name fields of the header or of \
                 what is unwrapped",
            );
        }
        let is_contrary = |pin: &&Pin| self.allowed(&pin.from).is_some_and(|values| values.is_empty());
        if let Some(Pin { from, .. }) = self.require.iter().find(is_contrary) {
            let message =
                format!("no value of {from} is allowed everywhere in this table; write the same values");
            table.error("require", message);
        }
    }

    /// Checks that the signed text can hold what is signed.
    fn check_signature(&self, signed: &Signed, table: &Table<'_>) {
        let Signed { signature, template, body_hash, .. } = signed;
        let from = &signature.from;
        let pair = signature.pair();
        if let Some(own) = [Some(from), pair.as_ref()].into_iter().flatten().find(|own| template.holds(own)) {
            let message = format!(
                "{own} is the signature, which no signed text can hold; sign single fields in place of it, or of what \
                 has it"
            );
            table.error("signed", message);
        }
        let hashed = body_hash.iter().map(|hash| &hash.from).chain([from]);
        if let Some(inner) =
            hashed.into_iter().find(|field| field.in_body()).filter(|_| !body_hash.is_empty())
        {
            let message = format!("{inner} is in the body, whose hash it follows from; leave body_hash out");
            table.error("body_hash", message);
        }
        if let Some(name) = template.header_names().find(|name| !can_arrive(name)) {
            table.error("signed", format!("header:{name}: {}; name another field", nowhere(name)));
        }
        if let Some(window) = &self.timestamp {
            if window.from.is(from) {
                table.error("timestamp", format!("{from} is the signature, and no time; name another field"));
            }
            if window.is_empty() {
                table.error("timestamp", "no request arrives in a window of no time; write past = \"5m\"");
            }
        }
        let is_fixed = |pin: &&Pin| pin.from.is(from) || self.timestamp.iter().any(|w| w.from.is(&pin.from));
        if let Some(pin) = self.require.iter().find(is_fixed) {
            let message = format!("{} differs in each request; leave it out", pin.from);
            table.error("require", message);
        }
    }

    /// Returns the fields that the verifier, the timestamp and the names read, each with its key.
    fn read_by(&self) -> Vec<(&'static str, &Field)> {
        let named = self.named().into_iter();
        let mut fields: Vec<(&'static str, &Field)> =
            named.flat_map(|(key, fields)| fields.iter().map(move |field| (key, field))).collect();
        match &self.kind {
            Kind::Token(token) => fields.push(("from", &token.from)),
            Kind::Jwt(jwt) => fields.push(("from", &jwt.from)),
            Kind::Signed(signed) => {
                fields.push(("signature", &signed.signature.from));
                fields.extend(signed.template.all_fields().map(|field| ("signed", field)));
                fields.extend(signed.body_hash.iter().map(|hash| ("body_hash", &hash.from)));
                fields.extend(signed.algorithm.named_by().map(|field| ("key_source", field)));
            }
            Kind::None | Kind::Network(_) | Kind::Several(_) => {}
        }
        fields.extend(self.timestamp.iter().map(|window| ("timestamp", &window.from)));
        fields.extend(self.require.iter().map(|pin| ("require", &pin.from)));
        fields.extend(self.decrypt.iter().flat_map(|d| d.fields().map(|field| ("decrypt", field))));
        fields
    }

    /// Returns true if a verifier signs only texts that a handshake may sign for anybody, as far as the table tells;
    /// `doubt` if a field of unknown form counts as one of them.
    pub(crate) fn signs_tokens(&self, doubt: bool) -> bool {
        self.verifiers().iter().any(|verifier| {
            let Kind::Signed(signed) = &verifier.kind else { return false };
            let known = |field: &Field| verifier.token_length(signed, field);
            signed.template.is_token(&|field| known(field).or(doubt.then_some(1)))
        })
    }

    /// Returns the most bytes that a field of a token's form has; `None` if its form is unknown.
    fn token_length(&self, signed: &Signed, field: &Field) -> Option<usize> {
        let is_time = self.timestamp.iter().any(|window| window.has_digits() && window.from.is(field));
        let hash = signed.body_hash.iter().find(|hash| hash.from.is(field));
        let hash = hash.map(super::body_hash::BodyHash::length);
        let values = || {
            let values = self.allowed(field)?;
            let are_tokens = values.iter().all(|value| super::template::is_token(value.as_bytes()));
            values.iter().map(|value| value.len()).max().filter(|_| are_tokens)
        };
        is_time.then_some(MAX_DIGITS).or(hash).or_else(values)
    }
}

/// Describes why no request has a header field of this name.
fn nowhere(name: &str) -> &'static str {
    if !is_field_name(name) {
        "no header field can have this name"
    } else if is_platform_header(name) {
        "such fields are a platform's, and are removed from every request"
    } else {
        "it is removed with the compression"
    }
}
