//! Runs over all targets, for the scheduled function and the command line.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use futures_util::future::join_all;
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::room::Room;
use super::{Options, RedriveError, Redriver, Summary, Unknown};
use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::context::Context;
use crate::env::EnvProblem;
use crate::metrics::Metrics;
use crate::queue::{Client, Queue as _, Target, Vendor};
use crate::readiness::{Readiness, ReadinessRule, Trouble};
use crate::shard::Shard;
use crate::spill::{self, Folder, Spill, StoreProbe};
use crate::store::{Foreign, Store, StoreError};

/// Redrive of everything in the store; clones share it.
#[derive(Clone)]
pub struct RedriveJob(Arc<Inner>);

struct Inner {
    /// Lock of the runs: overlapping runs of one process would send twice.
    running: Mutex<()>,
    /// Redrivers of the environment's own targets, and of those in the hooks file.
    redrivers: Vec<Redriver<Client>>,
    spill: Spill,
    /// Memory that the redrivers share.
    room: Room,
    clock: Clock,
    metrics: Metrics,
    shard: Shard,
    rule: ReadinessRule,
    /// Mistakes in the configuration.
    mistakes: Vec<Trouble>,
    /// Number of sound hooks, and the file that they were read from.
    hooks: (usize, String),
}

impl fmt::Debug for RedriveJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Job")
    }
}

/// Entries of a folder that are not sent by any redriver.
#[derive(Debug, Default)]
pub(super) struct Strays {
    /// Unknown targets with waiting deliveries, and the hooks of these deliveries. No configuration names
    /// such a target (any more).
    pub(super) targets: Vec<(String, Vec<String>)>,
    /// Foreign entries beside the targets' folders, and beside the hooks' folders of unknown targets.
    pub(super) foreign: Foreign,
    /// Unknown targets whose folders cannot be read: deliveries may be in them.
    pub(super) unlisted: Vec<(String, StoreError)>,
}

/// Outcome of a run, by target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct RunReport(pub BTreeMap<String, TargetReport>);

/// Outcome of a run for one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetReport {
    /// Summary of a run that took place; it need not have sent everything.
    Done(Summary),
    /// Error of a run that could not begin.
    Error(RedriveError),
}

impl RunReport {
    /// Returns true if every target could be run and listed.
    pub fn is_whole(&self) -> bool {
        self.0.values().all(|report| matches!(report, TargetReport::Done(summary) if summary.is_whole()))
    }
}

impl RedriveJob {
    /// Creates the job for the targets of the environment and the hooks file; fails without `SPILL_URL`.
    pub fn new(config: Config, context: &Context) -> Result<Self, EnvProblem> {
        let spill = Spill::from_env(context)?.ok_or_else(|| EnvProblem {
            variable: spill::VARIABLE,
            message: "is not set: name the store that the forwarders spill to".to_owned(),
        })?;
        Self::on(spill, config, context)
    }

    /// Creates the job like [`new`](Self::new), on the given store.
    pub(super) fn on(spill: Spill, config: Config, context: &Context) -> Result<Self, EnvProblem> {
        let shard = Shard::from_env(&context.env)?;
        let metrics = Metrics::of_redriver(context, shard);
        // A wrong value is among the configuration's errors.
        let rule = ReadinessRule::from_env(&context.env).unwrap_or(ReadinessRule::All);
        let file = config.has_mistakes().then(Trouble::file);
        let settings = config.problems.iter().map(|problem| Trouble::setting(None, problem.variable));
        let mistakes = settings.chain(file).collect();
        let hooks = (config.hooks().count(), config.file.clone());
        let (config, room) = (Arc::new(config), Room::default());
        let targets = Vendor::ALL.into_iter().map(Target::from);
        let targets = targets.chain(config.targets.iter().map(|named| named.target.clone()));
        let redriver = |target: Target| {
            let queue = Client::new(target.vendor(), config.context_of(&target, context));
            let (spill, config, room) = (spill.clone(), Arc::clone(&config), room.clone());
            Redriver::sharing(target, queue, spill, config, context.clone(), room)
        };
        let redrivers: Vec<Redriver<Client>> = targets.map(redriver).collect();
        for redriver in &redrivers {
            metrics.watch(redriver.target(), &redriver.0.carrier.queue);
        }
        let clock = context.clock.clone();
        let running = Mutex::new(());
        let inner = Inner { running, redrivers, spill, room, clock, metrics, shard, rule, mistakes, hooks };
        Ok(Self(Arc::new(inner)))
    }

