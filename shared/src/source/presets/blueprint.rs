//! A source without its keys.

use std::time::Duration;

use crate::reader::Table;
use crate::secret::Secret;
use crate::source::presets::{Param, Preset, Profile};
#[cfg(feature = "catalog")]
use crate::source::reply::handshake::Handshake;
use crate::source::scheme::Scheme;
use crate::source::scheme::credential::TokenNames;
use crate::source::scheme::kinds::Kind;
use crate::source::{BuildError, Params, Settings, Source, error};

/// Parts of a source except its secrets and parameters. When secrets or parameters change, a clone of the
/// blueprint is built.
#[derive(Clone, Debug)]
pub(crate) struct Blueprint {
    preset: Option<&'static str>,
    scheme: Scheme,
    profile: Profile,
    params: Vec<Param>,
    max_body: usize,
}

/// Default bound on a body, and on the content of a compressed one, in bytes: the most that a synchronous Lambda
/// invocation can carry.
pub(crate) const MAX_BODY: usize = 6 * 1024 * 1024;

impl Blueprint {
    /// Loads a preset, like [`Source::preset`], but without settings.
    pub(crate) fn preset(name: &str) -> Result<Self, Vec<BuildError>> {
        let preset = Preset::load(name).map_err(|message| vec![error("source", message)])?;
        let Preset { name, scheme, profile, params, .. } = preset;
        Ok(Self { preset: Some(name), scheme, profile, params, max_body: MAX_BODY })
    }

    /// Reads a hook's own table, like [`Source::custom`], but without settings.
    pub(crate) fn custom(table: Table<'_>) -> Result<Self, Vec<BuildError>> {
        let mistakes = table.mistakes();
        let before = mistakes.errors();
        let profile = Profile::read(&table);
        // A second look at tables that are sound: what they mean beside the verifier is known only with it.
        let is_sound = mistakes.errors() == before && !profile.handshakes.is_empty();
        let tables = if is_sound { table.tables("handshake").unwrap_or_default() } else { Vec::new() };
        let scheme = Scheme::read(table).filter(|_| mistakes.errors() == before).ok_or_else(Vec::new)?;
        let mut open = Vec::new();
        for (handshake, table) in profile.handshakes.iter().zip(&tables) {
            handshake.check(&scheme, profile.delivers_by_get, table, &mut open);
        }
        if mistakes.errors() > before {
            return Err(Vec::new());
        }
        let params = scheme.own_params();
        Ok(Self { preset: None, scheme, profile, params, max_body: MAX_BODY })
    }

    /// Tells `names` in which fields the source finds its tokens.
    pub(crate) fn teach(&self, names: &mut TokenNames) {
        names.learn(&self.scheme);
    }

    /// Bounds the content of a compressed body, in bytes.
    pub(crate) fn bound(&mut self, max_body: usize) {
        self.max_body = max_body;
    }

    /// Accepts requests up to this age instead of the age that the source has; false if the source has none.
    pub(crate) fn widen(&mut self, window: Duration) -> bool {
        self.scheme.widen(window)
    }

    /// Returns true if secrets of the hook can verify requests.
    pub(crate) fn takes_secrets(&self) -> bool {
        self.scheme.kind.takes_secrets()
    }

    /// Returns true if the source has a parameter of this name.
    pub(crate) fn takes_param(&self, name: &str) -> bool {
        self.params.iter().any(|param| param.name == name)
    }

    /// Builds the source without its keys, for its descriptive methods only: it must not verify a request.
    pub(crate) fn outline(&self) -> Source {
        let Self { preset, scheme, profile, max_body, .. } = self.clone();
        Source { preset, scheme, profile, secrets: Vec::new(), params: Params::new(), url: None, max_body }
    }

