//! What is to be known of a preset: for `hookmq sources`, documentation and tests.

use std::time::Duration;

use super::field::Field;
use super::presets::{Notes, Param, Preset, preset_text};
use super::{BuildError, error};
use crate::delivery::Coverage;
use crate::http::Response;

/// What is to be known of a preset.
#[derive(Clone, Debug)]
pub struct Info {
    /// As in `source = "…"`.
    pub name: &'static str,
    /// Whose webhooks these are.
    pub about: String,
    /// What goes into `secrets`, in the provider's words.
    pub secret: String,
    /// What is to be set at the provider, beside the address and the secret.
    pub setup: Option<String>,
    /// `kind` of its `[verify]` table.
    pub kind: &'static str,
    /// `confirmed` or `unconfirmed`.
    pub confidence: String,
    /// What the scheme is known from.
    pub evidence: String,
    /// Whether a change of the body is noticed.
    pub covers_body: bool,
    /// Whether the hook needs its `url`, because the sender signs it.
    pub signs_url: bool,
    /// How old a request may be, where it says when it was signed.
    pub max_age: Option<Duration>,
    /// How far that may lie ahead of our clock.
    pub max_ahead: Option<Duration>,
    /// Where the delivery's id is read; the first place that has it counts. Empty: a hash of the body.
    pub id: Vec<String>,
    /// Where the event's name is read, likewise.
    pub event: Vec<String>,
    /// Where the subject is read, likewise.
    pub subject: Vec<String>,
    /// Parameters.
    pub params: Vec<Param>,
    /// In which the sender wants its answer.
    pub deadline: Duration,
    /// The value of `Allow`.
    pub methods: &'static str,
    /// The answer to a delivery.
    pub ack: Response,
    /// The status for what is not authentic.
    pub refusal: u16,
    /// The preset itself, in TOML.
    pub data: &'static str,
}

/// What is known of the preset `name`; for another name, which one may be meant.
pub fn preset_info(name: &str) -> Result<Info, BuildError> {
    let unknown = |message| error("source", message);
    let (name, data) = preset_text(name).map_err(unknown)?;
    let preset = Preset::parse(name, data).map_err(unknown)?;
    let Preset { notes, params, profile, scheme, .. } = preset;
    let Notes { about, secret, setup, confidence, evidence } = notes;
    let texts = |fields: &[Field]| fields.iter().map(ToString::to_string).collect();
    Ok(Info {
        name,
        about,
        secret,
        setup,
        kind: scheme.kind.as_str(),
        confidence,
        evidence,
        covers_body: scheme.coverage() == Coverage::Body,
        signs_url: scheme.needs_url(),
        max_age: scheme.max_age(),
        max_ahead: scheme.timestamp.as_ref().map(|window| window.future),
        id: texts(&scheme.id),
        event: texts(&scheme.event),
        subject: texts(&scheme.subject),
        params,
        deadline: profile.deadline,
        methods: profile.methods,
        ack: profile.ack.response("accepted", "…"),
        refusal: profile.ack.refusal(),
        data,
    })
}
