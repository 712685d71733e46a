use std::net::Ipv4Addr;

use super::*;

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Builds the facts of a connection of the given age whose bytes arrived at an even rate.
fn facts(now: Instant, state: State, age: Duration, bytes: u64) -> Facts {
    let start = now - age;
    let mut flow = Flow::new(start);
    for tenth in 1..=10_u32 {
        flow.add(bytes / 10, start + age * tenth / 10);
    }
    Facts {
        peer: Ipv4Addr::LOCALHOST.into(),
        state,
        flow,
        held: usize::try_from(bytes).unwrap(),
        is_proven: false,
    }
}

fn rank(facts: &Facts, now: Instant, is_over: bool) -> Option<Rank> {
    facts.rank(now, is_over, false)
}

fn order(now: Instant, rank: fn(&Facts, Instant, bool) -> Option<Rank>, of: &[Facts]) -> Vec<usize> {
    let mut ranked: Vec<_> =
        of.iter().enumerate().filter_map(|(at, f)| Some((rank(f, now, false)?, at))).collect();
    ranked.sort_unstable();
    ranked.into_iter().map(|(_, at)| at).collect()
}

#[tokio::test]
async fn what_brings_least_goes_first_then_the_longest_idle() {
    let now = Instant::now() + secs(1000);
    let of = [
        facts(now, State::Service, secs(50), 0),
        facts(now, State::Body, secs(5), 20 << 20),
        facts(now, State::Idle, secs(2), 0),
        facts(now, State::Idle, secs(40), 0),
        facts(now, State::Head, secs(5), 80),
        facts(now, State::Body, secs(5), 8000),
        facts(now, State::New, secs(3), 0),
        facts(now, State::New, secs(9), 0),
        facts(now, State::Linger, secs(2), 10),
        facts(now, State::New, Duration::from_millis(10), 0),
        facts(now, State::Body, Duration::from_millis(10), 100),
        facts(now, State::Idle, Duration::from_millis(900), 0),
        facts(now, State::Head, Duration::from_millis(5), 100),
    ];
    let unused = facts(now, State::New, Duration::from_millis(600), 0);
    assert!(
        unused.rank(now, false, false) < of[3].rank(now, false, false),
        "nothing is less than an idle one has brought"
    );
    assert_eq!(order(now, rank, &of), [7, 6, 8, 4, 5, 3, 2, 1, 11, 10, 12, 9]);
}

#[tokio::test]
async fn who_was_answered_with_an_ack_stays_longer() {
    let now = Instant::now() + secs(1000);
    let idle = |age, is_proven| Facts { is_proven, ..facts(now, State::Idle, age, 0) };
    let fresh = Duration::from_millis(100);
    let of = [
        idle(fresh, true),
        idle(secs(600), true),
        facts(now, State::New, fresh, 0),
        facts(now, State::Body, fresh, 1),
        idle(fresh, false),
        idle(secs(2), false),
        facts(now, State::Body, secs(5), 20 << 20),
        Facts { is_proven: true, ..facts(now, State::Head, secs(5), 80) },
    ];
    assert_eq!(order(now, rank, &of), [7, 5, 6, 4, 3, 2, 1, 0], "a few bytes are less than none yet");
    let crowded = |facts: &Facts, now, is_over| facts.rank(now, is_over, true);
    assert_eq!(order(now, crowded, &of), [7, 5, 1, 6, 4, 0, 3, 2], "new ones need the room more");
}

#[tokio::test]
async fn a_burst_that_stalls_is_slow() {
    let now = Instant::now() + secs(1000);
    let mut burst = Flow::new(now - secs(5));
    burst.add(6 << 20, now - secs(5));
    let stalled = Facts { flow: burst, ..facts(now, State::Body, secs(5), 0) };
    let steady = facts(now, State::Body, secs(5), 600_000);
    for trickled in 0..4 {
        let stalled = Facts { flow: burst, held: 6 << 20, ..stalled };
        assert!(stalled.rank(now, false, false) < steady.rank(now, false, false), "{trickled}");
        assert!(stalled.rank_of_bytes(now, false) < steady.rank_of_bytes(now, false), "{trickled}");
        burst.add(1, now - secs(4 - trickled));
    }
}

