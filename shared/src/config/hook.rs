//! Configuration of a hook: a `[hooks.NAME]` table.

use std::sync::Arc;
use std::time::Duration;

use super::keeping::{self, Keeping};
use super::keys::{self, Bounds};
use super::rate::{self, Rate};
use super::target::Named;
use super::topics::{self, Topics};
use super::{Reading, Rotation};
use crate::delivery::Delivery;
use crate::env::Env;
use crate::hops::Hops;
use crate::http::is_field_name;
use crate::message::{Format, Place, Placeholder, Recipe, Template};
use crate::pattern::Pattern;
use crate::platform;
use crate::problem::Problem;
use crate::queue::{Spec, Target, Vendor};
use crate::reader::{At, Table};
use crate::source::{self, MAX_BODY, Peers, Source, TokenNames};

/// Upper bound on a hook's `deadline`: no sender and no gateway waits longer for an answer.
const MAX_DEADLINE: Duration = Duration::from_secs(60);

/// Endpoint for webhooks, as configured in the hooks file.
#[derive(Debug)]
pub struct Hook {
    /// Name of the hook, `[a-z0-9-]{1,63}`.
    pub name: String,
    /// Path below `BASE_PATH`.
    pub path: String,
    /// Verifier of requests, which reads the hook's secrets again from time to time.
    pub source: Rotation,
    /// Value of `Allow`.
    pub methods: &'static str,
    /// Status of the answer to a request that is not authentic.
    pub refusal: Problem,
    /// Upper bound on the time until the answer is sent.
    pub deadline: Duration,
    /// Upper bound on the size of a body, in bytes.
    pub max_body: usize,
    /// Handling of deliveries that the queue does not take.
    pub keeping: Keeping,
    /// Upper bound on the rate of verified deliveries; `None` sets no bound.
    pub rate: Option<Rate>,
    type_prefix: Option<String>,
    events: Option<Vec<Pattern>>,
    topics: Topics,
    format: Format,
    keep_headers: Option<Vec<Pattern>>,
    keep_original: bool,
    key: Option<Template>,
    tag: Option<Template>,
    /// Names of the token fields of all hooks.
    tokens: Arc<TokenNames>,
}

/// Parses an entry of `keep_headers`.
fn header_names(text: &str) -> Result<Pattern, &'static str> {
    let name = text.to_ascii_lowercase();
    match Pattern::parse(&name) {
        Some(pattern @ Pattern::Start(_)) if is_field_name(pattern.text()) => Ok(pattern),
        _ if source::is_credential_header(&name) => {
            Err("is a credential, which is never forwarded: leave it out")
        }
        Some(pattern @ Pattern::Name(_)) if is_field_name(pattern.text()) => Ok(pattern),
        _ => Err(r#"write header fields' names, or their start and a *: ["content-type", "x-github-*"]"#),
    }
}

/// Reads the key `events`. An entry that can match nothing is a mistake, because every delivery would be
/// acknowledged and dropped.
fn events(table: &Table<'_>, source: Option<&Source>) -> Option<Vec<Pattern>> {
    let list = table.strings("events")?;
    if list.value.is_empty() {
        table.error("events", "an empty list would drop every delivery: leave it out to take all");
    }
    let known = source.map(Source::known_events).unwrap_or_default();
    let all = if known.is_empty() {
        String::new()
    } else {
        format!("; its documents name {}, and maybe others", known.join(", "))
    };
    let prefix = source.and_then(Source::type_prefix).map(|prefix| format!("{prefix}."));
    let read = |at: &At<&str>| {
        let bare = prefix.as_deref().and_then(|prefix| at.value.strip_prefix(prefix));
        let message = match (Pattern::parse(at.value), bare) {
            (Some(pattern), None) => {
                #[cfg(feature = "catalog")]
                warn_of_case(table, at, &pattern, known);
                return Some(pattern);
            }
            (Some(_), Some(bare)) => {
                format!("{:?} is the envelope's type: write the event's name {bare:?}{all}", at.value)
            }
            (None, _) => format!(
                r#"{:?} matches no event: write a name, or its start and a * ("invoice.*", "*"){all}"#,
                at.value
            ),
        };
        table.error_at(at.offset, "events", message);
        None
    };
    Some(list.value.iter().filter_map(read).collect())
}

