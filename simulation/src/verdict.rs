//! The course of a run, from its start to the verdict.

use std::sync::Arc;
use std::time::Duration;

use hookmq_shared::spill::Record;
use tokio::time::sleep;

use crate::conductor::{conduct, look, mend, watch};
use crate::hooks::{Content, Shape, hook};
use crate::observe::Counts;
use crate::people::{Pens, generate, operate, visit};
use crate::processes::Fleet;
use crate::world::{HOUR, MINUTE, World};
use crate::{Plan, Report, report};

/// Events that must happen in a run of some length, because it proves too little without them.
pub const REQUIRED: &[&str] = &[
    "window 1: cut off after it was stored",
    "window 2: the vendor does not know",
    "window 3: the sender tries again",
    "window 4: no answer",
    "window 5: sent again after an ack",
    "window 6: took effect, and says that it did not",
    "window 7: killed between receipt and deletion",
    "window 7: the deletion failed",
    "window 8: two redrivers",
    "window 9: waits, and is sent again",
    "window 10: one event for two hooks",
    "two unread copies",
    "class too_large",
    "class permanent",
    "class config",
    "class auth",
    "class permission",
    "class quota",
    "class auth_refresh",
    "class clock_skew",
    "class throttle",
    "class transient",
    "class ambiguous",
    "outcome accepted",
    "outcome repeated",
    "outcome spilled tried",
    "outcome spilled untried",
    "outcome dead unrenderable",
    "outcome dead refused",
    "outcome unavailable",
    "outcome unprocessable",
    "outcome too_large",
    "outcome rejected",
    "redriver sent",
    "redriver repeated",
    "redriver dead",
    "redriver failed",
    "redriver held",
    "redriver no message",
    "redriver store failed",
    "step look up",
    "step refer",
    "step mark",
    "step spill",
    "step bury",
    "step postpone",
    "step delete",
    "claim renewed after expiry",
    "rendered again",
    "cursor written",
    "cursor used",
    "second round",
    "orphan state removed",
    "old-form state read",
    "shards changed with work left",
    "quarantine verified again",
    "forged request refused",
    "store unreachable",
    "store full",
    "store denied",
    "store slow",
    "store says no to what it did",
    "store late",
    "kill of a forwarder",
    "kill of a redriver",
    "clock jump",
    "redrivers off",
    "burst",
    "typo",
    "rotation of secrets",
    "wrong key",
];

/// Upper bound on the time until everything is sent, once nothing is wrong, in milliseconds.
const DRAIN: u64 = 3 * HOUR;

/// Upper bound on the time that senders try again, in hours, with some reserve.
const PATIENCE: u64 = 100;

pub(crate) async fn play(plan: Plan, counts: Counts) -> Report {
    let world = World::new(plan, counts);
    let (fleet, pens) = (Fleet::new(), Pens::new(plan.seed));
    world.begin_faults();
    fleet.start(&world);
    tokio::spawn(watch(Arc::clone(&world)));
    tokio::spawn(operate(Arc::clone(&world), (24 * HOUR).min(plan.hours * HOUR / 6)));
    tokio::spawn(conduct(Arc::clone(&world), Arc::clone(&fleet), Arc::clone(&pens)));
    let whole = async {
        generate(Arc::clone(&world), Arc::clone(&fleet), pens).await;
        // Wait until the conductor has caused its last fault.
        sleep(Duration::from_millis(world.plan.gap * 2000 + MINUTE)).await;
        mend(&world, &fleet).await;
        for _ in 0..PATIENCE {
            if world.state().open_senders == 0 {
                break;
            }
            sleep(Duration::from_millis(HOUR)).await;
        }
        for _ in 0..2 {
            visit(&world, false).await;
            sleep(Duration::from_millis(DRAIN / 2)).await;
        }
        look(&world);
        judge(&world);
    };
    tokio::select! {
        biased;
        () = world.over() => {}
        () = whole => {}
    }
    report(&world)
}

/// Checks the store at the end: `spill/` is empty, and `dead/` has only deliveries that cannot be sent.
fn judge(world: &World) {
    let left = world.store.names("spill/");
    if let Some(first) = left.first() {
        world.broke(format!("left in spill: {}, such as {first}", left.len()));
    }
    for name in world.store.names("dead/") {
        let Some(object) = world.store.object(&name) else { continue };
        let record = match Record::parse(&object.bytes) {
            Ok(record) => record,
            Err(error) => return world.broke(format!("broken object: {name}: {error}")),
        };
        let Some((number, _)) = world.state().ledger.named(&name) else {
            return world.broke(format!("unknown: {name} is in dead/"));
        };
        let place =
            world.state().ledger.entries.get(number as usize).map_or(0, |entry| usize::from(entry.place));
        let content = Content::of(world.plan.seed, number, place);
        if *record.delivery.body != *content.body {
            return world.broke(format!("altered: the body of {number} in dead/"));
        }
        let traits = hook(place);
        let is_allowed = content.is_hopeless || (traits.rejects && traits.shape == Shape::Middle);
        if !is_allowed {
            return world.broke(format!(
                "left in dead: {number} of hook {place}, although its message is sound: {} {}",
                record.error.errorclass, record.error.errormessage
            ));
        }
    }
    let mut state = world.state();
    let buried = std::mem::take(&mut state.ledger.buried);
    state.ledger.open.extend(buried);
    let open = std::mem::take(&mut state.ledger.open);
    drop(state);
    for ((number, _), paths) in open {
        if !world.has("dead", &paths) {
            return world.broke(format!("not sent: {number}"));
        }
    }
}
