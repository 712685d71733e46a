//! Grammar of the `[verify]` table, in which every preset and every hook's own source is written.

pub(crate) mod body_hash;
pub(crate) mod certain;
mod coverage;
pub(crate) mod credential;
pub(crate) mod decode;
pub(crate) mod decrypt;
pub(crate) mod field;
pub(crate) mod form;
pub(crate) mod keep;
pub(crate) mod kinds;
pub(crate) mod mask;
mod multipart;
pub(crate) mod parts;
mod presence;
pub(crate) mod proof;
pub(crate) mod signature;
pub(crate) mod template;
#[cfg(feature = "catalog")]
mod vain;
pub(crate) mod window;
pub(crate) mod words;

use std::time::Duration;

use self::words::{bind, field, fields, one_of, param};
use crate::delivery::Coverage;
use crate::json;
use crate::reader::Table;
use crate::secret::Secret;
use crate::source::scheme::certain::Certainty;
use crate::source::scheme::decode::Decode;
use crate::source::scheme::decrypt::Decrypt;
use crate::source::scheme::field::{Field, View};
use crate::source::scheme::kinds::{Algorithm, KeyError, Kind, WORDS, Word};
use crate::source::scheme::window::Window;
use crate::source::{Param, Params, Rejection};

/// A parsed `[verify]` table.
#[derive(Clone, Debug)]
pub(crate) struct Scheme {
    pub(crate) kind: Kind,
    pub(crate) timestamp: Option<Window>,
    pub(crate) require: Vec<Pin>,
    pub(crate) decrypt: Option<Decrypt>,
    /// Array in the body, each item of which is verified by itself.
    pub(crate) items: Option<Field>,
    /// Content that is verified and forwarded, if it is not the body as received.
    pub(crate) decode: Decode,
    /// Numbers of the hook's secrets that this verifier takes, if it is one of several.
    pub(crate) own_secrets: Option<Vec<usize>>,
    /// Number of the hook's secret behind each key, in the order of the keys.
    keys: Vec<usize>,
    /// Places of the delivery's id; here and in `event` and `subject` the first that is present counts.
    pub(crate) id: Vec<Field>,
    pub(crate) event: Vec<Field>,
    pub(crate) subject: Vec<Field>,
}

const ITEMS: &str = "\"json:items\"";

/// A field whose value is set by configuration, so that no message chooses its own algorithm or key.
#[derive(Clone, Debug)]
pub(crate) struct Pin {
    pub(crate) from: Field,
    pub(crate) values: Vec<String>,
    /// True if a request without the field counts as one with an allowed value.
    is_optional: bool,
    /// Advice for the operator about any other value.
    hint: Option<String>,
}

impl Scheme {
    /// Reads a whole table. Returns `None` if anything in it is wrong; the table's mistakes then say what.
    pub(crate) fn read(table: Table<'_>) -> Option<Self> {
        Self::read_as(table, false)
    }

    /// Reads one of several verifiers. A member takes no id, event or subject: only the whole source names a
    /// delivery.
    pub(crate) fn read_member(table: Table<'_>) -> Option<Self> {
        Self::read_as(table, true)
    }