/// Warns of an entry of `events` that matches a known event but for its case, so that it drops that event.
#[cfg(feature = "catalog")]
fn warn_of_case(table: &Table<'_>, at: &At<&str>, pattern: &Pattern, known: &[String]) {
    if known.iter().any(|event| pattern.matches(event)) {
        return;
    }
    if let Some(event) = known.iter().find(|event| pattern.matches_any_case(event)) {
        let entry = at.value;
        let message = format!(
            "{entry:?} differs from the event {event:?} in its case, which counts: write it as there"
        );
        table.warning_at(at.offset, "events", message);
    }
}

impl Hook {
    /// Returns true if this header field of a delivery is forwarded. `traceparent` always is, as an attribute
    /// of the message.
    fn keeps_header(&self, name: &str) -> bool {
        name.eq_ignore_ascii_case("traceparent") || keeps(self.keep_headers.as_deref(), name)
    }

    /// Removes the header fields that consumers must not see, and the tokens of other hooks.
    pub(crate) fn trim(&self, delivery: &mut Delivery) {
        self.tokens.strip(delivery);
        delivery.retain_headers(|name, _| self.keeps_header(name));
    }

    /// Returns the patterns of the events that are forwarded, as the hooks file spells them; `None` for all events.
    #[cfg(feature = "catalog")]
    pub fn wanted(&self) -> Option<Vec<String>> {
        Some(self.events.as_ref()?.iter().map(ToString::to_string).collect())
    }

    /// Returns the rule by which the delivery is acknowledged and dropped; `None` if it is forwarded, as each is
    /// whose event cannot be read.
    pub fn drops(&self, delivery: &Delivery) -> Option<String> {
        let wanted = self.events.as_ref()?;
        // The pattern "*" takes deliveries without an event too: an absent name is then an empty one.
        // A sender may write an element's text on a line of its own.
        let event = delivery.event.as_deref().unwrap_or_default().trim();
        if delivery.may_have_other_events || wanted.iter().any(|pattern| pattern.matches(event)) {
            return None;
        }
        let wanted: Vec<String> = wanted.iter().map(|pattern| format!("{:?}", pattern.to_string())).collect();
        Some(format!("events = [{}] has no match", wanted.join(", ")))
    }

    /// Returns the targets of deliveries that a function of this vendor receives: the targets that the hook
    /// names, or the function's own queue if the hook names none.
    pub fn targets(&self, own: Vendor) -> Vec<Target> {
        self.topics.targets(own)
    }

    /// Returns the recipe for messages to a target, or `None` if the hook has no topic for the target.
    pub fn recipe<'h>(&'h self, target: &Target, source_uri: &'h str) -> Option<Recipe<'h>> {
        let topic = self.topics.of(target)?;
        Some(Recipe {
            topic,
            check_topic: target.vendor().spec().check_topic,
            format: self.format,
            keep_original: self.keep_original,
            key: self.key.as_ref(),
            tag: self.tag.as_ref(),
            source_uri,
            type_prefix: self.type_prefix.as_deref(),
        })
    }
}

/// Returns true if the text is a valid name of a hook or a target. Names are part of paths, metric labels and
/// the names of stored objects.
pub(super) fn is_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Returns the hook's path. A broken hook also has one and answers 503 there. `None` if the key `path` is not
/// valid.
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
    let fault = path_fault(path.value);
    table.error(
        "path",
        format!(r#"{fault}write a path such as "/erp/orders": letters, digits, "-._~", not under "/_/""#),
    );
    None
}

