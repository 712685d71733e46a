//! A simulation of days of operation in seconds: the real gateway, carry and redrive code on a paused clock,
//! with a store and queues in memory, and with every fault that a seed draws.
//!
//! The seed determines the whole run: the deliveries, the failures, the deaths of processes, and their order.
//! Two runs with the same hash of the log were the same.

#![expect(clippy::print_stderr, reason = "a story is told where it does not disturb the count")]

mod broker;
mod codes;
mod conductor;
mod hooks;
mod ledger;
mod observe;
mod people;
mod processes;
mod rng;
mod signal;
mod store;
#[cfg(test)]
mod tests;
mod verdict;
mod world;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tracing::Dispatch;
use tracing::dispatcher::with_default;

use observe::{Counts, Observer};
pub use verdict::REQUIRED;
use world::World;

/// Parameters of a run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Seed of all random numbers.
    pub seed: u64,
    /// Virtual hours in which deliveries are sent and things go wrong.
    pub hours: u64,
    /// Number of deliveries per virtual day.
    pub per_day: u64,
    /// Mean virtual seconds between one fault and the next.
    pub gap: u64,
    /// True if the program's log is shown.
    pub shows: bool,
    /// Number of a delivery whose story is printed.
    pub tells: Option<u32>,
}

/// Result of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// Number of deliveries sent, including forged ones.
    pub deliveries: u64,
    /// Hash of the log.
    pub hash: u64,
    /// Broken promises, up to the first twenty.
    pub broken: Vec<String>,
    /// Events that happened, and how often.
    pub met: BTreeMap<String, u64>,
    /// Duration of the run until everything was sent, in virtual hours.
    pub hours: u64,
}

impl Report {
    /// Returns the required events that did not happen.
    pub fn missing(&self) -> Vec<&'static str> {
        REQUIRED.iter().copied().filter(|what| !self.met.contains_key(*what)).collect()
    }
}

/// Simulates the plan.
///
/// # Panics
///
/// Panics if the Tokio runtime cannot be created.
pub fn run(plan: Plan) -> Report {
    let counts = Counts::default();
    let observer = Observer { counts: Arc::clone(&counts), shows: plan.shows };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    #[expect(clippy::unwrap_used, reason = "without threads or sockets there is nothing that can be refused")]
    let runtime = runtime.unwrap();
    with_default(&Dispatch::new(observer), || runtime.block_on(verdict::play(plan, counts)))
}

fn taken(counts: &Mutex<BTreeMap<String, u64>>) -> BTreeMap<String, u64> {
    std::mem::take(&mut counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
}

fn report(world: &World) -> Report {
    let mut met = taken(&world.counts);
    let mut state = world.state();
    for (what, count) in std::mem::take(&mut state.met) {
        *met.entry(what).or_default() += count;
    }
    let (deliveries, broken) = (state.ledger.entries.len() as u64, std::mem::take(&mut state.broken));
    drop(state);
    Report { deliveries, hash: world.hash(), broken, met, hours: world.now() / world::HOUR }
}
