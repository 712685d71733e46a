//! Patterns of names: a whole name, the start of names and `*`, or `*` for all.

use std::fmt;

/// Pattern of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// One name.
    Name(String),
    /// All names that begin with this text. The asterisk that ended the pattern is not a part of it.
    Start(String),
}

impl Pattern {
    /// Parses a pattern; `None` if it is empty or has an asterisk before its end, so that it could match
    /// nothing.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (start, is_start) = text.strip_suffix('*').map_or((text, false), |start| (start, true));
        let is_valid = !start.contains('*') && !text.is_empty();
        let pattern = if is_start { Self::Start(start.to_owned()) } else { Self::Name(start.to_owned()) };
        is_valid.then_some(pattern)
    }

    /// Returns true if the pattern has this name.
    pub(crate) fn matches(&self, name: &str) -> bool {
        match self {
            Self::Name(known) => known == name,
            Self::Start(start) => name.starts_with(start.as_str()),
        }
    }

    /// Returns true if the pattern has this name in upper or lower case.
    pub(crate) fn matches_any_case(&self, name: &str) -> bool {
        let (known, name) = match self {
            Self::Name(known) => (known, Some(name)),
            Self::Start(start) => (start, name.get(..start.len())),
        };
        name.is_some_and(|name| name.eq_ignore_ascii_case(known))
    }

    /// Returns the text of the pattern without its asterisk.
    pub(crate) fn text(&self) -> &str {
        let (Self::Name(text) | Self::Start(text)) = self;
        text
    }
}

/// Spelling in `hooks.toml`.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())?;
        f.write_str(if matches!(self, Self::Start(_)) { "*" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_name_a_start_or_everything() {
        for (pattern, name, is_match) in [
            ("push", "push", true),
            ("push", "pushed", false),
            ("push", "Push", false),
            ("invoice.*", "invoice.paid", true),
            ("invoice.*", "invoice.", true),
            ("invoice.*", "invoice", false),
            ("orders/*", "orders/create", true),
            ("*", "anything", true),
            ("*", "", true),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().matches(name), is_match, "{pattern} {name}");
        }
        for wrong in ["", "**", "a*b", "*.paid", "a.*.*"] {
            assert_eq!(Pattern::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn header_fields_match_in_any_case() {
        let start = Pattern::parse("x-github-*").unwrap();
        assert!(start.matches_any_case("X-GitHub-Event") && !start.matches_any_case("X-Git"));
        let name = Pattern::parse("content-type").unwrap();
        assert!(name.matches_any_case("Content-Type") && !name.matches_any_case("Content-Types"));
        assert!(!start.matches_any_case("x-gith\u{fc}b-event"));
        assert_eq!([start.to_string(), name.to_string()], ["x-github-*", "content-type"]);
    }
}
