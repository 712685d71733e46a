//! One `[hooks.NAME]` table.

use std::time::Duration;

use super::keeping::{self, Keeping};
use super::rate::{self, Rate};
use super::{Reading, Rotation, keys};
use crate::message::{Format, Place, Placeholder, Recipe, Template};
use crate::queue::Vendor;
use crate::reader::{At, Table};

/// Largest body by default: what a synchronous Lambda invocation can carry.
pub(super) const MAX_BODY: usize = 6 * 1024 * 1024;

/// The longest that a hook may take to answer: no sender waits longer, and no gateway.
const MAX_DEADLINE: Duration = Duration::from_secs(60);

/// A configured endpoint.
#[derive(Debug)]
pub struct Hook {
    /// `[a-z0-9-]{1,63}`
    pub name: String,
    /// Path under `BASE_PATH`.
    pub path: String,
    /// How requests are verified.
    pub source: Rotation,
    /// The value of `Allow`.
    pub methods: &'static str,
    /// The status of a request that is not authentic.
    pub refusal: u16,
    /// The answer must be out within this time.
    pub deadline: Duration,
    /// Largest body, in bytes.
    pub max_body: usize,
    /// What becomes of deliveries that the queue does not take.
    pub keeping: Keeping,
    /// How many verified deliveries it takes; `None`: all.
    pub rate: Option<Rate>,
    type_prefix: Option<String>,
    events: Option<Vec<String>>,
    tdmq: Option<Template>,
    rocketmq: Option<Template>,
    format: Format,
    keep_original: bool,
    key: Option<Template>,
    tag: Option<Template>,
}

impl Hook {
    /// Whether deliveries of this event are forwarded; others are acknowledged and dropped.
    pub fn wants(&self, event: Option<&str>) -> bool {
        self.events.as_ref().is_none_or(|wanted| event.is_some_and(|e| wanted.iter().any(|w| w == e)))
    }

    /// How to make messages for a vendor; `None` if the hook has no topic there.
    pub fn recipe<'h>(&'h self, vendor: Vendor, source_uri: &'h str) -> Option<Recipe<'h>> {
        let topic = match vendor {
            Vendor::Tdmq => self.tdmq.as_ref(),
            Vendor::Rocketmq => self.rocketmq.as_ref(),
        }?;
        Some(Recipe {
            topic,
            is_topic: match vendor {
                Vendor::Tdmq => |topic| Vendor::Tdmq.check_topic(topic).is_ok(),
                Vendor::Rocketmq => |topic| Vendor::Rocketmq.check_topic(topic).is_ok(),
            },
            format: self.format,
            keep_original: self.keep_original,
            key: self.key.as_ref(),
            tag: self.tag.as_ref(),
            source_uri,
            type_prefix: self.type_prefix.as_deref(),
        })
    }
}

