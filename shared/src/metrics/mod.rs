//! Numbers for alarms and dashboards, of what the log tells one by one.
//!
//! ```text
//! telemetry::Line ──┐              ┌─► emf          on Lambda: a line on standard output for each
//! host ─────────────┼─► Metrics ───┤
//! redrive::Job ─────┘              └─► registry ─► prometheus     elsewhere: GET /_/metrics
//! ```
//!
//! Labels are few and known beforehand: hooks of the configuration, outcomes, classes, the numbers of
//! secrets, targets. Nothing of a request is among them, so nobody can make new ones.

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
use crate::env::RUNTIME_API;
use crate::env::{Env, EnvProblem};
use crate::outcome::Outcome;
use crate::outcome::Summary;
use crate::problem::Problem;
use crate::queue::{Open, Queue, Target};
use crate::shard::Shard;
use emf::Emf;
pub(crate) use figures::Figures;
use process::Process;
use registry::Registry;

const VARIABLE: &str = "METRICS";

/// What is wrong with the variable; metrics are on then.
pub(crate) fn problem(env: &Env) -> Option<EnvProblem> {
    let is_known = |text: &str| matches!(text, "on" | "off").then_some(());
    let message = "is neither \"on\" nor \"off\": \"on\" counts instead";
    EnvProblem::or_value(env, VARIABLE, (), is_known, message).err()
}

/// The hook of a request that none of the configured hooks was asked for.
const NO_HOOK: &str = "-";

/// The numbers of one function; clones share them.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    /// Sorted.
    hooks: Vec<String>,
    sink: Sink,
    /// Targets, and who tells how many of their circuits are open.
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

/// CloudWatch's namespace where `METRICS_NAMESPACE` names none: two deployments of one account want one
/// each.
const NAMESPACE: &str = "hookmq";

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended<'e> {
    pub(crate) hook: Option<&'e str>,
    pub(crate) outcome: Outcome,
    /// What explains the outcome: an error's class, a rejection's name, a problem's name.
    pub(crate) class: Option<&'static str>,
    /// Which of the hook's secrets matched, counted from 0.
    pub(crate) secret: Option<usize>,
    /// From the request's first byte to its answer, where that is the ack of a delivery.
    pub(crate) ack: Option<Duration>,
    /// How long the queue was waited for, of a delivery that was sent or given up on.
    pub(crate) send: Option<Duration>,
}

impl Metrics {
    /// Nothing is counted.
    pub fn off() -> Self {
        Self(Arc::new(Inner { hooks: Vec::new(), sink: Sink::Off, circuits: Mutex::default() }))
    }

