//! Judgement of a hooks file and its variables by the limits of the place where they are deployed.

use std::collections::BTreeMap;
use std::fmt;

use hookmq_shared::config::{Config, Hook, Severity};
use hookmq_shared::reader::meant;
use toml::de::DeTable;

use super::page::{amount, thousands};
use super::table::{Counts, Deployment, Kind, Limit, Limits, Place};
use super::variables::{Origin, Setting, Settings, line_of};

/// Setting that a limit of the place does not fit.
#[derive(Debug, PartialEq, Eq)]
struct Misfit<'a> {
    /// File and line, or the environment.
    at: String,
    /// Key or variable; empty where all of them count.
    name: String,
    fault: Fault,
    severity: Severity,
    limit: &'a Limit,
}

/// Kind of a misfit, with what was found.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error("deliveries of {} bytes do not reach hookmq, because they are refused before it: write a number that fits", thousands(*.0))]
    Body(u64),
    #[error("deliveries up to the default of {} bytes do not all reach hookmq: larger ones are refused before it", thousands(*.0))]
    DefaultBody(u64),
    #[error(
        "a body of {size} bytes leaves no room for the rest of the event, and one that is not text is carried as base64, \
         so that three quarters of the limit fit then ({fits} bytes): write a number that fits",
        size = thousands(*.size), fits = thousands(*.fits)
    )]
    EventBody { size: u64, fits: u64 },
    #[error(
        "{0} s are longer than the platform waits, so the sender does not get hookmq's answer: write a shorter time"
    )]
    Deadline(u64),
    #[error("the platform keeps this name for itself: use another")]
    Reserved,
    #[error("the platform sets this name itself: leave it out of the function's variables")]
    Own,
    #[error("the platform does not take a name of this form: use another")]
    Form,
    #[error("a name of {0} bytes is too long: use a shorter one")]
    LongName(u64),
    #[error("{0} are too many for one variable: shorten it")]
    LongValue(u64),
    #[error(
        "{count} variables{list} are too many: hold several secrets in one as a JSON object, and name them env:NAME#KEY"
    )]
    Count { count: u64, list: String },
    #[error("{} are too many for all variables{list} together: shorten them, or read secrets from elsewhere", thousands(*.size))]
    Size { size: u64, list: String },
    #[error(
        "{count} variables{list} are too many with the {own} that {by} sets itself: hold several secrets in one as a \
         JSON object, and name them env:NAME#KEY"
    )]
    CountWithOwn { count: u64, list: String, own: usize, by: String },
    #[error(
        "{size} are too many for all variables{list} together with the {own} that {by} sets itself: shorten them, or read \
         secrets from elsewhere",
        size = thousands(*.size)
    )]
    SizeWithOwn { size: u64, list: String, own: usize, by: String },
    #[error("is not known as a region of {platform}{meant} Known: {known}")]
    UnknownRegion { platform: &'static str, meant: String, known: String },
    #[error("the region does not have this: use another region or trigger")]
    Region,
}

impl fmt::Display for Misfit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, name, fault, severity, limit } = self;
        let severity = if *severity == Severity::Error { "error" } else { "warning" };
        let name = if name.is_empty() { String::new() } else { format!("{name}: ") };
        // A list of names or regions is in docs/limits.md; a number is short.
        let limit_of = match (limit.number(), limit.kind) {
            (Some(_), _) => format!("the limit of {}: {}", limit.place(), amount(limit)),
            (None, Kind::RegionHas) => format!("the regions of {}", limit.place()),
            (None, _) => format!("a limit of {}", limit.place()),
        };
        write!(f, "{at}: {severity}: {name}{fault} ({limit_of}; {}, read on {})", limit.document, limit.read)
    }
}

/// Result of a judgement.
pub(crate) struct Judged {
    /// Lines to print.
    pub(crate) lines: Vec<String>,
    pub(crate) has_errors: bool,
}

