//! Handling of deliveries that the queue cannot take, cannot take now, or has taken before.

use std::time::Duration;

use crate::env::Env;
use crate::message::Format;
use crate::reader::Table;
use crate::source::Source;
use crate::{quarantine, spill};

/// Upper bound on `dedupe`. The lifecycle of a store deletes marks a day after this time.
const MAX_DEDUPE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Condition for writing a delivery to the spill store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Failure of the queue to take the delivery in time.
    OnFailure,
    /// Every delivery, which is stored first and sent later.
    Always,
    /// Disabled spilling: a failed delivery is not stored.
    Never,
}

/// Handling of a body that is too large for any message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oversize {
    /// Refusal with 413.
    Reject,
    /// Storage of the body in the spill store; the message refers to the stored body.
    Reference,
}

/// Values of the keys `spill`, `oversize`, `dedupe` and `quarantine`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeping {
    /// Condition for spilling a delivery.
    pub spill: Mode,
    /// Handling of deliveries that are too large for a message.
    pub oversize: Oversize,
    /// Time for which a repeat of a delivery is not sent again.
    pub dedupe: Option<Duration>,
    /// True if requests that fail verification are kept.
    pub quarantine: bool,
}

/// Reads the keys. A key that needs a store without a configured store is a mistake.
pub(super) fn read(table: &Table<'_>, env: &Env, format: Format, source: Option<&Source>) -> Keeping {
    let is_set = |variable: &str| env.get(variable).is_some();
    let needs = |key: &str, variable: &str| {
        if !is_set(variable) {
            table.error(key, format!("needs a store: set {variable}, or leave it out"));
        }
    };
    let spill = match table.str("spill").map(|at| at.value) {
        None if is_set(spill::VARIABLE) => Mode::OnFailure,
        None | Some("never") => Mode::Never,
        Some(text @ ("on-failure" | "always")) => {
            needs("spill", spill::VARIABLE);
            if text == "always" { Mode::Always } else { Mode::OnFailure }
        }
        Some(_) => {
            table.error("spill", r#"write "on-failure", "always" or "never""#);
            Mode::Never
        }
    };
    let carries_references = format == Format::CloudEvents;
    let oversize = match table.str("oversize").map(|at| at.value) {
        None if is_set(spill::VARIABLE) && carries_references => Oversize::Reference,
        None | Some("reject") => Oversize::Reject,
        Some("reference") => {
            needs("oversize", spill::VARIABLE);
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
        needs("dedupe", spill::VARIABLE);
        if window < Duration::from_secs(60) || window > MAX_DEDUPE {
            table.error("dedupe", "write a time from \"1m\" to \"168h\"");
        }
        if source.is_some_and(|source| !source.names_deliveries()) {
            table.error(
                "dedupe",
                "this source gives its deliveries no id: two that look alike may be different ones",
            );
        }
    }
    let quarantine = table.bool("quarantine").is_some_and(|at| at.value);
    if quarantine {
        needs("quarantine", quarantine::VARIABLE);
    }
    Keeping { spill, oversize, dedupe, quarantine }
}
