//! Limits as text: the page docs/limits.md, and a list for the terminal.

use std::fmt::Write as _;

use super::table::{Amount, EVERY, Kind, Limit, Limits, Platform};

impl Kind {
    /// Returns the words for a table.
    const fn title(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::AnswerBody => "body of the answer",
            Self::Headers => "header fields",
            Self::Timeout => "time-out",
            Self::VariablesCount => "number of variables",
            Self::VariablesSize => "size of all variables",
            Self::VariableValueSize => "size of a variable",
            Self::VariableNameSize => "length of a variable's name",
            Self::VariableNamePattern => "form of a variable's name",
            Self::VariableReserved => "reserved names",
            Self::RegionHas => "regions",
            Self::RegionLacks => "regions without it",
            Self::ThrottledStatus => "a throttled sender is told",
            Self::OversizedStatus => "an oversized sender is told",
            Self::Concurrency => "at once",
        }
    }
}

impl Limit {
    /// Returns the platform and the trigger, as `check --deploy` takes them.
    pub(super) fn place(&self) -> String {
        match self.trigger.as_str() {
            EVERY => self.platform.name().to_owned(),
            trigger => format!("{}/{trigger}", self.platform.name()),
        }
    }
}

/// Formats a number with commas.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats a number of bytes as people write it, if it is a round one.
fn round(number: u64, is_defined: bool) -> Option<String> {
    const UNITS: [(u64, &str); 4] = [(1024 * 1024, "MiB"), (1024, "KiB"), (1_000_000, "MB"), (1_000, "KB")];
    let units = if is_defined { &UNITS[..2] } else { &UNITS[2..] };
    let (unit, name) = units.iter().find(|(unit, _)| number.is_multiple_of(*unit))?;
    Some(format!("{} {name}", number / unit))
}

/// Formats the value of a limit.
pub(super) fn amount(limit: &Limit) -> String {
    match &limit.value {
        Amount::Number(status) if limit.unit == "status" => status.to_string(),
        Amount::Number(number) => {
            let exact = format!("{} {}", thousands(*number), limit.unit);
            match round(*number, limit.defined).filter(|_| limit.unit == "bytes") {
                Some(round) if limit.defined => format!("{round} ({exact})"),
                Some(round) => format!("{round} ({exact} at least: the document does not define its unit)"),
                None => exact,
            }
        }
        Amount::Texts(texts) => texts.join(", "),
    }
}

/// Formats the value of a limit for a page, in which texts are code.
fn cell(limit: &Limit) -> String {
    match &limit.value {
        Amount::Number(_) => amount(limit),
        Amount::Texts(texts) => texts.iter().map(|text| format!("`{text}`")).collect::<Vec<_>>().join(", "),
    }
}

/// Formats the document with links.
fn linked(limit: &Limit) -> String {
    let link = |word: &str| {
        let address = word.trim_end_matches([';', ',', ')']);
        if !address.starts_with("https://") {
            return word.to_owned();
        }
        let name = address.trim_end_matches('/').rsplit('/').next().unwrap_or(address);
        format!("[{name}]({address}){}", &word[address.len()..])
    };
    if limit.document.starts_with("https://") {
        limit.document.split(' ').map(link).collect::<Vec<_>>().join(" ")
    } else {
        format!("[{0}](../{0})", limit.document)
    }
}

/// Joins further facts about a limit.
fn facts(limit: &Limit) -> String {
    let mut note = limit.note.clone();
    if limit.adjustable {
        note += " Can be raised or set.";
    }
    if let Some(doubt) = limit.certainty.doubt() {
        let _ = write!(note, " ({doubt})");
    }
    note
}

pub(super) fn markdown(limits: &Limits) -> String {
    let mut text = "# Limits of the platforms\n\n\
        <!-- Made by `cargo run -- limits --markdown > docs/limits.md`: change deploy/limits.toml, not this file. -->\n\n\
        These limits are the platforms', and in the last table hookmq's own. Each is from a document that was opened on\n\
        the day beside it, and none was seen on a live account. What is missing here was not found in any document.\n\
        `hookmq limits` prints them, also as JSON, and `hookmq check --deploy PLATFORM/TRIGGER` judges a hooks file and\n\
        its variables by them.\n\n\
        A limit that *can be raised*, that another document of the vendor *disputes*, or that is *not the vendor's text*\n\
        is a warning there, any other an error. A text *of a sister product* is the same vendor's, of a product that runs\n\
        on this one or is sold under another name.\n"
        .to_owned();
    for platform in Platform::ALL {
        let _ = write!(text, "\n## {}\n\n", platform.title());
        let triggers = limits.triggers(platform);
        let named: Vec<_> =
            triggers.iter().map(|trigger| format!("`{}/{trigger}`", platform.name())).collect();
        let _ = match named.as_slice() {
            [] => write!(text, "`--deploy {}`\n\n", platform.name()),
            _ => write!(text, "`--deploy {}`, or of one trigger {}\n\n", platform.name(), named.join(", ")),
        };
        text += "| Trigger | Limit | Value | What follows | Document, and the day on which it was read |\n\
                 | --- | --- | --- | --- | --- |\n";
        for trigger in [EVERY].iter().chain(&triggers) {
            let mut rows: Vec<&Limit> = limits
                .iter()
                .filter(|limit| limit.platform == platform && limit.trigger == *trigger)
                .collect();
            rows.sort_by_key(|limit| limit.kind);
            for limit in rows {
                let trigger = if *trigger == EVERY { "all" } else { trigger };
                let of = limit.of.as_deref().map(|of| format!(", {of}")).unwrap_or_default();
                let _ = writeln!(
                    text,
                    "| {trigger} | {}{of} | {} | {} | {}, {} |",
                    limit.kind.title(),
                    cell(limit),
                    facts(limit),
                    linked(limit),
                    limit.read
                );
            }
        }
    }
    text
}

pub(super) fn plain(limits: &[&Limit]) -> String {
    let mut text = String::new();
    for limit in limits {
        let of = limit.of.as_deref().map(|of| format!(", {of}")).unwrap_or_default();
        let _ = writeln!(text, "{}: {}{of}: {}", limit.place(), limit.kind.title(), amount(limit));
        let _ = writeln!(text, "    {}", facts(limit));
        let _ = writeln!(text, "    {}, read on {}", limit.document, limit.read);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/limits.md");
        let documented = std::fs::read_to_string(path).unwrap();
        let is_current = documented == markdown(&Limits::read().unwrap());
        assert!(is_current, "docs/limits.md is old: cargo run -- limits --markdown > docs/limits.md");
    }

    #[test]
    fn a_number_is_written_as_people_read_it() {
        assert_eq!(thousands(6_291_456), "6,291,456");
        assert_eq!([999, 1000, 10].map(thousands), ["999", "1,000", "10"]);
        assert_eq!(round(6_291_456, true).unwrap(), "6 MiB");
        assert_eq!(round(1_000_000, false).unwrap(), "1 MB");
        assert_eq!(round(10_240, true).unwrap(), "10 KiB");
        assert_eq!(round(1001, true), None);
    }
}
