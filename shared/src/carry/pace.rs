//! How fast messages are sent to one target.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Sends, spread evenly over each second. What an open circuit refuses is no send, and an attempt more is
/// one more.
#[derive(Debug)]
pub(crate) struct Pace {
    next: Mutex<Instant>,
    every: Duration,
}

impl Pace {
    /// At most `rate` sends a second.
    pub(crate) fn new(rate: u32) -> Self {
        Self { next: Mutex::new(Instant::now()), every: Duration::from_secs(1) / rate.max(1) }
    }

    /// Waits for the next place in the row.
    pub(crate) async fn wait(&self) {
        let at = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let at = (*next).max(Instant::now());
            *next = at + self.every;
            at
        };
        sleep_until(at).await;
    }

    /// Tells how many attempts the send made that waited: none gives its place back.
    pub(crate) fn took(&self, attempts: u32) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        match attempts.checked_sub(1) {
            Some(more) => *next += self.every.saturating_mul(more),
            None => *next = next.checked_sub(self.every).unwrap_or(*next),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn sends_are_counted_and_nothing_else() {
        let (pace, begun) = (Pace::new(10), Instant::now());
        for attempts in [1, 0, 0, 1, 3] {
            pace.wait().await;
            pace.took(attempts);
        }
        pace.wait().await;
        assert_eq!(begun.elapsed(), Duration::from_millis(500), "five attempts");
    }
}