    fn read_as(table: Table<'_>, is_member: bool) -> Option<Self> {
        let mistakes = table.mistakes();
        let before = mistakes.errors();
        // A table without a valid kind has no known keys either; reporting the kind alone is enough.
        let words: Vec<_> = WORDS.into_iter().filter(|(_, word)| !is_member || word.is_single()).collect();
        let word = one_of(&table, "kind", &words)?;
        let kind = Kind::read(word, &table);
        let timestamp = if word.is_signed() { table.table("timestamp").and_then(Window::read) } else { None };
        let decrypts = word.is_signed() && !is_member;
        let decrypt = if decrypts { table.table("decrypt").and_then(Decrypt::read) } else { None };
        let takes_items = word.is_signed() || word == Word::Token;
        let items = if takes_items && table.has("items") { field(&table, "items", ITEMS) } else { None };
        let require = table.tables("require").unwrap_or_default().into_iter().map(Pin::read).collect();
        let decode = if is_member { Decode::default() } else { Decode::read(&table) };
        let own_secrets = if is_member { table.numbers("secrets").map(|at| at.value) } else { None };
        let names = |key| if is_member { Vec::new() } else { fields(&table, key) };
        let (id, event, subject) = (names("id"), names("event"), names("subject"));
        let keys = Vec::new();
        let scheme = kind.zip(require).map(|(kind, require)| Self {
            kind,
            timestamp,
            require,
            decrypt,
            items,
            decode,
            own_secrets,
            keys,
            id,
            event,
            subject,
        });
        if let Some(scheme) = &scheme {
            scheme.check(&table);
        }
        table.finish();
        scheme.filter(|_| mistakes.errors() == before)
    }

    /// Returns the names of the parameters that templates and pins need, written `{param:NAME}`.
    pub(crate) fn params(&self) -> Vec<String> {
        let pinned = self.require.iter().flat_map(|pin| &pin.values).filter_map(|value| param(value));
        let mut names: Vec<String> = pinned.map(str::to_owned).collect();
        match &self.kind {
            Kind::Signed(signed) => {
                names.extend(signed.template.params().map(str::to_owned));
                match &signed.algorithm {
                    Algorithm::Rsa(rsa) => names.extend(rsa.params().map(str::to_owned)),
                    Algorithm::Ecdsa(ecdsa) => names.extend(ecdsa.param().map(str::to_owned)),
                    _ => {}
                }
            }
            Kind::Jwt(jwt) => names.extend(jwt.params().map(str::to_owned)),
            Kind::Several(several) => names.extend(several.members.iter().flat_map(Self::params)),
            _ => {}
        }
        names
    }

    /// Returns the parameters that a hook's own table needs beside secrets: of decryption, and of fetched keys.
    pub(crate) fn own_params(&self) -> Vec<Param> {
        let mut params = self.decrypt.as_ref().map(Decrypt::params).unwrap_or_default();
        for verifier in self.verifiers() {
            if let Kind::Signed(signed) = &verifier.kind
                && let Algorithm::Ecdsa(ecdsa) = &signed.algorithm
            {
                params.extend(ecdsa.credentials());
            }
        }
        params
    }

    /// Replaces the parameters by their values.
    pub(crate) fn bind(&mut self, params: &Params) {
        for value in self.require.iter_mut().flat_map(|pin| &mut pin.values) {
            bind(value, params);
        }
        match &mut self.kind {
            Kind::Signed(signed) => {
                signed.template.bind(params);
                match &mut signed.algorithm {
                    Algorithm::Rsa(rsa) => rsa.bind(params),
                    Algorithm::Ecdsa(ecdsa) => ecdsa.bind(params),
                    _ => {}
                }
            }
            Kind::Jwt(jwt) => jwt.bind(params),
            Kind::Several(several) => several.members.iter_mut().for_each(|member| member.bind(params)),
            _ => {}
        }
    }

    /// Accepts requests up to this age; false if no verifier has a timestamp.
    pub(crate) fn widen(&mut self, window: Duration) -> bool {
        let mut is_widened = false;
        if let Some(timestamp) = &mut self.timestamp {
            is_widened |= timestamp.widen(window);
        }
        match &mut self.kind {
            Kind::Jwt(jwt) => {
                jwt.widen(window);
                is_widened = true;
            }
            Kind::Several(several) => {
                for member in &mut several.members {
                    is_widened |= member.widen(window);
                }
            }
            _ => {}
        }
        is_widened
    }

    /// Returns the members of a set of verifiers, or this verifier alone.
    pub(crate) fn verifiers(&self) -> &[Self] {
        match &self.kind {
            Kind::Several(several) => &several.members,
            _ => std::slice::from_ref(self),
        }
    }

