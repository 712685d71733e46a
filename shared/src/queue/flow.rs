//! How many messages a second a queue is asked to take, once it has asked for fewer.
//!
//! Nothing here waits or sends: it is told what was taken and what was throttled, and when. A limit is what was
//! taken lately and a little less; it grows until the vendor says again that it is too much, so that it stays
//! within some hundredths of what the vendor takes. Where nothing is throttled for some seconds there is no
//! limit any more.

use std::time::Duration;

use tokio::time::Instant;

/// What was taken is counted over so long: both vendors count by the second.
const WINDOW: Duration = Duration::from_secs(1);

/// Of what was taken lately, so much is asked for after throttling.
const LESS: f64 = 0.9;

/// A limit grows by so much in each second.
const GROWTH: f64 = 1.08;

/// No limit is lower: so few more cost the vendor nothing, and what is counted of fewer says little.
const LEAST: f64 = 10.0;

/// A limit has no reason any more when nothing was throttled for so long.
const LIFT: Duration = Duration::from_secs(4);

/// The rate of one topic.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    /// When the window began that is being counted.
    since: Instant,
    taken: u32,
    /// What was taken in the two windows before, the last one first: one alone may have been of a low rate.
    before: [u32; 2],
    limit: Option<Limit>,
}

#[derive(Clone, Copy, Debug)]
struct Limit {
    /// A second.
    rate: f64,
    /// What may be asked for now.
    tokens: f64,
    /// Until when tokens are counted.
    at: Instant,
    throttled: Instant,
    /// When the rate was lowered last.
    lowered: Instant,
}

impl Flow {
    pub(super) const fn new(now: Instant) -> Self {
        Self { since: now, taken: 0, before: [0; 2], limit: None }
    }

    /// A message was taken.
    pub(super) fn taken(&mut self, now: Instant) {
        self.roll(now);
        self.taken = self.taken.saturating_add(1);
    }

    /// An attempt was throttled that was begun at `begun`. What is asked for a second from now on, if there was
    /// no limit before. Before a window has been counted there is nothing to go by.
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
        // What was begun before knew nothing of the lower rate.
        if begun >= limit.lowered {
            limit.fill(now);
            (limit.rate, limit.lowered) = (limit.rate.min(rate), now);
        }
        None
    }

    /// Whether one more may be asked for now; how long until one may, if not.
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

    /// The limit is forgotten.
    pub(super) fn lift(&mut self) {
        self.limit = None;
    }

    /// Begins another window if it is time.
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
    /// Counts the tokens up to now, a second's at most.
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

    /// A vendor's way to count.
    trait Vendor {
        /// Whether it takes one more at this time.
        fn takes(&mut self, now: Instant) -> bool;
    }

    /// So many in each second of its clock.
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

    /// A bucket that is filled evenly.
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

    /// What is taken and what is asked for, each a second, of `offered` a second, by `processes` that share it.
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
                        // Of very few a second, what a vendor without a burst takes hangs on single milliseconds.
                        let least = if over > 2 && limit < 20 { 0.7 } else { 0.8 };
                        assert!(taken >= least * real, "{what}: {taken} taken");
                        // Of several that ask in turns, one may meet an empty bucket each time: its circuit's to see.
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
