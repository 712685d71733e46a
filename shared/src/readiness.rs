//! Readiness of a process, as far as its own state tells, and the problems that prevent it.
//!
//! Each probe checks the state again, so that a corrected file needs no restart. A vendor or a store that
//! does not answer does not make the process unready, because other instances could not reach it either.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::env::{Env, EnvProblem};
use crate::http::Response;
use crate::problem::Problem;
use crate::queue::{Open, Target};
use crate::spill::StoreProbe;

const VARIABLE: &str = "READY";

/// Path of the probe of liveness.
pub(crate) const HEALTH: &str = "/_/health";
/// Path of the probe of readiness.
pub(crate) const READY: &str = "/_/ready";

/// Seconds after which a prober that got "not ready" should try again.
const RETRY_AFTER: u32 = 5;

/// Part of the configuration that must be sound (`READY`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadinessRule {
    /// Any hook that can serve requests.
    Any,
    /// Whole configuration, so that a rollout with a mistake stops at its first instance.
    All,
}

impl ReadinessRule {
    /// Parses `READY`. The error says what is wrong with the value.
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

/// Answer to a readiness probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    is_ready: bool,
    troubles: BTreeSet<Trouble>,
    store: Option<StoreProbe>,
    /// Open circuits, by target. Only targets with an open circuit are listed.
    open_circuits: BTreeMap<String, usize>,
}

/// Members that the body of the answer has besides the status.
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

/// Returns the answer to a probe of liveness.
pub(crate) fn alive() -> Response {
    Response::new(200, "application/json", r#"{"status":"ok"}"#)
}

/// Problem of the configuration. It names settings but never their values; details are in the log.
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

    /// Returns the problem of a process that was told to stop: other instances must take new requests.
    const fn stopping() -> Self {
        Self::of("stopping")
    }

    /// Returns the problem of a hooks file with mistakes.
    pub(crate) const fn file() -> Self {
        Self::of("the hooks file has errors")
    }

    /// Returns the problem of a hook with mistakes.
    pub(crate) fn broken(hook: &str) -> Self {
        Self { hook: Some(hook.to_owned()), ..Self::of("the hook has errors") }
    }

    /// Returns the problem of a hook without a topic for the queues of this process.
    pub(crate) fn without_topic(hook: &str) -> Self {
        Self { hook: Some(hook.to_owned()), ..Self::of("the hook has no topic here") }
    }

    /// Returns the problem of a hook that refuses everything until its secrets can be read.
    pub(crate) fn without_secrets(hook: &str) -> Self {
        Self { hook: Some(hook.to_owned()), ..Self::of("the hook's secrets cannot be read") }
    }

    /// Returns the problem of a variable that is missing or wrong, for a target or for the environment
    /// (`None`).
    pub(crate) fn setting(target: Option<&Target>, variable: &'static str) -> Self {
        let target = target.map(|target| target.name().to_owned());
        Self { target, variable: Some(variable), ..Self::of("missing or wrong") }
    }
}

impl Readiness {
    /// Creates an answer with these problems, and without the state of the store and the queues.
    pub(crate) fn new(is_ready: bool, troubles: impl IntoIterator<Item = Trouble>) -> Self {
        let told = Self { is_ready, troubles: BTreeSet::new(), store: None, open_circuits: BTreeMap::new() };
        // One by one, here and below: the sort of a whole collection is five kilobytes of a function.
        told.with_told(troubles)
    }

    /// Returns the answer of a process that was told to stop, regardless of any other state.
    pub(crate) fn stopping() -> Self {
        Self::new(false, [Trouble::stopping()])
    }

    /// Returns true if the process can take requests.
    pub const fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// Applies `rule` to a process with these problems. `can_serve` says that at least one hook can serve
    /// requests.
    pub(crate) fn judge(
        rule: ReadinessRule,
        can_serve: bool,
        troubles: impl IntoIterator<Item = Trouble>,
    ) -> Self {
        let told = Self::new(can_serve, troubles);
        Self { is_ready: can_serve && (rule == ReadinessRule::Any || told.troubles.is_empty()), ..told }
    }

    /// Adds the state of the store and of the queues, which does not affect readiness.
    #[must_use]
    pub(crate) fn with_state<'t>(
        self,
        store: Option<StoreProbe>,
        queues: impl IntoIterator<Item = (&'t Target, Open)>,
    ) -> Self {
        let mut told = Self { store, open_circuits: BTreeMap::new(), ..self };
        for (target, open) in queues {
            if open.count() > 0 {
                *told.open_circuits.entry(target.name().to_owned()).or_default() = open.count();
            }
        }
        told
    }

    /// Adds problems that do not affect readiness.
    #[must_use]
    pub(crate) fn with_told(mut self, troubles: impl IntoIterator<Item = Trouble>) -> Self {
        self.troubles.extend(troubles);
        self
    }

    /// Removes the names of hooks and targets, which must not be public if metrics are off.
    #[must_use]
    pub(crate) fn without_names(self) -> Self {
        let troubles = self.troubles.into_iter();
        let troubles = troubles.map(|told| Trouble { hook: None, target: None, ..told });
        let told = Self { troubles: BTreeSet::new(), open_circuits: BTreeMap::new(), ..self };
        told.with_told(troubles)
    }

    /// Renders the HTTP answer: 200 if ready, else 503.
    pub(crate) fn response(&self, request_id: &str) -> Response {
        let Self { is_ready, troubles, store, open_circuits } = self;
        let store_problem = match store {
            Some(StoreProbe::Failed(class)) => Some(*class),
            _ => None,
        };
        let told =
            Told { store: store.map(StoreProbe::as_str), store_problem, open_circuits, problems: troubles };
        // Names and fixed texts always serialize.
        let members = serde_json::to_string(&told).unwrap_or_default();
        let members = members.strip_prefix('{').and_then(|members| members.strip_suffix('}'));
        // The members are appended to the members of the answer.
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

/// Answer without a list of problems.
impl From<bool> for Readiness {
    fn from(is_ready: bool) -> Self {
        Self::new(is_ready, [])
    }
}

#[cfg(test)]
#[path = "readiness_tests.rs"]
mod tests;
