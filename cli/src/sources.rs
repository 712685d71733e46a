//! `hookmq sources`: a table of the providers, or all details of one.

use std::fmt::Write as _;
use std::time::Duration;

use hookmq_shared::source::{Evidence, Info, Retries, preset_info, preset_names};
use serde_json::{Value, json};
use toml::de::{DeTable, DeValue};

use crate::{Exit, complain, print};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print all details of this source; default: a table of all sources
    name: Option<String>,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
    /// Print the text of docs/sources.md
    #[arg(long, conflicts_with_all = ["json", "name"])]
    markdown: bool,
}

pub(crate) fn run(args: &Args) -> Exit {
    let names: Vec<&str> = args.name.as_deref().map_or_else(|| preset_names().collect(), |name| vec![name]);
    let infos: Vec<Info> = match names.into_iter().map(preset_info).collect() {
        Ok(infos) => infos,
        Err(error) => {
            complain(error);
            return Exit::Configuration;
        }
    };
    let text = match (&args.name, infos.as_slice()) {
        _ if args.json => format!("{:#}\n", infos.iter().map(to_json).collect::<Value>()),
        _ if args.markdown => markdown(&infos),
        (Some(_), [info]) => details(info),
        _ => table(&infos),
    };
    print(text.as_bytes())
}

const COLUMNS: [&str; 6] = ["name", "kind", "confidence", "body covered", "replay window", "deadline"];

fn row(info: &Info) -> [String; 6] {
    let covered = if info.covers_body { "yes" } else { "no" };
    let [name, kind, confidence] = [info.name, info.kind, &info.confidence].map(str::to_owned);
    [name, kind, confidence, covered.to_owned(), window(info).unwrap_or_default(), span(info.deadline)]
}

fn table(infos: &[Info]) -> String {
    let mut rows = vec![COLUMNS.map(str::to_owned)];
    rows.extend(infos.iter().map(row));
    let abouts = ["about"].into_iter().chain(infos.iter().map(|info| info.about.as_str()));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut text = String::new();
    for (row, about) in rows.iter().zip(abouts) {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.extend([&cells.join("  "), "  ", about, "\n"]);
    }
    let _ = writeln!(text, "\n{} sources, {} of them confirmed", infos.len(), confirmed(infos));
    text
}

fn confirmed(infos: &[Info]) -> usize {
    infos.iter().filter(|info| info.confidence == "confirmed").count()
}

fn details(info: &Info) -> String {
    let mut text = format!("{}: {}\n\n", info.name, info.about);
    for (label, fact) in facts(info) {
        let _ = writeln!(text, "{:<14} {}", format!("{label}:"), fact.replace('`', ""));
    }
    let _ = writeln!(text, "\nThe preset, whose [verify] table a hook of your own may start from:\n");
    for line in info.data.lines() {
        text.extend([if line.is_empty() { "" } else { "    " }, line, "\n"]);
    }
    text
}

fn markdown(infos: &[Info]) -> String {
    let mut text = format!(
        "# Sources\n\n\
         <!-- Made by `cargo run -- sources --markdown > docs/sources.md`: change the presets, not this file. -->\n\n\
         {} providers and schemes, {} of them confirmed from the provider's own documentation, source or \
         library. `hookmq sources NAME` tells the same of one, and shows it as data; \
         [one more](add-a-source.md) is a file.\n\n",
        infos.len(),
        confirmed(infos),
    );
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    text += &line(&COLUMNS.map(str::to_owned));
    text += &line(&COLUMNS.map(|_| "---".to_owned()));
    for info in infos {
        let mut cells = row(info);
        cells[0] = format!("[`{0}`](#{0})", info.name);
        text += &line(&cells);
    }
    for info in infos {
        let _ = write!(text, "\n## {}\n\n{}\n\n", info.name, info.about);
        for (label, fact) in facts(info) {
            let _ = writeln!(text, "- **{label}**: {fact}");
        }
    }
    text
}

