//! An exhaustive exploration of the model: `cargo run --profile proof -p hookmq-model --example explore`.
//!
//! `-- small` explores the plans of the tests. In a build with `--cfg sabotage`, `-- --sabotage all`, or the
//! name of a safeguard, pulls one safeguard at a time and looks for a broken promise.
#![expect(clippy::print_stdout, reason = "a program for a terminal")]

#[path = "../checker/mod.rs"]
mod checker;

use std::process::ExitCode;

use checker::{Found, explore};
use hookmq_model::Plan;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let is_kept = match args.as_slice() {
        [] => all(Plan::large(), ENOUGH),
        ["small"] => all(Plan::small(), 0),
        ["--sabotage", name] => sabotage(name),
        _ => {
            println!("usage: explore [small | --sabotage all | --sabotage NAME]");
            false
        }
    };
    if is_kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Lower bound on the number of states: with fewer, the large plans have lost their purpose.
const ENOUGH: usize = 1_000_000;

/// Explores all plans; returns true if every promise is kept in at least `enough` states.
fn all(plans: Vec<Plan>, enough: usize) -> bool {
    let (mut states, mut seconds, mut is_kept) = (0, 0.0, true);
    for plan in plans {
        let name = plan.name;
        let found = explore(plan);
        println!(
            "{name}: {} states, {} with repeats, depth {}, {:.1} s",
            found.states, found.reached, found.depth, found.seconds
        );
        tell(&found);
        states += found.states;
        seconds += found.seconds;
        is_kept &= found.broken.is_empty();
    }
    println!(
        "{states} states in {seconds:.1} s: {}",
        if is_kept { "every promise is kept" } else { "BROKEN" }
    );
    if states < enough {
        println!("TOO FEW STATES: {enough} at least");
    }
    is_kept && states >= enough
}

fn tell(found: &Found) {
    for (promise, history) in &found.broken {
        println!("  broken: {promise}");
        for step in history {
            println!("    {step}");
        }
    }
}

/// Pulls safeguards one at a time; returns true if the loss of each breaks a promise. An exploration of more
/// than ten seconds is only reported, because the machine may be slow.
#[cfg(sabotage)]
fn sabotage(name: &str) -> bool {
    use hookmq_model::seen_by;
    use hookmq_shared::sabotage::{Safeguard, pull};

    const LONG: f64 = 10.0;
    let chosen = |safeguard: &Safeguard| name == "all" || safeguard.as_str() == name;
    let mut are_missed = name == "all" || Safeguard::named(name).is_some();
    for safeguard in Safeguard::ALL.into_iter().filter(chosen) {
        let Some(plan) = Plan::against(safeguard) else {
            println!("{}: not seen by the model: {}", safeguard.as_str(), seen_by(safeguard));
            continue;
        };
        pull(Some(safeguard));
        let found = explore(plan);
        pull(None);
        let what = found.broken.first().map_or("NOTHING FOUND", |(promise, _)| *promise);
        let steps = found.broken.first().map_or(0, |(_, history)| history.len() - 1);
        println!(
            "{}: {:.2} s, {} states, {steps} steps: {what}",
            safeguard.as_str(),
            found.seconds,
            found.states
        );
        if found.seconds > LONG {
            println!("    that took longer than it should");
        }
        if name != "all" {
            tell(&found);
        }
        are_missed &= !found.broken.is_empty();
    }
    are_missed
}

/// Fails with an explanation, because this build has no sabotage.
#[cfg(not(sabotage))]
fn sabotage(_: &str) -> bool {
    println!(
        "this build has no sabotage: build with RUSTFLAGS=\"--cfg sabotage\", as scripts/sabotage-model does"
    );
    false
}
