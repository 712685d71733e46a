//! An observer of the program's log, which counts how deliveries end.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Numbers of events by name.
pub(crate) type Counts = Arc<Mutex<BTreeMap<String, u64>>>;

/// A `tracing` subscriber that counts the outcomes in the log.
pub(crate) struct Observer {
    pub(crate) counts: Counts,
    /// True if the log is also printed.
    pub(crate) shows: bool,
}

#[derive(Default)]
struct Told {
    message: String,
    outcome: Option<String>,
    class: Option<String>,
    error: Option<String>,
    all: Option<String>,
}

impl Visit for Told {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "outcome" => self.outcome = Some(value.to_owned()),
            "class" => self.class = Some(value.to_owned()),
            _ => {}
        }
        self.show(field, &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.show(field, &value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            // Writing to a `String` never fails.
            "message" => drop(write!(self.message, "{value:?}")),
            "error" => self.error = Some(format!("{value:?}")),
            _ => {}
        }
        self.show(field, value);
    }
}

impl Told {
    fn show(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if let Some(all) = &mut self.all {
            let _ = write!(all, " {}={value:?}", field.name());
        }
    }
}

impl Subscriber for Observer {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut told = Told { all: self.shows.then(String::new), ..Told::default() };
        event.record(&mut told);
        if let Some(all) = &told.all {
            eprintln!("{}{all}", told.message);
        }
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut count = |name: String| *counts.entry(name).or_default() += 1;
        match told.message.as_str() {
            "delivery" | "target" => {
                let outcome = told.outcome.unwrap_or_default();
                if outcome == "spilled" {
                    let tried = if told.class.as_deref() == Some("always") { "untried" } else { "tried" };
                    count(format!("outcome spilled {tried}"));
                } else if outcome == "dead" {
                    let why = if told.class.as_deref() == Some("unrenderable") {
                        "unrenderable"
                    } else {
                        "refused"
                    };
                    count(format!("outcome dead {why}"));
                } else {
                    count(format!("outcome {outcome}"));
                }
                if let Some(class) = told.class {
                    count(format!("class {class}"));
                }
            }
            "not redriven" => {
                let error = told.error.unwrap_or_default();
                let class = error.split(':').next().unwrap_or_default();
                count(format!("class {class}"));
                count("redriver failed".to_owned());
            }
            "redriven" => count("redriver sent".to_owned()),
            "moved to dead/" => count("redriver dead".to_owned()),
            _ => {}
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