/// Lists all facts about a source, each with a label.
fn facts(info: &Info) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    let setup = info.setup.as_deref().unwrap_or("the hook's address as the webhook's URL, and the secret");
    facts.push(("set there", setup.to_owned()));
    facts.push(("secrets", info.secret.clone()));
    for param in &info.params {
        let need = if param.required { "required" } else { "optional" };
        let form = if param.secret { ", a reference" } else { "" };
        facts.push(("params", format!("`{}` ({need}{form}): {}", param.name, param.about)));
    }
    if info.signs_url {
        facts.push(("url", "required, as it is set at the provider, which signs it".to_owned()));
    }
    let covered = if info.covers_body { "the body is covered" } else { "the body is not covered" };
    facts.push(("verified by", format!("`{}`; {covered}", info.kind)));
    facts.push(("replay window", window(info).unwrap_or_else(|| "none".to_owned())));
    for handshake in handshakes(info) {
        facts.push(("handshake", describe(&handshake)));
    }
    let body = if info.ack.body.is_empty() { String::new() } else { format!(" `{}`", info.ack.body) };
    let answer = format!("`{}`{body}, due within {}", info.ack.status, span(info.deadline));
    facts.push(("answered", answer));
    if info.refusal != 401 {
        facts.push(("refused", format!("`{}`", info.refusal)));
    }
    let places =
        |fields: &[String]| fields.iter().map(|f| format!("`{f}`")).collect::<Vec<_>>().join(", else ");
    let id = if info.id.is_empty() {
        "a hash of hook, event, subject and body".to_owned()
    } else {
        places(&info.id)
    };
    facts.push(("id", id));
    for (label, fields) in [("event", &info.event), ("subject", &info.subject)] {
        if !fields.is_empty() {
            facts.push((label, places(fields)));
        }
    }
    if info.inflates {
        facts.push(("content coding", "gzip and deflate are undone before verification".to_owned()));
    }
    if let Some(retries) = &info.retries {
        facts.push(("retries", format!("{}: {}", repeated(retries), retries.says)));
        facts.extend(
            retries.valid.map(|valid| ("names its end", format!("{} after its signing", span(valid)))),
        );
    }
    for Evidence { at, says, read } in &info.evidence {
        facts.push(("evidence", format!("{at}, read {read}: {says}")));
    }
    if let Some(tried) = &info.tried {
        facts.push(("unconfirmed", tried.clone()));
    }
    facts
}

/// Describes the signing of repetitions and their time, if it is known.
fn repeated(retries: &Retries) -> String {
    if retries.span == Some(Duration::ZERO) {
        return "none".to_owned();
    }
    if retries.is_open() {
        return "not documented, and refused if they are signed once and older than the window".to_owned();
    }
    let (signed, end) = match retries.signed.as_str() {
        "anew" => ("anew", ""),
        "once" => ("once, with the first time", ","),
        _ => ("in a way that is not documented", ","),
    };
    let span = retries.span.map_or_else(String::new, |span| format!("{end} for {}", self::span(span)));
    format!("signed {signed}{span}")
}

/// Describes which requests a handshake matches, whether they are signed, and the status of the answer.
fn describe(handshake: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut parts = vec![handshake["method"].as_str().unwrap_or("a request").to_owned()];
    for (field, value) in handshake["when"].as_object().into_iter().flatten() {
        parts.push(format!("with `{field}` = `{}`", text(value)));
    }
    for field in handshake["absent"].as_array().into_iter().flatten() {
        parts.push(format!("without `{}`", text(field)));
    }
    if let Some(from) = handshake["token"]["from"].as_str() {
        let token = handshake["token"]["param"].as_str().map(|name| format!("`params.{name}`, else"));
        parts.push(format!("if `{from}` is {} a secret", token.unwrap_or_default()).replace("  ", " "));
    }
    let signed = if handshake["before_verify"] == true { "unsigned" } else { "signed" };
    let status = &handshake["status"];
    format!("{}: {signed}, answered {status}", parts.join(" "))
}

fn handshakes(info: &Info) -> Vec<Value> {
    let data =
        DeTable::parse(info.data).map(|document| table_to_json(document.get_ref())).unwrap_or_default();
    data["handshake"].as_array().cloned().unwrap_or_default()
}

