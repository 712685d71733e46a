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
mod tests {
    use super::*;

    /// Counting method of a vendor.
    trait Vendor {
        /// Returns true if the vendor takes one more message at this time.
        fn takes(&mut self, now: Instant) -> bool;
    }

    /// Vendor that takes `limit` messages in each second of its clock.
    struct BySecond {
        begun: Instant,
        limit: u32,
        taken: (u64, u32),
    }

    impl Vendor for BySecond {
        fn takes(&mut self, now: Instant) -> bool {
            let second = (now - self.begun).as_secs();
            self.taken = if self.taken.0 == second { (second, self.taken.1 + 1) } else { (second, 1) };
            self.taken.1 <= self.limit
        }
    }

    /// Token bucket that is filled evenly.
    struct Bucket {
        at: Instant,
        tokens: f64,
        limit: f64,
        most: f64,
    }

    impl Vendor for Bucket {
        fn takes(&mut self, now: Instant) -> bool {
            let more = (now - self.at).as_secs_f64() * self.limit;
            (self.tokens, self.at) = ((self.tokens + more).min(self.most), now);
            let takes = self.tokens >= 1.0;
            self.tokens -= f64::from(u8::from(takes));
            takes
        }
    }

    /// Plays a minute in which `processes` senders share `offered` messages per second, and returns the
    /// numbers of messages taken and asked for per second.
    fn play(vendor: &mut dyn Vendor, offered: u32, processes: usize, begun: Instant) -> (f64, f64) {
        const SECONDS: u32 = 60;
        let mut flows = vec![Flow::new(begun); processes];
        let (mut taken, mut asked) = (0_u32, 0_u32);
        for n in 0..offered * SECONDS {
            let now = begun + Duration::from_secs(1) * n / offered;
            let flow = &mut flows[n as usize % processes];
            if flow.take(now).is_err() {
                continue;
            }
            asked += 1;
            if vendor.takes(now) {
                taken += 1;
                flow.taken(now);
            } else {
                flow.throttled(now, now);
            }
        }
        (f64::from(taken) / f64::from(SECONDS), f64::from(asked) / f64::from(SECONDS))
    }

    #[tokio::test(start_paused = true)]
    async fn a_vendor_gets_what_it_takes_and_is_asked_for_little_more() {
        let begun = Instant::now();
        for limit in [2, 5, 20, 100, 400] {
            for over in [2, 3, 10] {
                for processes in [1, 2, 5] {
                    let real = f64::from(limit);
                    let vendors: [Box<dyn Vendor>; 3] = [
                        Box::new(BySecond {
                            begun: begun - Duration::from_millis(300),
                            limit,
                            taken: (0, 0),
                        }),
                        Box::new(Bucket {
                            at: begun,
                            tokens: 0.0,
                            limit: real,
                            most: 1.0_f64.max(real / 10.0),
                        }),
                        Box::new(Bucket { at: begun, tokens: 2.0 * real, limit: real, most: 2.0 * real }),
                    ];
                    for (at, mut vendor) in vendors.into_iter().enumerate() {
                        let (taken, asked) = play(&mut *vendor, limit * over, processes, begun);
                        let what = format!("{limit}/s, {over} times, {processes} processes, vendor {at}");
                        // At very low limits, the rate that a vendor without a burst takes depends on single
                        // milliseconds.
                        let least = if over > 2 && limit < 20 { 0.7 } else { 0.8 };
                        assert!(taken >= least * real, "{what}: {taken} taken");
                        // One of several processes may meet an empty bucket each time: its circuit handles
                        // that.
                        let most = if processes == 1 { (1.3 * real).max(1.3 * LEAST) } else { f64::INFINITY };
                        assert!(asked <= most, "{what}: {asked} asked for");
                    }
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_nothing_speaks_for_is_lifted() {
        let begun = Instant::now();
        let mut flow = Flow::new(begun);
        assert_eq!(flow.throttled(begun, begun), None, "nothing was taken");
        (0..100).for_each(|_| flow.taken(begun));
        assert_eq!(flow.throttled(begun, begun), None, "nobody knows yet in what time");
        assert!((0..1000).all(|_| flow.take(begun).is_ok()));
        let begun = begun + WINDOW;
        assert_eq!(flow.throttled(begun, begun), Some(90.0));
        assert!(flow.take(begun).is_err());
        assert_eq!(flow.throttled(begun, begun), None, "it is known");
        let later = begun + LIFT;
        assert!((0..1000).all(|_| flow.take(later).is_ok()));
    }
}
