//! A source with its keys, and what a hook gives it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::delivery::{Content, Coverage, Delivery};
use crate::http::Response;
use crate::problem::Problem;
use crate::reader::Table;
use crate::secret::Secret;
use crate::source::presets::Profile;
use crate::source::presets::blueprint::Blueprint;
#[cfg(feature = "catalog")]
use crate::source::presets::preset_secret;
use crate::source::scheme::Scheme;
use crate::source::scheme::credential::TokenNames;
use crate::source::scheme::field::Field;
use crate::source::scheme::kinds::{Algorithm, Kind};

/// Parameters of a preset by name. Some are secrets, so all are stored as secrets.
pub(crate) type Params = BTreeMap<String, Secret>;

/// Settings that a hook gives its source.
#[derive(Clone, Default)]
pub struct Settings {
    /// The hook's secrets: one, or several during a rotation.
    pub secrets: Vec<Secret>,
    /// Parameters that a preset needs beside secrets: see [`Param`](crate::source::Param).
    pub params: BTreeMap<String, String>,
    /// The hook's public URL, for schemes that sign it.
    pub url: Option<String>,
}

/// A mistake in the settings of a hook.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct BuildError {
    /// Setting with the mistake: `source`, `secrets`, `secrets[1]`, `params.topic` or `url`.
    pub key: String,
    /// Description of the mistake and of its correction.
    pub message: String,
}

/// A source with its keys, ready to verify.
#[derive(Clone, Debug)]
pub struct Source {
    pub(crate) preset: Option<&'static str>,
    pub(crate) scheme: Scheme,
    pub(crate) profile: Profile,
    pub(crate) secrets: Vec<Secret>,
    pub(crate) params: Params,
    pub(crate) url: Option<String>,
    /// Upper bound on the content of a compressed body, in bytes.
    pub(crate) max_body: usize,
}

impl Source {
    /// Builds a source from the preset `name`, or returns every mistake in the name and the settings.
    ///
    /// ```
    /// use hookmq_shared::secret::Secret;
    /// use hookmq_shared::source::{Settings, Source};
    ///
    /// // Two secrets during a rotation: a signature by either of them is accepted.
    /// let secrets = vec![Secret::new("whsec_new"), Secret::new("whsec_old")];
    /// let source = Source::preset("stripe", Settings { secrets, ..Settings::default() })?;
    /// assert_eq!((source.methods(), source.ack_status()), ("POST", 200));
    ///
    /// let mistakes = Source::preset("strype", Settings::default()).unwrap_err();
    /// assert!(mistakes[0].to_string().starts_with("source: "));
    /// assert!(mistakes[0].message.contains("stripe"));
    /// # Ok::<(), Vec<hookmq_shared::source::BuildError>>(())
    /// ```
    pub fn preset(name: &str, settings: Settings) -> Result<Self, Vec<BuildError>> {
        Blueprint::preset(name)?.build(settings)
    }

    /// Builds a source from a hook's own `[verify]` table. Mistakes in the table are added to the table's
    /// list, each with its line; mistakes in the settings are returned. Both kinds can occur: an empty error
    /// means that only the table has mistakes.
    ///
    /// ```
    /// use hookmq_shared::reader::{Mistakes, Table};
    /// use hookmq_shared::secret::Secret;
    /// use hookmq_shared::source::{Settings, Source};
    /// use toml::de::DeTable;
    ///
    /// let verify = r#"
    ///     kind = "hmac"
    ///     hash = "sha256"
    ///     signature = { from = "header:X-Signature", encoding = "hex" }
    ///     signed = ["{header:X-Timestamp}", ".", "{body}"]
    ///     timestamp = { from = "header:X-Timestamp", unit = "s", past = "5m", future = "5m" }
    ///     event = "header:X-Event"
    /// "#;
    /// let document = DeTable::parse(verify)?;
    /// let mistakes = Mistakes::new("shop.toml", verify);
    /// let table = Table::new(&mistakes, "verify", 0, document.get_ref());
    /// let settings = Settings { secrets: vec![Secret::new("of the shop")], ..Settings::default() };
    /// assert!(Source::custom(table, settings).is_ok());
    /// assert_eq!(mistakes.errors(), 0);
    /// # Ok::<(), toml::de::Error>(())
    /// ```
    pub fn custom(table: Table<'_>, settings: Settings) -> Result<Self, Vec<BuildError>> {
        Blueprint::custom(table)?.build(settings)
    }

