//! Destinations of a hook's deliveries: the keys `topic` and `targets`.

use super::target::Named;
use crate::message::Template;
use crate::queue::{Target, Vendor};
use crate::reader::{At, Table};

/// Destinations of a hook's deliveries.
#[derive(Debug)]
pub(super) struct Topics {
    /// Targets of the hook. Empty for the queue of the function that receives the delivery.
    targets: Vec<Target>,
    topics: Vec<Topic>,
}

/// Topic for a vendor's queues, or for a single target.
#[derive(Debug)]
struct Topic {
    of: Target,
    /// Template of the topic's name, or `None` if it has mistakes.
    template: Option<Template>,
}

impl Topics {
    /// Returns the targets of deliveries that a function of this vendor receives.
    pub(super) fn targets(&self, own: Vendor) -> Vec<Target> {
        if self.targets.is_empty() { vec![own.into()] } else { self.targets.clone() }
    }

    /// Returns the topic for a target, if it is sound.
    pub(super) fn of(&self, target: &Target) -> Option<&Template> {
        self.topic(target)?.template.as_ref()
    }

    /// Finds the target's own topic, else the topic of its vendor.
    fn topic(&self, target: &Target) -> Option<&Topic> {
        let named = |name: &str| self.topics.iter().find(|topic| topic.of.name() == name);
        named(target.name()).or_else(|| named(target.vendor().as_str()))
    }

    /// Returns true if any topic is for this vendor.
    pub(super) fn any(&self, vendor: Vendor) -> bool {
        self.topics.iter().any(|topic| topic.of.vendor() == vendor)
    }

    /// Returns the sound topics.
    pub(super) fn templates(&self) -> impl Iterator<Item = &Template> {
        self.topics.iter().filter_map(|topic| topic.template.as_ref())
    }
}

/// Reads both keys. Mistakes are added to the table; `None` if no topic is given.
pub(super) fn read(table: &Table<'_>, known: &[Named]) -> Option<Topics> {
    let targets = targets(table, known);
    let topics = topics(table, &targets)?;
    let topics = Topics { targets, topics };
    for target in &topics.targets {
        if topics.topic(target).is_none() {
            table.error(
                "topic",
                format!("has no topic for {target}, which is in targets: write {{ {target} = \"…\" }}"),
            );
        }
    }
    Some(topics)
}

fn targets(table: &Table<'_>, known: &[Named]) -> Vec<Target> {
    let Some(names) = table.strings("targets") else { return Vec::new() };
    if names.value.is_empty() {
        table.error("targets", "an empty list sends nothing: leave it out for the function's own queue");
    }
    let mut targets: Vec<Target> = Vec::new();
    for name in names.value {
        let error = |message| table.error_at(name.offset, "targets", message);
        match find(name.value, known.iter().map(|named| &named.target)) {
            Some(target) if targets.contains(&target) => error(format!("{target} is listed twice")),
            Some(target) => targets.push(target),
            None => error(format!("there is no valid [targets.{}]", name.value)),
        }
    }
    targets
}

/// Finds a target by name. The environment's own targets are named like their vendors.
fn find<'t>(name: &str, mut named: impl Iterator<Item = &'t Target>) -> Option<Target> {
    Vendor::named(name).map(Target::from).or_else(|| named.find(|target| target.name() == name).cloned())
}

/// Reads the key `topic`. A single string is for TDMQ if it contains a `/`, else for RocketMQ. A table names
/// vendors or targets.
fn topics(table: &Table<'_>, targets: &[Target]) -> Option<Vec<Topic>> {
    let durable = table.bool("durable").is_none_or(|d| d.value);
    if table.is_str("topic") {
        let text = table.str("topic")?;
        let Some(vendor) = Vendor::of_topic(text.value) else {
            table.error(
                "topic",
                format!(
                    "does not show by its form which vendor it is for: write {{ {} = \"…\" }}",
                    Vendor::ALL[0].as_str()
                ),
            );
            return None;
        };
        return Some(vec![topic(table, "topic", vendor.into(), text, durable)]);
    }
    if !table.has("topic") {
        table.error("topic", "is missing: write the topic that deliveries go to");
        return None;
    }
    let each = table.table("topic")?;
    let before = table.mistakes().errors();
    let mut topics = Vec::new();
    for (name, text) in each.named_strings() {
        match find(name.value, targets.iter()) {
            Some(of) => topics.push(topic(&each, name.value, of, text, durable)),
            None => each.error_at(
                name.offset,
                name.value,
                format!(
                    "is neither a vendor ({}) nor one of the hook's targets",
                    Vendor::ALL.map(Vendor::as_str).join(", ")
                ),
            ),
        }
    }
    if topics.is_empty() && table.mistakes().errors() == before {
        let each = Vendor::ALL.map(|vendor| format!("{} = \"…\"", vendor.as_str()));
        table.error("topic", format!("is empty: write {{ {} }}", each.join(", ")));
    }
    Some(topics)
}

fn topic(table: &Table<'_>, key: &str, of: Target, text: At<&str>, durable: bool) -> Topic {
    let template = match Template::parse(text.value) {
        Ok(template) => Some(template),
        Err(error) => {
            table.error_at(text.offset, key, error);
            None
        }
    };
    // The text `xxx` stands for any value of a placeholder. It is long enough to be a topic by itself.
    let outline = template.as_ref().map(|template| template.outline("xxx"));
    if let Some(outline) = outline {
        if let Err(error) = (of.vendor().spec().check_topic)(&outline) {
            table.error_at(text.offset, key, error);
        }
        if outline.starts_with("non-persistent:") && durable {
            let message = "a non-persistent topic stores nothing: write durable = false to accept that";
            table.error_at(text.offset, key, message);
        }
    }
    Topic { of, template }
}
