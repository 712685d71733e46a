//! `hookmq check --asyncapi`: the channels and messages of a hooks file as an AsyncAPI 3 document, for the people who
//! write consumers.

use hookmq_shared::config::{Config, Hook};
use hookmq_shared::message::{Format, Placeholder, Recipe, Template};
use hookmq_shared::queue::{Target, Vendor};
use serde_json::{Map, Value, json};

use crate::check;

/// Schema of the envelope, to which each hook adds what is constant in its messages.
const ENVELOPE: &str = include_str!("../../docs/message.schema.json");

/// Name of the envelope's schema in the document.
const SCHEMA: &str = "envelope";

/// Describes every pair of a hook and a target that its deliveries may go to.
pub(crate) fn document(config: &Config) -> Value {
    let (mut channels, mut operations, mut messages) = (Map::new(), Map::new(), Map::new());
    for target in check::targets(config) {
        for hook in config.hooks().filter(|hook| is_sent(hook, &target)) {
            let Some(recipe) = hook.recipe(&target, &config.source_uri) else { continue };
            let name = format!("{}-{}", hook.name, target.name());
            channels.insert(name.clone(), channel(hook, &target, &recipe, &name));
            operations.insert(
                name.clone(),
                json!({
                    "action": "send",
                    "channel": { "$ref": format!("#/channels/{name}") },
                    "messages": [{ "$ref": format!("#/channels/{name}/messages/delivery") }],
                }),
            );
            messages.insert(name, message(hook, &target, &recipe));
        }
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Deliveries of webhooks",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Messages that hookmq sends: at least once, and not in order. The hooks file does not say where \
                            consumers reach the brokers, so servers are not named here.",
        },
        "channels": channels,
        "operations": operations,
        "components": { "messages": messages, "schemas": { SCHEMA: envelope() } },
    })
}

/// Returns true if deliveries of the hook go to the target, whichever function receives them.
fn is_sent(hook: &Hook, target: &Target) -> bool {
    Vendor::ALL.into_iter().any(|vendor| hook.targets(vendor).contains(target))
}

/// Returns the schema without what belongs to a file of its own.
fn envelope() -> Value {
    let mut schema: Value = serde_json::from_str(ENVELOPE).unwrap_or_default();
    if let Some(members) = schema.as_object_mut() {
        members.remove("$schema");
    }
    schema
}

fn channel(hook: &Hook, target: &Target, recipe: &Recipe<'_>, name: &str) -> Value {
    let mut channel = json!({
        "address": outline(recipe.topic),
        "title": format!("Topic of the hook {} on {}", hook.name, target.name()),
        "messages": { "delivery": { "$ref": format!("#/components/messages/{name}") } },
    });
    let parameters: Map<String, Value> =
        recipe.topic.placeholders().map(|value| (parameter(value), described(hook, value))).collect();
    if !parameters.is_empty() {
        channel["parameters"] = parameters.into();
    }
    channel
}

/// Returns the topic with its placeholders as AsyncAPI spells parameters.
fn outline(topic: &Template) -> String {
    let mut placeholders = topic.placeholders();
    let mut text = topic.outline("\0");
    while text.contains('\0') {
        let value = placeholders.next().map(|value| format!("{{{}}}", parameter(value)));
        text = text.replacen('\0', &value.unwrap_or_default(), 1);
    }
    text
}

/// Returns the name of a placeholder's parameter, which has fewer characters to choose from.
fn parameter(placeholder: &Placeholder) -> String {
    let spelled = placeholder.to_string();
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    spelled.trim_matches(['{', '}']).replace(|c| !is_allowed(c), "_")
}

fn described(hook: &Hook, placeholder: &Placeholder) -> Value {
    let mut parameter = json!({ "description": match placeholder {
        Placeholder::Event => "Name of the event.".to_owned(),
        Placeholder::Id => "Id of the delivery.".to_owned(),
        Placeholder::Hook => "Name of the hook.".to_owned(),
        Placeholder::Header(name) => format!("Value of the header field {name}."),
        Placeholder::Json(path) => format!("Value of {path} in the body."),
    }});
    match placeholder {
        Placeholder::Event => {
            if let Some(events) = whole_names(hook) {
                parameter["enum"] = events.into();
            }
        }
        Placeholder::Id => parameter["location"] = "$message.payload#/id".into(),
        Placeholder::Hook => parameter["enum"] = json!([hook.name]),
        Placeholder::Header(_) => {}
        Placeholder::Json(path) => {
            parameter["location"] = format!("$message.payload#/data/{}", path.replace('.', "/")).into();
        }
    }
    parameter
}

