//! Tests of requests as real senders make them, from public reports: each file in `tests/cases/web` has a hook's
//! settings, a request and the provider's rule for it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookmq_shared::clock::Timestamp;
use hookmq_shared::http::Request;
use hookmq_shared::secret::Secret;
use hookmq_shared::source::{BuildError, Settings, Source, Verdict};
use serde::Deserialize;

use crate::kit::source::{custom, request};

/// Case as its file has it.
#[derive(Deserialize)]
pub(crate) struct Case {
    name: String,
    pub(crate) source: String,
    secret: Vec<String>,
    params: BTreeMap<String, String>,
    /// Public URL of the hook, with the request's query.
    url: Option<String>,
    method: String,
    headers: serde_json::Value,
    /// Time of arrival; `None` for a request that the test of its kind signs.
    pub(crate) at: Option<i64>,
    pub(crate) expect: String,
    #[serde(default)]
    body: String,
    body_b64: Option<String>,
    verify: Option<String>,
    /// Answer to an accepted request, if the case is about it.
    answer: Option<Answer>,
}

#[derive(Deserialize, PartialEq, Eq, Debug)]
struct Answer {
    status: u16,
    body: String,
}

impl Case {
    pub(crate) fn all() -> Vec<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/web");
        let mut files: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let read = |path: &std::path::PathBuf| {
            let text = fs::read_to_string(path).unwrap();
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        files.iter().map(read).collect()
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            secrets: self.secret.iter().map(|secret| Secret::new(secret.as_str())).collect(),
            params: self.params.clone(),
            url: self.url.clone(),
        }
    }

    fn source(&self) -> Result<Source, Vec<BuildError>> {
        let settings = self.settings();
        match &self.verify {
            Some(table) => custom(table.trim_start_matches("[verify]\n"), settings),
            None => Source::preset(&self.source, settings),
        }
    }

    pub(crate) fn request(&self) -> Request {
        let body = self
            .body_b64
            .as_deref()
            .map_or_else(|| self.body.clone().into(), |text| STANDARD.decode(text).unwrap());
        let query = self.url.as_deref().and_then(|url| url.split_once('?')).map_or("", |(_, query)| query);
        Request { raw_query: query.to_owned(), ..request(&self.method, &self.headers, body) }
    }

    /// Returns the verdict of the shipped code, in the words of the files.
    fn verdict(&self, at: i64) -> String {
        let source = match self.source() {
            Ok(source) => source,
            Err(mistakes) => return format!("config: {mistakes:?}"),
        };
        let response = match source.check("h", self.request(), Timestamp::from_unix(at)) {
            Verdict::Verified(delivery) => source.ack("accepted", &delivery),
            Verdict::Handshake(response) => response,
            Verdict::Rejected(rejection) => return format!("reject: {rejection}"),
            other => return format!("{other:?}"),
        };
        let answer = Answer { status: response.status, body: response.body };
        let is_asked = self.answer.as_ref().is_none_or(|wanted| *wanted == answer);
        if is_asked { "accept".to_owned() } else { format!("{answer:?}") }
    }
}

#[test]
fn each_request_is_judged_by_its_providers_rule() {
    let (mut count, mut wrong) = (0, Vec::new());
    for case in Case::all() {
        let Some(at) = case.at else { continue };
        count += 1;
        let verdict = case.verdict(at);
        if !verdict.starts_with(&case.expect) {
            wrong.push(format!("{}: {verdict}, and the provider's rule is {}", case.name, case.expect));
        }
    }
    assert!(wrong.is_empty(), "{} of {count} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= 78, "{count}");
}