    /// Returns the first problem of each target that cannot be sent to, with the target's name: a setting
    /// that is missing in the environment.
    pub fn problems(&self, options: &Options) -> Vec<(&str, EnvProblem)> {
        let redrivers = self.0.redrivers.iter().filter(|redriver| options.takes(redriver.target()));
        let first = |redriver: &Redriver<Client>| redriver.0.carrier.queue.problems().into_iter().next();
        redrivers.filter_map(|redriver| Some((redriver.target().name(), first(redriver)?))).collect()
    }

    /// Returns the readiness to send, from local knowledge alone. Among the environment's own targets one is
    /// enough, since few environments have both.
    pub(crate) fn readiness(&self) -> Readiness {
        let Inner { redrivers, spill, metrics, rule, mistakes, .. } = &*self.0;
        let store = spill.store().problem().map(|problem| Trouble::setting(None, problem.variable));
        let targets: Vec<_> = redrivers
            .iter()
            .map(|redriver| (redriver.target(), redriver.0.carrier.queue.problems().into_iter().next()))
            .collect();
        let can_send = targets.iter().any(|(_, problem)| problem.is_none());
        let is_own = |target: &Target| Vendor::ALL.into_iter().any(|vendor| Target::from(vendor) == *target);
        let lacking = targets.iter().filter(|(target, _)| !can_send || !is_own(target));
        let lacking = lacking
            .filter_map(|(target, problem)| Some(Trouble::setting(Some(target), problem.as_ref()?.variable)));
        let can_run = can_send && store.is_none();
        let queues = redrivers.iter().map(|redriver| (redriver.target(), redriver.0.carrier.queue.open()));
        let told = Readiness::judge(*rule, can_run, lacking.chain(store).chain(mistakes.iter().cloned()));
        let told = told.with_state(Some(spill.probed()), queues);
        if metrics.are_on() { told } else { told.without_names() }
    }

    /// Returns the number of sound hooks and the file that they were read from.
    pub(crate) fn hooks(&self) -> (usize, &str) {
        let (count, file) = &self.0.hooks;
        (*count, file)
    }

    /// Returns the store that holds the deliveries.
    pub fn store(&self) -> &Store {
        self.0.spill.store()
    }

    /// Runs all redrivers until everything is sent or `deadline` is near; waits for a run in progress first.
    pub async fn run(&self, options: &Options, deadline: Instant) -> RunReport {
        self.run_observed(options, deadline, &|_, _, _| ()).await
    }

    /// Runs like [`run`](Self::run), and reports progress: `observe` gets a target, its summary so far, and
    /// true once everything of the target has been listed.
    pub async fn run_observed(
        &self,
        options: &Options,
        deadline: Instant,
        observe: &(dyn Fn(&Target, &Summary, bool) + Sync),
    ) -> RunReport {
        let Inner { running, redrivers, metrics, .. } = &*self.0;
        let _running = running.lock().await;
        let covers = options.covers();
        let due = redrivers.iter().filter(|redriver| options.takes(redriver.target()));
        let runs = due.map(|redriver| async move {
            let target = redriver.target();
            let told = |summary: &Summary, is_listed| observe(target, summary, is_listed);
            told(&Summary::default(), false);
            let done = redriver.run_observed(options, deadline, &told).await;
            told(done.as_ref().unwrap_or(&Summary::default()), true);
            (redriver.target().name().to_owned(), done)
        });
        // Boxed: the whole way to a vendor's answer is too deep a type to nest in another one.
        let mut done = join_all(runs.map(Box::pin)).await;
        // Unknown targets' folders belong to no particular shard: only the first shard reports them. A run
        // for one target by name reports its own.
        if covers.is_some_and(Shard::is_first) || options.target.is_some() {
            match self.strays(options, deadline).await {
                Ok(Strays { targets, foreign, unlisted }) => {
                    done.extend(unlisted.into_iter().map(|(name, error)| (name, Err(error.into()))));
                    if let Some(example) = foreign.example {
                        let entries = foreign.count;
                        tracing::warn!(entries, example, "the store holds entries that hookmq did not write");
                    }
                    done.extend(
                        targets.into_iter().map(|(name, hooks)| (name, Err(RedriveError::NoTarget(hooks)))),
                    );
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot tell whether there are deliveries for other targets");
                    // If the other reports are good, only this one shows the store's failure.
                    done.push((options.folder().as_str().to_owned(), Err(error.into())));
                }
            }
        }
        // A run that was stopped before it had listed anything knows nothing of the store.
        let is_cut = |done: &Result<Summary, _>| done.as_ref().is_ok_and(Summary::has_seen_nothing);
        for (target, done) in done.iter().filter(|(_, done)| !is_cut(done)) {
            metrics.redriven(target, done.as_ref().ok(), covers);
        }
        if let Some(shard) = covers {
            let end = RunEnd::of(done.iter().map(|(_, done)| done.as_ref().ok()));
            if end > RunEnd::Done || !done.iter().any(|(_, done)| is_cut(done)) {
                ended(shard, end);
            }
        }
        RunReport(done.into_iter().map(|(target, done)| (target.clone(), report(&target, done))).collect())
    }

