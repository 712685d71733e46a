//! Handshakes: requests with which a sender checks the receiver, answered without a delivery.

use crate::clock::Timestamp;
use crate::http::Response;
use crate::problem::Problem;
use crate::reader::Table;
use crate::secret::Secret;
use crate::source::address::{Address, Allow};
use crate::source::reply::answer::AnswerTemplate;
use crate::source::scheme::Scheme;
use crate::source::scheme::certain::{Certainty, Condition, Reader};
use crate::source::scheme::field::{Field, View};
use crate::source::scheme::kinds::{Kind, position};
use crate::source::scheme::signature::Signature;
use crate::source::scheme::template::{SignedTemplate, is_token};
use crate::source::scheme::words;
use crate::source::{Params, Rejection, Source};

/// One kind of handshake of a preset.
#[derive(Clone, Debug)]
pub(crate) struct Handshake {
    /// True if the sender does not sign the handshake. Then `token`, `origin` or the bounds of the answer
    /// limit what is answered.
    before_verify: bool,
    method: Option<String>,
    /// Fields with the values that they must have for the request to be this handshake.
    when: Vec<(Field, String)>,
    /// Fields that must be present; the fields in `absent` must be missing.
    present: Vec<Field>,
    absent: Vec<Field>,
    /// Name of a parameter that must be "true" for a request to be this handshake.
    enabled_by: Option<String>,
    token: Option<Token>,
    origin: Option<Token>,
    /// Status of a refusal for token or origin, if the provider asks for a special one.
    refuse: Option<Problem>,
    proof: Option<HandshakeProof>,
    reply: Reply,
    /// Field with the address to call, and the addresses that may be called; needs a verified signature.
    confirm: Option<(Field, Allow)>,
    /// Message to the operator; `shows` is the field whose value goes with it, which only the sender knows
    /// and only a person can pass on. `shows` needs both `note` and `enabled_by`.
    note: Option<String>,
    shows: Option<Field>,
}

/// A field that must hold the value of a parameter. As `token`, it falls back to the hook's secrets if the
/// parameter is absent or not set; as `origin`, it must be one of the names in the parameter's list.
#[derive(Clone, Debug)]
struct Token {
    from: Field,
    param: Option<String>,
}

/// Signature of a handshake that is not signed as deliveries are.
#[derive(Clone, Debug)]
struct HandshakeProof {
    /// Place and form of the signature; `None` if they are the same as for deliveries.
    signature: Option<Signature>,
    template: SignedTemplate,
    ciphertext: Option<Field>,
}

#[derive(Clone, Debug)]
enum Reply {
    Open(AnswerTemplate),
    /// A text that is encrypted as events are.
    Encrypted(String),
}

/// Answer to a handshake, with the actions that go with it.
pub(crate) struct Greeting<'s> {
    pub(crate) response: Response,
    /// Address that must be called before the answer is sent.
    pub(crate) confirm: Option<Address>,
    pub(crate) note: Option<&'s str>,
    /// Value that the operator is shown beside the note.
    pub(crate) shown: Option<String>,
}

impl Greeting<'_> {
    /// Builds an answer that confirms nothing but the address.
    pub(crate) fn harmless() -> Self {
        Self { response: Response::new(200, "", ""), confirm: None, note: None, shown: None }
    }
}

/// Upper bound on the body of an encrypted challenge, in bytes.
const MAX_SEALED: usize = 4096;

impl Handshake {
    /// Returns the field of the sender's token.
    #[cfg(test)]
    pub(crate) fn token_from(&self) -> Option<&Field> {
        self.token.as_ref().map(|token| &token.from)
    }