/// The hook's path, which a broken hook has too: it answers 503 there. `None` if nobody can tell.
pub(super) fn path(name: &At<&str>, table: &Table<'_>) -> Option<String> {
    if !table.has("path") {
        return Some(format!("/{}", name.value));
    }
    let path = table.str("path")?;
    let fits = path.value.starts_with('/')
        && path.value.len() > 1
        && !path.value.starts_with("/_/")
        && !path.value.ends_with('/')
        && path.value.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._~".contains(&b))
        && !path.value.contains("//");
    if fits {
        return Some(path.value.to_owned());
    }
    table.error("path", r#"write a path such as "/erp/orders": letters, digits, "-._~", not under "/_/""#);
    None
}

/// Reads the rest of the table. Mistakes go to the table; `None` if there is too little to go on.
pub(super) fn read(name: &At<&str>, path: &str, table: &Table<'_>, with: Reading<'_>) -> Option<Hook> {
    let well_named = (1..=63).contains(&name.value.len())
        && name.value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !well_named {
        table.error("", "a hook's name is 1 to 63 of a-z, 0-9 and \"-\"");
    }
    let keys = keys::read(name.value, table, with);
    let topics = topics(table);
    let events = table.strings("events").map(|list| {
        if list.value.is_empty() {
            table.error("events", "an empty list would drop every delivery: leave it out to take all");
        }
        list.value.iter().map(|event| event.value.to_owned()).collect()
    });
    let format = match table.str("format").map(|f| f.value) {
        None | Some("cloudevents") => Format::CloudEvents,
        Some("raw") => Format::Raw,
        Some(_) => {
            table.error("format", r#"write "cloudevents" or "raw""#);
            Format::CloudEvents
        }
    };
    let keep_original = table.bool("keep_original").is_some_and(|at| at.value);
    let key = template(table, "key", Place::Key);
    let tag = template(table, "tag", Place::Tag);
    let deadline = table.duration("deadline").map(|d| d.value);
    if deadline.is_some_and(|d| d < Duration::from_millis(500) || d > MAX_DEADLINE) {
        table.error("deadline", "write a time from \"500ms\" to \"60s\"");
    }
    let max_body = table.size("max_body").map_or(MAX_BODY, |size| size.value);
    if max_body == 0 {
        table.error("max_body", "a hook that takes no body takes no delivery");
    }
    let rate = rate::read(table);
    let keeping = keeping::read(table, with.env, format, keys.as_ref().map(|(source, _)| &**source));
    let (tdmq, rocketmq) = topics?;
    let (source, rotation) = keys?;
    if !source.names_events() && events.is_some() {
        table.error("events", "this source names no events");
    }
    for (at, template) in [("topic", &tdmq), ("topic", &rocketmq), ("key", &key), ("tag", &tag)] {
        for placeholder in template.iter().flat_map(Template::placeholders) {
            match placeholder {
                Placeholder::Event if !source.names_events() => {
                    table.error(at, "this source names no events: leave {event} out");
                }
                Placeholder::Header(name) if source.reads_token_from(name) => {
                    table.error(at, format!("{placeholder} is the token, which never leaves"));
                }
                _ => {}
            }
        }
    }
    if keep_original && (!source.decrypts() || format == Format::Raw) {
        table.error("keep_original", "needs encrypted events and format = \"cloudevents\": leave it out");
    }
    for warning in source.warnings() {
        table.warning(if table.has("verify") { "verify" } else { "source" }, warning);
    }
    if format == Format::Raw && tdmq.is_some() {
        table.warning("format", "a raw TDMQ message carries no delivery id: consumers cannot tell repeats");
    }
    if (key.is_some() || tag.is_some()) && rocketmq.is_none() && format == Format::Raw {
        table.warning("key", "TDMQ has neither keys nor tags, and raw carries none");
    }
    Some(Hook {
        name: name.value.to_owned(),
        path: path.to_owned(),
        deadline: deadline.unwrap_or_else(|| source.deadline()),
        methods: source.methods(),
        refusal: source.refusal_status(),
        type_prefix: source.type_prefix().map(str::to_owned),
        source: rotation,
        max_body,
        keeping,
        rate,
        events,
        tdmq,
        rocketmq,
        format,
        keep_original,
        key,
        tag,
    })
}

/// The topics of both vendors. One string is TDMQ's with a `/` and RocketMQ's without.
fn topics(table: &Table<'_>) -> Option<(Option<Template>, Option<Template>)> {
    let durable = table.bool("durable").is_none_or(|d| d.value);
    let read = |table: &Table<'_>, key: &'static str, vendor| {
        let template = template(table, key, Place::Topic)?;
        check_topic(table, key, &template, vendor, durable);
        Some(template)
    };
    if table.is_str("topic") {
        let is_tdmq = table.str("topic").is_some_and(|topic| topic.value.contains('/'));
        return Some(if is_tdmq {
            (read(table, "topic", Vendor::Tdmq), None)
        } else {
            (None, read(table, "topic", Vendor::Rocketmq))
        });
    }
    if !table.has("topic") {
        table.error("topic", "is missing: write the topic that deliveries go to");
        return None;
    }
    let both = table.table("topic")?;
    let topics = (read(&both, "tdmq", Vendor::Tdmq), read(&both, "rocketmq", Vendor::Rocketmq));
    if !both.has("tdmq") && !both.has("rocketmq") {
        table.error("topic", "names no topic: write { tdmq = \"…\", rocketmq = \"…\" }");
    }
    both.finish();
    Some(topics)
}

fn check_topic(table: &Table<'_>, key: &'static str, topic: &Template, vendor: Vendor, durable: bool) {
    // Stands for any value that a placeholder of a topic may have: long enough by itself.
    let outline = topic.outline("xxx");
    if let Err(error) = vendor.check_topic(&outline) {
        table.error(key, error);
    }
    if outline.starts_with("non-persistent:") && durable {
        table.error(key, "a non-persistent topic stores nothing: write durable = false to accept that");
    }
}

fn template(table: &Table<'_>, key: &'static str, place: Place) -> Option<Template> {
    let text = table.str(key)?;
    match Template::parse(text.value) {
        Ok(template) => {
            let outline = template.outline("x");
            let fits = match place {
                Place::Tag => !outline.contains(|c: char| c.is_whitespace() || c.is_control() || c == '|'),
                Place::Key => !outline.contains(|c: char| c.is_whitespace() || c.is_control()),
                // A vendor's own rules: `check_topic`.
                Place::Topic => true,
            };
            if !fits {
                table.error_at(text.offset, key, "no blank, no control character and, in a tag, no \"|\"");
            }
            Some(template)
        }
        Err(error) => {
            table.error_at(text.offset, key, error);
            None
        }
    }
}
