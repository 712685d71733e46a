//! An exhaustive exploration of the small plans.

#[path = "../checker/mod.rs"]
mod checker;

use hookmq_model::Plan;

#[test]
fn every_promise_is_kept_in_every_state() {
    let mut states = 0;
    for plan in Plan::small() {
        let name = plan.name;
        let found = checker::explore(plan);
        println!("{name}: {} states, depth {}, {:.1} s", found.states, found.depth, found.seconds);
        assert!(found.broken.is_empty(), "{name}: {:#?}", found.broken);
        states += found.states;
    }
    assert!(states > 200_000, "{states}: there is not much to be seen");
}