    /// Builds the answer to a delivery that is stored (`accepted`) or dropped on purpose (`ignored`).
    pub fn ack(&self, status: &str, delivery: &Delivery) -> Response {
        let Content { id, secret, received_at, body, .. } = &**delivery;
        if let Some(response) = self.profile.ack.case(body) {
            return response;
        }
        let encrypt = |text| self.encrypted(text, *secret, *received_at, id.as_bytes());
        let encrypted = self.profile.ack.encrypted().and_then(encrypt);
        encrypted.unwrap_or_else(|| self.profile.ack.response(status, id))
    }

    /// Returns the status of the answer to a delivery.
    pub const fn ack_status(&self) -> u16 {
        self.profile.ack.status()
    }

    /// Returns the problem of a request that is not authentic: 401, or 403 if the sender tells 403 apart from
    /// other failures.
    pub fn refusal(&self) -> Problem {
        self.profile.ack.refusal()
    }

    /// Returns true if events are decrypted: the body of a [`Delivery`] is then not the received body.
    pub const fn decrypts(&self) -> bool {
        self.scheme.decrypt.is_some()
    }

    /// Returns true if a compressed body is decompressed before it is verified and forwarded.
    pub const fn inflates(&self) -> bool {
        self.scheme.decode.inflates()
    }

    /// Returns the value of `Allow`, for example `POST` or `GET, POST`.
    pub const fn methods(&self) -> &'static str {
        self.profile.methods
    }

    /// Returns the time within which the sender wants its answer; 10 s if the provider publishes none.
    pub const fn deadline(&self) -> Duration {
        self.profile.deadline
    }

    /// Returns the prefix of the event in an envelope's `type`, in reverse-DNS form: `com.github`.
    pub fn type_prefix(&self) -> Option<&str> {
        self.profile.type_prefix.as_deref()
    }

    /// Returns true if the sender gives deliveries an id. A redelivery then differs from a new delivery even
    /// if the bodies are equal.
    pub const fn names_deliveries(&self) -> bool {
        !self.scheme.id.is_empty()
    }

    /// Returns true if nobody but the sender can change the id of a delivery.
    #[cfg(feature = "catalog")]
    pub(crate) fn signs_id(&self) -> bool {
        self.scheme.signs_id()
    }

    /// Returns true if compressed bodies are decompressed, because the sender signs before it compresses.
    #[cfg(feature = "catalog")]
    pub const fn decompresses(&self) -> bool {
        self.scheme.decode.inflates()
    }

    /// Returns true if deliveries name an event.
    pub const fn names_events(&self) -> bool {
        !self.scheme.event.is_empty()
    }

    /// Returns the names of events that the provider is known to send; none in a function, which does not list
    /// them.
    pub(crate) fn known_events(&self) -> &[String] {
        let Self { profile, .. } = self;
        profile.known_events()
    }

    /// Returns true if this header field holds the token, which no template may use.
    pub fn reads_token_from(&self, header: &str) -> bool {
        let is_read = |from: &Field| matches!(from, Field::Header(name) if name.eq_ignore_ascii_case(header));
        self.scheme.token_fields().any(|from| from.any(&is_read))
    }

    /// Returns the fields for id, event or subject that hold another hook's token, each with its key in the
    /// table.
    pub(crate) fn named_by(&self, tokens: &TokenNames) -> Vec<(&'static str, String)> {
        let named = self.scheme.named().into_iter();
        let fields = named.flat_map(|(key, fields)| fields.iter().map(move |field| (key, field)));
        fields.filter(|(_, field)| tokens.has(field)).map(|(key, field)| (key, field.to_string())).collect()
    }

    /// Returns a warning for each secret whose key is shorter than 16 bytes, under the key `secrets[i]`.
    pub(crate) fn short_secrets(&self) -> impl Iterator<Item = BuildError> {
        let is_short = |(i, secret): &(usize, &Secret)| self.scheme.key_length(*i, secret) < 16;
        let short = self.secrets.iter().enumerate().filter(is_short);
        short.map(|(i, _)| error(format!("secrets[{i}]"), "is under 16 bytes: use a longer one"))
    }

    /// Returns a warning for each secret that looks like a mistake, under the key `secrets[i]`. It is a guess:
    /// a secret may be any text.
    #[cfg(feature = "catalog")]
    pub(crate) fn odd_secrets(&self) -> impl Iterator<Item = BuildError> {
        let secret_text = self.preset.and_then(preset_secret).unwrap_or_default();
        let doubt = move |(i, secret)| Some((i, oddity(secret, &secret_text)?));
        let odd = self.secrets.iter().enumerate().filter_map(doubt);
        odd.map(|(i, message)| error(format!("secrets[{i}]"), message))
    }

    /// Returns the warnings for the operator: outdated hashes, short secrets, private keys, parts of a
    /// request that are not covered.
    pub fn warnings(&self) -> Vec<String> {
        let short = self.short_secrets().map(|BuildError { key, message }| format!("{key} {message}"));
        short.chain(self.doubts()).collect()
    }

    /// Returns the warnings about the scheme, which are those of [`warnings`](Self::warnings) without the
    /// short secrets.
    pub(crate) fn doubts(&self) -> Vec<String> {
        let scheme = &self.scheme;
        let mut warnings: Vec<String> = scheme.warning().into_iter().map(str::to_owned).collect();
        #[cfg(feature = "sender")]
        warnings.extend(self.private_keys());
        if scheme.coverage() == Coverage::Request {
            let has_checksum =
                |verifier: &Scheme| matches!(&verifier.kind, Kind::Signed(s) if s.template.has_checksum());
            let checksum = scheme.verifiers().iter().any(has_checksum);
            let what =
                if checksum { "only a CRC-32 of the body is signed" } else { "the body is not covered" };
            warnings.push(format!("{what}: anyone who has seen one valid request can forge another"));
        }
        for verifier in scheme.verifiers() {
            let Kind::Signed(signed) = &verifier.kind else { continue };
            // A preset uses the hash of its provider.
            let is_own_digest = self.preset.is_none() && matches!(signed.algorithm, Algorithm::Digest(_));
            if is_own_digest && !signed.template.ends_with_secret() {
                let message = "anyone who has seen one valid request can forge a longer one, as a plain \
                               hash can be continued from where it ended: use hmac if the sender can";
                warnings.push(message.to_owned());
            }
            match &verifier.timestamp {
                Some(window) if !signed.template.covers(&window.from) => {
                    warnings.push(format!("{} is not signed: it does not prevent replays", window.from));
                }
                // A preset has the window that its provider's scheme allows.
                None if self.preset.is_none() => {
                    warnings.push("without a timestamp an old request can be sent again".to_owned());
                }
                _ => {}
            }
        }
        warnings
    }
}