fn to_json(info: &Info) -> Value {
    let seconds = |span: Option<Duration>| span.map(|span| span.as_secs_f64());
    let param = |param: &hookmq_shared::source::Param| {
        json!({
            "name": param.name,
            "required": param.required,
            "secret": param.secret,
            "about": param.about,
        })
    };
    let evidence = |one: &Evidence| json!({ "at": one.at, "says": one.says, "read": one.read });
    json!({
        "name": info.name,
        "about": info.about,
        "kind": info.kind,
        "confidence": info.confidence,
        "evidence": info.evidence.iter().map(evidence).collect::<Vec<_>>(),
        "tried": info.tried,
        "retries": info.retries.as_ref().map(|retries| {
            json!({
                "seconds": seconds(retries.span),
                "signed": retries.signed,
                "says": retries.says,
                "valid_seconds": seconds(retries.valid),
            })
        }),
        "decompresses": info.inflates,
        "events": info.events,
        "secret": info.secret,
        "setup": info.setup,
        "params": info.params.iter().map(param).collect::<Vec<_>>(),
        "covers_body": info.covers_body,
        "signs_url": info.signs_url,
        "max_age_seconds": seconds(info.max_age),
        "lapse_seconds": seconds(info.lapse),
        "max_ahead_seconds": seconds(info.max_ahead),
        "deadline_seconds": seconds(Some(info.deadline)),
        "methods": info.methods.split(", ").collect::<Vec<_>>(),
        "ack": {
            "status": info.ack.status,
            "content_type": info.ack.header("content-type"),
            "body": info.ack.body,
        },
        "refusal_status": info.refusal,
        "handshakes": handshakes(info),
        "id": info.id,
        "event": info.event,
        "subject": info.subject,
    })
}

pub(crate) fn table_to_json(table: &DeTable<'_>) -> Value {
    table.iter().map(|(key, value)| (key.get_ref().to_string(), value_to_json(value.get_ref()))).collect()
}

fn value_to_json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::Table(table) => table_to_json(table),
        DeValue::Array(items) => items.iter().map(|item| value_to_json(item.get_ref())).collect(),
        DeValue::Boolean(value) => Value::from(*value),
        DeValue::Integer(number) => number.as_str().parse::<i64>().map_or(Value::Null, Value::from),
        DeValue::Float(number) => number.as_str().parse::<f64>().map_or(Value::Null, Value::from),
        DeValue::Datetime(time) => Value::from(time.to_string()),
        DeValue::String(text) => Value::from(text.as_ref()),
    }
}

/// Formats the replay window, such as `5 min`, `1 h past, 5 min ahead` or `1 h past the token's end`; `None` if
/// the source has none.
fn window(info: &Info) -> Option<String> {
    let Some(past) = info.max_age else {
        let past = |lapse: Duration| format!("{} past the token's end", span(lapse));
        return info
            .lapse
            .map(|lapse| if lapse.is_zero() { "the token's end".to_owned() } else { past(lapse) });
    };
    let ahead = info.max_ahead.filter(|ahead| *ahead != past);
    Some(ahead.map_or_else(|| span(past), |ahead| format!("{} past, {} ahead", span(past), span(ahead))))
}