/// Judges the hooks of `config`, whose text is `text`, and its variables.
pub(crate) fn judge(
    limits: &Limits,
    place: &Place,
    region: Option<&str>,
    (config, text): (&Config, &str),
    settings: &Settings,
) -> Judged {
    let mut misfits = of_hooks(limits, place, config, text);
    misfits.extend(of_each_variable(limits, place, settings));
    misfits.extend(of_all_variables(limits, place, settings));
    misfits.extend(region.into_iter().flat_map(|region| of_region(limits, place, region)));
    let has_errors = misfits.iter().any(|misfit| misfit.severity == Severity::Error);
    let mut lines: Vec<String> = misfits.iter().map(Misfit::to_string).collect();
    lines.extend(told(limits, place, settings));
    Judged { lines, has_errors }
}

/// Returns the severity of a broken limit. What is doubtful, or can be raised, is a warning.
fn severity(limit: &Limit) -> Severity {
    if limit.certainty.refuses() && !limit.adjustable { Severity::Error } else { Severity::Warning }
}

/// Returns the severity of a number over a limit; `None` if it fits. Above one reading of an undefined unit and
/// below the other it is a warning.
fn over(found: u64, limit: &Limit) -> Option<Severity> {
    let (number, widest) = (limit.number()?, limit.widest()?);
    match found {
        _ if found <= number => None,
        _ if found <= widest => Some(Severity::Warning),
        _ => Some(severity(limit)),
    }
}

/// Returns the limit with the smallest number.
fn tightest<'l>(limits: impl Iterator<Item = &'l Limit>) -> Option<&'l Limit> {
    limits.min_by_key(|limit| limit.number())
}

fn of_hooks<'l>(limits: &'l Limits, place: &'l Place, config: &Config, text: &str) -> Vec<Misfit<'l>> {
    let mut found = Vec::new();
    let body = tightest(limits.at(place, Kind::Body));
    let event = tightest(limits.at(place, Kind::Body).filter(|limit| limit.counts == Some(Counts::Event)));
    let timeout = tightest(limits.at(place, Kind::Timeout));
    let document = DeTable::parse(text).ok();
    let line = |hook: &Hook, key: &str| {
        let table = document.as_ref()?.get_ref().get("hooks")?.get_ref().as_table()?;
        let value = table.get(hook.name.as_str())?.get_ref().as_table()?.get(key)?;
        Some(line_of(text, value.span().start))
    };
    for hook in config.hooks() {
        let mut push = |key: &str, fault: Fault, fault_of_default: Fault, limit, severity| {
            let line = line(hook, key);
            // A default is not the file's mistake, and most deliveries are far smaller and sooner answered.
            let (fault, severity) = match line {
                Some(_) => (fault, severity),
                None => (fault_of_default, Severity::Warning),
            };
            let at = line.map_or_else(|| config.file.clone(), |line| format!("{}:{line}", config.file));
            found.push(Misfit { at, name: format!("hooks.{}.{key}", hook.name), fault, severity, limit });
        };
        let size = u64::try_from(hook.max_body).unwrap_or(u64::MAX);
        if let Some((limit, severity)) = body.and_then(|limit| Some((limit, over(size, limit)?))) {
            push("max_body", Fault::Body(size), Fault::DefaultBody(size), limit, severity);
        } else if let Some((limit, number)) = event.and_then(|limit| Some((limit, limit.number()?)))
            && size >= number
            && line(hook, "max_body").is_some()
        {
            // That of the default is in the note about the largest body, and not the file's mistake.
            let fault = || Fault::EventBody { size, fits: number / 4 * 3 };
            push("max_body", fault(), fault(), limit, Severity::Warning);
        }
        // Rounded up: half a second more than the platform waits is too long.
        let seconds = hook.deadline.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX);
        if let Some((limit, severity)) = timeout.and_then(|limit| Some((limit, over(seconds, limit)?))) {
            push("deadline", Fault::Deadline(seconds), Fault::Deadline(seconds), limit, severity);
        }
    }
    found
}