    /// Reads an entry of `[[handshake]]`.
    ///
    /// `methods` are those that the source takes; GET may be a delivery's if `delivers_by_get` is true.
    pub(crate) fn read(table: Table<'_>, methods: &str, delivers_by_get: bool) -> Self {
        let before = table.mistakes().errors();
        let text = |key| table.str(key).map(|at| at.value.to_owned());
        let parse = |text| Field::parse(text).map_err(|message| table.error("when", message)).ok();
        let when = table.table("when").map(|t| t.named_strings()).unwrap_or_default();
        let when = when.iter().filter_map(|(f, v)| Some((parse(f.value)?, v.value.to_owned()))).collect();
        // The gateway fills in the methods that the hook takes.
        let problems = [Problem::Forbidden, Problem::MethodNotAllowed("")];
        let status = table.number("refuse").map(|at| at.value);
        let refuse = problems.into_iter().find(|problem| status == Some(u64::from(problem.status())));
        if table.has("refuse") && refuse.is_none() {
            table.error("refuse", "write refuse = 403, or 405");
        }
        let confirm = table.table("confirm").and_then(|inner| {
            let url = words::field(&inner, "url", "\"json:SubscribeURL\"");
            let allow = Allow::read(&inner);
            inner.finish();
            url.zip(allow)
        });
        if confirm.is_some() && (table.has("before_verify") || table.has("signed")) {
            table.error(
                "confirm",
                "an address in an unsigned request must not be called: leave before_verify and signed out",
            );
        }
        let shows = table.has("shows").then(|| words::field(&table, "shows", "\"json:token\"")).flatten();
        if shows.is_some() && !(table.has("enabled_by") && table.has("note")) {
            table.error("shows", "needs note and enabled_by: anybody can send a value to be shown");
        }
        let handshake = Self {
            before_verify: table.bool("before_verify").is_some_and(|at| at.value),
            method: text("method"),
            when,
            present: words::fields(&table, "present"),
            absent: words::fields(&table, "absent"),
            enabled_by: text("enabled_by"),
            token: table.table("token").and_then(Token::read),
            origin: table.table("origin").and_then(Token::read),
            refuse,
            proof: table.has("signed").then(|| HandshakeProof::read(&table)).flatten(),
            reply: match text("encrypted") {
                Some(text) => Reply::Encrypted(text),
                None => Reply::Open(AnswerTemplate::read(&table)),
            },
            confirm,
            note: text("note"),
            shows,
        };
        let method = handshake.method.as_deref();
        if let Some(method) = method.filter(|method| !methods.split(", ").any(|taken| taken == *method)) {
            table.error("method", format!("{method:?} is refused with 405 here: write it into methods"));
        }
        let is_delivery = handshake.may_be_delivery(delivers_by_get);
        let conditions = handshake.when.len() + handshake.present.len() + handshake.absent.len();
        // A condition with a mistake is told already.
        if is_delivery && conditions == 0 && table.mistakes().errors() == before {
            table.error(
                "status",
                "every delivery would be answered as this handshake, and be lost: write when, present or absent",
            );
        }
        table.finish();
        handshake
    }

