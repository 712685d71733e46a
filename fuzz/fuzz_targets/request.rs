//! Fuzz target for everything that a preset reads: signature headers, tokens, timestamps. The first line is
//! the preset's name, the second the method with path and query, further lines are header fields, and the
//! text after an empty line is the body. The body also serves as the document, if a source asks for one. The
//! secrets are those of the preset's vectors.
//!
//! The fuzzer cannot guess a signature. So if the signature covers the body, a verified body must be that of
//! a vector; the corpus starts from the vectors.
#![no_main]

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use hookmq_shared::delivery::{Coverage, Delivery};
use hookmq_shared::http::{Headers, Request};
use hookmq_shared::source::{Fetched, Settings, Source, Verdict, VerifyOutcome, preset_info, preset_names};
use kit::{NOW, of_case, pair, params_for, params_of_vectors};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

#[allow(dead_code, reason = "a fuzz target needs a part of what tests share")]
#[path = "../../shared/tests/kit/source/mod.rs"]
mod kit;

/// Value of every parameter except AES keys; its length is valid for all other keys.
const PARAM: &str = "0123456789abcdef0123456789abcdef";
const AES_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY";
const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/tests/vectors/webhooks");

thread_local! {
    static PRESETS: RefCell<HashMap<&'static str, Rc<Preset>>> = RefCell::default();
}

struct Preset {
    source: Source,
    /// Readings of the vectors' bodies, from [`said`].
    signed: HashSet<String>,
}

impl Preset {
    fn find(name: &str) -> Option<Rc<Self>> {
        let name = preset_names().find(|known| *known == name)?;
        let preset = |presets: &mut HashMap<_, _>| {
            Rc::clone(presets.entry(name).or_insert_with(|| Rc::new(Self::read(name))))
        };
        Some(PRESETS.with_borrow_mut(preset))
    }

    fn read(name: &str) -> Self {
        let file = std::fs::read_to_string(format!("{VECTORS}/{}.json", name.replace('-', "_")));
        let file: Value = serde_json::from_str(&file.unwrap_or("{}".to_owned())).expect("vectors are JSON");
        let cases: Vec<&Value> = file["cases"].as_array().into_iter().flatten().collect();
        let mut accepted: Vec<&&Value> = cases.iter().filter(|case| case["expect"] == "accept").collect();
        accepted.sort_by_key(|case| case["now"] != NOW.unix());
        let source = accepted.first().map(|case| {
            let settings = Settings { params: params(name), ..of_case(case).1 };
            Source::preset(name, settings).expect(name)
        });
        let source = source.unwrap_or_else(|| pair(name).0);
        let signed = |case: &&Value| match source.check("h", of_case(case).0, NOW) {
            Verdict::Verified(delivery) => said(&delivery),
            _ => Vec::new(),
        };
        let signed = cases.iter().flat_map(signed).collect();
        Self { source, signed }
    }
}

/// Returns all parameters of a preset, with the values of its vectors if they have some.
fn params(preset: &str) -> BTreeMap<String, String> {
    let value = |name: &str| if name == "aes_key" { AES_KEY } else { PARAM }.to_owned();
    let params = preset_info(preset).expect(preset).params.into_iter().map(|param| param.name);
    let mut params: BTreeMap<String, String> = params.map(|name| (name.clone(), value(&name))).collect();
    params.extend(params_for(preset));
    params.extend(params_of_vectors(&preset.replace('-', "_")));
    params
}

/// Returns the readings of a body in each form that a provider uses: as text; as JSON in another spelling,
/// without the address of the certificate, which is only checked against an allowlist; and as a form, of
/// which providers sign names and values in order, but not their boundaries.
fn said(delivery: &Delivery) -> Vec<String> {
    let text = String::from_utf8_lossy(&delivery.body).into_owned();
    let json = serde_json::from_str::<Value>(&text).map(|mut json| {
        for address in ["SigningCertURL", "signing_cert_url"] {
            json.as_object_mut().map(|members| members.remove(address));
        }
        json.to_string()
    });
    let mut pairs: Vec<_> = form_urlencoded::parse(&delivery.body).collect();
    pairs.sort_unstable();
    pairs.dedup();
    let form: String = pairs.iter().flat_map(|(name, value)| [&**name, &**value]).collect();
    [Some(text), json.ok(), Some(form.replace(['=', '&'], ""))].into_iter().flatten().collect()
}

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let mut lines = head.lines();
    let Some(preset) = lines.next().and_then(Preset::find) else { return };
    let Preset { source, signed } = &*preset;
    let (method, target) = lines.next().and_then(|line| line.split_once(' ')).unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers: Headers =
        lines.filter_map(|line| line.split_once(':')).map(|(n, v)| (n, v.trim().to_owned())).collect();
    let request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        raw_query: query.to_owned(),
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
    // The explanation agrees with the verdict.
    assert_eq!(
        matches!(explanation.outcome, VerifyOutcome::Verified(_)),
        matches!(verdict, Verdict::Verified(_)),
        "{explanation}"
    );
    match verdict {
        Verdict::Verified(delivery) if delivery.coverage == Coverage::Body => {
            let said = said(&delivery);
            assert!(said.iter().any(|text| signed.contains(text)), "{said:?}");
        }
        Verdict::Fetch(address, request) => {
            let document = Some(request.body.clone());
            let _ = source.check_with(
                "h",
                *request,
                NOW,
                &[Fetched { address, document, is_latest: true, is_unknown: false }],
            );
        }
        _ => {}
    }
});