fn span(span: Duration) -> String {
    match (span.as_secs(), span.subsec_millis()) {
        (seconds, 0) if seconds >= 3600 && seconds.is_multiple_of(3600) => format!("{} h", seconds / 3600),
        (seconds, 0) if seconds >= 60 && seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        (seconds, 0) => format!("{seconds} s"),
        _ => format!("{} ms", span.as_millis()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Info> {
        preset_names().map(|name| preset_info(name).unwrap()).collect()
    }

    #[test]
    fn the_documentation_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/sources.md");
        let documented = std::fs::read_to_string(path).unwrap();
        let is_current = documented == markdown(&all());
        assert!(is_current, "docs/sources.md is old: cargo run -- sources --markdown > docs/sources.md");
    }

    /// The example's test vectors have the same `verify` table as its preset.
    #[test]
    fn the_example_is_written_twice_alike() {
        let document = include_str!("../../docs/add-a-source.md");
        let block = |language: &str| {
            let (_, rest) = document.split_once(&format!("```{language}\n")).unwrap();
            rest.split_once("```").unwrap().0
        };
        let preset = table_to_json(DeTable::parse(block("toml")).unwrap().get_ref());
        let vectors: Value = serde_json::from_str(block("json")).unwrap();
        assert_eq!(preset["verify"], vectors["config"]);
    }

    #[test]
    fn the_table_has_a_line_for_each() {
        let text = table(&all());
        let github = "github hmac confirmed yes 10 s GitHub: ";
        let squeeze = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.lines().any(|line| squeeze(line).starts_with(github)), "{text}");
        assert_eq!(text.lines().count(), 1 + preset_names().count() + 2);
    }

    #[test]
    fn json_has_what_tools_ask_for() {
        for info in all() {
            let value = to_json(&info);
            for key in ["name", "kind", "confidence", "about", "secret"] {
                assert!(value[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {value}");
            }
            let opened = value["evidence"].as_array().unwrap();
            assert!(opened.iter().all(|one| one["at"].is_string() && one["read"].is_string()), "{value}");
            assert!(value["covers_body"].is_boolean() && value["ack"]["status"].is_u64(), "{value}");
        }
        let feishu = to_json(&preset_info("feishu").unwrap());
        assert_eq!(feishu["max_age_seconds"], 8.0 * 3600.0);
        assert_eq!(feishu["handshakes"][0]["when"]["json:type"], "url_verification");
        assert_eq!(feishu["params"][0]["name"], "verification_token");
    }

    #[test]
    fn details_tell_handshakes_params_and_places() {
        let discord = details(&preset_info("discord").unwrap());
        for fact in [
            "handshake:     a request with json:type = 1 without json:event.type: signed, answered 200",
            "replay window: 15 min past, 5 min ahead",
            "event:         json:event.type, else json:type",
            "    [verify]\n    kind      = \"ed25519\"",
        ] {
            assert!(discord.contains(fact), "{fact}\n{discord}");
        }
        let meta = details(&preset_info("meta").unwrap());
        assert!(
            meta.contains("if query:hub.verify_token is params.verify_token, else a secret: unsigned"),
            "{meta}"
        );
        assert!(details(&preset_info("square").unwrap()).contains("\nurl:           required"));
    }

    #[test]
    fn repetitions_are_told_with_and_without_their_time() {
        let told = |name: &str| {
            let told = details(&preset_info(name).unwrap());
            let line = told.lines().find(|line| line.starts_with("retries: ")).unwrap();
            line["retries:".len()..].trim_start().split_once(": ").unwrap().0.to_owned()
        };
        for (name, signed, span) in [
            ("stripe", "anew", " for 72 h"),
            ("buildkite", "anew", ""),
            ("aws-sns", "once, with the first time", ", for 1 h"),
            ("paypal", "in a way that is not documented", ", for 72 h"),
        ] {
            assert_eq!(told(name), format!("signed {signed}{span}"), "{name}");
        }
        for (name, repeated) in [
            ("cloudinary", "not documented, and refused if they are signed once and older than the window"),
            ("ghost", "none"),
        ] {
            assert_eq!(told(name), repeated, "{name}");
        }
        let livekit = details(&preset_info("livekit").unwrap());
        for fact in ["replay window: the token's end", "names its end: 5 min after its signing"] {
            assert!(livekit.contains(fact), "{fact}\n{livekit}");
        }
        // No fact has the marks of a part that is missing.
        for info in all() {
            for (label, fact) in facts(&info) {
                let odd =
                    [",:", ":,", ", ,", "::", "  ", " ,"].into_iter().find(|marks| fact.contains(marks));
                assert_eq!(odd, None, "{}: {label}: {fact}", info.name);
            }
        }
    }

    #[test]
    fn spans_are_read_at_a_glance() {
        for (millis, text) in
            [(3000, "3 s"), (90_000, "90 s"), (300_000, "5 min"), (7_200_000, "2 h"), (1500, "1500 ms")]
        {
            assert_eq!(span(Duration::from_millis(millis)), text);
        }
    }
}
