//! Table of limits: `deploy/limits.toml`, read into types.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use toml::de::DeTable;

use crate::sources::table_to_json;

const DATA: &str = include_str!("../../../deploy/limits.toml");

/// Trigger of the limits that hold for all triggers of a platform.
pub(super) const EVERY: &str = "*";

/// Platform that a forwarder runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Platform {
    Lambda,
    Scf,
    FunctiongraphHuawei,
    FunctiongraphOtc,
    /// hookmq's own HTTP server, in a container or on a machine.
    Http,
}

impl Platform {
    pub(super) const ALL: [Self; 5] =
        [Self::Lambda, Self::Scf, Self::FunctiongraphHuawei, Self::FunctiongraphOtc, Self::Http];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Lambda => "lambda",
            Self::Scf => "scf",
            Self::FunctiongraphHuawei => "functiongraph-huawei",
            Self::FunctiongraphOtc => "functiongraph-otc",
            Self::Http => "http",
        }
    }

    /// Returns the name for people.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Lambda => "AWS Lambda",
            Self::Scf => "Tencent SCF",
            Self::FunctiongraphHuawei => "FunctionGraph on Huawei Cloud",
            Self::FunctiongraphOtc => "FunctionGraph on Open Telekom Cloud",
            Self::Http => "hookmq's HTTP server",
        }
    }

    /// Returns the trigger that the deployments of this repository make.
    const fn usual(self) -> &'static str {
        match self {
            Self::Lambda => "http-api",
            Self::Scf => "function-url",
            Self::FunctiongraphHuawei | Self::FunctiongraphOtc => "apig",
            Self::Http => EVERY,
        }
    }
}

/// Kind of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    Body,
    AnswerBody,
    Headers,
    Timeout,
    VariablesCount,
    VariablesSize,
    VariableValueSize,
    VariableNameSize,
    VariableNamePattern,
    VariableReserved,
    RegionHas,
    RegionLacks,
    ThrottledStatus,
    OversizedStatus,
    Concurrency,
}

/// Value of a limit.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub(super) enum Amount {
    Number(u64),
    Texts(Vec<String>),
}

/// Text that a limit was found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Certainty {
    Opened,
    Sister,
    Disputed,
    ThirdParty,
    Code,
}

impl Certainty {
    /// Returns true if a limit may refuse a configuration; any other is told only.
    pub(super) const fn refuses(self) -> bool {
        matches!(self, Self::Opened | Self::Sister | Self::Code)
    }

    /// Returns the words for a page, where the vendor's document does not simply say so.
    pub(super) const fn doubt(self) -> Option<&'static str> {
        match self {
            Self::Opened | Self::Code => None,
            Self::Sister => Some("of a sister product"),
            Self::Disputed => Some("disputed"),
            Self::ThirdParty => Some("not the vendor's text"),
        }
    }
}

/// Thing that is counted against a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) enum Counts {
    #[serde(rename = "body")]
    Body,
    #[serde(rename = "event")]
    Event,
    #[serde(rename = "json")]
    Json,
    #[serde(rename = "characters")]
    Characters,
    #[serde(rename = "not said")]
    NotSaid,
}

/// Limit of a platform, with the document that it is from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limit {
    pub(super) platform: Platform,
    pub(super) trigger: String,
    #[serde(rename = "what")]
    pub(super) kind: Kind,
    pub(super) value: Amount,
    pub(super) unit: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) counts: Option<Counts>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) of: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) each: Vec<String>,
    #[serde(default = "is_true")]
    pub(super) defined: bool,
    #[serde(default)]
    pub(super) adjustable: bool,
    pub(super) note: String,
    pub(super) document: String,
    pub(super) read: String,
    pub(super) certainty: Certainty,
    pub(super) says: String,
}

const fn is_true() -> bool {
    true
}

impl Limit {
    pub(super) fn number(&self) -> Option<u64> {
        match self.value {
            Amount::Number(number) => Some(number),
            Amount::Texts(_) => None,
        }
    }

    pub(super) fn texts(&self) -> &[String] {
        match &self.value {
            Amount::Number(_) => &[],
            Amount::Texts(texts) => texts,
        }
    }

    /// Returns the number above which the limit is broken by any reading of its unit: a document that does not
    /// define KB or MB may mean the binary one.
    pub(super) fn widest(&self) -> Option<u64> {
        let number = self.number()?;
        Some(match (self.defined, number.is_multiple_of(1_000_000), number.is_multiple_of(1_000)) {
            (false, true, _) => number / 1_000_000 * 1024 * 1024,
            (false, false, true) => number / 1_000 * 1024,
            _ => number,
        })
    }

    pub(super) fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// Variables that a deployment of this repository sets itself, beside those that its user names.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Deployment {
    platform: Platform,
    /// Template or module.
    pub(super) by: String,
    /// Names, each with a value as long as a usual one.
    pub(super) variables: BTreeMap<String, String>,
}

/// All limits, in the order of the file, and the deployments.
pub(crate) struct Limits(Vec<Limit>, Vec<Deployment>);

