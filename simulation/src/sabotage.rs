//! Sabotage of the program, one safeguard at a time: a simulation that does not notice the loss proves
//! nothing.

use std::process::ExitCode;
use std::time::Instant;

use hookmq_shared::sabotage::{Safeguard, pull};
use simulation::{Plan, run};

/// Upper bound on the number of runs in which the loss of a safeguard must be noticed; they take about ten
/// seconds.
const RUNS: u64 = 20;

/// Pulls the safeguard with this name, or each in turn, and fails if a loss is not noticed.
pub(super) fn all(name: &str, seed: u64) -> ExitCode {
    let chosen: Vec<Safeguard> = match Safeguard::named(name) {
        Some(one) => vec![one],
        None if name == "all" => Safeguard::ALL.to_vec(),
        None => {
            println!("there is no safeguard {name}");
            return ExitCode::FAILURE;
        }
    };
    let unnoticed = chosen.into_iter().filter(|safeguard| !is_noticed(*safeguard, seed)).count();
    if unnoticed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(clippy::disallowed_methods, reason = "how long it takes is not a part of the run")]
fn is_noticed(safeguard: Safeguard, seed: u64) -> bool {
    let begun = Instant::now();
    pull(Some(safeguard));
    for seed in seed..seed + RUNS {
        let report = run(Plan { seed, hours: 4, per_day: 36_000, gap: 60, shows: false, tells: None });
        let took = begun.elapsed();
        if let Some(broken) = report.broken.first() {
            println!("{:24} {:5.2} s  {broken}", safeguard.as_str(), took.as_secs_f64());
            return true;
        }
    }
    println!("{:24} NOT NOTICED", safeguard.as_str());
    false
}