/// Returns the events that the hook forwards, if its table names each of them.
fn whole_names(hook: &Hook) -> Option<Vec<String>> {
    let events = hook.wanted()?;
    (!events.iter().any(|event| event.ends_with('*'))).then_some(events)
}

fn message(hook: &Hook, target: &Target, recipe: &Recipe<'_>) -> Value {
    let prefix = recipe.type_prefix.map_or_else(|| format!("webhook.{}", hook.name), str::to_owned);
    let kind = match whole_names(hook) {
        Some(events) => {
            json!({ "enum": events.iter().map(|event| format!("{prefix}.{event}")).collect::<Vec<_>>() })
        }
        None => json!({ "type": "string", "pattern": format!("^{}(\\..+)?$", prefix.replace('.', "\\.")) }),
    };
    let source = json!({ "const": format!("{}/hooks/{}", recipe.source_uri, hook.name) });
    let mut message = json!({ "title": format!("Delivery of the hook {}", hook.name) });
    let is_envelope = recipe.format == Format::CloudEvents;
    if is_envelope {
        message["contentType"] = "application/cloudevents+json".into();
        message["payload"] = json!({ "allOf": [
            { "$ref": format!("#/components/schemas/{SCHEMA}") },
            { "properties": { "source": source.clone(), "type": kind.clone() } },
        ]});
    } else {
        message["summary"] = "The body as it was verified, byte for byte.".into();
    }
    if target.vendor().spec().carries_attributes {
        message["headers"] = headers(is_envelope, &source, &kind);
    }
    message
}

/// Returns the schema of the properties beside the text.
fn headers(is_envelope: bool, source: &Value, kind: &Value) -> Value {
    let content_type = if is_envelope {
        json!({ "const": "application/cloudevents+json" })
    } else {
        json!({ "type": "string", "description": "Content type of the body." })
    };
    let mut headers = json!({
        "type": "object",
        "required": ["KEYS", "CE_id", "CE_source", "CE_type", "CE_time", "CE_webhookverified"],
        "properties": {
            "KEYS": { "type": "string", "description": "The id, then the hook's key, with a blank between." },
            "CE_contenttype": content_type,
            "CE_id": { "type": "string" },
            "CE_source": source,
            "CE_type": kind,
            "CE_time": { "type": "string" },
            "CE_webhookverified": { "enum": ["body", "request", "none"] },
        },
    });
    if !is_envelope {
        headers["properties"]["CE_specversion"] = json!({ "const": "1.0" });
    }
    headers
}

#[cfg(test)]
mod tests {
    use hookmq_shared::config::{Reading, Samples};
    use hookmq_shared::env::Env;

    use super::*;

    #[test]
    fn each_pair_of_a_hook_and_a_queue_is_a_channel() {
        let hooks = "[hooks.a]\nsource = \"github\"\nsecrets = [\"plain:0123456789abcdef\"]\nevents = [\"push\"]\n\
                     topic = { tdmq = \"t/n/{event}-{json:a.b}\", rocketmq = \"r_{event}\" }\n\
                     [hooks.b]\nsource = \"none\"\nformat = \"raw\"\ntopic = \"r_b\"\n";
        let env = Env::of([("", "")]);
        let config = Config::parse("hooks.toml", hooks, Reading::new(&env, Samples::Refused));
        assert_eq!(config.hooks().count(), 2, "{:?}", config.mistakes);
        let document = document(&config);
        let channels = document["channels"].as_object().unwrap();
        assert_eq!(channels.keys().collect::<Vec<_>>(), ["a-rocketmq", "a-tdmq", "b-rocketmq"]);
        let channel = &channels["a-tdmq"];
        assert_eq!(channel["address"], "t/n/{event}-{json_a_b}");
        assert_eq!(channel["parameters"]["event"]["enum"], json!(["push"]));
        assert_eq!(channel["parameters"]["json_a_b"]["location"], "$message.payload#/data/a/b");
        let messages = &document["components"]["messages"];
        assert_eq!(
            messages["a-tdmq"]["payload"]["allOf"][1]["properties"]["type"]["enum"][0],
            "com.github.push"
        );
        assert_eq!(messages["a-tdmq"]["headers"], Value::Null);
        assert_eq!(messages["a-rocketmq"]["headers"]["properties"]["CE_specversion"], Value::Null);
        assert_eq!(messages["b-rocketmq"]["headers"]["properties"]["CE_specversion"]["const"], "1.0");
        assert_eq!(messages["b-rocketmq"]["payload"], Value::Null);
        assert!(document["components"]["schemas"]["envelope"]["properties"]["id"].is_object());
    }
}
