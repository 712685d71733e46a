//! Whether a process can serve, as far as that is known without asking anybody, and what stands against it.
//!
//! Looked at anew for each probe, so that a file that was mended needs no restart. A vendor or a store that
//! does not answer stands against nothing: another instance would not reach it either.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::env::{Env, EnvProblem};
use crate::http::Response;
use crate::problem::Problem;
use crate::queue::{Open, Target};
use crate::spill::StoreProbe;

const VARIABLE: &str = "READY";

/// Seconds until a probe that was told "not ready" should ask again.
const RETRY_AFTER: u32 = 5;

/// How much of the configuration must be sound (`READY`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// One hook that can be served.
    Any,
    /// All of it: a rollout with one mistake stops at its first instance.
    All,
}

impl Rule {
    /// As the environment says; what is wrong with it.
    pub(crate) fn from_env(env: &Env) -> Result<Self, EnvProblem> {
        match env.get(VARIABLE).as_deref() {
            None | Some("any") => Ok(Self::Any),
            Some("all") => Ok(Self::All),
            Some(_) => {
                let message = "is neither \"any\" nor \"all\": nothing is ready until it is".to_owned();
                Err(EnvProblem { variable: VARIABLE, message })
            }
        }
    }
}

/// The answer to a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    is_ready: bool,
    troubles: BTreeSet<Trouble>,
    store: Option<StoreProbe>,
    /// By target.
    open_circuits: BTreeMap<String, usize>,
}

/// What a probe is told beside the status.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    store_problem: Option<&'static str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    open_circuits: &'a BTreeMap<String, usize>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    problems: &'a BTreeSet<Trouble>,
}

/// Something that stands against it: names of the configuration, and never a value. What exactly is wrong is in
/// the log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Trouble {
    #[serde(skip_serializing_if = "Option::is_none")]
    hook: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    variable: Option<&'static str>,
    problem: &'static str,
}

impl Trouble {
    const fn of(problem: &'static str) -> Self {
        Self { hook: None, target: None, variable: None, problem }
    }

    /// Others are to take what comes.
    const fn stopping() -> Self {
        Self::of("stopping")
    }

    /// The hooks file has mistakes.
    pub(crate) const fn file() -> Self {
        Self::of("the hooks file has errors")
    }

    /// The hook has mistakes.
    pub(crate) fn broken(hook: &str) -> Self {
        Self { hook: Some(hook.to_owned()), ..Self::of("the hook has errors") }
    }

    /// The hook sends nothing from here.
    pub(crate) fn without_topic(hook: &str) -> Self {
        Self { hook: Some(hook.to_owned()), ..Self::of("the hook has no topic here") }
    }

    /// The hook refuses everything until its secrets can be read.
    pub(crate) fn without_secrets(hook: &str) -> Self {
        Self { hook: Some(hook.to_owned()), ..Self::of("the hook's secrets cannot be read") }
    }

    /// A target, or the environment (`None`), lacks a variable or what that names.
    pub(crate) fn setting(target: Option<&Target>, variable: &'static str) -> Self {
        let target = target.map(|target| target.name().to_owned());
        Self { target, variable: Some(variable), ..Self::of("missing or wrong") }
    }
}

impl Readiness {
    /// Ready or not, and what there is to tell.
    pub(crate) fn new(is_ready: bool, troubles: impl IntoIterator<Item = Trouble>) -> Self {
        Self {
            is_ready,
            troubles: troubles.into_iter().collect(),
            store: None,
            open_circuits: BTreeMap::new(),
        }
    }

    /// Of a process that was told to stop, whatever else there is.
    pub(crate) fn stopping() -> Self {
        Self::new(false, [Trouble::stopping()])
    }

    /// Whether requests may come.
    pub const fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// As `rule` says of a process that can serve something (`can_serve`) and has these troubles.
    pub(crate) fn judge(rule: Rule, can_serve: bool, troubles: impl IntoIterator<Item = Trouble>) -> Self {
        let told = Self::new(can_serve, troubles);
        Self { is_ready: can_serve && (rule == Rule::Any || told.troubles.is_empty()), ..told }
    }

    /// With what is known of the store and of the queues, which is told and stands against nothing.
    #[must_use]
    pub(crate) fn with_state<'t>(
        self,
        store: Option<StoreProbe>,
        queues: impl IntoIterator<Item = (&'t Target, Open)>,
    ) -> Self {
        let open = queues.into_iter().map(|(target, open)| (target.name().to_owned(), open.count()));
        Self { store, open_circuits: open.filter(|(_, count)| *count > 0).collect(), ..self }
    }

