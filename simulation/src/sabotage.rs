//! Safeguards pulled one by one: a simulation that does not notice proves nothing.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use hookmq_shared::sabotage::{Safeguard, pull};
use simulation::{Plan, run};

/// Each is noticed within this time, or not at all.
const LIMIT: Duration = Duration::from_secs(10);

/// Pulls the safeguard of that name, or each.
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

#[expect(clippy::disallowed_methods, reason = "how long it takes is no part of the run")]
fn is_noticed(safeguard: Safeguard, seed: u64) -> bool {
    let begun = Instant::now();
    pull(Some(safeguard));
    for seed in seed.. {
        let report = run(Plan { seed, hours: 4, per_day: 36_000, gap: 60, shows: false, tells: None });
        let took = begun.elapsed();
        if let Some(broken) = report.broken.first() {
            println!("{:24} {:5.2} s  {broken}", safeguard.as_str(), took.as_secs_f64());
            return took <= LIMIT;
        }
        if took > LIMIT {
            break;
        }
    }
    println!("{:24} NOT NOTICED", safeguard.as_str());
    false
}