    /// Returns the field in which this single verifier finds a token.
    const fn token_field(&self) -> Option<&Field> {
        match &self.kind {
            Kind::Token(token) => Some(&token.from),
            Kind::Jwt(jwt) => Some(&jwt.from),
            _ => None,
        }
    }

    /// Returns the fields in which the verifiers find a token that somebody else could use. A JWT that covers
    /// its body is left out: like a signature, it is useless for any other request.
    pub(crate) fn token_fields(&self) -> impl Iterator<Item = &Field> {
        let is_bound = |verifier: &&Self| matches!(&verifier.kind, Kind::Jwt(jwt) if jwt.covers_body());
        self.verifiers().iter().filter(move |verifier| !is_bound(verifier)).filter_map(Self::token_field)
    }

    /// Returns true if the body is a token, whose claims are the event.
    pub(crate) fn has_claims(&self) -> bool {
        self.verifiers().iter().any(|verifier| matches!(&verifier.kind, Kind::Jwt(jwt) if jwt.is_body()))
    }

    /// Returns true if the secrets can sign an answer as deliveries are signed.
    pub(crate) const fn can_answer(&self) -> bool {
        match &self.kind {
            Kind::Signed(signed) => signed.algorithm.can_answer(),
            _ => false,
        }
    }

    /// Returns true if the secrets are known to the sender too, so that both can compute with them.
    #[cfg(feature = "catalog")]
    pub(crate) fn has_shared_secrets(&self) -> bool {
        let has = |verifier: &Self| verifier.kind.takes_secrets() && !verifier.kind.takes_public_keys();
        self.verifiers().iter().any(has)
    }

