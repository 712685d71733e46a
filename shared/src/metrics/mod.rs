//! Metrics for alarms and dashboards, counted from the same events that the log records one by one.
//!
//! ```text
//! telemetry::Line ──┐              ┌─► emf          on Lambda: a line on standard output for each
//! host ─────────────┼─► Metrics ───┤
//! redrive::Job ─────┘              └─► registry ─► prometheus     elsewhere: GET /_/metrics
//! ```
//!
//! Labels have few values, known in advance: configured hooks, outcomes, classes, indices of secrets, and
//! targets. Labels never come from a request, so senders cannot create new ones.

mod emf;
mod figures;
mod process;
mod prometheus;
mod registry;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::context::Context;
use crate::env::{Env, EnvProblem, LAMBDA_LOG_LEVEL, RUNTIME_API};
use crate::outcome::{Outcome, Summary};
use crate::problem::Problem;
use crate::queue::{Open, Queue, Target};
use crate::shard::Shard;
use crate::sort::sort;
use emf::Emf;
pub(crate) use figures::Figures;
use process::Process;
use registry::Registry;

const VARIABLE: &str = "METRICS";

/// Returns the problem if `METRICS` is neither `on` nor `off`. Metrics are on in that case.
pub(crate) fn problem(env: &Env) -> Option<EnvProblem> {
    let is_known = |text: &str| matches!(text, "on" | "off").then_some(());
    let message = "is neither \"on\" nor \"off\": \"on\" is used instead";
    EnvProblem::or_value(env, VARIABLE, (), is_known, message).err()
}

/// Label for requests without a configured hook.
const NO_HOOK: &str = "-";

/// Metrics of a function. Clones share the counters.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    /// Names of the hooks, sorted for binary search.
    hooks: Vec<String>,
    sink: Sink,
    /// Targets, each with a function that counts the open circuits.
    circuits: Mutex<Vec<(String, Box<Circuits>)>>,
}

type Circuits = dyn Fn() -> Open + Send + Sync;

enum Sink {
    Off,
    Registry(Box<Registry>),
    Emf(Emf),
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0.sink {
            Sink::Off => "Metrics(off)",
            Sink::Registry(_) => "Metrics(registry)",
            Sink::Emf(_) => "Metrics(emf)",
        })
    }
}

/// Name of the variable with the namespace in CloudWatch.
pub(crate) const NAMESPACE_VARIABLE: &str = "METRICS_NAMESPACE";

/// Default namespace in CloudWatch. Set `METRICS_NAMESPACE` to separate two deployments in an account.
const NAMESPACE: &str = "hookmq";

/// Facts about a request that ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended<'e> {
    pub(crate) hook: Option<&'e str>,
    pub(crate) outcome: Outcome,
    /// Explanation of the outcome: an error's class, a rejection's name or a problem's name.
    pub(crate) class: Option<&'static str>,
    /// Index of the matching secret among the hook's secrets, counted from 0.
    pub(crate) secret: Option<usize>,
    /// Time from the request's first byte to its answer, if that answer acknowledges a delivery.
    pub(crate) ack: Option<Duration>,
    /// Time spent waiting for the queue, for a delivery that was sent or given up.
    pub(crate) send: Option<Duration>,
}

impl Metrics {
    /// Returns metrics that are turned off.
    pub fn off() -> Self {
        Self(Arc::new(Inner { hooks: Vec::new(), sink: Sink::Off, circuits: Mutex::default() }))
    }

