//! Variables of a deployment: those of a file, or those that hookmq asks for in this environment, and those that
//! the hooks file refers to.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use toml::de::{DeTable, DeValue};

/// Place where a variable of a deployment is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Line of the file of variables.
    File { file: String, line: usize },
    /// Environment of this process, which may have more than the deployment's.
    Environment,
    /// Reference `env:NAME` in a line of the hooks file.
    Reference { file: String, line: usize },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line } | Self::Reference { file, line } => write!(f, "{file}:{line}"),
            Self::Environment => f.write_str("environment"),
        }
    }
}

/// Variable of a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(super) name: String,
    /// Value; `None` if only a reference is known.
    pub(super) value: Option<String>,
    pub(super) origin: Origin,
    /// Set for what the hooks file refers to, and for names of keys: a platform keeps such variables apart.
    pub(super) is_secret: bool,
}

/// Reason why a file of variables cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnvFileError {
    #[error("--env-file {file}: cannot be read: {error}")]
    Unreadable { file: String, error: std::io::Error },
    #[error("{file}:{line}: error: is not NAME=VALUE: write one variable a line, without quotes, or #")]
    Line { file: String, line: usize },
    #[error("{file}:{line}: error: {name} is set in line {first} already")]
    Twice { file: String, line: usize, name: String, first: usize },
}

/// File of variables, a line each, as Docker's `--env-file` takes it.
pub(crate) struct EnvFile {
    file: String,
    /// Name, line and value.
    lines: Vec<(String, usize, String)>,
}

impl EnvFile {
    pub(crate) fn read(path: &Path) -> Result<Self, EnvFileError> {
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(file, &text),
            Err(error) => Err(EnvFileError::Unreadable { file, error }),
        }
    }

    fn parse(file: String, text: &str) -> Result<Self, EnvFileError> {
        let mut lines: Vec<(String, usize, String)> = Vec::new();
        // A mark of the byte order and blanks before a name are not part of it, as Docker reads such a file.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (line, text) in text.lines().enumerate().map(|(index, text)| (index + 1, text.trim_start())) {
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let is_name = |name: &str| !name.is_empty() && !name.contains(char::is_whitespace);
            let Some((name, value)) = text.split_once('=').filter(|(name, _)| is_name(name)) else {
                return Err(EnvFileError::Line { file, line });
            };
            if let Some((_, first, _)) = lines.iter().find(|(known, ..)| known == name) {
                return Err(EnvFileError::Twice { file, line, name: name.to_owned(), first: *first });
            }
            lines.push((name.to_owned(), line, value.to_owned()));
        }
        Ok(Self { file, lines })
    }

    /// Returns the variables by name.
    pub(crate) fn variables(&self) -> BTreeMap<String, String> {
        self.lines.iter().map(|(name, _, value)| (name.clone(), value.clone())).collect()
    }
}

/// Variables of a deployment, each once.
#[derive(Debug, Default)]
pub(crate) struct Settings(Vec<Setting>);

/// Parts of the names of variables that hold a secret.
const SECRET: [&str; 6] = ["SECRET", "PASSWORD", "TOKEN", "_KEY", "_SK", "_AK"];

impl Settings {
    /// Collects the variables: all of `file`, or those of `asked` (each with its value), and the hooks file's
    /// references, whose text is `hooks`.
    pub(crate) fn collect(
        file: Option<&EnvFile>,
        asked: impl IntoIterator<Item = (String, String)>,
        hooks: (&str, &str),
    ) -> Self {
        let mut found = Self::default();
        match file {
            Some(EnvFile { file, lines }) => {
                for (name, line, value) in lines {
                    let origin = Origin::File { file: file.clone(), line: *line };
                    found.add(name, Some(value.clone()), origin);
                }
            }
            None => {
                for (name, value) in asked {
                    found.add(&name, Some(value), Origin::Environment);
                }
            }
        }
        let (name, text) = hooks;
        for (line, variable) in references(text) {
            match found.0.iter_mut().find(|setting| setting.name == variable) {
                Some(setting) => {
                    setting.is_secret = true;
                    // Who writes the name into the hooks file means the deployment.
                    if setting.origin == Origin::Environment {
                        setting.origin = Origin::Reference { file: name.to_owned(), line };
                    }
                }
                None => {
                    found.add(&variable, None, Origin::Reference { file: name.to_owned(), line });
                }
            }
        }
        found
    }