fn of_each_variable<'l>(limits: &'l Limits, place: &'l Place, settings: &Settings) -> Vec<Misfit<'l>> {
    let mut found = Vec::new();
    for setting in settings.iter() {
        let is_meant = setting.origin != Origin::Environment;
        let mut push = |fault, severity, limit| {
            let at = setting.origin.to_string();
            found.push(Misfit { at, name: setting.name.clone(), fault, severity, limit });
        };
        for limit in limits.at(place, Kind::VariableReserved) {
            if limit.texts().iter().any(|reserved| is_reserved(&setting.name, reserved)) {
                // Who runs a cloud's tools has its variables, which are not the function's.
                let (fault, severity) = if is_meant {
                    (Fault::Reserved, severity(limit))
                } else {
                    (Fault::Own, Severity::Warning)
                };
                push(fault, severity, limit);
            }
        }
        for limit in limits.at(place, Kind::VariableNamePattern) {
            if !limit.texts().iter().any(|pattern| has_form(&setting.name, pattern)) {
                push(Fault::Form, severity(limit), limit);
            }
        }
        for limit in limits.at(place, Kind::VariableNameSize) {
            let size = setting.name.len() as u64;
            if let Some(severity) = over(size, limit) {
                push(Fault::LongName(size), severity, limit);
            }
        }
        for limit in limits.at(place, Kind::VariableValueSize) {
            let value = setting.value.as_deref().unwrap_or_default();
            let size = if limit.unit.contains("key and value") {
                setting.name.chars().count() + value.chars().count()
            } else {
                value.len()
            } as u64;
            if let Some(severity) = over(size, limit) {
                push(Fault::LongValue(size), severity, limit);
            }
        }
    }
    found
}

fn is_reserved(name: &str, reserved: &str) -> bool {
    reserved.strip_suffix('*').map_or(name == reserved, |prefix| name.starts_with(prefix))
}

/// Returns true if a name is a letter, then letters, digits and underscores, at least one with a pattern that
/// ends with `+`. A test holds the table's patterns to these two forms.
fn has_form(name: &str, pattern: &str) -> bool {
    let least = if pattern.ends_with('+') { 2 } else { 1 };
    name.len() >= least
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Judges the region: whether it lacks the trigger, and whether it is known at all.
fn of_region<'l>(limits: &'l Limits, place: &'l Place, region: &str) -> Vec<Misfit<'l>> {
    let has = |limit: &Limit| limit.texts().iter().any(|known| known.eq_ignore_ascii_case(region));
    let misfit = |fault, severity, limit| Misfit {
        at: "--region".to_owned(),
        name: region.to_owned(),
        fault,
        severity,
        limit,
    };
    let lacking: Vec<_> = limits.at(place, Kind::RegionLacks).filter(|limit| has(limit)).collect();
    if !lacking.is_empty() {
        return lacking.into_iter().map(|limit| misfit(Fault::Region, severity(limit), limit)).collect();
    }
    let lists = || limits.at(place, Kind::RegionHas);
    let Some(limit) = lists().next().filter(|_| !lists().any(has)) else { return Vec::new() };
    let mut known: Vec<&str> = lists()
        .chain(limits.at(place, Kind::RegionLacks))
        .flat_map(Limit::texts)
        .map(String::as_str)
        .collect();
    known.sort_unstable();
    known.dedup();
    let fault = Fault::UnknownRegion {
        platform: place.platform.name(),
        meant: meant(&region.to_ascii_lowercase(), &known)
            .map_or_else(|| ".".to_owned(), |meant| format!("; did you mean {meant}?")),
        known: known.join(", "),
    };
    // A vendor opens regions that no list here has.
    vec![misfit(fault, Severity::Warning, limit)]
}

/// Variables that a platform counts together.
struct List<'s> {
    /// Words for a message; empty where there is one list only.
    named: String,
    settings: Vec<&'s Setting>,
    /// Set for the list in which a deployment puts the variables that it sets itself.
    has_own: bool,
}

/// Returns the names and values of settings.
fn object<'s>(settings: &[&'s Setting]) -> BTreeMap<&'s str, &'s str> {
    settings
        .iter()
        .map(|setting| (setting.name.as_str(), setting.value.as_deref().unwrap_or_default()))
        .collect()
}

/// Returns the lists that a platform counts apart: those of secrets and of others where it keeps them apart.
fn lists<'s>(limits: &Limits, place: &Place, settings: &'s Settings) -> Vec<List<'s>> {
    let each = limits.at(place, Kind::VariablesCount).find(|limit| !limit.each.is_empty());
    match each.map(|limit| limit.each.as_slice()) {
        Some([open, secret, ..]) => [(open, false), (secret, true)]
            .map(|(list, is_secret)| List {
                named: format!(" of {list}"),
                settings: settings.iter().filter(|setting| setting.is_secret == is_secret).collect(),
                has_own: !is_secret,
            })
            .into(),
        _ => vec![List { named: String::new(), settings: settings.iter().collect(), has_own: true }],
    }
}

