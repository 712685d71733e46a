//! `hookmq verify --batch`: many requests in one process, for the differential tests.
//!
//! Reads [`Case`]s from standard input, one JSON object a line, and writes one line for each, in order: the
//! first line that `hookmq verify` prints, or `error: ` and the mistake in the settings.

use std::collections::BTreeMap;
use std::io::{BufRead as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookmq_shared::clock::Timestamp;
use hookmq_shared::http::Headers;
use hookmq_shared::secret::Secret;
use hookmq_shared::source::{Settings, Source};
use serde::Deserialize;

use crate::verify::described;
use crate::{Exit, complain};

/// The arguments of `hookmq verify`, except that secrets and params are values, never references.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    source: String,
    secrets: Vec<String>,
    #[serde(default)]
    params: BTreeMap<String, String>,
    url: Option<String>,
    at: i64,
    method: Option<String>,
    /// Names and values in order, without any trimming.
    headers: Vec<(String, String)>,
    /// Body of the request, in base64.
    body: String,
}

pub(crate) fn run() -> Exit {
    let mut output = Vec::new();
    for (line, number) in std::io::stdin().lock().lines().zip(1..) {
        let case = line.map_err(|e| e.to_string()).and_then(|line| {
            let case: Case = serde_json::from_str(&line).map_err(|e| e.to_string())?;
            let body = STANDARD.decode(&case.body).map_err(|e| e.to_string())?;
            Ok((case, body))
        });
        let verdict = match case {
            Ok((case, body)) => case.verdict(body).unwrap_or_else(|error| format!("error: {error}")),
            Err(error) => {
                complain(format!("line {number}: {error}"));
                return Exit::Configuration;
            }
        };
        output.extend([verdict.as_bytes(), b"\n"].concat());
    }
    match std::io::stdout().write_all(&output) {
        Ok(()) => Exit::Good,
        Err(error) => {
            complain(error);
            Exit::Bad
        }
    }
}

impl Case {
    fn verdict(self, body: Vec<u8>) -> Result<String, String> {
        let settings = Settings {
            secrets: self.secrets.into_iter().map(Secret::new).collect(),
            params: self.params,
            url: self.url.clone(),
        };
        let source = Source::preset(&self.source, settings)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
        let headers: Headers = self.headers.into_iter().collect();
        let request = described(self.method.as_deref(), self.url.as_deref(), headers, body)
            .map_err(|error| error.to_string())?;
        let explanation = source.explain(&request, Timestamp::from_unix(self.at)).to_string();
        Ok(explanation.lines().next().unwrap_or_default().to_owned())
    }
}