    /// Counted, for the HTTP host to show.
    pub fn counted<'h>(hooks: impl IntoIterator<Item = &'h str>) -> Self {
        Self::new(hooks, Sink::Registry(Box::default()))
    }

    /// Each is handed to `out` as a line in CloudWatch's embedded metric format, without a line end.
    /// `level` is the level that the line says it has: Lambda drops lines below the function's.
    pub fn embedded<'h>(
        hooks: impl IntoIterator<Item = &'h str>,
        namespace: &str,
        clock: Clock,
        level: &str,
        out: impl Fn(&str) + Send + Sync + 'static,
    ) -> Self {
        Self::new(hooks, Sink::Emf(Emf::new(namespace, clock, level, out)))
    }

    /// As the environment wants it: nothing with `METRICS=off`, lines on standard output on Lambda,
    /// counters elsewhere.
    pub fn from_env<'h>(context: &Context, hooks: impl IntoIterator<Item = &'h str>) -> Self {
        Self::of(context, hooks, Registry::default())
    }

    /// The same for a redriver, whose process has this shard.
    pub(crate) fn of_redriver(context: &Context, shard: Shard) -> Self {
        Self::of(context, [], Registry::of(shard))
    }

    fn of<'h>(context: &Context, hooks: impl IntoIterator<Item = &'h str>, registry: Registry) -> Self {
        let env = &context.env;
        // What is wrong is the configuration's to tell.
        if env.get(VARIABLE).as_deref() == Some("off") {
            return Self::off();
        }
        if env.get(RUNTIME_API).is_none() {
            return Self::new(hooks, Sink::Registry(Box::new(registry)));
        }
        let level = env.get("AWS_LAMBDA_LOG_LEVEL").unwrap_or_default();
        let namespace = env.get("METRICS_NAMESPACE").unwrap_or_else(|| NAMESPACE.to_owned());
        Self::embedded(hooks, &namespace, context.clock.clone(), &level, emf::to_stdout)
    }

    fn new<'h>(hooks: impl IntoIterator<Item = &'h str>, sink: Sink) -> Self {
        let mut hooks: Vec<String> =
            hooks.into_iter().filter(|name| is_name(name)).map(str::to_owned).collect();
        hooks.sort();
        if let Sink::Registry(registry) = &sink {
            registry.begin(hooks.len());
        }
        Self(Arc::new(Inner { hooks, sink, circuits: Mutex::default() }))
    }

    /// Tells how many circuits of this target's queue are open, from now on.
    pub(crate) fn watch<Q: Queue>(&self, target: &Target, queue: &Q) {
        let queue = queue.clone();
        let mut circuits = self.0.circuits.lock().unwrap_or_else(PoisonError::into_inner);
        circuits.push((target.name().to_owned(), Box::new(move || queue.open())));
    }

    /// A request ended.
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

    /// How many circuits of all targets are open; `None` where nobody is sent to.
    fn open_circuits(&self) -> Option<usize> {
        let circuits = self.0.circuits.lock().unwrap_or_else(PoisonError::into_inner);
        let open =
            circuits.iter().map(|(_, open)| open().by_reach().map(|(_, n)| n).into_iter().sum::<usize>());
        (!circuits.is_empty()).then(|| open.sum())
    }

    /// A target's queue answered after so long, or was given up on: all attempts together.
    pub(crate) fn sent(&self, target: &str, took: Duration) {
        if let Sink::Registry(registry) = &self.0.sink {
            registry.sent(target, took);
        }
    }

    /// The host refused a request before it reached a hook.
    pub(crate) fn refused(&self, problem: Problem) {
        let outcome = if problem.status() == 503 { Outcome::Unverified } else { Outcome::Refused };
        let class = Some(problem.name());
        self.ended(Ended { hook: None, outcome, class, secret: None, ack: None, send: None });
    }

    /// The process begins with hooks whose configuration is wrong, by their names. Counted here and not with
    /// their requests, which anybody may send.
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

    /// The spill store was tried: the class of the error, if it failed.
    pub(crate) fn probed(&self, failed: Option<&'static str>) {
        match &self.0.sink {
            Sink::Off => {}
            Sink::Registry(registry) => registry.probed(failed),
            Sink::Emf(emf) => emf.probed(failed),
        }
    }

    /// A run of the redriver ended, or could not begin. `covers`: the shard of which it looked at all that
    /// is spilled; what is left of a part of one says nothing of what is left.
    pub(crate) fn redriven(&self, target: &str, summary: Option<&Summary>, covers: Option<Shard>) {
        match &self.0.sink {
            Sink::Off => {}
            Sink::Registry(registry) => registry.redriven(target, summary, covers),
            Sink::Emf(emf) => emf.redriven(target, summary, covers),
        }
    }

    /// The redriver's runs are made in turn from now on, at these intervals.
    pub(crate) fn repeats(&self, every: Duration) {
        if let Sink::Registry(registry) = &self.0.sink {
            registry.repeats(every);
        }
    }

    /// Whether they are kept at all: where not, not even their labels are anybody's to know.
    pub(crate) fn are_on(&self) -> bool {
        !matches!(self.0.sink, Sink::Off)
    }

    /// All counters, and what the host holds now, as Prometheus text; `None` where nothing is counted.
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

/// A broken hook may have any name; only such as a sound one has becomes a label.
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