    /// Checks, for a table of a hook's own, that the handshake leaves deliveries to the queue, and that no stranger
    /// can ask it for a signature.
    ///
    /// `open` collects the conditions of handshakes that deliveries may or may not fulfil, where there is one alone.
    pub(crate) fn check<'h>(
        &'h self,
        scheme: &Scheme,
        delivers_by_get: bool,
        table: &Table<'_>,
        open: &mut Vec<Condition<'h>>,
    ) {
        let is_early = self.before_verify || self.proof.is_some();
        let opens = match &self.proof {
            Some(proof) => proof.ciphertext.is_some(),
            None => self.reads_plaintext(),
        };
        let certain = Certainty {
            scheme,
            delivers_by_get,
            reader: Reader::Handshake {
                has_pairs: !is_early && scheme.has_pairs(),
                has_plaintext: if is_early { opens } else { scheme.decrypt.is_some() || scheme.has_claims() },
            },
        };
        let conditions = self.conditions();
        let of_handshakes: Vec<Condition<'h>> =
            conditions.iter().filter(|condition| !certain.holds(condition)).copied().collect();
        let is_lost = match of_handshakes.as_slice() {
            _ if !self.may_be_delivery(delivers_by_get) => false,
            [] => true,
            [one] => {
                open.push(*one);
                certain.is_one_of(open)
            }
            _ => false,
        };
        if let Some(told) = of_handshakes.first().or(conditions.first()).filter(|_| is_lost) {
            let others = if of_handshakes.is_empty() { "" } else { " if no other handshake takes it" };
            table.error(
                told.key(),
                format!(
                    "every delivery would be answered as this handshake{others}, and be lost: it fulfils {told}; \
                     name what only handshakes have"
                ),
            );
        }
        #[cfg(feature = "catalog")]
        self.check_vain(&certain, table);
        if let Some(field) = self.unsigned(scheme) {
            table.error(
                "body",
                format!(
                    "{field} is not signed: who has seen one handshake could ask for the signature of any text; name \
                     a field that is signed"
                ),
            );
        }
    }

    /// Checks that a request can be the handshake, and that deliveries can be told from what it signs for anybody.
    #[cfg(feature = "catalog")]
    fn check_vain(&self, certain: &Certainty<'_>, table: &Table<'_>) {
        let read = self.when.iter().map(|(field, _)| ("when", field));
        let read: Vec<_> = read.chain(self.present.iter().map(|field| ("present", field))).collect();
        if let Some((key, field)) = read.iter().find(|(_, field)| certain.is_nowhere(field)) {
            table.error(
                key,
                format!("no request has {field} here, so none is this handshake; name another field"),
            );
        }
        if let Some((field, _)) = self.when.iter().find(|(_, value)| value.is_empty()) {
            table.error("when", format!("an empty {field} counts as missing; write absent = [\"{field}\"]"));
        }
        let is_contrary = |missing: &&Field| read.iter().any(|(_, field)| field.implies(missing));
        if let Some(field) = self.absent.iter().find(is_contrary) {
            table.error("absent", format!("other conditions need {field}, so no request is this handshake"));
        }
        let is_of_deliveries = |field: &Field| {
            let mut named = certain.scheme.named().into_iter().flat_map(|(_, fields)| fields);
            certain.has(field) || certain.lacks(field) || named.any(|name| name.implies(field))
        };
        if self.may_be_delivery(certain.delivers_by_get)
            && read.is_empty()
            && let [field, ..] = self.absent.as_slice()
            && !self.absent.iter().any(is_of_deliveries)
        {
            table.warning(
                "absent",
                format!(
                    "each delivery without {field} is answered as this handshake, and lost; name a field that each \
                     delivery has, such as the signature's, or add when or present"
                ),
            );
        }
        if self.is_oracle() && certain.scheme.signs_tokens(false) {
            table.error(
                "body",
                "deliveries sign a text of the form that this handshake signs for anybody, so each would be refused; \
                 sign \"{body}\", or a text with a character such as \".\"",
            );
        } else if self.is_oracle() && certain.scheme.signs_tokens(true) {
            table.warning(
                "body",
                "a delivery that has signed only letters, digits and +/=_- is refused, because this handshake signs \
                 such a text for anybody",
            );
        }
    }

    /// Returns true if a request with this method can be a delivery.
    fn may_be_delivery(&self, delivers_by_get: bool) -> bool {
        match self.method.as_deref() {
            Some("HEAD" | "OPTIONS") => false,
            Some("GET") => delivers_by_get,
            _ => true,
        }
    }

    fn conditions(&self) -> Vec<Condition<'_>> {
        let when = self.when.iter().map(|(field, value)| Condition::Is(field, value));
        let present = self.present.iter().map(|field| match field {
            Field::Equal(field, value) => Condition::Is(field, value),
            field => Condition::Has(field),
        });
        when.chain(present).chain(self.absent.iter().map(Condition::Lacks)).collect()
    }

    /// Returns a field whose signature somebody could ask for who has recorded a genuine handshake and puts another
    /// value into this field.
    fn unsigned(&self, scheme: &Scheme) -> Option<&Field> {
        let Reply::Open(answer) = &self.reply else { return None };
        let is_signed = |field: &Field| match &self.proof {
            Some(proof) => {
                let opens = |from: &Field| proof.template.covers(from);
                proof.template.covers(field)
                    || field.is_decrypted() && proof.ciphertext.as_ref().is_some_and(opens)
            }
            None => scheme.signs(field),
        };
        // Whoever can ask without any proof is known as such: see `is_oracle`.
        let can_ask = !self.before_verify && scheme.verifiers().iter().any(Scheme::can_answer);
        answer.computed().find(|field| can_ask && !is_signed(field))
    }

    /// Returns the names of the parameters that the handshake reads.
    #[cfg(feature = "catalog")]
    pub(crate) fn params(&self) -> impl Iterator<Item = &str> {
        let tokens = [&self.token, &self.origin].into_iter().flatten();
        let named = tokens.filter_map(|token| token.param.as_deref()).chain(self.enabled_by.as_deref());
        let answer = if let Reply::Open(answer) = &self.reply { Some(answer.params()) } else { None };
        named.chain(answer.into_iter().flatten())
    }

    /// Returns true if the answer has the hook's URL.
    #[cfg(feature = "catalog")]
    pub(crate) fn needs_url(&self) -> bool {
        matches!(&self.reply, Reply::Open(answer) if answer.needs_url())
    }

    /// Describes what a source of this scheme can never do for the handshake.
    #[cfg(feature = "catalog")]
    pub(crate) fn fault(&self, scheme: &Scheme) -> Option<String> {
        match &self.reply {
            Reply::Open(answer) => answer.vain(scheme).map(|(part, needed)| {
                format!("{part} in the answer to a handshake needs {needed}, and this source has none")
            }),
            Reply::Encrypted(_) if scheme.decrypt.is_none() => {
                Some("the answer to a handshake is encrypted, and this source has no key decrypt".to_owned())
            }
            Reply::Encrypted(_) => None,
        }
    }

    /// Returns true if the request is this handshake, as far as its undecrypted parts tell.
    fn may_match(&self, view: &View<'_>, params: &Params) -> bool {
        self.method.as_ref().is_none_or(|method| view.request.method == *method)
            && self.enabled_by.as_ref().is_none_or(|param| is_on(params.get(param)))
            && self.present.iter().all(|field| field.is_present(view))
            && self.absent.iter().all(|field| field.is_absent(view))
            && self.has_values(view, false)
    }

    fn matches(&self, view: &View<'_>, params: &Params) -> bool {
        self.may_match(view, params) && self.has_values(view, true)
    }

    /// Returns true if the fields have their required values: those in the clear, or those of the decrypted
    /// event.
    fn has_values(&self, view: &View<'_>, decrypted: bool) -> bool {
        let mut fields = self.when.iter().filter(|(field, _)| field.is_decrypted() == decrypted);
        fields.all(|(field, want)| field.read(view).is_ok_and(|value| *value == *want.as_bytes()))
    }

    /// Returns the address that must be called before the handshake is answered, if there is one and it is
    /// allowed.
    fn confirmation(&self, view: &View<'_>) -> Result<Option<Address>, Rejection> {
        let Some((from, allow)) = &self.confirm else { return Ok(None) };
        let address =
            Address::parse(&from.read_text(view)?).filter(|address| allow.permits(address, true, Some(view)));
        address.map(Some).ok_or_else(|| Rejection::NotAllowed(from.to_string()))
    }

    /// Returns the value that the operator is shown, if it cannot be mistaken for another part of the log.
    fn shown(&self, view: &View<'_>) -> Result<Option<String>, Rejection> {
        let Some(from) = &self.shows else { return Ok(None) };
        let value = from.read_text(view)?;
        // The value must not look like another part of a log.
        if !is_token(value.as_bytes()) {
            return Err(Rejection::Malformed(from.to_string()));
        }
        Ok(Some(value.into_owned()))
    }

    fn reads_plaintext(&self) -> bool {
        self.when.iter().any(|(field, _)| field.is_decrypted())
    }

    /// Returns true if the handshake answers unverified senders with a value that is computed with a secret.
    fn is_oracle(&self) -> bool {
        self.before_verify && matches!(&self.reply, Reply::Open(answer) if answer.is_computed())
    }

    /// Checks token and origin, and refuses the request if one of them is wrong.
    fn admit(&self, view: &View<'_>, params: &Params, secrets: &[Secret]) -> Result<(), Rejection> {
        let refused = |rejection| self.refuse.map_or(rejection, Rejection::Refused);
        if let Some(token) = &self.token {
            let param = token.param.as_ref().and_then(|name| params.get(name));
            let allowed = param.map_or(secrets, std::slice::from_ref);
            let given = token.from.read(view).map_err(&refused)?;
            let no_match = || match &token.param {
                Some(name) if param.is_none() => Rejection::NoParam(name.clone()),
                _ => Rejection::NoMatch,
            };
            position(allowed, &Secret::new(given)).ok_or_else(|| refused(no_match()))?;
        }
        if let Some(origin) = &self.origin {
            let given = origin.from.read_text(view).map_err(&refused)?;
            let allowed = origin.param.as_ref().and_then(|name| params.get(name)?.expose_str());
            let mut names = allowed.unwrap_or_default().split([',', ' ']).filter(|name| !name.is_empty());
            if !names.any(|name| name.eq_ignore_ascii_case(&given)) {
                return Err(refused(Rejection::Pinned(origin.from.to_string())));
            }
        }
        Ok(())
    }
}

