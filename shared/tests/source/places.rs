//! Tests of the places from which presets read: where a preset has several for one value, or several values that it
//! takes, each of them is needed by a vector, by a case in `tests/cases/web`, or by a line of `tests/cases/names.json`.

use std::collections::BTreeMap;

use hookmq_shared::clock::Timestamp;
use hookmq_shared::http::{Headers, Request};
use hookmq_shared::reader::{Mistakes, Table};
use hookmq_shared::secret::Secret;
use hookmq_shared::source::{Draft, Settings, Source, Verdict, preset_names};
use serde::Deserialize;
use serde_json::{Value, json};
use toml::de::DeTable;

use crate::cases::Case;
use crate::kit::source::{self as kit, NOW, file_of, load, of_case, params_for, random, secret_for, whole};

/// Delivery of a preset's sender, and the names that it has.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    source: String,
    #[serde(default)]
    method: String,
    #[serde(default)]
    query: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: String,
    id: Option<String>,
    event: Option<String>,
    subject: Option<String>,
    /// True if the sender encrypts what it may also send in the clear.
    #[serde(default)]
    sealed: bool,
}

impl Named {
    fn all() -> Vec<Self> {
        serde_json::from_str(include_str!("../cases/names.json")).unwrap()
    }

    fn settings(&self, secret: &str) -> Settings {
        let query = if self.query.is_empty() { String::new() } else { format!("?{}", self.query) };
        Settings {
            secrets: vec![Secret::new(secret)],
            params: params_for(&self.source),
            url: Some(format!("https://example.com/hook{query}")),
        }
    }

    /// Signs the delivery. Returns it with the settings of its receiver.
    fn sent(&self) -> (Request, Settings) {
        let settings = self.settings(&secret_for(&self.source));
        let signer = if self.sealed {
            let mut table = whole(&self.source);
            table["decrypt"].as_object_mut().unwrap().remove("optional");
            own(&table, settings.clone()).unwrap()
        } else {
            Source::preset(&self.source, settings.clone()).unwrap()
        };
        let headers: Headers = self.headers.iter().map(|(name, value)| (name, value.clone())).collect();
        let draft = Draft {
            method: self.method.clone(),
            path: "/hook".to_owned(),
            raw_query: self.query.clone(),
            headers,
            body: Some(self.body.clone().into()),
            ..Draft::default()
        };
        let request =
            signer.sign(draft, 0, NOW, &random()).unwrap_or_else(|e| panic!("{}: {e}", self.source));
        let key = signer.public_key(0).unwrap_or_else(|| secret_for(&self.source));
        (request, Settings { secrets: vec![Secret::new(key)], ..settings })
    }

    fn names(&self) -> [Option<&str>; 3] {
        [self.id.as_deref(), self.event.as_deref(), self.subject.as_deref()]
    }

    /// Returns true if the source takes the delivery and names it as said.
    fn is_named_by(&self, source: &Source, request: Request) -> bool {
        let Verdict::Verified(delivery) = source.check("h", request, NOW) else { return false };
        let id = Some(delivery.id.as_str()).filter(|_| delivery.id_from_provider);
        [id, delivery.event.as_deref(), delivery.subject.as_deref()] == self.names()
    }
}

/// Builds a source of a preset's table that a test has changed; `None` if the table, or what it makes of the settings,
/// is a mistake then.
fn own(table: &Value, settings: Settings) -> Option<Source> {
    let mut table = table.clone();
    // A handshake of a hook's own has no parameters: its token is a secret of the hook.
    for handshake in table.get_mut("handshake").and_then(Value::as_array_mut).into_iter().flatten() {
        let handshake = handshake.as_object_mut().unwrap();
        handshake.remove("enabled_by");
        for key in ["token", "origin"] {
            handshake.get_mut(key).and_then(Value::as_object_mut).map(|named| named.remove("param"));
        }
    }
    let lines =
        table.as_object().unwrap().iter().map(|(key, value)| format!("{key} = {}\n", kit::toml(value)));
    let mut text: String = lines.collect();
    for (name, value) in &settings.params {
        text = text.replace(&format!("{{param:{name}}}"), value);
    }
    // A table of a hook's own takes the parameters of its decryption alone.
    let is_own = |name: &str| ["aes_key", "apiv3_key", "receiver"].contains(&name);
    let params = settings.params.clone().into_iter().filter(|(name, _)| is_own(name)).collect();
    let mistakes = Mistakes::new("preset", &text);
    let document = DeTable::parse(&text).unwrap();
    let table = Table::new(&mistakes, "verify", 0, document.get_ref());
    let source = Source::custom(table, Settings { params, ..settings });
    source.ok()
}

#[test]
fn each_delivery_has_its_names() {
    for named in Named::all() {
        let (request, settings) = named.sent();
        let source = Source::preset(&named.source, settings).unwrap();
        let verdict = source.check("h", request.clone(), NOW);
        assert!(named.is_named_by(&source, request), "{} {}: {verdict:?}", named.source, named.body);
    }
}

/// Place in a table, as the keys and numbers that lead there.
type Path = Vec<String>;

