//! Whether the gateway can serve, as far as that is known without asking anybody.
//!
//! A hook can be served where each of its deliveries' ways has what it needs: the target's settings, or a store
//! that takes what the target does not. Where `SPILL_URL` is of no use, no hook that should have a store can be.

use super::{Gateway, Stores};
use crate::carry::Carrier;
use crate::config::{Config, Hook, Mode, Oversize};
use crate::env::Env;
use crate::queue::{Queue, Target};
use crate::readiness::{Readiness, Rule, Trouble};
use crate::spill::Spill;

/// What is known at start, and stays.
#[derive(Debug)]
pub(super) struct Footing {
    rule: Rule,
    /// What is wrong with the configuration.
    mistakes: Vec<Trouble>,
    /// What is wrong with the variables that name the stores.
    stores: Vec<&'static str>,
    /// Whether `SPILL_URL` is set, and there is no store of it.
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
        // A wrong rule is among the mistakes, so that nothing is ready.
        Self { rule: Rule::from_env(env).unwrap_or(Rule::All), mistakes, stores, lacks_spill }
    }
}

/// Whether the hook's deliveries need the store, now or one day.
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
        // The first of each is enough to go on.
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
        // A request has them read again, and would not come to an instance that is not ready.
        let unread = inner.config.hooks().filter(|hook| hook.source.is_out());
        let unread: Vec<_> = unread.map(|hook| Trouble::without_secrets(&hook.name)).collect();
        let queues = inner.carriers.iter().map(|carrier| (&carrier.target, carrier.queue.open()));
        let told = Readiness::judge(footing.rule, can_serve, troubles)
            .with_told(unread)
            .with_state(self.store(), queues);
        if inner.metrics.are_on() { told } else { told.without_names() }
    }
}