    /// Returns metrics that are counted in memory, for the HTTP host to serve.
    pub fn counted<'h>(hooks: impl IntoIterator<Item = &'h str>) -> Self {
        Self::new(hooks, Sink::Registry(Box::default()))
    }

    /// Returns metrics that pass each event to `out` as a line in CloudWatch's embedded metric format,
    /// without a line end. `level` is the level that the line carries: Lambda drops lines below the
    /// function's level.
    pub fn embedded<'h>(
        hooks: impl IntoIterator<Item = &'h str>,
        namespace: &str,
        clock: Clock,
        level: &str,
        out: impl Fn(&str) + Send + Sync + 'static,
    ) -> Self {
        Self::new(hooks, Sink::Emf(Emf::new(namespace, clock, level, out)))
    }

    /// Returns the metrics that the environment asks for: none with `METRICS=off`, lines on standard output
    /// on Lambda, counters elsewhere.
    pub fn from_env<'h>(context: &Context, hooks: impl IntoIterator<Item = &'h str>) -> Self {
        Self::of(context, hooks, Registry::default())
    }

    /// Returns the metrics of a redriver whose process owns this shard.
    pub(crate) fn of_redriver(context: &Context, shard: Shard) -> Self {
        Self::of(context, [], Registry::of(shard))
    }

    fn of<'h>(context: &Context, hooks: impl IntoIterator<Item = &'h str>, registry: Registry) -> Self {
        let env = &context.env;
        // The configuration reports a wrong value.
        if env.get(VARIABLE).as_deref() == Some("off") {
            return Self::off();
        }
        if env.get(RUNTIME_API).is_none() {
            return Self::new(hooks, Sink::Registry(Box::new(registry)));
        }
        let level = env.get(LAMBDA_LOG_LEVEL).unwrap_or_default();
        let namespace = env.get(NAMESPACE_VARIABLE).unwrap_or_else(|| NAMESPACE.to_owned());
        Self::embedded(hooks, &namespace, context.clock.clone(), &level, emf::to_stdout)
    }

    fn new<'h>(hooks: impl IntoIterator<Item = &'h str>, sink: Sink) -> Self {
        let mut hooks: Vec<String> =
            hooks.into_iter().filter(|name| is_name(name)).map(str::to_owned).collect();
        sort(&mut hooks);
        if let Sink::Registry(registry) = &sink {
            registry.begin(hooks.len());
        }
        Self(Arc::new(Inner { hooks, sink, circuits: Mutex::default() }))
    }

    /// Registers a target, whose open circuits are reported from now on.
    pub(crate) fn watch<Q: Queue>(&self, target: &Target, queue: &Q) {
        let queue = queue.clone();
        let mut circuits = self.0.circuits.lock().unwrap_or_else(PoisonError::into_inner);
        circuits.push((target.name().to_owned(), Box::new(move || queue.open())));
    }

    /// Counts a request that ended.
    pub(crate) fn ended(&self, ended: Ended<'_>) {
        let hook =
            ended.hook.and_then(|hook| self.0.hooks.binary_search_by(|name| name.as_str().cmp(hook)).ok());
        match &self.0.sink {
            Sink::Off => {}
            Sink::Registry(registry) => registry.ended(hook, ended),
            Sink::Emf(emf) => {
                let hook = hook.and_then(|at| self.0.hooks.get(at)).map_or(NO_HOOK, String::as_str);
                emf.ended(Ended { hook: Some(hook), ..ended }, self.open_circuits());
            }
        }
    }

    /// Returns the number of open circuits of all targets, or `None` without targets.
    fn open_circuits(&self) -> Option<usize> {
        let circuits = self.0.circuits.lock().unwrap_or_else(PoisonError::into_inner);
        let open =
            circuits.iter().map(|(_, open)| open().by_reach().map(|(_, n)| n).into_iter().sum::<usize>());
        (!circuits.is_empty()).then(|| open.sum())
    }

    /// Counts the time until a target's queue answered or was given up, over all attempts.
    pub(crate) fn sent(&self, target: &str, took: Duration) {
        if let Sink::Registry(registry) = &self.0.sink {
            registry.sent(target, took);
        }
    }

    /// Counts a request that the host refused before it reached a hook.
    pub(crate) fn refused(&self, problem: Problem) {
        let is_ours = matches!(problem, Problem::Unavailable { .. });
        let outcome = if is_ours { Outcome::Unverified } else { Outcome::Refused };
        let class = Some(problem.name());
        self.ended(Ended { hook: None, outcome, class, secret: None, ack: None, send: None });
    }

    /// Counts the hooks whose configuration is wrong, by name, at the start of the process. Requests to
    /// broken hooks are not counted here, since anybody may send them.
    pub(crate) fn broken<'h>(&self, hooks: impl Iterator<Item = &'h str>) {
        for hook in hooks {
            let at = self.0.hooks.binary_search_by(|name| name.as_str().cmp(hook)).ok();
            let hook = at.and_then(|at| self.0.hooks.get(at)).map_or(NO_HOOK, String::as_str);
            match &self.0.sink {
                Sink::Off => {}
                Sink::Registry(registry) => registry.broken(hook),
                Sink::Emf(emf) => emf.broken(hook),
            }
        }
    }

    /// Counts a probe of the spill store. `failed` is the class of the error, or `None` on success.
    pub(crate) fn probed(&self, failed: Option<&'static str>) {
        match &self.0.sink {
            Sink::Off => {}
            Sink::Registry(registry) => registry.probed(failed),
            Sink::Emf(emf) => emf.probed(failed),
        }
    }

    /// Counts a run of the redriver that ended or could not start. `covers` is the shard that the run
    /// processed as a whole; the remainder of a partial run does not tell the depth of the shard.
    pub(crate) fn redriven(&self, target: &str, summary: Option<&Summary>, covers: Option<Shard>) {
        match &self.0.sink {
            Sink::Off => {}
            Sink::Registry(registry) => registry.redriven(target, summary, covers),
            Sink::Emf(emf) => emf.redriven(target, summary, covers),
        }
    }

    /// Records that the redriver now runs periodically, at this interval.
    pub(crate) fn repeats(&self, every: Duration) {
        if let Sink::Registry(registry) = &self.0.sink {
            registry.repeats(every);
        }
    }

    /// Returns true if metrics are on. If they are off, their labels must not be public either.
    pub(crate) fn are_on(&self) -> bool {
        !matches!(self.0.sink, Sink::Off)
    }

    /// Renders all counters and the host's current state as Prometheus text, or returns `None` if metrics are
    /// not counted in memory.
    pub(crate) fn text(&self, figures: &Figures) -> Option<String> {
        match &self.0.sink {
            Sink::Registry(registry) => {
                let circuits = self.0.circuits.lock().unwrap_or_else(PoisonError::into_inner);
                let open: Vec<_> = circuits.iter().map(|(target, open)| (target.as_str(), open())).collect();
                let counted =
                    registry.read(|counts| prometheus::render(&self.0.hooks, counts, &open, figures));
                Some(counted + &prometheus::process(&Process::now()))
            }
            Sink::Off | Sink::Emf(_) => None,
        }
    }
}

