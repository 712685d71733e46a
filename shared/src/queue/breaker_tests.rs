//! Circuits that an answer opens.

use tokio::time::advance;

use super::*;

fn way(topic: &str) -> Way {
    let endpoint = Endpoint::parse("https://a.example", false).unwrap();
    Way { key: [1; 32], topic: topic.into(), endpoint }
}

fn failure(class: Class) -> Failure {
    Failure { maybe_stored: true, lock: Lock::Key, ..Failure::new(class, "why") }
}

fn admits(breaker: &Breaker, way: &Way) -> bool {
    breaker.admit(way, Effort::Whole).is_ok()
}

#[tokio::test(start_paused = true)]
async fn a_key_is_left_alone_and_then_probed_once() {
    let breaker = Breaker::default();
    let (own, other) = (way("t"), Way { key: [2; 32], ..way("t") });
    breaker.failed(&own, &failure(Class::Auth));
    advance(Duration::from_secs(300)).await;
    let refused = breaker.admit(&own, Effort::Whole).err().unwrap();
    assert_eq!((refused.class, refused.maybe_stored), (Class::Auth, false));
    assert_eq!(refused.retry_after, Some(Duration::from_secs(10)));
    assert_eq!(breaker.reach(&way("another")), Some(Reach::Key));
    assert!(admits(&breaker, &other));

    advance(Duration::from_secs(10)).await;
    let probe = breaker.admit(&own, Effort::Whole).ok().unwrap();
    assert!(!admits(&breaker, &own), "one probe at a time");
    assert_eq!(breaker.reach(&own), Some(Reach::Key), "whoever is held back is told by what");
    drop(probe);
    let probe = breaker.admit(&own, Effort::Whole).ok().unwrap();
    breaker.failed(&own, &failure(Class::Auth));
    drop(probe);
    assert!(!admits(&breaker, &own), "a failed probe opens the circuit again");
    assert_eq!(breaker.open(), Open { key: 1, ..Open::default() });

    advance(AUTH_OPEN).await;
    let probe = breaker.admit(&own, Effort::Whole).ok().unwrap();
    breaker.close(&own);
    drop(probe);
    let both = (breaker.admit(&own, Effort::Whole), breaker.admit(&own, Effort::Whole));
    assert!(both.0.is_ok() && both.1.is_ok());
    assert_eq!(breaker.open(), Open::default());
}