    /// Returns the keys `id`, `event` and `subject`, each with its fields.
    pub(crate) fn named(&self) -> [(&'static str, &[Field]); 3] {
        [("id", &self.id), ("event", &self.event), ("subject", &self.subject)]
    }

    /// Makes keys of the hook's secret with this number. Returns true if a verifier takes the secret.
    pub(crate) fn add_key(&mut self, number: usize, secret: &Secret) -> Result<bool, KeyError> {
        if let Kind::Several(several) = &mut self.kind {
            // Index 0: taken as a secret; index 1: taken as a public key.
            let mut is_taken = [false; 2];
            for member in &mut several.members {
                is_taken[usize::from(member.kind.takes_public_keys())] |= member.add_key(number, secret)?;
            }
            if is_taken == [true; 2] {
                let message =
                    "is the public key of one verifier and the secret of another: give each its own";
                return Err(message.to_owned());
            }
            return Ok(is_taken != [false; 2]);
        }
        let is_own = self.own_secrets.as_ref().is_none_or(|own| own.contains(&number));
        if is_own && self.kind.takes_secrets() {
            if !self.kind.takes_public_keys() && is_published(secret) {
                let message = "is a public key, or a key in PEM, and not a shared secret: anybody who knows \
                               it could sign with it";
                return Err(message.to_owned());
            }
            self.kind.add_key(secret)?;
            self.keys.push(number);
            return Ok(true);
        }
        Ok(false)
    }

    /// Forgets the keys of shared secrets, for an attempt with others; false if the keys are public ones.
    #[cfg(feature = "catalog")]
    pub(crate) fn forget_keys(&mut self) -> bool {
        self.keys.clear();
        self.kind.forget_keys()
    }

    /// Returns true if every verifier that needs secrets has one, and every number in its `secrets` is below
    /// `secrets`: a verifier whose keys are published must not fetch them if it names a secret of its own.
    pub(crate) fn has_keys(&self, secrets: usize) -> bool {
        self.verifiers().iter().all(|verifier| {
            let mut own = verifier.own_secrets.iter().flatten();
            own.all(|number| *number < secrets)
                && (!verifier.kind.needs_secrets() || !verifier.keys.is_empty())
        })
    }

    /// Returns the number of the hook's secret that made the key with this number.
    pub(crate) fn secret_of(&self, key: usize) -> Option<usize> {
        self.keys.get(key).copied()
    }

    /// Returns the number of the key that the hook's secret with this number made.
    pub(crate) fn key_of(&self, secret: usize) -> Option<usize> {
        self.keys.iter().position(|number| *number == secret)
    }

    /// Returns true if the signature has pairs that fields can read.
    pub(crate) fn has_pairs(&self) -> bool {
        matches!(&self.kind, Kind::Signed(signed) if signed.signature.has_pairs())
    }

    /// Checks the rules that concern several keys of the table together.
    fn check(&self, table: &Table<'_>) {
        let named = self.named();
        let tokens: Vec<&Field> = self.verifiers().iter().filter_map(Self::token_field).collect();
        for (key, field) in named.iter().flat_map(|(key, fields)| fields.iter().map(move |f| (*key, f))) {
            if let Some(token) = tokens.iter().find(|token| field.is(token)) {
                table.error(key, format!("{token} is the token, which is never kept: name another field"));
            } else if field.is_credential() {
                let message = format!("{field} is a credential, which is never kept: name another field");
                table.error(key, message);
            }
        }
        // By an event that no delivery has, the hook's `events` would drop them all.
        let certain = Certainty::of_verifier(self);
        if !self.event.is_empty() && self.event.iter().all(|field| certain.lacks(field)) {
            table.error("event", "no delivery has any of these fields; name another field");
        }
        #[cfg(feature = "catalog")]
        self.check_vain(table);
        self.check_decrypt(table, &named);
        self.check_items(table, &named);
        if self.has_pairs() {
            return;
        }
        let mut used: Vec<(&str, &Field)> =
            named.iter().flat_map(|(key, fields)| fields.iter().map(move |f| (*key, f))).collect();
        if let Kind::Signed(signed) = &self.kind {
            used.extend(signed.template.all_fields().map(|f| ("signed", f)));
        }
        used.extend(self.timestamp.iter().map(|w| ("timestamp", &w.from)));
        used.extend(self.require.iter().map(|p| ("require", &p.from)));
        for (key, field) in used.into_iter().filter(|(_, field)| field.in_signature()) {
            table.error(key, format!("{field} needs a signature of format = \"kv\""));
        }
    }
}

impl Scheme {
    /// Checks that the ciphertext is signed, and that verification needs no field of the decrypted event.
    fn check_decrypt(&self, table: &Table<'_>, named: &[(&str, &[Field])]) {
        let mut verified: Vec<(&str, &Field)> = Vec::new();
        match &self.kind {
            Kind::Token(token) => verified.push(("from", &token.from)),
            Kind::Jwt(jwt) => verified.push(("from", &jwt.from)),
            Kind::Signed(signed) => {
                verified.push(("signature", &signed.signature.from));
                verified.extend(signed.template.fields().map(|field| ("signed", field)));
                verified.extend(signed.body_hash.iter().map(|hash| ("body_hash", &hash.from)));
            }
            Kind::None | Kind::Network(_) | Kind::Several(_) => {}
        }
        verified.extend(self.timestamp.iter().map(|window| ("timestamp", &window.from)));
        verified.extend(self.require.iter().map(|pin| ("require", &pin.from)));
        verified.extend(self.items.iter().map(|items| ("items", items)));
        verified.extend(self.decrypt.iter().flat_map(|d| d.fields().map(|field| ("decrypt", field))));
        for (key, field) in verified.into_iter().filter(|(_, field)| field.is_decrypted()) {
            table.error(key, format!("{field} is known only after verification: name another field"));
        }
        if self.has_claims() {
            // Whatever the token says is known once it is verified.
        } else if self.decrypt.is_none() {
            for (key, _) in named.iter().filter(|(_, fields)| fields.iter().any(Field::is_decrypted)) {
                table.error(key, "nothing is decrypted here: add decrypt = { … }, or name another field");
            }
        } else if self.coverage() != Coverage::Body {
            let signs =
                |d: &Decrypt| matches!(&self.kind, Kind::Signed(s) if s.template.covers(&d.ciphertext));
            let message = if self.decrypt.as_ref().is_some_and(signs) {
                "a request without ciphertext is taken too: sign \"{body}\", or leave optional out"
            } else {
                "the ciphertext must be signed: add it, or \"{body}\", to signed"
            };
            table.error("decrypt", message);
        }
    }

