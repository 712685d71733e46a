//! A signal: a growing number with waiting tasks, which are woken in the order in which they came. (A `watch`
//! wakes them in a random order, so that equal runs would differ.)

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// A number that only grows, and the tasks that wait for it.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    value: AtomicU64,
    notify: Notify,
}

impl Signal {
    pub(crate) fn value(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }

    /// Raises the number to at least `value`, wakes the waiting tasks, and returns the number before.
    pub(crate) fn raise(&self, value: u64) -> u64 {
        let before = self.value.fetch_max(value, Ordering::Relaxed);
        self.notify.notify_waiters();
        before
    }

    /// Waits until the number is greater than `seen`.
    pub(crate) async fn passes(&self, seen: u64) {
        loop {
            let notified = self.notify.notified();
            if self.value() > seen {
                return;
            }
            notified.await;
        }
    }
}