#[tokio::test]
async fn of_what_has_just_begun_the_largest_gives_its_bytes() {
    let now = Instant::now() + secs(1000);
    let fresh = Duration::from_millis(100);
    let of = [
        facts(now, State::Body, fresh, 2000),
        facts(now, State::Body, fresh, 6 << 20),
        facts(now, State::Service, secs(3), 6 << 20),
        facts(now, State::Body, secs(3), 3000),
        facts(now, State::Body, secs(3), 12 << 20),
        facts(now, State::Head, secs(3), 0),
    ];
    assert_eq!(order(now, Facts::rank_of_bytes, &of), [3, 4, 1, 0]);
}

#[tokio::test]
async fn a_share_counts_among_equals_only() {
    let now = Instant::now() + secs(1000);
    let idle = facts(now, State::Idle, secs(30), 0);
    let longer = facts(now, State::Idle, secs(60), 0);
    assert!(idle.rank(now, true, false) < longer.rank(now, false, false));
    let slow = facts(now, State::Head, secs(5), 10);
    assert!(
        slow.rank(now, false, false) < idle.rank(now, true, false),
        "a balancer's idle ones stay while others dawdle"
    );
    assert_eq!(share(1024, 1), 1024);
    assert_eq!(share(1024, 4), 256);
    assert_eq!(share(1024, 1000), 128);
    assert_eq!(share(4, 100), 0);
}

/// A peer that opens connection after connection, and begins a body on each, does not push out connections
/// that others have just opened.
#[tokio::test]
async fn of_what_is_young_that_goes_first_which_is_over_its_share() {
    let now = Instant::now() + secs(1000);
    let fresh = Duration::from_millis(100);
    let young = [
        facts(now, State::New, fresh, 0),
        facts(now, State::Idle, fresh, 0),
        Facts { is_proven: true, ..facts(now, State::Idle, fresh, 0) },
        facts(now, State::Head, fresh, 20),
        facts(now, State::Body, fresh, 60_000),
    ];
    let kept = Facts { is_proven: true, ..facts(now, State::Idle, secs(60), 0) };
    let brisk = facts(now, State::Body, secs(5), 20 << 20);
    for theirs in &young {
        for other in young.iter().chain([&kept, &brisk]) {
            assert!(theirs.rank(now, true, false) < other.rank(now, false, false), "{theirs:?} {other:?}");
        }
        for weaker in [facts(now, State::Head, secs(5), 10), facts(now, State::Idle, secs(2), 0)] {
            assert!(weaker.rank(now, false, false) < theirs.rank(now, true, false), "{weaker:?} {theirs:?}");
        }
    }
}

#[tokio::test]
async fn each_state_has_its_time() {
    let now = Instant::now() + secs(1000);
    let times = Times {
        idle: secs(100),
        head: secs(30),
        body: secs(20),
        linger: secs(15),
        unhurried: secs(8),
        least: 1000,
    };
    let is_overdue = |state, age, bytes| facts(now, state, secs(age), bytes).is_overdue(now, &times);
    for (state, last, bytes) in [
        (State::New, 99, 0),
        (State::Idle, 99, 0),
        (State::Head, 29, 60_000),
        (State::Head, 8, 1),
        (State::Body, 19, 60_000),
        (State::Linger, 14, 0),
    ] {
        assert!(!is_overdue(state, last, bytes), "{state:?}");
        assert!(is_overdue(state, last + 1, bytes), "{state:?}");
    }
    assert!(!is_overdue(State::Service, 900, 0));
    assert!(is_overdue(State::Body, 12, 2000), "under the least rate");
}
