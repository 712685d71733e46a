//! Tests with short runs; long runs are commands.

use super::{Plan, run};

/// A plan of two hours with every kind of fault.
const SMALL: Plan = Plan { seed: 7, hours: 2, per_day: 12_000, gap: 120, shows: false, tells: None };

#[test]
fn every_promise_holds_and_equal_seeds_make_equal_runs() {
    let report = run(SMALL);
    assert!(report.broken.is_empty(), "{:#?}", report.broken);
    assert!(report.deliveries > 1000, "{}", report.deliveries);
    let again = run(SMALL);
    assert_eq!((report.deliveries, report.hash, &report.met), (again.deliveries, again.hash, &again.met));
    let other = run(Plan { seed: 8, ..SMALL });
    assert!(other.broken.is_empty(), "{:#?}", other.broken);
    assert_ne!(report.hash, other.hash);
}

#[test]
fn nothing_goes_twice_where_nothing_goes_wrong() {
    let report = run(Plan { hours: 1, gap: 1_000_000, per_day: 40_000, ..SMALL });
    assert!(report.broken.is_empty(), "{:#?}", report.broken);
    let of = |what: &str| report.met.get(what).copied().unwrap_or_default();
    // Deliveries that the operator sends again from `dead/` fail again, and no other delivery does.
    assert_eq!(of("answer 503") + of("outcome spilled tried"), 0, "{:#?}", report.met);
    // An operator's run beside the schedule's may send a delivery that both have read (window 8); no other
    // run does.
    let repeats = report.met.keys().filter(|what| what.starts_with("window 7"));
    assert_eq!(repeats.count(), 0, "{:#?}", report.met);
    assert!(of("outcome accepted") > 1000 && of("redriver sent") > 0, "{:#?}", report.met);
}
