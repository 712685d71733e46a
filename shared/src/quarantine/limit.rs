//! How many refused requests of a hook are kept.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// At once, after a quiet minute; then one a second.
const BURST: u32 = 60;
const EVERY: Duration = Duration::from_secs(1);

/// When each hook's allowance is full again. Hooks are those of the configuration, so it stays small.
#[derive(Debug, Default)]
pub(super) struct Limit(Mutex<HashMap<String, Instant>>);

impl Limit {
    /// Whether one more may be kept now; it counts then.
    pub(super) fn admits(&self, hook: &str) -> bool {
        let now = Instant::now();
        let mut full = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = full.get(hook).map_or(now, |at| now.max(*at)) + EVERY;
        let admitted = next <= now + EVERY * BURST;
        if admitted {
            full.insert(hook.to_owned(), next);
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_cut() {
        let limit = Limit::default();
        let admitted = |hook| (0..1000).filter(|_| limit.admits(hook)).count();
        assert_eq!((admitted("a"), admitted("b")), (60, 60));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(admitted("a"), 5);
        tokio::time::advance(Duration::from_secs(600)).await;
        assert_eq!(admitted("a"), 60);
    }
}
