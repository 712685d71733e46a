//! Tests of `flow`.

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
                    Box::new(BySecond { begun: begun - Duration::from_millis(300), limit, taken: (0, 0) }),
                    Box::new(Bucket { at: begun, tokens: 0.0, limit: real, most: 1.0_f64.max(real / 10.0) }),
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
