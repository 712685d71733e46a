//! What a hook does with deliveries that the queue cannot take, cannot take now, or has taken before.

use std::time::Duration;

use crate::env::Env;
use crate::message::Format;
use crate::reader::Table;
use crate::source::Source;

/// The longest time for which repeats are known: a store's lifecycle ends marks a day later.
const MAX_DEDUPE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// When a delivery goes to the spill store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// When the queue did not take it in time.
    OnFailure,
    /// First of all; it is sent later.
    Always,
    /// Never.
    Never,
}

/// What becomes of a body that no message can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oversize {
    /// 413
    Reject,
    /// It goes to the store, and the message refers to it.
    Reference,
}

/// The keys `spill`, `oversize`, `dedupe` and `quarantine`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeping {
    /// When deliveries are spilled.
    pub spill: Mode,
    /// What becomes of those that are too large.
    pub oversize: Oversize,
    /// For how long a repeat is not sent again.
    pub dedupe: Option<Duration>,
    /// Whether requests that fail verification are kept.
    pub quarantine: bool,
}

/// Reads the keys; what they need must be there.
pub(super) fn read(table: &Table<'_>, env: &Env, format: Format, source: Option<&Source>) -> Keeping {
    let is_set = |variable: &str| env.get(variable).is_some();
    let needs = |key: &str, variable: &str| {
        if !is_set(variable) {
            table.error(key, format!("needs a store: set {variable}, or leave it out"));
        }
    };
    let spill = match table.str("spill").map(|at| at.value) {
        None if is_set("SPILL_URL") => Mode::OnFailure,
        None | Some("never") => Mode::Never,
        Some(text @ ("on-failure" | "always")) => {
            needs("spill", "SPILL_URL");
            if text == "always" { Mode::Always } else { Mode::OnFailure }
        }
        Some(_) => {
            table.error("spill", r#"write "on-failure", "always" or "never""#);
            Mode::Never
        }
    };
    let carries_references = format == Format::CloudEvents;
    let oversize = match table.str("oversize").map(|at| at.value) {
        None if is_set("SPILL_URL") && carries_references => Oversize::Reference,
        None | Some("reject") => Oversize::Reject,
        Some("reference") => {
            needs("oversize", "SPILL_URL");
            if !carries_references {
                table.error("oversize", "\"reference\" needs format = \"cloudevents\": write \"reject\"");
            }
            Oversize::Reference
        }
        Some(_) => {
            table.error("oversize", r#"write "reject" or "reference""#);
            Oversize::Reject
        }
    };
    let dedupe = table.duration("dedupe").map(|at| at.value);
    if let Some(window) = dedupe {
        needs("dedupe", "SPILL_URL");
        if window < Duration::from_secs(60) || window > MAX_DEDUPE {
            table.error("dedupe", "write a time from \"1m\" to \"168h\"");
        }
        if source.is_some_and(|source| !source.names_deliveries()) {
            table.error("dedupe", "this source gives its deliveries no id: what looks alike may be two");
        }
    }
    let quarantine = table.bool("quarantine").is_some_and(|at| at.value);
    if quarantine {
        needs("quarantine", "QUARANTINE_URL");
    }
    Keeping { spill, oversize, dedupe, quarantine }
}
