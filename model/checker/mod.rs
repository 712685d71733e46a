//! An adapter of the system for the explorer (`stateright`).
#![allow(dead_code, unreachable_pub, reason = "the example and the tests use a part of it each")]

use std::num::NonZeroUsize;

use hookmq_model::{Action, PROMISES, Plan, State, System};
use stateright::{Checker, HasDiscoveries, Model, Property};
use tokio::time::Instant;

/// The system in the form of an explorer's model.
pub struct Explored(pub System);

impl Model for Explored {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        self.0.begin()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.0.actions(state, actions);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        self.0.after(state, action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        // A property is a plain function, which cannot hold the promise that it checks.
        let conditions: [fn(&Self, &State) -> bool; PROMISES.len()] = [
            |model, state| (PROMISES[0].holds)(&model.0, state),
            |model, state| (PROMISES[1].holds)(&model.0, state),
            |model, state| (PROMISES[2].holds)(&model.0, state),
            |model, state| (PROMISES[3].holds)(&model.0, state),
            |model, state| (PROMISES[4].holds)(&model.0, state),
            |model, state| (PROMISES[5].holds)(&model.0, state),
            |model, state| (PROMISES[6].holds)(&model.0, state),
        ];
        PROMISES
            .iter()
            .zip(conditions)
            .map(|(promise, holds)| Property::always(promise.name, holds))
            .collect()
    }
}

/// Result of an exploration.
pub struct Found {
    /// Number of different states.
    pub states: usize,
    /// Number of reached states, including repeats.
    pub reached: usize,
    /// Number of steps of the longest history without a detour.
    pub depth: usize,
    /// Duration of the exploration, in seconds.
    pub seconds: f64,
    /// Broken promises, each with the history that breaks it.
    pub broken: Vec<(&'static str, Vec<String>)>,
}

/// Explores a plan exhaustively, or up to the first broken promise.
pub fn explore(plan: Plan) -> Found {
    let begun = Instant::now();
    let model = Explored(System::new(plan.settings, plan.limits));
    let threads = std::thread::available_parallelism().map_or(2, NonZeroUsize::get).min(2);
    let checker =
        model.checker().threads(threads).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let broken = checker.discoveries().into_iter().map(|(name, path)| {
        let (setting, history) = (checker.model().0.setting(path.last_state()), path.into_actions());
        let setting = format!("{setting:?}");
        (name, std::iter::once(setting).chain(history.iter().map(|action| format!("{action:?}"))).collect())
    });
    Found {
        states: checker.unique_state_count(),
        reached: checker.state_count(),
        depth: checker.max_depth(),
        seconds: begun.elapsed().as_secs_f64(),
        broken: broken.collect(),
    }
}
