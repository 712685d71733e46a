//! Back-off of a delivery whose attempts failed, in an object beside the delivery, so that it outlives the
//! invocation.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{History, rfc3339};
use crate::clock::{Random, Timestamp};
use crate::sabotage::{Safeguard, is_pulled};

/// Wait after the first failed run; it doubles with each further one.
const BASE: Duration = Duration::from_secs(60);

/// Longest wait: a vendor that has recovered gets everything within this time.
pub(crate) const MOST: Duration = Duration::from_secs(60 * 60);

/// Back-off of a delivery after failed runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Backoff {
    /// Number of failed runs.
    pub(crate) runs: u32,
    /// Earliest time of the next attempt.
    #[serde(with = "rfc3339")]
    pub next: Timestamp,
    /// Summary of all attempts so far.
    pub error: History,
}

impl Backoff {
    /// Builds the back-off after one more failed run; `earlier` is the previous back-off, `asked` the delay
    /// that the vendor asked for.
    pub(crate) fn after(
        earlier: Option<&Self>,
        error: History,
        asked: Option<Duration>,
        random: &Random,
    ) -> Self {
        let runs = earlier.map_or(0, |earlier| earlier.runs).saturating_add(1);
        let wait = i64::try_from(Self::wait(runs, asked, random).as_millis()).unwrap_or(i64::MAX);
        Self { runs, next: error.errorlasttime.shifted(wait), error }
    }

    /// Returns the wait after this number of failed runs (at least one); `asked` is the delay that the vendor
    /// asked for.
    pub fn wait(runs: u32, asked: Option<Duration>, random: &Random) -> Duration {
        let wait = BASE.saturating_mul(1 << runs.saturating_sub(1).min(16)).min(MOST);
        // The wait is random, so that deliveries that failed together do not return together.
        let wait = (wait / 2 + random.up_to(wait / 2)).max(asked.unwrap_or_default());
        if is_pulled(Safeguard::WaitIsClamped) { wait } else { wait.min(MOST) }
    }

    /// Parses an object's content; `None` if it is not a back-off.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    pub(crate) fn to_bytes(&self) -> bytes::Bytes {
        // Strings and numbers always serialise.
        serde_json::to_vec(self).unwrap_or_default().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour_and_survive_being_written() {
        let random = Random::from_fn(|| u64::MAX - 1);
        let now = Timestamp::from_unix(1_760_000_000);
        let error = || History::other("transient", "", now);
        let (mut backoff, mut waits) = (None, Vec::new());
        for _ in 0..8 {
            let next = Backoff::after(backoff.as_ref(), error(), None, &random);
            waits.push((next.next.unix() - now.unix()) / 30);
            backoff = Backoff::parse(&next.to_bytes());
        }
        for (wait, doubled) in waits.iter().zip([1, 2, 4, 8, 16, 32, 60, 60]) {
            assert!((doubled..=2 * doubled).contains(wait), "{waits:?}");
        }
        let asked = Backoff::after(None, error(), Some(Duration::from_secs(900)), &random);
        assert_eq!(asked.next.unix() - now.unix(), 900);
        let asked = Backoff::after(None, error(), Some(Duration::from_secs(24 * 3600)), &random);
        assert_eq!(asked.next.unix() - now.unix(), 3600, "whatever the vendor asks for");
        assert!(Backoff::parse(b"{").is_none());
    }
}