    /// Returns the shard that `REDRIVE_SHARD` gives this process, the default of its runs.
    pub fn shard(&self) -> Shard {
        self.0.shard
    }

    /// Returns the metrics that count the runs.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Finds the entries that are not sent by any redriver.
    pub(super) async fn strays(&self, options: &Options, deadline: Instant) -> Result<Strays, StoreError> {
        let Inner { redrivers, spill, .. } = &*self.0;
        let folder = options.folder();
        let mut strays = Strays::default();
        // A target without a table has no vendor either.
        if options.vendor.is_some() {
            return Ok(strays);
        }
        let prefix = format!("{}/", folder.as_str());
        let mut found = spill.store().folders(&prefix, options.soon(deadline)).await?;
        found.names.retain(|name| {
            options.target.as_ref().is_none_or(|only| only == name)
                && redrivers.iter().all(|redriver| redriver.target().name() != name)
        });
        let is_narrowed = options.target.is_some() || options.hook.is_some();
        strays.foreign = Some(found.foreign).filter(|_| !is_narrowed).unwrap_or_default();
        for name in found.names {
            let prefix = folder.prefix(&name, None);
            let mut found = match spill.store().folders(&prefix, options.soon(deadline)).await {
                Ok(found) => found,
                Err(error) => {
                    strays.unlisted.push((name, error));
                    continue;
                }
            };
            found.names.retain(|hook| options.hook.as_ref().is_none_or(|only| only == hook));
            if options.hook.is_none() {
                strays.foreign.join(found.foreign);
            }
            if !found.names.is_empty() {
                strays.targets.push((name, found.names));
            }
        }
        Ok(strays)
    }

