//! Part of a deadline that is kept back for writing to the store.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Assumed time of a write before this process has measured one: the time that S3 needs for a first small
/// object in its own region, TLS included, on a function of the smallest size, with room to spare.
const FIRST: Duration = Duration::from_millis(400);

/// Time added to twice the measured time of a write.
const ROOM: Duration = Duration::from_millis(50);

/// Upper bound on the margin: a slower store is given up, because the queue needs its share of the time.
const MOST: Duration = Duration::from_secs(5);

/// Measured time of writes in microseconds: the worst one counts, and is forgotten slowly.
#[derive(Debug)]
pub(super) struct Margin(AtomicU64);

impl Default for Margin {
    fn default() -> Self {
        Self(AtomicU64::new(micros(FIRST)))
    }
}

impl Margin {
    /// Learns the time of a write, successful or not. A longer time than the remembered one counts at once, a
    /// shorter one for an eighth.
    pub(super) fn learn(&self, took: Duration) {
        let took = micros(took);
        let learn = |worst: u64| Some(if took > worst { took } else { worst - (worst - took) / 8 });
        // The closure never refuses.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, learn);
    }

    /// Returns the time until which the queue may be tried, so that a write can still end before `deadline`;
    /// the queue gets at least half of the time.
    pub(super) fn before(&self, deadline: Instant) -> Instant {
        let remaining = deadline.saturating_duration_since(Instant::now());
        let worst = Duration::from_micros(self.0.load(Ordering::Relaxed));
        let margin = (worst * 2 + ROOM).min(MOST).min(remaining / 2);
        deadline.checked_sub(margin).unwrap_or(deadline)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.min(MOST).as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_margin_follows_what_is_measured() {
        let margin = Margin::default();
        let kept = |millis| {
            let deadline = Instant::now() + Duration::from_millis(millis);
            (deadline - margin.before(deadline)).as_millis()
        };
        assert_eq!(kept(10_000), 850);
        assert_eq!(kept(1_000), 500, "the queue gets half at least");
        assert_eq!(kept(0), 0);
        margin.learn(Duration::from_secs(2));
        assert_eq!(kept(30_000), 4_050, "a slow write counts at once");
        margin.learn(Duration::from_secs(60));
        assert_eq!(kept(30_000), 5_000);
        for _ in 0..100 {
            margin.learn(Duration::from_millis(10));
        }
        assert_eq!(kept(30_000), 70, "and is forgotten");
    }
}
