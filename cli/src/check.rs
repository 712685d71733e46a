//! `hookmq check`: every mistake at once, each with its line; with `--live`, what each vendor says.

use std::path::Path;

use hookmq_shared::config::{Config, Reading, Samples};
use hookmq_shared::context::Context;
use hookmq_shared::quarantine::Quarantine;
use hookmq_shared::queue::{Queue, Vendor, rocketmq, tdmq};
use hookmq_shared::spill::Spill;

use crate::{Exit, live};

/// The file that is named, else what a function would read; where it would read the built-in file,
/// the one of the current directory is meant.
pub(crate) fn hooks(file: Option<&Path>, with: Reading<'_>) -> Config {
    let here = Path::new("hooks.toml");
    let is_elsewhere = ["HOOKS", "HOOKS_FILE"].iter().any(|name| with.env.get(name).is_some());
    match file {
        Some(file) => Config::read(file, with),
        None if !is_elsewhere && here.is_file() => Config::read(here, with),
        None => Config::load(with),
    }
}

pub(crate) async fn run(file: Option<&Path>, is_live: bool) -> Exit {
    let context = Context::system();
    let with = Reading::new(&context.env, Samples::Refused);
    let config = hooks(file, with);
    for mistake in &config.mistakes {
        println!("{mistake}");
    }
    for problem in &config.problems {
        println!("environment: error: {problem}");
    }
    let tdmq = tdmq::Client::new(context.clone()).problems();
    let rocketmq = rocketmq::Client::new(context.clone()).problems();
    for (vendor, problems) in [(Vendor::Tdmq, tdmq), (Vendor::Rocketmq, rocketmq)] {
        // Only a function sends, and it has an environment of its own: here this is worth knowing
        // where some of it is set.
        let uses = config.hooks().filter(|hook| hook.recipe(vendor, "").is_some()).count();
        if uses > 0 {
            for problem in problems {
                println!("environment: note: {}: {problem}", vendor.as_str());
            }
        }
    }
    let stores = [Spill::from_env(&context).err(), Quarantine::from_env(&context).err()];
    for problem in stores.into_iter().flatten() {
        println!("environment: note: {problem}");
    }
    let errors = config.has_errors();
    println!("{} sound hook(s){}", config.hooks().count(), if errors { ", and errors" } else { "" });
    let mut exit = Exit::Good;
    if is_live {
        let (told, met) = live::run(&config, &context).await;
        print!("{told}");
        exit = met;
    }
    if errors { Exit::Configuration } else { exit }
}
