//! Rate limit of each hook.
//!
//! A token bucket is stored as a single moment, the time at which it is full again, so that no timer has to
//! refill it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Capacity of a token bucket, and the rate at which it fills.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    /// Capacity of the bucket: the number of deliveries accepted at once after a quiet time.
    pub(crate) burst: u32,
    /// Time after which the bucket gains another token.
    pub(crate) every: Duration,
}

/// Token buckets by hook. Only configured hooks have one, so the map stays small.
#[derive(Debug, Default)]
pub(crate) struct Rates(Mutex<HashMap<String, Instant>>);

impl Rates {
    /// Takes a token from a hook's bucket. If the bucket is empty, the error is the time until the next
    /// token.
    pub(crate) fn take(&self, hook: &str, allowance: Allowance) -> Result<(), Duration> {
        let now = Instant::now();
        let mut full = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = full.get(hook).map_or(now, |at| now.max(*at)) + allowance.every;
        let wait = (next - now).saturating_sub(allowance.every * allowance.burst);
        if wait.is_zero() {
            full.insert(hook.to_owned(), next);
            return Ok(());
        }
        Err(wait)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_cut() {
        let rates = Rates::default();
        let allowance = Allowance { burst: 60, every: Duration::from_secs(1) };
        let taken = |hook| (0..1000).filter(|_| rates.take(hook, allowance).is_ok()).count();
        assert_eq!((taken("a"), taken("b")), (60, 60));
        advance(Duration::from_secs(5)).await;
        assert_eq!(taken("a"), 5);
        advance(Duration::from_secs(600)).await;
        assert_eq!(taken("a"), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_as_told_is_served() {
        let rates = Rates::default();
        let allowance = Allowance { burst: 2, every: Duration::from_millis(500) };
        assert!(rates.take("a", allowance).is_ok());
        advance(Duration::from_millis(100)).await;
        assert!(rates.take("a", allowance).is_ok());
        let wait = rates.take("a", allowance).unwrap_err();
        assert_eq!(wait, Duration::from_millis(400));
        advance(Duration::from_millis(399)).await;
        assert_eq!(
            rates.take("a", allowance),
            Err(Duration::from_millis(1)),
            "what is refused costs nothing"
        );
        advance(Duration::from_millis(1)).await;
        assert!(rates.take("a", allowance).is_ok());
    }
}