/// Mistake in the table, which a test holds at none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LimitsError {
    #[error("deploy/limits.toml is not TOML: {0}")]
    Toml(#[from] toml::de::Error),
    #[error("deploy/limits.toml: {0}")]
    Entry(#[from] serde_json::Error),
}

impl Limits {
    pub(crate) fn read() -> Result<Self, LimitsError> {
        Self::parse(DATA)
    }

    fn parse(text: &str) -> Result<Self, LimitsError> {
        let mut document = table_to_json(DeTable::parse(text)?.get_ref());
        let deployments =
            document.get_mut("deployment").map_or_else(|| Value::Array(Vec::new()), Value::take);
        Ok(Self(serde_json::from_value(document["limit"].take())?, serde_json::from_value(deployments)?))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Limit> {
        self.0.iter()
    }

    /// Returns the deployment of this repository for the platform of a place.
    pub(super) fn deployment(&self, place: &Place) -> Option<&Deployment> {
        self.1.iter().find(|deployment| deployment.platform == place.platform)
    }

    /// Returns the limits of a platform, and those of one trigger alone where one is named.
    pub(super) fn shown(&self, place: Option<&Place>) -> Vec<&Limit> {
        let is_shown = |limit: &&Limit| {
            place.is_none_or(|place| {
                limit.platform == place.platform
                    && (!place.is_named || [EVERY, &place.trigger].contains(&limit.trigger.as_str()))
            })
        };
        self.iter().filter(is_shown).collect()
    }

    /// Returns the limits of one kind that hold at this place.
    pub(super) fn at<'l>(&'l self, place: &'l Place, kind: Kind) -> impl Iterator<Item = &'l Limit> {
        self.iter().filter(move |limit| {
            limit.platform == place.platform
                && limit.kind == kind
                && [EVERY, &place.trigger].contains(&limit.trigger.as_str())
        })
    }

    /// Returns the names of the triggers that limits of a platform name.
    pub(super) fn triggers(&self, platform: Platform) -> Vec<&str> {
        let mut found: Vec<&str> = Vec::new();
        for limit in self.iter().filter(|limit| limit.platform == platform && limit.trigger != EVERY) {
            if !found.contains(&limit.trigger.as_str()) {
                found.push(&limit.trigger);
            }
        }
        found
    }
}

/// Platform and trigger of a deployment, as `PLATFORM` or `PLATFORM/TRIGGER`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(super) platform: Platform,
    pub(super) trigger: String,
    /// Set where the trigger was named: otherwise it is the one that this repository's deployments make.
    is_named: bool,
}

/// Reason why a text is not a place.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlaceError {
    #[error("{0} is not a platform: write one of {known}", known = Platform::ALL.map(Platform::name).join(", "))]
    Platform(String),
    #[error("{trigger} is not a trigger of {platform}: write {known}")]
    Trigger { platform: &'static str, trigger: String, known: String },
    #[error(transparent)]
    Table(#[from] LimitsError),
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let (name, trigger) = match text.split_once('/') {
            Some((name, trigger)) => (name, Some(trigger)),
            None => (text, None),
        };
        let platform = Platform::ALL.into_iter().find(|platform| platform.name() == name);
        let platform = platform.ok_or_else(|| PlaceError::Platform(name.to_owned()))?;
        let limits = Limits::read()?;
        let known = limits.triggers(platform);
        match trigger {
            Some(trigger) if !known.contains(&trigger) => Err(PlaceError::Trigger {
                platform: platform.name(),
                trigger: trigger.to_owned(),
                known: if known.is_empty() { "the platform alone".to_owned() } else { known.join(", ") },
            }),
            _ => Ok(Self {
                platform,
                trigger: trigger.unwrap_or(platform.usual()).to_owned(),
                is_named: trigger.is_some(),
            }),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.trigger.as_str() {
            EVERY => f.write_str(self.platform.name()),
            trigger => write!(f, "{}/{trigger}", self.platform.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_whole_and_each_entry_has_a_document_and_a_day() {
        let limits = Limits::read().unwrap();
        assert_eq!(limits.iter().count(), DATA.matches("[[limit]]").count());
        let mut seen = Vec::new();
        for limit in limits.iter() {
            let named = format!("{limit:?}");
            let is_own = limit.certainty == Certainty::Code;
            let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
            if is_own {
                assert!(std::path::Path::new(root).join(&limit.document).is_file(), "{named}");
            } else {
                assert!(limit.document.starts_with("https://"), "{named}");
            }
            let day: Vec<_> =
                limit.read.split('-').map(|part| (part.len(), part.parse::<u16>().is_ok())).collect();
            assert_eq!(day, [(4, true), (2, true), (2, true)], "{named}");
            assert!(!limit.note.is_empty() && !limit.says.is_empty(), "{named}");
            assert!(limit.note.ends_with('.'), "{named}");
            let is_list = matches!(limit.value, Amount::Texts(_));
            let of_texts =
                [Kind::VariableNamePattern, Kind::VariableReserved, Kind::RegionHas, Kind::RegionLacks];
            assert_eq!(is_list, of_texts.contains(&limit.kind), "{named}");
            if [Kind::ThrottledStatus, Kind::OversizedStatus].contains(&limit.kind) {
                assert!(
                    limit.of.is_some() && limit.number().is_some_and(|n| (400..600).contains(&n)),
                    "{named}"
                );
            }
            if limit.kind == Kind::VariableNamePattern {
                let known = ["[a-zA-Z]([a-zA-Z0-9_])+", "[a-zA-Z][a-zA-Z0-9_]*"];
                assert!(limit.texts().iter().all(|pattern| known.contains(&pattern.as_str())), "{named}");
            }
            let key =
                (limit.platform, &limit.trigger, limit.kind, &limit.of, limit.certainty, limit.value.clone());
            assert!(!seen.contains(&key), "twice: {named}");
            seen.push(key);
        }
        for platform in Platform::ALL {
            let place: Place = platform.name().parse().unwrap();
            for kind in [Kind::Body, Kind::Timeout, Kind::ThrottledStatus, Kind::OversizedStatus] {
                assert!(limits.at(&place, kind).next().is_some(), "{place}: {kind:?}");
            }
        }
    }

    #[test]
    fn hookmqs_own_limits_are_those_of_the_code() {
        use hookmq_shared::config::{Config, Reading, Samples};
        use hookmq_shared::env::Env;
        use hookmq_shared::http::{MAX_HEADER_BYTES, MAX_HEADERS};

        let limits = Limits::read().unwrap();
        let own = |kind: Kind, unit: &str| {
            let place = "http".parse().unwrap();
            let found =
                limits.at(&place, kind).find(|limit| limit.unit == unit).and_then(Limit::number).unwrap();
            usize::try_from(found).unwrap()
        };
        let env = Env::of([("", "")]);
        let hook = |deadline: usize| {
            let text =
                format!("[hooks.h]\nsource = \"none\"\ntopic = \"a/b/c\"\ndeadline = \"{deadline}s\"\n");
            let config = Config::parse("hooks.toml", &text, Reading::new(&env, Samples::Refused));
            config.hooks().next().map(|hook| hook.max_body)
        };
        let deadline = own(Kind::Timeout, "seconds");
        assert_eq!(hook(deadline), Some(own(Kind::Body, "bytes")));
        assert_eq!(hook(deadline + 1), None);
        assert_eq!(own(Kind::Headers, "count"), MAX_HEADERS);
        assert_eq!(own(Kind::Headers, "bytes"), MAX_HEADER_BYTES);
    }

    #[test]
    fn a_mistake_in_the_table_is_noticed() {
        let entry = DATA.split("[[limit]]").nth(1).unwrap();
        for broken in [
            entry.replace("value = 6291456", "value = -1"),
            entry.replace("platform = \"lambda\"", "platform = \"lamda\""),
            entry.replace("what = \"body\"", "what = \"bodies\""),
            entry.replace("certainty = \"opened\"", "certainty = \"sure\""),
            format!("{entry}\nmore = 1\n"),
            entry.replace("read = ", "seen = "),
            "value = \n".to_owned(),
        ] {
            assert!(Limits::parse(&format!("[[limit]]\n{broken}")).is_err(), "{broken}");
        }
        assert!(Limits::parse(&format!("[[limit]]\n{entry}")).is_ok());
    }

    #[test]
    fn a_place_is_a_platform_and_perhaps_a_trigger() {
        let shown = |text: &str| text.parse::<Place>().map(|place| place.to_string());
        assert_eq!(shown("lambda").unwrap(), "lambda/http-api");
        assert_eq!(shown("lambda/alb").unwrap(), "lambda/alb");
        assert_eq!(shown("functiongraph-otc").unwrap(), "functiongraph-otc/apig");
        assert_eq!(shown("http").unwrap(), "http");
        for (wrong, told) in [
            (
                "aws",
                "aws is not a platform: write one of lambda, scf, functiongraph-huawei, functiongraph-otc, http",
            ),
            (
                "lambda/apig",
                "apig is not a trigger of lambda: write http-api, rest-api, function-url, alb, lattice",
            ),
            ("http/x", "x is not a trigger of http: write the platform alone"),
            ("lambda/", " is not a trigger of lambda: write http-api, rest-api, function-url, alb, lattice"),
        ] {
            assert_eq!(shown(wrong).unwrap_err().to_string(), told);
        }
    }

    #[test]
    fn a_unit_that_nobody_defines_has_two_readings() {
        let limits = Limits::read().unwrap();
        let body = |place: &str| {
            let place: Place = place.parse().unwrap();
            limits.at(&place, Kind::Body).map(|limit| (limit.number(), limit.widest())).min().unwrap()
        };
        assert_eq!(body("lambda/alb"), (Some(1_000_000), Some(1_048_576)));
        assert_eq!(body("lambda/function-url"), (Some(6_291_456), Some(6_291_456)));
    }
}
