//! Key `rate`: the upper bound on a hook's verified deliveries.

use std::fmt;
use std::time::Duration;

use crate::problem::Problem;
use crate::rate::Allowance;
use crate::reader::Table;

/// Upper bound on `limit`, which is more than any process can forward in a second.
const MAX_LIMIT: u32 = 1_000_000;

const MAX_PER: Duration = Duration::from_secs(60 * 60);

/// Upper bound on `Retry-After`, in seconds.
const MAX_RETRY_AFTER: u64 = 3600;

/// Answer to a sender that exceeds the rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// Refusal with 503.
    Unavailable,
    /// Refusal with 429, for a sender that tries again after this status.
    TooManyRequests,
}

/// Value of the key, such as `{ limit = 50, per = "1s", status = 503 }`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Number of verified deliveries in each period. They may also arrive at once.
    pub limit: u32,
    /// Period in which `limit` deliveries are accepted.
    pub per: Duration,
    /// Answer to a delivery over the limit.
    pub excess: Excess,
}

impl Rate {
    pub(crate) fn allowance(&self) -> Allowance {
        Allowance { burst: self.limit, every: self.per / self.limit }
    }

    /// Returns the refusal, with the time until the next attempt in whole seconds.
    pub(crate) fn problem(&self, wait: Duration) -> Problem {
        let seconds = wait.as_millis().div_ceil(1000);
        let seconds = u64::try_from(seconds).unwrap_or(MAX_RETRY_AFTER).clamp(1, MAX_RETRY_AFTER);
        // The clamp keeps the value in bounds.
        let retry_after = u32::try_from(seconds).unwrap_or(u32::MAX);
        match self.excess {
            Excess::Unavailable => Problem::Unavailable { retry_after },
            Excess::TooManyRequests => Problem::TooManyRequests { retry_after },
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {:?}", self.limit, self.per)
    }
}

/// Reads the key. Mistakes are added to the table.
pub(super) fn read(table: &Table<'_>) -> Option<Rate> {
    let rate = table.table("rate")?;
    let limit = rate.number("limit").map(|at| at.value);
    let limit = limit.and_then(|limit| u32::try_from(limit).ok()).filter(|n| (1..=MAX_LIMIT).contains(n));
    if limit.is_none() {
        rate.error("limit", "write the number of deliveries, from 1 to 1000000");
    }
    let per = rate.duration("per").map_or(Duration::from_secs(1), |at| at.value);
    if per < Duration::from_secs(1) || per > MAX_PER {
        rate.error("per", "write a time from \"1s\" to \"1h\"");
    }
    let excess = match rate.number("status").map(|at| at.value) {
        None | Some(503) => Excess::Unavailable,
        Some(429) => Excess::TooManyRequests,
        Some(_) => {
            rate.error("status", "write 503, or 429 for a sender that comes again after one");
            Excess::Unavailable
        }
    };
    rate.finish();
    Some(Rate { limit: limit?, per, excess })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_waits_whole_seconds() {
        let rate = Rate { limit: 3, per: Duration::from_secs(1), excess: Excess::TooManyRequests };
        for (millis, retry_after) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (7_200_000, 3600)] {
            let problem = rate.problem(Duration::from_millis(millis));
            assert_eq!(problem, Problem::TooManyRequests { retry_after }, "{millis}");
        }
        let rate = Rate { excess: Excess::Unavailable, ..rate };
        assert_eq!(rate.problem(Duration::ZERO), Problem::Unavailable { retry_after: 1 });
        assert_eq!(rate.to_string(), "3 in 1s");
    }
}
