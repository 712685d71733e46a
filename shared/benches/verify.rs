//! Time to verify a 4 KiB body with a preset of each kind, measured by criterion.
//!
//! Run with `repeat PRESET TIMES` to verify that many times, so that `tests/load/instructions.py` can count
//! instructions. Run with `list` to list the kinds and their presets.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark may panic and print")]

#[allow(dead_code, unreachable_pub, reason = "a benchmark needs a part of what tests share")]
#[path = "../tests/kit/source/mod.rs"]
mod kit;

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion};
use hookmq_shared::http::Request;
use hookmq_shared::source::{Draft, Info, Source, Verdict, preset_info, preset_names};
use kit::{NOW, custom, pair, random, settings};
use serde_json::json;

const BODY: usize = 4096;

/// Presets to use for their kinds, because most readers know them.
const KNOWN: [&str; 3] = ["github", "gitlab-secret-token", "discord"];

/// Kinds without a preset, with a table for each.
const TABLES: [(&str, &str); 3] = [
    (
        "all",
        r#"verify = [{ kind = "network", cidrs = ["203.0.113.0/24"] }, { kind = "token", from = "header:X" }]"#,
    ),
    (
        "any",
        r#"verify = [{ kind = "network", cidrs = ["203.0.113.0/24"] }, { kind = "token", from = "header:X" }]"#,
    ),
    ("network", r#"cidrs = ["203.0.113.0/24", "2001:db8::/32"]"#),
];

/// Returns the verifying and the signing source of a preset or of a kind in [`TABLES`].
fn sources(name: &str) -> (Source, Source) {
    let Some((kind, table)) = TABLES.iter().find(|(kind, _)| *kind == name) else { return pair(name) };
    let secrets = if *kind == "network" { json!([]) } else { json!(["correct horse battery"]) };
    let source = custom(&format!("kind = \"{kind}\"\n{table}"), settings(&secrets)).unwrap();
    (source.clone(), source)
}

/// Source, and a request with a 4 KiB body that it accepts.
struct Case {
    source: Source,
    request: Request,
}

impl Case {
    /// Builds a case. Returns `None` if the preset does not accept the filler body.
    fn of(preset: &str) -> Option<Self> {
        let (source, signer) = sources(preset);
        let body = format!(r#"{{"type":"order.paid","items":["{:x<1$}"]}}"#, "", BODY - 34);
        assert_eq!(body.len(), BODY);
        let draft = Draft { body: Some(body.into()), ..Draft::default() };
        let case = Self { source, request: signer.sign(draft, 0, NOW, &random()).ok()? };
        matches!(case.check(), Verdict::Verified(_)).then_some(case)
    }

    /// Verifies the request as the gateway does. The copy of the request shares the body.
    fn check(&self) -> Verdict {
        self.source.check("h", self.request.clone(), NOW)
    }
}

/// Returns the kinds, each with a preset: a well-known one, else one that signs the whole body, else any.
fn kinds() -> BTreeMap<String, &'static str> {
    let mut infos: Vec<Info> = preset_names().map(|name| preset_info(name).unwrap()).collect();
    infos.sort_by_key(|info| (!KNOWN.contains(&info.name), !info.covers_body));
    let mut kinds = BTreeMap::new();
    for info in infos {
        let decrypts = if info.data.contains("\ndecrypt") { ", decrypt" } else { "" };
        let kind = format!("{}{decrypts}", info.kind);
        if !kinds.contains_key(&kind) && Case::of(info.name).is_some() {
            kinds.insert(kind, info.name);
        }
    }
    for (kind, _) in TABLES {
        kinds.entry(kind.to_owned()).or_insert(kind);
    }
    kinds
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["list"] => kinds().iter().for_each(|(kind, preset)| println!("{kind}\t{preset}")),
        ["repeat", preset, times] => {
            let case = Case::of(preset).unwrap();
            (0..times.parse::<u32>().unwrap()).for_each(|_| drop(black_box(case.check())));
        }
        _ => {
            let mut criterion = Criterion::default().configure_from_args();
            let mut group = criterion.benchmark_group("verify");
            for (kind, preset) in kinds() {
                let case = Case::of(preset).unwrap();
                group.bench_function(BenchmarkId::new(kind, preset), |b| b.iter(|| case.check()));
            }
            group.finish();
            criterion.final_summary();
        }
    }
}
