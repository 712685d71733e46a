//! Readiness of the gateway, as far as it is known without a network call.
//!
//! A hook can be served if each lane of its deliveries has what it needs: the settings of the target, or a
//! store for the deliveries that the target does not take. If `SPILL_URL` is unusable, no hook that should
//! have a store can be served.

use super::{Gateway, Stores};
use crate::carry::Carrier;
use crate::config::{Config, Hook, Mode, Oversize};
use crate::env::Env;
use crate::queue::{Queue, Target};
use crate::readiness::{Readiness, ReadinessRule, Trouble};
use crate::spill::Spill;

/// Facts about the configuration that are known at start and never change.
#[derive(Debug)]
pub(super) struct Footing {
    rule: ReadinessRule,
    /// Mistakes in the hooks file and in the variables of the configuration.
    mistakes: Vec<Trouble>,
    /// Names of the variables that should name a store and have a wrong value.
    stores: Vec<&'static str>,
    /// True if `SPILL_URL` is set, but does not give a store.
    lacks_spill: bool,
}

impl Footing {
    pub(super) fn new(config: &Config, stores: &Stores, env: &Env) -> Self {
        let mut mistakes: Vec<_> = config.broken().map(Trouble::broken).collect();
        mistakes.extend(config.problems.iter().map(|problem| Trouble::setting(None, problem.variable)));
        if mistakes.is_empty() && config.has_errors() {
            mistakes.push(Trouble::file());
        }
        let lacks_spill = stores.spill.is_none() && Spill::is_named(env);
        let stores = stores.problems.iter().map(|problem| problem.variable).collect();
        // A wrong rule is one of the mistakes, and with `All` each mistake prevents readiness.
        Self {
            rule: ReadinessRule::from_env(env).unwrap_or(ReadinessRule::All),
            mistakes,
            stores,
            lacks_spill,
        }
    }
}

/// Returns true if deliveries of the hook may need the store: to wait there, for large bodies, or for marks.
fn wants_store(hook: &Hook) -> bool {
    let keeping = hook.keeping;
    keeping.spill != Mode::Never || keeping.oversize == Oversize::Reference || keeping.dedupe.is_some()
}

impl<Q: Queue> Gateway<Q> {
    pub(super) fn readiness(&self) -> Readiness {
        let inner = &*self.0;
        let footing = &inner.footing;
        let mut troubles = footing.mistakes.clone();
        troubles.extend(footing.stores.iter().map(|variable| Trouble::setting(None, variable)));
        let spill = self.spill();
        let store = spill.and_then(|spill| spill.store().problem());
        troubles.extend(store.iter().map(|problem| Trouble::setting(None, problem.variable)));
        // The first problem of each queue is enough for a person to begin with.
        let lacking = |carrier: &Carrier<Q>| {
            let problem = carrier.queue.problems().into_iter().next()?;
            Some((carrier.target.clone(), problem.variable))
        };
        let lacking: Vec<(Target, &str)> = inner.carriers.iter().filter_map(lacking).collect();
        troubles.extend(lacking.iter().map(|(target, variable)| Trouble::setting(Some(target), variable)));

        let can_keep = spill.is_some() && store.is_none();
        let mut can_serve = false;
        for hook in inner.config.hooks() {
            let Ok(lanes) = self.lanes(hook) else {
                troubles.push(Trouble::without_topic(&hook.name));
                continue;
            };
            let is_kept = can_keep && hook.keeping.spill != Mode::Never;
            let goes = |target: &Target| is_kept || lacking.iter().all(|(lacking, _)| lacking != target);
            let needs_store = hook.keeping.spill == Mode::Always;
            can_serve |= lanes.iter().all(|(carrier, _)| goes(&carrier.target))
                && (is_kept || !needs_store)
                && !(footing.lacks_spill && wants_store(hook));
        }
        // Unread secrets are told without effect on readiness: a request makes the gateway read them again,
        // and an instance that is not ready gets no request.
        let unread = inner.config.hooks().filter(|hook| hook.source.is_out());
        let unread: Vec<_> = unread.map(|hook| Trouble::without_secrets(&hook.name)).collect();
        let queues = inner.carriers.iter().map(|carrier| (&carrier.target, carrier.queue.open()));
        let told = Readiness::judge(footing.rule, can_serve, troubles)
            .with_told(unread)
            .with_state(self.store(), queues);
        if inner.metrics.are_on() { told } else { told.without_names() }
    }
}