    fn add(&mut self, name: &str, value: Option<String>, origin: Origin) {
        let is_secret =
            matches!(origin, Origin::Reference { .. }) || SECRET.iter().any(|part| name.contains(part));
        self.0.push(Setting { name: name.to_owned(), value, origin, is_secret });
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Setting> {
        self.0.iter()
    }
}

/// Returns the line of a byte in a text, counted from 1.
pub(super) fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// Returns the variables that a hooks file refers to, each with its line. A file that is not TOML has none.
fn references(text: &str) -> Vec<(usize, String)> {
    fn walk(value: &DeValue<'_>, offset: usize, text: &str, found: &mut Vec<(usize, String)>) {
        match value {
            DeValue::String(reference) => {
                if let Some(name) = reference.strip_prefix("env:") {
                    let name = name.split('#').next().unwrap_or_default();
                    found.push((line_of(text, offset), name.to_owned()));
                }
            }
            DeValue::Array(items) => {
                for item in items {
                    walk(item.get_ref(), item.span().start, text, found);
                }
            }
            DeValue::Table(table) => {
                for (_, value) in table {
                    walk(value.get_ref(), value.span().start, text, found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    if let Ok(document) = DeTable::parse(text) {
        for (_, value) in document.get_ref() {
            walk(value.get_ref(), value.span().start, text, &mut found);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_variable_a_line() {
        let of = |text: &str| EnvFile::parse("x.env".to_owned(), text);
        let file = of("\u{feff}# more\n \nA=1\r\n  B=x=y\nC=\n\t# A=2\n").unwrap();
        let lines: Vec<_> = file.lines.iter().map(|(n, l, v)| (n.as_str(), *l, v.as_str())).collect();
        assert_eq!(lines, [("A", 3, "1"), ("B", 4, "x=y"), ("C", 5, "")]);
        for (text, told) in [
            ("A\n", "x.env:1: error: is not NAME=VALUE: write one variable a line, without quotes, or #"),
            ("\n=1\n", "x.env:2: error: is not NAME=VALUE: write one variable a line, without quotes, or #"),
            (
                "export A=1\n",
                "x.env:1: error: is not NAME=VALUE: write one variable a line, without quotes, or #",
            ),
            ("A =1\n", "x.env:1: error: is not NAME=VALUE: write one variable a line, without quotes, or #"),
            ("A=1\nA=2\n", "x.env:2: error: A is set in line 1 already"),
        ] {
            assert_eq!(of(text).map(|_| ()).unwrap_err().to_string(), told);
        }
    }

    #[test]
    fn references_have_their_lines() {
        let text = "[hooks.a]\nsource = \"github\"\nsecrets = [\n  \"env:A\",\n  \"env:B#key\",\n]\n\
                    [targets.t]\nkey = { id = \"env:C\", note = \"plain:env:D\" }\n";
        let found = references(text);
        assert_eq!(found, [(4, "A".to_owned()), (5, "B".to_owned()), (8, "C".to_owned())]);
        assert!(references("[").is_empty());
    }

    #[test]
    fn a_variable_counts_once_and_a_reference_makes_it_a_secret() {
        let hooks = ("hooks.toml", "a = \"env:GITHUB\"\nb = \"env:GITHUB#x\"\nc = \"env:MISSING\"\n");
        let asked = [("GITHUB", "v"), ("TDMQ_REGION", "r"), ("S3_SECRET_KEY", "s")];
        let settings =
            Settings::collect(None, asked.map(|(name, value)| (name.to_owned(), value.to_owned())), hooks);
        let told: Vec<_> = settings
            .iter()
            .map(|setting| (setting.origin.to_string(), setting.name.as_str(), setting.is_secret))
            .collect();
        assert_eq!(
            told,
            [
                ("hooks.toml:1".to_owned(), "GITHUB", true),
                ("environment".to_owned(), "TDMQ_REGION", false),
                ("environment".to_owned(), "S3_SECRET_KEY", true),
                ("hooks.toml:3".to_owned(), "MISSING", true),
            ]
        );
    }
}
