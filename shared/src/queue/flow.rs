//! Rate limit of a queue's topic: messages per second that are sent once the queue has asked for fewer.
//!
//! This module neither waits nor sends: its caller reports the messages taken and throttled, with their
//! times. A limit begins a little below the rate that was taken lately. It grows until the vendor throttles
//! again, so that it stays within some hundredths of the rate that the vendor takes. It ends after some
//! seconds without throttling.

use std::time::Duration;

use tokio::time::Instant;

/// Length of the windows in which taken messages are counted: both vendors count by the second.
const WINDOW: Duration = Duration::from_secs(1);

/// Limit after throttling, as a share of the rate that was taken lately.
const LESS: f64 = 0.9;

/// Growth factor of a limit per second.
const GROWTH: f64 = 1.08;

/// Lowest limit, in messages per second: so few more cost the vendor nothing, and a count of fewer is too
/// inaccurate.
const LEAST: f64 = 10.0;

/// Time without throttling after which a limit ends.
const LIFT: Duration = Duration::from_secs(4);

/// Counts and rate limit of one topic.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    /// Begin of the window that is being counted.
    since: Instant,
    taken: u32,
    /// Messages taken in the two windows before, the latest first: one alone may have had a low rate.
    before: [u32; 2],
    limit: Option<Limit>,
}

#[derive(Clone, Copy, Debug)]
struct Limit {
    /// Messages per second.
    rate: f64,
    /// Number of messages that may be sent now.
    tokens: f64,
    /// Time up to which the tokens are counted.
    at: Instant,
    throttled: Instant,
    /// Time at which the rate was lowered last.
    lowered: Instant,
}

impl Flow {
    pub(super) const fn new(now: Instant) -> Self {
        Self { since: now, taken: 0, before: [0; 2], limit: None }
    }

    /// Counts a message that the queue took.
    pub(super) fn taken(&mut self, now: Instant) {
        self.roll(now);
        self.taken = self.taken.saturating_add(1);
    }

    /// Records that an attempt begun at `begun` was throttled. Returns the new rate in messages per second if
    /// there was no limit before. There is no limit until a whole window has been counted.
    pub(super) fn throttled(&mut self, begun: Instant, now: Instant) -> Option<f64> {
        self.roll(now);
        let [last, one_before] = self.before;
        let rate = (f64::from(self.taken.max(last).max(one_before)) * LESS).max(LEAST);
        let Some(limit) = &mut self.limit else {
            if last == 0 {
                return None;
            }
            self.limit = Some(Limit { rate, tokens: 0.0, at: now, throttled: now, lowered: now });
            return Some(rate);
        };
        limit.throttled = now;
        // An attempt begun before the last lowering did not know the lower rate.
        if begun >= limit.lowered {
            limit.fill(now);
            (limit.rate, limit.lowered) = (limit.rate.min(rate), now);
        }
        None
    }

    /// Takes a token for one more message; fails with the time until the next token.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let Some(limit) = self.limit.as_mut().filter(|limit| now < limit.throttled + LIFT) else {
            self.limit = None;
            return Ok(());
        };
        limit.fill(now);
        if limit.tokens >= 1.0 {
            limit.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - limit.tokens) / limit.rate))
    }

    /// Removes the limit.
    pub(super) fn lift(&mut self) {
        self.limit = None;
    }

    /// Begins another window if the current one is over.
    fn roll(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.since);
        if age >= 2 * WINDOW {
            (self.since, self.before, self.taken) = (now, [0; 2], 0);
        } else if age >= WINDOW {
            let [last, _] = self.before;
            (self.since, self.before, self.taken) = (self.since + WINDOW, [self.taken, last], 0);
        }
    }
}

impl Limit {
    /// Adds the tokens since the last call, limited to one second's worth, and lets the rate grow.
    fn fill(&mut self, now: Instant) {
        let time = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.rate *= GROWTH.powf(time);
        self.tokens = (self.tokens + self.rate * time).min(self.rate.max(1.0));
    }
}

#[cfg(test)]
#[path = "flow_tests.rs"]
mod tests;