fn is_on(param: Option<&Secret>) -> bool {
    param.is_some_and(|value| value.expose_str() == Some("true"))
}

impl Token {
    fn read(table: Table<'_>) -> Option<Self> {
        let from = words::field(&table, "from", "\"json:token\"");
        let param = table.str("param").map(|at| at.value.to_owned());
        table.finish();
        Some(Self { from: from?, param })
    }
}

impl HandshakeProof {
    fn read(table: &Table<'_>) -> Option<Self> {
        let signature = table.has("signature").then(|| table.table("signature").and_then(Signature::read));
        let ciphertext =
            table.has("ciphertext").then(|| words::field(table, "ciphertext", "\"query:echostr\""));
        Some(Self {
            signature: signature.flatten(),
            template: SignedTemplate::read(table)?,
            ciphertext: ciphertext.flatten(),
        })
    }
}

impl Source {
    /// Answers a handshake that is unsigned, or signed in another way than deliveries are.
    pub(crate) fn early_handshake(
        &self,
        view: &View<'_>,
        now: Timestamp,
    ) -> Result<Option<Greeting<'_>>, Rejection> {
        let early = self.profile.handshakes.iter().filter(|h| h.before_verify || h.proof.is_some());
        for handshake in early.filter(|handshake| handshake.may_match(view, &self.params)) {
            let (mut secret, mut plaintext) = (None, None);
            if let Some(proof) = &handshake.proof {
                secret = self.prove(proof, view, now)?;
                if let Some(ciphertext) = &proof.ciphertext {
                    plaintext = self.decrypt(Some(ciphertext), view, secret)?;
                }
            } else if handshake.reads_plaintext() {
                plaintext = self.decrypt_unverified(view);
            }
            let view = View { plaintext: plaintext.as_deref(), ..*view };
            if handshake.matches(&view, &self.params) {
                return self.greet(handshake, &view, secret, now).map(Some);
            }
        }
        Ok(None)
    }

    /// Answers a handshake that is signed as deliveries are, after verification.
    pub(crate) fn late_handshake(
        &self,
        view: &View<'_>,
        secret: Option<usize>,
        now: Timestamp,
    ) -> Result<Option<Greeting<'_>>, Rejection> {
        let mut late = self.profile.handshakes.iter().filter(|h| !h.before_verify && h.proof.is_none());
        let found = late.find(|handshake| handshake.matches(view, &self.params));
        found.map(|handshake| self.greet(handshake, view, secret, now)).transpose()
    }

    /// Returns true if a handshake signs texts for unverified senders.
    pub(crate) fn is_oracle(&self) -> bool {
        self.profile.handshakes.iter().any(Handshake::is_oracle)
    }

    /// Returns true if a decrypted text is one that we encrypt and sign for verified senders. Such an answer
    /// has the form of an event, and anyone who sees it could send it back as one, again and again.
    pub(crate) fn is_own_answer(&self, plaintext: &[u8]) -> bool {
        let replies = self.profile.handshakes.iter().filter_map(|handshake| match &handshake.reply {
            Reply::Encrypted(text) => Some(text.as_str()),
            Reply::Open(_) => None,
        });
        replies.chain(self.profile.ack.encrypted()).any(|own| own.as_bytes() == plaintext)
    }

    fn greet<'s>(
        &'s self,
        handshake: &'s Handshake,
        view: &View<'_>,
        secret: Option<usize>,
        now: Timestamp,
    ) -> Result<Greeting<'s>, Rejection> {
        handshake.admit(view, &self.params, &self.secrets)?;
        let response = match &handshake.reply {
            Reply::Open(answer) => answer.response(view, self, secret.unwrap_or_default())?,
            Reply::Encrypted(text) => {
                let context = view.request.raw_query.as_bytes();
                self.encrypted(text, secret, now, context).ok_or(Rejection::Undecryptable)?
            }
        };
        let confirm = handshake.confirmation(view)?;
        let shown = handshake.shown(view)?;
        Ok(Greeting { response, confirm, note: handshake.note.as_deref(), shown })
    }

    fn prove(
        &self,
        proof: &HandshakeProof,
        view: &View<'_>,
        now: Timestamp,
    ) -> Result<Option<usize>, Rejection> {
        let Kind::Signed(kind) = &self.scheme.kind else { return Err(Rejection::NoMatch) };
        let given = proof.signature.as_ref().unwrap_or(&kind.signature).given(view)?;
        let view = View { pairs: &given.pairs, ..*view };
        let message = proof.template.fill(&view)?;
        let secret = kind.algorithm.verify(&message, &given.signatures, &view, now)?;
        if let Some(window) = &self.scheme.timestamp {
            window.check(&view, now)?;
        }
        Ok(secret.and_then(|key| self.scheme.secret_of(key)))
    }

    /// Signs a text as deliveries are signed, with the key of the hook's secret of this number.
    pub(crate) fn answer(&self, text: &[u8], secret: usize) -> Option<Vec<u8>> {
        let Kind::Signed(kind) = &self.scheme.kind else { return None };
        kind.algorithm.answer(text, self.scheme.key_of(secret)?)
    }

    /// Decrypts the event in `ciphertext`, or in the usual place of events.
    pub(crate) fn decrypt(
        &self,
        ciphertext: Option<&Field>,
        view: &View<'_>,
        secret: Option<usize>,
    ) -> Result<Option<Vec<u8>>, Rejection> {
        let Some(decrypt) = &self.scheme.decrypt else { return Ok(None) };
        let secret = secret.and_then(|secret| self.secrets.get(secret));
        decrypt.open(ciphertext.unwrap_or(&decrypt.ciphertext), view, secret)
    }

    /// Decrypts a small text before any secret has matched; only a holder of one of the keys can have made
    /// it.
    fn decrypt_unverified(&self, view: &View<'_>) -> Option<Vec<u8>> {
        let decrypt = self.scheme.decrypt.as_ref()?;
        let open = |secret| decrypt.open(&decrypt.ciphertext, view, Some(secret)).ok().flatten();
        if view.request.body.len() > MAX_SEALED { None } else { self.secrets.iter().find_map(open) }
    }
}

#[cfg(test)]
mod tests {
    use toml::de::DeTable;

    use super::*;
    use crate::reader::Mistakes;

    #[test]
    fn a_value_is_shown_only_while_it_is_waited_for() {
        let mistakes = |more: &str| {
            let text = format!(
                "before_verify = true\nmethod = \"GET\"\nstatus = 200\nshows = \"json:token\"\n{more}"
            );
            let mistakes = Mistakes::new("x.toml", &text);
            let document = DeTable::parse(&text).unwrap();
            Handshake::read(Table::new(&mistakes, "handshake", 0, document.get_ref()), "GET, POST", false);
            mistakes.into_sorted().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(mistakes("enabled_by = \"setup\"\nnote = \"x\""), [""; 0]);
        for more in ["note = \"x\"", "enabled_by = \"setup\""] {
            assert!(mistakes(more)[0].contains("needs note and enabled_by"), "{more}");
        }
    }
}