    /// With troubles that are told and stand against nothing.
    #[must_use]
    pub(crate) fn with_told(mut self, troubles: impl IntoIterator<Item = Trouble>) -> Self {
        self.troubles.extend(troubles);
        self
    }

    /// The same without names of hooks and targets: where metrics are off, they are for nobody.
    #[must_use]
    pub(crate) fn without_names(self) -> Self {
        let troubles = self.troubles.into_iter();
        let troubles = troubles.map(|told| Trouble { hook: None, target: None, ..told }).collect();
        Self { troubles, open_circuits: BTreeMap::new(), ..self }
    }

    /// What a probe is told.
    pub(crate) fn response(&self, request_id: &str) -> Response {
        let Self { is_ready, troubles, store, open_circuits } = self;
        let store_problem = match store {
            Some(StoreProbe::Failed(class)) => Some(*class),
            _ => None,
        };
        let told =
            Told { store: store.map(StoreProbe::as_str), store_problem, open_circuits, problems: troubles };
        // Names and fixed texts serialise without fail.
        let members = serde_json::to_string(&told).unwrap_or_default();
        let members = members.strip_prefix('{').and_then(|members| members.strip_suffix('}'));
        // They follow other members.
        let members = members.filter(|members| !members.is_empty()).map(|members| format!(",{members}"));
        let members = members.unwrap_or_default();
        if *is_ready {
            return Response::new(200, "application/json", format!(r#"{{"status":"ok"{members}}}"#));
        }
        let mut response = Problem::Unavailable { retry_after: RETRY_AFTER }.response(request_id);
        if let Some(body) = response.body.strip_suffix('}') {
            response.body = format!("{body}{members}}}");
        }
        response
    }
}

/// Without a word about why.
impl From<bool> for Readiness {
    fn from(is_ready: bool) -> Self {
        Self::new(is_ready, [])
    }
}

#[cfg(test)]
mod tests {
    use crate::queue::Vendor;

    use super::*;

    #[test]
    fn the_variable_has_two_values() {
        let of = |text: &str| Rule::from_env(&Env::of([(VARIABLE, text)]));
        assert_eq!((of(""), of("any"), of(" all ")), (Ok(Rule::Any), Ok(Rule::Any), Ok(Rule::All)));
        for wrong in ["ALL", "strict", "1", "any all"] {
            assert_eq!(of(wrong).unwrap_err().variable, VARIABLE, "{wrong}");
        }
    }

    #[test]
    fn a_probe_is_told_why() {
        let target = Target::from(Vendor::Tdmq);
        let troubles = || {
            [Trouble::setting(Some(&target), "TLS_CA_FILE"), Trouble::broken("a\"b"), Trouble::broken("a\"b")]
        };
        let answer = Readiness::judge(Rule::All, true, troubles()).response("id");
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(body["type"], "urn:hookmq:problem:unavailable");
        let told = serde_json::json!([
            {"target": "tdmq", "variable": "TLS_CA_FILE", "problem": "missing or wrong"},
            {"hook": "a\"b", "problem": "the hook has errors"},
        ]);
        assert_eq!(body["problems"], told);
        let answer = Readiness::judge(Rule::Any, true, troubles()).response("id");
        let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!((answer.status, &body["status"], &body["problems"]), (200, &"ok".into(), &told));
        let hidden = Readiness::judge(Rule::Any, false, troubles()).without_names().response("id").body;
        assert!(
            !hidden.contains("a\\\"b") && !hidden.contains("tdmq") && hidden.contains("TLS_CA_FILE"),
            "{hidden}"
        );
        let sound = Readiness::judge(Rule::All, true, []);
        assert_eq!(sound.response("id").body, r#"{"status":"ok"}"#);
        let open = Open { topic: 1, key: 0, endpoint: 1 };
        let told = sound.clone().with_state(Some(StoreProbe::Failed("denied")), [(&target, open)]);
        let body = r#"{"status":"ok","store":"failed","store_problem":"denied","open_circuits":{"tdmq":2}}"#;
        assert_eq!(told.response("id").body, body);
        let told = sound.with_state(Some(StoreProbe::Worked), [(&target, Open::default())]);
        assert_eq!(told.response("id").body, r#"{"status":"ok","store":"worked"}"#);
    }
}