/// Returns true if the name can be a label. A broken hook may have any name, but only a valid name becomes a
/// label.
fn is_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && name != NO_HOOK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_decides() {
        let of = |vars: &[(&str, &str)]| {
            let context = Context { env: Env::of(vars.iter().copied()), ..Context::system() };
            format!("{:?}", Metrics::from_env(&context, ["a"]))
        };
        let lambda = (RUNTIME_API, "127.0.0.1:9001");
        assert_eq!(of(&[]), "Metrics(registry)");
        assert_eq!(of(&[lambda]), "Metrics(emf)");
        assert_eq!(of(&[lambda, ("METRICS", "on")]), "Metrics(emf)");
        assert_eq!(of(&[("METRICS", "no")]), "Metrics(registry)", "a wrong value hides nothing");
        for vars in [vec![("METRICS", "off")], vec![lambda, ("METRICS", "off")]] {
            assert_eq!(of(&vars), "Metrics(off)");
        }
        assert_eq!(Metrics::off().text(&Figures::default()), None);
    }

    #[test]
    fn only_sound_names_become_labels() {
        let long = "x".repeat(64);
        let metrics = Metrics::counted(["b", "a-1", "-", "", "B", "a b", "a\"b", "ä", &long]);
        assert_eq!(metrics.0.hooks, ["a-1", "b"]);
    }
}
