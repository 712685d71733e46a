//! Signature headers, tokens, timestamps and all else that a preset reads: its name, its secrets (with
//! tabs between, and `\n` in them for an end of line), the address and header fields are a line each, what
//! follows an empty line is the body. It is the document too, where a source asks for one.
#![no_main]

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use hookmq_shared::clock::Timestamp;
use hookmq_shared::http::{Headers, Request};
use hookmq_shared::secret::Secret;
use hookmq_shared::source::{Fetched, Outcome, Settings, Source, Verdict, preset_info};
use libfuzzer_sys::fuzz_target;

/// Good for the keys among the parameters, which have a length, and for all others.
const PARAM: &str = "0123456789abcdef0123456789abcdef";
const AES_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY";

thread_local! {
    /// A preset takes longer to read than a request.
    static SOURCES: RefCell<HashMap<[String; 3], Option<Source>>> = RefCell::default();
}

fn read_source([preset, secrets, url]: &[String; 3]) -> Option<Source> {
    let value = |name: &str| if name == "aes_key" { AES_KEY } else { PARAM }.to_owned();
    let params = preset_info(preset).ok()?.params.into_iter();
    let params: BTreeMap<String, String> =
        params.map(|param| (param.name.clone(), value(&param.name))).collect();
    let secrets = secrets.split('\t').filter(|secret| !secret.is_empty());
    let secrets = secrets.map(|secret| Secret::new(secret.replace("\\n", "\n"))).collect();
    Source::preset(preset, Settings { secrets, params, url: Some(url.clone()) }).ok()
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
        path: "/h".to_owned(),
        raw_query: url.split_once('?').map_or("", |(_, query)| query).to_owned(),
        headers,
        body: body.to_owned().into(),
        request_id: String::new(),
        deadline: None,
        received: tokio::time::Instant::now(),
        source_ip: None,
    };
    let now = Timestamp::from_unix(1_760_000_000);
    let explanation = source.explain(&request, now);
    let _ = explanation.to_string();
    let verdict = source.check("h", request, now);
    // What is explained is what is done.
    assert_eq!(
        matches!(explanation.outcome, Outcome::Verified(_)),
        matches!(verdict, Verdict::Verified(_)),
        "{explanation}"
    );
    if let Verdict::Fetch(address, request) = verdict {
        let document = Some(request.body.clone());
        let _ = source.check_with("h", *request, now, &[Fetched { address, document, is_latest: true }]);
    }
});