    /// Returns true if `dead/` has an object that the options select by target and hook. It costs a listing
    /// of one object, or one for each target if the options select by either.
    pub async fn has_dead(&self, options: &Options, deadline: Instant) -> Result<bool, StoreError> {
        let is_narrowed = options.vendor.is_some() || options.target.is_some() || options.hook.is_some();
        let prefixes = if is_narrowed {
            let targets =
                self.0.redrivers.iter().map(Redriver::target).filter(|target| options.takes(target));
            targets.map(|target| Folder::Dead.prefix(target.name(), options.hook.as_deref())).collect()
        } else {
            vec![format!("{}/", Folder::Dead.as_str())]
        };
        for prefix in prefixes {
            let page = self.store().list(&prefix, None, 1, options.soon(deadline)).await?;
            if !page.entries.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the requested target or hook if neither hooks.toml nor the store has that name: it is
    /// mistyped, and an empty result would hide the mistake.
    pub async fn unknown(&self, options: &Options, deadline: Instant) -> Result<Option<Unknown>, StoreError> {
        let redrivers = &self.0.redrivers;
        let is_named = |redriver: &Redriver<Client>| options.takes(redriver.target());
        if let Some(target) = &options.target
            && !redrivers.iter().any(is_named)
        {
            let all = Options { target: None, hook: None, ..options.clone() };
            let mut known: BTreeSet<String> =
                self.strays(&all, deadline).await?.targets.into_iter().map(|(name, _)| name).collect();
            if !known.contains(target) {
                let names = redrivers.iter().map(Redriver::target).filter(|target| all.takes(target));
                known.extend(names.map(|target| target.name().to_owned()));
                return Ok(Some(Unknown::Target(target.clone(), known)));
            }
        }
        let Some(hook) = &options.hook else { return Ok(None) };
        let config = redrivers.first().map(|redriver| &redriver.0.config);
        if config.is_some_and(|config| config.names().any(|name| name == hook)) {
            return Ok(None);
        }
        let all = Options { hook: None, ..options.clone() };
        let mut known: BTreeSet<String> =
            config.iter().flat_map(|config| config.names()).map(str::to_owned).collect();
        for redriver in redrivers.iter().filter(|redriver| is_named(redriver)) {
            known.extend(redriver.hooks(&all, options.soon(deadline)).await?.0);
        }
        known.extend(self.strays(&all, deadline).await?.targets.into_iter().flat_map(|(_, hooks)| hooks));
        Ok(Unknown::hook(options, known))
    }

    /// Tries the store with a write, unless it was tried before.
    pub(crate) async fn try_store(&self) {
        if self.0.spill.probed() == StoreProbe::Untried {
            self.0.spill.probe(&self.0.metrics).await;
        }
    }

    pub(crate) fn spill(&self) -> &Spill {
        &self.0.spill
    }

    pub(super) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    pub(super) fn room(&self) -> &Room {
        &self.0.room
    }

    pub(super) fn redrivers(&self) -> &[Redriver<Client>] {
        &self.0.redrivers
    }
}

/// Age of a delivery from which a run says that something is stuck, in seconds.
const STUCK_S: u64 = 15 * 60;

/// End of a run of a whole shard, as alarms on a log know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum RunEnd {
    Done,
    /// The run did its work, but a delivery has waited for [`STUCK_S`] or longer.
    Stuck,
    /// The run could not begin for a target, or could not list a hook.
    Failed,
}

impl RunEnd {
    /// Judges a run by the summaries of its targets; a target without a summary could not begin.
    fn of<'s>(summaries: impl Iterator<Item = Option<&'s Summary>>) -> Self {
        let end = |summary: Option<&Summary>| match summary {
            Some(summary) if !summary.is_whole() => Self::Failed,
            Some(summary) if summary.oldest_age_s.is_some_and(|age| age >= STUCK_S) => Self::Stuck,
            Some(_) => Self::Done,
            None => Self::Failed,
        };
        summaries.map(end).max().unwrap_or(Self::Done)
    }
}

/// Writes the log line that alarms count where they can count nothing but the platform's log: one for each
/// run of a whole shard. Each text is a single word for every tokenizer, so a search matches it and nothing
/// else.
fn ended(shard: Shard, end: RunEnd) {
    let run = format!("redrive_run_{}_of_{}", shard.index(), shard.of());
    match end {
        RunEnd::Done => tracing::info!(run, result = "redrive_done", "run"),
        RunEnd::Stuck => tracing::warn!(run, result = "redrive_stuck", "run"),
        RunEnd::Failed => tracing::error!(run, result = "redrive_failed", "run"),
    }
}

fn report(target: &str, result: Result<Summary, RedriveError>) -> TargetReport {
    match result {
        Ok(summary) => {
            tracing::info!(
                to = target,
                found = summary.found,
                sent = summary.sent,
                repeated = summary.repeated,
                dead = summary.dead,
                failed = summary.failed,
                waiting = summary.waiting,
                corrupt = summary.corrupt,
                store_errors = summary.store_errors,
                unlisted = summary.unlisted,
                foreign = summary.foreign,
                left = summary.left(),
                oldest_age_s = summary.oldest_age_s,
                stopped = summary.stopped.as_ref().map(tracing::field::display),
                "redrive"
            );
            TargetReport::Done(summary)
        }
        Err(error) => {
            tracing::error!(to = target, %error, "redrive");
            TargetReport::Error(error)
        }
    }
}

#[cfg(test)]
#[path = "job_tests.rs"]
mod tests;
