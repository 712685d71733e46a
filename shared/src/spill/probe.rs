//! Probe of the store before it is needed: one small object of a fixed name, overwritten each time.
//!
//! | Process | Time of the probe | Repetition |
//! |---|---|---|
//! | HTTP host | at its start | |
//! | redriver | at the start of its first run | |
//! | function | beside the second delivery's call of the queue | beside the next one, if a freeze cut it |
//!
//! Nothing waits for the probe, and no answer depends on it. The outcomes of real writes are recorded in the
//! same place.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::Spill;
use crate::env::Lent;
use crate::metrics::Metrics;
use crate::stopping::Stopping;
use crate::store::StoreError;
use crate::tasks::spawn;

/// Name of the probe's object.
pub const PROBE: &str = "probe/store";

/// Time limit of the probe's write.
const PATIENCE: Duration = Duration::from_secs(5);

/// Knowledge about the store's readiness for writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoreProbe {
    /// State before the first write.
    #[default]
    Untried,
    /// Confirmation of the last write.
    Worked,
    /// Failure of the last write, with the error's class ([`StoreError::class`]).
    Failed(&'static str),
}

impl StoreProbe {
    /// Returns the state in one word: `untried`, `worked` or `failed`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Untried => "untried",
            Self::Worked => "worked",
            Self::Failed(_) => "failed",
        }
    }
}

/// Outcome of the last write.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<StoreProbe>);

impl Known {
    pub(super) fn get(&self) -> StoreProbe {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the outcome of a write, unless the object was invalid or too large, which says nothing about
    /// the store.
    pub(super) fn learn<T>(&self, written: &Result<T, StoreError>) {
        let probe = match written {
            Ok(_) => StoreProbe::Worked,
            Err(StoreError::TooLarge | StoreError::Name(_)) => return,
            Err(error) => StoreProbe::Failed(error.class()),
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = probe;
    }
}

impl Spill {
    /// Returns the knowledge about the store's readiness for writes.
    pub fn probed(&self) -> StoreProbe {
        self.0.known.get()
    }

    /// Writes the probe, logs the outcome, and counts it.
    pub(crate) async fn probe(&self, metrics: &Metrics) {
        let written = self.write_probe().await;
        self.tell(&written, metrics);
    }

    async fn write_probe(&self) -> Result<(), StoreError> {
        let now = self.0.context.clock.now().rfc3339();
        let deadline = Stopping::in_hand().cut(Instant::now() + PATIENCE);
        self.0.store.put(PROBE, Bytes::from(now), deadline).await
    }

    fn tell(&self, written: &Result<(), StoreError>, metrics: &Metrics) {
        self.0.known.learn(written);
        let store = self.0.store.place();
        match written {
            Ok(()) => tracing::info!(store, "the spill store accepts writes"),
            Err(error) => tracing::warn!(
                store, class = error.class(), %error, result = "store_probe_failed",
                "the spill store does not accept writes: what the queue does not take either is refused"
            ),
        }
        metrics.probed(written.as_ref().err().map(StoreError::class));
    }
}

/// Probe of a function's process. Such a process may be frozen whenever it serves no delivery, and a freeze
/// breaks a connection.
#[derive(Debug)]
pub(crate) struct Trial {
    spill: Spill,
    metrics: Metrics,
    begun: AtomicU64,
    under_way: AtomicU64,
    /// Number of times that the last delivery in progress ended.
    rests: AtomicU64,
    /// True if no further probe may begin: one is in progress, or has reported its outcome.
    is_taken: AtomicBool,
    /// True if a refusal was already attributed to a freeze.
    has_excused: AtomicBool,
}

/// Delivery whose queue is being called.
pub(crate) struct Beside<'t>(&'t Trial);

impl Trial {
    pub(crate) fn new(spill: Spill, metrics: Metrics) -> Arc<Self> {
        Arc::new(Self {
            spill,
            metrics,
            begun: AtomicU64::new(0),
            under_way: AtomicU64::new(0),
            rests: AtomicU64::new(0),
            is_taken: AtomicBool::new(false),
            has_excused: AtomicBool::new(false),
        })
    }

    /// Notes that a delivery's queue is about to be called. From the second delivery on, the store is probed
    /// concurrently until its state is known; the first delivery has enough to do.
    pub(crate) fn beside(self: &Arc<Self>) -> Beside<'_> {
        self.under_way.fetch_add(1, Ordering::AcqRel);
        let is_first = self.begun.fetch_add(1, Ordering::AcqRel) == 0;
        let is_due = !is_first && self.spill.probed() == StoreProbe::Untried;
        if is_due && !self.is_taken.swap(true, Ordering::AcqRel) {
            let trial = Arc::clone(self);
            // The probe uses the credentials of this event, which a task does not inherit.
            spawn(Box::pin(Lent::in_hand().to(async move { trial.run().await })));
        }
        Beside(self)
    }

    async fn run(&self) {
        let clock = &self.spill.0.context.clock;
        let (rests, begun) = (self.rests.load(Ordering::Acquire), clock.now());
        let written = self.spill.write_probe().await;
        let may_be_cut = rests != self.rests.load(Ordering::Acquire);
        let took = clock.now().unix_millis().saturating_sub(begun.unix_millis());
        match &written {
            Err(error) if may_be_cut && self.is_cut(error, took) => {
                tracing::debug!(%error, "the store's probe was cut");
                self.is_taken.store(false, Ordering::Release);
            }
            _ if self.spill.probed() != StoreProbe::Untried => {} // A real write was quicker.
            _ => self.spill.tell(&written, &self.metrics),
        }
    }

    /// Returns true if a freeze can be the cause of the error. Among refusals this is only one after a sleep:
    /// a signature or a credential may have expired. A repeated refusal counts as real.
    fn is_cut(&self, error: &StoreError, millis: i64) -> bool {
        let has_slept = u128::try_from(millis).is_ok_and(|millis| millis > PATIENCE.as_millis());
        match error {
            StoreError::Unreachable(_) | StoreError::TimedOut | StoreError::Corrupt(_) => true,
            StoreError::Denied(_) => has_slept && !self.has_excused.swap(true, Ordering::AcqRel),
            _ => false,
        }
    }
}

impl Drop for Beside<'_> {
    fn drop(&mut self) {
        if self.0.under_way.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.rests.fetch_add(1, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
