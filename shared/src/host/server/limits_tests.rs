//! Tests of `limits`.

use super::*;

#[test]
fn limits_come_from_the_environment() {
    let of = |requests: &str, bytes: &str| {
        let env = Env::of([("MAX_IN_FLIGHT", requests), ("MAX_IN_FLIGHT_BYTES", bytes)]);
        let Limits { requests, body_bytes, .. } = Limits::of(&env, None, 1);
        (requests, body_bytes)
    };
    let default = (256, 64 << 20);
    assert_eq!(of("", ""), default);
    assert_eq!(of("8", "2MiB"), (8, 2 << 20));
    assert_eq!(of("1", "1000"), (1, 1000));
    for (requests, bytes) in [("0", "0"), ("-1", "-1"), ("many", "much"), ("1.5", "1GB")] {
        assert_eq!(of(requests, bytes), default, "{requests} {bytes}");
    }
}

#[test]
fn times_are_whole_seconds() {
    let of = |variable, text: &str| {
        let limits = Limits::of(&Env::of([(variable, text)]), None, 1);
        [limits.idle_timeout, limits.leave, limits.drain].map(|time| time.as_secs())
    };
    assert_eq!(of("NONE", ""), [620, 3, 6]);
    assert_eq!(of("IDLE_TIMEOUT", "75"), [75, 3, 6]);
    assert_eq!(of("DRAIN_AFTER", "0"), [620, 0, 6]);
    assert_eq!(of("DRAIN_WITHIN", "20"), [620, 3, 20]);
    for (variable, wrong) in [("IDLE_TIMEOUT", "0"), ("DRAIN_WITHIN", "0"), ("DRAIN_AFTER", "3s")] {
        assert_eq!(of(variable, wrong), [620, 3, 6], "{variable}");
    }
}

#[test]
fn descriptors_are_kept_for_what_is_called() {
    let of = |vars: &[(&str, &str)], descriptors| {
        Limits::of(&Env::of(vars.iter().copied()), descriptors, 1).connections
    };
    assert_eq!(of(&[], None), 1024);
    assert_eq!(of(&[], Some(1024)), 1024 - 256 - KEPT);
    assert_eq!(of(&[], Some(256)), 128, "half at least");
    assert_eq!(of(&[], Some(1 << 20)), MOST_CONNECTIONS);
    assert_eq!(of(&[("MAX_CONNECTIONS", "16")], Some(1024)), 1024 - 16 - KEPT);
    let of_several = |endpoints| {
        let env = Env::of([("MAX_CONNECTIONS", "64")]);
        Limits::of(&env, Some(1024), endpoints).connections
    };
    assert_eq!([0, 3, 30].map(of_several), [1024 - KEPT, 1024 - 3 * 64 - KEPT, 512]);
    assert_eq!(of(&[("MAX_ACCEPTED", "50")], Some(1024)), 50);
    assert_eq!(of(&[("MAX_ACCEPTED", "5000")], Some(1 << 14)), 5000);
    assert_eq!(of(&[("MAX_ACCEPTED", "5000")], Some(1024)), 640, "there are no more");
}

#[test]
fn no_more_requests_are_served_than_there_are_connections() {
    let of = |vars: &[(&str, &str)], descriptors| {
        let Limits { requests, connections, .. } = Limits::of(&Env::of(vars.iter().copied()), descriptors, 1);
        (requests, connections)
    };
    assert_eq!(of(&[("MAX_IN_FLIGHT", "1000")], Some(1024)), (640, 640));
    assert_eq!(of(&[("MAX_IN_FLIGHT", "5000")], None), (1024, 1024));
    assert_eq!(of(&[("MAX_ACCEPTED", "50")], None), (50, 50));
    assert_eq!(of(&[], Some(300)), (150, 150));
}
