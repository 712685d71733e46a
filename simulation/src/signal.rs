//! A number that grows, and those who wait for it: woken in the order in which they came. (A `watch` wakes in
//! an order of chance, and equal runs would go differently.)

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// The number, and who waits for it.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    value: AtomicU64,
    notify: Notify,
}

impl Signal {
    pub(crate) fn value(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }

    /// Makes it greater; the value before.
    pub(crate) fn raise(&self, value: u64) -> u64 {
        let before = self.value.fetch_max(value, Ordering::Relaxed);
        self.notify.notify_waiters();
        before
    }

    /// Ends when it is greater than `seen`.
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
