//! The simulation as a command, `cargo run --release -p simulation -- --seed S --days D`: its last line is
//! the number of deliveries and the hash of the log.
#![expect(clippy::print_stdout, reason = "what is printed is what it is for")]

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use simulation::{Plan, Report, run};

/// A simulation of days of operation, which reports every broken promise
#[derive(Parser)]
struct Asked {
    /// Seed of all random numbers; equal seeds make equal runs
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Duration in virtual days
    #[arg(long, default_value_t = 28)]
    days: u64,
    /// Duration in virtual hours, instead of days
    #[arg(long)]
    hours: Option<u64>,
    /// Deliveries per virtual day
    #[arg(long, default_value_t = 36_000)]
    per_day: u64,
    /// Mean virtual seconds between one fault and the next
    #[arg(long, default_value_t = 600)]
    gap: u64,
    /// Number of runs with this seed and the following ones, which must meet every required event together
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Accept that a short run does not meet every required event
    #[arg(long)]
    short: bool,
    /// Print the program's log on standard error
    #[arg(long)]
    log: bool,
    /// Print the story of the delivery with this number on standard error
    #[arg(long)]
    tell: Option<u32>,
    /// Pull a safeguard, whose loss must be noticed; "all": one after another
    #[cfg(sabotage)]
    #[arg(long)]
    sabotage: Option<String>,
}

fn main() -> ExitCode {
    let asked = Asked::parse();
    #[cfg(sabotage)]
    if let Some(name) = &asked.sabotage {
        return sabotage::all(name, asked.seed);
    }
    let hours = asked.hours.unwrap_or(asked.days * 24);
    let (mut is_held, mut missing) = (true, simulation::REQUIRED.to_vec());
    let (mut deliveries, mut hash) = (0, 0_u64);
    for seed in asked.seed..asked.seed + asked.seeds {
        #[expect(clippy::disallowed_methods, reason = "how long it takes is not a part of the run")]
        let begun = Instant::now();
        let report = run(Plan {
            seed,
            hours,
            per_day: asked.per_day,
            gap: asked.gap,
            shows: asked.log,
            tells: asked.tell,
        });
        is_held &= tell(&report, seed, begun);
        missing.retain(|what| report.missing().contains(what));
        deliveries += report.deliveries;
        hash = hash.rotate_left(1) ^ report.hash;
    }
    if !missing.is_empty() {
        println!("{}: {}", if asked.short { "not met" } else { "NOT MET" }, missing.join("; "));
        is_held &= asked.short;
    }
    println!("deliveries {deliveries} hash {hash:016x}");
    if is_held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tell(report: &Report, seed: u64, begun: Instant) -> bool {
    for (what, count) in &report.met {
        println!("{count:>9} {what}");
    }
    println!("seed {seed}: {} virtual hours in {:.1} s", report.hours, begun.elapsed().as_secs_f64());
    for broken in &report.broken {
        println!("BROKEN: {broken}");
    }
    report.broken.is_empty()
}

#[cfg(sabotage)]
mod sabotage;