/// Describes the fault of a path. A function does without, since the rule names all faults.
#[cfg(feature = "catalog")]
fn path_fault(path: &str) -> &'static str {
    match path {
        _ if !path.starts_with('/') => r#"does not begin with "/": "#,
        _ if path.ends_with('/') => r#"ends with "/": "#,
        _ if path.contains("//") => r#"has "//": "#,
        _ if path.starts_with("/_/") => r#"is under "/_/", where the probes are: "#,
        _ => "has a character that is not allowed: ",
    }
}

#[cfg(not(feature = "catalog"))]
const fn path_fault(_: &str) -> &'static str {
    ""
}

/// Warns of raw messages to a vendor that carries nothing beside the text; `has_attributes` if the hook has a
/// key or a tag.
fn warn_of_raw(table: &Table<'_>, topics: &Topics, has_attributes: bool) {
    let mut specs = Vendor::ALL.into_iter().filter(|vendor| topics.any(*vendor)).map(Vendor::spec);
    let carries = specs.clone().any(|spec| spec.carries_attributes);
    let Some(Spec { label, .. }) = specs.find(|spec| !spec.carries_attributes) else { return };
    table.warning(
        "format",
        format!("a raw {label} message carries no delivery id: consumers cannot tell repeats"),
    );
    if has_attributes && !carries {
        table.warning("key", format!("{label} has neither keys nor tags, and raw carries none"));
    }
}