    /// Checks that a table with `items` verifies a part of each item, and that `item:` fields occur only in
    /// such a table.
    fn check_items(&self, table: &Table<'_>, named: &[(&str, &[Field])]) {
        let is_item = |field: &Field| field.any(&|field| matches!(field, Field::Item(_)));
        for (key, _) in named.iter().filter(|(_, fields)| fields.iter().any(is_item)) {
            table.error(key, "names one item of several: read it from the body with json:");
        }
        let mut used: Vec<(&str, &Field)> = match &self.kind {
            Kind::Token(token) => vec![("from", &token.from)],
            Kind::Jwt(jwt) => vec![("from", &jwt.from)],
            Kind::Signed(signed) => signed.template.all_fields().map(|field| ("signed", field)).collect(),
            Kind::None | Kind::Network(_) | Kind::Several(_) => Vec::new(),
        };
        match &self.items {
            Some(Field::Json(_)) if !used.iter().any(|(_, field)| is_item(field)) => {
                table.error("items", "nothing of an item is verified: read it with item:NAME");
            }
            Some(Field::Json(_)) => {}
            Some(_) => table.error("items", format!("items are in a JSON body: write items = {ITEMS}")),
            None => {
                if let Kind::Signed(signed) = &self.kind {
                    used.push(("signature", &signed.signature.from));
                    used.extend(signed.body_hash.iter().map(|hash| ("body_hash", &hash.from)));
                }
                used.extend(self.timestamp.iter().map(|window| ("timestamp", &window.from)));
                used.extend(self.require.iter().map(|pin| ("require", &pin.from)));
                for (key, field) in used.into_iter().filter(|(_, field)| is_item(field)) {
                    table.error(key, format!("{field} is in an item: write items = {ITEMS}"));
                }
            }
        }
    }
}

impl Pin {
    fn read(table: Table<'_>) -> Option<Self> {
        let from = field(&table, "from", "\"header:X-Signature-Version\"");
        let values = table.strings("in").map(|at| at.value).unwrap_or_default();
        let values: Vec<String> = values.iter().map(|at| at.value.to_owned()).collect();
        if values.is_empty() {
            table.error("in", "no value is allowed: write in = [\"v1\"]");
        }
        let is_optional = table.bool("optional").is_some_and(|at| at.value);
        let hint = table.str("hint").map(|at| at.value.to_owned());
        table.finish();
        Some(Self { from: from?, values, is_optional, hint })
    }

    pub(crate) fn check(&self, view: &View<'_>) -> Result<(), Rejection> {
        let value = match self.from.find(view)? {
            Some(value) => value,
            None if self.is_optional => return Ok(()),
            None => return Err(Rejection::Missing(self.from.to_string())),
        };
        if self.values.iter().any(|allowed| *allowed.as_bytes() == *value) {
            return Ok(());
        }
        let from = self.from.to_string();
        Err(self.hint.clone().map_or(Rejection::Pinned(from.clone()), |hint| Rejection::Advised(from, hint)))
    }
}

/// Returns true if a secret has a form in which keys are published: PEM, or a JWK Set (RFC 7517 5).
fn is_published(secret: &Secret) -> bool {
    let text = secret.expose().trim_ascii_start();
    let is_set = || json::members(text).is_ok_and(|members| members.iter().any(|(name, _)| name == "keys"));
    text.starts_with(b"-----BEGIN ") || (text.starts_with(b"{") && is_set())
}