/// Collects the tables that are left if one of several alternatives is taken away, each with what was. Of the names
/// of a delivery the first place is the sample's.
fn without_one(table: &Value) -> Vec<(String, bool, Value)> {
    let mut found = Vec::new();
    visit(table, &mut Vec::new(), &mut |path, value| {
        // The vectors of handshakes are judged by tests of their own.
        if ["ack", "handshake"].contains(&path[0].as_str()) {
            return;
        }
        let key = path.iter().rev().find(|key| key.parse::<usize>().is_err()).unwrap().as_str();
        let is_name = ["id", "event", "subject"].contains(&key) && path.len() <= 2;
        let mut change = |what: String, value: Value| {
            let mut changed = table.clone();
            *path.iter().fold(&mut changed, |at, key| match at {
                Value::Array(items) => &mut items[key.parse::<usize>().unwrap()],
                at => &mut at[key],
            }) = value;
            found.push((format!("{} without {what}", path.join(".")), is_name, changed));
        };
        match value {
            Value::Array(items) if is_name || ["url", "in", "iss", "aud"].contains(&key) => {
                // The first of the names is the sample's, and of the spellings of an address what `sign` writes.
                for place in usize::from(is_name || key == "url")..items.len() {
                    let mut fewer = items.clone();
                    let what = fewer.remove(place);
                    if !fewer.is_empty() {
                        change(what.to_string(), Value::Array(fewer));
                    }
                }
            }
            Value::Bool(true) => change("it".to_owned(), json!(false)),
            Value::String(text) => {
                for (what, fewer) in fewer(text) {
                    change(what, json!(fewer));
                }
            }
            _ => {}
        }
    });
    found
}

fn visit(value: &Value, path: &mut Path, see: &mut dyn FnMut(&Path, &Value)) {
    if !path.is_empty() {
        see(path, value);
    }
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(i, value)| (i.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    for (key, value) in inner {
        path.push(key);
        visit(value, path, see);
        path.pop();
    }
}

/// Returns the texts with one of the alternatives `A|B` left out, each with what it lacks.
fn fewer(text: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (word, without) in [("-*", "-1"), ("#1", "")] {
        if text.starts_with("header:") && text.ends_with(word) {
            all.push((word.to_owned(), text.replace(word, without)));
        }
    }
    for group in text.split(['{', '}']).filter(|group| group.contains('|')) {
        let places: Vec<&str> = group.split('|').collect();
        if !places.iter().all(|place| place.contains(':')) {
            continue;
        }
        for left_out in 0..places.len() {
            let mut fewer = places.clone();
            let what = fewer.remove(left_out).to_owned();
            all.push((what, text.replace(group, &fewer.join("|"))));
        }
    }
    all
}

#[test]
fn each_alternative_is_needed() {
    let named = Named::all();
    let named: Vec<_> = named.iter().map(|named| (named, named.sent())).collect();
    let cases = Case::all();
    let (mut count, mut unneeded) = (0, Vec::new());
    for preset in preset_names() {
        let changed = without_one(&whole(preset));
        if changed.is_empty() {
            continue;
        }
        // Requests that the preset accepts.
        let mut accepted: Vec<(Request, Settings, Timestamp)> = Vec::new();
        for case in load(&file_of(preset))["cases"].as_array().unwrap() {
            if case["expect"] == "accept" {
                let (request, settings) = of_case(case);
                let params = params_for(preset).into_iter().chain(settings.params.clone()).collect();
                let now = Timestamp::from_unix(case["now"].as_i64().unwrap());
                accepted.push((request, Settings { params, ..settings }, now));
            }
        }
        for case in cases.iter().filter(|case| case.source == preset && case.expect == "accept") {
            if let Some(at) = case.at {
                accepted.push((case.request(), case.settings(), Timestamp::from_unix(at)));
            }
        }
        let is_accepted = |table: &Value, (request, settings, now): &(Request, Settings, Timestamp)| {
            own(table, settings.clone()).is_some_and(|source| {
                let verdict = source.check("h", request.clone(), *now);
                matches!(verdict, Verdict::Verified(_) | Verdict::Handshake(_))
            })
        };
        let table = whole(preset);
        accepted.retain(|one| is_accepted(&table, one));
        assert!(!accepted.is_empty(), "{preset}: nothing is accepted by its table");
        let own_named = || named.iter().filter(|(named, _)| named.source == preset);
        for (what, is_name, table) in changed {
            count += 1;
            let is_needed = if is_name {
                own_named().any(|(named, (request, settings))| {
                    let source = own(&table, settings.clone());
                    source.is_none_or(|source| !named.is_named_by(&source, request.clone()))
                })
            } else {
                accepted.iter().any(|one| !is_accepted(&table, one))
            };
            if !is_needed {
                unneeded.push(format!("{preset}: {what}"));
            }
        }
    }
    assert!(unneeded.is_empty(), "no request needs {} of {count}:\n{}", unneeded.len(), unneeded.join("\n"));
    assert!(count > 150, "{count}");
}