    /// Adds the keys, or returns every mistake in the settings.
    pub(crate) fn build(self, settings: Settings) -> Result<Source, Vec<BuildError>> {
        let Self { preset, mut scheme, profile, params: known, max_body } = self;
        let Settings { secrets, params, url } = settings;
        let mut errors = Vec::new();
        match (&scheme.kind, secrets.is_empty()) {
            (Kind::None, false) => {
                errors.push(error("secrets", "nothing is verified here: leave them out, or choose a source"));
            }
            (kind, true) if kind.needs_secrets() => {
                errors.push(error("secrets", r#"missing: write secrets = ["env:NAME"]"#));
            }
            _ => {}
        }
        for (i, secret) in secrets.iter().enumerate() {
            let added = if secret.is_blank() {
                Err("is empty: set it, or take it out of the list".to_owned())
            } else {
                match scheme.add_key(i, secret) {
                    Ok(false) if !matches!(scheme.kind, Kind::None) => {
                        Err("no verifier uses it: leave it out".to_owned())
                    }
                    other => other.map(drop),
                }
            };
            errors.extend(added.err().map(|message| error(format!("secrets[{i}]"), message)));
        }
        if errors.is_empty() && !scheme.has_keys(secrets.len()) {
            errors
                .push(error("secrets", "one of the verifiers has no secret: name one of these in its list"));
        }
        for param in known.iter().filter(|param| param.required && !params.contains_key(&param.name)) {
            let message = format!("missing: {}", param.about);
            errors.push(error(format!("params.{}", param.name), message));
        }
        for (name, value) in &params {
            let message = match known.iter().find(|param| param.name == *name) {
                None => unknown_param(name, &known),
                Some(param) if value.trim().is_empty() && !param.may_be_empty => {
                    "is empty: set it, or leave it out".to_owned()
                }
                Some(_) => continue,
            };
            errors.push(error(format!("params.{name}"), message));
        }
        if scheme.needs_url() && url.as_ref().is_none_or(|url| url.trim().is_empty()) {
            let message =
                r#"the sender signs its address: write url = "https://…", as it is set at the sender"#;
            errors.push(error("url", message));
        }
        #[cfg(feature = "catalog")]
        if url.is_none() && !scheme.needs_url() && profile.handshakes.iter().any(Handshake::needs_url) {
            let message =
                r#"the answer to a handshake has it: write url = "https://…", as it is set at the sender"#;
            errors.push(error("url", message));
        }
        let needed = scheme.params().into_iter();
        // What can never work is told to people; a function answers such a handshake with its refusal.
        #[cfg(feature = "catalog")]
        let needed = needed.chain(profile.handshakes.iter().flat_map(Handshake::params).map(str::to_owned));
        let unknown = needed.filter(|name| !known.iter().any(|param| param.name == *name));
        errors.extend(unknown.map(|name| {
            error("verify", format!("{{param:{name}}} cannot be used here: write the value itself"))
        }));
        #[cfg(feature = "catalog")]
        {
            let faults = profile.handshakes.iter().filter_map(|handshake| handshake.fault(&scheme));
            errors.extend(faults.map(|fault| error("verify", fault)));
        }
        let mut known = Params::new();
        for (name, value) in params {
            known.insert(name, Secret::new(value));
        }
        let params = known;
        scheme.bind(&params);
        if let Some(Err((name, message))) = scheme.decrypt.as_mut().map(|decrypt| decrypt.take(&params)) {
            errors.push(error(format!("params.{name}"), message));
        }
        if errors.is_empty() {
            errors.extend(scheme.kind.complaint().map(|(key, message)| error(key, message)));
        }
        if errors.is_empty() {
            Ok(Source { preset, scheme, profile, secrets, params, url, max_body })
        } else {
            Err(errors)
        }
    }
}

/// Describes a parameter that the source does not have. A function does without the parameters that it has.
#[cfg(feature = "catalog")]
fn unknown_param(name: &str, known: &[Param]) -> String {
    let known: Vec<&str> = known.iter().map(|param| param.name.as_str()).collect();
    match crate::reader::meant(name, &known) {
        Some(meant) => format!("this source has no such parameter; did you mean {meant}?"),
        None => "this source has no such parameter: leave it out".to_owned(),
    }
}

#[cfg(not(feature = "catalog"))]
fn unknown_param(_: &str, _: &[Param]) -> String {
    "this source has no such parameter: leave it out".to_owned()
}
