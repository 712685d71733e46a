//! The rules for which step may run at which time. They start no process, so that tests can play every order.

use crate::step::{Lane, Step};

/// Progress of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Progress of a step that has not started.
    Pending,
    /// Progress of a step that has started and not ended.
    Running,
    /// Progress of a step whose commands all succeeded.
    Passed,
    /// Progress of a step of which a command failed.
    Failed,
}

/// Order of a run: two lanes, dependencies between steps, and measurements that run alone.
#[derive(Clone)]
pub(crate) struct Schedule<'a> {
    steps: &'a [&'a Step],
    states: Vec<State>,
}

impl<'a> Schedule<'a> {
    /// Creates a schedule of steps that have not started. No step waits for one that is not among them.
    pub(crate) fn new(steps: &'a [&'a Step]) -> Self {
        Self { steps, states: vec![State::Pending; steps.len()] }
    }

    /// Returns the progress of each step.
    pub(crate) fn states(&self) -> &[State] {
        &self.states
    }

    /// Starts every step that may run now, and returns their positions.
    ///
    /// After a failure nothing starts. A measurement that is ready goes first: it waits until nothing runs,
    /// and no other step starts before it, because a stream of other steps would put it off until the end.
    pub(crate) fn start(&mut self) -> Vec<usize> {
        if self.states.contains(&State::Failed) || self.running().any(|step| step.alone) {
            return Vec::new();
        }
        let ready = [Lane::Build, Lane::Wait].into_iter().filter_map(|lane| self.ready(lane));
        let ready: Vec<usize> = ready.collect();
        let started = match ready.iter().find(|&&index| self.steps[index].alone) {
            Some(_) if self.running().next().is_some() => Vec::new(),
            Some(&measurement) => vec![measurement],
            None => ready,
        };
        for &index in &started {
            self.states[index] = State::Running;
        }
        started
    }

    /// Records the end of a running step.
    pub(crate) fn end(&mut self, index: usize, has_passed: bool) {
        self.states[index] = if has_passed { State::Passed } else { State::Failed };
    }

    /// Returns true if a step has started and not ended.
    pub(crate) fn is_running(&self) -> bool {
        self.running().next().is_some()
    }

    /// Returns the steps that have started and not ended.
    fn running(&self) -> impl Iterator<Item = &Step> {
        self.steps
            .iter()
            .zip(&self.states)
            .filter(|(_, state)| **state == State::Running)
            .map(|(step, _)| *step)
    }

    /// Returns the next step of a lane, or `None` if the lane is busy, has ended or waits for the other one.
    fn ready(&self, lane: Lane) -> Option<usize> {
        if self.running().any(|step| step.lane == lane) {
            return None;
        }
        let mut pending = (0..self.steps.len())
            .filter(|&index| self.steps[index].lane == lane && self.states[index] == State::Pending);
        match lane {
            Lane::Build => pending.next().filter(|&index| self.is_ready(index)),
            Lane::Wait => pending.find(|&index| self.is_ready(index)),
        }
    }

    /// Returns true if all steps that a step waits for have passed.
    fn is_ready(&self, index: usize) -> bool {
        let after = self.steps[index].after;
        self.steps
            .iter()
            .zip(&self.states)
            .all(|(step, state)| !after.contains(&step.name) || *state == State::Passed)
    }
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
