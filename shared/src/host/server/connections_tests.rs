use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::time::advance;

use super::*;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn is_told(conn: &Conn) -> bool {
    conn.told.borrow().is_some()
}

#[tokio::test(start_paused = true)]
async fn there_is_always_room_for_one_more() {
    let all = Connections::new(2);
    let idle = all.enter(PEER);
    idle.arrived(10);
    idle.goes_to(State::Service);
    idle.goes_to(State::Idle);
    let slow = all.enter(PEER);
    slow.arrived(1);
    advance(Duration::from_secs(5)).await;
    let third = all.enter(PEER);
    assert_eq!([&idle, &slow, &third].map(|c| is_told(c)), [false, true, false]);
    // The first connection has not ended yet, and is not counted any more.
    third.goes_to(State::Service);
    let fourth = all.enter(PEER);
    assert_eq!([&idle, &third, &fourth].map(|c| is_told(c)), [true, false, false]);
    assert_eq!(idle.told().await, Told::Full);
    drop((idle, slow));
    assert_eq!(all.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_served_never_gives_way() {
    let all = Connections::new(8);
    let served: Vec<_> = (0..8)
        .map(|_| {
            let conn = all.enter(PEER);
            conn.goes_to(State::Service);
            conn
        })
        .collect();
    let mut more = all.enter(PEER);
    for _ in 0..100 {
        let next = all.enter(PEER);
        assert!(is_told(&more) && !is_told(&next), "one more is taken, and gives way to the next");
        more = next;
    }
    assert!(!served.iter().any(|conn| is_told(conn)));
    served[0].goes_to(State::Idle);
    more.goes_to(State::Service);
    let last = all.enter(PEER);
    assert!(is_told(&served[0]));
    drop((served, more, last));
    all.gone().await;
}

/// A flood of young connections leaves nothing weaker than a sender's idle connection; the sender may write
/// on it at that very moment.
#[tokio::test(start_paused = true)]
async fn a_flood_of_young_ones_closes_no_sender_s_idle_connection() {
    let all = Connections::new(8);
    let proven = |n| {
        let conn = all.enter(IpAddr::V4(Ipv4Addr::new(192, 0, 2, n)));
        conn.arrived(10);
        conn.goes_to(State::Service);
        conn.proves_genuine();
        conn.goes_to(State::Idle);
        conn
    };
    let mut senders = Vec::from([1, 2, 3, 4].map(proven));
    advance(Duration::from_secs(30)).await;
    let mut strangers = Vec::new();
    for n in 0..100 {
        advance(Duration::from_millis(20)).await;
        let conn = all.enter(IpAddr::V4(Ipv4Addr::new(10, 0, 0, n)));
        if n % 2 == 0 {
            conn.arrived(100);
        }
        strangers.push(conn);
        assert_eq!(senders.iter().filter(|conn| is_told(conn)).count(), 0, "{n}");
        strangers.retain(|conn| !is_told(conn));
    }
    // Senders' idle connections leave room for new ones: if they have more than half, the longest idle one
    // goes first.
    drop(strangers);
    senders.push(proven(5));
    advance(Duration::from_secs(2)).await;
    let young = [1, 2, 3].map(|n| all.enter(IpAddr::V4(Ipv4Addr::new(10, 1, 0, n))));
    let one_more = all.enter(PEER);
    assert!(is_told(&senders[0]) && !senders[1..].iter().chain(&young).any(|conn| is_told(conn)));
    drop(one_more);
}

/// A flood whose connections all bring something at once does not push out the one that was just opened,
/// whose first bytes are still on the way.
#[tokio::test(start_paused = true)]
async fn one_that_was_just_opened_has_time_for_its_first_bytes() {
    let all = Connections::new(64);
    let mut strangers = Vec::new();
    let stranger = |n: u8| {
        let conn = all.enter(IpAddr::V4(Ipv4Addr::new(10, 0, 0, n)));
        conn.arrived(100);
        conn
    };
    for n in 0..100 {
        advance(Duration::from_millis(4)).await;
        strangers.push(stranger(n));
        strangers.retain(|conn| !is_told(conn));
    }
    let sender = all.enter(PEER);
    for n in 100..120 {
        advance(Duration::from_millis(4)).await;
        strangers.push(stranger(n));
        assert!(!is_told(&sender), "{n}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_on_which_something_has_come_is_spared() {
    let all = Connections::new(1);
    let first = all.enter(PEER);
    first.arrived(1);
    first.goes_to(State::Idle);
    let _second = all.enter(PEER);
    assert!(is_told(&first));
    first.spare();
    assert_eq!((is_told(&first), first.state()), (false, State::Head));
}

#[tokio::test(start_paused = true)]
async fn bytes_that_came_early_begin_the_next_request() {
    let all = Connections::new(1);
    let conn = all.enter(PEER);
    conn.arrived(9);
    conn.goes_to(State::Service);
    conn.arrived(5);
    conn.goes_to(State::Idle);
    assert_eq!(conn.state(), State::Head);
}

#[tokio::test(start_paused = true)]
async fn half_arrived_bodies_make_room_for_one_that_comes_faster() {
    let all = Connections::new(9);
    let body = |bytes: usize| {
        let conn = all.enter(PEER);
        conn.arrived(bytes);
        conn.goes_to(State::Body);
        conn.holds(bytes);
        conn
    };
    let stalled: Vec<_> = (0..4).map(|_| body(25)).collect();
    advance(Duration::from_secs(2)).await;
    let genuine = body(1);
    assert!(all.make_bytes(30, 100, &genuine));
    assert_eq!(stalled.iter().filter(|conn| is_told(conn)).count(), 2);
    assert!(all.make_bytes(30, 100, &genuine), "those two are about to give theirs back");
    assert_eq!(stalled.iter().filter(|conn| is_told(conn)).count(), 4, "and whoever asks again needs more");
    assert!(!all.make_bytes(101, 100, &genuine));
    assert!(!is_told(&genuine));
}

#[tokio::test(start_paused = true)]
async fn heads_are_bounded_together() {
    let all = Connections::new(9);
    let first = all.enter(PEER);
    first.arrived(HEAD_BYTES / 2);
    advance(Duration::from_secs(3)).await;
    let second = all.enter(PEER);
    second.arrived(HEAD_BYTES / 2);
    assert!(!is_told(&first));
    second.arrived(1);
    assert!(is_told(&first) && !is_told(&second));
    drop(first);
    second.goes_to(State::Body);
    second.holds(5000);
    second.goes_to(State::Service);
    second.goes_to(State::Idle);
    second.arrived(7);
    assert_eq!(all.inner().head_bytes, 7);
    second.goes_to(State::Service);
    assert_eq!(all.inner().head_bytes, 0);
}