/// A refused key is soon tried again if nothing is locked: a new key is not known everywhere at once.
#[tokio::test(start_paused = true)]
async fn a_refused_key_costs_seconds_where_nothing_is_locked() {
    let seconds = Duration::from_secs;
    for (lock, times) in [
        (Lock::Nothing, [seconds(30); 3]),
        (Lock::User, [seconds(30), seconds(310), seconds(310)]),
        (Lock::Key, [seconds(310); 3]),
    ] {
        for class in [Class::Auth, Class::ClockSkew] {
            let breaker = Breaker::default();
            for open in times {
                // Sends under way together fail together, and count once.
                breaker.failed(&way("t"), &Failure { lock, ..failure(class) });
                breaker.failed(&way("t"), &Failure { lock, ..failure(class) });
                advance(open.saturating_sub(seconds(1))).await;
                assert!(!admits(&breaker, &way("t")), "{lock:?} {class:?}");
                advance(seconds(1)).await;
                assert!(admits(&breaker, &way("t")), "{lock:?} {class:?}");
            }
            breaker.close(&way("t"));
            breaker.failed(&way("t"), &Failure { lock, ..failure(class) });
            advance(times[0]).await;
            assert!(admits(&breaker, &way("t")), "{lock:?} {class:?}: not in a row");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_will_fail_again_opens_a_circuit() {
    use Class::{
        Ambiguous, AuthRefresh, ClockSkew, Config, Permanent, Permission, Quota, Throttle, TooLarge,
        Transient,
    };
    for (class, key, topic) in [
        (AuthRefresh, true, false),
        (Config, false, true),
        (Permission, false, true),
        (Permanent, false, false),
        (TooLarge, false, false),
        (Quota, false, true),
        (ClockSkew, true, false),
        (Throttle, false, false),
        (Transient, false, false),
        (Ambiguous, false, false),
    ] {
        let breaker = Breaker::default();
        breaker.failed(&way("t"), &failure(class));
        assert_eq!(!admits(&breaker, &way("other")), key, "{class:?}");
        assert_eq!(!admits(&breaker, &Way { key: [2; 32], ..way("t") }), topic, "{class:?}");
        assert!(admits(&breaker, &Way { key: [2; 32], ..way("other") }), "{class:?}");
        advance(if class == ClockSkew { AUTH_OPEN } else { SHORT_OPEN }).await;
        assert!(admits(&breaker, &way("t")));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_the_same_for_all_topics_stops_all_of_them() {
    for class in [Class::Config, Class::Permission, Class::Quota] {
        let breaker = Breaker::default();
        breaker.failed(&way("t"), &Failure { scope: Scope::Api, ..failure(class) });
        assert!(!admits(&breaker, &way("other")), "{class:?}");
        assert_eq!(breaker.reach(&way("other")), Some(Reach::Endpoint));
        // A failure of another send in the meantime does not close the circuit.
        let code = Some("InternalError".to_owned());
        breaker.reached(&way("t"), &Failure { code, ..failure(Class::Transient) });
        assert!(breaker.opened(&way("other")).is_some(), "{class:?}");
        advance(SHORT_OPEN).await;
        assert!(admits(&breaker, &way("other")), "{class:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn answers_that_cannot_be_read_count_in_a_row() {
    let breaker = Breaker::default();
    let unread = Failure { unread: true, ..failure(Class::Ambiguous) };
    let cut = failure(Class::Ambiguous);
    let readable = Failure { code: Some("X".to_owned()), ..failure(Class::Transient) };
    assert_eq!(breaker.reached(&way("t"), &unread), None);
    breaker.reached(&way("t"), &readable);
    assert_eq!(breaker.reached(&way("t"), &unread), None, "not in a row");
    breaker.reached(&way("t"), &cut);
    assert!(admits(&breaker, &way("t")));
    assert_eq!(breaker.open(), Open::default());
    let told = breaker.reached(&way("t"), &unread).unwrap();
    assert_eq!((told.class, told.scope, told.maybe_stored), (Class::Config, Scope::Api, true));
    let refused = breaker.admit(&way("other"), Effort::Whole).err().unwrap();
    assert_eq!((refused.class, refused.maybe_stored), (Class::Config, false));
    advance(SHORT_OPEN).await;
    let probe = breaker.admit(&way("t"), Effort::Whole).ok().unwrap();
    assert!(breaker.reached(&way("t"), &unread).is_some(), "one failed probe is enough");
    drop(probe);
    assert!(!admits(&breaker, &way("t")));
    breaker.close(&way("t"));
    assert!(admits(&breaker, &way("t")));
}

/// Circuits of answers and circuits of outages hold sends back alike, and the widest one is reported.
#[tokio::test(start_paused = true)]
async fn both_kinds_of_circuits_are_one() {
    let breaker = Breaker::default();
    for _ in 0..3 {
        breaker.attempted(&way("t"), None, Instant::now(), &failure(Class::Transient));
    }
    assert!(breaker.admit(&way("t"), Effort::Brief).is_err());
    assert!(breaker.is_out(&way("t")) && !breaker.is_out(&way("other")));
    assert_eq!(breaker.reach(&way("t")), Some(Reach::Topic));
    breaker.failed(&way("t"), &failure(Class::Auth));
    assert_eq!(breaker.reach(&way("t")), Some(Reach::Key));
    assert_eq!(breaker.open(), Open { topic: 1, key: 1, endpoint: 0 });
    // A vendor that refuses one message is reachable.
    breaker.attempted(&way("t"), None, Instant::now(), &failure(Class::Permanent));
    assert!(!breaker.is_out(&way("t")));
}

#[tokio::test(start_paused = true)]
async fn no_more_is_remembered_than_fits() {
    let breaker = Breaker::default();
    for n in 0..2 * MOST {
        breaker.failed(&way(&n.to_string()), &failure(Class::Config));
    }
    assert_eq!(breaker.open().topic, MOST);
}
