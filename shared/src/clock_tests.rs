//! Tests of `clock`.

use super::*;

#[test]
fn one_moment_in_every_form() {
    let t = Timestamp::from_unix_millis(1_700_000_000_123);
    assert_eq!(t.rfc3339(), "2023-11-14T22:13:20.123Z");
    assert_eq!(t.date(), "2023-11-14");
    assert_eq!(t.basic(), "20231114T221320Z");
    assert_eq!(t.unix(), 1_700_000_000);
    assert_eq!(Timestamp::parse_basic("20231114T221320Z"), Some(Timestamp::from_unix(1_700_000_000)));
    assert_eq!(Timestamp::parse_rfc3339("2023-11-14T22:13:20.123000Z"), Some(t));
    assert_eq!(t.http_date(), "Tue, 14 Nov 2023 22:13:20 GMT");
    assert_eq!(
        Timestamp::parse_http_date("Tue, 14 Nov 2023 22:13:20 GMT"),
        Some(Timestamp::from_unix(1_700_000_000))
    );
}

#[test]
fn odd_dates_are_refused() {
    for text in [
        "",
        "20231114T221320",
        "2023111xT221320Z",
        "20231314T221320Z",
        "20231114T221320Zé",
        "+0231114T221320Z",
    ] {
        assert_eq!(Timestamp::parse_basic(text), None, "{text}");
    }
}

#[test]
fn jitter_stays_in_its_bound() {
    for bits in [0, 1, u64::MAX / 2, u64::MAX] {
        let random = Random::from_fn(move || bits);
        assert!(random.up_to(Duration::from_millis(7)) <= Duration::from_millis(7));
        assert_eq!(random.up_to(Duration::ZERO), Duration::ZERO);
    }
    assert_eq!(Random::from_fn(|| u64::MAX).uuid(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
}
