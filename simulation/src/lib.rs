//! Days of operation in seconds: the real gateway, carry and redrive code on a paused clock, with a store
//! and queues in memory, and everything going wrong that a seed draws.
//!
//! One seed makes the whole run: what is sent, what fails, who dies, and in which order it happens. The
//! hash of the log tells whether two runs were the same.

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

/// What is played.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Makes everything.
    pub seed: u64,
    /// Virtual hours in which deliveries are sent and things go wrong.
    pub hours: u64,
    /// Deliveries a virtual day.
    pub per_day: u64,
    /// Virtual seconds between one fault and the next.
    pub gap: u64,
    /// Whether the program's log is shown.
    pub shows: bool,
    /// A delivery whose story is told.
    pub tells: Option<u32>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Report {
    /// Deliveries that were sent, forged ones included.
    pub deliveries: u64,
    /// Of the log.
    pub hash: u64,
    /// Promises that were broken, the first ones.
    pub broken: Vec<String>,
    /// What came about, and how often.
    pub met: BTreeMap<String, u64>,
    /// Virtual hours, until everything was sent.
    pub hours: u64,
}

impl Report {
    /// What never came about, of all that must.
    pub fn missing(&self) -> Vec<&'static str> {
        REQUIRED.iter().copied().filter(|what| !self.met.contains_key(*what)).collect()
    }
}

/// Plays it.
///
/// # Panics
///
/// Where the operating system gives no runtime.
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
