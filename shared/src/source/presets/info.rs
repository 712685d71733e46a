//! Descriptions of presets, for `hookmq sources`, documentation and tests.

use std::time::Duration;

use crate::delivery::Coverage;
use crate::http::Response;
use crate::source::presets::{Evidence, Notes, Param, Preset, Retries, preset_text};
use crate::source::scheme::field::Field;
use crate::source::scheme::window::Window;
use crate::source::{BuildError, Source, error};

/// Description of a preset.
#[derive(Clone, Debug)]
pub struct Info {
    /// Name of the preset, as in `source = "…"`.
    pub name: &'static str,
    /// Provider of these webhooks.
    pub about: String,
    /// Content of `secrets`, in the provider's words.
    pub secret: String,
    /// Settings to make at the provider, in addition to the address and the secret.
    pub setup: Option<String>,
    /// `kind` of its `[verify]` table.
    pub kind: &'static str,
    /// Confidence in the scheme: `confirmed` or `unconfirmed`.
    pub confidence: String,
    /// Sources of the knowledge about the scheme, each of which was opened.
    pub evidence: Vec<Evidence>,
    /// Description of what was looked up, for a scheme that no opened source confirms.
    pub tried: Option<String>,
    /// Repetitions of a delivery by the sender, for a scheme with a timestamp.
    pub retries: Option<Retries>,
    /// True if a compressed body is decompressed before it is verified and forwarded.
    pub inflates: bool,
    /// Names of events that the provider is known to send.
    pub events: Vec<String>,
    /// True if verification notices a changed body.
    pub covers_body: bool,
    /// True if the hook needs its `url`, because the sender signs it.
    pub signs_url: bool,
    /// Upper bound on the age of a request, if the request says when it was signed.
    pub max_age: Option<Duration>,
    /// Time after the end that a token names, in which it is still accepted; `None` if there is none.
    pub lapse: Option<Duration>,
    /// Upper bound on how far a request's timestamp may be ahead of our clock.
    pub max_ahead: Option<Duration>,
    /// Places of the delivery's id, of which the first that is present counts. If empty, the id is a hash of
    /// the message.
    pub id: Vec<String>,
    /// Places of the event's name, of which the first that is present counts.
    pub event: Vec<String>,
    /// Places of the subject, of which the first that is present counts.
    pub subject: Vec<String>,
    /// Parameters that the preset takes from `params`.
    pub params: Vec<Param>,
    /// Time within which the sender wants its answer.
    pub deadline: Duration,
    /// Value of the header field `Allow`.
    pub methods: &'static str,
    /// Answer to an accepted delivery.
    pub ack: Response,
    /// Status for a request that is not authentic.
    pub refusal: u16,
    /// Text of the preset's file, in TOML.
    pub data: &'static str,
}

/// Returns the description of the preset `name`. The error for an unknown name suggests similar ones.
pub fn preset_info(name: &str) -> Result<Info, BuildError> {
    let unknown = |message| error("source", message);
    let (name, data) = preset_text(name).map_err(unknown)?;
    let preset = Preset::parse(name, data).map_err(unknown)?;
    let Preset { notes, params, profile, scheme, .. } = preset;
    let Notes { about, secret, setup, confidence, tried, evidence, retries } = notes;
    let texts = |fields: &[Field]| fields.iter().map(ToString::to_string).collect();
    Ok(Info {
        name,
        about,
        secret,
        setup,
        kind: scheme.kind.as_str(),
        confidence,
        evidence,
        tried,
        retries,
        inflates: scheme.decode.inflates(),
        events: profile.sample.events,
        covers_body: scheme.coverage() == Coverage::Body,
        signs_url: scheme.needs_url(),
        max_age: scheme.max_age(),
        lapse: scheme.lapse(),
        max_ahead: scheme.timestamp.as_ref().map(|window| window.future),
        id: texts(&scheme.id),
        event: texts(&scheme.event),
        subject: texts(&scheme.subject),
        params,
        deadline: profile.deadline,
        methods: profile.methods,
        ack: profile.ack.response("accepted", "…"),
        refusal: profile.ack.refusal().status(),
        data,
    })
}

impl Source {
    /// Returns the window of a preset whose sender's retries are not documented, unless the hook has a `window` or
    /// can have none.
    pub fn open_window(&self) -> Option<Duration> {
        let Preset { scheme, notes, .. } = Preset::load(self.preset?).ok()?;
        let is_expiry = scheme.timestamp.as_ref().is_some_and(Window::is_expiry);
        let is_open = !is_expiry && notes.retries.is_some_and(|retries| retries.is_open());
        self.scheme.max_age().filter(|age| is_open && scheme.max_age() == Some(*age))
    }
}