impl Source {
    /// Returns the widest kind of network that the source admits; `None` if no verifier checks addresses.
    pub(crate) fn networks(&self) -> Option<Peers> {
        let peers = |verifier: &Scheme| match &verifier.kind {
            Kind::Network(network) => Some(if network.is_own() { Peers::Own } else { Peers::Foreign }),
            _ => None,
        };
        self.scheme.verifiers().iter().filter_map(peers).max()
    }
}

/// Kind of addresses that a source admits, from narrow to wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Peers {
    /// Addresses of the internet only.
    Foreign,
    /// Private or loopback addresses too, which a proxy of ours may have.
    Own,
}

/// Describes what makes a secret look like a mistake. `about` is the preset's description of its secret, which names
/// the beginning of a key for the provider's API if the provider signs with that.
#[cfg(feature = "catalog")]
fn oddity(secret: &Secret, about: &str) -> Option<&'static str> {
    /// Beginnings of keys for a provider's API, with which few providers sign webhooks.
    const API_KEYS: [&str; 12] = [
        "sk_live_",
        "sk_test_",
        "rk_live_",
        "rk_test_",
        "pk_live_",
        "pk_test_",
        "ghp_",
        "github_pat_",
        "glpat-",
        "xoxb-",
        "xoxp-",
        "shpat_",
    ];
    let bytes = secret.expose();
    match bytes {
        [b'"', .., b'"'] | [b'\'', .., b'\''] => {
            Some("has quotes around it, which count: `--env-file` keeps them, so write the secret without")
        }
        [0xef, 0xbb, 0xbf, ..] => Some("begins with a byte order mark, which counts: save the file without"),
        [.., b'\n' | b'\r' | b' ' | b'\t'] | [b' ' | b'\t', ..] => {
            Some("has blanks or line ends around it, which count: take them away")
        }
        _ if API_KEYS.iter().any(|start| bytes.starts_with(start.as_bytes()) && !about.contains(start)) => {
            Some("looks like a key for the provider's API: webhooks are signed with a secret of their own")
        }
        _ => None,
    }
}

pub(crate) fn error(key: impl Into<String>, message: impl Into<String>) -> BuildError {
    BuildError { key: key.into(), message: message.into() }
}
