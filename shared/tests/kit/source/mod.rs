//! Helpers that the tests of sources share: vectors, settings, signing and checking.

mod presets;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookmq_shared::clock::{Random, Timestamp};
use hookmq_shared::delivery::Delivery;
use hookmq_shared::http::{Request, Response};
use hookmq_shared::reader::{Mistakes, Table};
use hookmq_shared::secret::Secret;
use hookmq_shared::source::{BuildError, Draft, Fetched, Rejection, Settings, Source, Verdict};
use serde_json::Value;
use toml::de::DeTable;

pub use presets::*;

/// Time at which all vectors are checked.
pub const NOW: Timestamp = Timestamp::from_unix(1_760_000_000);

/// Returns the folder of the vectors, from any crate of the workspace.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/tests/vectors/webhooks")
}

/// Returns the names of the presets' vector files, sorted and without extension.
pub fn vector_files() -> Vec<String> {
    let entries = folder().read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let files = entries.map(|name| name.strip_suffix(".json").expect("a file of vectors").to_owned());
    let mut files: Vec<String> = files.filter(|file| !OTHERS.contains(&file.as_str())).collect();
    files.sort();
    files
}

/// Vector files with cases of several providers.
const OTHERS: [&str; 2] = ["cert_url_allow", "handshakes"];

/// Loads a vector file as JSON.
pub fn load(file: &str) -> Value {
    let path = folder().join(format!("{file}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Builds a request with the header fields of a vector.
pub fn request(method: &str, headers: &Value, body: Vec<u8>) -> Request {
    let pair = |h: &Value| (h[0].as_str().unwrap().to_owned(), h[1].as_str().unwrap().to_owned());
    Request {
        method: method.to_owned(),
        path: "/hook".to_owned(),
        raw_query: String::new(),
        headers: headers.as_array().unwrap().iter().map(pair).collect(),
        body: body.into(),
        request_id: "00000000-0000-4000-8000-000000000000".to_owned(),
        received: tokio::time::Instant::now(),
        source_ip: None,
        deadline: None,
    }
}

/// Builds the request and the settings of a vector; its `url` is the hook's.
pub fn of_case(case: &Value) -> (Request, Settings) {
    let body = STANDARD.decode(case["body_b64"].as_str().unwrap()).unwrap();
    let mut request = request(case["method"].as_str().unwrap(), &case["headers"], body);
    let url = case["url"].as_str().map(str::to_owned);
    request.raw_query = query(url.as_deref().unwrap_or_default());
    if let Some(uri) = url.as_ref().and_then(|url| url.parse::<http::Uri>().ok()) {
        uri.path().clone_into(&mut request.path);
    }
    let params = case["provider"].as_str().map(params_of_vectors).unwrap_or_default();
    (request, Settings { url, params, ..settings(&case["secrets"]) })
}

/// Signs the preset's sample and returns the verifier and the verified delivery.
pub fn sample(preset: &str) -> (Source, Delivery) {
    let (verifier, signer) = pair(preset);
    let request = signer.sign(Draft::default(), 0, NOW, &random()).unwrap();
    match verifier.check("shop", request, NOW) {
        Verdict::Verified(delivery) => (verifier, *delivery),
        other => panic!("{other:?}"),
    }
}

/// Returns the part of an address after the `?`.
pub fn query(url: &str) -> String {
    url.split_once('?').map_or("", |(_, query)| query).to_owned()
}

/// Builds settings with the secrets of a vector.
pub fn settings(secrets: &Value) -> Settings {
    let secret = |s: &Value| Secret::new(s.as_str().unwrap());
    Settings { secrets: secrets.as_array().unwrap().iter().map(secret).collect(), ..Settings::default() }
}

/// Builds a source from a `[verify]` table, which must have no mistakes but warnings.
pub fn custom(text: &str, settings: Settings) -> Result<Source, Vec<BuildError>> {
    let mistakes = Mistakes::new("hooks.toml", text);
    let document = DeTable::parse(text).unwrap();
    let source = Source::custom(Table::new(&mistakes, "verify", 0, document.get_ref()), settings);
    let errors = mistakes.errors();
    assert!(errors == 0, "{:?}", mistakes.into_sorted());
    source
}

/// Returns a generator whose bits differ between calls, but not between runs.
pub fn random() -> Random {
    let next = AtomicU64::new(1);
    Random::from_fn(move || next.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed).rotate_left(17))
}

/// Checks a request that must be a handshake and returns the answer.
pub fn handshake(source: &Source, request: Request) -> Response {
    match source.check("h", request, NOW) {
        Verdict::Handshake(response) => response,
        other => panic!("{other:?}"),
    }
}

/// Checks a request that must be rejected and returns the reason.
pub fn rejection(source: &Source, request: Request) -> Rejection {
    match source.check("h", request, NOW) {
        Verdict::Rejected(rejection) => rejection,
        other => panic!("{other:?}"),
    }
}

/// Signs a request with this body.
pub fn sign(source: &Source, body: &str) -> Request {
    let draft = Draft { body: Some(body.to_owned().into()), ..Draft::default() };
    source.sign(draft, 0, NOW, &random()).unwrap()
}

/// Checks a request; each address that the check asks for gets this document.
pub fn check_with(source: &Source, request: Request, now: Timestamp, document: Option<&[u8]>) -> Verdict {
    let (mut request, mut fetched) = (request, Vec::<Fetched>::new());
    loop {
        let verdict = source.check_with("h", request, now, &fetched);
        let (Verdict::Fetch(address, again), Some(document)) = (&verdict, document) else { return verdict };
        // A second request for an address gets the same document.
        let is_latest = fetched.iter().any(|known| known.address == *address);
        fetched.retain(|known| known.address != *address);
        let document = Some(document.to_vec().into());
        fetched.push(Fetched { address: address.clone(), document, is_latest, is_unknown: false });
        request = (**again).clone();
    }
}
