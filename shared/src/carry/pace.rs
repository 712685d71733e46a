//! Pace of the messages that are sent to one target.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Schedule that spreads sends evenly over each second. A send that an open circuit refuses does not count,
/// and each further attempt of a send counts as one more.
#[derive(Debug)]
pub(crate) struct Pace {
    next: Mutex<Instant>,
    every: Duration,
}

impl Pace {
    /// Builds a schedule for at most `rate` sends per second; zero counts as one.
    pub(crate) fn new(rate: u32) -> Self {
        Self { next: Mutex::new(Instant::now()), every: Duration::from_secs(1) / rate.max(1) }
    }

    /// Waits for the next place in the schedule.
    pub(crate) async fn wait(&self) {
        let at = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let at = (*next).max(Instant::now());
            *next = at + self.every;
            at
        };
        sleep_until(at).await;
    }

    /// Corrects the schedule by the attempts that the send made after its wait: with none, its place is free
    /// again.
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