#[cfg(not(feature = "catalog"))]
const fn warn_of_window(_: &Table<'_>, _: Option<Duration>, _: Option<Duration>, _: &Source) {}

/// Warns of a window in which a recorded request can be sent again without being noticed.
#[cfg(feature = "catalog")]
fn warn_of_window(table: &Table<'_>, window: Option<Duration>, dedupe: Option<Duration>, source: &Source) {
    let Some(window) = window else { return };
    let risk = "anybody who has recorded a request can send it again within this time";
    if !source.names_deliveries() {
        table.warning("window", format!("{risk}, and the source has no id by which repeats are known"));
    } else if !source.signs_id() {
        table.warning("window", format!("{risk}, with another id each time, because the id is not signed"));
    } else if dedupe.is_none_or(|dedupe| dedupe < window) {
        table.warning("window", format!("{risk}: write a dedupe that is as long"));
    }
}

/// Reads the rest of the table. Mistakes are added to the table; `None` if too little of the table is valid.
pub(super) fn read(
    name: &At<&str>,
    path: &str,
    table: &Table<'_>,
    with: Reading<'_>,
    known: &[Named],
    tokens: &Arc<TokenNames>,
) -> Option<Hook> {
    if !is_name(name.value) {
        table.error("", "a hook's name is 1 to 63 of a-z, 0-9 and \"-\"");
    }
    let max_body = table.size("max_body").map_or(MAX_BODY, |size| size.value);
    if max_body == 0 {
        table.error(
            "max_body",
            "a hook with a limit of 0 bytes would refuse every delivery: write a size such as \"1MiB\"",
        );
    }
    let window = table.duration("window").map(|at| at.value);
    let before = table.mistakes().errors();
    let keys = keys::read(name.value, table, with, Bounds { max_body, window });
    // A window that is refused is of no risk.
    let window = window.filter(|_| table.mistakes().errors() == before);
    let topics = topics::read(table, known);
    let format = match table.str("format").map(|f| f.value) {
        None | Some("cloudevents") => Format::CloudEvents,
        Some("raw") => Format::Raw,
        Some(_) => {
            table.error("format", r#"write "cloudevents" or "raw""#);
            Format::CloudEvents
        }
    };
    let keep_headers = table.strings("keep_headers").map(|list| {
        let read = |at: &At<&str>| {
            header_names(at.value).map_err(|message| table.error_at(at.offset, "keep_headers", message))
        };
        list.value.iter().filter_map(|at| read(at).ok()).collect::<Vec<_>>()
    });
    let keep_original = table.bool("keep_original").is_some_and(|at| at.value);
    let key = template(table, "key", Place::Key);
    let tag = template(table, "tag", Place::Tag);
    let deadline = table.duration("deadline").map(|d| d.value);
    if deadline.is_some_and(|d| d < Duration::from_millis(500) || d > MAX_DEADLINE) {
        table.error("deadline", "write a time from \"500ms\" to \"60s\"");
    }
    let rate = rate::read(table);
    let keeping = keeping::read(table, with.env, format, keys.as_ref().map(|(source, _)| &**source));
    let events = events(table, keys.as_ref().map(|(source, _)| &**source));
    let topics = topics?;
    let (source, rotation) = keys?;
    if !source.names_events() && events.is_some() {
        table.error("events", "the deliveries of this source have no event name: leave it out");
    }
    warn_of_window(table, window, keeping.dedupe, &source);
    let verifier = if table.has("verify") { "verify" } else { "source" };
    for (key, field) in source.named_by(tokens) {
        let message = format!("{field} is another hook's token, which is never kept: name another field");
        table.error(&format!("{verifier}.{key}"), message);
    }
    let templates = topics.templates().map(|topic| ("topic", topic));
    for (at, template) in
        templates.chain(key.iter().map(|t| ("key", t))).chain(tag.iter().map(|t| ("tag", t)))
    {
        for placeholder in template.placeholders() {
            match placeholder {
                Placeholder::Event if !source.names_events() => {
                    table.error(at, "the deliveries of this source have no event name: leave {event} out");
                }
                Placeholder::Header(name) if source.reads_token_from(name) || tokens.has_header(name) => {
                    table.error(at, format!("{placeholder} is the token, which is never forwarded"));
                }
                Placeholder::Header(name) if !keeps(keep_headers.as_deref(), name) => {
                    table.error(at, format!("{placeholder} is not in keep_headers: add it there"));
                }
                _ => {}
            }
        }
    }
    if keep_original && (!source.decrypts() || format == Format::Raw) {
        table.error("keep_original", "needs encrypted events and format = \"cloudevents\": leave it out");
    }
    for warning in source.doubts() {
        table.warning(verifier, warning);
    }
    check_peers(&source, table, verifier, with);
    if format == Format::Raw {
        warn_of_raw(table, &topics, key.is_some() || tag.is_some());
    }
    Some(Hook {
        name: name.value.to_owned(),
        path: path.to_owned(),
        deadline: deadline.unwrap_or_else(|| source.deadline()),
        methods: source.methods(),
        refusal: source.refusal(),
        type_prefix: source.type_prefix().map(str::to_owned),
        source: rotation,
        max_body,
        keeping,
        rate,
        events,
        topics,
        format,
        keep_headers,
        keep_original,
        key,
        tag,
        tokens: Arc::clone(tokens),
    })
}

fn keeps(kept: Option<&[Pattern]>, name: &str) -> bool {
    kept.is_none_or(|kept| kept.iter().any(|names| names.matches_any_case(name)))
}

/// Reports a hook that identifies senders by addresses that may belong to a proxy.
fn check_peers(source: &Source, table: &Table<'_>, verifier: &'static str, with: Reading<'_>) {
    let Some(doubt) = doubted_peers(source, with.env) else { return };
    if with.over_http {
        table.error(verifier, doubt);
    } else if platform::is_server(with.env) {
        table.warning(verifier, format!("on the HTTP host this hook is broken: {doubt}"));
    }
}

/// Returns the reason why the address of an HTTP client does not identify the sender, or `None` if it does.
fn doubted_peers(source: &Source, env: &Env) -> Option<&'static str> {
    let peers = source.networks()?;
    match Hops::from_env(env) {
        Err(_) => Some("TRUST_PROXIES, which its networks need, is wrong"),
        Ok(Hops::Unknown) if peers == Peers::Own => Some(
            "its networks are private or this machine's own, and a proxy's address may be one of them, which \
             lets everybody in: set TRUST_PROXIES to the proxies' addresses, or to \"none\" if senders \
             connect themselves",
        ),
        Ok(_) => None,
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
                // A topic must also satisfy its vendor's rules: `check_topic`.
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