/// Returns the size of variables as one JSON object.
fn size(object: &BTreeMap<&str, &str>, counts: Option<Counts>) -> u64 {
    let text = serde_json::to_string(object).unwrap_or_default();
    (if counts == Some(Counts::Characters) { text.chars().count() } else { text.len() }) as u64
}

fn of_all_variables<'l>(limits: &'l Limits, place: &'l Place, settings: &Settings) -> Vec<Misfit<'l>> {
    let mut found = Vec::new();
    // Who names a variable means it, in whichever list.
    let is_given = |name: &str| settings.iter().any(|setting| setting.name == name);
    for List { named, settings, has_own } in lists(limits, place, settings) {
        let at = settings.first().map_or_else(
            || "environment".to_owned(),
            |first| match &first.origin {
                Origin::File { file, .. } => file.clone(),
                _ => "environment".to_owned(),
            },
        );
        let given = object(&settings);
        let deployment = limits.deployment(place).filter(|_| has_own);
        let of = |deployment: &'l Deployment| deployment.variables.iter().filter(|(name, _)| !is_given(name));
        let mut whole = given.clone();
        whole
            .extend(deployment.into_iter().flat_map(of).map(|(name, value)| (name.as_str(), value.as_str())));
        let own = whole.len() - given.len();
        let by = deployment.map(|deployment| deployment.by.clone()).unwrap_or_default();
        let mut push = |fault, severity, limit| {
            found.push(Misfit { at: at.clone(), name: String::new(), fault, severity, limit });
        };
        // Who deploys otherwise has other variables beside the given ones.
        for limit in limits.at(place, Kind::VariablesCount) {
            let (alone, count) = (given.len() as u64, whole.len() as u64);
            if let Some(severity) = over(alone, limit) {
                push(Fault::Count { count: alone, list: named.clone() }, severity, limit);
            } else if over(count, limit).is_some() {
                let fault = Fault::CountWithOwn { count, list: named.clone(), own, by: by.clone() };
                push(fault, Severity::Warning, limit);
            }
        }
        for limit in limits.at(place, Kind::VariablesSize) {
            let (alone, size) = (size(&given, limit.counts), size(&whole, limit.counts));
            if let Some(severity) = over(alone, limit) {
                push(Fault::Size { size: alone, list: named.clone() }, severity, limit);
            } else if over(size, limit).is_some() {
                let fault = Fault::SizeWithOwn { size, list: named.clone(), own, by: by.clone() };
                push(fault, Severity::Warning, limit);
            }
        }
    }
    found
}

/// Returns the lines that say what holds at this place, whatever is deployed.
fn told(limits: &Limits, place: &Place, settings: &Settings) -> Vec<String> {
    let line = |what: &str, limit: &Limit| {
        let whose = limit.of.as_deref().map(|of| format!(" ({of})")).unwrap_or_default();
        let doubt = limit.certainty.doubt().map(|doubt| format!(", {doubt}")).unwrap_or_default();
        format!("{place}: note: {what}: {}{whose}{doubt}. {}", amount(limit), limit.note)
    };
    let mut lines = Vec::new();
    lines.extend(tightest(limits.at(place, Kind::Body)).map(|limit| line("the largest body", limit)));
    lines.extend(
        limits.at(place, Kind::OversizedStatus).map(|limit| line("told to the sender of more", limit)),
    );
    lines.extend(
        limits.at(place, Kind::ThrottledStatus).map(|limit| line("told to a throttled sender", limit)),
    );
    lines.extend(limits.at(place, Kind::RegionLacks).map(|limit| line("not in the regions", limit)));
    let unknown: Vec<&str> = settings
        .iter()
        .filter(|setting| setting.value.is_none())
        .map(|setting| setting.name.as_str())
        .collect();
    if !unknown.is_empty() && limits.at(place, Kind::VariablesSize).next().is_some() {
        lines.push(format!(
            "{place}: note: counted without a value, which is not set here: {}",
            unknown.join(", ")
        ));
    }
    lines
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
