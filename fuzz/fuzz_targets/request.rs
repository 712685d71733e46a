//! Signature headers, tokens, timestamps and all else that a preset reads: its name, its secrets (with
//! tabs between, and `\n` in them for an end of line), the address and header fields are a line each, what
//! follows an empty line is the body. It is the document too, where a source asks for one.
//!
//! Nobody guesses a signature. So where one covers the body, what is verified is the body of a vector: the
//! corpus starts from those.
#![no_main]

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};

use hookmq_shared::delivery::{Coverage, Delivery};
use hookmq_shared::http::{Headers, Request};
use hookmq_shared::secret::Secret;
use hookmq_shared::source::{Fetched, Outcome, Settings, Source, Verdict, preset_info, preset_names};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use source_common::{NOW, of_case, params_for, params_of_vectors};

#[path = "../../shared/tests/source_common/mod.rs"]
mod source_common;

/// Good for the keys among the parameters, which have a length, and for all others.
const PARAM: &str = "0123456789abcdef0123456789abcdef";
const AES_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY";
const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/tests/vectors/webhooks");

thread_local! {
    /// A preset takes longer to read than a request.
    static SOURCES: RefCell<HashMap<[String; 3], Option<Source>>> = RefCell::default();
    /// What the bodies of all vectors say.
    static SIGNED: HashSet<String> = preset_names().flat_map(signed).collect();
}

/// All parameters of a preset: those of its vectors where they have some.
fn params(preset: &str) -> Option<BTreeMap<String, String>> {
    let value = |name: &str| if name == "aes_key" { AES_KEY } else { PARAM }.to_owned();
    let params = preset_info(preset).ok()?.params.into_iter().map(|param| param.name);
    let mut params: BTreeMap<String, String> = params.map(|name| (name.clone(), value(&name))).collect();
    params.extend(params_for(preset));
    params.extend(params_of_vectors(&preset.replace('-', "_")));
    Some(params)
}

fn signed(preset: &str) -> Vec<String> {
    let file = format!("{VECTORS}/{}.json", preset.replace('-', "_"));
    let Ok(file) = std::fs::read_to_string(file) else { return Vec::new() };
    let file: Value = serde_json::from_str(&file).expect("vectors are JSON");
    let cases = file["cases"].as_array().into_iter().flatten();
    let body = |case| {
        let (request, settings) = of_case(case);
        let settings = Settings { params: params(preset)?, ..settings };
        match Source::preset(preset, settings).ok()?.check("h", request, NOW) {
            Verdict::Verified(delivery) => Some(said(&delivery)),
            _ => None,
        }
    };
    cases.filter_map(body).flatten().collect()
}

/// What a body says, in each way to read it that a provider has: as it is; as JSON, whose spelling may be
/// another; as a form, of which providers sign names and values in their order, and not where each ends.
fn said(delivery: &Delivery) -> Vec<String> {
    let text = String::from_utf8_lossy(&delivery.body).into_owned();
    let mut pairs: Vec<_> = form_urlencoded::parse(&delivery.body).collect();
    pairs.sort_unstable();
    pairs.dedup();
    let form: String = pairs.iter().flat_map(|(name, value)| [&**name, &**value]).collect();
    let json = serde_json::from_str::<Value>(&text).map(|json| json.to_string());
    [Some(text), json.ok(), (pairs.len() > 1).then(|| form.replace(['=', '&'], ""))]
        .into_iter()
        .flatten()
        .collect()
}

fn read_source([preset, secrets, url]: &[String; 3]) -> Option<Source> {
    let secrets = secrets.split('\t').filter(|secret| !secret.is_empty());
    let secrets = secrets.map(|secret| Secret::new(secret.replace("\\n", "\n"))).collect();
    Source::preset(preset, Settings { secrets, params: params(preset)?, url: Some(url.clone()) }).ok()
}

fn source(head: [String; 3]) -> Option<Source> {
    SOURCES.with_borrow_mut(|sources| {
        if sources.len() == 1000 {
            sources.clear();
        }
        sources.entry(head).or_insert_with_key(read_source).clone()
    })
}

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let mut lines = head.lines();
    let head = [(); 3].map(|()| lines.next().unwrap_or_default().to_owned());
    let url = head[2].clone();
    let Some(source) = source(head) else { return };
    let headers: Headers =
        lines.filter_map(|line| line.split_once(':')).map(|(n, v)| (n, v.trim().to_owned())).collect();
    let request = Request {
        method: "POST".to_owned(),
        path: url.parse::<http::Uri>().map_or_else(|_| "/h".to_owned(), |uri| uri.path().to_owned()),
        raw_query: url.split_once('?').map_or("", |(_, query)| query).to_owned(),
        headers,
        body: body.to_owned().into(),
        request_id: String::new(),
        deadline: None,
        received: tokio::time::Instant::now(),
        source_ip: None,
    };
    let explanation = source.explain(&request, NOW);
    let _ = explanation.to_string();
    let verdict = source.check("h", request, NOW);
    // What is explained is what is done.
    assert_eq!(
        matches!(explanation.outcome, Outcome::Verified(_)),
        matches!(verdict, Verdict::Verified(_)),
        "{explanation}"
    );
    match verdict {
        Verdict::Verified(delivery) if delivery.coverage == Coverage::Body => {
            let said = said(&delivery);
            assert!(SIGNED.with(|signed| said.iter().any(|text| signed.contains(text))), "{said:?}");
        }
        Verdict::Fetch(address, request) => {
            let document = Some(request.body.clone());
            let _ = source.check_with("h", *request, NOW, &[Fetched { address, document, is_latest: true }]);
        }
        _ => {}
    }
});
